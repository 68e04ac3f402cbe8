"""The tables of docs/judge.md, which stand there between marks."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

ENOUGH = 0.8
"""A judge tells apart what it decides rightly in this part of the runs."""

type Results = Mapping[str, Any]
type Cell = Mapping[str, Any]


def filled(document: str, results: Results) -> str:
    """Return the document with each table between its marks."""
    return re.sub(
        r"(?<=<!-- table: )(\w+)( -->\n).*?(?=<!-- end -->)",
        lambda mark: mark[1] + mark[2] + TABLES[mark[1]](results),
        document,
        flags=re.DOTALL,
    )


# -- tables


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _percent(part: float) -> str:
    return f"{100 * part:.1f}"


def false_rates(cells: Iterable[Cell], judge: str) -> tuple[float, float] | None:
    """Return how often PASSED and FAILED were false at worst, over all distances."""
    rows = [row for cell in cells for row in cell["rows"] if judge in row["judges"]]
    if not rows:
        return None
    return (
        max(row["judges"][judge]["passed"] for row in rows if row["distance"] >= 1),
        max(row["judges"][judge]["failed"] for row in rows if row["distance"] <= 1),
    )


def _of(results: Results, **wanted: object) -> list[Cell]:
    return [
        cell
        for cell in results["cells"]
        if all(cell[key] == value for key, value in wanted.items())
    ]


def _names(cells: Iterable[Cell], key: str) -> list[str]:
    return list(dict.fromkeys(cell[key] for cell in cells))


def worst(results: Results) -> str:
    """Return the table of the highest false rates, for each truth of each measure."""
    judges = ("ours", "exact", "point", "kayenta")
    rows = []
    for measure in _names(results["cells"], "measure"):
        for truth in _names(_of(results, measure=measure), "truth"):
            cells = _of(results, measure=measure, truth=truth)
            kept = sorted(cell["requests"] for cell in cells if cell["kept"])
            rates = [false_rates(cells, judge) for judge in judges]
            outside = max(row["outside"] for cell in cells for row in cell["rows"])
            rows.append(
                [
                    f"{measure}: {truth}",
                    "no" if not kept else "yes" if len(kept) == len(cells) else f"from {kept[0]}",
                    *(" / ".join(map(_percent, pair)) if pair else "" for pair in rates),
                    _percent(1 - outside),
                ]
            )
    return _table(
        ("Truth", "promised", "ours", "exact alone", "point", "Kayenta", "coverage"), rows
    )


def power(results: Results) -> str:
    """Return from which distance on a judge tells, for the first truth of each measure."""
    rows = []
    for measure in _names(results["cells"], "measure"):
        cells = _of(results, measure=measure)
        first = _names(cells, "truth")[0]
        for cell in sorted(_of(results, measure=measure, truth=first), key=lambda c: c["requests"]):
            told = [
                _told(cell, judge, verdict)
                for verdict in ("passed", "failed")
                for judge in ("ours", "exact")
            ]
            rows.append([f"{measure}, {cell['requests']} requests", *told])
    heads = ("", "PASSED: ours", "exact alone", "FAILED: ours", "exact alone")
    return _table(heads, [row for row in rows if "error budget" not in row[0]])


def _told(cell: Cell, judge: str, verdict: str) -> str:
    right = [
        row["distance"]
        for row in cell["rows"]
        if row["judges"].get(judge, {}).get(verdict, 0) >= ENOUGH
    ]
    if judge not in cell["rows"][0]["judges"]:
        return ""
    if verdict == "passed":
        return f"{max(right):g}" if right else "never"
    return f"{min(right):g}" if right else "never"


def lengths(results: Results) -> str:
    """Return the table of the correlation's length."""
    entries = results["correlation_lengths"]
    names = list(entries[0]["judges"])
    return _table(
        ("The state lasts for", *names),
        (
            [
                f"1/{entry['length']} of the run",
                *(" / ".join(map(_percent, entry["judges"][name].values())) for name in names),
            ]
            for entry in entries
        ),
    )


def few(results: Results) -> str:
    """Return the table of few periods."""
    entries = results["few_periods"]
    correlations = sorted({entry["correlation"] for entry in entries})
    rows = []
    for periods in sorted({entry["periods"] for entry in entries}):
        of = {entry["correlation"]: entry for entry in entries if entry["periods"] == periods}
        claims = [
            f"{_percent(of[c]['passed'])} / {_percent(of[c]['failed'])}" for c in correlations
        ]
        rows.append([f"{periods} periods a side", *claims, f"± {_percent(of[0.0]['reach'])} %"])
    return _table(("", *(f"correlation {c:g}" for c in correlations), "reach"), rows)


def peeking(results: Results) -> str:
    """Return the table of peeking."""
    found = results["peeking"]
    every, end, guarded = found["every look"], found["the end"], found["the end, guarded"]
    return _table(
        ("", "PASSED", "FAILED", "stopped"),
        (
            [
                f"The first decision of {found['looks']} looks counts",
                _percent(every["passed"]),
                _percent(every["failed"]),
                "",
            ],
            ["One look at the end", _percent(end["passed"]), _percent(end["failed"]), ""],
            [
                "One look at the end, and a guardrail",
                _percent(guarded["passed"]),
                "",
                _percent(guarded["rang"]),
            ],
        ),
    )


def kayenta(results: Results) -> str:
    """Return the table of relative measures by Kayenta, as it comes and told of the 10 %."""
    rows = []
    for cell in sorted(
        _of(results, measure="relative", truth="log-normal"), key=lambda c: c["requests"]
    ):
        at = {row["distance"]: row["judges"] for row in cell["rows"]}
        rows.append(
            [
                f"{cell['requests']} requests a side",
                *(_percent(at[0.95][j]["failed"]) for j in KAYENTAS),
                *(_percent(at[1.25][j]["failed"]) for j in KAYENTAS),
            ]
        )
    return _table(
        (
            "",
            *(f"4.5 % slower: {judge}" for judge in KAYENTAS),
            *(f"37.5 % slower: {judge}" for judge in KAYENTAS),
        ),
        rows,
    )


KAYENTAS = ("ours", "kayenta", "kayenta as it comes")

TABLES: Mapping[str, Callable[[Results], str]] = {
    "worst": worst,
    "power": power,
    "lengths": lengths,
    "few": few,
    "peeking": peeking,
    "kayenta": kayenta,
}
