"""The provider of the peer: what a user of Chaos Toolkit writes for a condition in AppConfig.

It runs in Chaos Toolkit's own virtual environment. As fast as it can be: one client for each
service, made before the method starts, and one call to turn the condition off.
"""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import boto3

_appconfig = boto3.client("appconfig")
_cloudwatch = boto3.client("cloudwatch")
_started: dict[str, Any] = {}


def alarm_state(alarm: str) -> str:
    """Return the state of an alarm (the probe of the safeguard)."""
    (found,) = _cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    return str(found["StateValue"])


def enable(
    application: str, environment: str, profile: str, strategy: str, content: dict[str, Any]
) -> int:
    """Deploy the configuration that is the condition; it is served when this returns."""
    version = _appconfig.create_hosted_configuration_version(
        ApplicationId=application,
        ConfigurationProfileId=profile,
        Content=json.dumps(content).encode(),
        ContentType="application/json",
    )["VersionNumber"]
    target: dict[str, Any] = {"ApplicationId": application, "EnvironmentId": environment}
    number = _appconfig.start_deployment(
        **target,
        ConfigurationProfileId=profile,
        ConfigurationVersion=str(version),
        DeploymentStrategyId=strategy,
    )["DeploymentNumber"]
    _started.update(target, DeploymentNumber=number)
    while _appconfig.get_deployment(**_started)["State"] not in {"BAKING", "COMPLETE"}:
        time.sleep(0.1)
    return int(number)


def load(url: str, rate_per_second: float, seconds: float) -> int:
    """Send requests on schedule. In the main thread, where the safeguard's signal ends it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc)
    start, sent = time.monotonic(), 0
    while sent < rate_per_second * seconds:
        time.sleep(max(0.0, start + sent / rate_per_second - time.monotonic()))
        connection.request("GET", parts.path)
        connection.getresponse().read()
        sent += 1
    return sent


def disable() -> bool:
    """Turn the condition off (the rollback); nothing to do when it was never on."""
    if _started:
        _appconfig.stop_deployment(**_started, AllowRevert=True)
    return True
