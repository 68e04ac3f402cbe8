"""Measure one worker of the load beside hey, wrk, Locust and Artillery; write docs/load.md.

Whatever sends is pinned to the first core of this machine, whatever answers to the second.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import figures, report
from benchmarks.load.clients import CLIENTS
from benchmarks.load.server import STALL_EVERY_SECONDS

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
OUT = ROOT / "out" / "load-bench"
RESULTS, DOCUMENT = HERE / "results.json", ROOT / "docs" / "load.md"
NGINX_PORT, SERVER_PORT, CLOSED_PORT, TLS_PORT = 18080, 18081, 18082, 18083
URL, OTHER_URL = (f"http://127.0.0.1:{port}/" for port in (NGINX_PORT, SERVER_PORT))
TLS_URL = f"https://127.0.0.1:{TLS_PORT}/"
CONNECTIONS = 50
STALLED_RATE, STALLED_USERS = 200, 10  # ten suffice: the server answers in a millisecond
STOP_AFTER_SECONDS = 1.5
NEEDED = ("nginx", "openssl", "wrk", "hey", "npm", "taskset")

NGINX = f"""
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300;
  server {{
    listen 127.0.0.1:{NGINX_PORT} backlog=4096;
    listen 127.0.0.1:{TLS_PORT} ssl backlog=4096;
    ssl_certificate certificate.pem; ssl_certificate_key key.pem;
    location / {{ return 200 "ok\\n"; }}
    location /error {{ return 503; }}
  }}
}}
"""

WHOLE = {"seconds": 8, "repetitions": report.WHOLE_REPETITIONS, "soak_seconds": 600}
QUICK = {"seconds": 2, "repetitions": 1, "soak_seconds": 20}

type Json = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short, shown and not kept")
    parser.add_argument("--report", action="store_true", help="only the report, of what is kept")
    options = parser.parse_args()
    if options.report:
        write()
        return
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        packages = "nginx-light openssl wrk hey npm util-linux"
        sys.exit(f"{', '.join(missing)} missing: apt-get install {packages}")
    sizes = QUICK if options.quick else WHOLE
    results = measured(**sizes)
    if options.quick:
        print(report.render(results))
        return
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write()


def write() -> None:
    """Write what docs/ says of the results that are kept."""
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")


def documents() -> dict[Path, str]:
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    figure = DOCUMENT.with_name("load-stall.svg")
    return {DOCUMENT: report.render(kept), figure: figures.stall(kept["stalling"])}


def measured(seconds: int, repetitions: int, soak_seconds: int) -> Json:
    """Everything that the document says, in the order of its sections."""
    results: Json = {"machine": machine(), "seconds": seconds, "repetitions": repetitions}
    with nginx():
        # By turns: whatever else the machine does meanwhile, it does to all of them.
        rounds = [
            (closed(seconds), highest_rate(URL, seconds), highest_rate(TLS_URL, seconds))
            for _ in range(repetitions)
        ]
        rates, plain, encrypted = zip(*rounds, strict=True)
        results["closed"] = medians(rates)
        results["highest"] = statistics.median(plain)
        results["highest_over_tls"] = statistics.median(encrypted)
        half = results["highest"] / 2
        results["half"] = at_half(half, seconds, 2 * repetitions + 1)
        results["profile"] = ours({"rate_per_second": half}, seconds, "--profile")["profile"]
        results["stop_seconds"] = max(stopped(half) for _ in range(repetitions))
        results["soak"] = soak(half, soak_seconds)
    results["stalling"] = stalling(STALL_EVERY_SECONDS * (1 if seconds < 8 else 3))
    results["bad"] = bad_inputs(min(seconds, 5))
    return results


def machine() -> Json:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next(line for line in cpuinfo.splitlines() if line.startswith("model name"))
    return {
        "processor": model.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(once[name] for once in rounds) for name in rounds[0]}


# -- processes


def run(core: int, *command: str | Path, **environment: str) -> str:
    """What a command prints that runs on one core."""
    done = subprocess.run(
        ["taskset", "--cpu-list", str(core), *map(str, command)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@contextmanager
def beside(*command: str | Path) -> Iterator[None]:
    """Something that answers, on the second core."""
    answering = subprocess.Popen(["taskset", "--cpu-list", "1", *map(str, command)], cwd=ROOT)
    try:
        time.sleep(0.7)
        yield
    finally:
        answering.terminate()
        answering.wait()


@contextmanager
def nginx() -> Iterator[None]:
    folder = OUT / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(NGINX, encoding="utf-8")
    run(1, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
        "-keyout", folder / "key.pem", "-out", folder / "certificate.pem")  # fmt: skip
    with beside("nginx", "-p", f"{folder}/", "-c", folder / "nginx.conf"):
        yield


def server(kind: str) -> Any:
    return beside(OUT / "venv/bin/python", HERE / "server.py", kind, str(SERVER_PORT))


# -- ours


def ours(load: Mapping[str, Any], seconds: int, *options: str) -> Json:
    """One worker, as it is deployed."""
    document = json.dumps({"url": URL, **load})
    told = run(0, sys.executable, "-m", "benchmarks.load.worker", document,
               "--seconds", str(seconds), *options,
               SSL_CERT_FILE=str(OUT / "nginx" / "certificate.pem"))  # fmt: skip
    result: Json = json.loads(told)
    return result


def at_half(rate: float, seconds: int, rounds: int) -> list[Json]:
    """Several rounds at one rate; more than of the others, for a neighbour's burst spoils a p99."""
    return [ours({"rate_per_second": rate}, seconds) for _ in range(rounds)]


