"""Whole runs, from the start of the execution to the verdict: how each ends, and what it leaves."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from tests.integration.runs import (
    Execution,
    Gameday,
    Json,
    Target,
    eventually,
    experiment,
    unique,
)
from tests.integration.stories import Changed, Expired, Ran, Seen

SCHEMA = Path(__file__).parents[2] / "events" / "verdict.schema.json"
STATE_TRANSITIONS = 25
"""Of a run in which everything happens once, and Step Functions bills each."""


def axes(execution: Execution) -> tuple[str, str]:
    verdict = execution.verdict()
    return verdict["verdict"], verdict["status"]


@pytest.fixture
def good(passed: tuple[Seen, Ran]) -> Seen:
    return passed[0]


@pytest.fixture
def bad(failed: tuple[Execution, Ran]) -> Execution:
    return failed[0]


# --- It passes ------------------------------------------------------------------------------------


def test_an_objective_that_holds_under_the_condition_passes(good: Seen) -> None:
    assert axes(good.execution) == ("PASSED", "COMPLETED"), good.execution.explained()


def test_the_verdict_is_the_output_of_a_green_execution(good: Seen) -> None:
    described = good.execution.described()
    assert described["status"] == "SUCCEEDED"
    assert json.loads(described["output"]) == good.execution.verdict()


def test_the_queue_behind_the_rule_receives_the_verdict_once(good: Seen) -> None:
    good.execution.event()
    assert [event["detail-type"] for event in good.execution.events()] == ["Gameday Verdict"]


def test_the_event_names_its_execution(good: Seen) -> None:
    assert good.execution.event()["resources"] == [good.execution.arn]


def test_people_receive_the_verdict_with_a_short_subject(good: Seen) -> None:
    subject = good.execution.notification()["Subject"]
    assert subject == f"PASSED: {good.execution.verdict()['experiment']} (COMPLETED)"
    assert len(subject) < 100


def test_filter_policies_can_tell_messages_apart(good: Seen) -> None:
    attributes = good.execution.notification()["MessageAttributes"]
    assert {name: attribute["Value"] for name, attribute in attributes.items()} == {
        "verdict": "PASSED",
        "status": "COMPLETED",
        "experiment": good.execution.verdict()["experiment"],
    }


def test_the_injector_counted_what_it_injected(good: Seen) -> None:
    verdict = good.execution.verdict()
    assert verdict["evidence"]["latency"] >= verdict["load"]["sent"]


def test_the_application_was_slow_under_the_condition(good: Seen) -> None:
    verdict = good.execution.verdict()
    assert verdict["load"]["latency_ms"]["p50"] >= 100
    assert verdict["baseline"][0]["observed"] < verdict["measures"][0]["observed"]


def test_the_system_recovers(good: Seen) -> None:
    recovery = good.execution.verdict()["recovery"]
    assert recovery["recovered"], recovery


def test_a_run_has_its_number_of_state_transitions(good: Seen) -> None:
    states = good.execution.entered()
    print(f"state transitions of one run: {len(states)}")
    assert len(states) == STATE_TRANSITIONS, states


def test_no_step_of_a_good_run_was_retried(good: Seen) -> None:
    failures = [event["type"] for event in good.execution.history() if "Failed" in event["type"]]
    assert failures == []


# --- Its switch is one setting --------------------------------------------------------------------


def test_a_function_that_is_throttled_fails_its_objective(throttled: Changed) -> None:
    assert axes(throttled.execution) == ("FAILED", "COMPLETED"), throttled.execution.explained()
    assert throttled.execution.verdict()["evidence"]["concurrency"] > 0


def test_a_function_without_reserved_concurrency_has_none_again(throttled: Changed) -> None:
    assert (throttled.before, throttled.under, throttled.after) == (None, 0, None)


def test_a_role_that_is_denied_its_table_fails_its_objective(forbidden: Changed) -> None:
    assert axes(forbidden.execution) == ("FAILED", "COMPLETED"), forbidden.execution.explained()
    assert forbidden.execution.verdict()["evidence"]["policy"] > 0


def test_a_role_has_its_own_policies_again(forbidden: Changed) -> None:
    assert forbidden.under == [*forbidden.before, "gameday-condition"]
    assert forbidden.after == forbidden.before


# --- The condition --------------------------------------------------------------------------------


def test_the_condition_is_served_while_the_run_is_on(good: Seen) -> None:
    assert good.served["latency"] == {
        "enabled": True,
        "percentage": 100,
        "min_latency": 100,
        "max_latency": 200,
    }


def test_every_other_mode_is_off_by_name(good: Seen) -> None:
    others = {
        mode: flag["enabled"]
        for mode, flag in good.served.items()
        if mode not in ("latency", "expires_at")
    }
    assert len(others) == 6
    assert not any(others.values())


def test_the_condition_has_a_lease(good: Seen) -> None:
    earliest, latest = good.execution.lease()
    assert earliest <= good.served["expires_at"] <= latest


def test_the_older_format_is_served_as_it_was_written(flat: Seen) -> None:
    expires_at = flat.served.pop("expires_at")
    assert flat.served == {
        "isEnabled": True,
        "failureMode": "latency",
        "rate": 1,
        "minLatency": 100,
        "maxLatency": 200,
    }
    earliest, latest = flat.execution.lease()
    assert earliest <= expires_at <= latest


def test_the_injector_ends_a_condition_by_itself_when_it_expires(expired: Expired) -> None:
    assert expired.injected_seconds
    assert max(expired.injected_seconds) < expired.expires_at


def test_a_condition_expires_while_it_is_still_deployed(expired: Expired) -> None:
    assert expired.served["latency"]["enabled"]


# --- Nothing is left behind -----------------------------------------------------------------------


@pytest.fixture(
    params=["good", "flat", "rang", "rang_without_evidence", "aborted", "broken", "overdue"]
)
def ended(request: pytest.FixtureRequest) -> Seen:
    """Every way in which a run can end whose condition was on."""
    seen: Seen = request.getfixturevalue(request.param)
    return seen


def test_the_target_was_locked_by_the_run(ended: Seen) -> None:
    assert ended.lock["run_id"] == {"S": ended.execution.run_id}


def test_the_deadline_was_scheduled(ended: Seen) -> None:
    assert [item["State"] for item in ended.schedules] == ["ENABLED"]


def test_afterwards_the_resting_configuration_is_served(ended: Seen) -> None:
    assert ended.gameday.served(ended.target) == ended.resting


def test_afterwards_the_target_is_free(ended: Seen) -> None:
    eventually(lambda: ended.gameday.lock(ended.target) == {}, 10)


def test_afterwards_no_deadline_is_left(ended: Seen) -> None:
    eventually(lambda: ended.gameday.schedules(ended.execution.run_id) == [], 10)


def test_afterwards_the_version_that_the_run_made_is_gone(ended: Seen) -> None:
    assert ended.gameday.versions_of(ended.target, ended.execution.run_id) == []


def test_every_run_that_armed_has_one_verdict(ended: Seen) -> None:
    ended.execution.event()
    assert len(ended.execution.events()) == 1


@pytest.mark.parametrize("story", ["good", "rang", "rang_without_evidence"])
def test_afterwards_the_guardrail_protects_no_run(
    story: str, request: pytest.FixtureRequest
) -> None:
    seen: Seen = request.getfixturevalue(story)
    arn = seen.gameday.guardrail_arn(seen.guardrail)
    assert seen.gameday.item(f"guardrail#{arn}", seen.execution.run_id) == {}


# --- It grows -------------------------------------------------------------------------------------


def test_a_condition_grows_from_some_clients_to_all_and_is_taken_from_all(
    ramped: tuple[Seen, list[int]],
) -> None:
    _, clients = ramped
    steps = clients[: clients.index(20) + 1]
    assert steps == sorted(steps)
    assert len(steps) > 3, "none, some, more, all"
    assert clients[-1] == 0


def test_the_window_begins_when_all_clients_are_seen_to_have_it(
    ramped: tuple[Seen, list[int]],
) -> None:
    execution = ramped[0].execution
    verdict = execution.verdict()
    enabled_at, seen_on_at = (
        datetime.fromisoformat(verdict["condition"][name]) for name in ("enabled_at", "seen_on_at")
    )
    assert timedelta(seconds=59) < seen_on_at - enabled_at < timedelta(seconds=75)
    assert verdict["seen"]["latency"] == verdict["load"]["offered"]
    assert axes(execution) == ("PASSED", "COMPLETED"), execution.explained()


def test_a_guardrail_that_rings_takes_a_growing_condition_from_those_who_have_it(
    rang_in_a_ramp: tuple[Seen, list[int]],
) -> None:
    seen, clients = rang_in_a_ramp
    assert 0 < max(clients) < 20
    assert clients[-1] == 0
    assert seen.gameday.served(seen.target) == seen.resting


def test_the_verdict_says_how_far_a_condition_had_grown(
    rang_in_a_ramp: tuple[Seen, list[int]],
) -> None:
    execution = rang_in_a_ramp[0].execution
    assert execution.verdict()["status"] == "ROLLED_BACK"
    assert re.search(r"its deployment was DEPLOYING \([2468]0 %\)", execution.verdict()["reason"])
    assert "Who generates load?" not in execution.entered()


# --- It fails -------------------------------------------------------------------------------------


def test_an_objective_that_does_not_hold_fails(bad: Execution) -> None:
    assert axes(bad) == ("FAILED", "COMPLETED"), bad.explained()


def test_a_weakness_found_is_a_good_run(bad: Execution) -> None:
    assert bad.status == "SUCCEEDED"


def test_the_reason_has_the_numbers(bad: Execution) -> None:
    assert bad.verdict()["reason"] == (
        "answers: 0/minute is not >= 30/minute: 0 in 10 s, at most 17.97/minute at 95 % confidence"
    )


def test_a_denied_host_is_evidence(bad: Execution) -> None:
    assert bad.verdict()["evidence"]["denylist"] > 0


# --- A guardrail rings ----------------------------------------------------------------------------


def test_a_guardrail_fails_the_objective_when_the_condition_had_taken_effect(rang: Seen) -> None:
    assert axes(rang.execution) == ("FAILED", "ROLLED_BACK"), rang.execution.explained()


def test_a_guardrail_decides_nothing_when_the_condition_had_no_effect(
    rang_without_evidence: Seen,
) -> None:
    assert axes(rang_without_evidence.execution) == ("INCONCLUSIVE", "ROLLED_BACK")


def test_the_reason_names_the_guardrail(rang: Seen) -> None:
    assert f"guardrail '{rang.guardrail}' rang" in rang.execution.verdict()["reason"]


def test_a_run_that_was_rolled_back_ends_green(rang: Seen) -> None:
    assert rang.execution.status == "SUCCEEDED"


def test_nothing_is_measured_after_a_guardrail_rang(rang: Seen) -> None:
    assert "Evaluate measures" not in rang.execution.entered()


def test_a_guardrail_turns_the_condition_off_before_the_state_machine_does(rang: Seen) -> None:
    assert rang.execution.verdict()["condition"]["disabled_at"] is not None
    assert rang.execution.record()["stop_reason"] == "GUARDRAIL"


@pytest.mark.parametrize("story", ["rang", "rang_without_evidence", "aborted"])
def test_the_condition_is_off_within_seconds(story: str, request: pytest.FixtureRequest) -> None:
    seen: Seen = request.getfixturevalue(story)
    assert float(seen.execution.record()["fact_disabled_at"]) < seen.told_at + 15


@pytest.mark.parametrize("story", ["rang_without_evidence", "aborted"])
def test_the_load_stops_within_two_seconds_of_the_notice(
    story: str, gameday: Gameday, request: pytest.FixtureRequest
) -> None:
    seen: Seen = request.getfixturevalue(story)
    experiment = json.loads(seen.execution.record()["experiment"])["name"]
    assert max(gameday.loaded_seconds(experiment)) <= seen.notified_at + 2


@pytest.mark.parametrize("story", ["rang_without_evidence", "aborted"])
def test_the_load_reports_that_it_was_stopped(story: str, request: pytest.FixtureRequest) -> None:
    seen: Seen = request.getfixturevalue(story)
    report = eventually(lambda: seen.execution.record().get("fact_condition_load"), 30)
    assert json.loads(str(report))["stopped"]


# --- A step raises, or a person stops the run -----------------------------------------------------


def test_a_broken_step_leads_to_disable_condition(broken: Seen) -> None:
    states = broken.execution.entered()
    assert states[states.index("Evaluate measures") + 1] == "Disable condition"


def test_a_broken_run_is_inconclusive(broken: Seen) -> None:
    assert axes(broken.execution) == ("INCONCLUSIVE", "ERROR"), broken.execution.explained()


def test_a_broken_run_ends_red_with_its_reason(broken: Seen) -> None:
    assert broken.execution.error == "KeyError"
    assert broken.execution.cause == broken.execution.verdict()["reason"]


def test_a_step_that_raises_before_the_condition_was_on_enables_nothing(
    unreadable: Execution,
) -> None:
    assert axes(unreadable) == ("INCONCLUSIVE", "ERROR"), unreadable.explained()
    assert unreadable.verdict()["condition"]["enabled_at"] is None


def test_a_stopped_run_is_inconclusive(aborted: Seen) -> None:
    assert axes(aborted.execution) == ("INCONCLUSIVE", "ABORTED"), aborted.execution.explained()


def test_a_stopped_execution_goes_no_further(aborted: Seen) -> None:
    assert aborted.execution.status == "ABORTED"
    assert "Disable condition" not in aborted.execution.entered()


# --- Its deadline comes ---------------------------------------------------------------------------


def test_a_run_that_is_not_over_by_its_deadline_is_an_error(overdue: Seen) -> None:
    assert axes(overdue.execution) == ("INCONCLUSIVE", "ERROR"), overdue.execution.explained()
    reason = overdue.execution.verdict()["reason"]
    assert reason == "DeadlinePassed: the run was not over by its deadline"


def test_an_execution_that_runs_at_its_deadline_is_stopped(overdue: Seen) -> None:
    described = overdue.execution.described()
    assert (described["status"], described["error"]) == ("ABORTED", "DeadlinePassed")


# --- Somebody else deploys meanwhile --------------------------------------------------------------


def test_what_somebody_else_deployed_stays(replaced: Seen) -> None:
    assert replaced.gameday.served(replaced.target)["release"] == 2


def test_the_verdict_says_what_was_found_in_place_of_the_condition(replaced: Seen) -> None:
    assert axes(replaced.execution) == ("INCONCLUSIVE", "ERROR"), replaced.execution.explained()
    assert re.search(
        r"deployment 3 \(.*configuration version 3, COMPLETE\) replaced the condition's "
        r"deployment 2: it is not ours to revert",
        replaced.execution.verdict()["reason"],
    )


def test_a_run_whose_condition_was_replaced_keeps_nothing(replaced: Seen) -> None:
    replaced.execution.event()
    eventually(lambda: replaced.gameday.lock(replaced.target) == {}, 10)
    eventually(lambda: replaced.gameday.schedules(replaced.execution.run_id) == [], 10)
    assert len(replaced.execution.events()) == 1


# --- Its switch is a flag of the application ------------------------------------------------------


def test_a_flag_behind_which_the_objective_holds_stays_on(opened: Seen) -> None:
    assert axes(opened.execution) == ("PASSED", "COMPLETED"), opened.execution.explained()
    assert opened.resting["checkout"] == {"enabled": False}
    assert opened.gameday.served(opened.target)["checkout"] == {"enabled": True}


def test_the_verdict_says_where_the_flag_stays(opened: Seen) -> None:
    verdict, target = opened.execution.verdict(), opened.target
    assert verdict["condition"]["stays_on"] == {
        "application": target.application,
        "environment": target.environment,
        "profile": target.profile,
        "flag": "checkout",
        "variant": None,
        "deployment": 2,
    }
    assert "flag 'checkout' stays as the run set it" in verdict["reason"]
    assert "Confirm recovery" not in opened.execution.entered()


def test_a_run_whose_flag_stays_keeps_neither_lock_nor_deadline(opened: Seen) -> None:
    assert opened.schedules
    eventually(lambda: opened.gameday.lock(opened.target) == {}, 10)
    eventually(lambda: opened.gameday.schedules(opened.execution.run_id) == [], 10)


def test_while_the_flag_bakes_the_next_run_is_refused(opened: Seen) -> None:
    document = experiment(unique("next"), opened.target, "http://127.0.0.1/")
    document["condition"] |= {"kind": "flag", "flag": "search", "variant": "beta"}
    del document["condition"]["configuration"]
    refused = opened.gameday.ended(document)
    assert f"(BAKING, 'gameday run {opened.execution.run_id}')" in refused.cause


def test_a_late_undo_leaves_on_what_stays(opened: Seen) -> None:
    gameday, run_id = opened.gameday, opened.execution.run_id
    gameday.invoke("RollBackFunction", run_id=run_id, reason="DEADLINE")
    assert gameday.served(opened.target)["checkout"] == {"enabled": True}
    assert len(opened.execution.events()) == 1


def test_a_flag_behind_which_the_objective_fails_is_turned_back(not_opened: Seen) -> None:
    run = not_opened.execution
    assert axes(run) == ("FAILED", "COMPLETED"), run.explained()
    assert not_opened.served["checkout"] == {"enabled": True}
    assert not_opened.gameday.served(not_opened.target) == not_opened.resting
    assert run.verdict()["condition"]["stays_on"] is None
    assert run.verdict()["recovery"]["recovered"]


def test_a_variant_is_turned_on_and_back(varied: Seen) -> None:
    assert axes(varied.execution) == ("PASSED", "COMPLETED"), varied.execution.explained()
    beta, default = varied.served["search"]["_variants"]
    assert (beta["enabled"], default["enabled"]) == (True, False)
    assert varied.gameday.served(varied.target) == varied.resting


# --- It is over -----------------------------------------------------------------------------------


def test_a_run_that_is_redriven_enables_nothing(aborted: Seen) -> None:
    # A redrive enters the step that failed once more, with what it was given then.
    gameday, run_id = aborted.gameday, aborted.execution.run_id
    deployments = gameday.deployments(aborted.target)
    again = {
        "ArmRollbackFunction": {
            "execution_arn": aborted.execution.arn,
            "experiment": json.loads(str(aborted.execution.record()["experiment"])),
        },
        "EnableConditionFunction": {},
        "GenerateLoadFunction": {"phase": "condition"},
        "DisableConditionFunction": {},
        "PublishVerdictFunction": {"failure": None},
    }
    answers = {name: gameday.invoke(name, run_id=run_id, **more) for name, more in again.items()}
    assert answers["ArmRollbackFunction"]["errorType"] == "RunRefused"
    assert answers["EnableConditionFunction"]["errorType"] == "RunStopped"
    assert answers["DisableConditionFunction"] == {"was_on": True}
    assert answers["PublishVerdictFunction"] == aborted.execution.verdict()
    assert gameday.deployments(aborted.target) == deployments
    assert gameday.served(aborted.target) == aborted.resting
    assert len(aborted.execution.events()) == 1


def test_a_run_that_is_redriven_sends_no_load(aborted: Seen) -> None:
    name = json.loads(str(aborted.execution.record()["experiment"]))["name"]
    before = aborted.gameday.loaded_seconds(name)
    aborted.gameday.invoke(
        "GenerateLoadFunction", run_id=aborted.execution.run_id, phase="condition"
    )
    assert aborted.gameday.loaded_seconds(name) == before


def test_an_execution_that_is_started_twice_is_one_run(gameday: Gameday, url: str) -> None:
    document = experiment(unique("twice"), gameday.target(), url)
    first = gameday.start(document)
    assert gameday.start(document, first.run_id).arn == first.arn
    first.stop()


# --- There is nothing to decide -------------------------------------------------------------------


def test_a_condition_without_an_effect_never_passes(flat: Seen) -> None:
    verdict = flat.execution.verdict()
    assert [measure["verdict"] for measure in verdict["measures"]] == ["PASSED"]
    assert axes(flat.execution) == ("INCONCLUSIVE", "COMPLETED")
    assert "nothing shows that latency took effect" in verdict["reason"]


def test_a_target_that_does_not_answer_is_inconclusive(
    unanswered: tuple[Execution, Target, Ran],
) -> None:
    execution, *_ = unanswered
    assert axes(execution) == ("INCONCLUSIVE", "COMPLETED"), execution.explained()
    assert "the target did not answer" in execution.verdict()["reason"]


def test_an_objective_that_is_missed_already_is_inconclusive(
    unsteady: tuple[Execution, Target],
) -> None:
    execution, _ = unsteady
    assert axes(execution) == ("INCONCLUSIVE", "COMPLETED"), execution.explained()
    assert "was not met before anything was injected" in execution.verdict()["reason"]


@pytest.mark.parametrize("story", ["unanswered", "unsteady"])
def test_what_is_not_steady_is_not_touched(story: str, request: pytest.FixtureRequest) -> None:
    execution, target, *_ = request.getfixturevalue(story)
    assert "Enable condition" not in execution.entered()
    assert execution.gameday.deployments(target) == 1  # the resting one
    assert execution.gameday.lock(target) == {}


# --- What subscribers may rely on -----------------------------------------------------------------


@pytest.fixture(scope="module")
def schema() -> Json:
    return dict(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("story", ["good", "rang", "aborted", "broken", "flat", "opened", "varied"])
def test_the_event_is_as_its_schema_says(
    story: str, schema: Json, request: pytest.FixtureRequest
) -> None:
    seen: Seen = request.getfixturevalue(story)
    jsonschema.validate(seen.execution.event(), schema)


@pytest.mark.parametrize("story", ["bad", "unreadable"])
def test_the_event_of_a_run_without_a_condition_is_as_its_schema_says(
    story: str, schema: Json, request: pytest.FixtureRequest
) -> None:
    execution: Execution = request.getfixturevalue(story)
    jsonschema.validate(execution.event(), schema)
