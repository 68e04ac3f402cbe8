"""What a person sees of a run."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from cli import progress
from cli.progress import Progress
from gameday.decision import Findings, decide
from gameday.verdict import detail, message
from tests.unit.fakes import RECOVERED, findings, run

STARTED = datetime(2027, 1, 15, 8, tzinfo=UTC)


def seen(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False)


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False, force_terminal=True)


def follow(shown: Progress, *events: tuple[float, str, str]) -> None:
    for seconds, kind, state in events:
        side = "Entered" if "Entered" in kind else "Exited"
        shown.event(
            {
                "timestamp": STARTED + timedelta(seconds=seconds),
                "type": kind,
                f"state{side}EventDetails": {"name": state},
            }
        )


WORK = (
    (0, "ExecutionStarted", ""),
    (1, "TaskStateEntered", "Arm rollback"),
    (2.5, "TaskStateExited", "Arm rollback"),
    (2.5, "WaitStateEntered", "Wait"),
    (12.5, "WaitStateExited", "Wait"),
)


def test_each_state_is_told_when_it_is_left_with_the_time_it_took(console: Console) -> None:
    follow(Progress(console), *WORK)
    assert seen(console).splitlines() == [
        "     2.5 s  Arm rollback (1.5 s)",
        "    12.5 s  Wait (10.0 s)",
    ]


def test_the_watch_beside_the_work_is_not_told(console: Console) -> None:
    watch = "Watch guardrails"
    follow(Progress(console), (0, "TaskStateEntered", watch), (9, "TaskStateExited", watch))
    assert seen(console) == ""


def test_the_workers_of_a_map_are_told_as_one_state(console: Console) -> None:
    shown = Progress(console)
    follow(shown, (0, "ExecutionStarted", ""), (1, "MapStateEntered", "Share load"))
    for worker in (2.0, 3.0):
        follow(shown, (worker, "TaskStateEntered", "Generate share of load"))
    for worker in (5.0, 6.0):
        follow(shown, (worker, "TaskStateExited", "Generate share of load"))
    follow(shown, (7, "MapStateExited", "Share load"), (7, "TaskStateEntered", "Evaluate measures"))
    follow(shown, (8, "TaskStateExited", "Evaluate measures"))
    assert seen(console).splitlines() == [
        "     7.0 s  Share load (6.0 s)",
        "     8.0 s  Evaluate measures (1.0 s)",
    ]


def test_states_that_do_not_work_are_not_told(console: Console) -> None:
    follow(Progress(console), (0, "ChoiceStateEntered", "Steady"), (9, "PassStateExited", "Steady"))
    assert seen(console) == ""


def test_a_terminal_shows_the_state_that_goes_on(
    terminal: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return STARTED + timedelta(seconds=8)

    monkeypatch.setattr(progress, "datetime", Clock)
    shown = Progress(terminal)
    follow(shown, *WORK[:2])
    shown.tick()
    follow(shown, (9, "ExecutionSucceeded", ""))
    assert "Arm rollback (7 s)" in seen(terminal)


def test_the_end_of_a_run_leaves_the_terminal_alone(terminal: Console) -> None:
    shown = Progress(terminal)
    follow(shown, *WORK[:2], (9, "ExecutionFailed", ""))
    said = seen(terminal)
    shown.tick()
    assert seen(terminal) == said


def test_nothing_goes_on_where_there_is_no_terminal(console: Console) -> None:
    shown = Progress(console)
    follow(shown, *WORK[:2])
    shown.tick()
    assert seen(console) == ""


def verdict(found: Findings, **facts: Any) -> dict[str, Any]:
    return detail(run(**facts), decide(found), found)


def test_a_verdict_is_shown_as_the_message_tells_it(console: Console) -> None:
    made = verdict(findings(), recovery=RECOVERED.model_dump())
    Progress(console).verdict(made)
    first, *rest = message(made).splitlines()
    assert seen(console).splitlines() == [first.replace(":", "", 1), *rest]


def test_a_verdict_without_numbers_is_shown_without_them(console: Console) -> None:
    Progress(console).verdict(verdict(Findings(failure="States.Timeout", failure_cause="late")))
    assert seen(console).splitlines()[:3] == [
        "INCONCLUSIVE New images should load in less than a second",
        "States.Timeout: late.",
        "",
    ]


def test_evidence_that_is_not_there_is_shown_as_none(console: Console) -> None:
    Progress(console).verdict(verdict(findings(evidence={"latency": None})))
    assert "latency: injected 0 times" in seen(console)


def test_brackets_are_shown_as_they_were_written(console: Console) -> None:
    shown = Progress(console)
    shown.verdict({**verdict(findings()), "objective": "[p95] under [/400] ms"})
    shown.say("[bold]")
    shown.table("t", ["c"], [["[/x]"]])
    assert all(text in seen(console) for text in ("[p95] under [/400] ms", "[bold]", "[/x]"))


def test_a_table_shows_every_cell(console: Console) -> None:
    Progress(console).table("Three", ["experiment", "verdict"], [["a", "PASSED"], ["b", "FAILED"]])
    lines = seen(console).splitlines()
    assert lines[0].startswith("Three")
    assert any("a" in line and "PASSED" in line for line in lines)
    assert any("b" in line and "FAILED" in line for line in lines)
