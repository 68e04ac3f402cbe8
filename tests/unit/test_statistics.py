"""How sure the counts make us: against the published tables, SciPy, and laws that must hold."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from gameday.statistics import (
    Interval,
    counts_interval,
    effective_share_interval,
    fewest_requests,
    more_requests,
    rate_interval,
    ratio_interval,
    share_interval,
)

CONFIDENCES = st.floats(0.55, 0.999)
SHARES = st.floats(0.001, 0.999)
TOTALS = st.integers(1, 10_000_000)
PERIODS = st.lists(
    st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=1,
    max_size=30,
)
LEVELS = st.lists(st.floats(1, 1000), min_size=3, max_size=30)
SIZES = (30, 300, 3_000, 30_000, 10_000_000)


@st.composite
def counts(draw: st.DrawFn, totals: st.SearchStrategy[int] = TOTALS) -> tuple[int, int]:
    """Draw events and the total that they are of."""
    total = draw(totals)
    return draw(st.integers(0, total)), total


def width(interval: Interval) -> float:
    return interval.high - interval.low


# -- the published tables


@pytest.mark.parametrize(("share", "requests"), [(0.1, 29), (0.05, 59), (0.01, 299), (0.001, 2995)])
def test_the_fewest_requests_that_prove_a_percentile(share: float, requests: int) -> None:
    assert fewest_requests(share) == requests


@pytest.mark.parametrize(("share", "requests"), [(0.05, 90), (0.01, 459)])
def test_the_fewest_requests_at_99_percent_confidence(share: float, requests: int) -> None:
    assert fewest_requests(share, confidence=0.99) == requests


@pytest.mark.parametrize(
    ("share", "requests"),
    [(0.05, [59, 93, 124, 153, 181, 208]), (0.01, [299, 473, 628, 773, 913])],
)
def test_the_fewest_requests_with_some_slow_ones(share: float, requests: list[int]) -> None:
    assert [fewest_requests(share, events=slow) for slow in range(len(requests))] == requests


@pytest.mark.parametrize(
    ("total", "share", "passes_up_to", "fails_from"),
    [
        (100, 0.05, 1, 10),
        (200, 0.05, 4, 16),
        (300, 0.05, 8, 22),
        (500, 0.05, 16, 34),
        (1_000, 0.05, 38, 63),
        (2_000, 0.05, 83, 117),
        (5_000, 0.05, 224, 277),
        (10_000, 0.05, 463, 537),
        (100, 0.01, None, 4),
        (200, 0.01, None, 6),
        (300, 0.01, 0, 7),
        (500, 0.01, 1, 10),
        (1_000, 0.01, 4, 16),
        (2_000, 0.01, 12, 29),
        (5_000, 0.01, 38, 63),
        (10_000, 0.01, 83, 118),
    ],
)
def test_how_many_slow_requests_pass_and_fail(
    total: int, share: float, passes_up_to: int | None, fails_from: int
) -> None:
    bounds = [share_interval(slow, total) for slow in range(fails_from + 2)]
    passing = [slow for slow, interval in enumerate(bounds) if interval.high < share]
    failing = [slow for slow, interval in enumerate(bounds) if interval.low > share]
    assert max(passing, default=None) == passes_up_to
    assert min(failing) == fails_from


@pytest.mark.parametrize(
    ("total", "percentile", "lower", "upper"),
    [
        (200, 0.95, 184, 197),
        (500, 0.95, 465, 485),
        (1_000, 0.95, 936, 964),
        (1_000, 0.99, 983, 997),
    ],
)
def test_the_order_statistics_around_a_percentile(
    total: int, percentile: float, lower: int, upper: int
) -> None:
    def slower_than(requests: int) -> Interval:
        return share_interval(requests, total, confidence=0.975)

    slow = 1 - percentile
    assert slower_than(total - lower + 1).low > slow >= slower_than(total - lower).low
    assert slower_than(total - upper).high < slow <= slower_than(total - upper + 1).high


@pytest.mark.parametrize("total", [300, 3_000])
def test_three_divided_by_the_total_bounds_a_share_without_events(total: int) -> None:
    assert share_interval(0, total).high == pytest.approx(3 / total, rel=0.01)


# -- SciPy as the oracle


@given(counts(), CONFIDENCES)
@example((0, 10_000_000), 0.95)
@example((1, 10_000_000), 0.95)
@example((9_999_999, 10_000_000), 0.95)
@example((5_000_000, 10_000_000), 0.999)
@example((1, 2), 0.999999)
def test_shares_agree_with_scipy(count: tuple[int, int], confidence: float) -> None:
    events, total = count
    interval = share_interval(events, total, confidence)
    low = stats.beta.ppf(1 - confidence, events, total - events + 1) if events else 0.0
    high = stats.beta.ppf(confidence, events + 1, total - events) if events < total else 1.0
    assert interval.low == pytest.approx(low, rel=1e-8)
    assert interval.high == pytest.approx(high, rel=1e-8)


@given(counts(st.integers(1, 5_000)), SHARES)
def test_the_bounds_decide_as_the_binomial_test_does(count: tuple[int, int], share: float) -> None:
    events, total = count
    interval = share_interval(events, total)
    few = stats.binomtest(events, total, share, alternative="less").pvalue
    many = stats.binomtest(events, total, share, alternative="greater").pvalue
    assert (interval.high < share) == (few < 0.05)
    assert (interval.low > share) == (many < 0.05)


@given(st.lists(st.floats(1, 1000), min_size=30, max_size=300), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_bounds_decide_as_the_quantile_test_does(latencies: list[float], p: float) -> None:
    threshold = 400.0
    slow = sum(latency > threshold for latency in latencies)
    proves = share_interval(slow, len(latencies)).high < 1 - p
    test = stats.quantile_test(latencies, q=threshold, p=p, alternative="less")
    assert proves == (test.pvalue < 0.05)


@given(st.integers(0, 1_000_000), st.floats(0.1, 1e5), CONFIDENCES)
@example(1, 1.0, 0.999)
@example(2, 1.0, 0.999999)
@example(10_000_000, 300.0, 0.95)
def test_rates_agree_with_scipy(count: int, seconds: float, confidence: float) -> None:
    interval = rate_interval(count, seconds, confidence)
    low = stats.chi2.ppf(1 - confidence, 2 * count) / 2 / seconds if count else 0.0
    high = stats.chi2.ppf(confidence, 2 * count + 2) / 2 / seconds
    assert interval.low == pytest.approx(low, rel=1e-9)
    assert interval.high == pytest.approx(high, rel=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("events", [0, 1, 7, 40])
def test_the_fewest_requests_are_the_fewest(share: float, events: int) -> None:
    fewest = fewest_requests(share, events=events)
    assert (
        stats.binom.cdf(events, fewest, share) <= 0.05 < stats.binom.cdf(events, fewest - 1, share)
    )


# -- laws of the exact bounds


@given(counts(), CONFIDENCES)
def test_more_bad_requests_raise_both_bounds(count: tuple[int, int], confidence: float) -> None:
    events, total = count
    fewer = share_interval(events, total, confidence)
    more = share_interval(min(events + 1, total), total, confidence)
    assert more.low >= fewer.low
    assert more.high >= fewer.high


@given(counts(st.integers(1, 10_000)), st.integers(2, 1000), CONFIDENCES)
def test_more_data_at_the_same_share_never_widens_the_interval(
    count: tuple[int, int], times: int, confidence: float
) -> None:
    events, total = count
    assert width(share_interval(events * times, total * times, confidence)) <= width(
        share_interval(events, total, confidence)
    )


@given(counts(), CONFIDENCES, CONFIDENCES)
def test_more_confidence_never_narrows_the_interval(
    count: tuple[int, int], one: float, other: float
) -> None:
    weaker, stronger = (share_interval(*count, confidence) for confidence in sorted((one, other)))
    assert stronger.low <= weaker.low <= weaker.high <= stronger.high


@given(counts(), CONFIDENCES)
def test_the_share_seen_is_inside_its_interval(count: tuple[int, int], confidence: float) -> None:
    events, total = count
    interval = share_interval(events, total, confidence)
    assert 0 <= interval.low <= events / total <= interval.high <= 1


@given(counts(), CONFIDENCES)
def test_good_and_bad_requests_are_mirror_images(count: tuple[int, int], confidence: float) -> None:
    events, total = count
    bad, good = (
        share_interval(events, total, confidence),
        share_interval(total - events, total, confidence),
    )
    assert bad.low == pytest.approx(1 - good.high, abs=1e-9)
    assert bad.high == pytest.approx(1 - good.low, abs=1e-9)


def test_no_requests_prove_nothing() -> None:
    assert share_interval(0, 0) == Interval(0.0, 1.0)
    assert effective_share_interval([]) == Interval(0.0, 1.0)


@pytest.mark.parametrize(("events", "total"), [(-1, 10), (11, 10), (0, math.inf), (math.nan, 10)])
def test_counts_that_cannot_be_are_refused(events: float, total: float) -> None:
    with pytest.raises(ValueError, match="not 0 <= events <= total"):
        share_interval(events, total)


@pytest.mark.parametrize("confidence", [0.5, 1, 95, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        share_interval(1, 10, confidence)
    with pytest.raises(ValueError, match="confidence"):
        fewest_requests(0.05, confidence)
    with pytest.raises(ValueError, match="confidence"):
        rate_interval(1, 10, confidence)
    with pytest.raises(ValueError, match="confidence"):
        ratio_interval([1, 2, 3], [1, 2, 3], confidence)


# -- how many more requests it takes


@given(counts(st.integers(1, 5_000)), SHARES, CONFIDENCES)
def test_so_many_more_requests_decide_and_one_fewer_does_not(
    count: tuple[int, int], share: float, confidence: float
) -> None:
    events, total = count

    def decides(requests: int) -> bool:
        interval = share_interval(events / total * requests, requests, confidence)
        return not interval.low <= share <= interval.high

    more = more_requests(events, total, share, confidence)
    if more is None:
        assert events / total == pytest.approx(share, abs=0.002)
    else:
        assert decides(total + more)
        assert more == 0 or not decides(total + more - 1)


def test_without_an_event_what_is_missing_to_the_fewest_is_asked_for() -> None:
    assert more_requests(0, 30, 0.05) == 29


def test_a_share_on_the_threshold_is_never_decided() -> None:
    assert more_requests(50, 1000, 0.05) is None


@pytest.mark.parametrize(("total", "share"), [(0, 0.05), (10, 0.0), (10, 1.0)])
def test_where_no_number_of_requests_decides_it_is_refused(total: int, share: float) -> None:
    with pytest.raises(ValueError, match="do not say"):
        more_requests(0, total, share)


# -- periods


@given(PERIODS, CONFIDENCES)
def test_periods_never_make_a_share_surer_than_its_sum(
    periods: list[tuple[int, int]], confidence: float
) -> None:
    exact = share_interval(sum(e for e, _ in periods), sum(n for _, n in periods), confidence)
    interval = effective_share_interval(periods, confidence)
    assert interval.low <= exact.low <= exact.high <= interval.high


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), CONFIDENCES)
def test_periods_never_make_a_rate_surer_than_its_sum(counts: list[int], confidence: float) -> None:
    exact = rate_interval(sum(counts), 60 * len(counts), confidence)
    interval = counts_interval(counts, 60, confidence)
    assert interval.low <= exact.low * (1 + 1e-12)
    assert interval.high >= exact.high * (1 - 1e-12)


@given(PERIODS, st.integers(2, 5), CONFIDENCES)
def test_more_of_the_same_periods_never_widen(
    periods: list[tuple[int, int]], times: int, confidence: float
) -> None:
    widest = width(effective_share_interval(periods, confidence))
    assert width(effective_share_interval(periods * times, confidence)) <= widest + 1e-9


def test_one_bad_period_widens_what_even_periods_do_not() -> None:
    even = effective_share_interval([(5, 100)] * 10)
    burst = effective_share_interval([(0, 100)] * 9 + [(50, 100)])
    assert width(even) == width(share_interval(50, 1000))
    assert burst.low < 0.02 < 0.10 < burst.high


def test_one_period_counts_as_it_is() -> None:
    assert effective_share_interval([(5, 100)]) == share_interval(5, 100)
    assert counts_interval([5], 60) == rate_interval(5, 60)


# -- relative to the baseline


@given(LEVELS, LEVELS, CONFIDENCES)
def test_the_ratio_of_the_levels_is_inside_its_interval(
    before: list[float], after: list[float], confidence: float
) -> None:
    interval = ratio_interval(before, after, confidence)
    assert interval is not None
    ratio = math.exp(
        math.fsum(map(math.log, after)) / len(after)
        - math.fsum(map(math.log, before)) / len(before)
    )
    assert interval.low <= ratio * (1 + 1e-9)
    assert interval.high >= ratio * (1 - 1e-9)


@given(LEVELS, LEVELS, st.sampled_from([0.001, 0.5, 1000.0]))
def test_the_unit_of_the_series_does_not_matter(
    before: list[float], after: list[float], factor: float
) -> None:
    one = ratio_interval(before, after)
    other = ratio_interval([v * factor for v in before], [v * factor for v in after])
    assert one is not None
    assert other is not None
    assert other.low == pytest.approx(one.low, rel=1e-6)
    assert other.high == pytest.approx(one.high, rel=1e-6)


@given(LEVELS, LEVELS)
def test_the_two_sides_exchanged_give_the_inverse(before: list[float], after: list[float]) -> None:
    one, other = ratio_interval(before, after), ratio_interval(after, before)
    assert one is not None
    assert other is not None
    assert one.low * other.high == pytest.approx(1, rel=1e-6)


def test_steady_series_give_their_ratio() -> None:
    interval = ratio_interval([100, 100, 100, 100], [110, 110, 110, 110])
    assert interval is not None
    assert interval.low == pytest.approx(1.1)
    assert interval.high == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("before", "after"),
    [([0, 0, 0], [1, 2, 3]), ([1, 2], [1, 2, 3]), ([1, 2, 3], [1, 2]), ([1, 2, 3], []), ([], [])],
)
def test_there_is_no_ratio_to_a_zero_or_of_too_few_periods(
    before: list[float], after: list[float]
) -> None:
    assert ratio_interval(before, after) is None


def test_more_confidence_never_narrows_any_interval() -> None:
    noisy = [100.0, 130, 90, 110, 105]
    for pair in (
        [effective_share_interval([(1, 50), (9, 50), (2, 50)], c) for c in (0.8, 0.95, 0.99)],
        [counts_interval([20, 29, 22], 60, c) for c in (0.8, 0.95, 0.99)],
        [ratio_interval(noisy, noisy, c) or Interval(0, 0) for c in (0.8, 0.95, 0.99)],
    ):
        assert all(width(one) < width(other) for one, other in pairwise(pair))
