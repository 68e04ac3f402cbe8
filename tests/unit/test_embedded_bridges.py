import pytest
from ministack.core.lambda_runtime import Worker

from cli.embedded import bridges


def test_a_bridge_to_what_is_not_there_fails_loudly() -> None:
    with pytest.raises(bridges.BridgeError, match=r"Worker\.gone is gone"):
        bridges._replace(Worker, "gone")


def test_an_edit_of_text_that_is_not_there_fails_loudly() -> None:
    with pytest.raises(bridges.BridgeError, match="no single `no such line`"):
        bridges._edit("_PYTHON_WORKER_SCRIPT", ("no such line", ""))
