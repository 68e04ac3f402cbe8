"""Under Gameday's injector, which reads what failure-lambda 1.x reads."""

from typing import Any

from gameday_injector import inject

from .work import answer


@inject
def handler(event: dict[str, Any], context: Any) -> dict[str, object]:
    """See `work.answer`."""
    return answer(event, context)
