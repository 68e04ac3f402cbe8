"""Kayenta's judge for one critical metric, written from the description of its algorithm.

NetflixACAJudge compares an experiment with a control by a Mann-Whitney test: the metric is High or
Low when the confidence interval of the shift lies beyond a quarter of the estimated shift itself and
the ratio of the means reaches the allowed increase or decrease. A critical metric that is High or
Low, or has no data, makes the score 0. There is no third verdict for one metric.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

TOLERANCE = 0.25
CONFIDENCE = 0.98

type Series = NDArray[np.float64]


def fails(control: Series, experiment: Series, worse: int, allowed: float) -> NDArray[np.bool_]:
    """Say of each run whether Kayenta fails it.

    Both have one row for each run and one column for each period. `worse` is 1 where an increase is
    judged and -1 where a decrease is; `allowed` is the ratio of the means from which on it counts.
    """
    runs = len(control)
    if not control.size or not experiment.size:
        return np.ones(runs, dtype=bool)
    low, high, estimate = _shift(control, experiment)
    bound = TOLERANCE * np.abs(estimate)
    significant = low > bound if worse > 0 else high < -bound
    mean = control.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = experiment.mean(axis=1) / mean
    large = ratio >= allowed if worse > 0 else ratio <= allowed
    large |= (mean == 0) | (experiment.mean(axis=1) == 0)  # no ratio: the size is not looked at
    values = np.concatenate([control, experiment], axis=1)
    same = values.min(axis=1) == values.max(axis=1)
    if control.shape == experiment.shape:
        same |= (np.sort(control, axis=1) == np.sort(experiment, axis=1)).all(axis=1)
    return np.asarray(significant & large & ~same, dtype=bool)


def _shift(control: Series, experiment: Series) -> tuple[Series, Series, Series]:
    """Return the bounds of the shift and its Hodges-Lehmann estimate, for each run.

    The test statistic is a step function of the shift that falls at each difference between a value
    of the experiment and one of the control. So the roots that Kayenta looks for are differences:
    the outermost ones where the statistic never reaches the quantile.
    """
    m, n = experiment.shape[1], control.shape[1]
    differences = np.sort(
        (experiment[:, :, None] - control[:, None, :]).reshape(len(control), m * n), axis=1
    )
    ties = _ties(control) + _ties(experiment)
    sigma = np.sqrt(m * n / 12 * np.maximum(m + n + 1 - ties / ((m + n) * (m + n - 1)), 0))
    above = m * n / 2 + 0.5 + norm.ppf((1 + CONFIDENCE) / 2) * sigma
    rank = np.minimum(np.floor(above).astype(int), m * n - 1)[:, None]
    low = np.take_along_axis(differences, m * n - 1 - rank, axis=1)[:, 0]
    high = np.take_along_axis(differences, rank, axis=1)[:, 0]
    return low, high, np.median(differences, axis=1)


def _ties(values: Series) -> Series:
    """Return the sum of t^3 - t over groups of t equal values."""
    equal = (values[:, :, None] == values[:, None, :]).sum(axis=2).astype(float)
    return np.asarray((equal**2 - 1).sum(axis=1), dtype=float)
