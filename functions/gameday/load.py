"""The load: requests that leave on schedule, whatever the answers do, from one Lambda function.

An open model: request k is due at a fixed moment and its latency counts from that moment, so a
slow target can neither slow the load down nor hide its slowness (coordinated omission). What
was seen is held as counts, never as a list, so memory does not grow with the number of requests.
"""

import asyncio
import errno
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import batched, chain
from typing import TYPE_CHECKING

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from multidict import CIMultiDict

from gameday.arrivals import SECOND_NS, WHOLE, Arrivals, Share
from gameday.errors import MetricsNotPublished
from gameday.experiment import Load, Phase
from gameday.kinds import LoadMetric
from gameday.observations import NAMESPACE, Failure, Histogram, LoadReport, Window, rounded_up

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.literals import StandardUnitType
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

VERSION = "0.1.0"
"""What a target reads in its access log; the version in pyproject.toml, which no Lambda carries."""

MAXIMUM_IN_FLIGHT = 900
"""A Lambda function may open 1,024 files, and a connection is one (Lambda quotas)."""

MAXIMUM_BODY_BYTES = 1024 * 1024
"""How much of an answer is read before its connection is closed."""

_PUBLISH_EVERY_SECONDS = 2.0
_STOP_CHECK_EVERY_SECONDS = 0.25
_STOP_CHECK_TIMEOUT_SECONDS = 2.0
_STOP_UNKNOWN_LIMIT = 3
_STOP_GRACE_SECONDS = 1.0

_MAXIMUM_VALUES_PER_DATUM = 150  # PutMetricData: unique values of one datum
_MAXIMUM_DATA_PER_CALL = 50  # 1,000 are allowed, but 150 values make 13 kB, and a call 1 MB

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Account:
    """Who signs, and where the functions of this region are invoked."""

    credentials: "Credentials"
    region: str
    lambda_url: str


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
    worker = _Worker(load, schedule, run_id)
    dimensions = {"Experiment": experiment, "Phase": phase.value}
    asyncio.run(_work(worker, stopped, partial(_publish, cloudwatch, dimensions)))
    return worker.seen.report(phase, stopped=worker.stopped)


@dataclass(frozen=True)
class _Schedule:
    """Which request is due when; number 0 opens the measured window, those below it warm up."""

    arrivals: Arrivals
    share: Share
    seed: str
    started_at: float
    window_start: int

    @property
    def window_end(self) -> int:
        until = self.share.until_second
        return self.window_start + (self.arrivals.seconds if until is None else until)

    def requests(self) -> Iterator[tuple[int, float, int]]:
        """Number, due at, second."""
        warm_up = self.arrivals.due_before(self.window_start - self.started_at, self.share)
        window = self.arrivals.due(self.share, self.seed)
        for number, due_ns in chain(() if self.share.from_second else warm_up, window):
            second = self.window_start + due_ns // SECOND_NS
            yield number, self.window_start + due_ns / SECOND_NS, second


@dataclass
class _Counts:
    """What became of some of the requests."""

    latencies: Counter[int] = field(default_factory=Counter)
    succeeded: int = 0
    failed: int = 0


