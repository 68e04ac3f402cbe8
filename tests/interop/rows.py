"""What is run in `make interop`: each condition of the talk, on each system that obeys it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

type Json = dict[str, Any]

AGENT_POLL_SECONDS = 10
"""In place of the agent's 45: a row need not wait for what is only a number."""

APPLICATION = "interop"
ERRORS = "errors in your code"
POLICY = "security policy errors"
CONFIGURATION = "service configuration errors"
DISK = "function disk space failure"
DOWNSTREAM = "downstream service issues"
CONCURRENCY = "concurrency and throttling"
LATENCY = "latency"
OWN = "a feature flag (the talk's third way)"
TALK = (ERRORS, POLICY, CONFIGURATION, DISK, DOWNSTREAM, CONCURRENCY, LATENCY)


@dataclass(frozen=True)
class Answer:
    """What one probe saw."""

    at: float
    status: int
    ms: float
    body: Json | None

    def of(self, key: str) -> Any:
        """What the function tells of itself; None where it did not answer."""
        return (self.body or {}).get(key)


_SLOW_MS = 800
"""More than a busy machine makes of an answer."""

Seen = Callable[[Answer, Answer], bool]
"""Whether an answer shows the condition; beside it the answer before."""


@dataclass(frozen=True, eq=False)
class Row:
    """A condition on a system: rows of one function run one after the other."""

    talk: str
    system: str
    mode: str
    function: str
    seen: Seen
    condition: Json
    propagation_seconds: int
    note: str = ""
    query: str = ""

    def __str__(self) -> str:
        return f"{self.system}: {self.mode}"


def _slower(answer: Answer, _: Answer) -> bool:
    return answer.status == 200 and answer.ms >= _SLOW_MS


def _status(*statuses: int) -> Seen:
    return lambda answer, _: answer.status in statuses


def _is(key: str, value: Any) -> Seen:
    return lambda answer, _: answer.body is not None and answer.of(key) == value


def _more_files(answer: Answer, before: Answer) -> bool:
    return (answer.of("files_left") or 0) > (before.of("files_left") or 0)


_BROKEN = _status(500, 502)
_DENY = ["dynamodb.*.amazonaws.com"]

_ZERO: dict[str, tuple[str, Json, Seen, str]] = {
    "latency": (LATENCY, {"minLatency": _SLOW_MS, "maxLatency": 900}, _slower, ""),
    "exception": (ERRORS, {"exceptionMsg": "injected"}, _BROKEN, ""),
    "statuscode": (ERRORS, {"statusCode": 404}, _status(404), ""),
    "diskspace": (DISK, {"diskSpace": 1}, _more_files, "its files stay in /tmp, by the library"),
    "denylist": (DOWNSTREAM, {"denylist": _DENY}, _status(503), ""),
}
_ONE: dict[str, tuple[str, Json, Seen, str]] = {
    "latency": (LATENCY, {"min_latency": _SLOW_MS, "max_latency": 900}, _slower, ""),
    "timeout": (LATENCY, {"timeout_buffer_ms": 19_000}, lambda a, _: a.ms >= _SLOW_MS, ""),
    "exception": (ERRORS, {"exception_msg": "injected"}, _BROKEN, ""),
    "statuscode": (ERRORS, {"status_code": 404}, _status(404), ""),
    "corruption": (ERRORS, {"body": '{"corrupt": true}'}, _is("corrupt", True), ""),
    "diskspace": (DISK, {"disk_space": 16}, _is("disk_mb", 16), ""),
    "denylist": (DOWNSTREAM, {"deny_list": _DENY}, _status(503), ""),
}
_CHAOS: dict[str, tuple[str, Json, Seen, str]] = {
    "latency": (LATENCY, {"delay": _SLOW_MS}, _slower, ""),
    "exception": (ERRORS, {"exception_msg": "injected"}, _BROKEN, ""),
    "status_code": (ERRORS, {"error_code": 404}, _status(404), "the handler runs all the same"),
}


def _profile(name: str) -> Json:
    return {"application": APPLICATION, "environment": name, "profile": name}


