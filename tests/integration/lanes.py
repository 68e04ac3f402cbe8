"""Lanes: copies of Gameday's stack in which runs die, one at a time, and what each leaves behind.

A copy differs from the deployed stack in one thing: around each handler is kill_point.py.
"""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cli.embedded.aws import HOST, EmbeddedAws
from gameday.scale import Form
from tests.house.project import FUNCTIONS, TEMPLATE, of_type
from tests.integration.kill_points import (
    AWAITING,
    BREAKING,
    FROM_OUTSIDE,
    HELD_WITH,
    LOADS,
    ONCE,
    PLANNING,
    ROLL_BACK,
    SENDING,
    SETTLING,
    Cell,
    Death,
    invocation,
    loads_before,
    middle,
    task_before,
    waiting_points,
)
from tests.integration.runs import (
    FLAGS,
    TWO_WORKERS,
    Execution,
    Gameday,
    Json,
    Mailbox,
    Target,
    eventually,
    experiment,
    flag_experiment,
    observe,
    unique,
)

LONG_SECONDS = 600
"""A window that no cell lives to see the end of."""

_LIMIT_SECONDS = 300.0
_POLL_SECONDS = 0.2
_QUIET_SECONDS = 1.5
_LOOK_SECONDS = 1.0
_UNDO_SECONDS = 5.0
_FUNCTION_SECONDS = 1
_ROLL_BACK_SECONDS = 20
_ACTS = {
    Death.RAISES: "raise",
    Death.TIMES_OUT: "hang",
    Death.ANSWER_LOST: "lose",
    Death.KILLED: "kill",
}
_NOTHING = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"},
}


@dataclass(frozen=True)
class Seen:
    """One cell: a run that died, how long its condition outlived it, and what it left behind."""

    cell: Cell
    execution: Execution
    took: str
    left: tuple[str, ...]
    verdicts: int
    story: str

    def __str__(self) -> str:
        return ", ".join([self.took, *(f"**{problem}**" for problem in self.left)])


# -- the target of the load -------------------------------------------------------------------


class CountingTarget:
    """A target that answers at once and counts what arrives, for each path."""

    def __init__(self, port: int, arrivals: Counter[str]) -> None:
        self._port, self._arrivals = port, arrivals

    def url(self, run_id: str) -> str:
        return f"http://127.0.0.1:{self._port}/{run_id}"

    def arrivals(self, run_id: str) -> int:
        return self._arrivals[f"/{run_id}"]


@contextmanager
def counting_target() -> Iterator[CountingTarget]:
    """Serve a target."""
    arrivals: Counter[str] = Counter()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            arrivals[self.path] += 1
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield CountingTarget(server.server_port, arrivals)
        server.shutdown()


# -- a copy of the stack ----------------------------------------------------------------------


def _copied_template(template: Json, layer: str, folder: Path) -> Json:
    """Put kill_point.py around the handler of each function of a deployed template."""
    resources = {}
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Function":
            own = resource["Properties"]
            variables = own["Environment"]["Variables"] | {
                "KILL_POINT_FOLDER": str(folder),
                "KILL_POINT_FUNCTION": name,
                "KILL_POINT_HANDLER": own["Handler"],
            }
            changed = {
                "Handler": "kill_point.handler",
                "Layers": [*own.get("Layers", ()), layer],
                "Environment": {"Variables": variables},
            }
            resource = resource | {"Properties": own | changed}
        resources[name] = resource
    return template | {"Resources": resources}


def _layer(aws: EmbeddedAws) -> str:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.write(Path(__file__).with_name("kill_point.py"), "python/kill_point.py")
    published = aws.client("lambda").publish_layer_version(
        LayerName="kill-point", Content={"ZipFile": content.getvalue()}
    )
    return str(published["LayerVersionArn"])


