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
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import boto3
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.parsers import create_parser
from ministack.services import dynamodb
from tenacity import Retrying, stop_after_attempt, wait_fixed

from gameday import runs, steps
from gameday.conditions import appconfig, kind
from gameday.environment import Environment
from gameday.errors import ConfigurationChanged
from gameday.observability import logger
from gameday.runs import StopReason
from tests.house.project import FUNCTIONS, TEMPLATE
from tests.steps.fakes import ALARM, DOCUMENT, STARTED_AT, CloudWatch, table
from tests.unit.fakes import IN_PROGRESS, OFF, Deployment, FakeAppConfig

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
APPLICATION, PROFILE = "a1", "p2"
_BY_HAND = {"Error": "ABORTED", "Cause": "turned off by hand"}
_READS = ("get", "list", "describe", "query", "start_configuration_session", "starts", "sleeps")
_MACHINE = "arn:aws:states:us-east-1:000000000000:execution:machine:"
_RUNS = "runs"


class Died(BaseException):
    """Raised in a caller whose process dies; nothing of it reaches the outside any more."""


class Fate(StrEnum):
    """What becomes of an outside call."""

    HAPPENS = "happens"
    DIES_BEFORE = "the process dies before it"
    DIES_AFTER = "the process dies after it"
    REFUSED = "is refused"
    UNANSWERED = "happens, but its answer is lost"


class Broken(AssertionError):
    """Raised when something was left behind, or done that must never be done."""


class Caller:
    """One invocation of a function."""

    def __init__(
        self, world: World, name: str, work: Callable[[], Any], limit_seconds: float
    ) -> None:
        self.name, self.pending = name, "starts"
        self.wakes_at = world.now
        self.pending_since = world.now
        self.ends_at = world.now + limit_seconds
        self.over = self.died = False
        self.result: Any = None
        self.failure: Exception | None = None
        self.fate = Fate.HAPPENS
        self.sends: list[Send] = []
        self._world, self._work = world, work
        self._go = threading.Lock()
        self._go.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def writes(self) -> bool:
        """Whether it is about to change something."""
        operation = self.pending.rpartition(":")[2]
        return not operation.lower().startswith(_READS)

    @property
    def succeeded(self) -> bool:
        return self.over and not self.died and self.failure is None

    @property
    def error(self) -> dict[str, str]:
        """What Step Functions is told of it."""
        if self.failure is None:
            return {"Error": "Runtime.ExitError", "Cause": "the process died"}
        return {"Error": type(self.failure).__name__, "Cause": str(self.failure)}

    def _run(self) -> None:
        try:
            self._wait()
            self.result = self._work()
        except Died:
            self.died = True
        except Exception as failure:
            self.failure = failure
        self.over = True
        self._world.back.release()

    def go(self, fate: Fate) -> None:
        """Run until the next outside call; to be called by the world."""
        self.fate = fate
        self._go.release()
        self._world.back.acquire()

    def _wait(self) -> None:
        self._go.acquire()
        if self.fate is Fate.DIES_BEFORE:
            self.died = True
        if self.died:
            raise Died

    def outside(self, what: str, call: Callable[[], Any]) -> Any:
        """Do an outside call as the world decides."""
        self._hand_back(what, self._world.now)
        if self.fate is Fate.REFUSED:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, what)
        answer = call()
        if self.fate is Fate.DIES_AFTER:
            self.died = True
            raise Died
        if self.fate is Fate.UNANSWERED:
            raise ReadTimeoutError(endpoint_url=f"https://{what}")
        return answer

    def sleep(self, seconds: float) -> None:
        """Wait, in the world's time."""
        self._hand_back("sleeps", self._world.now + seconds)

    def _hand_back(self, pending: str, wakes_at: float) -> None:
        if self.died:  # a `finally` on the way out: no process, no call
            raise Died
        self.pending, self.pending_since, self.wakes_at = pending, self._world.now, wakes_at
        self._world.back.release()
        self._wait()


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


