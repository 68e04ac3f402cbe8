"""Measures: what is asked of CloudWatch, and what is made of its answers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gameday.errors import MeasureNotRead
from gameday.experiment import Experiment, Phase
from gameday.measures import read, read_slices
from gameday.observations import Observation, Reading, Window
from tests.unit.fakes import experiment

MINUTE = 1_800_000_000
SUCCEEDED = {
    "name": "images",
    "kind": "rate",
    "metric": "Succeeded",
    "per": "minute",
    "operator": ">=",
    "threshold": 10,
}
AWS = {"namespace": "AWS/Lambda", "name": "Duration", "dimensions": {"FunctionName": "images"}}

type Points = dict[int, float]


class FakeCloudWatch:
    """Answers each query with the points of its metric and statistic, one query on each page."""

    def __init__(self, points: Mapping[tuple[str, str], Points], status: str = "Complete") -> None:
        self.points, self.status = points, status
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, operation: str) -> "FakeCloudWatch":
        assert operation == "get_metric_data"
        return self

    def paginate(self, **asked: Any) -> Any:
        self.asked.append(asked)
        for query in asked["MetricDataQueries"]:
            stat = query["MetricStat"]
            found = self.points.get((stat["Metric"]["MetricName"], stat["Stat"]), {})
            result = {
                "Id": query["Id"],
                "StatusCode": self.status,
                "Timestamps": [datetime.fromtimestamp(moment, UTC) for moment in found],
                "Values": list(found.values()),
            }
            yield {"MetricDataResults": [result]}

    @property
    def queries(self) -> list[dict[str, Any]]:
        return [query["MetricStat"] for asked in self.asked for query in asked["MetricDataQueries"]]

    def periods(self) -> set[tuple[float, float, int]]:
        """Start, end and period of every query."""
        return {
            (a["StartTime"].timestamp(), a["EndTime"].timestamp(), q["MetricStat"]["Period"])
            for a in self.asked
            for q in a["MetricDataQueries"]
        }


def reading(fake: FakeCloudWatch, one: Experiment, window: Window) -> Reading:
    return read(one, Phase.CONDITION, window, cast(Any, fake))


def window(seconds: int, after: int = 0) -> Window:
    return Window(start=MINUTE + after, end=MINUTE + after + seconds)


GOOD = {
    ("Latency", "p95"): {MINUTE: 210.0},
    ("Latency", "SampleCount"): {MINUTE: 300.0},
    ("Succeeded", "Sum"): {MINUTE: 40.0},
    ("Succeeded", "SampleCount"): {MINUTE: 20.0},
    ("Requests", "Sum"): {MINUTE: 300.0},
    ("Injected", "Sum"): {MINUTE: 299.0},
}


# -- a window


def test_a_reading_has_each_measure_the_requests_and_the_evidence() -> None:
    assert reading(FakeCloudWatch(GOOD), experiment(), window(60)) == Reading(
        observations={"95 % respond in": Observation(value=210, samples=300)},
        requests=300,
        evidence={"latency": 299},
    )


def test_nothing_is_known_where_cloudwatch_holds_nothing() -> None:
    assert reading(FakeCloudWatch({}), experiment(), window(60)) == Reading(
        observations={"95 % respond in": Observation(value=None, samples=None)},
        requests=None,
        evidence={"latency": None},
    )


def test_the_loads_metrics_are_those_of_the_experiment_and_the_phase() -> None:
    fake = FakeCloudWatch(GOOD)
    reading(fake, experiment(), window(60))
    assert fake.queries[0]["Metric"] == {
        "Namespace": "Gameday",
        "MetricName": "Latency",
        "Dimensions": [
            {"Name": "Experiment", "Value": "smallest"},
            {"Name": "Phase", "Value": "condition"},
        ],
    }


def test_any_other_metric_is_asked_for_as_it_is_written() -> None:
    fake = FakeCloudWatch(GOOD)
    reading(fake, experiment(measures__0__metric=AWS), window(60))
    assert fake.queries[0]["Metric"] == {
        "Namespace": "AWS/Lambda",
        "MetricName": "Duration",
        "Dimensions": [{"Name": "FunctionName", "Value": "images"}],
    }


def test_the_evidence_is_asked_for_by_function_and_mode() -> None:
    fake = FakeCloudWatch(GOOD)
    two = {"latency": {"enabled": True, "max_latency": 1}, "exception": {"enabled": True}}
    found = reading(fake, experiment(condition__configuration=two), window(60))
    assert list(found.evidence) == ["latency", "exception"]
    assert fake.queries[-1]["Metric"]["Dimensions"] == [
        {"Name": "FunctionName", "Value": "images"},
        {"Name": "Mode", "Value": "exception"},
    ]


@pytest.mark.parametrize(
    ("measured", "period"),
    [
        (window(20), (MINUTE, MINUTE + 60, 60)),
        (window(20, after=39), (MINUTE, MINUTE + 60, 60)),
        (window(59, after=1), (MINUTE, MINUTE + 60, 60)),
        (window(60), (MINUTE, MINUTE + 60, 60)),
        (window(180), (MINUTE, MINUTE + 180, 180)),
    ],
)
def test_a_window_is_read_as_one_period(measured: Window, period: tuple[int, int, int]) -> None:
    fake = FakeCloudWatch(GOOD)
    reading(fake, experiment(), measured)
    assert fake.periods() == {period}


@pytest.mark.parametrize(
    ("per", "seconds", "rate"),
    [("minute", 60, 40), ("minute", 20, 120), ("minute", 120, 20), ("second", 20, 2)],
)
def test_a_rate_is_the_sum_over_the_window_itself(per: str, seconds: int, rate: float) -> None:
    one = experiment(measures=[{**SUCCEEDED, "per": per}])
    found = reading(FakeCloudWatch(GOOD), one, window(seconds))
    assert found.observations["images"] == Observation(value=rate, samples=20)


def test_no_data_is_no_rate_of_zero() -> None:
    found = reading(FakeCloudWatch({}), experiment(measures=[SUCCEEDED]), window(60))
    assert found.observations["images"].value is None


def test_sums_of_parts_of_a_period_are_put_together() -> None:
    parts = {MINUTE: 100.0, MINUTE + 60: 200.0}
    split = {**GOOD, ("Requests", "Sum"): parts, ("Latency", "SampleCount"): parts}
    found = reading(FakeCloudWatch(split), experiment(), window(120))
    assert (found.requests, found.observations["95 % respond in"].samples) == (300, 300)


def test_percentiles_of_parts_of_a_period_are_not() -> None:
    split = {**GOOD, ("Latency", "p95"): {MINUTE: 100.0, MINUTE + 60: 200.0}}
    with pytest.raises(MeasureNotRead, match="split the window of m0 into 2 periods"):
        reading(FakeCloudWatch(split), experiment(), window(120))


@pytest.mark.parametrize("status", ["InternalError", "Forbidden"])
def test_an_error_in_an_answer_is_no_missing_data(status: str) -> None:
    with pytest.raises(MeasureNotRead, match=f"answered {status} for m0"):
        reading(FakeCloudWatch(GOOD, status), experiment(), window(60))


def test_partial_data_is_followed_by_the_rest() -> None:
    assert reading(FakeCloudWatch(GOOD, "PartialData"), experiment(), window(60)).requests == 300


def test_no_call_asks_more_than_cloudwatch_takes() -> None:
    many = [{**SUCCEEDED, "name": str(n)} for n in range(250)]
    fake = FakeCloudWatch(GOOD)
    found = reading(fake, experiment(measures=many), window(60))
    assert [len(asked["MetricDataQueries"]) for asked in fake.asked] == [500, 2]
    assert found.requests == 300


# -- slices


def slices(fake: FakeCloudWatch, one: Experiment, measured: Window) -> list[tuple[int, int]]:
    found = read_slices(one, Phase.RECOVERY, measured, cast(Any, fake))
    return [(part.start - MINUTE, part.end - MINUTE) for part, _ in found]


def test_the_loads_metrics_come_in_slices_of_5_seconds() -> None:
    fake = FakeCloudWatch({})
    assert slices(fake, experiment(), window(15)) == [(0, 5), (5, 10), (10, 15)]
    assert fake.periods() == {(MINUTE, MINUTE + 15, 5)}


def test_the_first_and_the_last_slice_are_cut_at_the_window() -> None:
    fake = FakeCloudWatch({})
    assert slices(fake, experiment(), window(10, after=3)) == [(3, 5), (5, 10), (10, 13)]
    assert fake.periods() == {(MINUTE, MINUTE + 13, 5)}


def test_metrics_that_exist_by_the_minute_come_in_minutes() -> None:
    one = experiment(measures__0__metric=AWS)
    assert slices(FakeCloudWatch({}), one, window(120)) == [(0, 60), (60, 120)]


def test_each_slice_has_its_own_observations() -> None:
    points = {("Latency", "p95"): {MINUTE: 900.0, MINUTE + 10: 200.0}}
    fake = FakeCloudWatch(points)
    found = read_slices(experiment(), Phase.RECOVERY, window(15), cast(Any, fake))
    assert [seen["95 % respond in"].value for _, seen in found] == [900, None, 200]


def test_a_rate_in_a_cut_slice_is_that_of_its_seconds() -> None:
    fake = FakeCloudWatch({("Succeeded", "Sum"): {MINUTE: 4.0, MINUTE + 5: 10.0}})
    measured = Window(start=MINUTE + 3, end=MINUTE + 10)
    one = experiment(measures=[SUCCEEDED])
    found = read_slices(one, Phase.RECOVERY, measured, cast(Any, fake))
    assert [seen["images"].value for _, seen in found] == [120, 120]
