"""The load: requests that leave on schedule, whatever the answers do, from one Lambda function.

An open model: request k is due at a fixed moment and its latency counts from that moment, so a
slow target can neither slow the load down nor hide its slowness (coordinated omission). What
was seen is held as counts, never as a list, so memory does not grow with the number of requests.
"""

import logging
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import batched, chain
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError

from gameday.arrivals import SECOND_NS, WHOLE, Arrivals, Share
from gameday.calls import Account, Calls
from gameday.errors import MetricsNotPublished
from gameday.experiment import Load, Phase
from gameday.kinds import LoadMetric
from gameday.observations import NAMESPACE, Failure, Histogram, LoadReport, Window, rounded_up
from gameday.wire import Outcome, Wire

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.literals import StandardUnitType
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

VERSION = "0.1.0"
"""What a target reads in its access log; the version in pyproject.toml, which no Lambda carries."""

_PUBLISH_EVERY_SECONDS = 2
_LONGEST_TURN_SECONDS = 0.05
_MOST_SENT_IN_A_TURN = 32
_STOP_CHECK_EVERY_SECONDS = 0.25
_STOP_CHECK_TIMEOUT_SECONDS = 2.0
_STOP_UNKNOWN_LIMIT = 3
_STOP_GRACE_SECONDS = 1.0
_SWITCH_SECONDS = 0.0005  # how long the threads beside the load may keep it from running; else 5 ms

_TENTH_NS = 100_000  # of a millisecond
_MAXIMUM_VALUES_PER_DATUM = 150  # PutMetricData: unique values of one datum
_MAXIMUM_DATA_PER_CALL = 50  # 1,000 are allowed, but 150 values make 13 kB, and a call 1 MB

_log = logging.getLogger(__name__)


def window_start(now: float, window_seconds: int) -> int:
    """The first whole second, not before `now`, at which a window is one CloudWatch period.

    A window shorter than a minute lies within one clock minute, any other starts on the minute:
    CloudWatch rounds the start of a period down to it (GetMetricData). Both in epoch seconds.
    """
    earliest = math.ceil(now)
    into_the_minute = earliest % 60
    if into_the_minute == 0 or into_the_minute + window_seconds <= 60:
        return earliest
    return earliest - into_the_minute + 60


def generate_load(
    load: Load,
    *,
    experiment: str,
    phase: Phase,
    warm_up_seconds: float,
    window_seconds: int,
    stopped: Callable[[], bool],
    cloudwatch: "CloudWatchClient",
    run_id: str,
    one_period: bool = True,
    share: Share = WHOLE,
    account: Account | None = None,
) -> LoadReport:
    """Warm the target up, load it for one measured window, and publish what was seen.

    Args:
        load: what to send, and how often.
        experiment: the dimension `Experiment` of the metrics.
        phase: their dimension `Phase`.
        warm_up_seconds: load before the window; it goes on until the window may start.
        window_seconds: below 60, or whole minutes.
        stopped: whether the run was stopped, asked about four times a second from another thread.
            Three errors or timeouts in a row stop the load: it must not run unattended.
        cloudwatch: takes the metrics.
        run_id: for the target's access log, in the User-Agent.
        one_period: whether CloudWatch is to read the window as one period; a window that is read
            in slices starts as soon as it may.
        share: this worker's part; the report is of it alone, see `LoadReport.merged`.
        account: for requests that are signed, and functions that are invoked.

    Raises:
        MetricsNotPublished: when CloudWatch did not take the metrics; the load had its time.
    """
    started_at = time.time() if share.start_at is None else share.start_at
    earliest = started_at + warm_up_seconds
    schedule = _Schedule(
        arrivals=load.arrivals(window_seconds),
        share=share,
        seed=run_id,
        started_at=started_at,
        window_start=window_start(earliest, window_seconds) if one_period else math.ceil(earliest),
    )
    dimensions = {"Experiment": experiment, "Phase": phase.value}
    publish = partial(_publish, cloudwatch, dimensions)
    seen, told = _work(load, schedule, publish, stopped, account)
    return seen.report(phase, stopped=told)


