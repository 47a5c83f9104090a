"""The Lagrangian solution: real numbers of latents, as in the papers' derivations.

At a price each feature takes the n that minimises w L(n) + price n. For power laws that is
n_i + shift ~ w_i^(1/(1+beta)) above the cutoff. Sums over an infinite tail are done by the
Euler-Maclaurin formula, without truncation. Curves that are only given on whole numbers are
joined by straight lines, so that their part of the problem is the integer one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation.counts import checked_ranks, weights_at
from scaling_theory.allocation.exact import floor_loss
from scaling_theory.allocation.solvers import solver_for
from scaling_theory.groups import Block, ListedBlock, TailBlock, locate
from scaling_theory.population import Population

#: Terms of each progression of ranks that are summed one by one before the integral takes over.
_DIRECT = 512
#: Relative distance of the two prices between which the solution lies.
_WIDTH = 1e-14


@final
@dataclass(frozen=True, eq=False)
class ContinuousAllocation:
    """The optimum over real n_i >= 0.

    Attributes
    ----------
    population, latents
        What was solved.
    total
        Latents spent, a real number: ``latents`` to rounding, or less if saturated.
    discovered
        Number of features with n_i > 0, however little: more than :func:`allocate` discovers.
    loss, excess_loss, price
        As in :class:`Allocation`.
    status
        "optimal" or "saturated".
    seconds
        Time of the solution.
    """

    population: Population
    latents: int
    total: float
    discovered: int
    loss: float
    excess_loss: float
    price: float
    status: Literal["optimal", "saturated"]
    seconds: float
    _mix: float = field(repr=False)  # share of the solution at the lower of two prices

    def latents_at(self, ranks: Any) -> Floats:
        """Latents n_i of the given ranks, real numbers, shape (k,) or one number -> (k,)."""
        at = checked_ranks(self.population, ranks)
        out = np.zeros(at.shape)
        for block in self.population.blocks:
            inside, index = locate(block, at)
            if not inside.size or self.latents == 0:
                continue
            weight, curve = weights_at(block, at[inside], index)
            for price, share in _two_prices(self.price, self._mix):
                if curve.smooth:
                    n = curve.continuous_latents(price / weight)
                else:
                    n = curve.count_at(weight, max(price, 5e-324))
                out[inside] += share * n
        return out


def allocate_continuous(population: Population, latents: Any) -> ContinuousAllocation:
    """Spend N latents in real amounts: the Lagrangian solution.

    Parameters
    ----------
    population
        Features with their frequencies and loss curves. Curves that are not convex are replaced
        by their lower convex envelope (for a power law with shift=0: its tangent from n = 0).
    latents
        Budget N, a whole number from 0 to 1e15.

    Returns
    -------
    ContinuousAllocation
        The optimum of the relaxation: its excess loss is never above that of ``allocate``.

    Raises
    ------
    ValueError
        If ``latents`` is not a whole number in range.

    Notes
    -----
    Michaud, Gorton and McGrath (2025), appendix B.2, equation 2: n_i ~ p_i^(1/(1+beta)), with
    the cutoff placed where a feature's n_i reaches 0 rather than "about 1".
    """
    from scipy.optimize import brentq

    if not isinstance(population, Population):
        raise ValueError(f"population must be a Population, got {population!r}")
    budget = _validate.latents(latents)
    began = time.perf_counter()
    parts = [_part_for(block) for block in population.blocks]

    def at(price: float) -> tuple[float, int, float]:
        values = [part(price) for part in parts]
        return (
            sum(v[0] for v in values),
            sum(v[1] for v in values),
            sum(v[2] for v in values),
        )

    floor = floor_loss(population)
    top = _top_price(population)
    if budget == 0 or top == 0.0:
        _, _, excess = at(2.0 * top if top > 0.0 else 1.0)
        status: Literal["optimal", "saturated"] = "optimal" if top > 0.0 else "saturated"
        spent = time.perf_counter() - began
        return ContinuousAllocation(
            population, budget, 0.0, 0, excess + floor, excess, top, status, spent, 0.0
        )
    low = top
    while at(low)[0] < budget:
        if low < 1e-290:
            total, found, excess = at(low)
            spent = time.perf_counter() - began
            return ContinuousAllocation(
                population,
                budget,
                total,
                found,
                excess + floor,
                excess,
                0.0,
                "saturated",
                spent,
                1.0,
            )
        low *= 1e-3 if population.count is not None else 0.05

    def distance(log_ratio: float) -> float:
        return math.log(max(at(low * math.exp(log_ratio))[0], 1e-9) / budget)

    most = math.log(min(1e3, top / low)) + 1e-9
    price = low * math.exp(float(brentq(distance, 0.0, most, xtol=1e-15, rtol=1e-15)))
    (low_price, _), (high_price, _) = _two_prices(price, 0.0)
    (n_low, d_low, e_low), (n_high, d_high, e_high) = at(low_price), at(high_price)
    mix = min(max((budget - n_high) / (n_low - n_high), 0.0), 1.0) if n_low > n_high else 0.0
    excess = mix * e_low + (1.0 - mix) * e_high
    return ContinuousAllocation(
        population,
        budget,
        mix * n_low + (1.0 - mix) * n_high,
        d_low if mix > 0.0 else d_high,
        excess + floor,
        excess,
        price,
        "optimal",
        time.perf_counter() - began,
        mix,
    )


def _two_prices(price: float, mix: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Prices just below and above, with the share of each one's solution."""
    return (price * (1.0 - _WIDTH), mix), (price * (1.0 + _WIDTH), 1.0 - mix)


