"""The judge: pure, so every rule is a sentence."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.experiment import Operator, ThresholdMeasure
from gameday.judge import (
    Findings,
    Judgement,
    Recovery,
    Status,
    Verdict,
    all_passed,
    decide,
    judge,
    judge_all,
    judge_recovery,
)
from gameday.observations import Failure, Observation, Window
from tests.unit.fakes import experiment, findings, load_report

EXPERIMENT = experiment()
NUMBERS = st.floats(-1e9, 1e9)
OPERATORS = st.sampled_from(Operator)


def measure(operator: Operator, threshold: float, unit: str | None = None) -> ThresholdMeasure:
    (one,) = experiment(
        measures__0__operator=operator, measures__0__threshold=threshold, measures__0__unit=unit
    ).measures
    assert isinstance(one, ThresholdMeasure)
    return one


def judged(operator: Operator, threshold: float, value: float | None) -> Judgement:
    return judge(measure(operator, threshold), Observation(value=value, samples=1))


# -- one measure


@given(NUMBERS)
@pytest.mark.parametrize(
    ("operator", "below", "at", "above"),
    [
        (Operator.LESS, "PASSED", "FAILED", "FAILED"),
        (Operator.AT_MOST, "PASSED", "PASSED", "FAILED"),
        (Operator.AT_LEAST, "FAILED", "PASSED", "PASSED"),
        (Operator.GREATER, "FAILED", "FAILED", "PASSED"),
    ],
)
def test_a_verdict_flips_exactly_at_the_threshold(
    operator: Operator, below: str, at: str, above: str, threshold: float
) -> None:
    values = (math.nextafter(threshold, -math.inf), threshold, math.nextafter(threshold, math.inf))
    assert [judged(operator, threshold, v).verdict for v in values] == [below, at, above]


@given(OPERATORS, NUMBERS, NUMBERS)
def test_the_margins_sign_agrees_with_the_verdict(
    operator: Operator, threshold: float, value: float
) -> None:
    judgement = judged(operator, threshold, value)
    assert judgement.margin is not None
    at_the_threshold = operator in (Operator.AT_MOST, Operator.AT_LEAST)
    inside = judgement.margin > 0 or (judgement.margin == 0 and at_the_threshold)
    assert inside == (judgement.verdict is Verdict.PASSED)


@given(NUMBERS, NUMBERS)
def test_an_operator_and_its_opposite_never_agree(threshold: float, value: float) -> None:
    for one, other in ((Operator.LESS, Operator.AT_LEAST), (Operator.GREATER, Operator.AT_MOST)):
        verdicts = {judged(one, threshold, value).verdict, judged(other, threshold, value).verdict}
        assert verdicts == {Verdict.PASSED, Verdict.FAILED}


@given(OPERATORS, NUMBERS)
def test_no_data_is_never_a_verdict(operator: Operator, threshold: float) -> None:
    judgement = judged(operator, threshold, None)
    assert (judgement.verdict, judgement.margin) == (Verdict.INCONCLUSIVE, None)
    assert judgement.reason == "CloudWatch holds no data for it"


def test_a_reason_says_the_number_the_unit_and_the_threshold() -> None:
    one = measure(Operator.LESS, 400, "ms")
    assert judge(one, Observation(value=210.04, samples=9)).reason == "210 ms is < 400 ms"
    assert judge(one, Observation(value=400, samples=9)).reason == "400 ms is not < 400 ms"


def test_a_judgement_carries_what_it_was_made_from() -> None:
    judgement = judge(measure(Operator.AT_LEAST, 10, "a"), Observation(value=12, samples=9), 11)
    assert judgement == Judgement(
        measure="95 % respond in",
        verdict=Verdict.PASSED,
        reason="12 a is >= 10 a",
        observed=12,
        operator=Operator.AT_LEAST,
        threshold=10,
        unit="a",
        margin=2,
        samples=9,
        baseline=11,
    )


# -- all measures


def test_every_measure_is_judged_beside_its_own_baseline() -> None:
    two = experiment(measures=[measure_document("a"), measure_document("b")])
    seen = {"a": Observation(value=1, samples=1), "b": Observation(value=2000, samples=1)}
    before = judge_all(two, {**seen, "a": Observation(value=5, samples=1)})
    judgements = judge_all(two, seen, before)
    assert [(j.measure, j.verdict, j.baseline) for j in judgements] == [
        ("a", "PASSED", 5),
        ("b", "FAILED", 2000),
    ]


def measure_document(name: str) -> dict[str, object]:
    return {**EXPERIMENT.measures[0].model_dump(mode="json"), "name": name}


def test_of_no_measure_nothing_holds() -> None:
    assert not all_passed(())


@pytest.mark.parametrize(("value", "holds"), [(200, True), (2000, False), (None, False)])
def test_all_hold_when_each_has_passed(value: float | None, holds: bool) -> None:
    seen = {"95 % respond in": Observation(value=value, samples=1)}
    assert all_passed(judge_all(EXPERIMENT, seen)) is holds


# -- recovery


def recovery(values: list[float | None], disabled_at: float = 100.0) -> Recovery:
    slices = [
        (
            Window(start=100 + 5 * i, end=105 + 5 * i),
            {"95 % respond in": Observation(value=value, samples=1)},
        )
        for i, value in enumerate(values)
    ]
    return judge_recovery(EXPERIMENT, slices, disabled_at)


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([200, 200, 200], 0),
        ([2000, 200, 200], 5),
        ([200, 2000, 200], 10),
        ([None, 200, 200], 5),
    ],
)
def test_recovery_counts_from_disabling_to_the_first_slice_that_holds_to_the_end(
    values: list[float | None], seconds: float
) -> None:
    assert recovery(values) == Recovery(recovered=True, seconds=seconds)


@pytest.mark.parametrize("values", [[], [200, 200, 2000], [200, None]])
def test_a_system_that_does_not_hold_at_the_end_has_not_recovered(
    values: list[float | None],
) -> None:
    assert recovery(values) == Recovery(recovered=False, seconds=None)


def test_a_slice_that_began_before_disabling_is_no_negative_time() -> None:
    assert recovery([200], disabled_at=103.26).seconds == 0


def test_recovery_is_told_to_a_tenth_of_a_second() -> None:
    assert recovery([2000, 200], disabled_at=101.26).seconds == 3.7


# -- the decision


def verdict(found: Findings) -> tuple[Verdict, Status]:
    decision = decide(found)
    return decision.verdict, decision.status


PASSED = (Verdict.PASSED, Status.COMPLETED)
FAILED = (Verdict.FAILED, Status.COMPLETED)
INCONCLUSIVE = (Verdict.INCONCLUSIVE, Status.COMPLETED)


def test_a_run_of_which_all_is_known_and_every_measure_holds_passes() -> None:
    assert verdict(findings()) == PASSED


def test_a_run_passes_with_the_reasons_of_its_measures() -> None:
    assert decide(findings()).reason == "95 % respond in: 200 is < 1000"


def test_a_measure_that_does_not_hold_fails_the_run() -> None:
    assert verdict(findings(2000)) == FAILED


def test_a_measure_without_data_is_inconclusive() -> None:
    assert verdict(findings(None)) == INCONCLUSIVE


@given(st.lists(st.sampled_from([200.0, 2000.0, None]), max_size=5))
def test_any_failed_judgement_wins_over_inconclusive_and_any_of_both_over_passed(
    values: list[float | None],
) -> None:
    (one,) = EXPERIMENT.measures
    judgements = [judge(one, Observation(value=value, samples=1)) for value in values]
    expected = (
        FAILED if 2000 in values else PASSED if values and None not in values else INCONCLUSIVE
    )
    assert verdict(findings(judgements=judgements)) == expected


def test_only_the_judgements_that_decided_are_the_reason() -> None:
    (one,) = EXPERIMENT.measures
    judgements = [judge(one, Observation(value=value, samples=1)) for value in (200, 2000, None)]
    assert decide(findings(judgements=judgements)).reason == "95 % respond in: 2000 is not < 1000"


PIECES = ("baseline", "baseline_load", "judgements", "load", "requests", "evidence")


@pytest.mark.parametrize("piece", [*PIECES, "found_when_disabled"])
def test_a_run_of_which_a_piece_is_missing_never_passes(piece: str) -> None:
    assert verdict(findings(**{piece: None})) == INCONCLUSIVE


@pytest.mark.parametrize(
    "empty", [findings(baseline=()), findings(judgements=()), findings(evidence={})]
)
def test_a_run_of_which_a_piece_is_empty_never_passes(empty: Findings) -> None:
    assert verdict(empty) == INCONCLUSIVE


def test_every_piece_of_the_findings_is_one_without_which_no_run_passes() -> None:
    ending = {"failure", "failure_cause", "blamed", "replaced", "aborted"}
    assert set(Findings.model_fields) == {*PIECES, "found_when_disabled", *ending}


@pytest.mark.parametrize("count", [None, 0.0])
def test_a_mode_without_evidence_is_inconclusive(count: float | None) -> None:
    decision = decide(findings(evidence={"latency": 300.0, "denylist": count}))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == (
        "nothing shows that denylist took effect: the injector counted no injection"
    )


@pytest.mark.parametrize("found", ["NEVER", "ROLLED_BACK", "ROLLING_BACK", "REVERTED"])
def test_a_condition_found_off_early_is_inconclusive(found: str) -> None:
    decision = decide(findings(found_when_disabled=found))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert f"off before its time: its deployment was {found}" in decision.reason


def test_a_load_that_offered_nothing_is_inconclusive() -> None:
    assert verdict(findings(load=load_report(offered=0, sent=0), requests=0)) == INCONCLUSIVE


def test_a_load_that_was_stopped_is_inconclusive() -> None:
    short = load_report(offered=10, sent=10, stopped=True)
    decision = decide(findings(load=short, requests=10))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason == "the load was stopped before its window ended"


@pytest.mark.parametrize(("sent", "expected"), [(285, PASSED), (284, INCONCLUSIVE)])
def test_at_least_95_percent_of_the_offered_load_must_be_sent(
    sent: int, expected: tuple[Verdict, Status]
) -> None:
    assert verdict(findings(load=load_report(sent=sent))) == expected


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(284, INCONCLUSIVE), (285, PASSED), (315, PASSED), (316, INCONCLUSIVE)],
)
def test_cloudwatch_and_the_load_must_count_the_same_within_5_percent(
    requests: float, expected: tuple[Verdict, Status]
) -> None:
    assert verdict(findings(requests=requests)) == expected


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


@pytest.mark.parametrize("value", [None, 2000])
def test_an_unsteady_baseline_is_inconclusive(value: float | None) -> None:
    before = judge_all(EXPERIMENT, {"95 % respond in": Observation(value=value, samples=1)})
    decision = decide(findings(baseline=before))
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert decision.reason.startswith("the objective was not met before anything was injected (95")


def test_a_target_that_never_answered_is_said_to_be_so() -> None:
    before = judge_all(EXPERIMENT, {"95 % respond in": Observation(value=10_000, samples=1)})
    silent = load_report(by_status={}, errors={Failure.REFUSED: 300})
    decision = decide(findings(baseline=before, baseline_load=silent))
    assert "did not answer before anything was injected (300 refused)" in decision.reason


def test_a_target_that_was_asked_nothing_is_not_blamed() -> None:
    before = judge_all(EXPERIMENT, {"95 % respond in": Observation(value=None, samples=None)})
    nothing = load_report(by_status={}, offered=0, sent=0)
    assert "did not answer" not in decide(findings(baseline=before, baseline_load=nothing)).reason


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
        evidence=st.sampled_from([None, {}, {"latency": 0.0}, {"latency": 9.0}]),
        found_when_disabled=st.sampled_from([None, "NEVER", "BAKING", "ROLLED_BACK"]),
        load=st.sampled_from([None, load_report(), load_report(sent=9)]),
    )
)
def test_only_the_findings_of_a_good_run_pass(found: Findings) -> None:
    good = findings(200.0, evidence={"latency": 9.0}, requests=300.0)
    if verdict(found) == PASSED:
        assert found == good
