"""Stand watch down: the work is done, the watch ends well."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Answer the watch."""
    return steps.stand_watch_down(environment, event["run_id"])
