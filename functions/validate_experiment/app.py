"""Validate experiment: document in, experiment and plan out; touches nothing."""

from typing import Any

from gameday import steps
from gameday.observability import Event, step


@step
def handler(event: Event, context: Any) -> Any:
    """Answer with the experiment and its plan."""
    return steps.validate_experiment(event["document"])
