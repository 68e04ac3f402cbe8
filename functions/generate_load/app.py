"""Generate load: one worker, one phase."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.experiment import Phase
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Generate the load of the event's phase."""
    return steps.generate_load(environment, event["run_id"], Phase(event["phase"]))
