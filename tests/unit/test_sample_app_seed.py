"""The custom resource: whatever happens, CloudFormation is answered."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from sample_app.functions.shop import seed
from tests.unit.fakes import stubbed_dynamodb


class PresignedUrl(http.server.HTTPServer):
    """Keeps what is put to it, as S3 does for CloudFormation."""

    answers: list[tuple[str | None, dict[str, Any]]]


class PutHandler(http.server.BaseHTTPRequestHandler):
    server: PresignedUrl

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers.append((self.headers["Content-Type"], json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def presigned_url() -> Iterator[PresignedUrl]:
    with PresignedUrl(("127.0.0.1", 0), PutHandler) as server:
        server.answers = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    yield from stubbed_dynamodb(monkeypatch, seed)


def request(request_type: str, url: PresignedUrl) -> dict[str, str]:
    return {
        "RequestType": request_type,
        "ResponseURL": f"http://127.0.0.1:{url.server_port}/answer?signature=x",
        "StackId": "arn:stack",
        "RequestId": "request",
        "LogicalResourceId": "Items",
    }


def puts(item_ids: range) -> dict[str, Any]:
    return {"table": [{"PutRequest": {"Item": seed.item(item_id)}} for item_id in item_ids]}


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_sixteen_items_are_written_and_success_is_answered(
    dynamodb: Stubber, presigned_url: PresignedUrl, request_type: str
) -> None:
    written = {"RequestItems": puts(range(1, 17))}
    dynamodb.add_response("batch_write_item", {"UnprocessedItems": {}}, written)
    seed.handler(request(request_type, presigned_url), None)
    assert presigned_url.answers == [
        (
            "",
            {
                "Status": "SUCCESS",
                "StackId": "arn:stack",
                "RequestId": "request",
                "LogicalResourceId": "Items",
                "PhysicalResourceId": "arn:stack/items",
            },
        )
    ]


def test_items_that_dynamodb_left_over_are_written_next(dynamodb: Stubber) -> None:
    left_over = puts(range(15, 17))
    dynamodb.add_response("batch_write_item", {"UnprocessedItems": left_over})
    dynamodb.add_response("batch_write_item", {"UnprocessedItems": {}}, {"RequestItems": left_over})
    seed.write_items()


def test_a_failure_is_answered_too(dynamodb: Stubber, presigned_url: PresignedUrl) -> None:
    dynamodb.add_client_error("batch_write_item", "AccessDeniedException")
    seed.handler(request("Create", presigned_url), None)
    ((_, answer),) = presigned_url.answers
    assert answer["Status"] == "FAILED"
    assert "AccessDeniedException" in answer["Reason"]


def test_a_deletion_writes_nothing_and_succeeds(presigned_url: PresignedUrl) -> None:
    seed.handler(request("Delete", presigned_url), None)
    ((_, answer),) = presigned_url.answers
    assert answer["Status"] == "SUCCESS"
