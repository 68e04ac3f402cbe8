"""The condition that is a wrong configuration of a function: one setting, changed and restored.

Only what runs as $LATEST sees it: a published version keeps the configuration that it was
published with. So a function whose traffic may go to one is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from gameday.conditions import kind
from gameday.conditions.kind import polls
from gameday.conditions.setting import Setting, Target
from gameday.errors import RunRefused, TargetNotReady
from gameday.kinds import CloudWatchMetric

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

_LONGEST_VALUE = 1024


class ConfigurationCondition(kind.Condition):
    """One setting of the function's own: its timeout, its memory or an environment variable."""

    kind: Literal["configuration"]
    timeout_seconds: int | None = Field(default=None, ge=1, le=900)
    memory_mb: int | None = Field(default=None, ge=128, le=10_240)
    variable: str | None = Field(
        default=None, pattern=r"^[A-Za-z]\w{0,99}$", description="An environment variable's name."
    )
    value: str | None = Field(
        default=None,
        max_length=_LONGEST_VALUE,
        description="Its value; without one the variable is not there. Write no secret here.",
    )

    @field_validator("variable")
    @classmethod
    def _not_the_injectors(cls, variable: str | None) -> str | None:
        if variable and variable.startswith(("AWS_", "LAMBDA_")):
            raise ValueError("AWS_ and LAMBDA_ are reserved for Lambda itself")
        return variable

    @model_validator(mode="after")
    def _one_setting(self) -> ConfigurationCondition:
        if len(self.modes) != 1:
            raise ValueError("needs exactly one of timeout_seconds, memory_mb and variable")
        if self.value is not None and self.variable is None:
            raise ValueError("value needs variable, the name of the environment variable")
        return self

    @property
    def modes(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        settings = ("timeout_seconds", "memory_mb", "variable")
        return tuple(name for name in settings if getattr(self, name) is not None)

    def _proof(self, mode: str) -> CloudWatchMetric:
        # Once the update is successful, Lambda itself sends every invocation of $LATEST to it.
        return CloudWatchMetric(
            namespace="AWS/Lambda", name="Invocations", dimensions={"FunctionName": self.function}
        )


@dataclass(frozen=True)
class Configuration(Setting):
    """The operations (see `kind.Kind`). A value is JSON: a number, text, or null for none."""

    functions: LambdaClient

    def find(self, condition: ConfigurationCondition) -> Target:
        """See `Setting`."""
        function, setting = condition.function, condition.variable or condition.modes[0]
        name = f"configuration/{function}/{setting}"
        if ":" in function:
            raise RunRefused([f"{function!r} has a qualifier: name the function alone"])
        try:
            aliases = self.functions.list_aliases(FunctionName=function)["Aliases"]
            before = self.read(Target(name=name, before=None))
        except self.functions.exceptions.ResourceNotFoundException:
            raise RunRefused([f"there is no function {function!r}"]) from None
        published = [alias["Name"] for alias in aliases if alias["FunctionVersion"] != "$LATEST"]
        if published:
            raise RunRefused(
                [
                    f"traffic of {function!r} may go to a published version (alias "
                    f"{', '.join(published)}), which would not see the change: use a condition "
                    "that the function reads, such as one of AppConfig"
                ]
            )
        if before == _wanted(condition):
            raise RunRefused([f"{function!r} has that {setting} already: it would change nothing"])
        return Target(name=name, before=before)

    def value(
        self, condition: ConfigurationCondition, target: Target, run_id: str, expires_at: float
    ) -> str:
        """See `Setting`."""
        return _wanted(condition)

    def read(self, target: Target) -> str | None:
        """See `Setting`."""
        found = self._settled(target)
        _, _, setting = target.name.split("/")
        match setting:
            case "timeout_seconds":
                return json.dumps(found["Timeout"])
            case "memory_mb":
                return json.dumps(found["MemorySize"])
        return json.dumps(_variables(found).get(setting))

    def write(self, target: Target, value: str | None) -> None:
        """See `Setting`."""
        found = self._settled(target)
        _, function, setting = target.name.split("/")
        wanted = json.loads(value or "null")
        changes: Any
        match setting:
            case "timeout_seconds":
                changes = {"Timeout": wanted}
            case "memory_mb":
                changes = {"MemorySize": wanted}
            case _:
                others = {name: v for name, v in _variables(found).items() if name != setting}
                ours = {} if wanted is None else {setting: wanted}
                changes = {"Environment": {"Variables": others | ours}}
        self.functions.update_function_configuration(
            FunctionName=function,
            RevisionId=found["RevisionId"],  # compare and set: nobody else's change is lost
            **changes,
        )

    def _settled(self, target: Target) -> Any:
        """The configuration that invocations see: until an update is over they see the old one."""
        _, function, _ = target.name.split("/")
        for _ in polls(self.timeout_seconds):
            found = self.functions.get_function_configuration(FunctionName=function)
            if found.get("LastUpdateStatus", "Successful") != "InProgress":
                return found
        raise TargetNotReady(f"an update of {function!r} did not end")

    def forbidden(self, condition: ConfigurationCondition) -> str:
        """See `Setting`."""
        return (
            f"Gameday may not change function {condition.function!r}: add its name to the "
            "parameter TargetFunctions and deploy Gameday's stack again"
        )


def _wanted(condition: ConfigurationCondition) -> str:
    if condition.variable:
        return json.dumps(condition.value)
    return json.dumps(condition.timeout_seconds or condition.memory_mb)


def _variables(found: Any) -> dict[str, str]:
    return dict(found.get("Environment", {}).get("Variables", {}))
