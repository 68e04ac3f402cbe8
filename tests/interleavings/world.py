"""A world in which anything may happen at every call to an outside service.

The steps are the real ones, with the real Environment, the real record of runs on the embedded
AWS's DynamoDB, and the real AppConfig condition on a model of AppConfig. Each Lambda invocation is
a thread that hands a baton back before every outside call: one runs at a time, the clock is the
world's, and whoever holds the world decides who goes next and what becomes of the call. So the same
decisions are the same history.

What the world takes from AWS: a function that dies runs no `finally`; Step Functions does not stop
what it has given up, and may call it again meanwhile; an asynchronous invocation is tried three
times, then it is a dead letter; a state change of an execution may be lost, one of an alarm may
not; everything may come twice. No outside call takes longer than LONGEST_CALL_SECONDS, so that a
claim and what was claimed are over in less than CLAIM_SECONDS, and no invocation takes longer than
its function's timeout.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from ministack.services import dynamodb
from tenacity import Retrying, stop_after_attempt, wait_fixed

from gameday import runs, steps
from gameday.conditions import appconfig, kind
from gameday.environment import Environment
from gameday.experiment import Phase
from gameday.observability import logger
from gameday.runs import StopReason
from tests.house.project import FUNCTIONS, TEMPLATE
from tests.interleavings.caller import Caller, Fate
from tests.interleavings.execution import Execution
from tests.interleavings.services import (
    Events,
    Scheduler,
    StepFunctions,
    Switch,
    Topic,
    ours,
    run_of,
)
from tests.steps.fakes import ALARM, STARTED_AT, CloudWatch, table
from tests.unit.fakes import IN_PROGRESS, OFF, Deployment

type Json = dict[str, Any]

LONGEST_CALL_SECONDS = 25.0
LONG_OUTAGE_SECONDS = 2000.0
"""An outage that no retry outlives."""
_CALL_SECONDS = 0.01
_CALLS_LIMIT = 3000
_ATTEMPTS = 3
"""Of an asynchronous invocation: the first and Lambda's two retries."""

RESTING = b'{"latency": {"enabled": false}}'
THEIRS = b'{"latency": {"enabled": false}, "release": 2}'
FLAGS = b'{"flags": {"checkout": {}}, "values": {"checkout": {"enabled": false}}}'
THEIR_FLAGS = (
    b'{"flags": {"checkout": {}}, "values": {"checkout": {"enabled": false, "release": 2}}}'
)
APPLICATION, PROFILE, FLAGS_PROFILE = "a1", "p2", "p3"
_FLAGS = {
    "Id": FLAGS_PROFILE,
    "Name": "flags",
    "Type": "AWS.AppConfig.FeatureFlags",
    "LocationUri": "hosted",
}
_BY_HAND = {"Error": "ABORTED", "Cause": "turned off by hand"}
_RUNS = "runs"


class Broken(AssertionError):
    """Raised when something was left behind, or done that must never be done."""


@dataclass
class Send:
    """One sending of a verdict, and whether the record tells of it.

    Only one that the sender could not note, because it died or was refused just then, may be
    followed by another.
    """

    run_id: str
    what: str
    event: Json
    noted: bool = False
    excused: bool = False


@dataclass
class Delivery:
    """An event on its way to the undo, by an asynchronous invocation."""

    event: Json
    ready_at: float
    attempts: int = 0
    caller: Caller | None = None


_MANNERS = {
    "MOST_PERCENTAGE": "100",
    "MOST_LATENCY_MILLISECONDS": "900000",
    "MOST_REQUESTS_PER_SECOND": "200",
    "MOST_REQUESTS": "1000000",
    "LOAD_TARGETS": "shop.example",
    "LOAD_FUNCTIONS": "",
    "SECRET_PARAMETERS": "",
    "SECRET_NAMES": "",
}


