"""Labelled groups of features, and the blocks that they are solved as.

A block is either listed (ranks and weights as arrays) or a regular tail of ranks with one curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._repr import compact
from scaling_theory._validate import Floats, Ints
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import MAX_COUNT, Frequencies, ShiftedPower
from scaling_theory.ranks import TailRanks

#: Ranks up to here are listed one by one where they lie among exceptions.
_LISTED_HEAD = 1_000_000


@final
@dataclass(frozen=True, eq=False, repr=False)
class Group:
    """Features that share a label and a curve.

    Parameters
    ----------
    label
        Name of the group in results.
    curve
        Loss curve; with per-feature parameters they are in the order of ``ranks``.
    ranks
        Ranks of the group, distinct whole numbers of at least 1; None (default) for all ranks
        that no other group holds.
    magnitude
        Mean squared size of the feature when active, greater than 0: a number, or one per rank.
        Allocation weighs p_i times magnitude; firing frequencies see p_i.
    """

    label: str
    curve: LossCurve
    ranks: Any = None
    magnitude: Any = 1.0

    def __repr__(self) -> str:
        return compact(self)

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not self.label:
            raise ValueError(f"label must be a non-empty string, got {self.label!r}")
        if not isinstance(self.curve, LossCurve):
            raise ValueError(
                f"curve of group {self.label!r} must be a LossCurve, got {self.curve!r}"
            )
        bounds: dict[str, Any] = {"low": 0.0, "low_open": True}
        name = f"magnitude of group {self.label!r}"
        if np.ndim(self.magnitude) == 0:
            magnitude: Any = _validate.real(name, self.magnitude, **bounds)
        else:
            magnitude = _validate.reals(name, self.magnitude, **bounds)
        object.__setattr__(self, "magnitude", magnitude)
        if self.ranks is None:
            return
        ranks = _validate.wholes(
            f"ranks of group {self.label!r}", self.ranks, low=1, high=MAX_COUNT
        )
        order = np.argsort(ranks, kind="stable")
        if (np.diff(ranks[order]) == 0).any():
            at = int(np.argmax(np.diff(ranks[order]) == 0))
            raise ValueError(
                f"ranks of group {self.label!r} must be distinct, got {ranks[order][at]} twice"
            )
        check_length(self, ranks.size)
        object.__setattr__(self, "ranks", ranks[order])
        object.__setattr__(self, "curve", self.curve.take(order))
        if isinstance(magnitude, np.ndarray):
            object.__setattr__(self, "magnitude", magnitude[order])


@final
@dataclass(frozen=True, eq=False)
class ListedBlock:
    """Features of one group, listed one by one: ranks and weights of shape (k,)."""

    group: int
    curve: LossCurve
    ranks: Ints
    frequencies: Floats
    weights: Floats  # p_i times magnitude


@final
@dataclass(frozen=True, eq=False)
class TailBlock:
    """Features of one group on a regular tail of ranks, with one shared curve."""

    group: int
    curve: LossCurve
    ranks: TailRanks
    law: ShiftedPower
    magnitude: float


Block = ListedBlock | TailBlock


def locate(block: Block, ranks: Ints) -> tuple[Ints, Ints]:
    """Positions in ``ranks`` that belong to the block, and their index in a listed block."""
    if isinstance(block, TailBlock):
        inside = np.flatnonzero(block.ranks.contains(ranks))
        return inside, np.zeros_like(inside)
    at = np.searchsorted(block.ranks, ranks)
    at = np.minimum(at, block.ranks.size - 1)
    inside = np.flatnonzero(block.ranks[at] == ranks)
    return inside, at[inside]


def blocks_by_rank(frequencies: Frequencies, groups: list[Group]) -> list[Block]:
    """Blocks of groups that list their ranks, and of the one that takes the rest."""
    count = frequencies.count
    rest = [index for index, g in enumerate(groups) if g.ranks is None]
    if len(rest) > 1:
        raise ValueError(
            f"groups must leave ranks=None to at most one group, got "
            f"{[groups[i].label for i in rest]}"
        )
    taken = [g.ranks for g in groups if g.ranks is not None]
    exceptions = np.sort(np.concatenate(taken)) if taken else np.empty(0, dtype=np.int64)
    if exceptions.size and count is not None and exceptions[-1] > count:
        raise ValueError(
            f"ranks must be at most the {count} of the frequencies, got {exceptions[-1]}"
        )
    if (np.diff(exceptions) == 0).any():
        twice = exceptions[int(np.argmax(np.diff(exceptions) == 0))]
        raise ValueError(f"ranks must belong to one group each, got {twice} in two")
    if not rest and exceptions.size != count:
        raise ValueError(
            f"groups must hold every rank: give one group ranks=None, or list all "
            f"{count or 'infinitely many'} ranks; got {exceptions.size}"
        )
    blocks: list[Block] = [
        _listed(frequencies, index, g, g.ranks, np.arange(g.ranks.size))
        for index, g in enumerate(groups)
        if g.ranks is not None
    ]
    if rest:
        blocks += _rest_blocks(frequencies, rest[0], groups[rest[0]], exceptions)
    return blocks


def _rest_blocks(
    frequencies: Frequencies, index: int, group: Group, exceptions: Ints
) -> list[Block]:
    """Blocks of the group that takes the ranks left over: a listed head and a regular tail."""
    count = frequencies.count
    per_feature = group.curve.size is not None or isinstance(group.magnitude, np.ndarray)
    if per_feature:
        check_length(group, count)
    if per_feature or not isinstance(frequencies, ShiftedPower):
        assert count is not None  # check_length, or frequencies that are a list
        start = count
    else:
        near = exceptions[exceptions <= _LISTED_HEAD]
        start = int(near[-1]) if near.size else 0
    blocks: list[Block] = []
    head = np.setdiff1d(np.arange(1, start + 1, dtype=np.int64), exceptions, assume_unique=True)
    if head.size:
        blocks.append(_listed(frequencies, index, group, head, head - 1))
    if (
        isinstance(frequencies, ShiftedPower)
        and not per_feature
        and (count is None or start < count)
    ):
        everything = np.ones(1, dtype=np.int64)
        tail = TailRanks(start, count, 1, everything, exceptions[exceptions > start])
        blocks.append(TailBlock(index, group.curve, tail, frequencies, group.magnitude))
    return blocks


def blocks_drawn(
    frequencies: Frequencies, groups: list[Group], drawn: Ints, pattern: Ints
) -> list[Block]:
    """Blocks of a mixture: the drawn head listed, then a periodic tail."""
    blocks: list[Block] = []
    count, head = frequencies.count, drawn.size
    none = np.empty(0, dtype=np.int64)
    for index, group in enumerate(groups):
        listed = 1 + np.flatnonzero(drawn == index)
        if listed.size:
            blocks.append(_listed(frequencies, index, group, listed, listed - 1))
        if isinstance(frequencies, ShiftedPower) and (count is None or head < count):
            residues = 1 + np.flatnonzero(pattern == index)
            tail = TailRanks(head, count, pattern.size, residues, none)
            blocks.append(TailBlock(index, group.curve, tail, frequencies, group.magnitude))
    return blocks


def _listed(
    frequencies: Frequencies, index: int, group: Group, ranks: Ints, at: Ints
) -> ListedBlock:
    p = frequencies._at(ranks)
    magnitude = group.magnitude[at] if isinstance(group.magnitude, np.ndarray) else group.magnitude
    with np.errstate(over="ignore", under="ignore"):
        weights = np.asarray(p * magnitude)
        sum_of_losses = float(
            (weights * group.curve.take(at).envelope_excess(np.zeros(p.size))).sum()
        )
    if not (np.isfinite(sum_of_losses) and np.isfinite(weights.sum()) and (weights > 0.0).all()):
        raise ValueError(
            f"magnitude of group {group.label!r} must leave frequency times magnitude, and the "
            f"losses, within floating-point range, got {group.magnitude!r}"
        )
    for array in (p, weights, ranks):
        array.flags.writeable = False
    return ListedBlock(index, group.curve.take(at), ranks, p, weights)


def check_length(group: Group, size: int | None) -> None:
    """Per-feature values of a group must match the number of its ranks."""
    values = {
        "curve parameters": group.curve.size,
        "magnitude": group.magnitude.size if isinstance(group.magnitude, np.ndarray) else None,
    }
    for name, length in values.items():
        if length is not None and length != size:
            allowed = (
                "a shared value, since ranks are infinite" if size is None else f"{size} values"
            )
            raise ValueError(
                f"{name} of group {group.label!r} must be {allowed}, got {length} values"
            )
