"""Nothing is left behind, whatever happens inside of the steps and in whichever order.

INTERLEAVINGS is how many examples are tried; a number of one's own tries new ones every time.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from gameday.experiment import parse
from tests.interleavings.world import (
    LONG_OUTAGE_SECONDS,
    PROFILE,
    THEIRS,
    Caller,
    Execution,
    Fate,
    World,
    a_world,
    ours,
)
from tests.steps.fakes import DOCUMENT
from tests.unit.fakes import OFF

_DEADLINE_SECONDS = parse(DOCUMENT).plan.deadline_seconds
_WAITS = (1.0, _DEADLINE_SECONDS - 1.0, _DEADLINE_SECONDS + 1.0)
"""How long a run waits somewhere: so that its deadline comes later, in the next step, or now."""
_STATES = ("enable", "disable", "publish", "arm", "window", "stand_down")
_SERVICES = ("appconfig", "appconfigdata", "dynamodb", "events", "scheduler", "sns")
_OUTAGES = (20.0, 150.0, LONG_OUTAGE_SECONDS)
"""One that the retries of a step outlive, one that those of the undo do, and neither."""
_FAULTS = list(Fate)[1:]

type Happening = Callable[[World, Execution], object]


def _stopped(status: str) -> Happening:
    return lambda _, run: run.stop(status)


def _somebody_deploys(profile: str = PROFILE) -> Happening:
    return lambda world, run: world.deploy(run.environment, THEIRS, profile)


def _outage(service: str, seconds: float) -> Happening:
    return lambda world, _: world.fail(service, seconds)


HAPPENINGS: dict[str, Happening] = {
    "Step Functions loses an answer": lambda _, run: run.give_up(),
    "an alarm rings": lambda world, _: world.ring(),
    "a person stops the execution": _stopped("ABORTED"),
    "an event comes twice": lambda world, _: world.again(),
    "the execution is redriven": lambda _, run: run.redrive(),
    "the execution times out": _stopped("TIMED_OUT"),
    "a person stops the deployment": lambda world, run: world.stop_deployment(run.environment),
    "somebody deploys": _somebody_deploys(),
    "somebody deploys another profile": _somebody_deploys("p1"),
}
"""What may happen to a run, beside what becomes of a call."""

_COMMON = list(HAPPENINGS)[:4]
_MEANWHILE = st.lists(st.sampled_from(_COMMON) | st.sampled_from(list(HAPPENINGS)), max_size=5)


class Explorer:
    """Lets happen in a world what the data say, in the order that they say."""

    def __init__(self, world: World, data: st.DataObject) -> None:
        self.world, self._draw = world, data.draw
        self._how = {
            "told": self._draw(st.booleans(), "EventBridge tells of the end of executions"),
            "waits": self._draw(st.tuples(*2 * [st.sampled_from(_WAITS)]), "waits"),
        }
        # Only what writes matters to others; the calls are counted from where it begins.
        self._faults = self._draw(
            st.dictionaries(st.integers(0, 20), st.sampled_from(_FAULTS), max_size=3),
            "what becomes of calls that write, by their number",
        )
        self._writes = 0
        self._coming = [HAPPENINGS[what] for what in self._draw(_MEANWHILE, "what happens")]
        self._insert(st.tuples(st.sampled_from(_SERVICES), st.sampled_from(_OUTAGES)), self._fail)
        self._insert(st.sampled_from(("e1", "e2")), self._second_run)

    def _insert(self, values: st.SearchStrategy[Any], happening: Callable[..., object]) -> None:
        """Let something happen once at most, somewhere among the others."""
        value = self._draw(st.none() | values, happening.__name__)
        if value is not None:
            place = self._draw(st.integers(0, len(self._coming)))
            self._coming.insert(place, lambda *_: happening(value))

    def _fail(self, outage: tuple[str, float]) -> None:
        self.world.fail(*outage)

    def _second_run(self, environment: str) -> None:
        self.world.execute("run-2", environment=environment, **self._how)

    def explore(self) -> None:
        """Let a run come to some state undisturbed, and from there on let happen what may."""
        run = self.world.execute("run-1", **self._how)
        self.world.until(self._draw(st.sampled_from(_STATES), "where it begins"), run)
        while self._go_on():
            pass

    def _go_on(self) -> bool:
        """Do one thing; False: there is nothing to do any more."""
        world = self.world
        things: list[Callable[[], object]] = [partial(self._move, c) for c in world.ready]
        things += [partial(world.arrive, delivery) for delivery in world.due]
        if self._coming:
            things.append(self._happen)
        if not things:
            return world.pass_time()
        # The first is to go on with what was begun first.
        self._draw(st.sampled_from([*things, world.pass_time]))()
        return True

    def _happen(self) -> None:
        executions = list(self.world.executions.values())
        self._coming.pop()(self.world, self._draw(st.sampled_from(executions)))

    def _move(self, caller: Caller) -> None:
        """Let a caller go on: to its end or its next wait, or until it has written so often."""
        until = self._draw(st.sampled_from((1000, 1, 2, 4, 0)))
        written = 0
        while caller in self.world.ready and written <= until:
            fate = Fate.HAPPENS
            if caller.writes:
                written += 1
                if written > max(until, 1):
                    return
                fate = self._faults.get(self._writes, Fate.HAPPENS)
                self._writes += 1
            self.world.move(caller, fate)
            if until == 0:
                return


def assert_nothing_left_behind(world: World) -> None:
    """All that must hold in the end, of the target and of each run."""
    if world.dead_letters:
        assert world.may_exhaust_retries, f"dead letters: {world.dead_letters}"
        world.by_hand()
    for environment, deployments in world.switch.environments.items():
        theirs = [d for d in deployments if not ours(d) and d.profile == PROFILE]
        standing = [d.number for d in deployments if ours(d) and d.state not in OFF]
        assert not standing, f"deployments {standing} of ours to {environment} are still on"
        assert world.switch.serve(PROFILE, environment) == theirs[-1].content
        assert all(d.state == "COMPLETE" for d in theirs), "somebody else's was reverted"
    assert world.schedules == {}, "a deadline was left"
    for run_id, execution in world.executions.items():
        _assert_found_as_it_was(world, run_id)
        if run_id not in world.dead_letters_of:
            _assert_over(world, run_id)
        _assert_one_verdict(world, run_id, execution)


def _assert_over(world: World, run_id: str) -> None:
    held = [key for key, item in world.items().items() if item.get("run_id") == {"S": run_id}]
    assert held in ([], [(f"run#{run_id}", "run")]), f"{run_id} left a lock: {held}"
    guards = [key for key in world.items() if key[1] == run_id]
    assert not guards, f"{run_id} left {guards}"


def _assert_found_as_it_was(world: World, run_id: str) -> None:
    """No run may say that somebody else turned its condition off when nobody did."""
    record = world.record(run_id)
    if "fact_enabled_at" in record and f"gameday run {run_id}" not in world.stopped_by_hand:
        found = record.get("fact_found_when_disabled")
        assert found not in ('"ROLLING_BACK"', '"ROLLED_BACK"'), f"{run_id} found {found}"


def _assert_one_verdict(world: World, run_id: str, execution: Execution) -> None:
    needed = bool(world.record(run_id))
    allowed = (0, 1) if run_id in world.dead_letters_of else (needed,)
    for what in ("bus", "topic"):
        sends = [send for send in world.sends if (send.run_id, send.what) == (run_id, what)]
        noted = [send for send in sends if send.noted]
        assert len(noted) in allowed, f"{run_id}: {len(noted)} verdicts to the {what}"
        unexcused = [send for send in sends if not send.noted and not send.excused]
        assert not unexcused, f"{run_id}: a verdict to the {what} was sent twice"
        assert all(send.event == sends[0].event for send in sends), "two verdicts differ"
        if execution.output and what == "bus":
            assert execution.output == sends[0].event, "the execution's output is another verdict"


@settings(
    max_examples=int(os.environ.get("INTERLEAVINGS", "200")),
    derandomize="INTERLEAVINGS" not in os.environ,
    deadline=None,
    phases=[p for p in Phase if p is not Phase.shrink and p is not Phase.explain]
    if os.environ.get("NOSHRINK")
    else list(Phase),
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
@given(st.data())
def test_nothing_is_left_behind(data: st.DataObject) -> None:
    with a_world() as world:
        try:
            Explorer(world, data).explore()
            world.settle()
            assert_nothing_left_behind(world)
        except AssertionError:
            note("\n".join(world.history))
            raise
