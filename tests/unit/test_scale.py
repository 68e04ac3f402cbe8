from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday import wire
from gameday.arrivals import WHOLE, Share, Spacing
from gameday.errors import InvalidExperiment
from gameday.experiment import MAXIMUM_RATE_PER_SECOND, Load, Phase, Windows, parse
from gameday.feasibility import LONGEST_WINDOW_SECONDS, WINDOWS_SECONDS
from gameday.scale import (
    HEAD_START_SECONDS,
    IN_FLIGHT_OF_ONE_WORKER,
    MOST_MAP_ITERATIONS,
    MOST_WORKERS,
    RELIEF_SECONDS,
    SHIFT_SECONDS,
    Form,
    part_of,
    workers,
    workers_for,
)
from tests.house.project import DEFINITION, FUNCTIONS, STATES, machines_in
from tests.unit.fakes import changed, experiment, longest, smallest

LONGEST_FUNCTION_SECONDS = 900
LONGEST_WARM_UP_SECONDS = 180
LONGEST_HISTORY = 25_000


# -- how many workers


@pytest.mark.parametrize(
    ("rate", "latency_ms", "needed"),
    [(5, 200, 1), (4000, 200, 1), (4001, 200, 2), (4000, 1000, 5), (1_000_000, 200, 250)],
)
def test_a_rate_needs_workers_by_processor_and_by_connections(
    rate: float, latency_ms: float, needed: int
) -> None:
    assert workers_for(rate, latency_ms) == needed


def test_the_highest_rate_of_a_document_takes_no_more_than_the_most_workers() -> None:
    assert workers_for(MAXIMUM_RATE_PER_SECOND, 200) == MOST_WORKERS


def test_what_is_planned_to_be_in_flight_is_what_a_worker_holds() -> None:
    assert wire.MAXIMUM_CONNECTIONS == IN_FLIGHT_OF_ONE_WORKER


def test_the_latency_of_the_condition_is_planned_with() -> None:
    slow = {"latency": {"enabled": True, "max_latency": 2000}}
    planned = experiment(load__rate_per_second=4000, condition__configuration=slow).plan
    assert planned.baseline_workers.at_once == 10  # 4000/s of 2.2 s are 8,800 in flight


def test_the_peak_of_a_ramp_is_planned_with() -> None:
    ramp = experiment(load__rate_per_second=5, load__to_per_second=8000).plan
    assert ramp.condition_workers == experiment(load__rate_per_second=8000).plan.condition_workers


def test_more_workers_than_there_may_be_are_refused_with_what_to_do() -> None:
    document = changed(smallest(), load__rate_per_second=500_000, load__expected_latency_ms=2000)
    with pytest.raises(InvalidExperiment) as invalid:
        parse(document)
    (fault,) = invalid.value.faults
    assert (fault.field, fault.message.partition(":")[0]) == (
        "load",
        "takes 1278 workers, and 250 are the most",
    )


# -- who works when


@pytest.mark.parametrize(
    ("at_once", "seconds", "form"),
    [
        (1, SHIFT_SECONDS, Form.ONE),
        (2, 60, Form.MAP),
        (MOST_MAP_ITERATIONS, SHIFT_SECONDS, Form.MAP),
        (MOST_MAP_ITERATIONS + 1, 60, Form.DISTRIBUTED),
        (1, SHIFT_SECONDS + 60, Form.DISTRIBUTED),
    ],
)
def test_a_load_has_the_simplest_form_that_carries_it(
    at_once: int, seconds: int, form: Form
) -> None:
    assert workers(at_once, 0, seconds).form is form


@given(st.integers(1, MOST_WORKERS), st.sampled_from(WINDOWS_SECONDS))
def test_the_parts_are_every_second_of_every_worker_once(at_once: int, seconds: int) -> None:
    parts = range(workers(at_once, 0, seconds).parts)
    done = sorted(
        (worker, second)
        for worker, covered in (part_of(number, at_once, seconds) for number in parts)
        for second in (covered.start, covered.stop)
    )
    edges = [*range(0, seconds, SHIFT_SECONDS), seconds]
    twice = sorted(edges + edges[1:-1])  # where one shift ends the next one begins
    assert done == [(worker, second) for worker in range(at_once) for second in twice]


