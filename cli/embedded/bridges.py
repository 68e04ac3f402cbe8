"""What the emulator does differently from AWS, made right: one bridge for each difference.

Each bridge says what differs and replaces the emulator's internals by name; a name that is gone
stops the server.
"""

from __future__ import annotations

import contextvars
import copy
import functools
import importlib.util
import io
import json
import math
import os
import queue
import random
import re
import shlex
import sys
import tempfile
import threading
import time
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from ministack.core import iam_actions, lambda_runtime, responses
from ministack.services import apigateway_v1, appconfig, eventbridge, lambda_svc, sns, sqs
from ministack.services import cloudwatch as metrics
from ministack.services import cloudwatch_logs as logs
from ministack.services import stepfunctions as states
from ministack.services.cloudformation import provisioners

from cli.embedded import cloudwatch, metric_math
from cli.embedded.cloudwatch import AlarmState

ALARM_INTERVAL_SECONDS = 1.0
LOG_LIMIT_SECONDS = 0.25
_WORKER_SITE = Path(__file__).with_name("worker_site")

# The emulator's values are untyped: requests, responses and records of any shape.
type Json = Any


class BridgeError(RuntimeError):
    """Raised when what a bridge replaces is not in the emulator: it is another version."""


def install() -> None:
    """Install every bridge; raises BridgeError when one does not fit."""
    for bridge in (
        parallel,
        maps,
        history_of_branches,
        stop_and_deadline,
        start_twice,
        task_tokens,
        retry_delays,
        jsonata_fields,
        metrics_are_kept,
        alarms,
        alarm_state_change,
        get_metric_data,
        queue_depth,
        deployed_version,
        newest_deployments_first,
        failed_invocation,
        log_lines,
        lambda_metrics,
        embedded_metric_format,
        metric_filters,
        asynchronous_invocation,
        throttling,
        dead_letters,
        runtime_libraries,
        layers,
        api_gateway,
        authorization,
        reserved_concurrency,
        configuration_retrieval,
        topic_policy,
        host_names,
    ):
        bridge()


def _replace(owner: Json, name: str) -> Callable[[Callable[..., Json]], None]:
    """Make the decorated function `owner.name`; its first argument is what it replaces."""
    original = _existing(owner, name)

    def decorate(replacement: Callable[..., Json]) -> None:
        @functools.wraps(original)
        def bridged(*args: Json, **kwargs: Json) -> Json:
            return replacement(original, *args, **kwargs)

        setattr(owner, name, bridged)

    return decorate


def _existing(owner: Json, name: str) -> Json:
    if not hasattr(owner, name):
        raise BridgeError(
            f"{owner.__name__}.{name} is gone: this is not the emulator bridged here."
        )
    return getattr(owner, name)


def _edit(name: str, *edits: tuple[str, str]) -> None:
    """Edit the source of a Lambda worker, `lambda_runtime.name`: each old text is there once."""
    script = _existing(lambda_runtime, name)
    for old, new in edits:
        if script.count(old) != 1:
            raise BridgeError(
                f"{name} has no single `{old}`: this is not the emulator bridged here."
            )
        script = script.replace(old, new)
    setattr(lambda_runtime, name, script)


# --- Step Functions -------------------------------------------------------------------------------


class _Scope:
    """Something that runs until it is cancelled: an execution, or one attempt of a Parallel."""

    def __init__(self, parent: _Scope | None = None) -> None:
        self.cancelled = False
        self._hooks: list[Callable[[], object]] = []
        if parent:
            parent.on_cancel(self.cancel)

    def on_cancel(self, hook: Callable[[], object]) -> None:
        """Call `hook` when cancelled; at once if that has happened. It may be called twice."""
        self._hooks.append(hook)
        if self.cancelled:
            hook()

    def cancel(self) -> None:
        """Keep everything inside from starting another state."""
        self.cancelled = True
        for hook in self._hooks:
            hook()


_scope: contextvars.ContextVar[_Scope | None] = contextvars.ContextVar("_scope", default=None)
_callback: contextvars.ContextVar[str | None] = contextvars.ContextVar("_callback", default=None)
_executions: dict[str, _Scope] = {}


def parallel() -> None:
    """The first failure fails a Parallel at once.

    The emulator waits for every branch and then reports the first error in the list of branches;
    it shares variables between branches and their parent; it ignores the JSONata fields Arguments,
    Output and Assign of a Parallel. On AWS the first failure in time is the error and cancels the
    other branches, whose variables are their own.
    """

    @_replace(states, "_run_parallel_branches")
    def run(_: Json, state: Json, data: Json, execution: Json, ctx: Json) -> Json:
        data_of_each = _parallel_input(state, data, ctx)
        own = [ctx | {"variables": dict(ctx["variables"])} for _ in state["Branches"]]
        results = _results(
            [
                (branch, data_of_each, execution, context)
                for branch, context in zip(state["Branches"], own, strict=True)
            ]
        )
        return _parallel_output(state, data, ctx, results), states._next_or_end(state)

    @_replace(states, "_add_event")
    def add_event(original: Json, execution: Json, kind: str, details: Json = None) -> Json:
        # Every state and every attempt of a task begins and ends with an event: the place to end
        # a cancelled thread. SystemExit passes the emulator's handlers and ends it silently.
        scope = _scope.get()
        if scope and scope.cancelled and not kind.startswith("Execution"):
            raise SystemExit
        return original(execution, kind, details)


def _parallel_input(state: Json, data: Json, ctx: Json) -> Json:
    if states._state_query_language(state, ctx) == "JSONata":
        return states._apply_jsonata_arguments(state, data, ctx)
    return states._apply_parameters(state, states._apply_input_path(state, data, ctx), ctx)


def _parallel_output(state: Json, data: Json, ctx: Json, results: Json) -> Json:
    if states._state_query_language(state, ctx) == "JSONata":
        output = states._apply_jsonata_output(state, data, ctx, result=results, default=results)
        states._apply_state_assign(state, data, ctx, result=results)
        return output
    selected = states._apply_result_selector(state, results)
    return states._apply_output_path(state, states._apply_result_path(state, data, selected), ctx)


def _results(jobs: list[tuple[Json, Json, Json, Json]]) -> list[Json]:
    """Run machines at once, each with its data, execution and context.

    Raises the error of the one that failed first, without waiting for more.
    """
    scope = _Scope(_scope.get())
    outcomes: queue.SimpleQueue[tuple[int, Json, Exception | None] | None] = queue.SimpleQueue()
    scope.on_cancel(lambda: outcomes.put(None))
    results = [None] * len(jobs)
    for index, job in enumerate(jobs):
        run = functools.partial(_run_job, scope, outcomes, index, *job)
        threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    for _ in jobs:
        outcome = outcomes.get()
        if outcome is None:  # the whole was cancelled from outside
            raise SystemExit
        index, results[index], error = outcome
        if error:
            scope.cancel()
            raise error
    return results