class World:
    """The services, what runs on them, and the decisions about both.

    `staying`: the condition of its runs is a flag that stays where they PASSED, as they do when
    nothing happens.
    """

    def __init__(self, staying: bool = False) -> None:
        self.staying = staying
        self.profile = FLAGS_PROFILE if staying else PROFILE
        self.theirs = THEIR_FLAGS if staying else THEIRS
        self.now = float(STARTED_AT)
        self.back = threading.Lock()
        self.back.acquire()
        self.running: Caller | None = None
        self.callers: list[Caller] = []
        self.executions: dict[str, Execution] = {}
        self.deliveries: list[Delivery] = []
        self.dead_letters: list[Json] = []
        self.schedules: dict[str, Json] = {}
        self.sends: list[Send] = []
        self.out: dict[str, float] = {}
        """Until when services refuse every call."""
        self.history: list[str] = []
        self.faults = 0
        self.reasons: dict[str, str] = {}
        self.calls = 0
        self.violations: list[str] = []
        self.stopped_by_hand: set[str] = set()
        """The descriptions of the deployments that a person stopped."""
        self.switch = Switch(self)
        self.switch.states_of_next = ["DEPLOYING", "BAKING"]
        self.switch.states_of_stop = ["ROLLING_BACK", "ROLLED_BACK"]
        self.switch.names["list_configuration_profiles"].append(_FLAGS)
        for environment in self.switch.environments:
            self.deploy(environment, FLAGS if staying else RESTING, self.profile)
        self.alarms = CloudWatch()
        self.alarms.loaded(Phase.BASELINE, 120)
        self.alarms.loaded(Phase.CONDITION, 350)
        self.alarms.invoked(300)
        self.table = table()
        self.environment = self._environment()

    def _environment(self) -> Environment:
        clients = {
            "appconfig": self.switch,
            "appconfigdata": self.switch,
            "cloudwatch": self.alarms,
            "events": Events(self),
            "sns": Topic(self),
            "scheduler": Scheduler(self),
            "stepfunctions": StepFunctions(self),
        }
        session = SimpleNamespace(
            client=lambda name, **_: _Outside(self, name, clients[name]),
            resource=lambda *_, **__: SimpleNamespace(Table=lambda _: self.table),
        )
        variables = {
            name: name.lower()
            for name in TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
        } | _MANNERS
        environment = Environment(variables, cast(boto3.Session, session))
        environment.retrying = Retrying(
            stop=stop_after_attempt(2), wait=wait_fixed(10), sleep=self.sleep, reraise=True
        )
        return environment

    # -- the clock, as a module ------------------------------------------------------------------

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        if self.running:
            self.running.sleep(seconds)
        else:
            self.now += seconds

    # -- the outside --------------------------------------------------------------------------

    def outside(self, service: str, operation: str, call: Callable[[], Any]) -> Any:
        """Do a call: at once if a test makes it, as decided if a caller does."""
        caller = self.running
        if caller is None:
            return call()
        return caller.outside(f"{service}:{operation}", partial(self._effect, caller, call))

    def _effect(self, caller: Caller, call: Callable[[], Any]) -> Any:
        known = self._sent()
        answer = call()
        self._check(caller, known)
        return answer

    def _sent(self) -> set[tuple[str, str]]:
        """Which verdicts are noted as sent, by run."""
        return {
            (str(item["run_id"]["S"]), name.removeprefix("sent_"))
            for (_, sk), item in self.items().items()
            if sk == "run" and "run_id" in item
            for name in item
            if name.startswith("sent_")
        }

    def items(self) -> dict[tuple[str, str], Json]:
        """Every item of the table of runs."""
        found = dynamodb._tables.get(_RUNS)["items"]
        return {(pk, sk): item for pk, rows in found.items() for sk, item in rows.items()}

    def record(self, run_id: str) -> Json:
        """The record of a run, each attribute as its plain value; empty where it never armed."""
        item = self.items().get((f"run#{run_id}", "run"), {})
        found = {name: next(iter(value.values())) for name, value in item.items()}
        return found if "experiment" in found else {}

    def lock(self, environment: str) -> Json | None:
        return self.items().get((f"lock#appconfig/{APPLICATION}/{environment}", "lock"))

    def _check(self, caller: Caller, known: set[tuple[str, str]]) -> None:
        """See what must hold at every moment, after a call has had its effect."""
        for run_id, what in self._sent() - known:
            mine = [s for s in caller.sends if (s.run_id, s.what) == (run_id, what)]
            if mine:
                mine[-1].noted = True
        for (pk, sk), item in self.items().items():
            if sk == "run" and "experiment" in item and "stop_reason" in item:
                reason = str(item["stop_reason"]["S"])
                if self.reasons.setdefault(pk, reason) != reason:
                    self.violations.append(f"{pk}: first {self.reasons[pk]}, now {reason}")
            if sk == "lock":
                self._check_lock(str(item["run_id"]["S"]))
        for environment, deployments in self.switch.environments.items():
            self._check_deployments(environment, deployments)

    def _check_lock(self, run_id: str) -> None:
        """A lock that nobody will free must never be there."""
        coming = [d.event for d in self.deliveries] + self.dead_letters
        if run_id in self.schedules or any(e.get("run_id") == run_id for e in coming):
            return
        self.violations.append(f"{run_id} holds a lock and has no deadline")

    def _check_deployments(self, environment: str, deployments: list[Deployment]) -> None:
        """What is on is locked by its run, or stays by its verdict."""
        lock = self.lock(environment)
        holder = lock and lock["run_id"]["S"]
        for deployment in deployments:
            on = ours(deployment) and deployment.state not in OFF
            if on and run_of(deployment) != holder and not self.stays(deployment):
                self.violations.append(f"{deployment.description!r} is on, held by {holder}")

    def stays(self, deployment: Deployment) -> bool:
        """Whether the record of its run says that it stays; then the verdict is PASSED."""
        record = self.record(run_of(deployment)) if ours(deployment) else {}
        if "stays" not in record:
            return False
        verdict = json.loads(record["fact_verdict"])
        assert verdict["verdict"] == "PASSED"
        assert verdict["condition"]["stays_on"]["deployment"] == deployment.number
        return True

    def sent(self, what: str, event: Json) -> None:
        """Take a verdict."""
        send = Send(event["run"], what, event)
        self.sends.append(send)
        if self.running:
            self.running.sends.append(send)
            send.excused = self.running.fate in (Fate.DIES_AFTER, Fate.UNANSWERED)

    def deliver(self, event: Json, after_seconds: float = 0) -> None:
        """Put an event on its way to the undo."""
        self.deliveries.append(Delivery(event, self.now + after_seconds))

    # -- decisions ------------------------------------------------------------------------------

    def execute(self, run_id: str, *where: Any, **how: Any) -> Execution:
        """Start a run; one of the same name is the same run."""
        if run_id not in self.executions:
            self.executions[run_id] = Execution(self, run_id, *where, **how)
            self.executions[run_id].react()
        return self.executions[run_id]

    def call(self, step: str, *arguments: Any) -> Caller:
        """Invoke the function of a step; or let a person end a run, by `end_run`."""
        function = FUNCTIONS.get(f"{step.title().replace('_', '')}Function", {})
        work = partial(getattr(steps, step), self.environment, *arguments)
        subject = arguments[0] if isinstance(arguments[0], str) else _title(arguments[0])
        name = f"{step}({subject}) #{len(self.callers) + 1}"
        caller = Caller(self, name, work, function.get("Timeout", 60))
        self.callers.append(caller)
        self.history.append(f"{self._clock()} {name} begins")
        return caller

    def _clock(self) -> str:
        return f"{self.now - STARTED_AT:8.2f} s"

    @property
    def ready(self) -> list[Caller]:
        """The callers that may go on now."""
        return [c for c in self.callers if not c.over and c.wakes_at <= self.now]

    def move(self, caller: Caller, fate: Fate = Fate.HAPPENS) -> None:
        """Let a caller do what it is about to do, and what follows until its next outside call."""
        self.calls += 1
        if self.calls > _CALLS_LIMIT:
            raise Broken("it never ends")
        self.now += _CALL_SECONDS
        if self.now > caller.ends_at:
            fate = Fate.DIES_BEFORE  # its time is over
        elif caller.pending in ("sleeps", "starts") and fate is not Fate.DIES_BEFORE:
            fate = Fate.HAPPENS
        elif self.out.get(caller.pending.partition(":")[0], 0) > self.now:
            fate = Fate.REFUSED
        if fate is not Fate.HAPPENS:
            self.faults += 1
            self._excuse(caller, fate)
        what = "" if fate is Fate.HAPPENS else f": {fate}"
        self.history.append(f"{self._clock()} {caller.name} {caller.pending}{what}")
        self.running = caller
        caller.go(fate)
        self.running = None
        if self.violations:
            raise Broken(self.violations[0])
        if caller.over:
            end = "dies" if caller.died else f"ends: {caller.failure!r}"
            self.history.append(f"{self._clock()} {caller.name} {end}")
            self._after(caller)
        self._react()

    def _excuse(self, caller: Caller, fate: Fate) -> None:
        # The call after a sending is the note of it.
        if caller.sends and fate in (Fate.DIES_BEFORE, Fate.REFUSED):
            caller.sends[-1].excused = True

    def _after(self, caller: Caller) -> None:
        """Retry an asynchronous invocation that failed."""
        for delivery in [d for d in self.deliveries if d.caller is caller]:
            if caller.succeeded:
                self.deliveries.remove(delivery)
            elif delivery.attempts == _ATTEMPTS:
                self.deliveries.remove(delivery)
                self.dead_letters.append(delivery.event)
                self.note(f"dead letter: {_title(delivery.event)}")
            else:
                delivery.caller, delivery.ready_at = None, self.now + 60 * delivery.attempts

    @property
    def dead_letters_of(self) -> set[str]:
        """The runs of which the dead letters tell; an alarm may concern each."""
        named = {event.get("run_id") or event["detail"].get("name") for event in self.dead_letters}
        return set(self.executions) if None in named else named

    @property
    def may_exhaust_retries(self) -> bool:
        """Whether there was so much trouble that an event may have been given up."""
        return self.faults >= _ATTEMPTS

    @property
    def due(self) -> list[Delivery]:
        """The events that may arrive now."""
        return [d for d in self.deliveries if d.caller is None and d.ready_at <= self.now]

    def arrive(self, delivery: Delivery) -> Caller:
        """Let an event arrive at the undo."""
        delivery.attempts += 1
        delivery.caller = self.call("roll_back", delivery.event)
        return delivery.caller

    def again(self) -> bool:
        """Deliver the last event once more."""
        if not self.deliveries:
            return False
        self.deliver(self.deliveries[-1].event)
        return True

    def ring(self) -> bool:
        """Let the alarm ring, for a moment."""
        moment = datetime.fromtimestamp(self.now, UTC).isoformat(timespec="milliseconds")
        state = {"value": "ALARM", "reason": "3", "timestamp": moment.replace("+00:00", "+0000")}
        detail = {"alarmName": "errors", "state": state}
        self.note("the alarm rings")
        self.deliver({"source": "aws.cloudwatch", "resources": [ALARM], "detail": detail})
        return True

    def deploy(self, environment: str, content: bytes, profile: str) -> bool:
        """Deploy as somebody else does; AppConfig refuses it while a deployment is in progress."""
        if any(d.state in IN_PROGRESS for d in self.switch.environments[environment]):
            return False
        self.note(f"somebody deploys to {environment}, profile {profile}")
        self.switch.deploy(content, profile=profile, environment=environment)
        return True

    def stop_deployment(self, environment: str) -> bool:
        """Stop the deployment that is in progress, as a person does."""
        newest = self.switch.environments[environment][-1]
        if newest.state not in IN_PROGRESS - {"ROLLING_BACK"}:
            return False
        self.note(f"a person stops deployment {newest.number} to {environment}")
        self.switch.stop_deployment(
            EnvironmentId=environment, DeploymentNumber=newest.number, AllowRevert=True
        )
        self.stopped_by_hand.add(newest.description)
        return True

    def fail(self, service: str, seconds: float) -> bool:
        """Let a service refuse every call for a while."""
        self.note(f"{service} is out of order for {seconds:g} s")
        self.out[service] = self.now + seconds
        return True

    def note(self, what: str) -> None:
        """Tell the history of what no caller did."""
        self.history.append(f"{self._clock()} {what}")

    def pass_time(self, limit: float = math.inf) -> bool:
        """Let time pass until something is due, but no longer than a call may take."""
        moments = [c.wakes_at for c in self.callers if not c.over]
        moments += [d.ready_at for d in self.deliveries if d.caller is None]
        moments += [e.timer for e in self.executions.values() if e.timer is not None]
        moments += [schedule["at"] for schedule in self.schedules.values()]
        # By then who is in a call has its answer, and who sends an event has sent it.
        calling = [c.pending_since for c in self.ready if c.pending != "sleeps"]
        calling += [d.ready_at for d in self.due]
        later = [moment for moment in moments if moment > self.now]
        if not later:
            return False
        until = min(later)
        if until > min([limit, *(since + LONGEST_CALL_SECONDS for since in calling)]):
            return False
        self.now = until
        self._fire()
        self._react()
        return True

    def _fire(self) -> None:
        for run_id, schedule in list(self.schedules.items()):
            if schedule["at"] <= self.now:
                self.note(f"the deadline of {run_id} comes")
                del self.schedules[run_id]  # ActionAfterCompletion
                self.deliver(schedule["input"])

    def _react(self) -> None:
        for execution in self.executions.values():
            execution.react()

    def until(self, state: str, execution: Execution) -> None:
        """Let an execution come to a state, alone; or to where something else happens first."""
        while not self.due and (execution.state != state or execution.timer is not None):
            if ready := [c for c in self.ready if c in (execution.watch, execution.work)]:
                self.move(ready[0])
            elif not self.pass_time():
                return

    def before(self, caller: Caller, what: str) -> None:
        """Let a caller go on until it is about to make a call."""
        while not caller.pending.endswith(what):
            assert not caller.over, f"it never calls {what}"
            self.finish(caller, calls=1)

    def finish(self, caller: Caller, calls: int = _CALLS_LIMIT) -> None:
        """Let a caller go on, to its end or for so many calls."""
        for _ in range(calls):
            if caller.over:
                return
            self.now = max(self.now, caller.wakes_at)
            self.move(caller)

    def settle(self) -> None:
        """Let everything come to its end, without another fault."""
        while True:
            for delivery in self.due:
                self.arrive(delivery)
            if ready := self.ready:
                self.move(ready[0])
            elif not self.pass_time():
                break
        for deployments in self.switch.environments.values():
            for deployment in deployments:
                if deployment.coming:
                    deployment.state = deployment.coming[-1]

    def by_hand(self) -> None:
        """Do what a person does whom the alarm on the dead letters calls."""
        self.now = max([self.now, *self.out.values()])
        switch = appconfig.AppConfig(
            cast(Any, self.environment)._client("appconfig"),
            cast(Any, self.environment)._client("appconfigdata"),
            strategy_id="",
        )
        for standing in list(switch.standing(APPLICATION)):
            self.finish(self.call("end_run", standing.run_id, StopReason.ABORTED, _BY_HAND))
        self.settle()

    def end(self) -> None:
        """End every caller."""
        for caller in self.callers:
            while not caller.over:
                self.running = caller
                caller.go(Fate.DIES_BEFORE)


