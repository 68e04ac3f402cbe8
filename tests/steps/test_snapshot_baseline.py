import pytest

from gameday.experiment import Phase
from gameday.steps import judgements_of
from tests.steps.fakes import RUN, FakeEnvironment, handle


@pytest.mark.parametrize(("latency", "steady"), [(399.0, True), (400.0, False), (None, False)])
def test_the_system_is_steady_when_every_measure_holds(
    armed: FakeEnvironment, latency: float | None, steady: bool
) -> None:
    armed.note_load(Phase.BASELINE)
    if latency is not None:
        armed.cloudwatch.loaded(Phase.BASELINE, latency)
    assert handle(armed, "snapshot_baseline", run_id=RUN) == {"steady": steady}
    (judgement,) = judgements_of(armed.run, "baseline") or ()
    assert judgement.observed == latency
