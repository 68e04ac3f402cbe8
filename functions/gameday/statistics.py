"""How sure a count or a series makes us. Pure: plain numbers in and out, standard library only.

Every bound is one-sided and holds by itself with the confidence asked for: a claim "below t" made
only where `high < t`, and "above t" only where `low > t`, is false in at most 1 - confidence of all
cases. Neither claim: more data must decide.

What each function takes for granted is in its docstring; `docs/judge.md` shows by simulation what
becomes of the error rates where it does not hold.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_REQUESTS = 10_000_000
"""No advice to send more requests than this; up to here the bounds are exact to 9 digits."""


@dataclass(frozen=True)
class Interval:
    """A lower and an upper bound, each of which holds by itself with the confidence asked for."""

    low: float
    high: float


# -- shares


def share_interval(events: float, total: float, confidence: float = 0.95) -> Interval:
    """Bound the true share of bad requests, of which `events` were seen among `total`.

    Exact (Clopper and Pearson, Biometrika 26, 1934), for independent requests: `high` is the share
    at which so few events have the probability 1 - confidence, `low` the one for so many. Numbers
    with a fraction are interpolated (Korn and Graubard, Survey Methodology 24, 1998).

    Raises:
        ValueError: Not 0 <= events <= total, or the confidence is not in 0.5 to 1, exclusive.
    """
    _check(confidence)
    if not 0 <= events <= total or math.isinf(total):
        raise ValueError(f"{events} events of {total} requests: not 0 <= events <= total")
    if total == 0:
        return Interval(0.0, 1.0)
    others = total - events
    return Interval(
        _beta_quantile(events, others + 1, 1 - confidence) if events else 0.0,
        _beta_quantile(events + 1, others, confidence) if others else 1.0,
    )


def effective_share_interval(
    periods: Sequence[tuple[int, int]], confidence: float = 0.95
) -> Interval:
    """Bound the true share by the (events, total) of successive periods: never narrower than exact.

    Raises:
        ValueError: As `share_interval`, for any period or the sum.
    """
    for events, total in periods:
        share_interval(events, total, confidence)
    events, total = sum(e for e, _ in periods), sum(n for _, n in periods)
    if not 0 < events < total:
        return share_interval(events, total, confidence)
    share = events / total
    residuals = [e - share * n for e, n in periods if n]
    factor = _inflation(residuals, total * share * (1 - share), confidence)
    return share_interval(events / factor, total / factor, confidence)


def fewest_requests(share: float, confidence: float = 0.95, events: int = 0) -> int:
    """Return the smallest total at which `events` bad requests still prove "less than `share`".

    59 for 5 %, 299 for 1 %, at 95 % confidence and without any event.

    Raises:
        ValueError: The share is not in 0 to 1, exclusive, or the confidence not in 0.5 to 1.
    """
    _check(confidence)
    if not 0 < share < 1 or events < 0:
        raise ValueError(f"no number of requests proves a share below {share} with {events} events")

    def proves(total: int) -> bool:
        return total > events and _beta_cdf(events + 1, total - events, share) >= confidence

    return _smallest(proves, events + 1)


def more_requests(events: int, total: int, share: float, confidence: float = 0.95) -> int | None:
    """Return how many more requests decide if the share seen so far stays; 0 if they are enough.

    None where the share seen is on the threshold, or so near that it would take more than ten
    million.

    Raises:
        ValueError: As `share_interval` and `fewest_requests`; or there was no request at all.
    """
    if not 0 < share < 1 or total <= 0:
        raise ValueError(f"{total} requests do not say how many more decide about {share}")
    seen = events / total

    def decides(requests: int) -> bool:
        bounds = share_interval(seen * requests, requests, confidence)
        return not bounds.low <= share <= bounds.high

    if decides(total):
        return 0
    if not decides(MOST_REQUESTS):
        return None
    return _smallest(decides, total) - total


# -- rates


def rate_interval(count: int, seconds: float, confidence: float = 0.95) -> Interval:
    """Bound the true rate of events per second, of which `count` were seen in `seconds`.

    Exact for independent events (Garwood, Biometrika 28, 1936).

    Raises:
        ValueError: A negative count, no time, or a confidence not in 0.5 to 1, exclusive.
    """
    return _rate_interval(count, seconds, 1, confidence)


def counts_interval(counts: Sequence[int], seconds: float, confidence: float = 0.95) -> Interval:
    """Bound the true rate per second by counts of successive periods of `seconds` each.

    Never narrower than `rate_interval` of the sum.

    Raises:
        ValueError: As `rate_interval`; or there is no period.
    """
    if not counts or min(counts) < 0:
        raise ValueError("counts of periods: none, or a negative one")
    count, mean = sum(counts), sum(counts) / len(counts)
    factor = _inflation([c - mean for c in counts], count, confidence) if count else 1
    return _rate_interval(count, seconds * len(counts), factor, confidence)


def _rate_interval(count: float, seconds: float, factor: float, confidence: float) -> Interval:
    _check(confidence)
    if count < 0 or not 0 < seconds < math.inf:
        raise ValueError(f"{count} events in {seconds} seconds is no rate")
    effective, per_second = count / factor, factor / seconds
    return Interval(
        per_second * _gamma_quantile(effective, 1 - confidence) if count else 0.0,
        per_second * _gamma_quantile(effective + 1, confidence),
    )


# -- relative to a baseline


def ratio_interval(
    before: Sequence[float], after: Sequence[float], confidence: float = 0.95
) -> Interval | None:
    """Bound after ÷ before, the ratio of the levels of two series with one value for each period.

    None where no ratio can be had: fewer than three periods on a side, or a value that is not
    positive.

    Raises:
        ValueError: The confidence is not in 0.5 to 1, exclusive.
    """
    _check(confidence)
    if min(len(before), len(after)) < 3 or min(*before, *after) <= 0:
        return None
    sides = [_level([math.log(value) for value in side]) for side in (before, after)]
    (mean_before, variance_before, freedom_before), (mean_after, variance_after, freedom_after) = (
        sides
    )
    variance = variance_before + variance_after
    difference = mean_after - mean_before
    if variance == 0:
        return Interval(math.exp(difference), math.exp(difference))
    freedom = variance**2 / (
        variance_before**2 / freedom_before + variance_after**2 / freedom_after
    )
    reach = _t_quantile(freedom, confidence) * math.sqrt(variance)
    return Interval(math.exp(difference - reach), math.exp(difference + reach))


def _level(values: Sequence[float]) -> tuple[float, float, int]:
    """Return the mean, its variance, and the degrees of freedom of that."""
    mean = math.fsum(values) / len(values)
    freedom = len(values) - 1
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, squares / freedom / len(values), freedom


# -- dispersion between periods


def _inflation(residuals: Sequence[float], variance: float, confidence: float) -> float:
    """Return by what factor the periods vary more than independent events would; at least 1."""
    freedom = len(residuals) - 1
    if freedom < 1:
        return 1.0
    between = len(residuals) * math.fsum(r * r for r in residuals) / freedom
    few = (_t_quantile(freedom, confidence) / _normal_quantile(confidence)) ** 2
    return max(1.0, few * between / variance)


# -- distributions


def _check(confidence: float) -> None:
    if not 0.5 < confidence < 1:
        raise ValueError(f"a confidence of {confidence}: not in 0.5 to 1, exclusive")


def _smallest(holds: Callable[[int], bool], start: int) -> int:
    """Return the smallest whole number from `start` on for which a monotone condition holds."""
    step, low = 1, start - 1
    while not holds(low + step):
        low += step
        step *= 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _normal_quantile(probability: float) -> float:
    """Return the standard normal's quantile, above the median: the root of a chi-squared one."""
    return math.sqrt(2 * _gamma_quantile(0.5, 2 * probability - 1))


