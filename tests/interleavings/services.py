"""The services of a world: what each does with a call, and nothing of when."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.interleavings.execution import MACHINE
from tests.unit.fakes import Deployment, FakeAppConfig

if TYPE_CHECKING:
    from tests.interleavings.world import World

type Json = dict[str, Any]


_OURS = "gameday run "


def ours(deployment: Deployment) -> bool:
    """Whether a run made it."""
    return deployment.description.startswith(_OURS)


def run_of(deployment: Deployment) -> str:
    """The run that made it."""
    return deployment.description.removeprefix(_OURS)


class Switch(FakeAppConfig):
    """AppConfig, which sees that nobody of ours does what they must not."""

    def __init__(self, world: World) -> None:
        super().__init__(resting=None)
        self._world = world

    def stop_deployment(self, **asked: Any) -> Json:
        deployment = self._deployment(asked["EnvironmentId"], asked["DeploymentNumber"])
        if self._world.running and not ours(deployment):
            self._world.violations.append(f"{deployment} of somebody else was stopped")
        if self._world.running and self._world.stays(deployment):
            self._world.violations.append(f"{deployment}, which stays, was stopped")
        return super().stop_deployment(**asked)


class Events:
    """The bus; it refuses no entry."""

    class exceptions:
        ResourceNotFoundException = type("ResourceNotFoundException", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def describe_event_bus(self, Name: str) -> None:
        """It is there."""

    def put_events(self, Entries: list[Json]) -> Json:
        for entry in Entries:
            self._world.sent("bus", json.loads(entry["Detail"]))
        return {"FailedEntryCount": 0}


class Topic:
    """The topic of the verdicts for people."""

    class exceptions:
        NotFoundException = type("NotFoundException", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def get_topic_attributes(self, TopicArn: str) -> None:
        """It is there."""

    def publish(self, Message: str, **_: Any) -> None:
        run_id = next(id_ for id_ in self._world.executions if f"run {id_}, " in Message)
        self._world.sent("topic", {"run": run_id, "message": Message})


class Scheduler:
    """The one-time schedules, by their runs."""

    class exceptions:
        ConflictException = type("ConflictException", (Exception,), {})
        ResourceNotFoundException = type("ResourceNotFoundException", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def create_schedule(self, **asked: Any) -> None:
        expression, event = asked["ScheduleExpression"], json.loads(asked["Target"]["Input"])
        if event["run_id"] in self._world.schedules:
            raise self.exceptions.ConflictException
        moment = datetime.strptime(expression, "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        self._world.schedules[event["run_id"]] = {
            "name": asked["Name"],
            "at": moment.timestamp(),
            "input": event,
        }

    def delete_schedule(self, Name: str, **_: Any) -> None:
        for run_id, schedule in self._world.schedules.items():
            if schedule["name"] == Name:
                del self._world.schedules[run_id]
                return
        raise self.exceptions.ResourceNotFoundException


class StepFunctions:
    """The executions, and the answers to their watches."""

    class exceptions:
        TaskTimedOut = type("TaskTimedOut", (Exception,), {})
        TaskDoesNotExist = type("TaskDoesNotExist", (Exception,), {})
        InvalidToken = type("InvalidToken", (Exception,), {})

    def __init__(self, world: World) -> None:
        self._world = world

    def describe_execution(self, executionArn: str) -> Json:
        run_id = executionArn.removeprefix(MACHINE)
        status = self._world.executions[run_id].status
        return {"executionArn": executionArn, "name": run_id, "status": status}

    def stop_execution(self, executionArn: str, error: str, cause: str) -> None:
        execution = self._world.executions[executionArn.removeprefix(MACHINE)]
        if execution.status == "RUNNING":
            execution.end("ABORTED", {"Error": error, "Cause": cause})

    def send_task_success(self, taskToken: str, output: str) -> None:
        self._answer(taskToken, {"output": output})

    def send_task_failure(self, taskToken: str, error: str, cause: str) -> None:
        self._answer(taskToken, {"error": error, "cause": cause})

    def _answer(self, token: str, answer: dict[str, str]) -> None:
        execution = self._world.executions[token.partition("/")[0]]
        if not execution.answer(token, answer):
            raise self.exceptions.TaskTimedOut
