"""The condition whose switch is a parameter of Parameter Store.

For failure-lambda (`FAILURE_INJECTION_PARAM`), chaos-lambda (`CHAOS_PARAM`) and our own injector.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gameday.conditions.failure_lambda import Configured
from gameday.conditions.setting import Setting, Target
from gameday.errors import RunRefused

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient


class ParameterCondition(Configured):
    """A fault that the target reads from a parameter of Parameter Store."""

    kind: Literal["parameter"]
    parameter: str = Field(
        pattern=r"^(\$\{\w+\})?[a-zA-Z0-9_./-]*$",
        min_length=1,
        max_length=1011,
        description="Its name.",
    )


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
        faults = condition.resting_faults(where, before.encode())
        if faults:
            raise RunRefused(faults)
        return Target(name=name, before=before)

    def value(
        self, condition: ParameterCondition, target: Target, run_id: str, expires_at: float
    ) -> str:
        """See `Setting`."""
        return json.dumps(condition.leased(expires_at))

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
