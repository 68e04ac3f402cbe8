"""What stands in for the outside: documents that are valid, findings of a good run, AppConfig."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import Stubber

from gameday.conditions.appconfig import Target
from gameday.experiment import Experiment, Phase, parse, resolve
from gameday.judge import Findings, judge_all
from gameday.observations import LoadReport, Observation, Quantiles, Window
from gameday.runs import Run

EVENTS = Path(__file__).parents[2] / "events"

OUTPUTS = {
    "Application": "shop",
    "Environment": "production",
    "PurchaseProfile": "purchase",
    "PurchaseFunction": "purchase",
    "PurchaseUrl": "https://shop.example/purchase",
    "PurchaseErrorsAlarm": "purchase-errors",
    "ImagesProfile": "images",
    "ImagesFunction": "images",
    "ImagesUrl": "https://shop.example/images",
}
"""What the stack of the sample application gives to experiments."""

type Json = dict[str, Any]


def read(name: str) -> Any:
    """A file of events/."""
    return json.loads((EVENTS / name).read_text(encoding="utf-8"))


def smallest(**changes: Any) -> Json:
    """The smallest valid document, with changes at its top level."""
    document: Json = resolve(read("smallest.json"), OUTPUTS)
    return {**document, **changes}


def changed(document: Json, **changes: Any) -> Json:
    """The document with changes by path: `load__url` is the url in its load."""
    copy = json.loads(json.dumps(document))
    for path, value in changes.items():
        *way, last = path.split("__")
        node = copy
        for key in way:
            node = node[int(key) if isinstance(node, list) else key]
        node[last] = value
    return dict(copy)


def experiment(**changes: Any) -> Experiment:
    """The smallest experiment, with changes by path."""
    return parse(changed(smallest(), **changes))


def longest() -> Experiment:
    """Every window and every wait as long as it may be."""
    windows = {f"{phase}_seconds": 600 for phase in Phase} | {"settle_seconds": 300}
    return experiment(
        windows=windows, load__warm_up_seconds=120, condition__propagation_seconds=180
    )


def load_report(**changes: Any) -> LoadReport:
    """The report of a load of which every request was answered."""
    quantiles = Quantiles(p50=100, p95=200, p99=250, max=300)
    report = LoadReport(
        phase=Phase.CONDITION,
        window=Window(start=1_800_000_000, end=1_800_000_060),
        offered=300,
        sent=300,
        succeeded=300,
        failed=0,
        by_status={"200": 300},
        errors={},
        latency_ms=quantiles,
        schedule_error_ms=quantiles,
        stopped=False,
    )
    return report.model_copy(update=changes)


def findings(value: float | None = 200.0, **changes: Any) -> Findings:
    """The findings of a run that passes: the smallest experiment's p95 was `value` ms."""
    seen = {"95 % respond in": Observation(value=value, samples=300)}
    before = {"95 % respond in": Observation(value=50.0, samples=300)}
    baseline = judge_all(experiment(), before)
    found = Findings(
        baseline=baseline,
        baseline_load=load_report(phase=Phase.BASELINE),
        judgements=judge_all(experiment(), seen, baseline),
        load=load_report(),
        requests=300,
        evidence={"latency": 300},
        found_when_disabled="BAKING",
    )
    return found.model_copy(update=changes)


def run(**facts: Any) -> Run:
    """The record of a run of the smallest experiment, with what its steps noted."""
    return Run(
        run_id="smallest-1",
        execution_arn="arn:aws:states:us-east-1:000000000000:execution:machine:smallest-1",
        experiment=experiment(),
        target=Target(
            application_id="a",
            environment_id="e",
            profile_id="p",
            latest_deployment=1,
            resting_sha256="",
        ),
        guardrail_arns=(),
        started_at=1_800_000_000.0,
        deadline=1_800_001_000.0,
        facts=facts,
    )


RESTING = b'{"latency": {"enabled": false}}'


@dataclass
class Deployment:
    """One deployment; `coming` are the states that it still goes through, one for each look."""

    number: int
    profile: str
    version: str
    description: str
    state: str
    coming: list[str] = field(default_factory=list)


IN_PROGRESS = {"VALIDATING", "DEPLOYING", "BAKING", "ROLLING_BACK"}
OFF = {"ROLLING_BACK", "ROLLED_BACK", "REVERTED"}


