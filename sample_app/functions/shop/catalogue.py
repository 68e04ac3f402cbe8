"""The DynamoDB table: sixteen items, and under the id 0 the counter of clicks."""

import functools
import os
import random
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef

ITEM_IDS = range(1, 17)
COUNTER_ID = 0


@functools.cache
def dynamodb() -> "DynamoDBClient":
    """Return the client, which gives up within about two of the function's three seconds."""
    config = Config(connect_timeout=0.5, read_timeout=0.5, retries={"total_max_attempts": 2})
    return boto3.client("dynamodb", config=config)


def random_item_id() -> int:
    """Choose one of the items that the deployment put into the table."""
    return random.choice(ITEM_IDS)  # noqa: S311


def find_item(item_id: int) -> dict[str, str] | None:
    """Read an item's attributes `name`, `url` and `price`; None if there is no such item.

    Raises:
        botocore.exceptions.BotoCoreError, ClientError: the table could not be read.
    """
    answer = dynamodb().get_item(TableName=os.environ["TABLE_NAME"], Key=_key(item_id))
    item = answer.get("Item", {})
    return {name: item[name]["S"] for name in ("name", "url", "price")} if item else None


def count_click() -> int:
    """Add one to the counter of clicks and return it; raises what `find_item` raises."""
    answer = dynamodb().update_item(
        TableName=os.environ["TABLE_NAME"],
        Key=_key(COUNTER_ID),
        UpdateExpression="ADD clicks :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )
    return int(answer["Attributes"]["clicks"]["N"])


def _key(item_id: int) -> "dict[str, AttributeValueTypeDef]":
    return {"id": {"N": str(item_id)}}
