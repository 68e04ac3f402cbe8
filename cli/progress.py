"""What a person sees while a run goes on: the state it is in, and for how long."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from gameday.verdict import lines

_STYLES = {"PASSED": "green", "FAILED": "red", "INCONCLUSIVE": "yellow"}
_MAP = "MapStateEntered"
_WORKING = ("TaskStateEntered", "WaitStateEntered", _MAP)
_DONE = ("TaskStateExited", "WaitStateExited", "MapStateExited")
_WATCH = "Watch guardrails"  # stands beside the work for the whole run


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a log has no width of its own, and 80 columns break the table
    return console


class Progress:
    """Prints each state of a run when it is left; on a terminal also the one it is in."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _console()
        self._status = Status("", console=self._console) if self._console.is_terminal else None
        self._state = ""
        self._map = ""
        self._entered: dict[str, datetime] = {}
        self._started: datetime | None = None

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def event(self, event: dict[str, Any]) -> None:
        """Take one event of the execution's history."""
        if event["type"] == "ExecutionStarted":
            self._started = event["timestamp"]
        if event["type"] in _WORKING:
            self._enter(event["stateEnteredEventDetails"]["name"], event["timestamp"])
            if event["type"] == _MAP:
                self._map = self._state
        elif event["type"] in _DONE:
            self._leave(event["stateExitedEventDetails"]["name"], event["timestamp"])
        elif event["type"].startswith("Execution") and event["type"] != "ExecutionStarted":
            self._end()

    def tick(self) -> None:
        """Show how long the state has lasted."""
        if self._status and self._state:
            since = self._entered[self._state]
            seconds = (datetime.now(since.tzinfo) - since).total_seconds()
            self._status.update(f"{self._state} ({seconds:.0f} s)")

    def _enter(self, state: str, moment: datetime) -> None:
        if self._is_beside(state):
            return
        self._entered[state] = moment
        self._state = state
        if self._status:
            self._status.start()
            self.tick()

    def _is_beside(self, state: str) -> bool:
        """Whether it is not the one state that the run is in: the watch, or a worker of a Map."""
        return state == _WATCH or (bool(self._map) and state != self._map)

    def _leave(self, state: str, moment: datetime) -> None:
        if self._is_beside(state):
            return
        self._map = ""
        assert self._started  # noqa: S101 - a state is left after the execution started
        at = (moment - self._started).total_seconds()
        lasted = (moment - self._entered[state]).total_seconds()
        self.say(f"  {at:6.1f} s  {state} ({lasted:.1f} s)")

    def _end(self) -> None:
        self._state = self._map = ""
        if self._status:
            self._status.stop()

    def verdict(self, verdict: dict[str, Any]) -> None:
        """Print a verdict with its numbers."""
        style = _STYLES[verdict["verdict"]]
        first, *rest = lines(verdict)
        told = escape(first.removeprefix(f"{verdict['verdict']}: "))
        self._console.print(f"[{style} bold]{verdict['verdict']}[/] {told}")
        for line in rest:
            self.say(line)

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """Print a table."""
        table = Table(title=title, title_justify="left")
        for column in columns:
            table.add_column(column, overflow="fold", no_wrap=column in ("experiment", "verdict"))
        for row in rows:
            table.add_row(*map(escape, row))
        self._console.print(table)
