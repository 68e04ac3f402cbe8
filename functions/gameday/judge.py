"""The judge: what was observed, and what it means. Pure: no clock, no client, no chance."""

import math
import operator as operators
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import singledispatch

from pydantic import BaseModel, ConfigDict

from gameday import statistics
from gameday.experiment import Experiment
from gameday.kinds import (
    FEWEST_SLICES,
    CloudWatchMetric,
    ErrorBudgetMeasure,
    ExpressionMeasure,
    LoadMetric,
    Measure,
    Operator,
    PercentileMeasure,
    Periods,
    ProportionMeasure,
    RateMeasure,
    RelativeMeasure,
    ThresholdMeasure,
)
from gameday.observations import Observation, Window

LARGEST_COUNT_ERROR = 0.01
"""The generator's count and CloudWatch's may differ by this: nearly all must have been judged."""

ROOM = 0.25
"""Of the room between its baseline and its threshold, what a measure that is back may use."""

_BURSTS = 1.5
"""From this factor on it is said that the periods differ by more than chance."""

_COMPARE: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.LESS: operators.lt,
    Operator.AT_MOST: operators.le,
    Operator.GREATER: operators.gt,
    Operator.AT_LEAST: operators.ge,
}


class Verdict(StrEnum):
    """What was learnt."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class Interval(_Data):
    """Where the true value is; each bound by itself holds with the confidence.

    `limit` is what must be outside of it, in the same `unit`; `high` is None without a bound.
    """

    low: float
    high: float | None
    confidence: float
    limit: float
    unit: str | None


class Judgement(_Data):
    """One measure's verdict with its reason and its numbers.

    `margin` is how far inside the threshold the observed value is; negative outside. Observed,
    threshold, margin and baseline are in `unit`.
    """

    measure: str
    kind: str
    critical: bool
    verdict: Verdict
    reason: str
    observed: float | None
    operator: Operator
    threshold: float | None
    unit: str | None
    margin: float | None
    samples: float | None
    baseline: float | None
    interval: Interval | None


@dataclass(frozen=True)
class _Context:
    """What a measure is judged beside: its baseline, unless this is it, and the load's count."""

    before: Observation | None = None
    offered: int | None = None


@dataclass(frozen=True)
class _Found:
    verdict: Verdict
    reason: str
    threshold: float | None = None
    samples: float | None = None
    interval: Interval | None = None


def judge(
    measure: Measure,
    observed: Observation,
    before: Observation | None = None,
    offered: int | None = None,
) -> Judgement:
    """Judge one measure by what was observed; no data is never a pass.

    Args:
        measure: what it must satisfy.
        observed: what CloudWatch holds about the window.
        before: what it held about the baseline; None when the baseline itself is judged.
        offered: how many requests the load had, where that is known.
    """
    context = _Context(before, offered)
    found = _missing(observed) or _judged(measure, observed, context)
    value = level(measure, observed)
    threshold = threshold_of(measure) if found.threshold is None else found.threshold
    margin = None
    if value is not None and threshold is not None:
        less = _operator(measure).wants_less
        margin = threshold - value if less else value - threshold
    return Judgement(
        measure=measure.name,
        kind=measure.kind,
        critical=measure.critical,
        verdict=found.verdict,
        reason=found.reason,
        observed=value,
        operator=_operator(measure),
        threshold=threshold,
        unit=unit_of(measure),
        margin=margin,
        samples=found.samples,
        baseline=None if before is None else level(measure, before),
        interval=found.interval,
    )


def judge_all(
    experiment: Experiment,
    observations: Mapping[str, Observation],
    before: Mapping[str, Observation] | None = None,
    offered: int | None = None,
) -> tuple[Judgement, ...]:
    """Judge every measure of the experiment over one window; without `before` it is the baseline.

    Raises:
        KeyError: a measure was not observed; every one must have been.
    """
    return tuple(
        judge(
            measure,
            observations[measure.name],
            before[measure.name] if before else None,
            offered,
        )
        for measure in experiment.measures
    )


def all_passed(judgements: Sequence[Judgement]) -> bool:
    """Whether every measure that decides holds; of no measure nothing holds."""
    critical = [judgement for judgement in judgements if judgement.critical]
    return bool(critical) and all(j.verdict is Verdict.PASSED for j in critical)


# -- what a measure says in numbers


