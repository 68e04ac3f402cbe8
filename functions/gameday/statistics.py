"""How sure a count or a series makes us. Pure: plain numbers in and out, standard library only.

Every bound is one-sided and holds by itself with the confidence asked for. A claim "below t", made
only where `high < t`, and a claim "above t", made only where `low > t`, are each false in at most
1 - confidence of all cases. Where neither can be made, more data must decide.

What each function takes for granted is in its docstring. `docs/judge.md` shows by simulation what
the error rates are, also where that does not hold.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

MOST_REQUESTS = 10_000_000
"""More requests than this are never advised; up to here the bounds are exact to 8 digits."""

SHARE_FREEDOM = 6
RATIO_FREEDOM = 4
"""How many of the slowest cosines estimate a variance (`_variance_of_sum`): few see also what lasts
for several periods, many are surer of what they see. Of a ratio each side has its own."""

RATIO_CORRELATION = 0.5
"""The correlation of adjacent periods up to which the error rate of a ratio is kept."""


@dataclass(frozen=True)
class Interval:
    """A lower and an upper bound, each of which holds by itself with the confidence asked for.

    `high` is infinite where there is no upper bound.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Dispersion:
    """By what factor a sum of events varies more than that of independent ones, as it was seen.

    At a mean that is r times the one seen the factor is larger by growth * (r - 1): bursts make the
    variance grow with the square of the mean, as in the negative binomial distribution. Else a run
    that happened to see few bursts would be too sure that there are few.
    """

    factor: float = 1.0
    growth: float = 0.0

    def at(self, ratio: float) -> float:
        """Return the factor at a mean that is `ratio` times the one seen."""
        return self.factor + self.growth * (ratio - 1)

    def steepness(self, ratio: float) -> float:
        """Return what the growth about makes of the slope of a distribution at its bound."""
        return 1 - self.growth * (ratio - 1) / (2 * self.at(ratio))


INDEPENDENT = Dispersion()


# -- shares


def share_interval(
    events: float, total: float, confidence: float = 0.95, dispersion: Dispersion = INDEPENDENT
) -> Interval:
    """Bound the true share of bad requests, of which `events` were seen among `total`.

    Exact for independent requests (Clopper and Pearson, Biometrika 26, 1934): `high` is the share
    at which so few events have the probability 1 - confidence, `low` the one at which so many have.

    The factor of a `dispersion`, from `share_dispersion`, divides both numbers: the effective
    sample size of Korn and Graubard, Survey Methodology 24, 1998.

    Raises:
        ValueError: Not 0 <= events <= total, or the confidence is not in 0.5 to 1, exclusive.
    """
    _check_share(events, total, confidence)
    if total == 0:
        return Interval(0.0, 1.0)
    bad, good = events / dispersion.factor, (total - events) / dispersion.factor

    def at(share: float) -> tuple[float, float]:
        ratio = share * total / events if events else 1.0
        factor = dispersion.at(ratio)
        a, b = events / factor + 1, (total - events) / factor
        slope = _beta_density(a, b, share) * dispersion.steepness(ratio)
        return _beta_cdf(a, b, share) - confidence, slope

    return Interval(
        _beta_quantile(bad, good + 1, 1 - confidence) if bad else 0.0,
        _root(at, (bad / (bad + good), _rough_beta(bad + 1, good, confidence), 1.0))
        if good
        else 1.0,
    )


def share_dispersion(periods: Sequence[tuple[int, int]], confidence: float = 0.95) -> Dispersion:
    """Return how bad requests come in bursts, from the (events, total) of each period.

    The variance of their sum, as the periods show it, divided by that of independent requests;
    never less than 1. It contains what the t distribution adds because the periods are few. Seven
    periods or more are good, and short ones as good as long ones; one period, and a share of 0 or
    1, show nothing. Bursts that last up to about a hundredth of all periods together are seen.

    Raises:
        ValueError: As `share_interval`, for any period.
    """
    for events, total in periods:
        _check_share(events, total, confidence)
    events, total = sum(e for e, _ in periods), sum(n for _, n in periods)
    if not 0 < events < total:
        return INDEPENDENT
    share = events / total
    residuals = [e - share * n for e, n in periods if n]
    return _dispersion(residuals, total * share * (1 - share), confidence)


