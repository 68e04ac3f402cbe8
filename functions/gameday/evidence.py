"""Evidence: whether what was counted and seen of a condition is what it promised. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gameday import statistics
from gameday.conditions.kind import Condition, Effect
from gameday.observations import LoadReport

LEAST_EVIDENCE = 0.9
"""Of what a mode's percentage promises, this part must be possible."""

LEAST_SECONDS = 5
"""No shorter slice of a load says that a condition is on."""

_SURE = 0.99
"""The confidence with which evidence is counted: doubting a good run is the smaller fault."""


def far_less(count: float, sent: int, effect: Effect) -> bool:
    """Whether so few injections are too few for the promise, by chance or not."""
    if effect.share is None or not sent:
        return False
    possible = statistics.share_interval(min(count, sent), sent, _SURE).high
    return possible < LEAST_EVIDENCE * effect.share


def of_status(report: LoadReport, effect: Effect) -> int:
    """How many requests were answered with a status of the effect's."""
    return sum(
        count for status, count in report.by_status.items() if int(status) in effect.statuses
    )


def beyond(count_before: float, offered_before: int, count: float, offered: int) -> float:
    """The count under the condition; 0 where it may as well have been so before."""
    before, under = (
        statistics.share_interval(min(n, of), of, _SURE)
        for n, of in ((count_before, offered_before), (count, offered))
    )
    return count if under.low > before.high else 0.0


@dataclass
class Search:
    """The search for evidence that each mode is on as promised, while a load goes on.

    It is in the first slice of the load, of some seconds and as many requests as it takes to tell,
    on which a mode was not far less often than it promises: as the load itself sees it, or as the
    injector counts it by the second. `before` is the baseline's load. `found` says which of the two
    it was, by mode.
    """

    condition: Condition
    before: LoadReport
    found: dict[str, str] = field(default_factory=dict)
    _parts: list[LoadReport] = field(default_factory=list)

    @property
    def can_end(self) -> bool:
        """Whether evidence can say that the condition is on: each mode promises a known share."""
        effects = self.condition.effects
        return all(mode in effects and effects[mode].share for mode in self.condition.modes)

    @property
    def is_over(self) -> bool:
        """Whether there is evidence of every mode."""
        return self.can_end and self.found.keys() >= set(self.condition.modes)

    @property
    def counted_modes(self) -> tuple[str, ...]:
        """The modes that only a metric can still show, and does so by the second."""
        return tuple(
            mode
            for mode, proof in self.condition.proofs.items()
            if self.can_end and mode not in self.found and proof.resolution_seconds == 1
        )

    def saw(self, part: LoadReport) -> None:
        """Take what the load saw since the last part."""
        self._parts.append(part)
        for mode, effect in self.condition.effects.items():
            look = _look(effect)
            parts = _newest(self._parts, effect)
            if look and parts and self._shows(effect, look, parts):
                self.found.setdefault(mode, "load")

    def _shows(
        self, effect: Effect, look: Callable[[LoadReport], float], parts: Sequence[LoadReport]
    ) -> bool:
        count, sent = sum(map(look, parts)), _offered(parts)
        seen = beyond(look(self.before), self.before.offered, count, sent)
        return not far_less(seen, sent, effect)

    def counted(self, by_second: Mapping[str, Mapping[int, float]]) -> None:
        """Take how often each mode was counted in each second: of all parts, for it comes late."""
        for mode, counts in by_second.items():
            effect = self.condition.effects[mode]
            for end in range(1, len(self._parts) + 1):
                parts = _newest(self._parts[:end], effect)
                # Each part by itself: a burst is of no more requests than there were.
                count = sum(min(_within(part, counts), part.offered) for part in parts)
                if parts and not far_less(count, _offered(parts), effect):
                    self.found.setdefault(mode, "metric")


def _look(effect: Effect) -> Callable[[LoadReport], float] | None:
    """What of a mode is seen from outside; None if nothing is."""
    if effect.statuses:
        return lambda report: of_status(report, effect)
    if effect.floor_ms:
        return lambda report: report.latencies.at_least(effect.floor_ms)
    return None


def _newest(parts: Sequence[LoadReport], effect: Effect) -> Sequence[LoadReport]:
    """The last parts, so many that no evidence would be noticed; none if there are too few."""
    seconds = sent = 0
    for start in reversed(range(len(parts))):
        seconds += parts[start].window.seconds
        sent += parts[start].offered
        if seconds >= LEAST_SECONDS and far_less(0, sent, effect):
            return parts[start:]
    return ()


def _offered(parts: Sequence[LoadReport]) -> int:
    return sum(part.offered for part in parts)


def _within(report: LoadReport, counts: Mapping[int, float]) -> float:
    return sum(counts.get(second, 0.0) for second in range(report.window.start, report.window.end))