def warm_up(
    load: Load,
    *,
    seconds: int,
    stopped: Callable[[], bool],
    see: Callable[[LoadReport], None],
    run_id: str,
    share: Share = WHOLE,
    account: Account | None = None,
) -> None:
    """Load the target at the rate of the window's start, and publish nothing.

    Args:
        load: what to send, and how often.
        seconds: how long, unless it is stopped.
        stopped: as in `generate_load`.
        see: is given every two seconds, in a thread beside the load, a report of the requests that
            ended since; their schedule errors are not in it. Its first error is raised at the end.
        run_id: for the target's access log, in the User-Agent.
        share: this worker's part.
        account: for requests that are signed, and functions that are invoked.
    """
    constant = load.model_copy(update={"to_per_second": None, "then_per_second": ()})
    now = time.time()
    schedule = _Schedule(
        arrivals=constant.arrivals(seconds),
        share=share,
        seed=run_id,
        started_at=now,
        window_start=math.ceil(now),
    )

    until = schedule.window_start

    def hand_over(counts: Mapping[int, _Counts]) -> None:
        nonlocal until
        since, until = until, max([until, *(second + 1 for second in counts)])
        see(_part(Window(start=since, end=until), counts))

    _work(load, schedule, hand_over, stopped, account)


def _work(
    load: Load,
    schedule: "_Schedule",
    publish: Callable[[Mapping[int, "_Counts"]], None],
    stopped: Callable[[], bool],
    account: Account | None,
) -> tuple["_Seen", bool]:
    """Send what the schedule says; what was seen, and whether it was stopped."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    calls = Calls(load, f"Gameday/{VERSION} (run {schedule.seed})", account)
    with _Publishing(publish) as publishing, _Watch(stopped) as watch:
        worker = _Worker(schedule, calls, load.timeout_seconds, publishing, watch)
        worker.run()
    return worker.seen, watch.told


@dataclass(frozen=True)
class _Schedule:
    """Which request is due when; number 0 opens the measured window, those below it warm up."""

    arrivals: Arrivals
    share: Share
    seed: str
    started_at: float
    window_start: int

    @property
    def window(self) -> Window:
        """The window, or what of it is this share's."""
        until = self.share.until_second
        return Window(
            start=self.window_start + self.share.from_second,
            end=self.window_start + (self.arrivals.seconds if until is None else until),
        )

    def requests(self) -> Iterator[tuple[int, int]]:
        """Number, and when it is due: nanoseconds from the whole window's start."""
        window = self.arrivals.due(self.share, self.seed)
        if self.share.from_second:
            return window
        warm_up_seconds = self.window_start - self.started_at
        return chain(self.arrivals.due_before(warm_up_seconds, self.share), window)


@dataclass
class _Counts:
    """What became of some of the requests: latencies in tenths of a millisecond, rounded up."""

    latencies: dict[int, int] = field(default_factory=dict)
    outcomes: dict[Outcome, int] = field(default_factory=dict)

    def add(self, tenths: int, outcome: Outcome) -> None:
        self.latencies[tenths] = self.latencies.get(tenths, 0) + 1
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    @property
    def ended(self) -> int:
        return sum(self.outcomes.values())

    @property
    def succeeded(self) -> int:
        return sum(
            count
            for outcome, count in self.outcomes.items()
            if not isinstance(outcome, Failure) and 200 <= outcome < 400
        )


