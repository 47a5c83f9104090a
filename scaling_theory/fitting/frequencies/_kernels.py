"""Tails of power laws, compiled by Numba: likelihood, survival function, search for xmin.

Three kinds of tail with density exponent a, each from ``start`` (xmin) up to ``top`` (infinity, or
xmax; always infinity for the third), all as the mass at or above x relative to that at or above
``start``:

- CONTINUOUS: x^-a.
- DISCRETE: x^-a on whole numbers, by a sum that Euler and Maclaurin's formula ends.
- POISSON: whole numbers k ~ Poisson(rate), rate ~ rate^-a down to rates that no longer matter. The
  integral over rates is Gamma(k + 1 - a) / Gamma(k + 1), and its sum from k on telescopes to
  Gamma(k + 1 - a) / Gamma(k) / (a - 1).

Data are distinct values in increasing order (``values``), with ``above[j]`` = number of data at or
above ``values[j]`` (and a last 0), and ``excess[j]`` = sum of ln(value / values[j]) over those.

Everything compiled is in this one file, so that Numba's cache is never older than what it holds.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

CONTINUOUS, DISCRETE, POISSON = 0, 1, 2

_jit = numba.njit(cache=True, error_model="numpy", nogil=True)

#: B_2k / (2k)! of Euler and Maclaurin's formula.
_EULER = np.array([
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000,
    1 / 74724249600, -3617 / 10670622842880000,
])  # fmt: skip
_FAR = 12.0  # the formula is good to rounding from here (plus |a|) on
_ASYMPTOTIC = 5000.0  # from here on the ratio of gammas by its series, free of cancellation


@_jit
def _end(a: float, q: float, far: float) -> tuple[float, float]:
    """Terms at ``far`` of the sum of (x/q)^-a from there on, less the integral; d/da of them."""
    r = math.log(far / q)
    term, change = a / far, 1.0 / far  # a (a + 1) ... (a + 2k) / far^(2k + 1), and d/da of it
    total, slope = 0.5, 0.0
    for k in range(_EULER.size):
        total += _EULER[k] * term
        slope += _EULER[k] * change
        for step in (2 * k + 1, 2 * k + 2):
            change = (change * (a + step) + term) / far
            term *= (a + step) / far
    p = math.exp(-a * r)
    return p * total, p * (slope - r * total)


@_jit
def _integral(a: float, q: float, low: float, high: float) -> tuple[float, float]:
    """Integral of (x/q)^-a from low to high, which may be inf for a > 1, and d/da of it."""
    b = a - 1.0
    r = math.log(low / q)
    p = low * math.exp(-a * r)
    if high == math.inf:
        return p / b, -p / b * (r + 1.0 / b)
    span = math.log(high / low)
    u = b * span
    if abs(u) < 0.5:  # the closed form of the change loses eps/u^2
        share, change, term = 0.0, 0.0, 1.0  # term = (-u)^k/(k + 1)!
        for k in range(16):
            share += term
            change -= term * (k + 1.0) / (k + 2.0)
            term *= -u / (k + 2.0)
    else:
        share = -math.expm1(-u) / u
        change = (math.exp(-u) * (1.0 + u) - 1.0) / (u * u)
    return p * span * share, p * span * (span * change - r * share)


@_jit
def power_sum(a: float, q: float, top: float) -> tuple[float, float]:
    """Sum of (x/q)^-a over whole x from q to top, and its derivative with respect to a."""
    total, slope, x = 0.0, 0.0, q
    far = _FAR + abs(a)
    while x < far and x <= top:
        r = math.log(x / q)
        p = math.exp(-a * r)
        total += p
        slope -= r * p
        if p < 1e-18 * total:
            return total, slope
        x += 1.0
    if x > top:
        return total, slope
    body, d_body = _integral(a, q, x, top + 1.0)
    near, d_near = _end(a, q, x)
    total, slope = total + body + near, slope + d_body + d_near
    if top != math.inf:
        last, d_last = _end(a, q, top + 1.0)
        total, slope = total - last, slope - d_last
    return total, slope


@_jit
def log_ratio(a: float, x: float) -> float:
    """Return ln(Gamma(x + 1 - a) / Gamma(x)), for x > a - 1."""
    if x < _ASYMPTOTIC + a * a:
        return math.lgamma(x + 1.0 - a) - math.lgamma(x)
    b, w = a - 1.0, x - 0.5 * a
    return -b * math.log(w) + math.log1p(b * (b * b - 1.0) / (24.0 * w * w))


@_jit
def log_ratios(a: float, values: Any) -> Any:
    """Return :func:`log_ratio` at each of ``values``, (m,) floats."""
    out = np.empty(values.size)
    for i in range(values.size):
        out[i] = log_ratio(a, values[i])
    return out


@_jit
def _digamma(x: float) -> float:
    """Digamma function of x > 0."""
    total = 0.0
    while x < 12.0:
        total -= 1.0 / x
        x += 1.0
    y = 1.0 / (x * x)
    series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y * (1 / 132)))))
    return total + math.log(x) - 0.5 / x - series


@_jit
def log_mass(kind: int, a: float, x: float, start: float, top: float) -> float:
    """Log of the weight of [x, top], weights as in each kind's own formula, relative to start."""
    if kind == CONTINUOUS:
        return math.log(_integral(a, start, x, top)[0])
    if kind == DISCRETE:
        return math.log(power_sum(a, x, top)[0]) - a * math.log(x / start)
    return log_ratio(a, x)


