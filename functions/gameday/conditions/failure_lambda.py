"""The configuration formats of failure-lambda and chaos-lambda, checked by their own rules.

The first drops what it does not understand and says so, at most, in a log line of the target: a
fault that never happens. The second breaks the application by it. So everything that they would
drop or break on is refused here, with the reason. Rules of failure-lambda 0.4.4:
`lib/failure.js`; of 1.0.0: `src/config.ts` (`validateFlagValue`, `parseFlags`); of chaos-lambda
0.3: `chaos_lambda/__init__.py`.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeIs

from pydantic import Field, ValidationInfo, field_validator

from gameday.conditions import kind
from gameday.conditions.kind import Effect, Reach, by_mode
from gameday.errors import Fault
from gameday.kinds import CloudWatchMetric

Configuration = Mapping[str, Any]
_Check = Callable[[Any], str | None]


class Unusable(ValueError):
    """Raised when the library would ignore or misread a configuration; carries every fault."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(str(fault) for fault in faults))


def _is_number(value: object) -> TypeIs[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(minimum: float, maximum: float, *, exclusive: bool = False) -> _Check:
    def check(value: Any) -> str | None:
        inside = _is_number(value) and (minimum < value if exclusive else minimum <= value)
        if inside and value <= maximum:
            return None
        least = "more than" if exclusive else "at least"
        most = "" if maximum == float("inf") else f" and at most {maximum:g}"
        return f"must be a number of {least} {minimum:g}{most}"

    return check


def _integer(minimum: int, maximum: int) -> _Check:
    def check(value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum:
            return None
        return f"must be a whole number from {minimum} to {maximum}: the library drops all else"

    return check


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false, not a string or a number"


_LITERAL = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]", re.DOTALL)
_INNERMOST_GROUP = re.compile(r"\(([^()]*)\)(?=([+*{])?)")
_QUANTIFIER = re.compile(r"[+*]|\{\d+,")


def _pattern(pattern: str) -> str | None:
    if len(pattern) > 512:
        return f"{pattern[:40]!r}… is longer than 512 characters: the library drops the flag"
    if _nests_quantifiers(pattern):
        return f"{pattern!r} nests quantifiers: the library drops the flag"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"{pattern!r} is no regular expression: {error}"
    return None


def _nests_quantifiers(pattern: str) -> bool:
    """Whether a group repeats as a whole and inside, like `(a+)+` (`isUnsafeRegex`)."""
    rest = _LITERAL.sub("x", pattern)
    while group := _INNERMOST_GROUP.search(rest):
        body, follower = group.groups()
        repeats = _QUANTIFIER.search(body) is not None
        if repeats and follower:
            return True
        rest = rest[: group.start()] + ("x+" if repeats else "x") + rest[group.end() :]
    return False


def _host_patterns(value: Any) -> str | None:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        return "must be a list of regular expressions"
    return next(filter(None, map(_pattern, value)), None)


_OPERATORS = ("eq", "exists", "startsWith", "regex")


def _match(value: Any) -> str | None:
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        return "must be a list of {path, operator, value}"
    return next(filter(None, map(_match_rule, value)), None)


def _match_rule(rule: dict[str, Any]) -> str | None:
    operator, wanted = rule.get("operator", "eq"), rule.get("value")
    if ignored := rule.keys() - {"path", "operator", "value"}:
        return f"{', '.join(sorted(ignored))} is ignored by the library"
    if not isinstance(rule.get("path"), str) or operator not in _OPERATORS:
        return f"each needs a path and an operator of {', '.join(_OPERATORS)}"
    if operator != "exists" and not isinstance(wanted, str):
        return f"operator {operator} needs a value, a string"
    return _pattern(wanted) if operator == "regex" and isinstance(wanted, str) else None


@dataclass(frozen=True)
class _Mode:
    """The attributes of one mode, and those without which it does nothing."""

    attributes: Mapping[str, _Check]
    required: tuple[str, ...] = ()


_MILLISECONDS = _number(0, float("inf"))
_MEGABYTES = _number(0, 10_240, exclusive=True)
_STATUS = _integer(100, 599)

_COMMON_1: Mapping[str, _Check] = {
    "enabled": _boolean,
    "percentage": _integer(0, 100),
    "match": _match,
}
MODES_1: Mapping[str, _Mode] = {
    "latency": _Mode(
        {"min_latency": _MILLISECONDS, "max_latency": _MILLISECONDS}, ("max_latency",)
    ),
    "exception": _Mode({"exception_msg": _text}),
    "statuscode": _Mode({"status_code": _STATUS}),
    "diskspace": _Mode({"disk_space": _MEGABYTES}),
    "denylist": _Mode({"deny_list": _host_patterns}, ("deny_list",)),
    "timeout": _Mode({"timeout_buffer_ms": _MILLISECONDS}),
    "corruption": _Mode({"body": _text}),
}

_COMMON_0: Mapping[str, _Check] = {
    "isEnabled": _boolean,
    "failureMode": _text,
    "rate": _number(0, 1),
}
MODES_0: Mapping[str, _Mode] = {
    "latency": _Mode({"minLatency": _MILLISECONDS, "maxLatency": _MILLISECONDS}, ("maxLatency",)),
    "exception": _Mode({"exceptionMsg": _text}, ("exceptionMsg",)),
    "statuscode": _Mode({"statusCode": _STATUS}, ("statusCode",)),
    "diskspace": _Mode({"diskSpace": _MEGABYTES}, ("diskSpace",)),
    "denylist": _Mode({"denylist": _host_patterns}, ("denylist",)),
}
_ATTRIBUTES_0 = {
    name: check for mode in MODES_0.values() for name, check in mode.attributes.items()
}


def check_1(configuration: Configuration) -> None:
    """Refuse a 1.x configuration of which the library would drop or ignore anything.

    Raises:
        Unusable: with every fault, `field` relative to the configuration.
    """
    faults = [fault for name, flag in configuration.items() for fault in _flag_faults(name, flag)]
    if not faults and not modes_1(configuration):
        faults = [Fault("", "turns nothing on: enable one mode, at more than 0 percent")]
    if faults:
        raise Unusable(faults)


def _flag_faults(name: str, flag: Any) -> Iterator[Fault]:
    mode = MODES_1.get(name)
    if mode is None:
        old = " (this looks like the format failure-lambda-0)" if name in _COMMON_0 else ""
        yield Fault(name, f"is no mode: {', '.join(MODES_1)}{old}", flag)
        return
    if not isinstance(flag, dict):
        yield Fault(name, "must be an object with at least enabled", flag)
        return
    yield from _attribute_faults(f"{name}.", flag, {**_COMMON_1, **mode.attributes})
    if "enabled" not in flag:
        yield Fault(f"{name}.enabled", "is missing: the library drops a flag without it")
    if flag.get("enabled") is True:
        yield from _missing(f"{name}.", flag, mode)
    low, high = flag.get("min_latency", 0), flag.get("max_latency", 0)
    if name == "latency" and _is_number(low) and _is_number(high) and low > high > 0:
        yield Fault("latency.max_latency", f"must be at least min_latency ({low})", high)


def _attribute_faults(
    prefix: str, values: Configuration, checks: Mapping[str, _Check]
) -> Iterator[Fault]:
    for name, value in values.items():
        if name not in checks:
            yield Fault(
                f"{prefix}{name}",
                f"is ignored by the library; known here: {', '.join(checks)}",
                value,
            )
        elif message := checks[name](value):
            yield Fault(f"{prefix}{name}", message, value)


def _missing(prefix: str, values: Configuration, mode: _Mode) -> Iterator[Fault]:
    for name in mode.required:
        if not values.get(name):
            yield Fault(
                f"{prefix}{name}",
                "must be there, neither 0 nor empty: else the mode injects nothing",
            )


def check_0(configuration: Configuration) -> None:
    """Refuse a 0.x configuration of which the library would drop or ignore anything.

    Raises:
        Unusable: with every fault, `field` relative to the configuration.
    """
    faults = list(_attribute_faults("", configuration, {**_COMMON_0, **_ATTRIBUTES_0}))
    named = configuration.get("failureMode")
    mode = MODES_0.get(named) if isinstance(named, str) else None
    if mode is None:
        was = (
            "; blacklist became denylist in 0.3.0 and is ignored since"
            if named == "blacklist"
            else ""
        )
        faults.append(Fault("failureMode", f"must be one of {', '.join(MODES_0)}{was}", named))
    else:
        faults.extend(_missing("", configuration, mode))
    if configuration.get("isEnabled") is not True:
        faults.append(
            Fault("isEnabled", "must be true, else nothing is on", configuration.get("isEnabled"))
        )
    if not configuration.get("rate"):
        faults.append(Fault("rate", "must be more than 0: without it the library never injects"))
    if named == "denylist" and configuration.get("rate") not in (1, None):
        faults.append(
            Fault(
                "rate",
                "must be 1 for denylist: after the first hit the library denies every call",
                configuration.get("rate"),
            )
        )
    if named == "latency" and "minLatency" not in configuration:
        faults.append(Fault("minLatency", "is missing: the library makes NaN of it, so no latency"))
    low, high = configuration.get("minLatency"), configuration.get("maxLatency")
    if _is_number(low) and _is_number(high) and low > high:
        faults.append(Fault("maxLatency", f"must be at least minLatency ({low})", high))
    if faults:
        raise Unusable(faults)


def modes_1(configuration: Configuration) -> tuple[str, ...]:
    """The modes that a 1.x configuration injects: enabled, and at more than 0 percent."""
    return tuple(
        name
        for name in MODES_1
        if isinstance(flag := configuration.get(name), dict)
        and flag.get("enabled") is True
        and flag.get("percentage", 100) != 0
    )


def modes_0(configuration: Configuration) -> tuple[str, ...]:
    """The mode that a 0.x configuration injects, or none."""
    on = configuration.get("isEnabled") is True
    mode = configuration.get("failureMode")
    return (mode,) if on and isinstance(mode, str) and mode in MODES_0 else ()


def complete_1(configuration: Configuration) -> dict[str, Any]:
    """The configuration with every mode explicit, so that none stays on by omission."""
    return {name: dict(configuration.get(name, {"enabled": False})) for name in MODES_1}


def complete_0(configuration: Configuration) -> dict[str, Any]:
    """The configuration as it is: in 0.x one mode at a time is on."""
    return dict(configuration)


def rests_1(configuration: Configuration) -> bool:
    """Whether a resting configuration is one of 1.x: a 0.x document may inject elsewhere."""
    return "isEnabled" not in configuration


def rests_0(configuration: Configuration) -> bool:
    """Whether it is one of 0.x: only an explicit isEnabled frees denied hosts again."""
    return isinstance(configuration.get("isEnabled"), bool)


_CHAOS_MODES: Mapping[str, str] = {
    "latency": "delay",
    "exception": "exception_msg",
    "status_code": "error_code",
}
_CHAOS: Mapping[str, _Check] = {
    "is_enabled": _boolean,
    "fault_type": _text,
    "rate": _number(0, 1),
    "delay": _integer(0, 900_000),
    "error_code": _integer(100, 599),
    "exception_msg": _text,
}
_CHAOS_DEFAULTS = {"delay": 0, "error_code": 500, "exception_msg": "Injected exception"}


def check_chaos(configuration: Configuration) -> None:
    """Refuse a configuration of chaos-lambda that does nothing, or breaks the application.

    Raises:
        Unusable: with every fault, `field` relative to the configuration.
    """
    faults = list(_attribute_faults("", configuration, _CHAOS))
    named, rate = configuration.get("fault_type"), configuration.get("rate")
    needed = _CHAOS_MODES.get(named) if isinstance(named, str) else None
    if needed is None:
        faults.append(Fault("fault_type", f"must be one of {', '.join(_CHAOS_MODES)}", named))
    elif needed not in configuration:
        faults.append(Fault(needed, f"is missing: {named} needs it"))
    if configuration.get("is_enabled") is not True:
        faults.append(
            Fault("is_enabled", "must be true, else nothing is on", configuration.get("is_enabled"))
        )
    if not rate:
        faults.append(Fault("rate", "must be more than 0: without it the application breaks"))
    elif named == "status_code" and rate != 1:
        faults.append(
            Fault("rate", "must be 1 for status_code: a miss runs the handler twice", rate)
        )
    if faults:
        raise Unusable(faults)


def modes_chaos(configuration: Configuration) -> tuple[str, ...]:
    """The mode that a configuration of chaos-lambda injects, or none."""
    mode = configuration.get("fault_type")
    on = configuration.get("is_enabled") is True
    return (mode,) if on and isinstance(mode, str) and mode in _CHAOS_MODES else ()


def complete_chaos(configuration: Configuration) -> dict[str, Any]:
    """The configuration with all six keys: the library breaks the application without them."""
    return {**_CHAOS_DEFAULTS, **configuration}


def rests_chaos(configuration: Configuration) -> bool:
    """Whether it is one of chaos-lambda: without is_enabled the library raises KeyError."""
    return isinstance(configuration.get("is_enabled"), bool)


def reach_1(configuration: Configuration) -> Reach:
    """The largest share and the longest latency of a 1.x configuration."""
    flags = [configuration[mode] for mode in modes_1(configuration)]
    latencies = [flag.get(name, 0) for flag in flags for name in ("min_latency", "max_latency")]
    return Reach(
        percentage=max((flag.get("percentage", 100) for flag in flags), default=0),
        latency_ms=max(latencies, default=0),
    )


def reach_0(configuration: Configuration) -> Reach:
    """The share and the latency of a 0.x configuration."""
    slow = configuration.get("failureMode") == "latency"
    return Reach(
        percentage=100 * configuration["rate"],
        latency_ms=configuration["maxLatency"] if slow else 0,
    )


def reach_chaos(configuration: Configuration) -> Reach:
    """The share and the latency of a configuration of chaos-lambda."""
    slow = configuration.get("fault_type") == "latency"
    return Reach(
        percentage=100 * configuration["rate"], latency_ms=configuration["delay"] if slow else 0
    )


def resting_faults(
    where: str, format_: "Format", modes: tuple[str, ...], content: bytes, *, ours: bool
) -> list[str]:
    """Why a condition of these modes may not start from this resting configuration.

    `ours` tells that the target has our injector and not the library itself: failure-lambda 1.0
    leaves hosts denied and the disk full in warm instances once every flag is off (its wrapper
    clears them only while one is enabled), unless what it rests on drains: a flag at 0 percent.
    """
    rules = RULES[format_]
    if not content:
        return [
            f"{where} has no resting configuration: deploy one in which every mode is off first"
        ]
    try:
        resting = json.loads(content)
        injected = rules.modes(resting)
        readable = rules.rests(resting)
    except (ValueError, AttributeError):
        readable = False
    if not readable:
        return [f"the resting configuration of {where} is no {format_} document: mend it"]
    if injected:
        return [
            f"{where} already injects {', '.join(injected)}: deploy a configuration that is off"
        ]
    leaks = sorted({"denylist", "diskspace"} & set(modes))
    if format_ is Format.FAILURE_LAMBDA_1 and leaks and not ours and not _drains(resting):
        return [
            f"failure-lambda 1.0 would leave {', '.join(leaks)} on in warm instances: let {where} "
            'rest on a flag that is enabled at 0 percent, such as {"latency": {"enabled": true, '
            '"percentage": 0}}'
        ]
    return []


def _drains(resting: Configuration) -> bool:
    return any(
        isinstance(flag := resting.get(mode), dict) and flag.get("enabled") is True
        for mode in MODES_1
    )


_ENDS_THE_REQUEST = ("timeout", "statuscode", "exception")
"""After these, in this order, neither the handler runs nor a mode behind them."""
_ORDER_1 = ("latency", *_ENDS_THE_REQUEST, "diskspace", "denylist", "corruption")


def effects_1(configuration: Configuration) -> dict[str, Effect]:
    """What each mode of a 1.x configuration promises; each rolls its own dice."""
    effects, left = {}, 1.0
    for mode in _ORDER_1:
        if mode not in modes_1(configuration):
            continue
        flag = configuration[mode]
        share = flag.get("percentage", 100) / 100
        effects[mode] = Effect(
            share=None if flag.get("match") else left * share,
            statuses=_statuses(mode, flag.get("status_code", 500)),
            floor_ms=float(flag.get("min_latency", 0)),
        )
        left *= 1 - share * (mode in _ENDS_THE_REQUEST)
    return effects


def effects_0(configuration: Configuration) -> dict[str, Effect]:
    """What the mode of a 0.x configuration promises."""
    return {
        mode: Effect(
            share=float(configuration["rate"]),
            statuses=_statuses(mode, configuration.get("statusCode", 0)),
            floor_ms=float(configuration.get("minLatency", 0)) if mode == "latency" else 0.0,
        )
        for mode in modes_0(configuration)
    }


def effects_chaos(configuration: Configuration) -> dict[str, Effect]:
    """What the mode of a configuration of chaos-lambda promises."""
    return {
        mode: Effect(
            share=float(configuration["rate"]),
            statuses=_statuses(mode.replace("_", ""), configuration.get("error_code", 0)),
            floor_ms=float(configuration["delay"]) if mode == "latency" else 0.0,
        )
        for mode in modes_chaos(configuration)
    }


def _statuses(mode: str, status_code: int) -> tuple[int, ...]:
    """The statuses of a mode's answers; whatever stands before a function makes 5xx of errors."""
    if mode == "statuscode":
        return (status_code,)
    return tuple(range(500, 600)) if mode in ("exception", "timeout") else ()


class Format(StrEnum):
    """Which of the incompatible formats the target reads; another one does nothing there."""

    FAILURE_LAMBDA_0 = "failure-lambda-0"
    FAILURE_LAMBDA_1 = "failure-lambda-1"
    CHAOS_LAMBDA_0_3 = "chaos-lambda-0.3"


@dataclass(frozen=True)
class Rules:
    """What there is to know of one format."""

    check: Callable[[Configuration], None]
    modes: Callable[[Configuration], tuple[str, ...]]
    complete: Callable[[Configuration], dict[str, Any]]
    rests: Callable[[Configuration], bool]
    reach: Callable[[Configuration], Reach]
    effects: Callable[[Configuration], dict[str, Effect]]


RULES: Mapping[Format, Rules] = {
    Format.FAILURE_LAMBDA_0: Rules(check_0, modes_0, complete_0, rests_0, reach_0, effects_0),
    Format.FAILURE_LAMBDA_1: Rules(check_1, modes_1, complete_1, rests_1, reach_1, effects_1),
    Format.CHAOS_LAMBDA_0_3: Rules(
        check_chaos, modes_chaos, complete_chaos, rests_chaos, reach_chaos, effects_chaos
    ),
}


class Configured(kind.Condition):
    """A fault that is written in one of the formats, wherever the switch is."""

    format: Format = Format.FAILURE_LAMBDA_1
    configuration: dict[str, Any] = Field(
        description="The fault, in the words of the format; every mode not named is off."
    )

    @field_validator("configuration")
    @classmethod
    def _obeyed_by_the_library(
        cls, configuration: dict[str, Any], info: ValidationInfo
    ) -> dict[str, Any]:
        if "format" in info.data:
            RULES[info.data["format"]].check(configuration)
        return configuration

    @property
    def modes(self) -> tuple[str, ...]:
        """See `kind.Condition`."""
        return RULES[self.format].modes(self.configuration)

    @property
    def reach(self) -> Reach:
        """See `kind.Condition`."""
        return RULES[self.format].reach(self.configuration)

    @property
    def effects(self) -> Mapping[str, Effect]:
        """See `kind.Condition`."""
        return RULES[self.format].effects(self.configuration)

    def _given(self, mode: str) -> CloudWatchMetric | None:
        # Lines of text, which the others write, give a metric filter no dimension.
        of_flags = self.format is Format.FAILURE_LAMBDA_1
        return by_mode(self.evidence, mode) if of_flags else self.evidence

    def leased(self, expires_at: float) -> dict[str, Any]:
        """The whole configuration that is on until then, in epoch seconds."""
        complete = RULES[self.format].complete(self.configuration)
        return {**complete, "expires_at": int(expires_at)}

    def resting_faults(self, where: str, resting: bytes) -> list[str]:
        """Why it may not start from what is there now."""
        return resting_faults(where, self.format, self.modes, resting, ours=self.evidence is None)
