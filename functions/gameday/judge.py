"""The judge: what was observed, and what it means. Pure: no clock, no client, no chance."""

import operator as operators
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from gameday.experiment import Experiment, Measure, Operator
from gameday.observations import LoadReport, Observation, Window

_COMPARE: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.LESS: operators.lt,
    Operator.AT_MOST: operators.le,
    Operator.GREATER: operators.gt,
    Operator.AT_LEAST: operators.ge,
}
LARGEST_LOAD_ERROR = 0.05
"""Offered and achieved load, and the generator's count and CloudWatch's, may differ by this."""


class Verdict(StrEnum):
    """What was learnt."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    INCONCLUSIVE = "INCONCLUSIVE"


class Status(StrEnum):
    """How the run ended."""

    COMPLETED = "COMPLETED"
    ROLLED_BACK = "ROLLED_BACK"
    ABORTED = "ABORTED"
    ERROR = "ERROR"


class Judgement(BaseModel):
    """One measure's verdict with its reason and its numbers.

    `margin` is how far inside the threshold the observed value is; negative outside.
    """

    model_config = ConfigDict(frozen=True)

    measure: str
    verdict: Verdict
    reason: str
    observed: float | None
    operator: Operator
    threshold: float
    unit: str | None
    margin: float | None
    samples: float | None
    baseline: float | None


class Decision(BaseModel):
    """The verdict on the objective, how the run ended, and why, in one sentence."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    status: Status
    reason: str


class Findings(BaseModel):
    """Everything that a run found out; None where it did not get that far.

    `blamed`: whether a guardrail that rang may be blamed on the condition, which was on by then.
    `replaced`: what somebody else deployed over the condition.
    """

    model_config = ConfigDict(frozen=True)

    failure: str | None = None
    failure_cause: str | None = None
    blamed: bool = True
    replaced: str | None = None
    aborted: bool = False
    baseline: Sequence[Judgement] | None = None
    baseline_load: LoadReport | None = None
    judgements: Sequence[Judgement] | None = None
    load: LoadReport | None = None
    requests: float | None = None
    evidence: Mapping[str, float | None] | None = None
    found_when_disabled: str | None = None


def judge(measure: Measure, observed: Observation, baseline: float | None = None) -> Judgement:
    """Judge one measure by what was observed; no data is never a pass."""
    value = observed.value
    if value is None:
        verdict, reason, margin = Verdict.INCONCLUSIVE, "CloudWatch holds no data for it", None
    else:
        holds = _COMPARE[measure.operator](value, measure.threshold)
        verdict = Verdict.PASSED if holds else Verdict.FAILED
        below = measure.operator in (Operator.LESS, Operator.AT_MOST)
        margin = measure.threshold - value if below else value - measure.threshold
        unit = f" {measure.unit}" if measure.unit else ""
        reason = (
            f"{value:.4g}{unit} {'is' if holds else 'is not'} "
            f"{measure.operator} {measure.threshold:g}{unit}"
        )
    return Judgement(
        measure=measure.name,
        verdict=verdict,
        reason=reason,
        observed=value,
        operator=measure.operator,
        threshold=measure.threshold,
        unit=measure.unit,
        margin=margin,
        samples=observed.samples,
        baseline=baseline,
    )


def judge_all(
    experiment: Experiment,
    observations: Mapping[str, Observation],
    baseline: Sequence[Judgement] = (),
) -> tuple[Judgement, ...]:
    """Judge every measure of the experiment over one window."""
    before = {judgement.measure: judgement.observed for judgement in baseline}
    return tuple(
        judge(measure, observations[measure.name], before.get(measure.name))
        for measure in experiment.measures
    )


class Recovery(BaseModel):
    """Whether the objective was met again, and since how many seconds after disabling."""

    model_config = ConfigDict(frozen=True)

    recovered: bool
    seconds: float | None


def judge_recovery(
    experiment: Experiment,
    slices: Sequence[tuple[Window, Mapping[str, Observation]]],
    disabled_at: float,
) -> Recovery:
    """Find the first slice from which on every measure holds to the end."""
    since = None
    for window, observations in reversed(slices):
        if not all_passed(judge_all(experiment, observations)):
            break
        since = window.start
    if since is None:
        return Recovery(recovered=False, seconds=None)
    return Recovery(recovered=True, seconds=round(max(since - disabled_at, 0.0), 1))


def all_passed(judgements: Sequence[Judgement]) -> bool:
    """Whether every measure holds; of no measure nothing holds."""
    return bool(judgements) and all(j.verdict is Verdict.PASSED for j in judgements)


