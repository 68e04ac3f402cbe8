import time
from collections.abc import Callable
from typing import Any

import pytest

from gameday import load, measures, steps
from gameday.errors import ConditionNotEnabled, MeasureNotRead
from gameday.experiment import Load, Phase
from gameday.observations import Histogram, LoadReport, Window
from gameday.runs import StopReason
from tests.steps.fakes import DOCUMENT, RUN, FakeEnvironment, handle, report

LATENCY = {"latency": {"enabled": True, "min_latency": 100, "max_latency": 200}}
DENYLIST = {"denylist": {"enabled": True, "deny_list": ["dynamodb"]}}
MATCHED = {"latency": {**LATENCY["latency"], "match": [{"path": "a", "operator": "exists"}]}}
SECONDS = 2
"""Of a load's part."""


class Sent:
    """A load that takes no time: `latency_ms` of its parts, of which there are as many."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.parts = 0
        self.told: dict[str, Any] = {}
        self.load: Load | None = None
        self.at_part: Callable[[int], None] = lambda part: None

    def warm_up(self, sent: Load, *, see: Any, stopped: Any, **told: Any) -> None:
        self.load, self.told = sent, told
        for number, latency_ms in enumerate(self.latencies_ms):
            self.at_part(number)
            if stopped():
                return
            see(part(number, latency_ms))
            self.parts += 1


def part(number: int, latency_ms: float, offered: int = 10) -> LoadReport:
    start = 1_800_000_000 + SECONDS * number
    changes = {
        "window": Window(start=start, end=start + SECONDS),
        "latencies": Histogram.of({round(10 * latency_ms): offered}),
    }
    return report(Phase.CONDITION, offered=offered).model_copy(update=changes)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(load, "warm_up", sent.warm_up)
    monkeypatch.setattr(measures, "read_evidence_by_second", lambda *_: {})
    return sent


@pytest.fixture
def enable(environment: FakeEnvironment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Enable the condition of a run, after a baseline of 300 requests of 20 ms."""

    def enable(configuration: Any = LATENCY, **condition: Any) -> None:
        condition = DOCUMENT["condition"] | {"configuration": configuration} | condition
        monkeypatch.setitem(DOCUMENT, "condition", condition)
        environment.arm()
        environment.runs.watch(RUN, "t")
        quick = report(Phase.BASELINE).model_copy(update={"latencies": Histogram.of({200: 300})})
        environment.runs.note(RUN, baseline_load=quick.model_dump(mode="json"))
        handle(environment, "enable_condition", run_id=RUN)

    return enable


