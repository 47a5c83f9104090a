"""The obvious ways to solve the allocation problem: for tests, teaching and benchmarks.

- :func:`greedy`: latents one by one from a heap, to the feature that gains most; optimal for
  convex curves.
- :func:`dynamic_programme`: the exact optimum for any curves, on small problems.
- :func:`bisection`: plain NumPy bisection on the price, one shared power law, K features.

They see only the first ``features`` ranks: choose more than the optimum discovers.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation.counts import weights_at
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import MAX_COUNT
from scaling_theory.groups import locate
from scaling_theory.population import Population


@dataclass(frozen=True, eq=False)
class ReferenceAllocation:
    """Latents of features 1 .. k, shape (k,), and their loss above its limit."""

    latents: Ints
    excess_loss: float

    @property
    def discovered(self) -> int:
        """Features with at least one latent."""
        return int(np.count_nonzero(self.latents))


def greedy(population: Population, latents: Any, features: Any = None) -> ReferenceAllocation:
    """Give latents one by one to the feature that gains most; ties go to the lower rank.

    Parameters
    ----------
    population, latents
        As for ``allocate``; time grows as N log D.
    features
        Number of ranks to look at; by default all, if they are finitely many.
    """
    budget = _validate.latents(latents)
    weights, curves = _features(population, features)
    tables = {id(curve): _GainTable(curve) for curve in curves}
    gains = [tables[id(curve)] for curve in curves]
    heap = [(-w * g[1], i) for i, (w, g) in enumerate(zip(weights, gains, strict=True))]
    heapq.heapify(heap)
    n = [0] * len(weights)
    for _ in range(budget):
        gain, i = heap[0]
        if gain == 0.0:
            break
        n[i] += 1
        heapq.heapreplace(heap, (-weights[i] * gains[i][n[i] + 1], i))
    return _result(weights, curves, n)


def dynamic_programme(
    population: Population, latents: Any, features: Any = None
) -> ReferenceAllocation:
    """Exact optimum for any curves by trying every number of latents on every feature.

    Time features * N^2 / 2: for small problems. The budget is spent in full.
    """
    budget = _validate.latents(latents)
    weights, curves = _features(population, features)
    n = np.arange(budget + 1, dtype=np.float64)
    best = np.zeros(1)
    choices = []
    for w, curve in zip(weights, curves, strict=True):
        loss = w * curve.excess(n)
        size = budget + 1
        # candidate[t, m]: t latents so far, m of them on this feature
        previous = np.concatenate([best, np.full(size - best.size, np.inf)])
        t, m = np.arange(size)[:, None], np.arange(size)[None, :]
        candidate = np.where(t >= m, previous[np.maximum(t - m, 0)] + loss[None, :], np.inf)
        choices.append(candidate.argmin(axis=1))
        best = candidate.min(axis=1)
    left = budget
    dealt = []
    for choice in reversed(choices):
        dealt.append(int(choice[left]))
        left -= dealt[-1]
    return _result(weights, curves, dealt[::-1])


def bisection(
    alpha: float, beta: float, latents: int, features: int, steps: int = 100
) -> ReferenceAllocation:
    """Plain NumPy bisection on the price for p_i ~ i^-(1+alpha), L = (1+n)^-beta, K features.

    The number of latents of each feature at a price is taken from the continuous inverse gain and
    mended by one; what a user would write in twenty lines. The budget is met to within ties.
    """
    p = np.arange(1.0, features + 1.0) ** -(1.0 + alpha)
    p /= p.sum()

    def gain(n: Floats) -> Floats:
        return np.asarray(n**-beta - (n + 1.0) ** -beta)

    def counts(price: float) -> Floats:
        n = np.maximum(np.floor((p * beta / price) ** (1.0 / (1.0 + beta)) - 0.5), 0.0)
        n += p * gain(n + 1.0) >= price
        n -= (n > 0.0) & (p * gain(np.maximum(n, 1.0)) < price)
        return np.asarray(n)

    low, high = 1e-300, float(p[0])
    for _ in range(steps):
        middle = float(np.sqrt(low * high))
        if counts(middle).sum() >= latents:
            low = middle
        else:
            high = middle
    n = counts(low)
    return ReferenceAllocation(n.astype(np.int64), float((p * (1.0 + n) ** -beta).sum()))


def _features(population: Population, features: Any) -> tuple[list[float], list[LossCurve]]:
    """Weights and curves of the first ranks, one entry per feature."""
    if features is None and population.count is None:
        raise ValueError("features must be given where there are infinitely many, got None")
    most = population.count or MAX_COUNT
    k = most if features is None else _validate.whole("features", features, low=1, high=most)
    ranks = np.arange(1, k + 1, dtype=np.int64)
    weights = [0.0] * k
    curves: list[Any] = [None] * k
    for block in population.blocks:
        inside, index = locate(block, ranks)
        if not inside.size:
            continue
        w, curve = weights_at(block, ranks[inside], index)
        shared = curve.size is None
        for j, (place, weight) in enumerate(zip(inside.tolist(), w.tolist(), strict=True)):
            weights[place] = weight
            curves[place] = curve if shared else curve.take(np.array([j]))
    return weights, curves


class _GainTable:
    """True gains m(1), m(2), ... of one curve as Python floats, in growing pieces."""

    def __init__(self, curve: LossCurve) -> None:
        self.curve = curve
        self.values: list[float] = [0.0]

    def __getitem__(self, n: int) -> float:
        while n >= len(self.values):
            start = len(self.values)
            at = np.arange(start, max(2 * start, 4), dtype=np.int64)
            self.values.extend(self.curve.gain(at).tolist())
        return self.values[n]


def _result(weights: list[float], curves: list[LossCurve], n: list[int]) -> ReferenceAllocation:
    excess = sum(
        w * float(curve.excess(np.array([float(m)]))[0])
        for w, curve, m in zip(weights, curves, n, strict=True)
    )
    return ReferenceAllocation(np.array(n, dtype=np.int64), excess)
