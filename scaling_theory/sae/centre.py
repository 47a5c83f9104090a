"""The geometric median: a centre of rows that a few far ones can't drag along."""

from __future__ import annotations

import torch

#: Most iterations, and the step at which they end, in units of the largest distance. Where m of n
#: rows lie together and the others far off on one side, the distance left falls by (n - m)/m each
#: time, so that what is left at the end is the step over 1 - (n - m)/m.
_MOST, _ENOUGH = 2000, 1e-7


def geometric_median(x: torch.Tensor) -> torch.Tensor:
    """Point with the least sum of distances to rows of shape (rows, d): shape (d,).

    By Weiszfeld's iteration from the mean, in float64, with distances bounded below by 1e-12 of the
    largest, so that a centre that meets a row stays a number. Returned in the type of ``x``.
    """
    rows = x.double()
    centre = rows.mean(0)
    for _ in range(_MOST):
        distance = (rows - centre).norm(dim=1)
        most = distance.max()
        if not bool(most > 0.0):
            break
        weight = 1.0 / distance.clamp_min(1e-12 * float(most))
        new = (weight @ rows) / weight.sum()
        moved = float((new - centre).norm())
        centre = new
        if moved <= _ENOUGH * float(most):
            break
    return centre.to(x.dtype)
