"""docs/conditions.md lists every kind, and every field that a kind has of its own."""

from typing import Any

import pytest

from gameday.conditions import KINDS
from gameday.conditions.kind import Condition
from tests.unit import test_docs_experiment
from tests.unit.fakes import EVENTS

DOC = (EVENTS.parent / "docs" / "conditions.md").read_text(encoding="utf-8")
METRIC = "[object](experiment.md#any-other-metric)"
OWN = {name: row.condition for name, row in KINDS.items() if name != "appconfig"}


def test_every_kind_has_its_section() -> None:
    assert {line[3:] for line in DOC.splitlines() if line.startswith("## ")} >= OWN.keys()


@pytest.mark.parametrize(("name", "model"), OWN.items(), ids=OWN)
def test_every_field_of_a_kinds_own_is_listed(
    monkeypatch: pytest.MonkeyPatch, name: str, model: type[Condition]
) -> None:
    monkeypatch.setattr(test_docs_experiment, "DOC", DOC)
    common = test_docs_experiment.expected(Condition)
    fields: dict[str, Any] = test_docs_experiment.expected(model)
    own = {f: row for f, row in fields.items() if f == "kind" or row != common.get(f)}
    listed = {row[0].strip("`"): row[:3] for row in test_docs_experiment.table(name)}
    own |= {"evidence": ["`evidence`", METRIC, "required"]} if "evidence" in own else {}
    assert listed == own
