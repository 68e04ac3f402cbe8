"""The state machine as it stands, run in this process: each Lambda function is a Python function.

The engine is the embedded AWS's, with its bridges for Step Functions. No Lambda, no socket.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ministack.services import stepfunctions as states

from cli.embedded import bridges
from cli.embedded.server import check_version
from tests.house.project import DEFINITION_TEXT

Function = Callable[[dict[str, Any]], Any]
"""What a Lambda function does: the event in, the answer out; it raises to fail."""

_BRIDGES = (
    bridges.parallel,
    bridges.maps,
    bridges.history_of_branches,
    bridges.stop_and_deadline,
    bridges.task_tokens,
    bridges.retry_delays,
    bridges.jsonata_fields,
)
_ROLE = "arn:aws:iam::000000000000:role/any"


@dataclass(frozen=True)
class Execution:
    """How one execution went: the states in the order in which they were entered, and its end."""

    status: str
    road: list[str]
    error: str | None
    cause: str | None
    output: Any


@contextmanager
def engine(functions: Mapping[str, Function]) -> Iterator[None]:
    """Run tasks by calling these functions, by their names in the template; waits take no time."""

    def call(name: str, event: dict[str, Any]) -> Any:
        try:
            return functions[name](event)
        except Exception as error:
            cause = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
            raise states._ExecutionError(type(error).__name__, cause) from error

    check_version()
    kept = dict(vars(states))
    states._SFN_WAIT_SCALE = 0
    states._emit_execution_status_event = lambda execution: None
    states._call_lambda = call
    for bridge in _BRIDGES:
        bridge()
    try:
        yield
    finally:
        vars(states).update(kept)
        states.reset()


def execute(functions: Mapping[str, Function], document: Any) -> Execution:
    """Run the machine to its end."""
    definition = DEFINITION_TEXT.replace("${", "").replace("Arn}", "")
    with engine(functions):
        machine = {"name": "machine", "definition": definition, "roleArn": _ROLE}
        arn = _answer(states._create_state_machine(machine))["stateMachineArn"]
        start = {"stateMachineArn": arn, "name": "run-1", "input": json.dumps(document)}
        execution = states._executions[_answer(states._start_execution(start))["executionArn"]]
        while execution["status"] == "RUNNING":
            time.sleep(0.01)
    entered = [event.get("stateEnteredEventDetails") for event in execution["events"]]
    return Execution(
        status=execution["status"],
        road=[details["name"] for details in entered if details],
        error=execution.get("error"),
        cause=execution.get("cause"),
        output=json.loads(execution["output"] or "null"),
    )


def answer_watch(token: str, error: str | None = None, cause: str = "") -> None:
    """Answer the task that waits for this token: well, or with an error."""
    if error:
        states._send_task_failure({"taskToken": token, "error": error, "cause": cause})
    else:
        states._send_task_success({"taskToken": token, "output": "{}"})


def _answer(response: tuple[int, Any, Any]) -> Any:
    status, _, body = response
    assert status == 200, body
    return json.loads(body)
