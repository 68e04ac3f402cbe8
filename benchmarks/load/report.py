"""docs/load.md, of what was measured."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.load.figures import truth_ms
from gameday.scale import RATE_OF_ONE_WORKER, SAFE_SHARE

GIGABYTES_OF_A_CORE = 1769 / 1024  # Lambda gives one vCPU at 1,769 MB (Lambda Developer Guide)
GIGABYTE_SECOND = 0.0000166667  # dollars, x86, us-east-1
PUT_METRIC_DATA = 0.01 / 1000  # dollars for a call
PUBLISHED_EVERY_SECONDS = 2
ARTILLERY_PER_MILLION = 0.07  # dollars; artillery.io, "This load test cost us how much?", 2022

WHOLE_REPETITIONS = 3
PROVISIONAL = """
**Provisional:** of a short run, beside other work on the same machine. `make load-bench` replaces it.
"""

CLIENTS = {
    "wire": ("**ours**: one selector, no dependency", "one"),
    "protocol_on_uvloop": ("asyncio protocol, httptools and uvloop", "two compiled libraries more, for goals that are met without"),
    "pycurl": ("pycurl, libcurl's multi interface", "a second TLS library, and a handle with its options for each connection"),
    "pyreqwest": ("pyreqwest (Rust) on uvloop", "a task for each request"),
    "aiohttp_on_uvloop": ("aiohttp on uvloop", "a task for each request"),
    "aiohttp": ("aiohttp, what there was before", "a task for each request"),
}  # fmt: skip
PEERS = ("hey", "wrk", "Locust FastHttpUser", "Artillery")


def render(results: Mapping[str, Any]) -> str:
    """Return the whole document."""
    highest, closed = results["highest"], results["closed"]
    machine, repetitions = results["machine"], results["repetitions"]
    provisional = "" if repetitions >= WHOLE_REPETITIONS else PROVISIONAL
    return f"""# The load
{provisional}
What one worker sends, how exactly, and what it sees of a server that stalls. `make load-bench` measures
it and writes this page: on {machine["processor"]}, {machine["cores"]} cores, Python {machine["python"]}; whatever sends is
pinned to one core, whatever answers (nginx) to the other. Medians; repetitions: {repetitions}.

## How it is sent

An open model: request k is due at a moment that follows from the shape of the load alone, and its
latency counts from that moment. A worker that falls behind says by how much: `schedule_error_ms`, and
`sent` beside `offered`. A request that would leave after its own timeout is an `overload`, the worker's
own failure. No more than 900 connections are open at once; what needs one more is an `overload` too.

The HTTP client is our own: one selector, sockets that do not block, no task and no timer for each
request. It follows an answer to its last byte and reads no more than a megabyte of it.

## The highest rate of one core

{_table(("", "requests/s", "model", "of hey", "of Locust"), _highest(highest, closed))}

Ours is the whole worker in its open model: histograms by the second published to CloudWatch, and asked
four times a second whether the run was stopped. It holds a rate when all requests are sent and answered,
and 99 % of them leave within the 100 ms that a verdict tolerates. The others are as fast as they can be
over 50 connections.

Over TLS it holds {results["highest_over_tls"]:,.0f} requests a second. A run plans with {RATE_OF_ONE_WORKER * SAFE_SHARE:,.0f} for each worker,
{highest / (RATE_OF_ONE_WORKER * SAFE_SHARE):.1f} and {results["highest_over_tls"] / (RATE_OF_ONE_WORKER * SAFE_SHARE):.1f} times less: a vCPU of Lambda is slower than a core, a target farther away
than this one, and each request may be another one ([scale.md](scale.md)).

## At half of it

{_half(results["half"])}

Medians of {len(results["half"])} rounds, whose p99 was between {_p99s(results["half"])} ms: the goal of 5 ms is met in
some and missed in others on this machine, whose cores have neighbours. A verdict tolerates 100 ms.

## The clients that lost

As fast as each can be, over 50 connections, without schedule and histograms.

{_table(("client", "requests/s", "what spoke against it"), _clients(closed))}

## Where the time goes

Samples of the worker's processor time at half of its highest rate, by function.

{_table(("function", "share"), _profile(results["profile"]))}

## A server that stalls

It answers nothing for 2 s of every 10 s, else at once. {results["stalling"]["rate"]} requests a second become due, for
{results["stalling"]["seconds"]} s; the others have {results["stalling"]["users"]} users, which suffice for that rate, and wrk has none. A tool that
waits for an answer before it asks again sends fewer just then, so its percentiles hardly know of it
(coordinated omission). The truth follows from the server: a request that may come at any moment waits
{truth_ms(95):,.0f} ms at the 95th percentile and {truth_ms(99):,.0f} ms at the 99th.

![Latency by percentile, for each tool](load-stall.svg)

{_table(("", "p99", "of the truth"), _stalling(results["stalling"]))}

wrk corrects its histogram for it afterwards, and Artillery starts its users on schedule as well.

## A stop

At half of the highest rate a worker had returned {results["stop_seconds"]:.1f} s after its run was stopped, at most. It
asks four times a second, sends nothing from then on, and leaves answers on their way a second.

