import pytest

from gameday.errors import InvalidExperiment
from tests.steps.fakes import DOCUMENT, FakeEnvironment, handle


def test_a_document_becomes_an_experiment_and_a_plan(environment: FakeEnvironment) -> None:
    answer = handle(environment, "validate_experiment", run_id="r", document=DOCUMENT)
    assert answer["experiment"]["load"]["method"] == "GET"
    assert answer["plan"]["settle_seconds"] == 60


def test_what_was_validated_once_is_valid_again(environment: FakeEnvironment) -> None:
    first = handle(environment, "validate_experiment", run_id="r", document=DOCUMENT)
    again = handle(environment, "validate_experiment", run_id="r", document=first["experiment"])
    assert again == first


def test_every_fault_is_reported_at_once(environment: FakeEnvironment) -> None:
    with pytest.raises(InvalidExperiment) as refused:
        handle(environment, "validate_experiment", run_id="r", document={})
    assert len(refused.value.faults) == 5
