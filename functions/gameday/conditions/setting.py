"""What the kinds have in common whose switch is one setting: read, changed, and put back.

The services behind them have no bake and no deployment that could be stopped. So a change is made
only where the setting is as it was recorded, it is undone only where it is as this run made it, and
both are read back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from gameday.conditions import kind
from gameday.conditions.kind import NEVER, ON, polls
from gameday.errors import (
    ConditionNotDisabled,
    ConditionNotEnabled,
    ConfigurationChanged,
    RunRefused,
    RunStopped,
)


class Target(kind.Target):
    """The setting and its value before; None is a setting that was not there."""

    name: str
    before: str | None

    @property
    def lock(self) -> str:
        """See `kind.Target`; a name says its service first."""
        return self.name


class Change(kind.Change):
    """The value that the run gives to the setting."""

    value: str


class Setting(ABC):
    """The operations of such a kind (see `kind.Kind`), made of four that each kind has."""

    timeout_seconds = 60.0

    @abstractmethod
    def find(self, condition: Any) -> Target:
        """Read the setting and refuse one that may not be changed now.

        Raises:
            RunRefused: with every reason and what to do about each.
        """

    @abstractmethod
    def value(self, condition: Any, target: Target, run_id: str, expires_at: float) -> str:
        """The setting's value while the condition is on."""

    @abstractmethod
    def read(self, target: Target) -> str | None:
        """The value that is in effect now."""

    @abstractmethod
    def write(self, target: Target, value: str | None) -> None:
        """Give the setting a value; None removes it."""

    def examine(self, condition: Any) -> Target:
        """See `kind.Kind`."""
        try:
            return self.find(condition)
        except Exception as error:
            if _code(error) not in {"AccessDenied", "AccessDeniedException"}:
                raise
            raise RunRefused([self.forbidden(condition)]) from error

    @abstractmethod
    def forbidden(self, condition: Any) -> str:
        """What to do where the stack's parameters do not name the target."""

    def stands(self, target: Any, change: Any) -> bool:
        """See `kind.Kind`: the setting still has the run's value."""
        return bool(self.read(target) == change.value)

    def enable(
        self,
        condition: Any,
        target: Target,
        run_id: str,
        expires_at: float,
        change: Change | None,
        remember: Callable[[Change], None],
    ) -> Change:
        """See `kind.Kind`."""
        if change is None:
            change = Change(value=self.value(condition, target, run_id, expires_at))
        remember(change)
        found = self.read(target)
        if found not in (change.value, target.before):
            raise ConfigurationChanged(
                f"{target.name} was changed after this run was armed: the condition was not enabled"
            )
        if found != change.value:
            self.write(target, change.value)
        try:  # an undo that came before the change saw nothing to undo: it is ours
            remember(change)
        except RunStopped:
            # What was just written may not be seen yet (IAM is eventually consistent).
            if self.read(target) in (change.value, target.before):
                self._restore(target)
            raise
        for _ in polls(self.timeout_seconds):
            if self.read(target) == change.value:
                return change
        raise ConditionNotEnabled(f"{target.name} had not changed in {self.timeout_seconds:g} s")

    def grown(self, target: Target, change: Change) -> float:
        """See `kind.Kind`: a setting is one for all."""
        return 100.0

    def disable(
        self,
        target: Target,
        change: Change | None,
        run_id: str,
        notice: Callable[[str], None],
    ) -> None:
        """See `kind.Kind`."""
        found = self.read(target) if change else target.before
        if change is None or found == target.before:
            notice(NEVER)
            return
        if found != change.value:
            raise ConfigurationChanged(
                f"somebody else changed {target.name} during the run: it is not ours to restore"
            )
        notice(ON)
        self._restore(target)

    def _restore(self, target: Target) -> None:
        self.write(target, target.before)
        for _ in polls(self.timeout_seconds):
            if self.read(target) == target.before:
                return
        raise ConditionNotDisabled(f"{target.name} is not as it was before the run")


def _code(error: Exception) -> str:
    """The code of a service's error; the package that defines them is not imported for it."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