class Execution:
    """One execution of the state machine: calls the steps in their order, as its definition does.

    `waits` are how long it waits before the condition and under it, in seconds.
    """

    def __init__(
        self,
        world: World,
        run_id: str,
        environment: str = "e1",
        waits: tuple[float, float] = (1.0, 1.0),
        told: bool = True,
    ) -> None:
        condition = DOCUMENT["condition"] | {"environment": environment}
        self.world, self.run_id, self.arn = world, run_id, f"{_MACHINE}{run_id}"
        self.environment = environment
        self.document = DOCUMENT | {"condition": condition}
        self.waits, self.told = waits, told
        self.status, self.state = "RUNNING", "arm"
        self.failure: dict[str, str] | None = None
        self.output: Json | None = None
        self.work: Caller | None = None
        self.watch: Caller | None = None
        self._tokens = self._retries = 0
        self._answer: dict[str, str] | None = None
        self._ready_at = world.now

    # -- its states ---------------------------------------------------------------------------

    def react(self) -> None:
        """Go on as far as it can."""
        while self.status == "RUNNING" and getattr(self, f"_{self.state}")():
            pass

    def _enter(self, state: str, wait_seconds: float = 0) -> bool:
        self.state, self.work, self._retries = state, None, 0
        self._ready_at = self.world.now + wait_seconds
        return True

    def _done(self, step: str, *arguments: Any) -> bool:
        """Whether the work of a state is done: a call of its step, which is started if need be."""
        if self.work is None:
            if self.world.now >= self._ready_at:
                self.work = self.world.call(step, self.run_id, *arguments)
            return False
        return self.work.over

    def _arm(self) -> bool:
        if not self._done("arm_rollback", self.arn, self.document):
            return False
        assert self.work
        if not self.work.succeeded:
            return self.end("FAILED", self.work.error)
        self._watch_on()
        return self._enter("baseline", self.waits[0])

    def _watch_on(self) -> None:
        self._tokens += 1
        self._answer = None
        self.watch = self.world.call("watch_guardrails", self.run_id, self.token)

    @property
    def token(self) -> str:
        return f"{self.run_id}/{self._tokens}"

    def answer(self, token: str, answer: dict[str, str]) -> bool:
        """Answer the watch; False: there is none with this token any more."""
        standing = self.watch is not None and token == self.token and self.status == "RUNNING"
        if not standing or self._answer is not None:
            return False
        self._answer = answer
        return True

    def _watch_failed(self) -> bool:
        """Whether the watch ended the work, which nobody stops."""
        assert self.watch
        if self._answer and "error" in self._answer:
            self.failure = {"Error": self._answer["error"], "Cause": self._answer["cause"]}
        elif self.watch.over and not self.watch.succeeded:
            self.failure = self.watch.error
        else:
            return False
        self.watch = None
        return self._enter("disable")

    def _work_failed(self) -> bool:
        assert self.work
        if self.work.succeeded:
            return False
        self.failure, self.watch = self.work.error, None
        return self._enter("disable")

    def _baseline(self) -> bool:
        if self._watch_failed():
            return True
        return self.world.now >= self._ready_at and self._enter("enable")

    def _enable(self) -> bool:
        if self._watch_failed():
            return True
        if not self._done("enable_condition"):
            return False
        return self._work_failed() or self._enter("window", self.waits[1])

    def _window(self) -> bool:
        if self._watch_failed():
            return True
        return self.world.now >= self._ready_at and self._enter("stand_down")

    def _stand_down(self) -> bool:
        if self._watch_failed():
            return True
        if not self._done("stand_watch_down"):
            return False
        if self._work_failed():
            return True
        if self._answer is None:
            return False
        self.watch = None
        return self._enter("disable")

    def _disable(self) -> bool:
        if not self._done("disable_condition"):
            return False
        assert self.work
        if not self.work.succeeded:
            if not isinstance(self.work.failure, ConfigurationChanged) and self._again():
                return False
            self.failure = self.work.error
        return self._enter("publish")

    def _publish(self) -> bool:
        if not self._done("publish_verdict", self.failure):
            return False
        assert self.work
        if not self.work.succeeded:
            return False if self._again() else self.end("FAILED", self.work.error)
        self.output = self.work.result
        assert self.output
        self.state = "over"
        if self.output["status"] == "ERROR":
            return self.end("FAILED", {"Error": "NoVerdict", "Cause": self.output["reason"]})
        return self.end("SUCCEEDED", {})

    def _over(self) -> bool:
        return False

    def _again(self) -> bool:
        """Retry the work of a state, as `Retry` of States.ALL says."""
        if self._retries == 6:
            return False
        self.work = None
        self._ready_at = self.world.now + min(2.0 * 2**self._retries, 30)
        self._retries += 1
        return True

    # -- what is done to it ---------------------------------------------------------------------

    def give_up(self) -> bool:
        """Lose the answer of its work, which goes on, and call the step again."""
        if self.status != "RUNNING" or self.work is None or self.work.over or self._retries == 4:
            return False
        self.work = None
        self._ready_at = self.world.now + 1
        self._retries += 1
        self.world.note(f"Step Functions loses the answer to {self.state} of {self.run_id}")
        return True

    def stop(self, status: str) -> bool:
        """End it from outside."""
        if self.status != "RUNNING":
            return False
        self.world.note(f"{self.run_id} is {status}")
        self.end(status, {"Error": "Stopped", "Cause": "by a person"})
        return True

    def end(self, status: str, error: dict[str, str]) -> bool:
        """End it; what it called goes on."""
        self.status = status
        if status != "SUCCEEDED" and self.told:
            detail = {"name": self.run_id, "status": status, "executionArn": self.arn}
            detail |= {name.lower(): text for name, text in error.items()}
            self.world.deliver({"source": "aws.states", "detail": detail})
        return False

    def redrive(self) -> bool:
        """Enter what it ended in once more."""
        if self.status in ("RUNNING", "SUCCEEDED") or self.state == "over":
            return False
        self.world.note(f"{self.run_id} is redriven at {self.state}")
        self.status = "RUNNING"
        self._enter(self.state)
        if self.watch:
            self._watch_on()
        return True

    @property
    def timer(self) -> float | None:
        """When it goes on by itself."""
        waits = self.status == "RUNNING" and self.work is None and self.state != "over"
        return self._ready_at if waits else None


