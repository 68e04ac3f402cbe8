"""What checkov finds in the templates as CloudFormation gets them, with SAM's part expanded."""

from __future__ import annotations

import json
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from samcli.lib.translate.sam_template_validator import SamTemplateValidator

from tests.house.project import ROOT, TEMPLATES, template

CHECKOV = ROOT / ".venv-security/bin/checkov"
EXCEPTIONS: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("exceptions.yaml").read_text(encoding="utf-8")
)
EXCEPTED = [
    (exception["check"], resource)
    for exception in EXCEPTIONS
    for resource in exception["resources"]
]


def expanded(path: str) -> str:
    """A template as YAML, in which no resource is one of SAM."""
    loaded = json.loads(json.dumps(template(path)))  # what cfn-lint's nodes are, as plain data
    if "Transform" not in loaded:
        return yaml.safe_dump(loaded)
    no_policies_by_name = SimpleNamespace(load=dict)
    validator = SamTemplateValidator(loaded, no_policies_by_name, region="us-east-1")
    return str(validator.get_translated_template_if_valid())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What checkov says of all templates together: starting it takes longer than checking."""
    folder = tmp_path_factory.mktemp("templates")
    for path in TEMPLATES:
        (folder / path.replace("/", "-")).write_text(expanded(path), encoding="utf-8")
    done = subprocess.run(
        [
            *(CHECKOV, "--directory", folder, "--framework", "cloudformation"),
            *("--skip-download", "--soft-fail", "--compact", "--output", "json"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def found(report: dict[str, Any]) -> set[tuple[str, str]]:
    failed = report["results"]["failed_checks"]
    return {(check["check_id"], check["resource"]) for check in failed}


def matches(finding: tuple[str, str], exception: tuple[str, str]) -> bool:
    return finding[0] == exception[0] and fnmatchcase(finding[1], exception[1])


def test_every_template_was_read_to_its_end(report: dict[str, Any]) -> None:
    results = report["results"]
    checks = results["passed_checks"] + results["failed_checks"]
    files = {check["file_path"] for check in checks}
    assert files == {f"/{path.replace('/', '-')}" for path in TEMPLATES}
    assert report["summary"]["parsing_errors"] == 0


def test_checkov_finds_nothing_but_the_exceptions(report: dict[str, Any]) -> None:
    names = {check["check_id"]: check["check_name"] for check in report["results"]["failed_checks"]}
    assert [
        f"{check} {names[check]}: {resource}"
        for check, resource in sorted(found(report))
        if not any(matches((check, resource), exception) for exception in EXCEPTED)
    ] == []


@pytest.mark.parametrize("exception", EXCEPTED, ids=" on ".join)
def test_an_exception_is_still_found(report: dict[str, Any], exception: tuple[str, str]) -> None:
    assert any(matches(finding, exception) for finding in found(report))
