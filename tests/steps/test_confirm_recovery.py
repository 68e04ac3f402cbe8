from typing import Any

import pytest

from gameday.experiment import Phase
from tests.steps.fakes import RUN, STARTED_AT, FakeEnvironment, handle


@pytest.mark.parametrize(
    ("p95", "recovery"),
    [
        (120.0, {"recovered": True, "seconds": 20.0}),
        (450.0, {"recovered": False, "seconds": None}),
    ],
)
def test_the_system_is_back_since_the_slice_in_which_every_measure_holds_again(
    armed: FakeEnvironment, p95: float, recovery: dict[str, Any]
) -> None:
    armed.note_load(Phase.RECOVERY)
    armed.runs.note(RUN, disabled_at=STARTED_AT + 100)
    armed.cloudwatch.values["Latency", "p95", "recovery"] = p95
    handle(armed, "confirm_recovery", run_id=RUN)
    assert armed.run.facts["recovery"] == recovery
