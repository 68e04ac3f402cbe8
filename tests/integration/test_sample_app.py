"""The sample application behaves, with real state behind its API."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.integration.runs import Gameday

NO_ITEM = 10_000


def ask(url: str, method: str = "GET", body: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, method=method, data=body.encode() if body else None)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def outputs(gameday: Gameday) -> dict[str, str]:
    # No run has its target here.
    return gameday.applications[3].outputs


def test_a_purchase_answers_with_a_receipt_for_the_item(outputs: dict[str, str]) -> None:
    status, receipt = ask(outputs["PurchaseUrl"], "POST", '{"item_id": 7}')
    assert status == 201
    assert receipt.pop("receipt_id")
    assert receipt == {"item_id": 7, "name": "Item 7", "url": "/images/7.jpg", "price": "7.99"}


@pytest.mark.parametrize("body", ["no JSON", "[]", '{"item_id": "7"}', '{"item_id": 0}'])
def test_a_body_that_makes_no_sense_is_400(outputs: dict[str, str], body: str) -> None:
    assert ask(outputs["PurchaseUrl"], "POST", body)[0] == 400


def test_an_unknown_item_is_404(outputs: dict[str, str]) -> None:
    assert ask(outputs["PurchaseUrl"], "POST", json.dumps({"item_id": NO_ITEM}))[0] == 404


def test_an_image_has_a_url(outputs: dict[str, str]) -> None:
    status, image = ask(outputs["ImagesUrl"])
    assert status == 200
    assert image["url"].startswith("/images/")


def test_clicks_are_counted_in_the_table(gameday: Gameday, outputs: dict[str, str]) -> None:
    counts = [ask(outputs["ClicksUrl"], "POST") for _ in range(3)]
    first = counts[0][1]["clicks"]
    assert counts == [(200, {"clicks": first + index}) for index in range(3)]
    stored = gameday.client("dynamodb").get_item(
        TableName=outputs["TableName"], Key={"id": {"N": "0"}}, ConsistentRead=True
    )
    assert stored["Item"]["clicks"] == {"N": str(first + 2)}
