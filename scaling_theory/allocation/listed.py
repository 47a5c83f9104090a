"""Level sets of features that are listed one by one."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.allocation.levels import (
    BlockSolver,
    Level,
    Ties,
    edge_check,
    in_chunks,
    ranges,
    total_of,
)
from scaling_theory.curves.base import MANY
from scaling_theory.groups import ListedBlock


@final
class ListedSolver(BlockSolver):
    """Features listed one by one."""

    block: ListedBlock

    def _rows(self, price: float) -> Floats:
        w = self.block.weights
        return np.asarray(in_chunks(lambda i: self.curve.take(i).count_at(w[i], price), w.size))

    def _gains(self, n: Floats, index: Any = slice(None)) -> Floats:
        return np.asarray(self.block.weights[index] * self.curve.take(index).envelope_gain(n))

    def top_gain(self) -> float:
        """Largest gain of a first latent."""
        return float(self._gains(np.ones(self.block.weights.size)).max())

    def level(self, price: float, like: Level | None = None) -> Level:  # noqa: ARG002
        """Count every feature."""
        rows = self._rows(price)
        return Level(
            price,
            total_of(rows),
            int(np.count_nonzero(rows)),
            np.empty(0, dtype=np.int64),
            np.minimum(rows, MANY).astype(np.int64),
        )

    def excess(self, level: Level) -> float:
        """Sum over features."""
        n = level.rows.astype(np.float64)
        w = self.block.weights
        return float(
            in_chunks(lambda i: w[i] * self.curve.take(i).envelope_excess(n[i]), w.size).sum()
        )

    def cells_between(self, low: Level, high: Level, first_only: bool) -> Floats:
        """Return the gains of each feature's latents between its two counts."""
        start, stop = high.rows, low.rows
        if first_only:
            stop = np.minimum(stop, 1)
        index = np.flatnonzero(stop > start)
        which, n = ranges(start[index], stop[index])
        return self._gains(n.astype(np.float64), index[which])

    def ties(self, low: Level, high: Level) -> Ties:
        """Return the features that differ."""
        extra = low.rows - high.rows
        some = np.flatnonzero(extra > 0)
        none = np.empty(0, dtype=np.int64)
        return Ties(
            none,
            none,
            none.astype(bool),
            self.block.ranks[some],
            extra[some],
            high.rows[some] == 0,
            lambda k: np.zeros_like(k),
        )

    def certificate(self, taken: Level, left: Level) -> tuple[float, float, float]:
        """Evaluate each feature's last latent and its next."""
        some = np.flatnonzero(taken.rows > 0)
        inside = self._gains(taken.rows[some].astype(np.float64), some)
        outside = self._gains(left.rows.astype(np.float64) + 1.0)
        return edge_check(inside, outside, left.price)
