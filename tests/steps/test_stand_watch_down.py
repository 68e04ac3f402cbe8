from tests.steps.fakes import RUN, FakeEnvironment, handle


def test_the_watch_ends_well(armed: FakeEnvironment) -> None:
    handle(armed, "watch_guardrails", run_id=RUN, token="t")
    handle(armed, "stand_watch_down", run_id=RUN)
    assert armed.stepfunctions.answers == [{"taskToken": "t", "output": "{}"}]
