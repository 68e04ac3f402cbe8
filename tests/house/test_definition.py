"""The rules of the state machine, read from its definition."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint.api import lint_all
from jsonata import Jsonata  # type: ignore[import-untyped]

from gameday import errors
from gameday.experiment import MAXIMUM_RUN_SECONDS, Phase, Plan, Windows
from gameday.feasibility import LONGEST_WINDOW_SECONDS
from gameday.scale import MOST_MAP_ITERATIONS, workers
from tests.house.project import (
    DEFINITION,
    DEFINITION_TEXT,
    FUNCTIONS,
    RESOURCES,
    STATES,
    TASKS,
    TEMPLATE,
    function_of,
    machines_in,
)

TRANSIENT = {
    "ErrorEquals": [
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        "Lambda.ClientExecutionTimeoutException",
    ],
    "IntervalSeconds": 1,
    "MaxAttempts": 4,
    "BackoffRate": 2,
    "JitterStrategy": "FULL",
}
STUBBORN = {
    "ErrorEquals": ["States.ALL"],
    "IntervalSeconds": 2,
    "MaxAttempts": 6,
    "BackoffRate": 2,
    "MaxDelaySeconds": 30,
}
URGENT = {
    "ErrorEquals": ["States.ALL"],
    "IntervalSeconds": 2,
    "MaxAttempts": 3,
    "BackoffRate": 2,
}
SOMEBODY_ELSES = {"ErrorEquals": ["ConfigurationChanged"], "MaxAttempts": 0}
RETRIES = {"Disable condition": [SOMEBODY_ELSES, URGENT], "Publish verdict": [STUBBORN]}
"""Those that must succeed. The first gives up soon, for then Roll back does it from outside.

Every other working state retries what Lambda says is transient.
"""

MAPS = {name: state for name, state in STATES.items() if state["Type"] == "Map"}
TRY = DEFINITION["States"]["Run under condition"]
PROPERTIES = RESOURCES["ExperimentStateMachine"]["Properties"]


@pytest.mark.parametrize("name", STATES)
def test_every_state_says_why_it_exists(name: str) -> None:
    assert re.fullmatch(r"[A-Z].*[.?]", STATES[name]["Comment"])


@pytest.mark.parametrize("name", TASKS)
def test_every_task_retries_by_one_of_the_named_blocks(name: str) -> None:
    assert TASKS[name]["Retry"] == RETRIES.get(name, [TRANSIENT])


@pytest.mark.parametrize("name", TASKS)
def test_every_task_waits_as_long_as_its_function_may_run_and_no_longer_than_a_run(
    name: str,
) -> None:
    timeout_seconds = TASKS[name]["TimeoutSeconds"]
    if name == "Watch guardrails":
        assert timeout_seconds == "{% $plan.watch_seconds %}"
        return
    defaults = TEMPLATE["Globals"]["Function"]
    function_seconds = {**defaults, **FUNCTIONS[function_of(name)]}["Timeout"]
    assert function_seconds <= timeout_seconds < MAXIMUM_RUN_SECONDS


def test_every_choice_has_a_default() -> None:
    assert all(state["Default"] in STATES for state in STATES.values() if state["Type"] == "Choice")


def test_every_wait_is_of_the_plan_and_bounded() -> None:
    waits = {state["Seconds"] for state in STATES.values() if state["Type"] == "Wait"}
    assert waits == {"{% $plan.settle_seconds %}", "{% $states.input.wait_seconds %}"}
    items = {state["Items"] for state in MAPS.values()}
    assert items == {f"{{% $plan.{phase}_workers.waits_seconds %}}" for phase in Phase}
    assert max(workers(1, 180, LONGEST_WINDOW_SECONDS).waits_seconds) < LONGEST_WINDOW_SECONDS
    assert Windows.model_json_schema()["properties"]["settle_seconds"]["maximum"] <= 300


def test_a_run_ends_before_the_machine_and_the_machine_before_the_bake() -> None:
    bake_minutes = RESOURCES["ConditionStrategy"]["Properties"]["FinalBakeTimeInMinutes"]
    assert MAXIMUM_RUN_SECONDS < DEFINITION["TimeoutSeconds"] < bake_minutes * 60


@pytest.mark.parametrize("name", MAPS)
def test_a_map_hands_its_workers_all_that_they_read(name: str) -> None:
    # The items of a Distributed Map read no variable of the machine.
    assert set(re.findall(r"\$(\w+)", json.dumps(MAPS[name]["ItemProcessor"]))) == {"states"}


def test_an_inline_map_runs_no_more_than_its_quota_at_once() -> None:
    inline = {
        name: state["MaxConcurrency"]
        for name, state in MAPS.items()
        if state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "INLINE"}
    }
    assert set(inline) == {"Share baseline load", "Share load", "Share recovery load"}
    assert set(inline.values()) == {MOST_MAP_ITERATIONS}


def test_whatever_ends_the_try_leads_to_the_finally() -> None:
    # States.ALL does not match States.DataLimitExceeded: it needs its own name.
    caught = [catcher["ErrorEquals"] for catcher in TRY["Catch"]]
    assert caught == [["States.DataLimitExceeded"], ["States.ALL"]]
    assert {c["Next"] for c in TRY["Catch"]} == {TRY["Next"]} == {"Disable condition"}
    assert all(c["Assign"] == {"failure": "{% $states.errorOutput %}"} for c in TRY["Catch"])


def test_the_watch_is_the_first_branch_and_the_work_stands_it_down() -> None:
    watch, work = TRY["Branches"]
    assert list(watch["States"]) == ["Watch guardrails"]
    assert [name for name, state in work["States"].items() if state.get("End")] == [
        "Stand watch down"
    ]


# -- roads --------------------------------------------------------------------------------------


def successors(name: str) -> Iterator[str]:
    """The states that may follow, also by an error; RED where the error is nobody's to catch."""
    state = STATES[name]
    parents = [
        p for p, s in STATES.items() for inside in machines_in(s) if name in inside["States"]
    ]
    yield from (inside["StartAt"] for inside in machines_in(state))
    yield from (choice["Next"] for choice in state.get("Choices", ()))
    yield from (state[key] for key in ("Next", "Default") if key in state)
    yield from (catcher["Next"] for catcher in state.get("Catch", ()))
    for parent in parents:
        yield from (catcher["Next"] for catcher in STATES[parent].get("Catch", ()))
        if state.get("End"):
            yield STATES[parent]["Next"]


