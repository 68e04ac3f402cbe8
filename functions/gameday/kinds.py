"""The kinds of measure: what a document says of each, and what CloudWatch is asked for it. Pure."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

_STATISTIC = re.compile(
    r"SampleCount|Sum|Average|Minimum|Maximum|IQM"
    r"|(p|tm|wm|tc|ts)\d{1,2}(\.\d{1,10})?"
    r"|(TM|WM|TC|TS)\(\d*(\.\d+)?%?:\d*(\.\d+)?%?\)"
    r"|PR\(\d*(\.\d+)?:\d*(\.\d+)?\)"
)
_NAME = re.compile(r"[a-z][a-zA-Z0-9_]{0,39}")
_WORD = re.compile(r"[A-Za-z_]\w*")
_FUNCTIONS = frozenset(
    {
        "ABS",
        "AND",
        "AVG",
        "CEIL",
        "FLOOR",
        "IF",
        "LOG",
        "LOG10",
        "MAX",
        "MIN",
        "OR",
        "PERIOD",
        "SUM",
    }
)
"""Of metric math, what makes sense of one period and brings in nothing that was not measured: FILL
invents zeros, SEARCH and METRICS other metrics. Source:
AmazonCloudWatch/latest/monitoring/using-metric-math.html."""


class Model(BaseModel):
    """A part of the document: a field that is not known, and text for a number, are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LoadMetric(StrEnum):
    """What the load itself publishes: milliseconds, or a count of requests."""

    LATENCY = "Latency"
    REQUESTS = "Requests"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Operator(StrEnum):
    """How an observed value must stand to the threshold."""

    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="

    @property
    def wants_less(self) -> bool:
        """Whether a smaller value is the better one."""
        return self in (Operator.LESS, Operator.AT_MOST)


class CloudWatchMetric(Model):
    """Any metric of the account and region."""

    namespace: str = Field(min_length=1, max_length=255)
    name: str = Field(min_length=1, max_length=255)
    dimensions: dict[str, str] = Field(default_factory=dict, max_length=30)
    resolution_seconds: Literal[1, 60] = Field(
        default=60, description="60 for every metric of an AWS service, 1 for high resolution."
    )


LOAD_METRIC, CLOUDWATCH_METRIC, NUMBER = "load metric", "CloudWatch metric", "number"

Metric = Annotated[
    Annotated[LoadMetric, Tag(LOAD_METRIC)] | Annotated[CloudWatchMetric, Tag(CLOUDWATCH_METRIC)],
    Discriminator(lambda v: LOAD_METRIC if isinstance(v, str) else CLOUDWATCH_METRIC),
]


def _known_statistic(statistic: str) -> str:
    if not _STATISTIC.fullmatch(statistic):
        raise ValueError("is no CloudWatch statistic: Sum, Average, p95, PR(:400), …")
    return statistic


def _a_count(metric: LoadMetric | CloudWatchMetric) -> LoadMetric | CloudWatchMetric:
    if metric is LoadMetric.LATENCY:
        raise ValueError("Latency is in milliseconds, and requests are counted here")
    return metric


class Span(StrEnum):
    """Over what a query has one value."""

    WINDOW = "window"
    PERIOD = "period"
    SLICE = "slice"


@dataclass(frozen=True)
class Query:
    """A statistic of a metric: one value of the window, of each period, or of each whole slice."""

    metric: LoadMetric | CloudWatchMetric
    statistic: str
    span: Span = Span.PERIOD


Confidence = Annotated[
    float,
    Field(
        ge=0.8,
        le=0.999,
        description="How sure PASSED and FAILED must be, each by itself.",
    ),
]


