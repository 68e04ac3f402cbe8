"""The flags of a configuration: which are valid, and when one applies to an invocation.

As in failure-lambda 1.x a flag with a fault is dropped whole, unknown attributes are ignored, and
every flag rolls for itself.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gameday_injector.evidence import warn
from gameday_injector.modes import MODES, Effect, InvalidFlag, dice, safe_pattern, whole_number

OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda actual, wanted: actual == wanted,
    "exists": lambda _actual, _wanted: True,
    "startsWith": str.startswith,
    "regex": lambda actual, pattern: re.search(pattern, actual) is not None,
}


@dataclass(frozen=True)
class Match:
    """One entry of a flag's `match`: what the incoming event must hold at a dotted path."""

    path: str
    operator: str
    value: str

    def holds(self, event: object) -> bool:
        """Tell whether `event` has something at the path, and that which is asked for."""
        found = event
        for name in self.path.split("."):
            found = _child(found, name)
        return found is not None and OPERATORS[self.operator](_text(found), self.value)


@dataclass(frozen=True)
class Flag:
    """A valid, enabled flag; `percentage` is an integer from 0 to 100."""

    percentage: int
    matches: tuple[Match, ...]
    effect: Effect

    def applies_to(self, event: object) -> bool:
        """Decide for one invocation; rolls the dice."""
        return (
            all(match.holds(event) for match in self.matches)
            and dice.random() * 100 < self.percentage
        )


def parse_flags(document: Mapping[str, object]) -> tuple[Flag, ...]:
    """Return the enabled flags in the order in which they apply.

    A flag with a fault is left out, with one warning that names the fault.
    """
    if "isEnabled" in document or "failureMode" in document:
        warn("nothing is injected: the configuration has the format of failure-lambda 0.x")
    parsed = (_parse_or_warn(mode, document[mode]) for mode in MODES if mode in document)
    return tuple(flag for flag in parsed if flag)


def _parse_or_warn(mode: str, attributes: object) -> Flag | None:
    try:
        return _parse_flag(mode, attributes)
    except InvalidFlag as fault:
        warn(f"skipping flag: {fault}", mode=mode)
        return None


def _parse_flag(mode: str, attributes: object) -> Flag | None:
    if not isinstance(attributes, dict):
        raise InvalidFlag("must be an object")
    if not isinstance(attributes.get("enabled"), bool):
        raise InvalidFlag("enabled must be a boolean")
    if not attributes["enabled"]:
        return None
    matches = attributes.get("match", [])
    if not isinstance(matches, list):
        raise InvalidFlag("match must be an array")
    return Flag(
        percentage=whole_number(attributes, "percentage", 100, 0, 100),
        matches=tuple(_parse_match(match) for match in matches),
        effect=MODES[mode](attributes),
    )


def _parse_match(raw: object) -> Match:
    if not isinstance(raw, dict) or not isinstance(raw.get("path"), str):
        raise InvalidFlag("each match must be an object with a path")
    operator, value = raw.get("operator", "eq"), raw.get("value")
    if not isinstance(operator, str) or operator not in OPERATORS:
        raise InvalidFlag(f"match operator must be one of {', '.join(OPERATORS)}")
    if operator == "regex":
        safe_pattern("match", value)
    elif operator != "exists" and not isinstance(value, str):
        raise InvalidFlag("match value must be a string")
    return Match(raw["path"], operator, str(value))


def _child(value: object, name: str) -> object:
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
        return value[int(name)]
    return None


def _text(value: object) -> str:
    """Write a value of the event as JavaScript's `String` does, which failure-lambda compares."""
    match value:
        case str():
            return value
        case dict():
            return "[object Object]"
        case list():
            return ",".join("" if item is None else _text(item) for item in value)
        case float() if value.is_integer():
            return str(int(value))
    return json.dumps(value, default=str)
