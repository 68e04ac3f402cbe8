"""Whether a run can decide at all is said before anything is injected."""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gameday.feasibility import WINDOWS_SECONDS, shortfalls
from gameday.judge import Verdict, judge
from gameday.kinds import Measure, PercentileMeasure
from gameday.observations import Observation

P95 = {"kind": "percentile", "metric": "Latency", "percentile": 95, "threshold": 400}
ERRORS = {"kind": "proportion", "metric": "Failed", "of": "Requests", "threshold": 1}
IMAGES = {"kind": "rate", "metric": "Succeeded", "per": "minute", "operator": ">=",
          "threshold": 10}  # fmt: skip
SLOWER = {"kind": "relative", "metric": "Latency", "statistic": "p95", "margin_percent": 10}
OTHER = {"namespace": "AWS/Lambda", "name": "Duration"}


def measure(document: dict[str, Any], **changes: Any) -> Measure:
    whole = {"name": "m", "operator": "<", **document, **changes}
    one: Measure = TypeAdapter(Measure).validate_json(json.dumps(whole))
    return one


def evenly(rate: float) -> Callable[[int], int]:
    """How many requests become due in a window."""
    return lambda seconds: math.ceil(Fraction(str(rate)) * seconds)


def short(
    document: dict[str, Any], rate: float, seconds: int, baseline: int | None = None, **changes: Any
) -> list[str]:
    one = measure(document, **changes)
    return list(shortfalls([one], evenly(rate), seconds if baseline is None else baseline, seconds))


def test_59_requests_can_show_that_95_percent_are_fast_and_58_cannot() -> None:
    assert not short(P95, rate=1, seconds=59)
    assert short(P95, rate=2, seconds=29, baseline=60) == [
        "'m' cannot be decided by 58 requests in condition_seconds of 29: "
        "the shortest that can is 30 s"
    ]


def test_the_baseline_must_be_able_to_hold_too() -> None:
    assert short(P95, rate=2, seconds=60, baseline=20) == [
        "'m' cannot be decided by 40 requests in baseline_seconds of 20: "
        "the shortest that can is 30 s"
    ]


@pytest.mark.parametrize(
    ("changes", "fewest"),
    [({}, 59), ({"percentile": 99}, 299), ({"confidence": 0.99}, 90), ({"percentile": 90}, 29)],
)
def test_the_fewest_requests_are_those_of_the_table(changes: dict[str, Any], fewest: int) -> None:
    # aws.md 7.2: 1 - p^n >= confidence
    assert short(P95, rate=fewest / 60, seconds=60, **changes) == []
    assert short(P95, rate=(fewest - 1.5) / 60, seconds=60, **changes) != []


def test_where_no_window_can_decide_the_load_must_change() -> None:
    (told, _) = short(P95, rate=1, seconds=60, percentile=99.99)
    assert told.endswith("none up to 2700 s can: change the load or the measure")


def test_a_rate_needs_the_time_in_which_nothing_would_be_a_failure() -> None:
    assert short(IMAGES, rate=4, seconds=18, baseline=10) == []
    assert short(IMAGES, rate=4, seconds=17, baseline=10)[0].endswith(
        "the shortest that can is 18 s"
    )


def test_a_rate_needs_a_load_that_can_reach_it() -> None:
    assert short(IMAGES, rate=0.1, seconds=60)
    assert not short(IMAGES, rate=0.4, seconds=60)


def test_a_rate_that_must_be_low_needs_the_time_in_which_nothing_would_be_a_pass() -> None:
    rare: dict[str, Any] = {"operator": "<", "threshold": 1, "metric": OTHER}
    assert short(IMAGES, rate=5, seconds=120, **rare)[0].endswith("the shortest that can is 180 s")


@pytest.mark.parametrize(("seconds", "told"), [(60, []), (19, []), (18, ["19"])])
def test_a_comparison_needs_three_slices(seconds: int, told: list[str]) -> None:
    found = short(SLOWER, rate=5, seconds=seconds, baseline=60)
    assert [text.split()[-2] for text in found] == told


def test_a_comparison_of_what_exists_by_the_minute_needs_three_minutes() -> None:
    found = short(SLOWER, rate=5, seconds=120, metric=OTHER)
    assert [text.split()[-2] for text in found] == ["180", "180"]


@pytest.mark.parametrize(
    ("periods", "fits"),
    [
        ({"seconds": 10, "of": 6, "at_least": 4}, True),
        ({"seconds": 10, "of": 7, "at_least": 4}, False),
        ({"seconds": 7, "of": 2, "at_least": 1}, False),
    ],
)
def test_periods_must_fill_the_window_and_be_as_many_as_are_looked_at(
    periods: dict[str, int], fits: bool
) -> None:
    assert (not short(IMAGES, rate=4, seconds=60, periods=periods)) is fits


def test_what_a_metric_of_others_will_count_is_not_known() -> None:
    assert not short(P95, rate=0.1, seconds=60, metric=OTHER)
    assert not short(ERRORS, rate=0.1, seconds=60, metric=OTHER, of=OTHER)


def _best(one: Measure, seconds: int, requests: int, *, bad: bool) -> Verdict:
    """The verdict of the judge on the best and the worst that can happen."""
    share = 100.0 * bad
    values = (
        {"samples": (float(requests),), "within": (100 - share,), "value": (1.0,)}
        if isinstance(one, PercentileMeasure)
        else {"events": (requests * share / 100,), "total": (float(requests),)}
    )
    return judge(one, Observation(seconds=seconds, values=values)).verdict


@settings(deadline=None)
@given(
    st.sampled_from([P95, ERRORS]),
    st.sampled_from([0.2, 1, 2.5, 5, 50]),
    st.sampled_from(WINDOWS_SECONDS),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_what_is_refused_is_what_the_judge_could_not_decide(
    document: dict[str, Any], rate: float, seconds: int, confidence: float
) -> None:
    one = measure(document, confidence=confidence)
    requests = evenly(rate)(seconds)
    decidable = (
        _best(one, seconds, requests, bad=False) is Verdict.PASSED
        and _best(one, seconds, requests, bad=True) is Verdict.FAILED
    )
    assert (not list(shortfalls([one], evenly(rate), seconds, seconds))) is decidable