class _Measure(Model, ABC):
    name: str = Field(min_length=1, max_length=100)
    critical: bool = Field(
        default=True, description="Whether it decides; if not, it is only reported."
    )

    @property
    @abstractmethod
    def queries(self) -> Mapping[str, Query]:
        """What CloudWatch is asked about a window, by the role of the answer."""

    @property
    def slice_queries(self) -> Mapping[str, Query]:
        """What it is asked about a slice of a window, to see when the system is back."""
        return self.queries

    @property
    def looks_at(self) -> tuple[LoadMetric | CloudWatchMetric, ...]:
        """Every metric that it looks at."""
        return tuple(query.metric for query in self.queries.values())

    @property
    def resolution_seconds(self) -> int:
        """The finest period in which CloudWatch holds all of its metrics."""
        return max(
            metric.resolution_seconds if isinstance(metric, CloudWatchMetric) else 1
            for metric in self.looks_at
        )


Label = Annotated[str | None, Field(max_length=40, description="A label for people.")]


def _that_of_the_metric(unit: str | None, info: ValidationInfo) -> str | None:
    if info.data.get("metric") is LoadMetric.LATENCY and unit not in (None, "ms"):
        raise ValueError("Latency is in milliseconds: its label is ms")
    return unit


class PercentileMeasure(_Measure):
    """At least so many percent of all samples must be below a threshold.

    Decided by how many are not: "95 % < 400" says that fewer than 5 % of all samples are 400 or
    more, whatever those that were taken happened to be.
    """

    kind: Literal["percentile"]
    metric: Metric = Field(
        description="One of the load's own (Latency, Requests, Succeeded, Failed) or any other."
    )
    percentile: float = Field(gt=0, lt=100)
    operator: Operator = Field(description="`<` or `<=`.")
    threshold: float = Field(gt=0, allow_inf_nan=False)
    unit: Label = None
    confidence: Confidence = 0.95

    _unit = field_validator("unit")(_that_of_the_metric)

    @field_validator("operator")
    @classmethod
    def _an_upper_bound(cls, operator: Operator) -> Operator:
        if not operator.wants_less:
            raise ValueError("must be < or <=: so many percent of all samples are below")
        return operator

    @field_validator("metric")
    @classmethod
    def _of_single_samples(
        cls, metric: LoadMetric | CloudWatchMetric
    ) -> LoadMetric | CloudWatchMetric:
        if isinstance(metric, LoadMetric) and metric is not LoadMetric.LATENCY:
            raise ValueError(f"{metric} is a count, and a percentile is one of single samples")
        return metric

    @property
    def share(self) -> float:
        """The share of samples that may miss the threshold."""
        return round(1 - self.percentile / 100, 12)

    @property
    def queries(self) -> Mapping[str, Query]:
        """Samples and those within the threshold by the period, and the percentile itself."""
        # A rank counts samples at most as large as its bound: just below it for "less than".
        bound = self.threshold * (1 if self.operator is Operator.AT_MOST else 1 - 1e-6)
        return {
            "samples": Query(self.metric, "SampleCount"),
            "within": Query(self.metric, f"PR(:{_decimal(bound)})"),
            "value": self._value,
        }

    @property
    def slice_queries(self) -> Mapping[str, Query]:
        """The percentile alone."""
        return {"value": self._value}

    @property
    def _value(self) -> Query:
        return Query(self.metric, f"p{_decimal(self.percentile)}", Span.WINDOW)


def _decimal(number: float) -> str:
    return f"{number:.10f}".rstrip("0").rstrip(".")


class ProportionMeasure(_Measure):
    """What percentage one count is of another, for example Failed of Requests."""

    kind: Literal["proportion"]
    metric: Metric = Field(description="What is counted; a part of `of`.")
    of: Metric = Field(description="All of them.")
    operator: Operator
    threshold: float = Field(gt=0, lt=100, description="In percent.")
    confidence: Confidence = 0.95

    _counts = field_validator("metric", "of")(_a_count)

    @property
    def queries(self) -> Mapping[str, Query]:
        """Both counts by the period."""
        return {"events": Query(self.metric, "Sum"), "total": Query(self.of, "Sum")}


