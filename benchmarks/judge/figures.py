"""The figures of docs/judge.md: SVG, and the same bytes for the same results."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "gameday",  # else the ids are random
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLUMNS = ((300, 0), (3_000, 0), (30_000, 0), (3_000, 1))
"""Requests, and whether of the plain truth or of the one with a memory."""

PLAIN = {
    "percentile": "log-normal",
    "proportion": "steady",
    "rate": "steady",
    "relative": "log-normal",
}
LASTING = {
    "percentile": "autocorrelated for 1/10 of the run",
    "proportion": "outages of 1/20 of the run",
    "rate": "waves of 1/50 of the run",
    "relative": "periods of correlation 0.5",
}
LINES = (
    ("ours", "passed", "tab:blue", "-", 1.6, "ours: PASSED"),
    ("ours", "failed", "tab:red", "-", 1.6, "ours: FAILED"),
    ("point", "passed", "0.45", ":", 1.1, "point comparison: PASSED"),
    ("kayenta", "passed", "0.45", "--", 1.1, "Kayenta: PASSED"),
)

type Results = Mapping[str, Any]


def draw(results: Results) -> dict[str, str]:
    """Return the text of each figure by its name."""
    with mpl.rc_context(STYLE):
        return {
            "judge-curves.svg": _svg(curves(results)),
            "judge-lengths.svg": _svg(lengths(results)),
        }


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return "".join(line.rstrip() + "\n" for line in text.getvalue().splitlines())


def curves(results: Results) -> Figure:
    """Draw how often each judge says what, over the distance from the threshold."""
    figure = Figure(figsize=(9.5, 9.5), layout="constrained")
    panels = figure.subplots(len(PLAIN), len(COLUMNS), sharey=True)
    cells = {(c["measure"], c["truth"], c["requests"]): c for c in results["cells"]}
    for row, measure in zip(panels, PLAIN, strict=True):
        for panel, (requests, lasting) in zip(row, COLUMNS, strict=True):
            truth = (LASTING if lasting else PLAIN)[measure]
            _panel(panel, cells[measure, truth, requests])
            panel.set_title(f"{measure}, {requests} requests\n{truth}")
        row[0].set_ylabel("% of the runs")
    for panel in panels[-1]:
        panel.set_xlabel("distance (1 is the threshold)")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _panel(panel: Axes, cell: Mapping[str, Any]) -> None:
    rows = cell["rows"]
    distances = [row["distance"] for row in rows]
    for judge, verdict, colour, style, width, label in LINES:
        said = [100 * row["judges"][judge][verdict] for row in rows]
        panel.plot(distances, said, style, color=colour, linewidth=width, label=label)
    panel.axhline(5, color="0.8", linewidth=0.8, zorder=0)
    panel.axvline(1, color="0.8", linewidth=0.8, zorder=0)
    panel.set_xscale("log")
    ticks = [d for d in distances if d in (0.1, 0.3, 0.5, 0.7, 1, 1.5, 2, 5)]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()


def lengths(results: Results) -> Figure:
    """Draw the false claims on the threshold over how long the service remembers."""
    figure = Figure(figsize=(6.5, 3.2), layout="constrained")
    panel = figure.subplots()
    entries = results["correlation_lengths"]
    x = [1 / entry["length"] for entry in entries]
    for judge, style in (("exact", "--"), ("6 periods", "-"), ("60 periods", "-.")):
        for verdict, colour in (("passed", "tab:blue"), ("failed", "tab:red")):
            said = [100 * entry["judges"][judge][verdict] for entry in entries]
            panel.plot(x, said, style, color=colour, label=f"{judge}: {verdict.upper()}")
    panel.axhline(5, color="0.8", linewidth=0.8, zorder=0)
    panel.set_xscale("log")
    panel.set_xticks(x, [f"1/{entry['length']}" for entry in entries])
    panel.minorticks_off()
    panel.set_xlabel("part of the run that a state lasts for")
    panel.set_ylabel("false claims, % of the runs")
    panel.legend(frameon=False, ncols=3, loc="upper left")
    return figure