def _evidence(function: str) -> Json:
    return {"evidence": {"namespace": "Interop", "name": function}}


def _zero(system: str, function: str, switch: Json, seconds: int) -> list[Row]:
    return [
        Row(
            talk,
            system,
            mode,
            function,
            seen,
            {
                **switch,
                **_evidence(function),
                "format": "failure-lambda-0",
                "configuration": {"isEnabled": True, "failureMode": mode, "rate": 1, **attributes},
            },
            seconds,
            note,
        )
        for mode, (talk, attributes, seen, note) in _ZERO.items()
    ]


def _one(system: str, function: str, switch: Json, seconds: int, *modes: str) -> list[Row]:
    return [
        Row(
            talk,
            system,
            mode,
            function,
            seen,
            {**switch, "configuration": {mode: {"enabled": True, **attributes}}},
            seconds,
            note,
        )
        for mode, (talk, attributes, seen, note) in _ONE.items()
        if mode in modes
    ]


def _plain(talk: str, system: str, mode: str, seen: Seen, condition: Json, **more: Any) -> Row:
    return Row(talk, system, mode, "Plain", seen, condition, **{"propagation_seconds": 5, **more})


ROWS: tuple[Row, ...] = (
    *_one(
        "Gameday's injector, AppConfig",
        "Injected",
        {"kind": "appconfig", **_profile("injected")},
        AGENT_POLL_SECONDS + 2,
        *_ONE,
    ),
    *_zero(
        "failure-lambda 0.4.4, AppConfig",
        "NodeAppConfig",
        {"kind": "appconfig", **_profile("node")},
        AGENT_POLL_SECONDS + 2,
    ),
    *_zero(
        "failure-lambda 0.4.4, Parameter Store",
        "NodeParameter",
        {"kind": "parameter", "parameter": "/interop/failure-lambda"},
        4,
    ),
    *(
        Row(
            talk,
            "chaos-lambda 0.3, Parameter Store",
            mode,
            "Chaos",
            seen,
            {
                "kind": "parameter",
                "parameter": "/interop/chaos-lambda",
                "format": "chaos-lambda-0.3",
                **_evidence("Chaos"),
                "configuration": {"is_enabled": True, "fault_type": mode, "rate": 1, **attributes},
            },
            4,
            note,
        )
        for mode, (talk, attributes, seen, note) in _CHAOS.items()
    ),
    *_one(
        "Gameday's injector, Parameter Store",
        "InjectedParameter",
        {"kind": "parameter", "parameter": "/interop/injected"},
        7,
        "latency",
    ),
    Row(
        LATENCY,
        "Gameday's injector, feature flags",
        "latency",
        "InjectedFlag",
        _slower,
        {
            "kind": "flag",
            **_profile("modes"),
            "flag": "latency",
            "attributes": {"percentage": 100, "min_latency": _SLOW_MS, "max_latency": 900},
        },
        AGENT_POLL_SECONDS + 2,
    ),
    _plain(
        POLICY,
        "the function's role",
        "policy",
        _status(503),
        {
            "kind": "policy",
            "role": "${PlainRole}",
            "actions": ["dynamodb:GetItem"],
            "resources": ["*"],
            **_evidence("Plain"),
        },
    ),
    _plain(
        CONFIGURATION,
        "the function's configuration",
        "memory_mb",
        _is("memory_mb", 512),
        {"kind": "configuration", "memory_mb": 512},
    ),
    _plain(
        CONFIGURATION,
        "the function's configuration",
        "variable",
        _status(503),
        {"kind": "configuration", "variable": "TABLE_NAME", "value": "nowhere"},
    ),
    _plain(
        CONCURRENCY,
        "reserved concurrency",
        "concurrency",
        lambda answer, _: answer.status != 200,
        {"kind": "concurrency", "reserved": 0},
        propagation_seconds=3,
    ),
    _plain(
        OWN,
        "the application's own flag",
        "discount",
        _is("flag", True),
        {"kind": "flag", **_profile("features"), "flag": "discount"},
        propagation_seconds=AGENT_POLL_SECONDS + 2,
    ),
    _plain(
        CONFIGURATION,
        "the function's configuration",
        "timeout_seconds",
        _BROKEN,
        {"kind": "configuration", "timeout_seconds": 1},
        query="?wait=1.3",
    ),
)

