"""Generate load: one worker, one phase."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.experiment import Phase
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Generate the load of the event's phase, or one worker's part of it."""
    return steps.generate_load(
        environment,
        event["run_id"],
        Phase(event["phase"]),
        part=event.get("part"),
        called_at=event.get("called_at"),
    )
