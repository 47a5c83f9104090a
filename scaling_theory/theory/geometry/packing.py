"""Superposition capacity: how many directions fit into d dimensions with little overlap.

N(d, epsilon) is the largest number of unit vectors of R^d with |u.v| <= epsilon for each pair.
All counts here are natural logarithms, ln N; lengths of vectors are 1.

- :func:`welch_bound`: N is at most this (order 1: Welch's bound, polynomial in d, and silent for
  epsilon >= 1/sqrt(d); higher orders speak for larger epsilon).
- :func:`greedy_bound`: N is at least this. It is exponential in d epsilon^2.
- :func:`asymptotic_bound`: N is at most exp(d times this) in the limit of large d.
- :func:`capacity`: all of them.

So exp(d epsilon^2 / 2), quoted as a cap on the number of features, is a number that is sure to
fit; the caps are above it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory import _validate

#: Largest dimension that is taken.
MAX_DIMENSION = 10**9


@final
@dataclass(frozen=True)
class Capacity:
    """What is known of ln N(d, epsilon); natural logarithms.

    Attributes
    ----------
    dimension, epsilon
        d, and the largest |cosine| of a pair.
    log_lower
        ln of a number that fits: the larger of d (orthogonal vectors) and the greedy bound.
    log_upper
        ln of a number that does not fit one more: the least Welch bound over all orders.
    log_welch
        Welch's bound itself, order 1; inf for epsilon >= 1/sqrt(d), where it says nothing.
    order
        The order of ``log_upper``.
    log_greedy
        The greedy bound alone.
    log_reading
        d epsilon^2/2, the number that is often quoted: what ``log_greedy`` tends to for small
        epsilon and large d epsilon^2, so a number that fits, not a cap.
    asymptotic
        d times :func:`asymptotic_bound`, the Kabatyanskii-Levenshtein exponent: an upper bound on
        ln N up to terms o(d), so a guide and not a bound at finite d.
    """

    dimension: int
    epsilon: float
    log_lower: float
    log_upper: float
    log_welch: float
    order: int
    log_greedy: float
    log_reading: float
    asymptotic: float


def capacity(dimension: int, epsilon: float) -> Capacity:
    """Collect what is known of the number of nearly orthogonal directions.

    Parameters
    ----------
    dimension
        Dimension d, 2 to 1e9.
    epsilon
        Largest |cosine| of the angle of a pair, in (0, 1).

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> from math import log
    >>> found = capacity(7, 1 / 3)  # 28 lines in seven dimensions, exactly
    >>> abs(found.log_upper - log(28)) < 1e-12
    True
    """
    d, epsilon = _checked(dimension, epsilon)
    order = _best_order(d, epsilon)
    greedy = greedy_bound(d, epsilon)
    return Capacity(
        dimension=d,
        epsilon=epsilon,
        log_lower=max(math.log(d), greedy),
        log_upper=welch_bound(d, epsilon, order),
        log_welch=welch_bound(d, epsilon),
        order=order,
        log_greedy=greedy,
        log_reading=0.5 * d * epsilon * epsilon,
        asymptotic=d * asymptotic_bound(epsilon),
    )


def welch_bound(dimension: int, epsilon: float, order: int = 1) -> float:
    """Return an upper bound on ln N by the mean 2k-th power of the cosines.

    Parameters
    ----------
    dimension, epsilon
        As for :func:`capacity`.
    order
        k, at least 1. Order 1 is Welch's bound, N <= d (1 - epsilon^2)/(1 - d epsilon^2).

    Returns
    -------
    float
        ln of the bound; inf where epsilon^(2k) is not below the mean, so that it says nothing.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    For N real unit vectors the mean of (u.v)^(2k) over all N^2 pairs is at least what it is over
    the sphere, mu = 1 3 5 ... (2k-1) / (d (d+2) ... (d+2k-2)). N of the pairs are of a vector with
    itself, the others at most epsilon^(2k), so N <= (1 - epsilon^(2k))/(mu - epsilon^(2k)). Welch
    (1974) has 1/C(d+k-1, k) for mu, which holds for complex vectors too and is the same at k = 1;
    the real mean is larger, so the bound is tighter (Sidelnikov 1974).
    """
    d, epsilon = _checked(dimension, epsilon)
    k = _validate.whole("order", order, low=1, high=10**12)
    log_mean, log_power = _log_mean(d, k), 2.0 * k * math.log(epsilon)
    if log_power >= log_mean:
        return math.inf
    return math.log(-math.expm1(log_power)) - log_mean - math.log(-math.expm1(log_power - log_mean))


def greedy_bound(dimension: int, epsilon: float) -> float:
    """Return a lower bound on ln N: vectors are added until none is left that fits.

    Parameters
    ----------
    dimension, epsilon
        As for :func:`capacity`.

    Returns
    -------
    float
        ln of 1/P(|u.v| > epsilon) for random directions.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Gilbert's argument: while N vectors exclude less than the whole sphere another one fits, and
    each excludes the fraction P = I_{1 - epsilon^2}((d-1)/2, 1/2), a regularised incomplete beta
    function. As I_x(s, 1/2) <= x^s, N is at least (1 - epsilon^2)^(-(d-1)/2), which is more than
    exp((d-1) epsilon^2/2).
    """
    d, epsilon = _checked(dimension, epsilon)
    return -_log_outside(d, epsilon)


def asymptotic_bound(epsilon: float) -> float:
    """Return the Kabatyanskii-Levenshtein exponent: ln N is at most d times this, up to o(d).

    Parameters
    ----------
    epsilon
        Largest |cosine| of the angle of a pair, in (0, 1).

    Raises
    ------
    ValueError
        If epsilon is out of range.

    Notes
    -----
    Kabatyanskii and Levenshtein (1978), for codes with angles of at least phi = arccos(epsilon):
    u ln u - v ln v with u = (1 + sin phi)/(2 sin phi) and v = u - 1. Vectors and their opposites
    form such a code of 2 N. For small epsilon it is (epsilon^2/4)(1 + ln(4/epsilon^2)), which
    exceeds the exponent epsilon^2/2 of the greedy bound.
    """
    epsilon = _validate.real("epsilon", epsilon, low=0.0, high=1.0, low_open=True, high_open=True)
    sine = math.sqrt((1.0 - epsilon) * (1.0 + epsilon))
    v = epsilon * epsilon / (2.0 * sine * (1.0 + sine))  # (1 - sine)/(2 sine)
    return (1.0 + v) * math.log1p(v) - (v * math.log(v) if v > 0.0 else 0.0)


def _checked(dimension: int, epsilon: float) -> tuple[int, float]:
    d = _validate.whole("dimension", dimension, low=2, high=MAX_DIMENSION)
    allowed = {"low": 0.0, "high": 1.0}
    return d, _validate.real("epsilon", epsilon, low_open=True, high_open=True, **allowed)


def _log_mean(d: int, k: int) -> float:
    """Ln of the mean of (u.v)^(2k) over the sphere."""
    if k <= 64:
        return sum(math.log((2 * j + 1) / (d + 2 * j)) for j in range(k))
    from scipy.special import betaln

    return float(betaln(k + 0.5, 0.5 * (d - 1.0)) - betaln(0.5, 0.5 * (d - 1.0)))


def _best_order(d: int, epsilon: float) -> int:
    """Order with the least bound: it speaks from some order on, and then falls and rises once."""
    first, step = 1, 1
    while math.isinf(welch_bound(d, epsilon, first)):
        first *= 2
    low = first // 2  # silent, or 0
    while first - low > 1:
        middle = (first + low) // 2
        if math.isinf(welch_bound(d, epsilon, middle)):
            low = middle
        else:
            first = middle
    while welch_bound(d, epsilon, first + 2 * step) < welch_bound(d, epsilon, first + step):
        step *= 2
    left, right = first, first + 2 * step
    while right > left:
        middle = (left + right) // 2
        if welch_bound(d, epsilon, middle + 1) < welch_bound(d, epsilon, middle):
            left = middle + 1
        else:
            right = middle
    return left


def _log_outside(d: int, epsilon: float) -> float:
    """Ln P(|u.v| > epsilon) for random directions, beyond the range of floats too."""
    from scipy.special import betainc, betaln

    s, x = 0.5 * (d - 1.0), (1.0 - epsilon) * (1.0 + epsilon)
    plain = float(betainc(s, 0.5, x))
    if plain > 1e-250:
        return math.log(plain)
    # I = x^s (1-x)^(1/2) / (s B(s, 1/2)) times sum over j of prod (s + 1/2 + i)/(s + 1 + i) x^j
    many = int(40.0 / epsilon**2) + 1
    j = np.arange(many, dtype=np.float64)
    total = 1.0 + float(np.cumprod((s + 0.5 + j) / (s + 1.0 + j) * x).sum())
    log_front = s * math.log1p(-epsilon * epsilon) + math.log(epsilon)
    return log_front - math.log(s) - float(betaln(s, 0.5)) + math.log(total)