RESTING_ZERO = {"isEnabled": False}
RESTING_ONE = {mode: {"enabled": False} for mode in _ONE}
PARAMETERS: dict[str, Json] = {
    "/interop/failure-lambda": RESTING_ZERO,
    "/interop/chaos-lambda": {"is_enabled": False},
    "/interop/injected": RESTING_ONE,
}
_NUMBER = {"constraints": {"type": "number", "minimum": 0}}
_LATENCY_FLAG = {
    "name": "Latency",
    "attributes": {name: _NUMBER for name in ("percentage", "min_latency", "max_latency")},
}
PROFILES: dict[str, tuple[str, Json]] = {
    "node": ("AWS.Freeform", RESTING_ZERO),
    "injected": ("AWS.Freeform", RESTING_ONE),
    "modes": (
        "AWS.AppConfig.FeatureFlags",
        {
            "version": "1",
            "flags": {"latency": _LATENCY_FLAG},
            "values": {"latency": {"enabled": False}},
        },
    ),
    "features": (
        "AWS.AppConfig.FeatureFlags",
        {
            "version": "1",
            "flags": {"discount": {"name": "A discount"}},
            "values": {"discount": {"enabled": False}},
        },
    ),
}
"""Each in an environment of its own, of the same name: an environment is one run's at a time."""


@dataclass(frozen=True)
class Measured:
    """What came of a row."""

    row: Row
    verdict: str
    effect: str
    on_seconds: float
    off_seconds: float
    evidence: str


_HEAD = """\
# Conditions, measured

Made by `make interop`: one real run of the machine on the embedded AWS for each row, on the library
itself where one is named. Beside the run's own load a probe asks the function twice a second.

- **Effect**: the probe's median answer before, and under the condition.
- **On**: seconds from entering Enable condition until every probe sees the condition.
- **Off**: seconds from entering Disable condition until none does any more.
- **Evidence**: the metric by which the run knew, and what it counted in the minute of its window,
  probe and warm-up included.

After every run the switch was as it had been before.

"""

_TAIL = f"""
What stands in for what could not be had here, and how it was tested instead:

- **failure-lambda 1.x** is not on npm. Its format is checked by its documented rules, and Gameday's
  injector obeys it, behaviour by behaviour: [injector.md](injector.md).
- **The AppConfig agent** is a stand-in with its interface, `cli/embedded/agent.py`. It polls every
  {AGENT_POLL_SECONDS} seconds here and the agent every 45 by default, so on AWS On and Off take up
  to 35 seconds longer.
- **IAM and Lambda** propagate at once here. On AWS a policy takes seconds, as a rule, and
  `propagation_seconds` is there for it.
- **Memory** is the figure that the function is told; the embedded AWS gives it no other processor.
- **The runtime of Node** is the `node` that is installed, whatever the template names.
"""

HEADER = ["condition", "system", "mode", "verdict", "effect", "on", "off", "evidence"]


def written(found: list[Measured]) -> str:
    """Return the table as a document."""
    rows = [HEADER, ["---"] * len(HEADER)]
    rows.extend(
        [
            measured.row.talk,
            measured.row.system,
            measured.row.mode,
            measured.verdict,
            measured.effect + (f"; {measured.row.note}" if measured.row.note else ""),
            f"{measured.on_seconds:.1f} s",
            f"{measured.off_seconds:.1f} s",
            measured.evidence,
        ]
        for measured in found
    )
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) + _TAIL


def resolved(condition: Json, outputs: dict[str, str]) -> Json:
    """Fill in what only the deployed stack knows."""
    text = json.dumps(condition).replace("${PlainRole}", outputs["PlainRole"])
    return dict(json.loads(text))
