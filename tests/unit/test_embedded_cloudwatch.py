import pytest

from cli.embedded.cloudwatch import alarm_state, first_bucket, is_period, is_statistic, terms

Z, X, NONE = 0.0, 9.0, None
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


@pytest.mark.parametrize(
    ("values", "needed", "states"),
    [
        # AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html, both tables
        ([X, X, Z], 3, ["OK", "OK", "OK", "OK"]),
        ([NONE, NONE, Z], 3, ["OK", "OK", "OK", "OK"]),
        ([NONE, NONE, NONE], 3, ["INSUFFICIENT_DATA", None, "ALARM", "OK"]),
        ([X, X, X], 3, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ([NONE, NONE, X], 3, ["ALARM", None, "ALARM", "OK"]),
        ([X, Z, X], 2, ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ([NONE, X, Z], 2, ["OK", "OK", "ALARM", "OK"]),
        ([Z, NONE, NONE], 2, ["OK", "OK", "ALARM", "OK"]),
        ([X, NONE, NONE], 2, ["ALARM", None, "ALARM", "OK"]),
    ],
)
def test_missing_data_is_treated_as_the_documented_tables_say(
    values: list[float | None], needed: int, states: list[str | None]
) -> None:
    found = [
        alarm_state(
            values,
            comparison="GreaterThanThreshold",
            threshold=5,
            datapoints_to_alarm=needed,
            treat_missing=treatment,
        )
        for treatment in TREATMENTS
    ]
    assert found == states


def test_an_alarm_on_an_anomaly_band_keeps_its_state() -> None:
    assert (
        alarm_state(
            [X],
            comparison="LessThanLowerOrGreaterThanUpperThreshold",
            threshold=5,
            datapoints_to_alarm=1,
            treat_missing="missing",
        )
        is None
    )


@pytest.mark.parametrize(
    ("start", "period_seconds", "first"), [(125.5, 60, 120), (185, 300, 180), (125.5, 10, 120)]
)
def test_a_start_is_rounded_down_to_the_minute_or_a_shorter_period(
    start: float, period_seconds: int, first: int
) -> None:
    assert first_bucket(start, period_seconds) == first


@pytest.mark.parametrize("name", ["Average", "p99.9", "PR(:400)", "PR(0.5:)", "TC(1:2)"])
def test_a_computed_statistic_is_known(name: str) -> None:
    assert is_statistic(name)


@pytest.mark.parametrize(
    "name", ["average", "p", "p100.1", "TM(10%:90%)", "PR(:)", "PR(10%:)", "IQM"]
)
def test_any_other_statistic_is_not(name: str) -> None:
    assert not is_statistic(name)


@pytest.mark.parametrize(
    ("seconds", "taken"), [(0, False), (7, False), (10, True), (60, True), (90, False)]
)
def test_a_period_is_high_resolution_or_whole_minutes(seconds: int, taken: bool) -> None:
    assert is_period(seconds) is taken


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("Injecting", ("Injecting",)),
        ('"DynamoDB failed" AccessDenied', ("DynamoDB failed", "AccessDenied")),
        ('{ $.action = "inject" }', None),
        ("?ERROR ?WARN", None),
        ("-ERROR", None),
        ("", None),
    ],
)
def test_a_metric_filters_pattern_is_its_terms_or_not_known_here(
    pattern: str, wanted: tuple[str, ...] | None
) -> None:
    assert terms(pattern) == wanted
