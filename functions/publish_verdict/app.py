"""Publish verdict: decide, keep, tell."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Answer with the verdict."""
    return steps.publish_verdict(environment, event["run_id"], event.get("failure"))
