"""Snapshot baseline: the measures before anything is injected."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Answer whether the system is steady."""
    return steps.snapshot_baseline(environment, event["run_id"])
