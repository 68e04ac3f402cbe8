"""The loudest alarm that the stack has: an undo that failed after all its retries."""

import json

import pytest

from tests.integration.runs import Gameday, Json, Mailbox, eventually, open_queue, unique


@pytest.fixture(scope="module")
def alarms(gameday: Gameday) -> Mailbox:
    """Somebody who subscribes to the topic of alarms."""
    url, arn = open_queue(gameday.aws, unique("awake"))
    gameday.client("sns").subscribe(
        TopicArn=gameday.outputs["AlarmTopicArn"], Protocol="sqs", Endpoint=arn
    )
    return Mailbox(gameday.aws, url)


@pytest.fixture(scope="module")
def failed_undo(gameday: Gameday, alarms: Mailbox) -> Json:
    """An undo that cannot succeed: its run's record is gone; what came of it."""
    event = json.dumps({"run_id": unique("nobody"), "reason": "UNKNOWN"})
    gameday.client("lambda").invoke(
        FunctionName=gameday.resource("RollBackFunction"), InvocationType="Event", Payload=event
    )
    (message,) = eventually(lambda: _undo_failed(alarms), 60)
    queue = gameday.resource("RollBackDeadLetters")
    kept = gameday.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    for letter in kept:
        gameday.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])
    return {"alarm": message, "kept": [letter["Body"] for letter in kept], "event": event}


def _undo_failed(alarms: Mailbox) -> list[Json]:
    found = [json.loads(message["Message"]) for message in alarms.messages()]
    return [message for message in found if "UndoFailedAlarm" in message["AlarmName"]]


def test_an_undo_that_failed_rings(failed_undo: Json) -> None:
    assert failed_undo["alarm"]["NewStateValue"] == "ALARM"


def test_the_alarm_says_what_a_person_runs_by_hand(failed_undo: Json) -> None:
    description = failed_undo["alarm"]["AlarmDescription"]
    assert "gameday conditions --aws --stack gameday --off" in description


def test_what_failed_is_kept(failed_undo: Json) -> None:
    assert any(failed_undo["event"] in body for body in failed_undo["kept"])
