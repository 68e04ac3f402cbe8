"""What a run of many measures costs: calls of GetMetricData, metrics requested, and CPU.

    .venv/bin/python benchmarks/many_measures.py

CloudWatch is a stand-in that answers at once; what is measured is making the queries, taking the
answers and judging. Half are percentiles, half proportions, each of metrics of its own.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, cast

from gameday.experiment import Experiment, Phase, parse
from gameday.judge import judge_all
from gameday.measures import read
from gameday.observations import Window

MINUTE = 1_800_000_000
WINDOW = Window(start=MINUTE, end=MINUTE + 600)


class CloudWatch:
    """Answers every statistic: of 1,000 samples a minute 990 good ones."""

    def __init__(self) -> None:
        self.calls = self.metrics = 0
        self.made = 0.0

    def get_paginator(self, _: str) -> "CloudWatch":
        return self

    def paginate(
        self, *, MetricDataQueries: list[Any], StartTime: datetime, EndTime: datetime, **_: object
    ) -> Iterator[Any]:
        started = time.process_time()
        self.calls += 1
        self.metrics += len(MetricDataQueries)
        page = {
            "MetricDataResults": [
                self._result(q["Id"], q["MetricStat"], StartTime, EndTime)
                for q in MetricDataQueries
            ]
        }
        self.made += time.process_time() - started
        yield page

    def _result(self, id_: str, stat: Any, start: datetime, end: datetime) -> Any:
        period = stat["Period"]
        count = int((end - start).total_seconds()) // period
        value = {"SampleCount": 1000.0, "Sum": 1000.0}.get(stat["Stat"], 97.0)
        if stat["Metric"]["MetricName"].startswith("bad"):
            value = 10.0
        return {
            "Id": id_,
            "StatusCode": "Complete",
            "Timestamps": [start + timedelta(seconds=n * period) for n in range(count)],
            "Values": [value + n % 3 for n in range(count)],
        }


def experiment(count: int) -> Experiment:
    """So many measures, each of metrics of its own."""

    def metric(name: str) -> dict[str, str]:
        return {"namespace": "Shop", "name": name}

    kinds: tuple[dict[str, Any], ...] = (
        {"kind": "percentile", "percentile": 95, "threshold": 400},
        {"kind": "proportion", "threshold": 5},
    )
    measures = []
    for n in range(count):
        kind = kinds[n % 2]
        name = f"{'bad' if n % 2 else 'latency'}{n}"
        of = {"of": metric(f"all{n}")} if n % 2 else {}
        measures.append({"name": str(n), "metric": metric(name), "operator": "<", **of, **kind})
    return parse(
        {
            "name": "many",
            "objective": "Many",
            "condition": {
                "kind": "appconfig",
                "application": "a",
                "environment": "e",
                "profile": "p",
                "function": "f",
                "configuration": {"exception": {"enabled": True}},
            },
            "load": {"url": "https://shop.example"},
            "measures": measures,
            "windows": {f"{phase}_seconds": 600 for phase in Phase},
        }
    )


def main() -> None:
    """Print a line for each number of measures."""
    print("measures   calls  metrics  CPU reading  CPU judging")
    for count in (50, 100, 250, 500):
        document, cloudwatch = experiment(count), CloudWatch()
        started = time.process_time()
        reading = read(document, Phase.CONDITION, WINDOW, cast(Any, cloudwatch))
        read_at = time.process_time()
        judge_all(document, reading.observations, reading.observations)
        judged_at = time.process_time()
        reading_seconds = read_at - started - cloudwatch.made
        print(
            f"{count:8}  {cloudwatch.calls:6}  {cloudwatch.metrics:7}"
            f"  {reading_seconds:9.3f} s  {judged_at - read_at:9.3f} s"
        )


if __name__ == "__main__":
    main()
