"""docs/experiment.md says what the models, the formats and the judge do."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from gameday.conditions.appconfig import AppConfigCondition
from gameday.conditions.failure_lambda import MODES_0, MODES_1
from gameday.decision import (
    LARGEST_LOAD_ERROR,
    LARGEST_SCHEDULE_ERROR_MS,
    decide,
)
from gameday.errors import InvalidExperiment
from gameday.evidence import LEAST_EVIDENCE
from gameday.experiment import (
    Experiment,
    Load,
    Request,
    Signing,
    WeightedRequest,
    Windows,
    parse,
)
from gameday.judge import LARGEST_COUNT_ERROR, ROOM
from gameday.kinds import (
    CloudWatchMetric,
    ErrorBudgetMeasure,
    ExpressionMeasure,
    LoadMetric,
    NamedMetric,
    PercentileMeasure,
    Periods,
    ProportionMeasure,
    RateMeasure,
    RelativeMeasure,
    ThresholdMeasure,
)
from tests.unit.fakes import (
    EVENTS,
    STILL_MISSED,
    experiment,
    findings,
    judged,
    load_report,
    longest,
    smallest,
)

DOC = (EVENTS.parent / "docs" / "experiment.md").read_text(encoding="utf-8")
FLOWING = " ".join(DOC.split())

SECTIONS: Mapping[str, type[BaseModel]] = {
    "Fields": Experiment,
    "Condition": AppConfigCondition,
    "Load": Load,
    "Sign": Signing,
    "Any other metric": CloudWatchMetric,
    "Metrics": NamedMetric,
    "Periods": Periods,
    "Windows": Windows,
}

KINDS: Mapping[str, type[BaseModel]] = {
    "percentile": PercentileMeasure,
    "proportion": ProportionMeasure,
    "rate": RateMeasure,
    "relative": RelativeMeasure,
    "threshold": ThresholdMeasure,
    "expression": ExpressionMeasure,
    "error_budget": ErrorBudgetMeasure,
}


def table(heading: str) -> list[list[str]]:
    """The first table under a heading, without its head."""
    section = re.split(r"^#", DOC.split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    first = section[section.index("|") :].split("\n\n")[0]
    rows = [line.strip()[1:-1].split("|") for line in first.splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in rows]


def rendered(schema: Mapping[str, Any], definitions: Mapping[str, Any], field: str) -> str:
    """Type and limits of a field, in the document's words."""
    if "$ref" in schema:
        schema = {**definitions[schema["$ref"].rpartition("/")[2]], **schema}
    if "anyOf" in schema:
        (kind, _) = schema["anyOf"]
        if kind.get("$ref", "").endswith("/CloudWatchMetric"):
            return "[object](#any-other-metric), or `null`"
        return f"{rendered(kind, definitions, field)}, or `null`"
    if "discriminator" in schema:
        return f"[object](#{field})"
    if "oneOf" in schema:
        own = rendered(schema["oneOf"][0], definitions, field)
        return f"{own}, or an [object](#any-other-metric)"
    if "enum" in schema:
        *most, last = [f"`{value}`" for value in schema["enum"]]
        return f"{', '.join(most)} or {last}"
    if "const" in schema:
        return f"`{schema['const']}`"
    return ", ".join(filter(None, (_type(schema, field), _limits(schema))))


def _type(schema: Mapping[str, Any], field: str) -> str:
    if schema["type"] == "array":
        lists = {"string": "list of text", "number": "list of numbers"}
        return lists.get(schema["items"].get("type"), f"[list](#{field})")
    if schema["type"] == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            if values.get("type") == "array":
                return "object of lists of text"
            kinds = {"$ref": f"object of [objects](#{field})", "type": "object of text"}
            return next((kinds[key] for key in kinds if key in values), "object")
        return f"[object](#{field})" if "properties" in schema else "object"
    return {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
    }[schema["type"]]


def _limits(schema: Mapping[str, Any]) -> str:
    limit = schema.get
    if limit("pattern"):
        return f"`{limit('pattern')}`"
    for low, high, unit in (("minLength", "maxLength", " characters"), ("minimum", "maximum", "")):
        if low in schema:
            return f"{limit(low)} to {limit(high)}{unit}"
    least = f"more than {limit('exclusiveMinimum')}" if "exclusiveMinimum" in schema else ""
    most = {
        "exclusiveMaximum": f"less than {limit('exclusiveMaximum')}",
        "maximum": f"at most {limit('maximum')}",
        "maxLength": f"at most {limit('maxLength')} characters",
        "maxItems": f"at most {limit('maxItems')}",
        "maxProperties": f"at most {limit('maxProperties')}",
    }
    return ", ".join(filter(None, (least, *(text for key, text in most.items() if key in schema))))


