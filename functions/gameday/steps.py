"""The steps of a run: one function for each working state, and the undo that all roads call."""

import base64
import hashlib
import json
import math
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from gameday import guardrails, measures, verdict
from gameday.arrivals import WHOLE, Share
from gameday.conditions.kind import NEVER, ON, polls
from gameday.decision import Findings, decide
from gameday.environment import Environment
from gameday.errors import (
    ConditionNotEnabled,
    ConfigurationChanged,
    DeadlinePassed,
    GuardrailRang,
    RunRefused,
    RunStopped,
    WatchNotStanding,
    sentence,
)
from gameday.evidence import Search
from gameday.experiment import Experiment, Phase, parse
from gameday.judge import (
    Judgement,
    Recovery,
    Verdict,
    all_passed,
    judge_all,
    judge_recovery,
)
from gameday.observability import logger
from gameday.observations import LoadReport, Reading, Window
from gameday.runs import Run, StopReason
from gameday.scale import HEAD_START_SECONDS, Form, part_of

_WATCH_LIMIT_SECONDS = 30.0

DEADLINE_PASSED = {
    "Error": DeadlinePassed.__name__,
    "Cause": "the run was not over by its deadline",
}

_GROWTH_LIMIT_SECONDS = 45.0
"""So much later than a ramp should be over it may be, within what a lease allows for serving."""

_SETTLING_SECONDS = (0, 10, 20)
"""The waits before each further reading: Confirm recovery has a minute in all."""

_ITEMS_FAILED = "States.ExceedToleratedFailureThreshold"
"""What a Distributed Map calls the failure of an item, whatever it was."""

_REPLACED = "REPLACED"
"""In place of a deployment's state: somebody else deployed over it."""


def validate_experiment(document: Any) -> dict[str, Any]:
    """Make a plan of a document, or report every fault of it."""
    experiment = parse(document)
    return {
        "experiment": experiment.model_dump(mode="json"),
        "plan": experiment.plan.model_dump(mode="json"),
    }


def arm_rollback(
    environment: Environment, run_id: str, execution_arn: str, document: Any
) -> dict[str, Any]:
    """Refuse what must not start; else arm, before anything is changed.

    Arming sets the deadline, locks the target and records how to restore it. The deadline comes
    first: no lock is without one.
    """
    experiment = parse(document)
    started_at = time.time()  # an alarm that rings while the guardrails are examined is the run's
    target, alarms = _examined(environment, experiment)
    run = Run(
        run_id=run_id,
        execution_arn=execution_arn,
        experiment=experiment,
        target=target,
        guardrail_arns=alarms,
        started_at=started_at,
        deadline=started_at + experiment.plan.deadline_seconds,
    )
    environment.deadlines.create(run)
    try:
        environment.runs.arm(run)
    except RunRefused:
        # Another call of this step may have armed it, or may be about to.
        if environment.runs.bury(run_id, StopReason.FAILED):
            environment.deadlines.delete(run_id)
        raise
    for warning in experiment.condition.warnings:
        logger.warning("condition warns", warning=warning)
    logger.info("rollback armed", target=target.lock, deadline=run.deadline)
    return {"deadline": run.deadline}


def _examined(environment: Environment, experiment: Experiment) -> tuple[Any, tuple[str, ...]]:
    condition = experiment.condition
    reasons = [
        *condition.reach.beyond(environment.ceilings),
        *environment.manners.beyond(experiment.load, experiment.plan.most_requests),
    ]
    found: list[Any] = []
    for examine in (
        lambda: environment.kind(condition).examine(condition),
        lambda: guardrails.examine(experiment.guardrails, environment.cloudwatch),
        environment.publisher.examine,
    ):
        try:
            found.append(examine())
        except RunRefused as refused:
            reasons.extend(refused.reasons)
    if reasons:
        raise RunRefused(reasons)
    return found[0], found[1]