def level(measure: Measure, observed: Observation) -> float | None:
    """The observed value in the measure's unit; None where CloudWatch does not hold it."""
    values = observed.values
    match measure:
        case PercentileMeasure() | ThresholdMeasure():
            return _finite(observed.one("value"))
        case ExpressionMeasure():
            return _finite(observed.one(EXPRESSION))
        case ProportionMeasure():
            return _percent(_sum(values["events"]), _sum(values["total"]))
        case RateMeasure():
            count = _sum(values["count"])
            return None if count is None else count * measure.per_seconds / observed.seconds
        case RelativeMeasure():
            known = [value for value in values["level"] if value is not None]
            return _mean(known, geometric=min(known) > 0) if known else None
        case ErrorBudgetMeasure():
            return _percent(_sum(values["events"]), _budget(measure, observed))


EXPRESSION = "= value"
"""The role of an expression's own value: no metric can have this name."""


def _slice_level(measure: Measure, observed: Observation) -> float | None:
    """The observed value of a slice; of an error budget the percentage of bad requests."""
    if isinstance(measure, ErrorBudgetMeasure):
        return _percent(_sum(observed.values["events"]), _sum(observed.values["total"]))
    return level(measure, observed)


def threshold_of(measure: Measure) -> float | None:
    """What the observed value is compared with; None where the baseline says it."""
    match measure:
        case RelativeMeasure():
            return None
        case ErrorBudgetMeasure():
            return measure.at_most_percent
        case _:
            return measure.threshold


def unit_of(measure: Measure) -> str | None:
    """The label of the observed value's unit."""
    match measure:
        case ProportionMeasure():
            return "%"
        case ErrorBudgetMeasure():
            return "% of the budget"
        case RateMeasure():
            return measure.unit or f"/{measure.per}"
        case ExpressionMeasure():
            return measure.unit
        case _:
            return measure.unit or ("ms" if measure.metric is LoadMetric.LATENCY else None)


