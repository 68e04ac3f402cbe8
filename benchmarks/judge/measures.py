"""What the judges say of the same simulated runs, for each type of measure.

A distance of 1 is the threshold; above, the objective is missed. So PASSED is false from 1 on, and
FAILED is false up to 1: exactly on the threshold both claims are false.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import kayenta, truths
from benchmarks.judge.truths import PERCENTILE, Shape, Simulation, Values
from gameday.statistics import (
    Interval,
    counts_interval,
    effective_share_interval,
    rate_interval,
    ratio_interval,
    share_interval,
)

PASSED, INCONCLUSIVE, FAILED = 1, 0, -1
HEALTHY = 0.5
"""Where the service is before the condition, as a distance: what Kayenta compares with."""
SHARE_BAD = 0.01
MARGIN = 1.1

type Verdicts = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """The verdicts of each judge, and in how many runs the truth was outside of our interval."""

    verdicts: Mapping[str, Verdicts]
    below: int = 0
    above: int = 0


type Judge = Callable[[float, int], Judged]
"""Judges the first so many runs at a distance."""


@dataclass(frozen=True)
class Truth:
    """A simulated service; `kept` where the error rates are promised to be kept."""

    name: str
    simulate: Simulation
    kept: bool = True
    missing: str | None = None
    drift: float = 0.0


@dataclass(frozen=True)
class Measure:
    """A type of measure: what is simulated of it, how far from the threshold, and how judged."""

    name: str
    distances: Sequence[float]
    truths: Sequence[Truth]
    prepare: Callable[[np.random.Generator, Truth, Shape], Judge]


def _by_interval(
    intervals: Sequence[Interval | None], limit: float, truth: float, less: bool = True
) -> tuple[Verdicts, int, int]:
    verdicts = []
    for interval in intervals:
        if interval is None or interval.low <= limit <= interval.high:
            verdicts.append(INCONCLUSIVE)
        else:
            verdicts.append(PASSED if (interval.high < limit) == less else FAILED)
    known = [interval for interval in intervals if interval]
    return (
        np.array(verdicts),
        sum(truth < interval.low for interval in known),
        sum(truth > interval.high for interval in known),
    )


def _by_point(holds: NDArray[np.bool_]) -> Verdicts:
    return np.where(holds, PASSED, FAILED)


# Few requests give few different counts: each is computed once.
_share = lru_cache(maxsize=100_000)(share_interval)
_periods = lru_cache(maxsize=100_000)(effective_share_interval)


def _shares(events: NDArray[np.int64], requests: int, limit: float, truth: float) -> Judged:
    """Judge "the share is less than the limit" by the events of each period."""
    total = requests * events.shape[1]
    sums = events.sum(axis=1)
    ours, below, above = _by_interval(
        [_periods(tuple((int(e), requests) for e in row)) for row in events], limit, truth
    )
    exact, *_ = _by_interval([_share(int(e), total) for e in sums], limit, truth)
    verdicts = {"ours": ours, "exact": exact, "point": _by_point(sums < limit * total)}
    return Judged(verdicts, below, above)


def _lose(truth: Truth, rng: np.random.Generator, values: Values) -> Values:
    """Leave out the periods that are missing: a fifth of them, and by chance or the worst."""
    runs, periods = values.shape[:2]
    if truth.missing is None:
        return values
    order = rng.random((runs, periods))
    if truth.missing == "worst":
        order = values if values.ndim == 2 else np.quantile(values, PERCENTILE, axis=2)
    left = np.sort(np.argsort(order, axis=1)[:, : periods - periods // 5], axis=1)
    return np.take_along_axis(values, left.reshape(*left.shape, *[1] * (values.ndim - 2)), axis=1)


# -- percentile: 95 % of the latencies are less than the threshold


def _percentile(rng: np.random.Generator, truth: Truth, shape: Shape) -> Judge:
    control = np.quantile(truth.simulate(rng, shape), PERCENTILE, axis=2) * HEALTHY
    latencies = _lose(truth, rng, truth.simulate(rng, shape))
    series = np.quantile(latencies, PERCENTILE, axis=2)
    limit = 1 - PERCENTILE

    def judge(distance: float, runs: int) -> Judged:
        slow = (latencies[:runs] * distance > 1).sum(axis=2)
        judged = _shares(slow, latencies.shape[2], limit, _slow_share(truth, distance))
        fails = kayenta.fails(control[:runs], series[:runs] * distance, 1, 1 / HEALTHY)
        return Judged({**judged.verdicts, "kayenta": _by_point(~fails)}, judged.below, judged.above)

    return judge


@lru_cache
def _slow_share(truth: Truth, distance: float) -> float:
    """Return the true share of slow requests, by one simulation far larger than any run."""
    if distance == 1:
        return 1 - PERCENTILE
    latencies = truth.simulate(np.random.default_rng(7), Shape(2_000, 10, 1_000))
    return float((latencies * distance > 1).mean())


# -- proportion: less than 1 % of the requests are bad


def _proportion(rng: np.random.Generator, truth: Truth, shape: Shape) -> Judge:
    requests = shape.requests // shape.periods
    before = truth.simulate(rng, shape) * HEALTHY * SHARE_BAD
    control = rng.binomial(requests, np.minimum(before, 1)) / requests
    intensities = truth.simulate(rng, shape) * SHARE_BAD
    seed = int(rng.integers(2**32))

    def judge(distance: float, runs: int) -> Judged:
        own = np.random.default_rng([seed, round(1000 * distance)])
        shares = np.minimum(intensities * distance, 1)
        events = _lose(truth, own, own.binomial(requests, shares))[:runs]
        judged = _shares(events, requests, SHARE_BAD, SHARE_BAD * distance)
        fails = kayenta.fails(control[:runs], events / requests, 1, 1 / HEALTHY)
        return Judged({**judged.verdicts, "kayenta": _by_point(~fails)}, judged.below, judged.above)

    return judge


# -- rate: at least so many events a second, where the threshold makes `requests` in a run of 600 s

SECONDS = 600


def _rate(rng: np.random.Generator, truth: Truth, shape: Shape) -> Judge:
    expected = shape.requests / shape.periods
    control = rng.poisson(truth.simulate(rng, shape) * expected / HEALTHY).astype(float)
    intensities = truth.simulate(rng, shape) * expected
    limit = shape.requests / SECONDS
    seed = int(rng.integers(2**32))

    def judge(distance: float, runs: int) -> Judged:
        own = np.random.default_rng([seed, round(1000 * distance)])
        counts = _lose(truth, own, own.poisson(intensities / distance))[:runs]
        seconds = SECONDS / shape.periods
        sums, true = counts.sum(axis=1), limit / distance
        length = seconds * counts.shape[1]
        ours, below, above = _by_interval(
            [counts_interval([int(c) for c in row], seconds) for row in counts],
            limit,
            true,
            less=False,
        )
        exact, *_ = _by_interval([rate_interval(int(c), length) for c in sums], limit, true, False)
        fails = kayenta.fails(control[:runs], counts.astype(float), -1, HEALTHY)
        return Judged(
            {
                "ours": ours,
                "exact": exact,
                "point": _by_point(sums >= limit * length),
                "kayenta": _by_point(~fails),
            },
            below,
            above,
        )

    return judge


# -- relative: the 95th percentile of each period, no more than 10 % over its baseline


def _relative(rng: np.random.Generator, truth: Truth, shape: Shape) -> Judge:
    both = Shape(shape.runs, 2 * shape.periods, 2 * shape.requests)
    latencies = truth.simulate(rng, both)
    growth = truth.drift / shape.periods  # of one period; the windows' middles differ by the drift
    latencies = latencies * np.exp(growth * np.arange(both.periods))[None, :, None]
    series = np.quantile(latencies, PERCENTILE, axis=2)
    before, after = series[:, : shape.periods], _lose(truth, rng, series[:, shape.periods :])

    def judge(distance: float, runs: int) -> Judged:
        now, base = after[:runs] * distance * MARGIN, before[:runs]
        ours, below, above = _by_interval(
            [ratio_interval(list(b), list(n)) for b, n in zip(base, now, strict=True)],
            MARGIN,
            distance * MARGIN,
        )
        holds = now.mean(axis=1) < MARGIN * base.mean(axis=1)
        return Judged(
            {
                "ours": ours,
                "point": _by_point(holds),
                "kayenta": _by_point(~kayenta.fails(base, now, 1, MARGIN)),
                "kayenta as it comes": _by_point(~kayenta.fails(base, now, 1, 1.0)),
            },
            below,
            above,
        )

    return judge


# -- error budget: this run may burn as much as a hundredth of its requests


def _budget(rng: np.random.Generator, truth: Truth, shape: Shape) -> Judge:
    """A count and no estimate: what a run burnt is a fact, as far as all of it was counted."""
    intensities = truth.simulate(rng, shape)
    chances = intensities / intensities.sum(axis=1, keepdims=True)
    allowed = shape.requests / 100
    seed = int(rng.integers(2**32))

    def judge(distance: float, runs: int) -> Judged:
        own = np.random.default_rng([seed, round(1000 * distance)])
        burnt = math.ceil(allowed * distance) if distance > 1 else math.floor(allowed * distance)
        counted = _lose(truth, own, own.multinomial(burnt, chances)).sum(axis=1)[:runs]
        point = _by_point(counted <= allowed)
        return Judged({"ours": point, "point": point})

    return judge


# -- everything that is simulated

SHARE_DISTANCES = (0.1, 0.3, 0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 3, 5)
TIME_DISTANCES = (0.5, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1, 1.25, 1.5, 2)
ANY = "a fifth of the periods missing"
WORST = "the worst fifth of the periods missing"

MEASURES: Sequence[Measure] = (
    Measure(
        "percentile",
        TIME_DISTANCES,
        (
            Truth("log-normal", truths.log_normal),
            Truth("bimodal", truths.bimodal),
            Truth("heavy-tailed", truths.heavy_tailed),
            Truth("autocorrelated for 1/200 of the run", truths.autocorrelated(1 / 200)),
            Truth("autocorrelated for 1/50 of the run", truths.autocorrelated(1 / 50)),
            Truth("autocorrelated for 1/10 of the run", truths.autocorrelated(1 / 10), kept=False),
            Truth(ANY, truths.log_normal, missing="any"),
            Truth(WORST, truths.log_normal, kept=False, missing="worst"),
        ),
        _percentile,
    ),
    Measure(
        "proportion",
        SHARE_DISTANCES,
        (
            Truth("steady", truths.steady),
            Truth("rising threefold over the run", truths.rising),
            Truth("outages of 1/100 of the run", truths.outages(0.2, 1 / 100)),
            Truth("outages of 1/10 of the run", truths.outages(0.2, 1 / 10), kept=False),
            Truth(ANY, truths.steady, missing="any"),
            Truth(WORST, truths.steady, kept=False, missing="worst"),
        ),
        _proportion,
    ),
    Measure(
        "rate",
        TIME_DISTANCES,
        (
            Truth("steady", truths.steady),
            Truth("rising threefold over the run", truths.rising),
            Truth("waves of 1/50 of the run", truths.waves(0.5, 1 / 50)),
            Truth("waves of 1/5 of the run", truths.waves(0.5, 1 / 5), kept=False),
            Truth(ANY, truths.steady, missing="any"),
        ),
        _rate,
    ),
    Measure(
        "relative",
        TIME_DISTANCES,
        (
            Truth("log-normal", truths.log_normal),
            Truth("bimodal", truths.bimodal),
            Truth("heavy-tailed", truths.heavy_tailed),
            *(
                Truth(
                    f"periods of correlation {correlation}",
                    truths.with_level(truths.log_normal, 0.1, correlation),
                    kept=correlation <= 0.5,
                )
                for correlation in (0.3, 0.5, 0.9)
            ),
            Truth("a baseline that drifts by 5 %", truths.log_normal, kept=False, drift=0.05),
            Truth(ANY, truths.log_normal, missing="any"),
            Truth(WORST, truths.log_normal, kept=False, missing="worst"),
        ),
        _relative,
    ),
    Measure(
        "error budget",
        tuple(distance for distance in TIME_DISTANCES if distance != 1),
        (
            Truth("steady", truths.steady),
            Truth("outages of 1/10 of the run", truths.outages(0.2, 1 / 10)),
            Truth(ANY, truths.steady, kept=False, missing="any"),
        ),
        _budget,
    ),
)
