"""The judge of one measure: pure, so every rule is a sentence."""

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gameday.judge import (
    EXPRESSION,
    Judgement,
    Recovery,
    Verdict,
    all_passed,
    judge,
    judge_all,
    judge_recovery,
)
from gameday.kinds import Measure, Operator
from gameday.observations import Observation, Window
from tests.unit.fakes import experiment, judged, observed

PASSED, FAILED, INCONCLUSIVE = Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE
NUMBERS = st.floats(-1e9, 1e9)
OPERATORS = st.sampled_from(Operator)

type Values = Sequence[float | None]


def measure(kind: str, **fields: Any) -> Measure:
    of_one_metric = kind not in ("expression", "error_budget")
    usual = {"metric": CUSTOM, "operator": "<"} if of_one_metric else {}
    document = {"name": "m", "kind": kind, **usual, **fields}
    made: Measure = TypeAdapter(Measure).validate_json(json.dumps(document))
    return made


CUSTOM = {"namespace": "Shop", "name": "Orders"}


def seen(seconds: int = 60, **values: float | Values | None) -> Observation:
    return Observation(
        seconds=seconds,
        values={
            role: tuple(value) if isinstance(value, list | tuple) else (value,)
            for role, value in values.items()
        },
    )


# -- percentile


P95 = measure("percentile", metric="Latency", percentile=95, threshold=400)


def percentile(slow: int, total: int, one: Measure = P95, offered: int | None = None) -> Judgement:
    """The judgement of so many slow requests, spread evenly over a minute."""
    return judge(one, spread([slow], [total]), offered=offered)


def spread(slow: Sequence[int], total: Sequence[int]) -> Observation:
    within = [100 * (1 - s / n) if n else None for s, n in zip(slow, total, strict=True)]
    return seen(samples=[float(n) for n in total], within=within, value=210.0)


@pytest.mark.parametrize(
    ("total", "passes_up_to", "fails_from"),
    [(100, 1, 10), (200, 4, 16), (300, 8, 22), (500, 16, 34), (1000, 38, 63), (10_000, 463, 537)],
)
def test_a_percentile_is_decided_by_the_exact_binomial_test(
    total: int, passes_up_to: int, fails_from: int
) -> None:
    verdicts = [
        percentile(slow, total).verdict
        for slow in (passes_up_to, passes_up_to + 1, fails_from - 1, fails_from)
    ]
    assert verdicts == [PASSED, INCONCLUSIVE, INCONCLUSIVE, FAILED]


def test_the_fewest_requests_that_can_pass_are_59() -> None:
    assert [percentile(0, total).verdict for total in (58, 59)] == [INCONCLUSIVE, PASSED]


def test_a_percentile_says_its_numbers() -> None:
    assert percentile(0, 120).reason == (
        "p95 210 ms is < 400 ms: 0 of 120 slower, at most 2.47 % at 95 % confidence, and 5 % may be"
    )
    assert percentile(30, 100).reason == (
        "p95 210 ms is not < 400 ms: 30 of 100 slower, at least 22.5 % at 95 % confidence, "
        "and 5 % may be"
    )


def test_too_few_requests_say_how_many_more_it_takes() -> None:
    judgement = percentile(0, 40)
    assert judgement.verdict is INCONCLUSIVE
    assert judgement.reason.endswith("about 19 more requests would tell")
    assert percentile(19, 380).reason.endswith("that is too near for any number of requests")


def test_a_percentile_carries_what_it_was_made_from() -> None:
    judgement = judge(P95, spread([1], [100]), spread([0], [90]))
    assert judgement.interval is not None
    assert judgement.interval.limit == 5
    assert judgement.interval.low < 1 < judgement.interval.high  # type: ignore[operator]
    assert judgement.model_dump(exclude={"interval", "reason"}) == {
        "measure": "m",
        "kind": "percentile",
        "critical": True,
        "verdict": PASSED,
        "observed": 210,
        "operator": "<",
        "threshold": 400,
        "unit": "ms",
        "margin": 190,
        "samples": 100,
        "baseline": 210,
    }


def test_a_share_of_a_request_is_rounded_against_passing_and_against_failing() -> None:
    # CloudWatch interpolates: 9.5 of 100 slow are 10 for the one and 9 for the other.
    half = seen(samples=[100.0], within=[90.5], value=1.0)
    assert judge(P95, half).verdict is INCONCLUSIVE
    assert percentile(10, 100).verdict is FAILED
    one_and_a_half = seen(samples=[100.0], within=[98.5], value=1.0)
    assert judge(P95, one_and_a_half).verdict is INCONCLUSIVE
    assert percentile(1, 100).verdict is PASSED


