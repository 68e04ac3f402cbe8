"""A run of one row: its switch before and after, what a probe sees meanwhile, and the verdict."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from cli.embedded.aws import EmbeddedAws
from gameday.experiment import parse
from tests.integration.runs import Execution, Gameday, eventually, unique
from tests.interop.rows import (
    APPLICATION,
    PARAMETERS,
    PROFILES,
    Answer,
    Json,
    Measured,
    Row,
    resolved,
)

_PROBE_SECONDS = 0.5
_WAKE_LIMIT_SECONDS = 60


def make_switches(aws: EmbeddedAws) -> str:
    """Make every parameter and profile, at rest; return the id of the AppConfig application."""
    ssm, appconfig = aws.client("ssm"), aws.client("appconfig")
    for name, resting in PARAMETERS.items():
        ssm.put_parameter(Name=name, Type="String", Value=json.dumps(resting))
    application = appconfig.create_application(Name=APPLICATION)["Id"]
    strategy = appconfig.create_deployment_strategy(
        Name="at-once", DeploymentDurationInMinutes=0, GrowthFactor=100, ReplicateTo="NONE"
    )["Id"]
    for name, (kind, resting) in PROFILES.items():
        profile = appconfig.create_configuration_profile(
            ApplicationId=application, Name=name, LocationUri="hosted", Type=kind
        )["Id"]
        version = appconfig.create_hosted_configuration_version(
            ApplicationId=application,
            ConfigurationProfileId=profile,
            Content=json.dumps(resting).encode(),
            ContentType="application/json",
        )["VersionNumber"]
        appconfig.start_deployment(
            ApplicationId=application,
            EnvironmentId=appconfig.create_environment(ApplicationId=application, Name=name)["Id"],
            ConfigurationProfileId=profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=strategy,
        )
    return str(application)


@dataclass(frozen=True)
class Lab:
    """Gameday's stack, and the functions under test."""

    gameday: Gameday
    outputs: dict[str, str]

    def url(self, row: Row) -> str:
        return f"{self.outputs['Api']}/{row.function}{row.query}"

    def switch(self, row: Row) -> Any:
        """Return everything that the condition's kind may change."""
        condition, client = row.condition, self.gameday.client
        match condition["kind"]:
            case "appconfig" | "flag":
                data, name = client("appconfigdata"), condition["profile"]
                token = data.start_configuration_session(
                    ApplicationIdentifier=APPLICATION,
                    EnvironmentIdentifier=name,
                    ConfigurationProfileIdentifier=name,
                )["InitialConfigurationToken"]
                served = data.get_latest_configuration(ConfigurationToken=token)
                return json.loads(served["Configuration"].read())
            case "parameter":
                found = client("ssm").get_parameter(Name=condition["parameter"])
                return found["Parameter"]["Value"]
        name = self.outputs[row.function]
        function = client("lambda").get_function_configuration(FunctionName=name)
        reserved = client("lambda").get_function_concurrency(FunctionName=name)
        policies = client("iam").list_role_policies(RoleName=self.outputs["PlainRole"])
        return (
            {key: function[key] for key in ("Timeout", "MemorySize", "Environment")},
            reserved.get("ReservedConcurrentExecutions"),
            policies["PolicyNames"],
        )

    def run(self, row: Row) -> Outcome:
        """Run the row's experiment from its start to its verdict."""
        before = self.switch(row)
        with probing(self.url(row)) as answers:
            execution = self.gameday.start(self._experiment(row))
            execution.wait()
            verdict = execution.verdict()
            time.sleep(2 * _PROBE_SECONDS)
        return Outcome(row, execution, verdict, before, self.switch(row), tuple(answers))

    def _experiment(self, row: Row) -> Json:
        measure = {
            "name": "answers",
            "kind": "rate",
            "metric": "Succeeded",
            "per": "minute",
            "operator": ">=",
            "threshold": 30,  # of 120
        }
        return {
            "name": unique("interop"),
            "objective": "Users get an answer",
            "condition": {
                "function": self.outputs[row.function],
                "propagation_seconds": row.propagation_seconds,
                **resolved(row.condition, self.outputs),
            },
            "load": {"url": self.url(row), "rate_per_second": 2, "warm_up_seconds": 2},
            "measures": [measure],
            "windows": {
                "baseline_seconds": 10,
                "condition_seconds": 10,
                "settle_seconds": 1,
                "recovery_seconds": 10,
            },
        }


