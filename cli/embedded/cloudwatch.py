"""CloudWatch's documented definitions that the emulator lacks; pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

MINUTE_SECONDS = 60
HIGH_RESOLUTION_PERIODS_SECONDS = frozenset({1, 5, 10, 20, 30})
BASIC_STATISTICS = frozenset({"SampleCount", "Average", "Sum", "Minimum", "Maximum"})
_PERCENTILE = re.compile(r"p(\d{1,2}(\.\d{1,10})?|100)")
_RANGE = re.compile(r"(PR|TC)\((\d+(?:\.\d+)?)?:(\d+(?:\.\d+)?)?\)")
_TERMS = re.compile(r"(?:\s*(?:\"([^\"]+)\"|(\w+)))+\s*")
_TERM = re.compile(r"\"([^\"]+)\"|(\w+)")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


class AlarmState(StrEnum):
    """The three states of an alarm."""

    OK = "OK"
    ALARM = "ALARM"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"


def is_statistic(name: str) -> bool:
    """Tell whether `name` is a statistic that is computed here; no other may pass as Average."""
    return name in BASIC_STATISTICS or bool(_PERCENTILE.fullmatch(name)) or is_range(name)


def is_range(name: str) -> bool:
    """Tell whether `name` is PR(a:b) or TC(a:b), bounds in values, at most one of them left out."""
    match = _RANGE.fullmatch(name)
    return bool(match and (match[2] or match[3]))


def range_statistic(name: str, samples: Sequence[tuple[float, float]]) -> float:
    """Compute PR (percent) or TC (count) of samples (value, count); at least one sample.

    The lower bound is exclusive, the upper one inclusive.
    Source: AmazonCloudWatch/latest/monitoring/Statistics-definitions.html. AWS interpolates TC;
    here it is exact.
    """
    match = _RANGE.fullmatch(name)
    if not match:
        raise ValueError(f"{name} is neither PR(a:b) nor TC(a:b).")
    above, up_to = float(match[2] or "-inf"), float(match[3] or "inf")
    inside = sum(count for value, count in samples if above < value <= up_to)
    return inside if match[1] == "TC" else 100.0 * inside / sum(count for _, count in samples)


def is_period(seconds: int) -> bool:
    """Tell whether GetMetricData takes this period."""
    return seconds in HIGH_RESOLUTION_PERIODS_SECONDS or (
        seconds > 0 and seconds % MINUTE_SECONDS == 0
    )


def first_bucket(start: float, period_seconds: int) -> int:
    """Round a query's StartTime down to where its first bucket starts, in epoch seconds."""
    unit = min(period_seconds, MINUTE_SECONDS)
    return int(start // unit) * unit


def alarm_state(
    values: Sequence[float | None],
    *,
    comparison: str,
    threshold: float,
    datapoints_to_alarm: int,
    treat_missing: str,
) -> AlarmState | None:
    """Decide an alarm's state from its value in each evaluation period, None where data is missing.

    None means that the alarm keeps its state.
    Source: AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html. AWS also looks at
    periods before these when some are missing, because data may be late there.
    """
    compare = _COMPARISONS.get(comparison)
    if compare is None:
        return None
    present = [value for value in values if value is not None]
    breaching = sum(compare(value, threshold) for value in present)
    missing = len(values) - len(present)
    if treat_missing == "breaching":
        breaching += missing
    if breaching >= datapoints_to_alarm:
        return AlarmState.ALARM
    if treat_missing in ("breaching", "notBreaching") or breaching < len(present):
        return AlarmState.OK
    # All there is breaches, but less than the alarm asks for.
    if treat_missing == "ignore":
        return None
    return AlarmState.ALARM if present else AlarmState.INSUFFICIENT_DATA


def terms(pattern: str) -> tuple[str, ...] | None:
    """Return what a line must hold to match a metric filter's pattern; None for any other pattern.

    Source: AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html, "Match terms using a string".
    """
    if not _TERMS.fullmatch(pattern):
        return None
    return tuple(quoted or word for quoted, word in _TERM.findall(pattern))