class _Seen:
    """Everything seen in the window: counts for the report, and by due second to be published."""

    def __init__(self, schedule: _Schedule, timeout_seconds: float) -> None:
        self._schedule = schedule
        self._timeout_ms = timeout_seconds * 1000
        self._total = _Counts()
        self._by_status: Counter[str] = Counter()
        self._errors: Counter[Failure] = Counter()
        self._schedule_errors: Counter[int] = Counter()
        # Every second of the window from the first, so that one without a request says zero.
        seconds = range(schedule.window_start, schedule.window_end)
        self._by_second = defaultdict(_Counts, {second: _Counts() for second in seconds})
        self.offered = 0

    def sent(self, late_seconds: float) -> None:
        self._schedule_errors[_tenths(max(0.0, late_seconds * 1000))] += 1

    def ended(self, second: int, outcome: int | Failure, latency_seconds: float) -> None:
        """Count a status, or why there is none: which is never faster than the timeout."""
        latency_ms = latency_seconds * 1000
        if isinstance(outcome, Failure):
            latency_ms = max(latency_ms, self._timeout_ms)
            self._errors[outcome] += 1
        else:
            self._by_status[str(outcome)] += 1
        succeeded = not isinstance(outcome, Failure) and 200 <= outcome < 400
        for counts in (self._by_second[second], self._total):
            counts.latencies[_tenths(latency_ms)] += 1
            counts.succeeded += succeeded
            counts.failed += not succeeded

    def take(self, before: float) -> dict[int, _Counts]:
        """Hand over what is known of the seconds before this moment, once."""
        finished = sorted(second for second in self._by_second if second < before)
        return {second: self._by_second.pop(second) for second in finished}

    def report(self, phase: Phase, *, stopped: bool) -> LoadReport:
        return LoadReport(
            phase=phase,
            window=Window(start=self._schedule.window_start, end=self._schedule.window_end),
            offered=self.offered,
            sent=self.offered - self._errors[Failure.OVERLOAD],
            succeeded=self._total.succeeded,
            failed=self._total.failed,
            by_status=dict(self._by_status),
            errors={failure: count for failure, count in self._errors.items() if count},
            latencies=Histogram.of(self._total.latencies),
            schedule_errors=Histogram.of(self._schedule_errors),
            stopped=stopped,
        )


def _tenths(milliseconds: float) -> int:
    """Round up: no latency may slip under a threshold that it exceeded."""
    return math.ceil(milliseconds * 10)


async def _work(
    worker: "_Worker",
    stopped: Callable[[], bool],
    publish: Callable[[Mapping[int, _Counts]], None],
) -> None:
    """Send, and publish beside it; an error of the publishing is raised after the load."""
    finished = asyncio.Event()
    publishing = asyncio.create_task(_publish_until(finished, worker, publish))
    try:
        await worker.send_all(stopped)
    finally:
        finished.set()
        await publishing


async def _publish_until(
    finished: asyncio.Event, worker: "_Worker", publish: Callable[[Mapping[int, _Counts]], None]
) -> None:
    while not finished.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(finished.wait(), _PUBLISH_EVERY_SECONDS)
        now = worker.now()
        before = math.ceil(now) if finished.is_set() else math.floor(now)
        await asyncio.to_thread(publish, worker.seen.take(before))


class _Worker:
    """Sends the requests of one schedule and notes what became of those in the window."""

    def __init__(self, load: Load, schedule: _Schedule, run_id: str) -> None:
        self._load, self._schedule = load, schedule
        self._headers = CIMultiDict(load.headers)
        self._headers["User-Agent"] = f"Gameday/{VERSION} (run {run_id})"
        self._in_flight = 0
        # One look at the wall clock: if it is set right meanwhile, the schedule stays even.
        self._epoch = time.time() - time.monotonic()
        self.seen = _Seen(schedule, load.timeout_seconds)
        self.stopped = False

    def now(self) -> float:
        return time.monotonic() + self._epoch

    async def send_all(self, stopped: Callable[[], bool]) -> None:
        """Return when every request has ended, or shortly after the run was stopped."""
        session = aiohttp.ClientSession(
            auto_decompress=False,
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(),
        )
        async with session:
            with suppress(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    watch = asyncio.create_task(self._stop_when(stopped, limit))
                    try:
                        await self._keep_the_schedule(session)
                    finally:
                        watch.cancel()

    async def _stop_when(self, stopped: Callable[[], bool], limit: asyncio.Timeout) -> None:
        await _told_to_stop(stopped)
        self.stopped = True
        limit.reschedule(asyncio.get_running_loop().time() + _STOP_GRACE_SECONDS)

    async def _keep_the_schedule(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as requests:
            for number, due_at, second in self._schedule.requests():
                await self._sleep_until(due_at)
                if self.stopped:
                    return
                if number >= 0:
                    self.seen.offered += 1
                if self._in_flight < MAXIMUM_IN_FLIGHT:
                    self._in_flight += 1
                    requests.create_task(self._request(session, number, due_at, second))
                else:
                    self._ended(number, due_at, second, Failure.OVERLOAD)
            await self._sleep_until(self._schedule.window_end)

    async def _sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.now()))

    async def _request(
        self, session: aiohttp.ClientSession, number: int, due_at: float, second: int
    ) -> None:
        if number >= 0:
            self.seen.sent(self.now() - due_at)
        outcome: int | Failure
        try:
            async with asyncio.timeout(due_at + self._load.timeout_seconds - self.now()):
                outcome = await self._answer(session)
        except (aiohttp.ClientError, OSError) as error:
            outcome = _failure(error)
        finally:
            self._in_flight -= 1
        self._ended(number, due_at, second, outcome)

    async def _answer(self, session: aiohttp.ClientSession) -> int:
        load = self._load
        async with session.request(
            load.method, load.url, data=load.body, allow_redirects=False
        ) as response:
            unread_bytes = MAXIMUM_BODY_BYTES
            async for chunk in response.content.iter_any():
                unread_bytes -= len(chunk)
                if unread_bytes <= 0:
                    response.close()
                    break
            return response.status

    def _ended(self, number: int, due_at: float, second: int, outcome: int | Failure) -> None:
        if number >= 0:
            self.seen.ended(second, outcome, self.now() - due_at)


