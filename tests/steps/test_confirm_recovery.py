from collections.abc import Iterator

import pytest

from gameday import steps
from gameday.experiment import Phase
from gameday.steps import judgements_of
from tests.steps.fakes import RUN, STARTED_AT, CloudWatch, FakeEnvironment, handle


@pytest.fixture
def evaluated(armed: FakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> FakeEnvironment:
    """A run whose condition was turned off after its measures had been evaluated."""
    monkeypatch.setattr(steps, "_SETTLING_SECONDS", (0, 0, 0))
    for phase in Phase:
        armed.note_load(phase)
        armed.cloudwatch.loaded(phase, 120)
    handle(armed, "snapshot_baseline", run_id=RUN)
    handle(armed, "evaluate_measures", run_id=RUN)
    armed.runs.note(RUN, disabled_at=STARTED_AT + 100)
    return armed


def recovery(environment: FakeEnvironment) -> tuple[bool, float | None]:
    handle(environment, "confirm_recovery", run_id=RUN)
    found = environment.run.facts["recovery"]
    return found["recovered"], found["seconds"]


@pytest.mark.parametrize(
    ("latency", "expected"),
    [(120, (True, 20.0)), (190, (True, 20.0)), (191, (False, None)), (450, (False, None))],
)
def test_the_system_is_back_when_it_uses_a_quarter_of_the_room_over_its_baseline_at_most(
    evaluated: FakeEnvironment, latency: float, expected: tuple[bool, float | None]
) -> None:
    evaluated.cloudwatch.loaded(Phase.RECOVERY, latency)
    assert recovery(evaluated) == expected


def test_data_that_stays_the_same_has_settled(evaluated: FakeEnvironment) -> None:
    before = evaluated.cloudwatch.calls
    recovery(evaluated)
    assert evaluated.run.facts["settled"] is True
    assert evaluated.cloudwatch.calls - before == 2 + 2  # slices, and both windows once more


def test_data_that_came_late_decides(evaluated: FakeEnvironment) -> None:
    evaluated.cloudwatch.loaded(Phase.CONDITION, 450)
    recovery(evaluated)
    (judgement,) = judgements_of(evaluated.run, "judgements") or ()
    assert (evaluated.run.facts["settled"], judgement.verdict) == (True, "FAILED")


def test_data_that_never_stays_the_same_has_not_settled(
    evaluated: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = _moving(evaluated.cloudwatch)
    real = CloudWatch.paginate

    def paginate(self: CloudWatch, **asked: object) -> object:
        next(moving)
        return real(self, **asked)  # type: ignore[arg-type]

    monkeypatch.setattr(CloudWatch, "paginate", paginate)
    recovery(evaluated)
    assert evaluated.run.facts["settled"] is False


def _moving(cloudwatch: CloudWatch) -> Iterator[None]:
    for latency in range(121, 200):
        cloudwatch.loaded(Phase.CONDITION, latency)
        yield
