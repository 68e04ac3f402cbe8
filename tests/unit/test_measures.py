"""Measures: what is asked of CloudWatch, and what is made of its answers."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from gameday.errors import MeasureNotRead
from gameday.experiment import Experiment, Phase
from gameday.judge import EXPRESSION, judge_all
from gameday.measures import read, read_evidence, read_slices
from gameday.observations import Observation, Reading, Window
from tests.unit.fakes import experiment

MINUTE = 1_800_000_000
AWS = {"namespace": "AWS/Lambda", "name": "Duration", "dimensions": {"FunctionName": "images"}}
SUCCEEDED = {
    "name": "images",
    "kind": "rate",
    "metric": "Succeeded",
    "per": "minute",
    "operator": ">=",
    "threshold": 60,
}
P95 = {"name": "p", "kind": "threshold", "metric": "Latency", "statistic": "p95",
       "operator": "<", "threshold": 1000}  # fmt: skip
RELATIVE = {"name": "r", "kind": "relative", "metric": "Latency", "statistic": "p95",
            "operator": "<=", "margin_percent": 10}  # fmt: skip
RATIO = {
    "name": "e",
    "kind": "expression",
    "metrics": {
        "bad": {"metric": "Failed", "statistic": "Sum"},
        "all": {"metric": "Requests", "statistic": "Sum"},
    },
    "expression": "100 * bad / all",
    "operator": "<",
    "threshold": 1,
}

type Points = dict[int, float]


def every(seconds: int, value: float, count: int = 12) -> Points:
    """The same value in each period."""
    return {MINUTE + seconds * n: value for n in range(count)}


class FakeCloudWatch:
    """Answers each query with the points of its metric and statistic, one query on each page."""

    def __init__(
        self, points: Mapping[tuple[str, str], Points], statuses: tuple[str, ...] = ("Complete",)
    ) -> None:
        self.points, self.statuses = points, statuses
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, operation: str) -> "FakeCloudWatch":
        assert operation == "get_metric_data"
        return self

    def paginate(self, **asked: Any) -> Any:
        self.asked.append(asked)
        assert len({query["Id"] for query in asked["MetricDataQueries"]}) == len(
            asked["MetricDataQueries"]
        )
        for query in asked["MetricDataQueries"]:
            found = self._found(query, asked["StartTime"].timestamp(), asked["EndTime"].timestamp())
            for page, status in enumerate(self.statuses):
                held = {} if page else found
                result = {
                    "Id": query["Id"],
                    "StatusCode": status,
                    "Timestamps": [datetime.fromtimestamp(moment, UTC) for moment in held],
                    "Values": list(held.values()),
                }
                yield {"MetricDataResults": [result]}

    def _found(self, query: Any, start: float, end: float) -> Points:
        if "Expression" in query:
            return self.points.get(("expression", ""), {})
        stat = query["MetricStat"]
        held = self.points.get((stat["Metric"]["MetricName"], stat["Stat"]), {})
        return {moment: value for moment, value in held.items() if start <= moment < end}

    @property
    def queries(self) -> list[dict[str, Any]]:
        return [
            query.get("MetricStat", query)
            for asked in self.asked
            for query in asked["MetricDataQueries"]
        ]

    def periods(self, statistic: str) -> set[tuple[float, float, int]]:
        """Start, end and period of every query of a statistic."""
        return {
            (a["StartTime"].timestamp(), a["EndTime"].timestamp(), q["MetricStat"]["Period"])
            for a in self.asked
            for q in a["MetricDataQueries"]
            if q.get("MetricStat", {}).get("Stat") == statistic
        }


def reading(fake: FakeCloudWatch, one: Experiment, window: Window) -> Reading:
    return read(one, Phase.CONDITION, window, cast(Any, fake))


def window(seconds: int, after: int = 0) -> Window:
    return Window(start=MINUTE + after, end=MINUTE + after + seconds)


WITHIN = "PR(:999.999)"
GOOD = {
    ("Latency", "p95"): {MINUTE: 210.0},
    ("Latency", "SampleCount"): every(5, 25.0),
    ("Latency", WITHIN): every(5, 100.0),
    ("Succeeded", "Sum"): every(5, 25.0),
    ("Requests", "Sum"): {MINUTE: 300.0},
    ("Failed", "Sum"): {MINUTE: 3.0},
    ("Injected", "Sum"): {MINUTE: 299.0},
    ("expression", ""): {MINUTE: 1.0},
}


# -- a window


def test_a_reading_has_each_measure_the_requests_and_the_evidence() -> None:
    assert reading(FakeCloudWatch(GOOD), experiment(), window(60)) == Reading(
        observations={
            "95 % respond in": Observation(
                seconds=60,
                values={"samples": (25,) * 12, "within": (100,) * 12, "value": (210,)},
            )
        },
        requests=300,
        evidence={"latency": 299},
        slow={},
    )


def test_nothing_is_known_where_cloudwatch_holds_nothing() -> None:
    found = reading(FakeCloudWatch({}), experiment(), window(60))
    (observation,) = found.observations.values()
    assert observation.values == {
        "samples": (None,) * 12,
        "within": (None,) * 12,
        "value": (None,),
    }
    assert (found.requests, found.evidence) == (None, {"latency": None})


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
    windows = {f"{phase}_seconds": 120 for phase in Phase}
    reading(fake, experiment(measures__0__metric=AWS, windows=windows), window(120))
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


def test_the_evidence_may_be_a_metric_of_the_log_lines() -> None:
    counter = {"namespace": "Shop", "name": "InjectedIntoImages", "dimensions": {"Stage": "prod"}}
    points = {("InjectedIntoImages", "Sum"): {MINUTE: 7.0}}
    fake = FakeCloudWatch(points)
    found = reading(fake, experiment(condition__evidence=counter), window(60))
    assert found.evidence == {"latency": 7}
    assert fake.queries[-1]["Metric"] == {
        "Namespace": "Shop",
        "MetricName": "InjectedIntoImages",
        "Dimensions": [
            {"Name": "Stage", "Value": "prod"},
            {"Name": "Mode", "Value": "latency"},
        ],
    }


def test_the_requests_that_took_at_least_the_injected_latency_are_counted() -> None:
    floor = {"latency": {"enabled": True, "min_latency": 100, "max_latency": 300}}
    points = GOOD | {
        ("Latency", "PR(:100)"): {MINUTE: 25.0},
        ("Latency", "SampleCount"): {MINUTE: 300.0},
    }
    one = experiment(condition__configuration=floor)
    assert reading(FakeCloudWatch(points), one, window(60)).slow == {"latency": 225}
    assert reading(FakeCloudWatch({}), one, window(60)).slow == {"latency": None}


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
def test_a_percentile_is_read_as_one_period(measured: Window, period: tuple[int, int, int]) -> None:
    fake = FakeCloudWatch(GOOD)
    reading(fake, experiment(), measured)
    assert fake.periods("p95") == {period}


@pytest.mark.parametrize(
    ("seconds", "period", "count"),
    [(20, 1, 20), (59, 1, 59), (60, 5, 12), (120, 10, 12), (300, 30, 10), (600, 60, 10)],
)
def test_counts_are_read_by_periods_that_fill_the_window(
    seconds: int, period: int, count: int
) -> None:
    fake = FakeCloudWatch({})
    found = reading(fake, experiment(), window(seconds))
    (observation,) = found.observations.values()
    assert len(observation.values["samples"]) == count
    assert {found for *_, found in fake.periods(WITHIN)} == {period}


def test_counts_of_other_metrics_are_read_by_the_minute() -> None:
    windows = {f"{phase}_seconds": 120 for phase in Phase}
    fake = FakeCloudWatch({})
    found = reading(fake, experiment(measures__0__metric=AWS, windows=windows), window(120))
    (observation,) = found.observations.values()
    assert observation.values["samples"] == (None, None)


def test_seconds_before_the_window_are_not_in_it() -> None:
    points = {("Latency", "SampleCount"): {MINUTE + n: float(n) for n in range(60)}}
    found = reading(FakeCloudWatch(points), experiment(), window(10, after=25))
    (observation,) = found.observations.values()
    assert observation.values["samples"] == tuple(range(25, 35))


def test_a_comparison_has_the_whole_slices_of_the_window_only() -> None:
    points = {("Latency", "p95"): {MINUTE + 5 * n: float(n) for n in range(12)}}
    one = experiment(measures=[RELATIVE])
    found = reading(FakeCloudWatch(points), one, window(19, after=4))
    assert found.observations["r"].values["level"] == (1, 2, 3)


def test_the_slices_of_both_windows_are_equally_long() -> None:
    one = experiment(
        measures=[RELATIVE], windows={"baseline_seconds": 60, "condition_seconds": 600}
    )
    fake = FakeCloudWatch({})
    for seconds in (60, 600):
        reading(fake, one, window(seconds))
    assert {period for *_, period in fake.periods("p95")} == {5}


def test_sums_of_parts_of_a_period_are_put_together() -> None:
    split = {**GOOD, ("Requests", "Sum"): {MINUTE: 100.0, MINUTE + 60: 200.0}}
    assert reading(FakeCloudWatch(split), experiment(), window(120)).requests == 300


def test_percentiles_of_parts_of_a_period_are_not() -> None:
    split = {**GOOD, ("Latency", "p95"): {MINUTE: 100.0, MINUTE + 60: 200.0}}
    with pytest.raises(MeasureNotRead, match="split the window of p95 into 2 periods"):
        reading(FakeCloudWatch(split), experiment(), window(120))


@pytest.mark.parametrize("status", ["InternalError", "Forbidden"])
def test_an_error_in_an_answer_is_no_missing_data(status: str) -> None:
    with pytest.raises(MeasureNotRead, match=f"answered {status} for SampleCount"):
        reading(FakeCloudWatch(GOOD, (status,)), experiment(), window(60))


@pytest.mark.parametrize(
    ("statuses", "partial"), [(("PartialData", "Complete"), False), (("PartialData",), True)]
)
def test_partial_data_is_mended_by_the_page_with_the_rest(
    statuses: tuple[str, ...], partial: bool
) -> None:
    found = reading(FakeCloudWatch(GOOD, statuses), experiment(), window(60))
    (observation,) = found.observations.values()
    assert observation.partial is partial


# -- expressions


def test_an_expression_is_asked_with_its_metrics_by_ids_of_the_request() -> None:
    fake = FakeCloudWatch(GOOD)
    found = reading(fake, experiment(measures=[P95, RATIO]), window(60))
    (asked,) = [query for query in fake.queries if "Expression" in query]
    ids = [query["Id"] for call in fake.asked for query in call["MetricDataQueries"]]
    bad, everything, value = ids[2:5]
    assert asked == {"Id": value, "Expression": f"100 * {bad} / {everything}"}
    assert found.observations["e"].values == {"bad": (3,), "all": (300,), EXPRESSION: (1,)}


def test_a_metric_that_is_named_in_an_expression_is_told_when_it_has_no_data() -> None:
    points = {key: value for key, value in GOOD.items() if key[0] != "Failed"}
    found = reading(FakeCloudWatch(points), experiment(measures=[RATIO]), window(60))
    assert found.observations["e"].values["bad"] == (None,)


# -- error budgets


def test_the_requests_of_the_budgets_window_are_those_of_the_days_before() -> None:
    budget = {"name": "b", "kind": "error_budget", "bad": "Failed", "of": "Requests",
              "objective_percent": 99.9, "window_days": 2, "requests": AWS,
              "at_most_percent": 1}  # fmt: skip
    day = 86_400
    points = {("Duration", "Sum"): {MINUTE - 2 * day: 400.0, MINUTE - day: 600.0}}
    fake = FakeCloudWatch(points)
    found = reading(fake, experiment(measures=[budget]), window(60))
    assert found.observations["b"].values["expected"] == (1000,)
    asked = fake.asked[-1]
    assert (asked["EndTime"] - asked["StartTime"]).days == 2


# -- how often is asked


def measures(count: int) -> list[dict[str, Any]]:
    """So many measures of which each looks at a metric of its own."""
    return [{**P95, "name": str(n), "statistic": f"p{n / 10 + 10:g}"} for n in range(count)]


@pytest.mark.parametrize("count", [1, 100, 500])
def test_one_call_is_made_for_each_500_metrics(count: int) -> None:
    fake = FakeCloudWatch({})
    reading(fake, experiment(measures=measures(count)), window(60))
    metrics = count + 3  # one SampleCount for all of them, the requests, the evidence
    assert [len(call["MetricDataQueries"]) for call in fake.asked] == [
        min(500, metrics - 500 * call) for call in range(math.ceil(metrics / 500))
    ]


def test_nothing_is_asked_twice() -> None:
    fake = FakeCloudWatch(GOOD)
    reading(
        fake, experiment(measures=[{**SUCCEEDED, "name": str(n)} for n in range(500)]), window(60)
    )
    assert len(fake.queries) == 3


def test_an_expression_and_its_metrics_are_in_one_call() -> None:
    fake = FakeCloudWatch(GOOD)
    many = [*measures(498), RATIO]
    found = reading(fake, experiment(measures=many), window(60))
    assert [len(call["MetricDataQueries"]) for call in fake.asked] == [499, 5]
    assert found.observations["e"].values[EXPRESSION] == (1,)


def test_every_one_of_500_measures_is_judged() -> None:
    points = {("Latency", f"p{n / 10 + 10:g}"): {MINUTE: 2.0 * n} for n in range(500)}
    points["Latency", "SampleCount"] = {MINUTE: 300.0}
    many = experiment(measures=measures(500))
    found = reading(FakeCloudWatch(points), many, window(60))
    judgements = judge_all(many, found.observations)
    assert [j.observed for j in judgements] == [2.0 * n for n in range(500)]


# -- slices


def slices(fake: FakeCloudWatch, one: Experiment, measured: Window) -> list[tuple[int, int]]:
    found = read_slices(one, Phase.RECOVERY, measured, cast(Any, fake))
    return [(part.start - MINUTE, part.end - MINUTE) for part, _ in found]


def test_the_loads_metrics_come_in_slices_of_5_seconds() -> None:
    fake = FakeCloudWatch({})
    assert slices(fake, experiment(), window(15)) == [(0, 5), (5, 10), (10, 15)]
    assert fake.periods("p95") == {(MINUTE, MINUTE + 15, 5)}


def test_the_first_and_the_last_slice_are_cut_at_the_window() -> None:
    fake = FakeCloudWatch({})
    assert slices(fake, experiment(), window(10, after=3)) == [(3, 5), (5, 10), (10, 13)]
    assert fake.periods("p95") == {(MINUTE, MINUTE + 13, 5)}


def test_metrics_that_exist_by_the_minute_come_in_minutes() -> None:
    one = experiment(measures__0__metric=AWS)
    assert slices(FakeCloudWatch({}), one, window(120)) == [(0, 60), (60, 120)]


def test_each_slice_has_its_own_observations() -> None:
    points = {("Latency", "p95"): {MINUTE: 900.0, MINUTE + 10: 200.0}}
    fake = FakeCloudWatch(points)
    found = read_slices(experiment(), Phase.RECOVERY, window(15), cast(Any, fake))
    assert [seen["95 % respond in"].one("value") for _, seen in found] == [900, None, 200]


def test_a_cut_slice_has_its_own_seconds() -> None:
    fake = FakeCloudWatch({("Succeeded", "Sum"): {MINUTE: 4.0, MINUTE + 5: 10.0}})
    measured = Window(start=MINUTE + 3, end=MINUTE + 10)
    found = read_slices(experiment(measures=[SUCCEEDED]), Phase.RECOVERY, measured, cast(Any, fake))
    assert [(seen["images"].seconds, seen["images"].one("count")) for _, seen in found] == [
        (2, 4),
        (5, 10),
    ]


# -- evidence alone


def test_the_evidence_is_that_of_the_windows_minutes() -> None:
    fake = FakeCloudWatch({("Injected", "Sum"): {MINUTE: 3.0, MINUTE + 60: 4.0, MINUTE + 120: 9.0}})
    found = read_evidence(experiment(), window(50, after=20), cast(Any, fake))
    assert found == {"latency": 7}
    assert fake.periods("Sum") == {(MINUTE, MINUTE + 120, 60)}
