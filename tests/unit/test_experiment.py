"""The experiment: from a document to a plan, or to every fault at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gameday.errors import Fault, InvalidExperiment
from gameday.experiment import MAXIMUM_RUN_SECONDS, parse, resolve
from tests.unit.fakes import OUTPUTS, changed, experiment, longest, read, smallest

AWS_METRIC = {"namespace": "AWS/Lambda", "name": "Duration"}
P95 = {
    "name": "p95",
    "kind": "threshold",
    "metric": "Latency",
    "statistic": "p95",
    "operator": "<",
    "threshold": 1000,
}
RATE = {
    "name": "images",
    "kind": "rate",
    "metric": "Succeeded",
    "per": "minute",
    "operator": ">=",
    "threshold": 10,
}


def faults(document: Any, **options: bool) -> dict[str, str]:
    """The messages by field; none when the document is valid."""
    try:
        parse(document, **options)
    except InvalidExperiment as invalid:
        return {fault.field: fault.message for fault in invalid.faults}
    return {}


# -- the document


def test_every_default_is_filled_in() -> None:
    document = parse(smallest()).model_dump(mode="json")
    assert document["load"]["method"] == "GET"
    assert document["windows"]["condition_seconds"] == 60
    assert document["condition"]["format"] == "failure-lambda-1"


def test_an_experiment_survives_its_own_document() -> None:
    full = experiment(measures=[RATE, {**RATE, "name": "a", "metric": AWS_METRIC, "unit": "ms"}])
    assert parse(full.model_dump(mode="json")) == full


@pytest.mark.parametrize("document", [None, [], "experiment", 1])
def test_what_is_no_object_is_one_fault(document: Any) -> None:
    assert faults(document).keys() == {"document"}


def test_every_fault_is_reported_at_once() -> None:
    document = changed(
        smallest(), name="Bad", load__rate_per_second=0, measures=[{**P95, "statistic": "x"}]
    )
    document["windows"] = {"baseline_seconds": 5}
    assert faults(document).keys() == {
        "name",
        "load.rate_per_second",
        "measures[0].statistic",
        "windows.baseline_seconds",
    }


def test_faults_of_the_configuration_are_told_by_their_own_fields() -> None:
    configuration = {"latency": {"enabled": 1}, "delay": {}}
    assert faults(changed(smallest(), condition__configuration=configuration)).keys() == {
        "condition.configuration.latency.enabled",
        "condition.configuration.delay",
    }


def test_a_configuration_is_not_judged_by_a_format_that_nobody_knows() -> None:
    document = changed(smallest(), condition__format="2", condition__configuration={"x": 1})
    assert faults(document).keys() == {"condition.format"}


def test_a_configuration_is_judged_by_its_format() -> None:
    document = changed(smallest(), condition__format="failure-lambda-0")
    assert "condition.configuration.failureMode" in faults(document)


def test_a_fault_says_what_was_found() -> None:
    fault = Fault("load.rate_per_second", "must be less", 900)
    assert str(fault) == "load.rate_per_second: must be less (found 900)"


def test_a_fault_does_not_repeat_a_long_document() -> None:
    assert str(Fault("load.body", "too long", "x" * 1000)).endswith(f"(found '{'x' * 79}…)")


def test_a_missing_field_was_not_found() -> None:
    document = smallest()
    del document["objective"]
    with pytest.raises(InvalidExperiment) as invalid:
        parse(document)
    assert str(invalid.value) == "objective: Field required"


def test_a_body_that_is_too_large_is_refused() -> None:
    assert faults(changed(smallest(), load__method="POST", load__body="x" * 65_537)) == {
        "load.body": "String should have at most 65536 characters"
    }


def test_the_fields_of_a_metric_are_told_as_a_user_writes_them() -> None:
    document = changed(smallest(), measures__0__metric={"namespace": "AWS/Lambda"})
    assert faults(document).keys() == {"measures[0].metric.name"}


def test_text_is_no_number_and_a_number_no_text() -> None:
    document = changed(smallest(), load__warm_up_seconds="3", objective=1)
    assert faults(document).keys() == {"load.warm_up_seconds", "objective"}


def test_an_experiment_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        experiment().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["a", "a-b", "7", "a" * 63])
def test_a_name_of_lower_case_letters_digits_and_hyphens_is_valid(name: str) -> None:
    assert experiment(name=name).name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a_b", "A", "a b", "ä", "a\n", "a" * 64])
def test_any_other_name_is_refused(name: str) -> None:
    assert faults(smallest(name=name)).keys() == {"name"}


@pytest.mark.parametrize("url", ["https:", "shop.example/a", "//shop.example", "file:///a", ""])
def test_an_address_that_is_not_on_the_web_is_refused(url: str) -> None:
    assert faults(changed(smallest(), load__url=url)).keys() == {"load.url"}


@pytest.mark.parametrize("url", ["http://127.0.0.1:80/a?b=c", "https://shop.example"])
def test_an_address_on_the_web_is_valid(url: str) -> None:
    assert experiment(load__url=url).load.url == url


KNOWN = (
    "SampleCount Sum Average Minimum Maximum IQM p95 p99.9 p0 tm99 wm98 tc90 ts90 "
    "TM(10%:90%) WM(:95%) TC(0.005:0.03) TS(80%:) PR(:400) PR(100:2000) PR(0.5:)"
)


@pytest.mark.parametrize("statistic", KNOWN.split())
def test_a_statistic_of_cloudwatch_is_valid(statistic: str) -> None:
    assert not faults(smallest(measures=[{**P95, "statistic": statistic}]))


@pytest.mark.parametrize(
    "statistic", ["", "sum", "P95", "p", "p1000", "p95 ", "median", "PR", "PR(400)", "PR(:90%)"]
)
def test_a_statistic_that_cloudwatch_does_not_know_is_refused(statistic: str) -> None:
    found = faults(smallest(measures=[{**P95, "statistic": statistic}]))
    assert found.keys() == {"measures[0].statistic"}


def test_a_metric_of_the_load_is_there_by_the_second_any_other_by_the_minute() -> None:
    own, foreign = {**RATE, "name": "a"}, {**RATE, "metric": AWS_METRIC}
    measures = experiment(measures=[own, foreign]).measures
    assert [m.resolution_seconds for m in measures] == [1, 60]


def test_a_condition_names_the_modes_that_it_turns_on() -> None:
    assert experiment().condition.modes == ("latency",)


# -- windows

WINDOW_NAMES = ["baseline_seconds", "condition_seconds", "recovery_seconds"]


@given(st.integers(-60, 2800))
@pytest.mark.parametrize("name", WINDOW_NAMES)
def test_a_window_is_seconds_of_a_minute_or_whole_minutes(name: str, seconds: int) -> None:
    valid = seconds in range(10, 60) or seconds in range(60, 2701, 60)
    document = changed(smallest(windows={name: seconds}), load__rate_per_second=10)
    assert (not faults(document)) == valid


@pytest.mark.parametrize("resolution_seconds", [1, 60])
@pytest.mark.parametrize("name", WINDOW_NAMES)
def test_any_metric_but_the_loads_needs_whole_minutes(name: str, resolution_seconds: int) -> None:
    metric = {**AWS_METRIC, "resolution_seconds": resolution_seconds}
    document = changed(smallest(windows={name: 20}), measures__0__metric=metric)
    assert name in faults(document)["windows"]
    assert "'95 % respond in'" in faults(document)["windows"]


def test_whole_minutes_suit_every_metric() -> None:
    whole = {name: 120 for name in WINDOW_NAMES}
    assert not faults(changed(smallest(windows=whole), measures__0__metric=AWS_METRIC))


# -- the plan


def test_no_valid_experiment_takes_longer_than_the_longest_run() -> None:
    assert longest().plan.deadline_seconds <= MAXIMUM_RUN_SECONDS


def test_evidence_is_awaited_while_the_condition_grows_and_reaches_every_instance() -> None:
    assert experiment(condition__propagation_seconds=17).plan.evidence_seconds == 17
    plan = experiment(condition__propagation_seconds=17, condition__ramp_minutes=2).plan
    assert plan.evidence_seconds == 120 + 17


@pytest.mark.parametrize("minutes", [0, 3, 11, "2"])
def test_a_ramp_takes_as_long_as_a_strategy_of_the_stack(minutes: object) -> None:
    found = faults(changed(smallest(), condition__ramp_minutes=minutes))
    assert "1, 2, 5 or 10" in found["condition.ramp_minutes"]


def test_only_what_appconfig_deploys_grows() -> None:
    document = changed(smallest(), condition__kind="parameter", condition__parameter="/shop/fault")
    for name in ("application", "environment", "profile"):
        del document["condition"][name]
    assert not faults(document)
    grown = changed(document, condition__ramp_minutes=2)
    assert "Extra inputs" in faults(grown)["condition.ramp_minutes"]


@pytest.mark.parametrize(
    ("change", "later"),
    [
        ({"windows": {"baseline_seconds": 120}}, 60),
        ({"windows": {"condition_seconds": 120}}, 60),
        ({"windows": {"recovery_seconds": 180}}, 60),
        ({"windows": {"settle_seconds": 70}}, 30),
        ({"load__warm_up_seconds": 20}, 20),
        ({"condition__ramp_minutes": 5}, 300),
        ({"condition__propagation_seconds": 70}, 10),
    ],
)
def test_the_deadline_moves_with_everything_that_takes_longer(
    change: dict[str, Any], later: int
) -> None:
    before = experiment().plan.deadline_seconds
    assert experiment(**change).plan.deadline_seconds == before + later


def test_the_deadline_of_the_smallest_experiment() -> None:
    windows, warm_ups, settling, minutes, steps = 60 + 60 + 120, 2 * 10 + 60, 3 * 60, 3 * 60, 360
    expected = windows + warm_ups + settling + minutes + steps
    assert experiment().plan.deadline_seconds == expected


def test_the_condition_of_the_smallest_experiment_expires_when_its_window_is_over_for_sure() -> (
    None
):
    serving, evidence, warm_up, minute, window, margin = 60, 60, 10, 60, 60, 60
    assert experiment().plan.lease_seconds == (
        serving + evidence + warm_up + minute + window + margin
    )


def test_the_watch_ends_after_the_lease_and_before_the_deadline() -> None:
    for plan in (experiment().plan, longest().plan):
        assert plan.lease_seconds < plan.watch_seconds < plan.deadline_seconds


def test_the_plan_says_how_many_requests_there_are() -> None:
    plan = experiment(load__rate_per_second=5.05).plan
    assert (plan.baseline_requests, plan.condition_requests) == (303, 303)


def test_the_plan_hands_on_how_long_metrics_settle() -> None:
    assert experiment(windows={"settle_seconds": 7}).plan.settle_seconds == 7


# -- references


def test_a_reference_may_stand_in_a_document_that_is_only_looked_at() -> None:
    assert not faults(read("smallest.json"), references=True)


def test_a_reference_is_never_left_when_a_run_starts() -> None:
    found = faults(read("smallest.json"))
    assert found.keys() == {
        "condition.application",
        "condition.environment",
        "condition.profile",
        "condition.function",
        "load.url",
    }
    assert found["load.url"].startswith("${ImagesUrl} names an output of a stack")


def test_a_reference_is_reported_beside_the_other_faults() -> None:
    document = changed(smallest(name="Bad"), load__headers={"authorization": "${Token}"})
    assert faults(document).keys() == {"load.headers.authorization", "name"}


def test_a_reference_in_a_list_is_told_by_its_place() -> None:
    assert faults(smallest(guardrails=["a", "${Alarm}"])).keys() == {"guardrails[1]"}


def test_references_become_outputs_inside_longer_text_too() -> None:
    document = {"a": ["${X}-${Y}"], "b": {"c": "x${X}"}, "d": 1}
    assert resolve(document, {"X": "1", "Y": "2"}) == {"a": ["1-2"], "b": {"c": "x1"}, "d": 1}


def test_every_unknown_output_is_reported_with_those_there_are() -> None:
    with pytest.raises(InvalidExperiment) as invalid:
        resolve({"a": "${X}", "b": ["${Z}", "${Q}"]}, {"X": "1", "A": "2"})
    assert [fault.field for fault in invalid.value.faults] == ["b[0]", "b[1]"]
    assert "it has A, X" in invalid.value.faults[0].message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab{}$", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)
ANY_OUTPUT = st.dictionaries(
    st.text("AB", min_size=1, max_size=2), st.text("xy", max_size=3), min_size=1
)


@given(ANY_OUTPUT, st.data())
def test_what_is_resolved_has_no_references_and_the_same_shape(
    outputs: dict[str, str], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(outputs))))
    document = {"list": [f"<${{{name}}}>" for name in names]}
    resolved = resolve(document, outputs)
    assert resolved == {"list": [f"<{outputs[name]}>" for name in names]}
    assert resolve(resolved, {}) == resolved


@given(JSON.filter(lambda node: "${" not in json.dumps(node)))
def test_a_document_without_references_stays_as_it_is(document: Any) -> None:
    assert resolve(document, OUTPUTS) == document
