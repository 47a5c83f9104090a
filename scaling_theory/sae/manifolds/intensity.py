"""Features that fire more or less strongly: a direction, or any manifold times an intensity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch

from scaling_theory._validate import Floats
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds._draw import (
    check_draw,
    check_range,
    check_size,
    intensities,
    mean_square,
)


@final
@dataclass(frozen=True)
class Segment(Data):
    """The segment [inner, outer] of R^1: one direction, with an intensity uniform in that range.

    Parameters
    ----------
    inner, outer
        Least and largest intensity, 0 <= inner < outer; outer in [1e-15, 1e15].

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Notes
    -----
    A discrete feature whose intensity varies: half of ``Shell(1)``, and the distribution of
    ``Intensity(Points(), inner, outer)``. Good for: features that one latent reconstructs, as it
    does ``Points()``, but whose low intensities a threshold may cut off. The defaults are the radii
    of Michaud, Gorton and McGrath (2025), Figure 3; appendix A.1 there calls variation in the
    intensity of features the realistic case.
    """

    inner: float = 0.5
    outer: float = 2.0
    dimension: int = field(default=1, init=False, repr=False)

    def __post_init__(self) -> None:
        inner, outer = check_range(self.inner, self.outer)
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "outer", outer)

    @property
    def magnitude(self) -> float:
        """(a^2 + ab + b^2)/3 for [a, b]."""
        return mean_square(self.inner, self.outer)

    @property
    def mean(self) -> Floats:
        """(a + b)/2, shape (1,)."""
        return np.array([(self.inner + self.outer) / 2.0])

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, 1)."""
        return intensities(check_draw(count, generator), self.inner, self.outer, generator)


@final
@dataclass(frozen=True)
class Intensity(Data):
    """A manifold times a random intensity, which is uniform in [inner, outer].

    Parameters
    ----------
    manifold
        What is multiplied; any :class:`Data`.
    inner, outer
        Least and largest intensity, 0 <= inner < outer. outer times the manifold's size, the root
        of its magnitude, is in [1e-15, 1e15].

    Raises
    ------
    ValueError
        If manifold is none, or an intensity is outside its range.

    Notes
    -----
    Intensity and point are independent. ``Intensity(Sphere(d), inner, outer)`` is
    ``Shell(d, inner, outer)``, number by number. This is the radial variation of Michaud, Gorton
    and McGrath (2025), appendix A.1, put on any manifold: whether an SAE tiles a torus or a ripple
    is a different question with it and without.
    """

    manifold: Data
    inner: float = 0.5
    outer: float = 2.0
    dimension: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.manifold, Data):
            raise ValueError(f"manifold must be one, such as Circle(), got {self.manifold!r}")
        inner, outer = check_range(self.inner, self.outer)
        check_size(
            "outer times the root of the manifold's magnitude",
            outer * math.sqrt(self.manifold.magnitude),
        )
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "outer", outer)
        object.__setattr__(self, "dimension", self.manifold.dimension)

    @property
    def magnitude(self) -> float:
        """(a^2 + ab + b^2)/3 times the manifold's, for intensities in [a, b]."""
        return mean_square(self.inner, self.outer) * self.manifold.magnitude

    @property
    def mean(self) -> Floats:
        """(a + b)/2 times the manifold's, shape (dimension,)."""
        return np.asarray((self.inner + self.outer) / 2.0 * self.manifold.mean)

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        count = check_draw(count, generator)
        x = self.manifold.sample(count, generator)
        # A new tensor: what a manifold of someone else's returned may be held elsewhere.
        return x * intensities(count, self.inner, self.outer, generator)