class World:
    """The services, what runs on them, and the decisions about both."""

    def __init__(self) -> None:
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
        self.switch = _Switch(self)
        self.switch.states_of_next = ["DEPLOYING", "BAKING"]
        self.switch.states_of_stop = ["ROLLING_BACK", "ROLLED_BACK"]
        for environment in self.switch.environments:
            self.deploy(environment, RESTING)
        self.alarms = CloudWatch()
        self.table = table()
        self.environment = self._environment()

    def _environment(self) -> Environment:
        clients = {
            "appconfig": self.switch,
            "appconfigdata": self.switch,
            "cloudwatch": self.alarms,
            "events": _Events(self),
            "sns": _Topic(self),
            "scheduler": _Scheduler(self),
            "stepfunctions": _StepFunctions(self),
        }
        session = SimpleNamespace(
            client=lambda name, **_: _Outside(self, name, clients[name]),
            resource=lambda *_, **__: SimpleNamespace(Table=lambda _: self.table),
        )
        variables = {
            name: name.lower()
            for name in TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
        } | {"MOST_PERCENTAGE": "100", "MOST_LATENCY_MILLISECONDS": "900000"}
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
        """What is on is locked by its run."""
        lock = self.lock(environment)
        holder = lock and lock["run_id"]["S"]
        for deployment in deployments:
            on = ours(deployment) and deployment.state not in OFF
            if on and deployment.description != f"gameday run {holder}":
                self.violations.append(f"{deployment.description!r} is on, held by {holder}")

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

    def execute(self, run_id: str, **how: Any) -> Execution:
        """Start a run."""
        execution = self.executions[run_id] = Execution(self, run_id, **how)
        execution.react()
        return execution

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

    def deploy(self, environment: str, content: bytes, profile: str = PROFILE) -> bool:
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

    def pass_time(self) -> bool:
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
        if calling and until > min(calling) + LONGEST_CALL_SECONDS:
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


def ours(deployment: Deployment) -> bool:
    return deployment.description.startswith("gameday run ")


def _title(event: Json) -> str:
    return str(event.get("reason") or event["detail"].get("status") or "ALARM")


# -- services -----------------------------------------------------------------------------------


class _Switch(FakeAppConfig):
    """AppConfig, which sees that nobody of ours does what they must not."""

    def __init__(self, world: World) -> None:
        super().__init__(resting=None)
        self._world = world

    def stop_deployment(self, **asked: Any) -> Json:
        deployment = self._deployment(asked["EnvironmentId"], asked["DeploymentNumber"])
        if self._world.running and not ours(deployment):
            self._world.violations.append(f"{deployment} of somebody else was stopped")
        return super().stop_deployment(**asked)


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


