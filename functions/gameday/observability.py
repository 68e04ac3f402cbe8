"""The one logger: constant messages, facts as keys, the run's id on every line."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger

logger = Logger(service="gameday")

Event = dict[str, Any]


def step(handler: Callable[[Event, Any], Any]) -> Callable[[Event, Any], Any]:
    """Make a handler log its start and its failure, with the run's id."""

    @wraps(handler)
    def logged(event: Event, context: Any) -> Any:
        logger.append_keys(run_id=event.get("run_id"), step=context.function_name)
        logger.info("step started")
        try:
            return handler(event, context)
        except Exception:
            logger.exception("step failed")
            raise

    return logged
