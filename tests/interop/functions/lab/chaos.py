"""Under chaos-lambda 0.3, which reads Parameter Store."""

from typing import Any

from chaos_lambda import inject_fault

from .work import answer


@inject_fault  # type: ignore[untyped-decorator]
def handler(event: dict[str, Any], context: Any) -> dict[str, object]:
    """See `work.answer`."""
    return answer(event, context)
