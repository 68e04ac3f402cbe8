"""The kill points: where a run can die, and how. Read from the machine's definition, by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.house import project
from tests.house.project import DEFINITION, function_of

type Json = dict[str, Any]


def _of_one_worker(machine: Json) -> Iterator[tuple[str, Json]]:
    """The states of a run with one worker.

    Several are called by a Map: the same function, with a number, whose death ends the same Map.
    """
    for name, state in machine["States"].items():
        if state["Type"] == "Map":
            continue
        yield name, state
        for inside in state.get("Branches", ()):
            yield from _of_one_worker(inside)


STATES = dict(_of_one_worker(DEFINITION))
TASKS = {name: state for name, state in project.TASKS.items() if name in STATES}

ROLL_BACK = "Roll back"
"""Not a state: the function that cleans up after a run from outside, and can die like any other."""

ROWS = (*STATES, ROLL_BACK)

HELD_WITH = "Generate load"
"""In this state a run is ended from outside when it is Roll back that is to die."""

BREAKING = "Evaluate measures"
"""This state's function raises in a run that is to reach a red end."""


class Death(StrEnum):
    """How a run dies, as the matrix is headed."""

    RAISES = "raises"
    TIMES_OUT = "times out"
    THROTTLED = "throttled"
    REVOKED = "permission revoked"
    ANSWER_LOST = "answer lost"
    KILLED = "worker killed"
    STOPPED = "StopExecution"
    TIMED_OUT = "TIMED_OUT"


FROM_OUTSIDE = {Death.STOPPED, Death.TIMED_OUT}
"""These end an execution; every other one is a function's."""

ONCE = {Death.ANSWER_LOST, Death.KILLED}
"""The second attempt is well; every other death lasts until the run has ended."""

_AFTER = {"Enable condition": "StartDeployment", "Publish verdict": "PutEvents"}
"""The call in the middle of a function's work after which its death hurts most."""

_QUICK = {
    Death.RAISES: "Generate load",
    Death.TIMES_OUT: "Arm rollback",
    Death.THROTTLED: "Arm rollback",
    Death.REVOKED: "Generate baseline load",
    Death.ANSWER_LOST: "Enable condition",
    Death.KILLED: "Enable condition",
    Death.STOPPED: "Generate load",
    Death.TIMED_OUT: "Run under condition",
}
"""One state for each death, which every run of the tests tries; the whole matrix tries all."""

A_WRITE = "the first call that writes"


@dataclass(frozen=True)
class Cell:
    """One death in one state."""

    row: str
    death: Death

    def __str__(self) -> str:
        return f"{self.row}, {self.death}"

    @property
    def can_happen(self) -> bool:
        """Whether there is anything to die: a state without a function has no function's death."""
        return self.death in FROM_OUTSIDE or self.row in TASKS or self.row == ROLL_BACK

    @property
    def is_quick(self) -> bool:
        """Whether it is one of the few that run with every other test."""
        return _QUICK[self.death] == self.row

    @property
    def patience(self) -> int:
        """How long it takes, roughly: the longest ones start first, so that no lane is left over.

        These two states are retried for minutes before they give up, and each is near the end.
        """
        stubborn = len(TASKS[self.row]["Retry"][-1]["ErrorEquals"]) if self.row in TASKS else 0
        lasting = self.death not in FROM_OUTSIDE | ONCE
        return (
            1000 * (stubborn == 1 and lasting)
            + 100 * (self.death in {Death.ANSWER_LOST, Death.TIMED_OUT})
            + _ORDER.get(self.row, 0)
        )

    @property
    def can_lose_its_voice(self) -> bool:
        """Whether its function can end without a word of its own."""
        return self.death in {Death.TIMES_OUT, Death.KILLED}

    @property
    def may_send_again(self) -> bool:
        """Whether a verdict may come twice, word for word: its sender dies before it can say so.

        EventBridge takes no token by which it would know the second one.
        """
        return self.death is Death.KILLED and _AFTER.get(self.row) == "PutEvents"

    @property
    def is_late(self) -> bool:
        """Whether the run is over before anything can be done to it from outside."""
        return self.row in STATES and not (self.row in TASKS or _tasks_after(self.row))

    @property
    def long_loads(self) -> tuple[str, ...]:
        """The states whose load would go on for long after the death, if nothing stopped it."""
        if self.death in FROM_OUTSIDE or self.row == ROLL_BACK:
            row = HELD_WITH if self.row == ROLL_BACK else self.row
            return tuple(state for state in LOADS if _ORDER[state] >= _ORDER[row])
        if self.death is Death.ANSWER_LOST:  # the run goes on
            return ()
        return tuple(state for state in LOADS if state in _beside(self.row))


CELLS = tuple(Cell(row, death) for row in ROWS for death in Death)


def invocation(row: str) -> Json:
    """Return what tells the invocations of this row from others: function and literal payload."""
    if row == ROLL_BACK:
        return {"function": "RollBackFunction", "payload": {}}
    payload = TASKS[row]["Arguments"]["Payload"]
    literal = {key: value for key, value in payload.items() if not str(value).startswith("{%")}
    return {"function": function_of(row), "payload": literal}


