"""Evaluate measures: what CloudWatch holds about the measured window."""

from typing import Any

from gameday import steps
from gameday.environment import environment
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Judge every measure."""
    return steps.evaluate_measures(environment, event["run_id"])
