"""From the envelope to a feasible integer allocation, where a curve is not convex.

On the lower convex envelope the optimum fills linear pieces one after another, and at most one
feature is left inside a piece, where its true loss lies above the envelope. Here the latents of
that feature and of others next to the price are dealt again by an exact dynamic programme over
their true losses. What remains above the envelope is the gap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation.counts import Edge, counts_at, weights_at
from scaling_theory.allocation.levels import Level
from scaling_theory.curves import LossCurve
from scaling_theory.groups import ListedBlock, locate
from scaling_theory.population import Population

#: Features of each kind that are dealt again.
_NEIGHBOURS = 12
#: Bound on the work of the dynamic programme.
_MAX_WORK = 2e8


@dataclass(frozen=True)
class Repair:
    """Ranks whose latents were changed, the loss above the envelope, and the changes by group."""

    latents: dict[int, int]
    loss: float
    changes: tuple[tuple[int, int, int, float], ...]  # group, latents, discovered, excess

    def regroup(
        self, groups: Sequence[tuple[int, int, float]]
    ) -> tuple[tuple[int, int, float], ...]:
        """Totals of the groups after the changes."""
        out = [list(g) for g in groups]
        for group, *values in self.changes:
            for j, value in enumerate(values):
                out[group][j] += value
        return tuple((int(a), int(b), float(c)) for a, b, c in out)


@dataclass(frozen=True, eq=False)
class Piece:
    """The linear piece of the envelope inside which the last feature was left.

    Attributes
    ----------
    rank, group
        The feature, and the group it belongs to.
    ends
        Latents at the vertices before and after.
    weight, curve
        Its p magnitude and its curve.
    """

    rank: int
    group: int
    ends: tuple[int, int]
    weight: float
    curve: LossCurve

    def excess(self, latents: int) -> float:
        """True weighted excess loss of the feature with so many latents."""
        return self.weight * float(self.curve.excess(np.array([float(latents)]))[0])


def last_piece(population: Population, edge: Edge) -> Piece:
    """Return the piece that an allocation ends in."""
    at = np.array([edge.tie_rank], dtype=np.int64)
    for block in population.blocks:
        inside, index = locate(block, at)
        if inside.size:
            weight, curve = weights_at(block, at, index)
            n = counts_at(population, edge, at).astype(np.float64)
            low, high = curve.segment(np.maximum(n, 1.0))

            ends = int(low[0]), int(high[0])
            return Piece(edge.tie_rank, block.group, ends, float(weight[0]), curve)
    raise AssertionError(f"rank {edge.tie_rank} belongs to no block")


@dataclass(frozen=True, eq=False)
class _Feature:
    rank: int
    group: int
    before: int  # latents on the envelope
    envelope: float
    low: int
    losses: Floats  # true weighted excess at low, low + 1, ...


def repair(population: Population, edge: Edge, levels: Sequence[Level]) -> Repair:
    """Deal the latents next to the price again if the last feature is left inside a piece."""
    rank = np.array([edge.tie_rank], dtype=np.int64)
    if population.count is not None and edge.tie_rank > population.count:
        return Repair({}, 0.0, ())
    last = _feature(population, edge, edge.tie_rank, 0)
    n = int(counts_at(population, edge, rank)[0])
    if last is None or last.losses[n - last.low] <= last.envelope:
        return Repair({}, 0.0, ())
    length = last.losses.size - 1
    ranks = _neighbours(population, edge, levels)
    while (2.0 * length + 1.0) ** 2 * (ranks.size + 1.0) ** 2 > _MAX_WORK and ranks.size:
        ranks = ranks[: ranks.size // 2]
    if not ranks.size:
        above = float(last.losses[n - last.low]) - last.envelope
        return Repair({last.rank: n}, above, ((last.group, 0, 0, above),))
    features = [last] + [
        f
        for r in ranks.tolist()
        if r != edge.tie_rank and (f := _feature(population, edge, r, length)) is not None
    ]
    dealt = _deal(features)
    changed = {f.rank: n for f, n in zip(features, dealt, strict=True) if n != f.before}
    changed[last.rank] = dealt[0]
    changes = tuple(
        (
            f.group,
            n - f.before,
            int(n > 0) - int(f.before > 0),
            float(f.losses[n - f.low] - f.envelope),
        )
        for f, n in zip(features, dealt, strict=True)
    )
    return Repair(changed, max(sum(c[3] for c in changes), 0.0), changes)


def _feature(population: Population, edge: Edge, rank: int, reach: int) -> _Feature | None:
    """Read the true losses of one feature around its number of latents."""
    at = np.array([rank], dtype=np.int64)
    for block in population.blocks:
        inside, index = locate(block, at)
        if not inside.size:
            continue
        weight, curve = weights_at(block, at, index)
        n = counts_at(population, edge, at).astype(np.float64)
        low, high = curve.segment(n + 1.0)  # the piece that holds the next latent
        if n[0] > 0.0:
            low, inner = curve.segment(n)  # the piece that holds the last one
            high = np.maximum(high, inner)
        first = max(int(min(low[0], n[0] - reach)), 0)
        final = int(max(high[0], n[0] + reach))
        if rank == edge.tie_rank:
            first, final = int(low[0]), int(high[0])
        if final - first > 4 * _MAX_WORK**0.5 and rank != edge.tie_rank:
            return None
        around = np.arange(first, final + 1, dtype=np.float64)
        return _Feature(
            rank,
            block.group,
            int(n[0]),
            float(weight[0] * curve.envelope_excess(n)[0]),
            first,
            np.asarray(weight[0] * curve.excess(around)),
        )
    return None


def _neighbours(population: Population, edge: Edge, levels: Sequence[Level]) -> Ints:
    """Ranks with a gain close to the price, closest kinds first."""
    found: list[Ints] = []
    for block, level in zip(population.blocks, levels, strict=True):
        if isinstance(block, ListedBlock):
            n = level.rows.astype(np.float64)
            next_gain = block.weights * block.curve.envelope_gain(n + 1.0)
            last_gain = block.weights * block.curve.envelope_gain(np.maximum(n, 1.0))
            for gain in (next_gain, last_gain):
                with np.errstate(divide="ignore"):
                    distance = np.abs(np.log(gain / edge.price))
                order = np.argsort(distance, kind="stable")
                found.append(block.ranks[order[:_NEIGHBOURS]])
        else:
            few = level.columns[:_NEIGHBOURS]
            for ranks in (few, few + 1, block.ranks.members(0, block.ranks.start + _NEIGHBOURS)):
                found.append(ranks[block.ranks.contains(ranks)])
    together = [r for kind in zip(*_padded(found), strict=True) for r in kind if r > 0]
    return np.array(list(dict.fromkeys(together)), dtype=np.int64)


def _padded(lists: list[Ints]) -> list[list[int]]:
    longest = max(r.size for r in lists)
    return [r.tolist() + [0] * (longest - r.size) for r in lists]


def _deal(features: list[_Feature]) -> list[int]:
    """Deal as many latents as the features hold, at the least true loss.

    Losses are counted from each feature's first, so that latents that change nothing add an exact
    zero and stay with the features that come first.
    """
    total = sum(f.before - f.low for f in features)
    best = np.full(total + 1, np.inf)
    best[0] = 0.0
    choices = []
    for f in features:
        new = np.full(total + 1, np.inf)
        choice = np.zeros(total + 1, dtype=np.int64)
        for extra, loss in enumerate((f.losses[: total + 1] - f.losses[0]).tolist()):
            candidate = best[: total + 1 - extra] + loss
            better = candidate < new[extra:]
            new[extra:][better] = candidate[better]
            choice[extra:][better] = extra
        best = new
        choices.append(choice)
    left, dealt = total, []
    for f, choice in zip(reversed(features), reversed(choices), strict=True):
        dealt.append(f.low + int(choice[left]))
        left -= int(choice[left])
    return dealt[::-1]
