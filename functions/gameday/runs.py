"""Runs: the lock on a target, the restore record and what each step found out.

One DynamoDB table. The record is written before anything is changed, and undoing needs
nothing else: neither the execution nor its input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from gameday.conditions.appconfig import Change, Target
from gameday.errors import RunRefused, RunStopped
from gameday.experiment import Experiment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

_KEPT_SECONDS = 90 * 24 * 3600
"""As long as Step Functions keeps an execution's history."""


class StopReason(StrEnum):
    """Why a run may go no further."""

    FINISHED = "FINISHED"
    GUARDRAIL = "GUARDRAIL"
    DEADLINE = "DEADLINE"
    ABORTED = "ABORTED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"


class Run(BaseModel):
    """One execution of an experiment: what to restore, and what is known so far."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    execution_arn: str
    experiment: Experiment
    target: Target
    guardrail_arns: tuple[str, ...]
    started_at: float
    deadline: float
    change: Change | None = None
    stop_reason: StopReason | None = None
    watch_token: str | None = None
    facts: Mapping[str, Any] = {}


class Runs:
    """The table of runs.

    Keys: `run#ID`/`run` the record, `lock#TARGET`/`lock` who holds a target,
    `guardrail#ARN`/`ID` which runs a guardrail protects.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def arm(self, run: Run) -> None:
        """Take the lock on the target and write the restore record, both or neither.

        Arming the same run again changes nothing, so a retried step is harmless.

        Raises:
            RunRefused: when another run holds the target; names that run.
        """
        expires = int(run.started_at) + _KEPT_SECONDS
        lock = {"pk": _lock_key(run), "sk": "lock", "run_id": run.run_id, "expires_at": expires}
        record = {
            "pk": f"run#{run.run_id}",
            "sk": "run",
            "run_id": run.run_id,
            "execution_arn": run.execution_arn,
            "experiment": run.experiment.model_dump_json(),
            "target": run.target.model_dump_json(),
            "guardrail_arns": list(run.guardrail_arns),
            "started_at": str(run.started_at),
            "deadline": str(run.deadline),
            "expires_at": expires,
        }
        watched = [
            {"pk": f"guardrail#{arn}", "sk": run.run_id, "expires_at": expires}
            for arn in run.guardrail_arns
        ]
        puts = [
            self._put(lock, "attribute_not_exists(pk) OR run_id = :me", {":me": run.run_id}),
            self._put(record, "attribute_not_exists(pk)"),
            *(self._put(item) for item in watched),
        ]
        try:
            self._table.meta.client.transact_write_items(TransactItems=puts)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            self._refuse_unless_ours(run)

    def _put(
        self,
        item: dict[str, Any],
        condition: str | None = None,
        values: dict[str, Any] | None = None,
    ) -> Any:
        put: dict[str, Any] = {"TableName": self._table.name, "Item": item}
        if condition:
            put["ConditionExpression"] = condition
        if values:
            put["ExpressionAttributeValues"] = values
        return {"Put": put}

    def _refuse_unless_ours(self, run: Run) -> None:
        lock = self._item(_lock_key(run), "lock") or {}
        if lock.get("run_id") != run.run_id:
            raise RunRefused(
                [
                    f"run {lock.get('run_id')!r} holds this target: wait until it has ended, "
                    "or stop it and let it clean up"
                ]
            )

    def get(self, run_id: str) -> Run:
        """The run as it is now (a consistent read).

        Raises:
            KeyError: when there is no such run.
        """
        run = self.find(run_id)
        if run is None:
            raise KeyError(run_id)
        return run

    def find(self, run_id: str) -> Run | None:
        """The run as it is now, or None: it was never armed."""
        item = self._item(f"run#{run_id}", "run")
        if item is None:
            return None
        change = item.get("change")
        return Run(
            run_id=run_id,
            execution_arn=item["execution_arn"],
            experiment=Experiment.model_validate_json(item["experiment"]),
            target=Target.model_validate_json(item["target"]),
            guardrail_arns=tuple(item["guardrail_arns"]),
            started_at=float(item["started_at"]),
            deadline=float(item["deadline"]),
            change=Change.model_validate_json(change) if change else None,
            stop_reason=item.get("stop_reason"),
            watch_token=item.get("watch_token"),
            facts={
                name.removeprefix("fact_"): json.loads(value)
                for name, value in item.items()
                if name.startswith("fact_")
            },
        )

    def note(self, run_id: str, **facts: Any) -> None:
        """Keep what a step found out, by name; JSON values."""
        self._set(run_id, {f"fact_{name}": json.dumps(value) for name, value in facts.items()})

    def change(self, run_id: str, change: Change) -> None:
        """Record a change of the target, before it is made and when its number is known.

        Raises:
            RunStopped: when the run was stopped; then nothing may be enabled any more.
        """
        try:
            self._set(
                run_id, {"change": change.model_dump_json()}, "attribute_not_exists(stop_reason)"
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            raise RunStopped(f"run {run_id} was stopped before its condition was on") from None

    def watch(self, run_id: str, token: str) -> None:
        """Keep the task token of the watch."""
        self._set(run_id, {"watch_token": token})

    def stop(self, run_id: str, reason: StopReason) -> None:
        """Tell every step of the run to go no further; the first reason stays."""
        self._table.update_item(
            Key={"pk": f"run#{run_id}", "sk": "run"},
            UpdateExpression="SET stop_reason = if_not_exists(stop_reason, :r)",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":r": reason.value},
        )

    def stopped(self, run_id: str) -> bool:
        """Whether the run was told to stop."""
        return self._has(run_id, "stop_reason")

    def ended(self, run_id: str) -> bool:
        """Whether the run's execution is over, however it ended."""
        return self._has(run_id, "fact_execution_ended")

    def _has(self, run_id: str, attribute: str) -> bool:
        answer = self._table.get_item(
            Key={"pk": f"run#{run_id}", "sk": "run"},
            ConsistentRead=True,
            ProjectionExpression=attribute,
        )
        return attribute in answer.get("Item", {})

    def protected_by(self, alarm_arn: str) -> Sequence[str]:
        """The ids of the runs that are on and have this alarm as a guardrail."""
        answer = self._table.query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": f"guardrail#{alarm_arn}"},
            ConsistentRead=True,
        )
        return [str(item["sk"]) for item in answer["Items"]]

    def disarm(self, run: Run) -> None:
        """Forget a run that was armed and may not go on; nothing was changed."""
        self.release(run)
        self._table.delete_item(Key={"pk": f"run#{run.run_id}", "sk": "run"})

    def release(self, run: Run) -> None:
        """Free the target and forget the guardrails; harmless when it is done already."""
        for arn in run.guardrail_arns:
            self._table.delete_item(Key={"pk": f"guardrail#{arn}", "sk": run.run_id})
        try:
            self._table.delete_item(
                Key={"pk": _lock_key(run), "sk": "lock"},
                ConditionExpression="attribute_not_exists(pk) OR run_id = :me",
                ExpressionAttributeValues={":me": run.run_id},
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            return  # another run holds the target by now

    def _item(self, pk: str, sk: str) -> dict[str, Any] | None:
        return self._table.get_item(Key={"pk": pk, "sk": sk}, ConsistentRead=True).get("Item")

    def _set(
        self, run_id: str, values: Mapping[str, str], condition: str = "attribute_exists(pk)"
    ) -> None:
        self._table.update_item(
            Key={"pk": f"run#{run_id}", "sk": "run"},
            UpdateExpression="SET " + ", ".join(f"#{i} = :{i}" for i in range(len(values))),
            ConditionExpression=condition,
            ExpressionAttributeNames={f"#{i}": name for i, name in enumerate(values)},
            ExpressionAttributeValues={f":{i}": value for i, value in enumerate(values.values())},
        )


def _lock_key(run: Run) -> str:
    return f"lock#{run.target.lock}"
