import dataclasses
import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from gameday import load
from gameday.errors import MetricsNotPublished, SecretNotRead, WorkerLost
from gameday.experiment import Load, Phase
from gameday.observability import logger
from gameday.observations import LoadReport
from gameday.runs import StopReason
from gameday.scale import HEAD_START_SECONDS
from tests.steps.fakes import DOCUMENT, RUN, FakeEnvironment, handle, report

GIVEN = list[dict[str, Any]]


@pytest.fixture
def given(armed: FakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> GIVEN:
    """What the load was told, by a load that only reports whether it was stopped."""
    calls: GIVEN = []

    def generate(sent: Load, *, stopped: Callable[[], bool], **told: Any) -> LoadReport:
        calls.append({**told, "load": sent})
        return report(told["phase"]).model_copy(update={"stopped": stopped()})

    monkeypatch.setattr(load, "generate_load", generate)
    return calls


@pytest.mark.parametrize(
    ("phase", "warm_up_seconds", "window_seconds"),
    [("baseline", 10, 60), ("condition", 10, 60), ("recovery", 0, 120)],
)
def test_each_phase_has_its_window_and_warm_up(
    armed: FakeEnvironment, given: GIVEN, phase: str, warm_up_seconds: int, window_seconds: int
) -> None:
    handle(armed, "generate_load", run_id=RUN, phase=phase)
    (told,) = given
    assert (told["warm_up_seconds"], told["window_seconds"]) == (warm_up_seconds, window_seconds)
    assert armed.run.facts[f"{phase}_load"]["offered"] == 300


def test_the_judged_windows_are_one_period(armed: FakeEnvironment, given: GIVEN) -> None:
    for phase in Phase:
        handle(armed, "generate_load", run_id=RUN, phase=phase.value)
    assert [told["one_period"] for told in given] == [True, True, True]


def test_a_recovery_of_seconds_waits_for_no_minute(
    armed: FakeEnvironment, given: GIVEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed.runs.release(armed.run)
    monkeypatch.setitem(DOCUMENT, "windows", {"recovery_seconds": 18})
    armed.arm("run-2")
    handle(armed, "generate_load", run_id="run-2", phase="recovery")
    assert [told["one_period"] for told in given] == [False]


def test_what_is_signed_has_an_account(
    armed: FakeEnvironment, given: GIVEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed.runs.release(armed.run)
    monkeypatch.setitem(DOCUMENT, "load", {"function": "images"})
    armed.arm("run-2")
    for run_id in (RUN, "run-2"):
        handle(armed, "generate_load", run_id=run_id, phase="baseline")
    assert [told["account"] for told in given] == [None, armed.account]


def is_stopped(armed: FakeEnvironment, phase: Phase) -> bool:
    handle(armed, "generate_load", run_id=RUN, phase=phase.value)
    stopped: bool = armed.run.facts[f"{phase}_load"]["stopped"]
    return stopped


@pytest.mark.usefixtures("given")
@pytest.mark.parametrize("phase", [Phase.BASELINE, Phase.CONDITION])
def test_the_load_stops_when_the_run_is_stopped(armed: FakeEnvironment, phase: Phase) -> None:
    assert not is_stopped(armed, phase)
    armed.runs.stop(RUN, StopReason.GUARDRAIL)
    assert is_stopped(armed, phase)


@pytest.mark.usefixtures("given")
def test_the_recovery_load_stops_when_the_execution_has_ended(armed: FakeEnvironment) -> None:
    armed.runs.stop(RUN, StopReason.FINISHED)
    assert not is_stopped(armed, Phase.RECOVERY)
    armed.runs.end(RUN)
    assert is_stopped(armed, Phase.RECOVERY)


@pytest.mark.usefixtures("given")
def test_an_unknown_phase_is_an_error(armed: FakeEnvironment) -> None:
    with pytest.raises(ValueError, match="warmup"):
        handle(armed, "generate_load", run_id=RUN, phase="warmup")


# -- one of several workers


@pytest.fixture
def shared(environment: FakeEnvironment) -> FakeEnvironment:
    """The environment after a run was armed whose load takes three workers."""
    environment.arm(rate_per_second=6000)
    return environment


@pytest.fixture
def told(shared: FakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> GIVEN:
    """What each worker was told, of those that reported their load."""
    calls: GIVEN = []

    def generate(_: object, **told: Any) -> LoadReport:
        calls.append(told)
        return report(told["phase"], offered=100)

    monkeypatch.setattr(load, "generate_load", generate)
    return calls


def call(environment: FakeEnvironment, *parts: int, phase: Phase = Phase.BASELINE) -> None:
    at = "2027-01-15T08:00:00.250Z"
    for part in parts:
        handle(environment, "generate_load", run_id=RUN, phase=phase.value, part=part, called_at=at)


def test_workers_have_shares_of_one_window_that_begins_at_one_moment(
    shared: FakeEnvironment, told: GIVEN
) -> None:
    call(shared, 0, 1, 2)
    assert [each["share"].index for each in told] == [0, 1, 2]
    (rest,) = {dataclasses.replace(each["share"], index=0) for each in told}
    begins = 1_800_000_000.25 + HEAD_START_SECONDS
    assert (rest.workers, rest.start_at, rest.from_second, rest.until_second) == (3, begins, 0, 60)


def test_their_reports_are_added_up_when_they_are_read(
    shared: FakeEnvironment, told: GIVEN
) -> None:
    call(shared, 0, 1, 2)
    assert "baseline_load" not in shared.run.facts
    handle(shared, "snapshot_baseline", run_id=RUN)
    assert shared.run.facts["baseline_load"]["offered"] == 300
    assert shared.run.facts["baseline_reports"] == 3


def test_they_are_added_up_once(shared: FakeEnvironment, told: GIVEN) -> None:
    call(shared, 0, 1)
    handle(shared, "snapshot_baseline", run_id=RUN)
    call(shared, 2)  # it comes late: what was judged stays
    handle(shared, "snapshot_baseline", run_id=RUN)
    assert shared.run.facts["baseline_load"]["offered"] == 200


def test_a_worker_that_is_called_again_after_its_report_sends_nothing(
    shared: FakeEnvironment, told: GIVEN
) -> None:
    call(shared, 0, 1, 2, 1)
    assert len(told) == 3
    handle(shared, "snapshot_baseline", run_id=RUN)
    assert shared.run.facts["baseline_load"]["offered"] == 300


def test_a_worker_that_is_called_again_without_a_report_is_lost(
    shared: FakeEnvironment, told: GIVEN, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: object, **__: Any) -> LoadReport:
        raise SystemExit

    monkeypatch.setattr(load, "generate_load", die)
    with pytest.raises(SystemExit):
        call(shared, 1)
    with pytest.raises(WorkerLost, match="worker 1 of the baseline load"):
        call(shared, 1)


def test_the_verdict_says_why_a_worker_failed_where_a_distributed_map_does_not(
    shared: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, **__: Any) -> LoadReport:
        raise MetricsNotPublished("CloudWatch did not take the metrics")

    monkeypatch.setattr(load, "generate_load", fail)
    with pytest.raises(MetricsNotPublished):
        call(shared, 1)
    failure = {"Error": "States.ExceedToleratedFailureThreshold", "Cause": "of 1 item"}
    verdict = handle(shared, "publish_verdict", run_id=RUN, failure=failure)
    assert verdict["reason"].endswith(": MetricsNotPublished: CloudWatch did not take the metrics")


def test_a_worker_that_did_not_report_makes_the_run_inconclusive(
    shared: FakeEnvironment, told: GIVEN
) -> None:
    call(shared, 0, 1, 2)
    shared.cloudwatch.loaded(Phase.BASELINE, 100)
    handle(shared, "snapshot_baseline", run_id=RUN)
    call(shared, 0, 2, phase=Phase.CONDITION)
    shared.cloudwatch.loaded(Phase.CONDITION, 100)
    handle(shared, "evaluate_measures", run_id=RUN)
    handle(shared, "disable_condition", run_id=RUN)
    verdict = handle(shared, "publish_verdict", run_id=RUN, failure=None)
    assert verdict["verdict"] == "INCONCLUSIVE"
    assert "1 of the load's workers did not report what they sent" in verdict["reason"]


# -- secrets


def test_a_secret_reaches_the_request_and_neither_record_nor_log(
    environment: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    sent: list[Load] = []

    def generate(what: Load, **told: Any) -> LoadReport:
        sent.append(what)
        return report(told["phase"])

    monkeypatch.setattr(load, "generate_load", generate)
    environment.arm(headers={"X-Token": "${ssm:/shop/token}"})
    handle(environment, "generate_load", run_id=RUN, phase="baseline")
    assert sent[0].headers == {"X-Token": "hush"}
    kept = json.dumps(environment.runs._table.scan()["Items"], default=str)
    assert "${ssm:/shop/token}" in kept
    assert "load generated" in log.getvalue()
    assert "hush" not in kept + log.getvalue()


def test_a_secret_that_is_gone_generates_no_load(armed: FakeEnvironment, given: GIVEN) -> None:
    armed.runs.release(armed.run)
    armed.arm("run-2", body="${ssm:/gone}", method="POST")
    with pytest.raises(SecretNotRead, match="/gone} cannot be read: ParameterNotFound"):
        handle(armed, "generate_load", run_id="run-2", phase="baseline")
    assert given == []
