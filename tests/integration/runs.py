"""Real runs of the real machine: where they happen, how one is started, and what came of it."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from cli.embedded.aws import EmbeddedAws
from cli.embedded.deploy import account
from gameday.experiment import parse

type Json = dict[str, Any]

LIMIT_SECONDS = 240.0
LATENCY = {"latency": {"enabled": True, "min_latency": 500, "max_latency": 600}}
OFF = {mode: {"enabled": False} for mode in ("latency", "exception", "statuscode", "denylist")}
METHODS = {"Purchase": "POST", "Images": "GET", "Clicks": "POST"}


def eventually[T](
    read: Callable[[], T],
    limit_seconds: float = LIMIT_SECONDS,
    explain: Callable[[], str] = lambda: "",
) -> T:
    """Return what `read` gives as soon as it is true."""
    deadline = time.monotonic() + limit_seconds
    while not (found := read()):
        assert time.monotonic() < deadline, f"still {found!r} after {limit_seconds} s\n{explain()}"
        time.sleep(0.3)
    return found


@dataclass(frozen=True)
class Target:
    """An AppConfig profile in an environment of its own, so that its runs hold up no others."""

    application: str
    environment: str
    profile: str


@dataclass(frozen=True)
class Application:
    """One deployment of the sample application, by the outputs of its stack."""

    outputs: dict[str, str]

    def target(self, function: str) -> Target:
        return Target(
            self.outputs["Application"],
            self.outputs["Environment"],
            self.outputs[f"{function}Profile"],
        )

    def wake(self, function: str) -> None:
        """Start a function, which takes seconds, before a run that counts them."""
        request = urllib.request.Request(self.outputs[f"{function}Url"], method=METHODS[function])
        urllib.request.urlopen(request, timeout=60).close()


def open_queue(aws: EmbeddedAws, name: str) -> tuple[str, str]:
    """Make a queue to which anybody may send; return its URL and its ARN."""
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = attributes["Attributes"]["QueueArn"]
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return str(url), str(arn)


class Mailbox:
    """A queue of messages, read until each of them was seen."""

    def __init__(self, aws: EmbeddedAws, url: str) -> None:
        self._sqs, self._url = aws.client("sqs"), url
        self._lock = threading.Lock()
        self._seen: list[Json] = []

    def messages(self) -> list[Json]:
        """Return every message that has come so far."""
        with self._lock:
            while found := self._received():
                self._seen.extend(found)
            return list(self._seen)

    def _received(self) -> list[Json]:
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10)
        found = answer.get("Messages", [])
        for message in found:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]


@dataclass(frozen=True)
class Gameday:
    """The three stacks on the embedded AWS, and what tests put beside them."""

    aws: EmbeddedAws
    applications: tuple[Application, ...]
    own_application: str
    forbidden_application: str
    verdicts: Mailbox
    notifications: Mailbox
    folder: Path
    stack: str = "gameday"

    @cached_property
    def outputs(self) -> dict[str, str]:
        return account(self.aws).outputs(self.stack)

    @cached_property
    def _clients(self) -> dict[str, Any]:
        return {}

    def client(self, service: str) -> Any:
        """Return the one client of a service; making one is what threads must not do at once."""
        with _MAKING_CLIENTS:
            if service not in self._clients:
                self._clients[service] = self.aws.client(service)
            return self._clients[service]

    def resource(self, logical_id: str) -> str:
        """Return the physical id of a resource of Gameday's stack."""
        return self.resources[logical_id]

    @cached_property
    def resources(self) -> dict[str, str]:
        """The physical ids of the stack's resources, which do not change while tests run."""
        return self.resources_of(self.stack)

    def resources_of(self, stack: str) -> dict[str, str]:
        """Return the physical ids of the resources of any stack, by their logical ids."""
        found = self.client("cloudformation").describe_stack_resources(StackName=stack)
        items = found["StackResources"]
        return {item["LogicalResourceId"]: item["PhysicalResourceId"] for item in items}

    # -- AppConfig ------------------------------------------------------------------------

    def target(
        self,
        resting: Json | None = OFF,
        application: str | None = None,
        kind: str = "AWS.Freeform",
    ) -> Target:
        """Make a profile in an environment of its own, with a resting configuration or none."""
        appconfig, application = self.client("appconfig"), application or self.own_application
        environment = appconfig.create_environment(ApplicationId=application, Name=unique("e"))
        profile = appconfig.create_configuration_profile(
            ApplicationId=application, Name=unique("p"), LocationUri="hosted", Type=kind
        )
        target = Target(application, environment["Id"], profile["Id"])
        if resting is not None:
            self.deploy(target, resting)
        return target

    def deploy(
        self, target: Target, configuration: Json, *, bake: bool = False, description: str = ""
    ) -> int:
        """Deploy a configuration as a user does; with `bake` it stays in progress."""
        appconfig = self.client("appconfig")
        version = appconfig.create_hosted_configuration_version(
            ApplicationId=target.application,
            ConfigurationProfileId=target.profile,
            Content=json.dumps(configuration).encode(),
            ContentType="application/json",
        )["VersionNumber"]
        number = appconfig.start_deployment(
            ApplicationId=target.application,
            EnvironmentId=target.environment,
            ConfigurationProfileId=target.profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=self._strategy("gameday-condition" if bake else "gameday-sample"),
            Description=description,
        )["DeploymentNumber"]
        ready = {"BAKING"} if bake else {"COMPLETE"}
        eventually(lambda: self.deployment(target, number)["State"] in ready, 30)
        return int(number)

    def _strategy(self, prefix: str) -> str:
        found = self.client("appconfig").list_deployment_strategies()["Items"]
        return next(str(item["Id"]) for item in found if item["Name"].startswith(prefix))

    def deployment(self, target: Target, number: int) -> Json:
        return dict(
            self.client("appconfig").get_deployment(
                ApplicationId=target.application,
                EnvironmentId=target.environment,
                DeploymentNumber=number,
            )
        )

    def versions_of(self, target: Target, run_id: str) -> list[int]:
        """Return the hosted versions that a run made."""
        found = self.client("appconfig").list_hosted_configuration_versions(
            ApplicationId=target.application, ConfigurationProfileId=target.profile
        )["Items"]
        return [item["VersionNumber"] for item in found if run_id in item.get("Description", "")]

    def deployments(self, target: Target) -> int:
        """Return how many deployments there ever were."""
        found = self.client("appconfig").list_deployments(
            ApplicationId=target.application, EnvironmentId=target.environment
        )
        return len(found["Items"])

    def served(self, target: Target) -> Json:
        """Return what AppConfig serves to a client that starts now."""
        data = self.client("appconfigdata")
        token = data.start_configuration_session(
            ApplicationIdentifier=target.application,
            EnvironmentIdentifier=target.environment,
            ConfigurationProfileIdentifier=target.profile,
        )["InitialConfigurationToken"]
        content = data.get_latest_configuration(ConfigurationToken=token)["Configuration"].read()
        return dict(json.loads(content)) if content else {}

    # -- what a run leaves behind -----------------------------------------------------------

    def item(self, pk: str, sk: str) -> Json:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        found = self.client("dynamodb").get_item(
            TableName=self.resource("RunsTable"), Key=key, ConsistentRead=True
        )
        return dict(found.get("Item", {}))

    def lock(self, target: Target) -> Json:
        return self.item(f"lock#appconfig/{target.application}/{target.environment}", "lock")

    def schedules(self, run_id: str) -> list[Json]:
        """Return the one-time schedules of a run."""
        scheduler, group = self.client("scheduler"), self.resource("Deadlines")
        names = [item["Name"] for item in scheduler.list_schedules(GroupName=group)["Schedules"]]
        found = []
        for name in names:
            with suppress(scheduler.exceptions.ResourceNotFoundException):  # another run ended
                found.append(scheduler.get_schedule(GroupName=group, Name=name))
        return [item for item in found if run_id in item["Target"]["Input"]]

    def alarm(self, state: str = "OK") -> str:
        """Make an alarm on a metric that has no data and is kept in `state`."""
        name, missing = unique("alarm"), {"OK": "notBreaching", "ALARM": "breaching"}
        self.client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Namespace="Test",
            MetricName=name,
            Statistic="Sum",
            Period=10,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            TreatMissingData=missing.get(state, "missing"),
        )
        eventually(lambda: self._alarm(name)["StateValue"] == state, 30)
        return name

    def _alarm(self, name: str) -> Json:
        found = self.client("cloudwatch").describe_alarms(AlarmNames=[name])
        return dict(found["MetricAlarms"][0])

    def guardrail_arn(self, name: str) -> str:
        return str(self._alarm(name)["AlarmArn"])

    def ring(self, name: str) -> None:
        """Put the metric's value with which an alarm rings."""
        self.client("cloudwatch").put_metric_data(
            Namespace="Test", MetricData=[{"MetricName": name, "Value": 1}]
        )

    def loaded_seconds(self, name: str) -> list[float]:
        """Return the seconds since the epoch in which requests under the condition were due."""
        return self._seconds("Requests", {"Experiment": name, "Phase": "condition"})

    def injected_seconds(self, function: str, mode: str) -> list[float]:
        """Return the seconds since the epoch in which the injector counted an injection."""
        return self._seconds("Injected", {"FunctionName": function, "Mode": mode})

    def _seconds(self, metric: str, dimensions: dict[str, str]) -> list[float]:
        now = datetime.now(UTC)
        asked = {
            "Namespace": "Gameday",
            "MetricName": metric,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }
        query = {"Id": "m", "MetricStat": {"Metric": asked, "Period": 1, "Stat": "Sum"}}
        result = self.client("cloudwatch").get_metric_data(
            MetricDataQueries=[query],
            StartTime=now - timedelta(minutes=10),
            EndTime=now + timedelta(minutes=1),
            ScanBy="TimestampAscending",
        )["MetricDataResults"][0]
        pairs = zip(result["Timestamps"], result["Values"], strict=True)
        return [moment.timestamp() for moment, value in pairs if value]

    # -- runs ---------------------------------------------------------------------------------

    def start(self, document: Any, run_id: str | None = None) -> Execution:
        """Start a run of a document, as any program does."""
        arn = self.client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["StateMachineArn"],
            name=run_id or unique(str(document.get("name", "nameless"))),
            input=json.dumps(document),
        )["executionArn"]
        return Execution(self, str(arn))

    def invoke(self, function: str, **event: Any) -> Any:
        """Call a function of the stack directly; return its answer, or its error."""
        answer = self.client("lambda").invoke(
            FunctionName=self.resource(function), Payload=json.dumps(event)
        )
        return json.loads(answer["Payload"].read())

    def executions_of(self, experiment: str) -> list[Execution]:
        """Return every run of an experiment."""
        found = self.client("stepfunctions").list_executions(
            stateMachineArn=self.outputs["StateMachineArn"]
        )["executions"]
        arns = [item["executionArn"] for item in found if item["name"].startswith(experiment)]
        return [Execution(self, arn) for arn in arns]

    def ended(self, document: Any) -> Execution:
        """Start a run and wait until it and its verdict are there, or it was refused."""
        execution = self.start(document)
        execution.wait()
        return execution


