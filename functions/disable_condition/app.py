"""Disable condition: the only way out of a run that was armed."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Undo, and prove it."""
    return steps.disable_condition(environment, event["run_id"], event.get("failure"))
