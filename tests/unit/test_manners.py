import json
from dataclasses import replace
from typing import Any

import pytest

from gameday.experiment import Load
from gameday.manners import Manners

MANNERS = Manners(
    targets=("api.example.com", "127.0.0.1:8080", "https://shop.example/v1/"),
    functions=("checkout",),
    parameters=("/shop/token",),
    secrets=("shop/key",),
    most_per_second=100,
    most_requests=1000,
)


def beyond(requests: int = 1000, manners: Manners = MANNERS, **load: Any) -> list[str]:
    """Why a load goes too far."""
    given = {"url": "https://api.example.com/"} if "function" not in load else {}
    return list(manners.beyond(Load.model_validate_json(json.dumps({**given, **load})), requests))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/",
        "http://API.example.com:8443/anything?at=all",
        "http://127.0.0.1:8080/",
        "https://shop.example/v1",
        "https://shop.example:443/v1/orders",
    ],
)
def test_what_is_listed_may_be_loaded(url: str) -> None:
    assert beyond(url=url) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://api.example.com.evil.example/",
        "https://evil.example/api.example.com",
        "https://evil.example\\.api.example.com/",
        "http://127.0.0.1/",
        "http://127.0.0.1:8081/",
        "http://shop.example/v1/orders",
        "https://shop.example:8443/v1/orders",
        "https://shop.example/v10",
        "https://shop.example/",
        "https://shop.example/v1/../admin",
        "https://shop.example/v1/%2e%2e/admin",
        "https://shop.example/v1/..\\admin",
    ],
)
def test_what_is_not_listed_may_not(url: str) -> None:
    assert beyond(url=url) == [
        f"load may not be sent to {url}: add its host to the parameter LoadTargets and deploy "
        "Gameday's stack again"
    ]


def test_without_a_list_nothing_may_be_loaded() -> None:
    assert len(beyond(manners=replace(MANNERS, targets=(), functions=()))) == 1
    assert len(beyond(manners=replace(MANNERS, functions=()), function="checkout")) == 1


@pytest.mark.parametrize("path", ["v1/{way}", "{way}"])
def test_a_varied_path_must_stay_below_what_is_listed(path: str) -> None:
    climbs = beyond(url=f"https://shop.example/{path}", values={"way": ["a", "../../admin"]})
    stays = beyond(url=f"https://shop.example/{path}", values={"way": ["a", "b"]})
    assert (len(climbs), len(stays)) == (1, 0 if path.startswith("v1") else 1)


@pytest.mark.parametrize(
    "function",
    ["checkout", "checkout:live", "arn:aws:lambda:eu-north-1:123456789012:function:checkout:live"],
)
def test_a_function_may_be_invoked_by_each_of_its_names(function: str) -> None:
    assert beyond(function=function) == []


def test_another_function_may_not() -> None:
    (reason,) = beyond(function="arn:aws:lambda:eu-north-1:123456789012:function:payment")
    assert reason.startswith("load may not invoke function 'payment': add it to the parameter Load")


def test_each_of_several_requests_is_looked_at() -> None:
    requests = [{"url": "https://evil.example/"}, {"function": "payment"}, {"function": "checkout"}]
    load = Load.model_validate_json(json.dumps({"requests": requests}))
    assert len(list(MANNERS.beyond(load, 1))) == 2


def test_a_rate_above_the_ceiling_is_refused_with_both_numbers() -> None:
    (reason,) = beyond(rate_per_second=1, to_per_second=100.5)
    assert "comes to 100.5 requests a second, and the stack allows 100:" in reason
    assert reason.endswith("raise MostRequestsPerSecond")


def test_more_requests_than_the_ceiling_are_refused_with_both_numbers() -> None:
    (reason,) = beyond(requests=1001)
    assert "may send 1001 requests, and the stack allows 1000:" in reason


@pytest.mark.parametrize(
    ("reference", "parameter"),
    [
        ("${ssm:/other}", "SecretParameters"),
        ("${secretsmanager:other}", "SecretNames"),
        ("${secretsmanager:other:key}", "SecretNames"),
    ],
)
def test_a_secret_that_is_not_listed_is_refused(reference: str, parameter: str) -> None:
    (reason,) = beyond(method="POST", body=f"token={reference}")
    assert reason.startswith(f"load may not carry {reference}: add ")
    assert f"the parameter {parameter} and" in reason


def test_a_secret_that_is_listed_may_be_carried() -> None:
    headers = {"X-Token": "${ssm:/shop/token}", "X-Key": "${secretsmanager:shop/key:key}"}
    assert beyond(headers=headers) == []
