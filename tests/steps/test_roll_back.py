from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gameday.conditions.appconfig import AppConfig, Change
from gameday.errors import ConditionNotDisabled, ConfigurationChanged, RunRefused
from gameday.runs import Runs
from tests.steps.fakes import ALARM, EXECUTION, RUN, STARTED_AT, FakeEnvironment, handle
from tests.unit.fakes import RESTING, FakeAppConfig


def alarm(arn: str = ALARM, seconds: int = 60) -> dict[str, Any]:
    """The event of an alarm that rang so many seconds after the run was armed."""
    rang = datetime.fromtimestamp(STARTED_AT + seconds, UTC).isoformat(timespec="milliseconds")
    state = {"value": "ALARM", "reason": "3 errors", "timestamp": rang.replace("+00:00", "+0000")}
    detail = {"alarmName": "errors", "state": state}
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


def test_an_alarm_costs_nine_calls_until_the_condition_is_off(
    environment: FakeEnvironment,
) -> None:
    appconfig, calls = FakeAppConfig(), list[str]()
    for _ in range(60):  # an environment with a history of more than a page
        appconfig.deploy(RESTING, profile="p2")
    client = cast(Any, Recorded(appconfig, calls))
    cast(Any, environment).appconfig = AppConfig(client, client, strategy_id="s1")
    environment.arm()
    environment.runs.watch(RUN, "t")
    handle(environment, "enable_condition", run_id=RUN)
    calls.clear()
    record_calls(environment.runs, calls)
    handle(environment, "roll_back", **alarm())
    assert calls[: calls.index("stop_deployment") + 1] == [
        "Query",  # the runs that the alarm protects
        "GetItem",  # was it armed when the alarm rang?
        "UpdateItem",  # the guardrail's reason
        "UpdateItem",  # the stop flag: from here on nothing is enabled
        "UpdateItem",  # the load is told
        "get_deployment",
        "UpdateItem",  # how the condition was found
        "list_deployments",  # did somebody else deploy since?
        "stop_deployment",
    ]


class Recorded:
    """A client that keeps the names of the operations that were called, each page as a call."""

    def __init__(self, client: FakeAppConfig, calls: list[str]) -> None:
        self._client, self._calls = client, calls

    def get_paginator(self, operation: str) -> Any:
        pages = self._client.get_paginator(operation)

        def paginate(**asked: str) -> Any:
            for page in pages.paginate(**asked):
                self._calls.append(operation)
                yield page

        return SimpleNamespace(paginate=paginate)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("exceptions"):
            self._calls.append(name)
        return getattr(self._client, name)


def record_calls(runs: Runs, calls: list[str]) -> None:
    """Keep the names of the operations that the table of runs is asked for."""

    def keep(model: Any, **_: object) -> None:
        calls.append(model.name)

    runs._table.meta.client.meta.events.register("before-call.dynamodb", keep)


def test_an_alarm_before_the_watch_is_left_in_the_record(armed: FakeEnvironment) -> None:
    handle(armed, "roll_back", **alarm())
    assert armed.run.stop_reason == "GUARDRAIL"
    assert armed.run.facts["guardrail"]["reason"] == "guardrail 'errors' rang: 3 errors"
    assert armed.stepfunctions.answers == []


def test_an_alarm_that_rang_before_the_run_was_armed_ends_nothing(
    enabled: FakeEnvironment,
) -> None:
    handle(enabled, "roll_back", **alarm(seconds=-1))
    assert enabled.appconfig.state == "BAKING"
    assert enabled.run.stop_reason is None


def test_an_alarm_that_rang_before_the_condition_was_on_is_not_blamed_on_it(
    enabled: FakeEnvironment,
) -> None:
    enabled.runs.note(RUN, enabled_at=STARTED_AT + 61)
    enabled.cloudwatch.injected(12, at=enabled.run.facts["enabled_at"])
    handle(enabled, "roll_back", **alarm(seconds=60))
    verdict = published(enabled, {"Error": "GuardrailRang", "Cause": "it rang"})
    assert (verdict["verdict"], verdict["status"]) == ("INCONCLUSIVE", "ROLLED_BACK")
    assert "not to blame" in verdict["reason"]


