"""Services of the embedded AWS in this process: the real client, and no socket."""

import asyncio
import io
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from urllib3 import HTTPResponse


def client(service: str, module: ModuleType) -> Any:
    """A client whose requests `module`, one of the emulator's services, answers."""
    made = boto3.client(  # type: ignore[call-overload]
        service,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        url = urlsplit(request.url)
        headers = {
            name.lower(): value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        body: Any = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        status, answered, content = asyncio.run(
            module.handle_request(request.method, url.path, headers, body, parse_qs(url.query))
        )
        content = content.encode() if isinstance(content, str) else content
        raw: Any = HTTPResponse(io.BytesIO(content), preload_content=False)
        return AWSResponse(request.url, status, answered, raw)

    made.meta.events.register("before-send.*", answer)
    return made
