import pytest

from gameday.errors import ConditionNotDisabled, ConfigurationChanged, RunRefused
from gameday.runs import StopReason
from tests.steps.fakes import ALARM, RUN, FakeEnvironment, handle


def test_the_condition_is_off_and_no_guardrail_concerns_the_run(watched: FakeEnvironment) -> None:
    handle(watched, "enable_condition", run_id=RUN)
    assert handle(watched, "disable_condition", run_id=RUN) == {"was_on": True}
    assert watched.appconfig.state == "REVERTED"
    assert watched.runs.protected_by(ALARM) == []


def test_the_target_stays_locked_while_recovery_is_measured(watched: FakeEnvironment) -> None:
    handle(watched, "disable_condition", run_id=RUN)
    with pytest.raises(RunRefused, match=f"run '{RUN}' holds"):
        watched.arm("run-2")
    assert watched.deadlines.runs == {RUN}


def test_what_was_never_enabled_was_not_on(watched: FakeEnvironment) -> None:
    assert handle(watched, "disable_condition", run_id=RUN) == {"was_on": False}
    assert "found_when_disabled" not in watched.run.facts


def test_off_and_proven_is_not_proven_again(watched: FakeEnvironment) -> None:
    handle(watched, "enable_condition", run_id=RUN)
    handle(watched, "disable_condition", run_id=RUN)
    facts = watched.run.facts
    assert handle(watched, "disable_condition", run_id=RUN) == {"was_on": True}
    assert watched.run.facts == facts
    assert facts["found_when_disabled"] == "BAKING"
    assert watched.appconfig.disabled == 1


def test_a_condition_that_came_on_after_a_first_undo_is_turned_off(
    watched: FakeEnvironment,
) -> None:
    handle(watched, "disable_condition", run_id=RUN)
    watched.appconfig.state = "DEPLOYING"
    handle(watched, "disable_condition", run_id=RUN)
    assert watched.run.facts["found_when_disabled"] == "DEPLOYING"


def test_the_first_reason_to_stop_stays(watched: FakeEnvironment) -> None:
    watched.runs.stop(RUN, StopReason.GUARDRAIL)
    handle(watched, "disable_condition", run_id=RUN)
    assert watched.run.stop_reason is StopReason.GUARDRAIL


def test_what_is_not_proven_off_keeps_its_lock_and_its_deadline(watched: FakeEnvironment) -> None:
    watched.appconfig.failure = ConditionNotDisabled("still DEPLOYING")
    with pytest.raises(ConditionNotDisabled):
        handle(watched, "disable_condition", run_id=RUN)
    assert watched.deadlines.runs == {RUN}
    assert watched.runs.protected_by(ALARM) == [RUN]
    assert "disabled_at" not in watched.run.facts


def test_a_retry_keeps_what_was_found_before_the_first_stop(watched: FakeEnvironment) -> None:
    handle(watched, "enable_condition", run_id=RUN)
    watched.appconfig.failure = ConditionNotDisabled("still served")
    with pytest.raises(ConditionNotDisabled):
        handle(watched, "disable_condition", run_id=RUN)
    watched.appconfig.failure, watched.appconfig.state = None, "ROLLED_BACK"
    handle(watched, "disable_condition", run_id=RUN)
    assert watched.run.facts["found_when_disabled"] == "BAKING"


def test_what_somebody_else_deployed_is_left_and_said(watched: FakeEnvironment) -> None:
    watched.appconfig.failure = ConfigurationChanged("deployment 7 replaced it")
    with pytest.raises(ConfigurationChanged):
        handle(watched, "disable_condition", run_id=RUN)
    facts = watched.run.facts
    assert facts["found_when_disabled"] == "REPLACED"
    assert facts["replaced"] == "deployment 7 replaced it"
