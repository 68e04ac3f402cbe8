"""When requests become due: the shape of a load, exactly, and which part of it is whose. Pure.

A shape is a rate over the measured window, stretched over it however long it is, so that a baseline
and a condition see the same one. A request is due whenever the rate, added up, reaches a whole
number; or at random, as requests of many strangers are. There are equally many in both cases.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from random import Random

SECOND_NS = 1_000_000_000
_SCATTERED_AT_ONCE = 256


class Spacing(StrEnum):
    """How requests follow each other."""

    EVEN = "even"
    POISSON = "poisson"


@dataclass(frozen=True)
class Share:
    """Which part of a load is one worker's.

    Of `workers`, number `index` sends the requests whose number leaves that remainder, and of them
    those due from `from_second` of the window until `until_second` (None: its end), so that a long
    window can be handed on; the warm-up is theirs who have the first second. Workers with the same
    `start_at` (epoch seconds) and warm-up have the same window; None says now, of one worker alone.
    """

    index: int = 0
    workers: int = 1
    start_at: float | None = None
    from_second: int = 0
    until_second: int | None = None


WHOLE = Share()
"""One worker alone."""


@dataclass(frozen=True)
class Arrivals:
    """What becomes due in one window.

    Attributes:
        rates: in equal parts of the window, requests a second at a part's start and at its end,
            more than 0; in between the rate changes evenly.
        seconds: the window's length.
        spacing: even, or as random as a Poisson process of which the total is known.
    """

    rates: tuple[tuple[Fraction, Fraction], ...]
    seconds: int
    spacing: Spacing = Spacing.EVEN

    @property
    def count(self) -> int:
        """How many requests become due."""
        return math.ceil(self._sum_until(self.seconds))

    def due(self, share: Share, seed: str) -> Iterator[tuple[int, int]]:
        """Each request of a share: its number, and when it is due, in nanoseconds of the window.

        In order of time, and none is kept, so that a window may be of any length. What is random
        follows from the seed.
        """
        until = self.seconds if share.until_second is None else share.until_second
        first, last = self._sum_until(share.from_second), self._sum_until(until)
        if self.spacing is Spacing.EVEN:
            numbers = range(math.ceil(first), math.ceil(last))
            mine = numbers[(share.index - numbers.start) % share.workers :: share.workers]
            return ((number, self._moment_ns(number)) for number in mine)
        mine = range(share.index, self.count, share.workers)
        whole = _Scattered(mine, 0.0, float(self._sum_until(self.seconds)))
        seed = f"{seed} {share.index} of {share.workers}"
        return (
            (number, self._moment_ns(position))
            for number, position in whole.between(float(first), float(last), seed)
        )

    def due_before(self, seconds: float, share: Share) -> Iterator[tuple[int, int]]:
        """The same for the warm-up: at the rate of the window's start, and numbered below 0."""
        rate = self.rates[0][0]
        numbers = range(-math.floor(Fraction(seconds) * rate), 0)
        mine = numbers[(share.index - numbers.start) % share.workers :: share.workers]
        return ((number, round(number * SECOND_NS / float(rate))) for number in mine)

    @cached_property
    def _parts(self) -> list["_Part"]:
        length, parts, sum_before = Fraction(self.seconds, len(self.rates)), [], Fraction(0)
        for index, (first, last) in enumerate(self.rates):
            parts.append(_Part(index * length, sum_before, first, (last - first) / length))
            sum_before += length * (first + last) / 2
        return parts

    @cached_property
    def _part_sums(self) -> list[float]:
        return [float(part.sum_before) for part in self._parts]

    def _sum_until(self, second: int) -> Fraction:
        """The rate, added up from the window's start."""
        starts = [part.start for part in self._parts]
        return self._parts[bisect_right(starts, second) - 1].sum(second)

    def _moment_ns(self, position: float) -> int:
        """When that sum reaches a number: to the nearest nanosecond, and inside the window."""
        part = self._parts[bisect_right(self._part_sums, position) - 1]
        return min(round(part.moment(position) * SECOND_NS), self.seconds * SECOND_NS - 1)


@dataclass(frozen=True)
class _Part:
    """From its start, in seconds, the rate goes from the first one up or down at an even slope."""

    start: Fraction
    sum_before: Fraction
    first: Fraction
    slope: Fraction

    def sum(self, second: int) -> Fraction:
        into = second - self.start
        return self.sum_before + into * (self.first + self.slope * into / 2)

    @cached_property
    def _floats(self) -> tuple[float, float, float, float]:
        return float(self.start), float(self.sum_before), float(self.first), 2 * float(self.slope)

    def moment(self, position: float) -> float:
        start, sum_before, first, twice_slope = self._floats
        more = position - sum_before
        # The solution of the quadratic equation that loses no digits, whatever the slope is.
        return start + 2 * more / (first + math.sqrt(max(0.0, first**2 + twice_slope * more)))


@dataclass(frozen=True)
class _Scattered:
    """Numbers that stand, in order, at places chosen at random between two positions.

    Halved until few are left, each half with dice of its own, so that a place in the middle is
    found without all those before it.
    """

    numbers: range
    low: float
    high: float

    def between(self, first: float, last: float, seed: str) -> Iterator[tuple[int, float]]:
        """The numbers from the first position, inclusive, to the last."""
        if self.high <= first or self.low >= last:
            return
        dice = Random(f"{seed} {self.low!r} {self.high!r}")  # noqa: S311 - repeatable on purpose
        if len(self.numbers) <= _SCATTERED_AT_ONCE:
            places = sorted(dice.uniform(self.low, self.high) for _ in self.numbers)
            found = zip(self.numbers, places, strict=True)
            yield from ((number, place) for number, place in found if first <= place < last)
            return
        middle = (self.low + self.high) / 2
        left = dice.binomialvariate(len(self.numbers), 0.5)
        yield from _Scattered(self.numbers[:left], self.low, middle).between(first, last, seed)
        yield from _Scattered(self.numbers[left:], middle, self.high).between(first, last, seed)
