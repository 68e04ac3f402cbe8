"""An execution of the state machine, as Step Functions leads it through its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gameday.errors import ConfigurationChanged
from gameday.experiment import Phase
from tests.steps.fakes import DOCUMENT, STAYING, report

if TYPE_CHECKING:
    from tests.interleavings.caller import Caller
    from tests.interleavings.world import World

type Json = dict[str, Any]

MACHINE = "arn:aws:states:us-east-1:000000000000:execution:machine:"


class Execution:
    """One execution of the state machine: calls the steps in their order, as its definition does.

    `waits` are how long it waits before the condition and under it, in seconds.
    """

    def __init__(
        self,
        world: World,
        run_id: str,
        environment: str = "e1",
        waits: tuple[float, float] = (1.0, 1.0),
        told: bool = True,
    ) -> None:
        document = STAYING if world.staying else DOCUMENT
        # No load is sent here, so nothing is awaited by one.
        condition = document["condition"] | {"environment": environment, "propagation_seconds": 0}
        self.world, self.run_id, self.arn = world, run_id, f"{MACHINE}{run_id}"
        self.environment = environment
        self.document = document | {"condition": condition}
        self.waits, self.told = waits, told
        self.status, self.state = "RUNNING", "arm"
        self.failure: dict[str, str] | None = None
        self.output: Json | None = None
        self.work: Caller | None = None
        self.watch: Caller | None = None
        self._tokens = self._retries = 0
        self._answer: dict[str, str] | None = None
        self._ready_at = world.now

    # -- its states ---------------------------------------------------------------------------

    def react(self) -> None:
        """Go on as far as it can."""
        while self.status == "RUNNING" and getattr(self, f"_{self.state}")():
            pass

    def _enter(self, state: str, wait_seconds: float = 0) -> bool:
        self.state, self.work, self._retries = state, None, 0
        self._ready_at = self.world.now + wait_seconds
        return True

    def _done(self, step: str, *arguments: Any) -> bool:
        """Whether the work of a state is done: a call of its step, which is started if need be."""
        if self.work is None:
            if self.world.now >= self._ready_at:
                self.work = self.world.call(step, self.run_id, *arguments)
            return False
        return self.work.over

    def _arm(self) -> bool:
        if not self._done("arm_rollback", self.arn, self.document):
            return False
        assert self.work
        if not self.work.succeeded:
            return self.end("FAILED", self.work.error)
        self._watch_on()
        return self._enter("baseline", self.waits[0])

    def _watch_on(self) -> None:
        self._tokens += 1
        self._answer = None
        self.watch = self.world.call("watch_guardrails", self.run_id, self.token)

    @property
    def token(self) -> str:
        return f"{self.run_id}/{self._tokens}"

    def answer(self, token: str, answer: dict[str, str]) -> bool:
        """Answer the watch; False: there is none with this token any more."""
        standing = self.watch is not None and token == self.token and self.status == "RUNNING"
        if not standing or self._answer is not None:
            return False
        self._answer = answer
        return True

    def _watch_failed(self) -> bool:
        """Whether the watch ended the work, which nobody stops."""
        assert self.watch
        if self._answer and "error" in self._answer:
            self.failure = {"Error": self._answer["error"], "Cause": self._answer["cause"]}
        elif self.watch.over and not self.watch.succeeded:
            self.failure = self.watch.error
        else:
            return False
        self.watch = None
        return self._enter("disable")

    def _work_failed(self) -> bool:
        assert self.work
        if self.work.succeeded:
            return False
        self.failure, self.watch = self.work.error, None
        return self._enter("disable")

    def _baseline(self) -> bool:
        if self._watch_failed():
            return True
        if self.world.now < self._ready_at:
            return False
        self._loaded(Phase.BASELINE)
        return self._enter("enable")

    def _loaded(self, phase: Phase) -> None:
        """Note what the load of a phase reported."""
        told = report(phase).model_dump(mode="json")
        self.world.environment.runs.note(self.run_id, **{f"{phase}_load": told})

    def _enable(self) -> bool:
        if self._watch_failed():
            return True
        if not self._done("enable_condition"):
            return False
        return self._work_failed() or self._enter("await")

    def _await(self) -> bool:
        if self._watch_failed():
            return True
        if not self._done("await_evidence"):
            return False
        return self._work_failed() or self._enter("window", self.waits[1])

    def _window(self) -> bool:
        if self._watch_failed():
            return True
        if self.world.now < self._ready_at:
            return False
        if not self.world.staying:  # what was measured makes no difference to any other
            return self._enter("stand_down")
        self._loaded(Phase.CONDITION)
        return self._enter("evaluate")

    def _evaluate(self) -> bool:
        if self._watch_failed():
            return True
        if not self._done("evaluate_measures"):
            return False
        return self._work_failed() or self._enter("stand_down", self.waits[1])

    def _stand_down(self) -> bool:
        if self._watch_failed():
            return True
        if not self._done("stand_watch_down"):
            return False
        if self._work_failed():
            return True
        if self._answer is None:
            return False
        self.watch = None
        return self._enter("disable")

    def _disable(self) -> bool:
        if not self._done("disable_condition", self.failure):
            return False
        assert self.work
        if not self.work.succeeded:
            if not isinstance(self.work.failure, ConfigurationChanged) and self._again():
                return False
            self.failure = self.work.error
        return self._enter("publish")

    def _publish(self) -> bool:
        if not self._done("publish_verdict", self.failure):
            return False
        assert self.work
        if not self.work.succeeded:
            return False if self._again() else self.end("FAILED", self.work.error)
        self.output = self.work.result
        assert self.output
        self.state = "over"
        if self.output["status"] == "ERROR":
            return self.end("FAILED", {"Error": "NoVerdict", "Cause": self.output["reason"]})
        return self.end("SUCCEEDED", {})

    def _over(self) -> bool:
        return False

    def _again(self) -> bool:
        """Retry the work of a state, as `Retry` of States.ALL says."""
        if self._retries == 6:
            return False
        self.work = None
        self._ready_at = self.world.now + min(2.0 * 2**self._retries, 30)
        self._retries += 1
        return True

    # -- what is done to it ---------------------------------------------------------------------

    def give_up(self) -> bool:
        """Lose the answer of its work, which goes on, and call the step again."""
        if self.status != "RUNNING" or self.work is None or self.work.over or self._retries == 4:
            return False
        self.work = None
        self._ready_at = self.world.now + 1
        self._retries += 1
        self.world.note(f"Step Functions loses the answer to {self.state} of {self.run_id}")
        return True

    def stop(self, status: str) -> bool:
        """End it from outside."""
        if self.status != "RUNNING":
            return False
        self.world.note(f"{self.run_id} is {status}")
        self.end(status, {"Error": "Stopped", "Cause": "by a person"})
        return True

    def end(self, status: str, error: dict[str, str]) -> bool:
        """End it; what it called goes on."""
        self.status = status
        if status != "SUCCEEDED" and self.told:
            detail = {"name": self.run_id, "status": status, "executionArn": self.arn}
            detail |= {name.lower(): text for name, text in error.items()}
            self.world.deliver({"source": "aws.states", "detail": detail})
        return False

    def redrive(self) -> bool:
        """Enter what it ended in once more."""
        if self.status in ("RUNNING", "SUCCEEDED") or self.state == "over":
            return False
        self.world.note(f"{self.run_id} is redriven at {self.state}")
        self.status = "RUNNING"
        self._enter(self.state)
        if self.watch:
            self._watch_on()
        return True

    @property
    def timer(self) -> float | None:
        """When it goes on by itself."""
        waits = self.status == "RUNNING" and self.work is None and self.state != "over"
        return self._ready_at if waits else None
