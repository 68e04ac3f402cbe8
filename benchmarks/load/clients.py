"""How many requests a second each client makes of one core: closed model, 50 connections.

Runs in the bench's own virtual environment, but for `wire`: ours.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast
from urllib.parse import SplitResult, urlsplit

CONNECTIONS = 50
WARM_UP_SECONDS = 1.0


class Count:
    """Counts what ends between the warm-up and the end."""

    def __init__(self, seconds: float) -> None:
        self.start = time.monotonic() + WARM_UP_SECONDS
        self.end, self.seconds, self.requests = self.start + seconds, seconds, 0

    def one(self) -> bool:
        """Count an answer; whether there shall be another request."""
        now = time.monotonic()
        self.requests += now > self.start
        return now < self.end


async def _many(count: Count, one: Callable[[], Awaitable[object]]) -> None:
    async def loop() -> None:
        await one()
        while count.one():
            await one()

    await asyncio.gather(*(loop() for _ in range(CONNECTIONS)))


async def _aiohttp(url: str, count: Count) -> None:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def one() -> None:
            async with session.get(url, allow_redirects=False) as response:
                await response.read()

        await _many(count, one)


def aiohttp(url: str, count: Count) -> None:
    asyncio.run(_aiohttp(url, count))


def aiohttp_on_uvloop(url: str, count: Count) -> None:
    import uvloop

    uvloop.run(_aiohttp(url, count))


def pyreqwest(url: str, count: Count) -> None:
    import uvloop
    from pyreqwest.client import ClientBuilder

    async def run() -> None:
        async with ClientBuilder().build() as client:

            async def one() -> None:
                response = await client.get(url).build().send()
                await response.bytes()

            await _many(count, one)

    uvloop.run(run())


def protocol_on_uvloop(url: str, count: Count) -> None:
    """An asyncio protocol that parses with httptools, without a task for each request."""
    import httptools
    import uvloop

    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()

    class Protocol(asyncio.Protocol):
        def __init__(self, ended: asyncio.Future[None]) -> None:
            self.ended, self.parser = ended, httptools.HttpResponseParser(self)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)
            self.transport.write(request)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_message_complete(self) -> None:
            if count.one():
                self.transport.write(request)
            elif not self.ended.done():
                self.ended.set_result(None)

    uvloop.run(_connected(parts, Protocol))


async def _connected(
    parts: SplitResult, protocol: Callable[[asyncio.Future[None]], asyncio.Protocol]
) -> None:
    loop, address = asyncio.get_running_loop(), (parts.hostname or "", parts.port or 80)
    ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(CONNECTIONS)]
    for end in ends:
        await loop.create_connection(partial(protocol, end), *address)
    await asyncio.gather(*ends)


def pycurl(url: str, count: Count) -> None:
    import pycurl as curl

    multi = curl.CurlMulti()
    for _ in range(CONNECTIONS):
        handle = curl.Curl()
        handle.setopt(curl.URL, url)
        handle.setopt(curl.WRITEFUNCTION, len)
        multi.add_handle(handle)
    going = True
    while going:
        while multi.perform()[0] == curl.E_CALL_MULTI_PERFORM:
            pass
        _, ended, broken = multi.info_read()
        assert not broken
        for handle in ended:
            multi.remove_handle(handle)
            if going := count.one():
                multi.add_handle(handle)
        multi.select(1.0)


def wire(url: str, count: Count) -> None:
    from gameday.wire import Call, Origin, Wire

    parts = urlsplit(url)
    data = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
    call = Call(Origin(False, parts.hostname or "", parts.port or 80), data)
    going = True

    def ended(token: object, outcome: object) -> None:
        nonlocal going
        assert outcome == 200
        if going := count.one():
            connections.send(call, None, time.monotonic_ns() + 10**10)

    connections = Wire(ended)
    for _ in range(CONNECTIONS):
        connections.send(call, None, time.monotonic_ns() + 10**10)
    while going:
        connections.turn(0.1)
    connections.close()


CLIENTS = {
    function.__name__: function
    for function in (wire, protocol_on_uvloop, pyreqwest, pycurl, aiohttp_on_uvloop, aiohttp)
}


def main() -> None:
    name, url, seconds = sys.argv[1:]
    count, cpu = Count(float(seconds)), time.process_time()
    CLIENTS[name](url, count)
    json.dump(
        {"rate": count.requests / count.seconds, "cpu": time.process_time() - cpu}, sys.stdout
    )


if __name__ == "__main__":
    main()
