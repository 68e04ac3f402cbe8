"""The experiment: the document that a user writes, its rules and the plan of one run.

Pure: no client, no clock, no environment. `parse` is the one door from a document to an
`Experiment`; it reports every fault at once.
"""

import json
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from gameday.conditions import KINDS, AnyCondition
from gameday.conditions.failure_lambda import Unusable
from gameday.errors import Fault, InvalidExperiment
from gameday.feasibility import (
    LONGEST_WINDOW_SECONDS,
    WINDOWS_SECONDS,
    requests_in,
    shortfalls,
)
from gameday.kinds import CLOUDWATCH_METRIC, LOAD_METRIC, NUMBER, CloudWatchMetric, Measure, Model
from gameday.scale import MOST_WORKERS, Workers, workers, workers_for

MAXIMUM_RUN_SECONDS = 10_200
"""No plan is longer, by the limits below; the machine's timeout and AppConfig's bake exceed it, and
all three stay below the 3 hours for which CloudWatch keeps what is finer than a minute."""

_MINUTE_SECONDS = 60
"""A window may have to wait for the next clock minute."""

_SERVING_SECONDS = 60
"""AppConfig must serve a deployment by then."""

_MARGIN_SECONDS = 60
"""What the steps beside a window may take: cold starts, calls that are retried."""

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110


class Phase(StrEnum):
    """When the load was generated; a dimension of its metrics."""

    BASELINE = "baseline"
    CONDITION = "condition"
    RECOVERY = "recovery"


