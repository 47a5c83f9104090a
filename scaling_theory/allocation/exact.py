"""The exact integer optimum of the allocation problem, with its certificate."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Ints
from scaling_theory.allocation.counts import Edge, checked_ranks, counts_at
from scaling_theory.allocation.levels import BlockSolver, Level, Ties
from scaling_theory.allocation.repair import last_piece, repair
from scaling_theory.allocation.search import Cut, find_cut
from scaling_theory.allocation.solvers import solver_for
from scaling_theory.frequencies import MAX_COUNT
from scaling_theory.groups import ListedBlock
from scaling_theory.population import Population

if TYPE_CHECKING:
    import pandas as pd

#: Gaps above this share of the loss are worth solving again, and how often within one another.
_WORTH_IMPROVING = 1e-9
_DEPTH = 3
#: Losses that differ by less than this share of themselves are tied: lower ranks keep the latents.
_ROUNDING = 1e-14

Status = Literal["optimal", "within gap", "saturated"]


@final
@dataclass(frozen=True, eq=False)
class Allocation:
    """How an optimal model spends its latents.

    Attributes
    ----------
    population
        What was solved.
    latents, total, idle
        The budget N, the number spent, and the number for which no gain was left; exact.
    discovered
        D(N): features with at least one latent.
    loss, excess_loss
        sum p_i magnitude_i L_i(n_i), and the same above its limit for infinitely many latents.
    price
        Lagrange multiplier: the gain of the last latent spent; 0 if saturated. (With no latents
        at all: the gain of the first one.)
    gap
        Upper bound on how far ``loss`` is above the optimum. For convex curves it is 0 unless
        rounding has blurred the order of gains next to the price; for others it is the distance
        from the lower convex envelope.
    smallest_taken, largest_left
        The certificate: the smallest gain taken and the largest left out, on the envelope,
        evaluated afresh along the edge of the allocation. Optimal if the first is not below the
        second.
    status
        "optimal"; "within gap" where a curve is not convex and the gap is not zero; "saturated"
        where no gain is left.
    seconds
        Time of the solution.

    Notes
    -----
    Gains are compared as float64 products. Ties are broken by rank, then by order of latents:
    the loss does not depend on how.
    """

    population: Population
    latents: int
    total: int
    discovered: int
    loss: float
    excess_loss: float
    price: float
    gap: float
    smallest_taken: float
    largest_left: float
    status: Status
    seconds: float
    _edge: Edge = field(repr=False)
    _changed: dict[int, int] = field(repr=False)  # ranks moved off the envelope's vertices
    _groups: tuple[tuple[int, int, float], ...] = field(repr=False)

    @property
    def idle(self) -> int:
        """Latents that could buy nothing."""
        return self.latents - self.total

    @property
    def efficiency(self) -> float:
        """D(N)/N; nan for no latents."""
        return self.discovered / self.latents if self.latents else float("nan")

    def latents_at(self, ranks: Any) -> Ints:
        """Latents n_i of the given ranks, shape (k,) or one number -> shape (k,)."""
        at = checked_ranks(self.population, ranks)
        out = counts_at(self.population, self._edge, at)
        for rank, n in self._changed.items():
            out[at == rank] = n
        return out

    def by_group(self) -> pd.DataFrame:
        """Table of the groups: group, latents, discovered, excess_loss, share (of the total)."""
        import pandas as pd

        rows = [
            {
                "group": label,
                "latents": latents,
                "discovered": discovered,
                "excess_loss": excess,
                "share": latents / self.total if self.total else 0.0,
            }
            for label, (latents, discovered, excess) in zip(
                self.population.labels, self._groups, strict=True
            )
        ]
        return pd.DataFrame(rows)


def allocate(population: Population, latents: Any) -> Allocation:
    """Spend N latents on the features so that sum p_i magnitude_i L_i(n_i) is smallest.

    Parameters
    ----------
    population
        Features with their frequencies and loss curves.
    latents
        Budget N, a whole number from 0 to 1e15 (floats such as 1e12 are taken).

    Returns
    -------
    Allocation
        The exact integer optimum for convex curves. For others the best integer allocation
        found, with a bound on its distance from the optimum in ``gap``.

    Raises
    ------
    ValueError
        If ``latents`` is not a whole number in range.

    Notes
    -----
    The optimum for convex curves takes the N cells (i, n) with the largest gains
    p_i m_i(n): Michaud, Gorton and McGrath (2025), section 2.2 and appendix B.2, without the
    continuous relaxation. Cells are counted by level sets, see ``allocation/levels.py``.
    """
    if not isinstance(population, Population):
        raise ValueError(f"population must be a Population, got {population!r}")
    budget = _validate.latents(latents)
    began = time.perf_counter()
    return replace(_solve(population, budget, 0), seconds=time.perf_counter() - began)


def floor_loss(population: Population) -> float:
    """Return sum p_i magnitude_i L_i(inf): the loss that no number of latents removes."""
    total = 0.0
    for block in population.blocks:
        limit = np.asarray(block.curve.limit)
        if isinstance(block, ListedBlock):
            total += float((block.weights * limit).sum())
        elif float(limit) > 0.0:
            zero = np.zeros(1, dtype=np.int64)
            total += (
                float(limit) * block.magnitude * float(block.ranks.mass_after(block.law, zero)[0])
            )
    return total


def _solve(population: Population, budget: int, depth: int) -> Allocation:
    solvers = [solver_for(block) for block in population.blocks]
    if budget == 0:
        return _nothing(population, solvers)
    cut = find_cut(solvers, budget, finite=population.count is not None)
    at = _finish(population, solvers, cut, budget)
    if at.status == "within gap" and at.gap > _WORTH_IMPROVING * at.excess_loss and depth < _DEPTH:
        return _improved(at, depth)
    return at


def _improved(at: Allocation, depth: int) -> Allocation:
    """Put the last feature on either end of its linear piece and solve for the others again."""
    if at.population.count is not None and at._edge.tie_rank > at.population.count:
        return at
    piece = last_piece(at.population, at._edge)
    rest = at.population.without(piece.rank)
    bound = at.excess_loss - at.gap
    best = at
    for n in piece.ends:
        if n > at.latents or not rest.blocks:
            continue
        others = _solve(rest, at.latents - n, depth + 1)
        n += others.idle  # better here than nowhere
        own = piece.excess(n)
        if others.excess_loss + own >= best.excess_loss * (1.0 - _ROUNDING):
            continue
        groups = [list(g) for g in others._groups]
        for j, value in enumerate((n, int(n > 0), own)):
            groups[piece.group][j] += value
        excess = others.excess_loss + own
        best = replace(
            at,
            total=others.total + n,
            discovered=others.discovered + int(n > 0),
            loss=excess + floor_loss(at.population),
            excess_loss=excess,
            gap=max(excess - bound, 0.0),
            status="within gap" if excess > bound else "optimal",
            _edge=others._edge,
            _changed={**others._changed, piece.rank: n},
            _groups=tuple((int(a), int(b), float(c)) for a, b, c in groups),
        )
    return best


def _nothing(population: Population, solvers: Sequence[BlockSolver]) -> Allocation:
    top = max(s.top_gain() for s in solvers)
    above = math.nextafter(top, math.inf) if top > 0.0 else 1.0
    groups = _sum_groups(population, [(0, 0, s.excess(s.level(above))) for s in solvers])
    excess = sum(e for *_, e in groups)
    return Allocation(
        population, 0, 0, 0, excess + floor_loss(population), excess, top, 0.0,
        math.inf, top, "optimal" if top > 0.0 else "saturated", 0.0,
        Edge(math.inf), {}, groups,
    )  # fmt: skip


def _finish(
    population: Population,
    solvers: Sequence[BlockSolver],
    cut: Cut,
    budget: int,
) -> Allocation:
    taken = sum(level.count for level in cut.taken)
    worth = sum(level.count for level in cut.worth)
    missing, edge = 0, Edge(cut.price)
    ties: list[Ties] | None = None
    if not cut.saturated:
        missing = budget - taken
        ties = [s.ties(w, t) for s, w, t in zip(solvers, cut.worth, cut.taken, strict=True)]
        edge = Edge(cut.price, *_tie_break(ties, missing, worth - taken))
    from_below = ties is None or 2 * missing <= worth - taken
    per_block: Sequence[Ties | None] = ties or [None] * len(solvers)
    parts = [
        _block_totals(s, t, w, tie, edge, from_below)
        for s, t, w, tie in zip(solvers, cut.taken, cut.worth, per_block, strict=True)
    ]
    groups = _sum_groups(population, parts)
    checks = [s.certificate(t, w) for s, t, w in zip(solvers, cut.taken, cut.worth, strict=True)]
    smallest = min(check[0] for check in checks)
    largest = max(check[1] for check in checks)
    if ties is not None:
        smallest = min(smallest, cut.price)
        if missing < worth - taken:
            largest = max(largest, cut.price)
    changed: dict[int, int] = {}
    extra = 0.0
    if ties is not None and not all(s.curve.convex for s in solvers):
        fixed = repair(population, edge, cut.taken)
        changed, extra = fixed.latents, fixed.loss
        groups = fixed.regroup(groups)
    excess = sum(e for *_, e in groups)
    gap = (0.0 if cut.saturated else sum(check[2] for check in checks)) + extra
    total = sum(n for n, *_ in groups)
    status: Status = "saturated" if cut.saturated else "within gap" if gap > 0.0 else "optimal"
    return Allocation(
        population, budget, total, sum(d for _, d, _ in groups), excess + floor_loss(population),
        excess, cut.price, gap, smallest, largest, status, 0.0,
        edge, changed, groups,
    )  # fmt: skip


def _tie_break(ties: list[Ties], missing: int, available: int) -> tuple[int, int]:
    """Rank up to which tied cells are taken, and how many on that rank itself."""
    if missing == available:
        return MAX_COUNT + 1, 0
    ends = [np.concatenate([t.high, t.ranks]) for t in ties]
    low, high = 0, int(max(e.max(initial=0) for e in ends))

    def upto(rank: int) -> int:
        return sum(t.upto(rank)[0] for t in ties)

    while high - low > 1:
        middle = (low + high) // 2
        if upto(middle) >= missing:
            high = middle
        else:
            low = middle
    return high, missing - upto(high - 1)


def _block_totals(
    solver: BlockSolver,
    taken: Level,
    worth: Level,
    ties: Ties | None,
    edge: Edge,
    from_below: bool,
) -> tuple[int, int, float]:
    """Latents, discovered features and envelope excess of one block, ties included."""
    if ties is None:
        return taken.count, taken.discovered, solver.excess(taken)
    before, found = ties.upto(edge.tie_rank - 1)
    at, found_at = ties.upto(edge.tie_rank)
    if at > before:  # the rank at which ties end is in this block
        before += edge.part
        found = found_at if edge.part else found
    if from_below:
        excess = solver.excess(taken) - edge.price * before
    else:
        excess = solver.excess(worth) + edge.price * (worth.count - taken.count - before)
    return taken.count + before, taken.discovered + found, excess


def _sum_groups(
    population: Population, parts: Sequence[tuple[int, int, float]]
) -> tuple[tuple[int, int, float], ...]:
    out = [[0, 0, 0.0] for _ in population.labels]
    for block, values in zip(population.blocks, parts, strict=True):
        for j, value in enumerate(values):
            out[block.group][j] += value
    return tuple((int(a), int(b), float(c)) for a, b, c in out)
