"""The environment of a handler in small fakes, and the handlers as Lambda calls them.

The table of runs is the embedded AWS's DynamoDB in this process, made as template.yaml says:
its conditions are what the lock stands on. Nothing here opens a socket.
"""

import importlib
import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ClientError
from ministack.services import dynamodb
from tenacity import Retrying, stop_after_attempt
from urllib3 import HTTPResponse

from cli.embedded.cloudwatch import is_range, range_statistic
from gameday.conditions.appconfig import Change, Target
from gameday.conditions.kind import Reach
from gameday.errors import ConditionNotEnabled, RunRefused
from gameday.experiment import Phase, parse
from gameday.manners import Manners
from gameday.observations import Histogram, LoadReport, Window
from gameday.runs import Run, Runs
from gameday.secrets import Secrets
from tests.house.project import RESOURCES

RUN = "run-1"
EXECUTION = "arn:aws:states:us-east-1:000000000000:execution:machine:run-1"
ALARM = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:errors"
STARTED_AT = 1_800_000_000
DOCUMENT: dict[str, Any] = {
    "name": "purchase-latency",
    "objective": "A purchase responds in less than 400 ms",
    "condition": {
        "kind": "appconfig",
        "application": "shop",
        "environment": "production",
        "profile": "purchase",
        "function": "purchase",
        "configuration": {"latency": {"enabled": True, "max_latency": 200}},
    },
    "load": {"url": "https://shop.example/purchases"},
    "measures": [
        {
            "name": "95 % respond in",
            "kind": "percentile",
            "metric": "Latency",
            "percentile": 95,
            "operator": "<",
            "threshold": 400,
        }
    ],
    "guardrails": ["errors"],
}

STAYING: dict[str, Any] = DOCUMENT | {
    "condition": {
        "kind": "flag",
        "application": "shop",
        "environment": "production",
        "profile": "flags",
        "flag": "checkout",
        "function": "purchase",
        "afterwards": "stay_if_passed",
    }
}
"""An experiment whose flag stays on where it passes."""


def table() -> Any:
    """An empty table of runs."""
    dynamodb.reset()
    made = RESOURCES["RunsTable"]["Properties"]
    names = ("BillingMode", "AttributeDefinitions", "KeySchema")
    return _resource().create_table(TableName="runs", **{name: made[name] for name in names})


@cache
def _resource() -> Any:
    resource = boto3.resource(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    resource.meta.client.meta.events.register("before-send.dynamodb", _answer)
    return resource


def _answer(request: AWSPreparedRequest, **_: object) -> Any:
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else value
        for name, value in request.headers.items()
    }
    coroutine = dynamodb.handle_request("POST", "/", headers, request.body, {})
    try:
        coroutine.send(None)  # it awaits nothing, so it needs no event loop
    except StopIteration as done:
        status, answered, body = done.value
    raw: Any = HTTPResponse(io.BytesIO(body), preload_content=False)
    return AWSResponse(request.url, status, answered, raw)


class Switch:
    """The switch of a condition: off, on by one deployment, or off again; remembers the calls."""

    def __init__(self) -> None:
        self.state = "NEVER"
        self.disabled = 0
        self.expires_at = 0.0
        self.growth: list[float] = []
        """How far a condition that grows has come, at each look; then it is on for all."""
        self.refusal: RunRefused | None = None
        self.failure: Exception | None = None
        self.unreadable: Exception | None = None

    def examine(self, condition: object) -> Target:
        if self.refusal:
            raise self.refusal
        return Target(
            application_id="a",
            environment_id="e",
            profile_id="p",
            latest_deployment=0,
            resting_sha256="off",
        )

    def enable(
        self,
        condition: object,
        target: Target,
        run_id: str,
        expires_at: float,
        change: Change | None,
        remember: Callable[[Change], None],
    ) -> None:
        remember(Change(version=1))
        self.state, self.expires_at = "BAKING", expires_at
        remember(Change(version=1, deployment=1))

    def grown(self, target: Target, change: Change) -> float:
        if self.state != "BAKING":
            raise ConditionNotEnabled("AppConfig rolled it back")
        return self.growth.pop(0) if self.growth else 100.0

    def disable(
        self, target: Target, change: Change | None, run_id: str, notice: Callable[[str], None]
    ) -> None:
        self.disabled += 1
        notice(self.state)
        if self.failure:
            raise self.failure
        if change:
            self.state = "REVERTED"

    def stands(self, target: Target, change: Change) -> bool:
        if self.unreadable:
            raise self.unreadable
        return self.state == "BAKING"


