"""The custom resource that fills the table when the stack is created or updated."""

import json
import os
import urllib.request
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .catalogue import ITEM_IDS, dynamodb

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


def handler(event: Mapping[str, Any], context: object) -> None:
    """Write the items, which is harmless to repeat, and always answer CloudFormation.

    Without an answer a stack hangs for an hour, so every failure is answered too.
    """
    try:
        if event["RequestType"] != "Delete":  # the items go with their table
            write_items()
        outcome = {"Status": "SUCCESS"}
    except Exception as error:
        outcome = {"Status": "FAILED", "Reason": f"The items were not written: {error}"}
    answer_cloudformation(event, outcome)


def write_items() -> None:
    """Put all items; DynamoDB may take them in several turns."""
    table = os.environ["TABLE_NAME"]
    unwritten: Any = {table: [{"PutRequest": {"Item": item(item_id)}} for item_id in ITEM_IDS]}
    while unwritten:
        unwritten = dynamodb().batch_write_item(RequestItems=unwritten)["UnprocessedItems"]


def item(item_id: int) -> "dict[str, AttributeValueTypeDef]":
    """Return one item as DynamoDB stores it."""
    return {
        "id": {"N": str(item_id)},
        "name": {"S": f"Item {item_id}"},
        "url": {"S": f"/images/{item_id}.jpg"},
        "price": {"S": f"{item_id}.99"},
    }


def answer_cloudformation(event: Mapping[str, Any], outcome: Mapping[str, str]) -> None:
    """Put the outcome where CloudFormation waits for it.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
    """
    identity = {name: event[name] for name in ("StackId", "RequestId", "LogicalResourceId")}
    body = json.dumps({**outcome, **identity, "PhysicalResourceId": event["StackId"] + "/items"})
    request = urllib.request.Request(  # noqa: S310
        event["ResponseURL"],  # a presigned S3 URL, which was signed without a content type
        data=body.encode(),
        headers={"Content-Type": ""},
        method="PUT",
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
