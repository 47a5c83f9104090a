"""What a path is: gradients of an architecture's objective on a batch, into one flat array."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch

from scaling_theory.sae.architectures import Architecture, Context
from scaling_theory.sae.weights import Weights


class Step(NamedTuple):
    """What a batch says beside its gradients.

    Attributes
    ----------
    loss
        Mean of what is minimised. Not finite where an input, the decoder bias or the decoder row of
        a latent that fires is not; nan in an encoder may look like a latent that never fires.
    fired : (n,) bool
        Latents that fired on some row.
    """

    loss: float
    fired: torch.Tensor


class Gradients(ABC):
    """Gradients of the mean loss of a batch. A path may keep buffers: one object for one run."""

    @abstractmethod
    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None: ...

    @abstractmethod
    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``; ``x`` has shape (batch_size, d)."""
