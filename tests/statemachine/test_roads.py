"""The roads through the state machine: what each function does, and where that leads."""

import threading
from collections.abc import Mapping
from datetime import datetime
from queue import SimpleQueue
from typing import Any

import pytest

from gameday.errors import (
    ConditionNotDisabled,
    ConditionNotEnabled,
    ConfigurationChanged,
    GuardrailRang,
    InvalidExperiment,
    RunRefused,
)
from gameday.experiment import Phase
from gameday.scale import workers
from tests.house.project import FUNCTIONS
from tests.statemachine.machine import Execution, Function, answer_watch, execute

# The engine ends the thread of a cancelled branch by an exception that nobody catches.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

ARMING = ["Validate experiment", "Arm rollback", "Run under condition"]
BASELINE = [
    "Who generates baseline load?",
    "Generate baseline load",
    "Let baseline settle",
    "Snapshot baseline",
    "Steady?",
]
CONDITION = [
    "Enable condition",
    "Await evidence",
    "Who generates load?",
    "Generate load",
    "Evaluate measures",
]
DONE = ["May it stay on?", "Stand watch down"]
DECIDED = ["May it stay on?", "Let measures settle", "Stand watch down"]
MAY_STAY, STAYS = {"may_stay": True}, {"was_on": False}
FINALLY = ["Disable condition"]
RECOVERY = [
    "Was the condition on?",
    "Who generates recovery load?",
    "Generate recovery load",
    "Let metrics settle",
    "Confirm recovery",
]
VERDICT = ["Publish verdict", "Do we know?"]
GREEN, RED = ["Verdict reached"], ["No verdict"]


def planned(at_once: int = 1, window_seconds: int = 60) -> dict[str, Any]:
    """The part of a plan that the machine reads."""
    each = workers(at_once, 0, window_seconds).model_dump(mode="json")
    loads = {f"{phase}_workers": each for phase in Phase}
    return {"settle_seconds": 60, "watch_seconds": 20, **loads}


class Functions:
    """Functions of which all goes well; remembers the events that each was given."""

    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {name: [] for name in FUNCTIONS}
        self._tokens: SimpleQueue[str] = SimpleQueue()
        self.answers: dict[str, Function] = {
            "ValidateExperimentFunction": lambda event: {
                "experiment": event["document"],
                "plan": planned(),
            },
            "WatchGuardrailsFunction": lambda event: self._tokens.put(event["token"]),
            "SnapshotBaselineFunction": lambda event: {"steady": True},
            "EvaluateMeasuresFunction": lambda event: {"may_stay": False},
            "StandWatchDownFunction": lambda event: answer_watch(self.token()),
            "DisableConditionFunction": lambda event: {"was_on": True},
            "PublishVerdictFunction": self._publish,
        }

    def token(self) -> str:
        """The watch's; it stands in a branch of its own, which may be slower than the work."""
        return self._tokens.get(timeout=20)

    @staticmethod
    def _publish(event: dict[str, Any]) -> dict[str, Any]:
        failure = event["failure"]
        if failure is None:
            return {"status": "COMPLETED", "reason": "all measures hold"}
        rang = failure["Error"] == "GuardrailRang"
        return {"status": "ROLLED_BACK" if rang else "ERROR", "reason": failure["Error"]}

    def run(self, **answers: Function) -> Execution:
        """Run the machine with some functions that answer otherwise."""
        self.answers |= {f"{name}Function": answer for name, answer in answers.items()}
        return execute({name: self._called(name) for name in FUNCTIONS}, {"name": "example"})

    def _called(self, name: str) -> Function:
        def called(event: dict[str, Any]) -> Any:
            self.events[name].append(event)
            answer = self.answers.get(name)
            return answer(event) if answer else None

        return called


def fails(error: Exception) -> Function:
    def function(event: dict[str, Any]) -> None:
        raise error

    return function


def fails_in(phase: str) -> Function:
    def function(event: dict[str, Any]) -> None:
        if event["phase"] == phase:
            raise RuntimeError(phase)

    return function


