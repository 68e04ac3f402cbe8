"""Run the judges on simulated runs of known truth; write what they say to docs/."""

import argparse
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judge import report, sweeps
from benchmarks.judge.measures import FAILED, MEASURES, PASSED, Judged, Measure, Truth
from benchmarks.judge.truths import Shape

RESULTS = Path(__file__).with_name("results.json")
REQUESTS = (30, 300, 3_000, 30_000)
PERIODS = 10
CHUNK = 250


def cell(measure: Measure, truth: Truth, requests: int, runs: int) -> dict[str, Any]:
    """Judge simulated runs at every distance; at the threshold, where most goes wrong, four times
    as many as elsewhere."""
    rows: dict[float, list[Judged]] = {distance: [] for distance in measure.distances}
    for chunk in range(0, runs, CHUNK):
        size = min(CHUNK, runs - chunk)
        seed = [zlib.crc32(f"{measure.name} {truth.name}".encode()), requests, chunk]
        judge = measure.prepare(np.random.default_rng(seed), truth, Shape(size, PERIODS, requests))
        for distance, judged in rows.items():
            if distance == 1 or chunk < runs / 4:
                judged.append(judge(distance, size))
    return {
        "measure": measure.name,
        "truth": truth.name,
        "kept": truth.kept,
        "requests": requests,
        "rows": [summary(distance, judged) for distance, judged in rows.items()],
    }


def summary(distance: float, judged: Sequence[Judged]) -> dict[str, Any]:
    """Which part of the runs passed and failed by each judge, and where our interval missed."""
    verdicts = {
        name: np.concatenate([one.verdicts[name] for one in judged]) for name in judged[0].verdicts
    }
    runs = len(verdicts["ours"])
    return {
        "distance": distance,
        "runs": runs,
        "judges": {
            name: {
                "passed": round(float((all_of == PASSED).mean()), 4),
                "failed": round(float((all_of == FAILED).mean()), 4),
            }
            for name, all_of in verdicts.items()
        },
        "truth_below": round(sum(one.below for one in judged) / runs, 4),
        "truth_above": round(sum(one.above for one in judged) / runs, 4),
    }
