"""The rules of the templates."""

import re
from typing import Any

import pytest

from tests.house.project import ROOT, TEMPLATE, TEMPLATES, of_type, template

CONSTRAINTS = {"AllowedPattern", "AllowedValues", "MinLength", "MinValue"}

each_template = pytest.mark.parametrize("path", TEMPLATES)


@each_template
def test_every_wildcard_says_why(path: str) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    wildcards = [n for n, line in enumerate(lines) if re.search(r"Resource: *['\"]?\*", line)]
    silent = [f"{path}:{n + 1}" for n in wildcards if not lines[n - 1].strip().startswith("# ")]
    assert silent == []


@each_template
def test_a_wildcard_cannot_hide_in_a_list(path: str) -> None:
    def resources(node: Any) -> list[Any]:
        if isinstance(node, dict):
            own = [node["Resource"]] if "Effect" in node and "Resource" in node else []
            return own + [found for value in node.values() for found in resources(value)]
        if isinstance(node, list):
            return [found for value in node for found in resources(value)]
        return []

    lists = [found for found in resources(template(path)) if isinstance(found, list)]
    assert not [found for found in lists if "*" in found]


@each_template
def test_every_parameter_is_described_and_constrained(path: str) -> None:
    for name, parameter in template(path).get("Parameters", {}).items():
        assert parameter["Description"], name
        assert CONSTRAINTS & parameter.keys(), name


@each_template
def test_every_output_and_every_function_is_described(path: str) -> None:
    loaded = template(path)
    functions = of_type("AWS::Serverless::Function", loaded["Resources"])
    for name, described in {**loaded["Outputs"], **functions}.items():
        assert re.fullmatch(r"\S.*\.", described.get("Description", "")), name


@each_template
def test_every_parameter_is_used(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    for name in template(path).get("Parameters", {}):
        assert re.search(rf"!Ref {name}\b|\$\{{{name}\}}", text), name


def test_functions_stand_in_the_order_of_the_flow() -> None:
    functions = [f"{name}Arn" for name in of_type("AWS::Serverless::Function")]
    machine = TEMPLATE["Resources"]["ExperimentStateMachine"]["Properties"]
    assert functions == [*machine["DefinitionSubstitutions"], "RollBackFunctionArn"]


RESTORING = {"EnableConditionFunction", "DisableConditionFunction", "RollBackFunction"}
CHANGES = {
    "appconfig:CreateHostedConfigurationVersion": {"EnableConditionFunction"},
    "appconfig:StartDeployment": {"EnableConditionFunction"},
    "appconfig:StopDeployment": RESTORING,
    "appconfig:DeleteHostedConfigurationVersion": RESTORING,
    "lambda:UpdateFunctionConfiguration": RESTORING,
    "lambda:PutFunctionConcurrency": RESTORING,
    "lambda:DeleteFunctionConcurrency": RESTORING,
    "iam:PutRolePolicy": {"EnableConditionFunction"},
    "iam:DeleteRolePolicy": RESTORING,
    "ssm:PutParameter": RESTORING,
}
OPTIONAL = {"HasTargetFunctions", "HasTargetRoles", "HasTargetParameters"}
"""The conditions of the statements that name such targets: without them there is no statement."""


def actions(statements: list[dict[str, Any]]) -> set[str]:
    listed = [
        (statement["Fn::If"][1] if "Fn::If" in statement else statement)["Action"]
        for statement in statements
    ]
    return {a for action in listed for a in (action if isinstance(action, list) else [action])}


def test_only_enabling_and_disabling_can_change_a_target() -> None:
    managed = {
        name: actions(policy["PolicyDocument"]["Statement"])
        for name, policy in of_type("AWS::IAM::ManagedPolicy").items()
    }
    allowed: dict[str, set[str]] = {}
    for name, function in of_type("AWS::Serverless::Function").items():
        for policy in function.get("Policies", ()):
            own = actions(policy["Statement"]) if "Statement" in policy else managed[policy["Ref"]]
            for action in own:
                allowed.setdefault(action, set()).add(name)
    reading = re.compile(r"\w+:(List\w+|Get\w+|StartConfigurationSession|PassRole)")
    services = ("appconfig:", "lambda:", "iam:", "ssm:")
    changing = {a for a in allowed if a.startswith(services) and not reading.fullmatch(a)}
    assert {action: allowed[action] for action in changing} == CHANGES


def test_without_the_name_of_a_target_there_is_no_permission_for_its_kind() -> None:
    optional = [
        statement["Fn::If"]
        for policy in of_type("AWS::IAM::ManagedPolicy").values()
        for statement in policy["PolicyDocument"]["Statement"]
        if "Fn::If" in statement
    ]
    assert {condition for condition, _, _ in optional} == OPTIONAL
    assert all(otherwise == {"Ref": "AWS::NoValue"} for _, _, otherwise in optional)
    prefixes = {
        "HasTargetFunctions": "lambda",
        "HasTargetRoles": "iam",
        "HasTargetParameters": "ssm",
    }
    for condition, statement, _ in optional:
        actions_of = statement["Action"]
        assert all(action.startswith(prefixes[condition] + ":") for action in actions_of)
