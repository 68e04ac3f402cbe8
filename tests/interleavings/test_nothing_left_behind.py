"""Nothing is left behind, whatever happens inside of the steps and in whichever order.

INTERLEAVINGS is how many examples are tried; a number of one's own tries new ones every time.
"""

import os
from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from gameday.experiment import parse
from tests.interleavings.world import (
    PROFILE,
    THEIRS,
    Execution,
    Fate,
    World,
    a_world,
    ours,
)
from tests.steps.fakes import DOCUMENT
from tests.unit.fakes import OFF

_PLAN = parse(DOCUMENT).plan
_WAITS = (1.0, _PLAN.deadline_seconds - 1.0, _PLAN.deadline_seconds + 1.0)
"""How long a run waits somewhere: so that its deadline comes later, in the next step, or now."""
_BURSTS = (1000, 20, 8, 4, 2, 1)
"""How many outside calls a caller makes before somebody else may go on."""
_SERVICES = ("appconfig", "appconfigdata", "dynamodb", "events", "scheduler", "sns")
_OUTAGES = (20.0, 150.0, 2000.0)
"""In seconds: one that the retries of a step outlive, one that those of the undo do, and neither."""

type Happening = Callable[[World, Execution], bool]


def _end(status: str) -> Happening:
    return lambda _, run: run.stop(status)


def _somebody_deploys(profile: str = PROFILE) -> Happening:
    return lambda world, run: world.deploy(run.environment, THEIRS, profile)


def _outage(service: str, seconds: float) -> Happening:
    return lambda world, _: world.fail(service, seconds)


HAPPENINGS: dict[str, Happening] = {
    "Step Functions loses an answer": lambda _, run: run.give_up(),
    "an alarm rings": lambda world, _: world.ring(),
    "a person stops the execution": _end("ABORTED"),
    "an event comes twice": lambda world, _: world.again(),
    "the execution is redriven": lambda _, run: run.redrive(),
    "the execution times out": _end("TIMED_OUT"),
    "a person stops the deployment": lambda world, run: world.stop_deployment(run.environment),
    "somebody deploys": _somebody_deploys(),
    "somebody deploys another profile": _somebody_deploys("p1"),
}
"""What may happen to a run, beside what becomes of a call; False: it cannot happen now."""

_FAULTS = st.dictionaries(st.integers(0, 100), st.sampled_from(list(Fate)[1:]), max_size=3)
_COMMON = list(HAPPENINGS)[:4]
_MEANWHILE = st.lists(st.sampled_from(_COMMON) | st.sampled_from(list(HAPPENINGS)), max_size=5)


def explore(world: World, data: st.DataObject) -> None:
    """Let happen what the data say, in the order that they say, until nothing goes on."""
    draw = data.draw
    faults = draw(_FAULTS, label="what becomes of calls, by their number")
    coming = [HAPPENINGS[name] for name in draw(_MEANWHILE, label="what happens meanwhile")]
    outage = draw(st.none() | st.tuples(st.sampled_from(_SERVICES), st.sampled_from(_OUTAGES)))
    if outage:
        coming.insert(draw(st.integers(0, len(coming))), _outage(*outage))
    how = {
        "told": draw(st.booleans(), label="EventBridge tells of the execution's end"),
        "waits": draw(st.tuples(st.sampled_from(_WAITS), st.sampled_from(_WAITS)), label="waits"),
    }
    subject = world.execute("run-1", **how)
    second = draw(st.sampled_from((None, "e1", "e2")), label="where a second run is started")
    if second:
        started = draw(st.integers(0, len(coming)))
    while True:
        ready, due = world.ready, world.due
        choices = len(ready) + len(due) + bool(coming)
        if not choices:
            if not world.pass_time():
                return
            continue
        # The last choice is to let time pass: the first, to go on with what was begun first.
        choice = draw(st.integers(0, choices))
        if choice < len(ready):
            for _ in range(draw(st.sampled_from(_BURSTS))):
                world.move(ready[choice], faults.get(world.calls, Fate.HAPPENS))
                if ready[choice] not in world.ready:
                    break
        elif choice < len(ready) + len(due):
            world.arrive(due[choice - len(ready)])
        elif choice < choices:
            if second and started == len(coming):
                subject, second = world.execute("run-2", environment=second, **how), None
            coming.pop()(world, subject)
        else:
            world.pass_time()


def assert_nothing_left_behind(world: World) -> None:
    """All that must hold in the end, of the target and of each run."""
    if world.dead_letters:
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
    if f"gameday run {run_id}" not in world.stopped_by_hand:
        found = world.record(run_id).get("fact_found_when_disabled")
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
            explore(world, data)
            world.settle()
            assert_nothing_left_behind(world)
        except AssertionError:
            note("\n".join(world.history))
            raise
