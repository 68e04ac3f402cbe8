"""The conditions that are still on, and their end by hand: for when everything else failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

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

    @cached_property
    def _environment(self) -> Environment:
        return Environment(self._account.variables(), self._account.session)

    def standing(self) -> Iterator[Standing]:
        """Find every condition that is on, and every flag that stays."""
        for application in self._applications or self._account.targets():
            yield from self._appconfig.standing(application)
        if not self._applications:
            yield from self._settings()

    def stays(self, standing: Standing) -> bool:
        """Whether it is a flag that its run left on since it PASSED: nothing was left behind."""
        run = None if self._applications else self._environment.runs.find(standing.run_id)
        return run is not None and run.stays

    def _settings(self) -> Iterator[Standing]:
        environment = self._environment
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

        Where the flag stays, and where there is no stack or no record of the run, only the
        deployment is undone.
        """
        if self.stays(standing):
            self._appconfig.turn_off(standing)
            return "off; the verdict of its run is PASSED all the same"
        if not self._applications and self._environment.runs.find(standing.run_id):
            steps.end_run(self._environment, standing.run_id, StopReason.ABORTED, _BY_HAND)
            return "off; its run was ended and its verdict published"
        self._appconfig.turn_off(standing)
        return "off; there is no record of its run"