def effective_share_interval(
    periods: Sequence[tuple[int, int]], confidence: float = 0.95
) -> Interval:
    """Bound the true share by (events, total) of successive periods: never narrower than exact.

    Raises:
        ValueError: As `share_interval`, for any period.
    """
    dispersion = share_dispersion(periods, confidence)
    events, total = sum(e for e, _ in periods), sum(n for _, n in periods)
    return share_interval(events, total, confidence, dispersion)


def fewest_requests(share: float, confidence: float = 0.95, events: int = 0) -> int:
    """Return the smallest total at which `events` bad requests still prove "less than `share`".

    59 for 5 %, 299 for 1 %, at 95 % confidence and without any event.

    Raises:
        ValueError: The share is not in 0 to 1, exclusive, or the confidence not in 0.5 to 1.
    """
    _check(confidence)
    if not 0 < share < 1 or events < 0:
        raise ValueError(f"no number of requests proves a share below {share} with {events} events")
    return _smallest(
        lambda total: _beta_cdf(events + 1, total - events, share) > confidence, events + 1
    )


def more_requests(
    events: float,
    total: float,
    share: float,
    confidence: float = 0.95,
    dispersion: Dispersion = INDEPENDENT,
) -> int | None:
    """Return how many more requests decide, if share and dispersion stay as they are; 0 if none.

    None where the share seen is on the threshold, or so near that it would take more than ten
    million.

    Raises:
        ValueError: As `share_interval`; or there was no request, or no such threshold.
    """
    _check_share(events, total, confidence)
    if not 0 < share < 1 or total == 0:
        raise ValueError(f"{total} requests do not say how many more decide about {share}")
    seen = events / total

    def decides(requests: float) -> bool:
        bad, good = seen * requests, (1 - seen) * requests
        if seen < share:
            factor = dispersion.at(share / seen if seen else 1.0)
            return _beta_cdf(bad / factor + 1, good / factor, share) > confidence
        factor = dispersion.factor
        return _beta_cdf(bad / factor, good / factor + 1, share) < 1 - confidence

    if seen == share or not decides(MOST_REQUESTS):
        return None
    return max(0, _smallest(decides, math.ceil(total)) - math.ceil(total))


def _check_share(events: float, total: float, confidence: float) -> None:
    _check(confidence)
    if not 0 <= events <= total < math.inf:
        raise ValueError(f"{events} events of {total} requests: not 0 <= events <= total")


# -- rates


def rate_interval(count: int, seconds: float, confidence: float = 0.95) -> Interval:
    """Bound the true rate of events per second, of which `count` were seen in `seconds`.

    Exact for independent events (Garwood, Biometrika 28, 1936).

    Raises:
        ValueError: A negative count, no time, or a confidence not in 0.5 to 1, exclusive.
    """
    return _rate_interval(count, seconds, confidence, INDEPENDENT)


def counts_interval(counts: Sequence[int], seconds: float, confidence: float = 0.95) -> Interval:
    """Bound the true rate per second by counts of successive periods of `seconds` each.

    As `effective_share_interval`, with the Poisson distribution's variance for the binomial's:
    never narrower than `rate_interval` of the sum. What comes more evenly than by chance, such as
    the requests of a steady load, is bounded as if it came by chance.

    Raises:
        ValueError: As `rate_interval`, for any period; or there is no period.
    """
    if not counts or min(counts) < 0:
        raise ValueError(f"{list(counts)} are no counts of periods")
    count, mean = sum(counts), sum(counts) / len(counts)
    residuals = [c - mean for c in counts]
    dispersion = _dispersion(residuals, count, confidence) if count else INDEPENDENT
    return _rate_interval(count, seconds * len(counts), confidence, dispersion)


