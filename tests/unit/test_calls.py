"""The bytes of each request: which of several, its values, its signature."""

import json
from collections import Counter
from email.parser import BytesHeaderParser
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gameday import calls as module
from gameday.calls import Account, Calls
from gameday.experiment import Load
from gameday.wire import Call, Origin

URL = "https://shop.example/images"
ACCOUNT = Account(
    Credentials("AKID", "secret", "token"), "eu-west-1", "https://lambda.eu-west-1.amazonaws.com"
)


def calls(**load: Any) -> Calls:
    document: Any = {"url": URL, **load} if "requests" not in load else load
    if "function" in load:
        del document["url"]
    return Calls(Load.model_validate_json(json.dumps(document)), "me", ACCOUNT)


def line(call: Call) -> str:
    return call.data.split(b"\r\n")[0].decode()


def headers(call: Call) -> dict[str, str]:
    head = call.data.partition(b"\r\n")[2].partition(b"\r\n\r\n")[0]
    return dict(BytesHeaderParser().parsebytes(head).items())


def body(call: Call) -> str:
    return call.data.partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize(
    ("url", "origin", "host", "target"),
    [
        ("http://shop.example", Origin(False, "shop.example", 80), "shop.example", "/"),
        (f"{URL}?a=b c#d", Origin(True, "shop.example", 443), "shop.example", "/images?a=b%20c"),
        ("https://[::1]:8443/ü", Origin(True, "::1", 8443), "[::1]:8443", "/%C3%BC"),
        (
            "http://bücher.example:80/%2F",
            Origin(False, "xn--bcher-kva.example", 80),
            "xn--bcher-kva.example",
            "/%2F",
        ),
    ],
)
def test_an_address_is_sent_as_ascii(url: str, origin: Origin, host: str, target: str) -> None:
    call = calls(url=url)[0]
    assert (call.origin, headers(call)["Host"]) == (origin, host)
    assert line(call) == f"GET {target} HTTP/1.1"


def test_a_body_says_how_long_it_is_and_what() -> None:
    call = calls(method="POST", body="grün")[0]
    assert headers(call)["Content-Length"] == "5"
    assert headers(call)["Content-Type"] == "text/plain; charset=utf-8"
    assert not call.repeatable


def test_headers_of_the_document_win_but_for_the_name_of_the_run() -> None:
    call = calls(method="PUT", body="{}", headers={"content-type": "a/b", "user-agent": "you"})[0]
    assert headers(call)["Content-Type"] == "a/b"
    assert headers(call)["User-Agent"] == "me"
    assert call.data.lower().count(b"content-type") == 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(-50, 50))
def test_in_each_round_every_request_comes_as_often_as_it_weighs(
    weights: list[int], start: int
) -> None:
    several = [{"url": f"{URL}/{n}", "weight": weight} for n, weight in enumerate(weights)]
    sent = calls(requests=several)
    seen = Counter(line(sent[number]) for number in range(start, start + sum(weights)))
    assert [seen[f"GET /images/{n} HTTP/1.1"] for n in range(len(weights))] == weights


def test_values_take_turns_within_their_request() -> None:
    sent = calls(
        requests=[{"url": f"{URL}/{{page}}", "weight": 2}, {"url": URL}],
        values={"page": ["a", "b/c", "d"]},
    )
    asked = [line(sent[number]).split()[1] for number in range(9)]
    pages = [path.removeprefix("/images") for path in asked]
    assert [page for page in pages if page] == ["/a", "/b%2Fc", "/d", "/a", "/b%2Fc", "/d"]


def test_only_the_names_of_values_are_places() -> None:
    sent = calls(
        method="POST",
        body='{"id": "{id}", "set": {1}}',
        headers={"X-Id": "{id}"},
        values={"id": ["7", "8"]},
    )
    assert body(sent[1]) == '{"id": "8", "set": {1}}'
    assert headers(sent[1])["X-Id"] == "8"


def test_equal_numbers_are_equal_requests_and_a_constant_one_is_made_once() -> None:
    assert calls()[0] is not calls()[0]
    sent = calls()
    assert sent[0] is sent[5]


# -- signatures


def signature_of(call: Call, service: str) -> str:
    """What AWS would find: the signature of the bytes that were sent."""
    sent = headers(call)
    given = sent.pop("Authorization")
    signed = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    method, target, _ = line(call).split()
    request = AWSRequest(
        method,
        f"https://{sent['Host']}{target}",
        {name: value for name, value in sent.items() if name.lower() in signed},
        body(call).encode(),
    )
    request.context["timestamp"] = sent["X-Amz-Date"]
    auth = SigV4Auth(ACCOUNT.credentials, service, "eu-west-1")
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return f"Signature={auth.signature(text, request)}"


@pytest.mark.parametrize(
    ("load", "service"),
    [
        (
            {
                "url": "https://a1.execute-api.eu-west-1.amazonaws.com/Prod/ü?b=1&a=2",
                "sign": {"service": "execute-api"},
            },
            "execute-api",
        ),
        (
            {
                "url": "https://a1.lambda-url.eu-west-1.on.aws/",
                "method": "POST",
                "body": '{"a": "{v}"}',
                "values": {"v": ["1", "2"]},
                "sign": {"service": "lambda"},
            },
            "lambda",
        ),
        ({"url": URL, "sign": {"service": "execute-api", "region": "eu-west-1"}}, "execute-api"),
        ({"function": "images:live", "body": "{}"}, "lambda"),
    ],
)
def test_what_is_sent_is_what_was_signed(load: dict[str, Any], service: str) -> None:
    call = calls(**load)[1]
    assert headers(call)["X-Amz-Security-Token"] == "token"
    assert headers(call)["Authorization"].endswith(signature_of(call, service))


def test_a_signature_is_shared_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = calls(url=URL, sign={"service": "execute-api", "region": "eu-west-1"})
    first = sent[0]
    assert sent[1] is first
    monkeypatch.setattr(module, "_SIGNED_FOR_SECONDS", -1)
    assert sent[2] is not first


@pytest.mark.parametrize(
    ("invocation", "kind"), [("synchronous", "RequestResponse"), ("asynchronous", "Event")]
)
def test_a_function_is_invoked_directly(invocation: str, kind: str) -> None:
    call = calls(function="images:live", invocation=invocation, body='{"a": 1}')[0]
    assert call.origin == Origin(True, "lambda.eu-west-1.amazonaws.com", 443)
    assert line(call) == "POST /2015-03-31/functions/images%3Alive/invocations HTTP/1.1"
    assert headers(call)["X-Amz-Invocation-Type"] == kind
    assert (call.invokes, call.repeatable, body(call)) == (True, False, '{"a": 1}')


def test_a_header_that_would_be_two_is_not_sent_and_not_told() -> None:
    load = Load(url=URL).model_copy(update={"headers": {"X-Key": "secret\r\nHost: other"}})
    with pytest.raises(ValueError, match="X-Key") as error:
        Calls(load, "me", None)
    assert "secret" not in str(error.value)


def test_nobody_signs_without_an_account() -> None:
    with pytest.raises(ValueError, match="nobody"):
        Calls(Load(function="images"), "me", None)
