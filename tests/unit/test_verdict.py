"""The verdict: the event, the message, and that both are published."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from gameday.decision import Findings, decide
from gameday.errors import RunRefused, VerdictNotPublished
from gameday.verdict import Publisher, detail, message, subject
from tests.unit.fakes import RECOVERED, findings, judged, load_report, run

TOPIC = "arn:aws:sns:us-east-1:000000000000:verdicts"
EXECUTION = run().execution_arn


def client(service: Any) -> Any:
    return boto3.client(service, "us-east-1", aws_access_key_id="a", aws_secret_access_key="a")


PUBLISHER = Publisher(client("events"), client("sns"), bus_name="verdicts", topic_arn=TOPIC)


@pytest.fixture
def events() -> Iterator[Stubber]:
    with Stubber(PUBLISHER.events) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def sns() -> Iterator[Stubber]:
    with Stubber(PUBLISHER.sns) as stub:
        yield stub
        stub.assert_no_pending_responses()


def event(found: Findings | None = None, **facts: Any) -> dict[str, Any]:
    found = found or findings()
    return detail(run(**facts), decide(found), found)


# -- the event


def test_a_detail_says_what_was_learnt_and_how_the_run_ended() -> None:
    made = event()
    assert {key: made[key] for key in ("version", "run", "experiment", "verdict", "status")} == {
        "version": "1",
        "run": "smallest-1",
        "experiment": "smallest",
        "verdict": "PASSED",
        "status": "COMPLETED",
    }
    assert made["objective"] == "New images should load in less than a second"
    assert made["reason"].startswith("95 % respond in: p95 200 ms is < 1000 ms")


def test_a_detail_carries_the_numbers_of_the_run() -> None:
    made = event(recovery=RECOVERED.model_dump())
    (measure,), (baseline,) = made["measures"], made["baseline"]
    assert (measure["observed"], measure["baseline"]) == (200, 50)
    assert (baseline["observed"], baseline["baseline"]) == (50, None)
    assert made["evidence"] == {"latency": 300}
    assert made["load"] == load_report().summary
    assert made["recovery"] == RECOVERED.model_dump()
    assert (made["measures_left_out"], made["seen"]) == (0, {})


def test_a_detail_of_a_run_that_got_nowhere_is_empty() -> None:
    made = event(Findings(failure="States.Timeout", failure_cause="too late"))
    assert (made["measures"], made["baseline"], made["evidence"]) == ([], [], {})
    assert (made["load"], made["recovery"]) == (None, None)


def test_moments_are_utc_to_the_millisecond_or_unknown() -> None:
    made = event(disabled_at=1_800_000_000.12345)
    assert made["started_at"] == "2027-01-15T08:00:00.000+00:00"
    assert made["condition"] == {
        "kind": "appconfig",
        "modes": ["latency"],
        "function": "images",
        "enabled_at": None,
        "seen_on_at": None,
        "disabled_at": "2027-01-15T08:00:00.123+00:00",
        "stays_on": None,
    }


def test_a_detail_is_json() -> None:
    assert json.loads(json.dumps(event())) == event()


# -- for people


@pytest.mark.parametrize(
    ("verdict", "status"), [("INCONCLUSIVE", "ROLLED_BACK"), ("PASSED", "COMPLETED")]
)
def test_the_longest_subject_is_one_that_sns_takes(verdict: str, status: str) -> None:
    made = {**event(), "verdict": verdict, "status": status, "experiment": "a" * 63}
    assert len(subject(made)) < 100


def test_a_subject_says_verdict_experiment_and_status() -> None:
    assert subject(event()) == "PASSED: smallest (COMPLETED)"


def test_a_message_is_what_a_person_wants_to_know() -> None:
    assert message(event(recovery=RECOVERED.model_dump())).splitlines() == [
        "PASSED: New images should load in less than a second",
        "",
        "  PASSED        95 % respond in: p95 200 ms is < 1000 ms: 0 of 300 slower, at most "
        "0.994 % at 95 % confidence, and 5 % may be; before 50 ms",
        "  evidence      latency: injected 300 times",
        "  load          300 of 300 requests sent",
        "  recovery      back inside its baseline after 3.7 s",
        "",
        "Status COMPLETED, experiment smallest, run smallest-1, "
        "started 2027-01-15T08:00:00.000+00:00.",
    ]


def test_a_message_says_why_where_it_is_more_than_what_one_measure_says() -> None:
    doubt = message(event(findings(settled=False))).splitlines()[1]
    assert doubt == "The data had not settled: CloudWatch answered differently each time."
    two = findings(judgements=(*judged(200), *judged(200)))
    assert message(event(two)).splitlines()[1] == "All 2 measures hold."


def test_a_message_without_measures_has_no_list_of_them() -> None:
    assert "PASSED" not in message(event(findings(judgements=None)))


def test_a_measure_on_trial_is_said_not_to_decide() -> None:
    trial = judged(2000)[0].model_copy(update={"critical": False})
    told = message(event(findings(judgements=(*judged(200), trial))))
    assert "and 5 % may be (does not decide)" in told


def test_what_the_load_saw_is_told_beside_what_the_injector_counted() -> None:
    made = {**event(), "seen": {"latency": 299.0}}
    assert "latency: injected 300 times, seen by the load on 299 requests" in message(made)


# -- many measures


def many(*verdicts: float) -> dict[str, Any]:
    judgements = [
        judged(value)[0].model_copy(update={"measure": f"{'m' * 95}{n}"})
        for n, value in enumerate(verdicts)
    ]
    return event(findings(judgements=judgements, baseline=judgements))


def test_an_event_of_500_measures_is_one_that_every_service_takes() -> None:
    made = many(*[200.0] * 500)
    assert len(json.dumps(made).encode()) < 256 * 1024
    assert (len(made["measures"]), made["measures_left_out"]) == (100, 400)
    assert len(message(made).encode()) < 256 * 1024
    assert "  and 480 more measures" in message(made)


def test_of_many_measures_those_that_decided_are_told() -> None:
    made = many(*[200.0] * 499, 2000.0)
    assert [m["verdict"] for m in made["measures"][:2]] == ["FAILED", "PASSED"]


def test_few_measures_stay_in_the_order_of_the_document() -> None:
    assert [m["verdict"] for m in many(200.0, 2000.0)["measures"]] == ["PASSED", "FAILED"]


# -- publishing


def test_a_verdict_goes_to_the_bus_and_to_the_topic(events: Stubber, sns: Stubber) -> None:
    made = event()
    entry = {
        "Source": "gameday",
        "DetailType": "Gameday Verdict",
        "EventBusName": "verdicts",
        "Resources": [EXECUTION],
        "Detail": json.dumps(made),
    }
    note = {
        "TopicArn": TOPIC,
        "Subject": subject(made),
        "Message": message(made),
        "MessageAttributes": {
            "verdict": {"DataType": "String", "StringValue": "PASSED"},
            "status": {"DataType": "String", "StringValue": "COMPLETED"},
            "experiment": {"DataType": "String", "StringValue": "smallest"},
        },
    }
    events.add_response("put_events", {"FailedEntryCount": 0}, {"Entries": [entry]})
    sns.add_response("publish", {"MessageId": "1"}, note)
    PUBLISHER.to_bus(made, EXECUTION)
    PUBLISHER.to_topic(made)


def test_an_entry_that_eventbridge_refuses_is_not_published(events: Stubber, sns: Stubber) -> None:
    entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
    events.add_response("put_events", {"FailedEntryCount": 1, "Entries": [entry]})
    with pytest.raises(VerdictNotPublished, match="ThrottlingException: slow down"):
        PUBLISHER.to_bus(event(), EXECUTION)


# -- before the run


def test_a_bus_and_a_topic_that_exist_are_fine(events: Stubber, sns: Stubber) -> None:
    events.add_response("describe_event_bus", {}, {"Name": "verdicts"})
    sns.add_response("get_topic_attributes", {}, {"TopicArn": TOPIC})
    PUBLISHER.examine()


def test_a_bus_and_a_topic_that_are_gone_are_refused_together(
    events: Stubber, sns: Stubber
) -> None:
    events.add_client_error("describe_event_bus", "ResourceNotFoundException")
    sns.add_client_error("get_topic_attributes", "NotFound")
    with pytest.raises(RunRefused) as refused:
        PUBLISHER.examine()
    assert [reason.split(" does not")[0] for reason in refused.value.reasons] == [
        "event bus 'verdicts'",
        f"topic '{TOPIC}'",
    ]
