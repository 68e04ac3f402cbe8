"""The mode `denylist`: real connections to a loopback server."""

import asyncio
import http.client
import http.server
import json
import os
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import aiohttp
import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from gameday_injector import network
from gameday_injector.modes import denylist

LOCALHOST = (re.compile("^local.*$"),)


class Server(http.server.ThreadingHTTPServer):
    connections = 0

    def handle_error(self, *_: object) -> None:
        """A denial cuts connections: say nothing."""


class KeepAliveHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


PATCHED = [
    (socket, "getaddrinfo"),
    (socket.socket, "connect"),
    (socket.socket, "connect_ex"),
    (http.client.HTTPConnection, "putrequest"),
]


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Anew for each test: pytest-socket puts back what it knows of `connect` after each."""
    for owner, name in PATCHED:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    network.install.cache_clear()
    network.install()
    with patch.dict(network._hosts, clear=True):
        yield
    network.install.cache_clear()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), KeepAliveHandler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(connection: http.client.HTTPConnection) -> int:
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    return response.status


def test_a_denied_lookup_fails_as_a_real_one_does() -> None:
    with network.denied(LOCALHOST) as blocked, pytest.raises(socket.gaierror) as raised:
        socket.create_connection(("localhost", 80))
    assert (raised.value.errno, blocked) == (socket.EAI_NONAME, ["localhost"])


def test_a_connection_that_was_open_before_is_denied_and_works_again_afterwards(
    server: Server,
) -> None:
    connection = http.client.HTTPConnection("localhost", server.server_port)
    assert [get(connection), get(connection), server.connections] == [200, 200, 1]
    with network.denied(LOCALHOST) as blocked, pytest.raises(socket.gaierror):
        get(connection)
    connection.close()  # as after any request that failed
    assert (get(connection), blocked) == (200, ["localhost"])
    connection.close()


def test_urllib3s_pool_sees_a_name_that_does_not_resolve(server: Server) -> None:
    with urllib3.PoolManager(retries=False) as pool:
        url = f"http://localhost:{server.server_port}/"
        assert pool.request("GET", url).status == 200
        with (
            network.denied(LOCALHOST) as blocked,
            pytest.raises(urllib3.exceptions.NameResolutionError),
        ):
            pool.request("GET", url)
        assert (pool.request("GET", url).status, blocked) == (200, ["localhost"])


def test_botocores_pool_sees_an_endpoint_that_is_not_there(server: Server) -> None:
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=f"http://localhost:{server.server_port}",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}),
    )
    client.list_tables()
    with network.denied(LOCALHOST) as blocked, pytest.raises(EndpointConnectionError):
        client.list_tables()
    assert blocked == ["localhost"]
    assert client.list_tables()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_host_that_is_not_denied_keeps_its_connection(server: Server) -> None:
    connection = http.client.HTTPConnection("localhost", server.server_port)
    get(connection)
    with network.denied((re.compile("dynamodb"),)) as blocked:
        assert get(connection) == 200
    assert (server.connections, blocked) == (1, [])
    connection.close()


async def read_on(client: aiohttp.ClientSession, url: str) -> int:
    async with client.get(url) as response:
        await response.read()
        return response.status


def test_aiohttps_pool_and_its_cache_of_lookups_are_denied(server: Server) -> None:
    async def story() -> None:
        url = f"http://localhost:{server.server_port}/"
        # Of one family: localhost's other address has no server, and is known no less.
        connector = aiohttp.TCPConnector(family=socket.AF_INET, ttl_dns_cache=3600)
        async with aiohttp.ClientSession(connector=connector) as client:
            assert await read_on(client, url) == 200
            with network.denied(LOCALHOST) as blocked:
                for _ in range(2):  # the first finds its connection cut, or none
                    with pytest.raises(aiohttp.ClientConnectionError):
                        await read_on(client, url)
            assert set(blocked) == {"localhost"}
            assert await read_on(client, url) == 200

    asyncio.run(story())


def test_asyncios_open_stream_ends_when_a_denial_begins(server: Server) -> None:
    async def story() -> None:
        reader, writer = await asyncio.open_connection("localhost", server.server_port)
        with network.denied(LOCALHOST):
            assert await reader.read() == b""
            with pytest.raises(socket.gaierror):
                await asyncio.open_connection("localhost", server.server_port)
        writer.close()

    asyncio.run(story())


def test_a_drivers_open_socket_ends_when_a_denial_begins(server: Server) -> None:
    with (
        socket.create_connection(("localhost", server.server_port)) as connection,
        network.denied(LOCALHOST),
    ):
        assert connection.recv(1) == b""


def test_an_open_socket_to_another_host_stays(server: Server) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.server_port)) as connection,
        network.denied((re.compile("dynamodb"),)),
    ):
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(4) == b"HTTP"


def test_cutting_connections_leaves_no_file_open(server: Server) -> None:
    with socket.create_connection(("localhost", server.server_port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(1)  # by now the server has its file, too
        before = len(os.listdir("/proc/self/fd"))
        with network.denied(LOCALHOST):
            pass
        assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_an_address_that_only_denied_hosts_have_is_denied(server: Server, connect: str) -> None:
    address = socket.getaddrinfo("localhost", server.server_port, socket.AF_INET)[0][4]
    with (
        socket.socket() as connection,
        network.denied(LOCALHOST) as blocked,
        pytest.raises(socket.gaierror),
    ):
        getattr(connection, connect)(address)
    assert blocked == ["localhost"]


def test_an_address_that_a_host_shares_with_a_denied_one_is_allowed(server: Server) -> None:
    address = socket.getaddrinfo("localhost", server.server_port, socket.AF_INET)[0][4]
    socket.getaddrinfo("127.0.0.1", server.server_port)
    with socket.socket() as connection, network.denied(LOCALHOST):
        connection.connect(address)


def test_the_addresses_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_MOST_ADDRESSES", 3)
    for port in range(1, 9):
        socket.getaddrinfo("127.0.0.1", port)
    assert len(network._hosts) == 3


@pytest.mark.parametrize("host", ["localhost", b"localhost"])
def test_a_host_may_be_given_as_text_or_bytes(host: str | bytes) -> None:
    with network.denied(LOCALHOST) as blocked, pytest.raises(socket.gaierror):
        socket.getaddrinfo(host, 80)
    assert blocked == ["localhost"]


def test_a_lookup_without_a_host_is_never_denied() -> None:
    with network.denied((re.compile(""),)) as blocked:
        assert socket.getaddrinfo(None, 80)
    assert blocked == []


def test_a_denial_reaches_the_handlers_own_threads() -> None:
    outcomes = []

    def look_up() -> None:
        with pytest.raises(socket.gaierror) as raised:
            socket.getaddrinfo("localhost", 80)
        outcomes.append(raised.value.errno)

    with network.denied(LOCALHOST):
        thread = threading.Thread(target=look_up)
        thread.start()
        thread.join()
    assert outcomes == [socket.EAI_NONAME]


def test_the_patches_are_installed_once() -> None:
    with network.denied(LOCALHOST):
        patched = socket.getaddrinfo
    with network.denied(LOCALHOST):
        assert socket.getaddrinfo is patched


def test_release_ends_a_denial_that_an_aborted_invocation_left() -> None:
    aborted = network.denied(LOCALHOST)
    aborted.__enter__()
    network.release()
    assert socket.getaddrinfo("localhost", 80)


# The mode


DENY_LOCALHOST: dict[str, Any] = {"deny_list": ["nowhere", "localhost"]}


def look_up_twice() -> str:
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("localhost", 80)
    return "fallback"


def test_the_evidence_counts_the_connections_blocked(capsys: pytest.CaptureFixture[str]) -> None:
    assert denylist(DENY_LOCALHOST)(look_up_twice, None) == "fallback"
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["mode"], line["action"], line["Injected"]) == ("denylist", "block", 2)
    assert line["hostnames"] == ["localhost"]


def test_a_denial_that_blocked_nothing_is_no_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    denylist(DENY_LOCALHOST)(lambda: None, None)
    assert capsys.readouterr().out == ""


def test_a_handler_that_fails_is_released_and_leaves_evidence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(socket.gaierror):
        denylist(DENY_LOCALHOST)(lambda: socket.getaddrinfo("localhost", 80), None)
    assert socket.getaddrinfo("localhost", 80)
    assert json.loads(capsys.readouterr().out)["Injected"] == 1


def test_a_pattern_is_found_anywhere_in_the_name() -> None:
    with pytest.raises(socket.gaierror):
        denylist({"deny_list": ["cal.*st"]})(lambda: socket.getaddrinfo("localhost", 80), None)
