"""Measures: what CloudWatch holds about a measured window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from typing import TYPE_CHECKING, Any

from gameday.errors import MeasureNotRead
from gameday.experiment import (
    CloudWatchMetric,
    Experiment,
    LoadMetric,
    Measure,
    Phase,
    RateMeasure,
)
from gameday.observations import NAMESPACE, Observation, Reading, Window

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

_QUERIES_PER_CALL = 500
_SLICE_SECONDS = 5
_ADDITIVE = {"Sum", "SampleCount"}


def read(
    experiment: Experiment, phase: Phase, window: Window, cloudwatch: CloudWatchClient
) -> Reading:
    """Read every measure of the experiment over the window as one CloudWatch period.

    One period, since an average of percentiles by the minute is no percentile. Seconds of a
    minute are read as that whole minute: the load publishes nothing outside of its window, and
    every other metric is only measured over whole minutes.

    Raises:
        MeasureNotRead: CloudWatch answered with an error, or with parts of a period that
            cannot be put together.
    """
    minute = window.start - window.start % 60
    period = max(60, window.end - minute)
    queries = _measure_queries(experiment, phase)
    queries["requests"] = _Query(_metric(LoadMetric.REQUESTS, experiment.name, phase), "Sum")
    proofs = experiment.condition.proofs
    for index, proof in enumerate(proofs.values()):
        metric = _stat_metric(proof.namespace, proof.name, proof.dimensions)
        queries[f"e{index}"] = _Query(metric, "Sum")
    points = _points(queries, minute, minute + period, period, cloudwatch)
    values = {id_: _one(id_, found, queries[id_]) for id_, found in points.items()}
    return Reading(
        observations=_observations(experiment, values, window.seconds),
        requests=values["requests"],
        evidence={mode: values[f"e{index}"] for index, mode in enumerate(proofs)},
    )


def read_slices(
    experiment: Experiment, phase: Phase, window: Window, cloudwatch: CloudWatchClient
) -> list[tuple[Window, Mapping[str, Observation]]]:
    """Read every measure over each slice of the window, in order of time.

    A slice is the finest period that every measure has: 5 seconds, or a minute as soon as one
    measure exists by the minute. The first and the last may be shorter than that.

    Raises:
        MeasureNotRead: CloudWatch answered with an error.
    """
    period = 60 if any(m.resolution_seconds == 60 for m in experiment.measures) else _SLICE_SECONDS
    start = window.start - window.start % period
    queries = _measure_queries(experiment, phase)
    points = _points(queries, start, window.end, period, cloudwatch)
    slices: list[tuple[Window, Mapping[str, Observation]]] = []
    for begin in range(start, window.end, period):
        part = Window(start=max(begin, window.start), end=min(begin + period, window.end))
        values = {id_: found.get(begin) for id_, found in points.items()}
        slices.append((part, _observations(experiment, values, part.seconds)))
    return slices


@dataclass(frozen=True)
class _Query:
    metric: Any
    statistic: str


def _measure_queries(experiment: Experiment, phase: Phase) -> dict[str, _Query]:
    queries = {}
    for index, measure in enumerate(experiment.measures):
        metric = _metric(measure.metric, experiment.name, phase)
        queries[f"m{index}"] = _Query(metric, measure.statistic)
        queries[f"n{index}"] = _Query(metric, "SampleCount")
    return queries


def _observations(
    experiment: Experiment, values: Mapping[str, float | None], seconds: int
) -> dict[str, Observation]:
    return {
        measure.name: Observation(
            value=_in_unit(measure, values[f"m{index}"], seconds), samples=values[f"n{index}"]
        )
        for index, measure in enumerate(experiment.measures)
    }


def _in_unit(measure: Measure, value: float | None, seconds: int) -> float | None:
    if value is None or not isinstance(measure, RateMeasure):
        return value
    return value * measure.per_seconds / seconds


def _metric(metric: LoadMetric | CloudWatchMetric, experiment: str, phase: Phase) -> Any:
    if isinstance(metric, CloudWatchMetric):
        return _stat_metric(metric.namespace, metric.name, metric.dimensions)
    return _stat_metric(NAMESPACE, metric.value, {"Experiment": experiment, "Phase": phase.value})


def _stat_metric(namespace: str, name: str, dimensions: Mapping[str, str]) -> Any:
    return {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
    }


def _points(
    queries: Mapping[str, _Query], start: int, end: int, period: int, cloudwatch: CloudWatchClient
) -> dict[str, dict[int, float]]:
    """For each query the value of each period, by the period's start."""
    found: dict[str, dict[int, float]] = {id_: {} for id_ in queries}
    for batch in batched(queries.items(), _QUERIES_PER_CALL, strict=False):
        asked: list[Any] = [
            {
                "Id": id_,
                "MetricStat": {"Metric": query.metric, "Period": period, "Stat": query.statistic},
            }
            for id_, query in batch
        ]
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=asked,
            StartTime=_moment(start),
            EndTime=_moment(end),
            ScanBy="TimestampAscending",
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                _refuse_errors(result)
                moments = [int(moment.timestamp()) for moment in result["Timestamps"]]
                found[result["Id"]].update(zip(moments, result["Values"], strict=True))
    return found


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _refuse_errors(result: Any) -> None:
    """PartialData is followed by another page; these two are answered with HTTP 200 as well."""
    if result["StatusCode"] in {"InternalError", "Forbidden"}:
        raise MeasureNotRead(
            f"CloudWatch answered {result['StatusCode']} for {result['Id']}: "
            f"{result.get('Messages')}"
        )


def _one(id_: str, points: Mapping[int, float], query: _Query) -> float | None:
    if len(points) > 1 and query.statistic not in _ADDITIVE:
        raise MeasureNotRead(f"CloudWatch split the window of {id_} into {len(points)} periods")
    return sum(points.values()) if points else None
