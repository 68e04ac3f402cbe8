"""Await evidence: the measured window begins when the condition is seen to be on."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Load the target until the condition is seen to be on."""
    return steps.await_evidence(environment, event["run_id"])
