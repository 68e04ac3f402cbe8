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

from gameday_injector import network
from gameday_injector.evidence import record

type Attributes = Mapping[str, object]
type Proceed = Callable[[], object]
type Effect = Callable[[Proceed], object]
"""Called with what would happen without the flag; answers in its place."""

LONGEST_LATENCY_MS = 900_000  # no Lambda function runs longer
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

    def effect(proceed: Proceed) -> object:
        latency_ms = math.floor(lowest + dice.random() * max(0, highest - lowest))
        # Before the sleep, because Lambda may end the function in the middle of it.
        record("latency", "inject", latency_ms=latency_ms)
        time.sleep(latency_ms / 1000)
        return proceed()

    return effect


def denylist(attributes: Attributes) -> Effect:
    """Deny the network to the hosts that `deny_list` names, then go on."""
    deny_list = attributes.get("deny_list", [])
    if not isinstance(deny_list, list):
        raise InvalidFlag("deny_list must be an array of strings")
    patterns = tuple(safe_pattern("deny_list", source) for source in deny_list)

    def effect(proceed: Proceed) -> object:
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

    def effect(_: Proceed) -> object:
        record("statuscode", "inject", status_code=status_code)
        headers = {"Content-Type": "application/json"}
        return {"statusCode": status_code, "headers": headers, "body": body}

    return effect


def exception(attributes: Attributes) -> Effect:
    """Raise `exception_msg` without running the handler."""
    message = attributes.get("exception_msg", "Injected exception")
    if not isinstance(message, str):
        raise InvalidFlag("exception_msg must be a string")

    def effect(_: Proceed) -> object:
        record("exception", "inject", exception_msg=message)
        raise InjectedException(message)

    return effect


def unsupported(_: Attributes) -> Effect:
    """Refuse a mode of failure-lambda that this injector does not know."""
    raise InvalidFlag("the mode is not supported")


# In the order in which failure-lambda applies them.
MODES: dict[str, Callable[[Attributes], Effect]] = {
    "latency": latency,
    "timeout": unsupported,
    "diskspace": unsupported,
    "denylist": denylist,
    "statuscode": statuscode,
    "exception": exception,
    "corruption": unsupported,
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
