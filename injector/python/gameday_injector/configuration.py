"""Reads the configuration from AppConfig and keeps the last good one.

Nothing in here may break the user's function: a fault is one warning, and then a pause.
"""

import functools
import http.client
import json
import math
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from gameday_injector.evidence import warn
from gameday_injector.flags import Flag, parse_flags

if TYPE_CHECKING:
    from mypy_boto3_appconfigdata import AppConfigDataClient

# The shortest interval that StartConfigurationSession accepts, and our pause after a failure.
POLL_INTERVAL_SECONDS = 15
CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 2
# Asking the agent takes some tenths of a millisecond of a whole processor, of which a small
# function has a tenth (benchmarks/injector_idle_cost.py). Beside the agent's own 45 s between
# polls, one more second of age does not matter.
AGENT_CACHE_SECONDS = 1


class Source(Protocol):
    """Where the configuration comes from."""

    def fetch(self) -> tuple[bytes, float]:
        """Return the configuration (empty: unchanged) and the seconds until the next fetch."""
        ...


class Agent:
    """The AppConfig agent's Lambda extension, which polls AppConfig and keeps a copy."""

    def __init__(self, address: str, path: str) -> None:
        self._address = address
        self._path = path

    def fetch(self) -> tuple[bytes, float]:
        """See `Source`.

        Raises:
            OSError, http.client.HTTPException: no answer, or not the configuration.
        """
        # A new connection each time: one kept open would break while Lambda freezes the process.
        connection = http.client.HTTPConnection(self._address, timeout=READ_TIMEOUT_SECONDS)
        try:
            connection.request("GET", self._path)
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise http.client.HTTPException(f"the AppConfig agent answered {response.status}")
            return response.read(), AGENT_CACHE_SECONDS
        finally:
            connection.close()


class DataPlane:
    """AppConfigData itself, for functions without the agent."""

    def __init__(self, application: str, environment: str, profile: str) -> None:
        self._application = application
        self._environment = environment
        self._profile = profile
        self._token = ""

    def fetch(self) -> tuple[bytes, float]:
        """See `Source`; raises botocore's errors."""
        # A token is good for one call: whatever goes wrong now, the next fetch begins a session.
        token, self._token = self._token or self._start_session(), ""
        answer = self._client.get_latest_configuration(ConfigurationToken=token)
        content = answer["Configuration"].read()
        self._token = answer["NextPollConfigurationToken"]
        return content, answer["NextPollIntervalInSeconds"]

    def _start_session(self) -> str:
        session = self._client.start_configuration_session(
            ApplicationIdentifier=self._application,
            EnvironmentIdentifier=self._environment,
            ConfigurationProfileIdentifier=self._profile,
            RequiredMinimumPollIntervalInSeconds=POLL_INTERVAL_SECONDS,
        )
        return session["InitialConfigurationToken"]

    @functools.cached_property
    def _client(self) -> "AppConfigDataClient":
        import boto3
        from botocore.config import Config

        return boto3.client(
            "appconfigdata",
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
                retries={"total_max_attempts": 1},
            ),
        )


class Configuration:
    """The configuration as it stands now.

    `clock` gives epoch seconds. It is the wall clock, because a lease ends at a time of day, and
    because time goes on while Lambda freezes the process.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._content = b""
        self._flags: tuple[Flag, ...] = ()
        self._expires_at = math.inf
        self._next_fetch_at = 0.0

    def flags(self) -> tuple[Flag, ...]:
        """Return the flags to obey in this invocation: none at or after `expires_at`."""
        if self._clock() >= self._next_fetch_at:
            self._refresh()
        return self._flags if self._clock() < self._expires_at else ()

    def _refresh(self) -> None:
        try:
            content, wait_seconds = self._source.fetch()
        except Exception as error:
            wait_seconds = POLL_INTERVAL_SECONDS
            warn("keeping the last configuration: a poll failed", error=repr(error))
        else:
            self._adopt(content)
        self._next_fetch_at = self._clock() + wait_seconds

    def _adopt(self, content: bytes) -> None:
        if content and content != self._content:
            self._content = content
            self._flags, self._expires_at = _parse(content)


def _parse(content: bytes) -> tuple[tuple[Flag, ...], float]:
    """Return the flags and `expires_at`; what cannot be understood injects nothing."""
    try:
        document = json.loads(content)
    except ValueError as error:
        warn("the configuration is not JSON", error=str(error))
        return (), math.inf
    if not isinstance(document, dict):
        warn("the configuration is not a JSON object")
        return (), math.inf
    expires_at = document.get("expires_at", math.inf)
    if not isinstance(expires_at, int | float):
        warn("expires_at must be epoch seconds")
        return (), math.inf
    return parse_flags(document), expires_at


@functools.cache
def find_configuration() -> Configuration:
    """Return this execution environment's configuration; probes once for the agent."""
    application = os.environ.get("FAILURE_APPCONFIG_APPLICATION", "")
    environment = os.environ.get("FAILURE_APPCONFIG_ENVIRONMENT", "")
    profile = os.environ.get("FAILURE_APPCONFIG_CONFIGURATION", "")
    port = os.environ.get("AWS_APPCONFIG_EXTENSION_HTTP_PORT", "2772")
    try:
        socket.create_connection(("localhost", port), CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return Configuration(DataPlane(application, environment, profile))
    path = f"/applications/{application}/environments/{environment}/configurations/{profile}"
    return Configuration(Agent(f"localhost:{port}", path))
