import pytest

from gameday.errors import GuardrailRang
from gameday.runs import StopReason
from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_watch_keeps_its_token(armed: FakeEnvironment) -> None:
    handle(armed, "watch_guardrails", run_id=RUN, token="t")
    assert armed.run.watch_token == "t"


def test_an_alarm_that_came_first_fails_the_watch(armed: FakeEnvironment) -> None:
    armed.runs.settle(RUN, guardrail={"reason": "guardrail 'errors' rang", "at": 1.0})
    armed.runs.stop(RUN, StopReason.GUARDRAIL)
    with pytest.raises(GuardrailRang, match="'errors' rang"):
        handle(armed, "watch_guardrails", run_id=RUN, token="t")


def test_an_alarm_that_rang_before_the_record_was_there_fails_the_watch(
    armed: FakeEnvironment,
) -> None:
    armed.cloudwatch.alarm = "ALARM"
    with pytest.raises(GuardrailRang, match="'errors' rang while the run was armed"):
        handle(armed, "watch_guardrails", run_id=RUN, token="t")
