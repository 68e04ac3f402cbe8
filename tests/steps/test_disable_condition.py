import pytest

from gameday.errors import ConditionNotDisabled, ConfigurationChanged
from gameday.runs import StopReason
from tests.steps.fakes import ALARM, RUN, FakeEnvironment, handle


def test_the_condition_is_off_and_the_target_free(armed: FakeEnvironment) -> None:
    handle(armed, "enable_condition", run_id=RUN)
    assert handle(armed, "disable_condition", run_id=RUN) == {"was_on": True}
    assert armed.appconfig.state == "REVERTED"
    assert armed.deadlines.runs == set()
    assert armed.runs.protected_by(ALARM) == []
    armed.arm("run-2")


def test_what_was_never_enabled_was_not_on(armed: FakeEnvironment) -> None:
    assert handle(armed, "disable_condition", run_id=RUN) == {"was_on": False}
    assert armed.run.facts["found_when_disabled"] == "NEVER"


def test_off_and_proven_is_not_proven_again(armed: FakeEnvironment) -> None:
    handle(armed, "enable_condition", run_id=RUN)
    handle(armed, "disable_condition", run_id=RUN)
    facts = armed.run.facts
    assert handle(armed, "disable_condition", run_id=RUN) == {"was_on": True}
    assert armed.run.facts == facts
    assert facts["found_when_disabled"] == "BAKING"
    assert armed.appconfig.disabled == 1


def test_a_condition_that_came_on_after_a_first_undo_is_turned_off(
    armed: FakeEnvironment,
) -> None:
    handle(armed, "disable_condition", run_id=RUN)
    armed.appconfig.state = "DEPLOYING"
    handle(armed, "disable_condition", run_id=RUN)
    assert armed.run.facts["found_when_disabled"] == "DEPLOYING"


def test_the_first_reason_to_stop_stays(armed: FakeEnvironment) -> None:
    armed.runs.stop(RUN, StopReason.GUARDRAIL)
    handle(armed, "disable_condition", run_id=RUN)
    assert armed.run.stop_reason is StopReason.GUARDRAIL


def test_what_is_not_proven_off_keeps_its_lock_and_its_deadline(armed: FakeEnvironment) -> None:
    armed.appconfig.failure = ConditionNotDisabled("still DEPLOYING")
    with pytest.raises(ConditionNotDisabled):
        handle(armed, "disable_condition", run_id=RUN)
    assert armed.deadlines.runs == {RUN}
    assert armed.runs.protected_by(ALARM) == [RUN]
    assert "disabled_at" not in armed.run.facts


def test_a_retry_keeps_what_was_found_before_the_first_stop(armed: FakeEnvironment) -> None:
    handle(armed, "enable_condition", run_id=RUN)
    armed.appconfig.failure = ConditionNotDisabled("still served")
    with pytest.raises(ConditionNotDisabled):
        handle(armed, "disable_condition", run_id=RUN)
    armed.appconfig.failure, armed.appconfig.state = None, "ROLLED_BACK"
    handle(armed, "disable_condition", run_id=RUN)
    assert armed.run.facts["found_when_disabled"] == "BAKING"


def test_what_somebody_else_deployed_is_left_and_said(armed: FakeEnvironment) -> None:
    armed.appconfig.failure = ConfigurationChanged("deployment 7 replaced it")
    with pytest.raises(ConfigurationChanged):
        handle(armed, "disable_condition", run_id=RUN)
    assert armed.run.facts["found_when_disabled"] == "REPLACED"
    assert armed.deadlines.runs == set()
    armed.arm("run-2")
