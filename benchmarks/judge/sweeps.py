"""How the error rates on the threshold depend on what the judge takes for granted."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.truths import PERCENTILE, Shape, autocorrelated, log_normal, persistent
from gameday.statistics import Interval, effective_share_interval, ratio_interval, share_interval

LENGTHS = (1000, 500, 200, 100, 50, 20, 10, 5, 2)
"""Such parts of a run a state lasts for."""

PERIODS = (3, 5, 10, 30, 60)
CORRELATIONS = (0.0, 0.3, 0.5, 0.7, 0.9)
REQUESTS = 3_000
LOOKS = 30
LIMIT = 1 - PERCENTILE

_share = lru_cache(maxsize=100_000)(share_interval)


def correlation_lengths(runs: int) -> list[dict[str, Any]]:
    """Judge percentiles of latencies that depend on a state which lasts for a part of the run."""
    found = []
    for length in LENGTHS:
        rng = np.random.default_rng([1, length])
        latencies = autocorrelated(rng, Shape(runs, 60, REQUESTS), 1 / length)
        slow = (latencies > 1).sum(axis=2)
        blocks = slow.reshape(runs, 6, -1).sum(axis=2)
        exact = [_share(int(events), REQUESTS) for events in slow.sum(axis=1)]
        judges = {"6 periods": _by_periods(blocks), "60 periods": _by_periods(slow), "exact": exact}
        rates = {name: _claims(intervals, LIMIT) for name, intervals in judges.items()}
        found.append({"length": length, "runs": runs, "judges": rates})
    return found


def _by_periods(events: NDArray[np.int64]) -> list[Interval]:
    each = REQUESTS // events.shape[1]
    return [effective_share_interval([(int(e), each) for e in row]) for row in events]


def _claims(intervals: Sequence[Interval | None], limit: float) -> dict[str, float]:
    """Return how often each of the two claims is made; on the threshold both are false."""
    known = [interval for interval in intervals if interval]
    return {
        "passed": round(sum(i.high < limit for i in known) / len(intervals), 4),
        "failed": round(sum(i.low > limit for i in known) / len(intervals), 4),
    }


def few_periods(runs: int) -> list[dict[str, Any]]:
    """Judge ratios of series of few periods, each of which depends on the one before."""
    found = []
    for periods in PERIODS:
        for correlation in CORRELATIONS:
            rng = np.random.default_rng([2, periods, round(10 * correlation)])
            levels = np.exp(0.05 * persistent(rng, (2 * runs, periods), correlation))
            intervals = [
                ratio_interval(list(before), list(after))
                for before, after in zip(levels[:runs], levels[runs:], strict=True)
            ]
            reach = np.median([(i.high / i.low) ** 0.5 - 1 for i in intervals if i])
            entry = {"periods": periods, "correlation": correlation, "runs": runs}
            found.append({**entry, **_claims(intervals, 1.0), "reach": round(float(reach), 4)})
    return found


def peeking(runs: int) -> dict[str, Any]:
    """Look at a percentile on the threshold after each of its periods."""
    slow = (log_normal(np.random.default_rng(3), Shape(runs, LOOKS, REQUESTS)) > 1).sum(axis=2)
    each = REQUESTS // LOOKS
    passed, failed, rang = (np.zeros(runs, dtype=bool) for _ in range(3))
    for look in range(1, LOOKS + 1):
        bounds = [_share(int(events), look * each) for events in slow[:, :look].sum(axis=1)]
        undecided = ~(passed | failed)
        passed |= undecided & np.array([b.high < LIMIT for b in bounds])
        failed |= undecided & np.array([b.low > LIMIT for b in bounds])
        rang |= (slow[:, max(0, look - 5) : look] > 2 * LIMIT * each).sum(axis=1) >= 3
    end = _by_periods(slow)
    once = np.array([interval.high < LIMIT for interval in end])
    return {
        "runs": runs,
        "looks": LOOKS,
        "every look": {"passed": float(passed.mean()), "failed": float(failed.mean())},
        "the end": _claims(end, LIMIT),
        "the end, guarded": {"passed": float((once & ~rang).mean()), "rang": float(rang.mean())},
    }