def _run_job(
    scope: _Scope,
    outcomes: queue.SimpleQueue[tuple[int, Json, Exception | None] | None],
    index: int,
    machine: Json,
    data: Json,
    execution: Json,
    ctx: Json,
) -> None:
    _scope.set(scope)
    try:
        inside, first = machine["States"], machine["StartAt"]
        result = states._run_sub_machine(inside, first, data, execution, ctx)
        outcomes.put((index, result, None))
    except states._ExecutionError as error:
        outcomes.put((index, None, error))
    except Exception as error:
        outcomes.put((index, None, states._ExecutionError("States.Runtime", str(error))))


def maps() -> None:
    """The first item that fails fails a Map at once; a Distributed Map knows JSONata.

    The emulator waits for every item and then reports the first error in their list. In a
    Distributed Map it ignores Items and ItemSelector in JSONata, and lets the items read the
    variables of the execution around it, whose history they are no part of.
    """

    @_replace(states, "_run_map_items")
    def run(original: Json, state: Json, data: Json, execution: Json, ctx: Json) -> Json:
        if states._state_query_language(state, ctx) != "JSONata":
            return original(state, data, execution, ctx)
        items = states._jsonata_state_field(state, "Items", "array", data, ctx)
        processor = state["ItemProcessor"]
        distributed = processor.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
        jobs = []
        for index, item in enumerate(items):
            own = ctx | {"Map": {"Item": {"Index": index, "Value": item}}}
            selector = state.get("ItemSelector", "{% $states.context.Map.Item.Value %}")
            selected = states._apply_jsonata_template(selector, data, own)
            own |= {"variables": {} if distributed else dict(ctx["variables"])}
            of = execution | {"events": []} if distributed else execution
            jobs.append((processor, selected, of, own))
        try:
            results = _results(jobs)
        except states._ExecutionError as error:
            if not distributed:
                raise
            raise states._ExecutionError(
                "States.ExceedToleratedFailureThreshold", error.cause
            ) from error
        output = states._apply_jsonata_output(state, data, ctx, result=results, default=results)
        states._apply_state_assign(state, data, ctx, result=results)
        return output, states._next_or_end(state)


def history_of_branches() -> None:
    """The states of branches and of Map items are in the history.

    The emulator records that a state was entered and left only at the top level.
    """

    @_replace(states, "_run_sub_machine")
    def run(_: Json, machine: Json, start_at: str, data: Json, execution: Json, ctx: Json) -> Json:
        name, data = start_at, copy.deepcopy(data)
        while name:
            state = machine[name]
            kind = state["Type"]
            ctx["State"] = {"Name": name, "EnteredTime": states.now_iso(), "RetryCount": 0}
            entered = {"name": name, "input": json.dumps(data)}
            states._add_event(
                execution, f"{kind}StateEntered", {"stateEnteredEventDetails": entered}
            )
            data, following = _run_state(state, data, execution, ctx)
            left = {"name": name, "output": json.dumps(data)}
            states._add_event(execution, f"{kind}StateExited", {"stateExitedEventDetails": left})
            name = following
        return data


def _run_state(state: Json, data: Json, execution: Json, ctx: Json) -> Json:
    kind = state["Type"]
    if kind == "Fail":
        raise states._ExecutionError(*states._fail_state_error(state, data, ctx))
    if kind == "Succeed":
        selected = states._apply_input_path(state, data, ctx)
        return states._apply_output_path(state, selected, ctx), None
    run = _existing(states, f"_execute_{kind.lower()}")
    if kind in ("Task", "Parallel", "Map"):
        return run(state, data, execution, ctx)
    return run(state, data, ctx)


def stop_and_deadline() -> None:
    """StopExecution and the machine's TimeoutSeconds end an execution.

    In the emulator the branches of a stopped execution go on to their last state, an error in it
    turns ABORTED into FAILED, and TimeoutSeconds of a machine never fires.
    """

    @_replace(states, "_run_execution")
    def run(original: Json, arn: str) -> None:
        execution = states._executions[arn]
        scope = _executions[arn] = _Scope()
        token = _scope.set(scope)
        deadline = _start_deadline(execution, scope)
        try:
            original(arn)
        finally:
            deadline.cancel()
            _scope.reset(token)
            _executions.pop(arn, None)

    @_replace(states, "_stop_execution")
    def stop(original: Json, request: Json) -> Json:
        response = original(request)
        scope = _executions.get(request.get("executionArn"))
        if scope and response[0] == 200:
            scope.cancel()
        return response

    @_replace(states, "_fail_execution")
    def fail(original: Json, execution: Json, *error: Json) -> None:
        if execution["status"] == "RUNNING":
            original(execution, *error)


def _start_deadline(execution: Json, scope: _Scope) -> threading.Timer:
    machine = states._state_machines.get(execution["stateMachineArn"]) or {"definition": "{}"}
    seconds = json.loads(machine["definition"]).get("TimeoutSeconds", threading.TIMEOUT_MAX)
    run = contextvars.copy_context().run
    timer = threading.Timer(seconds, run, (_time_out, execution, scope))
    timer.daemon = True
    timer.start()
    return timer


def _time_out(execution: Json, scope: _Scope) -> None:
    if execution["status"] != "RUNNING":
        return
    execution.update(status="TIMED_OUT", stopDate=states.now_iso())
    states._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
    scope.cancel()
    states._emit_execution_status_event(execution)


def start_twice() -> None:
    """Starting an execution again that runs, by name and input, is the same execution.

    The emulator refuses every name that it has seen. Source: API_StartExecution.
    """

    @_replace(states, "_start_execution")
    def start(original: Json, request: Json) -> Json:
        machine = states._state_machines.get(request.get("stateMachineArn"))
        if machine and "name" in request:
            arn = machine["stateMachineArn"].replace(":stateMachine:", ":execution:")
            running = states._executions.get(f"{arn}:{request['name']}") or {}
            same = running.get("input") == request.get("input", "{}")
            if same and running["status"] == "RUNNING":
                return responses.json_response(
                    {"executionArn": running["executionArn"], "startDate": running["startDate"]}
                )
        return original(request)


