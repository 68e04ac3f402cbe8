"""The project as data: its templates, its state machine and its files."""

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

ROOT = Path(__file__).parents[2]


def template(path: str) -> dict[str, Any]:
    """A template, CloudFormation's short forms as their long ones."""
    loaded: dict[str, Any] = cfn_yaml.load(str(ROOT / path))
    return loaded


TEMPLATES = ("template.yaml", "sample_app/template.yaml", "sample_app/subscribers.yaml")
TEMPLATE = template(TEMPLATES[0])
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def of_type(resource_type: str, resources: dict[str, Any] = RESOURCES) -> dict[str, Any]:
    """The properties of each resource of one type, by its name."""
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == resource_type
    }


FUNCTIONS = of_type("AWS::Serverless::Function")


def actions(statements: list[dict[str, Any]]) -> set[str]:
    """Every action that statements name."""
    listed = [
        (statement["Fn::If"][1] if "Fn::If" in statement else statement)["Action"]
        for statement in statements
    ]
    return {a for action in listed for a in (action if isinstance(action, list) else [action])}


def permissions(function: str) -> set[str]:
    """Every action that the template permits a function, wherever it does."""
    managed = of_type("AWS::IAM::ManagedPolicy")
    own = FUNCTIONS[function].get("Policies", [])
    attached = [
        policy
        for name, policy in managed.items()
        if {"Ref": name} in own or {"Ref": f"{function}Role"} in policy.get("Roles", ())
    ]
    statements = [statement for policy in own for statement in policy.get("Statement", ())]
    for policy in attached:
        statements.extend(policy["PolicyDocument"]["Statement"])
    # SAM adds this one: Lambda sends what failed with the role of the function.
    queue = {"sqs:SendMessage"} if "DeadLetterQueue" in FUNCTIONS[function] else set()
    return actions(statements) | queue


DEFINITION_TEXT = (ROOT / "statemachine/experiment.asl.json").read_text(encoding="utf-8")
DEFINITION: dict[str, Any] = json.loads(DEFINITION_TEXT)


def _states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        for inside in machines_in(state):
            yield from _states(inside)


def machines_in(state: dict[str, Any]) -> list[dict[str, Any]]:
    """The branches of a Parallel, or what a Map does with each item."""
    return [*state.get("Branches", ()), *filter(None, [state.get("ItemProcessor")])]


STATES = dict(_states(DEFINITION))
"""Every state by its name, those inside of others too: a name is there once in a machine."""
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}


def function_of(state: str) -> str:
    """The resource that a working state invokes."""
    found = re.fullmatch(r"\$\{(\w+)Arn\}", TASKS[state]["Arguments"]["FunctionName"])
    assert found, f"{state} invokes no function of the template"
    return found[1]


_IGNORED = (ROOT / ".gitignore").read_text(encoding="utf-8").split()


def ignored(path: Path) -> bool:
    """Whether git leaves this file or folder alone."""
    return path.name == ".git" or any(fnmatch(path.name, p.rstrip("/")) for p in _IGNORED)


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file that belongs to the project, also in a copy without its repository."""
    for path in sorted(folder.iterdir()):
        if ignored(path):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def relative(path: Path) -> str:
    """The path as a person names it."""
    return path.relative_to(ROOT).as_posix()
