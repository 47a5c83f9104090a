"""Counts in bins: the multinomial likelihood of a continuous power law (Virkar and Clauset, 2014).

A law from edge k up to ``top`` (infinity, or the last edge) puts into each bin the integral of x^-a
over it. Nothing is said of where in its bin a datum lies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory._validate import Floats, Ints


@final
@dataclass(frozen=True, eq=False)
class Bins:
    """Edges (m + 1,), increasing and positive, the last one perhaps inf; counts (m,).

    ``top`` is where the law ends: inf, or the last edge.
    """

    edges: Floats
    counts: Ints
    top: float

    @property
    def size(self) -> int:
        """Number of data."""
        return int(self.counts.sum())

    def masses(self, a: float, k: int) -> tuple[Floats, Floats]:
        """Log of each bin's share from bin k on, and its derivative with respect to a."""
        low, high = self.edges[k:-1], self.edges[k + 1 :]
        first = np.array([self.edges[k]])
        log_mass, slope = _integrals(a, low / first, high / first)
        whole, d_whole = _integrals(a, np.ones(1), np.array([self.top]) / first)
        return log_mass - whole, slope - d_whole

    def log_likelihood(self, a: float, k: int) -> float:
        """Multinomial log-likelihood of the counts from bin k on, less its constant."""
        used = self.counts[k:] > 0
        return float(self.counts[k:][used] @ self.masses(a, k)[0][used])

    def score(self, a: float, k: int) -> float:
        """Derivative of the mean log-likelihood with respect to a."""
        used = self.counts[k:] > 0
        number = self.counts[k:][used]
        return float(number @ self.masses(a, k)[1][used]) / float(number.sum())

    def exponent(self, k: int) -> float:
        """Maximum-likelihood a from bin k on: at least two bins that are not empty."""
        from scipy.optimize import brentq

        least = 1.0 if self.top == math.inf else -math.inf
        low = high = 2.0
        step = 0.5
        while self.score(low, k) < 0.0:
            low = least + 0.5 * (low - least) if math.isfinite(least) else low - step
            step *= 2.0
        step = 0.5
        while self.score(high, k) > 0.0:
            high, step = high + step, 2.0 * step
        if low == high:
            return low
        return float(brentq(self.score, low, high, args=(k,), xtol=1e-13, rtol=1e-14))

    def distance(self, a: float, k: int) -> float:
        """Largest gap between the shares of data and theory at the edges from edge k on."""
        shares = np.exp(self.masses(a, k)[0])
        number = self.counts[k:]
        theory = np.cumsum(shares)
        data = np.cumsum(number) / number.sum()
        return float(np.max(np.abs(theory - data)))

    def starts(self) -> Ints:
        """Bins from which a law can be fitted: not empty, and another such bin after them."""
        used = np.flatnonzero(self.counts)
        return used[:-1].astype(np.int64)


def _integrals(a: float, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Log of the integral of x^-a from low to high, and its derivative with respect to a."""
    b = a - 1.0
    log_low = np.log(low)
    open_end = np.isinf(high)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        span = np.where(open_end, 1.0, np.log(high) - log_low)
        u = b * span
        small = np.abs(u) < 1e-3
        v = np.where(small, 1.0, u)
        share = np.where(
            small, 1.0 - u / 2.0 * (1.0 - u / 3.0 * (1.0 - u / 4.0)), -np.expm1(-v) / v
        )
        change = np.where(
            small,
            -0.5 + u / 3.0 - u * u / 8.0 + u * u * u / 30.0,
            (np.exp(-v) * (1.0 + v) - 1.0) / (v * v),
        )
        log_mass = np.where(open_end, -np.log(b), np.log(span * share)) - b * log_low
        slope = np.where(open_end, -1.0 / b, span * change / share) - log_low
    return log_mass, slope