@pytest.mark.parametrize("spacing", Spacing)
def test_the_parts_send_every_request_once_and_leave_no_hole(spacing: Spacing) -> None:
    seconds, at_once = 2 * SHIFT_SECONDS + 60, 3
    load = Load(url="https://shop.example/", rate_per_second=2.5, spacing=spacing)
    arrivals = load.arrivals(seconds)

    def due(number: int) -> Iterator[tuple[int, int]]:
        index, covered = part_of(number, at_once, seconds)
        share = Share(index, at_once, 0.0, covered.start, covered.stop)
        return arrivals.due(share, "run-1")

    parts = range(workers(at_once, 0, seconds).parts)
    sent = sorted(request for number in parts for request in due(number))
    assert [number for number, _ in sent] == list(range(arrivals.count))
    if spacing is Spacing.EVEN:
        assert sent == list(arrivals.due(WHOLE, "run-1"))


@pytest.mark.parametrize("number", [-1, 4, 400])
def test_there_is_no_other_part(number: int) -> None:
    with pytest.raises(ValueError, match="no part"):
        part_of(number, at_once=2, window_seconds=2 * SHIFT_SECONDS)


@pytest.mark.parametrize("warm_up", [0, LONGEST_WARM_UP_SECONDS])
def test_a_worker_is_called_before_its_shift_and_lives_until_its_end(warm_up: int) -> None:
    limit = Load.model_json_schema()["properties"]["timeout_seconds"]["maximum"]
    assert FUNCTIONS["GenerateLoadFunction"]["Timeout"] == LONGEST_FUNCTION_SECONDS
    for wait_for_the_minute in (0, 60):
        begins = HEAD_START_SECONDS + warm_up + wait_for_the_minute
        waits = workers(1, warm_up, LONGEST_WINDOW_SECONDS).waits_seconds
        for shift, wait in enumerate(waits):
            shift_begins = begins + shift * SHIFT_SECONDS
            assert wait <= shift_begins - RELIEF_SECONDS or shift == 0
            assert shift_begins + SHIFT_SECONDS + limit - wait < LONGEST_FUNCTION_SECONDS


# -- what follows from it


def test_nothing_waits_for_the_head_start_of_one_worker() -> None:
    alone, several = experiment().plan, experiment(load__rate_per_second=8000).plan
    assert several.lease_seconds == alone.lease_seconds + HEAD_START_SECONDS
    assert several.deadline_seconds == alone.deadline_seconds + 3 * HEAD_START_SECONDS


def test_the_requests_of_a_run_are_bounded_by_the_plan() -> None:
    windows, warm_ups, minutes = 60 + 60 + 120, 2 * 10 + 60, 3 * 60
    assert experiment().plan.most_requests == 5 * (windows + warm_ups + minutes)


def test_of_several_workers_one_awaits_evidence() -> None:
    none, a_minute = (
        experiment(load__rate_per_second=8000, condition__propagation_seconds=seconds).plan
        for seconds in (0, 60)
    )
    more = a_minute.most_requests - none.most_requests
    assert more == 60 * 8000 / none.condition_workers.at_once


def test_each_phase_has_its_own_workers() -> None:
    windows = Windows(baseline_seconds=60, condition_seconds=1200, recovery_seconds=2700)
    plan = experiment(windows=windows.model_dump()).plan
    assert [plan.workers(phase).parts for phase in Phase] == [1, 2, 5]


def events_of(machine: object) -> int:
    """The most events that the states of a machine leave in a history, each retried to the last.

    A state is entered and exited. A task is scheduled, started and ends in each attempt, a Parallel
    and a Map start and end, each item starts and ends; a Distributed Map's items have a history of
    their own (Step Functions, HistoryEvent).
    """
    assert isinstance(machine, dict)
    total = 0
    for state in machine["States"].values():
        attempts = 1 + sum(r.get("MaxAttempts", 3) for r in state.get("Retry", ()))
        total += 2
        if state["Type"] == "Task":
            total += 3 * attempts
        items = inside = 1
        if state["Type"] == "Map":
            inline = state["ItemProcessor"]["ProcessorConfig"]["Mode"] == "INLINE"
            items, inside = (MOST_MAP_ITERATIONS, 1) if inline else (1, 0)
            total += 2 + 2 * items * inside
        elif state["Type"] == "Parallel":
            total += 2
        total += inside * items * sum(events_of(machine) for machine in machines_in(state))
    return total


def test_no_run_comes_near_the_longest_history() -> None:
    assert len(STATES) < events_of(DEFINITION) < LONGEST_HISTORY / 8


def test_a_plan_of_the_largest_load_fits_into_a_state() -> None:
    quick = {"latency": {"enabled": True, "max_latency": 20}}
    document = changed(longest().model_dump(mode="json"), condition__configuration=quick)
    million = {"url": "https://shop.example/", "rate_per_second": 1_000_000}
    largest = parse(document | {"load": million})
    assert largest.plan.condition_workers.parts == MOST_WORKERS * 5
    assert len(largest.plan.model_dump_json()) < 64 * 1024  # of 256 KiB, with the document
