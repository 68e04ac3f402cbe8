from gameday.experiment import Phase
from gameday.steps import judgements_of
from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_measures_are_judged_beside_their_baseline(armed: FakeEnvironment) -> None:
    for phase, latency in ((Phase.BASELINE, 120), (Phase.CONDITION, 450)):
        armed.note_load(phase)
        armed.cloudwatch.loaded(phase, latency)
    armed.cloudwatch.injected(298)
    handle(armed, "snapshot_baseline", run_id=RUN)
    handle(armed, "evaluate_measures", run_id=RUN)
    facts = armed.run.facts
    (judgement,) = judgements_of(armed.run, "judgements") or ()
    assert judgement.verdict == "FAILED"
    assert (judgement.observed, judgement.baseline) == (450.0, 120.0)
    assert (facts["requests"], facts["evidence"]) == (300.0, {"latency": 298.0})


def test_evidence_that_is_not_there_is_none(armed: FakeEnvironment) -> None:
    armed.note_load(Phase.BASELINE)
    armed.note_load(Phase.CONDITION)
    handle(armed, "evaluate_measures", run_id=RUN)
    assert armed.run.facts["evidence"] == {"latency": None}


def test_a_baseline_that_came_late_is_the_one_that_counts(armed: FakeEnvironment) -> None:
    for phase in (Phase.BASELINE, Phase.CONDITION):
        armed.note_load(phase)
        armed.cloudwatch.loaded(phase, 120)
    handle(armed, "snapshot_baseline", run_id=RUN)
    armed.cloudwatch.loaded(Phase.BASELINE, 900)
    handle(armed, "evaluate_measures", run_id=RUN)
    (baseline,) = judgements_of(armed.run, "baseline") or ()
    assert baseline.verdict == "FAILED"
