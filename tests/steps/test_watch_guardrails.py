import pytest

from gameday.errors import GuardrailRang
from gameday.runs import StopReason
from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_watch_keeps_its_token(armed: FakeEnvironment) -> None:
    handle(armed, "watch_guardrails", run_id=RUN, token="t")
    assert armed.run.watch_token == "t"


def test_an_alarm_that_came_first_fails_the_watch(armed: FakeEnvironment) -> None:
    armed.runs.stop(RUN, StopReason.GUARDRAIL)
    with pytest.raises(GuardrailRang):
        handle(armed, "watch_guardrails", run_id=RUN, token="t")
