"""POST /clicks: counts a click."""

from gameday_injector import inject

from .answers import Event, answering
from .catalogue import count_click


@inject
@answering
def handler(_: Event) -> tuple[int, object]:
    """Answer 200 and the number of clicks so far."""
    return 200, {"clicks": count_click()}
