"""The conditions that are still on, and their end by hand: for when everything else failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cli.account import Account
from gameday import steps
from gameday.conditions.appconfig import AppConfig
from gameday.conditions.kind import ON, Standing
from gameday.conditions.setting import Setting
from gameday.environment import Environment
from gameday.runs import StopReason

_BY_HAND = {"Error": StopReason.ABORTED.value, "Cause": "turned off by hand"}


class Conditions:
    """The conditions of an account, read from the services themselves and not from our records.

    Of the kinds whose switch is one setting the records say where to look.

    Args:
        account: the account, and the name of Gameday's stack in it.
        applications: the AppConfig applications (ids) to look at; without any, the targets that
            the stack names. Name them when the stack is gone.
    """

    def __init__(self, account: Account, applications: Sequence[str] = ()) -> None:
        self._account, self._applications = account, applications
        self._appconfig = AppConfig(
            control=account.client("appconfig"),
            data=account.client("appconfigdata"),
            strategy_id="",
        )

    def standing(self) -> Iterator[Standing]:
        """Find every condition that is on."""
        for application in self._applications or self._account.targets():
            yield from self._appconfig.standing(application)
        if not self._applications:
            yield from self._settings()

    def _settings(self) -> Iterator[Standing]:
        environment = Environment(self._account.variables(), self._account.session)
        for run_id in environment.runs.holding():
            run = environment.runs.get(run_id)
            kind = environment.kind(run.experiment.condition)
            if isinstance(kind, Setting) and run.change and kind.stands(run.target, run.change):
                yield Standing(
                    run_id=run_id,
                    where=run.target.lock,
                    state=ON,
                    target=run.target,
                    change=run.change,
                )

    def turn_off(self, standing: Standing) -> str:
        """End the run of a condition, with its verdict; say what was done.

        Where there is no stack or no record of the run, only the deployment is undone.
        """
        if not self._applications:
            environment = Environment(self._account.variables(), self._account.session)
            if environment.runs.find(standing.run_id):
                steps.end_run(environment, standing.run_id, StopReason.ABORTED, _BY_HAND)
                return "off; its run was ended and its verdict published"
        self._appconfig.turn_off(standing)
        return "off; there is no record of its run"
