"""The deadline: a one-time schedule that undoes a run which nobody else has ended."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gameday.runs import Run, StopReason

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient


@dataclass(frozen=True)
class Deadlines:
    """The schedules in the stack's own group; each calls the undo at its run's deadline."""

    scheduler: EventBridgeSchedulerClient
    group: str
    target_arn: str
    role_arn: str
    dead_letter_arn: str

    def create(self, run: Run) -> None:
        """Create the run's schedule; harmless when it exists."""
        at = datetime.fromtimestamp(run.deadline, UTC)
        with suppress(self.scheduler.exceptions.ConflictException):
            self.scheduler.create_schedule(
                Name=_name(run.run_id),
                GroupName=self.group,
                Description=f"Deadline of Gameday run {run.run_id}",
                ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
                FlexibleTimeWindow={"Mode": "OFF"},
                ActionAfterCompletion="DELETE",
                Target={
                    "Arn": self.target_arn,
                    "RoleArn": self.role_arn,
                    "Input": json.dumps({"run_id": run.run_id, "reason": StopReason.DEADLINE}),
                    "RetryPolicy": {"MaximumRetryAttempts": 185},
                    "DeadLetterConfig": {"Arn": self.dead_letter_arn},
                },
            )

    def delete(self, run_id: str) -> None:
        """Delete the run's schedule; harmless when it is gone."""
        with suppress(self.scheduler.exceptions.ResourceNotFoundException):
            self.scheduler.delete_schedule(Name=_name(run_id), GroupName=self.group)


def _name(run_id: str) -> str:
    """A schedule's name has 64 characters at most, an execution's 80."""
    return f"run-{hashlib.sha256(run_id.encode()).hexdigest()[:40]}"
