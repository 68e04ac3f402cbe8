"""What `sam build` makes works by itself: with a bare Python and nothing of this environment.

The embedded AWS runs functions in its own interpreter, where a library that the layer lacks is
found all the same.
"""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.project import ROOT, of_type, template

BUILDS = ROOT / ".aws-sam" / "artifact-test"
LARGEST_UNZIPPED_BYTES = 250 * 1024 * 1024  # function and layers together (Lambda quotas)

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the layer is built for Lambda: Linux on x86_64",
)


def handlers(path: str) -> dict[str, str]:
    """The module of each function's handler."""
    functions = of_type("AWS::Serverless::Function", template(path)["Resources"])
    return {
        name: properties["Handler"].rpartition(".")[0] for name, properties in functions.items()
    }


def build(name: str, path: str) -> Path:
    """Build a template into a folder of its own, so that its cache is nobody else's."""
    folder = BUILDS / name
    sam = Path(sys.executable).with_name("sam")
    folders = ("--build-dir", str(folder / "build"), "--cache-dir", str(folder / "cache"))
    built = subprocess.run(
        [str(sam), "build", "--template", path, "--cached", *folders],
        cwd=ROOT,
        env={
            **os.environ,
            "SAM_CLI_TELEMETRY": "0",
            "PATH": f"{sam.parent}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / "build"


@pytest.fixture(scope="module")
def gameday() -> Path:
    return build("gameday", "template.yaml")


@pytest.fixture(scope="module")
def sample_app() -> Path:
    return build("sample-app", "sample_app/template.yaml")


def import_alone(module: str, *folders: Path) -> None:
    """Import a module with the standard library and these folders, and nothing else."""
    run_alone(f"import {module}", *folders)


def run_alone(program: str, *folders: Path) -> None:
    path = [str(folder) for folder in folders]
    program = f"import sys; sys.path[:0] = {path}; {program}"
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    done = subprocess.run(
        [python, "-I", "-S", "-B", "-c", program],
        env={"AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


GAMEDAY = handlers("template.yaml")
SAMPLE_APP = handlers("sample_app/template.yaml")


@pytest.mark.parametrize("name", GAMEDAY)
def test_a_function_needs_its_folder_and_the_layer_and_nothing_else(
    gameday: Path, name: str
) -> None:
    import_alone(GAMEDAY[name], gameday / name, gameday / "DependenciesLayer" / "python")


def test_what_a_step_imports_late_is_in_the_layer_too(gameday: Path) -> None:
    folder = gameday / "GenerateLoadFunction"
    package = (folder / "gameday").rglob("[!_]*.py")
    modules = (".".join(path.relative_to(folder).with_suffix("").parts) for path in package)
    import_alone(", ".join(modules), folder, gameday / "DependenciesLayer" / "python")


def test_the_layer_has_the_services_that_the_environment_calls_and_no_others(
    gameday: Path,
) -> None:
    layer = gameday / "DependenciesLayer" / "python"
    makers = ("environment.py", "conditions/__init__.py")
    called = "".join((ROOT / "functions/gameday" / name).read_text("utf-8") for name in makers)
    services = set(re.findall(r"""(?:client|resource)\("([\w-]+)\"""", called))
    assert {path.name for path in (layer / "botocore/data").iterdir() if path.is_dir()} == services
    clients = f"import boto3; [boto3.client(name) for name in {sorted(services)}]"
    run_alone(f"{clients}; boto3.resource('dynamodb')", layer)


@pytest.mark.parametrize("name", SAMPLE_APP)
def test_a_function_of_the_sample_needs_the_injector_and_boto3(
    gameday: Path, sample_app: Path, name: str
) -> None:
    # Its boto3 is that of Lambda's runtime, for which the one in our layer stands in here.
    runtime = gameday / "DependenciesLayer" / "python"
    import_alone(SAMPLE_APP[name], sample_app / name, ROOT / "injector" / "python", runtime)


def test_the_layer_holds_what_is_locked_and_nothing_else(gameday: Path) -> None:
    lock = (ROOT / "dependencies" / "requirements.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    metadata = (gameday / "DependenciesLayer" / "python").glob("*.dist-info/METADATA")
    texts = [path.read_text(encoding="utf-8") for path in metadata]
    assert {(_header("Name", text), _header("Version", text)) for text in texts} == locked


def _header(name: str, metadata: str) -> str:
    found = re.search(rf"^{name}: (\S+)", metadata, re.MULTILINE)
    assert found
    return found[1].lower().replace("_", "-")


def test_function_and_layer_fit_into_lambda(gameday: Path) -> None:
    largest = max(size(gameday / name) for name in GAMEDAY)
    assert largest + size(gameday / "DependenciesLayer") < LARGEST_UNZIPPED_BYTES


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", GAMEDAY)
def test_a_function_carries_no_library_of_its_own(gameday: Path, name: str) -> None:
    source = {path.name for path in (ROOT / "functions").iterdir()}
    assert {path.name for path in (gameday / name).iterdir()} <= source | {"__pycache__"}
