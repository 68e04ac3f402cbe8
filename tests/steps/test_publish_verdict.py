from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from gameday import runs
from gameday.errors import ConditionNotDisabled, RunRefused, VerdictNotPublished
from gameday.experiment import Phase
from tests.steps.fakes import RUN, FakeEnvironment, handle

FAILURE = {"Error": "MeasureNotRead", "Cause": '{"errorMessage": "CloudWatch answered Forbidden"}'}


@pytest.fixture
def done(watched: FakeEnvironment) -> FakeEnvironment:
    """A run whose measure holds under the condition, before its verdict."""
    watched.note_load(Phase.BASELINE)
    watched.note_load(Phase.CONDITION)
    watched.cloudwatch.loaded(Phase.BASELINE, 120)
    watched.cloudwatch.loaded(Phase.CONDITION, 350)
    watched.cloudwatch.injected(300)
    handle(watched, "snapshot_baseline", run_id=RUN)
    handle(watched, "enable_condition", run_id=RUN)
    handle(watched, "evaluate_measures", run_id=RUN)
    handle(watched, "disable_condition", run_id=RUN)
    return watched


def publish(environment: FakeEnvironment, failure: dict[str, str] | None = None) -> Any:
    return handle(environment, "publish_verdict", run_id=RUN, failure=failure)


def test_a_run_of_which_all_is_known_passes(done: FakeEnvironment) -> None:
    verdict = publish(done)
    assert (verdict["verdict"], verdict["status"]) == ("PASSED", "COMPLETED")
    assert done.publisher.published == [verdict]


def test_a_verdict_is_published_once(done: FakeEnvironment) -> None:
    first = publish(done)
    assert publish(done, FAILURE) == first
    assert len(done.publisher.published) == 1


def test_a_verdict_that_was_not_published_is_published_by_the_retry(
    done: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(done.publisher, "to_bus", refused)
        with pytest.raises(VerdictNotPublished):
            publish(done)
    publish(done)
    assert len(done.publisher.published) == len(done.publisher.told) == 1


def test_people_that_could_not_be_told_are_told_by_the_retry(done: FakeEnvironment) -> None:
    done.publisher.failure = ClientError({"Error": {"Code": "Throttled"}}, "Publish")
    with pytest.raises(ClientError):
        publish(done)
    done.publisher.failure = None
    publish(done)
    assert len(done.publisher.published) == len(done.publisher.told) == 1


def test_what_was_decided_first_is_what_everybody_sends(done: FakeEnvironment) -> None:
    done.publisher.failure = ClientError({"Error": {"Code": "Throttled"}}, "Publish")
    with pytest.raises(ClientError):
        publish(done)
    done.publisher.failure = None
    publish(done, FAILURE)
    assert done.publisher.told == done.publisher.published
    assert done.publisher.told[0]["verdict"] == "PASSED"


def test_while_somebody_sends_the_verdict_nobody_else_does(done: FakeEnvironment) -> None:
    with done.runs.sending(RUN, "bus"), pytest.raises(VerdictNotPublished, match="somebody else"):
        publish(done)
    publish(done)
    assert done.publisher.published == []  # it was sent by the first
    assert len(done.publisher.told) == 1


def test_the_claim_of_somebody_who_died_sending_is_not_for_ever(
    done: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ReadTimeoutError), done.runs.sending(RUN, "bus"):
        raise ReadTimeoutError(endpoint_url="https://events.example")
    with pytest.raises(VerdictNotPublished):
        publish(done)
    monkeypatch.setattr(runs, "CLAIM_SECONDS", 0)
    publish(done)
    assert len(done.publisher.published) == 1


def test_with_the_verdict_the_run_is_over(done: FakeEnvironment) -> None:
    publish(done)
    assert done.deadlines.runs == set()
    done.arm("run-2")


def test_until_the_verdict_is_out_the_deadline_stands(done: FakeEnvironment) -> None:
    done.publisher.failure = ClientError({"Error": {"Code": "Throttled"}}, "Publish")
    with pytest.raises(ClientError):
        publish(done)
    assert done.deadlines.runs == {RUN}


def test_a_condition_that_could_not_be_disabled_keeps_its_lock_and_its_deadline(
    watched: FakeEnvironment,
) -> None:
    handle(watched, "enable_condition", run_id=RUN)
    watched.appconfig.failure = ConditionNotDisabled("still DEPLOYING")
    with pytest.raises(ConditionNotDisabled):
        handle(watched, "disable_condition", run_id=RUN)
    publish(watched, {"Error": "ConditionNotDisabled", "Cause": "still DEPLOYING"})
    assert watched.deadlines.runs == {RUN}
    with pytest.raises(RunRefused, match=f"run '{RUN}' holds"):
        watched.arm("run-2")


def refused(*_: object) -> None:
    raise VerdictNotPublished("ThrottlingException: slow down")


def test_a_failed_step_is_an_error_with_its_sentence(done: FakeEnvironment) -> None:
    verdict = publish(done, FAILURE)
    assert (verdict["verdict"], verdict["status"]) == ("INCONCLUSIVE", "ERROR")
    assert verdict["reason"] == "MeasureNotRead: CloudWatch answered Forbidden"


def test_a_guardrail_that_rang_under_the_condition_fails_the_objective(
    watched: FakeEnvironment,
) -> None:
    handle(watched, "enable_condition", run_id=RUN)
    handle(watched, "disable_condition", run_id=RUN)
    watched.cloudwatch.injected(12, at=watched.run.facts["enabled_at"])
    verdict = publish(watched, {"Error": "GuardrailRang", "Cause": "guardrail 'errors' rang"})
    assert (verdict["verdict"], verdict["status"]) == ("FAILED", "ROLLED_BACK")
    assert verdict["evidence"] == {"latency": 12.0}


def test_an_unsteady_run_enabled_nothing_and_is_inconclusive(watched: FakeEnvironment) -> None:
    watched.note_load(Phase.BASELINE)
    watched.cloudwatch.loaded(Phase.BASELINE, 900)
    handle(watched, "snapshot_baseline", run_id=RUN)
    handle(watched, "disable_condition", run_id=RUN)
    verdict = publish(watched)
    assert (verdict["verdict"], verdict["status"]) == ("INCONCLUSIVE", "COMPLETED")
    assert verdict["condition"]["enabled_at"] is None


def test_a_verdict_ends_what_is_left_of_the_recovery_load(armed: FakeEnvironment) -> None:
    assert not armed.runs.ended(RUN)
    handle(armed, "publish_verdict", run_id=RUN, failure=None)
    assert armed.runs.ended(RUN)
