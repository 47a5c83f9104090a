"""The slope between two ranks without the noise of counting.

A latent that is seen to fire k times in a sample has a rate of about k, give or take sqrt(k).
Ranked by k, the lucky come first: where counts are small the curve is a blurred one. If rates
follow rate^-a from a smallest rate on, the integral over rates of their Poisson probabilities is

    P(k) ~ Gamma(k + 1 - a, smallest) / Gamma(k + 1),

with the upper incomplete gamma function, and the slope that the *rates* have is estimated from the
counts between the two ranks. The smallest rate is a nuisance: counts just above it are made of
fewer rates below them than above, and a law without an end would take that for a shallower one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.frequencies._model import Interval
from scaling_theory.fitting.frequencies._sample import Sample

#: Counts below this are left out: next to nothing is known of so small a rate.
LEAST = 5

#: Counts from here on are within some 2% of their rates, and where rates end is not asked.
_LARGE = 2500.0

#: Smallest a - 1: a slope of -50.
_LEAST_RISE = 0.02

#: Distance times root n that one in a hundred samples of a continuous law reaches; of counts fewer.
_REJECTED = 1.63

_LOOKED = 100  # counts at which distributions are compared

_DEVIATIONS = 12.0  # of a count above the smallest rate, from where on that rate is not felt


@final
@dataclass(frozen=True)
class CorrectedSlope:
    """Slope of the unseen rates.

    Attributes
    ----------
    slope : float
        d ln rate / d ln rank = -1 / (a - 1), by maximum likelihood of the counts between
        ``counts``.
    interval : (float, float)
        Profile-likelihood interval of the slope, the smallest rate free.
    exponent : float
        a, of the rates' density.
    smallest : float
        Where the rates end, in counts; 0 where the counts do not show an end, or where all of them
        are at least 2500.
    counts : (int, int)
        Smallest and largest count that were used; the smallest is at least 5.
    ranks : (int, int)
        Their ranks: fewer than asked for where counts fall below 5, more where the first or last
        count is shared.
    uncorrected : float
        Slope by maximum likelihood between those ranks that takes counts for rates.
    bias : float
        uncorrected - slope: what the noise did.
    """

    slope: float
    interval: Interval
    exponent: float
    smallest: float
    counts: tuple[int, int]
    ranks: tuple[int, int]
    uncorrected: float
    bias: float


def corrected_slope(counts: Floats, first: int, last: int, level: float) -> CorrectedSlope | None:
    """Fit the rates of decreasing, positive counts between two ranks.

    None where fewer than four different counts of at least 5 lie between them, or where rates are
    no power law: the best slope is steeper than -50, or the counts that the best law would give are
    rejected at 0.01 by the distance of Kolmogorov and Smirnov. Where the curve is bent, a
    correction that supposes a straight line would make a slope up.
    """
    from scipy.optimize import brentq
    from scipy.special import chdtri

    high = float(counts[first - 1])
    low = max(float(counts[last - 1]), float(LEAST))
    used = counts[(counts >= low) & (counts <= high)]
    window = Window(Sample.of(used), low, high) if used.size else None
    if window is None or window.sample.values.size < 4:
        return None
    a, smallest, best = window.maximum()
    if a < 1.0 + 1.01 * _LEAST_RISE or window.distance(a, smallest) > _REJECTED / math.sqrt(
        used.size
    ):
        return None
    floor = best - 0.5 * float(chdtri(1.0, 1.0 - level))

    def height(b: float) -> float:
        return window.profile(1.0 + b)[0] - floor

    ends = []
    for bound in (1e-3 * (a - 1.0), low - 1e-6):
        near, far = a - 1.0, a - 1.0
        while height(far) > 0.0 and far != bound:
            near, far = far, max(far / 1.1, bound) if bound < near else min(far * 1.1, bound)
        open_end = height(far) > 0.0
        ends.append(far if open_end else float(brentq(height, near, far, xtol=1e-8)))
    above = int(np.sum(counts > high))
    ranks = (above + 1, above + int(used.size))
    spacings = np.arange(ranks[0], ranks[1]) * -np.diff(np.log(used))
    slope, uncorrected = -1.0 / (a - 1.0), -float(spacings.mean())
    return CorrectedSlope(
        slope=slope,
        interval=(-1.0 / ends[0], -1.0 / ends[1]),
        exponent=a,
        smallest=smallest,
        counts=(int(low), int(high)),
        ranks=ranks,
        uncorrected=uncorrected,
        bias=uncorrected - slope,
    )


@final
@dataclass(frozen=True, eq=False)
class Window:
    """Likelihood of counts from ``low`` to ``high``, whose rates are rate^-a above a smallest."""

    sample: Sample
    low: float
    high: float

    def log_likelihood(self, a: float, smallest: float) -> float:
        """At 1 < a < low + 1 and smallest >= 0."""
        values, n = self.sample.values, self.sample.above[0]
        logs = self._log_weights(a, smallest, values)
        return float(self.sample.counts @ logs) - float(n) * self._log_total(a, smallest)

    def distance(self, a: float, smallest: float) -> float:
        """Largest distance between the law's distribution function and that of the counts."""
        values, counts = self.sample.values, self.sample.counts
        order = np.argsort(values)
        upto = np.cumsum(counts[order]) / counts.sum()
        some = np.unique(np.linspace(0, values.size - 1, _LOOKED).astype(np.int64))
        total, gaps = self._log_total(a, smallest), [0.0]
        for index in some:
            first = float(values[order[index]]) + 1.0
            if first <= self.high:
                rest = Window(self.sample, first, self.high)._log_total(a, smallest)
                gaps.append(abs(1.0 - math.exp(rest - total) - float(upto[index])))
        return max(gaps)

    def profile(self, a: float) -> tuple[float, float]:
        """Largest log-likelihood at this a, and the smallest rate that has it."""
        from scipy.optimize import minimize_scalar

        if self.low >= _LARGE:
            return self.log_likelihood(a, 0.0), 0.0
        # in the square root of the rate, of which a count tells about 1/2
        roots = np.linspace(0.0, math.sqrt(2.0 * self.low + 10.0), 9)
        heights = [self.log_likelihood(a, root * root) for root in roots]
        best = int(np.argmax(heights))
        ends = (float(roots[max(best - 1, 0)]), float(roots[min(best + 1, roots.size - 1)]))
        found = minimize_scalar(
            lambda root: -self.log_likelihood(a, root * root),
            bounds=ends, method="bounded", options={"xatol": 1e-5},
        )  # fmt: skip
        if -found.fun > heights[best]:
            return float(-found.fun), float(found.x) ** 2
        return heights[best], float(roots[best]) ** 2

    def maximum(self) -> tuple[float, float, float]:
        """The best a and smallest rate, and their log-likelihood."""
        from scipy.optimize import minimize_scalar

        # a - 1 up to its bound
        logs = np.linspace(math.log(_LEAST_RISE), math.log(self.low - 1e-6), 13)
        heights = [self.profile(1.0 + math.exp(v))[0] for v in logs]
        best = int(np.argmax(heights))
        ends = (float(logs[max(best - 1, 0)]), float(logs[min(best + 1, logs.size - 1)]))
        found = minimize_scalar(
            lambda v: -self.profile(1.0 + math.exp(v))[0],
            bounds=ends, method="bounded", options={"xatol": 1e-7},
        )  # fmt: skip
        a = 1.0 + math.exp(float(found.x))
        height, smallest = self.profile(a)
        return a, smallest, height

    def _log_weights(self, a: float, smallest: float, k: Floats) -> Floats:
        from scipy.special import gammaincc

        from scaling_theory.fitting.frequencies import _kernels

        logs = np.asarray(_kernels.log_ratios(a, k)) - np.log(k)
        if smallest > 0.0:
            near = k < self._unaffected(smallest)
            with np.errstate(divide="ignore"):
                share = np.log(gammaincc(k[near] + 1.0 - a, smallest))
            logs[near] += np.maximum(share, -700.0)
        return np.asarray(logs)

    def _unaffected(self, smallest: float) -> float:
        return math.ceil(smallest + _DEVIATIONS * math.sqrt(smallest) + 3.0 * _DEVIATIONS)

    def _log_total(self, a: float, smallest: float) -> float:
        """Log of the sum of weights from low to high: one by one, then as it telescopes."""
        from scaling_theory.fitting.frequencies import _kernels

        begin = min(max(self._unaffected(smallest), self.low), self.high + 1.0)
        logs = self._log_weights(a, smallest, np.arange(self.low, begin))
        peak = float(logs.max()) if logs.size else -math.inf
        ends = _kernels.log_ratios(a, np.array([begin, self.high + 1.0])) - math.log(a - 1.0)
        peak = max(peak, float(ends[0]))
        rest = math.exp(ends[0] - peak) * -math.expm1(float(ends[1] - ends[0]))
        return float(peak) + math.log(float(np.exp(logs - peak).sum()) + rest)
