"""What is seen adds up: histograms and reports, in any order."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gameday.experiment import Phase
from gameday.observations import Failure, Histogram, LoadReport, Window, rounded_up

TENTHS = st.integers(0, 600_000)
COUNTS = st.dictionaries(TENTHS, st.integers(1, 99))
HISTOGRAMS = COUNTS.map(Histogram.of)
REPORTS = st.builds(
    LoadReport,
    phase=st.just(Phase.CONDITION),
    window=st.tuples(st.integers(0, 9), st.integers(10, 19)).map(
        lambda edges: Window(start=edges[0], end=edges[1])
    ),
    offered=st.integers(0, 99),
    sent=st.integers(0, 99),
    succeeded=st.integers(0, 99),
    failed=st.integers(0, 99),
    by_status=st.dictionaries(st.sampled_from(["200", "503"]), st.integers(1, 9)),
    errors=st.dictionaries(st.sampled_from(Failure), st.integers(1, 9)),
    latencies=HISTOGRAMS,
    schedule_errors=HISTOGRAMS,
    stopped=st.booleans(),
)


@given(COUNTS)
def test_rounding_goes_up_by_less_than_a_hundredth_and_loses_none(counts: dict[int, int]) -> None:
    few = rounded_up(counts)
    assert sum(few.values()) == sum(counts.values())
    for tenths in counts:
        ((rounded, _),) = rounded_up({tenths: 1}).items()
        assert tenths <= rounded <= max(tenths, tenths * 1.01)
        assert len(str(rounded).rstrip("0")) <= 3 or rounded == tenths


def test_a_histogram_is_small_whatever_was_seen() -> None:
    everything = Histogram.of(dict.fromkeys(range(600_001), 1))
    assert len(everything.counts) < 3_500
    assert len(everything.model_dump_json()) < 20_000


@given(st.lists(st.integers(0, 1_000), min_size=1))
def test_a_quantile_is_the_nearest_rank(samples: list[int]) -> None:
    quantiles = Histogram.of(Counter(samples)).quantiles
    ordered = sorted(samples)
    assert quantiles is not None
    for percent, value in ((50, quantiles.p50), (95, quantiles.p95), (99, quantiles.p99)):
        assert value == ordered[math.ceil(len(ordered) * percent / 100) - 1] / 10
    assert quantiles.max == ordered[-1] / 10


@given(st.lists(st.integers(0, 600_000), min_size=1), st.integers(1, 5))
def test_merged_percentiles_are_those_of_all_samples(samples: list[int], workers: int) -> None:
    shares = [Histogram.of(Counter(samples[index::workers])) for index in range(workers)]
    assert Histogram.merged(shares).quantiles == Histogram.of(Counter(samples)).quantiles


@given(st.lists(REPORTS, min_size=1, max_size=4), st.randoms())
def test_reports_add_up_in_any_order(reports: list[LoadReport], dice: Random) -> None:
    shuffled = sorted(reports, key=lambda _: dice.random())
    assert LoadReport.merged(shuffled) == LoadReport.merged(reports)


@given(REPORTS, REPORTS, REPORTS)
def test_reports_add_up_in_any_groups(one: LoadReport, two: LoadReport, three: LoadReport) -> None:
    merged = LoadReport.merged
    assert merged([merged([one, two]), three]) == merged([one, merged([two, three])])


@given(st.lists(REPORTS, min_size=1, max_size=3))
def test_a_merged_report_loses_nothing(reports: Sequence[LoadReport]) -> None:
    merged = LoadReport.merged(reports)
    for name in ("offered", "sent", "succeeded", "failed"):
        assert getattr(merged, name) == sum(getattr(report, name) for report in reports)
    for name in ("by_status", "errors"):
        total = sum(sum(getattr(report, name).values()) for report in reports)
        assert sum(getattr(merged, name).values()) == total
    assert merged.stopped == any(report.stopped for report in reports)
    assert merged.window.start == min(report.window.start for report in reports)


@given(REPORTS)
def test_a_report_survives_json(report: LoadReport) -> None:
    assert LoadReport.model_validate(json.loads(report.model_dump_json())) == report
    assert not {"latencies", "schedule_errors"} & report.summary.keys()
