"""Counting latents by how often they fire: listed features, and the columns of a tail.

:class:`Tail` reads an allocation on a tail block as level sets: up to which rank features have at
least n latents. :class:`Columns` counts the latents of those features that fire more often than a
frequency, :class:`Listed` those of features taken one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation.exact import Allocation
from scaling_theory.allocation.levels import ranges
from scaling_theory.allocation.solvers import solver_for
from scaling_theory.curves.base import MANY, last_worth
from scaling_theory.frequencies import MAX_COUNT
from scaling_theory.groups import TailBlock
from scaling_theory.ranks import TailRanks

Overlap = Callable[[Floats], Floats]

#: Tails with no more discovered features than this are listed one by one.
LISTABLE = 1 << 18


@final
@dataclass(frozen=True, eq=False)
class Listed:
    """Latents of listed features: decreasing rates, and how many latents have the first k."""

    rates: Floats
    upto: Ints  # shape (k + 1,), from 0

    @classmethod
    def of(cls, entries: list[tuple[Floats, Ints]]) -> Listed:
        """Sort features by the rates of their latents."""
        if not entries:
            return cls(np.empty(0), np.zeros(1, dtype=np.int64))
        rate = np.concatenate([rates for rates, _ in entries])
        count = np.concatenate([counts for _, counts in entries])
        order = np.argsort(-rate, kind="stable")
        return cls(rate[order], np.concatenate([[0], np.cumsum(count[order])]))

    @property
    def top(self) -> float:
        """Largest rate."""
        return float(self.rates[0]) if self.rates.size else 0.0

    def above(self, f: Floats) -> Ints:
        """Count the latents with a larger rate, shape (k,)."""
        return np.asarray(self.upto[np.searchsorted(-self.rates, -f, side="left")])

    def at(self, ranks: Ints) -> Floats:
        """Rates by latent rank, where all latents are listed."""
        return np.asarray(self.rates[np.searchsorted(self.upto[1:], ranks, side="left")])


@final
class Tail:
    """An allocation on a tail block.

    ``last[n - 1]`` is the last rank after ``row_end`` with at least n latents; ranks up to
    ``row_end`` have more than there are columns. On the ``odd`` ranks, where ties end or a
    curve that is not convex was repaired, the allocation itself is asked.
    """

    def __init__(self, alloc: Allocation, block: TailBlock) -> None:
        self.alloc, self.block = alloc, block
        tail, edge = block.ranks, alloc._edge
        odd = np.array([edge.tie_rank, *alloc._changed], dtype=np.int64)
        self.odd = np.unique(odd[tail.contains(odd) & (odd <= MAX_COUNT)])
        self.last, self.row_end = np.empty(0, dtype=np.int64), 0
        if edge.price < math.inf:
            solver = solver_for(block)
            above = math.nextafter(edge.price, math.inf)
            worth = solver.level(edge.price if edge.tie_rank else above)
            self.last, self.row_end = worth.columns, _member(tail, worth.rows.size)
            if edge.tie_rank:
                ties = np.minimum(worth.columns, edge.tie_rank - 1)
                self.last = np.maximum(solver.level(above, worth).columns, ties)
            self.last = np.maximum(self.last, self.row_end)
        self.end = int(self.last[0]) if self.last.size else 0
        ends = tail.count_upto(np.array([self.row_end, self.end]))
        self.long = bool(ends[1] - ends[0] > LISTABLE)

    def listed(self) -> list[tuple[Floats, Ints]]:
        """(p, n) of the features that are taken one by one; corrections of columns have n < 0."""
        members = self.block.ranks.members
        rows, odd = members(0, self.row_end), self.odd[self.odd > self.row_end]
        parts = []
        for ranks in (rows, odd):
            if ranks.size:
                parts.append((ranks, self.alloc.latents_at(ranks)))
        if self.long:
            parts.append((odd, -self._counted(odd)))
        elif self.end:
            near = members(self.row_end, self.end)
            near = near[~np.isin(near, odd)]
            parts.append((near, self._counted(near)))
        return [(self.block.law._at(ranks), n) for ranks, n in parts]

    def _counted(self, ranks: Ints) -> Ints:
        """Latents by the columns, of ranks after the rows."""
        return np.asarray(np.searchsorted(-self.last, -ranks, side="right"), dtype=np.int64)

    def columns(self, overlap: Overlap) -> Columns | None:
        """Group the ranks after the rows by their number of latents, if they are many."""
        if not self.long:
            return None
        block, tail = self.block, self.block.ranks
        first = np.append(self.last[1:], self.row_end)
        members = tail.count_upto(self.last) - tail.count_upto(first)
        some = np.flatnonzero(members > 0)
        n = (some + 1).astype(np.float64)
        q = overlap(n)
        first, last = first[some], self.last[some]
        low = block.law._at(last) * q / n
        high = block.law._at(first + 1) * q / n
        order = np.argsort(-low, kind="stable")
        latents = (members * (np.arange(members.size) + 1))[some][order]
        return Columns(
            block, n[order], q[order], first[order], last[order], low[order], high[order],
            np.maximum.accumulate(high[order][::-1])[::-1],
            np.concatenate([[0], np.cumsum(latents)]),
        )  # fmt: skip


@final
@dataclass(frozen=True, eq=False)
class Columns:
    """Features of a tail by their number n of latents: the members in (first, last].

    Sorted by ``low``, the rate at ``last``, downwards. ``high`` is the rate after ``first``,
    ``reach`` the largest ``high`` from a column on, ``upto`` the latents of the first k columns.
    """

    block: TailBlock
    n: Floats
    overlap: Floats
    first: Ints
    last: Ints
    low: Floats
    high: Floats
    reach: Floats
    upto: Ints

    def above(self, f: Floats) -> Ints:
        """Columns that lie above whole, and the part of those on both sides of f."""
        whole = np.searchsorted(-self.low, -f, side="left")
        stop = np.searchsorted(-self.reach, -f, side="left")
        found = self.upto[whole]
        which, column = ranges(whole, np.maximum(stop, whole))
        column = column - 1
        split = self.high[column] > f[which]
        which, column = which[split], column[split]
        if not which.size:
            return np.asarray(found)
        law, tail = self.block.law, self.block.ranks
        n, q, bound = self.n[column], self.overlap[column], f[which]
        first, last = self.first[column], self.last[column]

        def exceeds(at: Floats, index: Ints) -> Any:
            rate = law._at(np.maximum(at, 1.0)) * q[index] / n[index]
            return (rate > bound[index]) | (at < 1.0)

        guess = np.clip(np.floor(law.rank_of(bound * n / q)), first, last)
        rank = np.clip(last_worth(guess, exceeds, MANY), first, last).astype(np.int64)
        part = (tail.count_upto(rank) - tail.count_upto(first)) * n.astype(np.int64)
        np.add.at(found, which, part)
        return np.asarray(found)


def _member(tail: TailRanks, place: int) -> int:
    """Rank of the member with so many members up to it; 0 for none."""
    if not place:
        return 0
    low, high = 0, 1
    while tail.count_upto(np.array([high]))[0] < place:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if tail.count_upto(np.array([middle]))[0] >= place:
            high = middle
        else:
            low = middle
    return high
