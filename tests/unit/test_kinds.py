"""The kinds of measure: what each may say, and what CloudWatch is asked for it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gameday.kinds import (
    LoadMetric,
    Measure,
    RateMeasure,
    RelativeMeasure,
    Span,
    period_seconds,
    renamed,
    slice_seconds,
)

COUNTS = ("Requests", "Succeeded", "Failed")
PERCENTILE: dict[str, Any] = {
    "kind": "percentile", "metric": "Latency", "percentile": 95, "operator": "<", "threshold": 400,
}  # fmt: skip
RATE: dict[str, Any] = {
    "kind": "rate", "metric": "Failed", "per": "minute", "operator": "<", "threshold": 1,
}  # fmt: skip
RELATIVE: dict[str, Any] = {
    "kind": "relative", "metric": "Latency", "statistic": "p95", "operator": "<=",
    "margin_percent": 10,
}  # fmt: skip
POINT: dict[str, Any] = {
    "kind": "threshold", "metric": "Latency", "statistic": "p95", "operator": "<", "threshold": 1,
}  # fmt: skip
PROPORTION: dict[str, Any] = {
    "kind": "proportion", "metric": "Failed", "of": "Requests", "operator": "<", "threshold": 1,
}  # fmt: skip
BUDGET: dict[str, Any] = {
    "kind": "error_budget", "bad": "Failed", "of": "Requests", "objective_percent": 99.9,
    "requests": 1000, "at_most_percent": 1,
}  # fmt: skip
EXPRESSION: dict[str, Any] = {
    "kind": "expression",
    "metrics": {"a": {"metric": "Failed", "statistic": "Sum"}},
    "expression": "2 * a",
    "operator": "<",
    "threshold": 1,
}


def made(document: dict[str, Any]) -> Measure:
    one: Measure = TypeAdapter(Measure).validate_json(json.dumps({"name": "m", **document}))
    return one


def valid(document: dict[str, Any]) -> bool:
    try:
        made(document)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "document", [PERCENTILE, RATE, RELATIVE, POINT, PROPORTION, BUDGET, EXPRESSION]
)
def test_a_measure_survives_its_own_document(document: dict[str, Any]) -> None:
    one = made(document)
    assert TypeAdapter(Measure).validate_json(one.model_dump_json()) == one


# -- units cannot be mixed


@given(st.sampled_from([PERCENTILE, RELATIVE, POINT]), st.text(max_size=40))
def test_a_latency_is_in_milliseconds_whatever_its_label(
    document: dict[str, Any], unit: str
) -> None:
    assert valid({**document, "unit": unit}) == (unit == "ms")


@given(st.sampled_from(LoadMetric))
def test_only_counts_are_counted(metric: LoadMetric) -> None:
    documents = [
        {**RATE, "metric": metric},
        {**PROPORTION, "metric": metric},
        {**PROPORTION, "of": metric},
        {**BUDGET, "bad": metric},
        {**BUDGET, "of": metric},
    ]
    assert [valid(document) for document in documents] == [metric in COUNTS] * 5


@given(st.sampled_from(LoadMetric))
def test_only_latencies_have_percentiles(metric: LoadMetric) -> None:
    assert valid({**PERCENTILE, "metric": metric}) == (metric not in COUNTS)


@pytest.mark.parametrize("document", [PROPORTION, BUDGET])
def test_a_percentage_has_no_other_unit(document: dict[str, Any]) -> None:
    assert not valid({**document, "unit": "ms"})


@pytest.mark.parametrize("threshold", ["400", True, None, [400], {"value": 400}])
def test_chaos_toolkit_compares_values_of_other_types_here_they_are_refused(
    threshold: object,
) -> None:
    assert not valid({**PERCENTILE, "threshold": threshold})
    assert valid({**PERCENTILE, "threshold": 400.5})


# -- what is asked


def test_less_than_is_asked_just_below_the_threshold() -> None:
    def within(operator: str) -> str:
        return made({**PERCENTILE, "operator": operator}).queries["within"].statistic

    assert (within("<"), within("<=")) == ("PR(:399.9996)", "PR(:400)")


@pytest.mark.parametrize(("percentile", "statistic"), [(95, "p95"), (99.9, "p99.9"), (50.0, "p50")])
def test_the_percentile_itself_is_asked_for_as_cloudwatch_writes_it(
    percentile: float, statistic: str
) -> None:
    one = made({**PERCENTILE, "percentile": percentile})
    assert one.queries["value"].statistic == statistic
    assert one.slice_queries.keys() == {"value"}


def test_the_unit_of_a_rate_is_a_length_of_time() -> None:
    one = made(RATE)
    assert isinstance(one, RateMeasure)
    assert (one.per_seconds, made({**RATE, "per": "second"})) == (
        60,
        one.model_copy(update={"per": "second"}),
    )


@pytest.mark.parametrize(
    ("operator", "margin", "factor"),
    [("<=", 10, 1.1), ("<", 50, 1.5), (">=", 10, 0.9), (">", 100, 0), (">", 200, 0)],
)
def test_a_margin_is_on_the_worse_side(operator: str, margin: float, factor: float) -> None:
    one = made({**RELATIVE, "operator": operator, "margin_percent": margin})
    assert isinstance(one, RelativeMeasure)
    assert one.factor == pytest.approx(factor)
    assert one.queries["level"].span is Span.SLICE


# -- expressions


def test_a_name_is_replaced_wherever_it_stands_for_a_metric_and_nowhere_else() -> None:
    assert renamed("IF(a > ab, a, 0) / MAX(a)", {"a": "q1", "ab": "q2"}) == (
        "IF(q1 > q2, q1, 0) / MAX(q1)"
    )


@pytest.mark.parametrize(
    "expression",
    [
        "b",
        "FILL(a, 0)",
        "SEARCH('a', 'Sum')",
        "METRICS()",
        "SELECT a",
        "a + ANOMALY_DETECTION_BAND",
    ],
)
def test_an_expression_brings_in_nothing_but_its_metrics(expression: str) -> None:
    assert not valid({**EXPRESSION, "expression": expression})


# -- periods


@given(st.sampled_from([*range(10, 60), *range(60, 601, 60)]))
def test_periods_of_the_load_fill_every_window_and_are_no_more_than_60(seconds: int) -> None:
    period = period_seconds(seconds, 1)
    assert seconds % period == 0
    assert seconds // period <= 60
    assert period in (1, 5, 10, 20, 30, 60)


def test_what_exists_by_the_minute_is_read_by_the_minute() -> None:
    assert (period_seconds(120, 60), slice_seconds(120, 60)) == (60, 60)
