"""Level sets of gains: which (feature, latent) cells are worth a given price.

A cell (i, n) is the n-th latent of feature i, with gain p_i magnitude m(n). At a price, a block of
features takes the cells whose gain, multiplied out in float64, is at least the price. Listed
features are counted one by one. On a regular tail of ranks the cells fill the region under a
hyperbola-like curve: it is counted by columns (for n <= M, how many ranks take an n-th latent) and
by rows (for the few ranks that take more than M, how many latents), which costs about the square
root of the number of cells and has no truncation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.curves.base import LossCurve
from scaling_theory.groups import Block

#: Arrays are worked through in pieces that stay in the processor's cache.
_CHUNK = 1 << 15


@dataclass(frozen=True, eq=False)
class Level:
    """Cells of one block that are worth a price.

    Attributes
    ----------
    count, discovered
        Number of cells, and of features with at least one.
    columns
        For n = 1 .. M: the last rank that takes an n-th latent; empty for listed features.
    rows
        Latents of each listed feature, or of each rank up to the last one with more than M.
    """

    price: float
    count: int
    discovered: int
    columns: Ints
    rows: Ints


@dataclass(frozen=True, eq=False)
class Ties:
    """Cells whose gain equals the price exactly: rank intervals, or features, times a number."""

    low: Ints  # cells on the members in (low, high], one each
    high: Ints
    first: Any  # whether those are first latents
    ranks: Ints  # ranks with several cells, and how many
    extra: Ints
    extra_first: Any
    count_upto: Callable[[Ints], Ints]

    def upto(self, rank: int) -> tuple[int, int]:
        """Count the tied cells, and the features first found by them, on ranks <= rank."""
        r = np.int64(rank)
        high, low = np.minimum(self.high, r), np.minimum(self.low, r)
        spans = self.count_upto(high) - self.count_upto(low)
        some = self.ranks <= rank
        cells = int(spans.sum()) + int(self.extra[some].sum())
        found = int(spans[self.first].sum()) + int(np.count_nonzero(self.extra_first & some))
        return cells, found


class BlockSolver(ABC):
    """Counts one block's level sets, keeping gains and weights between prices."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.curve: LossCurve = block.curve

    @abstractmethod
    def top_gain(self) -> float:
        """Largest gain of all cells."""

    @abstractmethod
    def level(self, price: float, like: Level | None = None) -> Level:
        """Cells with gain >= price; counted by the same split as ``like`` if that is given."""

    @abstractmethod
    def excess(self, level: Level) -> float:
        """Sum of p magnitude (envelope loss - limit) over the block at a level."""

    @abstractmethod
    def cells_between(self, low: Level, high: Level, first_only: bool) -> Floats:
        """Gains of the cells in ``low`` and not in ``high``; only first latents if asked."""

    @abstractmethod
    def ties(self, low: Level, high: Level) -> Ties:
        """Cells in ``low`` and not in ``high``, when those are neighbouring prices."""

    @abstractmethod
    def certificate(self, taken: Level, left: Level) -> tuple[float, float, float]:
        """Check the cells next to the level's edge afresh.

        Returns the smallest gain inside ``taken``, the largest outside ``left``, and the sum of
        what cells on the wrong side of the price would have saved.
        """


def edge_check(inside: Floats, outside: Floats, price: float) -> tuple[float, float, float]:
    """Smallest gain inside, largest outside, and what cells on the wrong side would have saved."""
    wrong = np.maximum(price - inside, 0.0).sum() + np.maximum(outside - price, 0.0).sum()
    return (
        float(inside.min(initial=np.inf)),
        float(outside.max(initial=0.0)),
        float(wrong),
    )


def total_of(rows: Floats, exact: Ints | None = None) -> int:
    """Sum of whole numbers as a Python int, exact up to 4e18, and "many" beyond."""
    size = float(rows.sum())
    if size > 4e18:
        return int(size)
    return int((rows.astype(np.int64) if exact is None else exact).sum())


def ranges(start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """All whole numbers in (start, stop] of each pair: (index of the pair, number)."""
    length = stop - start
    which = np.repeat(np.arange(length.size), length)
    offset = np.arange(which.size) - np.repeat(np.cumsum(length) - length, length)
    return which, start[which] + offset + 1


def in_chunks(part: Callable[[slice], Any], size: int, dtype: Any = np.float64) -> Any:
    """Concatenate part(slice) over slices that fit the cache."""
    if size <= _CHUNK:
        return part(slice(0, size))
    out = np.empty(size, dtype=dtype)
    for start in range(0, size, _CHUNK):
        piece = slice(start, min(start + _CHUNK, size))
        out[piece] = part(piece)
    return out