_MAKING_CLIENTS = threading.Lock()


@dataclass(frozen=True)
class Execution:
    """One execution of the machine, read from outside."""

    gameday: Gameday
    arn: str

    @property
    def run_id(self) -> str:
        return self.arn.rpartition(":")[2]

    def described(self) -> Json:
        found = self.gameday.client("stepfunctions").describe_execution(executionArn=self.arn)
        return dict(found)

    @property
    def status(self) -> str:
        return str(self.described()["status"])

    @property
    def cause(self) -> str:
        """Return what a person reads as the reason of a red run."""
        described = self.described()
        assert described["status"] == "FAILED", self.explained()
        try:
            return str(json.loads(described["cause"])["errorMessage"])
        except ValueError:
            return str(described["cause"])

    @property
    def error(self) -> str:
        return str(self.described().get("error"))

    def history(self) -> list[Json]:
        pages = self.gameday.client("stepfunctions").get_paginator("get_execution_history")
        asked = pages.paginate(executionArn=self.arn, includeExecutionData=False)
        return [event for page in asked for event in page["events"]]

    def entered(self) -> list[str]:
        """Return the states in the order in which they were entered."""
        details = (event.get("stateEnteredEventDetails") for event in self.history())
        return [found["name"] for found in details if found]

    def wait_for(self, state: str) -> None:
        """Wait until a state was entered; a run that ends before is an error."""
        eventually(lambda: state in self.entered() or self._is_over(), explain=self.explained)
        assert state in self.entered(), f"{state} was not reached\n{self.explained()}"

    def wait(self) -> None:
        """Wait until the run has ended."""
        eventually(self._is_over, explain=self.explained)

    def _is_over(self) -> bool:
        return self.status != "RUNNING"

    def lease(self) -> tuple[int, int]:
        """Return between which moments the condition may expire."""
        seconds = parse(json.loads(str(self.record()["experiment"]))).plan.lease_seconds
        enabled = float(str(self.record()["fact_enabled_at"]))
        return int(enabled) + seconds - 60, int(enabled) + seconds

    def stop(self) -> None:
        client = self.gameday.client("stepfunctions")
        client.stop_execution(executionArn=self.arn, error="Stopped", cause="by a person")

    def post_timed_out(self) -> None:
        """Give Roll back the event of an execution that timed out, as the rule would.

        Nobody but AWS may put an event of aws.states.
        """
        described = self.described()
        detail = {
            "executionArn": self.arn,
            "stateMachineArn": described["stateMachineArn"],
            "name": self.run_id,
            "status": "TIMED_OUT",
            "startDate": int(1000 * described["startDate"].timestamp()),
            "stopDate": int(1000 * time.time()),
            "input": described["input"],
            "inputDetails": {"included": True},
            "output": None,
            "error": None,
            "cause": None,
        }
        event = {
            "version": "0",
            "id": unique("event"),
            "detail-type": "Step Functions Execution Status Change",
            "source": "aws.states",
            "resources": [self.arn],
            "detail": detail,
        }
        self.gameday.client("lambda").invoke(
            FunctionName=self.gameday.resource("RollBackFunction"),
            InvocationType="Event",
            Payload=json.dumps(event),
        )

    def record(self) -> Json:
        """Return the run's record, each attribute as its plain value."""
        found = self.gameday.item(f"run#{self.run_id}", "run")
        return {name: next(iter(value.values())) for name, value in found.items()}

    def events(self) -> list[Json]:
        """Return the verdict events of this run that have come so far."""
        found = self.gameday.verdicts.messages()
        return [event for event in found if event["detail"]["run"] == self.run_id]

    def event(self) -> Json:
        """Return the verdict event as a queue behind a rule on the bus has it."""
        return eventually(self.events, 30, self.explained)[0]

    def verdict(self) -> Json:
        return dict(self.event()["detail"])

    def notification(self) -> Json:
        """Return the message as the queue behind the topic has it."""

        def ours() -> list[Json]:
            found = self.gameday.notifications.messages()
            return [message for message in found if self.run_id in message["Message"]]

        return eventually(ours, 30, self.explained)[0]

    def explained(self) -> str:
        """Return the history of the run for a person who wonders why."""
        lines = [f"{self.arn}: {self.status}"]
        for event in self.history():
            details: Json = next((v for k, v in event.items() if k.endswith("EventDetails")), {})
            told = {k: v for k, v in details.items() if k in ("name", "error", "cause")}
            lines.append(f"  {event['timestamp']:%H:%M:%S} {event['type']} {told or ''}")
        facts = self.record().items()
        lines += [f"  {name}: {value}" for name, value in sorted(facts) if name != "experiment"]
        return "\n".join(lines)


