"""Nothing is left behind, whatever happens inside of the steps and in whichever order.

One thing happens at every point; several things happen at some. INTERLEAVINGS in the environment
is how many stories of several are tried: new ones every time, and more that may happen.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gameday.experiment import parse
from tests.interleavings.caller import Caller, Fate
from tests.interleavings.execution import Execution
from tests.interleavings.services import ours
from tests.interleavings.world import World, a_world
from tests.steps.fakes import DOCUMENT
from tests.unit.fakes import OFF

_MANY = os.environ.get("INTERLEAVINGS")

type Happening = Callable[[World, Execution], object]


def _stop(status: str) -> Happening:
    return lambda _, run: run.stop(status)


def _deploy(profile: str | None = None) -> Happening:
    return lambda world, run: world.deploy(run.environment, world.theirs, profile or world.profile)


def _fail(service: str, seconds: float) -> Happening:
    return lambda world, _: world.fail(service, seconds)


def _start(environment: str) -> Happening:
    return lambda world, run: world.execute("run-2", environment, run.waits, run.told)


OFTEN: dict[str, Happening] = {
    "nothing": lambda *_: None,
    "a person stops the execution": _stop("ABORTED"),
    "Step Functions loses an answer": lambda _, run: run.give_up(),
    "an alarm rings": lambda world, _: world.ring(),
    "an event comes twice": lambda world, _: world.again(),
    "the execution is redriven": lambda _, run: run.redrive(),
    "a second run is started on the target": _start("e1"),
}
SELDOM: dict[str, Happening] = {
    "the execution times out": _stop("TIMED_OUT"),
    "a person stops the deployment": lambda world, run: world.stop_deployment(run.environment),
    "somebody deploys": _deploy(),
    "somebody deploys another profile": _deploy("p1"),
    "time passes": lambda world, _: world.pass_time(),
    "a second run is started elsewhere": _start("e2"),
    # One that the retries of a step outlive, one that those of the undo do, and neither.
    **{
        f"{service} is out of order for {seconds:g} s": _fail(service, seconds)
        for seconds in (20, 150, 2000)
        for service in ("appconfig", "appconfigdata", "dynamodb", "events", "scheduler", "sns")
    },
}
FATES = [str(fate) for fate in Fate if fate is not Fate.HAPPENS]


@dataclass(frozen=True)
class Turn:
    """What happens at a point: so many points after the one of the turn before.

    A point is where somebody is about to write, for only that matters to others. The call takes
    its time in seconds, in which others go on; or nobody does.
    """

    after: int
    what: str
    takes: float = 20.0
    run: int = 0

    @property
    def fate(self) -> Fate:
        """What becomes of the call."""
        return Fate(self.what) if self.what in FATES else Fate.HAPPENS

    def happens(self, world: World) -> None:
        """Let it happen, to one of the runs."""
        if happening := OFTEN.get(self.what) or SELDOM.get(self.what):
            executions = list(world.executions.values())
            happening(world, executions[self.run % len(executions)])


@dataclass(frozen=True)
class Story:
    """A run, and what happens meanwhile.

    Callers go on until they end or wait, in the order in which they came, but for the turns. Few
    turns find most of what there is to be found (Burckhardt et al., "A randomized scheduler with
    probabilistic guarantees of finding bugs", ASPLOS 2010).
    """

    turns: tuple[Turn, ...]
    waits: tuple[float, float] = (30.0, 30.0)
    told: bool = True
    staying: bool = False


class Teller:
    """Lets a story happen in a world, and then everything come to its end."""

    def __init__(self, world: World, story: Story) -> None:
        self._world, self._story = world, story
        self._turns = deque(story.turns)
        self._points = 0
        self._slow: dict[Caller, float] = {}

    def tell(self) -> bool:
        """Let it happen; False: not all of it, for the run was over before."""
        self._world.execute("run-1", waits=self._story.waits, told=self._story.told)
        while self._go_on():
            pass
        told = not self._turns
        for turn in self._turns:
            turn.happens(self._world)
        self._world.settle()
        return told

    def _go_on(self) -> bool:
        """Do one thing; False: there is nothing to do any more."""
        world = self._world
        for delivery in world.due:
            world.arrive(delivery)
        slow = [caller for caller in world.ready if caller in self._slow]
        if quick := [caller for caller in world.ready if caller not in slow]:
            self._move(quick[0])
        elif slow:
            if not world.pass_time(min(self._slow[caller] for caller in slow)):
                del self._slow[slow[0]]
        else:
            return world.pass_time()
        return True

    def _move(self, caller: Caller) -> None:
        if not (caller.writes and self._turns and self._points == self._turns[0].after):
            self._points += caller.writes
            self._world.move(caller)
            return
        turn, self._points = self._turns.popleft(), 0
        turn.happens(self._world)
        if turn.takes and turn.fate is Fate.HAPPENS:
            self._slow[caller] = self._world.now + turn.takes
        elif caller in self._world.ready:
            self._world.move(caller, turn.fate)


_DEADLINE_SECONDS = parse(DOCUMENT).plan.deadline_seconds
_WAITS = (30.0, 30.0, 1.0, _DEADLINE_SECONDS - 1.0, _DEADLINE_SECONDS + 1.0)
"""How long a run waits somewhere: so that its deadline comes later, in the next step, or now."""
_TURNS = st.builds(
    Turn,
    after=st.integers(0, 7),  # near each other, for then they meet
    what=st.sampled_from([*OFTEN, *FATES]) | st.sampled_from([*OFTEN, *FATES, *SELDOM]),
    takes=st.sampled_from((20.0, 20.0, 0.5, 0.0)),
    run=st.integers(0, 1),
)
_STORIES = st.builds(
    lambda first, turns, **how: Story((replace(turns[0], after=first), *turns[1:]), **how),
    first=st.integers(0, 25),
    turns=st.lists(_TURNS, min_size=2, max_size=7),
    waits=st.tuples(st.sampled_from(_WAITS), st.sampled_from(_WAITS)),
    told=st.sampled_from((True, True, False)),
    staying=st.sampled_from((False, False, True)),
)


def assert_nothing_left_behind(world: World) -> None:
    """All that must hold in the end, of the target and of each run."""
    if world.dead_letters:
        assert world.may_exhaust_retries, f"dead letters: {world.dead_letters}"
        world.by_hand()
    for environment, deployments in world.switch.environments.items():
        theirs = [d for d in deployments if not ours(d) and d.profile == world.profile]
        on = [d for d in deployments if ours(d) and d.state not in OFF]
        standing = [d.number for d in on if not world.stays(d)]
        assert not standing, f"deployments {standing} of ours to {environment} are still on"
        served = max([*theirs, *on], key=lambda deployment: deployment.number)
        assert world.switch.serve(world.profile, environment) == served.content
        assert all(d.state == "COMPLETE" for d in theirs), "somebody else's was reverted"
    assert world.schedules == {}, "a deadline was left"
    for run_id, execution in world.executions.items():
        _assert_found_as_it_was(world, run_id)
        _assert_on_as_the_verdict_says(world, run_id, execution)
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


def _assert_on_as_the_verdict_says(world: World, run_id: str, execution: Execution) -> None:
    """A flag is on where its verdict says so, but for a person who stopped its deployment."""
    record = world.record(run_id)
    verdict = json.loads(record.get("fact_verdict", "null"))
    says = bool(verdict and verdict["condition"]["stays_on"])
    assert says == ("stays" in record), f"{run_id}: what stays is not what the verdict says"
    if says and f"gameday run {run_id}" not in world.stopped_by_hand:
        deployments = world.switch.environments[execution.environment]
        assert [d for d in deployments if world.stays(d) and d.state not in OFF], f"{run_id} is off"
    if verdict and verdict["verdict"] == "PASSED" and not says:
        assert "the flag was turned back" in verdict["reason"]


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
        if sends and what == "bus":
            known = json.loads(world.record(run_id)["fact_verdict"])
            assert known == sends[0].event, "the record has another verdict"


def happens(story: Story) -> bool:
    """Let a story happen and nothing be left behind; False: the run was over before its end."""
    with a_world(story.staying) as world:
        try:
            told = Teller(world, story).tell()
            assert_nothing_left_behind(world)
        except AssertionError as left:
            left.add_note("\n".join(world.history))
            raise
    return told


@pytest.mark.parametrize("told", [True, False] if _MANY else [True])
@pytest.mark.parametrize("staying", [False, True])
@pytest.mark.parametrize("what", [*FATES, *OFTEN, *(SELDOM if _MANY else list(SELDOM)[:3])])
def test_nothing_is_left_behind_wherever_one_thing_happens(
    what: str, staying: bool, told: bool
) -> None:
    point = 0
    while happens(Story((Turn(point, what),), told=told, staying=staying)):
        point += 1
    assert point > 15


@settings(
    max_examples=int(_MANY or "60"),
    derandomize=not _MANY,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate] if os.environ.get("NOSHRINK") else list(Phase),
)
@given(_STORIES)
def test_nothing_is_left_behind_wherever_several_things_happen(story: Story) -> None:
    happens(story)


# -- what it found, step by step ------------------------------------------------------------------


@pytest.fixture
def world() -> Iterator[World]:
    """A world that has come to its end when the test has, with nothing left behind."""
    with a_world() as a:
        yield a
        a.settle()
        assert_nothing_left_behind(a)


def called(world: World, execution: Execution, state: str) -> Caller:
    """The call of the step of a state, which has not begun."""
    world.until(state, execution)
    assert execution.work
    return execution.work


def called_again(world: World, execution: Execution) -> Caller:
    """A second call of the same step, while the first goes on."""
    execution.give_up()
    world.pass_time()
    assert execution.work
    return execution.work


def test_a_step_that_runs_twice_at_once_enables_one_condition(world: World) -> None:
    run = world.execute("run-1")
    first = called(world, run, "enable")
    world.before(first, "create_hosted_configuration_version")
    second = called_again(world, run)
    world.before(second, "create_hosted_configuration_version")
    world.finish(first)
    world.finish(second)
    assert len(world.switch.deployments) == 2  # the resting one, and the first call's


def test_a_call_that_is_refused_leaves_the_deadline_of_the_one_that_arms(world: World) -> None:
    publishing = called(world, world.execute("run-0"), "publish")
    run = world.execute("run-1")
    first = called(world, run, "arm")
    world.before(first, "TransactWriteItems")
    second = called_again(world, run)
    world.before(second, "TransactWriteItems")
    world.finish(first, calls=2)  # the target is held: what follows is the end of its deadline
    world.finish(publishing)
    world.finish(second)
    world.finish(first)


def test_a_call_that_comes_late_leaves_the_deadline_of_the_run(world: World) -> None:
    run = world.execute("run-1")
    late = called(world, run, "arm")
    world.before(late, "TransactWriteItems")
    world.finish(called_again(world, run))
    undoing = called(world, run, "disable")
    world.before(undoing, "get_deployment")
    world.finish(late)
    assert "run-1" in world.schedules


def test_of_two_undos_at_once_the_second_finds_what_the_first_did(world: World) -> None:
    run = world.execute("run-1")
    first = called(world, run, "disable")
    world.before(first, "get_deployment")
    second = called_again(world, run)
    world.before(second, "get_deployment")
    world.finish(first)
    world.finish(second)
    assert world.record("run-1")["fact_found_when_disabled"] == '"BAKING"'


def test_a_run_whose_condition_is_not_proven_off_keeps_its_target(world: World) -> None:
    run = world.execute("run-1", told=False)
    called(world, run, "disable")
    world.fail("appconfig", 120)
    publishing = called(world, run, "publish")
    world.finish(publishing)
    assert world.lock("e1")
    assert "run-1" in world.schedules


def test_guardrails_do_not_concern_a_run_whose_condition_was_replaced(world: World) -> None:
    run = world.execute("run-1")
    world.finish(called(world, run, "enable"))
    world.stop_deployment("e1")
    world.switch.deployments[-1].state = "ROLLED_BACK"
    world.deploy("e1", world.theirs, world.profile)


# -- a flag that stays ----------------------------------------------------------------------------


@pytest.fixture
def flags() -> Iterator[World]:
    """As `world`, of runs whose flag stays."""
    with a_world(staying=True) as a:
        yield a
        a.settle()
        assert_nothing_left_behind(a)


def stays(world: World) -> bool:
    return world.stays(world.switch.deployments[-1])


def test_a_flag_stays_where_nothing_happens(flags: World) -> None:
    flags.execute("run-1")
    flags.settle()
    assert stays(flags)
    assert flags.switch.deployments[-1].state == "BAKING"


def test_an_alarm_that_rings_just_before_it_is_settled_turns_the_flag_back(flags: World) -> None:
    run = flags.execute("run-1")
    deciding = called(flags, run, "disable")
    for _ in range(100):
        if flags.record("run-1").get("fact_settled"):
            break
        flags.finish(deciding, calls=1)
    flags.ring()
    ringing = flags.arrive(flags.due[0])
    flags.before(ringing, "get_deployment")
    flags.finish(deciding)
    flags.settle()
    assert not stays(flags)
    assert json.loads(flags.record("run-1")["fact_verdict"])["status"] == "ROLLED_BACK"


def test_a_run_that_dies_when_it_is_settled_has_its_verdict_and_its_flag(flags: World) -> None:
    run = flags.execute("run-1")
    deciding = called(flags, run, "disable")
    while not flags.record("run-1").get("stays"):
        flags.finish(deciding, calls=1)
    run.stop("ABORTED")
    flags.settle()
    assert stays(flags)
    assert [send.event["verdict"] for send in flags.sends if send.what == "bus"] == ["PASSED"]