def middle(row: str) -> Json:
    """Return the point in the middle of the function's work."""
    return {**invocation(row), "after": _AFTER.get(row, A_WRITE)}


def waiting_points(row: str) -> list[Json]:
    """Return where a run waits while it is ended from outside in this row; none when it is over.

    A working state waits in the middle of its work, any other one before the work that follows.
    Load waits for nobody.
    """
    if row in LOADS:
        return []
    if row in TASKS or row == ROLL_BACK:
        return [middle(row)]
    return [{**invocation(task), "after": "start"} for task in sorted(_tasks_after(row))]


def task_before(row: str) -> str | None:
    """Return the working state that comes before this one on the way of a good run, if any."""
    before = [task for task in TASKS if row in _tasks_after(task)]
    return before[-1] if before else None


def loads_before(row: str) -> int:
    """Return how many states have generated load when a good run comes to this row."""
    return sum(_ORDER[state] < _ORDER[row] for state in LOADS)


def _following(name: str) -> Iterator[str]:
    """The states that may follow when nothing fails."""
    state = STATES[name]
    yield from (branch["StartAt"] for branch in _branches(state))
    yield from (c["Next"] for c in state.get("Choices", ()) if c["Next"] in STATES)
    if not _branches(state):
        yield from (state[key] for key in ("Next", "Default") if key in state)
    if state.get("End"):
        yield from (s["Next"] for s in STATES.values() if name in _inside(s))


def _beside(name: str) -> set[str]:
    """The states of other branches than that of this one."""
    branches = [branch["States"] for state in STATES.values() for branch in _branches(state)]
    if not any(name in branch for branch in branches):
        return set()
    return {state for branch in branches if name not in branch for state in branch}


def _branches(state: Json) -> list[Json]:
    return list(state.get("Branches", ()))


def _inside(state: Json) -> set[str]:
    return {name for branch in _branches(state) for name in branch["States"]}


def _tasks_after(name: str) -> set[str]:
    found: set[str] = set()
    ahead = [*_following(name)]
    while ahead:
        following = ahead.pop()
        if following in TASKS:
            found.add(following)
        else:
            ahead.extend(_following(following))
    return found


_ORDER = {name: place for place, name in enumerate(STATES)}
LOADS = {
    name: phase
    for name in TASKS
    if (phase := TASKS[name]["Arguments"]["Payload"].get("phase")) is not None
}
"""The states that generate load, and the phase of each."""


_HEAD = """\
# Kill-point matrix

Made by `make kill-matrix`: one real run of the machine on the embedded AWS for each state, down,
and each way to die, across. A cell says how many seconds after the death the target was served its
resting configuration again. In every run, whatever it died of: what is served is what was served
before, the lock is free, the schedule is gone, the load has stopped, no dead letter is left, and
there is exactly one verdict event; or none, and a clear error, when the run never armed. A load of
several workers is called by a Map: the same function, whose death ends the Map, so it has no rows.

- **never on**: the run died before the condition was enabled.
- **already off**: it died after the condition was disabled.
- **goes on**: the machine went on to its regular end.
- **verdict sent again**: a sender that dies between EventBridge's answer and noting it cannot tell,
  so the same event is sent once more, word for word. EventBridge itself promises no less: a
  subscriber goes by `run`.
- **no function**: the state has none that could die.

"""

_TAIL = """
What dies, and how:

- **raises**, **times out**, **throttled**, **permission revoked**: from the first attempt to the
  last. The function raises; it hangs until Lambda ends it; its concurrency is 0; its role is denied
  everything.
- **answer lost**: the work was done, then comes `Lambda.ClientExecutionTimeoutException`, once.
- **worker killed**: SIGKILL in the middle of the work, once: after the call where it hurts most
  ({calls}), in any other function after the first call that writes.
- **StopExecution** and **TIMED_OUT** (the machine's own `TimeoutSeconds`): while the function waits
  after that same call; it goes on with its work when the undo has been done. A state without a
  function is ended before the function that follows it has begun. In the last states the run is
  over by then: the stop is refused, and the event of a run that timed out comes late.
- **Roll back** is the function that cleans up from outside, here after `StopExecution` in Generate
  load: it is its first call that dies. Lambda tries again; after one second here, after one minute
  on AWS. For StopExecution and TIMED_OUT, a second event comes while it is at work on the first.
"""


def written(cells: Mapping[Cell, str]) -> str:
    """Return the matrix as a document."""
    rows = [["", *Death], ["---"] * (1 + len(Death))]
    for row in ROWS:
        told = (_told(Cell(row, death), cells) for death in Death)
        rows.append([row, *told])
    calls = ", ".join(f"{row}: {call}" for row, call in _AFTER.items())
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) + _TAIL.format(calls=calls)


def _told(cell: Cell, cells: Mapping[Cell, str]) -> str:
    return cells.get(cell, "not run") if cell.can_happen else "no function"
