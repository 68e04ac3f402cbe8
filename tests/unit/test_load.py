"""The load, against loopback servers that behave as targets under a condition do."""

import asyncio
import errno
import io
import json
import math
import socket
import ssl
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiohttp import web
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3 import HTTPResponse

from gameday import load as module
from gameday import wire
from gameday.arrivals import WHOLE, Share
from gameday.calls import Account
from gameday.errors import MetricsNotPublished
from gameday.experiment import Load, Phase
from gameday.load import generate_load, window_start
from gameday.observations import Failure, LoadReport

pytestmark = pytest.mark.enable_socket  # only for the loopback servers below


class FakeCloudWatch:
    """Takes PutMetricData within the limits that AWS documents, and remembers the data."""

    def __init__(self) -> None:
        self.data: list[dict[str, Any]] = []

    def put_metric_data(self, *, Namespace: str, MetricData: tuple[dict[str, Any], ...]) -> None:
        assert Namespace == "Gameday"
        assert 1 <= len(MetricData) <= 1000
        for datum in MetricData:
            assert datum["StorageResolution"] == 1
            assert len(datum.get("Values", ())) == len(datum.get("Counts", ())) <= 150
        self.data.extend(MetricData)

    def by_second(self, metric: str) -> dict[int, float]:
        sums: Counter[int] = Counter()
        for datum in self.data:
            if datum["MetricName"] == metric:
                value = datum["Value"] if "Value" in datum else sum(datum["Counts"])
                sums[int(datum["Timestamp"].timestamp())] += value
        return dict(sums)

    def total(self, metric: str) -> float:
        return sum(self.by_second(metric).values())

    @property
    def latencies_ms(self) -> list[float]:
        return [value for datum in self.data for value in datum.get("Values", ())]


