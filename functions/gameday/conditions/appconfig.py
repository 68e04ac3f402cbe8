"""The conditions whose switch is an AppConfig profile, freeform or of feature flags.

Enabling is a deployment with a strategy of no duration and a bake longer than any run: the
bake is the run. While it lasts AppConfig takes no other deployment to the environment, and its
own monitors roll back on an alarm. Disabling is StopDeployment with AllowRevert, which
restores what was there before. A ramp is the same deployment with a strategy that grows before it
bakes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from gameday.conditions import kind
from gameday.conditions.failure_lambda import MODES_1, RULES, Configured, Format, resting_faults
from gameday.conditions.kind import (
    GROWING,
    NEVER,
    ON,
    Effect,
    Reach,
    Standing,
    by_mode,
    polls,
)
from gameday.errors import (
    ConditionNotDisabled,
    ConditionNotEnabled,
    ConfigurationChanged,
    RunRefused,
    RunStopped,
)
from gameday.kinds import CloudWatchMetric

if TYPE_CHECKING:
    from mypy_boto3_appconfig import AppConfigClient
    from mypy_boto3_appconfigdata import AppConfigDataClient

_IN_PROGRESS = {"VALIDATING", "DEPLOYING", "BAKING", "ROLLING_BACK"}
_SERVED = {"BAKING", "COMPLETE"}
_ENDED_OFF = {"ROLLED_BACK", "REVERTED"}
_Minutes = Literal[1, 2, 5, 10]
RAMPS: tuple[int, ...] = get_args(_Minutes)
"""The minutes that a ramp may take; each has a deployment strategy of its own in the stack."""

_FREEFORM, _FLAGS = "AWS.Freeform", "AWS.AppConfig.FeatureFlags"


class _Profile(kind.Condition):
    """Where the switch is."""

    application: str = Field(min_length=1, max_length=64, description="Name or id.")
    environment: str = Field(min_length=1, max_length=64, description="Name or id.")
    profile: str = Field(min_length=1, max_length=128, description="Name or id.")
    ramp_minutes: _Minutes | None = Field(
        default=None,
        description="How long it grows, in five even steps, until all clients are given it.",
    )

    profile_type: ClassVar[str]

    @property
    def ramp_seconds(self) -> int:
        """See `kind.Condition`."""
        return 60 * (self.ramp_minutes or 0)

    def content(self, stored: bytes, expires_at: float) -> dict[str, Any]:
        """The version to deploy, made from the stored one that is deployed now."""
        raise NotImplementedError

    def faults(self, where: str, served: bytes, stored: bytes) -> list[str]:
        """Why it may not start from what is served to the target, and stored, now."""
        raise NotImplementedError


class AppConfigCondition(Configured, _Profile):
    """A fault that the target's injector reads from an AppConfig freeform profile."""

    kind: Literal["appconfig"]
    format: Literal[Format.FAILURE_LAMBDA_0, Format.FAILURE_LAMBDA_1] = Format.FAILURE_LAMBDA_1

    profile_type = _FREEFORM

    def content(self, stored: bytes, expires_at: float) -> dict[str, Any]:
        """See `_Profile`."""
        return self.leased(expires_at)

    def faults(self, where: str, served: bytes, stored: bytes) -> list[str]:
        """See `_Profile`."""
        return self.resting_faults(where, served)