def test_an_alarm_while_the_condition_was_being_enabled_may_be_blamed_on_it(
    watched: FakeEnvironment,
) -> None:
    watched.runs.change(RUN, Change(version=1, deployment=1))
    handle(watched, "roll_back", **alarm())
    assert "not to blame" not in published(watched, None)["reason"]


def test_a_run_that_dies_after_its_guardrail_rang_is_rolled_back(enabled: FakeEnvironment) -> None:
    handle(enabled, "roll_back", **alarm())
    handle(enabled, "roll_back", **ended("ABORTED"))
    (verdict,) = enabled.publisher.published
    assert verdict["status"] == "ROLLED_BACK"


def published(environment: FakeEnvironment, failure: dict[str, str] | None) -> Any:
    return handle(environment, "publish_verdict", run_id=RUN, failure=failure)


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


def test_a_run_that_hangs_is_ended_at_its_deadline(enabled: FakeEnvironment) -> None:
    handle(enabled, "roll_back", run_id=RUN, reason="DEADLINE")
    assert enabled.appconfig.state == "REVERTED"
    assert enabled.run.stop_reason == "DEADLINE"
    (verdict,) = enabled.publisher.published
    assert verdict["reason"] == "DeadlinePassed: the run was not over by its deadline"
    (stopped,) = enabled.stepfunctions.stopped
    assert (stopped["executionArn"], stopped["error"]) == (EXECUTION, "DeadlinePassed")


@pytest.mark.parametrize(
    ("status", "decided"), [("ABORTED", "ABORTED"), ("TIMED_OUT", "ERROR"), ("FAILED", "ERROR")]
)
def test_a_dead_run_of_whose_end_nobody_told_has_its_verdict_at_the_deadline(
    enabled: FakeEnvironment, status: str, decided: str
) -> None:
    enabled.stepfunctions.status = status
    handle(enabled, "roll_back", run_id=RUN, reason="DEADLINE")
    assert enabled.appconfig.state == "REVERTED"
    (verdict,) = enabled.publisher.published
    assert verdict["status"] == decided
    assert enabled.stepfunctions.stopped == []
    enabled.arm("run-2")


def test_a_condition_is_off_at_the_deadline_even_if_step_functions_does_not_answer(
    enabled: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enabled.stepfunctions, "describe_execution", None)
    with pytest.raises(TypeError):
        handle(enabled, "roll_back", run_id=RUN, reason="DEADLINE")
    assert enabled.appconfig.state == "REVERTED"


@pytest.mark.parametrize("event", [{"run_id": RUN, "reason": "DEADLINE"}, ended("FAILED")])
def test_a_run_that_ended_before_it_armed_never_arms(
    environment: FakeEnvironment, event: dict[str, Any]
) -> None:
    environment.deadlines.runs.add(RUN)
    handle(environment, "roll_back", **event)
    assert environment.appconfig.disabled == 0
    assert environment.publisher.published == []
    with pytest.raises(RunRefused, match="was ended"):
        environment.arm()


def test_what_somebody_else_deployed_is_in_the_verdict_of_a_dead_run(
    enabled: FakeEnvironment,
) -> None:
    enabled.appconfig.failure = ConfigurationChanged("deployment 7 replaced it")
    handle(enabled, "roll_back", **ended("ABORTED"))
    (verdict,) = enabled.publisher.published
    assert verdict["status"] == "ABORTED"
    assert verdict["reason"] == "a person stopped the run; deployment 7 replaced it"
    assert enabled.appconfig.state == "BAKING"


def test_an_undo_that_fails_is_tried_again_at_once(
    enabled: FakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([ConditionNotDisabled("still served"), None])

    def disable(*arguments: Any) -> None:
        if failure := next(answers):
            raise failure

    monkeypatch.setattr(enabled.appconfig, "disable", disable)
    handle(enabled, "roll_back", **ended("FAILED"))
    assert next(answers, "none") == "none"
    assert len(enabled.publisher.published) == 1


def test_an_undo_that_goes_on_failing_is_the_callers_to_try_again(
    enabled: FakeEnvironment,
) -> None:
    enabled.appconfig.failure = ConditionNotDisabled("still served")
    with pytest.raises(ConditionNotDisabled):
        handle(enabled, "roll_back", **ended("FAILED"))
    assert enabled.publisher.published == []
    assert enabled.deadlines.runs == {RUN}


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