def decide(findings: Findings) -> Decision:
    """Decide on the objective.

    First how the run ended, then whether it was valid, then the measures: any FAILED fails, all
    must pass, else it is INCONCLUSIVE.
    """
    for rule in (_ended_early, _not_steady, _not_valid):
        if decision := rule(findings):
            return decision
    judgements = findings.judgements or ()
    for verdict in (Verdict.FAILED, Verdict.INCONCLUSIVE):
        found = [j for j in judgements if j.verdict is verdict]
        if found:
            return _completed(verdict, "; ".join(f"{j.measure}: {j.reason}" for j in found))
    if not judgements:
        return _completed(Verdict.INCONCLUSIVE, "no measure was evaluated")
    return _completed(Verdict.PASSED, "; ".join(f"{j.measure}: {j.reason}" for j in judgements))


def _completed(verdict: Verdict, reason: str) -> Decision:
    return Decision(verdict=verdict, status=Status.COMPLETED, reason=reason)


def _ended_early(findings: Findings) -> Decision | None:
    decision = _rang(findings) or _broke(findings)
    if decision and findings.replaced and findings.replaced not in decision.reason:
        return decision.model_copy(update={"reason": f"{decision.reason}; {findings.replaced}"})
    return decision


def _rang(findings: Findings) -> Decision | None:
    if findings.failure != "GuardrailRang":
        return None
    seen = sum(count or 0 for count in (findings.evidence or {}).values())
    if not findings.blamed:
        proof = "the condition was not on yet, so it is not to blame"
    elif seen:
        proof = "the condition had taken effect"
    else:
        proof = "nothing shows that it took effect"
    return Decision(
        verdict=Verdict.FAILED if seen and findings.blamed else Verdict.INCONCLUSIVE,
        status=Status.ROLLED_BACK,
        reason=f"{findings.failure_cause}; {proof}",
    )


def _broke(findings: Findings) -> Decision | None:
    if findings.aborted:
        return Decision(
            verdict=Verdict.INCONCLUSIVE, status=Status.ABORTED, reason="a person stopped the run"
        )
    if findings.failure:
        return Decision(
            verdict=Verdict.INCONCLUSIVE,
            status=Status.ERROR,
            reason=f"{findings.failure}: {findings.failure_cause}",
        )
    return None


def _not_steady(findings: Findings) -> Decision | None:
    if findings.baseline is None or findings.baseline_load is None:
        return _completed(Verdict.INCONCLUSIVE, "no baseline was taken")
    if all_passed(findings.baseline):
        return None
    load = findings.baseline_load
    if load.offered and not load.by_status:
        errors = ", ".join(f"{count} {kind}" for kind, count in load.errors.items())
        return _completed(
            Verdict.INCONCLUSIVE,
            f"the target did not answer before anything was injected ({errors}): "
            "nothing was enabled",
        )
    missed = "; ".join(
        f"{j.measure}: {j.reason}" for j in findings.baseline if j.verdict is not Verdict.PASSED
    )
    return _completed(
        Verdict.INCONCLUSIVE,
        f"the objective was not met before anything was injected ({missed}): nothing was enabled",
    )


def _not_valid(findings: Findings) -> Decision | None:
    reasons = [*_doubts_of_condition(findings), *_doubts_of_load(findings)]
    return _completed(Verdict.INCONCLUSIVE, "; ".join(reasons)) if reasons else None


def _doubts_of_condition(findings: Findings) -> Iterator[str]:
    """Why what was measured may not have been under the condition."""
    if findings.found_when_disabled != "BAKING":
        yield (
            "the condition was off before its time: its deployment was "
            f"{findings.found_when_disabled or 'unknown'} when it was to be disabled"
        )
    if not findings.evidence:
        yield "nothing shows that the condition took effect: its evidence was not read"
    for mode, count in (findings.evidence or {}).items():
        if not count:
            yield f"nothing shows that {mode} took effect: the injector counted no injection"


def _doubts_of_load(findings: Findings) -> Iterator[str]:
    """Why what was measured may not have been under the load."""
    load = findings.load
    if load is None or not load.offered:
        yield "no load was generated under the condition"
        return
    if load.stopped:  # nothing was offered from then on, so the counts below agree
        yield "the load was stopped before its window ended"
    if load.sent < load.offered * (1 - LARGEST_LOAD_ERROR):
        yield f"only {load.sent} of {load.offered} requests were sent"
    counted = findings.requests or 0
    if abs(counted - load.offered) > load.offered * LARGEST_LOAD_ERROR:
        yield f"CloudWatch counts {counted:g} requests, the generator {load.offered}"
