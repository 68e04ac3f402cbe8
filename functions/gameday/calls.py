"""The bytes of each request of a load: which of several it is, its values, its signature."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gameday.experiment import Load, Request, WeightedRequest
from gameday.wire import Call, Origin

_SAFE = "/%?:@!$&'()*+,;=~-._"  # of a path or a query: what is quoted stays as it is
_PORTS = {"http": 80, "https": 443}
_SIGNATURE = ("X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-SHA256", "Authorization")
_SIGNED_FOR_SECONDS = 60
"""A signature holds for five minutes, so requests that are alike can share one."""


@dataclass(frozen=True)
class Account:
    """Who signs, and where the functions of this region are invoked."""

    credentials: Credentials
    region: str
    lambda_url: str


class Calls:
    """The requests of a load, by their numbers; equal numbers are equal requests."""

    def __init__(self, load: Load, user_agent: str, account: Account | None) -> None:
        sends = load.sends
        weights = [request.weight for request in sends]
        common = math.gcd(*weights)
        self._weights = [weight // common for weight in weights]
        # One round of all of them, each spread evenly over it.
        self._round = [
            (which, turn)
            for _, which, turn in sorted(
                ((turn + 0.5) / weight, which, turn)
                for which, weight in enumerate(self._weights)
                for turn in range(weight)
            )
        ]
        self._makers = [_maker(request, load.values, user_agent, account) for request in sends]

    def __getitem__(self, number: int) -> Call:
        rounds, place = divmod(number, len(self._round))
        which, turn = self._round[place]
        return self._makers[which](rounds * self._weights[which] + turn)


def _maker(
    request: WeightedRequest,
    values: Mapping[str, Sequence[str]],
    user_agent: str,
    account: Account | None,
) -> Callable[[int], Call]:
    """What makes the n-th of one kind of request."""
    make = partial(_call, request, values, user_agent, account)
    if any(f"{{{name}}}" in text for name in values for text in request.texts):
        return make
    always = make(0)
    if not (request.sign or request.function):
        return lambda _: always
    signed_at = time.monotonic()

    def lately(turn: int) -> Call:
        nonlocal always, signed_at
        if time.monotonic() > signed_at + _SIGNED_FOR_SECONDS:
            always, signed_at = make(turn), time.monotonic()
        return always

    return lately


def _call(
    request: Request,
    values: Mapping[str, Sequence[str]],
    user_agent: str,
    account: Account | None,
    turn: int,
) -> Call:
    chosen = {name: several[turn % len(several)] for name, several in values.items()}
    headers = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
    if request.body is not None:
        headers["Content-Type"] = "text/plain; charset=utf-8"
    headers |= {name.title(): _filled(text, chosen) for name, text in request.headers.items()}
    for name, text in headers.items():
        if not text.isprintable():  # as a secret may be, which the document does not show
            raise ValueError(f"the value of the header {name} is not one line of text")
    headers["User-Agent"] = user_agent
    body = _filled(request.body or "", chosen).encode()
    if request.function is not None:
        return _invocation(request, headers, body, _known(account))
    quoted = {name: quote(value, safe="") for name, value in chosen.items()}
    url = _Url(_filled(request.url or "", quoted))
    if request.sign:
        region = request.sign.region_of(url.text) or _known(account).region
        _sign(request.method, url, headers, body, request.sign.service, region, _known(account))
    return Call(
        origin=url.origin,
        data=_bytes(request.method, url, headers, body),
        bodiless=request.method == "HEAD",
        repeatable=request.method in {"GET", "HEAD", "PUT", "DELETE"},
    )


def _invocation(request: Request, headers: dict[str, str], body: bytes, account: Account) -> Call:
    """The Invoke operation (Lambda API Reference), which is a signed POST."""
    function = quote(request.function or "", safe="")
    url = _Url(f"{account.lambda_url}/2015-03-31/functions/{function}/invocations")
    kind = {"synchronous": "RequestResponse", "asynchronous": "Event"}[request.invocation]
    headers |= {"Content-Type": "application/json", "X-Amz-Invocation-Type": kind}
    _sign("POST", url, headers, body, "lambda", account.region, account)
    return Call(origin=url.origin, data=_bytes("POST", url, headers, body), invokes=True)


def _known(account: Account | None) -> Account:
    if account is None:
        raise ValueError("nobody is there to sign a request")
    return account


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


class _Url:
    """An address as it is sent: nothing but ASCII, and no fragment."""

    def __init__(self, text: str) -> None:
        parts = urlsplit(text)
        host = parts.hostname or ""
        host = host if host.isascii() else host.encode("idna").decode()
        port = parts.port or _PORTS[parts.scheme]
        self.origin = Origin(parts.scheme == "https", host, port)
        shown = f"[{host}]" if ":" in host else host
        self.host = shown if port == _PORTS[parts.scheme] else f"{shown}:{port}"
        query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
        self.path = quote(parts.path or "/", safe=_SAFE) + query
        self.text = f"{parts.scheme}://{self.host}{self.path}"


def _sign(
    method: str,
    url: _Url,
    headers: dict[str, str],
    body: bytes,
    service: str,
    region: str,
    account: Account,
) -> None:
    """Add what AWS Signature Version 4 asks for, with the credentials of this moment."""
    request = AWSRequest(method, url.text, {**headers, "Host": url.host}, body)
    SigV4Auth(account.credentials.get_frozen_credentials(), service, region).add_auth(request)
    headers |= {name: request.headers[name] for name in _SIGNATURE if name in request.headers}


def _bytes(method: str, url: _Url, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = {"Host": url.host, **headers}
    if body or method in {"POST", "PUT", "PATCH"}:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {url.path} HTTP/1.1\r\n{head}\r\n".encode() + body