def _uploaded(aws: EmbeddedAws, name: str, content: str) -> str:
    """Keep a template where CloudFormation takes more than 51,200 bytes from; its address."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="lanes")
    s3.put_object(Bucket="lanes", Key=name, Body=content.encode())
    return f"https://s3.amazonaws.com/lanes/{name}"


@dataclass(frozen=True)
class Lane:
    """One copy of the stack with its own AppConfig application; runs die in it one by one."""

    gameday: Gameday
    folder: Path
    load: CountingTarget

    @classmethod
    def make(cls, stacks: Gameday, name: str, folder: Path, load: CountingTarget) -> Lane:
        """Copy the deployed stack, without building it again."""
        aws = stacks.aws
        application = aws.client("appconfig").create_application(Name=name)["Id"]
        cloudformation = aws.client("cloudformation")
        template = cloudformation.get_template(StackName=stacks.stack)["TemplateBody"]
        copied = _copied_template(template, _layer(aws), folder)
        cloudformation.create_stack(
            StackName=name,
            TemplateURL=_uploaded(aws, f"{name}.json", json.dumps(copied)),
            Parameters=[
                {"ParameterKey": "TargetApplications", "ParameterValue": application},
                {"ParameterKey": "LoadTargets", "ParameterValue": HOST},
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        copy = replace(stacks, stack=name, own_application=application)
        observed = observe(aws, copy.outputs["VerdictBusName"], f"{name}-verdicts")
        return cls(replace(copy, verdicts=Mailbox(aws, observed)), folder, load)

    def run(self, cell: Cell) -> Seen:
        """Let one run die as the cell says, wait until all is quiet, and look."""
        # Until its timeout, for each load: see TooEarly. Several workers begin later.
        for machine_seconds in (20, 40, 80, 160)[cell.form is not Form.ONE :]:
            run = _Run(self, cell, self._target(cell), unique("run"), machine_seconds)
            try:
                run.happen()
                return run.seen()
            except TooEarly:
                continue
            finally:
                run.lift()
        raise TooEarly(str(cell))

    def _target(self, cell: Cell) -> Target:
        if cell.row == SETTLING:
            return self.gameday.target(FLAGS, kind="AWS.AppConfig.FeatureFlags")
        return self.gameday.target()

    @cached_property
    def machine(self) -> Json:
        """The state machine of this lane."""
        return dict(
            self.gameday.client("stepfunctions").describe_state_machine(
                stateMachineArn=self.gameday.outputs["StateMachineArn"]
            )
        )

    @cached_property
    def queues(self) -> list[str]:
        """Every queue of the stack: they are of dead letters."""
        return [self.gameday.resource(name) for name in of_type("AWS::SQS::Queue")]

    def dead_letters(self) -> int:
        """Return how many dead letters there are, and throw them away."""
        sqs, count = self.gameday.client("sqs"), 0
        for url in self.queues:
            attributes = sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
            )["Attributes"]
            count += int(attributes["ApproximateNumberOfMessages"])
            if count:
                sqs.purge_queue(QueueUrl=url)
        return count


# -- what the target is served ----------------------------------------------------------------


class _Switch:
    """Whether the condition is served, looked at all the time."""

    def __init__(self, gameday: Gameday, target: Target) -> None:
        self._data = gameday.client("appconfigdata")
        self._token = self._data.start_configuration_session(
            ApplicationIdentifier=target.application,
            EnvironmentIdentifier=target.environment,
            ConfigurationProfileIdentifier=target.profile,
        )["InitialConfigurationToken"]
        self.changes: list[tuple[float, bytes]] = []
        self._ended = threading.Event()
        self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(_POLL_SECONDS):
            self._look()

    def _look(self) -> None:
        answer = self._data.get_latest_configuration(ConfigurationToken=self._token)
        self._token = answer["NextPollConfigurationToken"]
        if content := answer["Configuration"].read():
            self.changes.append((time.time(), content))

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()

    @property
    def resting(self) -> bytes:
        """What was served at first."""
        return self.changes[0][1]

    @property
    def is_off(self) -> bool:
        """Whether what is served is what was served at first."""
        return self.changes[-1][1] == self.resting

    def took(self, died_at: float) -> str:
        """Say how long after a death the condition was on."""
        resting = self.resting
        if all(content == resting for _, content in self.changes):
            return "never on"
        later = [(at, content) for at, content in self.changes if at > died_at]
        if all(content == resting for _, content in self.changes[-len(later) - 1 :]):
            return "already off"
        off_at = [at for at, content in later if content == resting]
        return f"{off_at[-1] - died_at:.1f} s" if off_at else "never off"


def _limit_seconds(function: str) -> float:
    """How long a function may run: then Lambda ends it, and it tells nobody."""
    default = float(TEMPLATE["Globals"]["Function"]["Timeout"])
    return float(FUNCTIONS[function].get("Timeout", default))


class TooEarly(Exception):
    """Raised when a run was over before the state in which it was to die: for want of a CPU."""


# -- one run that dies ------------------------------------------------------------------------


@dataclass
class _Run:
    """One run of a lane, from its start until nothing happens any more."""

    lane: Lane
    cell: Cell
    target: Target
    run_id: str
    machine_seconds: int
    died_at: float = 0.0
    trouble: list[str] = field(default_factory=list)
    _safe_until: float = 0.0
    _lifts: list[Callable[[], object]] = field(default_factory=list)

    def happen(self) -> None:
        """Start, die, and end."""
        cell = self.cell
        self.switch = _Switch(self.gameday, self.target)
        try:
            self._plan()
            if cell.row == ROLL_BACK:
                self._die_outside()
            elif cell.death in FROM_OUTSIDE:
                self._be_ended()
            else:
                self._die_inside()
            self._end()
        except AssertionError as late:
            self.trouble.append(str(late).partition("\n")[0])
            with suppress(Exception):
                self.execution.stop()
            self._release()

    @property
    def gameday(self) -> Gameday:
        return self.lane.gameday

    @cached_property
    def execution(self) -> Execution:
        """The execution; made when it is first asked for."""
        windows = {f"{LOADS[state]}_seconds": LONG_SECONDS for state in self.cell.long_loads}
        url = self.lane.load.url(self.run_id)
        load = {} if self.cell.form is Form.ONE else TWO_WORKERS
        changes = {"load": load, "windows": windows}
        if self.cell.row == SETTLING:
            condition: Json = {"afterwards": "stay_if_passed"}
            document = flag_experiment("kill-point", self.target, url, condition, **changes)
        else:
            condition = {"propagation_seconds": self._awaited_seconds}
            document = experiment("kill-point", self.target, url, condition=condition, **changes)
        return self.gameday.start(document, self.run_id)

    @property
    def _awaited_seconds(self) -> int:
        """How long evidence is waited for; there is none."""
        if self.cell.row != AWAITING:
            return 0
        return 180 if self.cell.death in FROM_OUTSIDE else 5

    # -- the plan of the wrapper ----------------------------------------------------------

    def _plan(self) -> None:
        points = [point | {"run": self.run_id} for point in self._points()]
        for number, point in enumerate(points):
            point |= {"name": str(number), "once": point.get("once", False)}
        file = self.lane.folder / "plan.json"
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(points))
        draft.rename(file)

    def _points(self) -> Iterator[Json]:
        row, death = self.cell.row, self.cell.death
        if self.cell.form is Form.DISTRIBUTED:
            yield invocation(PLANNING) | {"after": "start", "act": "distribute"}
        if row == "No verdict":
            yield invocation(BREAKING) | {"after": "start", "act": "raise"}
        if death in FROM_OUTSIDE:
            for point in waiting_points(row):
                yield point | {"act": "wait", "once": True}
        elif death in _ACTS:
            once = death in ONCE or row == ROLL_BACK
            after = {Death.ANSWER_LOST: "end", Death.KILLED: middle(row)["after"]}
            yield invocation(row) | {
                "after": after.get(death, "start"),
                "act": _ACTS[death],
                "once": once,
            }
        if self._prepared_in:
            yield invocation(self._prepared_in) | {"after": "start", "act": "wait", "once": True}

    @property
    def _prepared_in(self) -> str | None:
        """The state in which the run waits until its death is prepared, if that takes a call."""
        if self.cell.death not in _PREPARED or self.cell.row == ROLL_BACK:
            return None
        return task_before(self.cell.row)

    def _release(self) -> None:
        (self.lane.folder / f"{self.run_id}.released").touch()

    def _lines(self) -> list[Json]:
        """Return the journal of this run."""
        file = self.lane.folder / "journal.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in map(json.loads, lines) if line["run"] == self.run_id]

    def _journal(self, what: str, row: str | None = None) -> list[float]:
        """Return when something happened in the run, or in one row of it."""
        wanted = invocation(row) if row else {"function": None, "payload": {}}
        return [
            float(line["at"])
            for line in self._lines()
            if line["what"].startswith(what)
            and wanted["function"] in (None, line["function"])
            and wanted["payload"].items() <= line["payload"].items()
        ]

    def _await(self, read: Callable[[], Any]) -> Any:
        """Return what `read` gives as soon as it is true; look after the run meanwhile."""

        def look() -> Any:
            self._is_safe()
            return read()

        return eventually(look, _LIMIT_SECONDS, self.execution.explained)

    def _is_safe(self) -> None:
        """Whatever happens, while the condition is on something will turn it off."""
        now = time.monotonic()
        if self.switch.is_off or now < self._safe_until:
            return
        self._safe_until = now + _LOOK_SECONDS
        gameday = self.gameday
        missing = [
            what
            for what, found in (
                ("lock", gameday.lock(self.target)),
                ("schedule", gameday.schedules(self.run_id)),
            )
            if not found
        ]
        if missing and _content(gameday, self.target) != self.switch.resting:
            problem = f"on without a {' and a '.join(missing)}"
            if problem not in self.trouble:
                self.trouble.append(problem)

    # -- how it dies ----------------------------------------------------------------------

    def _die_inside(self) -> None:
        """Die of a function."""
        row, before = self.cell.row, self._prepared_in
        if before is None:
            self._prepare()
        assert self.execution
        if before:
            self._await(lambda: self._journal("waits", before))
            self._prepare()
            self._release()
        self._await(lambda: self._is_over or self._journal("dies", row))
        self._await(lambda: self._is_over)
        self.died_at = self._first_death()

    def _first_death(self) -> float:
        """Return when the function died first."""
        row, death = self.cell.row, self.cell.death
        if death is Death.THROTTLED:
            return self._entered_at()
        times = self._journal("begins" if death is Death.REVOKED else "dies", row)
        if not times:
            self.switch.end()
            raise TooEarly
        return times[0] + (_FUNCTION_SECONDS if death is Death.TIMES_OUT else 0)

    def _entered_at(self) -> float:
        for event in self.execution.history():
            if event.get("stateEnteredEventDetails", {}).get("name") == self.cell.told_as:
                return float(event["timestamp"].timestamp())
        self.trouble.append("the state was not entered")
        return time.time()

    def _be_ended(self) -> None:
        """Be ended from outside."""
        cell = self.cell
        if cell.death is Death.TIMED_OUT and not cell.is_late:
            self._shorten_the_machine()
        self._await(self._is_there)
        if cell.death is Death.STOPPED:
            self.died_at = time.time()
            with suppress(self.gameday.client("stepfunctions").exceptions.ClientError):
                self.execution.stop()  # one that is over already cannot be stopped
        elif cell.is_late:
            self._await(lambda: self._is_over)
            self.died_at = time.time()
            self.execution.post_timed_out()
        else:
            self._await(lambda: self._is_over)
            self.died_at = self.execution.described()["stopDate"].timestamp()
            if self.execution.status != "TIMED_OUT":
                self.trouble.append("it did not time out")

    def _is_there(self) -> bool:
        """Whether the run has come to the row, and waits where it has something to wait with."""
        row, late = self.cell.row, self.cell.is_late
        begun = self._journal("begins", row) if row in SENDING else ()
        reached = bool(begun) or self.cell.told_as in self.execution.entered()
        status = self.execution.status
        if status == "TIMED_OUT" or (status != "RUNNING" and not (reached or late)):
            self._release()
            self.switch.end()
            raise TooEarly
        if row in SENDING:
            return self._loads(row)
        return reached and (late or bool(self._journal("waits")))

    def _loads(self, state: str) -> bool:
        if not self._journal("begins", state):
            return False
        before = self.lane.load.arrivals(self.run_id)
        time.sleep(_POLL_SECONDS)
        return self.lane.load.arrivals(self.run_id) > before

    def _die_outside(self) -> None:
        """Be ended from outside, and let what cleans up die at its first call."""
        death = self.cell.death
        self._prepare()
        self._await(lambda: self._loads(HELD_WITH))
        self.died_at = time.time()
        if death is Death.STOPPED:
            self.execution.post_timed_out()
            self._await(lambda: self._journal("waits", ROLL_BACK))
        self.execution.stop()
        match death:
            case Death.TIMED_OUT:
                self._await(lambda: self._journal("waits", ROLL_BACK))
                self.execution.post_timed_out()
            case Death.THROTTLED:
                self._await(self._was_throttled)
            case Death.REVOKED:
                self._await(lambda: self._journal("fails", ROLL_BACK))
            case Death.STOPPED:
                pass
            case _:
                self._await(lambda: self._journal("dies", ROLL_BACK))
        if death in (Death.THROTTLED, Death.REVOKED):
            self.lift()

    def _was_throttled(self) -> bool:
        found = self.gameday.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="Throttles",
            Dimensions=[{"Name": "FunctionName", "Value": self._resource()}],
            StartTime=self.died_at - 60,
            EndTime=self.died_at + 3600,
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return any(point["Sum"] for point in found)

    # -- deaths that take a call to prepare, and to lift ----------------------------------

    def _resource(self) -> str:
        return self.gameday.resource(invocation(self.cell.row)["function"])

    def _prepare(self) -> None:
        if prepare := _PREPARED.get(self.cell.death):
            self._lifts.append(prepare(self))

    def lift(self) -> None:
        """Lift the death, so that the next run lives."""
        while self._lifts:
            self._lifts.pop()()

    def throttle(self) -> Callable[[], object]:
        client, name = self.gameday.client("lambda"), self._resource()
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        return lambda: client.delete_function_concurrency(FunctionName=name)

    def revoke(self) -> Callable[[], object]:
        client = self.gameday.client("iam")
        role = self.gameday.resource(f"{invocation(self.cell.row)['function']}Role")
        named = {"RoleName": role, "PolicyName": "revoked"}
        client.put_role_policy(**named, PolicyDocument=json.dumps(_NOTHING))
        return lambda: client.delete_role_policy(**named)

    def hurry(self) -> Callable[[], object]:
        """Make the function's timeout short, for it will hang."""
        client, name = self.gameday.client("lambda"), self._resource()
        kept = client.get_function_configuration(FunctionName=name)["Timeout"]

        def change(seconds: int) -> None:
            client.update_function_configuration(FunctionName=name, Timeout=seconds)
            client.get_waiter("function_updated_v2").wait(
                FunctionName=name, WaiterConfig={"Delay": 1}
            )

        change(_ROLL_BACK_SECONDS if self.cell.row == ROLL_BACK else _FUNCTION_SECONDS)
        return lambda: change(kept)

    def _shorten_the_machine(self) -> None:
        """Let the machine's own timeout come while the run waits in the row."""
        seconds = self.machine_seconds * (1 + loads_before(self.cell.row))
        definition = json.loads(self.lane.machine["definition"]) | {"TimeoutSeconds": seconds}
        self._define(json.dumps(definition))
        self._lifts.append(lambda: self._define(self.lane.machine["definition"]))

    def _define(self, definition: str) -> None:
        self.gameday.client("stepfunctions").update_state_machine(
            stateMachineArn=self.lane.machine["stateMachineArn"], definition=definition
        )

    # -- the end --------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self.execution.status != "RUNNING"

    def _end(self) -> None:
        """Wait until the run is over, was cleaned up after, and nothing of it moves any more.

        What waited goes on as soon as that was tried: nothing ends a function with its execution.
        """
        self._await(lambda: self._is_over)
        posted = self.cell.is_late and self.cell.death is Death.TIMED_OUT
        if posted or self.execution.status != "SUCCEEDED":
            self._soon("nothing rolls back", lambda: self._journal("begins", ROLL_BACK))
            with suppress(AssertionError):  # then it may wait for what waits
                eventually(lambda: self._journal("ends", ROLL_BACK), _UNDO_SECONDS)
            self._release()
            self._soon("nothing rolled back", lambda: self._journal("ends", ROLL_BACK), 150)
        self._release()
        self._soon("a function still works", lambda: not self._at_work())
        if self._is_armed:
            self._soon("no verdict", self.execution.events)
        self._soon("load goes on", self._is_quiet)
        self.switch.end()

    def _soon(self, problem: str, read: Callable[[], Any], limit_seconds: float = 60) -> None:
        try:
            eventually(read, limit_seconds)
        except AssertionError:
            self.trouble.append(problem)

    def _at_work(self) -> bool:
        """Whether an invocation has not ended; those that Lambda ended cannot tell."""
        mortal = invocation(self.cell.row) if self.cell.can_lose_its_voice else None
        begun: dict[str, list[float]] = {}
        for line in self._lines():
            if line["what"] == "begins":
                begun.setdefault(line["function"], []).append(float(line["at"]))
            elif line["what"].startswith(("ends", "fails")):
                begun[line["function"]].pop(0)
        return any(
            started + _limit_seconds(name) > time.time()
            for name, starts in begun.items()
            for started in starts
            if not mortal or mortal["function"] != name
        )

    def _is_quiet(self) -> bool:
        before = self.lane.load.arrivals(self.run_id)
        time.sleep(_QUIET_SECONDS)
        return self.lane.load.arrivals(self.run_id) == before

    @property
    def _is_armed(self) -> bool:
        return "experiment" in self.execution.record()

    def seen(self) -> Seen:
        """Look at what is there now."""
        self.switch.end()
        verdicts = self.execution.events()
        return Seen(
            cell=self.cell,
            execution=self.execution,
            took=self._took(len(verdicts)),
            left=tuple([*self.trouble, *self._left(verdicts)]),
            verdicts=len(verdicts),
            story=self._story(),
        )

    def _took(self, verdicts: int) -> str:
        inside = self.cell.death not in FROM_OUTSIDE and self.cell.row != ROLL_BACK
        goes_on = inside and self.execution.status == "SUCCEEDED"
        sent_again = verdicts > 1 and self.cell.may_send_again
        return ", ".join(
            [
                self.switch.took(self.died_at),
                *(["goes on"] if goes_on else []),
                *(["verdict sent again"] if sent_again else []),
            ]
        )

    def _left(self, verdicts: list[Json]) -> Iterator[str]:
        gameday, armed = self.gameday, self._is_armed
        if not self.switch.is_off or self.switch.resting != _content(gameday, self.target):
            yield "the condition is on"
        if gameday.lock(self.target):
            yield "the lock is held"
        if gameday.schedules(self.run_id):
            yield "the schedule is there"
        due = 1 + self.cell.may_send_again if armed else 0
        if not armed <= len(verdicts) <= due:
            yield f"{len(verdicts)} verdicts of a run that {'armed' if armed else 'never armed'}"
        if any(event["detail"] != verdicts[0]["detail"] for event in verdicts):
            yield "verdicts that differ"
        if not armed and not self._says_why():
            yield "no clear error"
        if letters := self.lane.dead_letters():
            yield f"{letters} dead letters"

    def _says_why(self) -> bool:
        described = self.execution.described()
        if described["status"] in ("ABORTED", "TIMED_OUT"):
            return True
        return bool(described.get("error") and described.get("cause"))

    def _story(self) -> str:
        told = [
            f"  {_clock(line['at'])} {line['function']} {line['payload'].get('phase', '')} "
            f"{line['what']}"
            for line in self._lines()
        ]
        changes = [
            f"  {_clock(at)} served: {'resting' if content == self.switch.resting else 'ON'}"
            for at, content in self.switch.changes
        ]
        death = f"  {_clock(self.died_at)} died"
        return "\n".join([self.execution.explained(), *told, *changes, death])


_PREPARED: Mapping[Death, Callable[[_Run], Callable[[], object]]] = {
    Death.THROTTLED: _Run.throttle,
    Death.REVOKED: _Run.revoke,
    Death.TIMES_OUT: _Run.hurry,
}
"""What is done before such a death; each answers with what lifts it."""


def _content(gameday: Gameday, target: Target) -> bytes:
    """Return what a client that starts now is served."""
    data = gameday.client("appconfigdata")
    token = data.start_configuration_session(
        ApplicationIdentifier=target.application,
        EnvironmentIdentifier=target.environment,
        ConfigurationProfileIdentifier=target.profile,
    )["InitialConfigurationToken"]
    return bytes(data.get_latest_configuration(ConfigurationToken=token)["Configuration"].read())


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at)) + f"{at % 1:.3f}"[1:]
