"""Non-increasing losses nearest to given ones."""

from __future__ import annotations

import numpy as np

from scaling_theory._validate import Floats


def pool_adjacent(loss: Floats, weight: Floats) -> Floats:
    """Closest values that never rise, by pooling adjacent violators; only the first may be exact.

    Barlow, Bartholomew, Bremner and Brunk, Statistical Inference under Order Restrictions (1972).
    """
    blocks: list[tuple[float, float, int]] = []  # mean, weight, points
    for y, w in zip(loss.tolist(), weight.tolist(), strict=True):
        mean, total, count = y, w, 1
        while blocks and blocks[-1][0] < mean:
            before, heavy, more = blocks.pop()
            mean = before + (mean - before) * (total / (heavy + total))
            total, count = total + heavy, count + more
        blocks.append((mean, total, count))
    return np.repeat([b[0] for b in blocks], [b[2] for b in blocks])
