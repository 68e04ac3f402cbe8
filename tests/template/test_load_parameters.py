"""What may stand in the parameters that say where load goes and what it carries."""

import re

import pytest

from tests.house.project import TEMPLATE

GOOD = {
    "LoadTargets": ["", "api.example.com", "127.0.0.1:8080", "https://api.example.com/shop/v1"],
    "LoadFunctions": ["", "checkout"],
    "LoadApis": ["", "a1b2c3d4e5"],
    "SecretParameters": ["", "/shop/token"],
    "SecretNames": ["", "shop/keys"],
}
BAD = {
    "LoadTargets": ["*", "*.example.com", "ftp://a", "https://", "a/b", "https://u@a/", "a b"],
    "LoadFunctions": ["*", "checkout:live", "arn:aws:lambda:eu-north-1:123456789012:function:a"],
    "LoadApis": ["*", "a/b"],
    "SecretParameters": ["*", "/", "token", "/shop/*"],
    "SecretNames": ["*", "shop/?"],
}


def cases(values: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, several in values.items() for value in several]


@pytest.mark.parametrize(("name", "value"), cases(GOOD))
def test_a_name_is_taken(name: str, value: str) -> None:
    assert re.fullmatch(TEMPLATE["Parameters"][name]["AllowedPattern"], value)


@pytest.mark.parametrize(("name", "value"), cases(BAD))
def test_a_wildcard_or_something_else_is_not(name: str, value: str) -> None:
    assert not re.fullmatch(TEMPLATE["Parameters"][name]["AllowedPattern"], value)


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_allowed_until_somebody_says_so(name: str) -> None:
    assert TEMPLATE["Parameters"][name]["Default"] == ""
