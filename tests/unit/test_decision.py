"""The decision: whether a run was valid, and what its judgements mean; every rule is a sentence."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.decision import (
    LARGEST_SCHEDULE_ERROR_MS,
    Findings,
    Status,
    decide,
    seen_by_load,
)
from gameday.experiment import Phase
from gameday.judge import Verdict
from gameday.observations import Failure, Histogram
from tests.unit.fakes import (
    RECOVERED,
    STAYS_ON,
    STILL_MISSED,
    experiment,
    findings,
    judged,
    load_report,
    observed,
)


def verdict(found: Findings) -> tuple[Verdict, Status]:
    decision = decide(found)
    return decision.verdict, decision.status


PASSED = (Verdict.PASSED, Status.COMPLETED)
FAILED = (Verdict.FAILED, Status.COMPLETED)
INCONCLUSIVE = (Verdict.INCONCLUSIVE, Status.COMPLETED)


def test_a_run_of_which_all_is_known_and_every_measure_holds_passes() -> None:
    assert verdict(findings()) == PASSED


def test_a_run_passes_with_the_reason_of_its_measure() -> None:
    assert decide(findings()).reason.startswith(
        "95 % respond in: p95 200 ms is < 1000 ms: 0 of 300"
    )


def test_a_measure_that_does_not_hold_fails_the_run() -> None:
    assert verdict(findings(2000)) == FAILED


def test_a_measure_without_data_is_inconclusive() -> None:
    assert verdict(findings(None)) == INCONCLUSIVE


@given(st.lists(st.sampled_from([200.0, 2000.0, None]), max_size=5))
def test_any_failed_judgement_wins_over_inconclusive_and_any_of_both_over_passed(
    values: list[float | None],
) -> None:
    judgements = [judgement for value in values for judgement in judged(value)]
    expected = (
        FAILED if 2000 in values else PASSED if values and None not in values else INCONCLUSIVE
    )
    assert verdict(findings(judgements=judgements)) == expected


def test_only_the_judgements_that_decided_are_the_reason() -> None:
    judgements = [judgement for value in (200, 2000, None) for judgement in judged(value)]
    reason = decide(findings(judgements=judgements)).reason
    assert "p95 2000 ms is not < 1000 ms" in reason
    assert "200 ms is <" not in reason


def test_many_reasons_are_told_in_few_words() -> None:
    assert decide(findings(judgements=judged(2000) * 500)).reason.endswith("; and 497 more")
    assert decide(findings(judgements=judged(200) * 500)).reason == "all 500 measures hold"


def test_a_measure_that_is_not_critical_is_reported_and_does_not_decide() -> None:
    trial = [j.model_copy(update={"critical": False}) for j in judged(2000)]
    assert verdict(findings(judgements=[*judged(200), *trial])) == PASSED
    assert verdict(findings(baseline=[*judged(200), *trial])) == PASSED


PIECES = ("baseline", "baseline_load", "judgements", "load", "requests", "evidence", "settled")


@pytest.mark.parametrize("piece", [*PIECES, "found_when_disabled"])
def test_a_run_of_which_a_piece_is_missing_never_passes(piece: str) -> None:
    assert verdict(findings(**{piece: None})) == INCONCLUSIVE


@pytest.mark.parametrize(
    "empty", [findings(baseline=()), findings(judgements=()), findings(evidence={})]
)
def test_a_run_of_which_a_piece_is_empty_never_passes(empty: Findings) -> None:
    assert verdict(empty) == INCONCLUSIVE


def test_every_piece_of_the_findings_is_one_without_which_no_run_passes() -> None:
    ending = {"failure", "failure_cause", "blamed", "replaced", "aborted", "recovery"}
    what_is_seen = {"effects", "slow_before", "slow", "silent_workers"}
    what_is_told = {"may_stay", "stays_on"}
    known = {*PIECES, "found_when_disabled", *ending, *what_is_seen, *what_is_told}
    assert set(Findings.model_fields) == known


def test_a_load_of_which_a_worker_says_nothing_never_passes() -> None:
    silent = findings(silent_workers=2)
    assert verdict(silent) == INCONCLUSIVE
    assert decide(silent).reason == "2 of the load's workers did not report what they sent"


# -- what the judges of others pass in silence


def test_kayenta_a_group_without_data_scores_100_here_it_is_inconclusive() -> None:
    assert verdict(findings(judgements=judged(None) * 5)) == INCONCLUSIVE


def test_kayenta_of_no_metric_at_all_nothing_failed_here_it_is_inconclusive() -> None:
    assert verdict(findings(judgements=())) == INCONCLUSIVE


def test_flagger_advances_when_traffic_stops_here_it_is_inconclusive() -> None:
    stopped = load_report(offered=150, sent=150, stopped=True)
    assert verdict(findings(load=stopped, requests=150)) == INCONCLUSIVE


def test_argo_passes_when_a_measure_never_ran_here_it_is_inconclusive() -> None:
    assert verdict(findings(judgements=None)) == INCONCLUSIVE


def test_fis_passes_when_the_fault_never_polled_here_it_is_inconclusive() -> None:
    assert verdict(findings(evidence={"latency": None})) == INCONCLUSIVE


def test_chaos_toolkit_passes_when_the_rollback_took_the_target_down_here_it_fails() -> None:
    assert verdict(findings(recovery=STILL_MISSED)) == FAILED


# -- evidence: the injector's


@pytest.mark.parametrize("count", [None, 0.0])
def test_a_mode_without_evidence_is_inconclusive(count: float | None) -> None:
    decision = decide(findings(evidence={"latency": 300.0, "denylist": count}))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == (
        "nothing shows that denylist took effect: the injector counted no injection"
    )


def effects(**configuration: Any) -> Mapping[str, Any]:
    return experiment(condition__configuration=configuration).condition.effects


HALF = effects(latency={"enabled": True, "max_latency": 300, "percentage": 50})


@pytest.mark.parametrize(("count", "expected"), [(150, PASSED), (120, PASSED), (100, INCONCLUSIVE)])
def test_evidence_far_below_the_percentage_is_inconclusive(
    count: float, expected: tuple[Verdict, Status]
) -> None:
    assert verdict(findings(effects=HALF, evidence={"latency": count})) == expected


def test_evidence_far_below_the_percentage_is_told_in_numbers() -> None:
    assert decide(findings(evidence={"latency": 30})).reason == (
        "latency took effect on no more than 30 of 300 requests, and 100 % were promised"
    )


def test_evidence_of_a_mode_that_a_rule_on_the_event_decides_needs_no_amount() -> None:
    rule = [{"path": "path", "operator": "eq", "value": "/a"}]
    some = effects(latency={"enabled": True, "max_latency": 300, "match": rule})
    assert verdict(findings(effects=some, evidence={"latency": 3})) == PASSED


def test_a_mode_behind_one_that_ends_the_request_promises_what_is_left() -> None:
    both = effects(
        statuscode={"enabled": True, "percentage": 40},
        exception={"enabled": True, "percentage": 50},
    )
    assert {mode: effect.share for mode, effect in both.items()} == {
        "statuscode": 0.4,
        "exception": 0.3,
    }


def test_the_older_format_promises_its_rate() -> None:
    old = {"isEnabled": True, "rate": 0.5, "failureMode": "statuscode", "statusCode": 404}
    condition = experiment(
        condition__format="failure-lambda-0", condition__configuration=old
    ).condition
    (effect,) = condition.effects.values()
    assert (effect.share, effect.statuses) == (0.5, (404,))


# -- evidence: what the load saw


def seen(
    mode: str, before: Mapping[str, int], now: Mapping[str, int], **configuration: Any
) -> float | None:
    flag = {mode: {"enabled": True, **configuration}}
    return seen_by_load(
        mode,
        findings(
            effects=effects(**flag),
            baseline_load=load_report(phase=Phase.BASELINE, by_status=dict(before)),
            load=load_report(by_status=dict(now)),
        ),
    )


def test_the_load_sees_the_status_code_that_is_injected() -> None:
    assert seen("statuscode", {"200": 300}, {"404": 150, "200": 150}, status_code=404) == 150


def test_the_load_sees_an_exception_as_a_server_error() -> None:
    assert seen("exception", {"200": 300}, {"502": 300}) == 300


def test_a_status_that_was_as_frequent_before_is_no_evidence() -> None:
    same = {"404": 10, "200": 290}
    assert seen("statuscode", same, same, status_code=404) == 0


def test_the_load_sees_the_latency_floor() -> None:
    floor = effects(latency={"enabled": True, "min_latency": 100, "max_latency": 200})
    found = findings(effects=floor, slow_before={"latency": 2.0}, slow={"latency": 300.0})
    assert seen_by_load("latency", found) == 300
    as_slow = findings(effects=floor, slow_before={"latency": 300.0}, slow={"latency": 300.0})
    assert seen_by_load("latency", as_slow) == 0


def test_a_latency_without_a_floor_cannot_be_seen_from_outside() -> None:
    assert seen_by_load("latency", findings(slow={"latency": 300.0})) is None


def test_what_the_load_saw_is_evidence_where_the_injector_counts_nothing() -> None:
    found = findings(
        effects=effects(statuscode={"enabled": True, "status_code": 404}),
        evidence={"statuscode": None},
        load=load_report(by_status={"404": 300}),
    )
    assert verdict(found) == PASSED


def test_that_the_load_saw_nothing_either_is_said() -> None:
    found = findings(
        effects=effects(statuscode={"enabled": True, "status_code": 404}),
        evidence={"statuscode": None},
    )
    assert decide(found).reason.endswith("no injection and the load saw nothing of it")


# -- the condition and the load


@pytest.mark.parametrize("state", ["NEVER", "ROLLED_BACK", "ROLLING_BACK", "REVERTED"])
def test_a_condition_found_off_early_is_inconclusive(state: str) -> None:
    decision = decide(findings(found_when_disabled=state))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert f"off before its time: its deployment was {state}" in decision.reason


def test_a_condition_that_was_not_on_for_all_is_inconclusive() -> None:
    decision = decide(findings(found_when_disabled="DEPLOYING (80 %)"))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "had not grown to its end: its deployment was DEPLOYING (80 %)" in decision.reason


@pytest.mark.parametrize(
    ("found", "end"),
    [
        ("DEPLOYING (40 %)", "taken effect; its deployment was DEPLOYING (40 %)"),
        ("BAKING", "effect"),
    ],
)
def test_a_guardrail_that_rings_in_a_ramp_is_told_how_far_it_had_come(found: str, end: str) -> None:
    rung = findings(failure="GuardrailRang", failure_cause="it rang", found_when_disabled=found)
    assert decide(rung).reason.endswith(end)


def test_a_load_that_offered_nothing_is_inconclusive() -> None:
    assert verdict(findings(load=load_report(offered=0, sent=0), requests=0)) == INCONCLUSIVE


def test_a_load_that_was_stopped_is_inconclusive() -> None:
    short = load_report(offered=300, sent=300, stopped=True)
    decision = decide(findings(load=short))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == "the load was stopped before its window ended"


@pytest.mark.parametrize(("sent", "expected"), [(285, PASSED), (284, INCONCLUSIVE)])
def test_at_least_95_percent_of_the_offered_load_must_be_sent(
    sent: int, expected: tuple[Verdict, Status]
) -> None:
    assert verdict(findings(load=load_report(sent=sent))) == expected


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(296, INCONCLUSIVE), (297, PASSED), (303, PASSED), (304, INCONCLUSIVE)],
)
def test_cloudwatch_and_the_load_must_count_the_same_within_1_percent(
    requests: float, expected: tuple[Verdict, Status]
) -> None:
    assert verdict(findings(requests=requests)) == expected


@pytest.mark.parametrize(("more", "expected"), [(0, PASSED), (0.1, INCONCLUSIVE)])
def test_a_load_that_left_late_is_inconclusive(
    more: float, expected: tuple[Verdict, Status]
) -> None:
    p95 = round(10 * (LARGEST_SCHEDULE_ERROR_MS + more))
    late = load_report(schedule_errors=Histogram.of({10: 50, p95: 45, 9990: 5}))
    assert verdict(findings(load=late)) == expected


# -- the data


def test_data_that_was_read_once_may_not_have_settled() -> None:
    assert decide(findings(settled=None)).reason.startswith(
        "the measured window was read only once"
    )


def test_data_that_has_not_settled_is_inconclusive() -> None:
    decision = decide(findings(settled=False))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == "the data had not settled: CloudWatch answered differently each time"


def test_doubts_win_over_a_measure_that_does_not_hold() -> None:
    assert verdict(findings(2000, evidence={"latency": 0})) == INCONCLUSIVE


def test_every_doubt_is_told() -> None:
    doubtful = findings(evidence={"latency": 0}, requests=None, found_when_disabled=None)
    assert decide(doubtful).reason.split("; ") == [
        "the condition was off before its time: its deployment was unknown "
        "when it was to be disabled",
        "nothing shows that latency took effect: the injector counted no injection",
        "CloudWatch counts 0 requests, the generator 300",
    ]


# -- before the condition


def test_a_baseline_that_misses_the_objective_is_inconclusive() -> None:
    decision = decide(findings(baseline=judged(2000), load=None))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason.startswith("the objective was not met before anything was injected (95")
    assert decision.reason.endswith(": nothing was enabled")


def test_a_baseline_that_cannot_decide_is_inconclusive() -> None:
    decision = decide(findings(baseline=judged(None), load=None))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason.startswith("the baseline cannot decide whether the objective was met")


def test_a_baseline_that_was_found_out_to_miss_it_later_is_inconclusive_too() -> None:
    decision = decide(findings(baseline=judged(2000)))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason.endswith(", so it says nothing")


def test_a_target_that_never_answered_is_said_to_be_so() -> None:
    silent = load_report(by_status={}, errors={Failure.REFUSED: 300})
    decision = decide(findings(baseline=judged(10_000), baseline_load=silent))
    assert "did not answer before anything was injected (300 refused)" in decision.reason


def test_a_target_that_was_asked_nothing_is_not_blamed() -> None:
    nothing = load_report(by_status={}, offered=0, sent=0)
    found = findings(baseline=judged(None), baseline_load=nothing)
    assert "did not answer" not in decide(found).reason


# -- after the condition


def test_a_system_that_is_slowly_back_passes_and_is_said_to_be_slow() -> None:
    slow = STILL_MISSED.model_copy(update={"missed": False})
    decision = decide(findings(recovery=slow))
    assert decision.verdict is Verdict.PASSED
    assert "; but it was not back inside its baseline within 120 s" in decision.reason


def test_a_recovery_that_was_not_looked_at_decides_nothing() -> None:
    assert verdict(findings(recovery=None)) == PASSED


def test_a_recovery_does_not_mend_a_measure_that_does_not_hold() -> None:
    assert verdict(findings(2000, recovery=RECOVERED)) == FAILED


# -- an early end


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ({"latency": 3.0, "denylist": None}, Verdict.FAILED),
        ({"latency": 0.0}, Verdict.INCONCLUSIVE),
        ({}, Verdict.INCONCLUSIVE),
        (None, Verdict.INCONCLUSIVE),
    ],
)
def test_a_guardrail_that_rang_fails_the_run_if_the_condition_took_effect(
    evidence: dict[str, float | None] | None, expected: Verdict
) -> None:
    rung = findings(failure="GuardrailRang", failure_cause="errors rang", evidence=evidence)
    assert verdict(rung) == (expected, Status.ROLLED_BACK)
    proven = expected is Verdict.FAILED
    proof = "the condition had taken effect" if proven else "nothing shows that it took effect"
    assert decide(rung).reason == f"errors rang; {proof}"


def test_a_run_that_a_person_stopped_is_aborted() -> None:
    aborted = findings(2000, aborted=True, failure="ABORTED")
    assert verdict(aborted) == (Verdict.INCONCLUSIVE, Status.ABORTED)


def test_a_guardrail_wins_over_an_abort() -> None:
    assert decide(findings(failure="GuardrailRang", aborted=True)).status is Status.ROLLED_BACK


def test_a_run_that_broke_is_an_error_with_its_cause() -> None:
    decision = decide(findings(2000, failure="States.Timeout", failure_cause="too late"))
    assert (decision.verdict, decision.status) == (Verdict.INCONCLUSIVE, Status.ERROR)
    assert decision.reason == "States.Timeout: too late"


@given(
    st.builds(
        findings,
        st.sampled_from([200.0, 2000.0, None]),
        failure=st.sampled_from([None, "GuardrailRang", "States.Timeout"]),
        aborted=st.booleans(),
        requests=st.sampled_from([None, 0.0, 300.0]),
        evidence=st.sampled_from([None, {}, {"latency": 0.0}, {"latency": 290.0}]),
        settled=st.sampled_from([None, False, True]),
        found_when_disabled=st.sampled_from([None, "NEVER", "BAKING", "ROLLED_BACK"]),
        load=st.sampled_from([None, load_report(), load_report(sent=9)]),
    )
)
def test_only_the_findings_of_a_good_run_pass(found: Findings) -> None:
    good = findings(200.0, evidence={"latency": 290.0}, requests=300.0)
    if verdict(found) == PASSED:
        assert found == good


def test_the_observations_of_the_fakes_are_those_of_the_smallest_experiment() -> None:
    (measure,) = experiment().measures
    assert observed().values.keys() == measure.queries.keys()


def test_a_passed_run_says_where_its_flag_stays() -> None:
    decision = decide(findings(may_stay=True, stays_on=STAYS_ON))
    assert decision.reason.endswith(
        "; flag 'checkout' stays as the run set it, by deployment 7 of profile 'flags' to "
        "environment 'production' of application 'shop'"
    )


def test_a_passed_run_names_the_variant_that_stays() -> None:
    decision = decide(findings(may_stay=True, stays_on=STAYS_ON | {"variant": "beta"}))
    assert "; variant 'beta' of flag 'checkout' stays" in decision.reason


def test_a_passed_run_whose_flag_was_turned_back_says_so() -> None:
    assert "the flag was turned back" in decide(findings(may_stay=True)).reason


def test_what_did_not_pass_says_nothing_of_staying() -> None:
    decision = decide(findings(2000, may_stay=True, stays_on=STAYS_ON))
    assert decision.verdict is Verdict.FAILED
    assert "stays" not in decision.reason