def observe(aws: EmbeddedAws, bus: str, name: str) -> str:
    """Make one more subscriber of the verdicts, whose queue nobody else reads; return its URL."""
    events, (url, arn) = aws.client("events"), open_queue(aws, name)
    pattern = json.dumps({"source": ["gameday"]})
    events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern)
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": arn}])
    return url


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:8]}"


TWO_WORKERS = {"rate_per_second": 40, "expected_latency_ms": 30_000}
"""So many may be in flight that one worker has too few connections."""


def experiment(name: str, target: Target, url: str, **changes: Any) -> Json:
    """Return a short experiment: its condition takes no time, its measure always holds."""
    condition = {
        "kind": "appconfig",
        "application": target.application,
        "environment": target.environment,
        "profile": target.profile,
        "function": "nobody",
        "configuration": LATENCY,
        "propagation_seconds": 0,
    }
    measure = {
        "name": "answers",
        "kind": "rate",
        "metric": "Succeeded",
        "per": "minute",
        "operator": ">=",
        "threshold": 30,  # nothing in 10 seconds shows that there are fewer than 20 a minute
    }
    windows = {
        "baseline_seconds": 10,
        "condition_seconds": 10,
        "settle_seconds": 1,
        "recovery_seconds": 10,
    }
    return {
        "name": name,
        "objective": "Users get an answer",
        "condition": condition | changes.pop("condition", {}),
        "load": {"url": url, "rate_per_second": 4, "warm_up_seconds": 0} | changes.pop("load", {}),
        "measures": [measure],
        "windows": windows | changes.pop("windows", {}),
        **changes,
    }


