"""HTTP/1.1 over many connections at once, from one thread: what a load is sent with.

Made for requests that nobody reads the answers of: an answer is followed to its last byte, by
what its head says, and counted. Memory is bounded by the number of connections, not by what a
target sends. Non-blocking sockets and one selector, because a task for each request costs more
than the request (docs/load.md).
"""

import errno
import math
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, NamedTuple, cast

from gameday.observations import Failure

MAXIMUM_CONNECTIONS = 900
"""A Lambda function may open 1,024 files, and a connection is one (Lambda quotas)."""

MAXIMUM_BODY_BYTES = 1024 * 1024
"""How much of an answer is read before its connection is closed."""

_MAXIMUM_HEAD_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_IDLE_SECONDS = 4.0  # Node's servers close after 5 s, and a request must not meet that
_RESOLVED_SECONDS = 10.0
_TIDY_EVERY_SECONDS = 0.5


class Origin(NamedTuple):
    """Where connections lead."""

    secure: bool
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it goes over the wire.

    Attributes:
        origin: where to.
        data: head and body.
        bodiless: whether its answer has no body, whatever the answer's head says.
        repeatable: whether it may be sent again when a connection that was kept turns out closed
            (RFC 9110, 9.2.2).
        invokes: whether the answer's head may say that a Lambda function broke.
    """

    origin: Origin
    data: bytes
    bodiless: bool = False
    repeatable: bool = False
    invokes: bool = False


type Outcome = int | Failure
"""The status of an answer, or why there is none."""

type _Address = tuple[socket.AddressFamily, Any]


class _Chunks:
    """Finds the end of a chunked body (RFC 9112, 7.1)."""

    __slots__ = ("_last", "_left", "_line")

    def __init__(self) -> None:
        self._line, self._left, self._last = b"", 0, False

    def end_in(self, data: bytes) -> bool:
        """Whether the body ends with these bytes.

        Raises:
            ValueError: when they are no chunks.
        """
        at = 0
        while at < len(data):
            if self._left:
                taken = min(self._left, len(data) - at)
                self._left -= taken
                at += taken
                continue
            newline = data.find(b"\n", at)
            self._line += data[at : newline + 1 or None]
            if len(self._line) > _MAXIMUM_HEAD_BYTES:
                raise ValueError("a line without end")
            if newline < 0:
                return False
            at, line, self._line = newline + 1, self._line.strip(), b""
            if self._last and not line:
                return True
            if not self._last:
                self._begin(int(line.partition(b";")[0], 16))
        return False

    def _begin(self, size: int) -> None:
        if size < 0:
            raise ValueError("a size below zero")
        self._last = size == 0
        self._left = size + 2 if size else 0  # with the end of the line


class _Connection:
    """One socket, and the request that it is busy with, or was, while it is kept."""

    __slots__ = (
        "addresses",
        "call",
        "chunks",
        "events",
        "expires_ns",
        "head",
        "idle_since",
        "keep",
        "left",
        "outcome",
        "place",
        "reused",
        "socket",
        "step",
        "token",
        "unread",
        "unsent",
    )

    def __init__(self, place: "_Place") -> None:
        self.place = place
        self.socket: socket.socket | None = None
        self.step: Callable[[_Connection], None]
        self.addresses: list[_Address] = []
        self.events = 0
        self.idle_since = 0.0

    def take(self, call: Call, token: Any, expires_ns: int, *, reused: bool) -> None:
        """Begin with a request."""
        self.call, self.token, self.expires_ns, self.reused = call, token, expires_ns, reused
        self.unsent: bytes | memoryview = call.data
        self.head = b""
        self.outcome: Outcome | None = None  # until the head of its answer is there
        self.chunks: _Chunks | None = None
        self.left: float = 0
        self.keep = False
        self.unread = MAXIMUM_BODY_BYTES


class _Place:
    """What is known about an origin, and the connections that are kept for it."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: list[_Connection] = []
        self.waiting: list[_Connection] = []
        self.addresses: list[_Address] = []
        self.resolved_at = -math.inf
        self.resolving = False