def _title(event: Json) -> str:
    return str(event.get("reason") or event["detail"].get("status") or "ALARM")


class _Outside:
    """A client of which each call is an outside call."""

    def __init__(self, world: World, service: str, client: Any) -> None:
        self._world, self._service, self._client = world, service, client
        self.exceptions = getattr(client, "exceptions", None)

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self._world.outside(
            self._service, name, lambda: getattr(self._client, name)(**arguments)
        )

    def get_paginator(self, operation: str) -> Any:
        """All pages are one call here."""

        def paginate(**arguments: Any) -> Iterator[Json]:
            pages: list[Json] = self._world.outside(
                self._service,
                operation,
                lambda: list(self._client.get_paginator(operation).paginate(**arguments)),
            )
            yield from pages

        return SimpleNamespace(paginate=paginate)


# -- the world as the modules see it --------------------------------------------------------------

_typed, _plain = TypeSerializer().serialize, TypeDeserializer().deserialize


def _serialized(arguments: Json) -> Json:
    """The arguments of a call as DynamoDB takes them."""
    found = dict(arguments)
    for name in {"Key", "Item", "ExpressionAttributeValues"} & found.keys():
        found[name] = {key: _typed(value) for key, value in found[name].items()}
    if "TransactItems" in found:
        found["TransactItems"] = [{"Put": _serialized(i["Put"])} for i in found["TransactItems"]]
    return found


