"""What README.md and docs/ say is there, is there; what they show, runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from cli.main import cli
from gameday.experiment import parse
from tests.house.project import ROOT, TEMPLATE, files, ignored, relative

DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
FILE_NAME = re.compile(r"[\w.-]+\.(py|json|yaml|toml|md|txt)")
PATH = re.compile(r"[\w.-]+(/[\w.-]+)+/?")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=relative)


def read(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(text: str, language: str = r"\w*") -> list[str]:
    """What stands between fences."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """What stands outside of fences."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def code(text: str) -> list[str]:
    """Each line between fences, and each span of code in the prose."""
    lines = [line.strip() for block in blocks(text) for line in block.splitlines()]
    return lines + [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def paths(text: str) -> Iterator[str]:
    """The words that name a file or a folder of the project."""
    for word in (word.strip(".,;:()") for line in code(text) for word in line.split()):
        first = word.partition("/")[0]
        if ignored(Path(first)):
            continue  # what commands make
        if FILE_NAME.fullmatch(word) or (
            PATH.fullmatch(word)
            and ((ROOT / first).exists() or FILE_NAME.fullmatch(Path(word).name))
        ):
            yield word


def test_every_test_that_a_document_names_exists() -> None:
    tests = "".join(read(path) for path in files(ROOT / "tests") if path.suffix == ".py")
    named = set(re.findall(r"`(test_\w+)`", "".join(map(read, DOCUMENTS))))
    assert named
    assert {name for name in named if f"def {name}(" not in tests} == set()


@each_document
def test_every_path_exists(document: Path) -> None:
    names = {path.name for path in files()}
    named = set(paths(read(document)))
    assert [path for path in named if not (ROOT / path).exists() and path not in names] == []


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", re.sub(r"`[^`]*`", "", prose(read(document)))):
        path, _, anchor = link.partition("#")
        if path.startswith("http"):
            continue
        target = document.parent / path if path else document
        assert target.exists(), link
        headings = re.findall(r"^#+ (.+)$", read(target), re.MULTILINE) if anchor else []
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings} | {""}, link


@each_document
def test_every_make_target_exists(document: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE)
    named = [found for line in code(read(document)) for found in re.findall(r"^make (\S+)", line)]
    assert set(named) <= set(targets)


@each_document
def test_every_gameday_command_can_be_given(document: Path) -> None:
    for line in code(read(document)):
        if given := re.match(r"(?:\.venv/bin/)?gameday ([^#|]+)", line):
            name, *arguments = given[1].split()
            command = cli.commands[name]
            command.make_parser(click.Context(command)).parse_args(arguments)


@each_document
def test_every_parameter_that_is_overridden_exists(document: Path) -> None:
    overridden = re.findall(r"--parameter-overrides (\w+)=", read(document))
    assert set(overridden) <= TEMPLATE["Parameters"].keys()


def documents_in(text: str) -> Iterator[Any]:
    for block in blocks(text, "json"):
        yield json.loads(block)
    for block in blocks(text, "jsonc"):
        yield json.loads(re.sub(r" // .*$", "", block, flags=re.MULTILINE))


@each_document
def test_every_example_is_valid(document: Path) -> None:
    for example in documents_in(read(document)):
        if "objective" in example and "load" in example and "verdict" not in example:
            parse(example, references=True)


def test_the_readme_shows_an_experiment() -> None:
    assert any("measures" in example for example in documents_in(read(DOCUMENTS[0])))


def test_every_event_is_read_by_a_test() -> None:
    tests = "".join(
        read(path)
        for path in files(ROOT / "tests")
        if path.suffix == ".py" and path.parent.name != "house"
    )
    named = set(re.findall(r'["/]([\w.-]+?)(?:\.json)?"', tests))
    assert {path.stem for path in files(ROOT / "events")} - named == set()
