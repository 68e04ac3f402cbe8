"""Whether a run can decide at all, by rate and duration, before anything is injected. Pure."""

from collections.abc import Callable, Iterator, Sequence

from gameday.kinds import (
    FEWEST_SLICES,
    CloudWatchMetric,
    LoadMetric,
    Measure,
    PercentileMeasure,
    ProportionMeasure,
    RateMeasure,
    RelativeMeasure,
    period_seconds,
    slice_seconds,
)
from gameday.statistics import rate_interval, share_interval

LONGEST_WINDOW_SECONDS = 2700
"""CloudWatch keeps what is finer than a minute for 3 hours: a run of three such windows fits in."""

WINDOWS_SECONDS = (*range(10, 60), *range(60, LONGEST_WINDOW_SECONDS + 1, 60))
"""Every length that a window may have: one CloudWatch period."""


def shortfalls(
    measures: Sequence[Measure],
    requests_in: Callable[[int], int],
    baseline_seconds: int,
    seconds: int,
) -> Iterator[str]:
    """Say for each measure that no outcome of the run could decide, what could.

    `requests_in` tells how many requests become due in a window of so many seconds.

    Under the condition it must be able to pass and to fail; the baseline must be able to pass.
    What a metric that is not the load's will count is not known, so there it is only time that
    can be too short.
    """
    for measure in measures:
        whole_minutes = any(isinstance(m, CloudWatchMetric) for m in measure.looks_at)

        def decides(window: int, fails: bool, one: Measure = measure) -> bool:
            return _decides(one, window, requests_in(window), fails=fails)

        for name, window, fails in (
            ("baseline_seconds", baseline_seconds, False),
            ("condition_seconds", seconds, True),
        ):
            if decides(window, fails):
                continue
            enough = next(
                (
                    s
                    for s in WINDOWS_SECONDS
                    if s > window and not (whole_minutes and s % 60) and decides(s, fails)
                ),
                None,
            )
            best = (
                f"the shortest that can is {enough} s"
                if enough
                else f"none up to {LONGEST_WINDOW_SECONDS} s can: change the load or the measure"
            )
            yield (
                f"{measure.name!r} cannot be decided by {requests_in(window)} "
                f"requests in {name} of {window}: {best}"
            )


def _decides(measure: Measure, seconds: int, requests: int, *, fails: bool) -> bool:
    """Whether the best outcome would pass and, if that is asked, the worst would fail."""
    match measure:
        case PercentileMeasure(metric=LoadMetric()):
            return _share_decides(measure.share, requests, measure.confidence, fails=fails)
        case ProportionMeasure(of=LoadMetric()):
            limit = measure.threshold / 100
            bad = limit if measure.operator.wants_less else 1 - limit
            return _share_decides(bad, requests, measure.confidence, fails=fails)
        case RateMeasure(periods=None):
            return _rate_decides(measure, seconds, requests, fails=fails)
        case RateMeasure():
            return _periods_fit(measure, seconds)
        case RelativeMeasure():
            return whole_slices(seconds, measure.resolution_seconds) >= FEWEST_SLICES
    return True


def _share_decides(bad: float, requests: int, confidence: float, *, fails: bool) -> bool:
    passes = share_interval(0, requests, confidence).high < bad
    return passes and (not fails or share_interval(requests, requests, confidence).low > bad)


def _rate_decides(measure: RateMeasure, seconds: int, requests: int, *, fails: bool) -> bool:
    limit = measure.threshold / measure.per_seconds

    def below() -> bool:
        return rate_interval(0, seconds, measure.confidence).high < limit

    def above() -> bool:
        known = isinstance(measure.metric, LoadMetric)
        return not known or rate_interval(requests, seconds, measure.confidence).low > limit

    best: tuple[Callable[[], bool], ...] = (below, above)
    passes, worst = best if measure.operator.wants_less else best[::-1]
    return passes() and (not fails or worst())


def _periods_fit(measure: RateMeasure, seconds: int) -> bool:
    periods = measure.periods
    if periods is None:
        return True
    fits = periods.seconds % period_seconds(seconds, measure.resolution_seconds) == 0
    return fits and seconds % periods.seconds == 0 and seconds // periods.seconds >= periods.of


def whole_slices(seconds: int, resolution_seconds: int) -> int:
    """How many whole slices a window has at least, wherever in its minute it starts."""
    length = slice_seconds(seconds, resolution_seconds)
    return (seconds - (length - 1 if seconds % 60 else 0)) // length
