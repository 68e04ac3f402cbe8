"""The kill points: where a run can die, and how. Read from the machine's definition, by rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gameday.scale import Form
from tests.house.project import STATES, TASKS, function_of, machines_in

type Json = dict[str, Any]


LOADS = {
    name: phase
    for name in TASKS
    if (phase := TASKS[name]["Arguments"]["Payload"].get("phase")) is not None
}
"""The states that generate load, and the phase of each."""


def _form_of(name: str) -> Form | None:
    """In which form of the load a state is passed; None when in each."""
    for around, state in STATES.items():
        if state["Type"] == "Map" and name in (around, *state["ItemProcessor"]["States"]):
            mode = state["ItemProcessor"]["ProcessorConfig"]["Mode"]
            return Form.MAP if mode == "INLINE" else Form.DISTRIBUTED
    return Form.ONE if name in LOADS else None


_FORMS = {name: _form_of(name) for name in STATES}


def form_of(row: str) -> Form:
    """How the workers of a run are called that is to die in this row."""
    return _FORMS.get(row) or Form.ONE


ROLL_BACK = "Roll back"
"""Not a state: the function that cleans up after a run from outside, and can die like any other."""

ROWS = (*STATES, ROLL_BACK)

HELD_WITH = "Generate load"
"""In this state a run is ended from outside when it is Roll back that is to die."""

AWAITING = "Await evidence"
"""In this state load is sent, which belongs to no phase."""

SENDING = (*LOADS, AWAITING)

SETTLING = "Let measures settle"
"""This state is passed by a run whose flag may stay on."""

PLANNING = "Validate experiment"
"""This state's function says how many workers there are, and how they are called."""

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
    def form(self) -> Form:
        """How the workers of its run are called."""
        return form_of(self.row)

    @property
    def told_as(self) -> str:
        """The state that the history tells of: a child of a Distributed Map has its own."""
        if self.form is not Form.DISTRIBUTED:
            return self.row
        maps = [name for name, state in STATES.items() if state["Type"] == "Map"]
        return next((name for name in maps if self.row in _inside(STATES[name])), self.row)

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
        return self.row in STATES and not (self.row in TASKS or _tasks_after(self.row, self.form))

    @property
    def long_loads(self) -> tuple[str, ...]:
        """The states whose load would go on for long after the death, if nothing stopped it."""
        if self.death in FROM_OUTSIDE or self.row == ROLL_BACK:
            row = HELD_WITH if self.row == ROLL_BACK else self.row
            return tuple(load for load in _loads_of(self.form) if _ORDER[load] >= _ORDER[row])
        if self.death is Death.ANSWER_LOST:  # the run goes on
            return ()
        others = {self.row} if self.form is not Form.ONE else _beside(self.row)
        return tuple(load for load in _loads_of(self.form) if load in others)


CELLS = tuple(Cell(row, death) for row in ROWS for death in Death)


def invocation(row: str) -> Json:
    """Return what tells the invocations of this row from others: function and literal payload."""
    if row == ROLL_BACK:
        return {"function": "RollBackFunction", "payload": {}}
    payload = TASKS[row]["Arguments"]["Payload"]
    literal = {key: value for key, value in payload.items() if not str(value).startswith("{%")}
    one_of_several = {"part": 0} if "part" in payload else {}
    return {"function": function_of(row), "payload": literal | one_of_several}


def middle(row: str) -> Json:
    """Return the point in the middle of the function's work."""
    return {**invocation(row), "after": _AFTER.get(row, A_WRITE)}


def waiting_points(row: str) -> list[Json]:
    """Return where a run waits while it is ended from outside in this row; none when it is over.

    A working state waits in the middle of its work, any other one before the work that follows.
    Load waits for nobody.
    """
    if row in SENDING:
        return []
    if row in TASKS or row == ROLL_BACK:
        return [middle(row)]
    after = sorted(_tasks_after(row, form_of(row)))
    return [{**invocation(task), "after": "start"} for task in after]


def task_before(row: str) -> str | None:
    """Return the working state that comes before this one on the way of a good run, if any."""
    form = form_of(row)
    before = [task for task in TASKS if _passed(task, form) and row in _tasks_after(task, form)]
    return before[-1] if before else None


def loads_before(row: str) -> int:
    """Return how many states have generated load when a good run comes to this row."""
    return sum(_ORDER[load] < _ORDER[row] for load in _loads_of(form_of(row)))


def _loads_of(form: Form) -> list[str]:
    return [load for load in LOADS if _passed(load, form)]


def _passed(name: str, form: Form) -> bool:
    """Whether a run of this form passes a state."""
    return _FORMS[name] in (None, form)


def _following(name: str, form: Form) -> Iterator[str]:
    """The states that may follow when nothing fails."""
    state = STATES[name]
    inside = [machine["StartAt"] for machine in machines_in(state)]
    after = [choice["Next"] for choice in state.get("Choices", ())]
    after += [state[key] for key in ("Next", "Default") if key in state]
    yield from (other for other in inside or after if _passed(other, form))
    if state.get("End"):
        yield from (s["Next"] for s in STATES.values() if name in _inside(s))


def _beside(name: str) -> set[str]:
    """The states of other branches than that of this one."""
    branches = [
        branch["States"] for state in STATES.values() for branch in state.get("Branches", ())
    ]
    if not any(name in branch for branch in branches):
        return set()
    return {state for branch in branches if name not in branch for state in branch}


def _inside(state: Json) -> set[str]:
    return {name for machine in machines_in(state) for name in machine["States"]}


def _tasks_after(name: str, form: Form) -> set[str]:
    found: set[str] = set()
    ahead = [*_following(name, form)]
    while ahead:
        following = ahead.pop()
        if following in TASKS:
            found.add(following)
        else:
            ahead.extend(_following(following, form))
    return found


_ORDER = {name: place for place, name in enumerate(STATES)}


_HEAD = """\
# Kill-point matrix

Made by `make kill-matrix`: one real run of the machine on the embedded AWS for each state, down,
and each way to die, across. A cell says how many seconds after the death the target was served its
resting configuration again. In every run, whatever it died of: what is served is what was served
before, the lock is free, the schedule is gone, the load has stopped, no dead letter is left, and
there is exactly one verdict event; or none, and a clear error, when the run never armed. A run that
dies in a Map (rows with *share*) or a Distributed Map (*shift*) has two workers, of which one dies;
but for the matrix, so few take no Distributed Map.

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
