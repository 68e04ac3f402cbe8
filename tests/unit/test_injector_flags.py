"""Which flags of a configuration are valid: failure-lambda 1.x's rules."""

import json
from typing import Any

import pytest

from gameday_injector.flags import parse_flags
from gameday_injector.modes import MODES

FAULTY: list[tuple[str, object]] = [
    ("latency", "on"),
    ("latency", {}),
    ("latency", {"enabled": "true"}),
    ("latency", {"enabled": True, "percentage": 12.5}),
    ("latency", {"enabled": True, "percentage": 101}),
    ("latency", {"enabled": True, "percentage": -1}),
    ("latency", {"enabled": True, "percentage": None}),
    ("latency", {"enabled": True, "percentage": True}),
    ("latency", {"enabled": True, "min_latency": -1}),
    ("latency", {"enabled": True, "max_latency": "400"}),
    ("latency", {"enabled": True, "max_latency": float("inf")}),
    ("latency", {"enabled": True, "min_latency": 400, "max_latency": 100}),
    ("statuscode", {"enabled": True, "status_code": 99}),
    ("statuscode", {"enabled": True, "status_code": 600}),
    ("statuscode", {"enabled": True, "status_code": "404"}),
    ("exception", {"enabled": True, "exception_msg": 1}),
    ("denylist", {"enabled": True, "deny_list": "dynamodb"}),
    ("denylist", {"enabled": True, "deny_list": [1]}),
    ("denylist", {"enabled": True, "deny_list": ["("]}),
    ("denylist", {"enabled": True, "deny_list": ["a" * 513]}),
    ("denylist", {"enabled": True, "deny_list": ["(a+)+"]}),
    ("denylist", {"enabled": True, "deny_list": ["(.*)+x"]}),
    ("denylist", {"enabled": True, "deny_list": ["((a{2,})b){2}"]}),
    ("denylist", {"enabled": True, "deny_list": ["((a)+)*"]}),
    ("exception", {"enabled": True, "match": {}}),
    ("exception", {"enabled": True, "match": ["path"]}),
    ("exception", {"enabled": True, "match": [{"value": "x"}]}),
    ("exception", {"enabled": True, "match": [{"path": "x"}]}),
    ("exception", {"enabled": True, "match": [{"path": "x", "operator": "ne", "value": "y"}]}),
    ("exception", {"enabled": True, "match": [{"path": "x", "operator": [], "value": "y"}]}),
    ("exception", {"enabled": True, "match": [{"path": "x", "operator": "regex", "value": "("}]}),
    ("exception", {"enabled": True, "match": [{"path": "x", "operator": "regex"}]}),
    ("diskspace", {"enabled": True, "disk_space": 0}),
    ("diskspace", {"enabled": True, "disk_space": 10_241}),
    ("diskspace", {"enabled": True, "disk_space": "100"}),
    ("timeout", {"enabled": True, "timeout_buffer_ms": -1}),
    ("timeout", {"enabled": True, "timeout_buffer_ms": "500"}),
    ("corruption", {"enabled": True, "body": 1}),
    ("corruption", {"enabled": True, "body": None}),
]

VALID: list[tuple[str, dict[str, object]]] = [
    ("latency", {}),
    ("latency", {"percentage": 50.0, "min_latency": 0.5, "max_latency": 0.5}),
    ("latency", {"min_latency": 100}),
    ("latency", {"minLatency": "unknown attributes are ignored"}),
    ("statuscode", {"status_code": 100}),
    ("statuscode", {"status_code": 599}),
    ("exception", {"exception_msg": ""}),
    ("exception", {"match": []}),
    ("diskspace", {}),
    ("diskspace", {"disk_space": 0.5}),
    ("diskspace", {"disk_space": 10_240}),
    ("timeout", {}),
    ("timeout", {"timeout_buffer_ms": 500.5}),
    ("corruption", {}),
    ("corruption", {"body": ""}),
    ("denylist", {}),
    ("denylist", {"deny_list": ["s3.*.amazonaws.com", "dynamodb.*.amazonaws.com"]}),
    ("denylist", {"deny_list": ["a" * 512, "(a+)?", "([+*]){2}", r"(\+)+", "(a{2})+"]}),
]


def warnings(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("mode", "attributes"), FAULTY)
def test_a_flag_with_a_fault_is_dropped_with_one_warning(
    capsys: pytest.CaptureFixture[str], mode: str, attributes: object
) -> None:
    assert parse_flags({mode: attributes}) == ()
    (warning,) = warnings(capsys)
    assert (warning["level"], warning["action"], warning["mode"]) == ("warn", "config", mode)


@pytest.mark.parametrize(("mode", "attributes"), VALID)
def test_a_valid_flag_is_kept_without_a_word(
    capsys: pytest.CaptureFixture[str], mode: str, attributes: dict[str, object]
) -> None:
    assert len(parse_flags({mode: {"enabled": True, **attributes}})) == 1
    assert warnings(capsys) == []


def test_a_fault_in_one_flag_does_not_drop_another() -> None:
    assert len(parse_flags({"latency": {}, "exception": {"enabled": True}})) == 1


@pytest.mark.parametrize("mode", MODES)
def test_a_disabled_flag_injects_nothing_and_warns_of_nothing(
    capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    assert parse_flags({mode: {"enabled": False}}) == ()
    assert warnings(capsys) == []


def test_unknown_flags_are_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_flags({"blackout": {"enabled": True}, "version": "1"}) == ()
    assert warnings(capsys) == []


def test_the_format_of_failure_lambda_0_is_named_in_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parse_flags({"isEnabled": True, "failureMode": "latency", "rate": 1}) == ()
    (warning,) = warnings(capsys)
    assert "0.x" in warning["message"]


ORDER = ["latency", "timeout", "diskspace", "denylist", "statuscode", "exception", "corruption"]


def test_the_modes_apply_in_the_order_of_failure_lambda() -> None:
    assert list(MODES) == ORDER