def test_the_rounding_of_a_percentage_makes_no_request_slow() -> None:
    exact = seen(samples=[60.0], within=[100 * (1 - 3 / 60)], value=1.0)
    assert "3 of 60 slower" in judge(P95, exact).reason


def test_an_average_of_percentiles_decides_nothing() -> None:
    # Each minute's p95 would be fine on average; pooled, too many are slow.
    judgement = judge(P95, spread([0, 0, 0, 0, 60], [100] * 5))
    assert judgement.verdict is not PASSED


@pytest.mark.parametrize("offered", [300, 302, 298])
def test_latencies_must_be_as_many_as_the_requests(offered: int) -> None:
    assert percentile(0, 300, offered=offered).verdict is PASSED


@pytest.mark.parametrize("offered", [310, 290])
def test_latencies_that_do_not_match_the_load_are_inconclusive(offered: int) -> None:
    judgement = percentile(0, 300, offered=offered)
    assert (judgement.verdict, judgement.reason) == (
        INCONCLUSIVE,
        f"CloudWatch holds 300 of the {offered} requests",
    )


def test_samples_whose_size_is_not_said_are_inconclusive() -> None:
    judgement = judge(P95, seen(samples=[50.0, 50.0], within=[100.0, None], value=1.0))
    assert judgement.verdict is INCONCLUSIVE


def test_a_second_in_which_no_request_was_due_has_no_latency() -> None:
    judgement = judge(P95, seen(samples=[100.0, None], within=[100.0, None], value=1.0))
    assert judgement.verdict is PASSED


def test_of_a_metric_of_others_no_period_may_be_missing() -> None:
    other = measure("percentile", percentile=95, threshold=400)
    judgement = judge(other, seen(120, samples=[100.0, None], within=[100.0, None], value=1.0))
    assert (judgement.verdict, judgement.reason) == (
        INCONCLUSIVE,
        "CloudWatch holds no data of samples for 1 of 2 periods of 60 s",
    )


# -- properties of every count


SLOW = st.lists(st.integers(0, 40), min_size=1, max_size=12)


@given(SLOW, st.data())
def test_more_slow_requests_never_turn_failed_into_passed(
    slow: list[int], data: st.DataObject
) -> None:
    more = [data.draw(st.integers(one, 40)) for one in slow]
    total = [40] * len(slow)
    before, after = judge(P95, spread(slow, total)), judge(P95, spread(more, total))
    assert not (before.verdict is FAILED and after.verdict is PASSED)


@given(SLOW, st.randoms(use_true_random=False))
def test_the_order_of_the_periods_turns_no_verdict_into_its_opposite(
    slow: list[int], chance: Any
) -> None:
    # Bursts that last make a verdict less sure, so the order may decide whether there is one.
    shuffled, total = chance.sample(slow, len(slow)), [40] * len(slow)
    one, other = judge(P95, spread(slow, total)), judge(P95, spread(shuffled, total))
    assert {one.verdict, other.verdict} != {PASSED, FAILED}


