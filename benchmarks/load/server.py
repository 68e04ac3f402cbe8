"""Servers on one port each that behave badly: `stalling`, or one of those that break an answer."""

import asyncio
import itertools
import sys
import time
from typing import cast

STALL_SECONDS, STALL_EVERY_SECONDS = 2, 10
HUGE_BYTES = 100 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Stalling(asyncio.Protocol):
    """For the first 2 s of every 10 s no answer leaves."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffered = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        *requests, self.buffered = (self.buffered + data).split(b"\r\n\r\n")
        for _ in requests:
            into = time.time() % STALL_EVERY_SECONDS
            wait = max(0.0, STALL_SECONDS - into)
            asyncio.get_running_loop().call_later(wait, self.transport.write, OK)


class Silent(asyncio.Protocol):
    """Accepts and never answers."""


class Huge(asyncio.Protocol):
    """Answers with 100 MB."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.going = asyncio.Event()
        self.going.set()

    def data_received(self, data: bytes) -> None:
        self.sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {HUGE_BYTES}\r\n\r\n"
        self.transport.write(head.encode())
        chunk = bytes(256 * 1024)
        for _ in itertools.repeat(None, HUGE_BYTES // len(chunk)):
            await self.going.wait()
            if self.transport.is_closing():
                return
            self.transport.write(chunk)

    def pause_writing(self) -> None:
        self.going.clear()

    def resume_writing(self) -> None:
        self.going.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.going.set()


class Nonsense(asyncio.Protocol):
    """Answers with what is no HTTP."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"220 mail.example ESMTP\r\n\r\n")


class HangingUp(asyncio.Protocol):
    """Accepts and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


SERVERS = {kind.__name__: kind for kind in (Stalling, Silent, Huge, Nonsense, HangingUp)}


async def main() -> None:
    kind, port = SERVERS[sys.argv[1]], int(sys.argv[2])
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
