import time
from dataclasses import replace
from typing import Any

import pytest

from gameday.conditions.kind import Reach
from gameday.errors import RunRefused
from gameday.runs import StopReason
from tests.steps.fakes import ALARM, DOCUMENT, EXECUTION, RUN, FakeEnvironment, handle


def arm(environment: FakeEnvironment, run_id: str = RUN) -> Any:
    event = {"run_id": run_id, "execution_arn": EXECUTION, "experiment": DOCUMENT}
    return handle(environment, "arm_rollback", **event)


def test_arming_records_how_to_restore_and_sets_the_deadline(environment: FakeEnvironment) -> None:
    answer = arm(environment)
    assert environment.run.target.model_dump()["resting_sha256"] == "off"
    assert environment.run.deadline == answer["deadline"] > environment.run.started_at
    assert environment.deadlines.runs == {RUN}
    assert environment.runs.protected_by(ALARM) == [RUN]


def test_a_retried_arming_changes_nothing(environment: FakeEnvironment) -> None:
    arm(environment)
    before = environment.run
    arm(environment)
    assert environment.run == before


def test_a_second_run_on_the_target_is_refused_and_told_which_holds_it(
    environment: FakeEnvironment,
) -> None:
    arm(environment)
    with pytest.raises(RunRefused, match=f"run '{RUN}' holds this target"):
        arm(environment, "run-2")
    assert environment.deadlines.runs == {RUN}


def test_all_refusals_are_collected(environment: FakeEnvironment) -> None:
    environment.appconfig.refusal = RunRefused(["already injects latency"])
    environment.cloudwatch.alarm = "ALARM"
    environment.publisher.refusal = RunRefused(["no bus", "no topic"])
    with pytest.raises(RunRefused) as refused:
        arm(environment)
    assert len(refused.value.reasons) == 4


def test_a_refused_run_leaves_nothing(environment: FakeEnvironment) -> None:
    environment.cloudwatch.alarm = "ALARM"
    with pytest.raises(RunRefused, match="already in ALARM"):
        arm(environment)
    with pytest.raises(KeyError):
        environment.runs.get(RUN)
    assert environment.deadlines.runs == set()


def test_a_lock_whose_run_should_be_over_long_ago_is_taken_over(
    environment: FakeEnvironment,
) -> None:
    environment.arm(started_at=time.time() - 2 * 3600)
    arm(environment, "run-2")
    assert environment.runs.get("run-2").deadline > environment.run.deadline
    environment.runs.release(environment.run)
    with pytest.raises(RunRefused, match="'run-2' holds"):
        arm(environment, "run-3")


def test_a_run_that_was_ended_cannot_be_armed_again(environment: FakeEnvironment) -> None:
    arm(environment)
    environment.runs.stop(RUN, StopReason.ABORTED)
    environment.runs.release(environment.run)
    with pytest.raises(RunRefused, match=f"run '{RUN}' was ended"):
        arm(environment)
    assert environment.deadlines.runs == {RUN}  # until its verdict is out


def test_a_run_that_was_buried_before_it_armed_never_will(environment: FakeEnvironment) -> None:
    assert environment.runs.bury(RUN, StopReason.ABORTED)
    with pytest.raises(RunRefused, match="was ended"):
        arm(environment)
    arm(environment, "run-2")


def test_without_a_deadline_nothing_is_locked(environment: FakeEnvironment) -> None:
    environment.deadlines.failure = RuntimeError("the scheduler is not there")
    with pytest.raises(RuntimeError, match="scheduler"):
        arm(environment)
    assert environment.runs.find(RUN) is None
    environment.deadlines.failure = None
    arm(environment, "run-2")


def test_a_load_beyond_the_manners_is_refused(environment: FakeEnvironment) -> None:
    environment.manners = replace(environment.manners, targets=(), most_per_second=1)
    with pytest.raises(RunRefused) as refused:
        arm(environment)
    target, rate = refused.value.reasons
    assert target.startswith("load may not be sent to https://shop.example/purchases")
    assert rate.startswith("the load comes to 5 requests a second, and the stack allows 1:")
    assert environment.runs.find(RUN) is None


def test_a_condition_beyond_the_ceilings_is_refused(environment: FakeEnvironment) -> None:
    environment.ceilings = Reach(percentage=50, latency_ms=100)
    with pytest.raises(RunRefused) as refused:
        arm(environment)
    percentage, latency = refused.value.reasons
    assert "100 % of the invocations, and the stack allows 50 %" in percentage
    assert "up to 200 ms, and the stack allows 100 ms" in latency