@given(st.lists(st.integers(0, 40), min_size=6, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_few_periods_does_not_matter(slow: list[int], chance: Any) -> None:
    shuffled, total = chance.sample(slow, len(slow)), [40] * len(slow)
    one, other = judge(P95, spread(slow, total)), judge(P95, spread(shuffled, total))
    assert one.verdict is other.verdict


@given(SLOW)
def test_the_direction_of_time_does_not_matter(slow: list[int]) -> None:
    total = [40] * len(slow)
    one, other = judge(P95, spread(slow, total)), judge(P95, spread(slow[::-1], total))
    assert one.verdict is other.verdict


@pytest.mark.parametrize("where", range(12))
def test_one_slow_request_is_no_burst_wherever_it_is(where: int) -> None:
    slow = [int(n == where) for n in range(12)]
    judgement = judge(P95, spread(slow, [12] * 12))
    assert (judgement.verdict, judgement.samples) == (PASSED, 144)


@given(st.integers(0, 50), st.integers(1, 5))
def test_at_the_same_share_more_requests_never_widen_the_interval(slow: int, times: int) -> None:
    few, many = percentile(slow, 100).interval, percentile(slow * times, 100 * times).interval
    assert few is not None
    assert many is not None
    assert few.low - 1e-9 <= many.low
    assert many.high is not None
    assert few.high is not None
    assert many.high <= few.high + 1e-9


@given(st.integers(0, 200), st.integers(1, 200))
def test_no_verdict_contradicts_what_was_seen(slow: int, total: int) -> None:
    assume(slow <= total)
    judgement = percentile(slow, total)
    if judgement.verdict is PASSED:
        assert slow / total < 0.05
    if judgement.verdict is FAILED:
        assert slow / total > 0.05


# -- proportion


ERRORS = measure("proportion", metric="Failed", of="Requests", threshold=1)


def proportion(events: Values, total: Values, one: Measure = ERRORS) -> Judgement:
    return judge(one, seen(events=events, total=total))


@pytest.mark.parametrize(
    ("events", "total", "verdict"),
    [
        (0, 298, INCONCLUSIVE),
        (0, 299, PASSED),
        (1, 473, PASSED),
        (1, 472, INCONCLUSIVE),
        (7, 300, FAILED),
        (6, 300, INCONCLUSIVE),
    ],
)
def test_a_proportion_is_decided_by_the_exact_binomial_test(
    events: int, total: int, verdict: Verdict
) -> None:
    assert proportion([float(events)], [float(total)]).verdict is verdict


def test_a_proportion_says_its_numbers() -> None:
    assert proportion([1.0], [500.0]).reason == (
        "0.2 % is < 1 %: 1 of 500 failed, at most 0.945 % at 95 % confidence, and 1 % may be"
    )


@pytest.mark.parametrize(("good", "verdict"), [(500, PASSED), (497, INCONCLUSIVE), (480, FAILED)])
def test_a_proportion_may_have_to_be_large(good: int, verdict: Verdict) -> None:
    many = measure("proportion", metric="Succeeded", of="Requests", operator=">=", threshold=99)
    judgement = proportion([float(good)], [500.0], many)
    assert judgement.verdict is verdict
    assert f"{500 - good} of 500 not succeeded" in judgement.reason
    assert judgement.interval is not None
    assert judgement.interval.low <= good / 5 <= (judgement.interval.high or 0)


@pytest.mark.parametrize(
    ("events", "total"),
    [([None, 1.0], [300.0, 300.0]), ([0.0, 0.0], [300.0, None]), ([None], [600.0])],
)
def test_a_count_that_is_missing_is_no_zero(events: Values, total: Values) -> None:
    judgement = proportion(events, total)
    assert judgement.verdict is INCONCLUSIVE
    assert "holds no data" in judgement.reason


def test_a_proportion_of_nothing_is_inconclusive() -> None:
    assert proportion([0.0], [0.0]).verdict is INCONCLUSIVE


def test_a_count_larger_than_all_is_inconclusive() -> None:
    assert proportion([301.0], [300.0]).verdict is INCONCLUSIVE


def test_periods_that_differ_by_more_than_chance_make_it_less_sure() -> None:
    even = proportion([2.0] * 10, [400.0] * 10)
    bursts = proportion([20.0] + [0.0] * 9, [400.0] * 10)
    assert (even.verdict, bursts.verdict) == (PASSED, INCONCLUSIVE)
    assert bursts.reason.endswith("more requests would tell since they come in bursts")


# -- rate


IMAGES = measure("rate", metric="Succeeded", per="minute", operator=">=", threshold=10)


def rate(counts: Values, seconds: int = 60, one: Measure = IMAGES) -> Judgement:
    return judge(one, seen(seconds, count=counts))


@pytest.mark.parametrize(
    ("count", "verdict"), [(16, PASSED), (15, INCONCLUSIVE), (5, INCONCLUSIVE), (4, FAILED)]
)
def test_a_rate_is_decided_by_the_exact_interval_of_a_count(count: int, verdict: Verdict) -> None:
    # Garwood: at least 10.04 for 16, at most 9.15 for 4.
    assert rate([float(count)]).verdict is verdict


def test_a_rate_says_its_numbers() -> None:
    assert rate([4.0] * 10, seconds=20).reason == (
        "120/minute is >= 10/minute: 40 in 20 s, at least 90.59/minute at 95 % confidence"
    )


def test_nothing_in_a_window_that_is_too_short_is_no_failure() -> None:
    assert [rate([0.0], seconds).verdict for seconds in (17, 18)] == [INCONCLUSIVE, FAILED]


def test_a_rate_that_is_not_sure_says_how_long_a_window_would_tell() -> None:
    assert rate([12.0]).reason.endswith("a window of about 480 s would tell")
    assert rate([10.0]).reason.endswith("that is too near for any window")


def test_a_rate_is_that_of_the_window_itself() -> None:
    assert rate([1.0] * 20, seconds=20).observed == 60
    per_second = measure("rate", metric="Requests", per="second", operator=">=", threshold=1)
    assert rate([1.0] * 20, 20, per_second).observed == 1


def test_a_second_without_a_count_is_no_second_of_zero() -> None:
    assert rate([5.0, None, 5.0]).verdict is INCONCLUSIVE


def of_periods(at_least: int, of: int) -> Measure:
    periods = {"seconds": 10, "of": of, "at_least": at_least}
    return measure(
        "rate", metric="Succeeded", per="second", operator=">=", threshold=1, periods=periods
    )


@pytest.mark.parametrize(
    ("counts", "at_least", "of", "verdict"),
    [
        ([20, 0, 20, 20, 0, 20], 2, 3, PASSED),
        ([20, 0, 0, 20, 20, 20], 2, 3, FAILED),
        ([20, 0, 0, 20, 20, 20], 4, 6, PASSED),
        ([20, 20, 20, 20, 20, 9], 6, 6, FAILED),
        ([20, 20, 20, 20, 20, 10], 6, 6, PASSED),
    ],
)
def test_m_of_any_n_periods_in_a_row_must_hold(
    counts: list[float], at_least: int, of: int, verdict: Verdict
) -> None:
    assert rate(counts, 60, of_periods(at_least, of)).verdict is verdict


def test_the_worst_of_the_periods_is_told() -> None:
    assert rate([20.0, 0.0, 0.0, 20.0, 20.0, 20.0], 60, of_periods(2, 3)).reason == (
        ">= 1/second in at least 1 of any 3 periods of 10 s, 2 are needed "
        "(compared period by period, as an alarm does)"
    )


def test_fewer_periods_than_are_looked_at_are_inconclusive() -> None:
    assert rate([20.0, 20.0], 20, of_periods(1, 3)).verdict is INCONCLUSIVE


# -- relative


SLOWER = measure("relative", metric="Latency", statistic="p95", operator="<=", margin_percent=10)
BEFORE = [100.0, 101.0, 99.0, 100.0, 102.0, 98.0]


def relative(after: Values, before: Values | None = BEFORE, one: Measure = SLOWER) -> Judgement:
    return judge(one, seen(level=after), None if before is None else seen(level=before))


@pytest.mark.parametrize(
    ("times", "verdict"),
    [(0.5, PASSED), (1, PASSED), (1.06, PASSED), (1.1, INCONCLUSIVE), (1.14, FAILED), (2, FAILED)],
)
def test_no_worse_than_the_baseline_by_more_than_the_margin(times: float, verdict: Verdict) -> None:
    assert relative([value * times for value in BEFORE]).verdict is verdict


def test_a_difference_that_is_merely_not_significant_is_inconclusive() -> None:
    assert relative([60.0, 180.0, 90.0, 150.0, 80.0, 120.0]).verdict is INCONCLUSIVE


def test_more_may_be_better() -> None:
    more = measure("relative", statistic="Sum", operator=">=", margin_percent=10)
    verdicts = [
        relative([value * times for value in BEFORE], one=more).verdict
        for times in (2, 1, 0.95, 0.9, 0.85)
    ]
    assert verdicts == [PASSED, PASSED, PASSED, INCONCLUSIVE, FAILED]


def test_a_comparison_says_its_numbers_in_the_unit_of_the_metric() -> None:
    judgement = relative(BEFORE)
    assert judgement.reason == (
        "99.99 ms is <= 110 ms: 10 % over a baseline of 99.99 ms, "
        "at most 102.9 ms at 95 % confidence"
    )
    assert judgement.threshold == pytest.approx(110, rel=1e-3)
    assert judgement.baseline == judgement.observed
    assert judgement.samples == 6


@pytest.mark.parametrize("times", [0.001, 1000])
@pytest.mark.parametrize("factor", [1, 1.1, 1.2])
def test_a_comparison_does_not_depend_on_the_unit(times: float, factor: float) -> None:
    one = relative([value * factor for value in BEFORE])
    other = relative([v * factor * times for v in BEFORE], [v * times for v in BEFORE])
    assert one.verdict is other.verdict


@pytest.mark.parametrize(
    ("after", "before", "why"),
    [
        (BEFORE, [0.0] * 6, "of a baseline that is or may be zero there is no percentage"),
        (BEFORE, [0.0] * 5 + [1.0], "of a baseline that is or may be zero there is no percentage"),
        (BEFORE, [-1.0, 1.0, 1.0], "what may be negative has no percentage"),
        (BEFORE[:2], BEFORE, "6 values before and 2 now, of 3 needed"),
    ],
)
def test_what_cannot_be_compared_is_inconclusive(after: Values, before: Values, why: str) -> None:
    judgement = relative(after, before)
    assert (judgement.verdict, judgement.reason) == (
        INCONCLUSIVE,
        f"it cannot be compared with its baseline: {why}",
    )


def test_the_baseline_of_a_comparison_needs_only_to_be_one() -> None:
    assert relative(BEFORE, None).verdict is PASSED
    assert relative(BEFORE, None).reason == "99.99 ms, of 6 values: the reference"
    assert relative([0.0] * 6, None).verdict is INCONCLUSIVE
    assert relative([100.0, None, 100.0, 100.0], None).verdict is INCONCLUSIVE


def test_kayenta_cannot_fail_fewer_than_5_points_here_a_large_shift_fails_at_3() -> None:
    assert relative([200.0, 201.0, 199.0], [100.0, 101.0, 99.0]).verdict is FAILED


def test_kayenta_fails_any_significant_shift_here_one_within_the_margin_passes() -> None:
    shifted = [value * 1.03 for value in BEFORE * 10]
    assert relative(shifted, BEFORE * 10).verdict is PASSED


def test_kayenta_skips_the_effect_size_at_a_mean_of_zero_here_it_is_inconclusive() -> None:
    assert relative([1.0, 1.0, 1.0], [0.0, 0.0, 0.0]).verdict is INCONCLUSIVE


# -- threshold and expression


def point(operator: Operator, threshold: float, value: float | None) -> Judgement:
    one = measure("threshold", statistic="p95", operator=operator, threshold=threshold)
    return judge(one, seen(value=value, samples=1.0))


@given(NUMBERS)
@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        (Operator.LESS, "PASSED", "FAILED", "FAILED"),
        (Operator.AT_MOST, "PASSED", "PASSED", "FAILED"),
        (Operator.AT_LEAST, "FAILED", "PASSED", "PASSED"),
        (Operator.GREATER, "FAILED", "FAILED", "PASSED"),
    ],
)
def test_a_point_flips_exactly_at_the_threshold(
    operator: Operator, below: str, at: str, above: str, threshold: float
) -> None:
    values = (math.nextafter(threshold, -math.inf), threshold, math.nextafter(threshold, math.inf))
    assert [point(operator, threshold, v).verdict for v in values] == [below, at, above]


