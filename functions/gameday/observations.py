"""What a run sees, as plain data: made by the load and the measures, read by the judge."""

import base64
import json
import math
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import accumulate
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    computed_field,
    model_serializer,
    model_validator,
)

from gameday.experiment import Phase

NAMESPACE = "Gameday"
"""The CloudWatch namespace of everything that Gameday publishes."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True)


class Failure(StrEnum):
    """Why a request has no answer; `function`: it has one, from a Lambda function that broke."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    OVERLOAD = "overload"
    FUNCTION = "function"
    OTHER = "other"


class Quantiles(_Data):
    """Nearest-rank quantiles in milliseconds: at least p % of the samples are at most this."""

    p50: float
    p95: float
    p99: float
    max: float


class Histogram(_Data):
    """How often each duration was seen: by tenths of a millisecond, three digits, rounded up.

    Durations up to a minute have no more than 3,500 of them, whatever was seen. As JSON it is a
    short text, because a run keeps several.
    """

    counts: Mapping[int, int] = {}

    @classmethod
    def of(cls, tenths: Mapping[int, int]) -> Self:
        """Of durations in tenths of a millisecond."""
        return cls(counts=rounded_up(tenths))

    @classmethod
    def merged(cls, histograms: Sequence[Self]) -> Self:
        """Of all the durations that these are of."""
        counts: Counter[int] = Counter()
        for histogram in histograms:
            counts.update(histogram.counts)
        return cls(counts=counts)

    @model_validator(mode="before")
    @classmethod
    def _unpacked(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return {"counts": dict(json.loads(zlib.decompress(base64.b64decode(value))))}

    @model_serializer
    def _packed(self) -> str:
        text = json.dumps(sorted(self.counts.items()), separators=(",", ":"))
        return base64.b64encode(zlib.compress(text.encode())).decode()

    def at_least(self, milliseconds: float) -> int:
        """How many took at least this long."""
        return sum(n for tenths, n in self.counts.items() if tenths >= 10 * milliseconds)

    @property
    def quantiles(self) -> Quantiles | None:
        """None of nothing."""
        if not self.counts:
            return None
        tenths = sorted(self.counts)
        ranks = list(accumulate(self.counts[value] for value in tenths))
        p50, p95, p99 = (
            tenths[bisect_left(ranks, math.ceil(ranks[-1] * percent / 100))] / 10
            for percent in (50, 95, 99)
        )
        return Quantiles(p50=p50, p95=p95, p99=p99, max=tenths[-1] / 10)


def rounded_up(tenths: Mapping[int, int]) -> Counter[int]:
    """The same counts, with three digits: no duration may slip under a threshold it exceeded."""
    few: Counter[int] = Counter()
    for value, count in tenths.items():
        step = 10 ** max(0, len(str(value - 1)) - 3)
        few[-(-value // step) * step] += count
    return few


class Window(_Data):
    """A measured window in whole seconds since the epoch; the end is exclusive."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.end - self.start


class LoadReport(_Data):
    """What became of a load in its measured window, or of one worker's share; no warm-up is in it.

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
    latencies: Histogram
    schedule_errors: Histogram
    stopped: bool

    @computed_field  # type: ignore[prop-decorator]
    @property
    def latency_ms(self) -> Quantiles | None:
        """None without an ended request."""
        return self.latencies.quantiles

    @computed_field  # type: ignore[prop-decorator]
    @property
    def schedule_error_ms(self) -> Quantiles | None:
        """None if nothing left."""
        return self.schedule_errors.quantiles

    @property
    def summary(self) -> dict[str, Any]:
        """As JSON, without the histograms."""
        return self.model_dump(mode="json", exclude={"latencies", "schedule_errors"})

    @classmethod
    def merged(cls, reports: Sequence[Self]) -> Self:
        """Of the whole load, from those of its shares: at least one, all of one phase."""
        (phase,) = {report.phase for report in reports}
        return cls(
            phase=phase,
            window=Window(
                start=min(report.window.start for report in reports),
                end=max(report.window.end for report in reports),
            ),
            offered=sum(report.offered for report in reports),
            sent=sum(report.sent for report in reports),
            succeeded=sum(report.succeeded for report in reports),
            failed=sum(report.failed for report in reports),
            by_status=_added([report.by_status for report in reports]),
            errors=_added([report.errors for report in reports]),
            latencies=Histogram.merged([report.latencies for report in reports]),
            schedule_errors=Histogram.merged([report.schedule_errors for report in reports]),
            stopped=any(report.stopped for report in reports),
        )


def _added[Key](counts: Sequence[Mapping[Key, int]]) -> dict[Key, int]:
    total: Counter[Key] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


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
