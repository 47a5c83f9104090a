"""Which activations are kept, for the architectures that keep a number of them.

- :func:`largest`: so many of each row (TopK).
- :func:`largest_of_batch`: so many a row on average, among all rows at once (BatchTopK).
- :func:`threshold_of`: above which so many a row are on average, in blocks; what the second becomes
  for lone inputs.

Ties: `largest` keeps exactly k, and which of those equal to the smallest is PyTorch's choice. The
other two go by a value: `largest_of_batch` keeps all that equal the smallest that is kept, so that
permuting latents or rows permutes what is kept. Two latents that are copies of each other can give
one entry too many. On discrete data whole groups of rows tie: training keeps the group at the
boundary, while `threshold_of` drops it for lone inputs (in one example an L0 of 1.009 in batches
and 0.991 alone, for k = 1).
"""

from __future__ import annotations

from typing import Any

import torch

from scaling_theory import _validate
from scaling_theory.sae.architectures.base import Context, pre_activations
from scaling_theory.sae.weights import Weights

#: Pre-activations that are looked at together.
_NUMBERS = 2**22


def check_selection(architecture: Any) -> None:
    """Check ``k``, ``auxk`` and ``auxk_weight`` of a frozen dataclass, and set them."""
    a, put = architecture, object.__setattr__
    put(a, "k", _validate.whole("k", a.k, low=1))
    put(a, "auxk", _validate.whole("auxk", a.auxk))
    put(a, "auxk_weight", _validate.real("auxk_weight", a.auxk_weight, low=0.0))


def check_width(k: int, width: int) -> None:
    """Refuse fewer latents than k."""
    if k > width:
        raise ValueError(f"k must be at most the width, got k={k} for width={width}")


def largest(pre: torch.Tensor, k: int) -> torch.Tensor:
    """Positive entries among the k largest of each row, zero elsewhere: shape (rows, n)."""
    values, index = pre.relu().topk(k, dim=1)
    return torch.zeros_like(pre).scatter(1, index, values)


def largest_of_batch(pre: torch.Tensor, k: int) -> torch.Tensor:
    """Positive entries among the k * rows largest of all, zero elsewhere: shape (rows, n)."""
    count = k * len(pre)
    kept = pre.detach() > 0.0
    if count < pre.numel():
        kept &= pre.detach() >= pre.detach().flatten().topk(count, sorted=False).values.min()
    return torch.where(kept, pre, 0.0)


def threshold_of(weights: Weights, x: torch.Tensor, k: int) -> float:
    """Threshold of at least 0 above which k latents a row are on average over x, or all positive.

    Half-way between the (k rows)-th largest pre-activation and the next, so that rounding does not
    decide; 0 if that one is not positive; where they are equal, fewer than k rows are above. Blocks
    of rows are looked at one after another, so that no array of rows times n is held.
    """
    count = k * len(x) + 1
    if count > len(x) * weights.width:
        return 0.0
    most = x.new_zeros(count)  # zeros stand for what is not positive
    for rows in torch.split(x, max(_NUMBERS // weights.width, 1)):
        z = pre_activations(weights, rows).flatten()
        most = torch.cat([most, z[z > most.min()]]).topk(count, sorted=False).values
    below, above = most.topk(2, largest=False, sorted=True).values.tolist()
    return 0.5 * (below + above) if below > 0.0 else 0.0


def auxk(
    count: int,
    weight: float,
    weights: Weights,
    x: torch.Tensor,
    residual: torch.Tensor,
    context: Context,
) -> torch.Tensor:
    """Squared error of the dead latents' reconstruction of the residual, shape (rows,).

    The ``count`` largest of each row among latents that are dead; Gao et al. (2024), appendix A.2.
    """
    if not count or context.dead is None or not bool(context.dead.any()):
        return torch.zeros_like(x[:, 0])
    pre = pre_activations(weights, x).masked_fill(~context.dead, 0.0)
    f = largest(pre, min(count, int(context.dead.sum())))
    missed = residual.detach() - f @ weights.decoder
    return missed.square().sum(1).mul(weight)