@pytest.fixture
def functions() -> Functions:
    return Functions()


ROADS: Mapping[str, tuple[dict[str, Function], list[str], str | None]] = {
    "steady": (
        {},
        [*BASELINE, *CONDITION, *DONE, *FINALLY, *RECOVERY, *VERDICT, *GREEN],
        None,
    ),
    "unsteady": (
        {
            "SnapshotBaseline": lambda event: {"steady": False},
            "DisableCondition": lambda event: {"was_on": False},
        },
        [*BASELINE, *DONE[1:], *FINALLY, "Was the condition on?", *VERDICT, *GREEN],
        None,
    ),
    "flag stays": (
        {"EvaluateMeasures": lambda event: MAY_STAY, "DisableCondition": lambda event: STAYS},
        [*BASELINE, *CONDITION, *DECIDED, *FINALLY, "Was the condition on?", *VERDICT, *GREEN],
        None,
    ),
    "flag might have stayed": (
        {"EvaluateMeasures": lambda event: MAY_STAY},
        [*BASELINE, *CONDITION, *DECIDED, *FINALLY, *RECOVERY, *VERDICT, *GREEN],
        None,
    ),
    "baseline load fails": (
        {
            "GenerateLoad": fails_in("baseline"),
            "DisableCondition": lambda event: {"was_on": False},
        },
        [*BASELINE[:2], *FINALLY, "Was the condition on?", *VERDICT, *RED],
        "RuntimeError",
    ),
    "enabling fails": (
        {"EnableCondition": fails(ConditionNotEnabled("slow"))},
        [*BASELINE, CONDITION[0], *FINALLY, *RECOVERY, *VERDICT, *RED],
        "ConditionNotEnabled",
    ),
    "evidence cannot be awaited": (
        {"AwaitEvidence": fails(ConditionNotEnabled("rolled back"))},
        [*BASELINE, *CONDITION[:2], *FINALLY, *RECOVERY, *VERDICT, *RED],
        "ConditionNotEnabled",
    ),
    "load fails": (
        {"GenerateLoad": fails_in("condition")},
        [*BASELINE, *CONDITION[:4], *FINALLY, *RECOVERY, *VERDICT, *RED],
        "RuntimeError",
    ),
    "measures fail": (
        {"EvaluateMeasures": fails(RuntimeError("no answer"))},
        [*BASELINE, *CONDITION, *FINALLY, *RECOVERY, *VERDICT, *RED],
        "RuntimeError",
    ),
    "watch cannot be stood down": (
        {"StandWatchDown": fails(RuntimeError("no answer"))},
        [*BASELINE, *CONDITION, *DONE, *FINALLY, *RECOVERY, *VERDICT, *RED],
        "RuntimeError",
    ),
    "disabling fails": (
        {"DisableCondition": fails(ConditionNotDisabled("still on"))},
        [*BASELINE, *CONDITION, *DONE, *FINALLY, *VERDICT, *RED],
        "ConditionNotDisabled",
    ),
    "somebody else deployed": (
        {"DisableCondition": fails(ConfigurationChanged("not ours"))},
        [*BASELINE, *CONDITION, *DONE, *FINALLY, *VERDICT, *RED],
        "ConfigurationChanged",
    ),
    "recovery load fails": (
        {"GenerateLoad": fails_in("recovery")},
        [*BASELINE, *CONDITION, *DONE, *FINALLY, *RECOVERY[:3], *VERDICT, *GREEN],
        None,
    ),
    "recovery is not judged": (
        {"ConfirmRecovery": fails(RuntimeError("no answer"))},
        [*BASELINE, *CONDITION, *DONE, *FINALLY, *RECOVERY, *VERDICT, *GREEN],
        None,
    ),
}


@pytest.mark.parametrize("name", ROADS)
def test_a_road_leads_where_its_row_says(functions: Functions, name: str) -> None:
    answers, road, error = ROADS[name]
    execution = functions.run(**answers)
    work = [state for state in execution.road if state != "Watch guardrails"]
    assert work == [*ARMING, *road]
    assert (execution.status, execution.error) == ("FAILED" if error else "SUCCEEDED", error)


