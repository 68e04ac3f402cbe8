"""docs/conditions-measured.md is of this code: a row for each condition on each system."""

import re

from gameday.conditions import KINDS
from gameday.conditions.failure_lambda import MODES_0, MODES_1
from tests.house.project import ROOT
from tests.interop.rows import HEADER, ROWS, TALK

_ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)
TABLE = [
    [cell.strip() for cell in line.split(" | ")]
    for line in _ROW.findall((ROOT / "docs" / "conditions-measured.md").read_text(encoding="utf-8"))
]


def modes(system: str) -> set[str]:
    return {row.mode for row in ROWS if row.system.startswith(system)}


def test_its_rows_are_those_that_make_interop_runs() -> None:
    assert TABLE[0] == HEADER
    assert [row[:3] for row in TABLE[2:]] == [[row.talk, row.system, row.mode] for row in ROWS]


def test_every_row_was_decided_and_timed() -> None:
    for row in TABLE[2:]:
        assert row[3] in ("PASSED", "FAILED"), row
        assert all(re.fullmatch(r"\d+\.\d s", seconds) for seconds in row[5:7]), row


def test_every_kind_and_every_mode_of_every_library_is_in_it() -> None:
    assert {row.condition["kind"] for row in ROWS} == KINDS.keys()
    assert modes("Gameday's injector, AppConfig") == set(MODES_1)
    assert modes("failure-lambda 0.4.4, AppConfig") == set(MODES_0)
    assert modes("failure-lambda 0.4.4, Parameter Store") == set(MODES_0)
    assert modes("chaos-lambda 0.3") == {"latency", "exception", "status_code"}


def test_every_condition_of_the_talk_is_in_it() -> None:
    assert {row.talk for row in ROWS} >= set(TALK)
