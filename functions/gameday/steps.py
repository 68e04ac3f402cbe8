"""The steps of a run: one function for each working state, and the undo that all roads call."""

import time
from collections.abc import Sequence
from typing import Any

from gameday import guardrails, measures, verdict
from gameday.conditions.appconfig import NEVER
from gameday.environment import Environment
from gameday.errors import (
    ConfigurationChanged,
    GuardrailRang,
    RunRefused,
    WatchNotStanding,
    sentence,
)
from gameday.experiment import Experiment, Phase, parse
from gameday.judge import Findings, Judgement, all_passed, decide, judge_all, judge_recovery
from gameday.observability import logger
from gameday.observations import LoadReport, Reading, Window
from gameday.runs import Run, StopReason

_WATCH_LIMIT_SECONDS = 30.0

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

    Arming locks the target, records how to restore it and sets the deadline.
    """
    experiment = parse(document)
    target, alarms = _examined(environment, experiment)
    started_at = time.time()
    run = Run(
        run_id=run_id,
        execution_arn=execution_arn,
        experiment=experiment,
        target=target,
        guardrail_arns=alarms,
        started_at=started_at,
        deadline=started_at + experiment.plan.deadline_seconds,
    )
    environment.runs.arm(run)
    try:
        environment.deadlines.create(run)
    except Exception:
        environment.runs.disarm(run)
        raise
    logger.info("rollback armed", target=target.lock, deadline=run.deadline)
    return {"deadline": run.deadline}


def _examined(environment: Environment, experiment: Experiment) -> tuple[Any, tuple[str, ...]]:
    reasons: list[str] = []
    found: list[Any] = []
    for examine in (
        lambda: environment.appconfig.examine(experiment.condition),
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
    if environment.runs.get(run_id).stop_reason is StopReason.GUARDRAIL:
        raise GuardrailRang("a guardrail rang before the watch stood")


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
    environment.appconfig.enable(
        run.experiment.condition,
        run.target,
        run_id,
        expires_at=run.deadline,
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
    """Turn the run's condition off and prove it, delete its schedule, free its target.

    Works from the restore record alone; idempotent, so every road may call it, at once or late.
    """
    environment.runs.stop(run_id, reason)
    run = environment.runs.get(run_id)
    if not _proven_off(run):
        _disable(environment, run)
    environment.deadlines.delete(run_id)
    environment.runs.release(run)
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
        environment.appconfig.disable(run.target, run.change, run.run_id, notice)
    except ConfigurationChanged:
        environment.runs.note(run.run_id, found_when_disabled=_REPLACED)
        environment.deadlines.delete(run.run_id)
        environment.runs.release(run)
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
    """Decide, keep and publish the verdict, once for each run."""
    run = environment.runs.get(run_id)
    if published := run.facts.get("published"):
        return dict(published)
    findings = _findings(environment, run, failure)
    event = verdict.detail(run, decide(findings), findings)
    environment.publisher.publish(event, run.execution_arn)
    environment.runs.note(run_id, published=event)
    logger.info("verdict published", verdict=event["verdict"], status=event["status"])
    return event


def _findings(environment: Environment, run: Run, failure: dict[str, str] | None) -> Findings:
    facts = run.facts
    return Findings(
        failure=failure and failure["Error"],
        failure_cause=failure and sentence(failure.get("Cause", "")),
        aborted=facts.get("execution_ended") == StopReason.ABORTED,
        baseline=_judgements(run, "baseline") if "baseline" in facts else None,
        baseline_load=_load(run, Phase.BASELINE),
        judgements=_judgements(run, "judgements") if "judgements" in facts else None,
        load=_load(run, Phase.CONDITION),
        requests=facts.get("requests"),
        evidence=facts.get("evidence") or _late_evidence(environment, run),
        found_when_disabled=facts.get("found_when_disabled"),
    )


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
    """Undo from outside of the machine: an alarm rang, the execution ended, the deadline came."""
    match event:
        case {"source": "aws.cloudwatch", "resources": [alarm_arn, *_], "detail": detail}:
            _guardrail_rang(environment, environment.runs.protected_by(alarm_arn), detail)
        case {"source": "aws.states", "detail": {"name": run_id, "status": status}}:
            _execution_ended(environment, run_id, StopReason(status), event["detail"])
        case {"run_id": run_id, "reason": reason}:
            if environment.runs.find(run_id):
                undo(environment, run_id, StopReason(reason))
        case _:
            raise ValueError(f"not an event that ends a run: {event}")


def _guardrail_rang(
    environment: Environment, run_ids: Sequence[str], detail: dict[str, Any]
) -> None:
    reason = f"guardrail {detail['alarmName']!r} rang: {detail['state'].get('reason', '')}"
    failures = []
    for run_id in run_ids:
        try:
            undo(environment, run_id, StopReason.GUARDRAIL)
            _fail_watch(environment, run_id, reason)
        except Exception as failure:  # the other runs' conditions must go off all the same
            logger.exception("undo failed", run_id=run_id)
            failures.append(failure)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(run_ids)} runs not undone", failures)


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


def _execution_ended(
    environment: Environment, run_id: str, status: StopReason, detail: dict[str, Any]
) -> None:
    run = environment.runs.find(run_id)
    if run is None or run.execution_arn != detail["executionArn"]:
        return  # refused before it armed, or another machine's execution of the same name
    environment.runs.note(run_id, execution_ended=status)
    undo(environment, run_id, status)
    error = {"Error": detail.get("error") or status.value, "Cause": detail.get("cause") or ""}
    publish_verdict(environment, run_id, error)
