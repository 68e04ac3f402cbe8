"""The shape of a kind of condition: what its document says, and how it is turned on and off.

A kind is one file: the model of its document, the record of what was there before, and the
operations. A row in the table `KINDS` of this package makes it known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from gameday.kinds import CloudWatchMetric, Model

NEVER = "NEVER"
"""What an undo found where nothing was on, as far as can be seen: it may be tried again."""

ON = "BAKING"
"""What an undo found where the condition was on until then, as it should be: AppConfig's word."""

GROWING = "DEPLOYING"
"""With this begins what an undo found where the condition still grew: AppConfig's word."""

_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 0.1, 2.0


class Condition(Model):
    """What the documents of all kinds have."""

    kind: str
    function: str = Field(
        min_length=1,
        max_length=140,
        description="The Lambda function that is under the condition; its evidence counts.",
    )
    propagation_seconds: int = Field(
        default=60,
        ge=0,
        le=180,
        description="How long an instance may take to obey: its poll interval.",
    )
    evidence: CloudWatchMetric | None = Field(
        default=None,
        description="A metric that counts how often it took effect, in place of the kind's.",
    )

    @property
    def modes(self) -> tuple[str, ...]:
        """What the condition turns on, by name."""
        raise NotImplementedError

    @property
    def proofs(self) -> Mapping[str, CloudWatchMetric]:
        """For each mode the metric that proves it."""
        return {mode: self._given(mode) or self._proof(mode) for mode in self.modes}

    def _given(self, mode: str) -> CloudWatchMetric | None:
        """The document's own metric."""
        return self.evidence

    def _proof(self, mode: str) -> CloudWatchMetric:
        """The kind's own metric: what the injector counts, unless it has a better one."""
        return CloudWatchMetric(
            namespace="Gameday",
            name="Injected",
            dimensions={"FunctionName": self.function, "Mode": mode},
            resolution_seconds=1,
        )

    @property
    def ramp_seconds(self) -> int:
        """How long it grows, until it is on for all that it is on for."""
        return 0

    @property
    def effects(self) -> Mapping[str, Effect]:
        """What each mode promises; of one that is not here nothing is known from outside."""
        return {}

    @property
    def reach(self) -> Reach:
        """How far the condition goes, for the stack's ceilings."""
        return Reach()

    @property
    def stays_if_passed(self) -> bool:
        """Whether it is left on where the verdict is PASSED: never a fault, but a flag may be."""
        return False

    def left_on(self, change: Any) -> dict[str, Any]:
        """Where one that stays is found, and what made it so, for the verdict."""
        raise NotImplementedError

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before it is turned on."""
        return ()


@dataclass(frozen=True)
class Effect:
    """What a mode promises: on which share of the requests, and what is seen of it from outside.

    `share` is None where a rule on the event decides. `statuses` are those of its answers, and
    `floor_ms` is the latency that each has at least.
    """

    share: float | None
    statuses: tuple[int, ...] = ()
    floor_ms: float = 0.0


def by_mode(metric: CloudWatchMetric | None, mode: str) -> CloudWatchMetric | None:
    """The part of a metric of injections that is of one mode, by its dimension `Mode`."""
    if metric is None:
        return None
    return metric.model_copy(update={"dimensions": {**metric.dimensions, "Mode": mode}})


@dataclass(frozen=True)
class Reach:
    """On which share of the invocations a condition is, and how much it slows one down."""

    percentage: float = 100.0
    latency_ms: float = 0.0

    def beyond(self, ceilings: Reach) -> Iterator[str]:
        """Why it goes further than the ceilings of the stack, and what to do about it."""
        if self.percentage > ceilings.percentage:
            yield (
                f"the condition is on for {self.percentage:g} % of the invocations, and the stack "
                f"allows {ceilings.percentage:g} %: lower it, or raise MostPercentage"
            )
        if self.latency_ms > ceilings.latency_ms:
            yield (
                f"the condition adds up to {self.latency_ms:g} ms, and the stack allows "
                f"{ceilings.latency_ms:g} ms: lower it, or raise MostLatencyMilliseconds"
            )


class Target(BaseModel):
    """Where the switch is and what was there before: enough to restore it."""

    model_config = ConfigDict(frozen=True)

    @property
    def lock(self) -> str:
        """What one run at a time may hold."""
        raise NotImplementedError


class Change(BaseModel):
    """What a run did to its target, as far as it is known."""

    model_config = ConfigDict(frozen=True)

    @property
    def started(self) -> bool:
        """Whether the target may have been changed already."""
        return True


class Standing(BaseModel):
    """A condition that is on, as the service itself says, and the run that turned it on."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    where: str
    state: str
    target: Any
    change: Any


class Kind(Protocol):
    """The operations of a kind; each kind knows its own condition, target and change."""

    def examine(self, condition: Any) -> Target:
        """Find the target, make sure that it may be changed now, and keep what is there.

        Raises:
            RunRefused: with every reason and what to do about each.
        """
        ...

    def enable(
        self,
        condition: Any,
        target: Any,
        run_id: str,
        expires_at: float,
        change: Any | None,
        remember: Callable[[Any], None],
    ) -> Change:
        """Turn the condition on and wait until it is, or until it grows.

        `remember` is called before anything is changed, and again after; whatever it raises
        stops the enabling, and what was changed by then is undone. Called again after a lost
        answer, it goes on where the first call was.

        Raises:
            ConditionNotEnabled: it was not on in time.
            ConfigurationChanged: somebody else changed the target since the run was armed.
        """
        ...

    def grown(self, target: Any, change: Any) -> float:
        """To what percentage of the target's clients the condition was given so far.

        Raises:
            ConditionNotEnabled: somebody else (a person, a monitor) turned it off while it grew.
        """
        ...

    def stands(self, target: Any, change: Any) -> bool:
        """Whether the condition is on now, as the run turned it on."""
        ...

    def disable(
        self, target: Any, change: Any | None, run_id: str, notice: Callable[[str], None]
    ) -> None:
        """Turn the condition off and prove it by reading back.

        Idempotent, and harmless when nothing was enabled. `notice` is told what is found, before
        anything is undone: NEVER, when nothing was on; `ON` in a run that went well; or, of
        AppConfig, the state in which somebody else (a person, a monitor) left it before.

        Raises:
            ConfigurationChanged: somebody else changed it meanwhile; nothing was touched.
            ConditionNotDisabled: it is not proven off; call again.
        """
        ...


def polls(timeout_seconds: float) -> Iterator[None]:
    """Come back, with growing pauses, until the timeout; always at least once."""
    until = time.monotonic() + timeout_seconds
    pause = _FIRST_POLL_SECONDS
    while True:
        yield
        if time.monotonic() > until:
            return
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_POLL_SECONDS)