class _Events:
    """The bus; it refuses no entry."""

    class exceptions:
        ResourceNotFoundException = type("ResourceNotFoundException", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def describe_event_bus(self, Name: str) -> None:
        """It is there."""

    def put_events(self, Entries: list[Json]) -> Json:
        for entry in Entries:
            self._world.sent("bus", json.loads(entry["Detail"]))
        return {"FailedEntryCount": 0}


class _Topic:
    """The topic of the verdicts for people."""

    class exceptions:
        NotFoundException = type("NotFoundException", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def get_topic_attributes(self, TopicArn: str) -> None:
        """It is there."""

    def publish(self, Message: str, **_: Any) -> None:
        run_id = next(id_ for id_ in self._world.executions if f"run {id_}, " in Message)
        self._world.sent("topic", {"run": run_id, "message": Message})


class _Scheduler:
    """The one-time schedules, by their runs."""

    class exceptions:
        ConflictException = type("ConflictException", (Exception,), {})
        ResourceNotFoundException = type("ResourceNotFoundException", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def create_schedule(self, **asked: Any) -> None:
        expression, event = asked["ScheduleExpression"], json.loads(asked["Target"]["Input"])
        if event["run_id"] in self._world.schedules:
            raise self.exceptions.ConflictException
        moment = datetime.strptime(expression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        self._world.schedules[event["run_id"]] = {
            "name": asked["Name"],
            "at": moment.timestamp(),
            "input": event,
        }

    def delete_schedule(self, Name: str, **_: Any) -> None:
        for run_id, schedule in self._world.schedules.items():
            if schedule["name"] == Name:
                del self._world.schedules[run_id]
                return
        raise self.exceptions.ResourceNotFoundException


class _StepFunctions:
    """The executions, and the answers to their watches."""

    class exceptions:
        TaskTimedOut = type("TaskTimedOut", (Exception,), {})
        TaskDoesNotExist = type("TaskDoesNotExist", (Exception,), {})
        InvalidToken = type("InvalidToken", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def describe_execution(self, executionArn: str) -> Json:
        run_id = executionArn.removeprefix(_MACHINE)
        status = self._world.executions[run_id].status
        return {"executionArn": executionArn, "name": run_id, "status": status}

    def stop_execution(self, executionArn: str, error: str, cause: str) -> None:
        execution = self._world.executions[executionArn.removeprefix(_MACHINE)]
        if execution.status == "RUNNING":
            execution.end("ABORTED", {"Error": error, "Cause": cause})

    def send_task_success(self, taskToken: str, output: str) -> None:
        self._answer(taskToken, {"output": output})

    def send_task_failure(self, taskToken: str, error: str, cause: str) -> None:
        self._answer(taskToken, {"error": error, "cause": cause})

    def _answer(self, token: str, answer: dict[str, str]) -> None:
        execution = self._world.executions[token.partition("/")[0]]
        if not execution.answer(token, answer):
            raise self.exceptions.TaskTimedOut


# -- the world as the modules see it --------------------------------------------------------------

_current: World | None = None
_parser = create_parser("json")


def _gate(model: Any, params: Json, **_: Any) -> Any:
    """Let a call of DynamoDB be an outside call; None: nobody decides about it."""
    if _current is None or _current.running is None:
        return None
    return _current.outside("dynamodb", model.name, partial(_dynamodb, model, params))


def _dynamodb(model: Any, params: Json) -> Any:
    headers = {"x-amz-target": params["headers"]["X-Amz-Target"]}
    coroutine = dynamodb.handle_request("POST", "/", headers, params["body"], {})
    try:
        coroutine.send(None)  # it awaits nothing, so it needs no event loop
    except StopIteration as done:
        status, answered, body = done.value
    response = {"status_code": status, "headers": answered, "body": body}
    return SimpleNamespace(status_code=status), _parser.parse(response, model.output_shape)


@contextmanager
def a_world() -> Iterator[World]:
    """A world of its own; at its end every caller is dead."""
    global _current
    world = World()
    events = world.table.meta.client.meta.events
    events.register_first("before-call.dynamodb", _gate, unique_id="world")
    level = logger.log_level
    with ExitStack() as patches:
        for module in (steps, runs, kind):
            patches.enter_context(patch.object(module, "time", world))
        logger.setLevel("CRITICAL")
        _current = world
        try:
            yield world
        finally:
            world.end()
            _current = None
            logger.setLevel(level)
