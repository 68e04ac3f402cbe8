"""The `gameday` command."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from cli.account import Account, NotDeployed
from cli.conditions import Conditions
from cli.demo import run_demo
from cli.embedded.aws import EmbeddedAwsError
from cli.embedded.deploy import KEEP_FILE, DeployFailed, deployed, kept_account
from cli.progress import Progress
from cli.run import REFUSED_STATUS, NoVerdict, Refused, run_experiment
from gameday.errors import Failed, InvalidExperiment
from gameday.experiment import parse, resolve

_REFUSALS = (InvalidExperiment, Refused, NotDeployed)
_BREAKDOWNS = (Failed, NoVerdict, DeployFailed, EmbeddedAwsError, BotoCoreError, ClientError)

_document = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_out = click.option(
    "--out",
    default="out/verdicts",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder in which verdicts are written, as <experiment name>.json.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gameday")
def cli() -> None:
    """Continuous verification of serverless applications.

    An experiment states an objective, breaks something on purpose, drives load, reads measures,
    undoes the condition and publishes a verdict.
    """


@cli.command()
@_document
def validate(file: Path) -> None:
    """Check the experiment in FILE; touches nothing.

    Exit status: 0 when it is valid, 3 with every fault on standard error when it is not.
    """
    experiment = parse(_read(file), references=True)
    click.echo(
        f"{file}: valid. It measures {experiment.windows.condition_seconds} s under the "
        f"condition and has ended after {experiment.plan.deadline_seconds} s at the latest."
    )


@cli.command()
@_document
@click.option("--aws", is_flag=True, help="Run in the account that your AWS credentials name.")
@click.option("--stack", default="gameday", show_default=True, help="With --aws: Gameday's stack.")
@click.option(
    "--application-stack",
    default="gameday-sample",
    show_default=True,
    help="With --aws: the stack whose outputs the document names as ${Output}.",
)
@click.option(
    "--subscriber-stack",
    default="gameday-subscribers",
    show_default=True,
    help="With --aws: the stack with the queue of verdicts (sample_app/subscribers.yaml).",
)
@_out
def run(file: Path, *, aws: bool, out: Path, **stacks: str) -> None:
    """Run the experiment in FILE and wait for its verdict.

    Without --aws it runs on the embedded AWS, which is started, with the sample application,
    unless `gameday embedded` keeps one running.

    Exit status: 0 PASSED, 1 FAILED, 2 INCONCLUSIVE, 3 refused or ERROR.
    """
    document = _read(file)
    parse(document, references=True)  # a document that cannot be valid need not wait for an AWS
    if aws:
        account = Account(
            boto3.Session(),
            stack=stacks["stack"],
            application_stack=stacks["application_stack"],
            subscriber_stack=stacks["subscriber_stack"],
        )
        _run(account, document, out)
    else:
        with deployed(click.echo) as account:
            _run(account, document, out)


def _run(account: Account, document: Any, out: Path) -> None:
    progress = Progress()
    if "${" in json.dumps(document):
        document = resolve(document, account.outputs(account.application_stack))
    outcome = run_experiment(account, document, out, progress)
    progress.verdict(outcome.verdict)
    progress.say(f"  written to    {outcome.file}")
    if outcome.exit_status:
        click.echo(f"gameday: {outcome.verdict['verdict']}: {outcome.verdict['reason']}", err=True)
    sys.exit(outcome.exit_status)


@cli.command()
@_out
def demo(out: Path) -> None:
    """Run the talk's three experiments on the embedded AWS, one after the other.

    Exit status: 0 when every verdict is the expected one, else 1.
    """
    with deployed(click.echo) as account:
        sys.exit(0 if run_demo(account, out, Progress()) else 1)


@cli.command()
@click.option("--off", is_flag=True, help="Turn them off, and end their runs.")
@click.option("--aws", is_flag=True, help="Look in the account that your AWS credentials name.")
@click.option("--stack", default="gameday", show_default=True, help="With --aws: Gameday's stack.")
@click.option(
    "--application",
    "applications",
    multiple=True,
    metavar="ID",
    help="Look in this AppConfig application: for when the stack is gone. May be repeated.",
)
@click.option("--run", "run_id", metavar="ID", help="Only the condition of this run.")
def conditions(
    *, off: bool, aws: bool, stack: str, applications: tuple[str, ...], run_id: str | None
) -> None:
    """List the conditions that are still on, as the services themselves say; --off turns them off.

    Without --aws it looks into the embedded AWS that `gameday embedded` keeps.

    A flag that its run left on, since it PASSED, is listed and no condition; it is turned back
    only with --run.

    Exit status: 0 when none is on (any more), 1 when some are, 3 when that could not be learnt.
    """
    account = Account(boto3.Session(), stack=stack) if aws else kept_account()
    found = Conditions(account, applications)
    standing = [one for one in found.standing() if run_id in (None, one.run_id)]
    staying = [one for one in standing if found.stays(one)]
    for one in standing:
        stays = one in staying
        what = "stays, by its verdict PASSED" if stays else "on"
        click.echo(f"{what}: run {one.run_id}, {one.where} ({one.state})")
        if off and (run_id or not stays):
            click.echo(f"    {found.turn_off(one)}")
    if standing == staying:
        click.echo("No condition is on.")
    sys.exit(1 if standing != staying and not off else 0)


@cli.command()
def embedded() -> None:
    """Keep the embedded AWS running, with all stacks deployed, until Ctrl-C.

    Meanwhile `gameday run` uses it instead of starting one of its own.
    """
    with deployed(click.echo, keep_file=KEEP_FILE):
        click.echo("Ready. Ctrl-C ends it.")
        signal.pause()


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise click.ClickException(f"{file} is no JSON document: {error}") from None


def main() -> None:
    """Run the command; what is refused or breaks is said on standard error, with status 3."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)
    except _REFUSALS as refused:
        click.echo(f"gameday: refused\n{refused}", err=True)
    except _BREAKDOWNS as breakdown:
        click.echo(f"gameday: {breakdown}", err=True)
    else:
        return
    sys.exit(REFUSED_STATUS)
