"""Denies the network to named hosts while one invocation runs.

A denied lookup fails as a real one does, so clients see the error they would see in production.
Connections that are open already never look their host up again, so a denial cuts them:

- Those of `http.client` and of what subclasses it (urllib3, requests, botocore) know their host's
  name. They are closed when they are used, and opening them again looks the host up.
- All others (asyncio, aiohttp, httpx, drivers of databases) are known by the address that the
  name was looked up to, and are shut down when the denial begins. Their clients find them at
  their end, as after a failure of the host. Nor is a new connection made to an address that only
  denied hosts have, which a client that caches lookups would do.

Not reached is what looks names up without `socket.getaddrinfo`: libraries in C such as c-ares.
"""

import contextlib
import functools
import http.client
import os
import re
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

type _Address = tuple[str, int]

_MOST_ADDRESSES = 4096
"""Remembered at a time; a host with many addresses gets new ones at every lookup."""


@dataclass(frozen=True)
class _Denial:
    patterns: tuple[re.Pattern[str], ...] = ()
    blocked: list[str] = field(default_factory=list)

    def covers(self, host: str) -> bool:
        return any(pattern.search(host) for pattern in self.patterns)

    def refuse(self, host: str) -> None:
        """Raise what a lookup of a host that is not there raises."""
        self.blocked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


# One for the whole process, not for the thread: a handler's own threads are denied too.
_denial = _Denial()
_hosts: dict[_Address, set[str]] = {}
"""The names that were looked up to an address. Hosts may share one."""


@contextlib.contextmanager
def denied(patterns: tuple[re.Pattern[str], ...]) -> Iterator[list[str]]:
    """Deny every host in which one of `patterns` is found; yield the list of hosts blocked."""
    global _denial
    install()
    _denial = _Denial(patterns)
    try:
        _cut()
        yield _denial.blocked
    finally:
        release()


def release() -> None:
    """Allow every host again; harmless when none is denied."""
    global _denial
    _denial = _Denial()


@functools.cache
def install() -> None:
    """Patch lookups, connections and requests, once; without a denial they do as before."""
    getaddrinfo = socket.getaddrinfo
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    putrequest = http.client.HTTPConnection.putrequest

    def denying_getaddrinfo(host: str | bytes | None, *args: Any, **kwargs: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if name and _denial.covers(name):
            _denial.refuse(name)
        found = getaddrinfo(host, *args, **kwargs)
        if name:
            _remember(name, found)
        return found

    def denying_connect(connection: socket.socket, address: Any) -> None:
        _refuse_cached(address)
        connect(connection, address)

    def denying_connect_ex(connection: socket.socket, address: Any) -> int:
        _refuse_cached(address)
        return connect_ex(connection, address)

    def denying_putrequest(
        connection: http.client.HTTPConnection,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if _denial.covers(connection.host):
            connection.close()  # the request opens it again, which looks the host up
        putrequest(connection, *args, **kwargs)

    socket.getaddrinfo = denying_getaddrinfo
    socket.socket.connect = denying_connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = denying_connect_ex  # type: ignore[method-assign, assignment]
    http.client.HTTPConnection.putrequest = denying_putrequest  # type: ignore[method-assign, assignment]


def _remember(host: str, found: list[Any]) -> None:
    for *_, address in found:
        if address[:2] not in _hosts and len(_hosts) >= _MOST_ADDRESSES:
            _hosts.pop(next(iter(_hosts)), None)
        _hosts.setdefault(address[:2], set()).add(host)


def _names(address: object) -> set[str]:
    """The names under which an address is known; none of what is no internet address."""
    return _hosts.get(address[:2], set()) if isinstance(address, tuple) else set()


def _refuse_cached(address: object) -> None:
    hosts = _names(address)
    if hosts and all(map(_denial.covers, hosts)):
        _denial.refuse(min(hosts))


def _cut() -> None:
    """Shut down every open connection to an address of a denied host, whoever opened it."""
    for number in _open_files():
        with contextlib.suppress(OSError):  # not connected, or closed meanwhile
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as connection:
                if any(map(_denial.covers, _names(connection.getpeername()))):
                    connection.shutdown(socket.SHUT_RDWR)


def _open_files() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # not on Linux, where Lambda never is
        return []
