"""What benchmarks/alarm_to_off.py found, as a document for people."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).with_name("chaostoolkit.txt")
TARGET_SECONDS = 2.0
_PEERS = ("chaostoolkit", "chaostoolkit-lib", "chaostoolkit-addons")


@dataclass(frozen=True)
class Reaction:
    """What came of one alarm, in seconds after its state change event."""

    off: float
    last_request: float
    noted: float = math.nan


@dataclass(frozen=True)
class Results:
    """Everything that was measured, by the name of its row; seconds, infinity for never."""

    reactions: Mapping[str, Sequence[Reaction]]
    deaths: Mapping[str, Sequence[float]]
    watched_seconds: float


def quantile(values: Sequence[float], percent: float) -> float:
    """Return the nearest rank: the smallest value that so many percent do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def machine(load_before: float) -> str:
    """Describe this machine in general words."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}, Python "
        f"{platform.python_version()}; load average {load_before:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after"
    )


def render(results: Results, where: str, took_seconds: float) -> str:
    """Write the document."""
    reactions = results.reactions
    off = {name: [one.off for one in found] for name, found in reactions.items()}
    last = {name: [one.last_request for one in found] for name, found in reactions.items()}
    noted = {
        f"{name}: as its record says": [one.noted for one in found]
        for name, found in reactions.items()
        if not math.isnan(found[0].noted)
    }
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", LOCK.read_text(), re.MULTILINE))
    first = next(iter(reactions))
    worst = max(quantile(off[first], 99), quantile(last[first], 99))
    return _DOCUMENT.format(
        reached="is reached" if worst < TARGET_SECONDS else "is missed",
        off=_table(off | noted),
        last=_table(last),
        deaths="\n".join(
            _death(name, seconds, results.watched_seconds)
            for name, seconds in results.deaths.items()
        ),
        versions=", ".join(f"{name} {locked[name]}" for name in _PEERS),
        ministack=importlib.metadata.version("ministack"),
        machine=where,
        minutes=took_seconds / 60,
        target=TARGET_SECONDS,
    )


def _table(rows: Mapping[str, Sequence[float]]) -> str:
    """Write distributions, and each row's p50 and p99 as multiples of the first row's."""
    first = next(iter(rows.values()))
    lines = [
        "| seconds | n | p50 | p90 | p99 | max | p50 ratio | p99 ratio |",
        "|---|" + 7 * "--:|",
    ]
    for name, values in rows.items():
        quantiles = [quantile(values, percent) for percent in (50, 90, 99, 100)]
        ratios = [quantile(values, percent) / quantile(first, percent) for percent in (50, 99)]
        cells = [f"{value:.2f}" for value in quantiles + ratios]
        lines.append(f"| {name} | {len(values)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _death(name: str, seconds: Sequence[float], watched_seconds: float) -> str:
    off = [one for one in seconds if one < math.inf]
    longest = f"{max(off):.1f} s" if off else f"still on after {watched_seconds:g} s"
    return f"| {name} | {len(off)} of {len(seconds)} | {longest} |"


_DOCUMENT = """\
# From the alarm to off

A guardrail rings in the middle of a run, under load. How long until its condition is off, and until
the last request of the load? `make alarm-bench` wrote this. The target is a p99 under {target:g} s
for both; it {reached}.

Zero is the timestamp in the alarm's own state change event. The ratios are to the first row.

## Condition off

AppConfig serves a new client the resting configuration again.

{off}

## Last request of the load

{last}

## Whatever orchestrates the experiment dies

In the middle of the condition, under load. For Gameday that is the execution, or the processes in
which its functions run; for Chaos Toolkit it is its process. Zero is the call or the signal.

| what dies | condition off | at the latest |
|---|--:|--:|
{deaths}

Where it was still on, nothing was left that would turn it off: the bench did it by hand.

## How it was measured

- **The same for both:** one embedded AWS (ministack {ministack}), one deployment strategy, one kind
  of target, the same configuration, ten requests a second, an alarm that is evaluated every second
  and rings at a random moment. From outside a new AppConfigData session asks what is served, with
  10 ms between two answers, and the target of the load keeps when each request came.
- **Gameday:** real runs of the deployed machine: EventBridge rule, Lambda function, DynamoDB
  record. *Cold:* before each alarm Lambda forgets the function that undoes, as it does when none
  has rung for a while; *warm:* it ran shortly before. Six runs go on at once, but only one alarm
  rings at a time, and the next waits until the run before has gone on to its recovery.
- **Chaos Toolkit** ({versions}): the method deploys the condition and then generates the load in
  the main thread, where a signal ends it at once; for a load in the background it would wait before
  the rollbacks. The alarm's state is a probe of the safeguards control, with one client for all its
  calls. The rollback is one StopDeployment. `--rollback-strategy always`: by default nothing is
  rolled back after an interruption. Two processes at once, one alarm at a time. Meanwhile Gameday's
  rule is disabled, so that its undo does not take the cores.
- **The safeguard's frequency** has no lower bound in its documentation. Every 0.1 s is about as
  often as CloudWatch lets a whole account ask (DescribeAlarms: nine calls a second by default);
  every 2 s is the example in the control's own documentation. The control looks at what a probe
  found only after it has waited for the next turn.
- **What it means:** a process that asks ten times a second hears of an alarm sooner than a function
  that has to start first, and later than one that is there. It must be alive to do so.
- **Not in these figures,** because the embedded AWS has none of it: what EventBridge takes to
  deliver, TLS, and an evaluation of alarms every 10 or 60 s, which comes before zero.
- Quantiles are nearest ranks: of fifty values, p99 is the largest.
- {minutes:.0f} minutes on a machine of {machine}.
"""
