"""The environment of a handler: the only reader of its variables, the only maker of clients."""

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from gameday.conditions.appconfig import AppConfig
from gameday.deadline import Deadlines
from gameday.runs import Runs
from gameday.verdict import Publisher

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_stepfunctions import SFNClient

# A step's own retries come after the client's: together they stay inside the step's timeout.
_CLIENT = Config(
    connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4}
)


class Environment:
    """What the template gave to this function; each part is made when it is first used."""

    @cached_property
    def runs(self) -> Runs:
        """The table of runs."""
        return Runs(boto3.resource("dynamodb", config=_CLIENT).Table(os.environ["RUNS_TABLE"]))

    @cached_property
    def appconfig(self) -> AppConfig:
        """The switch of the conditions."""
        return AppConfig(
            control=_client("appconfig"),
            data=_client("appconfigdata"),
            strategy_id=os.environ["DEPLOYMENT_STRATEGY"],
        )

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """Metrics and alarms."""
        client: CloudWatchClient = _client("cloudwatch")
        return client

    @cached_property
    def stepfunctions(self) -> "SFNClient":
        """The answers to the watch."""
        client: SFNClient = _client("stepfunctions")
        return client

    @cached_property
    def deadlines(self) -> Deadlines:
        """The one-time schedules."""
        return Deadlines(
            scheduler=_client("scheduler"),
            group=os.environ["SCHEDULE_GROUP"],
            target_arn=os.environ.get("ROLL_BACK_FUNCTION_ARN", ""),
            role_arn=os.environ.get("DEADLINE_ROLE_ARN", ""),
            dead_letter_arn=os.environ["DEAD_LETTER_QUEUE_ARN"],
        )

    @cached_property
    def publisher(self) -> Publisher:
        """The bus and the topic of the verdicts."""
        return Publisher(
            events=_client("events"),
            sns=_client("sns"),
            bus_name=os.environ["VERDICT_BUS"],
            topic_arn=os.environ["VERDICT_TOPIC"],
        )


def _client(service: Any) -> Any:
    return boto3.client(service, config=_CLIENT)


environment = Environment()