def reachable(start: str, without: str = "") -> set[str]:
    """Every state on a road from `start` that does not pass `without`."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        name = ahead.pop()
        if name not in seen and name != without:
            seen.add(name)
            ahead.extend(successors(name))
    return seen


def test_every_state_is_on_a_road_from_the_start() -> None:
    assert reachable(DEFINITION["StartAt"]) == STATES.keys()


def test_no_road_from_enabling_ends_without_disabling() -> None:
    ends = {name for name, state in STATES.items() if state["Type"] in {"Succeed", "Fail"}}
    assert ends == {"Verdict reached", "No verdict"}
    assert ends & reachable("Enable condition", without="Disable condition") == set()
    assert ends <= reachable("Enable condition")


def test_no_road_of_an_armed_run_ends_without_a_verdict() -> None:
    assert (
        reachable("Run under condition", without="Publish verdict")
        & {
            "Verdict reached",
            "No verdict",
        }
        == set()
    )


def test_a_caught_failure_is_remembered_except_in_the_recovery() -> None:
    # What fails there leaves the recovery unknown, and the verdict as it was measured.
    forgetful = {
        name
        for name, state in STATES.items()
        for catcher in state.get("Catch", ())
        if catcher.get("Assign") != {"failure": "{% $states.errorOutput %}"}
    }
    assert forgetful == {
        "Generate recovery load",
        "Share recovery load",
        "Distribute recovery load",
        "Confirm recovery",
    }


# -- what it names ------------------------------------------------------------------------------


def test_every_error_that_is_named_is_a_class_of_ours_or_of_aws() -> None:
    named = {
        error
        for state in STATES.values()
        for block in (*state.get("Retry", ()), *state.get("Catch", ()))
        for error in block["ErrorEquals"]
    }
    ours = {error for error in named if not error.startswith(("States.", "Lambda."))}
    assert ours <= vars(errors).keys()


def test_substitutions_permissions_and_states_name_the_same_functions() -> None:
    invoked = {function_of(state) for state in TASKS}
    substituted = PROPERTIES["DefinitionSubstitutions"]
    allowed = [
        arn
        for policy in PROPERTIES["Policies"]
        for statement in policy["Statement"]
        if statement["Action"] == "lambda:InvokeFunction"
        for arn in statement["Resource"]
    ]
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION_TEXT)) == substituted.keys()
    assert substituted == {f"{name}Arn": {"Fn::GetAtt": [name, "Arn"]} for name in invoked}
    assert allowed == list(substituted.values())


EXPRESSIONS = sorted(set(re.findall(r'"\{% (.+?) %\}"', DEFINITION_TEXT)))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_carries_or_compares_and_reads_only_what_was_assigned(
    expression: str,
) -> None:
    Jsonata.jsonata(expression)
    assert re.fullmatch(r"\$[\w.]+( = '\w+')?", expression), "Python decides"
    assigned = {name for state in STATES.values() for name in state.get("Assign", ())}
    root, *path = expression.split(" ")[0].removeprefix("$").split(".")
    assert root in assigned | {"states"}
    assert root != "plan" or path[0] in Plan.model_fields


def lint(definition: dict[str, Any]) -> list[Any]:
    """What cfn-lint, which does not look behind DefinitionUri, says of the definition in place."""
    machine = {
        "RoleArn": "arn:aws:iam::123456789012:role/any",
        "DefinitionSubstitutions": dict.fromkeys(PROPERTIES["DefinitionSubstitutions"], "any"),
        "Definition": definition,
    }
    resource = {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}
    found = lint_all(json.dumps({"Resources": {"Machine": resource}}))
    # It knows no expression in TimeoutSeconds, where JSONata allows one.
    return [f.message for f in found if f.path[-1:] != ["TimeoutSeconds"]]


def test_cfn_lint_finds_nothing_in_the_definition() -> None:
    assert lint(DEFINITION) == []
    assert lint(DEFINITION | {"StartAt": "Nowhere"}) != []
