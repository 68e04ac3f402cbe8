"""In a copy of the stack, around each handler: lets it die, or wait, where a plan says.

It is a layer of its own, and the handler of every function of the copy. The folder holds
`plan.json`, a list of points: `run`, `function`, `payload` (which events), `after` (a call, or
"start"), `act`, `once` and a `name`; it receives `journal.jsonl`: what happened, and when.
"""

import importlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import botocore.handlers

from gameday import scale

_FOLDER = Path(os.environ["KILL_POINT_FOLDER"])
_FUNCTION = os.environ["KILL_POINT_FUNCTION"]
_READS = ("Get", "List", "Describe", "Query", "StartConfigurationSession")
_A_WRITE = "the first call that writes"
_MOST_MAP_ITERATIONS = scale.MOST_MAP_ITERATIONS


class Raised(Exception):
    """Raised where a function is to raise."""


# Named as Step Functions names it when Lambda's answer does not arrive.
_AnswerLost = type("Lambda.ClientExecutionTimeoutException", (Exception,), {})


class _Invocation:
    """One invocation of the real handler, and what is to happen in it."""

    def __init__(self, event: dict[str, Any]) -> None:
        self._run = event.get("run_id") or event.get("detail", {}).get("name", "")
        self._payload = {k: value for k, value in event.items() if isinstance(value, (str, int))}
        self._wrote = False
        self._points = [point for point in self._plan() if self._is_mine(point)]

    def _plan(self) -> list[dict[str, Any]]:
        try:
            return list(json.loads((_FOLDER / "plan.json").read_text()))
        except FileNotFoundError:
            return []

    def _is_mine(self, point: dict[str, Any]) -> bool:
        if (point["run"], point["function"]) != (self._run, _FUNCTION):
            return False
        if not point["payload"].items() <= self._payload.items():
            return False
        return not point["once"] or self._claimed(point)

    def _claimed(self, point: dict[str, Any]) -> bool:
        try:
            (_FOLDER / f"{self._run}-{point['name']}.claimed").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def note(self, what: str) -> None:
        """Write one line to the journal, at once and whole."""
        line = {
            "run": self._run,
            "function": _FUNCTION,
            "payload": self._payload,
            "what": what,
            "at": time.time(),
        }
        with (_FOLDER / "journal.jsonl").open("a") as journal:
            journal.write(json.dumps(line) + "\n")

    def called(self, operation: str) -> None:
        """Act after a call of the real handler that wrote something."""
        self.reach(operation)
        if not self._wrote:
            self._wrote = True
            self.reach(_A_WRITE)

    def reach(self, *moments: str) -> None:
        """Act on the points of these moments."""
        for point in [point for point in self._points if point["after"] in moments]:
            self._act(point)

    def end(self) -> None:
        """Act on what is left: the handler did not come to that call."""
        for point in list(self._points):
            self._act(point)

    def _act(self, point: dict[str, Any]) -> None:
        self._points.remove(point)
        if point["act"] == "distribute":  # as if no inline Map ran two workers
            scale.MOST_MAP_ITERATIONS = 1
            return
        if point["act"] == "wait":
            self.note("waits")
            while not (_FOLDER / f"{self._run}.released").exists():
                time.sleep(0.02)
            return
        self.note("dies")
        match point["act"]:
            case "raise":
                raise Raised("as planned")
            case "lose":
                raise _AnswerLost("the work was done")
            case "hang":
                time.sleep(3600)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)


_current: _Invocation | None = None


def _after_call(model: Any, http_response: Any, **_: Any) -> None:
    if _current and http_response.status_code < 300 and not model.name.startswith(_READS):
        _current.called(model.name)


# Before the handler's module makes a client, each of which copies this list.
botocore.handlers.BUILTIN_HANDLERS.append(("after-call", _after_call))
_module, _, _name = os.environ["KILL_POINT_HANDLER"].rpartition(".")
_handler = getattr(importlib.import_module(_module), _name)


def handler(event: dict[str, Any], context: Any) -> Any:
    """Call the real handler, die or wait."""
    global _current
    _current = invocation = _Invocation(event)
    invocation.note("begins")
    try:
        invocation.reach("start")
        answer = _handler(event, context)
        invocation.end()
    except Exception as error:
        invocation.note(f"fails: {type(error).__name__}")
        raise
    finally:
        _current = None
        scale.MOST_MAP_ITERATIONS = _MOST_MAP_ITERATIONS
    invocation.note("ends")
    return answer