class Periods(Model):
    """As CloudWatch's alarms look at it: of so many periods in a row, at least so many."""

    seconds: int = Field(ge=1, le=600, description="The length of a period.")
    of: int = Field(ge=1, le=60, description="How many periods in a row are looked at.")
    at_least: int = Field(ge=1, le=60, description="In how many of them the rate must hold.")

    @field_validator("at_least")
    @classmethod
    def _not_more_than_there_are(cls, at_least: int, info: ValidationInfo) -> int:
        if at_least > info.data.get("of", at_least):
            raise ValueError("is more than of: no run could hold")
        return at_least


class RateMeasure(_Measure):
    """A count over the window, for each minute or second of it."""

    kind: Literal["rate"]
    metric: Metric = Field(description="What is counted.")
    per: Literal["minute", "second"]
    operator: Operator
    threshold: float = Field(gt=0, allow_inf_nan=False)
    unit: Label = None
    confidence: Confidence = 0.95
    periods: Periods | None = Field(
        default=None, description="Decide by M of N periods in place of the whole window."
    )

    _counts = field_validator("metric")(_a_count)

    @property
    def queries(self) -> Mapping[str, Query]:
        """The count by the period."""
        return {"count": Query(self.metric, "Sum")}

    @property
    def per_seconds(self) -> int:
        """The length of the `per`."""
        return {"minute": 60, "second": 1}[self.per]


class RelativeMeasure(_Measure):
    """A statistic that may be worse than in the baseline by no more than a margin."""

    kind: Literal["relative"]
    metric: Metric = Field(
        description="One of the load's own (Latency, Requests, Succeeded, Failed) or any other."
    )
    statistic: str
    operator: Operator = Field(description="`<=` where less is better, `>=` where more is.")
    margin_percent: float = Field(gt=0, le=1000, description="How much worse it may be.")
    unit: Label = None
    confidence: Confidence = 0.95

    _statistic = field_validator("statistic")(_known_statistic)
    _unit = field_validator("unit")(_that_of_the_metric)

    @property
    def queries(self) -> Mapping[str, Query]:
        """The statistic of each slice: one value of the window would not say how sure it is."""
        return {"level": Query(self.metric, self.statistic, Span.SLICE)}

    @property
    def factor(self) -> float:
        """How many times the baseline it may be."""
        margin = self.margin_percent / 100
        return 1 + margin if self.operator.wants_less else max(0.0, 1 - margin)


class NamedMetric(Model):
    """A metric of an expression."""

    metric: Metric = Field(
        description="One of the load's own (Latency, Requests, Succeeded, Failed) or any other."
    )
    statistic: str

    _statistic = field_validator("statistic")(_known_statistic)


class ThresholdMeasure(_Measure):
    """A statistic over the window, as one period, compared with a threshold as a point."""

    kind: Literal["threshold"]
    metric: Metric = Field(
        description="One of the load's own (Latency, Requests, Succeeded, Failed) or any other."
    )
    statistic: str
    operator: Operator
    threshold: float = Field(allow_inf_nan=False)
    unit: Label = None

    _statistic = field_validator("statistic")(_known_statistic)
    _unit = field_validator("unit")(_that_of_the_metric)

    @property
    def queries(self) -> Mapping[str, Query]:
        """The statistic, and of how many samples."""
        return {
            "value": Query(self.metric, self.statistic, Span.WINDOW),
            "samples": Query(self.metric, "SampleCount", Span.WINDOW),
        }


