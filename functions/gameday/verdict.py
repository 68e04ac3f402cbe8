"""The verdict: one versioned event to EventBridge, the same for people to SNS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gameday.decision import Decision, Findings, seen_by_load
from gameday.errors import RunRefused, VerdictNotPublished
from gameday.judge import Judgement, Verdict
from gameday.runs import Run

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sns.type_defs import MessageAttributeValueTypeDef

SOURCE = "gameday"
DETAIL_TYPE = "Gameday Verdict"
VERSION = "1"

_MOST_MEASURES = 100
_MOST_LINES = 20


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
            "seen_on_at": _iso(run.facts.get("seen_on_at")),
            "disabled_at": _iso(run.facts.get("disabled_at")),
            "stays_on": findings.stays_on,
        },
        **_measures(findings),
        "evidence": dict(findings.evidence or {}),
        "seen": {
            mode: seen
            for mode in run.experiment.condition.modes
            if (seen := seen_by_load(mode, findings)) is not None
        },
        "load": findings.load.summary if findings.load else None,
        "recovery": run.facts.get("recovery"),
    }


def _measures(findings: Findings) -> dict[str, Any]:
    """The judgements that fit into an event, those that decided first, and how many do not.

    EventBridge, SNS and the output of an execution take 256 KB each.
    """
    both: dict[str, Any] = {}
    left_out = 0
    for name, judgements in (("measures", findings.judgements), ("baseline", findings.baseline)):
        ordered: Sequence[Judgement] = judgements or ()
        if len(ordered) > _MOST_MEASURES:
            ordered = sorted(ordered, key=_weight)
        both[name] = [j.model_dump(mode="json") for j in ordered[:_MOST_MEASURES]]
        if name == "measures":
            left_out = len(ordered) - len(both[name])
    return {**both, "measures_left_out": left_out}


def _weight(judgement: Judgement) -> tuple[int, bool]:
    order = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED)
    return order.index(judgement.verdict), not judgement.critical


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
    return "\n".join(lines(verdict))


def lines(verdict: dict[str, Any]) -> Iterator[str]:
    """The verdict line by line, the most important first."""
    measures = verdict["measures"]
    yield f"{verdict['verdict']}: {verdict['objective']}"
    deciding = [m for m in measures if m["verdict"] == verdict["verdict"]]
    if verdict["reason"] != "; ".join(f"{m['measure']}: {m['reason']}" for m in deciding):
        yield f"{verdict['reason'][:1].upper()}{verdict['reason'][1:]}."
    if numbers := list(_numbers(verdict)):
        yield from ("", *numbers)
    yield ""
    yield (
        f"Status {verdict['status']}, experiment {verdict['experiment']}, "
        f"run {verdict['run']}, started {verdict['started_at']}."
    )


def _numbers(verdict: dict[str, Any]) -> Iterator[str]:
    measures = verdict["measures"]
    for measure in measures[:_MOST_LINES]:
        yield f"  {measure['verdict']:<13} {measure['measure']}: {told(measure)}"
    more = len(measures) - _MOST_LINES + verdict["measures_left_out"]
    if more > 0:
        yield f"  and {more} more measures"
    for mode, count in verdict["evidence"].items():
        seen = verdict["seen"].get(mode)
        by_load = "" if seen is None else f", seen by the load on {seen:g} requests"
        yield f"  evidence      {mode}: injected {count or 0:g} times{by_load}"
    if load := verdict["load"]:
        yield f"  load          {load['sent']} of {load['offered']} requests sent"
    if recovery := verdict["recovery"]:
        yield f"  recovery      {recovery['reason']}"


def told(measure: dict[str, Any]) -> str:
    """One measure's reason, with what it was before and whether it decides."""
    baseline, unit = measure["baseline"], measure["unit"]
    before = "" if baseline is None else f"; before {baseline:.4g}{f' {unit}' if unit else ''}"
    return f"{measure['reason']}{before}{'' if measure['critical'] else ' (does not decide)'}"
