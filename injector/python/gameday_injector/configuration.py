"""Reads the configuration from AppConfig or Parameter Store.

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
    from botocore.config import Config
    from mypy_boto3_appconfigdata import AppConfigDataClient
    from mypy_boto3_ssm import SSMClient

# The shortest interval that StartConfigurationSession accepts, and our pause after a failure.
POLL_INTERVAL_SECONDS = 15
CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 2
# Asking the agent takes some tenths of a millisecond of a whole processor, of which a small
# function has a tenth (benchmarks/injector_idle_cost.py). Beside the agent's own 45 s between
# polls, one more second of age does not matter.
AGENT_CACHE_SECONDS = 1
# Parameter Store takes 40 requests a second of a whole account, so failure-lambda waits as long.
PARAMETER_CACHE_SECONDS = 60


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

        return boto3.client("appconfigdata", config=_one_short_attempt())


class Parameter:
    """A parameter of Parameter Store, as text or encrypted."""

    def __init__(self, name: str, cache_seconds: float) -> None:
        self._name = name
        self._cache_seconds = cache_seconds

    def fetch(self) -> tuple[bytes, float]:
        """See `Source`; raises botocore's errors."""
        answer = self._client.get_parameter(Name=self._name, WithDecryption=True)
        return answer["Parameter"]["Value"].encode(), self._cache_seconds

    @functools.cached_property
    def _client(self) -> "SSMClient":
        import boto3

        return boto3.client("ssm", config=_one_short_attempt())


def _one_short_attempt() -> "Config":
    # Imported where a client is made: with the agent none is, and boto3 is slow to import.
    from botocore.config import Config

    return Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1},
    )


class Configuration:
    """The configuration as it stands now.

    When a poll fails, what has a lease (`expires_at`) is obeyed until its lease ends, and what
    has none is obeyed no more: it could stay for ever.

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
            warn("a poll failed: only what has a lease is obeyed", error=repr(error))
            if self._expires_at == math.inf:
                self._content, self._flags = b"", ()
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
    except (ValueError, RecursionError) as error:
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


def is_configured() -> bool:
    """Tell whether the environment says where the configuration is."""
    return any(
        os.environ.get(name)
        for name in ("FAILURE_APPCONFIG_CONFIGURATION", "FAILURE_INJECTION_PARAM")
    )


@functools.cache
def find_configuration() -> Configuration:
    """Return this execution environment's configuration; probes once for the agent."""
    return Configuration(_find_source())


def _find_source() -> Source:
    profile = os.environ.get("FAILURE_APPCONFIG_CONFIGURATION", "")
    parameter = os.environ.get("FAILURE_INJECTION_PARAM", "")
    if parameter and not profile:
        return Parameter(parameter, _parameter_cache_seconds())
    application = os.environ.get("FAILURE_APPCONFIG_APPLICATION", "")
    environment = os.environ.get("FAILURE_APPCONFIG_ENVIRONMENT", "")
    port = os.environ.get("AWS_APPCONFIG_EXTENSION_HTTP_PORT", "2772")
    try:
        socket.create_connection(("localhost", port), CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return DataPlane(application, environment, profile)
    path = f"/applications/{application}/environments/{environment}/configurations/{profile}"
    return Agent(f"localhost:{port}", path)


def _parameter_cache_seconds() -> float:
    text = os.environ.get("FAILURE_CACHE_TTL") or str(PARAMETER_CACHE_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if 0 <= seconds < math.inf:
        return seconds
    warn("FAILURE_CACHE_TTL must be seconds: the default is used", found=text)
    return PARAMETER_CACHE_SECONDS
