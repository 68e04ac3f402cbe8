"""Every file in events/: the valid ones are, each broken one breaks its rule, the schemas hold."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gameday.conditions import KINDS
from gameday.decision import Findings, Status, decide
from gameday.errors import InvalidExperiment
from gameday.experiment import Experiment, parse, resolve
from gameday.judge import Verdict
from gameday.observations import Failure, Histogram
from gameday.verdict import DETAIL_TYPE, SOURCE, detail, lines
from tests.unit.fakes import (
    EVENTS,
    OUTPUTS,
    RECOVERED,
    STAYS_ON,
    STILL_MISSED,
    findings,
    load_report,
    read,
    run,
)

# Each condition of the talk, in its order.
TALK = (
    "images-errors",
    "security-policy-errors",
    "service-configuration-errors",
    "function-disk-space-failure",
    "images-denied",
    "concurrency-and-throttling",
    "purchase-latency",
)
EXPERIMENTS = (*TALK, "smallest", "every-measure", "purchase-ramp")
# The file, the field that its experiment gets wrong, and what the fault says of it.
BROKEN = [
    ("field-missing", "objective", "Field required"),
    ("field-unknown", "guardrail", "Extra inputs"),
    ("text-for-a-number", "load.rate_per_second", "valid number"),
    ("reference-unresolved", "condition.application", "names an output"),
    ("name-not-lower-case", "name", "match pattern"),
    ("name-longer-than-63", "name", "match pattern"),
    ("objective-empty", "objective", "at least 1"),
    ("objective-longer-than-300", "objective", "at most 300"),
    ("condition-kind-unknown", "condition", "'appconfig'"),
    ("application-empty", "condition.application", "at least 1"),
    ("application-longer-than-64", "condition.application", "at most 64"),
    ("environment-empty", "condition.environment", "at least 1"),
    ("environment-longer-than-64", "condition.environment", "at most 64"),
    ("profile-empty", "condition.profile", "at least 1"),
    ("profile-longer-than-128", "condition.profile", "at most 128"),
    ("function-empty", "condition.function", "at least 1"),
    ("function-longer-than-140", "condition.function", "at most 140"),
    ("format-unknown", "condition.format", "failure-lambda-0"),
    ("propagation-negative", "condition.propagation_seconds", "greater than or equal to 0"),
    ("propagation-over-180", "condition.propagation_seconds", "less than or equal to 180"),
    ("evidence-without-namespace", "condition.evidence.namespace", "Field required"),
    ("nothing-enabled", "condition.configuration", "turns nothing on"),
    ("everything-at-0-percent", "condition.configuration", "turns nothing on"),
    ("mode-unknown", "condition.configuration.delay", "is no mode"),
    (
        "mode-of-the-other-format",
        "condition.configuration.rate",
        "looks like the format failure-lambda-0",
    ),
    ("mode-not-an-object", "condition.configuration.exception", "must be an object"),
    ("attribute-unknown", "condition.configuration.latency.minLatency", "is ignored"),
    ("enabled-missing", "condition.configuration.exception.enabled", "is missing"),
    ("enabled-not-true-or-false", "condition.configuration.statuscode.enabled", "true or false"),
    ("percentage-not-whole", "condition.configuration.exception.percentage", "whole number"),
    ("percentage-over-100", "condition.configuration.exception.percentage", "from 0 to 100"),
    (
        "latency-without-maximum",
        "condition.configuration.latency.max_latency",
        "neither 0 nor empty",
    ),
    ("latency-negative", "condition.configuration.latency.min_latency", "at least 0"),
    ("latency-infinite", "condition.configuration.latency.max_latency", "must be a number"),
    (
        "latency-maximum-below-minimum",
        "condition.configuration.latency.max_latency",
        "at least min_latency",
    ),
    (
        "exception-message-no-text",
        "condition.configuration.exception.exception_msg",
        "must be a string",
    ),
    ("status-code-over-599", "condition.configuration.statuscode.status_code", "from 100 to 599"),
    ("disk-space-zero", "condition.configuration.diskspace.disk_space", "more than 0"),
    ("disk-space-over-10240", "condition.configuration.diskspace.disk_space", "at most 10240"),
    ("deny-list-missing", "condition.configuration.denylist.deny_list", "neither 0 nor empty"),
    ("deny-list-empty", "condition.configuration.denylist.deny_list", "neither 0 nor empty"),
    ("deny-list-not-a-list", "condition.configuration.denylist.deny_list", "must be a list"),
    (
        "deny-list-pattern-invalid",
        "condition.configuration.denylist.deny_list",
        "is no regular expression",
    ),
    ("deny-list-pattern-nested", "condition.configuration.denylist.deny_list", "nests quantifiers"),
    (
        "deny-list-pattern-longer-than-512",
        "condition.configuration.denylist.deny_list",
        "longer than 512",
    ),
    ("timeout-buffer-negative", "condition.configuration.timeout.timeout_buffer_ms", "at least 0"),
    ("corruption-body-no-text", "condition.configuration.corruption.body", "must be a string"),
    ("match-not-a-list", "condition.configuration.exception.match", "must be a list"),
    ("match-without-path", "condition.configuration.exception.match", "needs a path"),
    ("match-without-value", "condition.configuration.exception.match", "needs a value"),
    ("match-operator-unknown", "condition.configuration.exception.match", "an operator of"),
    (
        "match-pattern-invalid",
        "condition.configuration.exception.match",
        "is no regular expression",
    ),
    ("match-attribute-unknown", "condition.configuration.exception.match", "is ignored"),
    ("old-failure-mode-unknown", "condition.configuration.failureMode", "must be one of"),
    (
        "old-failure-mode-blacklist",
        "condition.configuration.failureMode",
        "blacklist became denylist",
    ),
    ("old-not-enabled", "condition.configuration.isEnabled", "must be true"),
    ("old-rate-missing", "condition.configuration.rate", "more than 0"),
    ("old-rate-in-percent", "condition.configuration.rate", "at most 1"),
    ("old-attribute-unknown", "condition.configuration.percentage", "is ignored"),
    ("old-latency-without-minimum", "condition.configuration.minLatency", "NaN"),
    ("old-latency-without-maximum", "condition.configuration.maxLatency", "neither 0 nor empty"),
    (
        "old-latency-maximum-below-minimum",
        "condition.configuration.maxLatency",
        "at least minLatency",
    ),
    (
        "old-exception-without-message",
        "condition.configuration.exceptionMsg",
        "neither 0 nor empty",
    ),
    ("old-status-code-missing", "condition.configuration.statusCode", "neither 0 nor empty"),
    ("old-disk-space-missing", "condition.configuration.diskSpace", "neither 0 nor empty"),
    ("old-deny-list-missing", "condition.configuration.denylist", "neither 0 nor empty"),
    ("url-not-http", "load.url", "http://"),
    ("header-of-two-lines", "load.headers", "a value one line"),
    ("url-longer-than-2048", "load.url", "at most 2048"),
    ("method-unknown", "load.method", "'GET'"),
    ("header-no-text", "load.headers.accept", "valid string"),
    ("rate-zero", "load.rate_per_second", "greater than 0"),
    ("rate-over-a-million", "load.rate_per_second", "less than or equal to 1000000"),
    ("load-of-nothing", "load.requests", "nothing is sent"),
    ("load-of-one-request-and-several", "load.requests", "each of several requests"),
    ("load-of-a-function-with-a-url", "load.function", "a function is invoked: that has no url"),
    ("load-of-a-ramp-in-steps", "load.then_per_second", "leave one of them out"),
    ("ramp-to-zero", "load.to_per_second", "greater than 0"),
    ("request-of-nothing", "load.requests", "neither a url nor a function"),
    ("weight-zero", "load.requests[0].weight", "greater than or equal to 1"),
    ("header-of-the-length", "load.headers", "leave it out"),
    ("url-with-a-password", "load.url", "no secret"),
    ("url-with-a-port-of-70000", "load.url", "Port out of range"),
    ("url-with-a-value-for-a-host", "load.url", "behind the host"),
    ("value-that-nothing-says", "load.values", "nothing says {user}"),
    ("values-of-none", "load.values", "its values are 1 to 1000"),
    ("value-of-two-lines-in-a-header", "load.values", "one line"),
    ("sign-without-a-region", "load.sign", "state it"),
    ("timeout-zero", "load.timeout_seconds", "greater than 0"),
    ("timeout-over-30", "load.timeout_seconds", "less than or equal to 30"),
    ("expected-latency-zero", "load.expected_latency_ms", "greater than 0"),
    ("expected-latency-over-30-seconds", "load.expected_latency_ms", "less than or equal to 30000"),
    ("workers-over-250", "load", "takes 334 workers, and 250 are the most"),
    ("secret-in-the-url", "load.url", "a secret may stand in"),
    ("warm-up-negative", "load.warm_up_seconds", "greater than or equal to 0"),
    ("warm-up-over-120", "load.warm_up_seconds", "less than or equal to 120"),
    ("measures-empty", "measures", "needs at least one"),
    ("measures-of-one-name", "measures", "the same name"),
    ("measure-kind-unknown", "measures[0]", "'percentile', 'proportion'"),
    ("measure-name-empty", "measures[0].name", "at least 1"),
    ("measure-name-longer-than-100", "measures[0].name", "at most 100"),
    ("measure-unit-longer-than-40", "measures[0].unit", "at most 40"),
    ("operator-unknown", "measures[0].operator", "'<'"),
    ("threshold-infinite", "measures[0].threshold", "finite"),
    ("statistic-unknown", "measures[0].statistic", "no CloudWatch statistic"),
    ("statistic-of-a-rate", "measures[0].statistic", "Extra inputs"),
    ("rate-per-hour", "measures[0].per", "'minute' or 'second'"),
    ("load-metric-unknown", "measures[0].metric", "'Latency'"),
    ("metric-without-namespace", "measures[0].metric.namespace", "Field required"),
    ("metric-namespace-empty", "measures[0].metric.namespace", "at least 1"),
    ("metric-name-longer-than-255", "measures[0].metric.name", "at most 255"),
    ("metric-resolution-5", "measures[0].metric.resolution_seconds", "1 or 60"),
    ("metric-dimension-no-text", "measures[0].metric.dimensions.FunctionName", "valid string"),
    ("metric-with-31-dimensions", "measures[0].metric.dimensions", "at most 30"),
    ("percentile-at-least", "measures[0].operator", "must be < or <="),
    ("percentile-zero", "measures[0].percentile", "greater than 0"),
    ("percentile-100", "measures[0].percentile", "less than 100"),
    ("percentile-of-a-count", "measures[0].metric", "Requests is a count"),
    ("percentile-of-nothing", "measures[0].threshold", "greater than 0"),
    ("latency-in-seconds", "measures[0].unit", "its label is ms"),
    ("confidence-under-80-percent", "measures[0].confidence", "greater than or equal to 0.8"),
    ("confidence-of-100-percent", "measures[0].confidence", "less than or equal to 0.999"),
    ("proportion-of-latencies", "measures[0].metric", "in milliseconds"),
    ("proportion-without-of", "measures[0].of", "Field required"),
    ("proportion-of-0-percent", "measures[0].threshold", "greater than 0"),
    ("proportion-of-100-percent", "measures[0].threshold", "less than 100"),
    ("rate-of-latencies", "measures[0].metric", "in milliseconds"),
    ("rate-of-zero", "measures[0].threshold", "greater than 0"),
    ("periods-at-least-more-than-there-are", "measures[0].periods.at_least", "is more than of"),
    ("periods-that-do-not-fill-the-window", "windows", "cannot be decided"),
    ("margin-missing", "measures[0].margin_percent", "Field required"),
    ("margin-of-zero", "measures[0].margin_percent", "greater than 0"),
    ("margin-over-1000-percent", "measures[0].margin_percent", "less than or equal to 1000"),
    ("expression-that-searches", "measures[0].expression", "SEARCH: neither named"),
    ("expression-that-fills-gaps", "measures[0].expression", "FILL: neither named"),
    ("expression-without-one-of-its-metrics", "measures[0].expression", "all: named and not used"),
    ("expression-of-no-metrics", "measures[0].metrics", "at least 1 item"),
    ("expression-with-a-name-in-capitals", "measures[0].metrics", "is no name"),
    ("expression-longer-than-1024", "measures[0].expression", "at most 1024"),
    ("budget-without-requests", "measures[0].requests", "Field required"),
    ("budget-of-no-requests", "measures[0].requests", "greater than 0"),
    ("budget-of-an-objective-of-100-percent", "measures[0].objective_percent", "less than 100"),
    ("budget-of-91-days", "measures[0].window_days", "less than or equal to 90"),
    ("budget-burnt-over-100-percent", "measures[0].at_most_percent", "less than or equal to 100"),
    ("measures-none-critical", "measures", "none is critical"),
    (
        "requests-too-few",
        "windows",
        "by 58 requests in condition_seconds of 29: the shortest that can is 30 s",
    ),
    (
        "window-too-short-to-fail",
        "windows",
        "by 85 requests in condition_seconds of 17: the shortest that can is 18 s",
    ),
    ("window-too-short-to-compare", "windows", "the shortest that can is 19 s"),
    ("guardrail-empty", "guardrails[0]", "at least 1"),
    ("guardrail-longer-than-255", "guardrails[0]", "at most 255"),
    ("guardrails-over-100", "guardrails", "at most 100"),
    ("window-under-10-seconds", "windows.baseline_seconds", "one CloudWatch period"),
    ("window-of-61-seconds", "windows.condition_seconds", "one CloudWatch period"),
    ("window-over-45-minutes", "windows.recovery_seconds", "one CloudWatch period"),
    ("settle-negative", "windows.settle_seconds", "greater than or equal to 0"),
    ("settle-over-300", "windows.settle_seconds", "less than or equal to 300"),
    ("window-in-seconds-of-a-minute-metric", "windows", "by the minute"),
]
SCHEMA = read("verdict.schema.json")
VERDICT = Draft202012Validator(SCHEMA)
EXPERIMENT = Draft202012Validator(read("experiment.schema.json"))
SAMPLE: dict[str, Any] = read("verdict.json")
SAMPLES = ("verdict", "verdict-failed", "verdict-inconclusive")
ROOT = EVENTS.parent

type Path = tuple[str | int, ...]


def test_every_file_is_read_by_a_test() -> None:
    known = {f"{name}.json" for name in EXPERIMENTS}
    known |= {f"broken/{name}.json" for name, _, _ in BROKEN}
    known |= {"verdict.schema.json", "experiment.schema.json"}
    known |= {f"{name}.json" for name in SAMPLES}
    assert {str(p.relative_to(EVENTS)) for p in EVENTS.rglob("*") if p.is_file()} == known


# -- experiments


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_valid_before_and_after_its_references_are_filled_in(name: str) -> None:
    document = read(f"{name}.json")
    assert parse(document, references=True).name == name
    assert parse(resolve(document, OUTPUTS)).name == name


@pytest.mark.parametrize(("name", "field", "message"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_broken_experiment_breaks_its_rule_and_no_other(
    name: str, field: str, message: str
) -> None:
    with pytest.raises(InvalidExperiment) as invalid:
        parse(read(f"broken/{name}.json"))
    (fault,) = invalid.value.faults
    assert fault.field == field
    assert message in fault.message


def _fields(node: Any, path: Path = ()) -> Iterator[Path]:
    for key in node if isinstance(node, dict) else range(len(node)):
        yield (*path, key)
        if isinstance(node[key], dict | list):
            yield from _fields(node[key], (*path, key))


def _without(document: Any, path: Path) -> Any:
    changed = copy.deepcopy(document)
    node = changed
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return changed


@pytest.mark.parametrize("path", [*_fields(read("smallest.json"))], ids=str)
def test_nothing_can_be_left_out_of_the_smallest_experiment(path: Path) -> None:
    with pytest.raises(InvalidExperiment):
        parse(_without(read("smallest.json"), path), references=True)


def test_the_experiments_schema_is_that_of_the_model() -> None:
    # Mend it with: Experiment.model_json_schema(), the dialect in front, two spaces of indent.
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    assert read("experiment.schema.json") == {**dialect, **Experiment.model_json_schema()}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_editor_accepts_an_experiment_with_its_references(name: str) -> None:
    EXPERIMENT.validate(read(f"{name}.json"))


@pytest.mark.parametrize(
    "name", ["field-missing", "field-unknown", "rate-zero", "operator-unknown", "method-unknown"]
)
def test_an_editor_sees_what_the_schema_can_tell(name: str) -> None:
    assert not EXPERIMENT.is_valid(read(f"broken/{name}.json"))


# -- the verdict


def test_the_verdicts_schema_has_every_failure() -> None:
    assert list(SCHEMA["$defs"]["load"]["properties"]["errors"]["properties"]) == list(Failure)


def test_the_verdicts_schema_has_every_kind_of_condition() -> None:
    condition = SCHEMA["$defs"]["detail"]["properties"]["condition"]
    assert condition["properties"]["kind"]["enum"] == list(KINDS)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_flag_stays_only_where_the_verdict_is_passed(verdict: Verdict) -> None:
    found = findings(may_stay=True, stays_on=STAYS_ON)
    made = event(found)
    made["detail"]["condition"] |= {"kind": "flag", "modes": ["checkout"]}
    made["detail"] |= {"verdict": verdict, "evidence": {"checkout": 300}, "seen": {}}
    assert VERDICT.is_valid(made) == (verdict is Verdict.PASSED)


@pytest.mark.parametrize("schema", ["verdict", "experiment"])
def test_a_schema_is_one(schema: str) -> None:
    Draft202012Validator.check_schema(read(f"{schema}.schema.json"))


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_an_event_as_a_subscriber_receives_it(sample: str) -> None:
    VERDICT.validate(read(f"{sample}.json"))


def _properties(node: Any) -> Iterator[tuple[str, Any]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in ("properties", "patternProperties", "$defs") and isinstance(value, dict):
            yield from value.items()
        if isinstance(value, dict | list) and key != "allOf":
            yield from _properties(value)


def _described(schema: Any) -> bool:
    while "description" not in schema and "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    return "description" in schema


def test_every_property_of_a_verdict_is_described() -> None:
    assert [name for name, schema in _properties(SCHEMA) if not _described(schema)] == []


def event(found: Findings, **facts: Any) -> dict[str, Any]:
    """The verdict on these findings as EventBridge delivers it."""
    return {
        "version": "0",
        "id": "99593bb1-7b21-4921-9738-2929a755f4f8",
        "source": SOURCE,
        "account": "000000000000",
        "time": "2027-01-15T08:00:00Z",
        "region": "us-east-1",
        "resources": [run().execution_arn],
        "detail-type": DETAIL_TYPE,
        "detail": json.loads(json.dumps(detail(run(**facts), decide(found), found))),
    }


RUNG: dict[str, Any] = {"failure": "GuardrailRang", "failure_cause": "guardrail 'errors' rang"}
BROKE: dict[str, Any] = {"failure": "States.Timeout", "failure_cause": "too late"}
SILENT = load_report(by_status={}, errors={Failure.TIMEOUT: 300}, latencies=Histogram())
NOWHERE: dict[str, Any] = {
    "baseline": None,
    "baseline_load": None,
    "judgements": None,
    "load": None,
    "requests": None,
    "evidence": None,
    "found_when_disabled": "NEVER",
}
RUNS = [
    (findings(), "COMPLETED", "PASSED"),
    (findings(2000), "COMPLETED", "FAILED"),
    (findings(None), "COMPLETED", "INCONCLUSIVE"),
    (findings(None, load=SILENT, evidence={"latency": None}), "COMPLETED", "INCONCLUSIVE"),
    (findings(**RUNG), "ROLLED_BACK", "FAILED"),
    (findings(**{**NOWHERE, **RUNG}), "ROLLED_BACK", "INCONCLUSIVE"),
    (findings(**NOWHERE, aborted=True), "ABORTED", "INCONCLUSIVE"),
    (findings(**{**NOWHERE, **BROKE}), "ERROR", "INCONCLUSIVE"),
]


@pytest.mark.parametrize(("found", "status", "verdict"), RUNS)
@pytest.mark.parametrize(
    "facts",
    [
        {},
        {
            "enabled_at": 1_800_000_000.5,
            "seen_on_at": 1_800_000_010.25,
            "disabled_at": 1_800_000_060.0,
        },
        {"recovery": RECOVERED.model_dump()},
        {"recovery": STILL_MISSED.model_dump()},
    ],
)
def test_every_verdict_that_a_run_can_end_in_is_as_the_schema_says(
    found: Findings, status: str, verdict: str, facts: dict[str, Any]
) -> None:
    made = event(found, **facts)
    assert (made["detail"]["status"], made["detail"]["verdict"]) == (status, verdict)
    VERDICT.validate(made)


def test_these_runs_end_in_every_status_and_every_verdict() -> None:
    assert {status for _, status, _ in RUNS} == set(Status)
    assert {verdict for _, _, verdict in RUNS} == set(Verdict)


MAPS = ("evidence", "seen", "by_status", "errors")
"""What may hold any number of entries; everything else of a verdict has a fixed form."""
ENVELOPE = ("version", "id")
"""What EventBridge adds and nobody of ours reads."""


def _fixed(path: Path) -> bool:
    in_a_list = isinstance(path[-1], int) and path != ("resources", 0)
    in_a_map = len(path) > 1 and path[-2] in MAPS
    return path[0] not in ENVELOPE and not in_a_list and not in_a_map


@pytest.mark.parametrize("path", [p for p in _fields(SAMPLE) if _fixed(p)], ids=str)
def test_a_verdict_of_which_something_is_missing_is_none(path: Path) -> None:
    assert not VERDICT.is_valid(_without(SAMPLE, path))


def _replaced(path: Path, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(SAMPLE)
    node: Any = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return changed


@pytest.mark.parametrize("path", [p for p in _fields(SAMPLE) if p[0] not in ENVELOPE], ids=str)
def test_a_verdict_with_something_else_in_a_place_is_none(path: Path) -> None:
    assert not VERDICT.is_valid(_replaced(path, [{"other": "thing"}]))


def _objects(node: Any, path: Path = ()) -> Iterator[Path]:
    for found in _fields(node, path):
        value = node
        for key in found:
            value = value[key]
        if isinstance(value, dict):
            yield found


@pytest.mark.parametrize("path", [*_objects(SAMPLE)], ids=str)
def test_nothing_can_be_added_to_a_verdict(path: Path) -> None:
    assert not VERDICT.is_valid(_replaced((*path, "more"), 1))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("source",), "aws.states"),
        (("detail-type",), "Verdict"),
        (("account",), "0"),
        (("time",), "yesterday"),
        (("resources",), []),
        (("resources", 0), "arn:aws:sns:us-east-1:000000000000:topic"),
        (("detail", "version"), "2"),
        (("detail", "version"), 1),
        (("detail", "verdict"), "passed"),
        (("detail", "status"), "SUCCEEDED"),
        (("detail", "reason"), ""),
        (("detail", "started_at"), None),
        (("detail", "started_at"), "2026-11-22T19:56:20Z"),
        (("detail", "condition", "modes"), []),
        (("detail", "condition", "modes", 0), "blacklist"),
        (("detail", "load", "phase"), "baseline"),
        (("detail", "load", "offered"), -1),
        (("detail", "load", "by_status", "0"), 1),
        (("detail", "load", "errors", "slow"), 1),
        (("detail", "evidence", "latency"), -1),
        (("detail", "evidence", "delay"), 1),
        (("detail", "measures", 0, "operator"), "=="),
        (("detail", "measures", 0, "observed"), "210"),
        (("detail", "measures", 0, "samples"), -1),
        (("detail", "measures", 0, "kind"), "average"),
        (("detail", "measures", 0, "interval", "confidence"), 1),
        (("detail", "measures_left_out"), -1),
        (("detail", "seen", "latency"), -1),
        (("detail", "recovery", "seconds"), -1),
    ],
)
def test_a_mutilated_verdict_is_refused(path: Path, value: object) -> None:
    assert not VERDICT.is_valid(_replaced(path, value))


@pytest.mark.parametrize("status", ["ROLLED_BACK", "ABORTED", "ERROR"])
def test_only_a_completed_run_passes(status: str) -> None:
    assert not VERDICT.is_valid(_replaced(("detail", "status"), status))


@pytest.mark.parametrize("status", ["ABORTED", "ERROR"])
def test_a_run_that_was_cut_short_does_not_fail(status: str) -> None:
    cut_short = _replaced(("detail", "status"), status)
    cut_short["detail"]["verdict"] = "FAILED"
    assert not VERDICT.is_valid(cut_short)


def test_the_readme_shows_the_sample() -> None:
    _, *shown, _, _ = lines(SAMPLE["detail"])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\nPASSED {SAMPLE['detail']['objective']}\n{'\n'.join(shown)}\n```" in readme


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_document_of_the_judge_shows_all_three(sample: str) -> None:
    *shown, _, _ = lines(read(f"{sample}.json")["detail"])
    document = (ROOT / "docs" / "judge.md").read_text(encoding="utf-8")
    assert f"```\n{'\n'.join(shown)}\n```" in document
