"""The account that the command works in: the real AWS and the embedded one differ only here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError


class NotDeployed(Exception):
    """Raised when a stack that is needed does not exist; says what to do."""


@dataclass(frozen=True)
class Account:
    """A session, the names of the stacks, and how an address of the account is reached."""

    session: boto3.Session
    stack: str = "gameday"
    application_stack: str = "gameday-sample"
    subscriber_stack: str = "gameday-subscribers"
    reached_at: Callable[[str], str] = field(default=str)

    def client(self, service: Any) -> Any:
        """Return a client of one service."""
        return self.session.client(service)

    def outputs(self, stack: str) -> dict[str, str]:
        """Return the outputs of a stack by name, addresses as they are reached from here.

        Raises:
            NotDeployed: there is no such stack.
        """
        return {
            output["OutputKey"]: self.reached_at(output["OutputValue"])
            for output in self._described(stack).get("Outputs", [])
        }

    def _described(self, stack: str) -> dict[str, Any]:
        try:
            found = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise NotDeployed(
                f"there is no stack {stack!r} in {self.session.region_name}: "
                "deploy it, or name another one"
            ) from None
        return dict(found)

    def targets(self) -> list[str]:
        """Return the ids of the AppConfig applications that Gameday's stack may change."""
        parameters = self._described(self.stack)["Parameters"]
        return next(
            str(parameter["ParameterValue"]).split(",")
            for parameter in parameters
            if parameter["ParameterKey"] == "TargetApplications"
        )

    def variables(self) -> dict[str, str]:
        """Return the variables of the function that rolls back, as the stack gave them to it."""
        function = self.client("cloudformation").describe_stack_resource(
            StackName=self.stack, LogicalResourceId="RollBackFunction"
        )["StackResourceDetail"]["PhysicalResourceId"]
        found = self.client("lambda").get_function_configuration(FunctionName=function)
        return dict(found["Environment"]["Variables"])

    def verdict_queue(self) -> str:
        """Return the queue behind a rule on the bus of verdicts.

        Raises:
            NotDeployed: nothing subscribes, so a verdict could not be read.
        """
        return self.outputs(self.subscriber_stack)["VerdictQueueUrl"]
