"""Watch guardrails: stands until an alarm or the work ends it."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Keep the task token."""
    return steps.watch_guardrails(environment, event["run_id"], event["token"])