def _operator(measure: Measure) -> Operator:
    return Operator.AT_MOST if isinstance(measure, ErrorBudgetMeasure) else measure.operator


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def _percent(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else 100 * part / whole


def _mean(values: Sequence[float], *, geometric: bool) -> float:
    if geometric:
        return math.exp(math.fsum(map(math.log, values)) / len(values))
    return math.fsum(values) / len(values)


# -- one measure


def _inconclusive(reason: str, **numbers: float | None) -> _Found:
    return _Found(Verdict.INCONCLUSIVE, reason, samples=numbers.get("samples"))


def _missing(observed: Observation) -> _Found | None:
    """What forbids any verdict: data that is not there, or not all of it."""
    if observed.partial:
        return _inconclusive("CloudWatch gave only a part of its data")
    silent = [role for role, values in observed.values.items() if all(v is None for v in values)]
    if len(silent) == len(observed.values):
        return _inconclusive("CloudWatch holds no data for it")
    if silent:
        names = ", ".join("its value" if role == EXPRESSION else role for role in silent)
        return _inconclusive(f"CloudWatch holds no data for {names}")
    return None


def _gap(observed: Observation, *roles: str) -> _Found | None:
    """A period without data is no period of zero."""
    for role in roles:
        values = observed.values[role]
        if missing := sum(value is None for value in values):
            length = observed.seconds // len(values)
            return _inconclusive(
                f"CloudWatch holds no data of {role} for {missing} of {len(values)} periods "
                f"of {length} s"
            )
    return None


@singledispatch
def _judged(measure: Measure, observed: Observation, context: _Context) -> _Found:
    raise TypeError(f"no such kind of measure: {measure}")


@_judged.register
def _percentile(measure: PercentileMeasure, observed: Observation, context: _Context) -> _Found:
    own = isinstance(measure.metric, LoadMetric)
    # The load says every request, so a second without a latency had none: its count is compared.
    if not own and (gap := _gap(observed, "samples", "within")):
        return gap
    if _count(observed, "samples") != _count(observed, "within"):
        return _inconclusive("CloudWatch holds samples of which it does not say how large they are")
    pairs = zip(observed.values["samples"], observed.values["within"], strict=True)
    slow = [(samples * (1 - (within or 0) / 100), samples) for samples, within in pairs if samples]
    total = math.fsum(samples for _, samples in slow)
    if own and context.offered is not None and _differ(total, context.offered):
        return _inconclusive(
            f"CloudWatch holds {total:g} of the {context.offered} requests", samples=total
        )
    value = _told(level(measure, observed), unit_of(measure))
    threshold = _told(measure.threshold, unit_of(measure))
    return _share(
        _Share(
            [(math.ceil(s - 1e-6), int(n)) for s, n in slow],
            [(math.floor(s + 1e-6), int(n)) for s, n in slow],
            measure.share,
            measure.confidence,
        ),
        observed,
        subject=f"p{measure.percentile:g} {value}",
        wanted=f"{measure.operator} {threshold}",
        events="slower" if measure.metric is LoadMetric.LATENCY else "over",
    )


def _count(observed: Observation, role: str) -> int:
    return sum(value is not None for value in observed.values[role])


def _differ(counted: float, offered: int) -> bool:
    return abs(counted - offered) > offered * LARGEST_COUNT_ERROR


@_judged.register
def _proportion(measure: ProportionMeasure, observed: Observation, context: _Context) -> _Found:
    if gap := _gap(observed, "events", "total"):
        return gap
    pairs = _pairs(observed)
    if any(not 0 <= events <= total for events, total in pairs):
        return _inconclusive("it counts more than all, or less than none")
    limit = measure.threshold / 100
    if not measure.operator.wants_less:  # then the others are the ones that may be few
        pairs, limit = [(total - events, total) for events, total in pairs], 1 - limit
    share = _Share(
        [(math.ceil(e - 1e-6), math.floor(n + 1e-6)) for e, n in pairs],
        [(math.floor(e + 1e-6), math.floor(n + 1e-6)) for e, n in pairs],
        round(limit, 12),
        measure.confidence,
    )
    value = _told(level(measure, observed), "%")
    return _share(
        share,
        observed,
        subject=value,
        wanted=f"{measure.operator} {measure.threshold:g} %",
        events=_named(measure.metric)
        if measure.operator.wants_less
        else f"not {_named(measure.metric)}",
        mirrored=not measure.operator.wants_less,
    )


def _named(metric: LoadMetric | CloudWatchMetric) -> str:
    return metric.name if isinstance(metric, CloudWatchMetric) else metric.value.lower()


def _pairs(observed: Observation) -> list[tuple[float, float]]:
    events, totals = observed.values["events"], observed.values["total"]
    return [(e or 0, n or 0) for e, n in zip(events, totals, strict=True)]


@dataclass(frozen=True)
class _Share:
    """Bad samples by period, rounded against passing and against failing, and what is allowed."""

    most: Sequence[tuple[int, int]]
    least: Sequence[tuple[int, int]]
    limit: float
    confidence: float


def _share(
    share: _Share,
    observed: Observation,
    *,
    subject: str,
    wanted: str,
    events: str,
    mirrored: bool = False,
) -> _Found:
    bad, total = sum(bad for bad, _ in share.most), sum(total for _, total in share.most)
    if not total:
        return _inconclusive("there was not one sample", samples=0)
    high = statistics.effective_share_interval(_blocks(share.most), share.confidence).high
    low = statistics.effective_share_interval(_blocks(share.least), share.confidence).low
    limit = share.limit
    sure = f"at {100 * share.confidence:g} % confidence"
    counted = f"{bad} of {total} {events}"
    may = f"{100 * limit:.4g} % may be"
    bounds = (1 - high, 1 - low, 1 - limit) if mirrored else (low, high, limit)
    interval = _interval(bounds[0] * 100, bounds[1] * 100, share.confidence, bounds[2] * 100, "%")
    if high < limit:
        verdict = Verdict.PASSED
        reason = f"{subject} is {wanted}: {counted}, at most {_p(high)} {sure}, and {may}"
    elif low > limit:
        verdict = Verdict.FAILED
        reason = f"{subject} is not {wanted}: {counted}, at least {_p(low)} {sure}, and {may}"
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = (
            f"{subject} cannot be told from {wanted}: {counted}, {_p(low)} to {_p(high)} {sure}, "
            f"and {may}; {_more(share, bad, total)}"
        )
    return _Found(verdict, reason, samples=total, interval=interval)


def _p(share: float) -> str:
    return f"{100 * share:.3g} %"


def _more(share: _Share, bad: int, total: int) -> str:
    dispersion = statistics.share_dispersion(_blocks(share.most), share.confidence)
    more = statistics.more_requests(bad, total, share.limit, share.confidence, dispersion)
    if more is None:
        return "that is too near for any number of requests"
    bursts = " since they come in bursts" if dispersion.factor > _BURSTS else ""
    return f"about {max(1, more)} more requests would tell{bursts}"


def _blocks(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    size = _block_size(len(pairs))
    return [
        (sum(e for e, _ in pairs[i : i + size]), sum(n for _, n in pairs[i : i + size]))
        for i in range(0, len(pairs), size)
    ]


def _block_size(periods: int) -> int:
    """How many periods make a block: even ones, few enough that one event is no burst."""
    return next((periods // blocks for blocks in (7, 6, 5) if periods % blocks == 0), 1)


def _interval(
    low: float, high: float, confidence: float, limit: float, unit: str | None
) -> Interval:
    return Interval(
        low=low,
        high=high if math.isfinite(high) else None,
        confidence=confidence,
        limit=limit,
        unit=unit,
    )


@_judged.register
def _rate(measure: RateMeasure, observed: Observation, context: _Context) -> _Found:
    if gap := _gap(observed, "count"):
        return gap
    counts = [value or 0 for value in observed.values["count"]]
    if min(counts) < 0:
        return _inconclusive("it counts less than none")
    if measure.periods:
        return _rate_of_periods(measure, measure.periods, observed, counts)
    size = _block_size(len(counts))
    blocks = [math.fsum(counts[i : i + size]) for i in range(0, len(counts), size)]
    seconds = observed.seconds / len(blocks)
    least, most = [math.floor(block) for block in blocks], [math.ceil(block) for block in blocks]
    interval = _interval(
        statistics.counts_interval(least, seconds, measure.confidence).low * measure.per_seconds,
        statistics.counts_interval(most, seconds, measure.confidence).high * measure.per_seconds,
        measure.confidence,
        measure.threshold,
        unit_of(measure),
    )
    total = math.fsum(counts)
    counted = f"{total:g} in {observed.seconds} s"
    more = _more_seconds(measure, total, observed.seconds)
    return _bounded(measure, observed, interval, counted, more, total)


def _more_seconds(measure: RateMeasure, count: float, seconds: int) -> str:
    """How much longer the window must be, should the rate stay."""
    limit = measure.threshold / measure.per_seconds
    for times in (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256):
        longer = seconds * times
        bounds = statistics.rate_interval(math.floor(count * times), longer, measure.confidence)
        if not bounds.low <= limit <= bounds.high:
            if times == 1:
                return "its periods differ by more than chance, so it takes a longer window"
            return f"a window of about {longer:.0f} s would tell"
    return "that is too near for any window"


def _bounded(
    measure: RateMeasure | RelativeMeasure,
    observed: Observation,
    interval: Interval,
    counted: str,
    more: str,
    samples: float,
) -> _Found:
    """Decide by an interval in the unit of the observed value."""
    less, limit = measure.operator.wants_less, interval.limit
    high = math.inf if interval.high is None else interval.high
    below, above = high < limit, interval.low > limit
    unit, sure = interval.unit, f"at {100 * interval.confidence:g} % confidence"
    value, wanted = _told(level(measure, observed), unit), _told(limit, unit)
    at_most, at_least = f"at most {_told(high, unit)}", f"at least {_told(interval.low, unit)}"
    if below or above:
        holds = below if less else above
        verdict = Verdict.PASSED if holds else Verdict.FAILED
        reason = (
            f"{value} {'is' if holds else 'is not'} {measure.operator} {wanted}: "
            f"{counted}, {at_most if below else at_least} {sure}"
        )
    else:
        verdict = Verdict.INCONCLUSIVE
        reason = (
            f"{value} cannot be told from {measure.operator} {wanted}: {counted}, "
            f"{interval.low:.4g} to {_told(high, unit)} {sure}; {more}"
        )
    return _Found(verdict, reason, threshold=limit, samples=samples, interval=interval)


def _rate_of_periods(
    measure: RateMeasure, periods: Periods, observed: Observation, counts: Sequence[float]
) -> _Found:
    size = periods.seconds * len(counts) // observed.seconds
    rates = [
        math.fsum(counts[i : i + size]) * measure.per_seconds / periods.seconds
        for i in range(0, len(counts), size)
    ]
    holds = [_COMPARE[measure.operator](rate, measure.threshold) for rate in rates]
    in_a_row = [sum(holds[i : i + periods.of]) for i in range(len(holds) - periods.of + 1)]
    if not in_a_row:
        return _inconclusive(f"there are {len(holds)} periods, and {periods.of} are looked at")
    worst = min(in_a_row)
    wanted = f"{measure.operator} {_told(measure.threshold, unit_of(measure))}"
    passed = worst >= periods.at_least
    return _Found(
        Verdict.PASSED if passed else Verdict.FAILED,
        f"{wanted} in at least {worst} of any {periods.of} periods of {periods.seconds} s, "
        f"{periods.at_least} {'are enough' if passed else 'are needed'} "
        "(compared period by period, as an alarm does)",
        samples=math.fsum(counts),
    )


@_judged.register
def _relative(measure: RelativeMeasure, observed: Observation, context: _Context) -> _Found:
    after = [value for value in observed.values["level"] if value is not None]
    if gap := _gap(observed, "level"):
        return gap
    if context.before is None:
        return _reference(measure, observed, after)
    before = [value for value in context.before.values["level"] if value is not None]
    bounds = statistics.ratio_interval(before, after, measure.confidence)
    if bounds is None:
        return _inconclusive(
            f"it cannot be compared with its baseline: {_why_no_ratio(before, after)}",
            samples=len(after),
        )
    # As the bounds are made: where a value is zero, of arithmetic means.
    base = _mean(before, geometric=min(*before, *after) > 0)
    limit, unit = base * measure.factor, unit_of(measure)
    interval = _interval(bounds.low * base, bounds.high * base, measure.confidence, limit, unit)
    margin = f"{measure.margin_percent:g} % {'over' if measure.operator.wants_less else 'under'}"
    counted = f"{margin} a baseline of {_told(base, unit)}"
    more = "it takes a longer window"
    return _bounded(measure, observed, interval, counted, more, len(after))


def _why_no_ratio(before: Sequence[float], after: Sequence[float]) -> str:
    if min(len(before), len(after)) < FEWEST_SLICES:
        return f"{len(before)} values before and {len(after)} now, of {FEWEST_SLICES} needed"
    if min(*before, *after) < 0:
        return "what may be negative has no percentage"
    return "of a baseline that is or may be zero there is no percentage"


def _reference(measure: RelativeMeasure, observed: Observation, now: Sequence[float]) -> _Found:
    """The baseline of a relative measure: whether it can be compared with."""
    if statistics.ratio_interval(now, now, measure.confidence) is None:
        return _inconclusive(
            f"nothing can be compared with it: {_why_no_ratio(now, now)}", samples=len(now)
        )
    value = _told(level(measure, observed), unit_of(measure))
    return _Found(Verdict.PASSED, f"{value}, of {len(now)} values: the reference", samples=len(now))


@_judged.register
def _threshold(measure: ThresholdMeasure, observed: Observation, context: _Context) -> _Found:
    return _point(measure, observed, observed.one("samples"))


@_judged.register
def _expression(measure: ExpressionMeasure, observed: Observation, context: _Context) -> _Found:
    return _point(measure, observed, None)


def _point(
    measure: ThresholdMeasure | ExpressionMeasure, observed: Observation, samples: float | None
) -> _Found:
    value, unit = level(measure, observed), unit_of(measure)
    if value is None:
        return _inconclusive("its value is no finite number", samples=samples)
    holds = _COMPARE[measure.operator](value, measure.threshold)
    return _Found(
        Verdict.PASSED if holds else Verdict.FAILED,
        f"{_told(value, unit)} {'is' if holds else 'is not'} {measure.operator} "
        f"{_told(measure.threshold, unit)} (as a point: how sure that is, is not known)",
        samples=samples,
    )


@_judged.register
def _error_budget(measure: ErrorBudgetMeasure, observed: Observation, context: _Context) -> _Found:
    if gap := _gap(observed, "events", "total"):
        return gap
    bad, total = _sum(observed.values["events"]) or 0, _sum(observed.values["total"]) or 0
    if not 0 <= bad <= total or not total:
        return _inconclusive("it counts no request, or more bad ones than there are", samples=total)
    budget, burnt = _budget(measure, observed), level(measure, observed)
    if burnt is None:
        return _inconclusive("there is no budget: the window has no requests", samples=total)
    holds = burnt <= measure.at_most_percent
    return _Found(
        Verdict.PASSED if holds else Verdict.FAILED,
        f"{burnt:.3g} % of the budget of {measure.window_days} days is burnt and "
        f"{measure.at_most_percent:g} % may be: {bad:g} of {total:g} requests were bad, and "
        f"{measure.objective_percent:g} % allows {budget:.4g} (a count, no estimate)",
        samples=total,
    )


def _budget(measure: ErrorBudgetMeasure, observed: Observation) -> float:
    """How many bad requests the objective allows in its window."""
    requests = measure.requests
    expected = requests if isinstance(requests, float) else observed.one("expected") or 0
    return measure.share * expected


def _told(value: float | None, unit: str | None) -> str:
    number = "nothing" if value is None else f"{value:.4g}"
    if not unit:
        return number
    return f"{number}{unit}" if unit.startswith("/") else f"{number} {unit}"


# -- recovery


class Recovery(_Data):
    """Whether the system was back inside its baseline to the end, and after how many seconds.

    `missed` says that the objective was still missed, in each slice of the window's second half.
    """

    recovered: bool
    seconds: float | None
    within_seconds: float
    reason: str
    missed: bool


type Slices = Sequence[tuple[Window, Mapping[str, Observation]]]


def judge_recovery(
    experiment: Experiment, before: Slices, after: Slices, disabled_at: float
) -> Recovery:
    """Find the first slice from which on every measure is back inside its baseline to the end.

    Inside is a value that satisfies the measure and uses no more than a quarter of the room
    between the worst slice of the baseline and the threshold.

    Args:
        experiment: its critical measures decide.
        before: the slices of the baseline.
        after: the slices of the window in which it must recover.
        disabled_at: when the condition was proven off, in epoch seconds.
    """
    decisive = [measure for measure in experiment.measures if measure.critical]
    limits = {measure.name: _limits(measure, before) for measure in decisive}
    since, last = None, "nothing was measured"
    for window, observations in reversed(after):
        if outside := _outside(decisive, observations, limits):
            last = outside if since is None else last
            break
        since = window.start
    within = round(after[-1][0].end - disabled_at, 1) if after else 0.0
    if since is not None:
        seconds = round(max(since - disabled_at, 0.0), 1)
        reason = f"back inside its baseline after {seconds:g} s"
        return Recovery(
            recovered=True, seconds=seconds, within_seconds=within, reason=reason, missed=False
        )
    return Recovery(
        recovered=False,
        seconds=None,
        within_seconds=within,
        reason=f"not back inside its baseline within {within:g} s: {last}",
        missed=_still_missed(decisive, after, limits),
    )


@dataclass(frozen=True)
class _Limits:
    """What a slice must satisfy, and what it must satisfy to be back inside the baseline."""

    objective: float | None
    baseline: float | None


def _limits(measure: Measure, before: Slices) -> _Limits:
    seen = [_slice_level(measure, observations[measure.name]) for _, observations in before]
    known = [value for value in seen if value is not None]
    less = _operator(measure).wants_less
    objective = _slice_threshold(measure, known)
    if not known or objective is None:
        return _Limits(objective, objective)
    worst = max(known) if less else min(known)
    room = objective - worst
    inside = room > 0 if less else room < 0
    return _Limits(objective, worst + ROOM * room if inside else objective)


def _slice_threshold(measure: Measure, before: Sequence[float]) -> float | None:
    match measure:
        case RelativeMeasure():
            return math.fsum(before) / len(before) * measure.factor if before else None
        case ErrorBudgetMeasure():
            return 100 * measure.share
        case _:
            return measure.threshold


def _outside(
    measures: Sequence[Measure],
    observations: Mapping[str, Observation],
    limits: Mapping[str, _Limits],
) -> str | None:
    """What is not back in this slice, in words; None when all is."""
    for measure in measures:
        value, limit = _slice_level(measure, observations[measure.name]), limits[measure.name]
        unit = "%" if isinstance(measure, ErrorBudgetMeasure) else unit_of(measure)
        if value is None:
            return f"{measure.name} has no data"
        if not _holds(measure, value, limit.objective):
            wanted = _told(limit.objective, unit)
            return f"{measure.name}: {_told(value, unit)} is not {_operator(measure)} {wanted}"
        less = _operator(measure).wants_less
        if limit.baseline is not None and (
            value > limit.baseline if less else value < limit.baseline
        ):
            return (
                f"{measure.name}: {_told(value, unit)} is {'over' if less else 'under'} "
                f"{_told(limit.baseline, unit)}"
            )
    return None


def _holds(measure: Measure, value: float, objective: float | None) -> bool:
    return objective is not None and _COMPARE[_operator(measure)](value, objective)


def _still_missed(
    measures: Sequence[Measure], after: Slices, limits: Mapping[str, _Limits]
) -> bool:
    half = after[len(after) // 2 :]
    return any(
        bool(half)
        and all(
            (value := _slice_level(measure, observations[measure.name])) is not None
            and not _holds(measure, value, limits[measure.name].objective)
            for _, observations in half
        )
        for measure in measures
    )
