"""Calls of AWS by the action that permits them, on resources of this stack or of somebody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.embedded.aws import REGION
from tests.integration.runs import Gameday, Json, Target, unique

TARGETS = {
    "TargetFunctions": "gameday-nothing",
    "TargetRoles": "gameday-nobody",
    "TargetParameters": "/gameday/nothing",
    "LoadFunctions": "gameday-nothing",
    "LoadApis": "gamedaynothing",
    "SecretParameters": "/gameday/nothing,/gameday/token",
    "SecretNames": "gameday-nothing",
}
"""What the stack may change beside applications, load and read; what calls name is not there."""


@dataclass(frozen=True)
class Place:
    """Resources that belong together."""

    account: str
    region: str
    target: Target
    strategy: str
    table: str
    bus: str
    source: str
    namespace: str
    topic: str
    group: str
    queue: str
    machine: str
    function: str
    role: str
    passed_to: str
    via: str
    log_group: str
    stack: str
    token: Callable[[], str]
    target_function: str
    target_role: str
    target_parameter: str
    api: str
    secret: str

    def arn(self, service: str, resource: str) -> str:
        region = "" if service == "iam" else self.region
        return f"arn:aws:{service}:{region}:{self.account}:{resource}"

    @property
    def application_arn(self) -> str:
        return self.arn("appconfig", f"application/{self.target.application}")

    @property
    def environment_arn(self) -> str:
        return f"{self.application_arn}/environment/{self.target.environment}"

    @property
    def profile_arn(self) -> str:
        return f"{self.application_arn}/configurationprofile/{self.target.profile}"

    @property
    def execution_arn(self) -> str:
        return self.arn("states", f"execution:{self.machine}:nobody")


def here(gameday: Gameday) -> Place:
    """What the stack's functions work on."""
    target = gameday.target()
    return Place(
        account=gameday.client("sts").get_caller_identity()["Account"],
        region=REGION,
        target=target,
        strategy=gameday.resource("ConditionStrategy"),
        table=gameday.resource("RunsTable"),
        bus=gameday.outputs["VerdictBusName"],
        source="gameday",
        namespace="Gameday",
        topic=gameday.outputs["VerdictTopicArn"],
        group=gameday.resource("Deadlines"),
        queue=gameday.resource("RollBackDeadLetters"),
        machine=gameday.outputs["StateMachineArn"].rpartition(":")[2],
        function=gameday.resource("RollBackFunction"),
        role=gameday.resource("DeadlineRole"),
        passed_to="scheduler.amazonaws.com",
        via=f"sns.{REGION}.amazonaws.com",
        log_group=gameday.resource("FunctionLogs"),
        stack="gameday",
        token=lambda: _token(gameday, target),
        target_function=TARGETS["TargetFunctions"],
        target_role=TARGETS["TargetRoles"],
        target_parameter=TARGETS["TargetParameters"],
        api=TARGETS["LoadApis"],
        secret=TARGETS["SecretNames"],
    )


def elsewhere(gameday: Gameday) -> Place:
    """The same of a neighbour: the sample application, and what else there is in the account."""
    target = gameday.target(application=gameday.forbidden_application)
    sample = gameday.applications[0].outputs
    machine, function = unique("neighbour"), sample["PurchaseFunction"]
    role = gameday.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    start = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}
    gameday.client("stepfunctions").create_state_machine(
        name=machine, roleArn=role, definition=json.dumps(start)
    )
    return Place(
        account=gameday.client("sts").get_caller_identity()["Account"],
        region=REGION,
        target=target,
        strategy="AppConfig.AllAtOnce",
        table=sample["TableName"],
        bus="default",
        source="aws.cloudwatch",
        namespace="AWS/Lambda",
        topic=gameday.client("sns").create_topic(Name=machine)["TopicArn"],
        group="default",
        queue=gameday.client("sqs").create_queue(QueueName=machine)["QueueUrl"],
        machine=machine,
        function=function,
        role=role.rpartition("/")[2],
        passed_to="lambda.amazonaws.com",
        via=f"sqs.{REGION}.amazonaws.com",
        log_group=f"/aws/lambda/{function}",
        stack="gameday-sample",
        token=lambda: _token(gameday, target),
        target_function=function,
        target_role=role.rpartition("/")[2],
        target_parameter="/neighbour",
        api="neighbour",
        secret="neighbour",
    )


