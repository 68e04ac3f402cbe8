from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from gameday import steps
from gameday.errors import ConditionNotDisabled, ConfigurationChanged, RunRefused
from gameday.experiment import Phase
from gameday.runs import StopReason
from tests.steps.fakes import ALARM, RUN, STAYING, FakeEnvironment, handle


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


# -- a flag that stays on where its run PASSED ----------------------------------------------------

FAILURE = {"Error": "MeasureNotRead", "Cause": "CloudWatch answered Forbidden"}
CHECKOUT = {
    "application": "shop",
    "environment": "production",
    "profile": "flags",
    "flag": "checkout",
    "variant": None,
    "deployment": 1,
}


@pytest.fixture
def on(environment: FakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> FakeEnvironment:
    """A run whose flag is on and whose measure holds, before it is decided on."""
    monkeypatch.setattr(steps, "_SETTLING_SECONDS", (0, 0))
    environment.arm(document=STAYING)
    environment.runs.watch(RUN, "t")
    for phase, latency in ((Phase.BASELINE, 120), (Phase.CONDITION, 350)):
        environment.note_load(phase)
        environment.cloudwatch.loaded(phase, latency)
    environment.cloudwatch.invoked(300)
    handle(environment, "snapshot_baseline", run_id=RUN)
    handle(environment, "enable_condition", run_id=RUN)
    return environment


def evaluate(environment: FakeEnvironment) -> Any:
    return handle(environment, "evaluate_measures", run_id=RUN)


def disable(environment: FakeEnvironment, failure: dict[str, str] | None = None) -> Any:
    return handle(environment, "disable_condition", run_id=RUN, failure=failure)


def publish(environment: FakeEnvironment) -> Any:
    return handle(environment, "publish_verdict", run_id=RUN, failure=None)


def turned_back(environment: FakeEnvironment) -> bool:
    return environment.appconfig.state == "REVERTED" and not environment.run.stays


def test_a_flag_stays_on_where_its_run_passed(on: FakeEnvironment) -> None:
    assert evaluate(on) == {"may_stay": True}
    assert disable(on) == {"was_on": False}
    assert (on.appconfig.state, on.appconfig.disabled, on.run.stays) == ("BAKING", 0, True)


def test_the_verdict_says_where_it_stays(on: FakeEnvironment) -> None:
    evaluate(on)
    disable(on)
    verdict = publish(on)
    assert (verdict["verdict"], verdict["status"]) == ("PASSED", "COMPLETED")
    assert verdict["condition"]["stays_on"] == CHECKOUT
    assert verdict["condition"]["disabled_at"] is None
    assert "flag 'checkout' stays" in verdict["reason"]


def test_the_verdict_is_kept_before_the_target_is_given_up(on: FakeEnvironment) -> None:
    evaluate(on)
    disable(on)
    assert on.run.facts["verdict"]["verdict"] == "PASSED"
    assert on.deadlines.runs == {RUN}
    with pytest.raises(RunRefused, match=f"run '{RUN}' holds"):
        on.arm("run-2")


def test_with_the_verdict_the_run_is_over_and_the_flag_on(on: FakeEnvironment) -> None:
    evaluate(on)
    disable(on)
    publish(on)
    assert (on.appconfig.state, on.deadlines.runs) == ("BAKING", set())
    assert on.runs.protected_by(ALARM) == []
    on.arm("run-2")


@pytest.mark.parametrize("reason", list(StopReason))
def test_what_stays_is_turned_back_by_no_road(on: FakeEnvironment, reason: StopReason) -> None:
    evaluate(on)
    disable(on)
    steps.undo(on, RUN, reason)  # type: ignore[arg-type]
    assert (on.appconfig.disabled, on.run.stop_reason) == (0, None)


def test_the_record_of_a_flag_that_stays_does_not_expire(on: FakeEnvironment) -> None:
    evaluate(on)
    disable(on)
    item = on.runs._item(f"run#{RUN}", "run")
    assert item
    assert "expires_at" not in item


# -- turned back ----------------------------------------------------------------------------------


def test_a_flag_of_which_the_first_look_failed_is_not_waited_for(on: FakeEnvironment) -> None:
    on.cloudwatch.loaded(Phase.CONDITION, 450)
    assert evaluate(on) == {"may_stay": False}
    assert disable(on) == {"was_on": True}
    assert turned_back(on)


def test_a_flag_whose_settled_data_fails_is_turned_back(on: FakeEnvironment) -> None:
    evaluate(on)
    on.cloudwatch.loaded(Phase.CONDITION, 450)
    assert disable(on) == {"was_on": True}
    assert turned_back(on)
    assert publish(on)["verdict"] == "FAILED"


def test_a_flag_that_nobody_read_is_turned_back(on: FakeEnvironment) -> None:
    on.cloudwatch.invoked(0)
    evaluate(on)
    disable(on)
    assert turned_back(on)
    assert publish(on)["verdict"] == "INCONCLUSIVE"


def test_a_flag_whose_run_broke_is_turned_back(on: FakeEnvironment) -> None:
    evaluate(on)
    disable(on, FAILURE)
    assert turned_back(on)


def test_a_flag_whose_measures_were_not_evaluated_is_turned_back(on: FakeEnvironment) -> None:
    disable(on)
    assert turned_back(on)


@pytest.mark.parametrize("reason", list(StopReason))
def test_a_flag_whose_run_was_stopped_is_turned_back(
    on: FakeEnvironment, reason: StopReason
) -> None:
    evaluate(on)
    on.runs.stop(RUN, reason)
    disable(on)
    assert turned_back(on)


@pytest.mark.parametrize("fact", ["guardrail", "execution_ended", "verdict"])
def test_a_flag_whose_run_somebody_is_about_to_end_does_not_stay(
    on: FakeEnvironment, fact: str
) -> None:
    on.runs.note(RUN, **{fact: {}})
    assert not on.runs.stay(RUN, {})
    assert not on.run.stays


def test_a_flag_that_a_monitor_rolled_back_does_not_stay(on: FakeEnvironment) -> None:
    evaluate(on)
    on.appconfig.state = "ROLLED_BACK"
    disable(on)
    assert not on.run.stays
    verdict = publish(on)
    assert (verdict["verdict"], verdict["condition"]["stays_on"]) == ("INCONCLUSIVE", None)
    assert "was ROLLED_BACK when it was to be disabled" in verdict["reason"]


def test_what_cannot_be_decided_is_turned_back(on: FakeEnvironment) -> None:
    evaluate(on)
    on.appconfig.unreadable = ReadTimeoutError(endpoint_url="https://appconfig.example")
    assert disable(on) == {"was_on": True}
    assert turned_back(on)


def test_a_flag_that_passes_too_late_to_stay_is_turned_back_and_the_verdict_says_so(
    on: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(on)
    with monkeypatch.context() as unsettled:
        unsettled.setattr(steps, "_SETTLING_SECONDS", ())
        disable(on)
    assert turned_back(on)
    on.runs.note(RUN, settled=True)  # as Confirm recovery does
    verdict = publish(on)
    assert (verdict["verdict"], verdict["condition"]["stays_on"]) == ("PASSED", None)
    assert "the flag was turned back" in verdict["reason"]


# -- twice ----------------------------------------------------------------------------------------


def test_a_second_call_leaves_on_what_the_first_left_on(on: FakeEnvironment) -> None:
    evaluate(on)
    disable(on)
    facts = on.run.facts
    assert disable(on) == {"was_on": False}
    assert (on.run.facts, on.appconfig.disabled) == (facts, 0)


def test_a_verdict_whose_answer_was_lost_stays(on: FakeEnvironment) -> None:
    assert on.runs.stay(RUN, {"verdict": "PASSED"})
    assert on.runs.stay(RUN, {"verdict": "PASSED", "reason": "again"})
    assert on.run.facts["verdict"] == {"verdict": "PASSED"}
