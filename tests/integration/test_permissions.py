"""What the roles of Gameday's functions may do is enforced."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from cli.embedded.aws import REGION
from tests.integration.runs import OFF, Gameday, Target

Client = Callable[[str], Any]


def as_function(gameday: Gameday, function: str) -> Client:
    """Return a maker of clients that have the permissions of one function."""
    name = gameday.resource(f"{function}Function")
    role = gameday.client("lambda").get_function_configuration(FunctionName=name)["Role"]
    assumed = gameday.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
    keys = assumed["Credentials"]
    session = boto3.Session(
        keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name=REGION
    )
    return lambda service: session.client(
        service,  # type: ignore[call-overload]
        endpoint_url=gameday.aws.endpoint_url,
    )


def denied(call: Callable[[], object]) -> bool:
    """Tell whether the permissions are what keeps a call from working."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    return False


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("dynamodb", "list_tables", {}),
        ("appconfig", "list_applications", {}),
        ("cloudwatch", "describe_alarms", {}),
        ("scheduler", "list_schedules", {}),
        ("stepfunctions", "list_state_machines", {}),
        ("lambda", "list_functions", {}),
        ("s3", "list_buckets", {}),
        ("events", "list_rules", {}),
    ],
)
def test_validate_experiment_may_do_nothing(
    gameday: Gameday, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    client = as_function(gameday, "ValidateExperiment")(service)
    assert denied(lambda: getattr(client, operation)(**arguments))


@pytest.mark.parametrize(("namespace", "refused"), [("Gameday", False), ("AWS/Lambda", True)])
def test_the_load_publishes_to_its_own_namespace_only(
    gameday: Gameday, namespace: str, refused: bool
) -> None:
    cloudwatch = as_function(gameday, "GenerateLoad")("cloudwatch")
    data = [{"MetricName": "Errors", "Value": 1, "Dimensions": [{"Name": "T", "Value": "t"}]}]

    def put() -> None:
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)

    assert denied(put) == refused


def deploys_to(gameday: Gameday, target: Target) -> Callable[[], object]:
    appconfig = as_function(gameday, "EnableCondition")("appconfig")
    return lambda: appconfig.create_hosted_configuration_version(
        ApplicationId=target.application,
        ConfigurationProfileId=target.profile,
        Content=json.dumps(OFF).encode(),
        ContentType="application/json",
    )


def test_a_condition_is_deployed_to_a_listed_application(gameday: Gameday) -> None:
    assert not denied(deploys_to(gameday, gameday.target()))


def test_a_condition_is_not_deployed_to_another_application(gameday: Gameday) -> None:
    target = gameday.target(application=gameday.forbidden_application)
    assert denied(deploys_to(gameday, target))


def test_disabling_may_not_enable(gameday: Gameday) -> None:
    target = gameday.target()
    appconfig = as_function(gameday, "DisableCondition")("appconfig")
    assert denied(
        lambda: appconfig.create_hosted_configuration_version(
            ApplicationId=target.application,
            ConfigurationProfileId=target.profile,
            Content=b"{}",
            ContentType="application/json",
        )
    )


def test_the_watch_may_not_end_a_run(gameday: Gameday) -> None:
    stepfunctions = as_function(gameday, "WatchGuardrails")("stepfunctions")
    assert denied(lambda: stepfunctions.send_task_success(taskToken="x" * 10, output="{}"))
