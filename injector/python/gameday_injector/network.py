"""Denies the network to named hosts while one invocation runs.

A denied lookup fails as a real one does, so clients see the error they would see in production.
A denied host's open connection is closed when it is used, because a connection that is kept alive
would never look its host up again.

Reached are all clients that look up with `socket.getaddrinfo` (asyncio's too), and the open
connections of `http.client` and of what subclasses it: urllib3, requests, botocore.
"""

import contextlib
import functools
import http.client
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class _Denial:
    patterns: tuple[re.Pattern[str], ...] = ()
    blocked: list[str] = field(default_factory=list)

    def covers(self, host: str) -> bool:
        return any(pattern.search(host) for pattern in self.patterns)


# One for the whole process, not for the thread: a handler's own threads are denied too.
_denial = _Denial()


@contextlib.contextmanager
def denied(patterns: tuple[re.Pattern[str], ...]) -> Iterator[list[str]]:
    """Deny every host in which one of `patterns` is found; yield the list of hosts blocked."""
    global _denial
    _install()
    _denial = _Denial(patterns)
    try:
        yield _denial.blocked
    finally:
        release()


def release() -> None:
    """Allow every host again; harmless when none is denied."""
    global _denial
    _denial = _Denial()


@functools.cache
def _install() -> None:
    """Patch lookups and requests, once; without a denial the patches do nothing."""
    getaddrinfo = socket.getaddrinfo
    putrequest = http.client.HTTPConnection.putrequest

    def denying_getaddrinfo(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if name and _denial.covers(name):
            _denial.blocked.append(name)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return getaddrinfo(host, *args, **kwargs)

    def denying_putrequest(
        connection: http.client.HTTPConnection,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if _denial.covers(connection.host):
            connection.close()  # the request opens it again, which looks the host up
        putrequest(connection, *args, **kwargs)

    socket.getaddrinfo = denying_getaddrinfo
    http.client.HTTPConnection.putrequest = denying_putrequest  # type: ignore[method-assign, assignment]
