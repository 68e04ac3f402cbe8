from collections.abc import Callable
from typing import Any

import pytest

from gameday import load
from gameday.experiment import Phase
from gameday.observations import LoadReport
from gameday.runs import StopReason
from tests.steps.fakes import DOCUMENT, RUN, FakeEnvironment, handle

GIVEN = list[dict[str, Any]]


@pytest.fixture
def given(armed: FakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> GIVEN:
    """What the load was told, by a load that only reports whether it was stopped."""
    calls: GIVEN = []

    def generate(_: object, *, stopped: Callable[[], bool], **told: Any) -> LoadReport:
        calls.append(told)
        armed.note_load(told["phase"])
        report = LoadReport.model_validate(armed.run.facts[f"{told['phase']}_load"])
        return report.model_copy(update={"stopped": stopped()})

    monkeypatch.setattr(load, "generate_load", generate)
    return calls


@pytest.mark.parametrize(
    ("phase", "warm_up_seconds", "window_seconds"),
    [("baseline", 10, 60), ("condition", 60, 60), ("recovery", 0, 120)],
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
    armed.runs.note(RUN, execution_ended=StopReason.ABORTED)
    assert is_stopped(armed, Phase.RECOVERY)


@pytest.mark.usefixtures("given")
def test_an_unknown_phase_is_an_error(armed: FakeEnvironment) -> None:
    with pytest.raises(ValueError, match="warmup"):
        handle(armed, "generate_load", run_id=RUN, phase="warmup")
