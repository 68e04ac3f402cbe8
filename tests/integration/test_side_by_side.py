"""Runs side by side, each on a target of its own, that die at any moment: each is restored.

`make integration` starts a few, `make side-by-side` fifty; `--seed` says which deaths, and when.
"""

from __future__ import annotations

import os
import queue
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import pytest
from botocore.exceptions import ClientError

from gameday.scale import Form
from tests.house.project import TASKS
from tests.integration.kill_points import form_of
from tests.integration.lanes import CountingTarget, counting_target
from tests.integration.runs import (
    OFF,
    Execution,
    Gameday,
    Json,
    Target,
    eventually,
    experiment,
    unique,
)

_AT_ONCE = 6
"""How many are under way at a time: on two cores more of them only wait for each other."""
_LONGEST_SECONDS = 4.0
_ONE = [task for task in TASKS if form_of(task) is Form.ONE]
_STATES = [*_ONE, *4 * ["Generate load"]]
"""Where runs die: anywhere, and often while their condition is on."""
_LIMIT_SECONDS = 1800.0
_QUIET_SECONDS = 1.5
_KILLED = 1 / 3
"""Of all workers, those that are killed at once."""


class Death(StrEnum):
    """What happens to a run."""

    STOPPED = "StopExecution"
    RANG = "an alarm rings"
    KILLED = "workers are killed"
    TIMED_OUT = "TIMED_OUT is posted"
    NONE = "nothing"


@dataclass(frozen=True)
class Fate:
    """What happens to a run, and so many seconds after it came to which state."""

    death: Death
    state: str
    seconds: float


@dataclass(frozen=True)
class Seen:
    """What was there when a run died, and what it left behind."""

    fate: Fate
    execution: Execution
    target: Target
    state: str
    was_on: bool
    armed: bool
    seconds: float
    left: tuple[str, ...]

    def __str__(self) -> str:
        on = ", condition on" if self.was_on else ""
        left = ", ".join(self.left) or f"restored {self.seconds:.1f} s later"
        end = f"{self.execution.status}, {left}"
        return f"{self.fate.death} in {self.state}{on}: {end}"


type Runs = Mapping[int, Future[Seen]]


