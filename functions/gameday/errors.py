"""Every error of Gameday.

The class name is the error name that Step Functions sees, so the state machine's `Retry`
and `Catch` blocks name these classes. Two families: `Invalid` is the caller's to mend and is
never retried; `Failed` is the world's.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a document: where, what, and the value that was found there."""

    field: str
    message: str
    value: Any = None

    def __str__(self) -> str:
        found = "" if self.value is None else f" (found {_shortened(self.value)})"
        return f"{self.field}: {self.message}{found}"


def _shortened(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def sentence(cause: str) -> str:
    """Return what an error says, whether Lambda wrapped it in JSON or not."""
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause


class GamedayError(Exception):
    """Raised by Gameday; never by itself."""


class Invalid(GamedayError):
    """Raised when the caller has to change something; nothing was touched."""


class InvalidExperiment(Invalid):
    """Raised when the document is not a valid experiment; carries every fault at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class RunRefused(Invalid):
    """Raised when a valid experiment must not start now; says for each reason what to do."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("\n".join(self.reasons))


class Failed(GamedayError):
    """Raised when something outside Gameday did not do what it had to."""


class RunStopped(Failed):
    """Raised when a step finds that its run was stopped, so that it does not go on."""


class WatchNotStanding(Failed):
    """Raised when the watch does not stand in time: without it nothing may be enabled."""


class GuardrailRang(Failed):
    """Raised in the watch when a guardrail's alarm went into ALARM during the run."""


class DeadlinePassed(Failed):
    """Raised when a run was not over by its deadline: whatever it still did was ended."""


class ConditionNotEnabled(Failed):
    """Raised when the condition could not be turned on."""


class ConditionNotDisabled(Failed):
    """Raised when the condition could not be proven off; retried, then the run ends red."""


class TargetNotReady(Failed):
    """Raised when the target's service does not finish an earlier change of it; retried."""


class ConfigurationChanged(Failed):
    """Raised when somebody else deployed to the target meanwhile: it is not ours to overwrite."""


class WorkerLost(Failed):
    """Raised when a worker began its part of a load in an earlier call, and did not report."""


class SecretNotRead(Failed):
    """Raised when a secret that the load refers to is absent or unfit; never shows it."""


class MetricsNotPublished(Failed):
    """Raised when the load's own metrics did not reach CloudWatch, so nothing can be judged."""


class MeasureNotRead(Failed):
    """Raised when CloudWatch answered a measure with an error and not with data."""


class VerdictNotPublished(Failed):
    """Raised when EventBridge or SNS did not take the verdict; retried."""