def _t_quantile(freedom: float, probability: float) -> float:
    """Return Student's quantile, above the median; Abramowitz and Stegun 26.7.1."""
    x = _beta_quantile(0.5, freedom / 2, 2 * probability - 1)
    return math.sqrt(freedom * x / (1 - x))


def _beta_quantile(a: float, b: float, probability: float) -> float:
    mean, spread = a / (a + b), math.sqrt(a * b / (a + b + 1)) / (a + b)
    return _root(
        lambda x: (_beta_cdf(a, b, x) - probability, _beta_power(a, b, x) / (x * (1 - x))),
        (0.0, mean + spread * _rough_normal_quantile(probability), 1.0),
    )


def _gamma_quantile(shape: float, probability: float) -> float:
    high = shape + 10 * math.sqrt(shape) + 50
    while _gamma_cdf(shape, high) < probability:
        high *= 2
    return _root(
        lambda x: (_gamma_cdf(shape, x) - probability, _gamma_power(shape, x) / x),
        (0.0, shape + math.sqrt(shape) * _rough_normal_quantile(probability), high),
    )


def _rough_normal_quantile(probability: float) -> float:
    """Return the standard normal's quantile to 0.003; Abramowitz and Stegun 26.2.22."""
    t = math.sqrt(-2 * math.log(min(probability, 1 - probability)))
    quantile = t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t)
    return math.copysign(quantile, probability - 0.5)


