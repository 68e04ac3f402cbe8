"""docs/load.md says what benchmarks/load measured."""

import json
import statistics

import pytest

from benchmarks.load import __main__ as bench
from benchmarks.load.figures import quantile_ms, truth_ms
from benchmarks.load.report import WHOLE_REPETITIONS
from gameday.decision import LARGEST_SCHEDULE_ERROR_MS
from gameday.observations import Histogram
from gameday.scale import RATE_OF_ONE_WORKER

RESULTS = json.loads(bench.RESULTS.read_text(encoding="utf-8"))
whole = pytest.mark.skipif(
    RESULTS["repetitions"] < WHOLE_REPETITIONS, reason="a provisional run promises nothing"
)


def test_the_document_and_its_figure_are_those_of_the_results() -> None:
    for path, text in bench.documents().items():
        assert path.read_text(encoding="utf-8") == text


@whole
def test_one_core_is_as_fast_as_was_promised() -> None:
    assert RESULTS["highest"] >= 0.5 * RESULTS["closed"]["hey"]
    assert RESULTS["highest"] >= 5 * RESULTS["closed"]["Locust FastHttpUser"]


@whole
def test_a_run_plans_with_less_than_one_core_sends_over_tls() -> None:
    assert RESULTS["highest_over_tls"] > RATE_OF_ONE_WORKER


@whole
def test_half_of_it_is_sent_in_time_and_answered() -> None:
    reports = [once["report"] for once in RESULTS["half"]]
    late = statistics.median(report["schedule_error_ms"]["p99"] for report in reports)
    assert late < LARGEST_SCHEDULE_ERROR_MS / 10
    for report in reports:
        assert report["succeeded"] >= 0.99 * report["offered"]


@whole
def test_a_server_that_stalls_is_seen_as_it_is() -> None:
    histogram = Histogram.model_validate(RESULTS["stalling"]["ours"]["histogram"])
    for percent in (85, 95, 99):
        assert quantile_ms(histogram, percent) == pytest.approx(truth_ms(percent), abs=60)


@whole
def test_a_stop_is_heard_within_two_seconds() -> None:
    assert RESULTS["stop_seconds"] < 2


@whole
def test_memory_does_not_grow() -> None:
    samples = RESULTS["soak"]["mebibytes"]
    later = samples[len(samples) // 10 :]
    assert max(later) - min(later) < 5


@pytest.mark.parametrize("row", RESULTS["bad"], ids=lambda row: str(row["what"]))
def test_no_target_holds_a_worker_up_or_fills_it(row: bench.Json) -> None:
    assert row["longer_seconds"] < 2.5
    assert row["peak_mebibytes"] < 200


@pytest.mark.parametrize(
    ("text", "expected"), [("250.00us", 0.25), ("1.50ms", 1.5), ("1.90s", 1900), ("1.00m", 60_000)]
)
def test_what_wrk_prints_is_read(text: str, expected: float) -> None:
    assert bench.milliseconds(text) == expected
