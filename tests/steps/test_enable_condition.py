import time

import pytest

from gameday import steps
from gameday.conditions.appconfig import Change
from gameday.errors import RunStopped, WatchNotStanding
from gameday.runs import StopReason
from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_condition_expires_when_its_lease_is_over(watched: FakeEnvironment) -> None:
    before = time.time()
    handle(watched, "enable_condition", run_id=RUN)
    assert watched.appconfig.state == "BAKING"
    lease = watched.run.experiment.plan.lease_seconds
    assert before + lease <= watched.appconfig.expires_at <= time.time() + lease


def test_what_was_changed_is_in_the_record(watched: FakeEnvironment) -> None:
    handle(watched, "enable_condition", run_id=RUN)
    change = watched.run.change
    assert change == Change(version=1, deployment=1)
    assert "enabled_at" in watched.run.facts


def test_nothing_is_enabled_in_a_run_that_was_stopped(watched: FakeEnvironment) -> None:
    watched.runs.stop(RUN, StopReason.GUARDRAIL)
    with pytest.raises(RunStopped):
        handle(watched, "enable_condition", run_id=RUN)
    assert watched.appconfig.state == "NEVER"
    assert "enabled_at" not in watched.run.facts


def test_nothing_is_enabled_before_the_watch_stands(
    environment: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_WATCH_LIMIT_SECONDS", -1)
    environment.arm()
    with pytest.raises(WatchNotStanding):
        handle(environment, "enable_condition", run_id=RUN)
    assert environment.appconfig.state == "NEVER"
