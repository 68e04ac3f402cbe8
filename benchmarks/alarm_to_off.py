"""How soon a condition is off after its guardrail rang: Gameday beside Chaos Toolkit.

On one embedded AWS, in one run of this script: real runs of the real machine whose alarm rings at a
random moment of the load, and the same experiment by Chaos Toolkit with its safeguards control.
Measured from outside, from the timestamp of the alarm's own state change event: until AppConfig
serves a new client the resting configuration, and until the last request of the load. Then what
becomes of the condition when whatever orchestrates the experiment dies.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from benchmarks.alarm_to_off_report import Reaction, Results, machine, render
from cli.embedded.aws import EmbeddedAws
from cli.embedded.deploy import account, deploy_gameday
from tests.integration.runs import (
    LATENCY,
    OFF,
    Execution,
    Gameday,
    Mailbox,
    Target,
    eventually,
    unique,
)
from tests.integration.runs import experiment as document_of

ROOT = Path(__file__).parents[1]
CHAOS = ROOT / ".venv-chaostoolkit" / "bin" / "chaos"
REPORT = ROOT / "docs" / "alarm-to-off.md"

AT_ONCE = 6  # runs beside each other; their alarms ring one after another
PEERS_AT_ONCE = 2  # processes that poll: more would be in each other's way on two cores
RATE_PER_SECOND = 10  # so the last request tells within a tenth of a second when the load ended
POLL_SECONDS = 0.01
LIMIT_SECONDS = 60.0
FASTEST_SECONDS = 0.1
DOCUMENTED_SECONDS = 2


class Arrivals:
    """An HTTP target that answers at once and keeps when each request came, and by which way."""

    def __init__(self) -> None:
        self._seen: dict[str, list[tuple[float, int]]] = {}
        seen = self._seen

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                seen.setdefault(self.path, []).append((time.time(), self.client_address[1]))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def url(self, name: str) -> str:
        """Return the address of one run's load."""
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def await_load(self, name: str) -> None:
        """Wait until requests have come for a second from now."""
        now = time.time()
        eventually(lambda: self._count(name, since=now) > RATE_PER_SECOND)

    def _count(self, name: str, since: float) -> int:
        return sum(at > since for at, _ in self._seen.get(f"/{name}", []))

    def last(self, name: str, before: float = math.inf) -> float:
        """Return when the last request came on a connection that was in use before a moment."""
        seen = list(self._seen[f"/{name}"])
        ways = {way for at, way in seen if at < before}
        return max(at for at, way in seen if way in ways)


