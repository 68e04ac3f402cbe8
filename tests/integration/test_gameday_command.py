"""The `gameday` command as a person and a pipeline use it: a process with an exit status."""

import json
import signal
from pathlib import Path

import pytest

from tests.integration.runs import Execution, Gameday, Target, experiment
from tests.integration.stories import Ran, Seen, command, run

# --- gameday run ----------------------------------------------------------------------------------


def test_passed_is_exit_status_0(passed: tuple[Seen, Ran]) -> None:
    _, ran = passed
    assert ran.exit_status == 0, ran
    assert ran.errors == ""


def test_the_verdict_is_written_exactly_as_it_was_received(passed: tuple[Seen, Ran]) -> None:
    seen, ran = passed
    assert ran.event == seen.execution.event()


def test_the_progress_names_every_working_state(passed: tuple[Seen, Ran]) -> None:
    seen, ran = passed
    silent = {"Run under condition", "Watch guardrails", "Verdict reached"}
    states = [
        state for state in seen.execution.entered() if state not in silent and "?" not in state
    ]
    assert [state for state in states if state not in ran.output] == []


def test_failed_is_exit_status_1_with_the_reason(failed: tuple[Execution, Ran]) -> None:
    execution, ran = failed
    assert ran.exit_status == 1, ran
    assert ran.errors == f"gameday: FAILED: {execution.verdict()['reason']}\n"


def test_inconclusive_is_exit_status_2_with_the_reason(
    unanswered: tuple[Execution, Target, Ran],
) -> None:
    execution, _, ran = unanswered
    assert ran.exit_status == 2, ran
    assert ran.errors == f"gameday: INCONCLUSIVE: {execution.verdict()['reason']}\n"


def test_the_real_aws_is_the_same_code_at_another_endpoint(
    unanswered: tuple[Execution, Target, Ran],
) -> None:
    execution, _, ran = unanswered
    assert ran.event == execution.event()
    assert "embedded" not in ran.output


def test_a_refused_run_is_exit_status_3_with_what_to_do(gameday: Gameday) -> None:
    target = gameday.target(resting=None)
    refused = run(gameday, experiment("command-refused", target, "http://127.0.0.1:9/")).end()
    assert refused.exit_status == 3, refused
    assert "has no resting configuration: deploy one" in refused.errors
    assert not refused.file.exists()


def test_an_invalid_document_is_exit_status_3_with_its_faults(gameday: Gameday) -> None:
    refused = run(gameday, {"name": "command-invalid"}).end()
    assert refused.exit_status == 3
    assert "objective: Field required" in refused.errors
    assert "measures: Field required" in refused.errors


def test_no_json_is_exit_status_3(gameday: Gameday) -> None:
    refused = run(gameday, "{").end()
    assert refused.exit_status == 3
    assert "is no JSON document" in refused.errors


def test_a_name_that_no_stack_outputs_is_exit_status_3(gameday: Gameday) -> None:
    refused = run(gameday, experiment("command-unresolved", gameday.target(), "${NoUrl}")).end()
    assert refused.exit_status == 3
    assert "${NoUrl} is no output of the stack; it has Application" in refused.errors


def test_a_stack_that_does_not_exist_is_exit_status_3(gameday: Gameday) -> None:
    document = experiment("command-nowhere", gameday.target(), "http://127.0.0.1:9/")
    refused = run(gameday, document, "--aws", "--stack", "nobody").end()
    assert refused.exit_status == 3
    assert "there is no stack 'nobody'" in refused.errors


# --- Ctrl-C ---------------------------------------------------------------------------------------


def test_ctrl_c_stops_the_run(interrupted: tuple[Seen, Ran]) -> None:
    seen, ran = interrupted
    assert ran.exit_status == 128 + signal.SIGINT, ran
    assert seen.execution.status == "ABORTED"


def test_ctrl_c_leaves_a_verdict(interrupted: tuple[Seen, Ran]) -> None:
    seen, ran = interrupted
    assert ran.event == seen.execution.event()
    assert ran.event["detail"]["status"] == "ABORTED"


def test_ctrl_c_turns_the_condition_off(interrupted: tuple[Seen, Ran]) -> None:
    seen, _ = interrupted
    assert seen.served["latency"]["enabled"]
    assert seen.gameday.served(seen.target) == seen.resting
    assert seen.gameday.lock(seen.target) == {}


def test_the_command_leaves_no_process(interrupted: tuple[Seen, Ran]) -> None:
    _, ran = interrupted
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert [line for line in lines if str(ran.file.parent).encode() in line] == []


# --- gameday validate -----------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "exit_status"), [(4, 0), (-4, 3)])
def test_validate_tells_by_its_exit_status(
    gameday: Gameday, tmp_path: Path, rate: float, exit_status: int
) -> None:
    document = experiment(
        "validated", Target("a", "e", "p"), "${Url}", load={"rate_per_second": rate}
    )
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps(document))
    process = command(gameday, "validate", str(file))
    output, errors = process.communicate(timeout=60)
    assert process.returncode == exit_status, errors
    assert ("valid" in output) == (exit_status == 0)
    assert ("load.rate_per_second" in errors) == (exit_status == 3)