def _rate_interval(
    count: int, seconds: float, confidence: float, dispersion: Dispersion
) -> Interval:
    _check(confidence)
    if not 0 <= count < math.inf or not 0 < seconds < math.inf:
        raise ValueError(f"{count} events in {seconds} seconds are no rate")
    low, factor = 0.0, dispersion.factor
    if count:
        low = factor * _gamma_quantile(count / factor, 1 - confidence)
    return Interval(low / seconds, _rate_above(count, confidence, dispersion) / seconds)


def _rate_above(count: int, confidence: float, dispersion: Dispersion) -> float:
    if dispersion.growth and -math.expm1(-count / dispersion.growth) <= confidence:
        return math.inf  # however large the mean, so few events are not that improbable

    def at(mean: float) -> tuple[float, float]:
        ratio = mean / count if count else 1.0
        factor = dispersion.at(ratio)
        shape, x = count / factor + 1, mean / factor
        slope = _gamma_power(shape, x) / mean * dispersion.steepness(ratio)
        return _gamma_cdf(shape, x) - confidence, slope

    factor = dispersion.factor
    start = factor * _rough_gamma(count / factor + 1, confidence)
    end = 2 * start
    while at(end)[0] < 0:
        end *= 2
    return _root(at, (float(count), start, end))


# -- relative to a baseline


def ratio_interval(
    before: Sequence[float], after: Sequence[float], confidence: float = 0.95
) -> Interval | None:
    """Bound after ÷ before, the ratio of the levels of two series with one value for each period.

    A level is the geometric mean, so that one period that stands out weighs little: Welch's
    interval on logarithms, with the degrees of freedom of Satterthwaite (Biometrics Bulletin 2,
    1946). Where a value is zero, it is the arithmetic mean, by Fieller's theorem (JRSS B 16, 1954).

    None where no ratio can be had: fewer than three periods on a side, a negative value, or a
    baseline that is zero or cannot be told from zero.

    Taken for granted: neither side has a trend of its own. A drift that goes on regardless of the
    condition counts as its effect; no test within a run could tell them apart.

    Raises:
        ValueError: The confidence is not in 0.5 to 1, exclusive.
    """
    _check(confidence)
    if min(len(before), len(after)) < 3 or min(*before, *after) < 0 or not any(before):
        return None
    if min(*before, *after) == 0:
        return _fieller(_level(before), _level(after), confidence)
    base, new = (_level([math.log(value) for value in side]) for side in (before, after))
    reach = _reach(base.variance, base.freedom, new.variance, new.freedom, confidence)
    shift = new.mean - base.mean
    return Interval(math.exp(shift - reach), math.exp(shift + reach))


@dataclass(frozen=True)
class _Level:
    """A mean, the variance of it, and the degrees of freedom of that variance."""

    mean: float
    variance: float
    freedom: int


def _level(values: Sequence[float]) -> _Level:
    mean = math.fsum(values) / len(values)
    freedom = min(len(values) - 1, RATIO_FREEDOM)
    variance = _variance_of_sum([v - mean for v in values], freedom, RATIO_CORRELATION)
    return _Level(mean, variance / len(values) ** 2, freedom)


def _reach(
    one: float, one_freedom: int, other: float, other_freedom: int, confidence: float
) -> float:
    """Return how far from a difference its bounds are, by the variances of both sides."""
    variance = one + other
    if variance == 0:
        return 0.0
    freedom = 1 / ((one / variance) ** 2 / one_freedom + (other / variance) ** 2 / other_freedom)
    return _t_quantile(freedom, confidence) * math.sqrt(variance)


def _fieller(base: _Level, new: _Level, confidence: float) -> Interval | None:
    """Return the ratios r for which new - r * base can be zero."""
    ratio = new.mean / base.mean
    scaled = ratio * ratio * base.variance
    reach = _reach(scaled, base.freedom, new.variance, new.freedom, confidence)
    t2 = reach * reach / (scaled + new.variance) if reach else 0.0
    square = base.mean**2 - t2 * base.variance
    if square <= 0:
        return None
    middle = base.mean * new.mean
    root = math.sqrt(max(0.0, middle**2 - square * (new.mean**2 - t2 * new.variance)))
    return Interval(max(0.0, (middle - root) / square), (middle + root) / square)