class _Seen:
    """Everything seen in the window: by due second to be published, and in all for the report."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._by_second: dict[int, _Counts] = {}
        self._next_second = window.start
        self._latencies: Counter[int] = Counter()
        self._outcomes: Counter[Outcome] = Counter()
        self._schedule_errors: dict[int, int] = {}
        self.offered = 0

    def due(self, late_ns: int) -> None:
        """Count a request that leaves, or would have to."""
        self.offered += 1
        tenths = -(-late_ns // _TENTH_NS)
        self._schedule_errors[tenths] = self._schedule_errors.get(tenths, 0) + 1

    def ended(self, second: int, outcome: Outcome, latency_ns: int) -> None:
        """Count what became of a request that was due in this second."""
        counts = self._by_second.get(second)
        if counts is None:
            counts = self._by_second[second] = _Counts()
        counts.add(-(-latency_ns // _TENTH_NS), outcome)

    def take(self, before: int) -> dict[int, _Counts]:
        """Hand over what is known of the seconds before this one, once; each was at least zero."""
        before = min(before, self._window.end)
        for second in range(self._next_second, before):
            self._by_second.setdefault(second, _Counts())
        self._next_second = max(self._next_second, before)
        taken = {s: self._by_second.pop(s) for s in sorted(self._by_second) if s < before}
        self.add(taken)
        return taken

    def add(self, taken: Mapping[int, _Counts]) -> None:
        """Add what was taken to what will be reported."""
        for counts in taken.values():
            self._latencies.update(rounded_up(counts.latencies))
            self._outcomes.update(counts.outcomes)

    def report(self, phase: Phase, *, stopped: bool) -> LoadReport:
        """What was taken, as a report."""
        total = _Counts(outcomes=self._outcomes)
        errors = {o: count for o, count in self._outcomes.items() if isinstance(o, Failure)}
        statuses = {
            str(o): count for o, count in self._outcomes.items() if not isinstance(o, Failure)
        }
        if broke := errors.get(Failure.FUNCTION):  # which is said in an answer of status 200
            statuses["200"] = statuses.get("200", 0) + broke
        return LoadReport(
            phase=phase,
            window=self._window,
            offered=self.offered,
            sent=self.offered - errors.get(Failure.OVERLOAD, 0),
            succeeded=total.succeeded,
            failed=total.ended - total.succeeded,
            by_status=statuses,
            errors=errors,
            latencies=Histogram(counts=self._latencies),
            schedule_errors=Histogram.of(self._schedule_errors),
            stopped=stopped,
        )


def _part(window: Window, counts: Mapping[int, _Counts]) -> LoadReport:
    """What was handed over at once, as a report: every request of it has ended."""
    seen = _Seen(window)
    seen.offered = sum(each.ended for each in counts.values())
    seen.add(counts)
    return seen.report(Phase.CONDITION, stopped=False)


class _Worker:
    """Sends the requests of one schedule, and notes what became of those in the window."""

    def __init__(
        self,
        schedule: _Schedule,
        calls: Calls,
        timeout_seconds: float,
        publishing: "_Publishing",
        watch: "_Watch",
    ) -> None:
        self._schedule, self._calls = schedule, calls
        self._timeout_ns = round(timeout_seconds * SECOND_NS)
        self._publishing, self._watch = publishing, watch
        # One look at the wall clock: if it is set right meanwhile, the schedule stays even.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        self._start_ns = schedule.window_start * SECOND_NS - self._epoch_ns
        self._publish_next = schedule.window.start + _PUBLISH_EVERY_SECONDS
        self._wire = Wire(self._ended)
        self.seen = _Seen(schedule.window)

    def run(self) -> None:
        """Return when every request has ended, or shortly after the run was stopped."""
        try:
            self._keep_the_schedule()
            end_ns = self._schedule.window.end * SECOND_NS - self._epoch_ns
            while not self._watch.told and (self._wire.in_flight or time.monotonic_ns() < end_ns):
                self._turn(_LONGEST_TURN_SECONDS)
            until = time.monotonic() + _STOP_GRACE_SECONDS
            while self._wire.in_flight and time.monotonic() < until:
                self._turn(_LONGEST_TURN_SECONDS)
        finally:
            self._wire.close()
        self._publishing.put(self.seen.take(self._second(time.monotonic_ns()) + 1))

    def _keep_the_schedule(self) -> None:
        began_ns, sent = time.monotonic_ns(), 0
        for number, due_ns in self._schedule.requests():
            due_ns += self._start_ns
            while (now_ns := time.monotonic_ns()) < due_ns or sent == _MOST_SENT_IN_A_TURN:
                self._turn(min((due_ns - now_ns) / SECOND_NS, _LONGEST_TURN_SECONDS))
                sent = 0
                if self._watch.told:
                    return
            if number >= 0 or due_ns >= began_ns:
                self._send(number, due_ns, now_ns)
                sent += 1

    def _turn(self, wait_seconds: float) -> None:
        self._wire.turn(max(0.0, wait_seconds))
        second = self._second(time.monotonic_ns())
        if second >= self._publish_next:
            self._publish_next = second + _PUBLISH_EVERY_SECONDS
            self._publishing.put(self.seen.take(second))

    def _second(self, moment_ns: int) -> int:
        return (moment_ns + self._epoch_ns) // SECOND_NS

    def _send(self, number: int, due_ns: int, now_ns: int) -> None:
        token = None if number < 0 else due_ns
        if token is not None:
            self.seen.due(now_ns - due_ns)
        if now_ns >= due_ns + self._timeout_ns:  # nothing that it could still learn
            self._ended(token, Failure.OVERLOAD)
        else:
            self._wire.send(self._calls[number], token, due_ns + self._timeout_ns)

    def _ended(self, due_ns: int | None, outcome: Outcome) -> None:
        """Count a status, or why there is none: which is never faster than the timeout."""
        if due_ns is None:
            return
        latency_ns = time.monotonic_ns() - due_ns
        if isinstance(outcome, Failure) and outcome is not Failure.FUNCTION:
            latency_ns = max(latency_ns, self._timeout_ns)
        self.seen.ended(self._second(due_ns), outcome, latency_ns)


class _Watch:
    """Asks in a thread whether the run was stopped; `told` when it was, or nobody knows."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._over = threading.Event()
        self.told = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._ask, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _ask(self) -> None:
        # Its own threads, which nobody waits for: a check that hangs must not hold up the worker.
        threads = ThreadPoolExecutor(_STOP_UNKNOWN_LIMIT)
        unknown = 0
        while unknown < _STOP_UNKNOWN_LIMIT and not self.told and not self._over.is_set():
            try:
                self.told = threads.submit(self._stopped).result(_STOP_CHECK_TIMEOUT_SECONDS)
                unknown = 0
            except Exception:
                unknown += 1
                _log.warning("It is not known whether the run was stopped", exc_info=True)
            self._over.wait(0 if self.told else _STOP_CHECK_EVERY_SECONDS)
        self.told = self.told or unknown == _STOP_UNKNOWN_LIMIT
        threads.shutdown(wait=False, cancel_futures=True)