class Wire:
    """Sends, and says of each request once what became of it.

    Args:
        ended: called from `turn` or `send`, with a request's token and its outcome.
    """

    def __init__(self, ended: Callable[[Any, Outcome], None]) -> None:
        self._ended = ended
        self._selector = selectors.DefaultSelector()
        self._places: dict[Origin, _Place] = {}
        self._active: set[_Connection] = set()
        self._open = 0
        self._next_expiry_ns = 0
        self._next_tidying = 0.0
        self._tls: ssl.SSLContext | None = None
        self._resolved: SimpleQueue[tuple[_Place, list[_Address]]] = SimpleQueue()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)

    @property
    def in_flight(self) -> int:
        """How many requests have not ended."""
        return len(self._active)

    def close(self) -> None:
        """Cut off whatever is left, without a word."""
        idle = [connection for place in self._places.values() for connection in place.idle]
        for connection in [*self._active, *idle]:
            self._disconnect(connection)
        self._selector.close()
        self._woken.close()
        self._waker.close()

    def send(self, call: Call, token: Any, expires_ns: int) -> None:
        """Let a request leave, over a connection that was kept if there is one.

        It ends by `expires_ns` of the monotonic clock, no earlier than requests before it.
        """
        place = self._places.get(call.origin) or self._places.setdefault(
            call.origin, _Place(call.origin)
        )
        if place.idle:
            connection = place.idle.pop()
            connection.take(call, token, expires_ns, reused=True)
            self._activate(connection)
            self._transmit(connection)
        elif self._open < MAXIMUM_CONNECTIONS or self._made_room():
            self._begin(place, call, token, expires_ns)
        else:
            self._ended(token, Failure.OVERLOAD)

    def turn(self, wait_seconds: float) -> None:
        """Wait for something to happen, at most so long, and do what follows."""
        for key, _ in self._selector.select(wait_seconds):
            connection = key.data
            if connection is None:
                self._take_addresses()
            elif connection.socket:  # else what came before it in this turn closed it
                connection.step(connection)
        now_ns = time.monotonic_ns()
        if self._active and now_ns >= self._next_expiry_ns:
            self._expire(now_ns)
        if now_ns >= self._next_tidying:
            self._next_tidying = now_ns + _TIDY_EVERY_SECONDS * 1e9
            self._tidy(now_ns / 1e9)

    def _expire(self, now_ns: int) -> None:
        for connection in [one for one in self._active if one.expires_ns <= now_ns]:
            # Without a socket it still waits for an address to connect to.
            self._fail(connection, Failure.TIMEOUT if connection.socket else Failure.DNS)
        self._next_expiry_ns = min((one.expires_ns for one in self._active), default=0)

    def _tidy(self, now: float) -> None:
        for place in self._places.values():
            for connection in [c for c in place.idle if c.idle_since < now - _IDLE_SECONDS]:
                self._disturbed(connection)

    # -- connections: addresses, sockets, handshakes

    def _begin(self, place: _Place, call: Call, token: Any, expires_ns: int) -> None:
        connection = _Connection(place)
        connection.take(call, token, expires_ns, reused=False)
        self._open += 1
        self._activate(connection)
        if time.monotonic() > place.resolved_at + _RESOLVED_SECONDS and not place.resolving:
            place.resolving = True  # in a thread that nobody waits for: a resolver may hang
            threading.Thread(target=self._resolve, args=(place,), daemon=True).start()
        if place.addresses:
            connection.addresses = [*place.addresses]
            self._connect(connection)
        else:
            place.waiting.append(connection)

    def _activate(self, connection: _Connection) -> None:
        if not self._active:
            self._next_expiry_ns = connection.expires_ns
        self._active.add(connection)

    def _made_room(self) -> bool:
        """Close a connection that is kept for another origin."""
        kept = next((place.idle for place in self._places.values() if place.idle), None)
        if kept is None:
            return False
        self._disturbed(kept[0])
        return True

    def _resolve(self, place: _Place) -> None:
        addresses: list[_Address] = []
        with suppress(OSError, UnicodeError):
            _, host, port = place.origin
            for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                addresses.append((info[0], info[4]))
        self._resolved.put((place, addresses))
        with suppress(OSError):  # closed meanwhile
            self._waker.send(b"!")

    def _take_addresses(self) -> None:
        self._woken.recv(_READ_BYTES)
        while not self._resolved.empty():
            place, addresses = self._resolved.get()
            place.resolving, place.addresses = False, addresses
            place.resolved_at = time.monotonic() if addresses else -math.inf
            waiting, place.waiting = place.waiting, []
            for connection in waiting:
                if connection not in self._active:
                    continue  # its time was over before
                if addresses:
                    connection.addresses = [*addresses]
                    self._connect(connection)
                else:
                    self._fail(connection, Failure.DNS)

    def _connect(self, connection: _Connection) -> None:
        """Try the next address."""
        family, address = connection.addresses.pop(0)
        try:
            connection.socket = one = socket.socket(family, socket.SOCK_STREAM)
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            error = one.connect_ex(address)
        except OSError as failed:
            self._fail(connection, failure_of(failed))
            return
        connection.step, connection.events = self._connected, selectors.EVENT_WRITE
        self._selector.register(one, selectors.EVENT_WRITE, connection)
        if error not in (0, errno.EINPROGRESS):
            self._not_connected(connection, error)

    def _not_connected(self, connection: _Connection, error: int) -> None:
        if connection.addresses:
            self._close_socket(connection)
            self._connect(connection)
        else:
            self._fail(connection, failure_of(OSError(error, "")))

    def _connected(self, connection: _Connection) -> None:
        one = cast(socket.socket, connection.socket)
        if error := one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._not_connected(connection, error)
            return
        origin = connection.place.origin
        if not origin.secure:
            self._transmit(connection)
            return
        try:
            connection.socket = self._context().wrap_socket(
                one, server_hostname=origin.host, do_handshake_on_connect=False
            )
        except (OSError, ValueError):
            self._fail(connection, Failure.TLS)
            return
        connection.step = self._shake_hands
        self._shake_hands(connection)

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _shake_hands(self, connection: _Connection) -> None:
        try:
            cast(ssl.SSLSocket, connection.socket).do_handshake()
        except ssl.SSLWantReadError:
            self._listen(connection, selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._listen(connection, selectors.EVENT_WRITE)
        except OSError as error:
            self._fail(connection, failure_of(error))
        else:
            self._transmit(connection)

    def _listen(self, connection: _Connection, events: int) -> None:
        if connection.events != events:
            connection.events = events
            self._selector.modify(cast(socket.socket, connection.socket), events, connection)

    # -- requests and answers

    def _transmit(self, connection: _Connection) -> None:
        """Send what is unsent, and listen from then on."""
        try:
            sent = cast(socket.socket, connection.socket).send(connection.unsent)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError as error:
            self._lost(connection, failure_of(error))
            return
        if sent == len(connection.unsent):
            connection.unsent, connection.step = b"", self._receive
            self._listen(connection, selectors.EVENT_READ)
        else:
            connection.unsent = memoryview(connection.unsent)[sent:]
            connection.step = self._exchange
            self._listen(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _exchange(self, connection: _Connection) -> None:
        """Look for an answer before sending on: a target may answer before it has read all."""
        self._receive(connection)
        if connection in self._active and connection.socket and connection.unsent:
            self._transmit(connection)

    def _receive(self, connection: _Connection) -> None:
        try:
            data = cast(socket.socket, connection.socket).recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._lost(connection, failure_of(error))
            return
        if not data:
            self._hung_up(connection)
        elif connection.outcome is None:
            self._read_head(connection, data)
        else:
            self._read_body(connection, data)

    def _read_head(self, connection: _Connection, data: bytes) -> None:
        head = connection.head + data
        end = head.find(b"\r\n\r\n")
        try:
            if end < 0:
                connection.head = head
                if len(head) > _MAXIMUM_HEAD_BYTES:
                    raise ValueError("a head without end")  # noqa: TRY301
                return
            status = self._understand(connection, head[: end + 2])
        except ValueError:
            self._fail(connection, Failure.OTHER)
            return
        if status < 200:  # the answer itself is still to come
            connection.head = b""
            self._read_head(connection, head[end + 4 :])
        else:
            self._read_body(connection, head[end + 4 :])

    def _understand(self, connection: _Connection, head: bytes) -> int:
        """Learn from a head how its body ends (RFC 9112, 6.3); return the status.

        Raises:
            ValueError: when that is no answer in HTTP/1.1.
        """
        call, status = connection.call, int(head[9:12])
        if not head.startswith(b"HTTP/1.") or status < 100 or status == 101:
            raise ValueError("not HTTP/1.1")
        if status < 200:
            return status
        head = head.lower()
        said = _value(head, b"\r\nconnection:")
        connection.keep = b"close" not in said and (head[7:8] == b"1" or b"keep-alive" in said)
        if call.bodiless or status in (204, 304):
            connection.left = 0
        elif b"chunked" in _value(head, b"\r\ntransfer-encoding:"):
            connection.left, connection.chunks = math.inf, _Chunks()
        elif length := _value(head, b"\r\ncontent-length:"):
            connection.left = int(length)
        else:
            connection.left, connection.keep = math.inf, False
        if connection.left < 0:
            raise ValueError("a length below zero")
        broke = call.invokes and b"\r\nx-amz-function-error:" in head
        connection.outcome = Failure.FUNCTION if broke else status
        return status

    def _read_body(self, connection: _Connection, data: bytes) -> None:
        connection.unread -= len(data)
        connection.left -= len(data)
        ended = connection.left <= 0
        if connection.chunks:
            try:
                ended = connection.chunks.end_in(data)
            except ValueError:
                self._fail(connection, Failure.OTHER)
                return
        if ended or connection.unread <= 0:
            whole = ended and connection.left >= 0 and not connection.unsent
            self._end(connection, cast(Outcome, connection.outcome), keep=whole and connection.keep)

    def _hung_up(self, connection: _Connection) -> None:
        if connection.outcome is not None and connection.left == math.inf and not connection.chunks:
            self._end(connection, connection.outcome, keep=False)  # that is how its body ends
        else:
            self._lost(connection, Failure.RESET)

    def _lost(self, connection: _Connection, failure: Failure) -> None:
        """The connection is gone. If it was a kept one, the request may never have arrived."""
        unanswered = connection.outcome is None and not connection.head
        if connection.reused and connection.call.repeatable and unanswered:
            self._disconnect(connection)
            self._begin(connection.place, connection.call, connection.token, connection.expires_ns)
        else:
            self._fail(connection, failure)

    # -- the end of a request, and of a connection

    def _fail(self, connection: _Connection, failure: Failure) -> None:
        self._end(connection, failure, keep=False)

    def _end(self, connection: _Connection, outcome: Outcome, *, keep: bool) -> None:
        if keep:
            self._active.discard(connection)
            connection.step = self._disturbed
            connection.idle_since = time.monotonic()
            connection.place.idle.append(connection)
        else:
            self._disconnect(connection)
        self._ended(connection.token, outcome)

    def _disturbed(self, connection: _Connection) -> None:
        """A kept connection was closed, or spoke unasked, or is kept no longer."""
        connection.place.idle.remove(connection)
        self._disconnect(connection)

    def _disconnect(self, connection: _Connection) -> None:
        self._active.discard(connection)
        self._close_socket(connection)
        self._open -= 1

    def _close_socket(self, connection: _Connection) -> None:
        if connection.socket is None:
            return
        if connection.events:
            self._selector.unregister(connection.socket)
            connection.events = 0
        connection.socket.close()
        connection.socket = None


def _value(head: bytes, name: bytes) -> bytes:
    """What stands behind a name in a head in lower case; nothing where it is not in it."""
    at = head.find(name)
    return b"" if at < 0 else head[at + len(name) : head.find(b"\r\n", at + 2)].strip()


_FAILURES_BY_ERRNO: dict[int | None, Failure] = {
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ECONNRESET: Failure.RESET,
    errno.ECONNABORTED: Failure.RESET,
    errno.EPIPE: Failure.RESET,
    errno.ETIMEDOUT: Failure.TIMEOUT,
    # Out of files, or of ports: the worker's limit, not the target's fault.
    errno.EMFILE: Failure.OVERLOAD,
    errno.EADDRNOTAVAIL: Failure.OVERLOAD,
}


def failure_of(error: OSError) -> Failure:
    """The one name of an error of the network."""
    if isinstance(error, ssl.SSLError):
        return Failure.TLS
    return _FAILURES_BY_ERRNO.get(error.errno, Failure.OTHER)