class Load(Model):
    """Requests that leave on schedule, whatever the answers do."""

    url: str = Field(max_length=2048)
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    body: str | None = Field(default=None, max_length=65_536)
    rate_per_second: float = Field(default=5.0, gt=0, le=1_000_000)
    timeout_seconds: float = Field(default=10.0, gt=0, le=30)
    warm_up_seconds: int = Field(default=10, ge=0, le=120)
    expected_latency_ms: float = Field(
        default=200.0,
        gt=0,
        le=30_000,
        description="Without the condition; the plan reckons with it how many are in flight.",
    )

    @field_validator("headers")
    @classmethod
    def _one_line_each(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
                raise ValueError(f"{name!r} is no header: a name is a token, a value one line")
        return headers

    @field_validator("url")
    @classmethod
    def _an_http_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if not _REFERENCE.search(url) and (
            parts.scheme not in {"http", "https"} or not parts.netloc
        ):
            raise ValueError("must be an http:// or https:// address")
        return url


class Windows(Model):
    """How long each part of the run is measured."""

    baseline_seconds: int = 60
    condition_seconds: int = 60
    settle_seconds: int = Field(
        default=60,
        ge=0,
        le=300,
        description="From the end of the measured window until its metrics can be read.",
    )
    recovery_seconds: int = Field(
        default=120, description="The system must be back inside its baseline by then."
    )

    @field_validator("baseline_seconds", "condition_seconds", "recovery_seconds")
    @classmethod
    def _one_cloudwatch_period(cls, seconds: int) -> int:
        if seconds in WINDOWS_SECONDS:
            return seconds
        raise ValueError(
            "a window is one CloudWatch period: 10 to 59 seconds, "
            f"or whole minutes up to {LONGEST_WINDOW_SECONDS} seconds"
        )


class Plan(Model):
    """What follows from an experiment before anything is touched; durations in seconds."""

    baseline_requests: int
    condition_requests: int
    most_requests: int = Field(description="No run sends more, warm-ups and all phases together.")
    condition_warm_up_seconds: int
    baseline_workers: Workers
    condition_workers: Workers
    recovery_workers: Workers
    settle_seconds: int
    lease_seconds: int = Field(description="How long the condition may be on; then it expires.")
    watch_seconds: int = Field(description="When the watch ends by itself, and with it the work.")
    deadline_seconds: int = Field(description="When the run must be over, its verdict published.")


class Experiment(Model):
    """An objective, a condition to hold it under, load, and the measures that decide."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="Also a metric dimension."
    )
    objective: str = Field(min_length=1, max_length=300, description="One sentence.")
    condition: AnyCondition
    load: Load
    measures: tuple[Measure, ...] = Field(max_length=500)
    guardrails: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(
        default=(),
        max_length=100,
        description="Names of CloudWatch alarms that must stay quiet.",
    )
    windows: Windows = Field(default=Windows(), validate_default=True)

    @field_validator("load")
    @classmethod
    def _few_enough_workers(cls, load: Load, info: ValidationInfo) -> Load:
        condition = info.data.get("condition")
        needed = workers_for(load.rate_per_second, _latency_ms(load, condition)) if condition else 1
        if needed > MOST_WORKERS:
            raise ValueError(
                f"takes {needed} workers, and {MOST_WORKERS} are the most: lower rate_per_second, "
                "or the latency, for slow requests need more connections"
            )
        return load

    @field_validator("measures")
    @classmethod
    def _some_with_names_that_differ(cls, measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
        if not measures:
            raise ValueError("needs at least one: nothing else can decide")
        if len({measure.name for measure in measures}) < len(measures):
            raise ValueError("two measures have the same name")
        if not any(measure.critical for measure in measures):
            raise ValueError("none is critical: nothing would decide")
        return measures

    @field_validator("windows")
    @classmethod
    def _fit_the_metrics(cls, windows: Windows, info: ValidationInfo) -> Windows:
        measures = info.data.get("measures", ())
        foreign = [
            measure.name
            for measure in measures
            if any(isinstance(metric, CloudWatchMetric) for metric in measure.looks_at)
        ]
        short = [
            name
            for name in ("baseline_seconds", "condition_seconds", "recovery_seconds")
            if getattr(windows, name) % 60
        ]
        if foreign and short:
            raise ValueError(
                f"the metrics of {', '.join(map(repr, foreign))} are read by the minute, so "
                f"{', '.join(short)} must be whole minutes"
            )
        return windows

    @field_validator("windows")
    @classmethod
    def _long_enough_to_decide(cls, windows: Windows, info: ValidationInfo) -> Windows:
        measures, load = info.data.get("measures", ()), info.data.get("load")
        too_short = load and "; ".join(
            shortfalls(
                measures,
                load.rate_per_second,
                windows.baseline_seconds,
                windows.condition_seconds,
            )
        )
        if too_short:
            raise ValueError(too_short)
        return windows

    @property
    def plan(self) -> Plan:
        """The plan of one run: how long the condition, the work and the whole of it may take."""
        windows, load = self.windows, self.load
        warm_up = max(load.warm_up_seconds, self.condition.propagation_seconds)
        at_once = workers_for(load.rate_per_second, _latency_ms(load, self.condition))
        baseline, condition, recovery = (
            workers(at_once, warm_up_seconds, window_seconds)
            for warm_up_seconds, window_seconds in (
                (load.warm_up_seconds, windows.baseline_seconds),
                (warm_up, windows.condition_seconds),
                (0, windows.recovery_seconds),
            )
        )
        before = (
            baseline.head_start_seconds
            + load.warm_up_seconds
            + _MINUTE_SECONDS
            + windows.baseline_seconds
            + windows.settle_seconds
            + _MARGIN_SECONDS
        )
        lease = (
            _SERVING_SECONDS
            + condition.head_start_seconds
            + warm_up
            + _MINUTE_SECONDS
            + windows.condition_seconds
            + _MARGIN_SECONDS
        )
        work = before + lease + windows.settle_seconds + _MARGIN_SECONDS
        after = (
            recovery.head_start_seconds
            + _MINUTE_SECONDS
            + windows.recovery_seconds
            + windows.settle_seconds
            + 2 * _MARGIN_SECONDS  # to disable and to publish, each with retries
        )
        loaded = (
            load.warm_up_seconds
            + windows.baseline_seconds
            + warm_up
            + windows.condition_seconds
            + windows.recovery_seconds
            + 3 * _MINUTE_SECONDS
        )
        return Plan(
            baseline_requests=requests_in(windows.baseline_seconds, load.rate_per_second),
            condition_requests=requests_in(windows.condition_seconds, load.rate_per_second),
            most_requests=requests_in(loaded, load.rate_per_second),
            condition_warm_up_seconds=warm_up,
            baseline_workers=baseline,
            condition_workers=condition,
            recovery_workers=recovery,
            settle_seconds=windows.settle_seconds,
            lease_seconds=lease,
            watch_seconds=work,
            deadline_seconds=work + after,
        )


def _latency_ms(load: Load, condition: AnyCondition) -> float:
    """What a request is expected to take while the condition is on."""
    return load.expected_latency_ms + condition.reach.latency_ms


def parse(document: object, *, references: bool = False) -> Experiment:
    """Make an experiment of a document, every default filled in.

    Args:
        document: what `json.loads` made of the file or of the execution's input.
        references: whether a `${Name}` may still stand for an output of a stack; never so
            once a run has started.

    Raises:
        InvalidExperiment: with every fault of the document at once.
    """
    unresolved = [] if references else list(_unresolved(document))
    try:
        experiment = Experiment.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise InvalidExperiment([*unresolved, *_faults(error)]) from error
    if unresolved:
        raise InvalidExperiment(unresolved)
    return experiment


def _unresolved(document: object) -> Iterator[Fault]:
    for path, text in _strings(document):
        for name in _REFERENCE.findall(text):
            yield Fault(
                path,
                f"${{{name}}} names an output of a stack; `gameday run` fills it in, "
                "other starters write the value itself",
                text,
            )


def _strings(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    match node:
        case str():
            yield path, node
        case Mapping():
            for key, value in node.items():
                yield from _strings(value, f"{path}.{key}" if path else str(key))
        case list():
            for index, value in enumerate(node):
                yield from _strings(value, f"{path}[{index}]")


def _faults(error: ValidationError) -> Iterator[Fault]:
    for item in error.errors():
        field = _field(item["loc"])
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Unusable):
            for fault in cause.faults:
                yield Fault(
                    ".".join(filter(None, (field, fault.field))), fault.message, fault.value
                )
        else:
            written = item["type"] != "missing" and not isinstance(item["input"], Model)
            value = item["input"] if written else None
            yield Fault(field, item["msg"].removeprefix("Value error, "), value)


def _field(loc: tuple[int | str, ...]) -> str:
    """The path as a user writes it, without the names of pydantic's union members."""
    if loc[:1] == ("condition",) and loc[1:2] and loc[1] in KINDS:
        loc = (loc[0], *loc[2:])
    if loc[:1] == ("measures",) and len(loc) > 3:
        loc = (*loc[:2], *loc[3:])
    path = ""
    for part in loc:
        if part not in (LOAD_METRIC, CLOUDWATCH_METRIC, NUMBER):
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "document"


def resolve(document: Any, outputs: Mapping[str, str]) -> Any:
    """Fill in each `${Name}` of a document from the outputs of the application's stack.

    Raises:
        InvalidExperiment: for every name that is no output, with those that are.
    """
    unknown = [
        Fault(path, f"${{{name}}} is no output of the stack; it has {', '.join(sorted(outputs))}")
        for path, text in _strings(document)
        for name in _REFERENCE.findall(text)
        if name not in outputs
    ]
    if unknown:
        raise InvalidExperiment(unknown)
    return _replaced(document, outputs)


def _replaced(node: Any, outputs: Mapping[str, str]) -> Any:
    match node:
        case str():
            return _REFERENCE.sub(lambda found: outputs[found[1]], node)
        case dict():
            return {key: _replaced(value, outputs) for key, value in node.items()}
        case list():
            return [_replaced(value, outputs) for value in node]
    return node
