"""What a run sees, as plain data: made by the load and the measures, read by the judge."""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from gameday.experiment import Phase

NAMESPACE = "Gameday"
"""The CloudWatch namespace of everything that Gameday publishes."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class Failure(StrEnum):
    """Why a request has no answer."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    OVERLOAD = "overload"
    OTHER = "other"


class Quantiles(_Data):
    """Nearest-rank quantiles in milliseconds: at least p % of the samples are at most this."""

    p50: float
    p95: float
    p99: float
    max: float


class Window(_Data):
    """A measured window in whole seconds since the epoch; the end is exclusive."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.end - self.start


class LoadReport(_Data):
    """What one worker did in its measured window; the warm-up is not in it.

    `offered` requests became due, `sent` left, and each that was not cut off by a stop either
    `succeeded` (an answer with status 200 to 399) or `failed`. `errors` counts those without an
    answer; `overload` is the worker's own: `sent` is smaller than `offered` by it. `latency_ms`
    counts from the due moment to the last byte, `schedule_error_ms` from there to the sending.
    """

    phase: Phase
    window: Window
    offered: int
    sent: int
    succeeded: int
    failed: int
    by_status: dict[str, int]
    errors: dict[Failure, int]
    latency_ms: Quantiles | None
    schedule_error_ms: Quantiles | None
    stopped: bool


class Observation(_Data):
    """What CloudWatch answered for one measure about one window of `seconds`.

    `values` by the role of the question (`Measure.queries`): one for the window, or one for each of
    its periods or slices in order of time; None where CloudWatch holds nothing. `partial` says that
    it did not give all that it holds.
    """

    seconds: int
    values: Mapping[str, tuple[float | None, ...]]
    partial: bool = False

    def one(self, role: str) -> float | None:
        """The value of the window."""
        (value,) = self.values[role]
        return value


class Reading(_Data):
    """All that was read about one window.

    `observations` by the measure's name, `requests` as CloudWatch counts the load's, `evidence` how
    often the injector says it injected, and `slow` how many requests took at least the latency
    that a mode promises, both by mode.
    """

    observations: Mapping[str, Observation]
    requests: float | None
    evidence: Mapping[str, float | None]
    slow: Mapping[str, float | None]
