"""GET /images: any item's image."""

from gameday_injector import inject

from .answers import Event, Refused, answering
from .catalogue import find_item, random_item_id


@inject
@answering
def handler(_: Event) -> tuple[int, object]:
    """Answer 200 and the image's name and url; 404 while the table is empty."""
    item = find_item(random_item_id())
    if item is None:
        raise Refused(404, "There is no image")
    return 200, {"name": item["name"], "url": item["url"]}
