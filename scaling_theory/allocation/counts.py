"""Latents of given ranks at a cut: everything above the price, and tied cells by rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import MAX_COUNT
from scaling_theory.groups import Block, ListedBlock, locate
from scaling_theory.population import Population


@dataclass(frozen=True)
class Edge:
    """Where an allocation ends.

    Attributes
    ----------
    price
        Cells with a larger gain are taken. At 0, all cells with any gain are; at infinity, none.
    tie_rank, part
        Cells with a gain equal to the price are taken on ranks below ``tie_rank``, and ``part``
        of them on that rank.
    """

    price: float
    tie_rank: int = 0
    part: int = 0


def checked_ranks(population: Population, ranks: Any) -> Ints:
    """Return ranks, an array or one number, as an array after checking that they exist."""
    at = np.atleast_1d(np.asarray(ranks))
    return _validate.wholes("ranks", at, low=1, high=population.count or MAX_COUNT)


def weights_at(block: Block, ranks: Ints, index: Ints) -> tuple[Floats, LossCurve]:
    """Weights p_i magnitude_i of ranks in a block, and their curve."""
    if isinstance(block, ListedBlock):
        return block.weights[index], block.curve.take(index)
    return block.magnitude * block.law._at(ranks), block.curve


def counts_at(population: Population, edge: Edge, ranks: Ints) -> Ints:
    """Latents of each rank on the envelope: shape (k,) -> shape (k,)."""
    out = np.zeros(ranks.shape, dtype=np.int64)
    if edge.price == math.inf:
        return out
    for block in population.blocks:
        inside, index = locate(block, ranks)
        if not inside.size:
            continue
        weight, curve = weights_at(block, ranks[inside], index)
        n = curve.count_at(weight, math.nextafter(edge.price, math.inf)).astype(np.int64)
        early = np.flatnonzero(ranks[inside] < edge.tie_rank)
        if early.size:
            n[early] = curve.take(early).count_at(weight[early], edge.price).astype(np.int64)
        n[ranks[inside] == edge.tie_rank] += edge.part
        out[inside] = n
    return out
