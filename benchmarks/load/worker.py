"""One worker, as it is deployed: its report, its processor time and its hot loop as JSON.

The clients of AWS are real up to the socket, where an answer is waiting: what it costs to publish
histograms and to ask whether the run was stopped is part of every figure.
"""

import argparse
import io
import json
import resource
import signal
import sys
import time
from collections import Counter
from types import FrameType
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from urllib3 import HTTPResponse

from gameday.experiment import Load, Phase
from gameday.load import generate_load

PROFILE_EVERY_SECONDS = 0.001


def answering(service: str, body: bytes, headers: Any) -> Any:
    """A client of a service that answers every call with this."""
    make: Any = boto3.client  # whose types know every service by name
    client = make(
        service,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"mode": "standard", "total_max_attempts": 4}),
    )

    def answer(request: Any, **_: object) -> AWSResponse:
        raw: Any = HTTPResponse(io.BytesIO(body), preload_content=False)
        return AWSResponse(request.url, 200, headers, raw)

    client.meta.events.register(f"before-send.{service}", answer)
    return client


def sampled(stack: Counter[str]) -> None:
    """Note about a thousand times a second of processor time where the main thread is."""

    def note(_: int, frame: FrameType | None) -> None:
        if frame:
            stack[frame.f_code.co_qualname] += 1

    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, PROFILE_EVERY_SECONDS, PROFILE_EVERY_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("load", help="the load of an experiment, as JSON")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--stop-after", type=float, help="seconds after which the run is stopped")
    options = parser.parse_args()

    cloudwatch = answering("cloudwatch", b"\xa0", {"smithy-protocol": "rpc-v2-cbor"})
    dynamodb = answering("dynamodb", b'{"Item": {"pk": {"S": "run#1"}}}', {})
    began = time.monotonic()

    def stopped() -> bool:
        dynamodb.get_item(TableName="runs", Key={"pk": {"S": "run#1"}, "sk": {"S": "run"}})
        return options.stop_after is not None and time.monotonic() > began + options.stop_after

    stack: Counter[str] = Counter()
    if options.profile:
        sampled(stack)
    cpu = time.process_time()
    report = generate_load(
        Load.model_validate_json(options.load),
        experiment="load-bench",
        phase=Phase.CONDITION,
        warm_up_seconds=options.warm_up,
        window_seconds=options.seconds,
        stopped=stopped,
        cloudwatch=cloudwatch,
        run_id="load-bench",
        one_period=False,
    )
    ended = time.monotonic()
    signal.setitimer(signal.ITIMER_PROF, 0)
    result = {
        "report": report.model_dump(mode="json"),
        "cpu_seconds": time.process_time() - cpu,
        "elapsed_seconds": ended - began,
        # From the end of the window: what came later was behind.
        "behind_seconds": max(0.0, time.time() - report.window.end),
        "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "profile": dict(stack.most_common()),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