FLAGS: Json = {
    "version": "1",
    "flags": {"checkout": {"name": "New checkout"}, "search": {"name": "Search"}},
    "values": {
        "checkout": {"enabled": False},
        "search": {
            "_variants": [
                {"name": "beta", "enabled": False, "rule": "(eq $group 'beta')"},
                {"name": "default", "enabled": False},
            ]
        },
    },
}


def flag_experiment(name: str, target: Target, url: str, condition: Json, **changes: Any) -> Json:
    """Return an experiment on a flag of the application's own, `checkout` unless it says which."""
    document = experiment(name, target, url, **changes)
    del document["condition"]["configuration"]
    document["condition"] |= {"kind": "flag", "flag": "checkout"} | condition
    return document


def sample_experiment(name: str, application: Application, function: str, **changes: Any) -> Json:
    """Return an experiment on a function of the sample application, whose injector obeys."""
    outputs = application.outputs
    condition = {"function": outputs[f"{function}Function"], "propagation_seconds": 17}
    load = {"method": METHODS[function], "rate_per_second": 2, "warm_up_seconds": 2}
    return experiment(
        name,
        application.target(function),
        outputs[f"{function}Url"],
        condition=condition | changes.pop("condition", {}),
        load=load | changes.pop("load", {}),
        **changes,
    )


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def quick_target() -> Iterator[str]:
    """Serve a target that always answers at once and costs the embedded AWS nothing."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Clients:
    """Clients of a profile that take turns to answer requests, each as its configuration says.

    `seen` is how many of them were given the condition, each time that changed.
    """

    def __init__(self, gameday: Gameday, target: Target, count: int) -> None:
        self._data = gameday.client("appconfigdata")
        self._tokens = [
            self._data.start_configuration_session(
                ApplicationIdentifier=target.application,
                EnvironmentIdentifier=target.environment,
                ConfigurationProfileIdentifier=target.profile,
            )["InitialConfigurationToken"]
            for _ in range(count)
        ]
        self._configurations: list[Json] = [{} for _ in range(count)]
        self._turn = 0
        self.seen = [0]
        self.address = ""
        self.over = threading.Event()

    def poll(self) -> None:
        """Ask for each client's configuration again and again."""
        while not self.over.wait(0.5):
            for index, token in enumerate(self._tokens):
                answer = self._data.get_latest_configuration(ConfigurationToken=token)
                self._tokens[index] = answer["NextPollConfigurationToken"]
                if content := answer["Configuration"].read():
                    self._configurations[index] = json.loads(content)
            on = sum(map(_is_slow, self._configurations))
            if on != self.seen[-1]:
                self.seen.append(on)

    def obey(self) -> None:
        """Be as slow as the client whose turn it is."""
        self._turn = (self._turn + 1) % len(self._configurations)
        configuration = self._configurations[self._turn]
        if _is_slow(configuration):
            time.sleep(configuration["latency"]["min_latency"] / 1000)


