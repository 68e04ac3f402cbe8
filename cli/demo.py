"""The demo: the three experiments of the talk, one after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cli.account import Account
from cli.progress import Progress
from cli.run import Outcome, run_experiment
from gameday.experiment import resolve

_EVENTS = Path(__file__).parents[1] / "events"


@dataclass(frozen=True)
class _Part:
    file: str
    expected: str


PARTS = (
    _Part("purchase-latency.json", "PASSED"),
    _Part("images-errors.json", "PASSED"),
    _Part("images-denied.json", "FAILED"),
)


def run_demo(account: Account, out: Path, progress: Progress) -> bool:
    """Run the three and print a table; whether every verdict was the expected one."""
    outputs = account.outputs(account.application_stack)
    outcomes = []
    for part in PARTS:
        document = resolve(json.loads((_EVENTS / part.file).read_text()), outputs)
        progress.say(f"\n{document['name']}: {document['objective']}")
        outcome = run_experiment(account, document, out, progress)
        progress.verdict(outcome.verdict)
        outcomes.append(outcome)
    progress.say("")
    progress.table(
        "Three experiments",
        ["experiment", "objective", "condition", "verdict", "reason"],
        [_row(part, outcome) for part, outcome in zip(PARTS, outcomes, strict=True)],
    )
    return all(map(_as_expected, PARTS, outcomes))


def _as_expected(part: _Part, outcome: Outcome) -> bool:
    verdict = outcome.verdict
    return (verdict["verdict"], verdict["status"]) == (part.expected, "COMPLETED")


def _row(part: _Part, outcome: Outcome) -> list[str]:
    verdict = outcome.verdict
    return [
        verdict["experiment"],
        verdict["objective"],
        ", ".join(verdict["condition"]["modes"]),
        verdict["verdict"] + ("" if _as_expected(part, outcome) else f" (not {part.expected})"),
        verdict["reason"],
    ]
