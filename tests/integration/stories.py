"""The runs that several tests share: what happens in each, and what was seen meanwhile."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tests.integration.runs import (
    FLAGS,
    LATENCY,
    LIMIT_SECONDS,
    OFF,
    TWO_WORKERS,
    Clients,
    Execution,
    Gameday,
    Json,
    Target,
    eventually,
    experiment,
    flag_experiment,
    flagged_target,
    guarded_target,
    obedient_target,
    sample_experiment,
    unique,
)


@dataclass(frozen=True)
class Seen:
    """A run that has ended, and what there was in the middle of its condition."""

    execution: Execution
    target: Target
    resting: Json
    served: Json
    lock: Json
    schedules: list[Json]
    guardrail: str = ""
    told_at: float = 0.0
    notified_at: float = 0.0

    @property
    def gameday(self) -> Gameday:
        return self.execution.gameday


def _look(
    execution: Execution, target: Target, resting: Json, state: str = "Who generates load?"
) -> Seen:
    """Look at what is there while the condition is on."""
    execution.wait_for(state)
    gameday = execution.gameday
    return Seen(
        execution=execution,
        target=target,
        resting=resting,
        served=gameday.served(target),
        lock=gameday.lock(target),
        schedules=gameday.schedules(execution.run_id),
    )


def _started(gameday: Gameday, target: Target, document: Json) -> Seen:
    """Start a run and look at it as soon as its condition is on."""
    resting = gameday.served(target)
    return _look(gameday.start(document), target, resting)


def _told(seen: Seen, tell: Callable[[], None]) -> Seen:
    """End a run from outside, and note when that was and when its load could know."""
    told_at = time.time()
    tell()
    execution = seen.execution
    eventually(lambda: "stop_reason" in execution.record(), 30, execution.explained)
    notified_at = time.time()
    execution.wait()
    execution.event()
    return replace(seen, told_at=told_at, notified_at=notified_at)


# -- the command ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """What the command did."""

    exit_status: int
    output: str
    errors: str
    file: Path

    @property
    def event(self) -> Json:
        """The verdict event, as the command wrote it."""
        return dict(json.loads(self.file.read_text()))


@dataclass(frozen=True)
class Command:
    """A run that the command is at."""

    process: subprocess.Popen[str]
    file: Path

    def end(self) -> Ran:
        """Wait for the end of the command."""
        try:
            output, errors = self.process.communicate(timeout=LIMIT_SECONDS)
        finally:
            self.process.kill()
        return Ran(self.process.returncode, output, errors, self.file)


def command(gameday: Gameday, *arguments: str) -> subprocess.Popen[str]:
    """Start the command where it finds the embedded AWS of these tests."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("gameday")), *arguments],
        cwd=gameday.folder,
        env=gameday.aws.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(gameday: Gameday, document: Any, *arguments: str) -> Command:
    """Start `gameday run` on a document."""
    folder = Path(mkdtemp(dir=gameday.folder))
    file = folder / "experiment.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    process = command(gameday, "run", str(file), "--out", str(folder), *arguments)
    name = document["name"] if isinstance(document, dict) else "none"
    return Command(process, folder / f"{name}.json")


def _execution(gameday: Gameday, document: Json) -> Execution:
    return eventually(lambda: gameday.executions_of(document["name"]))[0]


# -- the stories ------------------------------------------------------------------------------


def passed(gameday: Gameday, url: str) -> tuple[Seen, Ran]:
    """The purchase API is slowed down by less than its objective allows; run by the command."""
    application, guardrail = gameday.applications[0], gameday.alarm()
    application.wake("Purchase")
    target = application.target("Purchase")
    latency = {"enabled": True, "percentage": 100, "min_latency": 100, "max_latency": 200}
    document = sample_experiment(
        unique("purchase-latency"),
        application,
        "Purchase",
        objective="My purchase API should respond in less than two seconds",
        condition={"configuration": {"latency": latency}},
        load={"body": '{"item_id": 7}', "headers": {"content-type": "application/json"}},
        measures=[
            {
                "name": "95 % respond in",
                "kind": "threshold",
                "metric": "Latency",
                "statistic": "p95",
                "operator": "<",
                "threshold": 2000,
                "unit": "ms",
            }
        ],
        guardrails=[guardrail],
        windows={"recovery_seconds": 25},
    )
    resting = gameday.served(target)
    started = run(gameday, document)
    seen = _look(_execution(gameday, document), target, resting)
    return replace(seen, guardrail=guardrail), started.end()