def _is_slow(configuration: Json) -> bool:
    return bool(configuration.get("latency", {}).get("enabled"))


@contextmanager
def obedient_target(gameday: Gameday, target: Target) -> Iterator[Clients]:
    """Serve a target of twenty instances, each a client of the profile."""
    clients = Clients(gameday, target, 20)

    class Obedient(_Answers):
        def do_GET(self) -> None:
            clients.obey()
            super().do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), Obedient) as server:
        clients.address = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        threading.Thread(target=clients.poll, daemon=True).start()
        yield clients
        clients.over.set()
        server.shutdown()


@contextmanager
def guarded_target(token: str) -> Iterator[str]:
    """Serve a target that answers only to those whose header has the token."""

    class Guarded(_Answers):
        def do_GET(self) -> None:
            self.send_response(200 if self.headers["X-Token"] == token else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Guarded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@contextmanager
def flagged_target(is_on: Callable[[], bool], status: int) -> Iterator[str]:
    """Serve a target that obeys a flag, which it asks for twice a second: on, it has a status."""
    asked: dict[str, float] = {"at": 0, "on": False}

    class Flagged(_Answers):
        def do_GET(self) -> None:
            if time.monotonic() > asked["at"] + 0.5:
                asked.update(at=time.monotonic(), on=is_on())
            self.send_response(status if asked["on"] else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Flagged) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