def task_tokens() -> None:
    """A task token ends with its task.

    The emulator swallows the error of a Lambda function that was to receive a token and waits on
    (AWS fails the task with it), keeps the tokens of cancelled branches and stopped executions
    valid, and answers TaskDoesNotExist for a token whose task has ended (AWS: TaskTimedOut).
    """

    @_replace(states, "_invoke_with_callback")
    def wait(original: Json, resource: str, data: Json, token: str, state: Json) -> Json:
        if scope := _scope.get():
            scope.on_cancel(lambda: _drop_token(token))
        reset = _callback.set(token)
        try:
            return original(resource, data, token, state)
        finally:
            _callback.reset(reset)

    @_replace(states, "_call_lambda")
    def call(original: Json, *args: Json) -> Json:
        try:
            return original(*args)
        except states._ExecutionError as error:
            if waiting := states._task_tokens.get(_callback.get()):
                waiting["error"] = {"Error": error.error, "Cause": error.cause}
                waiting["event"].set()
            raise

    for name in ("_send_task_success", "_send_task_failure", "_send_task_heartbeat"):
        _replace(states, name)(_answer_token)


def _answer_token(original: Json, request: Json) -> Json:
    token = request.get("taskToken", "")
    if token in states._task_tokens:
        return original(request)
    try:
        UUID(token)
    except ValueError:
        return responses.error_response_json("InvalidToken", f"Invalid Token: '{token}'", 400)
    message = "Task Timed Out: 'Provided task does not exist anymore'"
    return responses.error_response_json("TaskTimedOut", message, 400)


def _drop_token(token: str) -> None:
    if waiting := states._task_tokens.pop(token, None):
        waiting["event"].set()


def retry_delays() -> None:
    """A retry waits at most MaxDelaySeconds, and anything up to its delay with full jitter.

    The emulator knows neither field. Source: step-functions/latest/dg/concepts-error-handling.html.
    """

    @_replace(states, "_find_matching_retrier")
    def find(original: Json, retriers: Json, error: str, retry_counts: Json) -> Json:
        retrier, index = original(retriers, error, retry_counts)
        if retrier is None:
            return None, index
        backoff = retrier.get("BackoffRate", 2.0) ** retry_counts.get(index, 0)
        seconds = min(
            retrier.get("IntervalSeconds", 1) * backoff, retrier.get("MaxDelaySeconds", math.inf)
        )
        if retrier.get("JitterStrategy") == "FULL":
            seconds *= random.random()  # noqa: S311 - nothing secret
        return retrier | {"IntervalSeconds": seconds, "BackoffRate": 1}, index


def jsonata_fields() -> None:
    """JSONata is evaluated in every field that may hold it.

    The emulator takes a task's TimeoutSeconds literally, and ignores the Output of a Succeed state
    and of a Choice state's default.
    """

    @_replace(states, "_execute_task")
    def task(original: Json, state: Json, data: Json, execution: Json, ctx: Json) -> Json:
        if isinstance(state.get("TimeoutSeconds"), str):
            seconds = states._jsonata_state_field(state, "TimeoutSeconds", "number", data, ctx)
            state = state | {"TimeoutSeconds": seconds}
        return original(state, data, execution, ctx)

    @_replace(states, "_apply_output_path")
    def output(original: Json, state: Json, data: Json, ctx: Json = None) -> Json:
        if states._state_query_language(state, ctx) == "JSONata":
            return states._apply_jsonata_output(state, data, ctx, default=data)
        return original(state, data, ctx)

    @_replace(states, "_execute_choice")
    def choice(original: Json, state: Json, data: Json, ctx: Json = None) -> Json:
        if "Default" in state and states._state_query_language(state, ctx) == "JSONata":
            default = {name: state[name] for name in ("Output", "Assign") if name in state}
            default |= {"Condition": True, "Next": state["Default"]}
            state = state | {"Choices": [*state["Choices"], default]}
        return original(state, data, ctx)


# --- CloudWatch -----------------------------------------------------------------------------------


def metrics_are_kept() -> None:
    """No datum is lost.

    Before each request the emulator makes all lists of data anew, without what is older than two
    weeks: what another thread appends meanwhile is gone. No embedded AWS runs for so long.
    """
    _replace(metrics, "_evict_old_metrics")(lambda _: None)


def alarms() -> None:
    """Alarms are evaluated by themselves, each on its own metric.

    The emulator evaluates when data or an alarm is put, over all dimension sets of a metric name
    together, and knows neither DatapointsToAlarm nor missing data. Here every alarm is evaluated
    each second, over periods that end now rather than on the clock, so that a local experiment
    sees an alarm seconds after its cause.
    """
    for name in ("_evaluate_all_alarms", "_evaluate_alarm"):
        _replace(metrics, name)(lambda *_: None)
    threading.Thread(target=_evaluate_alarms_forever, daemon=True).start()


def _evaluate_alarms_forever() -> None:
    while True:
        time.sleep(ALARM_INTERVAL_SECONDS)
        for (account, region, _), alarm in metrics._alarms.all_items():
            responses.set_request_account_id(account)
            responses.set_request_region(region)
            try:
                _evaluate_alarm(alarm)
            except Exception:
                metrics.logger.exception("alarm %s could not be evaluated", alarm["AlarmName"])


def _evaluate_alarm(alarm: Json) -> None:
    periods = int(alarm.get("EvaluationPeriods") or 1)
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    values = _recent_values(alarm, periods, time.time())
    state = cloudwatch.alarm_state(
        values,
        comparison=alarm["ComparisonOperator"],
        threshold=alarm["Threshold"],
        datapoints_to_alarm=needed,
        treat_missing=alarm.get("TreatMissingData") or "missing",
    )
    if state and state != alarm["StateValue"]:
        present = [value for value in values if value is not None]
        reason = (
            f"Threshold Crossed: {len(present)} out of the last {periods} datapoints {present} "
            f"against the threshold ({alarm['Threshold']}), {alarm['ComparisonOperator']} "
            f"(minimum {needed} for ALARM)."
        )
        _move_alarm(alarm, state, reason, {"recentDatapoints": present})


def _recent_values(alarm: Json, periods: int, now: float) -> list[float | None]:
    """Return the alarm's statistic in each of its periods, the newest first."""
    key = metrics._dims_key(metrics._dims_from_list(alarm.get("Dimensions") or []))
    points = metrics._metrics.get((alarm["Namespace"], alarm["MetricName"], key)) or []
    if alarm.get("Unit"):
        points = [point for point in points if point["Unit"] == alarm["Unit"]]
    seconds = int(alarm["Period"])
    ends = [now - seconds * age for age in range(periods)]
    return [
        _value(
            alarm.get("ExtendedStatistic") or alarm["Statistic"],
            [point for point in points if end - seconds < point["Timestamp"] <= end],
        )
        for end in ends
    ]


