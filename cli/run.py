"""One run, followed from its start to the verdict that a subscriber received."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cli.account import Account
from cli.progress import Progress
from gameday.errors import sentence

_EXIT_STATUS = {"PASSED": 0, "FAILED": 1, "INCONCLUSIVE": 2}
REFUSED_STATUS = 3
"""The exit status of a run that was refused or ended in ERROR."""

_POLL_SECONDS = 0.5
_VERDICT_LIMIT_SECONDS = 30


class Refused(Exception):
    """Raised when a run was refused before anything was touched; carries every reason."""


class NoVerdict(Exception):
    """Raised when a run ended, and its verdict did not reach the subscriber."""


@dataclass(frozen=True)
class Outcome:
    """The verdict event as the subscriber received it, and where it was written."""

    event: dict[str, Any]
    file: Path

    @property
    def verdict(self) -> dict[str, Any]:
        """The event's detail."""
        detail: dict[str, Any] = self.event["detail"]
        return detail

    @property
    def exit_status(self) -> int:
        """What the command exits with."""
        if self.verdict["status"] == "ERROR":
            return REFUSED_STATUS
        return _EXIT_STATUS[self.verdict["verdict"]]


def run_experiment(account: Account, document: Any, out: Path, progress: Progress) -> Outcome:
    """Start the experiment, follow it, and write its verdict to `out/<experiment name>.json`.

    An interrupt stops the run and waits until it has cleaned up.

    Raises:
        Refused: before anything was touched.
        NoVerdict: the run ended, but no verdict arrived.
    """
    machine = account.outputs(account.stack)["StateMachineArn"]
    queue = account.verdict_queue()
    stepfunctions = account.client("stepfunctions")
    # An execution's name has 80 characters at most.
    run_id = f"{document['name'][:50]}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
    execution = stepfunctions.start_execution(
        stateMachineArn=machine, name=run_id, input=json.dumps(document)
    )["executionArn"]
    try:
        _follow(stepfunctions, execution, progress)
    except KeyboardInterrupt:
        progress.say("Stopping the run; its condition is turned off. Ctrl-C again leaves at once.")
        stepfunctions.stop_execution(executionArn=execution, error="Interrupted")
        _keep(_received(account, queue, run_id, execution), out)
        raise
    return _keep(_received(account, queue, run_id, execution), out)


def _keep(event: dict[str, Any], out: Path) -> Outcome:
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{event['detail']['experiment']}.json"
    file.write_text(json.dumps(event, indent=2) + "\n")
    return Outcome(event, file)


def _follow(stepfunctions: Any, execution: str, progress: Progress) -> None:
    seen = 0
    while True:
        events = list(_history(stepfunctions, execution))
        for event in events[seen:]:
            progress.event(event)
        seen = len(events)
        if events and events[-1]["type"] in _ENDS:
            return
        progress.tick()
        time.sleep(_POLL_SECONDS)


_ENDS = {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"}


def _history(stepfunctions: Any, execution: str) -> Iterator[dict[str, Any]]:
    pages = stepfunctions.get_paginator("get_execution_history").paginate(
        executionArn=execution, includeExecutionData=False
    )
    for page in pages:
        yield from page["events"]


_REFUSALS = {"InvalidExperiment", "RunRefused"}


def _received(account: Account, queue: str, run_id: str, execution: str) -> dict[str, Any]:
    """The event as the subscriber's queue has it; other runs' events stay in the queue."""
    ended = account.client("stepfunctions").describe_execution(executionArn=execution)
    if ended.get("error") in _REFUSALS:
        raise Refused(_cause(ended))
    sqs = account.client("sqs")
    until = time.monotonic() + _VERDICT_LIMIT_SECONDS
    while time.monotonic() < until:
        answer = sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=5
        )
        for message in answer.get("Messages", []):
            event: dict[str, Any] = json.loads(message["Body"])
            if event["detail"]["run"] == run_id:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                return event
    raise NoVerdict(
        f"the run ended as {ended['status']} and its verdict did not arrive: {_cause(ended)}"
    )


def _cause(ended: dict[str, Any]) -> str:
    return sentence(ended.get("cause") or ended.get("error") or ended["status"])
