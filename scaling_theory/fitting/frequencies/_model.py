"""From data and candidates to the best tail, for every kind alike: search, likelihood, interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.fitting.frequencies._binned import Bins
from scaling_theory.fitting.frequencies._sample import CODES, Sample

Interval = tuple[float, float]


@final
@dataclass(frozen=True, eq=False)
class Rule:
    """Which xmin are tried: anew on every resampled or synthetic set of data.

    Attributes
    ----------
    kind, top
        Of the tail; ``top`` is inf or xmax.
    number
        At most so many of the distinct values, evenly spaced in the logarithm of the tail's size;
        None for all.
    given
        These instead, as far as two distinct values are left at or above them.
    """

    kind: str
    top: float
    number: int | None
    given: Floats | None

    def candidates(self, data: Sample | Bins) -> tuple[Ints, Floats]:
        """Indices of the first value (or bin) of each tail, and its xmin."""
        if isinstance(data, Bins):
            places = data.starts()
            starts = data.edges[places]
            if self.given is not None:
                # a bin counts as a whole: from the first one that begins at or above the xmin
                places = np.unique(np.searchsorted(data.edges, self.given)).astype(np.int64)
                places = places[places <= (data.starts()[-1] if data.starts().size else -1)]
                starts = data.edges[places]
            return places, starts
        last = data.values.size - 1  # one distinct value has no exponent
        if self.given is not None:
            places = np.searchsorted(data.values, self.given).astype(np.int64)
            return places[places < last], self.given[places < last]
        places = np.arange(last, dtype=np.int64)
        if self.number is not None and last > self.number:
            sizes = np.geomspace(data.above[0], data.above[last - 1], self.number)
            found = last - 1 - np.searchsorted(data.above[last - 1 :: -1], sizes[::-1] * (1 - 1e-9))
            places = np.unique(np.clip(found, 0, last - 1)).astype(np.int64)
        return places, data.values[places]


@final
@dataclass(frozen=True)
class Found:
    """A fitted tail: exponent, xmin, index of its first value or bin, distance, candidates."""

    exponent: float
    xmin: float
    place: int
    distance: float
    tried: int


def search(data: Sample | Bins, rule: Rule) -> Found | None:
    """Return the tail with the least Kolmogorov-Smirnov distance; None if there is no candidate."""
    places, starts = rule.candidates(data)
    if places.size == 0:
        return None
    if isinstance(data, Bins):
        fits = [(data.exponent(int(k)), int(k)) for k in places]
        gaps = [data.distance(a, k) for a, k in fits]
        best = int(np.argmin(gaps))
        a, k = fits[best]
        return Found(a, float(starts[best]), k, gaps[best], places.size)
    distances, exponents, best = distances_of(data, rule, every=False)
    return Found(
        float(exponents[best]),
        float(starts[best]),
        int(places[best]),
        float(distances[best]),
        places.size,
    )


def distances_of(data: Sample, rule: Rule, *, every: bool) -> tuple[Floats, Floats, int]:
    """Distance and exponent of each candidate, and the best one's number.

    Without ``every``, the distance is nan where it was seen to exceed the least.
    """
    from scaling_theory.fitting.frequencies import _search

    places, starts = rule.candidates(data)
    distances, exponents = np.empty(places.size), np.empty(places.size)
    best = _search.search(
        CODES[rule.kind], places, np.asarray(starts), rule.top, data.values, data.above,
        data.excess, every, distances, exponents,
    )  # fmt: skip
    return distances, exponents, int(best)


@final
@dataclass(frozen=True, eq=False)
class Likelihood:
    """Log-likelihood of the tail's exponent a, xmin held."""

    data: Sample | Bins
    kind: str
    place: int
    xmin: float
    top: float

    def __call__(self, a: float) -> float:
        """At a."""
        if isinstance(self.data, Bins):
            return self.data.log_likelihood(a, self.place)
        from scaling_theory.fitting.frequencies import _kernels

        return float(_kernels.log_likelihood(CODES[self.kind], a, *self._arguments(self.data)))

    def score(self, a: float) -> float:
        """Derivative of the mean log-likelihood at a."""
        if isinstance(self.data, Bins):
            return self.data.score(a, self.place)
        from scaling_theory.fitting.frequencies import _kernels

        return float(_kernels.score(CODES[self.kind], a, *self._arguments(self.data)))

    def exponent(self) -> float:
        """Maximum-likelihood a."""
        if isinstance(self.data, Bins):
            return self.data.exponent(self.place)
        from scaling_theory.fitting.frequencies import _kernels

        return float(_kernels.exponent(CODES[self.kind], 2.0, *self._arguments(self.data)))

    def _arguments(self, data: Sample) -> Any:
        return self.place, self.xmin, self.top, data.values, data.above, data.excess

    @property
    def bounds(self) -> Interval:
        """The open range in which a has a likelihood."""
        least = 1.0 if self.top == math.inf or self.kind == "poisson" else -math.inf
        return least, self.xmin + 1.0 if self.kind == "poisson" else math.inf

    @property
    def tail(self) -> int:
        """Number of data at or above xmin."""
        if isinstance(self.data, Bins):
            return int(self.data.counts[self.place :].sum())
        return int(self.data.above[self.place])

    def error(self, a: float) -> float:
        """Standard error of a: the inverse root of the observed information."""
        least, most = self.bounds
        step = 1e-4 * min(abs(a) + 1.0, a - least, most - a)
        slope = (self.score(a + step) - self.score(a - step)) / (2.0 * step)
        return 1.0 / math.sqrt(-slope * self.tail)

    def interval(self, a: float, level: float) -> Interval:
        """The a whose log-likelihood is within half the quantile of chi-square (1) of the best."""
        from scipy.optimize import brentq
        from scipy.special import chdtri

        floor = self(a) - 0.5 * float(chdtri(1.0, 1.0 - level))
        least, most = self.bounds

        def height(x: float) -> float:
            return self(x) - floor

        ends = []
        for bound in (least, most):
            step = 3.0 * self.error(a) * (-1.0 if bound is least else 1.0)
            while True:
                # half of the way to the bound, where a whole step would cross it
                far = a + step if abs(step) < abs(bound - a) else a + (1.0 - 2.0**-20) * (bound - a)
                if height(far) < 0.0 or abs(step) >= abs(bound - a):
                    break
                step *= 2.0
            ends.append(float(brentq(height, a, far, xtol=1e-12, rtol=1e-12)))
        return ends[0], ends[1]
