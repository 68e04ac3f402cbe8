"""Each condition of the talk, on each system that obeys it: on, measured, off, and gone.

The whole of it writes down what it saw: docs/conditions-measured.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interop.lab import Lab, Outcome
from tests.interop.rows import ROWS, Row, written

DOCUMENT = Path(__file__).parents[2] / "docs" / "conditions-measured.md"
_TOGETHER = 4  # more runs at once make each other's targets slow
_ATTEMPTS = 3
_LIMIT_SECONDS = 1800.0

type Outcomes = Mapping[Row, Future[Outcome]]


@pytest.fixture(scope="session")
def outcomes(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """The rows that were collected; those of one function one after the other."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    rows = [call.params["row"] for call in calls if call and "row" in call.params]
    futures: dict[Row, Future[Outcome]] = {row: Future() for row in rows}

    def work(function: str) -> None:
        for row in rows:
            if row.function == function:
                try:
                    futures[row].set_result(_decided(lab, row))
                except Exception as failure:
                    futures[row].set_exception(failure)

    with ThreadPoolExecutor(_TOGETHER) as threads:
        for function in dict.fromkeys(row.function for row in rows):
            threads.submit(work, function)
        yield futures
    if len(rows) == len(ROWS):
        ended = [future.result() for future in futures.values() if not future.exception()]
        DOCUMENT.write_text(written([outcome.measured() for outcome in ended]))


def _decided(lab: Lab, row: Row) -> Outcome:
    """The outcome of a run that could decide: a busy machine is late, and its run is doubted."""
    for _ in range(_ATTEMPTS):
        outcome = lab.run(row)
        if outcome.verdict["verdict"] != "INCONCLUSIVE":
            break
    return outcome


@pytest.mark.parametrize("row", ROWS, ids=str, scope="session")
def test_a_condition_is_on_and_measured_and_gone(
    row: Row, outcomes: Outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = outcomes[row].result(_LIMIT_SECONDS)
    verdict = outcome.verdict
    assert verdict["status"] == "COMPLETED", outcome.execution.explained()
    assert verdict["verdict"] in ("PASSED", "FAILED"), verdict["reason"]
    assert outcome.after == outcome.before
    measured = outcome.measured()
    with capsys.disabled():
        print(
            f"\n{row}: {measured.verdict}, {measured.effect}, on {measured.on_seconds:.1f} s, "
            f"off {measured.off_seconds:.1f} s, {measured.evidence}",
            end="",
            flush=True,
        )
    assert measured.off_seconds < row.propagation_seconds + 10
