"""HTTP/1.1 as servers speak it, well or not: a scripted one on the loopback."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from gameday import wire
from gameday.observations import Failure
from gameday.wire import Call, Origin, Outcome, Wire

pytestmark = pytest.mark.enable_socket  # only for the loopback servers below

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSE, SILENCE = b"close", b"silence"


class Server:
    """For each connection a script: what it answers to each request, in order, or does."""

    def __init__(self, *scripts: Sequence[bytes], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = self._listening.getsockname()[1]
        self.origin = Origin(tls is not None, "localhost" if tls else "127.0.0.1", port)
        self._scripts = list(scripts)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        for script in self._scripts:
            connection, _ = self._listening.accept()
            threading.Thread(target=self._speak, args=(connection, script), daemon=True).start()

    def _speak(self, connection: socket.socket, script: Sequence[bytes]) -> None:
        with suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                self._answer(connection, script)

    def _answer(self, connection: socket.socket, script: Sequence[bytes]) -> None:
        for answer in script:
            if answer == CLOSE:
                return
            if not (request := connection.recv(65_536)):
                return
            self.requests.append(request)
            if answer != SILENCE:
                connection.sendall(answer)
        connection.recv(1)


class Client:
    """A wire, and what became of its requests."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.wire = Wire(lambda _, outcome: self.outcomes.append(outcome))

    def send(self, server: Server, *, timeout_seconds: float = 5, **call: bool) -> None:
        data = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
        expires_ns = time.monotonic_ns() + round(timeout_seconds * 1e9)
        self.wire.send(Call(server.origin, data, **call), None, expires_ns)

    def until(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 5
        while not happened():
            assert time.monotonic() < end, "it did not happen"
            self.wire.turn(0.01)

    def ask(self, server: Server, **call: bool) -> Outcome:
        count = len(self.outcomes)
        self.send(server, **call)
        self.until(lambda: len(self.outcomes) > count)
        return self.outcomes[-1]


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client()
    yield client
    client.wire.close()


def answer(*head: str, body: bytes = b"") -> bytes:
    return "\r\n".join((*head, "", "")).encode() + body


ANSWERS = {
    "as short as can be": answer("HTTP/1.1 200", "Content-Length: 0"),
    "in any case and without spaces": answer("HTTP/1.1 200 OK", "CONTENT-LENGTH:2", body=b"ok"),
    "in chunks": answer(
        "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n"
    ),
    "after another one": answer("HTTP/1.1 103 Early Hints", "Link: a") + OK,
    "of HTTP/1.0 that keeps": answer(
        "HTTP/1.0 200 OK", "Connection: Keep-Alive", "Content-Length: 2", body=b"ok"
    ),
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
def test_a_connection_is_kept_after_an_answer(client: Client, text: bytes) -> None:
    server = Server([text, text])
    assert [client.ask(server), client.ask(server)] == [200, 200]


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_may_come_byte_by_byte(client: Client, text: bytes) -> None:
    ours, theirs = socket.socketpair()
    server = Server([SILENCE])
    client.send(server)
    client.until(lambda: bool(server.requests))
    (connection,) = client.wire._active
    for byte in text:
        assert client.outcomes == []
        theirs.send(bytes([byte]))
        whole, connection.socket = connection.socket, ours
        client.wire._receive(connection)
        connection.socket = whole
    assert client.outcomes == [200]
    ours.close()
    theirs.close()


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(client: Client, status: int) -> None:
    server = Server([answer(f"HTTP/1.1 {status} No body", "Content-Length: 9"), OK])
    assert [client.ask(server), client.ask(server)] == [status, 200]


def test_the_answer_to_head_has_no_body(client: Client) -> None:
    server = Server([answer("HTTP/1.1 200 OK", "Content-Length: 9"), OK])
    assert [client.ask(server, bodiless=True), client.ask(server)] == [200, 200]


@pytest.mark.parametrize(
    "head",
    [
        ("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 2"),
        ("HTTP/1.0 200 OK", "Content-Length: 2"),
    ],
)
def test_a_connection_is_not_kept_against_the_servers_will(
    client: Client, head: Sequence[str]
) -> None:
    server = Server([answer(*head, body=b"ok")], [OK])
    assert [client.ask(server), client.ask(server)] == [200, 200]


def test_a_body_may_end_with_its_connection(client: Client) -> None:
    server = Server([answer("HTTP/1.1 200 OK", body=b"some"), CLOSE])
    assert client.ask(server) == 200


@pytest.mark.parametrize(
    "text",
    [
        b"220 mail.example ESMTP\r\n\r\n",
        answer("HTTP/2 200 OK"),
        answer("HTTP/1.1 two hundred"),
        answer("HTTP/1.1 101 Switching Protocols"),
        answer("HTTP/1.1 200 OK", "Content-Length: -1"),
        answer("HTTP/1.1 200 OK", "Content-Length: many"),
        answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"-2\r\n"),
        answer("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"zz\r\n"),
        b"HTTP/1.1 200 OK\r\nX: " + bytes(100_000),
    ],
)
def test_what_is_no_http_is_an_error(client: Client, text: bytes) -> None:
    assert client.ask(Server([text])) is Failure.OTHER


@pytest.mark.parametrize(
    "text", [b"", b"HTTP/1.1 2", answer("HTTP/1.1 200 OK", "Content-Length: 9", body=b"half")]
)
def test_an_answer_that_breaks_off_is_a_reset(client: Client, text: bytes) -> None:
    server = Server([text or SILENCE, CLOSE])
    assert client.ask(server, repeatable=True) is Failure.RESET


def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(client: Client) -> None:
    server = Server([OK, SILENCE, CLOSE], [OK])
    assert [client.ask(server), client.ask(server, repeatable=True)] == [200, 200]
    assert len(server.requests) == 3


def test_what_must_not_happen_twice_is_not_sent_twice(client: Client) -> None:
    server = Server([OK, SILENCE, CLOSE], [OK])
    assert [client.ask(server), client.ask(server)] == [200, Failure.RESET]
    assert len(server.requests) == 2


def test_a_connection_is_kept_for_a_few_seconds_only(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_IDLE_SECONDS", 0.0)
    monkeypatch.setattr(wire, "_TIDY_EVERY_SECONDS", 0.0)
    server = Server([OK], [OK])
    client.ask(server)
    client.until(lambda: client.wire._open == 0)
    assert client.ask(server) == 200


def test_more_than_the_limit_is_an_overload_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAXIMUM_CONNECTIONS", 1)
    server = Server([SILENCE], [OK])
    client.send(server)
    client.send(server)
    assert client.outcomes == [Failure.OVERLOAD]


def test_a_kept_connection_makes_room_for_another_origin(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAXIMUM_CONNECTIONS", 1)
    assert [client.ask(Server([OK])), client.ask(Server([OK]))] == [200, 200]


def test_a_target_that_never_answers_costs_its_timeout(client: Client) -> None:
    started = time.monotonic()
    client.send(Server([SILENCE]), timeout_seconds=0.2)
    client.until(lambda: bool(client.outcomes))
    assert client.outcomes == [Failure.TIMEOUT]
    assert 0.2 <= time.monotonic() - started < 1
    assert client.wire.in_flight == 0


def test_a_name_that_is_never_resolved_costs_its_timeout_too(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        resolved.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    client.send(Server(), timeout_seconds=0.1)
    client.until(lambda: bool(client.outcomes))
    assert client.outcomes == [Failure.DNS]
    resolved.set()


def test_an_address_that_comes_too_late_is_not_asked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, late = Server([OK]), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        late.wait(5)
        return [(socket.AF_INET, 0, 0, "", server.origin[1:])]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    client.send(server, timeout_seconds=0.1)
    client.until(lambda: bool(client.outcomes))
    late.set()
    client.until(lambda: bool(client.wire._places[server.origin].addresses))
    for _ in range(20):
        client.wire.turn(0.01)
    assert client.outcomes == [Failure.DNS]
    assert client.wire._open == client.wire.in_flight == 0


def test_of_two_addresses_the_one_that_answers_is_taken(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, nobody = Server([OK]), ("127.0.0.1", 1)
    addresses = [(socket.AF_INET, 0, 0, "", one) for one in (nobody, server.origin[1:])]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert client.ask(server) == 200


def test_a_large_request_goes_out_in_parts_and_may_be_answered_early(client: Client) -> None:
    server = Server([answer("HTTP/1.1 413 Too large", "Content-Length: 0")])
    data = b"POST / HTTP/1.1\r\n\r\n" + bytes(20_000_000)
    client.wire.send(Call(server.origin, data), None, time.monotonic_ns() + 5 * 10**9)
    client.until(lambda: bool(client.outcomes))
    assert client.outcomes == [413]
    assert client.wire._open == 0  # what was not sent cannot be taken back


def test_of_an_answer_no_more_than_a_megabyte_is_read(client: Client) -> None:
    length = 100 * wire.MAXIMUM_BODY_BYTES
    server = Server([answer("HTTP/1.1 200 OK", f"Content-Length: {length}", body=bytes(3_000_000))])
    assert client.ask(server) == 200
    assert client.wire._open == 0


def test_a_function_that_breaks_says_so_in_the_head(client: Client) -> None:
    head = ("HTTP/1.1 200 OK", "X-Amz-Function-Error: Unhandled", "Content-Length: 2")
    server = Server([answer(*head, body=b"{}"), answer(*head, body=b"{}")])
    assert client.ask(server, invokes=True) is Failure.FUNCTION
    assert client.ask(server) == 200


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context for localhost, and the certificate by which it is to be trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context, folder / "certificate.pem"


def test_over_tls_a_connection_is_kept_as_well(
    client: Client, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    large = answer("HTTP/1.1 200 OK", "Content-Length: 500000", body=bytes(500_000))
    server = Server([large, OK], tls=tls[0])
    assert [client.ask(server), client.ask(server)] == [200, 200]


def test_a_server_that_nobody_vouches_for_is_not_asked(
    client: Client, tls: tuple[ssl.SSLContext, Path]
) -> None:
    server = Server([OK], tls=tls[0])
    assert client.ask(server) is Failure.TLS
    assert server.requests == []


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 9), min_size=1))
@example([], [1])
def test_a_chunked_body_ends_where_it_ends(parts: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nA: b\r\n\r\n"
    chunks, at, turn = wire._Chunks(), 0, 0
    while at < len(whole):
        size = cuts[turn % len(cuts)]
        ended = chunks.end_in(whole[at : at + size])
        at, turn = at + size, turn + 1
        assert ended is (at >= len(whole))
