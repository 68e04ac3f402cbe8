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
from gameday.decision import Findings
from gameday.experiment import Experiment, Phase, parse, resolve
from gameday.feasibility import LONGEST_WINDOW_SECONDS
from gameday.judge import Judgement, Recovery, judge
from gameday.observations import Histogram, LoadReport, Observation, Window
from gameday.runs import Run

STAYS_ON = {
    "application": "shop",
    "environment": "production",
    "profile": "flags",
    "flag": "checkout",
    "variant": None,
    "deployment": 7,
}
"""Where a flag of the application was left on."""

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
    "ImagesRole": "images-role",
    "ImagesUrl": "https://shop.example/images",
    "ClicksFunction": "clicks",
    "ClicksUrl": "https://shop.example/clicks",
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
    windows = {f"{phase}_seconds": LONGEST_WINDOW_SECONDS for phase in Phase}
    windows |= {"settle_seconds": 300}
    return experiment(
        windows=windows,
        load__warm_up_seconds=120,
        condition__propagation_seconds=180,
        condition__ramp_minutes=10,
    )


def load_report(**changes: Any) -> LoadReport:
    """The report of a load of which every request was answered."""
    durations = Histogram.of({100: 270, 200: 27, 250: 3})
    report = LoadReport(
        phase=Phase.CONDITION,
        window=Window(start=1_800_000_000, end=1_800_000_060),
        offered=300,
        sent=300,
        succeeded=300,
        failed=0,
        by_status={"200": 300},
        errors={},
        latencies=durations,
        schedule_errors=durations,
        stopped=False,
    )
    return report.model_copy(update=changes)


def observed(value: float | None = 200.0, samples: int = 300) -> Observation:
    """What CloudWatch holds of the smallest experiment's measure if every latency is `value` ms."""
    each = None if value is None else samples / 12
    within = None if value is None else 100.0 * (value < 1000)
    return Observation(
        seconds=60, values={"samples": (each,) * 12, "within": (within,) * 12, "value": (value,)}
    )


def judged(value: float | None, before: float | None = None) -> tuple[Judgement, ...]:
    """The judgement of the smallest experiment, as the only one."""
    (measure,) = experiment().measures
    return (judge(measure, observed(value), None if before is None else observed(before)),)


RECOVERED = Recovery(
    recovered=True,
    seconds=3.7,
    within_seconds=120.0,
    reason="back inside its baseline after 3.7 s",
    missed=False,
)
STILL_MISSED = Recovery(
    recovered=False,
    seconds=None,
    within_seconds=120.0,
    reason="not back inside its baseline within 120 s: 95 % respond in has no data",
    missed=True,
)


