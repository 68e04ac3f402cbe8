"""The embedded AWS against what AWS documents: one test or more for each bridge."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cli.embedded.aws import VERSION, EmbeddedAws, EmbeddedAwsError

LIMIT_SECONDS = 20.0
REPOSITORY = Path(__file__).parents[2]
ASSUMED_BY_ANYONE = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
# One function does what its event says.
PYTHON_FUNCTION = {
    "package/__init__.py": "",
    "package/errors.py": "class GuardrailRang(Exception): pass",
    "app.py": """
import importlib.util, json, os, socket, sys, time
import boto3
from package.errors import GuardrailRang

def handler(event, context):
    do = event.get("do")
    if do == "raise":
        raise GuardrailRang("alarm X rang")
    if do == "exit":
        os._exit(1)
    if do == "sleep":
        time.sleep(event["seconds"])
    if do == "log":
        print(json.dumps(event["line"]), end=event.get("end", "\\n"))
    if do == "get item":
        client = boto3.client("dynamodb")
        client.get_item(TableName=event["table"], Key={"id": {"S": "1"}})
        return client.meta.endpoint_url
    if do == "put item":
        return boto3.client("dynamodb").put_item(TableName=event["table"], Item={"id": {"S": "1"}})
    if do == "get parameters":
        found = boto3.client("ssm").get_parameters(Names=event["names"])
        return [parameter["Value"] for parameter in found["Parameters"]]
    if do == "resolve":
        return [address[4][0] for address in socket.getaddrinfo(event["host"], 443)]
    if do == "leaks":
        return [name for name in sys.modules if name.split(".")[0] in ("cli", "gameday")]
    if do == "find":
        return [name for name in event["names"] if importlib.util.find_spec(name)]
    if "httpMethod" in event:
        status = int(event["queryStringParameters"]["status"])
        if status == 0:
            raise GuardrailRang("a secret")
        return {"statusCode": status, "body": "{}"}
    return {"pid": os.getpid(), "event": event}
""",
}
NODE_FUNCTION = {
    "index.js": """
exports.handler = async (event) => {
  if (event.do === "raise") { const e = new Error("no"); e.name = "GuardrailRang"; throw e; }
  if (event.do === "ask") return new Promise((done, fail) => {
    const request = require("https").request(`https://${event.host}/`, (reply) => {
      reply.resume();
      done([request.host, reply.socket.remoteAddress]);
    });
    request.on("error", fail);
    request.end();
  });
  process.stdout.write(JSON.stringify(event.line || "nothing") + (event.end ?? "\\n"));
  return { pid: process.pid };
};
""",
}


def eventually[T](read: Callable[[], T]) -> T:
    """Return what `read` gives as soon as it is true."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (found := read()):
        assert time.monotonic() < deadline, f"still {found!r} after {LIMIT_SECONDS} s"
        time.sleep(0.05)
    return found


def name() -> str:
    return f"t-{uuid4().hex[:12]}"


def zipped(files: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return content.getvalue()


def role(aws: EmbeddedAws, *allowed: str, on: str = "*") -> str:
    role_name = name()
    iam = aws.client("iam")
    arn = iam.create_role(RoleName=role_name, AssumeRolePolicyDocument=ASSUMED_BY_ANYONE)
    statement = {"Effect": "Allow", "Action": list(allowed) or ["logs:*"], "Resource": on}
    iam.put_role_policy(
        RoleName=role_name,
        PolicyName="allowed",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    return str(arn["Role"]["Arn"])


def function(
    aws: EmbeddedAws,
    *allowed: str,
    on: str = "*",
    node: bool = False,
    timeout: int = 10,
    init: str = "",
) -> str:
    files = NODE_FUNCTION if node else PYTHON_FUNCTION | {"package/__init__.py": init}
    created = aws.client("lambda").create_function(
        FunctionName=name(),
        Role=role(aws, *allowed, on=on),
        Runtime="nodejs22.x" if node else "python3.13",
        Handler="index.handler" if node else "app.handler",
        Code={"ZipFile": zipped(files)},
        Timeout=timeout,
    )
    return str(created["FunctionName"])


@pytest.fixture(scope="module")
def probe(aws: EmbeddedAws) -> str:
    return function(aws)


@pytest.fixture(scope="module", params=["python", "node"])
def either(aws: EmbeddedAws, request: pytest.FixtureRequest) -> str:
    return function(aws, node=request.param == "node")


def invoke(aws: EmbeddedAws, function_name: str, **event: Any) -> Any:
    response = aws.client("lambda").invoke(FunctionName=function_name, Payload=json.dumps(event))
    return json.load(response["Payload"])


def queue(aws: EmbeddedAws) -> tuple[str, str]:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName=name())["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = attributes["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url, arn


def received(aws: EmbeddedAws, url: str) -> list[Any]:
    messages = aws.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [json.loads(message["Body"]) for message in messages.get("Messages", [])]


def listen(aws: EmbeddedAws, pattern: dict[str, Any]) -> Callable[[], list[Any]]:
    """Return a reader of all events so far that match `pattern` on the default bus."""
    url, arn = queue(aws)
    rule, events = name(), aws.client("events")
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    seen: list[Any] = []

    def read() -> list[Any]:
        seen.extend(received(aws, url))
        return seen

    return read


# --- Step Functions -------------------------------------------------------------------------------


def start(aws: EmbeddedAws, states: dict[str, Any], **machine: Any) -> str:
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
    client = aws.client("stepfunctions")
    created = client.create_state_machine(
        name=name(), roleArn=role(aws), definition=json.dumps(definition | machine)
    )
    return str(client.start_execution(stateMachineArn=created["stateMachineArn"])["executionArn"])


def ended(aws: EmbeddedAws, execution: str) -> dict[str, Any]:
    client = aws.client("stepfunctions")

    def read() -> dict[str, Any]:
        return dict(client.describe_execution(executionArn=execution))

    eventually(lambda: read()["status"] != "RUNNING")
    return read()


def history(aws: EmbeddedAws, execution: str) -> list[tuple[str, str]]:
    events = aws.client("stepfunctions").get_execution_history(executionArn=execution)["events"]
    return [
        (event["type"], event.get("stateEnteredEventDetails", {}).get("name")) for event in events
    ]


def task(function_name: str, **fields: Any) -> dict[str, Any]:
    event = fields.pop("event", {})
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": function_name, "Payload": event},
        "End": True,
    } | fields


def waiting(queue_url: str) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Arguments": {
            "QueueUrl": queue_url,
            "MessageBody": {"token": "{% $states.context.Task.Token %}"},
        },
        "End": True,
    }


