"""Which request is due when: exactly, whoever sends it."""

import math
import statistics
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.arrivals import SECOND_NS, WHOLE, Arrivals, Share, Spacing

RATES = st.decimals("0.1", 60, places=1).map(Fraction)
SHAPES = st.lists(st.tuples(RATES, RATES), min_size=1, max_size=4).map(tuple)
ARRIVALS = st.builds(Arrivals, SHAPES, st.integers(1, 40), st.sampled_from(Spacing))
RUN = "run-1"


def constant(rate: float, seconds: int, spacing: Spacing = Spacing.EVEN) -> Arrivals:
    return Arrivals(((Fraction(str(rate)), Fraction(str(rate))),), seconds, spacing)


@given(ARRIVALS)
def test_as_many_become_due_as_the_rates_add_up_to(arrivals: Arrivals) -> None:
    mean = sum(first + last for first, last in arrivals.rates) / 2 / len(arrivals.rates)
    assert arrivals.count == math.ceil(mean * arrivals.seconds)
    numbers = [number for number, _ in arrivals.due(WHOLE, RUN)]
    assert numbers == list(range(arrivals.count))


@given(ARRIVALS)
def test_they_come_in_order_and_inside_the_window(arrivals: Arrivals) -> None:
    moments = [due_ns for _, due_ns in arrivals.due(WHOLE, RUN)]
    assert moments == sorted(moments)
    assert all(0 <= due_ns < arrivals.seconds * SECOND_NS for due_ns in moments)


@given(ARRIVALS, st.integers(1, 7), st.integers(0, 40))
def test_the_shares_of_all_workers_are_the_whole(
    arrivals: Arrivals, workers: int, handed_on_at: int
) -> None:
    middle = min(handed_on_at, arrivals.seconds)
    shares = [
        Share(index, workers, None, *seconds)
        for index in range(workers)
        for seconds in ((0, middle), (middle, None))
    ]
    sent = sorted(request for share in shares for request in arrivals.due(share, RUN))
    assert [number for number, _ in sent] == list(range(arrivals.count))
    if arrivals.spacing is Spacing.EVEN:
        assert sent == list(arrivals.due(WHOLE, RUN))


@given(ARRIVALS, st.integers(0, 2), st.integers(0, 40))
def test_a_handed_on_share_is_the_same_share(
    arrivals: Arrivals, index: int, handed_on_at: int
) -> None:
    share, middle = Share(index, 3), min(handed_on_at, arrivals.seconds)
    before = arrivals.due(replace(share, until_second=middle), RUN)
    after = arrivals.due(replace(share, from_second=middle), RUN)
    assert [*before, *after] == list(arrivals.due(share, RUN))


@given(RATES, st.integers(1, 40))
def test_at_a_constant_rate_a_request_is_due_at_its_number_over_the_rate(
    rate: Fraction, seconds: int
) -> None:
    for number, due_ns in constant(float(rate), seconds).due(WHOLE, RUN):
        assert abs(due_ns - number * SECOND_NS / rate) <= Fraction(1, 2)


def test_a_request_on_the_second_belongs_to_the_second_that_begins() -> None:
    due = dict(constant(4.9, 60).due(WHOLE, RUN))
    assert due[49] == 10 * SECOND_NS  # 49 / 4.9 is less than 10 by half a digit


@given(RATES, RATES, st.integers(2, 40).map(lambda n: 2 * n))
def test_a_ramp_has_reached_the_middle_rate_in_the_middle(
    first: Fraction, last: Fraction, seconds: int
) -> None:
    ramp = Arrivals(((first, last),), seconds)
    half = sum(due_ns < seconds * SECOND_NS // 2 for _, due_ns in ramp.due(WHOLE, RUN))
    expected = seconds * (3 * first + last) / 8  # the mean of the first rate and the middle one
    assert abs(half - expected) <= 1


def test_steps_are_equally_long() -> None:
    rates = tuple((Fraction(rate), Fraction(rate)) for rate in (5, 20, 50))
    due = [due_ns // (10 * SECOND_NS) for _, due_ns in Arrivals(rates, 30).due(WHOLE, RUN)]
    assert [due.count(part) for part in range(3)] == [50, 200, 500]


def test_two_windows_see_the_same_shape_however_long_they_are() -> None:
    short, long = (Arrivals(((Fraction(2), Fraction(8)),), seconds) for seconds in (30, 60))
    assert long.count == 2 * short.count
    half_way = [
        sum(due < arrivals.seconds * SECOND_NS / 2 for _, due in arrivals.due(WHOLE, RUN))
        for arrivals in (short, long)
    ]
    assert abs(half_way[1] - 2 * half_way[0]) <= 2


# -- at random


def test_strangers_keep_no_distance() -> None:
    """The gaps of a Poisson process are exponential: as wide as their mean is their deviation."""
    moments = [due for _, due in constant(100, 60, Spacing.POISSON).due(WHOLE, RUN)]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert statistics.stdev(gaps) / statistics.mean(gaps) == pytest.approx(1, abs=0.05)
    in_a_second = [sum(due // SECOND_NS == s for due in moments) for s in range(60)]
    assert statistics.variance(in_a_second) == pytest.approx(100, rel=0.5)


def test_a_run_can_be_repeated_and_no_two_are_alike() -> None:
    arrivals = constant(50, 20, Spacing.POISSON)
    assert list(arrivals.due(WHOLE, RUN)) == list(arrivals.due(WHOLE, RUN))
    assert list(arrivals.due(WHOLE, RUN)) != list(arrivals.due(WHOLE, "run-2"))


def test_no_two_workers_have_the_same_dice() -> None:
    arrivals = constant(50, 20, Spacing.POISSON)
    moments = [{due for _, due in arrivals.due(Share(index, 2), RUN)} for index in range(2)]
    assert not moments[0] & moments[1]


# -- the warm-up


@given(SHAPES, st.floats(0, 90), st.integers(1, 5))
def test_the_warm_up_leads_up_to_the_window_at_its_first_rate(
    shape: tuple[tuple[Fraction, Fraction], ...], seconds: float, workers: int
) -> None:
    arrivals, rate = Arrivals(shape, 10), float(shape[0][0])
    whole = list(arrivals.due_before(seconds, WHOLE))
    assert [number for number, _ in whole] == list(range(-len(whole), 0))
    assert len(whole) == pytest.approx(seconds * rate, abs=1)
    assert all(-seconds * SECOND_NS - 1 <= due_ns < 0 for _, due_ns in whole)
    shares = (arrivals.due_before(seconds, Share(index, workers)) for index in range(workers))
    assert sorted(request for share in shares for request in share) == whole
