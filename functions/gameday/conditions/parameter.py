"""The condition whose switch is a parameter of Parameter Store.

For failure-lambda (`FAILURE_INJECTION_PARAM`), chaos-lambda (`CHAOS_PARAM`) and our own injector.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from gameday.conditions import kind
from gameday.conditions.failure_lambda import RULES, Format, resting_faults
from gameday.conditions.kind import Effect, Reach, by_mode
from gameday.conditions.setting import Setting, Target
from gameday.errors import RunRefused
from gameday.kinds import CloudWatchMetric

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


class ParameterCondition(kind.Condition):
    """A fault that the target reads from a parameter of Parameter Store."""

    kind: Literal["parameter"]
    parameter: str = Field(
        pattern=r"^(\$\{\w+\})?[a-zA-Z0-9_./-]*$",
        min_length=1,
        max_length=1011,
        description="Its name.",
    )
    format: Format = Format.FAILURE_LAMBDA_1
    configuration: dict[str, Any] = Field(
        description="The fault, in the words of the format; every mode not named is off."
    )

    @field_validator("configuration")
    @classmethod
    def _obeyed_by_the_library(
        cls, configuration: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        if "format" in info.data:
            RULES[info.data["format"]].check(configuration)
        return configuration

    @property
    def modes(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        return RULES[self.format].modes(self.configuration)

    @property
    def reach(self) -> Reach:
        """See `kind.Condition`."""
        return RULES[self.format].reach(self.configuration)

    @property
    def effects(self) -> Mapping[str, Effect]:
        """See `kind.Condition`."""
        return RULES[self.format].effects(self.configuration)

    def _given(self, mode: str) -> CloudWatchMetric | None:
        # Lines of text, which the others write, give a metric filter no dimension.
        of_flags = self.format is Format.FAILURE_LAMBDA_1
        return by_mode(self.evidence, mode) if of_flags else self.evidence


@dataclass(frozen=True)
class Parameter(Setting):
    """The operations (see `kind.Kind`)."""

    ssm: SSMClient

    def find(self, condition: ParameterCondition) -> Target:
        """See `Setting`."""
        name = f"parameter/{condition.parameter}"
        where = f"parameter {condition.parameter!r}"
        try:
            found = self.ssm.get_parameter(Name=condition.parameter)["Parameter"]
        except self.ssm.exceptions.ParameterNotFound:
            raise RunRefused([f"there is no {where}: create one that is at rest"]) from None
        if found["Type"] != "String":
            raise RunRefused([f"{where} is encrypted or a list: make one of the type String"])
        before = found["Value"]
        faults = resting_faults(
            where,
            condition.format,
            condition.modes,
            before.encode(),
            ours=condition.evidence is None,
        )
        if faults:
            raise RunRefused(faults)
        return Target(name=name, before=before)

    def value(
        self, condition: ParameterCondition, target: Target, run_id: str, expires_at: float
    ) -> str:
        """See `Setting`."""
        content = RULES[condition.format].complete(condition.configuration)
        return json.dumps({**content, "expires_at": int(expires_at)})

    def read(self, target: Target) -> str | None:
        """See `Setting`."""
        return self.ssm.get_parameter(Name=_name(target))["Parameter"]["Value"]

    def write(self, target: Target, value: str | None) -> None:
        """See `Setting`."""
        if value is not None:
            self.ssm.put_parameter(Name=_name(target), Value=value, Overwrite=True)

    def forbidden(self, condition: ParameterCondition) -> str:
        """See `Setting`."""
        return (
            f"Gameday may not change parameter {condition.parameter!r}: add its name to the "
            "parameter TargetParameters and deploy Gameday's stack again"
        )


def _name(target: Target) -> str:
    return target.name.removeprefix("parameter/")
