"""What the injector says: one JSON line on stdout each, in the shape of failure-lambda's logs.

Lines are printed, never logged: a user's logging configuration must not swallow the evidence, and
Lambda sends printed lines to CloudWatch unchanged.
"""

import json
import os
import time


def warn(message: str, **facts: object) -> None:
    """Write one warning about the configuration."""
    _write({"level": "warn", "action": "config", "message": message, **facts})


def record(mode: str, action: str, count: int = 1, **facts: object) -> None:
    """Write the proof that `mode` was injected `count` times in this invocation.

    The line is a log record and an EMF document at once: CloudWatch makes the metric `Injected`
    of it, without an API call that would slow the function down.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    metric = {
        "Namespace": "Gameday",
        "Dimensions": [["FunctionName", "Mode"]],
        "Metrics": [{"Name": "Injected", "Unit": "Count", "StorageResolution": 1}],
    }
    _write(
        {
            "level": "info",
            "mode": mode,
            "action": action,
            **facts,
            "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [metric]},
            "FunctionName": os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "unknown"),
            "Mode": mode,
            "Injected": count,
        }
    )


def _write(line: dict[str, object]) -> None:
    print(json.dumps({"source": "gameday-injector", **line}), flush=True)
