"""Check that an allocation is what it says: counted again, and against the slow solvers."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation import Allocation
from scaling_theory.allocation.counts import weights_at
from scaling_theory.allocation.exact import floor_loss
from scaling_theory.allocation.reference import dynamic_programme, greedy
from scaling_theory.frequencies import MAX_COUNT
from scaling_theory.groups import ListedBlock, locate
from scaling_theory.population import Population
from scaling_theory.testing._require import require

#: Rounding of losses, relative to that without latents, and of gains.
_LOSS, _GAIN = 1e-13, 4e-15
#: Steps of array arithmetic that take as long as one on the heap.
_HEAP = 10


def check_allocation(
    population: Population, allocation: Allocation, *, effort: Any = 1_000_000
) -> None:
    """Check the accounts, the certificate and, for small problems, the optimality.

    - Accounts: latents and discovered features add up over ranks and over groups; the loss is that
      of the curves at these latents; what is left over is idle because nothing gains any more.
    - Certificate, for convex curves: no gain left out is larger than one taken, from the gains of
      the ranks themselves.
    - Optimality: not worse than the heap greedy (convex curves) or than the dynamic programme by
      more than ``gap``, and not better than either.

    Sums over ranks are rounded relative to the loss without latents: 1e-13 of it is allowed.

    Parameters
    ----------
    population
        What was solved.
    allocation
        The solution.
    effort
        Number of steps that each comparison may take: one for each rank looked at, ten for each
        rank and latent in the heap greedy, ranks times (latents + 1)^2 in the dynamic programme.
        By default each is a fraction of a second. What needs more is left out; the certificate is
        then checked at 2,000 ranks.

    Raises
    ------
    AssertionError
        Saying which claim fails.
    ValueError
        If an argument is of another kind.
    """
    if not isinstance(population, Population):
        raise ValueError(f"population must be a Population, got {population!r}")
    if not isinstance(allocation, Allocation):
        raise ValueError(f"allocation must be an Allocation, got {allocation!r}")
    steps = _validate.whole("effort", effort)
    convex = all(block.curve.convex for block in population.blocks)
    _check_statements(allocation, convex)
    _check_groups(population, allocation)
    features = enough_features(population, allocation.latents)
    if features <= steps:
        ranks = np.arange(1, features + 1)
        n = allocation.latents_at(ranks)
        _check_accounts(population, allocation, n)
        _check_optimality(population, allocation, n, convex, steps)
    else:
        reach = min(4 * allocation.discovered + 100, population.count or MAX_COUNT)
        ranks = np.unique(np.geomspace(1.0, reach, 2000).astype(np.int64))
        n = allocation.latents_at(ranks)
    if convex:
        _check_certificate(population, allocation, ranks, n)


def enough_features(population: Population, latents: Any) -> int:
    """Count the first ranks outside which an optimum of so few latents has nothing.

    In a regular tail a lower rank of the same group always comes first, so that the discovered ones
    are among its first ``latents``.

    Parameters
    ----------
    population, latents
        As for ``allocate``.
    """
    budget = _validate.latents(latents)
    last = 1
    for block in population.blocks:
        if isinstance(block, ListedBlock):
            last = max(last, int(block.ranks[-1]))
        else:
            tail = block.ranks
            last = max(last, tail.start + tail.period * (budget + 1 + int(tail.excluded.size)))
    return min(last, population.count or last)


def _check_statements(at: Allocation, convex: bool) -> None:
    """What the numbers say of each other."""
    counts = 0 <= at.discovered <= at.total <= at.latents
    require(counts, "0 <= discovered <= total <= latents", discovered=at.discovered,
            total=at.total, latents=at.latents)  # fmt: skip
    require(at.loss >= at.excess_loss >= 0.0, "loss >= excess_loss >= 0", loss=at.loss,
            excess_loss=at.excess_loss)  # fmt: skip
    require(at.gap >= 0.0 and at.price >= 0.0, "gap and price are at least 0", gap=at.gap,
            price=at.price)  # fmt: skip
    stated = (at.status == "within gap") == (at.gap > 0.0)
    require(stated, "status is 'within gap' just if there is a gap", gap=at.gap, status=at.status)
    if at.idle:
        ended = at.status == "saturated" and at.price == 0.0
        require(ended, "latents are idle only where nothing gains", idle=at.idle, price=at.price)
    if convex:
        require(at.smallest_taken >= at.largest_left * (1.0 - _GAIN), "no gain left out is larger "
                "than one taken", taken=at.smallest_taken, left=at.largest_left)  # fmt: skip


def _check_groups(population: Population, at: Allocation) -> None:
    table = at.by_group()
    require(tuple(table["group"]) == population.labels, "by_group lists the groups",
            groups=list(table["group"]))  # fmt: skip
    for column, total in (("latents", at.total), ("discovered", at.discovered)):
        found = int(table[column].sum())
        require(found == total, f"{column} add up over groups", groups=found, stated=total)
    excess = float(table["excess_loss"].sum())
    close = abs(excess - at.excess_loss) <= _LOSS * excess
    require(close, "excess_loss adds up over groups", groups=excess, stated=at.excess_loss)


def _check_accounts(population: Population, at: Allocation, n: Ints) -> None:
    require(n >= 0, "latents are at least 0", rank=np.arange(1, n.size + 1), latents=n)
    require(n.sum() == at.total, "latents add up over ranks", ranks=n.sum(), stated=at.total)
    found = np.count_nonzero(n)
    require(found == at.discovered, "discovered features add up", ranks=found, stated=at.discovered)
    zero, excess = _excess(population, np.zeros_like(n)), _excess(population, n)
    close = abs(excess - at.excess_loss) <= _LOSS * zero
    require(close, "excess_loss is that of the latents", ranks=excess, stated=at.excess_loss)
    floor = floor_loss(population)
    close = abs(at.loss - at.excess_loss - floor) <= _LOSS * (zero + floor)
    require(close, "loss is the excess and the floor", loss=at.loss, excess=at.excess_loss)


def _check_optimality(
    population: Population, at: Allocation, n: Ints, convex: bool, steps: int
) -> None:
    rounding = _LOSS * _excess(population, np.zeros_like(n))
    excess = _excess(population, n)
    if convex and _HEAP * (at.latents + n.size) <= steps:
        best = _excess(population, greedy(population, at.latents, n.size).latents)
        require(abs(excess - best) <= at.gap + rounding, "the loss is that of the heap greedy",
                loss=excess, greedy=best)  # fmt: skip
    if n.size * (at.latents + 1) ** 2 <= steps:
        best = _excess(population, dynamic_programme(population, at.latents, n.size).latents)
        require(best - rounding <= excess <= best + at.gap + rounding,
                "the loss is that of the dynamic programme, to within the gap",
                loss=excess, programme=best, gap=at.gap)  # fmt: skip


def _check_certificate(population: Population, at: Allocation, ranks: Ints, n: Ints) -> None:
    """Gains on both sides of the edge, rank by rank."""
    for block in population.blocks:
        inside, index = locate(block, ranks)
        if not inside.size or at.latents == 0:
            continue
        weight, curve = weights_at(block, ranks[inside], index)
        own = n[inside].astype(np.float64)
        last = np.where(own > 0.0, weight * curve.envelope_gain(np.maximum(own, 1.0)), np.inf)
        left = weight * curve.envelope_gain(own + 1.0)
        require(last >= at.price * (1.0 - _GAIN), "a latent taken gains the price",
                rank=ranks[inside], latents=own, gain=last, price=at.price)  # fmt: skip
        require(left <= at.price * (1.0 + _GAIN), "a latent left out gains the price at most",
                rank=ranks[inside], latents=own, gain=left, price=at.price)  # fmt: skip


def _excess(population: Population, n: Ints) -> float:
    """Excess loss of latents n on ranks 1, 2, ... and none beyond, from the true curves."""
    ranks = np.arange(1, n.size + 1)
    zero: Floats = np.zeros(1)
    total = 0.0
    for block in population.blocks:
        inside, index = locate(block, ranks)
        if inside.size:
            weight, curve = weights_at(block, ranks[inside], index)
            total += float((weight * curve.excess(n[inside].astype(np.float64))).sum())
        if isinstance(block, ListedBlock):
            beyond = np.flatnonzero(block.ranks > n.size)
            if beyond.size:
                none = np.zeros(beyond.size)
                total += float(
                    (block.weights[beyond] * block.curve.take(beyond).excess(none)).sum()
                )
        elif population.count is None or n.size < population.count:
            rest = block.ranks.mass_after(block.law, np.array([n.size]))[0]
            total += float(block.magnitude * rest * block.curve.excess(zero)[0])
    return total