# -- dispersion between periods


def _dispersion(residuals: Sequence[float], independent: float, confidence: float) -> Dispersion:
    """Compare what periods differ from their mean by with the variance of independent events."""
    freedom = min(len(residuals) - 1, SHARE_FREEDOM)
    if freedom < 1:
        return INDEPENDENT
    few = (_t_quantile(freedom, confidence) / _t_quantile(math.inf, confidence)) ** 2
    seen = _variance_of_sum(residuals, freedom, 0.0) / independent
    return Dispersion(max(1.0, few * seen), max(0.0, few * (seen - 1)))


def _variance_of_sum(residuals: Sequence[float], freedom: int, correlation: float) -> float:
    """Estimate the variance of a sum of autocorrelated values by their slowest cosines.

    Each of the first `freedom` cosines sees a part of the long-run variance; together they give an
    estimate that the t distribution with so many degrees of freedom belongs to (the equal-weighted
    cosine estimator of Lazarus, Lewis, Stock and Watson, JBES 36, 2018). With as many as there
    are residuals less one it is the ordinary sample variance.

    Few periods cannot show their `correlation`. Taken for granted is that of adjacent ones, falling
    off geometrically: it scales what the cosines see to what they would miss of the sum.
    """
    cosines, scale = _slowest_cosines(len(residuals), freedom, correlation)
    return scale * math.fsum(math.sumprod(cosine, residuals) ** 2 for cosine in cosines)


@lru_cache
def _slowest_cosines(
    periods: int, freedom: int, correlation: float
) -> tuple[Sequence[Sequence[float]], float]:
    """Return the cosines, and the factor from what they see to the variance of the sum."""
    cosines = [
        [math.cos(math.pi * j * (i + 0.5) / periods) for i in range(periods)]
        for j in range(1, freedom + 1)
    ]
    expected = math.fsum(_variance_at(cosine, correlation) for cosine in cosines)
    return cosines, _variance_at([1.0] * periods, correlation) / expected


def _variance_at(weights: Sequence[float], correlation: float) -> float:
    """Return the variance of a weighted sum of values of variance 1 with that correlation."""
    variance = carried = 0.0
    for weight in weights:
        carried = correlation * carried + weight
        variance += weight * (2 * carried - weight)
    return variance


# -- distributions


def _check(confidence: float) -> None:
    if not 0.5 < confidence < 1:
        raise ValueError(f"a confidence of {confidence}: not in 0.5 to 1, exclusive")


