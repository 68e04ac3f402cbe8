"""A handler is a paragraph: parse, call one function, return."""

import ast
from pathlib import Path

import pytest

from tests.house.project import ROOT

LONGEST_HANDLER_LINES = 12
LONGEST_FILE_LINES = 30
HANDLERS = sorted(ROOT.glob("functions/*/app.py"))
DECISIONS = (ast.If, ast.IfExp, ast.Match, ast.For, ast.While, ast.Try, ast.comprehension)


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_is_a_paragraph(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    (handler,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert handler.name == "handler"
    assert handler.end_lineno
    assert handler.end_lineno - handler.lineno < LONGEST_HANDLER_LINES
    assert len(source.splitlines()) <= LONGEST_FILE_LINES


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_decides_nothing_and_knows_neither_aws_nor_its_variables(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    assert not [node for node in nodes if isinstance(node, DECISIONS)]
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not [node for node in nodes if isinstance(node, ast.Import)]
    assert imported <= {
        "typing",
        "gameday",
        "gameday.environment",
        "gameday.experiment",
        "gameday.observability",
    }