@given(OPERATORS, NUMBERS, NUMBERS)
def test_the_margins_sign_agrees_with_the_verdict(
    operator: Operator, threshold: float, value: float
) -> None:
    judgement = point(operator, threshold, value)
    assert judgement.margin is not None
    at_the_threshold = operator in (Operator.AT_MOST, Operator.AT_LEAST)
    inside = judgement.margin > 0 or (judgement.margin == 0 and at_the_threshold)
    assert inside == (judgement.verdict is PASSED)


@given(OPERATORS, NUMBERS)
def test_no_data_is_never_a_verdict(operator: Operator, threshold: float) -> None:
    judgement = point(operator, threshold, None)
    assert (judgement.verdict, judgement.margin) == (INCONCLUSIVE, None)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_argo_passes_infinity_here_it_is_inconclusive(value: float) -> None:
    assert point(Operator.AT_LEAST, 0.95, value).verdict is INCONCLUSIVE


def test_a_point_is_said_to_be_one() -> None:
    one = measure("threshold", statistic="Average", threshold=400, unit="ms")
    assert judge(one, seen(value=210.04, samples=9.0)).reason == (
        "210 ms is < 400 ms (as a point: how sure that is, is not known)"
    )


RATIO = measure(
    "expression",
    metrics={
        "errors": {"metric": CUSTOM, "statistic": "Sum"},
        "all": {"metric": CUSTOM, "statistic": "Sum"},
    },
    expression="100 * errors / all",
    operator="<=",
    threshold=1,
)


