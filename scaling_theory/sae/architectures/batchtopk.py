"""BatchTopK: k latents an input on average, selected among all inputs of a batch at once.

While it trains, which latents fire on an input depends on the rest of the batch. Lone inputs are
encoded with one threshold for all latents instead. It is kept as the extra parameter ``threshold``,
which no gradient touches, and is set once, when training ends, on fresh inputs
(:meth:`BatchTopK.finish`): until then it is 0, and ``encode`` is a ReLU. Bussmann et al. average
the smallest activation that is kept over batches of training; on inputs of the same distribution
that has the same limit, but it lags behind weights that move, and its k is off by as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from scaling_theory.sae.architectures._selection import (
    auxk,
    check_selection,
    check_width,
    largest_of_batch,
    threshold_of,
)
from scaling_theory.sae.architectures.base import Architecture, Context, pre_activations
from scaling_theory.sae.weights import Weights

#: Fresh inputs on which the threshold is set. Each fires about k of its latents, so that the share
#: is known to about 1/sqrt(16,384 k), less than 1% of k, where the number that fires varies like a
#: Poisson number.
SAMPLES = 16_384


@final
@dataclass(frozen=True)
class BatchTopK(Architecture):
    """f keeps the k * rows largest of ReLU(W_e x + b_e) over a batch; no penalty.

    Parameters
    ----------
    k
        Latents that fire on an input on average, at least 1 and at most the width.
    auxk
        AuxK: so many dead latents reconstruct the residual (all of them if there are fewer). 0, the
        default, is without.
    auxk_weight
        Weight of that reconstruction's squared error. Default 1/32: Gao et al. (2024), whose
        auxiliary loss Bussmann et al. (2024) keep.

    Notes
    -----
    Bussmann, Leask and Nanda (2024), arXiv:2412.06410. They subtract the decoder bias
    from inputs; here that is absorbed in b_e. Of activations that equal the smallest one that is
    kept, all are kept.
    """

    k: int
    auxk: int = 0
    auxk_weight: float = 1.0 / 32.0

    fused: ClassVar[str | None] = "batch_topk"
    extra: ClassVar[tuple[str, ...]] = ("threshold",)
    finish_samples: ClassVar[int] = SAMPLES

    def __post_init__(self) -> None:
        check_selection(self)

    @property
    def needs_dead(self) -> bool:
        """Whether there is an auxiliary loss."""
        return self.auxk > 0

    def initial(self) -> Mapping[str, float]:
        """No threshold until training ends."""
        return {"threshold": 0.0}

    def check(self, width: int) -> None:
        """Refuse fewer latents than k."""
        check_width(self.k, width)

    def finish(self, weights: Weights, x: torch.Tensor) -> None:
        """Set the threshold so that k latents fire on an input of x on average."""
        weights.extra["threshold"].fill_(threshold_of(weights, x, self.k))

    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of shape (rows, n) above the threshold, each row for itself."""
        z = pre_activations(weights, x)
        return torch.where(z > weights.extra["threshold"].detach(), z, 0.0)

    def encode_batch(self, weights: Weights, x: torch.Tensor, context: Context) -> torch.Tensor:
        """Activations of shape (rows, n), k * rows of them positive if so many are."""
        return largest_of_batch(pre_activations(weights, x), self.k)

    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """Zero: k is the constraint."""
        return torch.zeros_like(x[:, 0])

    def auxiliary(
        self,
        weights: Weights,
        x: torch.Tensor,
        activations: torch.Tensor,
        residual: torch.Tensor,
        context: Context,
    ) -> torch.Tensor:
        """Squared error of the dead latents' reconstruction of the residual (Gao et al. 2024)."""
        return auxk(self.auxk, self.auxk_weight, weights, x, residual, context)
