"""docs/kill-matrix.md is of this machine: its rows, its columns, and a cell for each of them."""

import re

from tests.house.project import ROOT
from tests.integration.kill_points import CELLS, ROWS, Cell, Death

_ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)
TABLE = [
    [cell.strip() for cell in line.split(" | ")]
    for line in _ROW.findall((ROOT / "docs" / "kill-matrix.md").read_text(encoding="utf-8"))
]


def test_its_columns_are_the_ways_to_die() -> None:
    assert TABLE[0] == ["", *Death]


def test_its_rows_are_the_states_of_the_machine_and_what_cleans_up_after_it() -> None:
    assert [row[0] for row in TABLE[2:]] == list(ROWS)


def test_every_cell_was_run_or_has_nothing_to_die() -> None:
    found = {
        Cell(row[0], death): told
        for row in TABLE[2:]
        for death, told in zip(Death, row[1:], strict=True)
    }
    assert found.keys() == set(CELLS)
    without = {cell for cell, told in found.items() if told == "no function"}
    assert without == {cell for cell in CELLS if not cell.can_happen}
    assert [cell for cell, told in found.items() if told == "not run" or "**" in told] == []


def test_only_a_function_can_die_of_more_than_being_ended_from_outside() -> None:
    for cell in CELLS:
        assert cell.can_happen or cell.death not in {Death.STOPPED, Death.TIMED_OUT}