def _token(gameday: Gameday, target: Target) -> str:
    started = gameday.client("appconfigdata").start_configuration_session(**_session(target))
    return str(started["InitialConfigurationToken"])


def _application(p: Place) -> Json:
    return {"ApplicationId": p.target.application}


def _environment(p: Place) -> Json:
    return {**_application(p), "EnvironmentId": p.target.environment}


def _profile(p: Place) -> Json:
    return {**_application(p), "ConfigurationProfileId": p.target.profile}


def _deployment(p: Place) -> Json:
    return {**_environment(p), "DeploymentNumber": 999}


def _session(target: Target) -> Json:
    return {
        "ApplicationIdentifier": target.application,
        "EnvironmentIdentifier": target.environment,
        "ConfigurationProfileIdentifier": target.profile,
    }


_KEY = {"pk": {"S": "nothing"}, "sk": {"S": "nothing"}}
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def _table(p: Place) -> Json:
    return {"TableName": p.table}


def _item(p: Place) -> Json:
    return {**_table(p), "Key": _KEY}


def _schedule(p: Place) -> Json:
    return {"Name": "nothing", "GroupName": p.group}


def _new_schedule(p: Place) -> Json:
    return {
        **_schedule(p),
        "ScheduleExpression": "never",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": p.arn("lambda", f"function:{p.function}"),
            "RoleArn": p.arn("iam", f"role/{p.role}"),
        },
    }


@dataclass(frozen=True)
class Call:
    """One call, and what AWS asks permission for when it is made."""

    service: str
    operation: str
    arguments: Callable[[Place], Json] = lambda _: {}
    resources: Callable[[Place], tuple[str, ...]] = lambda _: ("*",)
    keys: Callable[[Place], Mapping[str, Any]] = lambda _: {}


def _dynamodb(operation: str, arguments: Callable[[Place], Json] = _table) -> Call:
    return Call(
        "dynamodb", operation, arguments, lambda p: (p.arn("dynamodb", f"table/{p.table}"),)
    )


def _in_group(operation: str, arguments: Callable[[Place], Json] = _schedule) -> Call:
    return Call(
        "scheduler",
        operation,
        arguments,
        lambda p: (p.arn("scheduler", f"schedule/{p.group}/nothing"),),
    )


def _to_topic(operation: str, **arguments: Any) -> Call:
    return Call(
        "sns", operation, lambda p: {"TopicArn": p.topic, **arguments}, lambda p: (p.topic,)
    )


def _bus(p: Place) -> tuple[str, ...]:
    return (p.arn("events", f"event-bus/{p.bus}"),)


def _to_execution(operation: str, **arguments: Any) -> Call:
    return Call(
        "stepfunctions",
        operation,
        lambda p: {"executionArn": p.execution_arn, **arguments},
        lambda p: (p.execution_arn,),
    )


def _to_queue(operation: str, **arguments: Any) -> Call:
    return Call(
        "sqs",
        operation,
        lambda p: {"QueueUrl": p.queue, **arguments},
        lambda p: (p.arn("sqs", p.queue.rpartition("/")[2]),),
    )


def _to_function(operation: str, **arguments: Any) -> Call:
    return Call("lambda", operation, lambda p: {"FunctionName": p.function, **arguments})


def _to_target(operation: str, **arguments: Any) -> Call:
    return Call(
        "lambda",
        operation,
        lambda p: {"FunctionName": p.target_function, **arguments},
        lambda p: (p.arn("lambda", f"function:{p.target_function}"),),
    )


def _api(p: Place) -> tuple[str, ...]:
    return (p.arn("execute-api", f"{p.api}/Prod/GET/"),)


def _secret(p: Place) -> str:
    return p.arn("secretsmanager", f"secret:{p.secret}-AbCdEf")


def _to_role(operation: str, **arguments: Any) -> Call:
    return Call(
        "iam",
        operation,
        lambda p: {"RoleName": p.target_role, **arguments},
        lambda p: (p.arn("iam", f"role/{p.target_role}"),),
    )


def _to_parameter(operation: str, **arguments: Any) -> Call:
    return Call(
        "ssm",
        operation,
        lambda p: {"Name": p.target_parameter, **arguments},
        lambda p: (p.arn("ssm", f"parameter{p.target_parameter}"),),
    )


_QUERY = {"Id": "m", "Expression": "1"}
_CODE = {"ZipFile": b"nothing"}

