"""The decorator, with a real HTTP server in the AppConfig agent's place."""

import http.server
import json
import math
import os
import re
import resource
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gameday_injector import InjectedException, configuration, disk, inject, network
from gameday_injector.modes import LONGEST_LATENCY_MS, MODES

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


class Context:
    """Lambda's, of a function with so much time left."""

    def __init__(self, remaining_ms: int) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


def test_without_a_configuration_the_handler_itself_is_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FAILURE_APPCONFIG_CONFIGURATION", raising=False)
    monkeypatch.delenv("FAILURE_INJECTION_PARAM", raising=False)
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


@pytest.mark.parametrize("mode", MODES)
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
        "min_latency": 2,
        "max_latency": 2,
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "Gameday",
                    "Dimensions": [["FunctionName", "Mode"]],
                    "Metrics": [{"Name": "Injected", "Unit": "Count", "StorageResolution": 1}],
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


@pytest.mark.parametrize(("buffer_ms", "slept"), [(0, 3), (500, 2.5), (4000, 0)])
def test_a_timeout_sleeps_until_its_buffer_before_the_functions_own(
    deploy: Deploy, capsys: pytest.CaptureFixture[str], buffer_ms: int, slept: float
) -> None:
    deploy(on("timeout", timeout_buffer_ms=buffer_ms))
    with patch("time.sleep") as sleep:
        assert inject(answer)(None, Context(remaining_ms=3000)) == answer(None, None)
    sleep.assert_called_once_with(slept)
    (line,) = evidence(capsys)
    assert (line["mode"], line["sleep_ms"], line["Injected"]) == ("timeout", slept * 1000, 1)