class _Publishing:
    """Publishes in a thread, beside the load; its first error is raised when the load is over."""

    def __init__(self, publish: Callable[[Mapping[int, _Counts]], None]) -> None:
        self._publish = publish
        self._queue: SimpleQueue[Mapping[int, _Counts] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._error: Exception | None = None

    def put(self, seconds: Mapping[int, _Counts]) -> None:
        """Publish these seconds soon."""
        self._queue.put(seconds)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._error and kind is None:
            raise self._error

    def _work(self) -> None:
        while (seconds := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._publish(seconds)
                except Exception as error:
                    self._error = error


def _publish(
    cloudwatch: "CloudWatchClient", dimensions: Mapping[str, str], seconds: Mapping[int, _Counts]
) -> None:
    data = (datum for second in seconds for datum in _data(second, seconds[second], dimensions))
    for call in batched(data, _MAXIMUM_DATA_PER_CALL, strict=False):
        try:
            cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=call)
        except (BotoCoreError, ClientError) as error:
            raise MetricsNotPublished(f"CloudWatch did not take the metrics: {error}") from error


def _data(
    second: int, counts: _Counts, dimensions: Mapping[str, str]
) -> "Iterator[MetricDatumTypeDef]":
    """One second as data. Several for the same second add up; a zero is said, never implied."""

    def datum(metric: LoadMetric, unit: "StandardUnitType") -> "MetricDatumTypeDef":
        return {
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Timestamp": datetime.fromtimestamp(second, UTC),
            "Unit": unit,
            "StorageResolution": 1,
        }

    latencies = _few(counts.latencies).items()
    for chunk in batched(latencies, _MAXIMUM_VALUES_PER_DATUM, strict=False):
        tenths, numbers = zip(*chunk, strict=True)
        yield {
            **datum(LoadMetric.LATENCY, "Milliseconds"),
            "Values": [value / 10 for value in tenths],
            "Counts": numbers,
        }
    for metric, count in (
        (LoadMetric.REQUESTS, counts.ended),
        (LoadMetric.SUCCEEDED, counts.succeeded),
        (LoadMetric.FAILED, counts.ended - counts.succeeded),
    ):
        yield {**datum(metric, "Count"), "Value": count}


def _few(tenths: Mapping[int, int]) -> Mapping[int, int]:
    """At most one datum's worth of values where three digits suffice."""
    return tenths if len(tenths) <= _MAXIMUM_VALUES_PER_DATUM else rounded_up(tenths)