def stopped(rate: float) -> float:
    """How long after a run was stopped its worker has returned."""
    options = ("--warm-up", "3600", "--stop-after", f"{STOP_AFTER_SECONDS}")
    elapsed: float = ours({"rate_per_second": rate}, 1, *options)["elapsed_seconds"]
    return elapsed - STOP_AFTER_SECONDS


def holds(url: str, rate: float, seconds: int) -> bool:
    """Whether all is sent, 99 % within what a verdict tolerates, and all is answered."""
    once = ours({"url": url, "rate_per_second": rate}, seconds)
    counts, late = once["report"], once["report"]["schedule_error_ms"]
    return bool(
        counts["succeeded"] >= 0.99 * counts["offered"]
        and late["p99"] <= 100
        and once["behind_seconds"] < 0.01 * seconds + 0.2
    )


def highest_rate(url: str, seconds: int) -> float:
    """The highest rate that it holds, to 500 requests a second."""
    low, high = 1_000.0, 64_000.0
    while high - low > 500:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(url, middle, min(seconds, 4)) else (low, middle)
    return low


def soak(rate: float, seconds: int) -> Json:
    """The memory of one worker, over time."""
    document = json.dumps({"url": URL, "rate_per_second": rate})
    worker = subprocess.Popen(
        ["taskset", "--cpu-list", "0", sys.executable, "-m", "benchmarks.load.worker", document,
         "--seconds", str(seconds)],
        stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    samples, every = [], max(1, seconds // 60)
    for _ in range(seconds // every):
        time.sleep(every)
        status = Path(f"/proc/{worker.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        samples.append(int(line.split()[1]) / 1024)
    told, _ = worker.communicate()
    done = json.loads(told)
    return {"every_seconds": every, "mebibytes": samples, "report": done["report"]}


# -- the peers, closed model


def closed(seconds: int) -> dict[str, float]:
    """Requests a second, as fast as they go over fifty connections."""
    clients = {}
    for name in CLIENTS:
        python = sys.executable if name == "wire" else OUT / "venv/bin/python"
        told = run(0, python, HERE / "clients.py", name, URL, str(seconds))
        clients[name] = json.loads(told)["rate"]
    return {**clients, **{name: rate(seconds) for name, rate in PEERS.items()}}


def hey(seconds: int) -> float:
    told = run(0, "hey", "-z", f"{seconds}s", "-c", str(CONNECTIONS), URL)
    return float(told.split("Requests/sec:")[1].split()[0])


def wrk(seconds: int) -> float:
    told = run(0, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", URL)
    return float(told.split("Requests/sec:")[1].split()[0])


def locust_stats(url: str, seconds: int, users: int, rate: float = 0) -> Json:
    told = run(
        0, OUT / "venv/bin/locust", "-f", HERE / "locustfile.py", "--headless", "--json",
        "--host", url.rstrip("/"), "--users", str(users), "--spawn-rate", str(users),
        "--run-time", f"{seconds}s", "--exit-code-on-error", "0", "--loglevel", "ERROR",
        RATE=str(rate),
    )  # fmt: skip
    stats: Json = json.loads(told[told.index("[") :])[0]
    return stats


def locust(seconds: int) -> float:
    stats = locust_stats(URL, seconds, CONNECTIONS)
    passed: float = stats["last_request_timestamp"] - stats["start_time"]
    return float(stats["num_requests"]) / passed


def artillery_report(url: str, phase: Json, flow: list[Json]) -> Json:
    script, told = OUT / "artillery.json", OUT / "artillery-report.json"
    config = {"target": url, "phases": [phase], "http": {"pool": CONNECTIONS, "timeout": 10}}
    script.write_text(json.dumps({"config": config, "scenarios": [{"flow": flow}]}))
    binary = OUT / "artillery/node_modules/.bin/artillery"
    run(0, binary, "run", "--quiet", "--output", told, script, ARTILLERY_DISABLE_TELEMETRY="true")
    aggregate: Json = json.loads(told.read_text(encoding="utf-8"))["aggregate"]
    return aggregate


def artillery(seconds: int) -> float:
    """Fifty users at once, each as many requests in a row as take about so many seconds."""
    count = 30 * seconds
    got = {"get": {"url": "/"}}
    aggregate = artillery_report(
        URL, {"duration": 1, "arrivalCount": CONNECTIONS}, [{"loop": [got], "count": count}]
    )
    passed: float = (aggregate["lastHistogramAt"] - aggregate["firstHistogramAt"]) / 1000
    return float(aggregate["counters"]["http.responses"]) / max(passed, 1e-3)


PEERS: dict[str, Callable[[int], float]] = {
    "hey": hey,
    "wrk": wrk,
    "Locust FastHttpUser": locust,
    "Artillery": artillery,
}


# -- a server that stalls


def stalling(seconds: int) -> Json:
    """What each says of a server that answers nothing for 2 s of every 10 s."""
    each = STALLED_RATE / STALLED_USERS
    found: Json = {"rate": STALLED_RATE, "users": STALLED_USERS, "seconds": seconds}
    with server("Stalling"):
        report = ours({"url": OTHER_URL, "rate_per_second": STALLED_RATE}, seconds)["report"]
        found["ours"] = {"p99": report["latency_ms"]["p99"], "histogram": report["latencies"]}
        told = run(0, "hey", "-z", f"{seconds}s", "-c", str(STALLED_USERS), "-q", f"{each:g}",
                   "-o", "csv", OTHER_URL)  # fmt: skip
        lines = [line for line in told.splitlines()[1:] if line]
        found["hey"] = quantiles(float(line.split(",")[0]) * 1000 for line in lines)
        told = run(0, "wrk", "-t1", f"-c{STALLED_USERS}", f"-d{seconds}s", "--timeout", "10s",
                   "--latency", OTHER_URL)  # fmt: skip
        found["wrk"] = {
            str(p): milliseconds(told.split(f" {p}%")[1].split()[0]) for p in (50, 75, 90, 99)
        }
        stats = locust_stats(OTHER_URL, seconds, STALLED_USERS, each)
        times = ((float(t), n) for t, n in stats["response_times"].items())
        found["Locust FastHttpUser"] = quantiles(t for t, n in times for _ in range(n))
        flow = [{"get": {"url": "/"}}]
        phase = {"duration": seconds, "arrivalRate": STALLED_RATE}
        summary = artillery_report(OTHER_URL, phase, flow)["summaries"]["http.response_time"]
        found["Artillery"] = {str(p): summary[f"p{p}"] for p in (50, 75, 90, 95, 99)}
    return found


def quantiles(milliseconds: Iterator[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        f"{percent:g}": ordered[min(len(ordered) - 1, round(len(ordered) * percent / 100))]
        for percent in (*range(50, 100), 99.5, 99.9)
    }


def milliseconds(text: str) -> float:
    """Of what wrk prints, such as 1.50ms."""
    for unit, factor in (("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


# -- what goes wrong


def bad_inputs(seconds: int) -> list[Json]:
    """What a worker says of each, how long it took longer than its window, and what it needed."""
    load = {"rate_per_second": 100, "timeout_seconds": 2}
    found = []

    def tried(what: str, url: str) -> None:
        once = ours({**load, "url": url}, seconds)
        counts = once["report"]
        found.append(
            {
                "what": what,
                "by_status": counts["by_status"],
                "errors": counts["errors"],
                "longer_seconds": once["behind_seconds"],
                "peak_mebibytes": once["peak_mebibytes"],
            }
        )

    with nginx():
        tried("100 % errors", f"{URL}error")
        tried("plain HTTP where TLS is asked for", URL.replace("http", "https"))
    for what, kind in (
        ("an answer of 100 MB", "Huge"),
        ("accepts and never answers", "Silent"),
        ("answers with what is no HTTP", "Nonsense"),
        ("accepts and hangs up", "HangingUp"),
    ):
        with server(kind):
            tried(what, OTHER_URL)
    tried("nobody listens", f"http://127.0.0.1:{CLOSED_PORT}/")
    tried("a name that does not resolve", "http://nowhere.invalid/")
    return found


if __name__ == "__main__":
    main()
