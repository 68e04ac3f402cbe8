"""Runs: the lock on a target, the restore record and what each step found out.

One DynamoDB table. The record is written before anything is changed, and undoing needs
nothing else: neither the execution nor its input.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from gameday.conditions import Change, Target, row
from gameday.errors import RunRefused, RunStopped, VerdictNotPublished, WorkerLost
from gameday.experiment import Experiment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

_KEPT_SECONDS = 90 * 24 * 3600
"""As long as Step Functions keeps an execution's history."""

_GRACE_SECONDS = 900
"""So long after its deadline a run that holds a target is gone: every road had its retries."""

CLAIM_SECONDS = 60
"""How long a sending may take before another may try: longer than a client's own retries."""


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
    stays: bool = False
    """Whether its verdict is PASSED and its condition, a flag, is left on for good."""
    facts: Mapping[str, Any] = {}


class Runs:
    """The table of runs.

    Keys: `run#ID`/`run` the record, `run#ID`/`stop` and `run#ID`/`end` what a load asks for,
    `run#ID`/`load#PHASE#NUMBER` a worker's part of a load,
    `lock#TARGET`/`lock` who holds a target, `guardrail#ARN`/`ID` which runs a guardrail protects.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def arm(self, run: Run) -> None:
        """Take the lock on the target and write the restore record, both or neither.

        Arming the same run again changes nothing, so a retried step is harmless. A lock is for
        ever only while its run is: one whose run should have been over long ago is taken over.

        Raises:
            RunRefused: when another run holds the target (names that run), or this one was ended.
        """
        expires = int(run.started_at) + _KEPT_SECONDS
        lock = {
            "pk": _lock_key(run),
            "sk": "lock",
            "run_id": run.run_id,
            "held_until": int(run.deadline) + _GRACE_SECONDS,
            "expires_at": expires,
        }
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
            self._put(
                lock,
                "attribute_not_exists(pk) OR run_id = :me OR held_until < :now",
                {":me": run.run_id, ":now": int(run.started_at)},
            ),
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
        record = self._item(f"run#{run.run_id}", "run") or {}
        if "stop_reason" in record:
            raise RunRefused([f"run {run.run_id!r} was ended and cannot go on: start a new one"])
        lock = self._item(_lock_key(run), "lock") or {}
        if lock.get("run_id") != run.run_id:
            raise RunRefused(
                [
                    f"run {lock.get('run_id')!r} holds this target: wait until it has ended, "
                    "or stop it and let it clean up"
                ]
            )

    def bury(self, run_id: str, reason: StopReason) -> bool:
        """Keep a run that has not armed from ever arming; False: it has armed."""
        item = {
            "pk": f"run#{run_id}",
            "sk": "run",
            "stop_reason": reason.value,
            "expires_at": int(time.time()) + _KEPT_SECONDS,
        }
        try:
            self._table.put_item(
                Item=item,
                ConditionExpression="attribute_not_exists(pk) OR attribute_not_exists(experiment)",
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

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
        return None if item is None or "experiment" not in item else _run(item)

    def note(self, run_id: str, **facts: Any) -> None:
        """Keep what a step found out, by name; JSON values."""
        self._set(run_id, {f"fact_{name}": json.dumps(value) for name, value in facts.items()})

    def settle(self, run_id: str, **facts: Any) -> Mapping[str, Any]:
        """Keep facts that nobody may change any more, by name; return them as they stand.

        Whoever comes first is heard: the others are given what was settled before them.
        """
        names = {f"#{i}": f"fact_{name}" for i, name in enumerate(facts)}
        answer = self._table.update_item(
            Key={"pk": f"run#{run_id}", "sk": "run"},
            UpdateExpression="SET "
            + ", ".join(f"#{i} = if_not_exists(#{i}, :{i})" for i in range(len(facts))),
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={
                f":{i}": json.dumps(v) for i, v in enumerate(facts.values())
            },
            ReturnValues="ALL_NEW",
        )
        return {name: json.loads(str(answer["Attributes"][f"fact_{name}"])) for name in facts}

    def begin(self, run_id: str, phase: str, part: int) -> bool:
        """Let one call do a part of a load; False: it was done, and only the answer was lost.

        Raises:
            WorkerLost: an earlier call began it and has not reported: to send it again would count
                it twice.
        """
        key = _part_key(run_id, phase, part)
        try:
            self._table.update_item(
                Key=key,
                UpdateExpression="SET begun_at = :now, expires_at = :expires",
                ConditionExpression="attribute_not_exists(begun_at)",
                ExpressionAttributeValues={
                    ":now": str(time.time()),
                    ":expires": int(time.time()) + _KEPT_SECONDS,
                },
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            if "report" in (self._item(**key) or {}):
                return False
            raise WorkerLost(
                f"worker {part} of the {phase} load began and did not report"
            ) from None
        return True

    def report(self, run_id: str, phase: str, part: int, report: Any) -> None:
        """Keep what came of a part of a load, apart from the record: an item has 400 kB at most."""
        self._table.update_item(
            Key=_part_key(run_id, phase, part),
            UpdateExpression="SET report = :report",
            ExpressionAttributeValues={":report": json.dumps(report)},
        )

    def reports(self, run_id: str, phase: str) -> Iterator[Any]:
        """What came of each part of a load that has reported."""
        start: dict[str, Any] = {}
        while True:
            answer = self._table.query(
                KeyConditionExpression="pk = :pk AND begins_with(sk, :load)",
                ExpressionAttributeValues={":pk": f"run#{run_id}", ":load": f"load#{phase}#"},
                ConsistentRead=True,
                **start,
            )
            yield from (
                json.loads(str(item["report"])) for item in answer["Items"] if "report" in item
            )
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    @contextmanager
    def sending(self, run_id: str, what: str) -> Iterator[bool]:
        """Send something once: yields whether to send it, or that it was sent already.

        The sender claims it first, so that of two at once only one sends. A sender that dies in
        between holds its claim for CLAIM_SECONDS; one that is refused gives it back.

        Raises:
            VerdictNotPublished: somebody else is sending it at this moment; come again.
        """
        claim, sent = f"sending_{what}", f"sent_{what}"
        key, now = {"pk": f"run#{run_id}", "sk": "run"}, time.time()
        try:
            self._table.update_item(
                Key=key,
                UpdateExpression="SET #claim = :now",
                ConditionExpression="attribute_not_exists(#sent) AND "
                "(attribute_not_exists(#claim) OR #claim < :stale)",
                ExpressionAttributeNames={"#claim": claim, "#sent": sent},
                ExpressionAttributeValues={
                    ":now": Decimal(str(now)),
                    ":stale": Decimal(str(now - CLAIM_SECONDS)),
                },
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            if not self._has(run_id, sent):
                raise VerdictNotPublished(f"somebody else is sending it to the {what}") from None
            yield False
            return
        try:
            yield True
        except (VerdictNotPublished, ClientError):  # refused, so nothing was sent
            with suppress(self._table.meta.client.exceptions.ConditionalCheckFailedException):
                self._table.update_item(
                    Key=key,
                    UpdateExpression="REMOVE #claim",
                    ConditionExpression="#claim = :now",  # it may be somebody else's by now
                    ExpressionAttributeNames={"#claim": claim},
                    ExpressionAttributeValues={":now": Decimal(str(now))},
                )
            raise
        self._set(run_id, {sent: str(time.time())})

    def change(self, run_id: str, change: Change) -> None:
        """Record a change of the target, before it is made and when its number is known.

        One version for each run: a second call of the same step must not hide the first one's.

        Raises:
            RunStopped: when the run was stopped, or another call makes its change; then nothing
                may be enabled any more.
        """
        planned = change.model_copy(update={"deployment": None})
        try:
            self._table.update_item(
                Key={"pk": f"run#{run_id}", "sk": "run"},
                UpdateExpression="SET #change = :change",
                ConditionExpression="attribute_not_exists(stop_reason) AND "
                "(attribute_not_exists(#change) OR #change IN (:planned, :change))",
                ExpressionAttributeNames={"#change": "change"},
                ExpressionAttributeValues={
                    ":change": change.model_dump_json(),
                    ":planned": planned.model_dump_json(),
                },
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            raise RunStopped(
                f"run {run_id} was stopped before its condition was on, or enables it twice at once"
            ) from None

    def watch(self, run_id: str, token: str) -> None:
        """Keep the task token of the watch."""
        self._set(run_id, {"watch_token": token})

    def stop(self, run_id: str, reason: StopReason) -> Run:
        """Tell every step of the run to go no further, the first reason stays; return the run.

        One whose condition stays on is over, and is returned as it is.
        """
        try:
            answer = self._table.update_item(
                Key={"pk": f"run#{run_id}", "sk": "run"},
                UpdateExpression="SET stop_reason = if_not_exists(stop_reason, :r)",
                ConditionExpression="attribute_exists(pk) AND attribute_not_exists(stays)",
                ExpressionAttributeValues={":r": reason.value},
                ReturnValues="ALL_NEW",
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            return self.get(run_id)
        self._signal(run_id, "stop")
        return _run(answer["Attributes"])

    def stay(self, run_id: str, verdict: Mapping[str, Any]) -> bool:
        """Settle a verdict with which the condition stays on; False: the run was ended before.

        One write, which no undo can come between: whoever stops the run first keeps it from
        staying, and once it stays nobody can stop it. The record is kept for as long as the
        condition may be on, which is for ever.
        """
        try:
            self._table.update_item(
                Key={"pk": f"run#{run_id}", "sk": "run"},
                UpdateExpression="SET stays = :true, fact_verdict = :verdict REMOVE expires_at",
                ConditionExpression="attribute_exists(pk) AND attribute_not_exists(stop_reason) "
                "AND attribute_not_exists(fact_verdict) AND attribute_not_exists(fact_guardrail) "
                "AND attribute_not_exists(fact_execution_ended)",
                ExpressionAttributeValues={":true": True, ":verdict": json.dumps(verdict)},
            )
        except self._table.meta.client.exceptions.ConditionalCheckFailedException:
            return self.get(run_id).stays  # the answer to an earlier call may have been lost
        return True

    def stopped(self, run_id: str) -> bool:
        """Whether the run was told to stop."""
        return self._item(f"run#{run_id}", "stop") is not None

    def end(self, run_id: str) -> None:
        """Tell the load of the recovery, which goes on after a stop, that the run is over."""
        self._signal(run_id, "end")

    def ended(self, run_id: str) -> bool:
        """Whether the run is over, however it ended."""
        return self._item(f"run#{run_id}", "end") is not None

    def _signal(self, run_id: str, what: str) -> None:
        """Write an item of its own, since hundreds of workers read it four times a second.

        A partition gives 3,000 reads of 4 kB in a second, and a record may be a hundred times that.
        """
        self._table.update_item(
            Key={"pk": f"run#{run_id}", "sk": what},
            UpdateExpression="SET expires_at = :expires",
            ExpressionAttributeValues={":expires": int(time.time()) + _KEPT_SECONDS},
        )

    def _has(self, run_id: str, attribute: str) -> bool:
        answer = self._table.get_item(
            Key={"pk": f"run#{run_id}", "sk": "run"},
            ConsistentRead=True,
            ProjectionExpression=attribute,
        )
        return attribute in answer.get("Item", {})

    def holding(self) -> Iterator[str]:
        """The ids of the runs that hold a target; reads the whole table, for people."""
        start: dict[str, Any] = {}
        while True:
            answer = self._table.scan(
                FilterExpression="sk = :lock",
                ExpressionAttributeValues={":lock": "lock"},
                ConsistentRead=True,
                **start,
            )
            yield from (str(item["run_id"]) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def protected_by(self, alarm_arn: str) -> Sequence[str]:
        """The ids of the runs that are on and have this alarm as a guardrail."""
        answer = self._table.query(
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": f"guardrail#{alarm_arn}"},
            ConsistentRead=True,
        )
        return [str(item["sk"]) for item in answer["Items"]]

    def unguard(self, run: Run) -> None:
        """Let the guardrails no longer concern the run; harmless when it is done already."""
        for arn in run.guardrail_arns:
            self._table.delete_item(Key={"pk": f"guardrail#{arn}", "sk": run.run_id})

    def release(self, run: Run) -> None:
        """Free the target and the guardrails; harmless when they are another run's by now."""
        self.unguard(run)
        with suppress(self._table.meta.client.exceptions.ConditionalCheckFailedException):
            self._table.delete_item(
                Key={"pk": _lock_key(run), "sk": "lock"},
                ConditionExpression="attribute_not_exists(pk) OR run_id = :me",
                ExpressionAttributeValues={":me": run.run_id},
            )

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


def _run(item: Mapping[str, Any]) -> Run:
    """The run of a record."""
    change = item.get("change")
    experiment = Experiment.model_validate_json(item["experiment"])
    kind = row(experiment.condition)
    return Run(
        run_id=item["run_id"],
        execution_arn=item["execution_arn"],
        experiment=experiment,
        target=kind.target.model_validate_json(item["target"]),
        guardrail_arns=tuple(item["guardrail_arns"]),
        started_at=float(item["started_at"]),
        deadline=float(item["deadline"]),
        change=kind.change.model_validate_json(change) if change else None,
        stop_reason=item.get("stop_reason"),
        watch_token=item.get("watch_token"),
        stays="stays" in item,
        facts={
            name.removeprefix("fact_"): json.loads(value)
            for name, value in item.items()
            if name.startswith("fact_")
        },
    )


def _part_key(run_id: str, phase: str, part: int) -> dict[str, str]:
    return {"pk": f"run#{run_id}", "sk": f"load#{phase}#{part}"}


def _lock_key(run: Run) -> str:
    return f"lock#{run.target.lock}"
