"""One word, five places: only the casing of a step's name changes."""

import inspect

import pytest

from gameday import steps
from tests.house.project import FUNCTIONS, ROOT, TASKS, function_of

OUTSIDE = "Roll back"
"""The undo that the state machine does not call."""


def word(state: str) -> str:
    """What a state is called everywhere else; nine generate load, each for a phase."""
    return "Generate load" if "phase" in TASKS[state]["Arguments"]["Payload"] else state


WORDS = sorted({word(state) for state in TASKS} | {OUTSIDE})
FOLDERS = [words.lower().replace(" ", "_") for words in WORDS]


def resource(words: str) -> str:
    return f"{words.title().replace(' ', '')}Function"


@pytest.mark.parametrize("state", TASKS)
def test_a_state_invokes_the_function_of_its_name(state: str) -> None:
    assert function_of(state) == resource(word(state))


@pytest.mark.parametrize(("words", "folder"), list(zip(WORDS, FOLDERS, strict=True)))
def test_a_function_is_the_handler_in_the_folder_of_its_name(words: str, folder: str) -> None:
    assert FUNCTIONS[resource(words)]["Handler"] == f"{folder}.app.handler"
    assert (ROOT / "functions" / folder / "app.py").is_file()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_handler_calls_the_step_of_its_name(folder: str) -> None:
    assert inspect.isfunction(getattr(steps, folder))
    source = (ROOT / "functions" / folder / "app.py").read_text(encoding="utf-8")
    assert source.count("steps.") == source.count(f"steps.{folder}(") == 1


def test_there_are_no_other_functions_folders_or_tests_of_steps() -> None:
    assert FUNCTIONS.keys() == {resource(words) for words in WORDS}
    folders = {path.parent.name for path in ROOT.glob("functions/*/app.py")}
    tests = {path.stem for path in ROOT.glob("tests/steps/test_*.py")}
    assert folders == set(FOLDERS)
    assert tests == {f"test_{folder}" for folder in FOLDERS}


def test_a_handler_folder_holds_the_handler_and_nothing_else() -> None:
    for folder in FOLDERS:
        assert [path.name for path in (ROOT / "functions" / folder).glob("*.*")] == ["app.py"]
