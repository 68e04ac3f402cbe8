"""The stacks on the embedded AWS: built, and deployed by the same `sam deploy` as anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from cli.account import Account, NotDeployed
from cli.embedded.aws import FOLDER, HOST, EmbeddedAws

ROOT = Path(__file__).parents[2]
KEEP_FILE = FOLDER / "embedded.json"
"""Where `gameday embedded` tells others that it is there."""

_APPLICATION = ("gameday-sample", "sample_app/template.yaml")
_GAMEDAY = ("gameday", "template.yaml")

Say = Callable[[str], None]


class DeployFailed(Exception):
    """Raised when `sam` fails; carries the end of what it said."""


@contextmanager
def deployed(say: Say, keep_file: Path | None = None) -> Iterator[Account]:
    """Yield an embedded AWS with all three stacks deployed, and stop it afterwards.

    One that `gameday embedded` keeps is used as it is, and goes on running.

    Raises:
        DeployFailed: sam failed, or the one that is kept is not deployed yet.
    """
    kept = EmbeddedAws.attach(KEEP_FILE)
    if kept and keep_file:
        raise DeployFailed(f"an embedded AWS is kept already, at {kept.endpoint_url}")
    if kept:
        say(f"Using the embedded AWS at {kept.endpoint_url}.")
        try:
            account(kept).verdict_queue()
        except NotDeployed:
            raise DeployFailed("its stacks are still being deployed: try again soon") from None
        yield account(kept)
        return
    with EmbeddedAws.start(keep_file=keep_file) as aws:
        say(f"The embedded AWS is at {aws.endpoint_url}.")
        deploy(aws, say)
        yield account(aws)


def kept_account() -> Account:
    """Return the embedded AWS that `gameday embedded` keeps.

    Raises:
        DeployFailed: none is kept.
    """
    kept = EmbeddedAws.attach(KEEP_FILE)
    if not kept:
        raise DeployFailed("no embedded AWS is kept: start `gameday embedded`, or say --aws")
    return account(kept)


def account(aws: EmbeddedAws) -> Account:
    """Return the embedded AWS as an account."""
    return Account(aws.session(), reached_at=aws.url)


def deploy(aws: EmbeddedAws, say: Say) -> None:
    """Build and deploy the sample application, Gameday, and the subscribers of its verdicts.

    In the order of a user: the application exists, Gameday is told what of it may be changed, and
    others subscribe.
    """
    with ThreadPoolExecutor() as pool:
        say("Building both applications; the first time takes half a minute.")
        started = time.monotonic()
        list(pool.map(_built, *zip(_APPLICATION, _GAMEDAY, strict=True)))
        say(f"Built ({time.monotonic() - started:.0f} s).")
    application = deploy_application(aws, say)
    sample = account(aws).outputs(account(aws).application_stack)
    targets = {
        "TargetFunctions": f"{sample['PurchaseFunction']},{sample['ClicksFunction']}",
        "TargetRoles": sample["ImagesRole"],
    }
    deploy_gameday(aws, say, [application], targets)


def deploy_application(aws: EmbeddedAws, say: Say) -> str:
    """Build and deploy the sample application; return the id of its AppConfig application."""
    where = account(aws)
    _deploy(aws, say, where.application_stack, _built(*_APPLICATION))
    return where.outputs(where.application_stack)["Application"]


def deploy_template(
    aws: EmbeddedAws, say: Say, stack: str, template: str, parameters: Mapping[str, str]
) -> dict[str, str]:
    """Build and deploy any other template of the project; return the outputs of its stack."""
    _deploy(aws, say, stack, _built(stack, template), parameters)
    return account(aws).outputs(stack)


def deploy_gameday(
    aws: EmbeddedAws,
    say: Say,
    applications: Sequence[str],
    others: Mapping[str, str] | None = None,
) -> None:
    """Build and deploy Gameday, which may change these AppConfig applications, and subscribers.

    `others` are the template's parameters of other targets.
    """
    where = account(aws)
    targets = {"TargetApplications": ",".join(applications), "LoadTargets": HOST, **(others or {})}
    _deploy(aws, say, where.stack, _built(*_GAMEDAY), targets)
    verdicts = where.outputs(where.stack)
    parameters = {name: verdicts[name] for name in ("VerdictBusName", "VerdictTopicArn")}
    _deploy(aws, say, where.subscriber_stack, "sample_app/subscribers.yaml", parameters)


@cache
def _built(name: str, template: str) -> str:
    """Build a template, unless this process did, and return the built one."""
    # A folder for each: sam forgets what it cached for another template beside it.
    build, cached = f".aws-sam/{name}/build", f".aws-sam/{name}/cache"
    _sam(
        dict(os.environ),
        "build",
        *("--template", template, "--build-dir", build, "--cached", "--cache-dir", cached),
    )
    return f"{build}/template.yaml"


def _deploy(
    aws: EmbeddedAws,
    say: Say,
    stack: str,
    template: str,
    parameters: Mapping[str, str] | None = None,
) -> None:
    say(f"Deploying {stack}.")
    started = time.monotonic()
    overrides = [f"{name}={value}" for name, value in (parameters or {}).items()]
    _sam(
        aws.environment(),
        "deploy",
        *("--template-file", template, "--stack-name", stack),
        *("--resolve-s3", "--s3-prefix", stack, "--capabilities", "CAPABILITY_IAM"),
        *("--no-confirm-changeset", "--no-progressbar", "--no-fail-on-empty-changeset"),
        *(("--parameter-overrides", *overrides) if overrides else ()),
    )
    say(f"Deployed {stack} ({time.monotonic() - started:.0f} s).")


def _sam(environment: Mapping[str, str], *arguments: str) -> None:
    # The sam beside this interpreter, also where no virtual environment is active.
    sam = Path(sys.executable).with_name("sam")
    path = f"{sam.parent}{os.pathsep}{environment.get('PATH', '')}"
    done = subprocess.run(
        [str(sam), *arguments],
        cwd=ROOT,
        env={**environment, "SAM_CLI_TELEMETRY": "0", "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
        raise DeployFailed(f"sam {arguments[0]} failed:\n{tail}")
