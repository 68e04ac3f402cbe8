"""Loaded by every Python Lambda worker as it starts: AWS's host names lead to the embedded AWS.

On AWS each service has a host name of its own; the emulator has one address for all. A function's
DynamoDB calls go out under DynamoDB's real name, so that a condition that denies
`dynamodb.*.amazonaws.com` bites as it does on AWS.
"""

import os
import socket
from typing import Any
from urllib.parse import urlsplit

_resolve = socket.getaddrinfo


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    return _resolve("127.0.0.1" if str(name).endswith(".amazonaws.com") else host, *args, **kwargs)


_here = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
if _here.port and "AWS_REGION" in os.environ:
    socket.getaddrinfo = _getaddrinfo
    os.environ.setdefault(
        "AWS_ENDPOINT_URL_DYNAMODB",
        f"http://dynamodb.{os.environ['AWS_REGION']}.amazonaws.com:{_here.port}",
    )
