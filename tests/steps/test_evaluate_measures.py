from gameday.experiment import Phase
from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_measures_are_judged_beside_their_baseline(armed: FakeEnvironment) -> None:
    armed.note_load(Phase.BASELINE)
    armed.note_load(Phase.CONDITION)
    armed.cloudwatch.values |= {
        ("Latency", "p95", "baseline"): 120.0,
        ("Latency", "p95", "condition"): 450.0,
        ("Requests", "Sum", "condition"): 300.0,
        ("Injected", "Sum", "latency"): 298.0,
    }
    handle(armed, "snapshot_baseline", run_id=RUN)
    handle(armed, "evaluate_measures", run_id=RUN)
    facts = armed.run.facts
    (judgement,) = facts["judgements"]
    assert judgement["verdict"] == "FAILED"
    assert (judgement["observed"], judgement["baseline"]) == (450.0, 120.0)
    assert (facts["requests"], facts["evidence"]) == (300.0, {"latency": 298.0})


def test_evidence_that_is_not_there_is_none(armed: FakeEnvironment) -> None:
    armed.note_load(Phase.CONDITION)
    handle(armed, "evaluate_measures", run_id=RUN)
    assert armed.run.facts["evidence"] == {"latency": None}
