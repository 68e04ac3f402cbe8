"""The middleware of Powertools, with the resolver itself."""

import json
from typing import Any

import pytest
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from gameday_injector import InjectedException, configuration
from gameday_injector.configuration import Configuration
from gameday_injector.powertools import obey_conditions

app = APIGatewayRestResolver()


@app.get("/images", middlewares=[obey_conditions])
def images() -> Response[str]:
    return Response(200, "application/json", body='{"url": "a"}', headers={"X-Own": "kept"})


@app.get("/clicks")
def clicks() -> dict[str, int]:
    return {"clicks": 1}


class Fixed:
    def __init__(self, document: object) -> None:
        self.document = document

    def fetch(self) -> tuple[bytes, float]:
        return json.dumps(self.document).encode(), 60


def get(path: str, monkeypatch: pytest.MonkeyPatch, **modes: object) -> dict[str, Any]:
    monkeypatch.setenv("FAILURE_APPCONFIG_CONFIGURATION", "profile")
    found = Configuration(Fixed({mode: {"enabled": True, **a} for mode, a in modes.items()}))  # type: ignore[dict-item]
    monkeypatch.setattr("gameday_injector.invocation.find_configuration", lambda: found)
    event = {"path": path, "httpMethod": "GET", "headers": {}, "requestContext": {}}
    return app.resolve(event, object())  # type: ignore[arg-type]


def test_a_route_answers_itself_while_nothing_is_injected(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = get("/images", monkeypatch)
    assert (answer["statusCode"], answer["body"]) == (200, '{"url": "a"}')


def test_a_status_code_takes_the_routes_place(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = get("/images", monkeypatch, statuscode={"status_code": 503})
    assert (answer["statusCode"], answer["body"]) == (
        503,
        '{"message":"Injected status code 503"}',
    )
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/json"]


def test_a_corruption_keeps_all_but_the_body(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = get("/images", monkeypatch, corruption={"body": "?"})
    assert (answer["statusCode"], answer["body"]) == (200, "?")
    assert answer["multiValueHeaders"]["X-Own"] == ["kept"]


@pytest.mark.parametrize(("method", "status"), [("GET", 500), ("POST", 200)])
def test_the_event_is_the_one_that_lambda_was_given(
    monkeypatch: pytest.MonkeyPatch, method: str, status: int
) -> None:
    match = [{"path": "httpMethod", "value": method}]
    assert get("/images", monkeypatch, statuscode={"match": match})["statusCode"] == status


def test_an_exception_goes_to_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InjectedException):
        get("/images", monkeypatch, exception={})


def test_a_route_without_the_middleware_obeys_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get("/clicks", monkeypatch, statuscode={})["statusCode"] == 200


def test_without_a_configuration_nothing_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAILURE_APPCONFIG_CONFIGURATION", raising=False)
    monkeypatch.delenv("FAILURE_INJECTION_PARAM", raising=False)
    monkeypatch.setattr(configuration, "_find_source", lambda: pytest.fail("looked for it"))
    event = {"path": "/images", "httpMethod": "GET", "headers": {}, "requestContext": {}}
    assert app.resolve(event, object())["statusCode"] == 200  # type: ignore[arg-type]
