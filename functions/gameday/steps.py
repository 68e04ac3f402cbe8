"""The steps of a run: one function for each working state, and the undo that all roads call."""

import math
import time
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from gameday import guardrails, measures, verdict
from gameday.conditions.kind import NEVER
from gameday.environment import Environment
from gameday.errors import (
    ConfigurationChanged,
    DeadlinePassed,
    GuardrailRang,
    RunRefused,
    RunStopped,
    WatchNotStanding,
    sentence,
)
from gameday.experiment import Experiment, Phase, parse
from gameday.judge import Findings, Judgement, all_passed, decide, judge_all, judge_recovery
from gameday.observability import logger
from gameday.observations import LoadReport, Reading, Window
from gameday.runs import Run, StopReason

_WATCH_LIMIT_SECONDS = 30.0

DEADLINE_PASSED = {
    "Error": DeadlinePassed.__name__,
    "Cause": "the run was not over by its deadline",
}

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
        environment.deadlines.delete(run_id)
        raise
    for warning in experiment.condition.warnings:
        logger.warning("condition warns", warning=warning)
    logger.info("rollback armed", target=target.lock, deadline=run.deadline)
    return {"deadline": run.deadline}


def _examined(environment: Environment, experiment: Experiment) -> tuple[Any, tuple[str, ...]]:
    condition = experiment.condition
    reasons = list(condition.reach.beyond(environment.ceilings))
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


def generate_load(environment: Environment, run_id: str, phase: Phase) -> None:
    """Generate the load of one phase, until its window has ended or the run was stopped."""
    # Imported here: only this step needs an HTTP client, and each pays at its cold start.
    from gameday import load

    run = environment.runs.get(run_id)
    experiment, windows = run.experiment, run.experiment.windows
    runs = environment.runs
    warm_up, seconds, stopped = {
        Phase.BASELINE: (experiment.load.warm_up_seconds, windows.baseline_seconds, runs.stopped),
        Phase.CONDITION: (
            experiment.plan.condition_warm_up_seconds,
            windows.condition_seconds,
            runs.stopped,
        ),
        # By then the run has been told to go no further, and only its end stops the load.
        Phase.RECOVERY: (0, windows.recovery_seconds, runs.ended),
    }[phase]
    report = load.generate_load(
        experiment.load,
        experiment=experiment.name,
        phase=phase,
        warm_up_seconds=warm_up,
        window_seconds=seconds,
        stopped=lambda: stopped(run_id),
        cloudwatch=environment.cloudwatch,
        run_id=run_id,
        # Recovery is read in slices: seconds need not fit into a minute, only minutes into theirs.
        one_period=phase is not Phase.RECOVERY or seconds % 60 == 0,
    )
    environment.runs.note(run_id, **{f"{phase}_load": report.model_dump(mode="json")})
    logger.info("load generated", phase=phase, report=report.model_dump())


def snapshot_baseline(environment: Environment, run_id: str) -> dict[str, Any]:
    """Judge the measures before anything is injected: the objective must be met now."""
    run = environment.runs.get(run_id)
    reading = _read(environment, run, Phase.BASELINE)
    baseline = judge_all(run.experiment, reading.observations)
    environment.runs.note(run_id, baseline=[j.model_dump(mode="json") for j in baseline])
    return {"steady": all_passed(baseline)}


def _read(environment: Environment, run: Run, phase: Phase) -> Reading:
    return measures.read(run.experiment, phase, _window(run, phase), environment.cloudwatch)


def _window(run: Run, phase: Phase) -> Window:
    return LoadReport.model_validate(run.facts[f"{phase}_load"]).window


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


def evaluate_measures(environment: Environment, run_id: str) -> None:
    """Judge the measures under the condition, and read the evidence for it."""
    run = environment.runs.get(run_id)
    reading = _read(environment, run, Phase.CONDITION)
    baseline = _judgements(run, "baseline")
    judgements = judge_all(run.experiment, reading.observations, baseline)
    environment.runs.note(
        run_id,
        judgements=[j.model_dump(mode="json") for j in judgements],
        evidence=dict(reading.evidence),
        requests=reading.requests,
    )


def _judgements(run: Run, name: str) -> tuple[Judgement, ...]:
    return tuple(Judgement.model_validate(j) for j in run.facts.get(name) or ())


def disable_condition(environment: Environment, run_id: str) -> dict[str, Any]:
    """Undo the run in its own execution: the only way out of it."""
    undo(environment, run_id, StopReason.FINISHED)
    return {"was_on": "enabled_at" in environment.runs.get(run_id).facts}