def watch_guardrails(environment: Environment, run_id: str, token: str) -> None:
    """Keep the token with which an alarm ends the run; an alarm may have come before it."""
    environment.runs.watch(run_id, token)
    run = environment.runs.get(run_id)
    if run.stop_reason is StopReason.GUARDRAIL:
        raise GuardrailRang(run.facts["guardrail"]["reason"])
    # Whoever rang between the examination and the record found no run to end, and rings no more.
    ringing = guardrails.ringing(run.experiment.guardrails, environment.cloudwatch)
    if ringing:
        raise GuardrailRang(f"guardrail {ringing[0]!r} rang while the run was armed")


def stand_watch_down(environment: Environment, run_id: str) -> None:
    """End the watch: the work is done."""
    token = _standing_watch(environment, run_id)
    environment.stepfunctions.send_task_success(taskToken=token, output="{}")


def _standing_watch(environment: Environment, run_id: str) -> str:
    """The token of the watch, which stands beside the work and may have started more slowly."""
    until = time.monotonic() + _WATCH_LIMIT_SECONDS
    while not (token := environment.runs.get(run_id).watch_token):
        if time.monotonic() > until:
            raise WatchNotStanding(f"it did not stand within {_WATCH_LIMIT_SECONDS:g} s")
        time.sleep(1)
    return token


def generate_load(
    environment: Environment,
    run_id: str,
    phase: Phase,
    part: int | None = None,
    called_at: str | None = None,
) -> None:
    """Generate the load of one phase, until its window has ended or the run was stopped.

    One of several workers does its part of it, and all begin by the moment at which they were
    called, in ISO 8601.
    """
    run, runs = environment.runs.get(run_id), environment.runs
    if part is None:
        report = _generated(environment, run, phase, WHOLE)
        runs.note(run_id, **{f"{phase}_load": report.model_dump(mode="json")})
    elif runs.begin(run_id, phase, part):
        try:
            report = _generated(environment, run, phase, _share(run, phase, part, called_at))
        except Exception as failure:  # a Distributed Map only says that there was one
            runs.settle(run_id, lost_worker=f"{type(failure).__name__}: {failure}")
            raise
        runs.report(run_id, phase, part, report.model_dump(mode="json"))


def _generated(environment: Environment, run: Run, phase: Phase, share: Share) -> LoadReport:
    # Imported here: only this step needs an HTTP client, and each pays at its cold start.
    from gameday import load

    experiment, runs = run.experiment, environment.runs
    seconds = _window_seconds(run, phase)
    warm_up, stopped = {
        Phase.BASELINE: (experiment.load.warm_up_seconds, runs.stopped),
        Phase.CONDITION: (experiment.load.warm_up_seconds, runs.stopped),
        # By then the run has been told to go no further, and only its end stops the load.
        Phase.RECOVERY: (0, runs.ended),
    }[phase]
    report = load.generate_load(
        environment.secrets.resolved(experiment.load),
        experiment=experiment.name,
        phase=phase,
        warm_up_seconds=warm_up,
        window_seconds=seconds,
        stopped=lambda: stopped(run.run_id),
        cloudwatch=environment.cloudwatch,
        run_id=run.run_id,
        # Recovery is read in slices: seconds need not fit into a minute, only minutes into theirs.
        one_period=phase is not Phase.RECOVERY or seconds % 60 == 0,
        share=share,
        account=environment.account if experiment.load.is_signed else None,
    )
    logger.info("load generated", phase=phase, share=asdict(share), report=report.summary)
    return report


def _window_seconds(run: Run, phase: Phase) -> int:
    windows = run.experiment.windows
    return {
        Phase.BASELINE: windows.baseline_seconds,
        Phase.CONDITION: windows.condition_seconds,
        Phase.RECOVERY: windows.recovery_seconds,
    }[phase]


def _share(run: Run, phase: Phase, part: int, called_at: str | None) -> Share:
    workers = run.experiment.plan.workers(phase).at_once
    index, seconds = part_of(part, workers, _window_seconds(run, phase))
    return Share(
        index=index,
        workers=workers,
        start_at=datetime.fromisoformat(called_at or "").timestamp() + HEAD_START_SECONDS,
        from_second=seconds.start,
        until_second=seconds.stop,
    )


