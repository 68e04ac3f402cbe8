"""What must not start: each is refused with what to do, and nothing is touched."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.integration.runs import (
    LATENCY,
    OFF,
    Execution,
    Gameday,
    Json,
    Target,
    eventually,
    experiment,
)

URL = "http://127.0.0.1:9/"  # no load leaves before a run is armed


@dataclass(frozen=True)
class Case:
    """A document that is refused for one reason, on a target of its own."""

    document: Json
    target: Target
    sentence: str


def invalid(gameday: Gameday) -> Case:
    target = gameday.target()
    document = experiment("refused", target, "ftp://nowhere", measures=[], surprise=1)
    return Case(document, target, "load.url: must be an http:// or https:// address")


def unresolved(gameday: Gameday) -> Case:
    target = gameday.target()
    return Case(
        experiment("refused", target, "${PurchaseUrl}"),
        target,
        "load.url: ${PurchaseUrl} names an output of a stack; `gameday run` fills it in",
    )


def _elsewhere(gameday: Gameday, sentence: str, **condition: str) -> Case:
    target = gameday.target()
    return Case(experiment("refused", target, URL, condition=condition), target, sentence)


def no_application(gameday: Gameday) -> Case:
    return _elsewhere(gameday, "there is no AppConfig application 'gone'", application="gone")


def no_environment(gameday: Gameday) -> Case:
    return _elsewhere(gameday, "there is no AppConfig environment 'gone'", environment="gone")


def no_profile(gameday: Gameday) -> Case:
    return _elsewhere(gameday, "there is no AppConfig configuration profile 'gone'", profile="gone")


def application_not_listed(gameday: Gameday) -> Case:
    target = gameday.target(application=gameday.forbidden_application)
    return Case(
        experiment("refused", target, URL),
        target,
        f"Gameday may not touch AppConfig application '{gameday.forbidden_application}': add its "
        "id to the parameter TargetApplications and deploy Gameday's stack again",
    )


def nothing_to_restore(gameday: Gameday) -> Case:
    target = gameday.target(resting=None)
    return Case(
        experiment("refused", target, URL),
        target,
        "has no resting configuration: deploy one in which every mode is off first",
    )


def on_already(gameday: Gameday) -> Case:
    target = gameday.target(resting=OFF | LATENCY)
    return Case(
        experiment("refused", target, URL),
        target,
        "already injects latency: deploy a configuration that is off",
    )


def somebody_deploys(gameday: Gameday) -> Case:
    target = gameday.target()
    gameday.deploy(target, OFF, bake=True)
    return Case(
        experiment("refused", target, URL),
        target,
        "is in progress (BAKING): wait until it is complete, or stop it",
    )


def load_not_listed(gameday: Gameday) -> Case:
    target = gameday.target()
    url = "http://localhost:9/"
    return Case(
        experiment("refused", target, url),
        target,
        f"load may not be sent to {url}: add its host to the parameter LoadTargets and deploy",
    )


def too_much_a_second(gameday: Gameday) -> Case:
    target = gameday.target()
    return Case(
        experiment("refused", target, URL, load={"rate_per_second": 201}),
        target,
        "comes to 201 requests a second, and the stack allows 200: lower it, or raise Most",
    )


def too_much_in_all(gameday: Gameday) -> Case:
    target = gameday.target()
    windows = {"baseline_seconds": 2700, "condition_seconds": 2700}
    return Case(
        experiment("refused", target, URL, load={"rate_per_second": 200}, windows=windows),
        target,
        "requests, and the stack allows 1000000: shorten it, lower its rate, or raise MostReq",
    )


def more_workers_than_there_may_be(gameday: Gameday) -> Case:
    target = gameday.target()
    return Case(
        experiment("refused", target, URL, load={"rate_per_second": 1_000_000}),
        target,
        "load: takes 889 workers, and 250 are the most",
    )


def secret_not_listed(gameday: Gameday) -> Case:
    target = gameday.target()
    return Case(
        experiment("refused", target, URL, load={"headers": {"X": "${ssm:/other}"}}),
        target,
        "load may not carry ${ssm:/other}: add '/other' to the parameter SecretParameters",
    )


def _guarded(gameday: Gameday, guardrail: str, sentence: str) -> Case:
    target = gameday.target()
    document = experiment("refused", target, URL, guardrails=[guardrail])
    return Case(document, target, f"guardrail '{guardrail}' {sentence}")


def guardrail_rings(gameday: Gameday) -> Case:
    return _guarded(gameday, gameday.alarm("ALARM"), "is already in ALARM: mend what it tells of")


def guardrail_without_data(gameday: Gameday) -> Case:
    return _guarded(
        gameday, gameday.alarm("INSUFFICIENT_DATA"), "has no data, so it is not known to be quiet"
    )


def guardrail_missing(gameday: Gameday) -> Case:
    return _guarded(gameday, "nobody", "does not exist in this account and region")


CASES: tuple[Callable[[Gameday], Case], ...] = (
    invalid,
    unresolved,
    no_application,
    no_environment,
    no_profile,
    application_not_listed,
    nothing_to_restore,
    on_already,
    somebody_deploys,
    load_not_listed,
    too_much_a_second,
    too_much_in_all,
    more_workers_than_there_may_be,
    secret_not_listed,
    guardrail_rings,
    guardrail_without_data,
    guardrail_missing,
)


@dataclass(frozen=True)
class Refused:
    """A refused run, and how many deployments there were before it."""

    case: Case
    execution: Execution
    deployments: int


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.__name__)
def refused(gameday: Gameday, request: pytest.FixtureRequest) -> Refused:
    case: Case = request.param(gameday)
    deployments = gameday.deployments(case.target)
    return Refused(case, gameday.ended(case.document), deployments)


def test_a_refusal_says_what_to_do(refused: Refused) -> None:
    assert refused.case.sentence in refused.execution.cause


def test_a_refusal_has_the_name_of_its_error(refused: Refused) -> None:
    assert refused.execution.error in ("InvalidExperiment", "RunRefused")


def test_a_refusal_deploys_nothing(refused: Refused) -> None:
    gameday = refused.execution.gameday
    assert gameday.deployments(refused.case.target) == refused.deployments


def test_a_refusal_locks_nothing(refused: Refused) -> None:
    assert refused.execution.gameday.lock(refused.case.target) == {}


def test_a_refusal_leaves_no_deadline_and_only_that_the_run_may_never_arm(
    refused: Refused,
) -> None:
    record = eventually(refused.execution.record, 10)
    assert set(record) == {"pk", "sk", "stop_reason", "expires_at"}
    assert refused.execution.gameday.schedules(refused.execution.run_id) == []


def test_a_refusal_publishes_no_verdict(refused: Refused) -> None:
    assert refused.execution.events() == []


def test_a_document_is_refused_with_every_fault_at_once(gameday: Gameday) -> None:
    execution = gameday.ended({"name": "Not A Name", "objective": "", "surprise": 1})
    fields = {line.partition(":")[0] for line in execution.cause.splitlines()}
    assert fields == {"name", "objective", "condition", "load", "measures", "surprise"}


def test_every_reason_not_to_start_is_said_at_once(gameday: Gameday) -> None:
    document = experiment("refused", gameday.target(resting=None), URL, guardrails=["nobody"])
    cause = gameday.ended(document).cause
    assert "has no resting configuration" in cause
    assert "guardrail 'nobody' does not exist" in cause


@pytest.fixture(scope="module")
def on(gameday: Gameday, url: str) -> tuple[Execution, Target]:
    """A run that is on."""
    target = gameday.target()
    execution = gameday.start(experiment("first", target, url))
    execution.wait_for("Generate baseline load")
    return execution, target


def test_a_second_run_on_a_target_is_refused_with_the_name_of_the_first(
    gameday: Gameday, on: tuple[Execution, Target]
) -> None:
    first, target = on
    second = gameday.ended(experiment("second", target, URL))
    assert f"run '{first.run_id}' holds this target: wait until it has ended" in second.cause


def test_a_second_run_under_the_condition_of_the_first_is_refused_with_its_name(
    gameday: Gameday, on: tuple[Execution, Target]
) -> None:
    first, target = on
    first.wait_for("Generate load")
    second = gameday.ended(experiment("second", target, URL))
    assert f"is in progress (BAKING, 'gameday run {first.run_id}')" in second.cause


def test_a_refused_second_run_leaves_the_first_alone(
    gameday: Gameday, on: tuple[Execution, Target]
) -> None:
    first, target = on
    first.wait_for("Generate load")
    gameday.ended(experiment("second", target, URL))
    assert gameday.lock(target)["run_id"] == {"S": first.run_id}
    assert gameday.served(target)["latency"]["enabled"]
    first.stop()
    assert first.verdict()["status"] == "ABORTED"
