"""The handler that all have: it asks DynamoDB, and tells what a condition may have changed."""

import functools
import json
import logging
import os
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# chaos-lambda tells at this level what it does. The runtime has a handler, the embedded AWS none.
logging.basicConfig()
logging.getLogger().setLevel(logging.INFO)


@functools.cache
def _dynamodb() -> Any:  # only who gets as far as this pays for it
    config = Config(connect_timeout=0.5, read_timeout=0.5, retries={"total_max_attempts": 1})
    return boto3.client("dynamodb", config=config)


def answer(event: Mapping[str, Any], context: Any) -> dict[str, object]:
    """Answer 200 and what is seen from inside, or 503 when DynamoDB does not answer.

    `?wait=1.5` makes it as slow as that, in seconds.
    """
    time.sleep(float((event.get("queryStringParameters") or {}).get("wait", 0)))
    try:
        _dynamodb().get_item(TableName=os.environ["TABLE_NAME"], Key={"id": {"N": "1"}})
    except (BotoCoreError, ClientError) as error:
        print(f"DynamoDB failed: {error}")
        return {"statusCode": 503, "body": "{}"}
    seen = {
        "memory_mb": int(context.memory_limit_in_mb),
        "greeting": os.environ.get("GREETING"),
        "flag": _flag(),
        "disk_mb": _disk_mb(),
    }
    return {"statusCode": 200, "body": json.dumps(seen)}


def _disk_mb() -> int:
    """How much of /tmp this process holds in files without a name, as the injector's is."""
    held = 0
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one with which we look is closed by now
            if str(file.readlink()).endswith(" (deleted)"):
                held += file.stat().st_size
    return held // 2**20


def _flag() -> object:
    """The application's own feature flag, from the AppConfig agent."""
    if "FLAG_URL" not in os.environ:
        return None
    with urllib.request.urlopen(os.environ["FLAG_URL"], timeout=2) as reply:
        return json.load(reply)["discount"]["enabled"]
