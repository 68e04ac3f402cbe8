"""A stand-in for the AWS AppConfig agent, whose Lambda extension is not to be had offline.

Its interface is the agent's: GET /applications/A/environments/E/configurations/C on a port of
localhost. As in Lambda it polls only when it is asked and its interval has passed, so that what
nobody invokes stays as it was. Unlike there, one agent serves all functions, and every one of them
may read everything. Source: appconfig/latest/userguide: appconfig-integration-lambda-extensions.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

POLL_INTERVAL_SECONDS = 45.0
"""The default of AWS_APPCONFIG_EXTENSION_POLL_INTERVAL_SECONDS."""

_PATH = re.compile(r"/applications/([^/]+)/environments/([^/]+)/configurations/([^/?]+)")


class _Configuration:
    """One configuration as the agent has it, with the session in which it polls."""

    def __init__(self, data: Any, names: tuple[str, ...], interval_seconds: float) -> None:
        self._data, self._interval_seconds = data, interval_seconds
        self._token = data.start_configuration_session(
            ApplicationIdentifier=names[0],
            EnvironmentIdentifier=names[1],
            ConfigurationProfileIdentifier=names[2],
        )["InitialConfigurationToken"]
        self._content, self._next_poll_at = b"", 0.0

    def content(self) -> bytes:
        if time.monotonic() >= self._next_poll_at:
            answer = self._data.get_latest_configuration(ConfigurationToken=self._token)
            self._token = answer["NextPollConfigurationToken"]
            self._content = answer["Configuration"].read() or self._content  # empty: unchanged
            self._next_poll_at = time.monotonic() + self._interval_seconds
        return self._content


class _Agent(ThreadingHTTPServer):
    def __init__(self, data: Any, interval_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.data, self.interval_seconds = data, interval_seconds
        self._lock = threading.Lock()
        self._configurations: dict[tuple[str, ...], _Configuration] = {}

    def content(self, names: tuple[str, ...]) -> bytes:
        with self._lock:
            if names not in self._configurations:
                self._configurations[names] = _Configuration(
                    self.data, names, self.interval_seconds
                )
            return self._configurations[names].content()


class _Request(BaseHTTPRequestHandler):
    server: _Agent

    def do_GET(self) -> None:
        """Answer a configuration, or what is wrong, as the agent does: a JSON object."""
        found = _PATH.fullmatch(self.path)
        try:
            if not found:
                self._answer(HTTPStatus.BAD_REQUEST, json.dumps({"Message": "no path"}).encode())
            else:
                self._answer(HTTPStatus.OK, self.server.content(found.groups()))
        except Exception as error:  # the target decides what it does without a configuration
            self._answer(HTTPStatus.BAD_GATEWAY, json.dumps({"Message": str(error)}).encode())

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def agent(data: Any, interval_seconds: float = POLL_INTERVAL_SECONDS) -> Iterator[int]:
    """Serve until the end of the block, on the port that is yielded.

    `data` is a client of AppConfigData.
    """
    with _Agent(data, interval_seconds) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
