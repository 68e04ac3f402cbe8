import pytest

from gameday.errors import RunStopped
from gameday.runs import StopReason
from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_condition_expires_with_the_run(armed: FakeEnvironment) -> None:
    handle(armed, "enable_condition", run_id=RUN)
    assert armed.appconfig.state == "BAKING"
    assert armed.appconfig.expires_at == armed.run.deadline


def test_what_was_changed_is_in_the_record(armed: FakeEnvironment) -> None:
    handle(armed, "enable_condition", run_id=RUN)
    change = armed.run.change
    assert change
    assert (change.version, change.deployment) == (1, 1)
    assert "enabled_at" in armed.run.facts


def test_nothing_is_enabled_in_a_run_that_was_stopped(armed: FakeEnvironment) -> None:
    armed.runs.stop(RUN, StopReason.GUARDRAIL)
    with pytest.raises(RunStopped):
        handle(armed, "enable_condition", run_id=RUN)
    assert armed.appconfig.state == "NEVER"
    assert "enabled_at" not in armed.run.facts
