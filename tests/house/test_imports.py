"""Who may import what: only the adapters know AWS, and the package knows nothing around it."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import ROOT, files, relative

PACKAGE = ROOT / "functions" / "gameday"
ADAPTERS = {"calls.py", "environment.py", "load.py", "runs.py"}
"""Those that make clients, sign, or take apart what clients raise; the others are given clients."""

MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
PRODUCT = [
    path
    for folder in ("functions", "injector", "sample_app", "cli")
    for path in files(ROOT / folder)
    if path.suffix == ".py"
]


def imports(path: Path) -> set[str]:
    """The top-level packages that a module imports when it runs, also inside of functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {name.partition(".")[0] for node in _running(tree) for name in _imported(node)}


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield node.module or ""


def importers(*packages: str) -> set[str]:
    return {name for name, path in MODULES.items() if imports(path) & set(packages)}


def test_only_the_adapters_import_boto3() -> None:
    assert importers("boto3", "botocore") == ADAPTERS


def test_nothing_imports_an_http_client_and_only_the_wire_opens_sockets() -> None:
    assert importers("aiohttp", "urllib3", "requests", "http") == set()
    assert importers("selectors", "socket", "ssl") == {"wire.py"}


def test_only_the_observability_makes_powertools_objects() -> None:
    assert importers("aws_lambda_powertools") == {"observability.py"}


def test_the_package_imports_neither_the_command_nor_a_handler() -> None:
    handlers = {path.parent.name for path in ROOT.glob("functions/*/app.py")}
    assert importers("cli", "sample_app", "tests", "gameday_injector", *handlers) == set()


def test_only_the_environment_reads_variables() -> None:
    readers = {
        relative(path)
        for path in files(ROOT / "functions")
        if path.suffix == ".py" and {"environ", "getenv"} & set(_attributes(path))
    }
    assert readers == {"functions/gameday/environment.py"}


def _attributes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (alias.name for alias in node.names)


def test_the_types_of_clients_are_imported_for_types_only() -> None:
    running = [(relative(path), name) for path in PRODUCT for name in imports(path)]
    assert [path for path, name in running if name.startswith("mypy_boto3")] == []


PURE = (
    "arrivals",
    "decision",
    "errors",
    "evidence",
    "experiment",
    "feasibility",
    "judge",
    "kinds",
    "observations",
)


@pytest.mark.parametrize("module", [*PURE, "statistics"])
def test_what_is_pure_loads_no_client(module: str) -> None:
    clients = {"boto3", "botocore", "aiohttp", "aws_lambda_powertools"}
    program = f"import sys, gameday.{module}; print(*({clients} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "functions")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
