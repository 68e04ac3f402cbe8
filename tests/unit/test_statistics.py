"""How sure the counts make us: against the published tables, SciPy, and laws that must hold."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from gameday import statistics
from gameday.statistics import (
    INDEPENDENT,
    Interval,
    counts_interval,
    effective_share_interval,
    fewest_requests,
    more_requests,
    rate_interval,
    ratio_interval,
    share_dispersion,
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


@given(PERIODS, st.floats(0.01, 0.99), st.data())
def test_more_bad_requests_never_turn_failed_into_passed(
    periods: list[tuple[int, int]], limit: float, data: st.DataObject
) -> None:
    worse = [(data.draw(st.integers(events, total)), total) for events, total in periods]
    if effective_share_interval(periods).low > limit:
        assert not effective_share_interval(worse).high < limit


@given(PERIODS)
def test_the_share_seen_in_all_periods_is_inside_its_interval(
    periods: list[tuple[int, int]],
) -> None:
    interval = effective_share_interval(periods)
    share = sum(e for e, _ in periods) / sum(n for _, n in periods)
    assert interval.low <= share <= interval.high


@given(PERIODS)
def test_time_may_run_backwards(periods: list[tuple[int, int]]) -> None:
    forth, back = effective_share_interval(periods), effective_share_interval(periods[::-1])
    assert (back.low, back.high) == pytest.approx((forth.low, forth.high), abs=1e-9)


def test_the_order_of_up_to_seven_periods_does_not_matter() -> None:
    bounds = {
        (round(interval.low, 9), round(interval.high, 9))
        for order in permutations([(1, 50), (9, 60), (2, 50), (5, 50), (0, 40)])
        for interval in [effective_share_interval(order)]
    }
    assert len(bounds) == 1


def test_of_many_periods_those_count_that_resemble_their_neighbours() -> None:
    alternating = [(0, 100), (10, 100)] * 15
    lasting = [(0, 100)] * 15 + [(10, 100)] * 15
    assert effective_share_interval(alternating) == share_interval(150, 3000)
    assert width(effective_share_interval(lasting)) > 5 * width(share_interval(150, 3000))


def test_short_periods_show_a_slow_wave_as_long_ones_do() -> None:
    short = [(round(50 + 20 * math.cos(math.pi * i / 15)), 1000) for i in range(60)]
    long = [(sum(e for e, _ in short[i : i + 5]), 5000) for i in range(0, 60, 5)]
    factor = share_dispersion(short).factor
    assert factor > 20
    assert share_dispersion(long).factor == pytest.approx(factor, rel=0.15)


def test_a_period_without_a_request_counts_for_nothing() -> None:
    periods = [(1, 50), (9, 60), (2, 50)]
    assert share_dispersion([(0, 0), *periods, (0, 0)]) == share_dispersion(periods)


@pytest.mark.parametrize("periods", [[], [(3, 50)], [(0, 50)] * 9, [(50, 50)] * 9])
def test_what_shows_no_dispersion_has_none(periods: list[tuple[int, int]]) -> None:
    assert share_dispersion(periods) == INDEPENDENT


def test_periods_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="not 0 <= events <= total"):
        effective_share_interval([(1, 10), (11, 10)])
    with pytest.raises(ValueError, match="no counts of periods"):
        counts_interval([1, -1], 60)
    with pytest.raises(ValueError, match="no counts of periods"):
        counts_interval([], 60)


@pytest.mark.parametrize(("count", "seconds"), [(-1, 60), (1, 0), (1, -60), (1, math.inf)])
def test_what_is_no_rate_is_refused(count: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="no rate"):
        rate_interval(count, seconds)


@pytest.mark.parametrize(
    "counts", [[3, 9, 4, 14, 6], [30, 90, 40, 140, 60, 80, 20], [1000, 1900, 1200, 900]]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_few_counts_are_bounded_by_their_variance_and_student(
    counts: list[int], confidence: float
) -> None:
    total, freedom = sum(counts), len(counts) - 1
    student = stats.t.ppf(confidence, freedom) / stats.norm.ppf(confidence)
    excess = np.var(counts, ddof=1) * len(counts) / total
    assert excess > 1

    def improbable(mean: float) -> float:
        factor = student**2 * (1 + (excess - 1) * min(mean / total, 3) ** 2)
        return float(stats.gamma.cdf(mean / factor, total / factor + 1) - confidence)

    factor = student**2 * excess
    low = stats.gamma.ppf(1 - confidence, total / factor) * factor
    high = brentq(improbable, total, 1000 * total)
    interval = counts_interval(counts, 1, confidence)
    assert interval.low * len(counts) == pytest.approx(low, rel=1e-7)
    assert interval.high * len(counts) == pytest.approx(high, rel=1e-7)


def test_one_burst_leaves_much_above_it_open() -> None:
    assert counts_interval([0, 0, 9, 0, 0, 0, 0], 1).high > 10 * 9 / 7
    assert effective_share_interval([(0, 50)] * 6 + [(40, 50)]).high > 0.8


def test_a_few_events_are_few_however_they_fall() -> None:
    together = [(0, 500), (3, 500), (0, 500), (0, 500), (0, 500), (0, 500)]
    assert effective_share_interval(together).high < 0.05


def test_with_dispersion_more_requests_are_asked_for() -> None:
    periods = [(9, 200), (3, 200), (12, 200), (0, 200), (9, 200)]
    dispersion = share_dispersion(periods)
    alone = more_requests(33, 1000, 0.05)
    more = more_requests(33, 1000, 0.05, dispersion=dispersion)
    assert alone == 0
    assert more is not None
    assert more > 0
    times = (1000 + more) / 1000
    assert share_interval(33 * times, 1000 * times, dispersion=dispersion).high < 0.05
    times = (1000 + more - 1) / 1000
    assert share_interval(33 * times, 1000 * times, dispersion=dispersion).high >= 0.05


@pytest.mark.parametrize("total", [100, 10_000, 10_000_000])
@pytest.mark.parametrize("share", [0.0005, 0.05, 0.9])
def test_an_interval_takes_few_steps_however_many_requests(
    total: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    power = statistics._beta_power

    def counted(a: float, b: float, x: float) -> float:
        steps.append(x)
        return power(a, b, x)

    monkeypatch.setattr(statistics, "_beta_power", counted)
    share_interval(round(total * share), total)
    assert 0 < len(steps) < 30


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


@given(
    st.lists(st.floats(10, 200), min_size=3, max_size=12),
    st.lists(st.floats(10, 200), min_size=3, max_size=12),
    CONFIDENCES,
)
def test_a_ratio_is_bounded_by_welch_for_neighbours_that_correlate_by_a_half(
    before: list[float], after: list[float], confidence: float
) -> None:
    def side(values: list[float]) -> tuple[float, float, int]:
        logs, k = np.log(values), len(values)
        freedom = min(k - 1, 4)
        cosines = np.cos(np.pi * np.outer(np.arange(1, freedom + 1), np.arange(k) + 0.5) / k)
        correlations = 0.5 ** np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
        expected = np.trace(cosines @ correlations @ cosines.T)
        scale = ((cosines @ (logs - logs.mean())) ** 2).sum() / expected
        return logs.mean(), scale * correlations.sum() / k**2, freedom

    (m1, v1, f1), (m2, v2, f2) = side(before), side(after)
    if v1 + v2 < 1e-12:
        return
    freedom = (v1 + v2) ** 2 / (v1**2 / f1 + v2**2 / f2)
    reach = stats.t.ppf(confidence, freedom) * math.sqrt(v1 + v2)
    interval = ratio_interval(before, after, confidence)
    assert interval is not None
    assert interval.low == pytest.approx(math.exp(m2 - m1 - reach), rel=1e-6)
    assert interval.high == pytest.approx(math.exp(m2 - m1 + reach), rel=1e-6)


def test_a_level_that_fell_to_zero_is_less() -> None:
    assert ratio_interval([9, 11, 10, 10], [0, 0, 0, 0]) == Interval(0.0, 0.0)
    interval = ratio_interval([9, 11, 10, 10], [0, 1, 0, 0])
    assert interval is not None
    assert interval.low == 0
    assert 0.025 < interval.high < 0.5


@pytest.mark.parametrize(
    ("before", "after"),
    [([100, 90, 0, 95, 105, 98], [100, 95, 105, 90, 99]), ([50, 51, 49, 50], [0, 99, 103, 101])],
)
def test_the_bounds_with_a_zero_are_where_the_difference_may_be_none(
    before: list[float], after: list[float]
) -> None:
    interval = ratio_interval(before, after)
    assert interval is not None
    base, new = statistics._level(before), statistics._level(after)
    ratio = new.mean / base.mean
    scaled = ratio**2 * base.variance
    freedom = (scaled + new.variance) ** 2 / (
        scaled**2 / base.freedom + new.variance**2 / new.freedom
    )
    for bound in (interval.low, interval.high):
        spread = math.sqrt(new.variance + bound**2 * base.variance)
        reach = stats.t.ppf(0.95, freedom) * spread
        assert bound == 0 or abs(new.mean - bound * base.mean) == pytest.approx(reach, rel=1e-6)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0, 0, 0], [1, 2, 3]),
        ([0, 0, 1], [1, 2, 3]),
        ([1, 2], [1, 2, 3]),
        ([1, 2, 3], [1, 2]),
        ([1, 2, 3], [1, 2, -3]),
        ([1, 2, 3], []),
        ([], []),
    ],
)
def test_there_is_no_ratio_to_a_zero_or_of_too_few_periods(
    before: list[float], after: list[float]
) -> None:
    assert ratio_interval(before, after) is None


@given(LEVELS, LEVELS, CONFIDENCES, CONFIDENCES)
def test_more_confidence_never_narrows_a_ratio(
    before: list[float], after: list[float], one: float, other: float
) -> None:
    weak, strong = (ratio_interval(before, after, c) for c in sorted((one, other)))
    assert weak is not None
    assert strong is not None
    assert strong.low <= weak.low * (1 + 1e-12)
    assert strong.high >= weak.high * (1 - 1e-12)


@given(PERIODS, CONFIDENCES, CONFIDENCES)
def test_more_confidence_never_narrows_a_share(
    periods: list[tuple[int, int]], one: float, other: float
) -> None:
    weak, strong = (effective_share_interval(periods, c) for c in sorted((one, other)))
    assert strong.low <= weak.low + 1e-9
    assert strong.high >= weak.high - 1e-9


@given(st.lists(st.integers(0, 500), min_size=1, max_size=30), CONFIDENCES, CONFIDENCES)
def test_more_confidence_never_narrows_a_rate(counts: list[int], one: float, other: float) -> None:
    weak, strong = (counts_interval(counts, 60, c) for c in sorted((one, other)))
    assert strong.low <= weak.low + 1e-9
    assert strong.high >= weak.high - 1e-9
