"""Laws that a tail may follow instead, on x >= xmin, continuous or on whole numbers.

With t = ln(x / xmin), each is written so that the power law is where its second parameter is 0:

- lognormal: density of t ~ exp(-c t - d t^2), d >= 0.
- stretched exponential: exp(beta t - b expm1(beta t) / beta), beta >= 0.
- power law with a cutoff: exp(-(a - 1) t - cut expm1(t)), cut >= 0.
- exponential: exp(t - r expm1(t)), r > 0. One parameter; no power law among them.

On whole numbers the weights are the same functions over x, divided by their sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import final

import numpy as np

from scaling_theory._validate import Floats, Ints

#: Whole numbers summed one by one before the sum is continued by an integral.
_SUMMED = 512
_PANELS, _NODES = 64, 12
_NEGLIGIBLE = 45.0

Shape = Callable[[Floats, float, float], Floats]


def lognormal(t: Floats, c: float, d: float) -> Floats:
    """Log-density of t, less a constant."""
    return -c * t - d * t * t


def stretched(t: Floats, b: float, beta: float) -> Floats:
    """Log-density of t, less a constant."""
    if beta == 0.0:
        return -b * t
    with np.errstate(over="ignore"):
        return beta * t - b * np.expm1(beta * t) / beta


def cutoff(t: Floats, b: float, cut: float) -> Floats:
    """Log-density of t, less a constant; b = a - 1."""
    if cut == 0.0:
        return -b * t
    with np.errstate(over="ignore"):
        return -b * t - cut * np.expm1(t)


def exponential(t: Floats, r: float, _: float = 0.0) -> Floats:
    """Log-density of t, less a constant."""
    with np.errstate(over="ignore"):
        return t - r * np.expm1(t)


@final
@dataclass(frozen=True, eq=False)
class TailData:
    """Distinct values of a tail, their counts, xmin, and whether they are whole."""

    x: Floats
    counts: Ints
    xmin: float
    discrete: bool

    @property
    def t(self) -> Floats:
        """ln(x / xmin), (m,) floats."""
        return np.log(self.x / self.xmin)

    def log_densities(self, shape: Shape, first: float, second: float) -> Floats:
        """Normalised log-probability (density) of each distinct value, in units of x."""
        logs = shape(self.t, first, second) - np.log(self.x)
        return np.asarray(logs - self.log_constant(shape, first, second))

    def log_constant(self, shape: Shape, first: float, second: float) -> float:
        """Log of the sum (integral) of exp(shape) / x over x >= xmin."""
        if self.discrete:
            return self._log_sum(shape, first, second) - math.log(self.xmin)
        return _log_integral(shape, first, second, 0.0)

    def mean(self, of: Floats) -> float:
        """Mean over the data of something that each distinct value has."""
        return float(self.counts @ of) / float(self.counts.sum())

    def _log_sum(self, shape: Shape, first: float, second: float) -> float:
        """Log of the sum over whole x >= xmin of xmin/x exp(shape).

        From N on the sum is the integral from N - 1/2, plus f'(N - 1/2) / 24 (midpoint rule); what
        is left falls as N^-4 of it.
        """
        x = self.xmin + np.arange(_SUMMED)
        logs = shape(np.log(x / self.xmin), first, second) - np.log(x / self.xmin)
        peak = float(logs.max())
        total = float(np.exp(logs - peak).sum())
        edge = self.xmin + _SUMMED - 0.5
        near = np.array([edge - 0.5, edge + 0.5])
        ends = np.exp(
            shape(np.log(near / self.xmin), first, second) - np.log(near / self.xmin) - peak
        )
        total += float(ends[1] - ends[0]) / 24.0
        rest = _log_integral(shape, first, second, math.log(edge / self.xmin))
        return peak + math.log(total + self.xmin * math.exp(rest - peak))


def _log_integral(shape: Shape, first: float, second: float, begin: float) -> float:
    """Log of the integral of exp(shape) over t from ``begin`` on.

    Gauss-Legendre on panels up to where the integrand is negligible.
    """
    step, peak = 0.5, float(shape(np.array([begin]), first, second)[0])
    while step < 1e6:
        height = float(shape(np.array([begin + step]), first, second)[0])
        if height < peak - _NEGLIGIBLE:
            break
        peak, step = max(peak, height), 2.0 * step
    # closer, so that panels are not wasted on nothing
    low, high = 0.5 * step if step > 0.5 else 0.0, step
    for _ in range(6):
        middle = 0.5 * (low + high)
        if float(shape(np.array([begin + middle]), first, second)[0]) < peak - _NEGLIGIBLE:
            high = middle
        else:
            low = middle
    nodes, weights = _rule()
    logs = shape(begin + high * nodes, first, second)
    peak = float(logs.max())
    return peak + math.log(high * float(weights @ np.exp(logs - peak)))


@lru_cache(maxsize=1)
def _rule() -> tuple[Floats, Floats]:
    """Nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    nodes = (np.arange(_PANELS)[:, None] + 0.5 * (x + 1.0)) / _PANELS
    return nodes.reshape(-1), np.tile(0.5 * w / _PANELS, _PANELS)
