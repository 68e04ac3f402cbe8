"""The decorator, with a real HTTP server in the AppConfig agent's place."""

import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday_injector import InjectedException, configuration, inject, network
from gameday_injector.modes import LONGEST_LATENCY_MS

type Deploy = Callable[[object], None]

ENVIRONMENT = {
    "FAILURE_APPCONFIG_APPLICATION": "app",
    "FAILURE_APPCONFIG_ENVIRONMENT": "env",
    "FAILURE_APPCONFIG_CONFIGURATION": "profile",
    "AWS_LAMBDA_FUNCTION_NAME": "purchase",
}
PATH = "/applications/app/environments/env/configurations/profile"


class FakeAgent(http.server.ThreadingHTTPServer):
    """Serves `document` where the agent would; everything else is 404."""

    document: object = {}
    status = 200
    requests = 0


class AgentHandler(http.server.BaseHTTPRequestHandler):
    server: FakeAgent

    def do_GET(self) -> None:
        self.server.requests += 1
        body = json.dumps(self.server.document).encode()
        self.send_response(self.server.status if self.path == PATH else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the evidence that the tests read free of access logs."""


@pytest.fixture(scope="module")
def agent() -> Iterator[FakeAgent]:
    with (
        FakeAgent(("127.0.0.1", 0), AgentHandler) as server,
        pytest.MonkeyPatch.context() as patched,
    ):
        for name, value in ENVIRONMENT.items():
            patched.setenv(name, value)
        patched.setenv("AWS_APPCONFIG_EXTENSION_HTTP_PORT", str(server.server_port))
        patched.setattr(configuration, "AGENT_CACHE_SECONDS", 0)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        configuration.find_configuration.cache_clear()
        yield server
        configuration.find_configuration.cache_clear()
        server.shutdown()
        thread.join()


@pytest.fixture
def deploy(agent: FakeAgent) -> Deploy:
    def deploy(document: object) -> None:
        agent.document = document

    return deploy


def evidence(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def on(mode: str, **attributes: object) -> dict[str, object]:
    return {mode: {"enabled": True, **attributes}}


def answer(_event: object, _context: object) -> object:
    return "the handler's own answer"


def invoke(event: object = None, handler: Callable[[Any, Any], object] = answer) -> object:
    return inject(handler)(event, None)


def test_without_a_configuration_the_handler_itself_is_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FAILURE_APPCONFIG_CONFIGURATION", raising=False)
    assert inject(answer) is answer


def test_a_wrapped_handler_keeps_its_name(deploy: Deploy) -> None:
    assert inject(answer).__name__ == "answer"


def test_a_condition_is_obeyed_at_the_next_invocation_and_gone_at_the_one_after(
    deploy: Deploy,
) -> None:
    deploy(on("statuscode", status_code=404))
    injected = invoke()
    deploy({"statuscode": {"enabled": False, "status_code": 404}})
    assert (injected != answer(None, None), invoke()) == (True, answer(None, None))


def test_a_status_code_is_answered_exactly_as_failure_lambda_does(deploy: Deploy) -> None:
    deploy(on("statuscode", status_code=404))
    assert invoke() == {
        "statusCode": 404,
        "headers": {"Content-Type": "application/json"},
        "body": '{"message":"Injected status code 404"}',
    }


def test_a_status_code_skips_the_handler(deploy: Deploy) -> None:
    deploy(on("statuscode"))
    invoke(handler=lambda _event, _context: pytest.fail("the handler ran"))


def test_an_exception_is_raised_in_the_handlers_place(deploy: Deploy) -> None:
    deploy(on("exception", exception_msg="boom"))
    with pytest.raises(InjectedException, match=r"^boom$"):
        invoke(handler=lambda _event, _context: pytest.fail("the handler ran"))


def test_the_defaults_are_those_of_failure_lambda(deploy: Deploy) -> None:
    deploy(on("statuscode"))
    status = invoke()
    deploy(on("exception"))
    with pytest.raises(InjectedException, match=r"^Injected exception$"):
        invoke()
    assert isinstance(status, dict)
    assert status["statusCode"] == 500


@settings(deadline=None)
@given(bounds=st.lists(st.integers(0, LONGEST_LATENCY_MS), min_size=2, max_size=2))
def test_a_latency_lies_within_its_bounds(agent: FakeAgent, bounds: list[int]) -> None:
    low, high = sorted(bounds)
    agent.document = on("latency", min_latency=low, max_latency=high)
    with patch("time.sleep") as sleep, patch("builtins.print"):
        assert invoke() == answer(None, None)
    assert low / 1000 <= sleep.call_args.args[0] <= high / 1000


@pytest.mark.parametrize("mode", ["latency", "statuscode", "exception", "denylist"])
def test_percentage_zero_never_injects(
    agent: FakeAgent, deploy: Deploy, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    deploy(on(mode, percentage=0, deny_list=["."], min_latency=1, max_latency=1))
    assert {invoke() for _ in range(50)} == {answer(None, None)}
    assert evidence(capsys) == []


def test_the_lowest_latency_alone_is_the_latency(deploy: Deploy) -> None:
    deploy(on("latency", min_latency=100))
    with patch("time.sleep") as sleep:
        invoke()
    sleep.assert_called_once_with(0.1)


@settings(deadline=None)
@given(percentage=st.integers(0, 100), roll=st.floats(0, 1, exclude_max=True))
def test_a_flag_applies_when_the_roll_is_below_its_percentage(
    agent: FakeAgent, percentage: int, roll: float
) -> None:
    agent.document = on("statuscode", percentage=percentage)
    with (
        patch("gameday_injector.modes.dice.random", return_value=roll),
        patch("builtins.print"),
    ):
        injected = invoke() != answer(None, None)
    assert injected == (roll * 100 < percentage)


def test_every_flag_rolls_for_itself(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    deploy(on("latency") | on("statuscode", percentage=0))
    invoke()
    assert [line["mode"] for line in evidence(capsys)] == ["latency"]


def test_latency_comes_before_the_status_code_which_comes_before_the_exception(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(on("exception") | on("statuscode") | on("latency"))
    invoke()
    assert [line["mode"] for line in evidence(capsys)] == ["latency", "statuscode"]


def test_the_evidence_is_a_log_line_and_a_metric_in_one(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(on("latency", min_latency=2, max_latency=2))
    invoke()
    (line,) = evidence(capsys)
    stamp = line["_aws"].pop("Timestamp")
    assert line == {
        "source": "gameday-injector",
        "level": "info",
        "mode": "latency",
        "action": "inject",
        "latency_ms": 2,
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "Gameday",
                    "Dimensions": [["FunctionName", "Mode"]],
                    "Metrics": [{"Name": "Injected", "Unit": "Count"}],
                }
            ]
        },
        "FunctionName": "purchase",
        "Mode": "latency",
        "Injected": 1,
    }
    assert stamp == pytest.approx(time.time() * 1000, abs=60_000)


def test_a_handlers_own_error_passes_and_the_evidence_stays(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(on("latency"))
    with pytest.raises(ZeroDivisionError):
        invoke(handler=lambda _event, _context: 1 // 0)
    assert [line["mode"] for line in evidence(capsys)] == ["latency"]


def test_a_latency_leaves_its_evidence_before_the_sleep(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(on("latency"))
    with patch("time.sleep", side_effect=SystemExit), pytest.raises(SystemExit):
        invoke()
    assert [line["mode"] for line in evidence(capsys)] == ["latency"]


def test_what_an_aborted_invocation_denied_is_allowed_in_the_next(deploy: Deploy) -> None:
    deploy({})
    aborted = network.denied((re.compile("localhost"),))
    aborted.__enter__()
    assert invoke(handler=lambda _event, _context: socket.getaddrinfo("localhost", 80))


def test_the_agents_answer_serves_all_invocations_of_its_time(
    agent: FakeAgent, deploy: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy({})
    monkeypatch.setattr(configuration, "AGENT_CACHE_SECONDS", 3600)
    configuration.find_configuration.cache_clear()
    asked = agent.requests
    invoke()
    invoke()
    configuration.find_configuration.cache_clear()
    assert agent.requests == asked + 1


EVENT = {
    "httpMethod": "POST",
    "path": "/purchases",
    "isBase64Encoded": False,
    "body": None,
    "requestContext": {"stage": "demo", "attempt": 2},
    "Records": [{"eventSource": "aws:sqs"}],
}


@pytest.mark.parametrize(
    "match",
    [
        {"path": "httpMethod", "value": "POST"},
        {"path": "requestContext.stage", "operator": "eq", "value": "demo"},
        {"path": "requestContext.attempt", "value": "2"},
        {"path": "isBase64Encoded", "value": "false"},
        {"path": "Records.0.eventSource", "value": "aws:sqs"},
        {"path": "requestContext", "operator": "exists"},
        {"path": "path", "operator": "startsWith", "value": "/pur"},
        {"path": "path", "operator": "regex", "value": "chase"},
    ],
)
def test_a_flag_applies_to_an_event_that_matches(deploy: Deploy, match: dict[str, str]) -> None:
    deploy(on("statuscode", match=[match]))
    assert invoke(EVENT) != answer(None, None)


@pytest.mark.parametrize(
    "match",
    [
        {"path": "httpMethod", "value": "GET"},
        {"path": "body", "operator": "exists"},
        {"path": "body", "value": "null"},
        {"path": "path.deeper", "operator": "exists"},
        {"path": "Records.1", "operator": "exists"},
        {"path": "Records.first", "operator": "exists"},
        {"path": "path", "operator": "startsWith", "value": "purchases"},
        {"path": "path", "operator": "regex", "value": "^purchases"},
    ],
)
def test_a_flag_does_not_apply_to_an_event_that_does_not_match(
    deploy: Deploy, match: dict[str, str]
) -> None:
    deploy(on("statuscode", match=[match]))
    assert invoke(EVENT) == answer(None, None)


def test_all_conditions_of_a_match_must_hold(deploy: Deploy) -> None:
    post, stage = {"path": "httpMethod", "value": "POST"}, {"path": "path", "value": "/elsewhere"}
    deploy(on("statuscode", match=[post, stage]))
    assert invoke(EVENT) == answer(None, None)


def test_an_agent_that_fails_is_asked_again_only_after_a_pause(
    agent: FakeAgent,
    deploy: Deploy,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(on("statuscode"))
    invoke()
    monkeypatch.setattr(agent, "status", 500)
    configuration.find_configuration.cache_clear()
    asked = agent.requests
    assert [invoke(), invoke()] == [answer(None, None)] * 2
    assert agent.requests == asked + 1
    assert [line["level"] for line in evidence(capsys)] == ["info", "warn"]
    configuration.find_configuration.cache_clear()
