"""The manners of the load: what the stack lets it send, where, and how much of it. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from gameday.secrets import references

if TYPE_CHECKING:
    from gameday.experiment import Load

_PORTS = {"http": 80, "https": 443}
_PLAIN = re.compile(r"[!-\[\]^-~]+")  # printable ASCII without a backslash: read alike by everybody
_UPWARDS = re.compile(r"(^|/)\.\.?(/|$)")


@dataclass(frozen=True)
class Manners:
    """What one stack allows.

    `targets` are hosts, with a port or without (then any), or URL prefixes; `functions` names of
    Lambda functions; `parameters` and `secrets` names of what requests may carry.
    """

    targets: tuple[str, ...]
    functions: tuple[str, ...]
    parameters: tuple[str, ...]
    secrets: tuple[str, ...]
    most_per_second: float
    most_requests: float

    def beyond(self, load: "Load", requests: int) -> Iterator[str]:
        """Why a load of so many requests in all goes too far, and what to do about it."""
        for request in load.sends:
            if request.url and not self._allows(request.url, load):
                yield _unlisted(f"load may not be sent to {request.url}", "its host", "LoadTargets")
            name = request.function and _function(request.function)
            if name and name not in self.functions:
                yield _unlisted(f"load may not invoke function {name!r}", "it", "LoadFunctions")
        if load.peak_per_second > self.most_per_second:
            yield (
                f"the load comes to {load.peak_per_second:g} requests a second, and the stack "
                f"allows {self.most_per_second:g}: lower it, or raise MostRequestsPerSecond"
            )
        if requests > self.most_requests:
            yield (
                f"the run may send {requests} requests, and the stack allows "
                f"{self.most_requests:.0f}: shorten it, lower its rate, or raise MostRequests"
            )
        allowed = {"ssm": self.parameters, "secretsmanager": self.secrets}
        parameter = {"ssm": "SecretParameters", "secretsmanager": "SecretNames"}
        for secret in sorted(set(references(load)), key=str):
            if secret.name not in allowed[secret.service]:
                named = parameter[secret.service]
                yield _unlisted(f"load may not carry {secret}", f"{secret.name!r}", named)

    def _allows(self, url: str, load: "Load") -> bool:
        return bool(_PLAIN.fullmatch(url)) and any(
            _within(url, target, load) for target in self.targets
        )


def _unlisted(why: str, what: str, parameter: str) -> str:
    return f"{why}: add {what} to the parameter {parameter} and deploy Gameday's stack again"


def _function(name_or_arn: str) -> str:
    """The name of a function that is given by its name or ARN, with a qualifier or without."""
    parts = name_or_arn.split(":")
    return parts[6] if parts[0] == "arn" and len(parts) > 6 else parts[0]


def _within(url: str, target: str, load: "Load") -> bool:
    if "://" not in target:
        allowed = urlsplit(f"//{target}")
        asked = urlsplit(url)
        return asked.hostname == allowed.hostname and allowed.port in (None, _port(url))
    if _origin(url) != _origin(target):
        return False
    prefix = urlsplit(target).path.rstrip("/")
    path = urlsplit(url).path.partition("{")[0]  # what is varied may be anything
    varied = "{" in urlsplit(url).path and any(map(_climbs, _values(load)))
    return (path == prefix or path.startswith(f"{prefix}/")) and not (varied or _climbs(url))


def _climbs(path: str) -> bool:
    """Whether a server may read it as a path above what it seems to be in."""
    return bool(_UPWARDS.search(unquote(path)))


def _values(load: "Load") -> Iterator[str]:
    for several in load.values.values():
        yield from several


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, _port(url)


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _PORTS.get(parts.scheme)
