"""The rules of the templates."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.house.project import (
    FUNCTIONS,
    RESOURCES,
    ROOT,
    TEMPLATE,
    TEMPLATES,
    actions,
    of_type,
    permissions,
    template,
)

CHECKOV_EXCEPTIONS = yaml.safe_load(
    (ROOT / "tests/security/exceptions.yaml").read_text(encoding="utf-8")
)
CONSTRAINTS = {"AllowedPattern", "AllowedValues", "MinLength", "MinValue"}

each_template = pytest.mark.parametrize("path", TEMPLATES)


def statements(node: Any) -> Iterator[Any]:
    """Every statement of every policy, wherever in a template it is."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and "Effect" in node:
        yield node
    for child in children:
        yield from statements(child)


def source(path: str, statement: Any) -> list[str]:
    """The lines of a statement; those after it belong to what comes next."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return lines[statement.start_mark.line : statement.end_mark.line]


def has_wildcard(line: str) -> bool:
    return "*" in line.partition("# ")[0]


@each_template
def test_every_statement_with_a_wildcard_says_why(path: str) -> None:
    silent = []
    for statement in statements(template(path)):
        lines = source(path, statement)
        wildcards = [number for number, line in enumerate(lines) if has_wildcard(line)]
        before = lines[: max(wildcards, default=0)]
        if wildcards and not any(line.strip().startswith("# ") for line in before):
            silent.append(f"{path}:{statement.start_mark.line + 1}")
    assert silent == []


@each_template
def test_no_action_and_no_principal_is_a_wildcard_and_nothing_is_said_by_exclusion(
    path: str,
) -> None:
    for statement in statements(template(path)):
        assert statement.keys() <= {"Effect", "Action", "Resource", "Principal", "Condition"}
        assert "*" not in f"{statement['Action']} {statement.get('Principal')}"


@each_template
def test_no_policy_is_one_that_others_write(path: str) -> None:
    for resource in template(path)["Resources"].values():
        for policy in resource.get("Properties", {}).get("Policies", ()):
            assert policy.keys() & {"Statement", "PolicyDocument", "Ref"}, policy


def test_what_may_be_a_target_is_a_parameter_of_the_stack() -> None:
    for statement in statements(TEMPLATE):
        if "appconfig:" in str(statement["Action"]) and statement["Resource"] != "*":
            named = set(re.findall(r"'Ref': '(\w+)'|\$\{(\w+)\}", str(statement)))
            names = {name for pair in named for name in pair} - {"", "Ids", "Inside"}
            assert names <= {"TargetApplications", *of_type("AWS::AppConfig::DeploymentStrategy")}
            assert names


def test_an_exception_of_checkov_says_why() -> None:
    for exception in CHECKOV_EXCEPTIONS:
        assert exception.keys() == {"check", "resources", "reason"}
        assert re.fullmatch(r"CKV2?_AWS_\d+", exception["check"])
        assert exception["resources"]
        assert re.fullmatch(r"[A-Z].{40,}\.", exception["reason"]), exception["check"]


def test_what_is_invoked_asynchronously_has_a_dead_letter_queue() -> None:
    for name, function in of_type("AWS::Serverless::Function").items():
        targets = [
            function,
            *(event["Properties"] for event in function.get("Events", {}).values()),
        ]
        queues = [
            target.get("DeadLetterQueue", target.get("DeadLetterConfig")) for target in targets
        ]
        assert all(queues) or targets == [function], name


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


def test_only_enabling_and_disabling_can_change_a_target() -> None:
    allowed: dict[str, set[str]] = {}
    for name in FUNCTIONS:
        for action in permissions(name):
            allowed.setdefault(action, set()).add(name)
    reading = re.compile(r"\w+:(List\w+|Get\w+|Invoke\w+|StartConfigurationSession|PassRole)")
    services = ("appconfig:", "lambda:", "iam:", "ssm:")
    changing = {a for a in allowed if a.startswith(services) and not reading.fullmatch(a)}
    assert {action: allowed[action] for action in changing} == CHANGES


LOADING = {
    "lambda:InvokeFunction",
    "lambda:InvokeFunctionUrl",
    "execute-api:Invoke",
    "secretsmanager:GetSecretValue",
}
"""What only the load does, and only where the stack's parameters name it."""


def test_only_the_load_reads_secrets_and_sends_what_is_signed() -> None:
    holders = {action: {f for f in FUNCTIONS if action in permissions(f)} for action in LOADING}
    assert holders == {
        action: {"AwaitEvidenceFunction", "GenerateLoadFunction"} for action in LOADING
    }


def test_without_its_parameter_the_load_has_no_such_permission() -> None:
    statements = RESOURCES["LoadPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    optional = [s["Fn::If"] for s in statements if "Fn::If" in s]
    assert {condition: actions([statement]) for condition, statement, _ in optional} == {
        "HasLoadFunctions": {"lambda:InvokeFunction", "lambda:InvokeFunctionUrl"},
        "HasLoadApis": {"execute-api:Invoke"},
        "HasSecretParameters": {"ssm:GetParameter"},
        "HasSecretNames": {"secretsmanager:GetSecretValue"},
    }
    assert all(otherwise == {"Ref": "AWS::NoValue"} for _, _, otherwise in optional)


def test_without_the_name_of_a_target_there_is_no_permission_for_its_kind() -> None:
    optional = [
        statement["Fn::If"]
        for name, policy in of_type("AWS::IAM::ManagedPolicy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if name != "LoadPolicy"
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