class ExpressionMeasure(_Measure):
    """Metric math over the window, as one period, compared with a threshold as a point."""

    kind: Literal["expression"]
    metrics: dict[str, NamedMetric] = Field(
        min_length=1, max_length=10, description="The metrics of the expression, by their names."
    )
    expression: str = Field(
        min_length=1, max_length=1024, description="CloudWatch's metric math over those names."
    )
    operator: Operator
    threshold: float = Field(allow_inf_nan=False)
    unit: Label = None

    @field_validator("metrics")
    @classmethod
    def _names_as_cloudwatch_takes_them(cls, metrics: dict[str, Any]) -> dict[str, Any]:
        for name in metrics:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name: a lower-case letter, letters, digits, _")
        return metrics

    @field_validator("expression")
    @classmethod
    def _of_the_named_metrics(cls, expression: str, info: ValidationInfo) -> str:
        words, named = set(_WORD.findall(expression)), info.data.get("metrics")
        if named is None:
            return expression
        if unknown := words - named.keys() - _FUNCTIONS:
            raise ValueError(f"{', '.join(sorted(unknown))}: neither named nor a known function")
        if unused := named.keys() - words:
            raise ValueError(f"{', '.join(sorted(unused))}: named and not used")
        return expression

    @property
    def queries(self) -> Mapping[str, Query]:
        """The metrics by their names."""
        return {
            name: Query(named.metric, named.statistic, Span.WINDOW)
            for name, named in self.metrics.items()
        }


def renamed(expression: str, names: Mapping[str, str]) -> str:
    """The expression with other names for its metrics, since an id is unique in a request."""
    return _WORD.sub(lambda found: names.get(found[0], found[0]), expression)


class ErrorBudgetMeasure(_Measure):
    """What share of an error budget the bad requests of the measured window burn."""

    kind: Literal["error_budget"]
    bad: Metric = Field(description="The bad requests, counted; a part of `of`.")
    of: Metric = Field(description="All requests, counted.")
    objective_percent: float = Field(gt=0, lt=100, description="The objective, such as 99.9.")
    window_days: int = Field(default=30, ge=1, le=90, description="The objective's window.")
    requests: Annotated[
        Annotated[float, Tag(NUMBER), Field(gt=0, allow_inf_nan=False)]
        | Annotated[CloudWatchMetric, Tag(CLOUDWATCH_METRIC)],
        Discriminator(lambda v: NUMBER if isinstance(v, int | float) else CLOUDWATCH_METRIC),
    ] = Field(
        description="How many requests the window has, or the metric that counts them: "
        "its sum over the last window."
    )
    at_most_percent: float = Field(
        gt=0, le=100, description="The share of the budget that this run may burn."
    )

    _counts = field_validator("bad", "of")(_a_count)

    @property
    def queries(self) -> Mapping[str, Query]:
        """Both counts by the period."""
        return {"events": Query(self.bad, "Sum"), "total": Query(self.of, "Sum")}

    @property
    def share(self) -> float:
        """The share of requests that may be bad."""
        return round(1 - self.objective_percent / 100, 12)


Measure = Annotated[
    PercentileMeasure
    | ProportionMeasure
    | RateMeasure
    | RelativeMeasure
    | ThresholdMeasure
    | ExpressionMeasure
    | ErrorBudgetMeasure,
    Field(discriminator="kind"),
]


FEWEST_SLICES = 3
"""So many values on each side has a comparison with the baseline, or it says nothing."""

_SLICES_SECONDS = (5, 10, 20, 30, 60)  # the periods of GetMetricData
_MOST_SLICES = 12


def slice_seconds(window_seconds: int, resolution_seconds: int) -> int:
    """How long the slices are into which a window is cut to see how much it varies.

    Long enough that a slice has many samples, so that one has little to do with the next.
    """
    if resolution_seconds == 60:
        return 60
    return next(s for s in _SLICES_SECONDS if window_seconds <= s * _MOST_SLICES or s == 60)


def period_seconds(window_seconds: int, resolution_seconds: int) -> int:
    """How long the periods are in which counts are read: they fill the window exactly."""
    if resolution_seconds == 1 and window_seconds % 60:
        return 1
    return slice_seconds(window_seconds, resolution_seconds)