class Stand:
    """The embedded AWS with Gameday on it, the target of the load, and who watches both."""

    def __init__(self, aws: EmbeddedAws) -> None:
        appconfig = aws.client("appconfig")
        appconfig.create_deployment_strategy(
            Name="gameday-sample-of-the-bench",
            DeploymentDurationInMinutes=0,
            GrowthFactor=100,
            FinalBakeTimeInMinutes=0,
            ReplicateTo="NONE",
        )
        application = str(appconfig.create_application(Name="bench")["Id"])
        deploy_gameday(aws, print, [application])
        outputs = account(aws).outputs(account(aws).subscriber_stack)
        self.gameday = Gameday(
            aws=aws,
            applications=(),
            own_application=application,
            forbidden_application="",
            verdicts=Mailbox(aws, outputs["VerdictQueueUrl"]),
            notifications=Mailbox(aws, outputs["VerdictNotificationQueueUrl"]),
            folder=ROOT,
        )
        self.arrivals = Arrivals()
        self._alarms = Mailbox(aws, self._queue_of_alarms(aws))
        self._ringing = threading.Lock()
        self._targets: SimpleQueue[Target] = SimpleQueue()
        for _ in range(AT_ONCE):
            self._targets.put(self.gameday.target(OFF))

    def _queue_of_alarms(self, aws: EmbeddedAws) -> str:
        """Make a subscriber of every alarm's state change."""
        sqs, events = aws.client("sqs"), aws.client("events")
        url = str(sqs.create_queue(QueueName="alarms")["QueueUrl"])
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
        sent = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [sent]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        pattern = json.dumps({"detail-type": ["CloudWatch Alarm State Change"]})
        events.put_rule(Name="alarms", EventPattern=pattern)
        events.put_targets(Rule="alarms", Targets=[{"Id": "queue", "Arn": arn}])
        return url

    @contextmanager
    def target(self) -> Iterator[Target]:
        """Lend a target that nobody else uses meanwhile."""
        target = self._targets.get()
        try:
            yield target
        finally:
            self._targets.put(target)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let no other alarm ring meanwhile."""
        with self._ringing:
            yield

    def ring(self, target: Target, guardrail: str) -> tuple[float, float]:
        """Ring at a random moment; return when, and when the condition was off (epoch seconds)."""
        time.sleep(random.random())
        self.gameday.ring(guardrail)
        off_at = self.off_at(target)
        return self._rang_at(guardrail), off_at

    def off_at(self, target: Target, limit_seconds: float = LIMIT_SECONDS) -> float:
        """Return when a new client is served the resting configuration; infinity: it is not."""
        until = time.time() + limit_seconds
        while self.gameday.served(target) != OFF:
            if time.time() > until:
                return math.inf
            time.sleep(POLL_SECONDS)
        return time.time()

    def _rang_at(self, guardrail: str) -> float:
        def rang() -> list[str]:
            details = [message["detail"] for message in self._alarms.messages()]
            states = [found["state"] for found in details if found["alarmName"] == guardrail]
            return [state["timestamp"] for state in states if state["value"] == "ALARM"]

        return datetime.strptime(eventually(rang, 30)[0], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()

    def turn_off(self, target: Target) -> None:
        """Stop what is on, as a person does by hand."""
        self.gameday.client("appconfig").stop_deployment(
            ApplicationId=target.application,
            EnvironmentId=target.environment,
            DeploymentNumber=self.gameday.deployments(target),
            AllowRevert=True,
        )


# --- Gameday --------------------------------------------------------------------------------------


def gameday_reacts(stand: Stand, *, cold: bool) -> Reaction:
    """Let the guardrail of one run ring under load; return when the run has ended."""
    guardrail = stand.gameday.alarm()
    with stand.target() as target:
        name, execution = _under_load(stand, target, guardrail)
        with stand.alone():
            if cold:
                _forget_the_undo(stand)
            rang_at, off_at = stand.ring(target, guardrail)
            execution.wait_for("Generate recovery load")
        execution.wait()
    assert execution.verdict()["status"] == "ROLLED_BACK", execution.explained()
    recovers_at = next(
        event["timestamp"].timestamp()
        for event in execution.history()
        if event.get("stateEnteredEventDetails", {}).get("name") == "Generate recovery load"
    )
    return Reaction(
        off=off_at - rang_at,
        last_request=stand.arrivals.last(name, before=recovers_at) - rang_at,
        noted=float(execution.record()["fact_disabled_at"]) - rang_at,
    )


def _under_load(stand: Stand, target: Target, *guardrails: str) -> tuple[str, Execution]:
    """Start a run; return its name once its condition is on and its load arrives."""
    name = unique("bench")
    document = document_of(
        name,
        target,
        stand.arrivals.url(name),
        guardrails=guardrails,
        load={"rate_per_second": RATE_PER_SECOND},
        windows={"condition_seconds": 120},
    )
    execution = stand.gameday.start(document)
    execution.wait_for("Generate load")
    stand.arrivals.await_load(name)
    return name, execution


def _forget_the_undo(stand: Stand) -> None:
    """Make the next invocation of the undo a cold start, which an alarm meets on most days."""
    client, name = stand.gameday.client("lambda"), stand.gameday.resource("RollBackFunction")

    def configuration() -> Any:
        return client.get_function_configuration(FunctionName=name)

    # What a function is given is changed to what it was: its environments are all made anew.
    memory = configuration()["MemorySize"]
    client.update_function_configuration(FunctionName=name, MemorySize=memory)
    eventually(lambda: configuration()["LastUpdateStatus"] == "Successful")


def execution_is_stopped(stand: Stand) -> float:
    """Stop an execution under load; return the seconds until its condition is off."""
    return _dies(stand, Execution.stop)


def workers_are_killed(stand: Stand) -> float:
    """Kill every process that runs our functions; return the seconds until the condition is off."""
    return _dies(stand, lambda _: _kill_workers(stand))


def _dies(stand: Stand, kill: Callable[[Execution], None]) -> float:
    with stand.target() as target:
        _, execution = _under_load(stand, target)
        with stand.alone():
            died_at = time.time()
            kill(execution)
            off_at = stand.off_at(target)
        execution.wait()
        execution.event()
    return off_at - died_at


def _kill_workers(stand: Stand) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            ours = os.getpgid(int(process.name)) == stand.gameday.aws.pid
            if ours and b"ministack-lambda-gameday-" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


# --- Chaos Toolkit --------------------------------------------------------------------------------


def chaos_toolkit_reacts(stand: Stand, *, frequency_seconds: float) -> Reaction:
    """Let the alarm that a safeguard watches ring under load; return when Chaos Toolkit ended."""
    guardrail = stand.gameday.alarm()
    with (
        stand.target() as target,
        _chaos(stand, target, guardrail, frequency_seconds) as (name, process, journal),
    ):
        with stand.alone():
            rang_at, off_at = stand.ring(target, guardrail)
            process.wait(LIMIT_SECONDS)
        told = json.loads(journal.read_text())
        assert told["safeguards"]["triggered_by"] == "guardrail", told
    return Reaction(off=off_at - rang_at, last_request=stand.arrivals.last(name) - rang_at)


def chaos_toolkit_is_killed(
    stand: Stand, blow: signal.Signals, strategy: str, *, limit_seconds: float
) -> float:
    """Kill Chaos Toolkit under load; return the seconds until its condition is off."""
    guardrail = stand.gameday.alarm()
    with (
        stand.target() as target,
        _chaos(stand, target, guardrail, FASTEST_SECONDS, strategy) as (_, process, _),
    ):
        died_at = time.time()
        process.send_signal(blow)
        off_at = stand.off_at(target, limit_seconds)
        process.wait(LIMIT_SECONDS)
        if off_at == math.inf:
            stand.turn_off(target)
    return off_at - died_at


@contextmanager
def _chaos(
    stand: Stand,
    target: Target,
    guardrail: str,
    frequency_seconds: float,
    strategy: str = "always",
) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """Run Chaos Toolkit; yields once its condition is on and its load arrives."""
    name = unique("peer")
    document = _chaos_experiment(stand, target, name, guardrail, frequency_seconds)
    with tempfile.TemporaryDirectory() as folder:
        file, journal = Path(folder, "experiment.json"), Path(folder, "journal.json")
        file.write_text(json.dumps(document))
        command = ["--no-version-check", "--no-log-file", "--settings", "none.yaml", "run"]
        options = ["--rollback-strategy", strategy, "--journal-path", str(journal), str(file)]
        environment = stand.gameday.aws.environment() | {"PYTHONPATH": str(Path(__file__).parent)}
        with (
            Path(folder, "output").open("wb") as output,
            subprocess.Popen(
                [str(CHAOS), *command, *options],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ) as process,
        ):
            try:
                stand.arrivals.await_load(name)
                yield name, process, journal
            finally:
                process.kill()


def _chaos_experiment(
    stand: Stand, target: Target, name: str, guardrail: str, frequency_seconds: float
) -> object:
    """Return the same experiment as Chaos Toolkit has it."""

    def activity(type_: str, name: str, function: str, **arguments: object) -> dict[str, object]:
        module = "chaostoolkit_provider"
        provider = {"type": "python", "module": module, "func": function, "arguments": arguments}
        return {"type": type_, "name": name, "provider": provider}

    strategies = stand.gameday.client("appconfig").list_deployment_strategies()["Items"]
    strategy = next(item["Id"] for item in strategies if item["Name"] == "gameday-condition")
    probe = activity("probe", "guardrail", "alarm_state", alarm=guardrail)
    safeguard = probe | {"tolerance": "OK", "frequency": frequency_seconds}
    safeguards = {
        "type": "python",
        "module": "chaosaddons.controls.safeguards",
        "arguments": {"probes": [safeguard]},
    }
    enable = activity(
        "action",
        "enable",
        "enable",
        application=target.application,
        environment=target.environment,
        profile=target.profile,
        strategy=strategy,
        content=OFF | LATENCY,
    )
    load = activity(
        "action",
        "load",
        "load",
        url=stand.arrivals.url(name),
        rate_per_second=RATE_PER_SECOND,
        seconds=LIMIT_SECONDS,
    )
    return {
        "title": "Users get an answer",
        "description": "The latency of every answer is half a second more.",
        "controls": [{"name": "safeguards", "provider": safeguards}],
        "method": [enable, load],
        "rollbacks": [activity("action", "disable", "disable")],
    }


# --- all of it ------------------------------------------------------------------------------------


def measured(stand: Stand, *, runs: int, deaths: int, watched_seconds: float) -> Results:
    """Measure everything, one kind after the other."""

    def repeat[T](what: Callable[[], T], times: int, at_once: int, told: str) -> list[T]:
        started = time.monotonic()
        with ThreadPoolExecutor(at_once) as threads:
            found = list(threads.map(lambda _: what(), range(times)))
        print(f"{told}: {times} in {time.monotonic() - started:.0f} s.", flush=True)
        return found

    # The first run starts every function, and is not counted.
    repeat(partial(gameday_reacts, stand, cold=False), 1, 1, "The functions are there")
    cold = repeat(partial(gameday_reacts, stand, cold=True), runs, AT_ONCE, "Gameday, cold undo")
    fewer = max(5, runs // 5)
    warm = repeat(partial(gameday_reacts, stand, cold=False), fewer, AT_ONCE, "Gameday, warm undo")
    stopped = repeat(partial(execution_is_stopped, stand), deaths, deaths, "StopExecution")
    killed = repeat(partial(workers_are_killed, stand), deaths, 1, "Workers killed")
    # Else each alarm of the peer would also start our undo, on the same two cores.
    stand.gameday.client("events").disable_rule(
        Name=stand.gameday.resource("RollBackFunctionGuardrailRang")
    )
    fastest = repeat(
        partial(chaos_toolkit_reacts, stand, frequency_seconds=FASTEST_SECONDS),
        runs,
        PEERS_AT_ONCE,
        f"Chaos Toolkit, every {FASTEST_SECONDS} s",
    )
    documented = repeat(
        partial(chaos_toolkit_reacts, stand, frequency_seconds=DOCUMENTED_SECONDS),
        fewer,
        PEERS_AT_ONCE,
        f"Chaos Toolkit, every {DOCUMENTED_SECONDS} s",
    )
    blows = {
        "SIGTERM, `--rollback-strategy always`": (signal.SIGTERM, "always"),
        "SIGTERM, the default strategy": (signal.SIGTERM, "default"),
        "SIGKILL, `--rollback-strategy always`": (signal.SIGKILL, "always"),
    }
    died = {
        name: repeat(
            partial(chaos_toolkit_is_killed, stand, *blow, limit_seconds=watched_seconds),
            deaths,
            deaths,
            name,
        )
        for name, blow in blows.items()
    }
    return Results(
        reactions={
            "Gameday, the undo starts cold": cold,
            "Gameday, the undo is warm": warm,
            f"Chaos Toolkit, safeguard every {FASTEST_SECONDS:g} s": fastest,
            f"Chaos Toolkit, safeguard every {DOCUMENTED_SECONDS:g} s": documented,
        },
        deaths={
            "Gameday: StopExecution": stopped,
            "Gameday: SIGKILL to every process of our functions": killed,
            **{f"Chaos Toolkit: {name}": seconds for name, seconds in died.items()},
        },
        watched_seconds=watched_seconds,
    )


def main() -> None:
    """Measure, print the report, and write it unless it was a quick one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50, help="of each kind (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="5 runs; nothing is written")
    parser.add_argument("--remark", default="", help="about this machine, for the report")
    asked = parser.parse_args()
    before = os.getloadavg()[0]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, EmbeddedAws.start(Path(folder)) as aws:
        stand = Stand(aws)
        if asked.quick:
            results = measured(stand, runs=5, deaths=1, watched_seconds=10)
        else:
            results = measured(stand, runs=asked.runs, deaths=3, watched_seconds=20)
    where = "; ".join(filter(None, [machine(before), asked.remark]))
    report = render(results, where, time.monotonic() - started)
    print(report)
    if not asked.quick:
        REPORT.write_text(report)


if __name__ == "__main__":
    main()