def _added_up(environment: Environment, run: Run, phase: Phase) -> Run:
    """The run with the report of a whole load, added up once from those of its workers."""
    name = f"{phase}_load"
    if name in run.facts or run.experiment.plan.workers(phase).form is Form.ONE:
        return run
    reports = environment.runs.reports(run.run_id, phase)
    parts = [LoadReport.model_validate(report) for report in reports]
    if not parts:
        return run
    whole = LoadReport.merged(parts).model_dump(mode="json")
    environment.runs.settle(run.run_id, **{name: whole, f"{phase}_reports": len(parts)})
    return environment.runs.get(run.run_id)


def snapshot_baseline(environment: Environment, run_id: str) -> dict[str, Any]:
    """Judge the measures before anything is injected: the objective must be met now."""
    run = _added_up(environment, environment.runs.get(run_id), Phase.BASELINE)
    reading = _read(environment, run, Phase.BASELINE)
    baseline = judge_all(run.experiment, reading.observations, None, _offered(run, Phase.BASELINE))
    environment.runs.note(run_id, baseline=_packed(baseline))
    return {"steady": all_passed(baseline)}


def _read(environment: Environment, run: Run, phase: Phase) -> Reading:
    return measures.read(run.experiment, phase, _window(run, phase), environment.cloudwatch)


def _window(run: Run, phase: Phase) -> Window:
    return LoadReport.model_validate(run.facts[f"{phase}_load"]).window


def _offered(run: Run, phase: Phase) -> int:
    return LoadReport.model_validate(run.facts[f"{phase}_load"]).offered


def enable_condition(environment: Environment, run_id: str) -> None:
    """Turn the condition on, once the watch stands, with a lease until the run's deadline."""
    _standing_watch(environment, run_id)
    run = environment.runs.get(run_id)
    if run.stop_reason:
        raise RunStopped(f"run {run_id} was stopped ({run.stop_reason}): nothing is enabled")
    environment.kind(run.experiment.condition).enable(
        run.experiment.condition,
        run.target,
        run_id,
        expires_at=time.time() + run.experiment.plan.lease_seconds,
        change=run.change,
        remember=lambda change: environment.runs.change(run_id, change),
    )
    environment.runs.note(run_id, enabled_at=time.time())
    logger.info("condition enabled", modes=run.experiment.condition.modes)


def await_evidence(environment: Environment, run_id: str) -> None:
    """Load the target until evidence shows that the condition is on as promised, or time is up.

    Instances learn of it only when they are invoked. Where no evidence can tell, the time that they
    may take is all that can be waited for; whether there was too little is the verdict's to say.

    Raises:
        ConditionNotEnabled: it did not grow to its end, or was turned off while it did.
    """
    # Imported here: only who generates load needs an HTTP client.
    from gameday import load

    run, runs = environment.runs.get(run_id), environment.runs
    experiment, seen = run.experiment, _Seen(environment, run)
    until = run.facts["enabled_at"] + experiment.plan.evidence_seconds
    if time.time() < until and "seen_on_at" not in run.facts:
        load.warm_up(
            environment.secrets.resolved(experiment.load),
            seconds=math.ceil(until - time.time()),
            stopped=lambda: seen.enough or time.time() >= until or runs.stopped(run_id),
            see=seen.see,
            run_id=run_id,
            share=Share(index=0, workers=experiment.plan.condition_workers.at_once),
            account=environment.account if experiment.load.is_signed else None,
        )
    if runs.stopped(run_id):
        return
    seen.await_growth()
    if seen.search.is_over:
        runs.note(run_id, seen_on_at=time.time(), seen_on_by=seen.search.found)
    logger.info("evidence awaited", found=seen.search.found)


