"""Guardrails: the CloudWatch alarms that must stay quiet during a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gameday.errors import RunRefused

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient


def examine(names: Sequence[str], cloudwatch: CloudWatchClient) -> tuple[str, ...]:
    """Find the guardrails and make sure that each is quiet and can ring.

    An alarm that is in ALARM already changes no state and so sends no event; one that has no
    data is not known to be quiet.

    Returns:
        The alarms' ARNs, in the order of the names.

    Raises:
        RunRefused: with every reason and what to do about each.
    """
    if not names:
        return ()
    alarms = {alarm["AlarmName"]: alarm for alarm in _described(names, cloudwatch)}
    reasons = [reason for name in names if (reason := _reason(name, alarms.get(name)))]
    if reasons:
        raise RunRefused(reasons)
    return tuple(alarms[name]["AlarmArn"] for name in names)


def ringing(names: Sequence[str], cloudwatch: CloudWatchClient) -> tuple[str, ...]:
    """The guardrails that are in ALARM now."""
    if not names:
        return ()
    return tuple(
        alarm["AlarmName"]
        for alarm in _described(names, cloudwatch)
        if alarm["StateValue"] == "ALARM"
    )


def _described(names: Sequence[str], cloudwatch: CloudWatchClient) -> Iterator[Mapping[str, Any]]:
    answer = cloudwatch.describe_alarms(
        AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"], MaxRecords=100
    )
    yield from answer["MetricAlarms"]
    yield from answer["CompositeAlarms"]


def _reason(name: str, alarm: Mapping[str, Any] | None) -> str | None:
    if alarm is None:
        return f"guardrail {name!r} does not exist in this account and region: create the alarm"
    match alarm["StateValue"]:
        case "OK":
            return None
        case "ALARM":
            return f"guardrail {name!r} is already in ALARM: mend what it tells of, then run again"
        case _:
            return (
                f"guardrail {name!r} has no data, so it is not known to be quiet: wait for data, "
                "or let it treat missing data as notBreaching"
            )
