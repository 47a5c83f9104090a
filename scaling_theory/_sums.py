"""Sums of powers over ranks, accurate to rounding for every exponent and every cut.

``power_sum_after`` gives sum over k < i <= count of (i + offset)^-s, for finite or infinite
``count``. SciPy's Hurwitz zeta covers the infinite case with s > 1 only, and a difference of two
of them loses the digits that a short or distant range needs; here the tail is summed as positive
terms by the Euler-Maclaurin formula at midpoints (NIST DLMF 2.10.1 with 24.4.27).
"""

from __future__ import annotations

import math

import numpy as np

from scaling_theory._validate import Floats

#: Coefficients of f', f''', f^(5), f^(7) in the midpoint Euler-Maclaurin formula.
_MIDPOINT = (-1.0 / 24.0, 7.0 / 5760.0, -31.0 / 967680.0, 127.0 / 154828800.0)


def power_sum_after(after: Floats, s: float, offset: float, count: int | None) -> Floats:
    """Sum (i + offset)^-s over the ranks i with after < i <= count.

    Parameters
    ----------
    after
        Ranks k >= 0, as floats, any shape.
    s
        Exponent; greater than 1 when ``count`` is None.
    offset
        Added to every rank; greater than -1.
    count
        Last rank, or None for infinitely many.

    Returns
    -------
    Floats
        Same shape as ``after``; relative error a few units in the last place.
    """
    k = np.atleast_1d(np.asarray(after, dtype=np.float64))
    last = math.inf if count is None else float(count)
    start = float(math.ceil(max(32.0 + 8.0 * abs(s) - offset, 0.0)))
    if start >= last:
        start = last
    # Positive terms, smallest first: head[j] is the sum after rank j, for j = 0 .. start.
    terms = (np.arange(1.0, start + 1.0) + offset) ** -s
    beyond = _smooth_sum(np.array([start]), s, offset, last)[0]
    head = np.empty(int(start) + 1)
    head[-1] = beyond
    head[:-1] = beyond + np.cumsum(terms[::-1])[::-1]
    out = np.empty_like(k)
    early = k < start
    out[early] = head[k[early].astype(np.int64)]
    late = ~early
    if late.any():
        out[late] = _smooth_sum(k[late], s, offset, last)
    return out.reshape(np.shape(after))


def _smooth_sum(k: Floats, s: float, offset: float, last: float) -> Floats:
    """Sum after rank k by Euler-Maclaurin; k + offset large enough, or k = last."""
    low = k + (0.5 + offset)
    with np.errstate(over="ignore"):
        total = low**-s  # f at the lower end; every term below is a multiple of it
    if math.isinf(last):
        correction = _corrections(s, low)
        return np.asarray(total * (low / (s - 1.0) - correction))
    high = last + 0.5 + offset
    span = np.log1p((last - k) / low)
    if s == 1.0:
        integral = low * total * span
    else:
        integral = low * total * (-np.expm1((1.0 - s) * span) / (s - 1.0))
    at_high = high**-s * _corrections(s, np.array([high]))
    out = integral + (at_high - total * _corrections(s, low))
    return np.asarray(np.where(k >= last, 0.0, out))


def _corrections(s: float, x: Floats) -> Floats:
    """Sum of the midpoint corrections at x, in units of f(x) = x^-s."""
    out = np.zeros_like(x)
    derivative = np.full_like(x, -s) / x  # f' / f
    for order, coefficient in enumerate(_MIDPOINT):
        out += coefficient * derivative
        j = 2 * order + 1
        derivative = derivative * ((s + j) * (s + j + 1.0)) / x**2
    return out


def regular_power_sum_after(after: int, excess: float, offset: float) -> float:
    """Sum of (i + offset)^-s over i > after, without its pole 1/(s-1), for s = 1 + ``excess``.

    For s > 1 it is the sum minus 1/(s-1); for s <= 1 its analytic continuation, and at s = 1 the
    limit, -digamma(after + 1 + offset).
    """
    s = 1.0 + excess
    start = max(float(after), math.ceil(max(32.0 + 8.0 * abs(s) - offset, 0.0)))
    direct = float(((np.arange(after + 1.0, start + 1.0) + offset) ** -s).sum())
    low = np.array([start + 0.5 + offset])
    span = math.log(low[0])
    regular = -span * float(relative_expm1(np.array([-excess * span]))[0])
    return direct + regular - float((low**-s * _corrections(s, low))[0])


def relative_expm1(x: Floats) -> Floats:
    """Return (e^x - 1) / x, and 1 at 0."""
    safe = np.where(x == 0.0, 1.0, x)
    return np.asarray(np.where(x == 0.0, 1.0, np.expm1(safe) / safe))
