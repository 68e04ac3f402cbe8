import pytest

from gameday.experiment import Phase
from tests.steps.fakes import RUN, FakeEnvironment, handle


@pytest.mark.parametrize(("p95", "steady"), [(399.0, True), (400.0, False), (None, False)])
def test_the_system_is_steady_when_every_measure_holds(
    armed: FakeEnvironment, p95: float | None, steady: bool
) -> None:
    armed.note_load(Phase.BASELINE)
    if p95 is not None:
        armed.cloudwatch.values["Latency", "p95", "baseline"] = p95
    assert handle(armed, "snapshot_baseline", run_id=RUN) == {"steady": steady}
    (judgement,) = armed.run.facts["baseline"]
    assert judgement["observed"] == p95
