"""The modes: each one function that reads a flag's attributes and returns what to do.

The rules are those of failure-lambda 1.x (`src/config.ts`), so that one configuration serves Node
and Python. A mode is added by writing its function and giving it a row in `MODES`.
"""

import json
import math
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, cast

from gameday_injector import disk, network
from gameday_injector.evidence import record, warn

type Attributes = Mapping[str, object]
type Proceed = Callable[[], object]
type Effect = Callable[[Proceed, Any], object]
"""Called with what would happen without the flag, and Lambda's context; answers in its place."""

LONGEST_LATENCY_MS = 900_000  # no Lambda function runs longer
LARGEST_DISK_MB = 10_240  # nor has a larger disk
LONGEST_PATTERN = 512

# The system's source needs no seed: environments restored from one snapshot roll differently.
dice = random.SystemRandom()


class InjectedException(Exception):
    """Raised instead of running the handler, because the mode `exception` applies."""


class InvalidFlag(Exception):
    """Raised when a flag breaks a rule; the sentence says which."""


def latency(attributes: Attributes) -> Effect:
    """Sleep between `min_latency` and `max_latency` milliseconds, then go on."""
    lowest = _number(attributes, "min_latency", 0, 0, LONGEST_LATENCY_MS)
    highest = _number(attributes, "max_latency", 0, 0, LONGEST_LATENCY_MS)
    if attributes.keys() >= {"min_latency", "max_latency"} and lowest > highest:
        raise InvalidFlag("max_latency must be >= min_latency")

    def effect(proceed: Proceed, _: object) -> object:
        latency_ms = math.floor(lowest + dice.random() * max(0, highest - lowest))
        # Before the sleep, because Lambda may end the function in the middle of it.
        record("latency", "inject", latency_ms=latency_ms, min_latency=lowest, max_latency=highest)
        time.sleep(latency_ms / 1000)
        return proceed()

    return effect


def timeout(attributes: Attributes) -> Effect:
    """Sleep until `timeout_buffer_ms` milliseconds before the function's timeout, then go on."""
    buffer_ms = _number(attributes, "timeout_buffer_ms", 0, 0, math.inf)

    def effect(proceed: Proceed, context: Any) -> object:
        remaining_ms = context.get_remaining_time_in_millis()
        sleep_ms = max(0, remaining_ms - buffer_ms)
        # Before the sleep, because without a buffer Lambda ends the function in the middle of it.
        record(
            "timeout", "inject", sleep_ms=sleep_ms, buffer_ms=buffer_ms, remaining_ms=remaining_ms
        )
        time.sleep(sleep_ms / 1000)
        return proceed()

    return effect


def diskspace(attributes: Attributes) -> Effect:
    """Take up `disk_space` megabytes of /tmp, or all there are, then go on."""
    megabytes = _number(attributes, "disk_space", 100, 0, LARGEST_DISK_MB)
    if not megabytes:
        raise InvalidFlag("disk_space must be more than 0")

    def effect(proceed: Proceed, _: object) -> object:
        try:
            filled = disk.fill(megabytes)
        except OSError as error:
            warn("the disk cannot be filled", mode="diskspace", error=str(error))
            return proceed()
        record("diskspace", "inject", disk_space_mb=megabytes, filled_mb=round(filled, 1))
        try:
            return proceed()
        finally:
            disk.release()

    return effect


def denylist(attributes: Attributes) -> Effect:
    """Deny the network to the hosts that `deny_list` names, then go on."""
    deny_list = attributes.get("deny_list", [])
    if not isinstance(deny_list, list):
        raise InvalidFlag("deny_list must be an array of strings")
    patterns = tuple(safe_pattern("deny_list", source) for source in deny_list)

    def effect(proceed: Proceed, _: object) -> object:
        with network.denied(patterns) as blocked:
            try:
                return proceed()
            finally:
                if blocked:
                    record("denylist", "block", len(blocked), hostnames=sorted(set(blocked)))

    return effect