@_jit
def survival(kind: int, a: float, x: float, start: float, top: float, base: float) -> float:
    """Share at or above x; ``base`` is :func:`log_mass` at start."""
    if x > top or (kind == CONTINUOUS and x == top):
        return 0.0
    if kind == CONTINUOUS and top == math.inf:
        return math.exp((1.0 - a) * math.log(x / start))
    return math.exp(log_mass(kind, a, x, start, top) - base)


@_jit
def score(
    kind: int, a: float, k: int, start: float, top: float, values: Any, above: Any, excess: Any
) -> float:
    """Derivative with respect to a of the mean log-likelihood of the data from index k on."""
    n = above[k]
    mean = excess[k] / n + math.log(values[k] / start)
    if kind == CONTINUOUS:
        mass, slope = _integral(a, start, start, top)
        return -mean - slope / mass
    if kind == DISCRETE:
        mass, slope = power_sum(a, start, top)
        return -mean - slope / mass
    total = 0.0
    for j in range(k, values.size):
        total -= (above[j] - above[j + 1]) * _digamma(values[j] + 1.0 - a)
    return total / n + _digamma(start + 1.0 - a) + 1.0 / (a - 1.0)


@_jit
def log_likelihood(
    kind: int, a: float, k: int, start: float, top: float, values: Any, above: Any, excess: Any
) -> float:
    """Log-likelihood of the data from index k on."""
    n = above[k]
    if kind != POISSON:
        total = -a * (excess[k] + n * math.log(values[k] / start))
        return total - n * log_mass(kind, a, start, start, top)
    total = 0.0
    for j in range(k, values.size):
        number = above[j] - above[j + 1]
        total += number * (log_ratio(a, values[j]) - math.log(values[j]))
    return total - n * (log_mass(kind, a, start, start, top) - math.log(a - 1.0))


@_jit
def exponent(
    kind: int,
    guess: float,
    k: int,
    start: float,
    top: float,
    values: Any,
    above: Any,
    excess: Any,
) -> float:
    """Maximum-likelihood a for the data from index k on: at least two distinct values.

    The score falls with a. Its root is bracketed from the guess and closed in on by regula falsi
    with halved ends (the Illinois rule), in ln(a - 1) where a has to exceed 1.
    """
    n = above[k]
    if kind == CONTINUOUS and top == math.inf:
        return 1.0 + n / (excess[k] + n * math.log(values[k] / start))
    least = -math.inf
    most = math.inf
    if top == math.inf or kind == POISSON:
        least = 1.0
    if kind == POISSON:
        most = start + 1.0
    if not least < guess < most:
        guess = 2.0 if most > 3.0 else 0.5 * (least + most)
    low = high = guess
    f_low = f_high = score(kind, guess, k, start, top, values, above, excess)
    if f_low == 0.0:
        return guess
    step = 0.05 * (guess - 1.0) if least == 1.0 else 0.1
    while f_low < 0.0:
        high, f_high = low, f_low
        low = max(low - step, 0.5 * (low + least)) if least == 1.0 else low - step
        step *= 2.0
        f_low = score(kind, low, k, start, top, values, above, excess)
    step = max(high - low, 0.05 * (high - 1.0) if least == 1.0 else 0.1)
    while f_high > 0.0:
        low, f_low = high, f_high
        high = min(high + step, 0.5 * (high + most)) if kind == POISSON else high + step
        step *= 2.0
        f_high = score(kind, high, k, start, top, values, above, excess)
    side = 0
    for _ in range(200):
        if high - low <= 4e-16 * (abs(low) + abs(high)) or f_low == f_high:
            break
        middle = (low * f_high - high * f_low) / (f_high - f_low)
        if not low < middle < high:
            middle = 0.5 * (low + high)
        f = score(kind, middle, k, start, top, values, above, excess)
        if f == 0.0:
            return middle
        if f > 0.0:
            close = middle - low <= 1e-14 * abs(middle)
            low, f_low = middle, f
            f_high = 0.5 * f_high if side == 1 else f_high
            side = 1
        else:
            close = high - middle <= 1e-14 * abs(middle)
            high, f_high = middle, f
            f_low = 0.5 * f_low if side == -1 else f_low
            side = -1
        if close and side != 0 and abs(f) < 1e-13:
            return middle
    return 0.5 * (low + high)
