"""docs/injector.md names the test of each behaviour."""

import re
from pathlib import Path

import pytest

from gameday_injector.modes import MODES

TESTS = Path(__file__).parent
DOC = (TESTS.parents[1] / "docs" / "injector.md").read_text(encoding="utf-8")
CONFORMANCE = DOC.partition("## Conformance")[2].partition("\n## ")[0]
DEFINED = {
    name
    for path in TESTS.glob("test_injector*.py")
    for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", CONFORMANCE))))
def test_the_test_of_a_behaviour_is_there(name: str) -> None:
    assert name in DEFINED


def test_the_order_of_the_modes_is_told() -> None:
    told = DOC.partition("in this order: ")[2].partition(". Each")[0]
    assert re.findall(r"`(\w+)`", told) == list(MODES)
