"""Fills the function's disk, /tmp, while one invocation runs.

The space is held by a file without a name: the kernel frees it when the file is closed, and when
the process dies, however it dies. So nothing can be left behind.
"""

import os
import tempfile
from contextlib import suppress
from typing import IO

FOLDER = "/tmp"  # noqa: S108 - the only one that a Lambda function can write to
_CHUNK = bytes(1024 * 1024)

_held: IO[bytes] | None = None


def fill(megabytes: float) -> float:
    """Take up so many megabytes (of 1024 * 1024 bytes), or all there are; return how many."""
    global _held
    _held = tempfile.TemporaryFile(dir=FOLDER)  # noqa: SIM115 - it is open until `release`
    wanted = int(megabytes * 1024 * 1024)
    try:
        os.posix_fallocate(_held.fileno(), 0, wanted)
    except OSError:
        _write(_held.fileno(), wanted)
    return os.fstat(_held.fileno()).st_blocks * 512 / 1024 / 1024


def release() -> None:
    """Free the space; harmless when none is held."""
    global _held
    held, _held = _held, None
    if held:
        held.close()


def _write(file: int, wanted: int) -> None:
    """Write until the disk is full: what was asked for does not fit."""
    with suppress(OSError):
        os.lseek(file, 0, os.SEEK_SET)
        while wanted > 0:
            wanted -= os.write(file, _CHUNK[:wanted])
