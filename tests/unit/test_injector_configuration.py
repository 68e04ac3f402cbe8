"""Reading the configuration, and keeping the last good one."""

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.response import StreamingBody
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday_injector.configuration import Agent, Configuration, DataPlane, find_configuration

ERROR_503 = b'{"statuscode": {"enabled": true, "status_code": 503}}'
NOTHING = b'{"statuscode": {"enabled": false}}'
INTERVAL = 15


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class FakeSource:
    """Answers what it is given, in order; an exception is raised."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)

    def fetch(self) -> tuple[bytes, float]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, INTERVAL


def injects(configuration: Configuration) -> bool:
    return bool(configuration.flags())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_fetched_before_the_interval_is_over(clock: Clock) -> None:
    configuration = Configuration(FakeSource(ERROR_503), clock)
    assert injects(configuration)
    clock.now += INTERVAL - 0.001
    assert injects(configuration)


def test_a_new_configuration_is_adopted_when_the_interval_is_over(clock: Clock) -> None:
    configuration = Configuration(FakeSource(ERROR_503, NOTHING), clock)
    assert injects(configuration)
    clock.now += INTERVAL
    assert not injects(configuration)


def test_an_empty_body_means_unchanged(clock: Clock) -> None:
    configuration = Configuration(FakeSource(ERROR_503, b""), clock)
    assert injects(configuration)
    clock.now += INTERVAL
    assert injects(configuration)


def leased(expires_at: object) -> bytes:
    return json.dumps({**json.loads(ERROR_503), "expires_at": expires_at}).encode()


@pytest.mark.parametrize(
    ("content", "obeyed"),
    [(ERROR_503, False), (leased(Clock.now + 3600), True)],
    ids=["without a lease", "with a lease"],
)
def test_after_a_failed_poll_only_what_has_a_lease_is_obeyed(
    clock: Clock, capsys: pytest.CaptureFixture[str], content: bytes, obeyed: bool
) -> None:
    configuration = Configuration(FakeSource(content, TimeoutError("slow"), content), clock)
    assert injects(configuration)
    clock.now += INTERVAL
    assert injects(configuration) == obeyed
    (warning,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (warning["level"], warning["error"]) == ("warn", "TimeoutError('slow')")
    clock.now += INTERVAL
    assert injects(configuration)


def test_after_a_failed_poll_there_is_a_pause(clock: Clock) -> None:
    configuration = Configuration(FakeSource(TimeoutError(), ERROR_503), clock)
    assert not injects(configuration)
    clock.now += INTERVAL - 0.001
    assert not injects(configuration)
    clock.now += 0.001
    assert injects(configuration)


@settings(deadline=None)
@given(seconds=st.floats(-1e6, 1e6))
def test_nothing_is_injected_at_or_after_the_end_of_the_lease(seconds: float) -> None:
    clock = Clock()
    configuration = Configuration(FakeSource(leased(clock.now + seconds)), clock)
    assert injects(configuration) == (clock.now < clock.now + seconds)


def test_the_lease_ends_while_polls_fail(clock: Clock) -> None:
    configuration = Configuration(FakeSource(leased(clock.now + 20), OSError(), OSError()), clock)
    assert injects(configuration)
    clock.now += 16
    assert injects(configuration)
    clock.now += 4
    assert not injects(configuration)


@pytest.mark.parametrize("expires_at", ["2030-01-01", True, None, [], float("nan")])
def test_a_lease_that_cannot_be_read_injects_nothing(clock: Clock, expires_at: object) -> None:
    assert not injects(Configuration(FakeSource(leased(expires_at)), clock))


@pytest.mark.parametrize("garbage", [b"{", b"[]", b"\xff", b"null", b"[" * 200_000])
def test_what_is_no_configuration_switches_everything_off(
    clock: Clock, capsys: pytest.CaptureFixture[str], garbage: bytes
) -> None:
    configuration = Configuration(FakeSource(ERROR_503, garbage), clock)
    assert injects(configuration)
    clock.now += INTERVAL
    assert not injects(configuration)
    assert json.loads(capsys.readouterr().out)["level"] == "warn"


def test_a_fault_is_named_once_and_not_at_every_poll(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration = Configuration(FakeSource(b"[]", b"[]"), clock)
    configuration.flags()
    clock.now += INTERVAL
    configuration.flags()
    assert len(capsys.readouterr().out.splitlines()) == 1


# AppConfigData

START = {
    "ApplicationIdentifier": "app",
    "EnvironmentIdentifier": "env",
    "ConfigurationProfileIdentifier": "profile",
    "RequiredMinimumPollIntervalInSeconds": 15,
}


@pytest.fixture
def plane() -> DataPlane:
    return DataPlane("app", "env", "profile")


@pytest.fixture
def appconfig(plane: DataPlane) -> Iterator[Stubber]:
    client = boto3.client(
        "appconfigdata",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    vars(plane)["_client"] = client  # where cached_property keeps it
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def expect_session(appconfig: Stubber, token: str) -> None:
    appconfig.add_response(
        "start_configuration_session", {"InitialConfigurationToken": token}, START
    )


def expect_poll(appconfig: Stubber, token: str, next_token: str, body: bytes, wait: int) -> None:
    answer: dict[str, Any] = {
        "NextPollConfigurationToken": next_token,
        "NextPollIntervalInSeconds": wait,
        "Configuration": StreamingBody(io.BytesIO(body), len(body)),
    }
    appconfig.add_response("get_latest_configuration", answer, {"ConfigurationToken": token})


def test_each_token_is_used_once_and_the_services_interval_is_obeyed(
    plane: DataPlane, appconfig: Stubber
) -> None:
    expect_session(appconfig, "first")
    expect_poll(appconfig, "first", "second", ERROR_503, 15)
    expect_poll(appconfig, "second", "third", b"", 60)
    assert plane.fetch() == (ERROR_503, 15)
    assert plane.fetch() == (b"", 60)


def test_a_token_that_is_refused_begins_a_new_session(plane: DataPlane, appconfig: Stubber) -> None:
    expect_session(appconfig, "first")
    expect_poll(appconfig, "first", "second", ERROR_503, 15)
    appconfig.add_client_error("get_latest_configuration", "BadRequestException")
    expect_session(appconfig, "fresh")
    expect_poll(appconfig, "fresh", "next", NOTHING, 15)
    plane.fetch()
    with pytest.raises(Exception, match="BadRequestException"):
        plane.fetch()
    assert plane.fetch() == (NOTHING, 15)


def test_a_dead_control_plane_costs_one_short_attempt(
    plane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    config: Any = plane._client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (1, 2)
    assert config.retries["total_max_attempts"] == 1


# Parameter Store


def parameter(monkeypatch: pytest.MonkeyPatch, cache_seconds: str) -> Any:
    monkeypatch.setenv("FAILURE_INJECTION_PARAM", "/conditions")
    monkeypatch.setenv("FAILURE_CACHE_TTL", cache_seconds)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return find_configuration()._source


@pytest.mark.usefixtures("unprobed")
def test_a_parameter_is_read_and_kept_for_the_time_to_live(monkeypatch: pytest.MonkeyPatch) -> None:
    source = parameter(monkeypatch, "5")
    vars(source)["_client"] = client = boto3.client("ssm", "us-east-1")
    with Stubber(client) as ssm:
        ssm.add_response(
            "get_parameter",
            {"Parameter": {"Value": NOTHING.decode()}},
            {"Name": "/conditions", "WithDecryption": True},
        )
        assert source.fetch() == (NOTHING, 5)


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize(
    ("text", "seconds", "warnings"),
    [("", 60, 0), ("0", 0, 0), ("2.5", 2.5, 0), ("soon", 60, 1), ("-1", 60, 1), ("inf", 60, 1)],
)
def test_the_time_to_live_is_the_variables_or_a_minute(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    seconds: float,
    warnings: int,
) -> None:
    assert parameter(monkeypatch, text)._cache_seconds == seconds
    assert len(capsys.readouterr().out.splitlines()) == warnings


@pytest.mark.usefixtures("unprobed")
def test_an_appconfig_profile_comes_before_a_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILURE_APPCONFIG_CONFIGURATION", "profile")
    monkeypatch.setenv("AWS_APPCONFIG_EXTENSION_HTTP_PORT", "1")
    assert isinstance(parameter(monkeypatch, ""), DataPlane)


# Which of them


@pytest.fixture
def unprobed() -> Iterator[None]:
    find_configuration.cache_clear()
    yield
    find_configuration.cache_clear()


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("port", ["1", "not-a-port"])
def test_without_an_agent_appconfigdata_is_asked(
    monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.setenv("AWS_APPCONFIG_EXTENSION_HTTP_PORT", port)
    assert isinstance(find_configuration()._source, DataPlane)


@pytest.mark.usefixtures("unprobed")
def test_where_the_agent_answers_it_is_asked_and_the_probe_is_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probes = []

    class Probe:
        def close(self) -> None:
            probes.append("closed")

    monkeypatch.setattr("socket.create_connection", lambda *_: Probe())
    assert isinstance(find_configuration()._source, Agent)
    assert find_configuration() is find_configuration()
    assert probes == ["closed"]


@pytest.mark.usefixtures("unprobed")
def test_a_missing_variable_is_a_warning_and_never_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("APPLICATION", "ENVIRONMENT", "CONFIGURATION"):
        monkeypatch.delenv(f"FAILURE_APPCONFIG_{name}", raising=False)
    monkeypatch.setenv("AWS_APPCONFIG_EXTENSION_HTTP_PORT", "1")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    assert find_configuration().flags() == ()
    assert json.loads(capsys.readouterr().out)["level"] == "warn"
