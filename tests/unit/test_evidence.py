"""When evidence says that a condition is on: pure, on parts of a load."""

import pytest

from gameday.conditions.kind import Effect
from gameday.evidence import Search, far_less
from gameday.observations import Histogram, LoadReport, Window
from tests.unit.fakes import experiment, load_report

FOR_ALL = {"exception": {"enabled": True}}
FOR_A_FIFTH = {"exception": {"enabled": True, "percentage": 20}}


def part(number: int, errors: int, offered: int = 10) -> LoadReport:
    return load_report(
        window=Window(start=2 * number, end=2 * number + 2),
        offered=offered,
        by_status={"200": offered - errors, "502": errors},
        latencies=Histogram(),
    )


def search(configuration: object = FOR_ALL) -> Search:
    condition = experiment(condition__configuration=configuration).condition
    return Search(condition, load_report(by_status={"200": 299, "500": 1}))


def parts_until_it_is_over(search: Search, *errors: int, offered: int = 10) -> int | None:
    for number, each in enumerate(errors):
        search.saw(part(number, each, offered))
        if search.is_over:
            return number + 1
    return None


def test_no_slice_shorter_than_five_seconds_is_evidence() -> None:
    assert parts_until_it_is_over(search(), 10, 10, 10, 10) == 3


def test_one_instance_of_several_that_obeys_is_none() -> None:
    assert parts_until_it_is_over(search(), *[5] * 20) is None


def test_what_was_before_the_condition_is_forgotten() -> None:
    assert parts_until_it_is_over(search(), 0, 0, 0, 0, 0, 10, 10, 10) == 8


def test_a_small_share_takes_as_many_requests_as_it_takes_to_notice_its_absence() -> None:
    assert far_less(0, 24, Effect(share=0.2))
    assert not far_less(0, 23, Effect(share=0.2))
    assert parts_until_it_is_over(search(FOR_A_FIFTH), *[2] * 10) == 3
    assert parts_until_it_is_over(search(FOR_A_FIFTH), *[1] * 10, offered=3) == 8


def test_what_was_so_in_the_baseline_is_no_evidence() -> None:
    broken = search()
    broken.before = load_report(by_status={"502": 300})
    assert parts_until_it_is_over(broken, *[10] * 10) is None


def test_every_mode_needs_its_own() -> None:
    half = {"exception": {"enabled": True, "percentage": 50}}
    both = search({**half, "denylist": {"enabled": True, "deny_list": ["x"]}})
    for number in range(5):
        both.saw(part(number, errors=5))
    assert both.found == {"exception": "load"}
    assert both.counted_modes == ("denylist",)
    assert not both.is_over


def test_a_count_that_comes_late_is_of_the_seconds_that_it_counts() -> None:
    denied = search({"denylist": {"enabled": True, "deny_list": ["x"]}})
    for number in range(10):
        denied.saw(part(number, errors=0))
    denied.counted({"denylist": {second: 5.0 for second in range(4, 8)}})
    assert not denied.is_over
    denied.counted({"denylist": {second: 5.0 for second in range(4, 10)}})
    assert denied.found == {"denylist": "metric"}


@pytest.mark.parametrize("per_minute", [{0: 100.0}, {0: 4.0}])
def test_many_counts_in_one_second_are_of_no_more_requests_than_there_were(
    per_minute: dict[int, float],
) -> None:
    denied = search({"denylist": {"enabled": True, "deny_list": ["x"]}})
    for number in range(10):
        denied.saw(part(number, errors=0))
    denied.counted({"denylist": per_minute})
    assert not denied.is_over