## Memory

{_soak(results["soak"])}

## What a million requests cost

{_cost(highest)}

## What goes wrong

100 requests a second, a timeout of 2 s. No answer is worth more memory than a megabyte, and none holds
the worker up: it ends no later than a timeout after its window.

{_table(("target", "answers", "errors", "longer than its window", "most memory"), _bad(results["bad"]))}
"""


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _highest(highest: float, closed: Mapping[str, float]) -> Iterator[Sequence[str]]:
    hey, locust = closed["hey"], closed["Locust FastHttpUser"]
    rows = [("**Gameday**", highest, "open"), *((name, closed[name], "closed") for name in PEERS)]
    for name, rate, model in rows:
        yield name, f"{rate:,.0f}", model, f"{rate / hey:.2f} ×", f"{rate / locust:.1f} ×"


def _p99s(rounds: Sequence[Mapping[str, Any]]) -> str:
    late = [once["report"]["schedule_error_ms"]["p99"] for once in rounds]
    return f"{min(late):g} and {max(late):g}"


def _half(rounds: Sequence[Mapping[str, Any]]) -> str:
    reports = [once["report"] for once in rounds]

    def median(of: str) -> float:
        return statistics.median(float(r["schedule_error_ms"][of]) for r in reports)

    achieved = statistics.median(r["succeeded"] / r["offered"] for r in reports)
    latency = statistics.median(r["latency_ms"]["p99"] for r in reports)
    busy = statistics.median(once["cpu_seconds"] / once["elapsed_seconds"] for once in rounds)
    seconds = reports[0]["window"]["end"] - reports[0]["window"]["start"]
    row = (
        f"{reports[0]['offered'] / seconds:,.0f}/s",
        f"{100 * achieved:.2f} %",
        *(f"{median(of):g} ms" for of in ("p50", "p99", "max")),
        f"{latency:g} ms",
        f"{100 * busy:.0f} %",
    )
    head = ("offered", "answered", "schedule error p50", "p99", "max", "latency p99", "core busy")
    return _table(head, iter([row]))


def _clients(closed: Mapping[str, float]) -> Iterator[Sequence[str]]:
    for name in sorted(CLIENTS, key=lambda name: -closed[name]):
        what, against = CLIENTS[name]
        yield what, f"{closed[name]:,.0f}", "" if name == "wire" else against


def _profile(profile: Mapping[str, int]) -> Iterator[Sequence[str]]:
    total = sum(profile.values())
    for function, samples in [*profile.items()][:12]:
        yield f"`{function}`", f"{100 * samples / total:.1f} %"


def _stalling(stalling: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    truth = truth_ms(99)
    rows = [("**Gameday**", stalling["ours"]["p99"]), *((n, stalling[n]["99"]) for n in PEERS)]
    for name, p99 in rows:
        yield name, f"{p99:,.0f} ms", f"{100 * p99 / truth:.0f} %"


def _soak(soak: Mapping[str, Any]) -> str:
    samples, counts = soak["mebibytes"], soak["report"]
    tenth = max(1, len(samples) // 10)
    first, last = samples[tenth : 2 * tenth] or samples[:1], samples[-tenth:]
    return (
        f"{len(samples) * soak['every_seconds'] / 60:.0f} minutes at half of the highest rate, "
        f"{counts['offered']:,} requests: {statistics.mean(first):.1f} MiB in the second tenth of "
        f"them, {statistics.mean(last):.1f} MiB in the last, never more than {max(samples):.1f} MiB. "
        f"{100 * counts['succeeded'] / counts['offered']:.2f} % answered."
    )


def _cost(highest: float) -> str:
    rate = highest / 2
    seconds = 1_000_000 / rate
    compute = seconds * GIGABYTES_OF_A_CORE * GIGABYTE_SECOND
    metrics = seconds / PUBLISHED_EVERY_SECONDS * PUT_METRIC_DATA
    total = compute + metrics
    return (
        f"At half of the highest rate a million requests take one worker {seconds:.0f} s. A Lambda "
        f"function of 1,769 MB has one core: {seconds:.0f} s × {GIGABYTES_OF_A_CORE:.3f} GB × "
        f"${GIGABYTE_SECOND} = ${compute:.4f}; a call of PutMetricData every "
        f"{PUBLISHED_EVERY_SECONDS} s, ${metrics:.4f}. **${total:.4f}**, if a core of Lambda is as "
        f"fast as this one; Artillery's own figure is ${ARTILLERY_PER_MILLION}, "
        f"{ARTILLERY_PER_MILLION / total:.0f} times as much. What the target costs comes on top of both."
    )


def _bad(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for row in rows:
        counts = ({name: row[of][name] for name in row[of]} for of in ("by_status", "errors"))
        answers, errors = (
            ", ".join(f"{count} × {name}" for name, count in each.items()) or "none"
            for each in counts
        )
        yield (
            row["what"],
            answers,
            errors,
            f"{row['longer_seconds']:.1f} s",
            f"{row['peak_mebibytes']:.0f} MiB",
        )
