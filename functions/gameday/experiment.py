"""The experiment: the document that a user writes, its rules and the plan of one run.

Pure: no client, no clock, no environment. `parse` is the one door from a document to an
`Experiment`; it reports every fault at once.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, ValidationInfo, field_validator

from gameday.arrivals import Arrivals, Spacing
from gameday.conditions import KINDS, AnyCondition
from gameday.conditions.failure_lambda import Unusable
from gameday.errors import Fault, InvalidExperiment
from gameday.feasibility import LONGEST_WINDOW_SECONDS, WINDOWS_SECONDS, shortfalls
from gameday.kinds import CLOUDWATCH_METRIC, LOAD_METRIC, NUMBER, CloudWatchMetric, Measure, Model
from gameday.scale import MOST_WORKERS, Workers, workers, workers_for
from gameday.secrets import REFERENCE as SECRET

MAXIMUM_RUN_SECONDS = 10_620
"""No plan is longer, by the limits below; the machine's timeout and AppConfig's bake exceed it, and
all three stay below the 3 hours for which CloudWatch keeps what is finer than a minute."""

MAXIMUM_RATE_PER_SECOND = 1_000_000
"""Of what may be written; how much one worker sends is another matter."""

MAXIMUM_VALUES = 1000
"""Of one name."""

_MINUTE_SECONDS = 60
"""A window may have to wait for the next clock minute."""

_SERVING_SECONDS = 60
"""AppConfig must serve a deployment by then."""

_MARGIN_SECONDS = 60
"""What the steps beside a window may take: cold starts, calls that are retried."""

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_MAY_HOLD_SECRETS = re.compile(r"load\.(requests\[\d+\]\.)?(headers\.|body$|values\.)")
_PLACE = re.compile(r"\{[^}]*\}")
_VALUE_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_REGION = re.compile(r"\.(?:execute-api|lambda-url)\.([a-z0-9-]+)\.(?:amazonaws\.com|on\.aws)")
_HEADERS_OF_ITS_OWN = {"connection", "content-length", "transfer-encoding"}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110


class Phase(StrEnum):
    """When the load was generated; a dimension of its metrics."""

    BASELINE = "baseline"
    CONDITION = "condition"
    RECOVERY = "recovery"


class Signing(Model):
    """By which IAM lets a request pass: with the permissions of the function that sends it."""

    service: Literal["execute-api", "lambda"] = Field(
        description="`execute-api` for API Gateway, `lambda` for a function URL."
    )
    region: str | None = Field(
        default=None,
        pattern=r"^[a-z]{2}(-[a-z]+)+-\d$",
        description="Needed where the address does not name it, as of a domain of your own.",
    )

    def region_of(self, url: str) -> str | None:
        """The region to sign for: None if nothing names it."""
        found = _REGION.search(urlsplit(url).hostname or "")
        return self.region or (found and found[1])


class Request(Model):
    """What is sent: to an address, or to a Lambda function directly."""

    url: str | None = Field(default=None, max_length=2048)
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    sign: Signing | None = None
    function: str | None = Field(
        default=None, pattern=r"^[\w:.${}-]{1,200}$", description="Its name or ARN, or an alias's."
    )
    invocation: Literal["synchronous", "asynchronous"] = "synchronous"
    body: str | None = Field(default=None, max_length=65_536)

    @field_validator("headers")
    @classmethod
    def _one_line_each(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
                raise ValueError(f"{name!r} is no header: a name is a token, a value one line")
            if name.lower() in _HEADERS_OF_ITS_OWN:
                raise ValueError(f"{name!r} follows from the request: leave it out")
        return headers

    @field_validator("url")
    @classmethod
    def _an_http_address(cls, url: str | None) -> str | None:
        if url is None or _REFERENCE.search(url):
            return url
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an http:// or https:// address")
        if parts.username is not None:
            raise ValueError("has a user in it: write no secret into the document")
        if _PLACE.search(parts.netloc):
            raise ValueError("a value may stand anywhere behind the host, not in it")
        if parts.port == 0:  # reading it raises a ValueError for one that is no number
            raise ValueError("port 0 cannot be connected to")
        return url

    @field_validator("sign")
    @classmethod
    def _for_a_region(cls, sign: Signing | None, info: ValidationInfo) -> Signing | None:
        url = info.data.get("url")
        if sign and url and not _REFERENCE.search(url) and not sign.region_of(url):
            raise ValueError("the address does not name its region: state it")
        return sign

    @field_validator("function")
    @classmethod
    def _one_target(cls, function: str | None, info: ValidationInfo) -> str | None:
        if function is None:
            return None
        given = [name for name in ("url", "headers", "sign") if info.data.get(name)]
        if info.data.get("method", "GET") != "GET":
            given.append("method")
        if given:
            raise ValueError(f"a function is invoked: that has no {', '.join(given)}")
        return function

    @property
    def texts(self) -> Iterator[str]:
        """Everything in which a value may stand."""
        yield from filter(None, (self.url, self.body, *self.headers.values()))


class WeightedRequest(Request):
    """One of several."""

    weight: int = Field(default=1, ge=1, le=100)


class Load(Request):
    """Requests that leave on schedule, whatever the answers do."""

    requests: tuple[WeightedRequest, ...] = Field(default=(), max_length=20, validate_default=True)
    values: dict[str, tuple[str, ...]] = Field(default_factory=dict, max_length=10)
    rate_per_second: float = Field(default=5.0, gt=0, le=MAXIMUM_RATE_PER_SECOND)
    to_per_second: float | None = Field(default=None, gt=0, le=MAXIMUM_RATE_PER_SECOND)
    then_per_second: tuple[Annotated[float, Field(gt=0, le=MAXIMUM_RATE_PER_SECOND)], ...] = Field(
        default=(), max_length=20
    )
    spacing: Spacing = Spacing.EVEN
    timeout_seconds: float = Field(default=10.0, gt=0, le=30)
    warm_up_seconds: int = Field(default=10, ge=0, le=120)
    expected_latency_ms: float = Field(
        default=200.0,
        gt=0,
        le=30_000,
        description="Without the condition; the plan reckons with it how many are in flight.",
    )

    @field_validator("requests")
    @classmethod
    def _something_to_send(
        cls, requests: tuple[WeightedRequest, ...], info: ValidationInfo
    ) -> tuple[WeightedRequest, ...]:
        one = any(info.data.get(name) for name in ("url", "function"))
        if not one and not requests and {"url", "function"} <= info.data.keys():
            raise ValueError("nothing is sent: give a url, a function, or several requests")
        fields = set(Request.model_fields)
        if requests and any(
            value != Request.model_fields[name].get_default(call_default_factory=True)
            for name, value in info.data.items()
            if name in fields
        ):
            raise ValueError("each of several requests says everything of itself")
        for number, request in enumerate(requests):
            if not request.url and not request.function:
                raise ValueError(f"number {number} has neither a url nor a function")
        return requests

    @field_validator("values")
    @classmethod
    def _that_are_used(
        cls, values: dict[str, tuple[str, ...]], info: ValidationInfo
    ) -> dict[str, tuple[str, ...]]:
        if not {*Request.model_fields, "requests"} <= info.data.keys():
            return values  # what it would look at has faults of its own
        sent = _sends(info.data)
        texts = [text for request in sent for text in request.texts]
        in_headers = [text for request in sent for text in request.headers.values()]
        for name, several in values.items():
            place = f"{{{name}}}"
            if not _VALUE_NAME.fullmatch(name) or not 0 < len(several) <= MAXIMUM_VALUES:
                raise ValueError(
                    f"{name!r}: a name is lower-case letters, digits and _, "
                    f"its values are 1 to {MAXIMUM_VALUES}"
                )
            if not any(place in text for text in texts):
                raise ValueError(f"nothing says {place}")
            if not all(map(str.isprintable, several)) and any(place in t for t in in_headers):
                raise ValueError(f"{place} is in a header, whose value is one line")
        return values

    @field_validator("then_per_second")
    @classmethod
    def _one_shape(cls, rates: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if rates and info.data.get("to_per_second") is not None:
            raise ValueError("a load is a ramp or goes in steps: leave one of them out")
        return rates

    @property
    def sends(self) -> tuple[WeightedRequest, ...]:
        """All that it sends, be it one or several."""
        return _sends(dict(self))

    @property
    def is_signed(self) -> bool:
        """Whether any of it needs credentials."""
        return any(request.sign or request.function for request in self.sends)

    @property
    def peak_per_second(self) -> float:
        """The highest rate that it has at any time."""
        return max(self.rate_per_second, self.to_per_second or 0, *self.then_per_second, 0)

    def arrivals(self, seconds: int) -> Arrivals:
        """What becomes due in a window of this length."""
        rates = [Fraction(str(rate)) for rate in (self.rate_per_second, *self.then_per_second)]
        pairs = [(rate, rate) for rate in rates]
        if self.to_per_second is not None:
            pairs = [(rates[0], Fraction(str(self.to_per_second)))]
        return Arrivals(tuple(pairs), seconds, self.spacing)


def _sends(fields: Mapping[str, Any]) -> tuple[WeightedRequest, ...]:
    if several := fields.get("requests"):
        return tuple(several)
    own = {name: fields[name] for name in Request.model_fields}
    return (WeightedRequest.model_construct(**own, weight=1),)


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
    evidence_seconds: int = Field(
        description="So long after enabling, evidence of the condition is no longer waited for."
    )
    baseline_workers: Workers
    condition_workers: Workers
    recovery_workers: Workers
    settle_seconds: int
    lease_seconds: int = Field(description="How long the condition may be on; then it expires.")
    watch_seconds: int = Field(description="When the watch ends by itself, and with it the work.")
    deadline_seconds: int = Field(description="When the run must be over, its verdict published.")

    def workers(self, phase: Phase) -> Workers:
        """Who generates the load of a phase."""
        return {
            Phase.BASELINE: self.baseline_workers,
            Phase.CONDITION: self.condition_workers,
            Phase.RECOVERY: self.recovery_workers,
        }[phase]


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
        needed = workers_for(load.peak_per_second, _latency_ms(load, condition)) if condition else 1
        if needed > MOST_WORKERS:
            raise ValueError(
                f"takes {needed} workers, and {MOST_WORKERS} are the most: lower the rate, or the "
                "latency, for slow requests need more connections"
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
                lambda seconds: load.arrivals(seconds).count,
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
        evidence = self.condition.ramp_seconds + self.condition.propagation_seconds
        at_once = workers_for(load.peak_per_second, _latency_ms(load, self.condition))
        baseline, condition, recovery = (
            workers(at_once, warm_up_seconds, window_seconds)
            for warm_up_seconds, window_seconds in (
                (load.warm_up_seconds, windows.baseline_seconds),
                (load.warm_up_seconds, windows.condition_seconds),
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
            + evidence
            + condition.head_start_seconds
            + load.warm_up_seconds
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
        # Evidence takes one worker.
        warming_up = 2 * load.warm_up_seconds + evidence / at_once + 3 * _MINUTE_SECONDS
        most_requests = math.ceil(warming_up * load.rate_per_second) + sum(
            load.arrivals(seconds).count
            for seconds in (
                windows.baseline_seconds,
                windows.condition_seconds,
                windows.recovery_seconds,
            )
        )
        return Plan(
            baseline_requests=load.arrivals(windows.baseline_seconds).count,
            condition_requests=load.arrivals(windows.condition_seconds).count,
            most_requests=most_requests,
            evidence_seconds=evidence,
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
    unresolved = [*_misplaced(document), *([] if references else _unresolved(document))]
    try:
        experiment = Experiment.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise InvalidExperiment([*unresolved, *_faults(error)]) from error
    if unresolved:
        raise InvalidExperiment(unresolved)
    return experiment


def _unresolved(document: object) -> Iterator[Fault]:
    for path, text in _strings(document):
        for name in _REFERENCE.findall(SECRET.sub("", text)):
            yield Fault(
                path,
                f"${{{name}}} names an output of a stack; `gameday run` fills it in, "
                "other starters write the value itself",
                text,
            )


def _misplaced(document: object) -> Iterator[Fault]:
    for path, text in _strings(document):
        if SECRET.search(text) and not _MAY_HOLD_SECRETS.match(path):
            yield Fault(path, "a secret may stand in the load's headers, body and values", text)


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
        for name in _REFERENCE.findall(SECRET.sub("", text))
        if name not in outputs
    ]
    if unknown:
        raise InvalidExperiment(unknown)
    return _replaced(document, outputs)


def _replaced(node: Any, outputs: Mapping[str, str]) -> Any:
    match node:
        case str():
            return _REFERENCE.sub(lambda found: outputs.get(found[1], found[0]), node)
        case dict():
            return {key: _replaced(value, outputs) for key, value in node.items()}
        case list():
            return [_replaced(value, outputs) for value in node]
    return node