def test_an_expression_is_compared_by_its_own_value() -> None:
    observed = Observation(
        seconds=60, values={"errors": (1.0,), "all": (200.0,), EXPRESSION: (0.5,)}
    )
    judgement = judge(RATIO, observed)
    assert (judgement.verdict, judgement.observed, judgement.margin) == (PASSED, 0.5, 0.5)


def test_kayenta_replaces_no_data_by_zero_and_passes_here_it_is_inconclusive() -> None:
    # IF(errors, errors, 0) and the like would make a zero of it.
    observed = Observation(
        seconds=60, values={"errors": (None,), "all": (200.0,), EXPRESSION: (0.0,)}
    )
    judgement = judge(RATIO, observed)
    assert (judgement.verdict, judgement.reason) == (
        INCONCLUSIVE,
        "CloudWatch holds no data for errors",
    )


# -- error budget


BUDGET: dict[str, Any] = {
    "bad": "Failed",
    "of": "Requests",
    "objective_percent": 99.9,
    "requests": 1_000_000,
    "at_most_percent": 1,
}


def burnt(bad: float, total: float = 300.0, **values: Any) -> Judgement:
    requests = {"requests": CUSTOM} if values else {}
    observed = seen(60, events=bad, total=total, **values)
    return judge(measure("error_budget", **(BUDGET | requests)), observed)