class Deadlines:
    """The schedules that exist."""

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.failure: Exception | None = None

    def create(self, run: Run) -> None:
        if self.failure:
            raise self.failure
        self.runs.add(run.run_id)

    def delete(self, run_id: str) -> None:
        self.runs.discard(run_id)


class Publisher:
    """The verdicts that were published to programs, and those that people were told."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.failure: Exception | None = None
        self.refusal: RunRefused | None = None

    def examine(self) -> None:
        if self.refusal:
            raise self.refusal

    def to_bus(self, verdict: dict[str, Any], execution_arn: str) -> None:
        self.published.append(verdict)

    def to_topic(self, verdict: dict[str, Any]) -> None:
        if self.failure:
            raise self.failure
        self.told.append(verdict)


class StepFunctions:
    """The answers that task tokens were given; a token that is over takes none."""

    class exceptions:
        TaskTimedOut = type("TaskTimedOut", (Exception,), {})
        TaskDoesNotExist = type("TaskDoesNotExist", (Exception,), {})
        InvalidToken = type("InvalidToken", (Exception,), {})

    def __init__(self) -> None:
        self.answers: list[dict[str, str]] = []
        self.over = False
        self.status = "RUNNING"
        self.stopped: list[dict[str, str]] = []

    def send_task_success(self, **answer: str) -> None:
        self.answers.append(answer)

    def send_task_failure(self, **answer: str) -> None:
        if self.over:
            raise self.exceptions.TaskTimedOut
        self.answers.append(answer)

    def describe_execution(self, *, executionArn: str) -> dict[str, str]:
        name = executionArn.rpartition(":")[2]
        return {"executionArn": executionArn, "name": name, "status": self.status}

    def stop_execution(self, **stopped: str) -> None:
        self.stopped.append(stopped)


class ParameterStore:
    """One secret parameter."""

    class exceptions:
        ClientError = ClientError

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> dict[str, Any]:
        assert WithDecryption
        if Name != "/shop/token":
            raise ClientError({"Error": {"Code": "ParameterNotFound"}}, "GetParameter")
        return {"Parameter": {"Value": "hush"}}


class CloudWatch:
    """The states of the alarms, and of each metric and phase or mode the values of each second."""

    def __init__(self) -> None:
        self.alarm = "OK"
        self.status = "Complete"
        self.values: dict[tuple[str, str], dict[int, list[float]]] = {}
        self.calls = 0

    def loaded(self, phase: Phase, latency_ms: float, failed: int = 0) -> None:
        """Hold the metrics of a load of five requests a second, of one minute, all equally fast."""
        seconds = range(start := _start(phase), start + 60)
        for name, each in (
            ("Latency", [latency_ms] * 5),
            ("Requests", [5.0]),
            ("Succeeded", [5.0 - failed]),
            ("Failed", [float(failed)]),
        ):
            self.values[name, phase] = {second: each for second in seconds}

    def injected(self, count: float, at: float = STARTED_AT + 60) -> None:
        """Hold what the injector counted: by default in the minute of the condition."""
        self.values["Injected", "latency"] = {int(at): [count]}

    def invoked(self, count: float) -> None:
        """Hold how often Lambda invoked the function in the minute of the condition."""
        self.values["Invocations", "purchase"] = {STARTED_AT + 60: [count]}

    def describe_alarms(self, **_: object) -> dict[str, Any]:
        alarm = {"AlarmName": "errors", "AlarmArn": ALARM, "StateValue": self.alarm}
        return {"MetricAlarms": [alarm], "CompositeAlarms": []}

    def get_paginator(self, operation: str) -> "CloudWatch":
        assert operation == "get_metric_data"
        return self

    def paginate(
        self, *, MetricDataQueries: list[Any], StartTime: datetime, EndTime: datetime, **_: object
    ) -> Iterator[dict[str, Any]]:
        self.calls += 1
        start, end = int(StartTime.timestamp()), int(EndTime.timestamp())
        results = [self._result(q["Id"], q["MetricStat"], start, end) for q in MetricDataQueries]
        yield {"MetricDataResults": results}

    def _result(self, id_: str, asked: Any, start: int, end: int) -> dict[str, Any]:
        metric, period = asked["Metric"], asked["Period"]
        held = self.values.get((metric["MetricName"], metric["Dimensions"][-1]["Value"]), {})
        found: dict[datetime, float] = {}
        for begin in range(start, end, period):
            inside = [v for second in range(begin, begin + period) for v in held.get(second, [])]
            if inside:
                found[datetime.fromtimestamp(begin, UTC)] = _statistic(asked["Stat"], inside)
        return {
            "Id": id_,
            "StatusCode": self.status,
            "Timestamps": list(found),
            "Values": list(found.values()),
        }


def _start(phase: Phase) -> int:
    """Each phase has a minute of its own."""
    return STARTED_AT + 60 * list(Phase).index(phase)


def _statistic(name: str, values: list[float]) -> float:
    if is_range(name):
        return range_statistic(name, [(value, 1) for value in values])
    if name.startswith("p"):
        return sorted(values)[math.ceil(len(values) * float(name[1:]) / 100) - 1]
    return {"Sum": math.fsum(values), "SampleCount": float(len(values))}[name]


class FakeEnvironment:
    """What `gameday.environment.Environment` gives to a step."""

    def __init__(self) -> None:
        self.runs = Runs(table())
        self.appconfig = Switch()
        self.ceilings = Reach(percentage=100, latency_ms=1000)
        self.manners = Manners(
            targets=("shop.example",),
            functions=(),
            parameters=("/shop/token",),
            secrets=(),
            most_per_second=100_000,
            most_requests=100_000_000,
        )
        self.secrets = Secrets(ssm=ParameterStore(), secretsmanager=None)  # type: ignore[arg-type]
        self.deadlines = Deadlines()
        self.publisher = Publisher()
        self.stepfunctions = StepFunctions()
        self.cloudwatch = CloudWatch()
        self.account = "whoever signs"
        self.retrying = Retrying(stop=stop_after_attempt(2), reraise=True)

    def kind(self, _: object) -> Switch:
        """The operations of every kind."""
        return self.appconfig

    @property
    def run(self) -> Run:
        """The run as the table has it."""
        return self.runs.get(RUN)

    def arm(
        self,
        run_id: str = RUN,
        started_at: float = STARTED_AT,
        document: dict[str, Any] = DOCUMENT,
        **load: Any,
    ) -> None:
        """Arm a run as the step does; its load may be another one."""
        experiment = parse(document | {"load": document["load"] | load})
        self.runs.arm(
            Run(
                run_id=run_id,
                execution_arn=EXECUTION,
                experiment=experiment,
                target=self.appconfig.examine(experiment.condition),
                guardrail_arns=(ALARM,),
                started_at=started_at,
                deadline=started_at + 900,
            )
        )
        self.deadlines.runs.add(run_id)

    def note_load(self, phase: Phase) -> None:
        """Note a load of which every request was answered, in a window of its own minute."""
        self.runs.note(RUN, **{f"{phase}_load": report(phase).model_dump(mode="json")})


def report(phase: Phase, offered: int = 300) -> LoadReport:
    """Of a load of which every request was answered, in a window of its own minute."""
    start = _start(phase)
    return LoadReport(
        phase=phase,
        window=Window(start=start, end=start + 60),
        offered=offered,
        sent=offered,
        succeeded=offered,
        failed=0,
        by_status={"201": offered},
        errors={},
        latencies=Histogram(),
        schedule_errors=Histogram(),
        stopped=False,
    )


def handle(environment: FakeEnvironment, step: str, **event: Any) -> Any:
    """Call the handler of a step as Lambda does; the answer is what JSON makes of it."""
    app = importlib.import_module(f"{step}.app")
    context = SimpleNamespace(function_name=step)
    with patch.object(app, "environment", environment, create=step == "validate_experiment"):
        return json.loads(json.dumps(app.handler(event, context)))
