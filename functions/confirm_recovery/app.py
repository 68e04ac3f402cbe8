"""Confirm recovery: is the system back, and since when."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Judge the last slice of recovery load."""
    return steps.confirm_recovery(environment, event["run_id"])