class _Seen:
    """What is seen of a condition while its target is loaded, from a thread beside the load."""

    def __init__(self, environment: Environment, run: Run) -> None:
        self._environment, self._run = environment, run
        self._kind = environment.kind(run.experiment.condition)
        self._grown = 0.0 if run.experiment.condition.ramp_seconds else 100.0
        self._is_off = False
        before = LoadReport.model_validate(run.facts["baseline_load"])
        self.search = Search(run.experiment.condition, before)

    @property
    def enough(self) -> bool:
        """Whether nothing more needs to be seen."""
        return self._is_off or self.search.is_over

    def see(self, part: LoadReport) -> None:
        """Take what the load saw since the last time; evidence counts once all are given it."""
        if not self._has_grown():
            return
        self.search.saw(part)
        if modes := self.search.counted_modes:
            try:
                self.search.counted(self._counted(modes, part.window.end))
            except (
                Exception
            ):  # it is looked for again, and the verdict says if there was too little
                logger.exception("evidence not read")

    def _counted(self, modes: Sequence[str], until: int) -> Mapping[str, Mapping[int, float]]:
        window = Window(start=int(self._run.facts["enabled_at"]), end=until)
        cloudwatch = self._environment.cloudwatch
        return measures.read_evidence_by_second(self._run.experiment, modes, window, cloudwatch)

    def _has_grown(self) -> bool:
        if self._grown < 100:
            try:
                self._grown = self._kind.grown(self._run.target, self._run.change)
            except ConditionNotEnabled:
                self._is_off = True
                if not self._environment.runs.stopped(self._run.run_id):
                    raise
        return self._grown >= 100

    def await_growth(self) -> None:
        """Wait until the condition has grown to its end, if its load was over before."""
        for _ in polls(_GROWTH_LIMIT_SECONDS):
            if self._has_grown() or self._is_off:
                return
        raise ConditionNotEnabled(
            f"the condition had grown to {self._grown:g} % when its ramp should have been over"
        )


def evaluate_measures(environment: Environment, run_id: str) -> dict[str, Any]:
    """Judge the measures under the condition, and read the evidence for it.

    Answers whether the condition may stay on: then it is decided on by settled data while it is.
    """
    run = _added_up(environment, environment.runs.get(run_id), Phase.CONDITION)
    _look(environment, run)
    failed = any(
        judgement.critical and judgement.verdict is Verdict.FAILED
        for judgement in judgements_of(environment.runs.get(run_id), "judgements") or ()
    )
    return {"may_stay": run.experiment.condition.stays_if_passed and not failed}


def _look(environment: Environment, run: Run) -> str:
    """Read both measured windows, and judge by what CloudWatch holds now; what was read, in short.

    The baseline as well: what came late belongs to it, and relative measures look at all of it.
    """
    before = _read(environment, run, Phase.BASELINE)
    under = _read(environment, run, Phase.CONDITION)
    experiment, offered = run.experiment, _offered(run, Phase.CONDITION)
    baseline = judge_all(experiment, before.observations, None, _offered(run, Phase.BASELINE))
    judgements = judge_all(experiment, under.observations, before.observations, offered)
    read = "".join(reading.model_dump_json() for reading in (before, under))
    digest = hashlib.sha256(read.encode()).hexdigest()
    environment.runs.note(
        run.run_id,
        baseline=_packed(baseline),
        judgements=_packed(judgements),
        evidence=dict(under.evidence),
        requests=under.requests,
        slow_before=dict(before.slow),
        slow=dict(under.slow),
        reading=digest,
    )
    return digest


def _settle(environment: Environment, run: Run) -> None:
    """Read again, until two readings in a row are the same: CloudWatch's data comes late.

    The condition is off by then, so none stays on only to wait.
    """
    last = run.facts["reading"]
    for wait_seconds in _SETTLING_SECONDS:
        time.sleep(wait_seconds)
        before, last = last, _look(environment, run)
        if before == last:
            environment.runs.note(run.run_id, settled=True)
            return
    environment.runs.note(run.run_id, settled=False)


def _packed(judgements: Sequence[Judgement]) -> str:
    """Judgements as a fact: 500 of them, twice, would not fit into an item of DynamoDB."""
    text = json.dumps([judgement.model_dump(mode="json") for judgement in judgements])
    return base64.b64encode(zlib.compress(text.encode())).decode()


def judgements_of(run: Run, name: str) -> tuple[Judgement, ...] | None:
    """The judgements that a step noted as this fact; None where it did not get that far."""
    if name not in run.facts:
        return None
    text = zlib.decompress(base64.b64decode(run.facts[name]))
    return tuple(Judgement.model_validate(judgement) for judgement in json.loads(text))


