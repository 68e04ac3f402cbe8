"""A caller: one invocation of a function, as a thread that others give their turns."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ReadTimeoutError

if TYPE_CHECKING:
    from tests.interleavings.world import Send, World

_READS = ("get", "list", "describe", "query", "start_configuration_session", "starts", "sleeps")


class Died(BaseException):
    """Raised in a caller whose process dies; nothing of it reaches the outside any more."""


class Fate(StrEnum):
    """What becomes of an outside call."""

    HAPPENS = "happens"
    DIES_BEFORE = "the process dies before it"
    DIES_AFTER = "the process dies after it"
    REFUSED = "is refused"
    UNANSWERED = "happens, but its answer is lost"


class Caller:
    """One invocation of a function."""

    def __init__(
        self, world: World, name: str, work: Callable[[], Any], limit_seconds: float
    ) -> None:
        self.name, self.pending = name, "starts"
        self.wakes_at = world.now
        self.pending_since = world.now
        self.ends_at = world.now + limit_seconds
        self.over = self.died = False
        self.result: Any = None
        self.failure: Exception | None = None
        self.fate = Fate.HAPPENS
        self.sends: list[Send] = []
        self._world, self._work = world, work
        self._go = threading.Lock()
        self._go.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def writes(self) -> bool:
        """Whether it is about to change something."""
        operation = self.pending.rpartition(":")[2]
        return not operation.lower().startswith(_READS)

    @property
    def succeeded(self) -> bool:
        return self.over and not self.died and self.failure is None

    @property
    def error(self) -> dict[str, str]:
        """What Step Functions is told of it."""
        if self.failure is None:
            return {"Error": "Runtime.ExitError", "Cause": "the process died"}
        return {"Error": type(self.failure).__name__, "Cause": str(self.failure)}

    def _run(self) -> None:
        try:
            self._wait()
            self.result = self._work()
        except Died:
            self.died = True
        except Exception as failure:
            self.failure = failure
        self.over = True
        self._world.back.release()

    def go(self, fate: Fate) -> None:
        """Run until the next outside call; to be called by the world."""
        self.fate = fate
        self._go.release()
        self._world.back.acquire()

    def _wait(self) -> None:
        self._go.acquire()
        if self.fate is Fate.DIES_BEFORE:
            self.died = True
        if self.died:
            raise Died

    def outside(self, what: str, call: Callable[[], Any]) -> Any:
        """Do an outside call as the world decides."""
        self._hand_back(what, self._world.now)
        if self.fate is Fate.REFUSED:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, what)
        answer = call()
        if self.fate is Fate.DIES_AFTER:
            self.died = True
            raise Died
        if self.fate is Fate.UNANSWERED:
            raise ReadTimeoutError(endpoint_url=f"https://{what}")
        return answer

    def sleep(self, seconds: float) -> None:
        """Wait, in the world's time."""
        self._hand_back("sleeps", self._world.now + seconds)

    def _hand_back(self, pending: str, wakes_at: float) -> None:
        if self.died:  # a `finally` on the way out: no process, no call
            raise Died
        self.pending, self.pending_since, self.wakes_at = pending, self._world.now, wakes_at
        self._world.back.release()
        self._wait()
