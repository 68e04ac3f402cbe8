"""Under no library: what is changed is around the function."""

from typing import Any

from .work import answer


def handler(event: dict[str, Any], context: Any) -> dict[str, object]:
    """See `work.answer`."""
    return answer(event, context)
