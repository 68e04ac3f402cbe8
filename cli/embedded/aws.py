"""A handle on the embedded AWS: start it, find it, reach it, stop it."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.session

VERSION = "1.5.33"
REGION = "us-east-1"
HOST = "127.0.0.1"
FOLDER = Path(".gameday")
START_LIMIT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 30
# The emulator takes this pair as the account's root, whatever the roles in it may do.
_KEY = "test"
_EXECUTE_API = re.compile(r"https://(\w+)\.execute-api\.[\w-]+\.amazonaws\.com(?:\.cn)?(/.*)?")


class EmbeddedAwsError(RuntimeError):
    """Raised when the embedded AWS does not come up; the message ends with the tail of its log."""


class _Session(boto3.Session):
    """A boto3 session whose clients reach the embedded AWS unless told otherwise."""

    def __init__(self, endpoint_url: str) -> None:
        # Neither a profile nor a configuration file of the user may decide where a call goes.
        unread = {
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
        }
        super().__init__(
            _KEY, _KEY, region_name=REGION, botocore_session=botocore.session.Session(unread)
        )
        self._endpoint_url = endpoint_url

    def client(self, *args: Any, **kwargs: Any) -> Any:
        return super().client(*args, **{"endpoint_url": self._endpoint_url, **kwargs})

    def resource(self, *args: Any, **kwargs: Any) -> Any:
        return super().resource(*args, **{"endpoint_url": self._endpoint_url, **kwargs})


@dataclass(frozen=True)
class EmbeddedAws:
    """One running embedded AWS; `start` owns its process, `attach` only visits it.

    As a context manager it stops what it owns at the end. IAM is enforced on every call that a
    function makes with its role.
    """

    pid: int
    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _state: Path | None = field(default=None, repr=False)
    _keep_file: Path | None = field(default=None, repr=False)

    @classmethod
    def start(cls, folder: Path = FOLDER, keep_file: Path | None = None) -> Self:
        """Start a server on a free loopback port and wait until it is ready.

        Its log is `folder/embedded.log`. With `keep_file`, `attach` finds the server there.
        Raises EmbeddedAwsError when the server ends or is not ready within START_LIMIT_SECONDS.
        """
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "embedded.log"
        state = Path(tempfile.mkdtemp(prefix="gameday-aws-"))
        # Bound but not listening: nobody else is given the port, the server may still take it.
        with socket.socket() as reservation, log.open("wb") as output:
            reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reservation.bind((HOST, 0))
            port = reservation.getsockname()[1]
            process = subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.server", str(state)],
                cwd=Path(__file__).parents[2],
                env=_server_environment(port, state),
                stdin=subprocess.PIPE,  # the lifeline: the server ends when it closes
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its group holds its Lambda workers and nothing else
            )
            aws = cls(process.pid, port, process, state, keep_file)
            try:
                aws._wait_until_ready(log)
            except BaseException:
                aws.stop()
                raise
        if keep_file:
            kept = {"pid": process.pid, "port": port, "version": VERSION}
            keep_file.write_text(json.dumps(kept))
        return aws

    @classmethod
    def attach(cls, file: Path) -> Self | None:
        """Find the server that `start` wrote to `file`; None when it is gone or does not answer."""
        try:
            kept = json.loads(file.read_text())
            aws = cls(kept["pid"], kept["port"])
            os.kill(aws.pid, 0)
        except (OSError, ValueError, KeyError):
            return None
        return aws if kept.get("version") == VERSION and aws.is_ready() else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """The one address of all services."""
        return f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the environment of a child process, such as `sam deploy`, that is to use this AWS.

        It is complete (pass it as `env`): this process's own, with every AWS_* of it replaced.
        """
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return own | {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def session(self) -> boto3.Session:
        """Return a session of the account's root whose clients reach this AWS."""
        return self._session

    @functools.cached_property
    def _session(self) -> _Session:  # it loads the models of services, slowly, once
        return _Session(self.endpoint_url)

    def client(self, service: str) -> Any:
        """Return a client of one service, as the account's root."""
        return self.session().client(service)  # type: ignore[call-overload]

    def url(self, public_url: str) -> str:
        """Return where a deployed API's public address is reached here; others are unchanged."""
        match = _EXECUTE_API.fullmatch(public_url)
        if not match:
            return public_url
        return f"{self.endpoint_url}/_aws/execute-api/{match[1]}{match[2] or ''}"

    def is_ready(self) -> bool:
        """Tell whether the server answers."""
        try:
            address = f"{self.endpoint_url}/_ministack/ready"
            with urllib.request.urlopen(address, timeout=2) as reply:  # noqa: S310 - it is http
                return bool(reply.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """End the server and every process it started, and remove its state; idempotent.

        A handle that `attach` gave owns nothing and stops nothing.
        """
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        if self._state:
            shutil.rmtree(self._state, ignore_errors=True)
        if self._keep_file:
            self._keep_file.unlink(missing_ok=True)

    def _wait_until_ready(self, log: Path) -> None:
        deadline = time.monotonic() + START_LIMIT_SECONDS
        while not self.is_ready():
            if self._process is not None and self._process.poll() is not None:
                raise EmbeddedAwsError(f"The embedded AWS ended while starting.{_tail(log)}")
            if time.monotonic() > deadline:
                raise EmbeddedAwsError(
                    f"The embedded AWS was not ready after {START_LIMIT_SECONDS:.0f} s.{_tail(log)}"
                )
            time.sleep(_POLL_SECONDS)


def _server_environment(port: int, state: Path) -> dict[str, str]:
    """Return the server's whole environment: nothing of the user's but the search path."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(state),
        "TMPDIR": str(state),
        "STATE_DIR": str(state / "state"),
        "S3_DATA_DIR": str(state / "s3"),
        "PYTHONUNBUFFERED": "1",
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        # Two protocols that nothing here speaks: each would open a port of its own.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
    }


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return f" The end of {log}:\n" + "\n".join(lines)