def findings(value: float | None = 200.0, **changes: Any) -> Findings:
    """The findings of a run that passes: the smallest experiment's latencies were `value` ms."""
    found = Findings(
        baseline=judged(50.0),
        baseline_load=load_report(phase=Phase.BASELINE),
        judgements=judged(value, before=50.0),
        load=load_report(),
        requests=300,
        effects=experiment().condition.effects,
        evidence={"latency": 300},
        settled=True,
        found_when_disabled="BAKING",
        recovery=RECOVERED,
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
    content: bytes
    description: str
    state: str
    coming: list[str] = field(default_factory=list)


IN_PROGRESS = {"VALIDATING", "DEPLOYING", "BAKING", "ROLLING_BACK"}
OFF = {"ROLLED_BACK", "REVERTED"}


class FakeAppConfig:
    """AppConfig, control and data plane, with one application of two environments.

    Deployments take effect at once and bake until they are stopped: one at a time in an
    environment, and each only onto the latest that its caller knows. A version may be deleted:
    what was deployed of it stays.
    """

    class exceptions:
        ClientError = ClientError
        ResourceNotFoundException = type("ResourceNotFoundException", (Exception,), {})

    def __init__(self, resting: bytes | None = RESTING) -> None:
        self.names = {
            "list_applications": [{"Id": "a1", "Name": "shop"}],
            "list_environments": [
                {"Id": "e1", "Name": "production"},
                {"Id": "e2", "Name": "staging"},
            ],
            "list_configuration_profiles": [
                {"Id": "p1", "Name": "images", "Type": "AWS.Freeform", "LocationUri": "hosted"},
                {"Id": "p2", "Name": "purchase", "LocationUri": "hosted"},
            ],
        }
        self.versions: dict[int, bytes] = {}
        self.environments: dict[str, list[Deployment]] = {"e1": [], "e2": []}
        self._versions = 0
        self.states_of_next: list[str] = ["BAKING"]
        self.states_of_stop: list[str] = ["ROLLED_BACK"]
        self.lost: set[str] = set()
        self.stops = 0
        self.strategies: list[str] = []
        """Of the deployments that were started."""
        if resting is not None:
            self.deploy(resting)

    @property
    def deployments(self) -> list[Deployment]:
        """Those to production."""
        return self.environments["e1"]

    def deploy(
        self, content: bytes, state: str = "COMPLETE", profile: str = "p1", environment: str = "e1"
    ) -> Deployment:
        """Deploy as somebody else does."""
        version = self._version(content)
        return self._add(environment, profile, version, "by hand", [state])

    def _version(self, content: bytes) -> int:
        self._versions += 1
        self.versions[self._versions] = content
        return self._versions

    def serve(self, profile: str = "p1", environment: str = "e1") -> bytes:
        """What a client of the profile is served; empty when nothing is."""
        deployments = self.environments[environment]
        on = [d for d in deployments if d.profile == profile and d.state not in OFF]
        return on[-1].content if on else b""

    def _add(
        self, environment: str, profile: str, version: int, description: str, states: list[str]
    ) -> Deployment:
        added = Deployment(
            number=len(self.environments[environment]) + 1,
            profile=profile,
            version=str(version),
            content=self.versions[version],
            description=description,
            state=states[0],
            coming=states[1:],
        )
        self.environments[environment].append(added)
        return added

    # -- control plane

    def get_paginator(self, operation: str) -> "FakeAppConfig":
        self._operation = operation
        return self

    def paginate(self, EnvironmentId: str = "", **_: str) -> Iterator[Json]:
        """One item on each page."""
        found = self.names.get(self._operation)
        if found is None:
            deployments = self.environments[EnvironmentId]
            found = [_described(deployment) for deployment in reversed(deployments)]
        for item in found:
            yield {"Items": [item]}

    def create_hosted_configuration_version(self, *, Content: bytes, **_: str) -> Json:
        return {"VersionNumber": self._version(Content)}

    def get_hosted_configuration_version(self, *, VersionNumber: int, **_: Any) -> Json:
        return {"Content": io.BytesIO(self.versions[VersionNumber])}

    def delete_hosted_configuration_version(self, *, VersionNumber: int, **_: Any) -> None:
        if self.versions.pop(VersionNumber, None) is None:
            raise self.exceptions.ResourceNotFoundException

    def start_deployment(self, **asked: Any) -> Json:
        environment = asked["EnvironmentId"]
        deployments = self.environments[environment]
        if asked.get("LatestDeploymentNumber", len(deployments)) != len(deployments):
            raise _error("ConflictException")
        if any(d.state in IN_PROGRESS for d in deployments):
            raise _error("ConflictException")
        profile, version = asked["ConfigurationProfileId"], int(asked["ConfigurationVersion"])
        if version not in self.versions:
            raise _error("ResourceNotFoundException")
        states = self.states_of_next
        started = self._add(environment, profile, version, asked["Description"], states)
        self.strategies.append(asked["DeploymentStrategyId"])
        self._lose("start_deployment")
        return {"DeploymentNumber": started.number}

    def _deployment(self, environment: str, number: int) -> Deployment:
        return self.environments[environment][number - 1]

    def get_deployment(self, *, EnvironmentId: str, DeploymentNumber: int, **_: str) -> Json:
        found = self._deployment(EnvironmentId, DeploymentNumber)
        answer = _described(found)
        if found.coming:
            found.state = found.coming.pop(0)
        return answer

    def stop_deployment(
        self, *, EnvironmentId: str, DeploymentNumber: int, AllowRevert: bool, **_: str
    ) -> Json:
        self.stops += 1
        found = self._deployment(EnvironmentId, DeploymentNumber)
        if found.state in {*OFF, "ROLLING_BACK"} or not (AllowRevert or found.state == "DEPLOYING"):
            raise _error("BadRequestException")
        if found.state == "COMPLETE":
            found.state = "REVERTED"
        else:
            found.state, *found.coming = self.states_of_stop
        self._lose("stop_deployment")
        return {}

    def _lose(self, operation: str) -> None:
        """Do what was asked, and let the answer be lost, once."""
        if operation in self.lost:
            self.lost.remove(operation)
            raise ReadTimeoutError(endpoint_url="https://appconfig.example")

    # -- data plane

    def start_configuration_session(
        self, *, ConfigurationProfileIdentifier: str, EnvironmentIdentifier: str, **_: str
    ) -> Json:
        token = f"{EnvironmentIdentifier}/{ConfigurationProfileIdentifier}"
        return {"InitialConfigurationToken": token}

    def get_latest_configuration(self, *, ConfigurationToken: str) -> Json:
        environment, profile = ConfigurationToken.split("/")
        return {"Configuration": io.BytesIO(self.serve(profile, environment))}


def _described(deployment: Deployment) -> Json:
    return {
        "DeploymentNumber": deployment.number,
        "ConfigurationProfileId": deployment.profile,
        "ConfigurationVersion": deployment.version,
        "Description": deployment.description,
        "State": deployment.state,
        "PercentageComplete": 40.0 if deployment.state == "DEPLOYING" else 100.0,
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