class Target:
    """A loopback HTTP server in a thread of its own; the path says how it behaves."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[str] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.address = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    async def _start(self) -> str:
        app = web.Application(middlewares=[self._remember])
        app.router.add_route("*", "/fast", self._fast)
        app.router.add_get("/slow", self._slow)
        app.router.add_get("/silent", self._silent)
        app.router.add_get("/stalls-each-second", self._stalls_each_second)
        app.router.add_get("/status/{status}", self._status)
        app.router.add_get("/endless", self._endless)
        app.router.add_get("/hangs-up", self._hangs_up)
        app.router.add_get("/breaks-off", self._breaks_off)
        app.router.add_post("/2015-03-31/functions/{name}/invocations", self._invoke)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    @web.middleware
    async def _remember(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.text())
        response: web.StreamResponse = await handler(request)
        return response

    async def _fast(self, request: web.Request) -> web.Response:
        return web.Response(text="ok", headers={"Set-Cookie": "visitor=1"})

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response(text="ok")

    async def _silent(self, request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response()

    async def _stalls_each_second(self, request: web.Request) -> web.Response:
        """No answer leaves in the first 0.9 s of any second."""
        await asyncio.sleep(0.9 - time.time() % 1)
        return web.Response(text="ok")

    async def _status(self, request: web.Request) -> web.Response:
        status = int(request.match_info["status"])
        return web.Response(status=status, headers={"Location": "/fast"})

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        while True:
            await response.write(bytes(65_536))

    async def _invoke(self, request: web.Request) -> web.Response:
        """Lambda's answer, of a function that is named after how it ends."""
        if request.headers["X-Amz-Invocation-Type"] == "Event":
            return web.Response(status=202)
        broke = {"X-Amz-Function-Error": "Unhandled"}
        return web.json_response({}, headers=broke if request.match_info["name"] == "bad" else {})

    async def _hangs_up(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _breaks_off(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half of i")
        assert request.transport is not None
        request.transport.abort()
        return response


def generate(
    url: str,
    *,
    cloudwatch: Any = None,
    stopped: Callable[[], bool] = lambda: False,
    warm_up_seconds: float = 0,
    window_seconds: int = 1,
    one_period: bool = True,
    share: Share = WHOLE,
    account: Account | None = None,
    **load: Any,
) -> LoadReport:
    cloudwatch = cloudwatch or FakeCloudWatch()
    target = {} if "function" in load else {"url": url}
    load = {**target, "rate_per_second": 20.0, "timeout_seconds": 5.0, **load}
    return generate_load(
        Load.model_validate_json(json.dumps(load)),
        experiment="checkout",
        phase=Phase.CONDITION,
        warm_up_seconds=warm_up_seconds,
        window_seconds=window_seconds,
        stopped=stopped,
        cloudwatch=cloudwatch,
        run_id="run-1",
        one_period=one_period,
        share=share,
        account=account,
    )


@pytest.fixture(scope="module")
def target() -> Target:
    return Target()


@pytest.fixture(scope="module")
def silent_address() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def refusing_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


class Scenario:
    """One load with a target and a CloudWatch of its own, and what came of it."""

    def __init__(
        self, path: str, *, address: str = "", scheme: str = "http", **options: Any
    ) -> None:
        self.target, self.cloudwatch = Target(), FakeCloudWatch()
        # By name, because no client keeps a cookie for a bare address.
        address = address or self.target.address.replace("127.0.0.1", "localhost")
        self._url = f"{scheme}://{address}{path}"
        self._options = options

    def run(self) -> "Scenario":
        self.report = generate(self._url, cloudwatch=self.cloudwatch, **self._options)
        return self


@pytest.fixture(scope="module")
def scenarios(silent_address: str, refusing_address: str) -> dict[str, Scenario]:
    """All at the same time: each waits mostly, for its window and for its answers."""
    scenarios = {
        "fast": Scenario("/fast", warm_up_seconds=1),
        "sparse": Scenario("/fast", rate_per_second=0.5, window_seconds=4),
        "post": Scenario(
            "/fast", method="POST", body="{}", headers={"x-team": "shop", "user-agent": "mine"}
        ),
        "slow": Scenario("/slow"),
        "stalling": Scenario("/stalls-each-second"),
        "failing": Scenario("/status/503"),
        "missing": Scenario("/status/404"),
        "redirecting": Scenario("/status/302"),
        "endless": Scenario("/endless", rate_per_second=5.0),
        "silent": Scenario("/", address=silent_address, timeout_seconds=0.5),
        "refusing": Scenario("/", address=refusing_address),
        "not TLS": Scenario("/fast", scheme="https"),
        "hanging up": Scenario("/hangs-up"),
        "breaking off": Scenario("/breaks-off"),
    }
    with ThreadPoolExecutor(len(scenarios)) as threads:
        return dict(zip(scenarios, threads.map(Scenario.run, scenarios.values()), strict=True))


EPOCH_SECONDS = st.floats(0, 4e9)
WINDOW_SECONDS = st.integers(1, 59) | st.integers(1, 10).map(lambda minutes: 60 * minutes)


def fits(start: int, window_seconds: int) -> bool:
    return start % 60 == 0 or start // 60 == (start + window_seconds - 1) // 60


@given(EPOCH_SECONDS, WINDOW_SECONDS)
def test_a_window_is_one_cloudwatch_period(now: float, window_seconds: int) -> None:
    assert fits(window_start(now, window_seconds), window_seconds)


@given(EPOCH_SECONDS, st.integers(1, 10))
def test_a_window_of_whole_minutes_starts_on_the_minute(now: float, minutes: int) -> None:
    assert window_start(now, 60 * minutes) % 60 == 0


@given(EPOCH_SECONDS, WINDOW_SECONDS)
@example(now=30.0, window_seconds=30)
def test_a_window_starts_in_the_first_second_that_fits(now: float, window_seconds: int) -> None:
    start = window_start(now, window_seconds)
    assert start >= now
    assert not any(fits(second, window_seconds) for second in range(math.ceil(now), start))


def test_a_window_that_is_read_in_slices_waits_for_no_minute(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "window_start", lambda *_: pytest.fail("it waited"))
    before = time.time()
    report = generate(f"http://{target.address}/", one_period=False)
    assert before <= report.window.start <= before + 1.5
    assert report.sent == report.offered == 20


def test_every_request_of_the_window_is_sent_and_answered(scenarios: dict[str, Scenario]) -> None:
    report = scenarios["fast"].report
    assert (report.offered, report.sent, report.succeeded, report.failed) == (20, 20, 20, 0)
    assert (report.by_status, report.errors) == ({"200": 20}, {})
    assert (report.window.seconds, report.stopped) == (1, False)


def test_warm_up_is_not_published(scenarios: dict[str, Scenario]) -> None:
    fast = scenarios["fast"]
    assert len(fast.target.requests) >= 40
    assert fast.cloudwatch.by_second("Requests") == {fast.report.window.start: 20}
    assert fast.cloudwatch.by_second("Latency") == {fast.report.window.start: 20}


def test_metrics_carry_the_experiment_and_the_phase_only(scenarios: dict[str, Scenario]) -> None:
    for datum in scenarios["fast"].cloudwatch.data:
        dimensions = {d["Name"]: d["Value"] for d in datum["Dimensions"]}
        assert dimensions == {"Experiment": "checkout", "Phase": "condition"}


def test_a_second_without_requests_says_zero(scenarios: dict[str, Scenario]) -> None:
    cloudwatch, start = scenarios["sparse"].cloudwatch, scenarios["sparse"].report.window.start
    assert cloudwatch.by_second("Requests") == {start: 1, start + 1: 0, start + 2: 1, start + 3: 0}
    assert cloudwatch.by_second("Failed") == {start + second: 0 for second in range(4)}
    assert cloudwatch.by_second("Latency") == {start: 1, start + 2: 1}


def test_the_target_learns_who_asks(scenarios: dict[str, Scenario]) -> None:
    target = scenarios["post"].target
    request = target.requests[0]
    assert (request.method, target.bodies[0], request.headers["X-Team"]) == ("POST", "{}", "shop")
    assert request.headers.getall("User-Agent") == [f"Gameday/{module.VERSION} (run run-1)"]


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == module.VERSION


def test_requests_do_not_remember_each_other(scenarios: dict[str, Scenario]) -> None:
    requests = scenarios["fast"].target.requests
    assert not any("Cookie" in request.headers for request in requests)


def test_slow_answers_do_not_slow_the_load_down(scenarios: dict[str, Scenario]) -> None:
    report = scenarios["slow"].report
    assert (report.offered, report.succeeded) == (20, 20)
    assert report.latency_ms is not None
    assert report.latency_ms.p50 >= 400


def test_an_answer_counts_in_the_second_its_request_was_due(
    scenarios: dict[str, Scenario],
) -> None:
    slow = scenarios["slow"]
    assert slow.cloudwatch.by_second("Succeeded") == {slow.report.window.start: 20}


def test_a_slow_target_cannot_hide_its_slowness(scenarios: dict[str, Scenario]) -> None:
    """Stalled for 0.9 s, then fast: one request at a time would see one slow answer of many."""
    report = scenarios["stalling"].report
    assert report.succeeded == 20
    assert report.latency_ms is not None
    assert report.latency_ms.p50 >= 400


@pytest.mark.parametrize(
    ("name", "status", "succeeded"),
    [("failing", "503", 0), ("missing", "404", 0), ("redirecting", "302", 20)],
)
def test_a_status_decides_whether_a_request_succeeded(
    scenarios: dict[str, Scenario], name: str, status: str, succeeded: int
) -> None:
    report, cloudwatch = scenarios[name].report, scenarios[name].cloudwatch
    assert (report.by_status, report.errors) == ({status: 20}, {})
    assert (report.succeeded, report.failed) == (succeeded, 20 - succeeded)
    assert cloudwatch.total("Succeeded") == succeeded
    assert cloudwatch.total("Failed") == 20 - succeeded


def test_a_redirect_is_not_followed(scenarios: dict[str, Scenario]) -> None:
    assert {r.path for r in scenarios["redirecting"].target.requests} == {"/status/302"}


def test_an_endless_answer_is_cut_off(scenarios: dict[str, Scenario]) -> None:
    report = scenarios["endless"].report
    assert (report.by_status, report.errors) == ({"200": 5}, {})


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("silent", Failure.TIMEOUT),
        ("refusing", Failure.REFUSED),
        ("not TLS", Failure.TLS),
        ("hanging up", Failure.RESET),
        ("breaking off", Failure.RESET),
    ],
)
def test_a_request_without_an_answer_says_why(
    scenarios: dict[str, Scenario], name: str, failure: Failure
) -> None:
    report = scenarios[name].report
    assert (report.errors, report.by_status) == ({failure: 20}, {})
    assert (report.sent, report.succeeded, report.failed) == (20, 0, 20)


