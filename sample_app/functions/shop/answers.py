"""What API Gateway's proxy integration gets as an answer."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

type Event = Mapping[str, Any]
type Answer = dict[str, object]


class Refused(Exception):
    """Raised to answer `status` and a sentence instead of what was asked for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def answering(
    handle: Callable[[Event], tuple[int, object]],
) -> Callable[[Event, object], Answer]:
    """Make a handler of a function that returns a status and a document.

    A dependency that does not work is an answer too (503), with a line in the log.
    """

    @functools.wraps(handle)
    def handler(event: Event, context: object) -> Answer:
        try:
            return _answer(*handle(event))
        except Refused as refusal:
            return _answer(refusal.status, {"message": str(refusal)})
        except (BotoCoreError, ClientError) as error:
            print(json.dumps({"level": "error", "message": "DynamoDB failed", "error": str(error)}))
            return _answer(503, {"message": "Try again later"})

    return handler


def _answer(status: int, document: object) -> Answer:
    headers = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(document)}
