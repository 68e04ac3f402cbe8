"""Arm rollback: the lock, the restore record and the deadline, before any change."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Refuse what must not start, else arm."""
    return steps.arm_rollback(
        environment, event["run_id"], event["execution_arn"], event["experiment"]
    )
