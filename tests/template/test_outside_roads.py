"""The roads on which a run is ended from outside of its machine, as the template has them."""

from typing import Any

import pytest

from tests.house.project import FUNCTIONS, RESOURCES, of_type

ROADS: dict[str, dict[str, Any]] = {
    name: event["Properties"] for name, event in FUNCTIONS["RollBackFunction"]["Events"].items()
}
DEAD_LETTERS = {"Fn::GetAtt": ["RollBackDeadLetters", "Arn"]}


def test_an_execution_calls_the_undo_when_it_died_and_never_while_it_lives() -> None:
    # A rule for anything but SUCCEEDED also ends what is RUNNING or PENDING_REDRIVE.
    detail = ROADS["ExecutionEnded"]["Pattern"]["detail"]
    assert detail["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert detail["stateMachineArn"] == [{"Ref": "ExperimentStateMachine"}]


def test_an_alarm_calls_the_undo_when_it_rings_and_not_when_it_is_quiet_again() -> None:
    assert ROADS["GuardrailRang"]["Pattern"]["detail"] == {"state": {"value": ["ALARM"]}}


@pytest.mark.parametrize("road", ROADS)
def test_what_could_not_be_delivered_is_kept(road: str) -> None:
    assert ROADS[road]["DeadLetterConfig"]["Arn"] == DEAD_LETTERS


def test_what_the_undo_could_not_do_is_kept() -> None:
    queue = FUNCTIONS["RollBackFunction"]["DeadLetterQueue"]
    assert (queue["Type"], queue["TargetArn"]) == ("SQS", DEAD_LETTERS)


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue"))
def test_every_dead_letter_rings(queue: str) -> None:
    (alarm,) = (
        alarm
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        if alarm["Dimensions"]
        == [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}]
    )
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]


def test_the_record_outlives_the_stack() -> None:
    assert RESOURCES["RunsTable"]["DeletionPolicy"] == "Retain"
    assert RESOURCES["RunsTable"]["UpdateReplacePolicy"] == "Retain"
