"""Measures: what CloudWatch holds about a measured window."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gameday.errors import MeasureNotRead
from gameday.experiment import Experiment, Phase
from gameday.kinds import (
    CloudWatchMetric,
    ErrorBudgetMeasure,
    ExpressionMeasure,
    LoadMetric,
    Measure,
    Query,
    Span,
    period_seconds,
    renamed,
    slice_seconds,
)
from gameday.observations import NAMESPACE, Observation, Reading, Window

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

_QUERIES_PER_CALL = 500
_RECOVERY_SLICE_SECONDS = 5
_DAY_SECONDS = 86_400
_ADDITIVE = {"Sum", "SampleCount"}

type _Points = dict[int, float]


def read(
    experiment: Experiment, phase: Phase, window: Window, cloudwatch: CloudWatchClient
) -> Reading:
    """Read every measure of the experiment over the window, and what tells whether it is valid.

    Counts come by the period, so that they can be pooled exactly; a percentile as one period of
    the whole window, since an average of percentiles by the minute is none. Seconds of a minute
    are read as that whole minute: the load publishes nothing outside of its window, and every
    other metric is only measured over whole minutes.

    Raises:
        MeasureNotRead: CloudWatch answered with an error, or with parts of a period that
            cannot be put together.
    """
    minute = window.start - window.start % 60
    whole = max(60, window.end - minute)
    request = _Request(experiment.name, phase, minute, minute + whole)
    length = min(experiment.windows.baseline_seconds, experiment.windows.condition_seconds)
    asked = {m.name: _ask(request, m, window, whole, length) for m in experiment.measures}
    requests = request.metric(LoadMetric.REQUESTS, "Sum", whole)
    injected = _ask_evidence(request, experiment, whole)
    floors = {mode: effect.floor_ms for mode, effect in experiment.condition.effects.items()}
    slow = {
        mode: (
            request.metric(LoadMetric.LATENCY, "SampleCount", whole),
            request.metric(LoadMetric.LATENCY, f"PR(:{floor:g})", whole),
        )
        for mode, floor in floors.items()
        if floor
    }
    answer = request.send(cloudwatch)
    expected = _expected(experiment, minute, cloudwatch)
    return Reading(
        observations={
            measure.name: Observation(
                seconds=window.seconds,
                values=asked[measure.name].values(answer) | expected.get(measure.name, {}),
                partial=asked[measure.name].partial(answer),
            )
            for measure in experiment.measures
        },
        requests=answer.one(requests),
        evidence={mode: answer.one(key) for mode, key in injected.items()},
        slow={
            mode: _slower(answer.one(samples), answer.one(within))
            for mode, (samples, within) in slow.items()
        },
    )


def read_evidence(
    experiment: Experiment, window: Window, cloudwatch: CloudWatchClient
) -> dict[str, float | None]:
    """Read how often the injector says that it injected, by mode, in the window's minutes.

    Raises:
        MeasureNotRead: CloudWatch answered with an error.
    """
    start, end = window.start - window.start % 60, -(-window.end // 60) * 60
    request = _Request(experiment.name, Phase.CONDITION, start, end)
    keys = _ask_evidence(request, experiment, 60)
    answer = request.send(cloudwatch)
    return {mode: answer.one(key) for mode, key in keys.items()}


def read_evidence_by_second(
    experiment: Experiment, modes: Sequence[str], window: Window, cloudwatch: CloudWatchClient
) -> dict[str, Mapping[int, float]]:
    """Read how often the injector says that it injected in each second, of these modes.

    Raises:
        MeasureNotRead: CloudWatch answered with an error.
    """
    request = _Request(experiment.name, Phase.CONDITION, window.start, window.end)
    proofs = experiment.condition.proofs
    keys = {mode: request.metric(proofs[mode], "Sum", 1) for mode in modes}
    answer = request.send(cloudwatch)
    return {mode: answer.points[key] for mode, key in keys.items()}


def _ask_evidence(request: _Request, experiment: Experiment, period: int) -> dict[str, str]:
    return {
        mode: request.metric(proof, "Sum", period)
        for mode, proof in experiment.condition.proofs.items()
    }


def _slower(samples: float | None, within_percent: float | None) -> float | None:
    if samples is None or within_percent is None:
        return None
    return round(samples * (1 - within_percent / 100), 6)


def _expected(
    experiment: Experiment, until: int, cloudwatch: CloudWatchClient
) -> dict[str, dict[str, tuple[float | None]]]:
    """For each error budget that is given as a metric, its requests in the last window."""
    found = {}
    for measure in experiment.measures:
        if isinstance(measure, ErrorBudgetMeasure) and isinstance(
            measure.requests, CloudWatchMetric
        ):
            start = until - measure.window_days * _DAY_SECONDS
            request = _Request(experiment.name, Phase.CONDITION, start, until)
            key = request.metric(measure.requests, "Sum", _DAY_SECONDS)
            found[measure.name] = {"expected": (request.send(cloudwatch).one(key),)}
    return found


def read_slices(
    experiment: Experiment, phase: Phase, window: Window, cloudwatch: CloudWatchClient
) -> list[tuple[Window, Mapping[str, Observation]]]:
    """Read every measure over each slice of the window, in order of time.

    A slice is the finest period that every measure has: 5 seconds, or a minute as soon as one
    measure exists by the minute. The first and the last may be shorter than that.

    Raises:
        MeasureNotRead: CloudWatch answered with an error.
    """
    by_the_minute = any(m.resolution_seconds == 60 for m in experiment.measures)
    period = 60 if by_the_minute else _RECOVERY_SLICE_SECONDS
    start = window.start - window.start % period
    request = _Request(experiment.name, phase, start, window.end)
    roles = {
        m.name: request.roles(m, m.slice_queries, lambda _: period) for m in experiment.measures
    }
    answer = request.send(cloudwatch)
    slices: list[tuple[Window, Mapping[str, Observation]]] = []
    for begin in range(start, window.end, period):
        part = Window(start=max(begin, window.start), end=min(begin + period, window.end))
        observations = {
            name: Observation(
                seconds=part.seconds,
                values={role: (answer.points[key].get(begin),) for role, key in keys.items()},
            )
            for name, keys in roles.items()
        }
        slices.append((part, observations))
    return slices


@dataclass(frozen=True)
class _Asked:
    """Where the answers about one measure are, and at which moments each has its values."""

    keys: Mapping[str, str]
    moments: Mapping[str, range | None]

    def values(self, answer: _Answer) -> dict[str, tuple[float | None, ...]]:
        return {
            role: (answer.one(key),)
            if (moments := self.moments[role]) is None
            else tuple(answer.points[key].get(moment) for moment in moments)
            for role, key in self.keys.items()
        }

    def partial(self, answer: _Answer) -> bool:
        return any(key in answer.partial for key in self.keys.values())


def _ask(request: _Request, measure: Measure, window: Window, whole: int, length: int) -> _Asked:
    """Ask about one measure; `length` is that of the shortest window, which slices go by."""
    periods = {
        Span.WINDOW: whole,
        Span.PERIOD: period_seconds(window.seconds, measure.resolution_seconds),
        Span.SLICE: slice_seconds(length, measure.resolution_seconds),
    }
    keys = request.roles(measure, measure.queries, lambda query: periods[query.span])
    of_slices = periods[Span.SLICE]
    moments = {
        Span.WINDOW: None,
        Span.PERIOD: range(window.start, window.end, periods[Span.PERIOD]),
        # Only whole slices: half of one counts less, or is less sure, than the others.
        Span.SLICE: range(
            -(-window.start // of_slices) * of_slices, window.end - of_slices + 1, of_slices
        ),
    }
    spans = {role: query.span for role, query in measure.queries.items()}
    return _Asked(keys, {role: moments[spans.get(role, Span.WINDOW)] for role in keys})


@dataclass
class _Answer:
    """For each query the value of each period by its start, and which are not all there is."""

    statistics: Mapping[str, str]
    points: dict[str, _Points]
    partial: set[str] = field(default_factory=set)

    def one(self, key: str) -> float | None:
        """The value of a window that was asked for as one period."""
        found, statistic = self.points[key], self.statistics[key]
        if len(found) > 1 and statistic not in _ADDITIVE:
            raise MeasureNotRead(
                f"CloudWatch split the window of {statistic} into {len(found)} periods"
            )
        return sum(found.values()) if found else None


class _Request:
    """What is asked of CloudWatch in as few calls as it allows, and nothing of it twice."""

    def __init__(self, experiment: str, phase: Phase, start: int, end: int) -> None:
        self._dimensions = {"Experiment": experiment, "Phase": phase.value}
        self._start, self._end = start, end
        self._keys: dict[str, str] = {}
        self._statistics: dict[str, str] = {}
        self._groups: list[list[Any]] = []  # what must be in one call

    def roles(
        self, measure: Measure, queries: Mapping[str, Query], period: Callable[[Query], int]
    ) -> dict[str, str]:
        """Ask the queries of a measure; for each role the key of its answer."""
        if isinstance(measure, ExpressionMeasure):
            return self._math(measure, queries, period)
        return {
            role: self.metric(query.metric, query.statistic, period(query))
            for role, query in queries.items()
        }

    def metric(self, metric: LoadMetric | CloudWatchMetric, statistic: str, period: int) -> str:
        """Ask for a statistic of a metric; the key of its answer."""
        stat = self._stat(metric, statistic, period)
        same = json.dumps(stat)
        if same not in self._keys:
            key = self._keys[same] = self._key(statistic)
            self._groups.append([{"Id": key, "MetricStat": stat}])
        return self._keys[same]

    def _math(
        self,
        measure: ExpressionMeasure,
        queries: Mapping[str, Query],
        period: Callable[[Query], int],
    ) -> dict[str, str]:
        keys = {name: self._key(query.statistic) for name, query in queries.items()}
        asked: list[Any] = [
            {"Id": keys[name], "MetricStat": self._stat(q.metric, q.statistic, period(q))}
            for name, q in queries.items()
        ]
        value = self._key(measure.expression)
        asked.append({"Id": value, "Expression": renamed(measure.expression, keys)})
        self._groups.append(asked)
        return {**keys, "= value": value}

    def _key(self, statistic: str) -> str:
        key = f"q{len(self._statistics)}"
        self._statistics[key] = statistic
        return key

    def _stat(self, metric: LoadMetric | CloudWatchMetric, statistic: str, period: int) -> Any:
        if isinstance(metric, CloudWatchMetric):
            namespace, name, dimensions = metric.namespace, metric.name, metric.dimensions
        else:
            namespace, name, dimensions = NAMESPACE, metric.value, self._dimensions
        named = {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
        }
        return {"Metric": named, "Period": period, "Stat": statistic}

    def send(self, cloudwatch: CloudWatchClient) -> _Answer:
        """Make the calls.

        Raises:
            MeasureNotRead: CloudWatch answered with an error.
        """
        answer = _Answer(self._statistics, {key: {} for key in self._statistics})
        for asked in self._calls():
            pages = cloudwatch.get_paginator("get_metric_data").paginate(
                MetricDataQueries=asked,
                StartTime=datetime.fromtimestamp(self._start, UTC),
                EndTime=datetime.fromtimestamp(self._end, UTC),
                ScanBy="TimestampAscending",
            )
            for page in pages:
                for result in page["MetricDataResults"]:
                    self._take(result, answer)
        return answer

    def _calls(self) -> list[list[Any]]:
        calls: list[list[Any]] = []
        for group in self._groups:
            if not calls or len(calls[-1]) + len(group) > _QUERIES_PER_CALL:
                calls.append([])
            calls[-1].extend(group)
        return calls

    def _take(self, result: Any, answer: _Answer) -> None:
        """Take one result; PartialData is mended by the page on which the rest follows."""
        key, status = result["Id"], result["StatusCode"]
        if status in {"InternalError", "Forbidden"}:  # answered with HTTP 200 as well
            raise MeasureNotRead(
                f"CloudWatch answered {status} for {self._statistics[key]}: "
                f"{result.get('Messages')}"
            )
        (answer.partial.discard if status == "Complete" else answer.partial.add)(key)
        moments = [int(moment.timestamp()) for moment in result["Timestamps"]]
        answer.points[key].update(zip(moments, result["Values"], strict=True))
