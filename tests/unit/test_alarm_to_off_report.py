import math
from collections.abc import Sequence

import pytest

from benchmarks.alarm_to_off_report import Reaction, Results, quantile, render


def document(*seconds: float, deaths: Sequence[float] = (1.0,)) -> str:
    reactions = [Reaction(off=one, last_request=one, noted=one) for one in seconds]
    peers = [Reaction(off=2 * one, last_request=one) for one in seconds]
    found = Results({"ours": reactions, "theirs": peers}, {"a death": deaths}, watched_seconds=20)
    return render(found, "no cores", took_seconds=60)


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (90, 90), (99, 99), (100, 100), (1, 1)])
def test_a_quantile_is_the_nearest_rank(percent: float, value: float) -> None:
    assert quantile(range(100, 0, -1), percent) == value


def test_the_longest_of_fifty_is_the_99th_percentile() -> None:
    assert quantile(range(1, 51), 99) == 50


def test_rows_are_compared_with_the_first() -> None:
    assert "| theirs | 2 | 1.00 | 2.00 | 2.00 | 2.00 | 2.00 | 2.00 |" in document(0.5, 1.0)


def test_what_only_one_side_notes_is_a_row_of_its_own() -> None:
    assert document(1.0).count("as its record says") == 1


@pytest.mark.parametrize(("slowest", "told"), [(1.9, "it is reached"), (2.1, "it is missed")])
def test_the_document_says_whether_the_target_is_reached(slowest: float, told: str) -> None:
    assert told in document(0.5, slowest)


def test_a_condition_that_stays_on_is_told() -> None:
    text = document(1.0, deaths=[math.inf, math.inf])
    assert "| a death | 0 of 2 | still on after 20 s |" in text


def test_the_peers_versions_are_those_of_its_lock() -> None:
    assert "chaostoolkit-addons " in document(1.0)
