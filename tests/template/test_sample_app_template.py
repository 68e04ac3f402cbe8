"""What sample_app/template.yaml promises, read from the template as it stands."""

import json
import re
from typing import Any

import pytest

from gameday_injector.flags import parse_flags
from gameday_injector.modes import MODES
from tests.house.project import ROOT, of_type, template

SAMPLE_APP = ROOT / "sample_app"
FUNCTIONS = ("Purchase", "Images", "Clicks")


TEMPLATE = template("sample_app/template.yaml")
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def properties(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = RESOURCES[name]["Properties"]
    return properties


def statements(function: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = properties(f"{function}Function")["Policies"][0]["Statement"]
    return found


RESTING = json.loads(TEMPLATE["Mappings"]["RestingConfiguration"]["AllModes"]["Content"])


def test_the_resting_configuration_names_all_seven_modes_and_injects_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert RESTING.keys() == MODES.keys()
    assert parse_flags(RESTING) == ()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_starts_with_the_resting_configuration_deployed(function: str) -> None:
    version = properties(f"{function}RestingConfiguration")
    deployment = properties(f"{function}RestingDeployment")
    assert version["Content"] == {"Fn::FindInMap": ["RestingConfiguration", "AllModes", "Content"]}
    assert version["ConfigurationProfileId"] == {"Ref": f"{function}Profile"}
    assert deployment["ConfigurationProfileId"] == {"Ref": f"{function}Profile"}
    assert deployment["ConfigurationVersion"] == {"Ref": f"{function}RestingConfiguration"}


def test_the_deployments_wait_for_each_other() -> None:
    waits = [RESOURCES[f"{function}RestingDeployment"].get("DependsOn") for function in FUNCTIONS]
    assert waits == [None, "PurchaseRestingDeployment", "ImagesRestingDeployment"]


def test_the_deployment_strategy_takes_no_time() -> None:
    strategy = properties("AtOnce")
    assert strategy["DeploymentDurationInMinutes"] == strategy["FinalBakeTimeInMinutes"] == 0
    assert (strategy["GrowthFactor"], strategy["ReplicateTo"]) == (100, "NONE")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_reads_its_own_profile_and_no_other(function: str) -> None:
    variables = properties(f"{function}Function")["Environment"]["Variables"]
    assert variables == {"FAILURE_APPCONFIG_CONFIGURATION": {"Ref": f"{function}Profile"}}
    (allowed,) = [s for s in statements(function) if "appconfig" in str(s["Action"])]
    assert re.findall(r"\$\{(\w+)\}", allowed["Resource"]["Fn::Sub"]) == [
        "Application",
        "Environment",
        f"{function}Profile",
    ]


@pytest.mark.parametrize(
    ("function", "action"),
    [
        ("Purchase", "dynamodb:GetItem"),
        ("Images", "dynamodb:GetItem"),
        ("Clicks", "dynamodb:UpdateItem"),
        ("Seed", "dynamodb:BatchWriteItem"),
    ],
)
def test_a_function_may_do_one_thing_to_the_table(function: str, action: str) -> None:
    allowed = [s for s in statements(function) if "dynamodb" in str(s["Action"])]
    assert allowed == [
        {"Effect": "Allow", "Action": action, "Resource": {"Fn::GetAtt": ["Table", "Arn"]}}
    ]


@pytest.mark.parametrize("name", of_type("AWS::Serverless::Function", RESOURCES))
def test_every_handler_exists(name: str) -> None:
    module, function = properties(name)["Handler"].rsplit(".", 1)
    code = SAMPLE_APP / TEMPLATE["Globals"]["Function"]["CodeUri"] / module.replace(".", "/")
    assert f"def {function}(" in code.with_suffix(".py").read_text(encoding="utf-8")


def test_the_layer_holds_the_injector_where_lambda_looks_for_it() -> None:
    layer = SAMPLE_APP / properties("Injector")["ContentUri"]
    assert (layer / "python" / "gameday_injector" / "__init__.py").is_file()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_under_experiment_has_the_layer(function: str) -> None:
    assert properties(f"{function}Function")["Layers"] == [{"Ref": "Injector"}]


@pytest.mark.parametrize("name", of_type("AWS::Serverless::Function", RESOURCES))
def test_every_function_logs_where_logs_end(name: str) -> None:
    log_group = properties(name)["LoggingConfig"]["LogGroup"]["Ref"]
    assert properties(log_group)["RetentionInDays"] <= 7


def test_the_build_is_a_copy() -> None:
    code = SAMPLE_APP / TEMPLATE["Globals"]["Function"]["CodeUri"]
    assert not list(code.rglob("requirements.txt"))


def test_the_alarm_stays_quiet_without_calls() -> None:
    alarm = properties("PurchaseErrorsAlarm")
    assert alarm["TreatMissingData"] == "notBreaching"
    assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "PurchaseFunction"}}]


def test_the_outputs_are_those_that_the_examples_use() -> None:
    assert TEMPLATE["Outputs"].keys() == {
        *(f"{f}{kind}" for f in FUNCTIONS for kind in ("Url", "Profile", "Function")),
        "Application",
        "Environment",
        "ImagesRole",
        "PurchaseErrorsAlarm",
        "TableName",
    }


def test_every_output_is_described() -> None:
    assert all(entry["Description"] for entry in TEMPLATE["Outputs"].values())


def test_every_event_is_one_of_a_rest_api() -> None:
    events = [e for f in FUNCTIONS for e in properties(f"{f}Function")["Events"].values()]
    assert {event["Type"] for event in events} == {"Api"}
