"""docs/scale.md: its sums are right, and what it reckons with is what the code does."""

import re

import pytest

from gameday import load, scale
from gameday.feasibility import LONGEST_WINDOW_SECONDS
from tests.house.project import FUNCTIONS, ROOT

DOC = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
TIMES = "\N{MULTIPLICATION SIGN}"
EXPRESSION = rf"[\d.,{TIMES}/+() ]+"
SUM = re.compile(rf"^([^:|]+): ({EXPRESSION}) = ([\d.,]+)$", re.MULTILINE)
SUMS = SUM.findall(DOC)
QUOTAS = re.findall(r"^\| .+ \| `([^`]+)` \| ([\d,]+) \|$", DOC, re.MULTILINE)
RECKONED = dict(re.findall(r"^\| ([^|]+) \| ([\d.,]+) \| [^`|]+ \|$", DOC, re.MULTILINE))


def worked_out(expression: str) -> float:
    assert re.fullmatch(EXPRESSION, expression)  # nothing but numbers
    return float(eval(expression.replace(",", "").replace(TIMES, "*")))


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize(("what", "expression", "result"), SUMS, ids=[what for what, *_ in SUMS])
def test_a_sum_is_right_to_its_last_digit(what: str, expression: str, result: str) -> None:
    digits = len(result.partition(".")[2])
    assert abs(worked_out(expression) - number(result)) <= 0.5 * 10**-digits + 1e-9


@pytest.mark.parametrize(("expression", "breaks_at"), QUOTAS)
def test_a_quota_breaks_where_it_says(expression: str, breaks_at: str) -> None:
    assert worked_out(expression) == number(breaks_at)


def test_quotas_stand_in_the_order_in_which_they_break() -> None:
    breaks = [number(breaks_at) for _, breaks_at in QUOTAS]
    assert len(breaks) == 6
    assert breaks == sorted(breaks)


def test_every_line_of_a_sum_is_one() -> None:
    lines = [
        line
        for block in re.findall(r"^```\n(.*?)```", DOC, re.M | re.S)
        for line in block.splitlines()
    ]
    assert len(lines) == len(SUMS) > 20


def test_what_is_reckoned_with_is_what_the_code_does() -> None:
    assert {what: number(much) for what, much in RECKONED.items()} == {
        "Requests a second of one worker": scale.RATE_OF_ONE_WORKER,
        "The part of it that is planned with": scale.SAFE_SHARE,
        "Connections of one worker": scale.IN_FLIGHT_OF_ONE_WORKER,
        "Most workers at once": scale.MOST_WORKERS,
        "Seconds of a shift": scale.SHIFT_SECONDS,
        "Seconds of the longest window": LONGEST_WINDOW_SECONDS,
        "Memory of a worker in MB": FUNCTIONS["GenerateLoadFunction"]["MemorySize"],
        "Asks a second whether it was stopped": 1 / load._STOP_CHECK_EVERY_SECONDS,
        "Seconds between publications": load._PUBLISH_EVERY_SECONDS,
    }


def test_the_times_of_its_prose_are_those_of_the_plan() -> None:
    flowing = " ".join(DOC.split())
    assert f"begins {scale.HEAD_START_SECONDS} seconds later" in flowing
    assert f"Up to {scale.MOST_MAP_ITERATIONS} workers" in flowing
    assert scale.RELIEF_SECONDS == 30  # "half a minute before its shift"
