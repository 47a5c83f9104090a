"""Level sets of a regular tail of ranks with one shared curve: by columns, then by rows."""

from __future__ import annotations

from functools import cached_property
from typing import Any, final

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.allocation.levels import (
    BlockSolver,
    Level,
    Ties,
    edge_check,
    in_chunks,
    ranges,
    total_of,
)
from scaling_theory.curves.base import MANY, last_worth
from scaling_theory.groups import TailBlock

#: Up to this many columns, rows are not worth their overhead.
_FEW_COLUMNS = 1024


@final
class TailSolver(BlockSolver):
    """A regular tail of ranks with one shared curve."""

    block: TailBlock

    def __init__(self, block: TailBlock) -> None:
        super().__init__(block)
        self._gain_cache = np.empty(0)
        self._row_cache: tuple[int, Ints, Floats] = (-1, np.empty(0, dtype=np.int64), np.empty(0))

    # ---- weights and gains, computed once ------------------------------------------------

    def _weight(self, ranks: Ints | Floats) -> Floats:
        return self.block.magnitude * self.block.law._at(ranks)

    def _gains(self, columns: int) -> Floats:
        """Gains m(1) .. m(columns) of the curve."""
        if self._gain_cache.size < columns:
            old = self._gain_cache.size
            more = in_chunks(
                lambda i: self.curve.envelope_gain(np.arange(i.start, i.stop) + (old + 1.0)),
                columns - old,
            )
            self._gain_cache = np.concatenate([self._gain_cache, more])
        return self._gain_cache[:columns]

    def _row_members(self, upto: int) -> tuple[Ints, Floats]:
        """Members of the block up to a rank, and their weights."""
        last, ranks, weights = self._row_cache
        if upto > last:
            ranks = self.block.ranks.members(0, upto)
            weights = in_chunks(lambda i: self._weight(ranks[i]), ranks.size)
            self._row_cache = (upto, ranks, weights)
        keep = int(np.searchsorted(ranks, upto, side="right"))
        return ranks[:keep], weights[:keep]

    @cached_property
    def _first_rank(self) -> int:
        step = self.block.ranks.period + 1
        start = self.block.ranks.start
        while True:
            found = self.block.ranks.members(start, start + step)
            if found.size:
                return int(found[0])
            start += step
            if self.block.ranks.count is not None and start >= self.block.ranks.count:
                return 0  # an empty tail

    def top_gain(self) -> float:
        """Gain of the first rank's first latent."""
        if not self._first_rank:
            return 0.0
        weight = self._weight(np.array([self._first_rank]))
        return float((weight * self._gains(1)).item())

    # ---- counting ------------------------------------------------------------------------

    def _last_rank(self, price: float, gains: Floats) -> Ints:
        """Last rank whose weight times each gain is worth the price: shape (M,)."""
        law, tail = self.block.law, self.block.ranks
        most = MANY if tail.count is None else float(tail.count)
        error = 4e-14 + 4e-15 / (1.0 + law.alpha)  # of the inverse power, relative

        def part(i: slice) -> Ints:
            g = gains[i]
            with np.errstate(divide="ignore", over="ignore"):
                x = law.rank_of(price / (self.block.magnitude * g))
            x = np.clip(x, 0.0, most)
            rank = np.floor(x)
            unsure = (np.abs(x - np.rint(x)) <= error * x + 1e-9) | (x >= 2.0**53)
            unsure |= price < 1e-290  # products of subnormal numbers are far from exact
            unsure &= x > tail.start - 1.0
            at = np.flatnonzero(unsure)
            if at.size:
                rank[at] = self._settle(np.rint(x[at]), g[at], price, most)
            return rank.astype(np.int64)

        return np.asarray(in_chunks(part, gains.size, dtype=np.int64))

    def _settle(self, rank: Floats, gains: Floats, price: float, most: float) -> Floats:
        """Apply the predicate itself next to the estimate."""

        def worth(at: Floats, index: Ints) -> Any:
            enough = self._weight(np.maximum(at, 1.0)) * gains[index] >= price
            return enough | (at < 1.0)

        return last_worth(np.minimum(rank, most), worth, most)

    def _split(self, price: float) -> int:
        """Number of columns M at which the ranks with more than M latents are about M."""
        if not self._first_rank:
            return 0
        weight = self._weight(np.array([self._first_rank]))
        most = int(min(self.curve.count_at(weight, price)[0], MANY))
        if most <= _FEW_COLUMNS:
            return most
        tail = self.block.ranks
        low, high = _FEW_COLUMNS, most
        while low < high:
            middle = (low + high) // 2
            gain = self.curve.envelope_gain(np.array([middle + 1.0]))
            with np.errstate(divide="ignore", over="ignore"):
                rank = float(self.block.law.rank_of(price / (self.block.magnitude * gain))[0])
            if tail.count is not None:
                rank = min(rank, float(tail.count))
            if (rank - tail.start) * tail.share <= middle:
                high = middle
            else:
                low = middle + 1
        return low

    def level(self, price: float, like: Level | None = None) -> Level:
        """Columns up to the split, then rows."""
        columns = self._split(price) if like is None else like.columns.size
        gains = self._gains(columns + 1)
        last = self._last_rank(price, gains) if columns else np.empty(0, dtype=np.int64)
        edge = int(last[-1]) if columns else 0
        last = np.minimum.accumulate(last[:columns])
        per_column = self.block.ranks.count_upto(last)
        _, weights = self._row_members(edge)
        n = in_chunks(lambda i: self.curve.count_at(weights[i], price), weights.size)
        rows = np.maximum(n, float(columns))
        beyond = total_of(rows) - columns * rows.size
        count = beyond + total_of(per_column.astype(np.float64), per_column)
        found = int(per_column[0]) if columns else 0
        return Level(price, count, found, last, np.minimum(rows, MANY).astype(np.int64))

    def excess(self, level: Level) -> float:
        """Sum over columns of m(n) times the mass that lacks it, and over rows and the rest."""
        columns = level.columns.size
        tail, law, magnitude = self.block.ranks, self.block.law, self.block.magnitude
        gains = self._gains(columns)
        lacking = in_chunks(
            lambda i: gains[i] * tail.mass_after(law, level.columns[i]), columns
        ).sum()
        ranks, weights = self._rows_of(level)
        n = level.rows.astype(np.float64)
        rows = in_chunks(lambda i: weights[i] * self.curve.envelope_excess(n[i]), n.size).sum()
        last = int(ranks[-1]) if ranks.size else 0
        rest = tail.mass_after(law, np.array([last], dtype=np.int64))[0]
        at_split = self.curve.envelope_excess(np.array([float(columns)]))[0]
        return float(rows + magnitude * (lacking + at_split * rest))

    def _rows_of(self, level: Level) -> tuple[Ints, Floats]:
        if not level.rows.size:
            return np.empty(0, dtype=np.int64), np.empty(0)
        _, ranks, weights = self._row_cache
        return ranks[: level.rows.size], weights[: level.rows.size]

    def _row_gains(self, level: Level, step: float) -> Floats:
        """Gain of each row's last latent (step 0) or next one (step 1)."""
        _, weights = self._rows_of(level)
        n = level.rows.astype(np.float64) + step

        def part(i: slice) -> Floats:
            return np.asarray(weights[i] * self.curve.envelope_gain(n[i]))

        return np.asarray(in_chunks(part, n.size))

    # ---- cells between two prices --------------------------------------------------------

    def _row_counts(self, low: Level, high: Level) -> tuple[Ints, Ints]:
        """Row counts of both levels on the rows of the lower price."""
        at_high = np.full(low.rows.size, high.columns.size, dtype=np.int64)
        at_high[: high.rows.size] = high.rows
        return low.rows, at_high

    def cells_between(self, low: Level, high: Level, first_only: bool) -> Floats:
        """Gains of the cells in the columns' rank intervals and in the rows' stretches."""
        gains = self._gains(low.columns.size)
        columns = np.flatnonzero(low.columns > high.columns)
        if first_only:
            columns = columns[columns == 0]
        which, ranks = ranges(high.columns[columns], low.columns[columns])
        inside = self.block.ranks.contains(ranks)
        which, ranks = which[inside], ranks[inside]
        in_columns = self._weight(ranks) * gains[columns[which]]
        if first_only:
            return np.asarray(in_columns)
        stop, start = self._row_counts(low, high)
        rows = np.flatnonzero(stop > start)
        which, n = ranges(start[rows], stop[rows])
        _, weights = self._rows_of(low)
        in_rows = weights[rows[which]] * self.curve.envelope_gain(n.astype(np.float64))
        return np.concatenate([in_columns, in_rows])

    def ties(self, low: Level, high: Level) -> Ties:
        """Return the columns' intervals and the rows that differ."""
        columns = np.flatnonzero(low.columns > high.columns)
        stop, start = self._row_counts(low, high)
        rows = np.flatnonzero(stop > start)
        ranks, _ = self._rows_of(low)
        return Ties(
            high.columns[columns],
            low.columns[columns],
            columns == 0,
            ranks[rows],
            (stop - start)[rows],
            np.zeros(rows.size, dtype=bool),
            self.block.ranks.count_upto,
        )

    def certificate(self, taken: Level, left: Level) -> tuple[float, float, float]:
        """Evaluate both sides of the edge of each column and each row."""
        gains = self._gains(taken.columns.size)
        tail = self.block.ranks
        last = tail.edges(taken.columns)[0]
        after = tail.edges(left.columns)[1]
        inside = [self._weight(last[last > 0]) * gains[last > 0]]
        outside = [self._weight(after[after > 0]) * gains[after > 0]]
        inside.append(self._row_gains(taken, 0.0))
        outside.append(self._row_gains(left, 1.0))
        if self._first_rank and not left.rows.size:
            first = self._weight(np.array([self._first_rank]))
            outside.append(first * self.curve.envelope_gain(np.array([left.columns.size + 1.0])))
        return edge_check(np.concatenate(inside), np.concatenate(outside), left.price)
