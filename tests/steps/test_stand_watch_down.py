import pytest

from gameday import steps
from gameday.errors import WatchNotStanding
from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_watch_ends_well(armed: FakeEnvironment) -> None:
    handle(armed, "watch_guardrails", run_id=RUN, token="t")
    handle(armed, "stand_watch_down", run_id=RUN)
    assert armed.stepfunctions.answers == [{"taskToken": "t", "output": "{}"}]


def test_a_watch_that_never_stood_cannot_end_well(
    armed: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_WATCH_LIMIT_SECONDS", -1)
    with pytest.raises(WatchNotStanding):
        handle(armed, "stand_watch_down", run_id=RUN)
    assert armed.stepfunctions.answers == []