def _deserialized(answer: Json) -> Json:
    found = dict(answer)
    for name in {"Item", "Attributes"} & found.keys():
        found[name] = {key: _plain(value) for key, value in found[name].items()}
    if "Items" in found:
        found["Items"] = [_deserialized({"Item": item})["Item"] for item in found["Items"]]
    return found


def _dynamodb(client: Any, operation: str, arguments: Json) -> Json:
    """Let the embedded AWS's DynamoDB do a call, without what botocore does for the network."""
    headers = {"x-amz-target": f"DynamoDB_20120810.{operation}"}
    body = json.dumps(_serialized(arguments)).encode()
    coroutine = dynamodb.handle_request("POST", "/", headers, body, {})
    try:
        coroutine.send(None)  # it awaits nothing, so it needs no event loop
    except StopIteration as done:
        status, _, content = done.value
    answer = json.loads(content)
    if status == 200:
        return _deserialized(answer)
    code = answer["__type"].rpartition("#")[2]
    error = {"Error": {"Code": code, "Message": answer.get("message", "")}}
    raise client.exceptions.from_code(code)(error, operation)


@contextmanager
def a_world(staying: bool = False) -> Iterator[World]:
    """A world of its own; at its end every caller is dead."""
    world = World(staying)
    client, level = world.table.meta.client, logger.log_level

    def call(operation: str, arguments: Json) -> Any:
        return world.outside("dynamodb", operation, lambda: _dynamodb(client, operation, arguments))

    with ExitStack() as patches:
        for module in (steps, runs, kind):
            patches.enter_context(patch.object(module, "time", world))
        patches.enter_context(patch.object(client, "_make_api_call", call))
        logger.setLevel("CRITICAL")
        try:
            yield world
        finally:
            world.end()
            logger.setLevel(level)