def undo(environment: Environment, run_id: str, reason: StopReason) -> None:
    """Stop the run, turn its condition off and prove it.

    Works from the restore record alone; idempotent, so every road may call it, at once or late.
    The target stays locked until the run is over, verdict included.
    """
    environment.runs.stop(run_id, reason)
    run = environment.runs.get(run_id)
    if not _proven_off(run):
        _disable(environment, run)
    environment.runs.unguard(run)
    logger.info("condition off", reason=reason)


def _proven_off(run: Run) -> bool:
    """Whether there is nothing left to undo: by now the target may be another run's."""
    found = run.facts.get("found_when_disabled")
    # Where nothing was found on, a deployment may have started since.
    return found == _REPLACED or ("disabled_at" in run.facts and found != NEVER)


def _disable(environment: Environment, run: Run) -> None:
    def notice(found: str) -> None:
        if run.facts.get("found_when_disabled") in (None, NEVER):
            environment.runs.note(run.run_id, found_when_disabled=found)

    try:
        kind = environment.kind(run.experiment.condition)
        kind.disable(run.target, run.change, run.run_id, notice)
    except ConfigurationChanged as changed:
        environment.runs.note(run.run_id, found_when_disabled=_REPLACED, replaced=str(changed))
        raise
    environment.runs.note(run.run_id, disabled_at=time.time())


def confirm_recovery(environment: Environment, run_id: str) -> None:
    """Judge whether the system is back, and since when."""
    run = environment.runs.get(run_id)
    slices = measures.read_slices(
        run.experiment,
        Phase.RECOVERY,
        _window(run, Phase.RECOVERY),
        environment.cloudwatch,
    )
    recovery = judge_recovery(run.experiment, slices, run.facts["disabled_at"])
    environment.runs.note(run_id, recovery=recovery.model_dump())


def publish_verdict(
    environment: Environment, run_id: str, failure: dict[str, str] | None
) -> dict[str, Any]:
    """Decide, keep and publish the verdict, once for each run; then the run is over.

    Whoever comes first decides; everybody sends what was decided, unless it was sent.
    """
    run = environment.runs.get(run_id)
    event = run.facts.get("verdict")
    if event is None:
        findings = _findings(environment, run, failure)
        decided = verdict.detail(run, decide(findings), findings)
        event = environment.runs.settle(run_id, verdict=decided)["verdict"]
    with environment.runs.sending(run_id, "bus") as due:
        if due:
            environment.publisher.to_bus(event, run.execution_arn)
    with environment.runs.sending(run_id, "topic") as due:
        if due:
            environment.publisher.to_topic(event)
    environment.runs.release(run)
    environment.deadlines.delete(run_id)  # last: until here it would end the run
    logger.info("verdict published", verdict=event["verdict"], status=event["status"])
    return dict(event)


def _findings(environment: Environment, run: Run, failure: dict[str, str] | None) -> Findings:
    facts = run.facts
    guardrail = facts.get("guardrail")
    if guardrail:  # whatever ended the execution after it
        failure = {"Error": GuardrailRang.__name__, "Cause": guardrail["reason"]}
    return Findings(
        failure=failure and failure["Error"],
        failure_cause=failure and sentence(failure.get("Cause", "")),
        blamed=(guardrail["at"] if guardrail else time.time()) >= _on_since(run),
        replaced=facts.get("replaced"),
        aborted=facts.get("execution_ended") == StopReason.ABORTED,
        baseline=_judgements(run, "baseline") if "baseline" in facts else None,
        baseline_load=_load(run, Phase.BASELINE),
        judgements=_judgements(run, "judgements") if "judgements" in facts else None,
        load=_load(run, Phase.CONDITION),
        requests=facts.get("requests"),
        evidence=facts.get("evidence") or _late_evidence(environment, run),
        found_when_disabled=facts.get("found_when_disabled"),
    )


def _on_since(run: Run) -> float:
    """When the condition was on for certain; always, if it was on before that could be noted."""
    if "enabled_at" in run.facts:
        return float(run.facts["enabled_at"])
    return -math.inf if run.change and run.change.started else math.inf


def _load(run: Run, phase: Phase) -> LoadReport | None:
    report = run.facts.get(f"{phase}_load")
    return LoadReport.model_validate(report) if report else None


def _late_evidence(environment: Environment, run: Run) -> dict[str, float | None] | None:
    """The evidence of a run that ended before its measures were evaluated."""
    facts = run.facts
    if "enabled_at" not in facts or "disabled_at" not in facts:
        return None
    minutes = -(-int(facts["disabled_at"]) // 60) * 60
    window = Window(start=int(facts["enabled_at"]), end=minutes)
    return dict(
        measures.read(run.experiment, Phase.CONDITION, window, environment.cloudwatch).evidence
    )


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
    with suppress(ConfigurationChanged):  # it is noted, and the verdict tells of it
        undo(environment, run_id, reason)
    publish_verdict(environment, run_id, failure)