# Those that some function is permitted to make, each with every resource that AWS wants permitted
# (service-authorization/latest/reference). None of them changes anything when it is permitted: what
# it is about does not exist, or is too much.
WORK = {
    "appconfig:ListApplications": Call("appconfig", "list_applications"),
    "appconfig:ListEnvironments": Call(
        "appconfig", "list_environments", _application, lambda p: (p.application_arn,)
    ),
    "appconfig:ListConfigurationProfiles": Call(
        "appconfig", "list_configuration_profiles", _application, lambda p: (p.application_arn,)
    ),
    "appconfig:ListDeployments": Call(
        "appconfig",
        "list_deployments",
        _environment,
        lambda p: (p.application_arn, p.environment_arn),
    ),
    "appconfig:GetDeployment": Call(
        "appconfig",
        "get_deployment",
        _deployment,
        lambda p: (p.application_arn, p.environment_arn, f"{p.environment_arn}/deployment/999"),
    ),
    "appconfig:StopDeployment": Call(
        "appconfig",
        "stop_deployment",
        _deployment,
        lambda p: (p.application_arn, p.environment_arn, f"{p.environment_arn}/deployment/999"),
    ),
    "appconfig:StartDeployment": Call(
        "appconfig",
        "start_deployment",
        lambda p: {
            **_environment(p),
            **_profile(p),
            "ConfigurationVersion": "999",
            "DeploymentStrategyId": p.strategy,
        },
        lambda p: (
            p.application_arn,
            p.environment_arn,
            p.profile_arn,
            p.arn("appconfig", f"deploymentstrategy/{p.strategy}"),
        ),
    ),
    "appconfig:CreateHostedConfigurationVersion": Call(
        "appconfig",
        "create_hosted_configuration_version",
        lambda p: {
            **_profile(p),
            "Content": b"{}",
            "ContentType": "application/json",
            "LatestVersionNumber": 999,
        },
        lambda p: (p.application_arn, p.profile_arn),
    ),
    "appconfig:GetHostedConfigurationVersion": Call(
        "appconfig",
        "get_hosted_configuration_version",
        lambda p: {**_profile(p), "VersionNumber": 999},
        lambda p: (
            p.application_arn,
            p.profile_arn,
            f"{p.profile_arn}/hostedconfigurationversion/999",
        ),
    ),
    "appconfig:DeleteHostedConfigurationVersion": Call(
        "appconfig",
        "delete_hosted_configuration_version",
        lambda p: {**_profile(p), "VersionNumber": 999},
        lambda p: (
            p.application_arn,
            p.profile_arn,
            f"{p.profile_arn}/hostedconfigurationversion/9",
        ),
    ),
    "appconfig:StartConfigurationSession": Call(
        "appconfigdata",
        "start_configuration_session",
        lambda p: _session(p.target),
        lambda p: (f"{p.environment_arn}/configuration/{p.target.profile}",),
    ),
    "appconfig:GetLatestConfiguration": Call(
        "appconfigdata",
        "get_latest_configuration",
        lambda p: {"ConfigurationToken": p.token()},
        lambda p: (f"{p.environment_arn}/configuration/{p.target.profile}",),
    ),
    "lambda:GetFunctionConfiguration": _to_target("get_function_configuration"),
    "lambda:GetFunctionConcurrency": _to_target("get_function_concurrency"),
    "lambda:ListAliases": _to_target("list_aliases"),
    "lambda:UpdateFunctionConfiguration": _to_target("update_function_configuration"),
    "lambda:PutFunctionConcurrency": _to_target(
        "put_function_concurrency", ReservedConcurrentExecutions=1
    ),
    "lambda:DeleteFunctionConcurrency": _to_target("delete_function_concurrency"),
    "lambda:InvokeFunction": _to_target("invoke", Payload=b"{}"),
    "secretsmanager:GetSecretValue": Call(
        "secretsmanager",
        "get_secret_value",
        lambda p: {"SecretId": _secret(p)},
        lambda p: (_secret(p),),
    ),
    "iam:ListRolePolicies": _to_role("list_role_policies"),
    "iam:GetRolePolicy": _to_role("get_role_policy", PolicyName="x"),
    "iam:PutRolePolicy": _to_role("put_role_policy", PolicyName="x", PolicyDocument="{}"),
    "iam:DeleteRolePolicy": _to_role("delete_role_policy", PolicyName="x"),
    "ssm:GetParameter": _to_parameter("get_parameter"),
    "ssm:PutParameter": _to_parameter("put_parameter", Value="{}", Type="String"),
    "dynamodb:GetItem": _dynamodb("get_item", _item),
    "dynamodb:Query": _dynamodb(
        "query",
        lambda p: {
            **_table(p),
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": "nothing"}},
        },
    ),
    "dynamodb:PutItem": _dynamodb(
        "put_item",
        lambda p: {**_table(p), "Item": _KEY, "ConditionExpression": "attribute_exists(pk)"},
    ),
    "dynamodb:UpdateItem": _dynamodb(
        "update_item", lambda p: {**_item(p), "ConditionExpression": "attribute_exists(pk)"}
    ),
    "dynamodb:DeleteItem": _dynamodb("delete_item", _item),
    "scheduler:CreateSchedule": _in_group("create_schedule", _new_schedule),
    "scheduler:DeleteSchedule": _in_group("delete_schedule"),
    "events:DescribeEventBus": Call(
        "events", "describe_event_bus", lambda p: {"Name": p.bus}, _bus
    ),
    "events:PutEvents": Call(
        "events",
        "put_events",
        lambda p: {"Entries": [{"EventBusName": p.bus, "Source": p.source}] * 11},
        _bus,
        lambda p: {"events:source": [p.source]},
    ),
    "sns:GetTopicAttributes": _to_topic("get_topic_attributes"),
    "sns:Publish": _to_topic("publish", Message="x" * (256 * 1024 + 1)),
    "sqs:SendMessage": _to_queue("send_message", MessageBody="x", DelaySeconds=901),
    "cloudwatch:DescribeAlarms": Call("cloudwatch", "describe_alarms"),
    "cloudwatch:GetMetricData": Call(
        "cloudwatch",
        "get_metric_data",
        lambda _: {"MetricDataQueries": [_QUERY], "StartTime": _MOMENT, "EndTime": _MOMENT},
    ),
    "cloudwatch:PutMetricData": Call(
        "cloudwatch",
        "put_metric_data",
        lambda p: {"Namespace": p.namespace, "MetricData": []},
        keys=lambda p: {"cloudwatch:namespace": p.namespace},
    ),
    "states:SendTaskSuccess": Call(
        "stepfunctions", "send_task_success", lambda _: {"taskToken": "nothing", "output": "{}"}
    ),
    "states:SendTaskFailure": Call(
        "stepfunctions", "send_task_failure", lambda _: {"taskToken": "nothing"}
    ),
    "states:DescribeExecution": _to_execution("describe_execution"),
    "states:StopExecution": _to_execution("stop_execution"),
}