@pytest.mark.parametrize(
    ("name", "error"),
    [("ValidateExperiment", InvalidExperiment([])), ("ArmRollback", RunRefused(["busy"]))],
)
def test_what_is_refused_touches_nothing(functions: Functions, name: str, error: Exception) -> None:
    execution = functions.run(**{name: fails(error)})
    assert execution.error == type(error).__name__
    assert execution.road[-1] in ARMING[:2]
    assert not functions.events["DisableConditionFunction"]


def test_a_guardrail_that_rings_cuts_the_work_off_and_ends_green(functions: Functions) -> None:
    disabled = threading.Event()

    def ring(event: dict[str, Any]) -> None:
        if event["phase"] == "condition":
            answer_watch(functions.token(), "GuardrailRang", "it rang")
            assert disabled.wait(10), "the load was waited for"

    def disable(event: dict[str, Any]) -> dict[str, bool]:
        disabled.set()
        return {"was_on": True}

    execution = functions.run(GenerateLoad=ring, DisableCondition=disable)
    work = [state for state in execution.road if state != "Watch guardrails"]
    assert work == [*ARMING, *BASELINE, *CONDITION[:4], *FINALLY, *RECOVERY, *VERDICT, *GREEN]
    assert execution.output == {"status": "ROLLED_BACK", "reason": "GuardrailRang"}


def test_a_watch_that_does_not_stand_ends_the_work(functions: Functions) -> None:
    execution = functions.run(WatchGuardrails=fails(GuardrailRang("it rang before")))
    assert "Disable condition" in execution.road
    assert execution.output == {"status": "ROLLED_BACK", "reason": "GuardrailRang"}


def test_the_finally_is_tried_again_until_it_succeeds(functions: Functions) -> None:
    def third_time(event: dict[str, Any]) -> dict[str, bool]:
        if len(functions.events["DisableConditionFunction"]) < 3:
            raise ConditionNotDisabled("still on")
        return {"was_on": True}

    assert functions.run(DisableCondition=third_time).status == "SUCCEEDED"


def test_what_is_not_ours_to_revert_is_tried_once(functions: Functions) -> None:
    functions.run(DisableCondition=fails(ConfigurationChanged("not ours")))
    assert len(functions.events["DisableConditionFunction"]) == 1


def test_the_verdict_of_a_run_that_went_well_is_given_no_failure(functions: Functions) -> None:
    functions.run()
    assert functions.events["PublishVerdictFunction"] == [{"run_id": "run-1", "failure": None}]


def test_the_verdict_of_a_broken_run_is_given_the_failure(functions: Functions) -> None:
    functions.run(EvaluateMeasures=fails(RuntimeError("no answer")))
    (event,) = functions.events["PublishVerdictFunction"]
    assert event["failure"]["Error"] == "RuntimeError"
    assert "no answer" in event["failure"]["Cause"]


def test_the_output_of_a_run_is_its_verdict(functions: Functions) -> None:
    execution = functions.run()
    assert execution.output == {"status": "COMPLETED", "reason": "all measures hold"}


def test_the_finally_is_told_of_the_failure_for_only_what_went_well_may_stay(
    functions: Functions,
) -> None:
    functions.run(StandWatchDown=fails(RuntimeError("no answer")))
    (event,) = functions.events["DisableConditionFunction"]
    assert event["failure"]["Error"] == "RuntimeError"


def test_the_finally_of_a_run_that_went_well_is_told_of_none(functions: Functions) -> None:
    functions.run()
    assert functions.events["DisableConditionFunction"] == [{"run_id": "run-1", "failure": None}]


def test_a_red_run_ends_with_the_reason_of_its_verdict(functions: Functions) -> None:
    execution = functions.run(EnableCondition=fails(ConditionNotEnabled("slow")))
    assert execution.cause == "ConditionNotEnabled"


