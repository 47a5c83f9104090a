"""What each feature contributed to inputs of a superposition."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Parts(NamedTuple):
    """Inputs, and what each feature contributed to them.

    Attributes
    ----------
    x : (count, d) float32
        The inputs.
    active : (count, features) bool
        Which features are in them.
    coordinates : (count, sum of d_i) float32
        Own coordinates of all features, side by side. With orthogonal features these are the
        inputs, and share their memory.
    slices : tuple of slice
        Columns of ``coordinates`` of each feature.
    basis : (d, sum of d_i) float32, or None
        Frames of the features, side by side; None if they are the coordinate axes.
    """

    x: torch.Tensor
    active: torch.Tensor
    coordinates: torch.Tensor
    slices: tuple[slice, ...]
    basis: torch.Tensor | None

    def own(self, i: int) -> torch.Tensor:
        """Coordinates of feature i in its own frame, (count, d_i), 0 where it is idle; a view."""
        return self.coordinates[:, self.slices[i]]

    def part(self, i: int) -> torch.Tensor:
        """Return the contribution of feature i to the inputs, (count, d); their sum is x."""
        if self.basis is not None:
            return self.own(i) @ self.basis[:, self.slices[i]].T
        out = torch.zeros_like(self.x)
        out[:, self.slices[i]] = self.own(i)
        return out