def test_a_timeout_leaves_its_evidence_before_the_sleep(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(on("timeout"))
    with patch("time.sleep", side_effect=SystemExit), pytest.raises(SystemExit):
        inject(answer)(None, Context(remaining_ms=3000))
    assert [line["mode"] for line in evidence(capsys)] == ["timeout"]


def held_mb(*_: object) -> float:
    """How much the injector holds on the disk, as the file system counts it."""
    return os.fstat(disk._held.fileno()).st_blocks / 2048 if disk._held else 0


def test_disk_space_is_taken_up_while_the_handler_runs_and_free_afterwards(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(on("diskspace", disk_space=3))
    assert invoke(handler=held_mb) == pytest.approx(3, abs=0.1)
    assert held_mb() == 0
    (line,) = evidence(capsys)
    assert (line["disk_space_mb"], line["filled_mb"], line["Injected"]) == (3, 3, 1)


def test_disk_space_is_taken_from_the_file_system(deploy: Deploy) -> None:
    deploy(on("diskspace", disk_space=64))
    free_mb = shutil.disk_usage(disk.FOLDER).free / 2**20

    def used_mb(*_: object) -> float:
        return free_mb - shutil.disk_usage(disk.FOLDER).free / 2**20

    assert invoke(handler=used_mb) == pytest.approx(64, abs=32)  # others write there, too


def test_more_disk_space_than_there_is_fills_the_disk(
    deploy: Deploy, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(on("diskspace", disk_space=64))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5 * 2**20, limits[1]))
    try:
        assert invoke(handler=held_mb) == pytest.approx(5, abs=0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [line["filled_mb"] for line in evidence(capsys)] == [5]


def test_disk_space_leaves_no_file_by_which_it_could_stay(
    deploy: Deploy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deploy(on("diskspace", disk_space=1))
    monkeypatch.setattr(disk, "FOLDER", str(tmp_path))
    assert invoke(handler=lambda *_: (held_mb(), os.listdir(tmp_path))) == (1, [])


def test_a_disk_that_cannot_be_filled_does_not_break_the_handler(
    deploy: Deploy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(on("diskspace"))
    monkeypatch.setattr(disk, "FOLDER", "/nowhere")
    assert invoke() == answer(None, None)
    assert [(line["level"], line["mode"]) for line in evidence(capsys)] == [("warn", "diskspace")]


def test_disk_space_of_an_aborted_invocation_is_free_in_the_next(deploy: Deploy) -> None:
    deploy({})
    disk.fill(1)
    assert invoke(handler=held_mb) == 0


RESPONSE = {"statusCode": 200, "body": "a body of thirty letters in all"}


@pytest.mark.parametrize(
    ("response", "corrupted"),
    [
        (RESPONSE, {"statusCode": 200, "body": "{}"}),
        ({"statusCode": 204, "body": None}, {"statusCode": 204, "body": "{}"}),
        ("no object", {"body": "{}"}),
        (None, {"body": "{}"}),
        ({"status": "no body"}, {"body": "{}"}),
    ],
)
def test_a_corruption_replaces_the_body(
    deploy: Deploy, capsys: pytest.CaptureFixture[str], response: object, corrupted: object
) -> None:
    deploy(on("corruption", body="{}"))
    assert invoke(handler=lambda *_: response) == corrupted
    (line,) = evidence(capsys)
    assert (line["mode"], line["method"], line["Injected"]) == ("corruption", "replace", 1)


@settings(deadline=None)
@given(body=st.text(min_size=1), roll=st.floats(0, 1, exclude_max=True))
def test_a_mangled_body_keeps_30_to_80_percent_and_ends_in_no_text(
    agent: FakeAgent, body: str, roll: float
) -> None:
    agent.document = on("corruption")
    with (
        patch("gameday_injector.modes.dice.random", return_value=roll),
        patch("builtins.print"),
    ):
        mangled: Any = invoke(handler=lambda *_: {"statusCode": 200, "body": body})
    kept = mangled["body"].removesuffix("\ufffd" * 3)
    assert (mangled["statusCode"], body.startswith(kept)) == (200, True)
    assert len(kept) == math.floor(len(body) * (0.3 + roll * 0.5))


@pytest.mark.parametrize("response", [{"status": "no body"}, {"body": ""}, {"body": 1}, "text"])
def test_what_cannot_be_mangled_stays_and_is_no_evidence(
    deploy: Deploy, capsys: pytest.CaptureFixture[str], response: object
) -> None:
    deploy(on("corruption"))
    assert invoke(handler=lambda *_: response) == response
    assert [line["level"] for line in evidence(capsys)] == ["warn"]


def test_a_corruption_leaves_an_injected_response_alone(deploy: Deploy) -> None:
    deploy(on("statuscode", status_code=503) | on("corruption", body="corrupted"))
    injected = invoke()
    assert isinstance(injected, dict)
    assert injected["body"] == '{"message":"Injected status code 503"}'


def test_several_modes_apply_at_once(deploy: Deploy, capsys: pytest.CaptureFixture[str]) -> None:
    deploy({**on("corruption", body="x"), **on("latency"), **on("diskspace", disk_space=1)})
    assert invoke(handler=lambda *_: {"body": held_mb()}) == {"body": "x"}
    assert [line["mode"] for line in evidence(capsys)] == ["latency", "diskspace", "corruption"]


def test_the_kill_switch_switches_everything_off_at_the_next_invocation(
    deploy: Deploy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(on("statuscode"))
    handler = inject(answer)
    monkeypatch.setenv("FAILURE_LAMBDA_DISABLED", "true")
    disk.fill(1)
    assert (handler(None, None), held_mb()) == (answer(None, None), 0)
    monkeypatch.setenv("FAILURE_LAMBDA_DISABLED", "false")
    assert handler(None, None) != answer(None, None)


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
    "requestContext": {"stage": "demo", "attempt": 2, "weight": 2.0},
    "tags": ["a", None, 2, True],
    "Records": [{"eventSource": "aws:sqs"}],
}


@pytest.mark.parametrize(
    "match",
    [
        {"path": "httpMethod", "value": "POST"},
        {"path": "requestContext.stage", "operator": "eq", "value": "demo"},
        {"path": "requestContext.attempt", "value": "2"},
        {"path": "isBase64Encoded", "value": "false"},
        {"path": "requestContext.weight", "value": "2"},
        {"path": "requestContext", "value": "[object Object]"},
        {"path": "tags", "value": "a,,2,true"},
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
