"""The condition that throttles a function: its reserved concurrency, changed and restored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gameday.conditions import kind
from gameday.conditions.setting import Setting, Target
from gameday.errors import RunRefused
from gameday.kinds import CloudWatchMetric

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class ConcurrencyCondition(kind.Condition):
    """No more than so many invocations of the function at a time; 0 throttles all."""

    kind: Literal["concurrency"]
    reserved: int = Field(ge=0, le=1000, description="How many at a time.")

    @property
    def modes(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        return ("concurrency",)

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        if self.reserved:
            return ()
        return (
            f"while no invocation of {self.function!r} is allowed, its asynchronous events go to "
            "its dead-letter queue without a retry, or are lost where there is none",
        )

    def _proof(self, mode: str) -> CloudWatchMetric:
        return CloudWatchMetric(
            namespace="AWS/Lambda", name="Throttles", dimensions={"FunctionName": self.function}
        )


@dataclass(frozen=True)
class Concurrency(Setting):
    """The operations (see `kind.Kind`)."""

    functions: LambdaClient

    def find(self, condition: ConcurrencyCondition) -> Target:
        """See `Setting`."""
        name = f"concurrency/{condition.function}"
        try:
            before = self.read(Target(name=name, before=None))
        except self.functions.exceptions.ResourceNotFoundException:
            raise RunRefused([f"there is no function {condition.function!r}"]) from None
        if before == str(condition.reserved):
            raise RunRefused(
                [f"function {condition.function!r} has that reserved concurrency already"]
            )
        return Target(name=name, before=before)

    def value(
        self, condition: ConcurrencyCondition, target: Target, run_id: str, expires_at: float
    ) -> str:
        """See `Setting`."""
        return str(condition.reserved)

    def read(self, target: Target) -> str | None:
        """See `Setting`."""
        found = self.functions.get_function_concurrency(FunctionName=_function(target))
        reserved = found.get("ReservedConcurrentExecutions")
        return None if reserved is None else str(reserved)

    def write(self, target: Target, value: str | None) -> None:
        """See `Setting`."""
        if value is None:
            self.functions.delete_function_concurrency(FunctionName=_function(target))
        else:
            self.functions.put_function_concurrency(
                FunctionName=_function(target), ReservedConcurrentExecutions=int(value)
            )

    def forbidden(self, condition: ConcurrencyCondition) -> str:
        """See `Setting`."""
        return (
            f"Gameday may not change function {condition.function!r}: add its name to the "
            "parameter TargetFunctions and deploy Gameday's stack again"
        )


def _function(target: Target) -> str:
    return target.name.removeprefix("concurrency/")