def _move_alarm(alarm: Json, state: AlarmState, reason: str, data: Json) -> None:
    old, now = alarm["StateValue"], int(time.time())
    alarm |= {
        "StateValue": str(state),
        "StateReason": reason,
        "StateReasonData": json.dumps({"version": "1.0"} | data),
        "StateUpdatedTimestamp": now,
        "StateTransitionedTimestamp": now,
    }
    metrics._record_history(alarm["AlarmName"], old, str(state), reason)
    metrics._dispatch_alarm_actions(alarm, old, str(state), reason)
    metrics._evaluate_parent_alarms(alarm)


def alarm_state_change() -> None:
    """Every change of an alarm's state is an event on the default bus.

    The emulator only runs SNS actions. Source of the event's form:
    AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html.
    """
    last: dict[str, Json] = {}

    @_replace(metrics, "_record_history")
    def record(original: Json, name: str, old: str, new: str, *args: Json, **kwargs: Json) -> None:
        original(name, old, new, *args, **kwargs)
        if old == new:  # the alarm was created
            return
        alarm = metrics._alarms.get(name) or metrics._composite_alarms[name]
        arn, state = alarm["AlarmArn"], _state_detail(alarm)
        previous = last.get(arn) or {"value": old, "timestamp": state["timestamp"]}
        last[arn] = state
        detail = {
            "alarmName": name,
            "state": state,
            "previousState": previous | {"value": old},
            "configuration": _configuration_detail(alarm),
        }
        entry = {
            "Source": "aws.cloudwatch",
            "DetailType": "CloudWatch Alarm State Change",
            "Resources": [arn],
            "Detail": json.dumps(detail),
        }
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _state_detail(alarm: Json) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")
    state = {"value": alarm["StateValue"], "reason": alarm["StateReason"], "timestamp": now}
    data = alarm.get("StateReasonData")
    return state | ({"reasonData": data} if data else {})


def _configuration_detail(alarm: Json) -> Json:
    description = {"description": alarm["AlarmDescription"]} if alarm["AlarmDescription"] else {}
    if "AlarmRule" in alarm:
        return description | {"alarmRule": alarm["AlarmRule"]}
    metric = {
        "namespace": alarm["Namespace"],
        "name": alarm["MetricName"],
        "dimensions": metrics._dims_from_list(alarm.get("Dimensions") or []),
    }
    statistic = alarm.get("ExtendedStatistic") or alarm["Statistic"]
    stat = {"metric": metric, "period": alarm["Period"], "stat": statistic}
    return description | {"metrics": [{"id": str(uuid4()), "metricStat": stat, "returnData": True}]}


def get_metric_data() -> None:
    """GetMetricData answers what was asked, or an error.

    The emulator answers the Average for a statistic that it does not know, sums all dimension sets
    when none is named, ignores ScanBy, and cuts buckets on multiples of the period; an expression
    is an empty result. On AWS no dimensions means the metric without dimensions, the newest comes
    first by default, buckets start at StartTime, EndTime is exclusive, and expressions are
    evaluated.
    Source: AmazonCloudWatch/latest/APIReference/API_GetMetricData.html.
    """

    @_replace(metrics, "_get_metric_data")
    def get(_: Json, __: Json, request: Json, is_cbor: bool, is_json: bool = False) -> Json:
        try:
            results = list(_metric_data_results(request))
        except ValueError as error:
            return metrics._error("ValidationError", str(error), 400, is_json, is_cbor)
        if is_cbor:
            encoded = [metrics._cbor_metric_data_result(result) for result in results]
            return metrics._cbor_ok({"MetricDataResults": encoded})
        return metrics._json_ok({"MetricDataResults": results})


def _metric_data_results(request: Json) -> Iterator[Json]:
    if not request:
        raise ValueError("The embedded AWS takes GetMetricData as CBOR or JSON only.")
    start, end = (metrics._parse_ts(request[name]) for name in ("StartTime", "EndTime"))
    if start >= end:
        raise ValueError("The parameter StartTime must be less than the parameter EndTime.")
    newest_first = request.get("ScanBy", "TimestampDescending") == "TimestampDescending"
    queries = {query["Id"]: query for query in request["MetricDataQueries"]}
    if len(queries) < len(request["MetricDataQueries"]):
        raise ValueError("The values for parameter id in MetricDataQueries are not unique.")
    for query in queries.values():
        _check_query(query)
    found: dict[str, tuple[int, Mapping[int, float]]] = {}
    for key, query in queries.items():
        _, points = _points_of(key, queries, start, end, found)
        if query.get("ReturnData", True):
            values = sorted(points.items(), reverse=newest_first)
            yield {
                "Id": key,
                "Label": query.get("Label") or _label(query),
                "Timestamps": [metrics._ts_iso(timestamp) for timestamp, _ in values],
                "Values": [value for _, value in values],
                "StatusCode": "Complete",
            }


def _label(query: Json) -> str:
    return str(
        query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"]
    )


def _points_of(
    key: str,
    queries: Mapping[str, Json],
    start: float,
    end: float,
    found: dict[str, tuple[int, Mapping[int, float]]],
) -> tuple[int, Mapping[int, float]]:
    """The period and the points of a query; an expression's from those that it names."""
    if key not in queries:
        raise ValueError(f"Undefined variable {key} in an expression.")
    query = queries[key]
    if key not in found and "MetricStat" in query:
        stat = query["MetricStat"]
        found[key] = stat["Period"], dict(_bucket_values(stat, start, end))
    elif key not in found:
        text = query["Expression"]
        used = [name for name in metric_math.names(text) if name[:1].islower()]
        if not used or key in used:
            raise ValueError(f"Error in expression {text!r}: it must name other metrics.")
        series = {name: _points_of(name, queries, start, end, found) for name in used}
        period = max(period for period, _ in series.values())
        points = {name: points for name, (_, points) in series.items()}
        found[key] = period, metric_math.evaluate(text, points, period)
    return found[key]


def _check_query(query: Json) -> None:
    if not re.fullmatch(r"[a-z]\w*", query["Id"]):
        raise ValueError(
            f"The value {query['Id']} for parameter Id is not matching the expression."
        )
    if ("MetricStat" in query) == ("Expression" in query):
        raise ValueError("A query has either a MetricStat or an Expression.")
    if "Expression" in query:
        return
    stat = query["MetricStat"]
    if not cloudwatch.is_statistic(stat["Stat"]):
        raise ValueError(f"The value {stat['Stat']} for parameter Stat is not supported.")
    if not cloudwatch.is_period(stat["Period"]):
        raise ValueError(f"The value {stat['Period']} for parameter Period is not supported.")