def _root(
    function: Callable[[float], tuple[float, float]], bracket: tuple[float, float, float]
) -> float:
    """Return where a rising function, given with its slope, is zero.

    Newton's method from inside of the bracket; bisection keeps it there.
    """
    low, x, high = bracket
    if not low < x < high:
        x = (low + high) / 2
    for _ in range(1000):
        value, slope = function(x)
        low, high = (x, high) if value < 0 else (low, x)
        following = x - value / slope if slope else math.inf
        if abs(following - x) <= 1e-8 * abs(x):
            return following  # its error is about the square of this
        x = following if low < following < high else (low + high) / 2
    return x


def _beta_cdf(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b); DLMF 8.17.22."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(b, a, 1 - x)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, 100_000):
        e = a + 2 * m
        for term in (
            m * (b - m) * x / ((e - 1) * e),
            -(a + m) * (a + b + m) * x / (e * (e + 1)),
        ):
            d = 1 / (1 + term * d)
            c = 1 + term / c
            fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return _beta_power(a, b, x) * fraction / a


def _beta_power(a: float, b: float, x: float) -> float:
    """Return x^a (1 - x)^b / B(a, b), without the cancellation that large a and b would bring.

    As in Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.
    """
    total = a + b
    exponent = a * math.log(total * x / a) + b * math.log(total * (1 - x) / b)
    rest = _stirling_rest(total) - _stirling_rest(a) - _stirling_rest(b)
    return math.sqrt(a * b / (2 * math.pi * total)) * math.exp(exponent + rest)


def _gamma_cdf(shape: float, x: float) -> float:
    """Return the regularised incomplete gamma function P(shape, x); DLMF 8.7.1 and 8.9.2."""
    if x <= 0:
        return 0.0
    if x < shape + 1:
        total = term = 1 / shape
        divisor = shape
        while term > total * 1e-16:
            divisor += 1
            term *= x / divisor
            total += term
        return _gamma_power(shape, x) * total
    b = x + 1 - shape
    c, d = math.inf, 1 / b
    fraction = d
    for i in range(1, 100_000):
        term = i * (shape - i)
        b += 2
        d = 1 / (b + term * d)
        c = b + term / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return 1 - _gamma_power(shape, x) * fraction


def _gamma_power(shape: float, x: float) -> float:
    """Return x^shape e^-x / gamma(shape); as `_beta_power`."""
    exponent = shape * math.log(x / shape) + shape - x - _stirling_rest(shape)
    return math.sqrt(shape / (2 * math.pi)) * math.exp(exponent)


def _stirling_rest(x: float) -> float:
    """Return by how much log gamma(x) exceeds Stirling's formula; DLMF 5.11.1."""
    if x < 15:
        return math.lgamma(x) - (x - 0.5) * math.log(x) + x - math.log(2 * math.pi) / 2
    return (1 - (1 / 30 - (1 / 105 - 1 / (140 * x * x)) / (x * x)) / (x * x)) / (12 * x)
