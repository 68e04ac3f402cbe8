"""Simulated runs of which the truth is known: what happens in a service while it is measured.

Every simulation is scaled so that its true value is 1: the 95th percentile of latencies, the mean of
an intensity, the level of a series. What the judges see is that, multiplied by a distance from the
threshold. Shapes are (runs, periods) and (runs, periods, requests of a period).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.signal import lfilter

PERCENTILE = 0.95
STEPS = 1_000
"""Into so many steps the time of a run is cut where something lasts."""

type Values = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """How much is simulated: `requests` of each run, evenly over its periods."""

    runs: int
    periods: int
    requests: int

    @property
    def single(self) -> tuple[int, int, int]:
        """The shape of something that is drawn for each request."""
        return self.runs, self.periods, self.requests // self.periods


type Simulation = Callable[[np.random.Generator, Shape], Values]


def persistent(rng: np.random.Generator, size: tuple[int, int], length: float) -> Values:
    """Return stationary standard normal series whose correlation falls off by e over `length`."""
    memory = np.exp(-1 / length) if length else 0.0
    noise = rng.standard_normal(size)
    noise[:, 1:] *= np.sqrt(1 - memory**2)
    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=1))


# -- latencies of single requests


def log_normal(rng: np.random.Generator, shape: Shape) -> Values:
    """Draw what one server under a light load answers in."""
    return _slowness(rng.standard_normal(shape.single))


def _slowness(normal: Values) -> Values:
    return np.exp(0.5 * (normal - stats.norm.ppf(PERCENTILE)))


def bimodal(rng: np.random.Generator, shape: Shape) -> Values:
    """Draw latencies of which a tenth are six times as long, as by a miss of a cache."""
    slow = rng.random(shape.single) < 2 * (1 - PERCENTILE)
    median = np.where(slow, 1.0, 1 / 6)  # the percentile is the median of the slow ones
    return median * np.exp(np.where(slow, 0.3, 0.2) * rng.standard_normal(shape.single))


def heavy_tailed(rng: np.random.Generator, shape: Shape) -> Values:
    """Draw latencies with a Pareto tail that has no variance."""
    return ((1 - rng.random(shape.single)) / (1 - PERCENTILE)) ** (-1 / 1.5)


def autocorrelated(length: float) -> Simulation:
    """Half of the logarithm's variance is a state that lasts for this part of a run."""

    def simulate(rng: np.random.Generator, shape: Shape) -> Values:
        size = shape.runs, shape.requests
        state = persistent(rng, size, length * shape.requests)
        normal = np.sqrt(0.5) * (state + rng.standard_normal(size))
        return _slowness(normal).reshape(shape.single)

    return simulate


def with_level(latencies: Simulation, spread: float, correlation: float) -> Simulation:
    """Each period has a level of its own around the same one, with that correlation."""

    def simulate(rng: np.random.Generator, shape: Shape) -> Values:
        length = -1 / np.log(correlation) if correlation else 0.0
        level = persistent(rng, (shape.runs, shape.periods), length)
        return latencies(rng, shape) * np.exp(spread * level)[:, :, None]

    return simulate


# -- intensities of periods: 1 on average


def steady(rng: np.random.Generator, shape: Shape) -> Values:
    """Nothing changes."""
    return np.ones((shape.runs, shape.periods))


def rising(rng: np.random.Generator, shape: Shape) -> Values:
    """From half to one and a half, evenly over the run."""
    middle = (np.arange(shape.periods) + 0.5) / shape.periods
    return np.tile(0.5 + middle, (shape.runs, 1))


def outages(part: float, length: float) -> Simulation:
    """Everything falls into outages: `part` of the time, each `length` of a run on average."""

    def simulate(rng: np.random.Generator, shape: Shape) -> Values:
        steps = STEPS - STEPS % shape.periods
        ends = 1 / (length * steps)
        begins = ends * part / (1 - part)
        broken = rng.random(shape.runs) < part
        states = np.empty((steps, shape.runs))
        for i in range(steps):
            chance = rng.random(shape.runs)
            broken = np.where(broken, chance >= ends, chance < begins)
            states[i] = broken
        return states.T.reshape(shape.runs, shape.periods, -1).mean(axis=2) / part

    return simulate


def waves(spread: float, length: float) -> Simulation:
    """The intensity goes up and down, log-normally, each wave for `length` of a run."""

    def simulate(rng: np.random.Generator, shape: Shape) -> Values:
        steps = STEPS - STEPS % shape.periods
        state = spread * persistent(rng, (shape.runs, steps), length * steps)
        values = np.exp(state - spread**2 / 2)
        return values.reshape(shape.runs, shape.periods, -1).mean(axis=2)

    return simulate