def _top_price(population: Population) -> float:
    """A price at which little or nothing is taken."""
    top = 0.0
    for block in population.blocks:
        if not block.curve.smooth:
            top = max(top, solver_for(block).top_gain())
            continue
        if isinstance(block, ListedBlock):
            weight, curve = block.weights, block.curve
        else:
            first = block.ranks.members(
                block.ranks.start, block.ranks.start + 2 * block.ranks.period
            )
            weight, curve = block.magnitude * block.law._at(first), block.curve
        slope = np.ones(weight.size)
        while (curve.continuous_latents(slope) > 0.0).any():
            slope *= 2.0
        top = max(top, float((weight * slope).max(initial=0.0)))
    return top


def _part_for(block: Block) -> Callable[[float], tuple[float, int, float]]:
    """Price -> (latents, discovered, excess) of a block."""
    if not block.curve.smooth:
        solver = solver_for(block)

        def joined(price: float) -> tuple[float, int, float]:
            level = solver.level(price)
            return float(level.count), level.discovered, solver.excess(level)

        return joined
    if isinstance(block, ListedBlock):
        return lambda price: _listed(block, price)
    return lambda price: _tail(block, price)


def _listed(block: ListedBlock, price: float) -> tuple[float, int, float]:
    n = block.curve.continuous_latents(price / block.weights)
    excess = (block.weights * block.curve.continuous_excess(n)).sum()
    return float(n.sum()), int(np.count_nonzero(n > 0.0)), float(excess)


def _tail(block: TailBlock, price: float) -> tuple[float, int, float]:
    """Sum over the discovered ranks of a tail; the rest lacks everything."""
    law, curve, tail = block.law, block.curve, block.ranks

    def values(x: Floats) -> Floats:
        weight = block.magnitude * law._at(x)
        n = curve.continuous_latents(price / weight)
        return np.stack([n, weight * curve.continuous_excess(n)])

    last = _last_discovered(values, tail.start, tail.count)
    if last <= tail.start:
        sums, found = np.zeros(2), 0
    else:
        found = int(tail.count_upto(np.array([last]))[0])
        everything = np.arange(1, tail.period + 1)
        if 2 * tail.residues.size > tail.period > 1:
            others = np.setdiff1d(everything, tail.residues)
            sums = _progression(values, tail.start, last, 1, 1)
            for r in others.tolist():
                sums = sums - _progression(values, tail.start, last, r, tail.period)
        else:
            sums = np.zeros(2)
            for r in tail.residues.tolist():
                sums = sums + _progression(values, tail.start, last, r, tail.period)
        dropped = tail.excluded[tail.excluded <= last]
        if dropped.size:
            sums = sums - values(dropped.astype(np.float64)).sum(axis=1)
    rest = tail.mass_after(law, np.array([max(last, tail.start)], dtype=np.int64))[0]
    at_zero = float(curve.continuous_excess(np.zeros(1))[0])
    return float(sums[0]), found, float(sums[1] + block.magnitude * rest * at_zero)


def _last_discovered(values: Callable[[Floats], Floats], start: int, count: int | None) -> int:
    """Last rank with n > 0 (or ``start``): n falls with the rank."""
    low, high = start, start + 1
    most = count or 2**62
    while high <= most and values(np.array([float(high)]))[0, 0] > 0.0:
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if values(np.array([float(middle)]))[0, 0] > 0.0:
            low = middle
        else:
            high = middle
    return low


def _progression(
    values: Callable[[Floats], Floats], start: int, last: int, residue: int, period: int
) -> Floats:
    """Sum of values(residue + period j) over start < residue + period j <= last."""
    first = max((start - residue) // period + 1, 0)
    final = (last - residue) // period
    if final < first:
        return np.zeros(2)

    def at(j: Floats | Ints) -> Floats:
        return values(residue + period * np.asarray(j, dtype=np.float64))

    direct = min(final, first + _DIRECT - 1)
    out = at(np.arange(first, direct + 1)).sum(axis=1)
    if direct == final:
        return np.asarray(out)
    low, high = direct + 1, max(final - 2, direct)
    out = out + at(np.arange(high + 1, final + 1)).sum(axis=1)  # next to the cutoff
    if high < low:
        return np.asarray(out)
    edges = at(np.array([low - 1, low, high, high + 1]))
    slopes = (edges[:, 3] - edges[:, 2]) - (edges[:, 1] - edges[:, 0])
    # Panels on a log scale of the rank itself, each of at most a factor 2.
    a, b = residue + period * (low - 0.5), residue + period * (high + 0.5)
    panels = np.geomspace(a, b, 2 + int(math.log2(b / a)))
    nodes, node_weights = _gauss()
    x = panels[:-1, None] + np.diff(panels)[:, None] * nodes
    f = values(x.ravel()).reshape(2, *x.shape)
    integral = (f * node_weights * np.diff(panels)[:, None]).sum(axis=(1, 2)) / period
    return np.asarray(out + integral - slopes / 24.0)


@lru_cache(maxsize=1)
def _gauss() -> tuple[Floats, Floats]:
    """16 Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    return 0.5 * (nodes + 1.0), 0.5 * weights
