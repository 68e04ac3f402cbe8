"""The figure of docs/load.md: SVG, and the same bytes for the same results."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.load.server import STALL_EVERY_SECONDS, STALL_SECONDS
from gameday.observations import Histogram

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "gameday",  # else the ids are random
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
PEERS = {
    "hey": ("tab:orange", "--"),
    "wrk": ("tab:green", "--"),
    "Locust FastHttpUser": ("tab:purple", "--"),
    "Artillery": ("tab:brown", "-."),
}
_STEPS = [percent / 10 for percent in range(500, 1000)]


def truth_ms(percent: float) -> float:
    """What a request that may come at any moment meets: it waits for the rest of the stall."""
    beyond = 1 - percent / 100
    return max(0.0, STALL_SECONDS - beyond * STALL_EVERY_SECONDS) * 1000


def quantile_ms(histogram: Histogram, percent: float) -> float:
    """Nearest rank."""
    total, seen = sum(histogram.counts.values()), 0
    for tenths, count in sorted(histogram.counts.items()):
        seen += count
        if seen >= total * percent / 100:
            return tenths / 10
    return 0.0


def stall(results: Mapping[str, Any]) -> str:
    """Return the latencies that each saw of the stalling server, by percentile."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.5, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(_STEPS, [truth_ms(p) for p in _STEPS], color="0.75", lw=5, label="the truth")
        histogram = Histogram.model_validate(results["ours"]["histogram"])
        mine = [quantile_ms(histogram, p) for p in _STEPS]
        axes.plot(_STEPS, mine, color="tab:blue", lw=1.6, label="Gameday")
        for name, (color, line) in PEERS.items():
            points = sorted((float(p), ms) for p, ms in results[name].items())
            axes.plot(*zip(*points, strict=True), line, color=color, lw=1.1, marker=".", ms=3,
                      label=name)  # fmt: skip
        axes.set_xlabel("percentile of the requests")
        axes.set_ylabel("latency in ms")
        axes.legend(frameon=False)
        return _svg(figure)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(line.rstrip() + "\n" for line in text.getvalue().splitlines())