def fates(number: int, seed: int) -> list[Fate]:
    """Every death equally often, in any order, each at some moment; one in ten runs lives."""
    chance = random.Random(seed)
    deaths = [list(Death)[index % (len(Death) - 1)] for index in range(number - number // 10)]
    deaths += [Death.NONE] * (number // 10)
    chance.shuffle(deaths)
    return [
        Fate(death, chance.choice(_STATES), chance.uniform(0, _LONGEST_SECONDS)) for death in deaths
    ]


@dataclass(frozen=True)
class _Field:
    """Where the runs are."""

    gameday: Gameday
    load: CountingTarget
    chance: random.Random

    def run(self, fate: Fate) -> Seen:
        """Start a run, let happen to it what is to happen, and look when it is over."""
        target, guardrail, run_id = self.gameday.target(), self.gameday.alarm(), unique("run")
        document = experiment(
            run_id,
            target,
            self.load.url(run_id),
            guardrails=[guardrail],
            load={"rate_per_second": 2},
        )
        execution = self.gameday.start(document, run_id)
        with suppress(AssertionError):  # it may die with another before
            execution.wait_for(fate.state)
            time.sleep(fate.seconds)
        state, served = execution.entered()[-1], self.gameday.served(target)
        died_at = time.monotonic()
        self._die(fate.death, execution, guardrail)
        execution.wait()
        left = tuple(self._left(execution, target))
        return Seen(
            fate=fate,
            execution=execution,
            target=target,
            state=state,
            was_on=served != OFF,
            armed="experiment" in execution.record(),
            seconds=time.monotonic() - died_at,
            left=left,
        )

    def _die(self, death: Death, execution: Execution, guardrail: str) -> None:
        match death:
            case Death.STOPPED:
                with suppress(ClientError):  # one that is over cannot be stopped
                    execution.stop()
            case Death.RANG:
                self.gameday.ring(guardrail)
            case Death.TIMED_OUT:
                execution.post_timed_out()
            case Death.KILLED:
                for worker in _workers(self.gameday.aws.pid):
                    if self.chance.random() < _KILLED:
                        with suppress(ProcessLookupError):
                            os.kill(worker, signal.SIGKILL)

    def _left(self, execution: Execution, target: Target) -> Iterator[str]:
        """What is still there, although everything had its time."""
        gameday, run_id = self.gameday, execution.run_id
        clean = {
            "the condition is on": lambda: gameday.served(target) == OFF,
            "the lock is held": lambda: gameday.lock(target) == {},
            "the schedule is there": lambda: gameday.schedules(run_id) == [],
            "the load goes on": lambda: self._is_quiet(run_id),
            "no verdict": lambda: "experiment" not in execution.record() or execution.events(),
        }
        for problem, is_so in clean.items():
            try:
                eventually(is_so, 60)
            except AssertionError:
                yield problem

    def _is_quiet(self, run_id: str) -> bool:
        before = self.load.arrivals(run_id)
        time.sleep(_QUIET_SECONDS)
        return self.load.arrivals(run_id) == before


def _workers(server: int) -> list[int]:
    """The processes in which the embedded AWS runs functions: all of its group but itself."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,pgid="], capture_output=True, text=True, check=True
    )
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    return [pid for pid, group in pairs if group == server and pid != server]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let each run be a test."""
    if "number" in metafunc.fixturenames:
        runs = range(metafunc.config.getoption("--side-by-side"))
        metafunc.parametrize("number", runs, scope="session")


@pytest.fixture(scope="session")
def runs(stacks: Gameday, pytestconfig: pytest.Config) -> Iterator[Runs]:
    """All runs, of which some are under way at a time."""
    seed = pytestconfig.getoption("--seed")
    planned = fates(pytestconfig.getoption("--side-by-side"), seed)
    futures: dict[int, Future[Seen]] = {number: Future() for number in range(len(planned))}
    ahead: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in futures:
        ahead.put(number)
    with counting_target() as load:
        field = _Field(stacks, load, random.Random(seed))

        def work() -> None:
            with suppress(queue.Empty):
                while True:
                    number = ahead.get_nowait()
                    try:
                        futures[number].set_result(field.run(planned[number]))
                    except BaseException as failure:
                        futures[number].set_exception(failure)

        for _ in range(_AT_ONCE):
            threading.Thread(target=work, daemon=True).start()
        yield futures


def seen(runs: Runs) -> list[Seen]:
    return [run.result(_LIMIT_SECONDS) for run in runs.values()]


def test_every_run_is_restored(number: int, runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs[number].result(_LIMIT_SECONDS)
    with capsys.disabled():
        print(f"\n{number}: {run}", end="", flush=True)
    assert run.left == (), run.execution.explained()


def test_every_run_that_armed_has_one_verdict_and_no_other_has_one(runs: Runs) -> None:
    verdicts = {r.execution.run_id: len(r.execution.events()) for r in seen(runs)}
    assert verdicts == {r.execution.run_id: int(r.armed) for r in seen(runs)}


def test_what_is_served_stays_as_it_was(runs: Runs) -> None:
    served = [run.execution.gameday.served(run.target) for run in seen(runs)]
    assert served == [OFF] * len(served)


def test_no_letter_is_dead(runs: Runs, stacks: Gameday) -> None:
    assert seen(runs)
    asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    for queue_name in ("RollBackDeadLetters", "ScheduleDeadLetters"):
        attributes: Json = stacks.client("sqs").get_queue_attributes(
            QueueUrl=stacks.resource(queue_name), AttributeNames=asked
        )["Attributes"]
        assert [int(attributes[name]) for name in asked] == [0, 0], queue_name


def test_runs_died_while_their_condition_was_on(runs: Runs) -> None:
    died = [run for run in seen(runs) if run.fate.death is not Death.NONE]
    assert [run for run in died if run.was_on], "else nothing was proven"
