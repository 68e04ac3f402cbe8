"""The verdict: one versioned event to EventBridge, the same for people to SNS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gameday.errors import RunRefused, VerdictNotPublished
from gameday.judge import Decision, Findings
from gameday.runs import Run

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

SOURCE = "gameday"
DETAIL_TYPE = "Gameday Verdict"
VERSION = "1"


def detail(run: Run, decision: Decision, findings: Findings) -> dict[str, Any]:
    """The event's detail, as `events/verdict.schema.json` describes it."""
    return {
        "version": VERSION,
        "run": run.run_id,
        "experiment": run.experiment.name,
        "objective": run.experiment.objective,
        "verdict": decision.verdict,
        "status": decision.status,
        "reason": decision.reason,
        "started_at": _iso(run.started_at),
        "condition": {
            "kind": run.experiment.condition.kind,
            "modes": list(run.experiment.condition.modes),
            "function": run.experiment.condition.function,
            "enabled_at": _iso(run.facts.get("enabled_at")),
            "disabled_at": _iso(run.facts.get("disabled_at")),
        },
        "measures": [j.model_dump(mode="json") for j in findings.judgements or ()],
        "evidence": dict(findings.evidence or {}),
        "load": findings.load.model_dump(mode="json") if findings.load else None,
        "baseline": [j.model_dump(mode="json") for j in findings.baseline or ()],
        "recovery": run.facts.get("recovery"),
    }


def _iso(moment: float | None) -> str | None:
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Publisher:
    """The bus and the topic to which verdicts go."""

    events: EventBridgeClient
    sns: SNSClient
    bus_name: str
    topic_arn: str

    def examine(self) -> None:
        """Make sure that the bus and the topic exist.

        PutEvents to a bus that does not exist answers success and drops the event.

        Raises:
            RunRefused: with every reason and what to do about each.
        """
        reasons = []
        try:
            self.events.describe_event_bus(Name=self.bus_name)
        except self.events.exceptions.ResourceNotFoundException:
            reasons.append(f"event bus {self.bus_name!r} does not exist: deploy the stack again")
        try:
            self.sns.get_topic_attributes(TopicArn=self.topic_arn)
        except self.sns.exceptions.NotFoundException:
            reasons.append(f"topic {self.topic_arn!r} does not exist: deploy the stack again")
        if reasons:
            raise RunRefused(reasons)

    def to_bus(self, verdict: dict[str, Any], execution_arn: str) -> None:
        """Send the verdict to the bus, for programs.

        Raises:
            VerdictNotPublished: EventBridge refused the entry.
        """
        answer = self.events.put_events(
            Entries=[
                {
                    "Source": SOURCE,
                    "DetailType": DETAIL_TYPE,
                    "EventBusName": self.bus_name,
                    "Resources": [execution_arn],
                    "Detail": json.dumps(verdict),
                }
            ]
        )
        if answer["FailedEntryCount"]:
            entry = answer["Entries"][0]
            raise VerdictNotPublished(f"{entry.get('ErrorCode')}: {entry.get('ErrorMessage')}")

    def to_topic(self, verdict: dict[str, Any]) -> None:
        """Send the verdict to the topic, for people."""
        self.sns.publish(
            TopicArn=self.topic_arn,
            Subject=subject(verdict),
            Message=message(verdict),
            MessageAttributes={
                name: _attribute(verdict[name]) for name in ("verdict", "status", "experiment")
            },
        )


def _attribute(value: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": value}


def subject(verdict: dict[str, Any]) -> str:
    """The subject of the message to people: one line, shorter than the 100 that SNS refuses."""
    return f"{verdict['verdict']}: {verdict['experiment']} ({verdict['status']})"


def message(verdict: dict[str, Any]) -> str:
    """The verdict as a person reads it."""
    measures = [f"  {m['verdict']:<13} {m['measure']}: {m['reason']}" for m in verdict["measures"]]
    return "\n".join(
        [
            f"{verdict['verdict']}: {verdict['objective']}",
            f"Reason: {verdict['reason']}.",
            *(["Measures:", *measures] if measures else []),
            f"Status {verdict['status']}, experiment {verdict['experiment']}, "
            f"run {verdict['run']}, started {verdict['started_at']}.",
        ]
    )
