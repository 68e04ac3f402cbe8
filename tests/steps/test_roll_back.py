from typing import Any

import pytest

from tests.steps.fakes import ALARM, EXECUTION, RUN, FakeEnvironment, handle


def alarm(arn: str = ALARM) -> dict[str, Any]:
    detail = {"alarmName": "errors", "state": {"value": "ALARM", "reason": "3 errors"}}
    return {"source": "aws.cloudwatch", "resources": [arn], "detail": detail}


def ended(status: str, name: str = RUN, arn: str = EXECUTION, **more: str) -> dict[str, Any]:
    detail = {"name": name, "status": status, "executionArn": arn, **more}
    return {"source": "aws.states", "detail": detail}


@pytest.fixture
def enabled(armed: FakeEnvironment) -> FakeEnvironment:
    """The environment of a run whose condition is on and whose watch stands."""
    handle(armed, "watch_guardrails", run_id=RUN, token="t")
    handle(armed, "enable_condition", run_id=RUN)
    return armed


def test_an_alarm_turns_the_condition_off_and_then_fails_the_watch(
    enabled: FakeEnvironment,
) -> None:
    handle(enabled, "roll_back", **alarm())
    assert enabled.appconfig.state == "REVERTED"
    (answer,) = enabled.stepfunctions.answers
    assert (answer["taskToken"], answer["error"]) == ("t", "GuardrailRang")
    assert answer["cause"] == "guardrail 'errors' rang: 3 errors"


def test_an_alarm_before_the_watch_is_left_in_the_record(armed: FakeEnvironment) -> None:
    handle(armed, "roll_back", **alarm())
    assert armed.run.stop_reason == "GUARDRAIL"
    assert armed.stepfunctions.answers == []


def test_a_watch_that_is_over_needs_no_answer(enabled: FakeEnvironment) -> None:
    enabled.stepfunctions.over = True
    handle(enabled, "roll_back", **alarm())
    assert enabled.appconfig.state == "REVERTED"


def test_an_alarm_that_protects_no_run_does_nothing(enabled: FakeEnvironment) -> None:
    handle(enabled, "roll_back", **alarm(f"{ALARM}-of-somebody-else"))
    assert enabled.appconfig.disabled == 0


@pytest.mark.parametrize(
    ("status", "decided"), [("ABORTED", "ABORTED"), ("TIMED_OUT", "ERROR"), ("FAILED", "ERROR")]
)
def test_an_execution_that_ended_is_undone_and_has_its_verdict(
    enabled: FakeEnvironment, status: str, decided: str
) -> None:
    handle(enabled, "roll_back", **ended(status))
    assert enabled.appconfig.state == "REVERTED"
    (verdict,) = enabled.publisher.published
    assert (verdict["verdict"], verdict["status"]) == ("INCONCLUSIVE", decided)


def test_the_same_event_twice_is_one_verdict(enabled: FakeEnvironment) -> None:
    handle(enabled, "roll_back", **ended("FAILED", error="RuntimeError", cause="no answer"))
    handle(enabled, "roll_back", **ended("FAILED", error="RuntimeError", cause="no answer"))
    (verdict,) = enabled.publisher.published
    assert verdict["reason"] == "RuntimeError: no answer"


def test_a_refused_run_has_neither_an_undo_nor_a_verdict(environment: FakeEnvironment) -> None:
    handle(environment, "roll_back", **ended("FAILED"))
    assert environment.appconfig.disabled == 0
    assert environment.publisher.published == []


def test_another_execution_of_the_same_name_is_left_alone(enabled: FakeEnvironment) -> None:
    handle(enabled, "roll_back", **ended("FAILED", arn=EXECUTION.replace("machine", "other")))
    assert enabled.appconfig.state == "BAKING"
    assert enabled.publisher.published == []


def test_the_deadline_turns_the_condition_off(enabled: FakeEnvironment) -> None:
    handle(enabled, "roll_back", run_id=RUN, reason="DEADLINE")
    assert enabled.appconfig.state == "REVERTED"
    assert enabled.run.stop_reason == "DEADLINE"


def test_the_deadline_of_a_run_that_was_never_armed_does_nothing(
    environment: FakeEnvironment,
) -> None:
    handle(environment, "roll_back", run_id=RUN, reason="DEADLINE")
    assert environment.appconfig.disabled == 0


def test_an_undo_that_fails_does_not_keep_the_next_run_from_its_own(
    enabled: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enabled.runs, "protected_by", lambda _: ["gone", RUN])
    with pytest.raises(ExceptionGroup, match="1 of 2 runs"):
        handle(enabled, "roll_back", **alarm())
    assert enabled.appconfig.state == "REVERTED"


@pytest.mark.parametrize(
    "event", [{}, {"source": "aws.s3"}, {"run_id": RUN}, {"run_id": RUN, "reason": "BOREDOM"}]
)
def test_any_other_event_is_an_error(enabled: FakeEnvironment, event: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not an event|BOREDOM"):
        handle(enabled, "roll_back", **event)
    assert enabled.appconfig.disabled == 0
