"""The condition that is an explicit deny in the policies of a function's role.

An inline policy of ours is put to the role and deleted again: nobody else's policy is touched. The
deny expires by itself at the end of the lease, by its own condition on the time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from gameday.conditions import kind
from gameday.conditions.setting import Setting, Target
from gameday.errors import RunRefused
from gameday.kinds import CloudWatchMetric

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

POLICY_NAME = "gameday-condition"
"""One run at a time holds the role, so that one name is enough, and easily found by hand."""

_Action = Annotated[str, Field(pattern=r"^[a-z0-9-]+:[A-Za-z*?]+$", max_length=128)]
_Resource = Annotated[str, Field(pattern=r"^(arn:.+|\*)$", max_length=2048)]


class PolicyCondition(kind.Condition):
    """An explicit deny of named actions, for the role of the function."""

    kind: Literal["policy"]
    role: str = Field(
        pattern=r"^(\$\{\w+\})?[\w+=,.@-]{0,64}$",
        min_length=1,
        description="The role's name, not its ARN.",
    )
    actions: tuple[_Action, ...] = Field(
        min_length=1, max_length=50, description="Such as `dynamodb:GetItem`."
    )
    resources: tuple[_Resource, ...] = Field(
        min_length=1, max_length=50, description="ARNs, or `*` for all that the actions have."
    )
    evidence: CloudWatchMetric = Field(
        description="A metric that counts what was denied: IAM itself counts nothing."
    )

    @property
    def modes(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        return ("policy",)

    @property
    def warnings(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        return (
            f"whatever else has the role {self.role!r} is denied the same as {self.function!r}",
        )


@dataclass(frozen=True)
class Policy(Setting):
    """The operations (see `kind.Kind`)."""

    iam: IAMClient

    def find(self, condition: PolicyCondition) -> Target:
        """See `Setting`."""
        try:
            self.iam.list_role_policies(RoleName=condition.role)
        except self.iam.exceptions.NoSuchEntityException:
            raise RunRefused(
                [f"there is no role {condition.role!r}: name the role of the function"]
            ) from None
        target = Target(name=f"role/{condition.role}", before=None)
        if self.read(target):
            raise RunRefused(
                [
                    f"role {condition.role!r} has a policy {POLICY_NAME!r} already, of a run that "
                    "is over: delete it"
                ]
            )
        return target

    def value(self, condition: PolicyCondition, _: Target, run_id: str, expires_at: float) -> str:
        """See `Setting`."""
        expires = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        return _text(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Effect": "Deny",
                        "Action": _list(condition.actions),
                        "Resource": _list(condition.resources),
                        "Condition": {"DateLessThan": {"aws:CurrentTime": expires}},
                    }
                ],
            }
        )

    def read(self, target: Target) -> str | None:
        """See `Setting`."""
        try:
            found = self.iam.get_role_policy(RoleName=_role(target), PolicyName=POLICY_NAME)
        except self.iam.exceptions.NoSuchEntityException:
            return None
        document: Any = found["PolicyDocument"]
        return _text(json.loads(document) if isinstance(document, str) else document)

    def write(self, target: Target, value: str | None) -> None:
        """See `Setting`."""
        if value is None:
            with suppress(self.iam.exceptions.NoSuchEntityException):
                self.iam.delete_role_policy(RoleName=_role(target), PolicyName=POLICY_NAME)
        else:
            self.iam.put_role_policy(
                RoleName=_role(target), PolicyName=POLICY_NAME, PolicyDocument=value
            )

    def forbidden(self, condition: PolicyCondition) -> str:
        """See `Setting`."""
        return (
            f"Gameday may not change role {condition.role!r}: add its name to the parameter "
            "TargetRoles and deploy Gameday's stack again"
        )


def _role(target: Target) -> str:
    return target.name.removeprefix("role/")


def _list(values: Sequence[str]) -> list[str]:
    return sorted(set(values))


def _text(document: Any) -> str:
    """The same text for the same policy, whichever way it came."""
    return json.dumps(document, sort_keys=True)
