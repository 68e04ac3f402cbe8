"""The process of the embedded AWS: the emulator, its bridges, and their common end."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import signal
import sys
import threading

from cli.embedded.aws import VERSION


def main() -> None:
    """Serve until the parent closes our standard input; `argv[1]` is our state folder."""
    check_version()
    threading.Thread(target=_end_with_parent, args=(sys.argv[1],), daemon=True).start()
    # Imported late: the emulator reads its environment when imported.
    import ministack.app

    from cli.embedded import bridges

    bridges.install()
    sys.argv = ["ministack"]
    ministack.app.main()


def check_version() -> None:
    """Exit with what to do unless the emulator is the one that the bridges were written for."""
    found = importlib.metadata.version("ministack")
    if found != VERSION:
        raise SystemExit(
            f"The embedded AWS needs ministack {VERSION} exactly, but {found} is installed, and "
            "its bridges patch internals. Run `make setup`, or bring cli/embedded/bridges.py, "
            "VERSION in cli/embedded/aws.py and the pins to the new version and run "
            "tests/integration/test_embedded.py."
        )


def _end_with_parent(state: str) -> None:
    # The parent holds the other end and never writes: reading returns when it closes it or dies.
    sys.stdin.buffer.read()
    shutil.rmtree(state, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)  # the Lambda workers are in our group


if __name__ == "__main__":
    main()