async def _told_to_stop(stopped: Callable[[], bool]) -> None:
    """Return when the run was stopped, or when that could not be learnt three times in a row."""
    # Its own threads, which nobody waits for: a check that hangs must not hold up the worker.
    threads = ThreadPoolExecutor(_STOP_UNKNOWN_LIMIT)
    unknown = 0
    try:
        while unknown < _STOP_UNKNOWN_LIMIT:
            try:
                async with asyncio.timeout(_STOP_CHECK_TIMEOUT_SECONDS):
                    if await asyncio.get_running_loop().run_in_executor(threads, stopped):
                        return
                unknown = 0
            except Exception:
                unknown += 1
                _log.warning("It is not known whether the run was stopped", exc_info=True)
            await asyncio.sleep(_STOP_CHECK_EVERY_SECONDS)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


_FAILURES: tuple[tuple[type[Exception], Failure], ...] = (
    (TimeoutError, Failure.TIMEOUT),
    (aiohttp.ClientConnectorDNSError, Failure.DNS),
    (aiohttp.ClientSSLError, Failure.TLS),
    (aiohttp.ClientConnectionResetError, Failure.RESET),
    (aiohttp.ServerDisconnectedError, Failure.RESET),
    (aiohttp.ClientPayloadError, Failure.RESET),
)
_FAILURES_BY_ERRNO: dict[int | None, Failure] = {
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.ECONNRESET: Failure.RESET,
    errno.ECONNABORTED: Failure.RESET,
    errno.EPIPE: Failure.RESET,
    errno.ETIMEDOUT: Failure.TIMEOUT,
    errno.EMFILE: Failure.OVERLOAD,  # out of files: the worker's limit, not the target's fault
}


def _failure(error: aiohttp.ClientError | OSError) -> Failure:
    for kind, failure in _FAILURES:
        if isinstance(error, kind):
            return failure
    return _FAILURES_BY_ERRNO.get(getattr(error, "errno", None), Failure.OTHER)


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
        (LoadMetric.REQUESTS, counts.succeeded + counts.failed),
        (LoadMetric.SUCCEEDED, counts.succeeded),
        (LoadMetric.FAILED, counts.failed),
    ):
        yield {**datum(metric, "Count"), "Value": count}


def _few(tenths: Counter[int]) -> Counter[int]:
    """At most one datum's worth of values where three digits suffice."""
    return tenths if len(tenths) <= _MAXIMUM_VALUES_PER_DATUM else rounded_up(tenths)
