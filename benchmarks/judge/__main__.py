"""Let the judges judge simulated runs of known truth, and write down what they say.

Everything is drawn from fixed seeds: the same code gives the same results.
"""

import argparse
import json
import os
import zlib
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judge import figures, report, sweeps
from benchmarks.judge.measures import FAILED, MEASURES, PASSED, Judged, Measure, Truth
from benchmarks.judge.truths import Shape

RESULTS = Path(__file__).with_name("results.json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "judge.md"
REQUESTS = (30, 300, 3_000, 30_000)
PERIODS = 10
RUNS = 2_000
CHUNK = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few runs, shown and not kept")
    parser.add_argument("--report", action="store_true", help="only the report, of what is kept")
    options = parser.parse_args()
    if options.quick:
        print(report.worst(results(300, (3_000,))))
        return
    if not options.report:
        RESULTS.write_text(json.dumps(results(RUNS, REQUESTS), indent=1) + "\n", encoding="utf-8")
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


def documents() -> dict[Path, str]:
    """Return what docs/ says of the results that are kept."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    drawn = {DOCUMENT.with_name(name): text for name, text in figures.draw(kept).items()}
    return {DOCUMENT: report.filled(DOCUMENT.read_text(encoding="utf-8"), kept), **drawn}


def results(runs: int, requests: Sequence[int], workers: int | None = None) -> dict[str, Any]:
    """Judge everything that is simulated: so many runs on the threshold, a fourth elsewhere."""
    with ProcessPoolExecutor(workers or os.process_cpu_count()) as pool:
        alone = {
            name: pool.submit(getattr(sweeps, name), runs)
            for name in ("correlation_lengths", "few_periods", "peeking")
        }
        cells: list[Future[dict[str, Any]]] = [
            pool.submit(cell, measure, truth, total, runs)
            for total in sorted(requests, reverse=True)  # what takes longest comes first
            for measure in MEASURES
            for truth in measure.truths
        ]
        return {
            "cells": [future.result() for future in cells],
            **{name: future.result() for name, future in alone.items()},
        }


def cell(measure: Measure, truth: Truth, requests: int, runs: int) -> dict[str, Any]:
    """Judge runs of one truth at every distance from the threshold."""
    judged: dict[float, list[Judged]] = {distance: [] for distance in measure.distances}
    for first in range(0, runs, CHUNK):
        size = min(CHUNK, runs - first)
        seed = [zlib.crc32(f"{measure.name}, {truth.name}".encode()), requests, first]
        judge = measure.prepare(np.random.default_rng(seed), truth, Shape(size, PERIODS, requests))
        for distance, parts in judged.items():
            parts.append(judge(distance, size if distance == 1 else size // 4))
    return {
        "measure": measure.name,
        "truth": truth.name,
        "kept": truth.kept_from <= requests,
        "requests": requests,
        "rows": [summary(distance, parts) for distance, parts in judged.items()],
    }


def summary(distance: float, parts: Sequence[Judged]) -> dict[str, Any]:
    """Return which part of the runs each judge passed and failed, and where our interval missed."""
    verdicts = {
        name: np.concatenate([part.verdicts[name] for part in parts]) for name in parts[0].verdicts
    }
    runs = len(verdicts["ours"])
    return {
        "distance": distance,
        "runs": runs,
        "judges": {
            name: {
                "passed": round(float((said == PASSED).mean()), 4),
                "failed": round(float((said == FAILED).mean()), 4),
            }
            for name, said in verdicts.items()
        },
        "outside": round(sum(part.below + part.above for part in parts) / runs, 4),
    }


if __name__ == "__main__":
    main()
