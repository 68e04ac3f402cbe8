"""A scheduled experiment, as the template schedules it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.runs import Gameday, Json, eventually, unique


@pytest.fixture(scope="module")
def schedule(gameday: Gameday) -> Json:
    """The schedule of the template."""
    resources = gameday.client("cloudformation").describe_stack_resources(StackName="gameday")
    (name,) = [
        item["PhysicalResourceId"]
        for item in resources["StackResources"]
        if item["ResourceType"] == "AWS::Scheduler::Schedule"
    ]
    return dict(gameday.client("scheduler").get_schedule(Name=name.rpartition("/")[2]))


def test_without_an_expression_nothing_is_scheduled(schedule: Json) -> None:
    assert schedule["State"] == "DISABLED"


def test_the_schedule_starts_the_machine_with_the_document(
    gameday: Gameday, schedule: Json
) -> None:
    target = schedule["Target"]
    assert target["Arn"] == gameday.outputs["StateMachineArn"]
    assert target["Input"] == "{}"


def test_what_could_not_be_started_is_kept(gameday: Gameday, schedule: Json) -> None:
    attributes = gameday.client("sqs").get_queue_attributes(
        QueueUrl=gameday.resource("ScheduleDeadLetters"), AttributeNames=["QueueArn"]
    )
    arn = schedule["Target"]["DeadLetterConfig"]["Arn"]
    assert arn == attributes["Attributes"]["QueueArn"]


def test_a_schedule_starts_the_given_document(gameday: Gameday, schedule: Json) -> None:
    name, at = unique("scheduled"), datetime.now(UTC) + timedelta(seconds=2)
    target: dict[str, Any] = {
        "Arn": schedule["Target"]["Arn"],
        "RoleArn": schedule["Target"]["RoleArn"],
        "Input": json.dumps({"name": name}),
    }
    gameday.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target=target,
    )

    def started() -> list[str]:
        found = (execution.described()["input"] for execution in gameday.executions_of(""))
        return [text for text in found if name in text]

    (document,) = eventually(started, 40)
    assert json.loads(document) == {"name": name}
