import inspect
import re

import pytest

from gameday import errors

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, Exception) and cls.__module__ == errors.__name__
]


@pytest.mark.parametrize("cls", CLASSES)
def test_one_sentence_says_when_an_error_is_raised(cls: type[Exception]) -> None:
    assert re.fullmatch(r"Raised (when|by|in) [^.]+\.", cls.__doc__ or "")


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_is_of_one_of_two_families(cls: type[Exception]) -> None:
    family = {errors.GamedayError, errors.Invalid, errors.Failed}
    assert cls in family or issubclass(cls, errors.Invalid) != issubclass(cls, errors.Failed)
    assert issubclass(cls, errors.GamedayError)