@pytest.mark.parametrize(("bad", "verdict"), [(0, PASSED), (10, PASSED), (11, FAILED)])
def test_a_run_may_burn_a_share_of_the_budget(bad: int, verdict: Verdict) -> None:
    assert burnt(bad).verdict is verdict


def test_the_budget_is_told_in_numbers() -> None:
    assert burnt(4).reason == (
        "0.4 % of the budget of 30 days is burnt and 1 % may be: 4 of 300 requests were bad, "
        "and 99.9 % allows 1000 (a count, no estimate)"
    )
    assert (burnt(4).observed, burnt(4).threshold) == (0.4, 1)


def test_the_requests_of_the_window_may_be_measured() -> None:
    assert burnt(4, expected=100_000.0).observed == pytest.approx(4)
    assert burnt(4, expected=100_000.0).verdict is FAILED


@pytest.mark.parametrize(("bad", "total"), [(0, 0), (5, 4), (-1, 4)])
def test_counts_that_cannot_be_burn_no_budget(bad: float, total: float) -> None:
    assert burnt(bad, total).verdict is INCONCLUSIVE


def test_a_budget_of_no_requests_is_none() -> None:
    assert burnt(0, expected=0.0).verdict is INCONCLUSIVE


# -- what is missing, of any kind


EVERY = [
    (P95, ("samples", "within", "value")),
    (ERRORS, ("events", "total")),
    (IMAGES, ("count",)),
    (SLOWER, ("level",)),
    (RATIO, ("errors", "all", EXPRESSION)),
]


@pytest.mark.parametrize(("one", "roles"), EVERY, ids=lambda value: str(value)[:9])
def test_no_data_is_inconclusive_for_every_kind(one: Measure, roles: tuple[str, ...]) -> None:
    nothing = Observation(seconds=60, values={role: (None, None) for role in roles})
    if one in (P95, RATIO):
        nothing = Observation(seconds=60, values={role: (None,) for role in roles})
    judgement = judge(one, nothing, nothing)
    assert judgement.verdict is INCONCLUSIVE
    assert judgement.reason == "CloudWatch holds no data for it"
    assert judgement.observed is None


@pytest.mark.parametrize(("one", "roles"), EVERY, ids=lambda value: str(value)[:9])
def test_a_part_of_the_data_is_inconclusive_for_every_kind(
    one: Measure, roles: tuple[str, ...]
) -> None:
    part = Observation(seconds=60, values={role: (50.0,) for role in roles}, partial=True)
    assert judge(one, part, part).verdict is INCONCLUSIVE


# -- all measures


def test_every_measure_is_judged_beside_its_own_baseline() -> None:
    two = experiment(measures=[document("a"), document("b")])
    judgements = judge_all(
        two,
        {"a": observed(1), "b": observed(2000)},
        {"a": observed(5), "b": observed(2000)},
    )
    assert [(j.measure, j.verdict, j.baseline) for j in judgements] == [
        ("a", "PASSED", 5),
        ("b", "FAILED", 2000),
    ]


