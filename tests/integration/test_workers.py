"""Several workers generate one load: how they add up, how they stop, and what they carry."""

import json

from tests.integration.runs import Gameday, Json, eventually
from tests.integration.stories import SECRET, Seen

RATE = 40


def report(seen: Seen, phase: str) -> Json:
    return dict(json.loads(str(seen.execution.record()[f"fact_{phase}_load"])))


def parts(seen: Seen, phase: str) -> list[Json]:
    """The workers' own items."""
    found = (
        seen.gameday.item(f"run#{seen.execution.run_id}", f"load#{phase}#{part}")
        for part in range(3)
    )
    return [json.loads(item["report"]["S"]) for item in found if "report" in item]


def test_two_workers_generate_each_load_and_their_reports_add_up(several: Seen) -> None:
    for phase in ("baseline", "condition", "recovery"):
        offered = [part["offered"] for part in parts(several, phase)]
        assert offered == [RATE * 5, RATE * 5], several.execution.explained()
        assert report(several, phase)["offered"] == RATE * 10


def test_workers_measure_one_window(several: Seen) -> None:
    first, second = parts(several, "condition")
    assert first["window"] == second["window"] == report(several, "condition")["window"]


def test_cloudwatch_counts_what_the_workers_sent_together(several: Seen) -> None:
    assert json.loads(str(several.execution.record()["fact_requests"])) == RATE * 10


def test_workers_are_called_by_a_map(several: Seen) -> None:
    assert several.execution.entered().count("Generate share of load") == 2
    assert several.execution.status == "SUCCEEDED", several.execution.explained()


def test_a_secret_reaches_the_target(several: Seen) -> None:
    assert report(several, "condition")["by_status"] == {"200": RATE * 10}


def test_a_secret_is_in_nothing_that_is_kept(several: Seen) -> None:
    gameday = several.gameday
    items = gameday.client("dynamodb").scan(TableName=gameday.resource("RunsTable"))["Items"]
    kept = [json.dumps(items), several.execution.explained(), json.dumps(several.execution.event())]
    kept.append(str(several.execution.described()))
    kept.extend(logged(gameday))
    assert any("${ssm:/gameday/token}" in text for text in kept)
    assert [text for text in kept if SECRET in text] == []


def logged(gameday: Gameday) -> list[str]:
    """Every line of every log group."""
    logs = gameday.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    pages = (
        page
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    )
    return [event["message"] for page in pages for event in page["events"]]


def test_every_worker_stops_within_two_seconds_of_the_notice(several_stopped: Seen) -> None:
    gameday = several_stopped.gameday
    name = json.loads(str(several_stopped.execution.record()["experiment"]))["name"]
    found = eventually(lambda: len(parts(several_stopped, "condition")) == 2, 30)
    assert found
    assert all(part["stopped"] for part in parts(several_stopped, "condition"))
    assert max(gameday.loaded_seconds(name)) <= several_stopped.notified_at + 2


def test_a_guardrail_ends_the_whole_map(several_stopped: Seen) -> None:
    states = several_stopped.execution.entered()
    assert states.count("Generate share of load") == 2  # nobody is called again
    assert several_stopped.execution.verdict()["status"] == "ROLLED_BACK"
