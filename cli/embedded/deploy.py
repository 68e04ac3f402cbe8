"""The stacks on the embedded AWS: built, and deployed by the same `sam deploy` as anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cli.account import Account
from cli.embedded.aws import FOLDER, EmbeddedAws

ROOT = Path(__file__).parents[2]
KEEP_FILE = FOLDER / "embedded.json"
"""Where `gameday embedded` tells others that it is there."""

Say = Callable[[str], None]


class DeployFailed(Exception):
    """Raised when `sam` fails; carries the end of what it said."""


@contextmanager
def deployed(say: Say, keep_file: Path | None = None) -> Iterator[Account]:
    """Yield an embedded AWS with all three stacks deployed, and stop it afterwards.

    One that `gameday embedded` keeps is used as it is, and goes on running.
    """
    kept = EmbeddedAws.attach(KEEP_FILE)
    if kept and keep_file is None:
        say(f"Using the embedded AWS at {kept.endpoint_url}.")
        yield account(kept)
        return
    with EmbeddedAws.start(keep_file=keep_file) as aws:
        deploy(aws, say)
        yield account(aws)


def account(aws: EmbeddedAws) -> Account:
    """Return the embedded AWS as an account."""
    return Account(aws.session(), reached_at=aws.url)


def deploy(aws: EmbeddedAws, say: Say) -> None:
    """Build and deploy the sample application, Gameday, and the subscribers of its verdicts.

    In the order of a user: the application exists, Gameday is told which of its AppConfig
    applications it may change, and others subscribe.
    """
    where = account(aws)
    _sam(aws, say, where.application_stack, "sample_app/template.yaml")
    application = where.outputs(where.application_stack)["Application"]
    _sam(aws, say, where.stack, "template.yaml", {"TargetApplications": application})
    verdicts = where.outputs(where.stack)
    _sam(
        aws,
        say,
        where.subscriber_stack,
        "sample_app/subscribers.yaml",
        {name: verdicts[name] for name in ("VerdictBusName", "VerdictTopicArn")},
    )


def _sam(
    aws: EmbeddedAws,
    say: Say,
    stack: str,
    template: str,
    parameters: Mapping[str, str] | None = None,
) -> None:
    started = time.monotonic()
    # A folder for each: sam forgets what it cached for another template beside it.
    build, cache = f".aws-sam/{stack}/build", f".aws-sam/{stack}/cache"
    _run(
        aws, "build", "--template", template, "--build-dir", build, "--cached", "--cache-dir", cache
    )
    overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
    _run(
        aws,
        "deploy",
        *("--template-file", f"{build}/template.yaml", "--stack-name", stack),
        *("--resolve-s3", "--s3-prefix", stack, "--capabilities", "CAPABILITY_IAM"),
        *("--no-confirm-changeset", "--no-progressbar", "--no-fail-on-empty-changeset"),
        *(("--parameter-overrides", *overrides) if overrides else ()),
    )
    say(f"Deployed {stack} ({time.monotonic() - started:.0f} s).")


def _run(aws: EmbeddedAws, *arguments: str) -> None:
    # The sam beside this interpreter, also where no virtual environment is active.
    sam = Path(sys.executable).with_name("sam")
    path = f"{sam.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [str(sam), *arguments],
        cwd=ROOT,
        env=aws.environment() | {"SAM_CLI_TELEMETRY": "0", "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise DeployFailed(f"sam {arguments[0]} failed:\n{tail}")