def failed(gameday: Gameday, url: str) -> tuple[Execution, Ran]:
    """The images' table cannot be reached, and nothing protects the images against that."""
    gameday.applications[1].wake("Images")
    denylist = {"enabled": True, "deny_list": ["dynamodb.*.amazonaws.com"]}
    document = sample_experiment(
        unique("images-denied"),
        gameday.applications[1],
        "Images",
        condition={"configuration": {"denylist": denylist}},
    )
    ran = run(gameday, document).end()
    return _execution(gameday, document), ran


def rang(gameday: Gameday, url: str) -> Seen:
    """A guardrail rings after the condition took effect."""
    application, guardrail = gameday.applications[2], gameday.alarm()
    application.wake("Clicks")
    document = sample_experiment(
        unique("clicks-guarded"), application, "Clicks", guardrails=[guardrail]
    )
    seen = _started(gameday, application.target("Clicks"), document)
    function = application.outputs["ClicksFunction"]
    eventually(lambda: gameday.injected_seconds(function, "latency"))
    return _told(replace(seen, guardrail=guardrail), lambda: gameday.ring(guardrail))


def rang_without_evidence(gameday: Gameday, url: str) -> Seen:
    """A guardrail rings in the measured window of a condition that nobody obeys."""
    target, guardrail, name = gameday.target(), gameday.alarm(), unique("guarded")
    document = experiment(
        name, target, url, guardrails=[guardrail], windows={"condition_seconds": 15}
    )
    seen = _started(gameday, target, document)
    eventually(lambda: gameday.loaded_seconds(name))
    return _told(replace(seen, guardrail=guardrail), lambda: gameday.ring(guardrail))


def aborted(gameday: Gameday, url: str) -> Seen:
    """A person stops the execution in the measured window."""
    target, name = gameday.target(), unique("aborted")
    document = experiment(name, target, url, windows={"condition_seconds": 15})
    seen = _started(gameday, target, document)
    eventually(lambda: gameday.loaded_seconds(name))
    return _told(seen, seen.execution.stop)


def broken(gameday: Gameday, url: str) -> Seen:
    """What the load reported is lost, so that Evaluate measures raises."""
    target = gameday.target()
    document = experiment(unique("broken"), target, url)
    seen = _started(gameday, target, document)
    gameday.client("dynamodb").update_item(
        TableName=gameday.resource("RunsTable"),
        Key={"pk": {"S": f"run#{seen.execution.run_id}"}, "sk": {"S": "run"}},
        UpdateExpression="REMOVE fact_baseline_load",
    )
    seen.execution.wait()
    return seen


def unreadable(gameday: Gameday, url: str) -> Execution:
    """CloudWatch refuses a statistic before anything is enabled."""
    document = experiment(unique("unreadable"), gameday.target(), url)
    document["measures"] = [
        {
            "name": "trimmed",
            "kind": "threshold",
            "metric": "Latency",
            "statistic": "TM(10%:90%)",
            "operator": "<",
            "threshold": 100,
        }
    ]
    return gameday.ended(document)


def flat(gameday: Gameday, url: str) -> Seen:
    """A condition in the format of failure-lambda 0.x, on a function that has no injector."""
    modes = {"failureMode": "latency", "rate": 1, "minLatency": 100, "maxLatency": 200}
    target = gameday.target(resting={"isEnabled": False, **modes})
    condition = {"format": "failure-lambda-0", "configuration": {"isEnabled": True, **modes}}
    document = experiment(unique("flat"), target, url, condition=condition)
    seen = _started(gameday, target, document)
    seen.execution.wait()
    return seen


def unanswered(gameday: Gameday, url: str) -> tuple[Execution, Target, Ran]:
    """Nobody listens where the load goes; run on "the real AWS", at another endpoint."""
    target = gameday.target()
    document = experiment(unique("unanswered"), target, _closed_port())
    ran = run(gameday, document, "--aws").end()
    return _execution(gameday, document), target, ran


def _closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def unsteady(gameday: Gameday, url: str) -> tuple[Execution, Target]:
    """The objective is missed before anything is injected."""
    target = gameday.target()
    document = experiment(unique("unsteady"), target, url)
    document["measures"][0]["operator"] = "<="
    return gameday.ended(document), target