class FlagCondition(_Profile):
    """A feature flag of the application, or a mode of failure-lambda 1.x, in a flags profile."""

    kind: Literal["flag"]
    flag: str = Field(pattern=r"^[a-z][a-zA-Z\d_-]{0,63}$", description="Its key.")
    variant: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        description="Which variant of it: needed where it has any.",
    )
    enabled: bool = Field(default=True, description="Whether the run turns it on or off.")
    attributes: dict[str, str | bool | float | int | tuple[str, ...] | tuple[float, ...]] = Field(
        default_factory=dict,
        max_length=25,
        validate_default=True,
        description="Values of its attributes; those that are not named stay.",
    )
    afterwards: Literal["turn_back", "stay_if_passed"] = Field(
        default="turn_back",
        description="Whether the flag stays as the run set it where the verdict is PASSED.",
    )

    profile_type = _FLAGS

    @field_validator("variant")
    @classmethod
    def _not_of_a_mode(cls, variant: str | None, info: ValidationInfo) -> str | None:
        if variant and info.data.get("flag") in MODES_1:
            raise ValueError("a mode of failure-lambda is kept as a flag without variants")
        return variant

    @field_validator("afterwards")
    @classmethod
    def _no_fault_stays(cls, afterwards: str, info: ValidationInfo) -> str:
        if afterwards == "stay_if_passed" and info.data.get("flag") in MODES_1:
            raise ValueError("a mode of failure-lambda is a fault, which never stays on")
        return afterwards

    @field_validator("attributes")
    @classmethod
    def _obeyed_by_the_library(cls, attributes: dict[str, Any], info: ValidationInfo) -> Any:
        flag = str(info.data.get("flag"))
        if "enabled" in attributes:
            raise ValueError("enabled is no attribute: it has a field of its own")
        if flag in MODES_1 and info.data.get("enabled", True):
            RULES[Format.FAILURE_LAMBDA_1].check({flag: {**_lists(attributes), "enabled": True}})
        return attributes

    @property
    def modes(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        return (self.flag,)

    @property
    def reach(self) -> Reach:
        """See `kind.Condition`."""
        if self.flag not in MODES_1:
            return Reach()
        return RULES[Format.FAILURE_LAMBDA_1].reach({self.flag: {**self._values, "enabled": True}})

    @property
    def stays_if_passed(self) -> bool:
        """See `kind.Condition`."""
        return self.afterwards == "stay_if_passed"

    def left_on(self, change: Any) -> dict[str, Any]:
        """See `kind.Condition`; the names are the document's."""
        names = ("application", "environment", "profile", "flag", "variant")
        return {name: getattr(self, name) for name in names} | {"deployment": change.deployment}

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        if not self.stays_if_passed:
            return ()
        return (
            f"if the verdict is PASSED, flag {self.flag!r} stays as the run sets it: its "
            f"deployment bakes for up to three hours, in which environment {self.environment!r} "
            "takes no other, and its monitors may still roll it back",
        )

    @property
    def _values(self) -> dict[str, Any]:
        return _lists(self.attributes)

    def _given(self, mode: str) -> CloudWatchMetric | None:
        return by_mode(self.evidence, mode) if mode in MODES_1 else self.evidence

    def _proof(self, mode: str) -> CloudWatchMetric:
        if mode in MODES_1:
            return super()._proof(mode)
        # AppConfig serves what was deployed: every invocation after the poll interval reads it.
        return CloudWatchMetric(
            namespace="AWS/Lambda", name="Invocations", dimensions={"FunctionName": self.function}
        )

    @property
    def effects(self) -> Mapping[str, Effect]:
        """See `kind.Condition`."""
        if self.flag not in MODES_1:
            return {}
        rules = RULES[Format.FAILURE_LAMBDA_1]
        return rules.effects({self.flag: {**self._values, "enabled": True}})

    def content(self, stored: bytes, expires_at: float) -> dict[str, Any]:
        """See `_Profile`: clients get neither the schema nor what is disabled, so not from there.

        A flag of AppConfig has no lease: only what is stored may be in it.
        """
        document = json.loads(stored)
        values = document["values"]
        changed = self._changed(values.get(self.flag, {}))
        return {**document, "values": {**values, self.flag: changed}}

    def _changed(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """The flag's value as the run sets it; of one with variants only the named one differs.

        Format: AppConfig's guide, type reference of AWS.AppConfig.FeatureFlags.
        """
        if self.variant is None:
            return {**now, "enabled": self.enabled, **self._values}
        variants = [
            self._of_variant(variant) if variant["name"] == self.variant else variant
            for variant in now["_variants"]
        ]
        return {**now, "_variants": variants}

    def _of_variant(self, now: Mapping[str, Any]) -> dict[str, Any]:
        changed = {**now, "enabled": self.enabled}
        if self._values:
            changed["attributeValues"] = {**now.get("attributeValues", {}), **self._values}
        return changed

    def faults(self, where: str, served: bytes, stored: bytes) -> list[str]:
        """See `_Profile`."""
        try:
            flags, values = json.loads(stored)["flags"], json.loads(stored)["values"]
        except (ValueError, KeyError, TypeError):
            return [f"{where} has no hosted version of feature flags deployed: deploy one first"]
        if self.flag not in flags:
            return [f"{where} has no flag {self.flag!r} (it has: {', '.join(sorted(flags))})"]
        now = values.get(self.flag, {})
        unfit = self._other_variants(now)
        if unfit:
            return [f"flag {self.flag!r} of {where} {unfit}"]
        unknown = self.attributes.keys() - flags[self.flag].get("attributes", {}).keys()
        if unknown:
            return [f"flag {self.flag!r} of {where} has no attribute {', '.join(sorted(unknown))}"]
        # What AppConfig itself writes beside the attributes begins with a line: _createdAt.
        unnamed = {name for name in now if name[0] != "_"} - {"enabled", *self.attributes}
        if unnamed and self.flag in MODES_1 and self.enabled:
            # A ceiling holds for what the document says: nothing else may count.
            return [
                f"flag {self.flag!r} of {where} has {', '.join(sorted(unnamed))} stored: name that "
                "in attributes, too"
            ]
        if self._changed(now) in (now, {"enabled": False, **now}):
            return [f"flag {self.flag!r} of {where} is so already: it would change nothing"]
        if self.flag in MODES_1 and self.enabled:
            ours = self.evidence is None
            return resting_faults(where, Format.FAILURE_LAMBDA_1, self.modes, served, ours=ours)
        return []

    def _other_variants(self, now: Mapping[str, Any]) -> str | None:
        """What the flag has where the document asks for another variant, or for none."""
        names = [str(variant["name"]) for variant in now.get("_variants", ())]
        has = f"variants (it has: {', '.join(names)})"
        if names and self.flag in MODES_1:
            return f"has {has}: a mode of failure-lambda is kept as a flag without variants"
        if names and self.variant is None:
            return f"has {has}: name one of them as variant"
        if self.variant is not None and self.variant not in names:
            return f"has no variant {self.variant!r} (it has: {', '.join(names) or 'none'})"
        return None


def _lists(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has them."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in attributes.items()
    }


class Target(kind.Target):
    """The profile, and what was deployed and served before."""

    application_id: str
    environment_id: str
    profile_id: str
    latest_deployment: int
    resting_sha256: str
    resting_version: str | None = None

    @property
    def lock(self) -> str:
        """AppConfig deploys to an environment one at a time."""
        return f"appconfig/{self.application_id}/{self.environment_id}"


class Change(kind.Change):
    """The version and the deployment that the run made.

    `version` is known before the deployment starts, `deployment` only after: what lies between
    is found again by the version and the description, which name this run alone.
    """

    version: int
    deployment: int | None = None

    @property
    def started(self) -> bool:
        """See `kind.Change`."""
        return self.deployment is not None


@dataclass(frozen=True)
class AppConfig:
    """The two faces of the service, and the strategies with which conditions are deployed.

    `ramps` are those that grow, by how many minutes they take.
    """

    control: AppConfigClient
    data: AppConfigDataClient
    strategy_id: str
    ramps: Mapping[int, str] = field(default_factory=dict)
    timeout_seconds: float = 60.0

    # -- before ---------------------------------------------------------------------------

    def examine(self, condition: Any) -> Target:
        """Find the target and make sure that it may be changed now.

        Raises:
            RunRefused: with every reason and what to do about each.
        """
        try:
            return self._examined(condition)
        except self.control.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            raise RunRefused(
                [
                    f"Gameday may not touch AppConfig application {condition.application!r}: add "
                    "its id to the parameter TargetApplications and deploy Gameday's stack again"
                ]
            ) from error

    def _examined(self, condition: _Profile) -> Target:
        application = self._named(
            condition.application, self._pages("list_applications"), "application", "the account"
        )["Id"]
        inside = f"application {condition.application!r}"
        environment = self._named(
            condition.environment,
            self._pages("list_environments", ApplicationId=application),
            "environment",
            inside,
        )["Id"]
        profile = self._named(
            condition.profile,
            self._pages("list_configuration_profiles", ApplicationId=application),
            "configuration profile",
            inside,
        )
        _refuse_other_profiles(condition, profile)
        latest = next(self._deployments(application, environment), None)
        if latest and latest["State"] in _IN_PROGRESS:
            raise self._busy(application, environment, condition, latest)
        resting = self._served(application, environment, profile["Id"])
        target = Target(
            application_id=application,
            environment_id=environment,
            profile_id=profile["Id"],
            latest_deployment=latest["DeploymentNumber"] if latest else 0,
            resting_sha256=_sha256(resting),
            resting_version=self._deployed_version(condition, application, environment, profile),
        )
        where = f"profile {condition.profile!r} in environment {condition.environment!r}"
        faults = condition.faults(where, resting, self._stored(target))
        if faults:
            raise RunRefused(faults)
        return target

    def _deployed_version(
        self,
        condition: _Profile,
        application: str,
        environment: str,
        profile: Mapping[str, Any],
    ) -> str | None:
        """The version from which a condition of a flags profile is made; others need none."""
        if condition.profile_type != _FLAGS:
            return None
        served = self._newest_of_each_profile(application, environment, None)
        return next(
            (
                str(full["ConfigurationVersion"])
                for full in served
                if full["ConfigurationProfileId"] == profile["Id"]
            ),
            None,
        )

    def _stored(self, target: Target) -> bytes:
        if target.resting_version is None:
            return b""
        found = self.control.get_hosted_configuration_version(
            ApplicationId=target.application_id,
            ConfigurationProfileId=target.profile_id,
            VersionNumber=int(target.resting_version),
        )
        return found["Content"].read()

    def _busy(
        self,
        application: str,
        environment: str,
        condition: _Profile,
        latest: Mapping[str, Any],
    ) -> RunRefused:
        # The description tells whose it is: another run's name is in it.
        number = latest["DeploymentNumber"]
        description = self._deployment(application, environment, number).get("Description")
        whose = f", {description!r}" if description else ""
        return RunRefused(
            [
                f"deployment {number} to environment "
                f"{condition.environment!r} is in progress ({latest['State']}{whose}): "
                "wait until it is complete, or stop it"
            ]
        )

    def _pages(self, operation: Any, **arguments: str) -> Iterator[Mapping[str, Any]]:
        for page in self.control.get_paginator(operation).paginate(**arguments):
            yield from page["Items"]

    def _named(
        self, wanted: str, found: Iterator[Mapping[str, Any]], what: str, where: str
    ) -> Mapping[str, Any]:
        names = {}
        for item in found:
            if wanted in (item["Id"], item["Name"]):
                return item
            names[item["Name"]] = item["Id"]
        known = ", ".join(sorted(names)) or "none"
        raise RunRefused(
            [f"there is no AppConfig {what} {wanted!r} in {where} (it has: {known}); create it"]
        )

    # -- do -------------------------------------------------------------------------------

    def enable(
        self,
        condition: Any,
        target: Target,
        run_id: str,
        expires_at: float,
        change: Change | None,
        remember: Callable[[Change], None],
    ) -> Change:
        """Turn the condition on and wait until AppConfig serves it, or begins to.

        `remember` is called before the deployment and after it; whatever it raises stops the
        enabling, and a deployment that was started by then is stopped again. Called again
        after a lost answer, it goes on with the deployment of the first call.

        Raises:
            ConditionNotEnabled: AppConfig did not serve it in time, or rolled it back.
            ConfigurationChanged: somebody else deployed since the run was armed.
        """
        if change is None:
            change = Change(version=self._create_version(condition, target, run_id, expires_at))
            remember(change)
        number = change.deployment
        if number is None:
            number = self._start(condition, target, change.version, run_id)
            change = change.model_copy(update={"deployment": number})
            self._remember_or_stop(target, change, run_id, remember)
        self._await_served(target, number, grows=bool(condition.ramp_minutes))
        return change

    def _remember_or_stop(
        self, target: Target, change: Change, run_id: str, remember: Callable[[Change], None]
    ) -> None:
        # An undo that came between the start and this line saw no deployment: it is ours to stop.
        try:
            remember(change)
        except RunStopped:
            self.disable(target, change, run_id, notice=lambda _: None)
            raise

    def _create_version(
        self, condition: _Profile, target: Target, run_id: str, expires_at: float
    ) -> int:
        content = condition.content(self._stored(target), expires_at)
        answer = self.control.create_hosted_configuration_version(
            ApplicationId=target.application_id,
            ConfigurationProfileId=target.profile_id,
            Content=json.dumps(content).encode(),
            ContentType="application/json",
            Description=_description(run_id),
        )
        return answer["VersionNumber"]

    def _start(self, condition: _Profile, target: Target, version: int, run_id: str) -> int:
        minutes = condition.ramp_minutes
        try:
            answer = self.control.start_deployment(
                ApplicationId=target.application_id,
                EnvironmentId=target.environment_id,
                ConfigurationProfileId=target.profile_id,
                ConfigurationVersion=str(version),
                DeploymentStrategyId=self.ramps[minutes] if minutes else self.strategy_id,
                Description=_description(run_id),
                LatestDeploymentNumber=target.latest_deployment,  # compare and set
            )
        except self.control.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ConflictException":
                raise
            ours = self._find(target, version, run_id)
            if ours is None:
                raise ConfigurationChanged(
                    "somebody else deployed to the environment after this run was armed: "
                    "the condition was not enabled"
                ) from error
            return ours
        return answer["DeploymentNumber"]

    def _await_served(self, target: Target, number: int, *, grows: bool) -> None:
        for state in self._states(target, number):
            _refuse_rolled_back(number, state)
            if state in _SERVED or (grows and state == GROWING):
                return
        raise ConditionNotEnabled(
            f"deployment {number} was not served within {self.timeout_seconds:g} s"
        )

    def grown(self, target: Target, change: Change) -> float:
        """See `kind.Kind`."""
        number = change.deployment or 0  # it is known: the condition was enabled
        full = self._deployment(target.application_id, target.environment_id, number)
        _refuse_rolled_back(number, full["State"])
        return 100.0 if full["State"] in _SERVED else float(full["PercentageComplete"])

    # -- undo -----------------------------------------------------------------------------

    def stands(self, target: Target, change: Change) -> bool:
        """See `kind.Kind`: while it bakes, nobody deploys anything over it."""
        return change.deployment is not None and self._state(target, change.deployment) == ON

    def disable(
        self, target: Target, change: Change | None, run_id: str, notice: Callable[[str], None]
    ) -> None:
        """Turn the condition off and prove it by reading back what the target is served.

        Idempotent, and harmless when nothing was enabled. `notice` is told the state in which the
        deployment is found, before anything is stopped: `BAKING` in a run that went well,
        `DEPLOYING` and how far it had come while it grows, `ROLLED_BACK` when somebody else (a
        person, a monitor) turned it off before, `NEVER` when it was never started. The version
        that the run made is deleted, so that an enabling that is still under way somewhere has
        nothing to deploy.

        Raises:
            ConfigurationChanged: somebody else deployed over it; nothing was touched.
            ConditionNotDisabled: it is not proven off; call again.
        """
        if change is None:
            notice(NEVER)
            return
        number = change.deployment or self._find(target, change.version, run_id)
        if number is None:
            self._delete_version(target, change.version)
            number = self._find(target, change.version, run_id)  # started meanwhile?
        if number is None:
            notice(NEVER)
            return
        full = self._deployment(target.application_id, target.environment_id, number)
        notice(_found(full))
        if full["State"] not in _ENDED_OFF:
            self._refuse_to_overwrite(target, number)
            self._stop(target, number)
        self._prove_off(target, number)
        with suppress(
            self.control.exceptions.ClientError
        ):  # a version that stays is untidy, no more
            self._delete_version(target, change.version)

    def _delete_version(self, target: Target, version: int) -> None:
        with suppress(self.control.exceptions.ResourceNotFoundException):
            self.control.delete_hosted_configuration_version(
                ApplicationId=target.application_id,
                ConfigurationProfileId=target.profile_id,
                VersionNumber=version,
            )

    def _stop(self, target: Target, number: int) -> None:
        try:
            self.control.stop_deployment(
                ApplicationId=target.application_id,
                EnvironmentId=target.environment_id,
                DeploymentNumber=number,
                AllowRevert=True,
            )
        except self.control.exceptions.ClientError as error:
            # Somebody else's stop came first, or the answer to ours was lost: the states tell.
            if error.response["Error"]["Code"] not in {"BadRequestException", "ConflictException"}:
                raise

    def _refuse_to_overwrite(self, target: Target, number: int) -> None:
        for newer in self._deployments_since(target, number):
            if newer["ConfigurationProfileId"] == target.profile_id:
                raise ConfigurationChanged(
                    f"deployment {newer['DeploymentNumber']} "
                    f"({newer.get('Description') or 'without a description'}, configuration "
                    f"version {newer['ConfigurationVersion']}, {newer['State']}) replaced the "
                    f"condition's deployment {number}: it is not ours to revert"
                )

    def _await_off(self, target: Target, number: int) -> str:
        for state in self._states(target, number):
            if state in _ENDED_OFF:
                return state
        raise ConditionNotDisabled(f"deployment {number} is still {state}")

    def _prove_off(self, target: Target, number: int) -> None:
        state = self._await_off(target, number)
        served = self._served(target.application_id, target.environment_id, target.profile_id)
        if _sha256(served) == target.resting_sha256:
            return
        self._refuse_to_overwrite(target, number)
        raise ConditionNotDisabled(
            f"deployment {number} is {state}, but the target is not served its resting "
            "configuration"
        )

    # -- by hand --------------------------------------------------------------------------

    def standing(self, application: str) -> Iterator[Standing]:
        """Find every condition of ours that is on in an application (its id).

        Asks AppConfig and no record of ours: what is found is on, whatever we believe.
        """
        profiles = {
            profile["Id"]: profile["Name"]
            for profile in self._pages("list_configuration_profiles", ApplicationId=application)
        }
        for environment in self._pages("list_environments", ApplicationId=application):
            for full in self._newest_of_each_profile(application, environment["Id"], len(profiles)):
                run_id = _run_of(full.get("Description", ""))
                if run_id:
                    profile = full["ConfigurationProfileId"]
                    yield Standing(
                        run_id=run_id,
                        where=f"application {application}, environment {environment['Name']}, "
                        f"profile {profiles[profile]}, deployment {full['DeploymentNumber']}",
                        state=full["State"],
                        target=Target(
                            application_id=application,
                            environment_id=environment["Id"],
                            profile_id=profile,
                            latest_deployment=0,
                            resting_sha256="",
                        ),
                        change=Change(
                            version=int(full["ConfigurationVersion"]),
                            deployment=full["DeploymentNumber"],
                        ),
                    )

    def _newest_of_each_profile(
        self, application: str, environment: str, profiles: int | None
    ) -> Iterator[Mapping[str, Any]]:
        """The deployments that are served: those that were not undone, the newest of each."""
        seen: set[str] = set()
        for item in self._deployments(application, environment):
            if len(seen) == profiles:
                return
            if item["State"] in _ENDED_OFF:
                continue
            full = self._deployment(application, environment, item["DeploymentNumber"])
            profile = full["ConfigurationProfileId"]
            if profile not in seen:
                seen.add(profile)
                yield full

    def turn_off(self, standing: Standing) -> None:
        """Undo the deployment of a condition of which there is no record any more.

        Raises:
            ConditionNotDisabled: AppConfig did not undo it in time; call again.
        """
        self._stop(standing.target, standing.change.deployment)
        self._await_off(standing.target, standing.change.deployment)

    # -- the service ----------------------------------------------------------------------

    def _states(self, target: Target, number: int) -> Iterator[str]:
        """The states of a deployment, until the timeout; always at least one."""
        for _ in polls(self.timeout_seconds):
            yield self._state(target, number)

    def _state(self, target: Target, number: int) -> str:
        full = self._deployment(target.application_id, target.environment_id, number)
        return str(full["State"])

    def _deployment(self, application: str, environment: str, number: int) -> Any:
        return self.control.get_deployment(
            ApplicationId=application, EnvironmentId=environment, DeploymentNumber=number
        )

    def _deployments(self, application: str, environment: str) -> Iterator[Mapping[str, Any]]:
        """The deployments to an environment, the newest first (API_ListDeployments).

        Page by page: an environment may have had thousands, and who asks wants the last few.
        """
        return self._pages("list_deployments", ApplicationId=application, EnvironmentId=environment)

    def _deployments_since(self, target: Target, number: int) -> Iterator[Mapping[str, Any]]:
        """The deployments after one of them, in full, the newest first."""
        for item in self._deployments(target.application_id, target.environment_id):
            if item["DeploymentNumber"] <= number:
                return
            yield self._deployment(
                target.application_id, target.environment_id, item["DeploymentNumber"]
            )

    def _find(self, target: Target, version: int, run_id: str) -> int | None:
        """The deployment that this run started, if it did."""
        for full in self._deployments_since(target, target.latest_deployment):
            ours = full.get("Description") == _description(run_id)
            if ours and full["ConfigurationVersion"] == str(version):
                return int(full["DeploymentNumber"])
        return None

    def _served(self, application: str, environment: str, profile: str) -> bytes:
        """What a client that starts now is served; empty when nothing was ever deployed."""
        token = self.data.start_configuration_session(
            ApplicationIdentifier=application,
            EnvironmentIdentifier=environment,
            ConfigurationProfileIdentifier=profile,
        )["InitialConfigurationToken"]
        return self.data.get_latest_configuration(ConfigurationToken=token)["Configuration"].read()


def _refuse_other_profiles(condition: _Profile, profile: Mapping[str, Any]) -> None:
    found, wanted = profile.get("Type", _FREEFORM), condition.profile_type
    if found != wanted or profile["LocationUri"] != "hosted":
        raise RunRefused(
            [
                f"profile {condition.profile!r} is no {wanted} profile with hosted configurations: "
                "make one, and let the function read it"
            ]
        )


def _refuse_rolled_back(number: int, state: str) -> None:
    if state in _ENDED_OFF | {"ROLLING_BACK"}:
        raise ConditionNotEnabled(
            f"AppConfig rolled deployment {number} back while it was enabled: "
            "look at the monitors of the environment"
        )


def _found(deployment: Mapping[str, Any]) -> str:
    state = str(deployment["State"])
    return f"{state} ({deployment['PercentageComplete']:g} %)" if state == GROWING else state


_DESCRIPTION = "gameday run "


def _description(run_id: str) -> str:
    return _DESCRIPTION + run_id


def _run_of(description: str) -> str | None:
    return description.removeprefix(_DESCRIPTION) if _DESCRIPTION in description[:12] else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
