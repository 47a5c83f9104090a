"""Matryoshka: nested SAEs in one, each of which reconstructs by itself.

The latents are those of :class:`BatchTopK`, selected over the whole width. Every prefix of them
has to reconstruct the input without the latents behind it, so that the first ones learn what is
general. What is reported as reconstruction, and so L(n), is that of the whole width; the squared
errors of the shorter prefixes are the auxiliary loss. Their sum is what Bussmann et al. minimise;
public trainers take the mean, which Adam can't tell from it as long as there is neither AuxK nor a
clip of gradients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, final

import torch

from scaling_theory import _validate
from scaling_theory.sae.architectures._selection import (
    auxk,
    check_selection,
    check_width,
    largest_of_batch,
    threshold_of,
)
from scaling_theory.sae.architectures.base import Architecture, Context, pre_activations
from scaling_theory.sae.architectures.batchtopk import SAMPLES
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True)
class Matryoshka(Architecture):
    """BatchTopK whose every prefix reconstructs: sum over prefixes of |x - (W_d f)_{1..m} - b_d|^2.

    Parameters
    ----------
    k
        Latents of the whole width that fire on an input on average, at least 1 and at most the
        width.
    prefixes
        Shares of the width, rising, each in (0, 1], the last one 1. Default: 1 halved four times,
        so that the five groups are 1/16, 1/16, 1/8, 1/4 and 1/2 of the width, the first two equal;
        much like the five of Bussmann et al. (2025), each about twice the one before, but not
        the same. :meth:`sizes` says how many latents that is.
    auxk, auxk_weight
        As in ``BatchTopK``: dead latents reconstruct the residual of the whole width.

    Notes
    -----
    Bussmann, Nabeshima, Karvonen and Nanda (2025), arXiv:2503.17547. They subtract the
    decoder bias from inputs; here that is absorbed in b_e. One prefix, ``prefixes=(1.0,)``, is
    ``BatchTopK``.
    """

    k: int
    prefixes: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
    auxk: int = 0
    auxk_weight: float = 1.0 / 32.0

    fused: ClassVar[str | None] = "matryoshka"
    extra: ClassVar[tuple[str, ...]] = ("threshold",)
    finish_samples: ClassVar[int] = SAMPLES

    def __post_init__(self) -> None:
        check_selection(self)
        object.__setattr__(self, "prefixes", _prefixes(self.prefixes))

    @property
    def needs_dead(self) -> bool:
        """Whether there is an auxiliary loss of dead latents."""
        return self.auxk > 0

    def initial(self) -> Mapping[str, float]:
        """No threshold until training ends."""
        return {"threshold": 0.0}

    def check(self, width: int) -> None:
        """Refuse fewer latents than k."""
        check_width(self.k, width)

    def sizes(self, width: int) -> tuple[int, ...]:
        """Latents of each prefix: rising whole numbers, the last one the width.

        The nearest to the share of the width (halves go up), at least 1. Shares that come to the
        same number are one prefix: 16 latents have prefixes of 1, 2, 4, 8 and 16, 3 latents of 1, 2
        and 3, and one latent has none but itself.
        """
        return tuple(sorted({max(1, math.floor(p * width + 0.5)) for p in self.prefixes}))

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
        """Squared errors of the prefixes shorter than the width, and that of dead latents."""
        out = auxk(self.auxk, self.auxk_weight, weights, x, residual, context)
        missed = x - weights.decoder_bias
        for start, stop in pairwise((0, *self.sizes(weights.width)[:-1])):
            missed = missed - activations[:, start:stop] @ weights.decoder[start:stop]
            out = out + missed.square().sum(1)
        return out


def _prefixes(values: Any) -> tuple[float, ...]:
    if not isinstance(values, tuple | list) or not values:
        raise ValueError(f"prefixes must be a tuple of shares of the width, got {values!r}")
    out = tuple(
        _validate.real(f"prefixes[{i}]", p, low=0.0, high=1.0, low_open=True)
        for i, p in enumerate(values)
    )
    if out[-1] != 1.0 or any(a >= b for a, b in pairwise(out)):
        raise ValueError(f"prefixes must rise to 1, got {values!r}")
    return out