def interrupted(gameday: Gameday, url: str) -> tuple[Seen, Ran]:
    """Ctrl-C reaches the command in the middle of the condition."""
    target = gameday.target()
    document = experiment(unique("interrupted"), target, url, windows={"condition_seconds": 30})
    resting = gameday.served(target)
    started = run(gameday, document)
    seen = _look(_execution(gameday, document), target, resting)
    started.process.send_signal(signal.SIGINT)
    return seen, started.end()


def replaced(gameday: Gameday, url: str) -> Seen:
    """Somebody stops the condition's deployment in the middle of the run and deploys their own."""
    target = gameday.target()
    document = experiment(unique("replaced"), target, url, windows={"condition_seconds": 15})
    seen = _started(gameday, target, document)
    gameday.client("appconfig").stop_deployment(
        ApplicationId=target.application,
        EnvironmentId=target.environment,
        DeploymentNumber=gameday.deployments(target),
        AllowRevert=True,
    )
    gameday.deploy(target, OFF | {"release": 2})
    seen.execution.wait()
    return seen


def overdue(gameday: Gameday, url: str) -> Seen:
    """The deadline comes while the run is at work: its schedule is moved, and fires by itself."""
    target = gameday.target()
    document = experiment(unique("overdue"), target, url, windows={"condition_seconds": 50})
    seen = _started(gameday, target, document)
    (schedule,) = seen.schedules
    soon = datetime.now(UTC) + timedelta(seconds=1)
    kept = ("Name", "GroupName", "FlexibleTimeWindow", "ActionAfterCompletion", "Target")
    gameday.client("scheduler").update_schedule(
        ScheduleExpression=f"at({soon:%Y-%m-%dT%H:%M:%S})",
        **{name: schedule[name] for name in kept},
    )
    seen.execution.wait()
    seen.execution.event()
    return seen


def _ramp(gameday: Gameday, target: Target, clients: Clients, **changes: Any) -> Json:
    """Return an experiment whose condition grows for a minute."""
    return experiment(
        unique("ramp"),
        target,
        clients.address,
        condition={"ramp_minutes": 1, "propagation_seconds": 15},
        load={"rate_per_second": 8},
        **changes,
    )


def ramped(gameday: Gameday, url: str) -> tuple[Seen, list[int]]:
    """A condition grows to its end; how many of twenty clients had it, from step to step."""
    target = gameday.target()
    with obedient_target(gameday, target) as clients:
        resting = gameday.served(target)
        execution = gameday.start(_ramp(gameday, target, clients))
        seen = _look(execution, target, resting)
        execution.wait()
        execution.event()
    return seen, clients.seen


def rang_in_a_ramp(gameday: Gameday, url: str) -> tuple[Seen, list[int]]:
    """A guardrail rings when some of twenty clients have the condition."""
    target, guardrail = gameday.target(), gameday.alarm()
    with obedient_target(gameday, target) as clients:
        resting = gameday.served(target)
        execution = gameday.start(_ramp(gameday, target, clients, guardrails=[guardrail]))
        seen = _look(execution, target, resting, "Await evidence")
        eventually(lambda: clients.seen[-1])
        seen = _told(replace(seen, guardrail=guardrail), lambda: gameday.ring(guardrail))
        eventually(lambda: clients.seen[-1] == 0)
    return seen, clients.seen


SECRET = "hush-4711"


def several(gameday: Gameday, url: str) -> Seen:
    """Two workers load a target that wants a secret."""
    gameday.client("ssm").put_parameter(Name="/gameday/token", Value=SECRET, Type="SecureString")
    target = gameday.target()
    with guarded_target(SECRET) as address:
        load = {"url": address, "headers": {"X-Token": "${ssm:/gameday/token}"}} | TWO_WORKERS
        seen = _started(gameday, target, experiment(unique("several"), target, address, load=load))
        seen.execution.wait()
    return seen


def several_stopped(gameday: Gameday, url: str) -> Seen:
    """A guardrail rings while two workers generate the load of the measured window."""
    target, guardrail, name = gameday.target(), gameday.alarm(), unique("several-guarded")
    document = experiment(
        name,
        target,
        url,
        load=TWO_WORKERS,
        guardrails=[guardrail],
        windows={"condition_seconds": 20},
    )
    seen = _started(gameday, target, document)
    eventually(lambda: gameday.loaded_seconds(name))
    return _told(replace(seen, guardrail=guardrail), lambda: gameday.ring(guardrail))