NOWHERE = {
    "appconfig:ListApplications",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricData",
    "states:SendTaskSuccess",
    "states:SendTaskFailure",
}
"""What has no resource type and no condition key: what AWS permits, it permits for everything."""

# What a service asks permission for on behalf of a caller: no call of a function's own.
INDIRECT = {
    "iam:PassRole": Call(
        "scheduler",
        "create_schedule",
        _new_schedule,
        lambda p: (p.arn("iam", f"role/{p.role}"),),
        lambda p: {"iam:passedtoservice": p.passed_to},
    ),
    # Asked by an API and a function URL of whoever signed a request, and not by a client.
    "execute-api:Invoke": Call("apigateway", "get_rest_apis", resources=_api),
    "lambda:InvokeFunctionUrl": Call(
        "lambda",
        "get_function_url_config",
        resources=lambda p: (p.arn("lambda", f"function:{p.target_function}"),),
    ),
    **{
        f"kms:{operation}": Call(
            "sns",
            "publish",
            resources=lambda p: (p.arn("kms", "key/0123"),),
            keys=lambda p: {"kms:viaservice": p.via},
        )
        for operation in ("GenerateDataKey", "Decrypt")
    },
}

# What no function of ours needs: to destroy, to look further, to become somebody else.
MISCHIEF = {
    "appconfig:UpdateEnvironment": Call("appconfig", "update_environment", _environment),
    "appconfig:DeleteEnvironment": Call("appconfig", "delete_environment", _environment),
    "appconfig:DeleteConfigurationProfile": Call(
        "appconfig", "delete_configuration_profile", _profile
    ),
    "appconfig:UpdateDeploymentStrategy": Call(
        "appconfig", "update_deployment_strategy", lambda p: {"DeploymentStrategyId": p.strategy}
    ),
    "appconfig:CreateDeploymentStrategy": Call(
        "appconfig",
        "create_deployment_strategy",
        lambda _: {"Name": "x", "DeploymentDurationInMinutes": 0, "GrowthFactor": 100},
    ),
    "dynamodb:Scan": _dynamodb("scan"),
    "dynamodb:DescribeTable": _dynamodb("describe_table"),
    "dynamodb:DeleteTable": _dynamodb("delete_table"),
    "dynamodb:UpdateTable": _dynamodb("update_table"),
    "dynamodb:BatchWriteItem": _dynamodb(
        "batch_write_item",
        lambda p: {"RequestItems": {p.table: [{"DeleteRequest": {"Key": _KEY}}]}},
    ),
    "dynamodb:ListTables": Call("dynamodb", "list_tables"),
    "scheduler:GetSchedule": _in_group("get_schedule"),
    "scheduler:UpdateSchedule": _in_group("update_schedule", _new_schedule),
    "scheduler:ListSchedules": Call("scheduler", "list_schedules"),
    "scheduler:DeleteScheduleGroup": Call(
        "scheduler", "delete_schedule_group", lambda p: {"Name": p.group}
    ),
    "events:PutRule": Call(
        "events", "put_rule", lambda p: {"Name": "x", "EventBusName": p.bus, "EventPattern": "{}"}
    ),
    "events:DeleteEventBus": Call("events", "delete_event_bus", lambda p: {"Name": p.bus}),
    "events:ListRules": Call("events", "list_rules"),
    "sns:Subscribe": _to_topic("subscribe", Protocol="email"),
    "sns:DeleteTopic": _to_topic("delete_topic"),
    "sqs:ReceiveMessage": _to_queue("receive_message"),
    "sqs:PurgeQueue": _to_queue("purge_queue"),
    "cloudwatch:PutMetricAlarm": Call(
        "cloudwatch",
        "put_metric_alarm",
        lambda _: {
            "AlarmName": "x",
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluationPeriods": 1,
        },
    ),
    "cloudwatch:SetAlarmState": Call(
        "cloudwatch",
        "set_alarm_state",
        lambda _: {"AlarmName": "x", "StateValue": "OK", "StateReason": "x"},
    ),
    "cloudwatch:DeleteAlarms": Call("cloudwatch", "delete_alarms", lambda _: {"AlarmNames": ["x"]}),
    "states:StartExecution": Call(
        "stepfunctions",
        "start_execution",
        lambda p: {"stateMachineArn": p.arn("states", f"stateMachine:{p.machine}"), "input": "x"},
    ),
    "states:RedriveExecution": _to_execution("redrive_execution"),
    "states:ListStateMachines": Call("stepfunctions", "list_state_machines"),
    "states:DeleteStateMachine": Call(
        "stepfunctions",
        "delete_state_machine",
        lambda p: {"stateMachineArn": p.arn("states", f"stateMachine:{p.machine}")},
    ),
    "lambda:InvokeFunction of the undo": _to_function("invoke", Payload=b"{}"),
    "lambda:UpdateFunctionCode": _to_function("update_function_code", **_CODE),
    "lambda:ListFunctions": Call("lambda", "list_functions"),
    "iam:CreateUser": Call("iam", "create_user", lambda _: {"UserName": "x"}),
    "sts:AssumeRole": Call(
        "sts",
        "assume_role",
        lambda p: {"RoleArn": p.arn("iam", f"role/{p.role}"), "RoleSessionName": "xx"},
    ),
    "s3:ListAllMyBuckets": Call("s3", "list_buckets"),
    "logs:FilterLogEvents": Call(
        "logs", "filter_log_events", lambda p: {"logGroupName": p.log_group}
    ),
    "logs:DeleteLogGroup": Call(
        "logs", "delete_log_group", lambda p: {"logGroupName": p.log_group}
    ),
    "cloudformation:DeleteStack": Call(
        "cloudformation", "delete_stack", lambda p: {"StackName": p.stack}
    ),
    "secretsmanager:ListSecrets": Call("secretsmanager", "list_secrets"),
    "ssm:DescribeParameters": Call("ssm", "describe_parameters"),
    "kms:CreateKey": Call("kms", "create_key"),
}
