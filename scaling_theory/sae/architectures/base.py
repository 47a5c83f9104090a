"""What an architecture is: an encoder and the penalty it is trained with, as pure functions.

A new one needs :meth:`Architecture.encode` and :meth:`Architecture.penalty`; the reference path
trains it by autograd. ``fused`` names what ``kernels`` computes the same with, much faster.

Two more hooks are for architectures that select among the rows of a batch, and so encode a lone
input in another way: :meth:`Architecture.encode_batch` while they train, and
:meth:`Architecture.finish` once, when they have.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch

from scaling_theory.sae.weights import Weights


@dataclass(frozen=True)
class Context:
    """What a loss may know beside the weights and the batch.

    Attributes
    ----------
    scale
        Warm-up factor of the penalty, in [0, 1].
    dead : (n,) bool, optional
        Latents that count as dead; None where nobody keeps track.
    """

    scale: float = 1.0
    dead: torch.Tensor | None = None


class Losses(NamedTuple):
    """Losses of each row, shape (rows,): L(n) is reconstruction + penalty.

    ``auxiliary`` is trained but no part of L(n).
    """

    reconstruction: torch.Tensor
    penalty: torch.Tensor
    auxiliary: torch.Tensor

    def total(self) -> torch.Tensor:
        """What is minimised, averaged over rows."""
        return (self.reconstruction + self.penalty + self.auxiliary).mean()


class Architecture(ABC):
    """An SAE architecture with its objective; subclasses are frozen dataclasses of plain values."""

    fused: ClassVar[str | None] = None
    """Name by which ``kernels`` knows how to compute this architecture, if it does."""

    extra: ClassVar[tuple[str, ...]] = ()
    """Names of parameters beyond encoder, decoder and biases, one value a latent."""

    finish_samples: ClassVar[int] = 0
    """How many fresh inputs :meth:`finish` is to be called with; 0 if there is nothing to do."""

    @property
    def needs_dead(self) -> bool:
        """Whether the objective asks which latents are dead; keeping track costs time."""
        return False

    def initial(self) -> Mapping[str, float]:
        """Initial value of each extra parameter."""
        return {}

    def check(self, width: int) -> None:
        """Raise ValueError if the architecture can't have so many latents."""
        return

    def constrain(self, weights: Weights) -> None:
        """Put weights back into their domain after an update, in place."""
        return

    def finish(self, weights: Weights, x: torch.Tensor) -> None:
        """Set what is set once, after the last step, in place, from fresh inputs (rows, d).

        Must depend on nothing that it sets, so that doing it again changes nothing.
        """
        return

    @abstractmethod
    def encode(self, weights: Weights, x: torch.Tensor) -> torch.Tensor:
        """Activations of the latents, shape (rows, n), of inputs of shape (rows, d)."""

    def encode_batch(self, weights: Weights, x: torch.Tensor, context: Context) -> torch.Tensor:
        """Activations while training, shape (rows, n); those of a row may depend on the others."""
        return self.encode(weights, x)

    @abstractmethod
    def penalty(
        self, weights: Weights, x: torch.Tensor, activations: torch.Tensor, context: Context
    ) -> torch.Tensor:
        """Penalty of each row, shape (rows,), at its full size."""

    def auxiliary(
        self,
        weights: Weights,
        x: torch.Tensor,
        activations: torch.Tensor,
        residual: torch.Tensor,
        context: Context,
    ) -> torch.Tensor:
        """Further loss of each row, shape (rows,); the residual is x - decode(activations)."""
        return torch.zeros_like(x[:, 0])

    def losses(self, weights: Weights, x: torch.Tensor, context: Context) -> Losses:
        """Losses of each row of a batch of shape (rows, d), encoded as while training."""
        activations = self.encode_batch(weights, x, context)
        residual = x - decode(weights, activations)
        return Losses(
            residual.square().sum(1),
            context.scale * self.penalty(weights, x, activations, context),
            self.auxiliary(weights, x, activations, residual, context),
        )


def decode(weights: Weights, activations: torch.Tensor) -> torch.Tensor:
    """Return the reconstruction, shape (rows, d), of activations of shape (rows, n)."""
    return torch.addmm(weights.decoder_bias, activations, weights.decoder)


def pre_activations(weights: Weights, x: torch.Tensor) -> torch.Tensor:
    """W_e x + b_e, shape (rows, n)."""
    return torch.addmm(weights.encoder_bias, x, weights.encoder.T)