def _bucket_values(stat: Json, start: float, end: float) -> Iterator[tuple[int, float]]:
    metric, period = stat["Metric"], stat["Period"]
    key = metrics._dims_key(metrics._dims_from_list(metric.get("Dimensions") or []))
    first = cloudwatch.first_bucket(start, period)
    buckets: dict[int, list[Json]] = {}
    for point in metrics._metrics.get((metric["Namespace"], metric["MetricName"], key)) or []:
        if first <= point["Timestamp"] < end and stat.get("Unit", point["Unit"]) == point["Unit"]:
            bucket = first + int((point["Timestamp"] - first) // period) * period
            buckets.setdefault(bucket, []).append(point)
    for timestamp, points in buckets.items():
        value = _value(stat["Stat"], points)
        if value is not None:
            yield timestamp, value


def _value(statistic: str, points: list[Json]) -> float | None:
    """Compute one statistic of stored points; None when they do not have it."""
    basic = metrics._calc_stats(points)
    if not basic:
        return None
    if not cloudwatch.is_range(statistic):
        value: float | None = metrics._stat_value(basic, statistic, points)
        return value
    samples = metrics._percentile_samples(points)
    return cloudwatch.range_statistic(statistic, samples) if samples else None


def _record(
    namespace: str,
    dimensions: Mapping[str, str],
    values: Mapping[str, tuple[Json, str]],
    timestamp: float,
) -> None:
    """Store metrics {name: (value or list of values, unit)} for one dimension set."""
    for name, (value, unit) in values.items():
        several = value if isinstance(value, list) else [value]
        metrics._store_datum(
            namespace, name, dict(dimensions), timestamp, unit, None, several, None, None
        )


def queue_depth() -> None:
    """How many messages wait in a queue is a metric.

    The emulator publishes none for SQS; on AWS it is there each minute (AWS/SQS
    ApproximateNumberOfMessagesVisible), here every second while something waits.
    """
    _existing(sqs, "_refresh_counts")
    threading.Thread(target=_record_queue_depths_forever, daemon=True).start()


def _record_queue_depths_forever() -> None:
    while True:
        time.sleep(ALARM_INTERVAL_SECONDS)
        for (account, region, _), queue_ in sqs._queues.all_items():
            responses.set_request_account_id(account)
            responses.set_request_region(region)
            sqs._refresh_counts(queue_)
            depth = int(queue_["attributes"]["ApproximateNumberOfMessages"])
            if depth:
                _record(
                    "AWS/SQS",
                    {"QueueName": queue_["name"]},
                    {"ApproximateNumberOfMessagesVisible": (depth, "Count")},
                    time.time(),
                )


# --- AppConfig ------------------------------------------------------------------------------------


def deployed_version() -> None:
    """Only a version that exists can be deployed.

    The emulator starts a deployment of any number. Source: API_StartDeployment, which answers
    ResourceNotFoundException.
    """

    @_replace(appconfig, "_start_deployment")
    def start(original: Json, application: str, environment: str, request: Json) -> Json:
        profile, version = request["ConfigurationProfileId"], request["ConfigurationVersion"]
        versions = {
            name
            for key, found in appconfig._hosted_versions.items()
            if key.startswith(f"{application}/{profile}/")
            for name in (str(found["VersionNumber"]), found.get("VersionLabel"))
        }
        if f"{application}/{profile}" in appconfig._config_profiles and version not in versions:
            message = f"Configuration version {version} could not be found."
            return appconfig._error(404, "ResourceNotFoundException", message)
        return original(application, environment, request)


def newest_deployments_first() -> None:
    """ListDeployments answers the newest first, page by page.

    The emulator answers the oldest, and not those beyond a first page. Source: API_ListDeployments.
    """

    @_replace(appconfig, "_list_deployments")
    def list_(original: Json, application: str, environment: str, query: Json) -> Json:
        status, headers, body = original(application, environment, {"max_results": sys.maxsize})
        if status != 200:
            return status, headers, body
        items = json.loads(body)["Items"][::-1]
        start = int(query.get("next_token", 0))
        end = start + int(query.get("max_results", 50))
        following = {"NextToken": str(end)} if end < len(items) else {}
        return appconfig._json(200, {"Items": items[start:end], **following})


# --- Lambda ---------------------------------------------------------------------------------------

# Ends the log of one invocation on a worker's standard error.
_END_OF_LOG = "gameday-end-of-log"
_failure: contextvars.ContextVar[Json] = contextvars.ContextVar("_failure", default=None)
_duration: contextvars.ContextVar[float] = contextvars.ContextVar("_duration", default=0.0)


def failed_invocation() -> None:
    """A handler's exception names its class and leaves its worker alive; a dead worker says so.

    The emulator reports every exception, and the end of a worker, as Runtime.HandlerError and kills
    the worker, so that the next invocation is a cold start. On AWS errorType is the name of the
    exception's class, which Step Functions takes as the error's name, and the execution environment
    is used again; Runtime.ExitError is the end of one.
    """
    _edit(
        "_PYTHON_WORKER_SCRIPT",
        (
            '{"status": "error", "error": str(e), "trace": traceback.format_exc()}',
            '{"status": "ok", "failure": {"errorMessage": str(e), "errorType": type(e).__name__,'
            ' "stackTrace": traceback.format_exc().splitlines()}}',
        ),
    )
    _edit(
        "_NODEJS_WORKER_SCRIPT",
        (
            'status: "error", error: String(err.message || err), trace: err.stack || ""',
            'status: "ok", failure: {errorMessage: String(err.message || err),'
            ' errorType: err.name || "Error", stackTrace: String(err.stack || "").split("\\n")}',
        ),
        (
            'status: "error", error: e.message, trace: e.stack',
            'status: "ok", failure: {errorMessage: e.message,'
            ' errorType: e.name, stackTrace: e.stack.split("\\n")}',
        ),
    )

    @_replace(lambda_runtime.Worker, "invoke")
    def invoke(original: Json, worker: Json, *args: Json, **kwargs: Json) -> Json:
        response = original(worker, *args, **kwargs)
        failure = response.get("failure")
        _failure.set(failure)
        if failure:
            trace = "\n".join(failure["stackTrace"])
            response |= {"status": "error", "error": failure["errorMessage"], "trace": trace}
        elif response.get("error") == "Worker process died":
            _failure.set({"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited"})
        return response

    @_replace(lambda_svc, "_execute_function_warm")
    def execute(original: Json, function: Json, event: Json, request_id: str) -> Json:
        _failure.set(None)
        result = original(function, event, request_id)
        if failure := _failure.get():
            result["body"] = failure | {"requestId": request_id}
        return result


def log_lines() -> None:
    """An invocation ends when its log does.

    The emulator waits up to 50 ms for the log of each invocation, in full when nothing is logged:
    a function that logs would be measured as faster than one that does not. Here the worker marks
    the end of its log.
    """
    _edit(
        "_PYTHON_WORKER_SCRIPT",
        (
            "        _real_stdout.flush()\n\nrun()",
            "        _real_stdout.flush()\n        sys.stderr.flush()\n"
            f"        os.write(2, b'{_END_OF_LOG}\\n')\n\nrun()",
        ),
    )
    _edit(
        "_NODEJS_WORKER_SCRIPT",
        (
            "const _realStdoutWrite = process.stdout.write.bind(process.stdout);",
            "const _answer = process.stdout.write.bind(process.stdout);\n"
            "const _realStdoutWrite = (text) => { _answer(text);"
            f' if (lineNum > 1) _stderrWrite("{_END_OF_LOG}\\n"); }};',
        ),
    )

    @_replace(lambda_runtime.Worker, "_drain_stderr_bounded")
    def drain(_: Json, worker: Json) -> str:
        lines = []
        try:
            while not (line := worker._stderr_queue.get(timeout=LOG_LIMIT_SECONDS)).endswith(
                _END_OF_LOG
            ):
                lines.append(line)
        except queue.Empty:
            line = ""
        return "\n".join([*lines, *filter(None, [line.removesuffix(_END_OF_LOG)])])


def lambda_metrics() -> None:
    """Every invocation counts in AWS/Lambda, whatever its source, and once.

    The emulator counts calls of the Invoke API only, and a throttled one also as an invocation.
    As on AWS, Duration leaves the cold start out and all carry the invocation's start time.
    Source: lambda/latest/dg/monitoring-metrics-types.html.
    """
    _replace(lambda_svc, "_emit_lambda_metrics")(lambda *_, **__: None)

    @_replace(lambda_runtime.Worker, "_spawn")
    def spawn(original: Json, worker: Json) -> None:
        started = time.perf_counter()
        original(worker)
        _duration.set(_duration.get() + started - time.perf_counter())

    @_replace(lambda_runtime.Worker, "invoke")
    def invoke(original: Json, *args: Json, **kwargs: Json) -> Json:
        _duration.set(0.0)
        started = time.perf_counter()
        response = original(*args, **kwargs)
        _duration.set(_duration.get() + time.perf_counter() - started)
        return response

    @_replace(lambda_svc, "_execute_function_warm")
    def execute(original: Json, function: Json, event: Json, request_id: str) -> Json:
        started = time.time()
        result = original(function, event, request_id)
        values = {
            "Invocations": (1.0, "Count"),
            "Errors": (float(bool(result.get("error"))), "Count"),
            "Throttles": (0.0, "Count"),
            "Duration": (1000 * _duration.get(), "Milliseconds"),
        }
        _record("AWS/Lambda", _function_dimensions(function["config"]), values, started)
        return result

    @_replace(lambda_svc, "_acquire_execution_slot")
    def acquire(original: Json, function: Json, config: Json) -> Json:
        slot, limit = original(function, config)
        if slot is None:
            throttled = {"Throttles": (1.0, "Count")}
            _record("AWS/Lambda", _function_dimensions(config), throttled, time.time())
        return slot, limit


def _function_dimensions(config: Json) -> dict[str, str]:
    return {"FunctionName": config["FunctionName"]}


def embedded_metric_format() -> None:
    """A log line in embedded metric format becomes metrics, as CloudWatch Logs makes them.

    The emulator only stores the line. Source:
    AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
    """

    @_replace(lambda_runtime.Worker, "_read_stderr")
    def read(_: Json, worker: Json) -> None:
        lines, log = worker._stderr_queue, worker._proc.stderr
        for line in log:
            if '"CloudWatchMetrics"' in line:
                lambda_svc._run_with_function_config_scope(worker.config, _extract_metrics, line)
            lines.put(line.rstrip("\n"))


def _extract_metrics(line: str) -> None:
    try:
        document = json.loads(line)
        directives = document["_aws"]["CloudWatchMetrics"]
        timestamp = document["_aws"]["Timestamp"] / 1000
        for directive in directives:
            values = {
                metric["Name"]: (document[metric["Name"]], metric.get("Unit", "None"))
                for metric in directive["Metrics"]
            }
            for names in directive["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                _record(directive["Namespace"], dimensions, values, timestamp)
    except (ValueError, KeyError, TypeError):
        # As on AWS: a document that breaks the specification stays a log line.
        metrics.logger.warning("no metrics in %s", line)


def metric_filters() -> None:
    """A metric filter makes a metric of the lines that a function logs, if it looks for words.

    The emulator only keeps the filter. Here each line counts that holds all of the pattern's terms,
    each a word or quoted text; any other pattern is refused. Source:
    AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html.
    """

    @_replace(logs, "_put_metric_filter")
    def put(original: Json, request: Json) -> Json:
        if cloudwatch.terms(request.get("filterPattern", "")) is None:
            message = "The embedded AWS has metric filters of plain terms only."
            return responses.error_response_json("InvalidParameterException", message, 400)
        return original(request)

    @_replace(lambda_svc, "_emit_lambda_logs")
    def emit(
        original: Json, function: Json, request: str, text: str, *args: Json, **kw: Json
    ) -> None:
        original(function, request, text, *args, **kw)
        config = function.get("config") or function
        group = (config.get("LoggingConfig") or {}).get("LogGroup")
        group = group or f"/aws/lambda/{config['FunctionName']}"
        for (of_group, _), found in list(logs._metric_filters.items()):
            if of_group == group:
                _count_lines(found, text)


def _count_lines(found: Json, text: str) -> None:
    terms = cloudwatch.terms(found["filterPattern"]) or ()
    count = sum(all(term in line for term in terms) for line in text.splitlines())
    for transformation in found["metricTransformations"] if count else ():
        value = (count * float(transformation["metricValue"]), "None")
        name, namespace = transformation["metricName"], transformation["metricNamespace"]
        _record(namespace, {}, {name: value}, time.time())


def asynchronous_invocation() -> None:
    """EventBridge and Scheduler invoke a function asynchronously.

    The emulator runs it once and forgets its failure. On AWS Lambda retries twice and then uses the
    function's failure destination or dead-letter queue.
    """

    @_replace(eventbridge, "_dispatch_to_lambda")
    def dispatch(_: Json, arn: str, payload: str) -> None:
        function, config, name = lambda_svc._get_func_record_for_ref(arn)
        if not config:
            eventbridge.logger.warning("a rule's target %s does not exist", name)
            return
        record = lambda_svc._execution_record_for_config(function, config)
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))


