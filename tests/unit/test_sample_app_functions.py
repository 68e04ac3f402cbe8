"""The sample application's handlers, against botocore's Stubber."""

import importlib
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY, Stubber

from gameday_injector.flags import Flag, parse_flags
from sample_app.functions.shop import catalogue, clicks, images, purchase
from tests.unit.fakes import stubbed_dynamodb

ITEM = {
    "id": {"N": "7"},
    "name": {"S": "Item 7"},
    "url": {"S": "/images/7.jpg"},
    "price": {"S": "7.99"},
}


@pytest.fixture(autouse=True)
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    yield from stubbed_dynamodb(monkeypatch, catalogue)


def expect_item(dynamodb: Stubber, item_id: object, answer: dict[str, Any]) -> None:
    key: Any = ANY if item_id is ANY else {"id": {"N": str(item_id)}}
    dynamodb.add_response("get_item", answer, {"TableName": "table", "Key": key})


def buy(body: str | None) -> tuple[object, Any]:
    answer = purchase.handler({"body": body}, None)
    return answer["statusCode"], json.loads(str(answer["body"]))


def test_a_purchase_is_answered_with_a_receipt(dynamodb: Stubber) -> None:
    expect_item(dynamodb, 7, {"Item": ITEM})
    status, receipt = buy('{"item_id": 7}')
    assert len(receipt.pop("receipt_id")) == 36
    assert (status, receipt) == (
        201,
        {"item_id": 7, "name": "Item 7", "url": "/images/7.jpg", "price": "7.99"},
    )


@pytest.mark.parametrize("body", [None, "", "{}"])
def test_a_purchase_that_names_no_item_buys_one_of_the_sixteen(
    dynamodb: Stubber, body: str | None
) -> None:
    expect_item(dynamodb, ANY, {"Item": ITEM})
    status, receipt = buy(body)
    assert status == 201
    assert receipt["item_id"] in range(1, 17)


@pytest.mark.parametrize("body", ["nonsense", "[]", '"7"', '{"item_id": "7"}', '{"item_id": 0}'])
def test_a_body_that_makes_no_sense_is_refused_without_asking_the_table(body: str) -> None:
    assert buy(body)[0] == 400


@pytest.mark.parametrize("item_id", ["true", "1.5", "null", "-1"])
def test_an_item_id_must_be_a_positive_integer(item_id: str) -> None:
    status, answer = buy(f'{{"item_id": {item_id}}}')
    assert (status, answer) == (400, {"message": "item_id must be a positive integer"})


def test_an_unknown_item_is_not_found(dynamodb: Stubber) -> None:
    expect_item(dynamodb, 99, {})
    assert buy('{"item_id": 99}')[0] == 404


def test_an_image_is_answered_with_its_url(dynamodb: Stubber) -> None:
    expect_item(dynamodb, ANY, {"Item": ITEM})
    answer = images.handler({}, None)
    assert answer["statusCode"] == 200
    assert json.loads(str(answer["body"])) == {"name": "Item 7", "url": "/images/7.jpg"}


def test_an_empty_table_has_no_image(dynamodb: Stubber) -> None:
    expect_item(dynamodb, ANY, {})
    assert images.handler({}, None)["statusCode"] == 404


def test_a_click_adds_one_to_the_counter(dynamodb: Stubber) -> None:
    dynamodb.add_response(
        "update_item",
        {"Attributes": {"clicks": {"N": "42"}}},
        {
            "TableName": "table",
            "Key": {"id": {"N": "0"}},
            "UpdateExpression": "ADD clicks :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}},
            "ReturnValues": "UPDATED_NEW",
        },
    )
    answer = clicks.handler({}, None)
    assert (answer["statusCode"], answer["body"]) == (200, '{"clicks": 42}')


@pytest.mark.parametrize(
    ("handler", "operation"),
    [
        (purchase.handler, "get_item"),
        (images.handler, "get_item"),
        (clicks.handler, "update_item"),
    ],
)
def test_a_table_that_refuses_is_a_503_and_a_line_in_the_log(
    dynamodb: Stubber, capsys: pytest.CaptureFixture[str], handler: Any, operation: str
) -> None:
    dynamodb.add_client_error(operation, "ThrottlingException")
    answer = handler({"body": None}, None)
    assert (answer["statusCode"], answer["body"]) == (503, '{"message": "Try again later"}')
    assert "ThrottlingException" in json.loads(capsys.readouterr().out)["error"]


def test_a_table_that_cannot_be_reached_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_: int) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb")

    monkeypatch.setattr(purchase, "find_item", unreachable)
    assert buy("{}")[0] == 503


@pytest.mark.parametrize("body", ["{}", "nonsense"])
def test_every_answer_may_be_read_from_any_origin(dynamodb: Stubber, body: str) -> None:
    if body == "{}":
        expect_item(dynamodb, ANY, {"Item": ITEM})
    headers = purchase.handler({"body": body}, None)["headers"]
    assert headers == {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}


class Teapot:
    """A configuration in which every invocation is answered with 418."""

    def flags(self) -> tuple[Flag, ...]:
        return parse_flags({"statuscode": {"enabled": True, "status_code": 418}})


@pytest.mark.parametrize("module", [purchase, images, clicks])
def test_every_function_obeys_the_configuration_deployed_for_it(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    monkeypatch.setattr("gameday_injector.invocation.find_configuration", Teapot)
    with monkeypatch.context() as deployed:
        deployed.setenv("FAILURE_APPCONFIG_CONFIGURATION", "profile")
        handler = importlib.reload(module).handler
    importlib.reload(module)
    assert handler({"body": None}, None)["statusCode"] == 418


def test_the_client_gives_up_well_within_the_functions_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    catalogue.dynamodb.cache_clear()
    config: Any = catalogue.dynamodb().meta.config
    longest = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout)
    assert longest <= 2
