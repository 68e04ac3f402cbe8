"""POST /purchases: buys one item."""

import json
import uuid

from gameday_injector import inject

from .answers import Event, Refused, answering
from .catalogue import find_item, random_item_id


@inject
@answering
def handler(event: Event) -> tuple[int, object]:
    """Answer 201 and a receipt; 400 for a body that makes no sense, 404 for an unknown item."""
    item_id = wanted_item_id(event.get("body") or "{}")
    item = find_item(item_id)
    if item is None:
        raise Refused(404, f"There is no item {item_id}")
    return 201, {"receipt_id": str(uuid.uuid4()), "item_id": item_id, **item}


def wanted_item_id(body: str) -> int:
    """Return the body's `item_id`, or any item's if it names none."""
    try:
        item_id = json.loads(body).get("item_id", random_item_id())
    except (ValueError, AttributeError):
        raise Refused(400, "The body must be a JSON object") from None
    if not isinstance(item_id, int) or isinstance(item_id, bool) or item_id < 1:
        raise Refused(400, "item_id must be a positive integer")
    return item_id
