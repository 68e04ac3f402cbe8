"""Roll back: the undo that outlives the state machine."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Undo the run that the event is about."""
    return steps.roll_back(environment, event)