def statuscode(attributes: Attributes) -> Effect:
    """Answer `status_code` without running the handler."""
    status_code = whole_number(attributes, "status_code", 500, 100, 599)
    body = json.dumps({"message": f"Injected status code {status_code}"}, separators=(",", ":"))

    def effect(_proceed: Proceed, _context: object) -> object:
        record("statuscode", "inject", status_code=status_code)
        headers = {"Content-Type": "application/json"}
        return {"statusCode": status_code, "headers": headers, "body": body}

    return effect


def exception(attributes: Attributes) -> Effect:
    """Raise `exception_msg` without running the handler."""
    message = attributes.get("exception_msg", "Injected exception")
    if not isinstance(message, str):
        raise InvalidFlag("exception_msg must be a string")

    def effect(_proceed: Proceed, _context: object) -> object:
        record("exception", "inject", exception_msg=message)
        raise InjectedException(message)

    return effect


def corruption(attributes: Attributes) -> Effect:
    """Answer the handler's response with `body` in it, or with its own body mangled."""
    body = attributes.get("body")
    if "body" in attributes and not isinstance(body, str):
        raise InvalidFlag("body must be a string")

    def effect(proceed: Proceed, _: object) -> object:
        response = proceed()
        if body is None:
            return _mangled(response)
        record("corruption", "inject", method="replace")
        return {**response, "body": body} if _has_body(response) else {"body": body}

    return effect


def _has_body(response: object) -> TypeGuard[dict[str, object]]:
    return isinstance(response, dict) and "body" in response


def _mangled(response: object) -> object:
    """Cut a response's body to 30 to 80 percent and end it in what is no text."""
    text = response["body"] if _has_body(response) else None
    if not text or not isinstance(text, str):
        warn("there is no text in the response's body to mangle", mode="corruption")
        return response
    record("corruption", "inject", method="mangle")
    kept = math.floor(len(text) * (0.3 + dice.random() * 0.5))
    return {**cast(dict[str, object], response), "body": text[:kept] + "\ufffd" * 3}


# In the order in which failure-lambda applies them: `corruption` is last because it is innermost,
# so that a response which did not come from the handler stays as it is.
MODES: dict[str, Callable[[Attributes], Effect]] = {
    "latency": latency,
    "timeout": timeout,
    "diskspace": diskspace,
    "denylist": denylist,
    "statuscode": statuscode,
    "exception": exception,
    "corruption": corruption,
}


def whole_number(attributes: Attributes, name: str, default: int, lowest: int, highest: int) -> int:
    """Return the integer `attributes[name]`; JSON's 50.0 is one."""
    value = _number(attributes, name, default, lowest, highest)
    if value != int(value):
        raise InvalidFlag(f"{name} must be an integer")
    return int(value)


def _number(
    attributes: Attributes, name: str, default: float, lowest: float, highest: float
) -> float:
    value = attributes.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidFlag(f"{name} must be a number")
    if not lowest <= value <= highest:
        raise InvalidFlag(f"{name} must be between {lowest} and {highest}")
    return value


def safe_pattern(name: str, source: object) -> re.Pattern[str]:
    """Compile a regular expression that cannot take exponential time.

    Nobody asked for the injection that such an expression would be.
    """
    if not isinstance(source, str):
        raise InvalidFlag(f"{name} must hold strings")
    if len(source) > LONGEST_PATTERN or _has_nested_quantifiers(source):
        raise InvalidFlag(f"{name} holds a potentially unsafe regular expression")
    try:
        return re.compile(source)
    except re.error as error:
        raise InvalidFlag(f"{name} holds an invalid regular expression") from error


_LITERAL = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]", re.DOTALL)
_INNERMOST_GROUP = re.compile(r"\(([^()]*)\)(?=([+*{])?)")
_QUANTIFIER = re.compile(r"[+*]|\{\d+,")


def _has_nested_quantifiers(source: str) -> bool:
    """Tell whether a group repeats as a whole and inside, like `(a+)+`."""
    rest = _LITERAL.sub("x", source)
    while group := _INNERMOST_GROUP.search(rest):
        body, follower = group.groups()
        repeats = _QUANTIFIER.search(body) is not None
        if repeats and follower:
            return True
        rest = rest[: group.start()] + ("+" if repeats else "x") + rest[group.end() :]
    return False
