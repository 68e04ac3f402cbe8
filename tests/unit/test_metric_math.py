"""Metric math as AmazonCloudWatch/latest/monitoring/using-metric-math.html defines it."""

import pytest

from cli.embedded.metric_math import evaluate, names

SERIES = {"m1": {0: 4.0, 60: 9.0}, "m2": {0: 2.0, 60: 3.0, 120: 5.0}, "zero": {0: 0.0, 60: 1.0}}


@pytest.mark.parametrize(
    ("expression", "points"),
    [
        ("m1", {0: 4, 60: 9}),
        ("m1 / m2", {0: 2, 60: 3}),
        ("100 * m1 / m2", {0: 200, 60: 300}),
        ("m2 ^ 2", {0: 4, 60: 9, 120: 25}),
        ("-m1 + 1", {0: -3, 60: -8}),
        ("m1 / zero", {60: 9}),
        ("m1 > 4", {0: 0, 60: 1}),
        ("m1 > 4 AND m2 > 1", {0: 0, 60: 1}),
        ("m1 > 4 || m2 == 2", {0: 1, 60: 1}),
        ("IF(m1 > 4, m2, 0)", {0: 0, 60: 3}),
        ("ABS(m1 - 5)", {0: 1, 60: 4}),
        ("CEIL(m1 / 8)", {0: 1, 60: 2}),
        ("FLOOR(m1 / 8)", {0: 0, 60: 1}),
        ("LOG10(zero)", {60: 0}),
        ("MAX([m1, m2])", {0: 4, 60: 9, 120: 5}),
        ("SUM([m1, m2])", {0: 6, 60: 12, 120: 5}),
        ("m1 - MIN(m1)", {0: 0, 60: 5}),
        ("m1 / AVG(m1)", {0: 4 / 6.5, 60: 9 / 6.5}),
        ("m1 / PERIOD(m1)", {0: 4 / 60, 60: 9 / 60}),
    ],
)
def test_an_expression_has_the_points_that_all_its_series_have(
    expression: str, points: dict[int, float]
) -> None:
    assert evaluate(expression, SERIES, 60) == pytest.approx(points)


@pytest.mark.parametrize(
    "expression",
    [
        "1 + 1",
        "SUM(m1)",
        "m3",
        "SEARCH('a', 'Sum')",
        "FILL(m1, 0)",
        "RATE(m1)",
        "m1 +",
        "[m1, m2]",
        "m1.real",
        "__import__('os')",
        "m1 if m2 else m1",
    ],
)
def test_anything_else_is_an_error(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        evaluate(expression, SERIES, 60)


def test_of_a_series_without_points_nothing_is_made() -> None:
    assert evaluate("m1 / MAX(none)", {**SERIES, "none": {}}, 60) == {}


def test_the_names_of_an_expression_are_its_ids_and_functions() -> None:
    assert names("IF(a > 1, b, 0)") == {"IF", "a", "b"}