@dataclass(frozen=True)
class Expired:
    """A condition that nobody turned off, and that expired."""

    expires_at: int
    injected_seconds: list[float]
    served: Json


def expired(gameday: Gameday, url: str) -> Expired:
    """A condition is deployed by hand, and its time passes."""
    application = gameday.applications[3]
    target, function = application.target("Images"), application.outputs["ImagesFunction"]
    expires_at = int(time.time()) + 25
    gameday.deploy(target, OFF | LATENCY | {"expires_at": expires_at})

    def injected() -> list[float]:
        application.wake("Images")
        return gameday.injected_seconds(function, "latency")

    eventually(injected)
    eventually(lambda: time.time() > expires_at)
    for _ in range(3):
        injected()
    return Expired(expires_at, injected(), gameday.served(target))


@dataclass(frozen=True)
class Changed:
    """A run whose switch is one setting, and the setting before, under and after its condition."""

    execution: Execution
    before: Any
    under: Any
    after: Any


def _changed(gameday: Gameday, document: Json, read: Callable[[], Any]) -> Changed:
    before, execution = read(), gameday.start(document)
    execution.wait_for("Generate load")
    under = read()
    execution.wait()
    execution.event()
    return Changed(execution, before, under, read())


def throttled(gameday: Gameday, url: str) -> Changed:
    """No invocation of the clicks is allowed."""
    application = gameday.applications[3]
    application.wake("Clicks")
    function = application.outputs["ClicksFunction"]
    document = sample_experiment(unique("clicks-throttled"), application, "Clicks")
    document["condition"] = {
        "kind": "concurrency",
        "function": function,
        "reserved": 0,
        "propagation_seconds": 0,
    }

    def reserved() -> Any:
        found = gameday.client("lambda").get_function_concurrency(FunctionName=function)
        return found.get("ReservedConcurrentExecutions")

    return _changed(gameday, document, reserved)


def forbidden(gameday: Gameday, url: str) -> Changed:
    """The images' role is denied to read its table."""
    application = gameday.applications[0]
    application.wake("Images")
    role = application.outputs["ImagesRole"]
    document = sample_experiment(unique("images-forbidden"), application, "Images")
    document["condition"] = {
        "kind": "policy",
        "function": application.outputs["ImagesFunction"],
        "role": role,
        "actions": ["dynamodb:GetItem"],
        "resources": ["*"],
        "evidence": {"namespace": "Shop", "name": "ImagesDenied"},
        "propagation_seconds": 2,
    }

    def policies() -> Any:
        return gameday.client("iam").list_role_policies(RoleName=role)["PolicyNames"]

    return _changed(gameday, document, policies)


def _flagged(gameday: Gameday, name: str, status: int = 200, **condition: Any) -> Seen:
    """The application's own flag is set, and with the flag `checkout` on it has a status."""
    target, name = gameday.target(FLAGS, kind="AWS.AppConfig.FeatureFlags"), unique(name)
    with flagged_target(lambda: gameday.served(target)["checkout"]["enabled"], status) as address:
        evidence = {
            "namespace": "Gameday",
            "name": "Requests",
            "dimensions": {"Experiment": name, "Phase": "condition"},
        }
        condition = {"propagation_seconds": 2, "evidence": evidence} | condition
        seen = _started(gameday, target, flag_experiment(name, target, address, condition))
        seen.execution.wait()
        seen.execution.event()
    return seen


def opened(gameday: Gameday, url: str) -> Seen:
    """The objective holds behind a flag, which may stay on then."""
    return _flagged(gameday, "opened", afterwards="stay_if_passed")


def not_opened(gameday: Gameday, url: str) -> Seen:
    """The objective fails behind a flag that might have stayed on."""
    return _flagged(gameday, "not-opened", 500, afterwards="stay_if_passed")


def varied(gameday: Gameday, url: str) -> Seen:
    """One variant of a flag is turned on, and back."""
    return _flagged(gameday, "varied", flag="search", variant="beta")


ALL: tuple[Callable[[Gameday, str], Any], ...] = (
    passed,  # the longest first
    ramped,
    several,
    several_stopped,
    rang,
    rang_in_a_ramp,
    failed,
    rang_without_evidence,
    aborted,
    broken,
    flat,
    interrupted,
    throttled,
    forbidden,
    opened,
    not_opened,
    varied,
    unanswered,
    unsteady,
    unreadable,
    expired,
    overdue,
    replaced,
)
