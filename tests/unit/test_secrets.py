import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from gameday.errors import InvalidExperiment, SecretNotRead
from gameday.experiment import Load, parse, resolve
from gameday.secrets import Secrets
from tests.unit.fakes import changed, smallest

TOKEN, KEY = "hush-4711", "hush-0815"
NAMED = {
    "url": "https://shop.example/",
    "headers": {"Authorization": "Bearer ${ssm:/shop/token}"},
    "body": '{"key": "${secretsmanager:shop/key:key}", "id": "{id}"}',
    "values": {"id": ["${ssm:/shop/token}", "2"]},
}


class Stores:
    """Both stores, which answer what they are told to, once."""

    def __init__(self) -> None:
        made = {"region_name": "us-east-1"} | dict.fromkeys(
            ("aws_access_key_id", "aws_secret_access_key"), "test"
        )
        self.ssm = boto3.client("ssm", **made)  # type: ignore[call-overload]
        self.secretsmanager = boto3.client("secretsmanager", **made)  # type: ignore[call-overload]
        self.parameters, self.secrets = Stubber(self.ssm), Stubber(self.secretsmanager)
        self.parameters.activate()
        self.secrets.activate()

    def parameter(self, value: str) -> None:
        asked = {"Name": "/shop/token", "WithDecryption": True}
        self.parameters.add_response("get_parameter", {"Parameter": {"Value": value}}, asked)

    def secret(self, answer: dict[str, Any]) -> None:
        self.secrets.add_response("get_secret_value", answer, {"SecretId": "shop/key"})

    def resolved(self, **load: Any) -> Load:
        given = Load.model_validate_json(json.dumps({"url": "https://shop.example/", **load}))
        return Secrets(ssm=self.ssm, secretsmanager=self.secretsmanager).resolved(given)


@pytest.fixture
def stores() -> Iterator[Stores]:
    """Everything that they were to be asked is asked."""
    stores = Stores()
    yield stores
    stores.parameters.assert_no_pending_responses()
    stores.secrets.assert_no_pending_responses()


def test_a_secret_is_read_once_and_put_wherever_it_is_named(stores: Stores) -> None:
    stores.parameter(TOKEN)
    stores.secret({"SecretString": json.dumps({"key": KEY})})
    load = stores.resolved(**NAMED)
    assert load.headers == {"Authorization": f"Bearer {TOKEN}"}
    assert json.loads(load.body or "") == {"key": KEY, "id": "{id}"}
    assert load.values == {"id": (TOKEN, "2")}


def test_each_of_several_requests_has_its_secret(stores: Stores) -> None:
    stores.parameter(TOKEN)
    several = [{"url": "https://a.example/", "headers": {"X": "${ssm:/shop/token}"}}]
    load = Load.model_validate_json(json.dumps({"requests": several}))
    secrets = Secrets(ssm=stores.ssm, secretsmanager=stores.secretsmanager)
    (request,) = secrets.resolved(load).sends
    assert request.headers == {"X": TOKEN}


def test_a_load_without_a_secret_asks_nobody(stores: Stores) -> None:
    assert stores.resolved(body="{id}${x}") == Load(url="https://shop.example/", body="{id}${x}")


def test_a_whole_secret_may_be_a_text(stores: Stores) -> None:
    stores.secret({"SecretString": KEY})
    assert stores.resolved(body="${secretsmanager:shop/key}").body == KEY


@pytest.mark.parametrize("code", ["ParameterNotFound", "AccessDeniedException"])
def test_what_cannot_be_read_is_named_with_the_reason(stores: Stores, code: str) -> None:
    stores.parameters.add_client_error("get_parameter", code)
    with pytest.raises(SecretNotRead, match=rf"\$\{{ssm:/gone\}} cannot be read: {code}"):
        stores.resolved(body="${ssm:/gone}")


@pytest.mark.parametrize(
    "answer",
    [
        {"SecretString": "no json " + KEY},
        {"SecretString": json.dumps({"other": KEY})},
        {"SecretString": json.dumps({"key": [KEY]})},
        {"SecretString": json.dumps([KEY])},
        {"SecretBinary": KEY.encode()},
    ],
)
def test_a_secret_of_another_shape_is_refused_and_not_shown(
    stores: Stores, answer: dict[str, Any]
) -> None:
    stores.secret(answer)
    with pytest.raises(SecretNotRead, match="no text under the key 'key'") as refused:
        stores.resolved(body="${secretsmanager:shop/key:key}")
    assert KEY not in repr(refused.getrepr(style="long", chain=True))


def test_a_secret_of_two_lines_is_no_header_and_not_shown(stores: Stores) -> None:
    stores.parameter(f"{TOKEN}\r\nX-Other: 1")
    with pytest.raises(SecretNotRead, match=r"\$\{ssm:/shop/token\} is not one line") as refused:
        stores.resolved(headers={"X-Token": "${ssm:/shop/token}"})
    assert TOKEN not in str(refused.value)


# -- in the document


def test_a_reference_to_a_secret_stands_in_the_document_as_it_is() -> None:
    document = changed(smallest(), load=NAMED)
    assert resolve(document, {"Url": "x"}) == document
    assert parse(document).load.headers == NAMED["headers"]


def test_what_looks_like_one_and_is_none_is_an_output_that_is_missing() -> None:
    with pytest.raises(InvalidExperiment, match="vault:x} names an output of a stack"):
        parse(changed(smallest(), load__body="${vault:x}"))


@pytest.mark.parametrize("path", ["load__url", "objective", "condition__function"])
def test_a_secret_may_stand_nowhere_else(path: str) -> None:
    with pytest.raises(InvalidExperiment) as invalid:
        parse(changed(smallest(), **{path: "https://a/${ssm:/shop/token}"}), references=True)
    places = {fault.field: fault.message for fault in invalid.value.faults}
    assert places[path.replace("__", ".")].startswith("a secret may stand in")
