"""A window that is longer than a worker's shift is handed on, and no second of it is without load.

`make shifts` runs it: a quarter of an hour, of which the measured window is eleven minutes.
"""

import json
from datetime import UTC, datetime

import pytest

from gameday.observations import LoadReport
from gameday.scale import SHIFT_SECONDS
from tests.integration.runs import Execution, Gameday, eventually, experiment, unique

RATE, WINDOW_SECONDS = 20, SHIFT_SECONDS + 60
_LIMIT_SECONDS = 1500.0


@pytest.fixture(scope="module")
def handed_on(gameday: Gameday, url: str) -> Execution:
    """A run whose condition is measured for longer than one shift."""
    document = experiment(
        unique("handed-on"),
        gameday.target(),
        url,
        load={"rate_per_second": RATE},
        windows={"condition_seconds": WINDOW_SECONDS},
    )
    execution = gameday.start(document)
    eventually(lambda: execution.status != "RUNNING", _LIMIT_SECONDS, execution.explained)
    return execution


def parts(execution: Execution) -> list[LoadReport]:
    items = (
        execution.gameday.item(f"run#{execution.run_id}", f"load#condition#{part}")
        for part in range(2)
    )
    return [LoadReport.model_validate_json(item["report"]["S"]) for item in items]


def test_the_second_worker_goes_on_where_the_first_one_ends(handed_on: Execution) -> None:
    assert handed_on.status == "SUCCEEDED", handed_on.explained()
    first, second = parts(handed_on)
    assert first.window.seconds == SHIFT_SECONDS
    assert second.window.start == first.window.end
    assert (first.sent, second.sent) == (RATE * SHIFT_SECONDS, RATE * 60)


def test_no_second_is_without_its_requests(handed_on: Execution) -> None:
    first, second = parts(handed_on)
    name = json.loads(str(handed_on.record()["experiment"]))["name"]
    metric = {
        "Namespace": "Gameday",
        "MetricName": "Requests",
        "Dimensions": [
            {"Name": "Experiment", "Value": name},
            {"Name": "Phase", "Value": "condition"},
        ],
    }
    stat = {"Metric": metric, "Period": 1, "Stat": "Sum"}
    found = handed_on.gameday.client("cloudwatch").get_metric_data(
        MetricDataQueries=[{"Id": "requests", "MetricStat": stat}],
        StartTime=datetime.fromtimestamp(first.window.start, UTC),
        EndTime=datetime.fromtimestamp(second.window.end, UTC),
    )["MetricDataResults"][0]
    assert found["Values"] == [RATE] * WINDOW_SECONDS


def test_the_verdict_is_of_the_whole_window(handed_on: Execution) -> None:
    load = handed_on.verdict()["load"]
    assert load["offered"] == load["sent"] == RATE * WINDOW_SECONDS
