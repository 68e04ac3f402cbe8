"""Enable condition: from here on something has to be undone."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Turn the condition on."""
    return steps.enable_condition(environment, event["run_id"])