def disable_condition(
    environment: Environment, run_id: str, failure: dict[str, str] | None
) -> dict[str, Any]:
    """Undo the run in its own execution: the only way out of it.

    Only a flag that may stay, and whose run PASSED, is left on: that is decided and settled here,
    for what is not settled is undone. It leaves nothing to recover from.
    """
    if failure is None:
        try:
            _settle_whether_it_stays(environment, environment.runs.get(run_id))
        except Exception:  # nothing may keep the undo from what follows
            logger.exception("not settled whether it stays")
    undo(environment, run_id, StopReason.FINISHED)
    run = environment.runs.get(run_id)
    return {"was_on": "enabled_at" in run.facts and not run.stays}


def _settle_whether_it_stays(environment: Environment, run: Run) -> None:
    condition = run.experiment.condition
    if not condition.stays_if_passed or "judgements" not in run.facts or run.change is None:
        return
    if not environment.kind(condition).stands(run.target, run.change):
        return
    run = _settled(environment, run)
    findings = _findings(environment, run, None).model_copy(
        update={"found_when_disabled": ON, "stays_on": condition.left_on(run.change)}
    )
    decision = decide(findings)
    if decision.verdict is Verdict.PASSED:
        environment.runs.stay(run.run_id, verdict.detail(run, decision, findings))


def undo(environment: Environment, run_id: str, reason: StopReason) -> None:
    """Stop the run, turn its condition off and prove it; but what stays by its verdict stays.

    Works from the restore record alone; idempotent, so every road may call it, at once or late.
    The target stays locked until the run is over, verdict included.
    """
    run = environment.runs.stop(run_id, reason)
    if not (run.stays or _proven_off(run)):
        _disable(environment, run)
    environment.runs.unguard(run)
    logger.info("condition stays" if run.stays else "condition off", reason=reason)


def _proven_off(run: Run) -> bool:
    """Whether there is nothing left to undo: by now the target may be another run's."""
    # Where nothing was found on, a deployment may have started since.
    return _undone(run) and "found_when_disabled" in run.facts


def _undone(run: Run) -> bool:
    """Whether an undo came to its end, or found that somebody else's change is in its way."""
    return "disabled_at" in run.facts or run.facts.get("found_when_disabled") == _REPLACED


def _disable(environment: Environment, run: Run) -> None:
    def notice(found: str) -> None:
        if found != NEVER:  # settled: of two at once, the second finds what the first did
            environment.runs.settle(run.run_id, found_when_disabled=found)

    try:
        kind = environment.kind(run.experiment.condition)
        kind.disable(run.target, run.change, run.run_id, notice)
    except ConfigurationChanged as changed:
        environment.runs.note(run.run_id, found_when_disabled=_REPLACED, replaced=str(changed))
        raise
    environment.runs.note(run.run_id, disabled_at=time.time())


def confirm_recovery(environment: Environment, run_id: str) -> None:
    """Judge whether the system is back and since when; and the measures, by settled data."""
    run = _added_up(environment, environment.runs.get(run_id), Phase.RECOVERY)
    before, after = (
        measures.read_slices(run.experiment, phase, _window(run, phase), environment.cloudwatch)
        for phase in (Phase.BASELINE, Phase.RECOVERY)
    )
    recovery = judge_recovery(run.experiment, before, after, run.facts["disabled_at"])
    environment.runs.note(run_id, recovery=recovery.model_dump())
    if "reading" in run.facts:
        _settle(environment, run)


def publish_verdict(
    environment: Environment, run_id: str, failure: dict[str, str] | None
) -> dict[str, Any]:
    """Decide, keep and publish the verdict, once for each run; then the run is over.

    Whoever comes first decides; everybody sends what was decided, unless it was sent. A run whose
    condition is not proven off, and does not stay by the verdict, is not over: it keeps its target
    and its deadline.
    """
    run = environment.runs.get(run_id)
    event = run.facts.get("verdict")
    if event is None:
        for phase in (Phase.BASELINE, Phase.CONDITION):
            run = _added_up(environment, run, phase)
        run = _settled(environment, run)
        findings = _findings(environment, run, failure)
        decided = verdict.detail(run, decide(findings), findings)
        event = environment.runs.settle(run_id, verdict=decided)["verdict"]
    environment.runs.end(run_id)
    with environment.runs.sending(run_id, "bus") as due:
        if due:
            environment.publisher.to_bus(event, run.execution_arn)
    with environment.runs.sending(run_id, "topic") as due:
        if due:
            environment.publisher.to_topic(event)
    run = environment.runs.get(run_id)
    if run.stays or _undone(run):
        environment.runs.release(run)
        environment.deadlines.delete(run_id)  # last: until here it would end the run
    logger.info("verdict published", verdict=event["verdict"], status=event["status"])
    return dict(event)


