"""The environment of a handler: the only reader of its variables, the only maker of clients."""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from tenacity import Retrying, stop_after_delay, wait_random_exponential

from gameday.conditions import Condition, Kind, row
from gameday.conditions.kind import Reach
from gameday.deadline import Deadlines
from gameday.manners import Manners
from gameday.runs import Runs
from gameday.secrets import Secrets
from gameday.verdict import Publisher

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_stepfunctions import SFNClient

    from gameday.calls import Account

# A step's own retries come after the client's: together they stay inside the step's timeout.
_CLIENT = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4}
)


class Environment:
    """What the template gave to a function; each part is made when it is first used.

    A function takes it from its own variables; the command gives those of a deployed function.
    """

    def __init__(
        self,
        variables: Mapping[str, str] = os.environ,
        session: boto3.Session | None = None,
    ) -> None:
        self._variables = variables
        self._session = session
        self._aws: Any = session or boto3

    @cached_property
    def runs(self) -> Runs:
        """The table of runs."""
        dynamodb = self._aws.resource("dynamodb", config=_CLIENT)
        return Runs(dynamodb.Table(self._variables["RUNS_TABLE"]))

    def kind(self, condition: Condition) -> Kind:
        """The operations of the condition's kind."""
        return row(condition).operations(self._client, self._variables)

    @cached_property
    def ceilings(self) -> Reach:
        """How far a condition may go."""
        return Reach(
            percentage=float(self._variables["MOST_PERCENTAGE"]),
            latency_ms=float(self._variables["MOST_LATENCY_MILLISECONDS"]),
        )

    @cached_property
    def manners(self) -> Manners:
        """What a load may send, where, and how much of it."""
        lists = ("LOAD_TARGETS", "LOAD_FUNCTIONS", "SECRET_PARAMETERS", "SECRET_NAMES")
        targets, functions, parameters, secrets = (
            tuple(filter(None, self._variables[name].split(","))) for name in lists
        )
        return Manners(
            targets=targets,
            functions=functions,
            parameters=parameters,
            secrets=secrets,
            most_per_second=float(self._variables["MOST_REQUESTS_PER_SECOND"]),
            most_requests=float(self._variables["MOST_REQUESTS"]),
        )

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets that a load refers to."""
        return Secrets(ssm=self._client("ssm"), secretsmanager=self._client("secretsmanager"))

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """Metrics and alarms."""
        client: CloudWatchClient = self._client("cloudwatch")
        return client

    @cached_property
    def account(self) -> "Account":
        """Who signs the load's requests, and where functions are invoked."""
        # Imported here: only the load signs, and each step pays at its cold start.
        from gameday.calls import Account

        credentials = (self._session or boto3.Session()).get_credentials()
        if credentials is None:
            raise NoCredentialsError
        meta = self._client("lambda").meta
        return Account(credentials, meta.region_name, meta.endpoint_url)

    @cached_property
    def stepfunctions(self) -> "SFNClient":
        """The answers to the watch."""
        client: SFNClient = self._client("stepfunctions")
        return client

    @cached_property
    def retrying(self) -> Retrying:
        """How long the undo is tried within one call: throttling and short outages pass."""
        return Retrying(
            stop=stop_after_delay(90),
            wait=wait_random_exponential(multiplier=0.5, max=15),
            reraise=True,
        )

    @cached_property
    def deadlines(self) -> Deadlines:
        """The one-time schedules."""
        return Deadlines(
            scheduler=self._client("scheduler"),
            group=self._variables["SCHEDULE_GROUP"],
            target_arn=self._variables.get("ROLL_BACK_FUNCTION_ARN", ""),
            role_arn=self._variables.get("DEADLINE_ROLE_ARN", ""),
            dead_letter_arn=self._variables["DEAD_LETTER_QUEUE_ARN"],
        )

    @cached_property
    def publisher(self) -> Publisher:
        """The bus and the topic of the verdicts."""
        return Publisher(
            events=self._client("events"),
            sns=self._client("sns"),
            bus_name=self._variables["VERDICT_BUS"],
            topic_arn=self._variables["VERDICT_TOPIC"],
        )

    def _client(self, service: str) -> Any:
        return self._aws.client(service, config=_CLIENT)


environment = Environment()