def branch(states: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": next(iter(states)), "States": states}


def parallel(*branches: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return (
        {"Type": "Parallel", "Branches": [branch(each) for each in branches]}
        | ({} if "Next" in fields else {"End": True})
        | fields
    )


def test_the_first_failure_ends_a_parallel_while_a_branch_waits_for_a_token(
    aws: EmbeddedAws,
) -> None:
    url, _ = queue(aws)
    fail = {
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Fail"},
        "Fail": {"Type": "Fail", "Error": "Rang"},
    }
    execution = start(aws, {"Try": parallel({"Watch": waiting(url)}, fail)})
    assert ended(aws, execution)["error"] == "Rang"
    token = received(aws, url)[0]["token"]
    with pytest.raises(ClientError, match="TaskTimedOut"):
        aws.client("stepfunctions").send_task_success(taskToken=token, output="{}")


def test_the_error_is_that_of_the_branch_that_failed_first(aws: EmbeddedAws) -> None:
    late = {
        "Wait": {"Type": "Wait", "Seconds": 2, "Next": "F"},
        "F": {"Type": "Fail", "Error": "Late"},
    }
    early = {"Fail": {"Type": "Fail", "Error": "Early"}}
    caught = {"Type": "Pass", "Output": "{% $caught %}", "End": True}
    catch = [
        {
            "ErrorEquals": ["Early"],
            "Assign": {"caught": "{% $states.errorOutput %}"},
            "Next": "Caught",
        }
    ]
    execution = start(aws, {"Try": parallel(late, early, Catch=catch), "Caught": caught})
    assert json.loads(ended(aws, execution)["output"])["Error"] == "Early"


def test_a_cancelled_branch_starts_no_further_state(aws: EmbeddedAws, probe: str) -> None:
    url, _ = queue(aws)
    send = waiting(url) | {"Resource": "arn:aws:states:::sqs:sendMessage"}
    send["Arguments"] = {"QueueUrl": url, "MessageBody": {}}
    slow = {"Slow": task(probe, event={"do": "sleep", "seconds": 2}, Next="Send"), "Send": send}
    slow["Slow"].pop("End")
    fail = {
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "F"},
        "F": {"Type": "Fail", "Error": "E"},
    }
    after = task(probe, event={"do": "sleep", "seconds": 2})
    catch = [{"ErrorEquals": ["E"], "Next": "After"}]
    execution = start(aws, {"Try": parallel(slow, fail, Catch=catch), "After": after})
    assert ended(aws, execution)["status"] == "SUCCEEDED"
    assert ("TaskStateEntered", "Slow") in history(aws, execution)
    assert ("TaskStateEntered", "Send") not in history(aws, execution)
    assert received(aws, url) == []


def mapped(states: dict[str, Any], mode: str = "INLINE", **fields: Any) -> dict[str, Any]:
    config = {"Mode": mode} | ({"ExecutionType": "STANDARD"} if mode != "INLINE" else {})
    processor = {"ProcessorConfig": config, **branch(states)}
    return {"Type": "Map", "Items": [1, 60], "ItemProcessor": processor, "End": True} | fields


@pytest.mark.parametrize(
    ("mode", "error"),
    [("INLINE", "Early"), ("DISTRIBUTED", "States.ExceedToleratedFailureThreshold")],
)
def test_the_first_item_that_fails_ends_a_map_at_once(
    aws: EmbeddedAws, mode: str, error: str
) -> None:
    states = {
        "Wait": {"Type": "Wait", "Seconds": "{% $states.input %}", "Next": "F"},
        "F": {"Type": "Fail", "Error": "Early"},
    }
    started = time.monotonic()
    execution = start(aws, {"Each": mapped(states, mode)})
    assert ended(aws, execution)["error"] == error
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(("mode", "read"), [("INLINE", "o"), ("DISTRIBUTED", "")])
def test_only_the_items_of_an_inline_map_read_variables_around_them(
    aws: EmbeddedAws, mode: str, read: str
) -> None:
    says = "{% $states.input.item & ($exists($outer) ? $outer : '') %}"
    each = mapped(
        {"Say": {"Type": "Pass", "Output": says, "End": True}},
        mode,
        ItemSelector={"item": "{% $states.context.Map.Item.Index & $outer %}"},
    )
    before = {"Type": "Pass", "Assign": {"outer": "o"}, "Next": "Each"}
    execution = start(aws, {"Before": before, "Each": each})
    assert json.loads(ended(aws, execution)["output"]) == [f"0o{read}", f"1o{read}"]
    inside = ("PassStateEntered", "Say") in history(aws, execution)
    assert inside == (mode == "INLINE")


def test_branches_have_variables_of_their_own(aws: EmbeddedAws) -> None:
    def says(value: str) -> dict[str, Any]:
        state = {
            "Type": "Pass",
            "Assign": {"mine": value},
            "Output": "{% $states.input.x & $outer %}",
        }
        return {"Say": state | {"End": True}}

    states = {
        "Before": {"Type": "Pass", "Assign": {"outer": "o"}, "Next": "Both"},
        "Both": parallel(
            says("a"),
            says("b"),
            Arguments={"x": "y"},
            Assign={"both": "{% $states.result %}"},
            Output="{% $count($states.result) %}",
            Next="After",
        ),
        "After": {
            "Type": "Succeed",
            "Output": "{% {'both': $both, 'count': $states.input, 'leaked': $exists($mine)} %}",
        },
    }
    output = json.loads(ended(aws, start(aws, states))["output"])
    assert output == {"both": ["yo", "yo"], "count": 2, "leaked": False}


def test_a_stopped_execution_stays_stopped(aws: EmbeddedAws, probe: str) -> None:
    client, (url, _) = aws.client("stepfunctions"), queue(aws)
    events = listen(aws, {"source": ["aws.states"], "detail": {"status": ["ABORTED"]}})
    slow = {
        "Slow": task(probe, event={"do": "sleep", "seconds": 1}, Next="Again"),
        "Again": task(probe),
    }
    slow["Slow"].pop("End")
    execution = start(aws, {"Both": parallel({"Watch": waiting(url)}, slow)})
    token = eventually(lambda: received(aws, url))[0]["token"]
    client.stop_execution(executionArn=execution, error="Stopped", cause="by a person")
    with pytest.raises(ClientError, match="TaskTimedOut"):
        client.send_task_failure(taskToken=token, error="Late")
    assert [event["detail"]["executionArn"] for event in eventually(events)] == [execution]
    invoke(aws, probe, do="sleep", seconds=1.5)
    assert client.describe_execution(executionArn=execution)["status"] == "ABORTED"
    assert ("TaskStateEntered", "Again") not in history(aws, execution)


def test_a_name_that_runs_already_with_the_same_input_is_the_same_execution(
    aws: EmbeddedAws,
) -> None:
    waits = {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}
    client, running = aws.client("stepfunctions"), start(aws, waits)
    machine = client.describe_execution(executionArn=running)["stateMachineArn"]
    asked = {"stateMachineArn": machine, "name": running.rpartition(":")[2]}
    assert client.start_execution(input="{}", **asked)["executionArn"] == running
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(input='{"other": 1}', **asked)
    client.stop_execution(executionArn=running)
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        client.start_execution(input="{}", **asked)


def test_a_machine_ends_at_its_deadline(aws: EmbeddedAws) -> None:
    url, _ = queue(aws)
    execution = start(aws, {"Watch": waiting(url)}, TimeoutSeconds=1)
    assert ended(aws, execution)["status"] == "TIMED_OUT"


def test_a_state_is_retried_and_caught_by_the_class_of_a_python_exception(
    aws: EmbeddedAws, probe: str
) -> None:
    retry = [{"ErrorEquals": ["GuardrailRang"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    catch = [
        {"ErrorEquals": ["GuardrailRang"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}
    ]
    states = {
        "Raise": task(probe, event={"do": "raise"}, Retry=retry, Catch=catch),
        "Caught": {"Type": "Pass", "End": True},
    }
    execution = start(aws, states)
    output = json.loads(ended(aws, execution)["output"])
    assert output["Error"] == "GuardrailRang"
    assert json.loads(output["Cause"])["errorMessage"] == "alarm X rang"
    assert [kind for kind, _ in history(aws, execution)].count("TaskFailed") == 2


def test_a_callback_task_fails_with_the_function_that_was_to_take_the_token(
    aws: EmbeddedAws, probe: str
) -> None:
    callback = "arn:aws:states:::lambda:invoke.waitForTaskToken"
    execution = start(aws, {"Raise": task(probe, event={"do": "raise"}, Resource=callback)})
    assert ended(aws, execution)["error"] == "GuardrailRang"


def test_a_task_timeout_may_be_jsonata(aws: EmbeddedAws) -> None:
    url, _ = queue(aws)
    watch = waiting(url) | {"TimeoutSeconds": "{% $states.input.none ? 5 : 1 %}"}
    assert ended(aws, start(aws, {"Watch": watch}))["error"] == "States.Timeout"


def test_a_function_past_its_timeout_is_killed(aws: EmbeddedAws) -> None:
    short = function(aws, timeout=1)
    slow = task(short, event={"do": "sleep", "seconds": 30})
    assert ended(aws, start(aws, {"Slow": slow}))["error"] == "Sandbox.Timedout"


def test_a_function_whose_worker_dies_fails_as_its_runtime_does(aws: EmbeddedAws) -> None:
    execution = start(aws, {"Exit": task(function(aws), event={"do": "exit"})})
    assert ended(aws, execution)["error"] == "Runtime.ExitError"


def throttle(aws: EmbeddedAws, function_name: str) -> None:
    aws.client("lambda").put_function_concurrency(
        FunctionName=function_name, ReservedConcurrentExecutions=0
    )


def test_a_throttled_task_has_lambdas_name_for_it(aws: EmbeddedAws) -> None:
    throttled = function(aws)
    throttle(aws, throttled)
    execution = start(aws, {"Throttled": task(throttled)})
    assert ended(aws, execution)["error"] == "Lambda.TooManyRequestsException"


def test_no_retry_waits_longer_than_its_maximum(aws: EmbeddedAws, probe: str) -> None:
    once = {"ErrorEquals": ["GuardrailRang"], "MaxAttempts": 1}
    retry = [once | {"IntervalSeconds": 10 * LIMIT_SECONDS, "MaxDelaySeconds": 1}]
    execution = start(aws, {"Raise": task(probe, event={"do": "raise"}, Retry=retry)})
    assert ended(aws, execution)["error"] == "GuardrailRang"
    assert [kind for kind, _ in history(aws, execution)].count("TaskFailed") == 2


# --- CloudWatch -----------------------------------------------------------------------------------


def put(aws: EmbeddedAws, metric: str, *values: float, **fields: Any) -> None:
    datum = {"MetricName": metric, "Values": list(values), **fields}
    aws.client("cloudwatch").put_metric_data(Namespace="Test", MetricData=[datum])


def data(aws: EmbeddedAws, metric: str, stat: str, **fields: Any) -> list[float]:
    now = datetime.now(UTC)
    query = {
        "Id": "m",
        "MetricStat": {
            "Metric": {
                "Namespace": fields.pop("Namespace", "Test"),
                "MetricName": metric,
                "Dimensions": fields.pop("Dimensions", []),
            },
            "Period": fields.pop("Period", 3600),
            "Stat": stat,
        },
    }
    window = {"StartTime": now - timedelta(minutes=30), "EndTime": now + timedelta(minutes=5)}
    answer = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=[query], **(window | fields)
    )
    return list(answer["MetricDataResults"][0]["Values"])


def dimension(key: str, value: str) -> list[dict[str, str]]:
    return [{"Name": key, "Value": value}]


def alarm(aws: EmbeddedAws, metric: str, **fields: Any) -> str:
    alarm_name = name()
    settings = {
        "Namespace": "Test",
        "MetricName": metric,
        "Statistic": "Maximum",
        "Period": 10,
        "EvaluationPeriods": 1,
        "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
    }
    aws.client("cloudwatch").put_metric_alarm(AlarmName=alarm_name, **(settings | fields))
    return alarm_name


def state(aws: EmbeddedAws, alarm_name: str) -> str:
    found = aws.client("cloudwatch").describe_alarms(
        AlarmNames=[alarm_name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    return str((found["MetricAlarms"] + found["CompositeAlarms"])[0]["StateValue"])


@pytest.mark.parametrize(
    ("stat", "value"),
    [
        ("SampleCount", 5),
        ("Average", 300),
        ("p50", 300),
        ("PR(:300)", 60),
        ("PR(100:300)", 40),
        ("PR(300:)", 40),
        ("TC(:400)", 4),
    ],
)
def test_statistics_follow_their_documented_definition(
    aws: EmbeddedAws, stat: str, value: float
) -> None:
    metric = name()
    put(aws, metric, 100, 200, 300, 400, 500)
    assert data(aws, metric, stat) == [value]


@pytest.mark.parametrize("stat", ["TM(10%:90%)", "Avg", "PR(:)", "p101"])
def test_an_unknown_statistic_is_an_error(aws: EmbeddedAws, stat: str) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        data(aws, "any", stat)


def queries(metric: str, *expressions: str, period: int = 3600) -> list[dict[str, Any]]:
    """The samples of a metric and those up to 300, as n and within, and expressions of both."""
    stats = {"n": "SampleCount", "within": "PR(:300)"}
    asked: list[dict[str, Any]] = [
        {
            "Id": key,
            "MetricStat": {
                "Metric": {"Namespace": "Test", "MetricName": metric},
                "Period": period,
                "Stat": stat,
            },
        }
        for key, stat in stats.items()
    ]
    return asked + [{"Id": f"e{n}", "Expression": text} for n, text in enumerate(expressions)]


def answers(aws: EmbeddedAws, asked: list[dict[str, Any]]) -> dict[str, list[float]]:
    now = datetime.now(UTC)
    answer = aws.client("cloudwatch").get_metric_data(
        MetricDataQueries=asked,
        StartTime=now - timedelta(minutes=30),
        EndTime=now + timedelta(minutes=5),
        ScanBy="TimestampAscending",
    )
    return {result["Id"]: list(result["Values"]) for result in answer["MetricDataResults"]}


def test_an_expression_is_evaluated_over_the_metrics_that_it_names(aws: EmbeddedAws) -> None:
    metric = name()
    put(aws, metric, 100, 200, 300, 400, 500)
    asked = queries(metric, "n * (100 - within) / 100", "e0 + 1")
    assert answers(aws, asked) == {"n": [5], "within": [60], "e0": [2], "e1": [3]}


def test_an_expression_over_nothing_is_nothing(aws: EmbeddedAws) -> None:
    assert answers(aws, queries(name(), "n / within"))["e0"] == []


@pytest.mark.parametrize("expression", ["1 + 1", "m", "FILL(n, 0)", "SEARCH('n', 'Sum')"])
def test_an_expression_that_is_not_evaluated_is_an_error(aws: EmbeddedAws, expression: str) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        answers(aws, queries(name(), expression))


def test_an_id_that_is_given_twice_is_an_error(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError, match="ValidationError"):
        answers(aws, queries(name()) * 2)


def test_a_rank_is_that_of_the_samples_of_its_own_period(aws: EmbeddedAws) -> None:
    metric, minute = name(), datetime.now(UTC).replace(second=0, microsecond=0)
    for seconds, values in ((0, [100, 200, 900]), (5, [900]), (15, [300, 300])):
        moment = minute - timedelta(minutes=1) + timedelta(seconds=seconds)
        put(aws, metric, *values, Timestamp=moment, StorageResolution=1)
    found = answers(aws, queries(metric, period=5))
    assert found["n"] == [3, 1, 2]
    assert found["within"] == [pytest.approx(100 * 2 / 3), 0, 100]


def test_no_dimensions_means_the_metric_without_dimensions(aws: EmbeddedAws) -> None:
    metric = name()
    put(aws, metric, 1, Dimensions=dimension("A", "1"))
    assert data(aws, metric, "Sum") == []
    put(aws, metric, 2)
    assert data(aws, metric, "Sum") == [2]
    assert data(aws, metric, "Sum", Dimensions=dimension("A", "1")) == [1]


def test_buckets_start_at_the_start_and_the_end_is_exclusive(aws: EmbeddedAws) -> None:
    metric, start_at = name(), datetime.now(UTC).replace(second=0, microsecond=0)
    start_at -= timedelta(minutes=7)
    for minute in range(4):
        put(aws, metric, minute, Timestamp=start_at + timedelta(minutes=minute))
    window = {
        "StartTime": start_at + timedelta(seconds=30),  # rounded down to the minute
        "EndTime": start_at + timedelta(minutes=3),
        "Period": 120,
    }
    assert data(aws, metric, "Sum", **window) == [2, 1]
    assert data(aws, metric, "Sum", **window, ScanBy="TimestampAscending") == [1, 2]


def test_an_alarm_reads_its_own_dimension_set(aws: EmbeddedAws) -> None:
    metric = name()
    bad = alarm(aws, metric, Dimensions=dimension("Stage", "bad"))
    good = alarm(aws, metric, Dimensions=dimension("Stage", "good"))
    put(aws, metric, 9, Dimensions=dimension("Stage", "bad"))
    eventually(lambda: state(aws, bad) == "ALARM" and state(aws, good) == "OK")


def test_a_change_of_an_alarm_is_an_event_and_runs_its_actions(aws: EmbeddedAws) -> None:
    metric, (url, arn), sns = name(), queue(aws), aws.client("sns")
    topic = sns.create_topic(Name=name())["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    watched = alarm(aws, metric, AlarmActions=[topic])
    composite = name()
    aws.client("cloudwatch").put_composite_alarm(
        AlarmName=composite, AlarmRule=f'ALARM("{watched}")'
    )
    eventually(lambda: state(aws, watched) == "OK")
    pattern = {"source": ["aws.cloudwatch"], "detail": {"state": {"value": ["ALARM"]}}}
    events = listen(aws, pattern | {"detail-type": ["CloudWatch Alarm State Change"]})
    put(aws, metric, 9)
    eventually(lambda: len(events()) == 2)
    found = {event["detail"]["alarmName"]: event for event in events()}
    assert set(found) == {watched, composite}
    event = found[watched]
    assert event["resources"] == [f"arn:aws:cloudwatch:us-east-1:000000000000:alarm:{watched}"]
    assert event["detail"]["previousState"]["value"] == "OK"
    configured = event["detail"]["configuration"]["metrics"][0]["metricStat"]
    assert configured["metric"] == {"namespace": "Test", "name": metric, "dimensions": {}}
    assert json.loads(eventually(lambda: received(aws, url))[0]["Message"])["AlarmName"] == watched


def test_a_state_that_was_set_is_an_event_and_gives_way_to_the_real_one(aws: EmbeddedAws) -> None:
    drilled = alarm(aws, name())
    eventually(lambda: state(aws, drilled) == "OK")
    events = listen(aws, {"source": ["aws.cloudwatch"], "detail": {"alarmName": [drilled]}})
    aws.client("cloudwatch").set_alarm_state(
        AlarmName=drilled, StateValue="ALARM", StateReason="a drill"
    )
    eventually(lambda: len(events()) == 2)
    assert [event["detail"]["state"]["value"] for event in events()] == ["ALARM", "OK"]


def test_messages_that_wait_in_a_queue_ring_its_alarm(aws: EmbeddedAws) -> None:
    url, arn = queue(aws)
    depth = alarm(
        aws,
        "ApproximateNumberOfMessagesVisible",
        Namespace="AWS/SQS",
        Dimensions=dimension("QueueName", arn.rpartition(":")[2]),
        Statistic="Maximum",
        TreatMissingData="notBreaching",
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0,
        Period=60,
    )
    eventually(lambda: state(aws, depth) == "OK")
    aws.client("sqs").send_message(QueueUrl=url, MessageBody="{}")
    eventually(lambda: state(aws, depth) == "ALARM")


# --- AppConfig ------------------------------------------------------------------------------------


def test_a_version_that_does_not_exist_is_not_deployed(aws: EmbeddedAws) -> None:
    appconfig = aws.client("appconfig")
    application = appconfig.create_application(Name=name())["Id"]
    environment = appconfig.create_environment(ApplicationId=application, Name=name())["Id"]
    profile = appconfig.create_configuration_profile(
        ApplicationId=application, Name=name(), LocationUri="hosted"
    )["Id"]
    version = appconfig.create_hosted_configuration_version(
        ApplicationId=application,
        ConfigurationProfileId=profile,
        Content=b"{}",
        ContentType="application/json",
        VersionLabel="first",
    )["VersionNumber"]
    asked = {
        "ApplicationId": application,
        "EnvironmentId": environment,
        "ConfigurationProfileId": profile,
        "DeploymentStrategyId": "AppConfig.AllAtOnce",
    }
    with pytest.raises(appconfig.exceptions.ResourceNotFoundException):
        appconfig.start_deployment(ConfigurationVersion=str(version + 1), **asked)
    assert (
        appconfig.start_deployment(ConfigurationVersion="first", **asked)["DeploymentNumber"] == 1
    )


def test_a_deployment_grows_and_who_has_it_keeps_it_until_it_is_stopped(aws: EmbeddedAws) -> None:
    control, clients = aws.client("appconfig"), aws.client("appconfigdata")
    application = control.create_application(Name=name())["Id"]
    environment = control.create_environment(ApplicationId=application, Name=name())["Id"]
    profile = control.create_configuration_profile(
        ApplicationId=application, Name=name(), LocationUri="hosted"
    )["Id"]
    where = {"ApplicationId": application, "EnvironmentId": environment}

    def deploy(content: bytes, minutes: int) -> int:
        version = control.create_hosted_configuration_version(
            ApplicationId=application,
            ConfigurationProfileId=profile,
            Content=content,
            ContentType="text/plain",
        )["VersionNumber"]
        strategy = control.create_deployment_strategy(
            Name=name(), DeploymentDurationInMinutes=minutes, GrowthFactor=20 if minutes else 100
        )["Id"]
        started = control.start_deployment(
            ConfigurationProfileId=profile,
            ConfigurationVersion=str(version),
            DeploymentStrategyId=strategy,
            **where,
        )
        return int(started["DeploymentNumber"])

    deploy(b"old", 0)
    tokens = [
        clients.start_configuration_session(
            ApplicationIdentifier=application,
            EnvironmentIdentifier=environment,
            ConfigurationProfileIdentifier=profile,
        )["InitialConfigurationToken"]
        for _ in range(40)
    ]
    served = [b""] * len(tokens)

    def poll() -> set[int]:
        for index, token in enumerate(tokens):
            answer = clients.get_latest_configuration(ConfigurationToken=token)
            tokens[index] = answer["NextPollConfigurationToken"]
            served[index] = answer["Configuration"].read() or served[index]
        return {index for index, content in enumerate(served) if content == b"new"}

    number = deploy(b"new", 1)
    assert poll() == set()
    eventually(poll)
    first = poll()  # a step may have come in the middle of a round
    assert len(first) < len(tokens) / 2
    eventually(lambda: poll() > first)
    growing = control.get_deployment(DeploymentNumber=number, **where)
    assert (growing["State"], growing["PercentageComplete"]) == ("DEPLOYING", 40)
    control.stop_deployment(DeploymentNumber=number, AllowRevert=True, **where)
    assert poll() == set()


def test_deployments_are_listed_newest_first_and_by_the_page(aws: EmbeddedAws) -> None:
    appconfig = aws.client("appconfig")
    application = appconfig.create_application(Name=name())["Id"]
    environment = appconfig.create_environment(ApplicationId=application, Name=name())["Id"]
    profile = appconfig.create_configuration_profile(
        ApplicationId=application, Name=name(), LocationUri="hosted"
    )["Id"]
    where = {"ApplicationId": application, "EnvironmentId": environment}
    appconfig.create_hosted_configuration_version(
        ApplicationId=application,
        ConfigurationProfileId=profile,
        Content=b"{}",
        ContentType="application/json",
    )
    for number in range(1, 4):
        appconfig.start_deployment(
            ConfigurationProfileId=profile,
            ConfigurationVersion="1",
            DeploymentStrategyId="AppConfig.AllAtOnce",
            **where,
        )
        appconfig.stop_deployment(DeploymentNumber=number, AllowRevert=True, **where)
    pages = appconfig.get_paginator("list_deployments").paginate(
        **where, PaginationConfig={"PageSize": 2}
    )
    numbers = [[item["DeploymentNumber"] for item in page["Items"]] for page in pages]
    assert numbers == [[3, 2], [1]]


# --- Lambda and API Gateway -----------------------------------------------------------------------


def lambda_metric(aws: EmbeddedAws, function_name: str, metric: str, stat: str = "Sum") -> Any:
    dimensions = dimension("FunctionName", function_name)
    return data(aws, metric, stat, Namespace="AWS/Lambda", Dimensions=dimensions)


def test_every_invocation_counts_once_whatever_its_source(aws: EmbeddedAws) -> None:
    counted = function(aws)
    invoke(aws, counted)
    ended(aws, start(aws, {"Invoke": task(counted, event={"do": "raise"})}))
    rule, events = name(), aws.client("events")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [counted]}))
    arn = aws.client("lambda").get_function(FunctionName=counted)["Configuration"]["FunctionArn"]
    events.put_targets(Rule=rule, Targets=[{"Id": "function", "Arn": arn}])
    events.put_events(Entries=[{"Source": counted, "DetailType": "d", "Detail": "{}"}])
    eventually(lambda: lambda_metric(aws, counted, "Invocations") == [3])
    assert lambda_metric(aws, counted, "Errors") == [1]
    throttle(aws, counted)
    once = aws.session().client("lambda", config=Config(retries={"total_max_attempts": 1}))
    with pytest.raises(ClientError, match="TooManyRequests"):
        once.invoke(FunctionName=counted)
    assert lambda_metric(aws, counted, "Throttles") == [1]
    assert lambda_metric(aws, counted, "Invocations") == [3]


def test_duration_leaves_the_cold_start_out(aws: EmbeddedAws) -> None:
    timed = function(aws, init="import time; time.sleep(1)")
    invoke(aws, timed)
    (milliseconds,) = lambda_metric(aws, timed, "Duration", "Maximum")
    assert 0 < milliseconds < 1000


def test_an_event_is_tried_again_when_its_function_fails(aws: EmbeddedAws) -> None:
    failing, (url, dead_letters) = function(aws), queue(aws)
    aws.client("lambda").put_function_event_invoke_config(
        FunctionName=failing,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": dead_letters}},
    )
    arn = aws.client("lambda").get_function(FunctionName=failing)["Configuration"]["FunctionArn"]
    rule, events = name(), aws.client("events")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [failing]}))
    target = {"Id": "function", "Arn": arn, "Input": json.dumps({"do": "raise"})}
    events.put_targets(Rule=rule, Targets=[target])
    events.put_events(Entries=[{"Source": failing, "DetailType": "d", "Detail": "{}"}])
    assert eventually(lambda: received(aws, url))
    assert lambda_metric(aws, failing, "Errors") == [2]


def test_a_throttled_event_is_kept_until_its_function_may_run(aws: EmbeddedAws) -> None:
    throttled = function(aws)
    throttle(aws, throttled)
    aws.client("lambda").invoke(FunctionName=throttled, InvocationType="Event", Payload="{}")
    eventually(lambda: sum(lambda_metric(aws, throttled, "Throttles")) > 2)
    aws.client("lambda").delete_function_concurrency(FunctionName=throttled)
    eventually(lambda: lambda_metric(aws, throttled, "Invocations") == [1])


def test_a_failed_invocation_leaves_the_worker_alive(aws: EmbeddedAws, either: str) -> None:
    before = invoke(aws, either)["pid"]
    assert invoke(aws, either, do="raise")["errorType"] == "GuardrailRang"
    assert invoke(aws, either)["pid"] == before


def test_a_log_line_in_embedded_metric_format_becomes_metrics(
    aws: EmbeddedAws, either: str
) -> None:
    metric = name()
    directive = {
        "Namespace": "Emf",
        "Dimensions": [["Mode"], []],
        "Metrics": [{"Name": metric, "Unit": "Count"}],
    }
    meta = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
    line = {"_aws": meta, "Mode": "latency", metric: [1, 2], "free": "text"}
    invoke(aws, either, do="log", line=line)
    for dimensions in (dimension("Mode", "latency"), []):
        found = data(aws, metric, "Sum", Namespace="Emf", Dimensions=dimensions)
        assert found == [3]


def test_a_metric_filter_counts_the_lines_that_hold_its_terms(
    aws: EmbeddedAws, either: str
) -> None:
    metric = name()
    invoke(aws, either, do="log", line="now there is a log group")
    put_metric_filter(aws, either, metric, '"Injecting latency" ms')
    for line in ("Injecting latency of 3 ms", "Injecting nothing for 3 ms", "Injecting latency"):
        invoke(aws, either, do="log", line=line)
    assert data(aws, metric, "Sum", Namespace="Filtered", Dimensions=[]) == [1]


def test_a_metric_filter_that_is_not_applied_is_refused(aws: EmbeddedAws, probe: str) -> None:
    with pytest.raises(ClientError, match="plain terms only"):
        put_metric_filter(aws, probe, name(), '{ $.action = "inject" }')


def put_metric_filter(aws: EmbeddedAws, function_name: str, metric: str, pattern: str) -> None:
    counted = {"metricName": metric, "metricNamespace": "Filtered", "metricValue": "1"}
    aws.client("logs").put_metric_filter(
        logGroupName=f"/aws/lambda/{function_name}",
        filterName=metric,
        filterPattern=pattern,
        metricTransformations=[counted],
    )


def test_a_log_is_whole_when_its_invocation_ends(aws: EmbeddedAws, either: str) -> None:
    for number in range(3):
        event = json.dumps({"do": "log", "line": f"line {number}", "end": ""})
        answer = aws.client("lambda").invoke(FunctionName=either, Payload=event, LogType="Tail")
        assert base64.b64decode(answer["LogResult"]).decode() == f'"line {number}"'


@pytest.fixture(scope="module")
def api(aws: EmbeddedAws, probe: str) -> tuple[str, str]:
    client, api_name = aws.client("apigateway"), name()
    api_id = client.create_rest_api(name=api_name)["id"]
    root = client.get_resources(restApiId=api_id)["items"][0]["id"]
    arn = aws.client("lambda").get_function(FunctionName=probe)["Configuration"]["FunctionArn"]
    target = {"restApiId": api_id, "resourceId": root, "httpMethod": "GET"}
    client.put_method(**target, authorizationType="NONE")
    uri = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations"
    client.put_integration(**target, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    client.create_deployment(restApiId=api_id, stageName="Prod")
    return api_name, aws.url(f"https://{api_id}.execute-api.us-east-1.amazonaws.com/Prod/")


def status(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_every_request_counts_in_api_gateways_metrics(
    aws: EmbeddedAws, api: tuple[str, str]
) -> None:
    api_name, url = api
    assert [status(f"{url}?status={code}")[0] for code in (200, 200, 404, 500)] == [
        200,
        200,
        404,
        500,
    ]

    def metric(metric_name: str, stat: str) -> list[float]:
        dimensions = dimension("ApiName", api_name) + dimension("Stage", "Prod")
        return data(aws, metric_name, stat, Namespace="AWS/ApiGateway", Dimensions=dimensions)

    assert metric("Count", "Sum") == metric("Latency", "SampleCount") == [4]
    assert metric("5XXError", "Average") == metric("4XXError", "Average") == [0.25]


def test_a_failed_function_is_a_502_that_tells_nothing(api: tuple[str, str]) -> None:
    code, body = status(f"{api[1]}?status=0")
    assert (code, json.loads(body)) == (502, {"message": "Internal server error"})


def test_a_function_finds_the_libraries_of_the_runtime_and_no_others(
    aws: EmbeddedAws, probe: str
) -> None:
    of_the_runtime = ["boto3", "dateutil", "six", "urllib3"]
    installed_here = ["awscrt", "click", "gameday", "ministack", "OpenSSL", "pydantic"]
    found = invoke(aws, probe, do="find", names=[*of_the_runtime, *installed_here])
    assert found == of_the_runtime


def test_functions_reach_dynamodb_under_its_own_name_and_only_as_allowed(aws: EmbeddedAws) -> None:
    table = name()
    aws.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    reader = function(aws, "dynamodb:GetItem")
    endpoint = invoke(aws, reader, do="get item", table=table)
    assert endpoint == f"http://dynamodb.us-east-1.amazonaws.com:{aws.port}"
    refused = invoke(aws, reader, do="put item", table=table)
    assert "AccessDenied" in refused["errorMessage"]


def test_no_host_name_of_aws_leads_out_of_this_machine(aws: EmbeddedAws, probe: str) -> None:
    host = "dynamodb.us-east-1.amazonaws.com"
    assert set(invoke(aws, probe, do="resolve", host=host)) == {"127.0.0.1"}
    assert invoke(aws, probe, do="leaks") == []


def test_a_node_function_reaches_aws_under_its_own_host_names(aws: EmbeddedAws) -> None:
    host = "dynamodb.us-east-1.amazonaws.com"
    assert invoke(aws, function(aws, node=True), do="ask", host=host) == [host, "127.0.0.1"]


def test_several_parameters_are_read_only_as_allowed(aws: EmbeddedAws) -> None:
    ssm, allowed, forbidden = aws.client("ssm"), f"/{name()}", f"/{name()}"
    for parameter in (allowed, forbidden):
        ssm.put_parameter(Name=parameter, Value="value", Type="String")
    arn = ssm.get_parameter(Name=allowed)["Parameter"]["ARN"]
    reader = function(aws, "ssm:GetParameters", on=arn)
    assert invoke(aws, reader, do="get parameters", names=[allowed]) == ["value"]
    refused = invoke(aws, reader, do="get parameters", names=[forbidden])
    assert "AccessDenied" in refused["errorMessage"]


# --- The process ----------------------------------------------------------------------------------


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stopping_leaves_nothing_behind(tmp_path: Path) -> None:
    with EmbeddedAws.start(tmp_path, tmp_path / "kept.json") as own:
        visitor = EmbeddedAws.attach(tmp_path / "kept.json")
        assert visitor is not None
        workers = [invoke(visitor, function(own, node=node))["pid"] for node in (False, True)]
        visitor.stop()
        assert own.is_ready()
    assert not any(alive(pid) for pid in [own.pid, *workers])
    assert EmbeddedAws.attach(tmp_path / "kept.json") is None
    assert [path.name for path in tmp_path.iterdir()] == ["embedded.log"]


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_parent_leaves_nothing_behind(tmp_path: Path, blow: signal.Signals) -> None:
    kept = tmp_path / "kept.json"
    script = f"""
import time
from pathlib import Path
from cli.embedded.aws import EmbeddedAws
with EmbeddedAws.start(Path({str(tmp_path)!r}), Path({str(kept)!r})):
    time.sleep(60)
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=REPOSITORY, env=environment)
    visitor = eventually(lambda: EmbeddedAws.attach(kept))
    assert visitor
    workers = [invoke(visitor, function(visitor, node=node))["pid"] for node in (False, True)]
    assert all(alive(pid) for pid in workers)
    parent.send_signal(blow)
    parent.wait()
    eventually(lambda: not any(alive(pid) for pid in [visitor.pid, *workers]))
    assert list(tmp_path.glob("gameday-aws-*")) == []


def test_another_version_of_the_emulator_fails_loudly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / f"ministack-{VERSION}0.dist-info"
    fake.mkdir()
    (fake / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ministack\nVersion: {VERSION}0\n")
    monkeypatch.setattr(
        "cli.embedded.aws._server_environment", lambda *_: {"PYTHONPATH": str(tmp_path)}
    )
    with pytest.raises(EmbeddedAwsError, match=f"needs ministack {VERSION} exactly"):
        EmbeddedAws.start(tmp_path)


def test_a_child_process_sees_nothing_of_the_users_aws(
    aws: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_SQS"):
        monkeypatch.setenv(variable, "the user's")
    child = aws.environment()
    assert not [key for key, value in child.items() if value == "the user's"]
    assert child["AWS_ENDPOINT_URL"] == aws.endpoint_url
    assert aws.client("sts").get_caller_identity()["Account"] == "000000000000"