_asynchronous: contextvars.ContextVar[bool] = contextvars.ContextVar("_asynchronous", default=False)
_LONGEST_THROTTLE_SECONDS = 6 * 3600


def throttling() -> None:
    """A throttled task fails with Lambda's error for it; a throttled event is kept.

    The emulator gives Step Functions no name for it (Lambda.Unknown), and drops an asynchronous
    event after three throttles in three seconds. On AWS Lambda tries for six hours, at first after
    a second. Source: lambda/latest/dg/invocation-async-error-handling.html.
    """

    @_replace(lambda_svc, "_throttle_response")
    def respond(original: Json, *args: Json, **kwargs: Json) -> Json:
        response = original(*args, **kwargs)
        response["body"]["errorType"] = "Lambda.TooManyRequestsException"
        return response

    @_replace(lambda_svc, "invoke_async_with_retry")
    def invoke(original: Json, *args: Json) -> None:
        reset = _asynchronous.set(True)  # the thread that it starts copies our context
        try:
            original(*args)
        finally:
            _asynchronous.reset(reset)

    @_replace(lambda_svc, "_execute_function")
    def execute(original: Json, function: Json, event: Json) -> Json:
        delay_seconds, until = 1.0, time.monotonic() + _LONGEST_THROTTLE_SECONDS
        while (result := original(function, event)).get("throttle") and _asynchronous.get():
            if time.monotonic() > until:
                break
            time.sleep(delay_seconds)
            delay_seconds = min(2 * delay_seconds, 300.0)
            arn = (function.get("config") or function)["FunctionArn"]
            current, config, _ = lambda_svc._get_func_record_for_ref(arn)
            function = lambda_svc._execution_record_for_config(current, config)
        return result