def _settled(environment: Environment, run: Run) -> Run:
    """The run with settled data, also where recovery was not confirmed; as it is if that fails."""
    if "reading" in run.facts and "settled" not in run.facts:
        try:
            _settle(environment, run)
        except Exception:  # a verdict that says so is better than none
            logger.exception("measures not read again")
    return environment.runs.get(run.run_id)


def _findings(environment: Environment, run: Run, failure: dict[str, str] | None) -> Findings:
    facts = run.facts
    guardrail = facts.get("guardrail")
    if guardrail:  # whatever ended the execution after it
        failure = {"Error": GuardrailRang.__name__, "Cause": guardrail["reason"]}
    elif failure and failure["Error"] == _ITEMS_FAILED:
        failure = {**failure, "Cause": facts.get("lost_worker", failure.get("Cause", ""))}
    return Findings(
        failure=failure and failure["Error"],
        failure_cause=failure and sentence(failure.get("Cause", "")),
        blamed=(guardrail["at"] if guardrail else time.time()) >= _on_since(run),
        replaced=facts.get("replaced"),
        aborted=facts.get("execution_ended") == StopReason.ABORTED,
        baseline=judgements_of(run, "baseline"),
        baseline_load=_load(run, Phase.BASELINE),
        judgements=judgements_of(run, "judgements"),
        load=_load(run, Phase.CONDITION),
        silent_workers=_silent(run, Phase.CONDITION) + _silent(run, Phase.BASELINE),
        requests=facts.get("requests"),
        effects=run.experiment.condition.effects,
        evidence=facts.get("evidence") or _late_evidence(environment, run),
        slow_before=facts.get("slow_before", {}),
        slow=facts.get("slow", {}),
        settled=facts.get("settled"),
        found_when_disabled=facts.get("found_when_disabled", NEVER if _undone(run) else None),
        recovery=Recovery.model_validate(facts["recovery"]) if "recovery" in facts else None,
        may_stay=run.experiment.condition.stays_if_passed,
    )


def _on_since(run: Run) -> float:
    """When the condition was on for certain; always, if it was on before that could be noted."""
    if "enabled_at" in run.facts:
        return float(run.facts["enabled_at"])
    return -math.inf if run.change and run.change.started else math.inf


def _load(run: Run, phase: Phase) -> LoadReport | None:
    report = run.facts.get(f"{phase}_load")
    return LoadReport.model_validate(report) if report else None


def _silent(run: Run, phase: Phase) -> int:
    """How many workers of a load did not report what they did, where others have."""
    reports = run.facts.get(f"{phase}_reports")
    return 0 if reports is None else run.experiment.plan.workers(phase).parts - int(reports)


def _late_evidence(environment: Environment, run: Run) -> dict[str, float | None] | None:
    """The evidence of a run that ended before its measures were evaluated."""
    facts = run.facts
    if "enabled_at" not in facts or "disabled_at" not in facts:
        return None
    window = Window(start=int(facts["enabled_at"]), end=math.ceil(facts["disabled_at"]))
    return measures.read_evidence(run.experiment, window, environment.cloudwatch)