def document(name: str) -> dict[str, object]:
    return {**experiment().measures[0].model_dump(mode="json"), "name": name}


def test_argo_passes_when_a_metric_never_ran_here_every_measure_must_have_been_observed() -> None:
    with pytest.raises(KeyError):
        judge_all(experiment(measures=[document("a"), document("b")]), {"a": observed()})


def test_of_no_measure_nothing_holds() -> None:
    assert not all_passed(())


@pytest.mark.parametrize(("value", "holds"), [(200, True), (2000, False), (None, False)])
def test_all_hold_when_each_has_passed(value: float | None, holds: bool) -> None:
    assert all_passed(judged(value)) is holds


# -- recovery


def slices(values: Values, start: int = 100) -> list[tuple[Window, dict[str, Observation]]]:
    return [
        (
            Window(start=start + 5 * i, end=start + 5 * (i + 1)),
            {"95 % respond in": seen(5, value=value)},
        )
        for i, value in enumerate(values)
    ]


def recovery(
    values: Values, disabled_at: float = 100.0, before: Values = (180.0, 200.0)
) -> Recovery:
    return judge_recovery(experiment(), slices(before, 0), slices(values), disabled_at)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([200, 200, 200], 0),
        ([2000, 200, 200], 5),
        ([200, 2000, 200], 10),
        ([None, 200, 200], 5),
        ([900, 400, 200], 5),
        ([401, 400, 401, 100], 15),
    ],
)
def test_recovery_counts_from_disabling_to_the_first_slice_inside_the_baseline_to_the_end(
    values: Values, seconds: float
) -> None:
    found = recovery(values)
    assert (found.recovered, found.seconds, found.missed) == (True, seconds, False)
    assert found.reason == f"back inside its baseline after {seconds} s"


def test_a_system_inside_its_objective_and_outside_its_baseline_is_not_back() -> None:
    found = recovery([200, 200, 600])
    assert (found.recovered, found.missed) == (False, False)
    assert found.reason == (
        "not back inside its baseline within 15 s: 95 % respond in: 600 ms is over 400 ms"
    )


@pytest.mark.parametrize("values", [[], [200, 200, 2000], [200, None]])
def test_a_system_that_is_not_back_at_the_end_has_not_recovered(values: Values) -> None:
    found = recovery(values)
    assert (found.recovered, found.seconds) == (False, None)


@pytest.mark.parametrize(
    ("values", "missed"),
    [([200, 200, 2000, 2000], True), ([2000, 2000, 200, 2000], False), ([200, None], False)],
)
def test_the_objective_is_still_missed_when_it_is_in_all_of_the_second_half(
    values: Values, missed: bool
) -> None:
    assert recovery(values).missed is missed


def test_a_baseline_worse_than_the_objective_leaves_the_objective() -> None:
    assert recovery([999], before=[1200.0]).recovered
    assert not recovery([1000], before=[1200.0]).recovered


def test_where_more_is_better_the_room_is_below() -> None:
    images = experiment(
        measures=[
            {
                "name": "i",
                "kind": "rate",
                "metric": "Succeeded",
                "per": "second",
                "operator": ">=",
                "threshold": 1,
            }
        ]
    )

    def back(count: float) -> bool:
        before = [(Window(start=0, end=5), {"i": seen(5, count=25.0)})]
        after = [(Window(start=100, end=105), {"i": seen(5, count=count)})]
        return judge_recovery(images, before, after, 100).recovered

    assert [back(count) for count in (25, 20, 19, 4)] == [True, True, False, False]


def test_a_measure_that_does_not_decide_need_not_be_back() -> None:
    two = experiment(measures=[document("a"), {**document("b"), "critical": False}])
    part = Window(start=100, end=105)
    good, bad = seen(5, value=200.0), seen(5, value=2000.0)
    found = judge_recovery(
        two, [(part, {"a": good, "b": good})], [(part, {"a": good, "b": bad})], 100
    )
    assert found.recovered


def test_a_slice_that_began_before_disabling_is_no_negative_time() -> None:
    assert recovery([200], disabled_at=103.26).seconds == 0


def test_recovery_is_told_to_a_tenth_of_a_second() -> None:
    assert recovery([2000, 200], disabled_at=101.26).seconds == 3.7
