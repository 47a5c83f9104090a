"""What a toy SAE is trained on: the interface of manifolds and of their superpositions."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch

from scaling_theory._validate import Floats


class Data(ABC):
    """A distribution of inputs; subclasses are final, frozen dataclasses of plain values."""

    dimension: int
    """Dimension d of the space that inputs live in: a field, even where fixed (``Circle``)."""

    @property
    @abstractmethod
    def magnitude(self) -> float:
        """Mean squared norm of an input."""

    @property
    def mean(self) -> Floats:
        """Mean input, shape (dimension,): zeros, unless the distribution is lopsided."""
        return np.zeros(self.dimension)

    @property
    def density(self) -> float:
        """Mean share of an input's coordinates that are not zero, at most; decides speed only."""
        return 1.0

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw inputs, float32 of shape (count, dimension), on the generator's device."""

    def held_out(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw inputs that no training sees, for metrics: fresh ones of a distribution.

        Data that are finite keep some for this, and may return fewer than ``count``.
        """
        return self.sample(count, generator)
