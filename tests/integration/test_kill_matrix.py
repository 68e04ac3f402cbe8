"""Nothing is left behind: one real run for each state and each way to die.

`make integration` runs the quick ones, `make kill-matrix` all of them, and writes down what it saw.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.kill_points import CELLS, Cell, Death, written
from tests.integration.lanes import Lane, Seen, counting_target
from tests.integration.runs import Gameday

DOCUMENT = Path(__file__).parents[2] / "docs" / "kill-matrix.md"
EVERY = {cell for cell in CELLS if cell.can_happen}
_LANES_OF_ALL, _LANES_OF_QUICK = 8, 3
_LIMIT_SECONDS = 3600.0

type Matrix = Mapping[Cell, Future[Seen]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let each cell be a test."""
    if "cell" in metafunc.fixturenames:
        cells = sorted(EVERY, key=lambda cell: cell.patience, reverse=True)
        if not metafunc.config.getoption("--all-kill-points", default=False):
            cells = [cell for cell in cells if cell.is_quick]
        metafunc.parametrize("cell", cells, ids=str, scope="session")


@pytest.fixture(scope="session")
def matrix(
    stacks: Gameday, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    """Every cell that was collected; several lanes work on them."""
    cells = _collected(request.session.items)
    futures: dict[Cell, Future[Seen]] = {cell: Future() for cell in cells}
    ahead: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        ahead.put(cell)
    everything = set(cells) == EVERY
    number = _LANES_OF_ALL if len(cells) > len(Death) else min(_LANES_OF_QUICK, len(cells))
    with counting_target() as load:

        def work(name: str) -> None:
            with suppress(queue.Empty):
                lane = None
                while True:
                    cell = ahead.get_nowait()
                    try:
                        lane = lane or Lane.make(stacks, name, tmp_path_factory.mktemp(name), load)
                        futures[cell].set_result(lane.run(cell))
                    except Exception as failure:
                        futures[cell].set_exception(failure)

        threads = [
            threading.Thread(target=work, args=(f"lane-{index}",), daemon=True)
            for index in range(number)
        ]
        for thread in threads:
            thread.start()
        yield futures
    if everything:
        DOCUMENT.write_text(written({cell: _told(future) for cell, future in futures.items()}))


def _told(future: Future[Seen]) -> str:
    if not future.done():
        return "**not run**"
    return f"**{future.exception()}**" if future.exception() else str(future.result())


def _collected(items: list[pytest.Item]) -> list[Cell]:
    calls = (getattr(item, "callspec", None) for item in items)
    return [call.params["cell"] for call in calls if call and "cell" in call.params]


def test_nothing_is_left_behind(
    cell: Cell, matrix: Matrix, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = matrix[cell].result(_LIMIT_SECONDS)
    with capsys.disabled():
        print(f"\n{cell}: {seen}", end="", flush=True)
    assert seen.left == (), seen.story


def test_no_verdict_comes_twice_later(matrix: Matrix) -> None:
    runs = [future.result(_LIMIT_SECONDS) for future in matrix.values()]
    assert {str(r.cell): len(r.execution.events()) - r.verdicts for r in runs} == {
        str(r.cell): 0 for r in runs
    }
