"""The decision: whether a run was valid, and what its judgements mean for the objective. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from gameday.conditions.kind import GROWING, ON, Effect
from gameday.evidence import beyond, far_less, of_status
from gameday.judge import LARGEST_COUNT_ERROR, Judgement, Recovery, Verdict, all_passed
from gameday.observations import LoadReport

LARGEST_LOAD_ERROR = 0.05
"""Of the requests that became due so many may be missing."""

LARGEST_SCHEDULE_ERROR_MS = 100.0
"""So late 95 % of the requests may leave; a latency counts from when one was due."""

_TOLD_AT_MOST = 3


class Status(StrEnum):
    """How the run ended."""

    COMPLETED = "COMPLETED"
    ROLLED_BACK = "ROLLED_BACK"
    ABORTED = "ABORTED"
    ERROR = "ERROR"


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class Decision(_Data):
    """The verdict on the objective, how the run ended, and why, in one sentence."""

    verdict: Verdict
    status: Status
    reason: str


class Findings(_Data):
    """Everything that a run found out; None where it did not get that far.

    `blamed`: whether a guardrail that rang may be blamed on the condition, which was on by then.
    `replaced`: what somebody else deployed over the condition.
    `effects` is what each mode promises. `evidence` is how often the injector counted it, and
    `slow_before` and `slow` how many requests took its latency, without and under the condition.
    `silent_workers` is how many of several that generated the load did not report.
    `settled` says whether two readings of the measured windows were the same.
    `may_stay` says whether the condition stays on where the verdict is PASSED, `stays_on` where.
    """

    failure: str | None = None
    failure_cause: str | None = None
    blamed: bool = True
    replaced: str | None = None
    aborted: bool = False
    baseline: Sequence[Judgement] | None = None
    baseline_load: LoadReport | None = None
    judgements: Sequence[Judgement] | None = None
    load: LoadReport | None = None
    silent_workers: int = 0
    requests: float | None = None
    effects: Mapping[str, Effect] = {}
    evidence: Mapping[str, float | None] | None = None
    slow_before: Mapping[str, float | None] = {}
    slow: Mapping[str, float | None] = {}
    settled: bool | None = None
    found_when_disabled: str | None = None
    recovery: Recovery | None = None
    may_stay: bool = False
    stays_on: Mapping[str, Any] | None = None


def decide(findings: Findings) -> Decision:
    """Decide on the objective.

    First how the run ended, then whether it was valid, then the measures: any FAILED fails, all
    must pass, else it is INCONCLUSIVE. Measures that are not critical only report.
    """
    rules: tuple[Callable[[Findings], Decision | None], ...] = (
        _ended_early,
        _not_steady,
        _not_valid,
    )
    for rule in rules:
        if decision := rule(findings):
            return decision
    return _measured(findings)


def _measured(findings: Findings) -> Decision:
    judgements = [j for j in findings.judgements or () if j.critical]
    recovery = findings.recovery
    if failed := [j for j in judgements if j.verdict is Verdict.FAILED]:
        return _completed(Verdict.FAILED, _reasons(failed))
    if recovery and recovery.missed:
        return _completed(Verdict.FAILED, f"the objective is missed since: {recovery.reason}")
    if not judgements:
        return _completed(Verdict.INCONCLUSIVE, "no measure was evaluated")
    if undecided := [j for j in judgements if j.verdict is Verdict.INCONCLUSIVE]:
        return _completed(Verdict.INCONCLUSIVE, _reasons(undecided))
    alone = len(judgements) == 1
    reason = _reasons(judgements) if alone else f"all {len(judgements)} measures hold"
    slow = f"; but it was {recovery.reason}" if recovery and not recovery.recovered else ""
    return _completed(Verdict.PASSED, reason + slow + _afterwards(findings))


def _afterwards(findings: Findings) -> str:
    if not findings.may_stay:
        return ""
    if findings.stays_on is None:
        return "; but the flag was turned back, for that was not certain while it was on"
    on = findings.stays_on
    variant = f"variant {on['variant']!r} of " if on["variant"] else ""
    return (
        f"; {variant}flag {on['flag']!r} stays as the run set it, by deployment "
        f"{on['deployment']} of profile {on['profile']!r} to environment {on['environment']!r} of "
        f"application {on['application']!r}"
    )


def _reasons(judgements: Sequence[Judgement]) -> str:
    told = [f"{j.measure}: {j.reason}" for j in judgements[:_TOLD_AT_MOST]]
    if more := len(judgements) - len(told):
        told.append(f"and {more} more")
    return "; ".join(told)


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
    found = findings.found_when_disabled or ""
    growing = f"; its deployment was {found}" if found.startswith(GROWING) else ""
    return Decision(
        verdict=Verdict.FAILED if seen and findings.blamed else Verdict.INCONCLUSIVE,
        status=Status.ROLLED_BACK,
        reason=f"{findings.failure_cause}; {proof}{growing}",
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
    load = findings.baseline_load
    if load.offered and not load.by_status:
        errors = ", ".join(f"{count} {kind}" for kind, count in load.errors.items())
        return _completed(
            Verdict.INCONCLUSIVE,
            f"the target did not answer before anything was injected ({errors}): "
            "nothing was enabled",
        )
    if all_passed(findings.baseline):
        return None
    critical = [judgement for judgement in findings.baseline if judgement.critical]
    missed = [j for j in critical if j.verdict is Verdict.FAILED]
    undecided = [j for j in critical if j.verdict is Verdict.INCONCLUSIVE]
    why = (
        f"the objective was not met before anything was injected ({_reasons(missed)})"
        if missed
        else f"the baseline cannot decide whether the objective was met ({_reasons(undecided)})"
    )
    enabled = findings.load is not None
    return _completed(
        Verdict.INCONCLUSIVE, why + (", so it says nothing" if enabled else ": nothing was enabled")
    )


def _not_valid(findings: Findings) -> Decision | None:
    reasons = [
        *_doubts_of_condition(findings),
        *_doubts_of_load(findings),
        *_doubts_of_data(findings),
    ]
    return _completed(Verdict.INCONCLUSIVE, "; ".join(reasons)) if reasons else None


def _doubts_of_condition(findings: Findings) -> Iterator[str]:
    """Why what was measured may not have been under the condition."""
    found = findings.found_when_disabled or "unknown"
    if found != ON:
        what = (
            "had not grown to its end" if found.startswith(GROWING) else "was off before its time"
        )
        yield f"the condition {what}: its deployment was {found} when it was to be disabled"
    if not findings.evidence:
        yield "nothing shows that the condition took effect: its evidence was not read"
    for mode, counted in (findings.evidence or {}).items():
        effect = findings.effects.get(mode, Effect(share=None))
        seen = seen_by_load(mode, findings)
        if not counted and not seen:
            looked = " and the load saw nothing of it" if seen == 0 else ""
            yield (
                f"nothing shows that {mode} took effect: the injector counted no injection{looked}"
            )
        elif findings.load and far_less(max(counted or 0, seen or 0), findings.load.sent, effect):
            yield (
                f"{mode} took effect on no more than {max(counted or 0, seen or 0):g} of "
                f"{findings.load.sent} requests, and {100 * (effect.share or 0):g} % were promised"
            )


def seen_by_load(mode: str, findings: Findings) -> float | None:
    """On how many requests the load itself saw a mode: by their status or their latency.

    0 where it may as well have been so before; None where the mode cannot be seen from outside.
    """
    effect, load, before = findings.effects.get(mode), findings.load, findings.baseline_load
    if effect is None or load is None or before is None:
        return None
    if effect.statuses:
        count_before, count = (of_status(report, effect) for report in (before, load))
        return beyond(count_before, before.offered, count, load.offered)
    slow_before, slow = findings.slow_before.get(mode), findings.slow.get(mode)
    if effect.floor_ms and slow_before is not None and slow is not None:
        return beyond(slow_before, before.offered, slow, load.offered)
    return None


def _doubts_of_load(findings: Findings) -> Iterator[str]:
    """Why what was measured may not have been under the load."""
    load = findings.load
    if load is None or not load.offered:
        yield "no load was generated under the condition"
        return
    if findings.silent_workers:
        yield f"{findings.silent_workers} of the load's workers did not report what they sent"
    if load.stopped:  # nothing was offered from then on, so the counts below agree
        yield "the load was stopped before its window ended"
    if load.sent < load.offered * (1 - LARGEST_LOAD_ERROR):
        yield f"only {load.sent} of {load.offered} requests were sent"
    late = load.schedule_error_ms
    if late and late.p95 > LARGEST_SCHEDULE_ERROR_MS:
        yield f"the load was late: 5 % of its requests by {late.p95:g} ms or more"
    counted = findings.requests or 0
    if abs(counted - load.offered) > load.offered * LARGEST_COUNT_ERROR:
        yield f"CloudWatch counts {counted:g} requests, the generator {load.offered}"


def _doubts_of_data(findings: Findings) -> Iterator[str]:
    """Why what was read may not be what CloudWatch will hold in the end."""
    if findings.settled is None:
        yield "the measured window was read only once: its data may not have settled"
    elif not findings.settled:
        yield "the data had not settled: CloudWatch answered differently each time"