def dead_letters() -> None:
    """A function of a stack has its dead-letter queue.

    The emulator's CloudFormation leaves DeadLetterConfig out. Source: AWS::Lambda::Function.
    """
    handlers = _existing(provisioners, "_RESOURCE_HANDLERS")["AWS::Lambda::Function"]
    original = handlers["create"]

    def create(logical_id: str, properties: Json, stack: str) -> Json:
        name, attributes = original(logical_id, properties, stack)
        config = lambda_svc._functions[name]["config"]
        config["DeadLetterConfig"] = properties.get("DeadLetterConfig") or {}
        return name, attributes

    handlers["create"] = create


# In what the runtime brings; the emulator's own Python has as many more as a developer has.
_RUNTIME_LIBRARIES = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")


def runtime_libraries() -> None:
    """A Python function finds its own code, its layers and what Lambda's runtime has.

    The emulator runs it with everything that is installed here: a library that the function lacks
    is found all the same, and those that botocore uses where it finds them (pyOpenSSL, the AWS CRT)
    make each cold start slower. Source: lambda/latest/dg/lambda-python.html.
    """
    folder = Path(tempfile.mkdtemp(prefix="runtime-"))
    for name in _RUNTIME_LIBRARIES:
        found = importlib.util.find_spec(name)
        if not found or not found.origin:
            raise BridgeError(f"{name} is not installed: a function could not find it either.")
        origin = Path(found.origin)
        source = origin.parent if origin.name == "__init__.py" else origin
        (folder / source.name).symlink_to(source)
    python = folder / "python"
    # Without the packages that are installed (-S), and without writing into the code (-B).
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S -B "$@"\n')
    python.chmod(0o700)
    os.environ["PYTHONPATH"] = str(folder)

    @_replace(lambda_runtime, "_detect_runtime_binary")
    def detect(original: Json, runtime: str) -> tuple[str, str]:
        binary, script = original(runtime)
        return (str(python) if binary == sys.executable else binary), script


def layers() -> None:
    """A layer is unpacked once, not at every cold start of every function that has it.

    On AWS a layer is mounted; unpacking Gameday's takes the emulator two seconds each time.
    """

    @_replace(lambda_runtime.Worker, "_spawn")
    def spawn(original: Json, worker: Json) -> None:
        reset = _mounts.set(True)
        try:
            original(worker)
        finally:
            _mounts.reset(reset)

    @_replace(lambda_svc, "_resolve_layer_zip")
    def resolve(original: Json, attachment: Json) -> Json:
        data = original(attachment)
        if not data or not _mounts.get():
            return data
        with _unpacking:
            return os.fsencode(_unpacked(data))

    replaced = types.SimpleNamespace(**vars(_existing(lambda_runtime, "zipfile")))
    replaced.ZipFile = _Archive
    lambda_runtime.zipfile = replaced


class _Archive(zipfile.ZipFile):
    """A layer's archive holds nothing but the name of the folder in which it is unpacked."""

    def __init__(self, file: str, *args: Json, **kwargs: Json) -> None:
        self.folder = self.fp = None
        if Path(file).name.startswith("layer_"):
            self.folder = os.fsdecode(Path(file).read_bytes())
        else:
            super().__init__(file, *args, **kwargs)

    def namelist(self) -> list[str]:
        return [] if self.folder else super().namelist()

    def extractall(self, path: Json = None, *args: Json, **kwargs: Json) -> None:
        if self.folder:
            os.rmdir(path)
            os.symlink(self.folder, path)
        else:
            super().extractall(path, *args, **kwargs)


_mounts: contextvars.ContextVar[bool] = contextvars.ContextVar("_mounts", default=False)
_unpacking = threading.Lock()


@functools.cache
def _unpacked(data: bytes) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="layer-"))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)
    return folder


# --- IAM, API Gateway and names -------------------------------------------------------------------


def api_gateway() -> None:
    """Every request to a REST API counts in AWS/ApiGateway, and tells nothing of an error.

    The emulator publishes nothing, and answers a function's error message to the caller. The
    metrics' Average of 4XXError and 5XXError is the rate, so each request gives a 0 or a 1.
    Source: apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html.
    """

    @_replace(apigateway_v1, "handle_execute")
    async def execute(original: Json, api_id: str, stage: str, *args: Json) -> Json:
        started, started_s = time.time(), time.perf_counter()
        response = await original(api_id, stage, *args)
        latency_ms = 1000 * (time.perf_counter() - started_s)
        _record_request(api_id, stage, response[0], latency_ms, started)
        return response

    @_replace(apigateway_v1, "_lambda_proxy_response")
    def respond(original: Json, result: Json) -> Json:
        response, error = original(result)
        return response, error and "Internal server error"