@pytest.mark.parametrize(
    ("name", "timeout_ms"), [("refusing", 5000), ("hanging up", 5000), ("silent", 500)]
)
def test_a_refused_connection_does_not_look_fast(
    scenarios: dict[str, Scenario], name: str, timeout_ms: float
) -> None:
    latencies_ms = scenarios[name].cloudwatch.latencies_ms
    assert latencies_ms
    assert min(latencies_ms) >= timeout_ms


def test_a_name_that_does_not_resolve_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_such_name(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    assert generate("http://shop.invalid/").errors == {Failure.DNS: 20}


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OSError(errno.EMFILE, "Too many open files"), Failure.OVERLOAD),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), Failure.OVERLOAD),
        (OSError(errno.ETIMEDOUT, "Connection timed out"), Failure.TIMEOUT),
        (OSError(errno.EPIPE, "Broken pipe"), Failure.RESET),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Failure.OTHER),
        (ssl.SSLCertVerificationError("self-signed certificate"), Failure.TLS),
    ],
)
def test_an_error_of_the_network_has_one_name(error: Any, failure: Failure) -> None:
    assert wire.failure_of(error) is failure


def test_a_late_worker_cannot_hide_its_lateness(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_time = module._Worker._send

    def late(self: Any, number: int, due_ns: int, now_ns: int) -> None:
        time.sleep(0.2 if number == 0 else 0)
        in_time(self, number, due_ns, time.monotonic_ns())

    monkeypatch.setattr(module._Worker, "_send", late)
    report = generate(f"http://{target.address}/fast")
    assert report.schedule_error_ms is not None
    assert report.latency_ms is not None
    assert report.latency_ms.max >= report.schedule_error_ms.max >= 200


def test_a_request_over_the_limit_is_an_overload_and_not_delayed(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAXIMUM_CONNECTIONS", 5)
    report = generate(f"http://{target.address}/silent", timeout_seconds=0.5)
    assert set(report.errors) == {Failure.TIMEOUT, Failure.OVERLOAD}
    assert report.sent == report.errors[Failure.TIMEOUT] < report.offered == report.failed == 20


def warmed_up(target: Target, path: str, *, seconds: int = 60, enough: int = 1) -> list[LoadReport]:
    """What was seen of a warm-up at 20 requests a second, until it was enough."""
    seen: list[LoadReport] = []
    ramp = {"url": f"http://{target.address}{path}", "rate_per_second": 20, "to_per_second": 200}
    module.warm_up(
        Load.model_validate_json(json.dumps(ramp)),
        seconds=seconds,
        stopped=lambda: len(seen) >= enough,
        see=seen.append,
        run_id="run-1",
    )
    return seen


def test_a_warm_up_tells_what_it_sees_and_ends_when_that_is_enough(target: Target) -> None:
    started = time.monotonic()
    first, second, *_ = warmed_up(target, "/status/503", enough=2)
    assert time.monotonic() - started < 8
    assert first.window.end == second.window.start
    assert first.offered == 20 * first.window.seconds
    assert first.by_status == {"503": first.offered}


def test_a_warm_up_ends_with_its_time(target: Target) -> None:
    seen = warmed_up(target, "/slow", seconds=1, enough=100)
    assert sum(part.offered for part in seen) == 20
    assert sum(part.latencies.at_least(400) for part in seen) == 20


def test_nothing_is_sent_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even while answers are still outstanding: what is sent in 2 s is all that may come."""
    monkeypatch.setattr(module, "_STOP_GRACE_SECONDS", 3.0)
    target = Target()
    report = generate(
        f"http://{target.address}/silent",
        warm_up_seconds=3600,
        timeout_seconds=30.0,
        stopped=lambda: len(target.requests) >= 10,
    )
    assert report.stopped
    assert (report.offered, report.latency_ms) == (0, None)
    assert 10 <= len(target.requests) <= 10 + 2 * 20


def test_a_stop_publishes_what_there_is(target: Target) -> None:
    cloudwatch = FakeCloudWatch()
    report = generate(
        f"http://{target.address}/fast",
        cloudwatch=cloudwatch,
        window_seconds=6,
        stopped=lambda: bool(cloudwatch.data),
    )
    assert report.stopped
    assert 0 < report.offered < 6 * 20
    assert cloudwatch.total("Requests") == report.offered == report.succeeded


def test_a_stop_is_heard_between_rare_requests(target: Target) -> None:
    report = generate(
        f"http://{target.address}/fast",
        rate_per_second=0.001,
        warm_up_seconds=3600,
        stopped=lambda: True,
    )
    assert report.stopped


def test_a_worker_that_cannot_learn_whether_to_go_on_stops(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_CHECK_EVERY_SECONDS", 0.01)
    answers = iter([None, None, False, None, None, None])

    def stopped() -> bool:
        if (answer := next(answers)) is None:
            raise OSError("no table today")
        return answer

    assert generate(f"http://{target.address}/fast", warm_up_seconds=3600, stopped=stopped).stopped
    assert list(answers) == []


def test_a_check_that_hangs_does_not_hold_up_the_worker(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_CHECK_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(module, "_STOP_CHECK_TIMEOUT_SECONDS", 0.01)
    released = threading.Event()
    report = generate(
        f"http://{target.address}/fast", warm_up_seconds=3600, stopped=lambda: released.wait(60)
    )
    released.set()
    assert report.stopped


def test_metrics_that_were_not_taken_are_an_error(target: Target) -> None:
    class Refusing(FakeCloudWatch):
        def put_metric_data(self, **_: object) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutMetricData")

    with pytest.raises(MetricsNotPublished, match="AccessDenied"):
        generate(f"http://{target.address}/fast", cloudwatch=Refusing())


def test_what_ends_while_a_slow_call_is_under_way_is_published_after_it(target: Target) -> None:
    class Slow(FakeCloudWatch):
        def put_metric_data(self, **call: Any) -> None:
            time.sleep(2)
            super().put_metric_data(**call)

    cloudwatch = Slow()
    report = generate(f"http://{target.address}/fast", cloudwatch=cloudwatch, window_seconds=3)
    published = cloudwatch.by_second("Requests")
    assert list(published) == list(range(report.window.start, report.window.end))
    assert sum(published.values()) == report.offered


def seconds_with(latencies: Counter[int], seconds: int) -> dict[int, module._Counts]:
    return {second: module._Counts(latencies) for second in range(seconds)}


def test_the_largest_call_stays_below_a_megabyte() -> None:
    """Measured on what the real client sends, uncompressed."""
    sizes: list[int] = []

    def answer(request: Any, **_: object) -> Any:
        sizes.append(len(request.body))
        headers: Any = {"smithy-protocol": "rpc-v2-cbor"}
        body = HTTPResponse(io.BytesIO(b"\xa0"), preload_content=False)
        return AWSResponse(request.url, 200, headers, body)

    client = boto3.client(
        "cloudwatch",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(disable_request_compression=True),
    )
    client.meta.events.register("before-send.cloudwatch.PutMetricData", answer)
    values = Counter({10_000 + n: 1 for n in range(150)})
    dimensions = {"Experiment": "e" * 63, "Phase": "condition"}
    module._publish(client, dimensions, seconds_with(values, 200))
    assert len(sizes) == 200 * 4 // 50
    assert max(sizes) < 1_000_000


@given(st.dictionaries(st.integers(1, 600_000), st.integers(1, 99)))
def test_no_rounding_takes_a_latency_under_a_threshold(latencies: dict[int, int]) -> None:
    cloudwatch = FakeCloudWatch()
    module._publish(cloudwatch, {}, seconds_with(Counter(latencies), 1))  # type: ignore[arg-type]
    published: Counter[float] = Counter()
    for datum in cloudwatch.data:
        published.update(dict(zip(datum.get("Values", ()), datum.get("Counts", ()), strict=True)))
    for threshold in (0.5, 25, 400, 12_300):
        exact = sum(count for tenths, count in latencies.items() if tenths <= 10 * threshold)
        assert sum(n for value, n in published.items() if value <= threshold) == exact


def test_many_latencies_are_published_with_three_digits() -> None:
    cloudwatch = FakeCloudWatch()
    latencies = Counter(10 * n for n in range(1001, 1301))
    module._publish(cloudwatch, {}, seconds_with(latencies, 1))  # type: ignore[arg-type]
    assert sorted(cloudwatch.latencies_ms) == [float(n) for n in range(1010, 1310, 10)]
    assert cloudwatch.by_second("Latency") == {0: 300}


def test_more_values_than_a_datum_takes_are_several_data() -> None:
    cloudwatch = FakeCloudWatch()
    latencies = Counter(10 * n for n in range(100, 500))
    module._publish(cloudwatch, {}, seconds_with(latencies, 1))  # type: ignore[arg-type]
    assert sorted(cloudwatch.latencies_ms) == [float(n) for n in range(100, 500)]


# -- shapes, shares, functions


@pytest.mark.parametrize(
    ("shape", "offered"),
    [
        ({"spacing": "poisson"}, 40),
        ({"to_per_second": 60.0}, 80),
        ({"then_per_second": [40.0, 0.5, 30.0]}, 46),
    ],
)
def test_every_shape_arrives(target: Target, shape: dict[str, Any], offered: int) -> None:
    cloudwatch = FakeCloudWatch()
    report = generate(
        f"http://{target.address}/fast", cloudwatch=cloudwatch, window_seconds=2, **shape
    )
    assert report.offered == report.succeeded == cloudwatch.total("Requests") == offered


def test_three_workers_are_one_load() -> None:
    target, clouds = Target(), [FakeCloudWatch() for _ in range(3)]
    start_at = time.time() + 0.3

    def work(index: int) -> LoadReport:
        return generate(
            f"http://{target.address}/fast?n={{n}}",
            cloudwatch=clouds[index],
            window_seconds=2,
            warm_up_seconds=1,
            one_period=False,
            share=Share(index, 3, start_at),
            values={"n": [str(n) for n in range(1000)]},
        )

    with ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(work, range(3)))
    merged = LoadReport.merged(reports)
    assert [report.offered for report in reports] == [14, 13, 13]
    assert (merged.offered, merged.succeeded, merged.window.seconds) == (40, 40, 2)
    seconds = {merged.window.start: 20.0, merged.window.start + 1: 20.0}
    published = [cloud.by_second("Requests") for cloud in clouds]
    assert {second: sum(each[second] for each in published) for second in seconds} == seconds
    asked = Counter(request.query["n"] for request in target.requests)
    assert all(asked[str(n)] == 1 for n in range(40))


def test_a_window_is_handed_on_without_a_hole(target: Target) -> None:
    start_at, clouds = time.time(), [FakeCloudWatch(), FakeCloudWatch()]
    shares = [
        Share(start_at=start_at, until_second=1),
        Share(start_at=start_at, from_second=1),
    ]
    reports = [
        generate(
            f"http://{target.address}/fast",
            cloudwatch=cloud,
            window_seconds=2,
            one_period=False,
            share=share,
        )
        for share, cloud in zip(shares, clouds, strict=True)
    ]
    start = reports[0].window.start
    assert [cloud.by_second("Requests") for cloud in clouds] == [{start: 20}, {start + 1: 20}]
    merged = LoadReport.merged(reports)
    assert (merged.offered, merged.window.start, merged.window.seconds) == (40, start, 2)


def test_a_worker_that_comes_late_leaves_out_the_warm_up_that_is_over() -> None:
    target = Target()
    report = generate(
        f"http://{target.address}/fast",
        warm_up_seconds=3,
        one_period=False,
        share=Share(start_at=time.time() - 2),
    )
    assert report.succeeded == 20
    assert len(target.requests) < 20 + 2 * 20 + 2


def test_a_worker_that_comes_too_late_says_so(target: Target) -> None:
    """What it could not send before the timeout of the request was over, it does not send."""
    report = generate(
        f"http://{target.address}/fast",
        timeout_seconds=0.5,
        window_seconds=4,
        one_period=False,
        share=Share(start_at=time.time() - 3),
    )
    assert report.offered == 80
    assert report.errors[Failure.OVERLOAD] + report.succeeded == 80
    assert report.errors[Failure.OVERLOAD] >= 20
    assert report.schedule_error_ms is not None
    assert report.schedule_error_ms.max >= 1000


@pytest.mark.parametrize(
    ("function", "invocation", "status", "errors"),
    [
        ("good", "synchronous", "200", {}),
        ("bad", "synchronous", "200", {Failure.FUNCTION: 20}),
        ("bad", "asynchronous", "202", {}),
    ],
)
def test_a_function_is_invoked_directly(
    function: str, invocation: str, status: str, errors: dict[Failure, int]
) -> None:
    target = Target()
    account = Account(Credentials("AKID", "secret"), "eu-west-1", f"http://{target.address}")
    report = generate(
        "", account=account, function=function, invocation=invocation, body='{"a": 1}'
    )
    assert (report.by_status, report.errors) == ({status: 20}, errors)
    assert (report.sent, report.failed) == (20, len(errors) and 20)
    assert set(target.bodies) == {'{"a": 1}'}
    assert (
        target.requests[0].headers["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID")
    )
    assert report.latency_ms is not None
    assert report.latency_ms.p50 < 5000  # it answered, so it took as long as it took


def test_a_report_survives_json(scenarios: dict[str, Scenario]) -> None:
    report = scenarios["refusing"].report
    document = json.loads(json.dumps(report.model_dump()))
    assert document["errors"] == {"refused": 20}
    assert LoadReport.model_validate(document) == report