def _default(model: type[BaseModel], field: str) -> str:
    info = model.model_fields[field]
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{value:g}`" if isinstance(value, float) else f"`{_json(value)}`"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def expected(model: type[BaseModel]) -> dict[str, list[str]]:
    """For each field of the model what the document must say of it."""
    schema = model.model_json_schema()
    return {
        name: [f"`{name}`", rendered(field, schema.get("$defs", {}), name), _default(model, name)]
        for name, field in schema["properties"].items()
    }


@pytest.mark.parametrize(("heading", "model"), SECTIONS.items())
def test_every_field_is_listed_with_its_limits_and_its_default(
    heading: str, model: type[BaseModel]
) -> None:
    assert [row[:3] for row in table(heading)] == [*expected(model).values()]


def test_every_field_of_one_of_several_requests_is_listed() -> None:
    rows = [
        row for field, row in expected(WeightedRequest).items() if field not in Request.model_fields
    ]
    assert [row[:3] for row in table("Requests")] == rows


def test_the_load_of_several_requests_is_one() -> None:
    _, load = re.findall(r"```jsonc\n(.*?)```", DOC, flags=re.DOTALL)
    several = Load.model_validate_json(re.sub(r"  //.*", "", load))
    assert [request.weight for request in several.sends] == [9, 1]
    assert several.arrivals(60).count == 20 * (5 + 20 + 50)


COMMON = ("name", "critical", "kind")
"""What every kind of measure has; its table is the first."""


def test_every_field_that_all_measures_have_is_listed() -> None:
    *most, last = [f"`{kind}`" for kind in KINDS]
    kinds = ["`kind`", f"{', '.join(most)} or {last}", "required"]
    rows = expected(PercentileMeasure)
    assert [row[:3] for row in table("Measures")] == [rows["name"], kinds, rows["critical"]]


@pytest.mark.parametrize(("kind", "model"), KINDS.items())
def test_every_field_of_every_kind_of_measure_is_listed(kind: str, model: type[BaseModel]) -> None:
    assert model.model_json_schema()["properties"]["kind"]["const"] == kind
    rows = [row for field, row in expected(model).items() if field not in COMMON]
    assert [row[:3] for row in table(kind.replace("_", " ").capitalize())] == rows


def test_the_example_is_the_smallest_experiment() -> None:
    example, *_ = re.findall(r"```jsonc\n(.*?)```", DOC, flags=re.DOTALL)
    assert "//" in example
    plain = re.sub(r"  //.*", "", example)
    assert plain == (EVENTS / "smallest.json").read_text(encoding="utf-8")


def test_the_metrics_of_the_load_are_those_there_are() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (?:Milli|Every|Answers|All)", DOC, flags=re.MULTILINE)
    assert listed == list(LoadMetric)


def test_the_rule_of_windows_is_told_as_the_error_tells_it() -> None:
    with pytest.raises(InvalidExperiment) as invalid:
        parse(smallest(windows={"baseline_seconds": 61}))
    (fault,) = invalid.value.faults
    assert fault.message.removeprefix("a window is ") in FLOWING


def test_the_deadline_of_the_example_is_told() -> None:
    plan = experiment().plan
    assert f"{plan.deadline_seconds} seconds for the smallest experiment" in FLOWING
    assert f"{plan.lease_seconds} seconds after it was enabled for the smallest" in FLOWING


def test_the_longest_that_a_condition_can_be_on_is_told() -> None:
    assert f"never more than {longest().plan.lease_seconds} seconds" in FLOWING


# -- formats


@pytest.mark.parametrize(
    ("heading", "modes", "also_needed"),
    [("failure-lambda-1", MODES_1, set()), ("failure-lambda-0", MODES_0, {"minLatency"})],
)
def test_every_attribute_of_every_mode_is_listed(
    heading: str, modes: Mapping[str, Any], also_needed: set[str]
) -> None:
    expected = [
        [f"`{mode}`", f"`{name}`", "yes" if name in {*rules.required, *also_needed} else ""]
        for mode, rules in modes.items()
        for name in rules.attributes
    ]
    assert [[row[0], row[1], row[3]] for row in table(heading)] == expected


@pytest.mark.parametrize(
    ("heading", "modes"), [("failure-lambda-1", MODES_1), ("failure-lambda-0", MODES_0)]
)
def test_every_attribute_is_told_as_its_error_tells_it(
    heading: str, modes: Mapping[str, Any]
) -> None:
    for mode, name, must_be, _ in table(heading):
        message = modes[mode.strip("`")].attributes[name.strip("`")](object())
        assert must_be.startswith(message.removeprefix("must be ").partition(":")[0])


# -- the verdict


REPAIRS: list[dict[str, Any]] = [
    {
        "failure": "GuardrailRang",
        "aborted": True,
        "baseline": None,
        "evidence": {"latency": 1.0},
        "found_when_disabled": "NEVER",
        "load": None,
        "judgements": (*judged(2000), *judged(None)),
        "settled": None,
        "recovery": STILL_MISSED,
    },
    {"evidence": {"latency": 0.0}},
    {"failure": "ABORTED"},
    {"aborted": False},
    {"failure": None},
    {"baseline": findings().baseline},
    {"evidence": {"latency": 30.0}, "found_when_disabled": "BAKING", "load": load_report()},
    {"evidence": {"latency": 300.0}, "load": None},
    {"load": load_report()},
    {"settled": True},
    {"judgements": (*judged(200), *judged(None))},
    {"recovery": None},
    {"judgements": ()},
    {"judgements": judged(200)},
]
"""A run of which all is wrong, and then what mends it, line by line."""


def test_the_lines_of_the_verdict_are_the_judges_in_its_order() -> None:
    found, decided, reasons = findings(), [], []
    for repair in REPAIRS:
        found = found.model_copy(update=repair)
        decision = decide(found)
        decided.append([str(decision.status), str(decision.verdict)])
        reasons.append(decision.reason)
    assert [row[1:] for row in table("The verdict")] == decided
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize(
    "limit",
    [
        f"more than {LARGEST_LOAD_ERROR:.0%} of it was not sent",
        f"more than {LARGEST_SCHEDULE_ERROR_MS:g} ms late",
        f"more than {LARGEST_COUNT_ERROR:.0%} more or fewer requests",
        f"{LEAST_EVIDENCE:.0%} of what its percentage promises",
        f"no more than {ROOM:.0%} of the room",
    ],
)
def test_a_limit_that_a_run_must_keep_is_told(limit: str) -> None:
    assert limit.replace("%", " %") in FLOWING