def _record_request(
    api_id: str, stage: str, status: int, latency_ms: float, started: float
) -> None:
    api = apigateway_v1._rest_apis.get(api_id)
    if not api:
        return
    values = {
        "Count": (1.0, "Count"),
        "Latency": (latency_ms, "Milliseconds"),
        "4XXError": (float(400 <= status < 500), "Count"),
        "5XXError": (float(status >= 500), "Count"),
    }
    _record("AWS/ApiGateway", {"ApiName": api["name"], "Stage": stage}, values, started)


def authorization() -> None:
    """Each call is authorized for what it is about, and with its conditions.

    The emulator authorizes every schedule as one of the default group, DescribeEventBus as a rule
    and GetParameters for no parameter, and has no condition keys of EventBridge and CloudWatch.
    Source: service-authorization/latest/reference: scheduler, events, systems manager, cloudwatch.
    """

    @_replace(iam_actions, "extract_resource_arn")
    def resource(original: Json, service: str, method: str, path: str, *args: Json) -> str:
        headers, body, query, region, account = args
        arn: str = original(service, method, path, *args)
        if service == "scheduler" and ":schedule/default/" in arn:
            asked = {**{name: _first(value) for name, value in query.items()}, **_json_object(body)}
            group = asked.get("GroupName") or asked.get("groupName") or "default"
            return arn.replace(":schedule/default/", f":schedule/{group}/")
        if headers.get("x-amz-target", "").endswith(".GetParameters"):
            # It takes one resource for each call: of several parameters the first.
            (name, *_) = _json_object(body).get("Names") or [""]
            return f"arn:aws:ssm:{region}:{account}:parameter/{name.removeprefix('/')}"
        if headers.get("x-amz-target", "").endswith(".DescribeEventBus"):
            name = _json_object(body).get("Name") or "default"
            return f"arn:aws:events:{region}:{account}:event-bus/{name.rpartition('/')[2]}"
        return arn

    @_replace(iam_actions, "request_tag_context")
    def condition_keys(original: Json, service: str, action: str, body: bytes, *args: Json) -> Json:
        keys = dict(original(service, action, body, *args))
        if action == "events:PutEvents":
            entries = _json_object(body).get("Entries", [])
            keys["events:source"] = sorted({entry.get("Source", "") for entry in entries})
        if action == "cloudwatch:PutMetricData":
            keys["cloudwatch:namespace"] = _json_object(body).get("Namespace")
        return keys


def reserved_concurrency() -> None:
    """To read, to set and to remove a function's reserved concurrency are three permissions.

    The emulator takes each for the one to set it.
    Source: service-authorization/latest/reference: lambda.
    """

    @_replace(iam_actions, "extract_iam_action")
    def action(original: Json, service: str, method: str, *args: Json) -> Json:
        found = original(service, method, *args)
        if found != "lambda:PutFunctionConcurrency":
            return found
        verb = {"GET": "Get", "DELETE": "Delete"}.get(method, "Put")
        return f"lambda:{verb}FunctionConcurrency"


_RETRIEVALS = {
    ("POST", "/configurationsessions"): "appconfig:StartConfigurationSession",
    ("GET", "/configuration"): "appconfig:GetLatestConfiguration",
}


def configuration_retrieval() -> None:
    """Reading a configuration needs a permission for this configuration.

    In the emulator everybody may. Source: service-authorization/latest/reference: appconfig.
    """

    @_replace(iam_actions, "extract_iam_action")
    def action(original: Json, service: str, method: str, path: str, *args: Json) -> Json:
        query = args[-1]
        if method == "GET" and _first(query.get("configuration_token")) not in appconfig._sessions:
            return original(service, method, path, *args)  # which refuses the token, if it is one
        return _RETRIEVALS.get((method, path)) or original(service, method, path, *args)

    @_replace(iam_actions, "extract_resource_arn")
    def resource(original: Json, service: str, method: str, path: str, *args: Json) -> Json:
        if (method, path) not in _RETRIEVALS:
            return original(service, method, path, *args)
        _, body, query, region, account = args
        token = _first(query.get("configuration_token"))
        asked = appconfig._sessions.get(token) or _json_object(body)
        application, environment, profile = _configuration(asked)
        inside = f"environment/{environment}/configuration/{profile}"
        return f"arn:aws:appconfig:{region}:{account}:application/{application}/{inside}"


def _configuration(asked: Json) -> tuple[Json, Json, Json]:
    """The ids of what was asked for, each by its id or its name."""
    application, environment, profile = (
        asked.get(f"{part}Identifier") for part in _CONFIGURATION_PARTS
    )
    application = appconfig._resolve_application_id(application) or application
    return (
        application,
        appconfig._resolve_environment_id(application, environment),
        appconfig._resolve_configuration_profile_id(application, profile),
    )


_CONFIGURATION_PARTS = ("Application", "Environment", "ConfigurationProfile")


def topic_policy() -> None:
    """A topic's default policy is for its owner.

    To the topics of CloudFormation the emulator gives one for everybody.
    Source: sns/latest/api/API_SetTopicAttributes and the default policy of CreateTopic.
    """

    @_replace(sns, "topic_policy_for_arn")
    def of_topic(original: Json, *args: Json) -> Json:
        found = original(*args)
        if not found or "__default_policy_ID" not in found[0]:
            return found
        policy, owner = json.loads(found[0]), found[1]
        for statement in policy["Statement"]:
            statement["Condition"] = {"StringEquals": {"AWS:SourceOwner": owner}}
        return json.dumps(policy), owner


def _first(value: Json) -> Json:
    return value[0] if isinstance(value, list) else value


def _json_object(body: bytes) -> dict[str, Json]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def host_names() -> None:
    """Functions reach DynamoDB under its own host name.

    In the emulator all services share one address, so a condition that denies a host name could
    not tell them apart. What the Python workers load is worker_site; of the Node workers the
    address that a name leads to is replaced, and not the name.
    """
    paths = (str(_WORKER_SITE), os.environ["PYTHONPATH"])
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    # As Python does by itself where it looks for installed packages.
    _edit("_PYTHON_WORKER_SCRIPT", ("import sys, json,", "import sitecustomize, sys, json,"))
    _edit(
        "_NODEJS_WORKER_SCRIPT",
        ("      endpoint: endpoint,\n", ""),
        (
            '      accessKeyId: process.env.AWS_ACCESS_KEY_ID || "test",\n'
            '      secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY || "test",\n',
            "",
        ),
        (
            '      options.hostname = msHost;\n      options.host = msHost + ":" + msPort;\n',
            "      options.hostname = host;\n"
            "      options.lookup = (name, given, done) => given.all"
            " ? done(null, [{address: msHost, family: 4}]) : done(null, msHost, 4);\n",
        ),
    )