def _smallest(holds: Callable[[int], bool], start: int) -> int:
    """Return the smallest whole number from `start` on for which a monotone condition holds."""
    low, high = start - 1, start
    while not holds(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


@lru_cache
def _t_quantile(freedom: float, probability: float) -> float:
    """Return Student's quantile above the median, by the distribution of its square."""
    if freedom == math.inf:
        return math.sqrt(2 * _gamma_quantile(0.5, 2 * probability - 1))
    x = _beta_quantile(0.5, freedom / 2, 2 * probability - 1)
    return math.sqrt(freedom * x / (1 - x))


def _beta_quantile(a: float, b: float, probability: float) -> float:
    return _root(
        lambda x: (_beta_cdf(a, b, x) - probability, _beta_density(a, b, x)),
        (0.0, _rough_beta(a, b, probability), 1.0),
    )


def _gamma_quantile(shape: float, probability: float) -> float:
    start = _rough_gamma(shape, probability)
    end = shape + abs(start) + 1
    while _gamma_cdf(shape, end) < probability:
        end *= 2
    return _root(
        lambda x: (_gamma_cdf(shape, x) - probability, _gamma_power(shape, x) / x),
        (0.0, start, end),
    )


def _rough_beta(a: float, b: float, probability: float) -> float:
    spread = math.sqrt(a * b / (a + b + 1)) / (a + b)
    return a / (a + b) + spread * _rough_normal_quantile(probability)


def _rough_gamma(shape: float, probability: float) -> float:
    return shape + math.sqrt(shape) * _rough_normal_quantile(probability)


def _rough_normal_quantile(probability: float) -> float:
    """Return the standard normal's quantile to 0.003; Abramowitz and Stegun 26.2.22."""
    t = math.sqrt(-2 * math.log(min(probability, 1 - probability)))
    quantile = t - (2.30753 + 0.27061 * t) / (1 + 0.99229 * t + 0.04481 * t * t)
    return math.copysign(quantile, probability - 0.5)


def _root(
    function: Callable[[float], tuple[float, float]], bracket: tuple[float, float, float]
) -> float:
    """Return where a rising function, given with its slope, is zero.

    Newton's method from the middle of the bracket; bisection keeps it inside.
    """
    low, x, high = bracket
    if not low < x < high:
        x = (low + high) / 2
    for _ in range(1000):
        value, slope = function(x)
        low, high = (x, high) if value < 0 else (low, x)
        following = x - value / slope if slope else math.inf
        if abs(following - x) <= 1e-9 * abs(x):
            return following
        x = following if low < following < high else (low + high) / 2
        if not low < x < high:
            break  # no number is between them
    return high


def _beta_cdf(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b); DLMF 8.17.22."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(b, a, 1 - x)

    def terms() -> Iterator[tuple[float, float]]:
        e, m = a, 0
        while True:
            yield -(a + m) * (a + b + m) * x / (e * (e + 1)), 1.0
            e, m = e + 2, m + 1
            yield m * (b - m) * x / ((e - 1) * e), 1.0

    return _beta_power(a, b, x) / (a * _continued_fraction(1.0, terms()))


def _beta_density(a: float, b: float, x: float) -> float:
    return _beta_power(a, b, x) / (x * (1 - x)) if 0 < x < 1 else 0.0


def _beta_power(a: float, b: float, x: float) -> float:
    """Return x^a (1 - x)^b / B(a, b), without the cancellation that large a and b would bring.

    As in Loader, Fast and Accurate Computation of Binomial Probabilities, 2000.
    """
    total = a + b
    exponent = a * math.log(total * x / a) + b * math.log(total * (1 - x) / b)
    rest = _stirling_rest(total) - _stirling_rest(a) - _stirling_rest(b)
    return math.sqrt(a * b / (2 * math.pi * total)) * math.exp(exponent + rest)


def _gamma_cdf(shape: float, x: float) -> float:
    """Return the regularised incomplete gamma function P(shape, x); DLMF 8.11.4 and 8.9.2."""
    if x <= 0:
        return 0.0
    if x >= shape + 1:
        terms = ((i * (shape - i), x + 2 * i + 1 - shape) for i in range(1, 100_000))
        return 1 - _gamma_power(shape, x) / _continued_fraction(x + 1 - shape, terms)
    total = term = 1 / shape
    divisor = shape
    while term > total * 1e-16:
        divisor += 1
        term *= x / divisor
        total += term
    return _gamma_power(shape, x) * total


def _gamma_power(shape: float, x: float) -> float:
    """Return x^shape e^-x / gamma(shape); as `_beta_power`."""
    exponent = shape * math.log(x / shape) + shape - x - _stirling_rest(shape)
    return math.sqrt(shape / (2 * math.pi)) * math.exp(exponent)


def _stirling_rest(x: float) -> float:
    """Return by how much log gamma(x) exceeds Stirling's formula; DLMF 5.11.1."""
    if x < 15:
        return math.lgamma(x) - (x - 0.5) * math.log(x) + x - math.log(2 * math.pi) / 2
    return (1 - (1 / 30 - (1 / 105 - 1 / (140 * x * x)) / (x * x)) / (x * x)) / (12 * x)


def _continued_fraction(first: float, terms: Iterable[tuple[float, float]]) -> float:
    """Return first + a1 / (b1 + a2 / (b2 + ...)), by the algorithm of Lentz; DLMF 3.10.

    The fractions of this module converge in about the square root of their numbers' size.
    """
    fraction, c, d = first, first, 0.0
    for a, b in terms:
        d = 1 / (b + a * d)
        c = b + a / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return fraction