def test_arming_is_given_the_validated_experiment_and_the_execution(functions: Functions) -> None:
    functions.run()
    (event,) = functions.events["ArmRollbackFunction"]
    assert event["run_id"] == "run-1"
    assert event["execution_arn"].endswith(":execution:machine:run-1")
    assert event["experiment"] == {"name": "example"}


def test_each_load_is_told_its_phase(functions: Functions) -> None:
    functions.run()
    phases = [event["phase"] for event in functions.events["GenerateLoadFunction"]]
    assert phases == ["baseline", "condition", "recovery"]


# -- several workers ----------------------------------------------------------------------------


def validated(at_once: int, window_seconds: int = 60) -> Function:
    return lambda event: {"experiment": {}, "plan": planned(at_once, window_seconds)}


def of_phase(functions: Functions, phase: str) -> list[dict[str, Any]]:
    events = functions.events["GenerateLoadFunction"]
    return [event for event in events if event["phase"] == phase]


FORMS = pytest.mark.parametrize(
    ("at_once", "window_seconds", "verb"),
    [(2, 60, "Share"), (41, 60, "Distribute"), (1, 1200, "Distribute")],
    ids=["a few", "more than forty", "longer than a function"],
)


@FORMS
def test_each_worker_is_called_once_in_each_phase_with_a_number_of_its_own(
    functions: Functions, at_once: int, window_seconds: int, verb: str
) -> None:
    functions.run(ValidateExperiment=validated(at_once, window_seconds))
    parts = max(at_once, window_seconds // 600)
    for phase in Phase:
        events = of_phase(functions, phase)
        assert sorted(event["part"] for event in events) == list(range(parts))
        assert {event["run_id"] for event in events} == {"run-1"}


@FORMS
def test_all_workers_of_a_phase_are_told_one_moment(
    functions: Functions, at_once: int, window_seconds: int, verb: str
) -> None:
    functions.run(ValidateExperiment=validated(at_once, window_seconds))
    for phase in Phase:
        (called_at,) = {event["called_at"] for event in of_phase(functions, phase)}
        assert datetime.fromisoformat(called_at).tzinfo


@FORMS
def test_the_road_goes_on_where_that_of_one_worker_does(
    functions: Functions, at_once: int, window_seconds: int, verb: str
) -> None:
    execution = functions.run(ValidateExperiment=validated(at_once, window_seconds))
    inside = ("Watch guardrails", "Generate share", "Generate shift", "Await shift")
    road = [state for state in execution.road if not state.startswith(inside)]
    alone = [*ARMING, *BASELINE, *CONDITION, *DONE, *FINALLY, *RECOVERY, *VERDICT, *GREEN]
    assert road == [state.replace("Generate", verb) for state in alone]


def test_a_worker_that_dies_ends_its_map_and_the_work_with_its_reason(
    functions: Functions,
) -> None:
    stopped = threading.Event()

    def die(event: dict[str, Any]) -> None:
        if event["phase"] == "condition" and event["part"] == 1:
            raise RuntimeError("it died")
        if event["phase"] == "condition":
            assert stopped.wait(10), "the other worker was waited for"

    def disable(event: dict[str, Any]) -> dict[str, bool]:
        stopped.set()
        return {"was_on": True}

    execution = functions.run(
        ValidateExperiment=validated(2), GenerateLoad=die, DisableCondition=disable
    )
    assert "Evaluate measures" not in execution.road
    assert execution.error == "RuntimeError"


def test_a_guardrail_ends_a_whole_map(functions: Functions) -> None:
    disabled = threading.Event()

    def ring(event: dict[str, Any]) -> None:
        if event["phase"] == "condition":
            if event["part"] == 0:
                answer_watch(functions.token(), "GuardrailRang", "it rang")
            assert disabled.wait(10), "a worker was waited for"

    def disable(event: dict[str, Any]) -> dict[str, bool]:
        disabled.set()
        return {"was_on": True}

    execution = functions.run(
        ValidateExperiment=validated(3), GenerateLoad=ring, DisableCondition=disable
    )
    assert "Evaluate measures" not in execution.road
    assert execution.output == {"status": "ROLLED_BACK", "reason": "GuardrailRang"}