def roll_back(environment: Environment, event: dict[str, Any]) -> None:
    """Undo from outside of the machine: an alarm rang, the execution ended, the deadline came.

    What fails is tried again while this call lasts; then the caller's own retries follow.

    Raises:
        ValueError: the event is none of the three.
    """
    match event:
        case {"source": "aws.cloudwatch", "resources": [alarm_arn, *_], "detail": detail}:
            road = partial(_guardrail_rang, environment, alarm_arn, detail)
        case {"source": "aws.states", "detail": {"name": _, "status": _, "executionArn": _}}:
            road = partial(_execution_ended, environment, event["detail"])
        case {"run_id": run_id, "reason": StopReason.DEADLINE as reason}:
            road = partial(end_run, environment, run_id, StopReason(reason), DEADLINE_PASSED)
        case _:
            raise ValueError(f"not an event that ends a run: {event}")
    environment.retrying(road)


def _guardrail_rang(environment: Environment, alarm_arn: str, detail: dict[str, Any]) -> None:
    rang_at = datetime.strptime(detail["state"]["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
    reason = f"guardrail {detail['alarmName']!r} rang: {detail['state'].get('reason', '')}"
    run_ids = environment.runs.protected_by(alarm_arn)
    failures = []
    for run_id in run_ids:
        try:
            _end_guarded(environment, run_id, reason, rang_at)
        except Exception as failure:  # the other runs' conditions must go off all the same
            logger.exception("undo failed", run_id=run_id)
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(run_ids)} runs not undone", failures)


def _end_guarded(environment: Environment, run_id: str, reason: str, rang_at: float) -> None:
    run = environment.runs.get(run_id)
    if rang_at < run.started_at:
        return  # a late event: the guardrail was quiet again when the run was armed
    if run.stop_reason is None:
        environment.runs.settle(run_id, guardrail={"reason": reason, "at": rang_at})
    try:
        undo(environment, run_id, StopReason.GUARDRAIL)
    finally:
        _fail_watch(environment, run_id, reason)


def _fail_watch(environment: Environment, run_id: str, reason: str) -> None:
    token = environment.runs.get(run_id).watch_token
    if not token:
        return  # the watch finds the reason in the record when it comes to stand
    try:
        environment.stepfunctions.send_task_failure(
            taskToken=token, error=GuardrailRang.__name__, cause=reason
        )
    except (
        environment.stepfunctions.exceptions.TaskTimedOut,
        environment.stepfunctions.exceptions.TaskDoesNotExist,
        environment.stepfunctions.exceptions.InvalidToken,
    ):
        logger.info("watch was over")


def _execution_ended(environment: Environment, detail: dict[str, Any]) -> None:
    run_id, status = detail["name"], StopReason(detail["status"])
    if environment.runs.bury(run_id, status):
        environment.deadlines.delete(run_id)
        return  # refused, or dead before it armed: now it never will
    if environment.runs.get(run_id).execution_arn != detail["executionArn"]:
        return  # another machine's execution of the same name
    error = {"Error": detail.get("error") or status.value, "Cause": detail.get("cause") or ""}
    _end(environment, run_id, status, error)


def end_run(
    environment: Environment, run_id: str, reason: StopReason, failure: dict[str, str]
) -> None:
    """End a run that should be over, whatever became of it: dead, with nobody told, or hanging.

    Its condition is turned off, its verdict published, its execution stopped if it still runs. One
    that has not armed never will.
    """
    if environment.runs.bury(run_id, reason):
        return
    with suppress(ConfigurationChanged):
        undo(environment, run_id, reason)
    arn = environment.runs.get(run_id).execution_arn
    execution = environment.stepfunctions.describe_execution(executionArn=arn)
    if execution["status"] in (StopReason.FAILED, StopReason.TIMED_OUT, StopReason.ABORTED):
        _execution_ended(environment, {**execution})
        return
    _end(environment, run_id, reason, failure)
    if execution["status"] == "RUNNING":
        environment.stepfunctions.stop_execution(
            executionArn=arn, error=failure["Error"], cause=failure["Cause"]
        )


def _end(
    environment: Environment, run_id: str, reason: StopReason, failure: dict[str, str]
) -> None:
    """Undo and publish for a run that cannot do it itself any more."""
    environment.runs.note(run_id, execution_ended=reason)
    environment.runs.end(run_id)
    with suppress(ConfigurationChanged):  # it is noted, and the verdict tells of it
        undo(environment, run_id, reason)
    publish_verdict(environment, run_id, failure)
