"""Guardrails are looked at before a run starts."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from gameday.errors import RunRefused
from gameday.guardrails import examine

CLOUDWATCH = boto3.client(
    "cloudwatch", "us-east-1", aws_access_key_id="a", aws_secret_access_key="a"
)


@pytest.fixture
def stub() -> Iterator[Stubber]:
    with Stubber(CLOUDWATCH) as stub:
        yield stub
        stub.assert_no_pending_responses()


def alarm(name: str, state: str = "OK") -> dict[str, Any]:
    return {"AlarmName": name, "AlarmArn": f"arn:{name}", "StateValue": state}


def answer(
    stub: Stubber, names: list[str], alarms: list[Any], composite: list[Any] | None = None
) -> None:
    expected = {
        "AlarmNames": names,
        "AlarmTypes": ["MetricAlarm", "CompositeAlarm"],
        "MaxRecords": 100,
    }
    found = {"MetricAlarms": alarms, "CompositeAlarms": composite or []}
    stub.add_response("describe_alarms", found, expected)


def reasons(names: list[str]) -> tuple[str, ...]:
    with pytest.raises(RunRefused) as refused:
        examine(names, CLOUDWATCH)
    return refused.value.reasons


def test_without_guardrails_nothing_is_asked(stub: Stubber) -> None:
    assert examine([], CLOUDWATCH) == ()


def test_quiet_guardrails_are_found_in_the_order_of_their_names(stub: Stubber) -> None:
    answer(stub, ["b", "a"], [alarm("a"), alarm("b")])
    assert examine(["b", "a"], CLOUDWATCH) == ("arn:b", "arn:a")


def test_a_composite_alarm_may_be_a_guardrail(stub: Stubber) -> None:
    answer(stub, ["a"], [], [alarm("a")])
    assert examine(["a"], CLOUDWATCH) == ("arn:a",)


@pytest.mark.parametrize(
    ("alarms", "reason"),
    [
        ([], "guardrail 'a' does not exist"),
        ([alarm("a", "ALARM")], "guardrail 'a' is already in ALARM"),
        ([alarm("a", "INSUFFICIENT_DATA")], "guardrail 'a' has no data"),
    ],
)
def test_a_guardrail_that_is_not_known_to_be_quiet_is_refused(
    stub: Stubber, alarms: list[Any], reason: str
) -> None:
    answer(stub, ["a"], alarms)
    assert reasons(["a"])[0].startswith(reason)


def test_every_guardrail_that_is_not_quiet_is_told(stub: Stubber) -> None:
    answer(stub, ["a", "b", "c"], [alarm("a", "ALARM"), alarm("b")])
    assert len(reasons(["a", "b", "c"])) == 2