@dataclass(frozen=True)
class Outcome:
    """What came of a run, and what the probe saw."""

    row: Row
    execution: Execution
    verdict: Json
    before: Any
    after: Any
    answers: Sequence[Answer]

    def entered(self, state: str) -> float:
        """Return when the run entered a state."""
        return next(
            float(event["timestamp"].timestamp())
            for event in self.execution.history()
            if event.get("stateEnteredEventDetails", {}).get("name") == state
        )

    def measured(self) -> Measured:
        """Return the row of the document; an error where the probe saw no condition, or no end."""
        enabling, disabling = self.entered("Enable condition"), self.entered("Disable condition")
        pairs = zip(self.answers[1:], self.answers, strict=False)
        shown = [(answer, self.row.seen(answer, before)) for answer, before in pairs]
        quiet = [a for a, seen in shown if not seen and a.at < disabling]
        on = next(a for a, seen in shown if seen and a.at > max(q.at for q in quiet))
        assert on.at < disabling, f"the probe saw nothing of {self.row}: {self.told()}"
        last = max(answer.at for answer, seen in shown if seen)
        assert shown[-1][0].at > max(last, disabling), f"{self.row} did not end: {self.told()}"
        under = [answer for answer, seen in shown if seen and answer.at < disabling]
        rested = [answer for answer, seen in shown if not seen and answer.at < enabling]
        return Measured(
            row=self.row,
            verdict=self.verdict["verdict"],
            effect=_effect(rested, under),
            on_seconds=on.at - enabling,
            off_seconds=max(0.0, last - disabling),
            evidence=self._evidence(),
        )

    def _evidence(self) -> str:
        experiment = parse(json.loads(str(self.execution.record()["experiment"])))
        proof = experiment.condition.proofs[self.row.mode]
        counted = self.verdict["evidence"][self.row.mode] or 0
        return f"{proof.namespace} {proof.name}: {counted:g}"

    def told(self) -> str:
        """Return what the probe saw, second by second, for a person who wonders why."""
        enabling = self.entered("Enable condition")
        return " ".join(f"{a.at - enabling:+.1f}:{a.status}/{a.ms:.0f}ms" for a in self.answers)


def _effect(rested: Sequence[Answer], under: Sequence[Answer]) -> str:
    """What changed, in few words: the answer, and what the function tells of itself."""
    before, then = _usual(rested), _usual(under)
    told = [f"{before.status} in {before.ms:.0f} ms → {then.status} in {then.ms:.0f} ms"]
    if before.status == then.status == 200:
        for key in sorted({*(before.body or {}), *(then.body or {})} - {"files_left"}):
            if before.of(key) != then.of(key):
                told.append(f"{key} {_value(before, key)} → {_value(then, key)}")
    return ", ".join(told)


def _value(answer: Answer, key: str) -> str:
    return json.dumps(answer.of(key)) if key in (answer.body or {}) else "none"


def _usual(answers: Sequence[Answer]) -> Answer:
    """The most frequent answer, with the median of the time that it took."""
    (status, _), *_ = Counter(answer.status for answer in answers).most_common(1)
    same = [answer for answer in answers if answer.status == status]
    return replace(same[-1], ms=median(answer.ms for answer in same))


@contextmanager
def probing(url: str) -> Iterator[list[Answer]]:
    """Ask twice a second until the end of the block; the first answer is waited for."""
    answers: list[Answer] = []
    over = threading.Event()

    def probe() -> None:
        while not over.wait(_PROBE_SECONDS):
            answers.append(_ask(url))

    eventually(lambda: _ask(url).status == 200, _WAKE_LIMIT_SECONDS)
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def _ask(url: str) -> Answer:
    at, started = time.time(), time.perf_counter()
    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            status, text = reply.status, reply.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    except OSError:  # no answer is one, too: the probe goes on
        status, text = 0, b""
    ms = 1000 * (time.perf_counter() - started)
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    return Answer(at, status, ms, body if isinstance(body, dict) else None)
