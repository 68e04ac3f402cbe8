"""What a person does when everything else failed: list the conditions that are on, end them."""

import subprocess

import pytest

from tests.integration.runs import LATENCY, OFF, Gameday, Target, eventually, experiment, unique
from tests.integration.stories import Seen, command, opened


def conditions(gameday: Gameday, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = command(gameday, "conditions", *arguments)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


@pytest.fixture
def ghost(gameday: Gameday) -> Target:
    """A condition that is on, in an application of its own, and of whose run there is no record."""
    application = gameday.client("appconfig").create_application(Name=unique("a"))["Id"]
    target = gameday.target(application=application)
    gameday.deploy(target, OFF | LATENCY, bake=True, description="gameday run ghost")
    return target


def test_nothing_is_on_where_nothing_was_enabled(gameday: Gameday) -> None:
    listed = conditions(gameday, "--application", gameday.forbidden_application)
    assert (listed.returncode, listed.stdout) == (0, "No condition is on.\n")


def test_a_condition_without_a_record_is_listed_and_turned_off(
    gameday: Gameday, ghost: Target
) -> None:
    listed = conditions(gameday, "--application", ghost.application)
    assert listed.returncode == 1
    assert "on: run ghost, " in listed.stdout
    assert gameday.served(ghost)["latency"]["enabled"]
    ended = conditions(gameday, "--application", ghost.application, "--off")
    assert ended.returncode == 0
    assert "off; there is no record of its run" in ended.stdout
    assert gameday.served(ghost) == OFF
    assert conditions(gameday, "--application", ghost.application).returncode == 0


def test_what_somebody_else_deployed_is_no_condition(gameday: Gameday, ghost: Target) -> None:
    conditions(gameday, "--application", ghost.application, "--off")
    gameday.deploy(ghost, OFF | LATENCY, description="a release")
    assert conditions(gameday, "--application", ghost.application).returncode == 0


def test_a_condition_of_a_run_is_turned_off_and_its_run_ended(gameday: Gameday, url: str) -> None:
    target = gameday.target()
    document = experiment(unique("by-hand"), target, url, windows={"condition_seconds": 50})
    resting, execution = gameday.served(target), gameday.start(document)
    execution.wait_for("Generate load")
    assert f"on: run {execution.run_id}, " in conditions(gameday).stdout
    # Others' runs are going on meanwhile, and `--off` would end them all.
    aimed = conditions(gameday, "--run", execution.run_id, "--off")
    assert "off; its run was ended and its verdict published" in aimed.stdout, aimed.stderr
    assert gameday.served(target) == resting
    execution.wait()
    assert execution.status == "ABORTED"
    assert execution.verdict()["status"] == "ABORTED"
    eventually(lambda: gameday.lock(target) == {}, 10)
    assert len(execution.events()) == 1


def test_a_flag_that_stays_is_no_condition_and_is_turned_back_by_name(
    gameday: Gameday, url: str
) -> None:
    seen: Seen = opened(gameday, url)
    run_id, baking = seen.execution.run_id, gameday.served(seen.target)
    listed = conditions(gameday, "--run", run_id)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert f"stays, by its verdict PASSED: run {run_id}, " in listed.stdout
    assert gameday.served(seen.target) == baking != seen.resting
    ended = conditions(gameday, "--run", run_id, "--off")
    assert ended.returncode == 0, ended.stderr
    assert "off; the verdict of its run is PASSED all the same" in ended.stdout
    assert gameday.served(seen.target) == seen.resting
