"""What no file of the project may hold, and what make and CI promise."""

import json
import os
import re
import subprocess

import pytest

from tests.house.project import ROOT, files, relative

LOCKS = (
    "requirements.txt",
    "dependencies/requirements.txt",
    "tests/security/requirements.txt",
    "benchmarks/chaostoolkit.txt",
    "benchmarks/load/requirements.txt",
)
LOCKED = re.compile(
    r"[\w.-]+(\[[\w,-]+\])?==[\w.]+( ; [^\\]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?"
)
A_MACHINES_PATH = re.compile(r"(?<![\w.$}/:-])/(work|home|root|Users|tmp/pytest)[-/]\w")


def test_no_file_names_a_path_of_one_machine() -> None:
    texts = {relative(path): path.read_text(encoding="utf-8") for path in files()}
    assert [path for path, text in texts.items() if A_MACHINES_PATH.search(text)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_and_hashes_and_no_address_of_an_index(lock: str) -> None:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not LOCKED.fullmatch(line)] == []


def test_the_lock_of_npm_holds_hashes_and_no_address_of_an_index() -> None:
    lock = json.loads((ROOT / "benchmarks/load/package-lock.json").read_text(encoding="utf-8"))
    packages = [package for name, package in lock["packages"].items() if name]
    assert packages
    assert [one for one in packages if "resolved" in one or "integrity" not in one] == []


def test_every_library_of_the_functions_is_locked_alike_for_the_tests() -> None:
    pins = [
        set(re.findall(r"^([\w.-]+==\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
        for lock in LOCKS[:2]
    ]
    assert pins[1] <= pins[0]


MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_make_help_lists_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", "help"], cwd=ROOT, env=outside, capture_output=True, text=True, check=True
    )
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert sorted(listed) == sorted(phony.split())


def test_ci_calls_make_test_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in script if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
