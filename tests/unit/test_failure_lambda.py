"""The formats of failure-lambda: what the library would drop is refused, the rest is accepted."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.conditions.failure_lambda import (
    MODES_0,
    MODES_1,
    RULES,
    Configuration,
    Format,
    Unusable,
    check_0,
    check_1,
    complete_0,
    complete_1,
    modes_0,
    modes_1,
)

ON = {"enabled": True}
LATENCY_0 = {
    "isEnabled": True,
    "failureMode": "latency",
    "rate": 1,
    "minLatency": 0,
    "maxLatency": 300,
}


def faults(check: Callable[[Configuration], None], configuration: Any) -> dict[str, str]:
    """The messages by field; none when the configuration is accepted."""
    try:
        check(configuration)
    except Unusable as unusable:
        return {fault.field: fault.message for fault in unusable.faults}
    return {}


# -- what the library does, from its source


def number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high


def text(value: Any) -> bool:
    return isinstance(value, str)


TAKEN_BY_1: dict[str, Callable[[Any], bool]] = {
    "enabled": lambda v: isinstance(v, bool),
    "percentage": lambda v: isinstance(v, int) and number(0, 100)(v),
    "min_latency": number(0, math.inf),
    "max_latency": number(0, math.inf),
    "exception_msg": text,
    "status_code": number(100, 599),
    "disk_space": number(math.nextafter(0, 1), 10_240),
    "deny_list": lambda v: isinstance(v, list) and all(map(text, v)),
    "timeout_buffer_ms": number(0, math.inf),
    "body": text,
}


def taken_by_1(flag: dict[str, Any]) -> bool:
    """Whether 1.0.0 keeps the flag (`validateFlagValue`)."""
    in_order = flag.get("min_latency", 0) <= flag.get("max_latency", 0)
    return in_order and all(TAKEN_BY_1[name](value) for name, value in flag.items())


def unsafe(pattern: str) -> bool:  # noqa: C901 - as complex as the library's
    """`isUnsafeRegex` of 1.0.0, line by line."""
    depth, repeats, i = 0, {0: False}, 0
    while i < len(pattern):
        char = pattern[i]
        if char == "\\":
            i += 1
        elif char == "[":
            i += 1
            while i < len(pattern) and pattern[i] != "]":
                i += 2 if pattern[i] == "\\" else 1
        elif char == "(":
            depth += 1
            repeats[depth] = False
        elif char == ")":
            repeated, depth = repeats.get(depth, False), max(0, depth - 1)
            if repeated and pattern[i + 1 : i + 2] in set("+*{"):
                return True
            if depth > 0 and repeated:
                repeats[depth] = True
        elif depth > 0 and (char in "+*" or re.match(r"\{\d+,", pattern[i:])):
            repeats[depth] = True
        i += 1
    return len(pattern) > 512


# -- failure-lambda-1

NUMBERS = (-1, 0, 0.5, 1, 99, 100, 101, 300, 599, 600, 10_240, 10_241, math.inf, math.nan)
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [*NUMBERS, None, True, "", "100", [], ["dynamodb"], [1], {}]
)


@st.composite
def flags_of_one_mode(draw: st.DrawFn) -> dict[str, Any]:
    mode = draw(st.sampled_from(sorted(MODES_1)))
    optional = {name: VALUES for name in ("percentage", *MODES_1[mode].attributes)}
    return {mode: draw(st.fixed_dictionaries({"enabled": st.booleans()}, optional=optional))}


@given(flags_of_one_mode())
def test_what_is_accepted_is_not_dropped(configuration: dict[str, Any]) -> None:
    if not faults(check_1, configuration):
        assert all(map(taken_by_1, configuration.values()))


@given(flags_of_one_mode())
def test_what_is_accepted_is_json_as_every_reader_knows_it(configuration: dict[str, Any]) -> None:
    if not faults(check_1, configuration):
        json.dumps(configuration, allow_nan=False)


@given(flags_of_one_mode())
def test_what_is_accepted_turns_something_on(configuration: dict[str, Any]) -> None:
    if not faults(check_1, configuration):
        assert modes_1(configuration)


@given(st.text(alphabet=r"ab()[+*{2,}\ ", max_size=14))
def test_every_pattern_that_the_library_finds_unsafe_is_refused(pattern: str) -> None:
    configuration = {"denylist": {**ON, "deny_list": [pattern]}}
    if unsafe(pattern):
        assert faults(check_1, configuration)


@pytest.mark.parametrize("pattern", ["(a+)+", "((a)+)+", "((a+)b)*", "(a{2,})+", "(a*){2}"])
def test_a_pattern_of_nested_quantifiers_is_refused(pattern: str) -> None:
    found = faults(check_1, {"denylist": {**ON, "deny_list": ["dynamodb", pattern]}})
    assert "nests quantifiers" in found["denylist.deny_list"]


@pytest.mark.parametrize(
    "pattern", ["dynamodb.*.amazonaws.com", "(s3|sqs)+", "([+*])+", r"(a\+)+", "(a+)b", "(a{2})+"]
)
def test_a_pattern_that_the_library_takes_is_accepted(pattern: str) -> None:
    assert not faults(check_1, {"denylist": {**ON, "deny_list": [pattern]}})


@pytest.mark.parametrize(
    ("mode", "flag"),
    [
        ("latency", {"max_latency": 0.5}),
        ("latency", {"min_latency": 300, "max_latency": 300}),
        ("exception", {"exception_msg": ""}),
        ("statuscode", {"status_code": 100}),
        ("statuscode", {"status_code": 599}),
        ("diskspace", {"disk_space": 0.5}),
        ("diskspace", {"disk_space": 10_240}),
        ("denylist", {"deny_list": ["a" * 512]}),
        ("timeout", {"timeout_buffer_ms": 0}),
        ("corruption", {"body": ""}),
        ("exception", {"percentage": 1}),
        ("exception", {"percentage": 100}),
        ("exception", {"match": []}),
        ("exception", {"match": [{"path": "httpMethod", "value": "GET"}]}),
        ("exception", {"match": [{"path": "headers.x", "operator": "exists"}]}),
        ("exception", {"match": [{"path": "path", "operator": "startsWith", "value": "/"}]}),
        ("exception", {"match": [{"path": "path", "operator": "regex", "value": "^/a+"}]}),
    ],
)
def test_a_flag_at_the_edge_is_accepted(mode: str, flag: dict[str, Any]) -> None:
    assert not faults(check_1, {mode: {**ON, **flag}})


def test_every_fault_is_reported_at_once() -> None:
    configuration = {"latency": {"enabled": "yes", "minLatency": 1}, "delay": ON}
    assert faults(check_1, configuration).keys() == {
        "latency.enabled",
        "latency.minLatency",
        "delay",
    }


def test_a_mode_that_is_off_needs_no_attributes() -> None:
    assert not faults(check_1, {"latency": {"enabled": False}, "exception": ON})


@pytest.mark.parametrize("rule", ["path", {"path": 1, "value": "a"}, {"path": "a", "value": 1}])
def test_a_match_that_the_library_drops_is_refused(rule: Any) -> None:
    assert "exception.match" in faults(check_1, {"exception": {**ON, "match": [rule]}})


def test_a_match_of_an_unsafe_pattern_is_refused() -> None:
    rule = {"path": "path", "operator": "regex", "value": "(a+)+"}
    found = faults(check_1, {"exception": {**ON, "match": [rule]}})
    assert "nests quantifiers" in found["exception.match"]


def test_modes_are_those_enabled_at_more_than_0_percent() -> None:
    configuration = {
        "latency": {**ON, "percentage": 0},
        "exception": {"enabled": False},
        "statuscode": ON,
        "denylist": {**ON, "percentage": 1},
        "expires_at": 1,
    }
    assert modes_1(configuration) == ("statuscode", "denylist")


@given(flags_of_one_mode())
def test_a_complete_configuration_names_every_mode(configuration: dict[str, Any]) -> None:
    complete = complete_1(configuration)
    assert complete.keys() == MODES_1.keys()
    assert modes_1(complete) == modes_1(configuration)


# -- failure-lambda-0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rate": 0.001},
        {"minLatency": 300},
        {"failureMode": "exception", "exceptionMsg": "down"},
        {"failureMode": "statuscode", "statusCode": 404},
        {"failureMode": "diskspace", "diskSpace": 100},
        {"failureMode": "denylist", "denylist": ["dynamodb.*"]},
    ],
)
def test_a_configuration_that_0_obeys_is_accepted(changes: dict[str, Any]) -> None:
    assert not faults(check_0, {**LATENCY_0, **changes})


@pytest.mark.parametrize("name", LATENCY_0)
def test_nothing_of_a_configuration_for_0_can_be_left_out(name: str) -> None:
    assert faults(check_0, {k: v for k, v in LATENCY_0.items() if k != name}).keys() == {name}


@pytest.mark.parametrize("value", [None, 1, "true", False])
def test_0_is_enabled_by_true_alone(value: Any) -> None:
    assert "isEnabled" in faults(check_0, {**LATENCY_0, "isEnabled": value})


@pytest.mark.parametrize("mode", [None, 1, ["latency"], "timeout"])
def test_0_has_no_other_modes(mode: Any) -> None:
    assert "failureMode" in faults(check_0, {**LATENCY_0, "failureMode": mode})


def test_an_old_blacklist_is_refused_with_its_new_name() -> None:
    found = faults(check_0, {**LATENCY_0, "failureMode": "blacklist"})
    assert "became denylist" in found["failureMode"]


@pytest.mark.parametrize("mode", MODES_0)
def test_the_mode_of_0_is_the_one_that_is_enabled(mode: str) -> None:
    assert modes_0({"isEnabled": True, "failureMode": mode}) == (mode,)


@pytest.mark.parametrize(
    "resting",
    [
        {},
        {"isEnabled": False, "failureMode": "latency"},
        {"isEnabled": "true", "failureMode": "latency"},
        {"isEnabled": True, "failureMode": "timeout"},
        {"isEnabled": True, "failureMode": ["latency"]},
    ],
)
def test_0_injects_nothing_else(resting: dict[str, Any]) -> None:
    assert modes_0(resting) == ()


def test_a_configuration_for_0_is_complete_as_it_is() -> None:
    assert complete_0(LATENCY_0) == LATENCY_0


# -- both


def test_either_format_is_refused_in_the_others_place() -> None:
    assert faults(check_0, {"latency": {**ON, "max_latency": 300}})
    assert "failure-lambda-0" in faults(check_1, LATENCY_0)["isEnabled"]


def test_there_are_rules_for_every_format() -> None:
    assert RULES.keys() == set(Format)