def test_the_window_begins_as_soon_as_all_of_a_slice_is_slow(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable()
    sent.latencies_ms = [20, 20, 150, 150, 150, 150, 150]
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 5
    facts = environment.run.facts
    assert facts["seen_on_by"] == {"latency": "load"}
    assert facts["enabled_at"] <= facts["seen_on_at"] <= time.time()


def test_evidence_of_a_part_of_what_was_promised_is_none(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable()
    sent.latencies_ms = [150, 20, 20] * 10
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 30
    assert "seen_on_at" not in environment.run.facts


@pytest.mark.parametrize("configuration", [MATCHED, {**LATENCY, **MATCHED, **DENYLIST}])
def test_where_no_share_is_promised_the_whole_time_is_waited(
    environment: FakeEnvironment, enable: Any, sent: Sent, configuration: Any
) -> None:
    enable(configuration)
    sent.latencies_ms = [150] * 10
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 10
    assert "seen_on_at" not in environment.run.facts


def count(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    def read(experiment: object, modes: object, window: Window, cloudwatch: object) -> Any:
        return {"denylist": answer(window)}

    monkeypatch.setattr(measures, "read_evidence_by_second", read)


def test_what_the_load_cannot_see_the_injectors_count_shows(
    environment: FakeEnvironment, enable: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(DENYLIST)
    sent.latencies_ms = [20] * 10
    count(monkeypatch, lambda window: dict.fromkeys(range(1_800_000_008, window.end), 5.0))
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 7
    assert environment.run.facts["seen_on_by"] == {"denylist": "metric"}


def test_a_metric_by_the_minute_comes_too_late_to_be_asked(
    environment: FakeEnvironment, enable: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(DENYLIST, evidence={"namespace": "Shop", "name": "Denied"})
    sent.latencies_ms = [20] * 10
    count(monkeypatch, lambda window: pytest.fail("it was asked"))
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 10


def test_a_metric_that_cannot_be_read_ends_nothing(
    environment: FakeEnvironment, enable: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MeasureNotRead("InternalError")

    enable(DENYLIST)
    sent.latencies_ms = [20] * 10
    monkeypatch.setattr(measures, "read_evidence_by_second", refuse)
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 10


def test_one_worker_loads_and_no_longer_than_the_propagation(
    environment: FakeEnvironment, enable: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DOCUMENT, "load", DOCUMENT["load"] | {"rate_per_second": 6000})
    enable(propagation_seconds=20)
    handle(environment, "await_evidence", run_id=RUN)
    assert (sent.told["share"].index, sent.told["share"].workers) == (0, 3)
    assert 18 <= sent.told["seconds"] <= 20


def test_where_nothing_propagates_nothing_is_sent(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable(propagation_seconds=0)
    handle(environment, "await_evidence", run_id=RUN)
    assert not sent.told


def test_a_retry_awaits_what_is_left(environment: FakeEnvironment, enable: Any, sent: Sent) -> None:
    enable(propagation_seconds=60)
    environment.runs.note(RUN, enabled_at=time.time() - 50)
    handle(environment, "await_evidence", run_id=RUN)
    assert 8 <= sent.told["seconds"] <= 10


def test_a_retry_does_not_look_for_what_was_found(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable()
    environment.runs.note(RUN, seen_on_at=1.0)
    handle(environment, "await_evidence", run_id=RUN)
    assert not sent.told
    assert environment.run.facts["seen_on_at"] == 1.0


def test_a_stop_ends_it_and_it_has_found_nothing(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable()
    sent.latencies_ms = [150] * 10

    def stop(number: int) -> None:
        if number == 2:
            environment.runs.stop(RUN, StopReason.GUARDRAIL)

    sent.at_part = stop
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 2
    assert "seen_on_at" not in environment.run.facts


# -- a ramp


def test_evidence_counts_from_when_the_condition_is_on_for_all(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable(ramp_minutes=1)
    environment.appconfig.growth = [20, 40, 60, 80]
    sent.latencies_ms = [150] * 20
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 4 + 3
    assert sent.told["seconds"] > 100
    assert "seen_on_at" in environment.run.facts


def test_a_ramp_that_is_a_little_late_is_waited_for(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable(ramp_minutes=1)
    environment.appconfig.growth = [80, 80]
    handle(environment, "await_evidence", run_id=RUN)
    assert environment.appconfig.growth == []


def test_a_ramp_that_does_not_end_is_no_condition(
    environment: FakeEnvironment, enable: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_GROWTH_LIMIT_SECONDS", -1)
    enable(ramp_minutes=1)
    environment.appconfig.growth = [80] * 5
    with pytest.raises(ConditionNotEnabled, match="had grown to 80 %"):
        handle(environment, "await_evidence", run_id=RUN)


def test_a_condition_that_somebody_ends_while_it_grows_is_awaited_no_longer(
    environment: FakeEnvironment, enable: Any, sent: Sent
) -> None:
    enable(ramp_minutes=1)
    environment.appconfig.state = "ROLLED_BACK"
    sent.latencies_ms = [20] * 10
    with pytest.raises(ConditionNotEnabled, match="rolled it back"):
        handle(environment, "await_evidence", run_id=RUN)


def test_a_ramp_that_our_own_undo_ends_at_any_moment_is_no_error(
    environment: FakeEnvironment, enable: Any, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(ramp_minutes=1)
    grown = environment.appconfig.grown

    def undone_meanwhile(*what: Any) -> float:
        handle(environment, "disable_condition", run_id=RUN)
        return grown(*what)

    monkeypatch.setattr(environment.appconfig, "grown", undone_meanwhile)
    sent.latencies_ms = [20] * 10
    handle(environment, "await_evidence", run_id=RUN)
    assert sent.parts == 1
    assert "seen_on_at" not in environment.run.facts
