"""Moments of a superposition where features depend on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.sae._forest import Forest

if TYPE_CHECKING:
    from scaling_theory.sae.superposition import Superposition


def cross_terms(data: Superposition, forest: Forest) -> float:
    """Sum over pairs i != j of (P(i and j) - p_i p_j) m_i.m_j, m_i the mean of an active feature i.

    It is what dependence adds to the mean squared norm of an input. Each pair is looked
    at once, in blocks: a time in proportion to the number of features squared.
    """
    scales = np.ones(data.features) if data.scales is None else data.scales
    group = data.group_of(np.arange(1, data.features + 1))
    means = [data.manifolds[g].mean for g in group]
    centres = np.stack(
        [
            scale * (frame.double().numpy() @ mean)
            for frame, mean, scale in zip(data.frames, means, scales, strict=True)
        ]
    )
    total = 0.0
    for rows in forest.blocks():
        later = np.arange(rows[0], data.features)  # of pairs with earlier ones the other half
        extra = forest.covariances(rows, later)
        extra *= centres[rows] @ centres[later].T
        inside = extra[:, : rows.size]  # has both halves already
        total += 2.0 * float(extra[:, rows.size :].sum())
        total += float(inside.sum() - inside.trace())
    return total


def pair_probabilities(p: Floats, forest: Forest | None, first: Ints, second: Ints) -> Floats:
    """P(i and j) of pairs of indices, shape (k,) each.

    What rounding puts outside of the bounds that hold for any two events is put on them: where
    gates exclude each other, p_i p_j and the excess cancel.
    """
    out = p[first] * p[second]
    if forest is not None:
        for rank in np.unique(first):
            here = first == rank
            out[here] += forest.covariances(np.array([rank]), second[here])[0]
    low, high = np.maximum(p[first] + p[second] - 1.0, 0.0), np.minimum(p[first], p[second])
    return np.where(first == second, p[first], np.minimum(np.maximum(out, low), high))