class FakeAppConfig:
    """AppConfig, control and data plane, with one application of one environment.

    Deployments take effect at once and bake until they are stopped: one at a time in the
    environment, and each only onto the latest that its caller knows.
    """

    class exceptions:
        ClientError = ClientError
        ResourceNotFoundException = type("ResourceNotFoundException", (Exception,), {})

    def __init__(self, resting: bytes | None = RESTING) -> None:
        self.names = {
            "list_applications": [{"Id": "a1", "Name": "shop"}],
            "list_environments": [{"Id": "e1", "Name": "production"}],
            "list_configuration_profiles": [
                {"Id": "p1", "Name": "images", "Type": "AWS.Freeform", "LocationUri": "hosted"},
                {"Id": "p2", "Name": "purchase", "LocationUri": "hosted"},
            ],
        }
        self.versions: dict[int, bytes] = {}
        self.deployments: list[Deployment] = []
        self._versions = 0
        self.states_of_next: list[str] = ["BAKING"]
        self.lost: set[str] = set()
        self.stops = 0
        if resting is not None:
            self.deploy(resting)

    def deploy(self, content: bytes, state: str = "COMPLETE", profile: str = "p1") -> Deployment:
        """Deploy as somebody else does."""
        return self._add(profile, str(self._version(content)), "by hand", [state])

    def _version(self, content: bytes) -> int:
        self._versions += 1
        self.versions[self._versions] = content
        return self._versions

    def serve(self, profile: str = "p1") -> bytes:
        """What a client of the profile is served; empty when nothing is."""
        on = [d for d in self.deployments if d.profile == profile and d.state not in OFF]
        return self.versions[int(on[-1].version)] if on else b""

    def _add(self, profile: str, version: str, description: str, states: list[str]) -> Deployment:
        number = len(self.deployments) + 1
        added = Deployment(number, profile, version, description, states[0], states[1:])
        self.deployments.append(added)
        return added

    # -- control plane

    def get_paginator(self, operation: str) -> "FakeAppConfig":
        self._operation = operation
        return self

    def paginate(self, **_: str) -> Iterator[Json]:
        """One item on each page."""
        found = self.names.get(self._operation)
        for item in found if found is not None else map(_described, self.deployments):
            yield {"Items": [item]}

    def create_hosted_configuration_version(self, *, Content: bytes, **_: str) -> Json:
        return {"VersionNumber": self._version(Content)}

    def delete_hosted_configuration_version(self, *, VersionNumber: int, **_: Any) -> None:
        if self.versions.pop(VersionNumber, None) is None:
            raise self.exceptions.ResourceNotFoundException

    def start_deployment(self, **asked: Any) -> Json:
        if asked["LatestDeploymentNumber"] != len(self.deployments):
            raise _error("ConflictException")
        if any(d.state in IN_PROGRESS for d in self.deployments):
            raise _error("ConflictException")
        profile, version = asked["ConfigurationProfileId"], asked["ConfigurationVersion"]
        if int(version) not in self.versions:
            raise _error("ResourceNotFoundException")
        started = self._add(profile, version, asked["Description"], self.states_of_next)
        self._lose("start_deployment")
        return {"DeploymentNumber": started.number}

    def get_deployment(self, *, DeploymentNumber: int, **_: str) -> Json:
        found = self.deployments[DeploymentNumber - 1]
        answer = _described(found)
        if found.coming:
            found.state = found.coming.pop(0)
        return answer

    def stop_deployment(self, *, DeploymentNumber: int, AllowRevert: bool, **_: str) -> Json:
        self.stops += 1
        found = self.deployments[DeploymentNumber - 1]
        if found.state in OFF or not (AllowRevert or found.state == "DEPLOYING"):
            raise _error("BadRequestException")
        found.state = "REVERTED" if found.state == "COMPLETE" else "ROLLED_BACK"
        self._lose("stop_deployment")
        return {}

    def _lose(self, operation: str) -> None:
        """Do what was asked, and let the answer be lost, once."""
        if operation in self.lost:
            self.lost.remove(operation)
            raise ReadTimeoutError(endpoint_url="https://appconfig.example")

    # -- data plane

    def start_configuration_session(self, *, ConfigurationProfileIdentifier: str, **_: str) -> Json:
        return {"InitialConfigurationToken": ConfigurationProfileIdentifier}

    def get_latest_configuration(self, *, ConfigurationToken: str) -> Json:
        return {"Configuration": io.BytesIO(self.serve(ConfigurationToken))}


def _described(deployment: Deployment) -> Json:
    return {
        "DeploymentNumber": deployment.number,
        "ConfigurationProfileId": deployment.profile,
        "ConfigurationVersion": deployment.version,
        "Description": deployment.description,
        "State": deployment.state,
    }


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "Operation")


def stubbed_dynamodb(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> Iterator[Stubber]:
    """Give a module of the sample application a DynamoDB that answers as told, and only that."""
    monkeypatch.setenv("TABLE_NAME", "table")
    client = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    monkeypatch.setattr(module, "dynamodb", lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()
