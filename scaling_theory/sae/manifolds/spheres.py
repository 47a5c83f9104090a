"""What is round: spheres, and balls and shells, where the radius varies."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, final

import torch

from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds._draw import (
    check_dimension,
    check_draw,
    check_range,
    check_size,
    directions,
    intensities,
    mean_square,
    scaled,
)


@final
@dataclass(frozen=True)
class Sphere(Data):
    """Uniform on the sphere around 0 in R^d; for d = 1 either of two points.

    Parameters
    ----------
    dimension
        d of the space around it, at least 1; the sphere itself has d - 1.
    radius
        In [1e-15, 1e15].

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    References
    ----------
    Michaud, Gorton and McGrath (2025), section 3.
    """

    dimension: int
    radius: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", check_dimension(self.dimension))
        object.__setattr__(self, "radius", check_size("radius", self.radius))

    @property
    def magnitude(self) -> float:
        """radius^2."""
        return self.radius**2

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        count = check_draw(count, generator)
        return scaled(directions(count, self.dimension, generator), self.radius)


@final
@dataclass(frozen=True)
class Circle(Data):
    """Uniform on the circle around 0 in the plane: ``Sphere(2)`` under the name it goes by.

    Parameters
    ----------
    radius
        In [1e-15, 1e15].
    """

    radius: float = 1.0
    dimension: int = field(default=2, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", check_size("radius", self.radius))

    @property
    def magnitude(self) -> float:
        """radius^2."""
        return self.radius**2

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, 2)."""
        return scaled(directions(check_draw(count, generator), 2, generator), self.radius)


@final
@dataclass(frozen=True)
class Shell(Data):
    """A uniform direction in R^d, and a random radius.

    Parameters
    ----------
    dimension
        d, at least 1.
    inner, outer
        Least and largest radius; inner may be 0.
    law
        "radius": the radius is uniform in [inner, outer], as in
        ``Intensity(Sphere(dimension), inner, outer)``. "volume": the point is uniform in the
        shell, so that radii are r^(d-1) as likely.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Notes
    -----
    Michaud, Gorton and McGrath (2025), Figure 3, sample {x: 0.5 < |x| < 2} and do not state the
    law of the radius. In one dimension the two laws are the same. ``Shell(d, 0, r, "volume")`` is
    :class:`Ball`.
    """

    dimension: int
    inner: float = 0.5
    outer: float = 2.0
    law: Literal["radius", "volume"] = "radius"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", check_dimension(self.dimension))
        inner, outer = check_range(self.inner, self.outer)
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "outer", outer)
        if self.law not in ("radius", "volume"):
            raise ValueError(f"law must be 'radius' or 'volume', got {self.law!r}")

    @property
    def magnitude(self) -> float:
        """(a^2 + ab + b^2)/3, or b^2 d/(d+2) (1 - t^(d+2))/(1 - t^d) with t = a/b, by volume."""
        a, b, d = self.inner, self.outer, self.dimension
        if self.law == "radius":
            return mean_square(a, b)
        if a == 0.0:
            return b * b * d / (d + 2)
        log_t = math.log(a / b)  # 1 - t^k without cancellation in thin shells
        return b * b * d / (d + 2) * math.expm1((d + 2) * log_t) / math.expm1(d * log_t)

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        count = check_draw(count, generator)
        x = directions(count, self.dimension, generator)
        if self.law == "radius":
            return x.mul_(intensities(count, self.inner, self.outer, generator))
        # In units of the outer radius: its d-th power may be beyond float32.
        least = (self.inner / self.outer) ** self.dimension
        radius = torch.rand(count, 1, generator=generator, device=generator.device)
        radius.mul_(1.0 - least).add_(least).pow_(1.0 / self.dimension).mul_(self.outer)
        return x.mul_(radius)


@final
@dataclass(frozen=True)
class Ball(Data):
    """Uniform in the ball around 0 in R^d, its inside included.

    Parameters
    ----------
    dimension
        d, at least 1.
    radius
        In [1e-15, 1e15].

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Notes
    -----
    The distribution is that of ``Shell(dimension, 0, radius, law="volume")``, by whose code it is
    drawn: a point is within r of 0 with probability (r/radius)^d. Good for: variation in the radial
    direction, which Michaud, Gorton and McGrath (2025), appendix A.1, hold to keep SAEs from
    tiling, with inputs near 0, which their shells (Figure 3) do not have.
    """

    dimension: int
    radius: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", check_dimension(self.dimension))
        object.__setattr__(self, "radius", check_size("radius", self.radius))

    @property
    def magnitude(self) -> float:
        """radius^2 d/(d+2)."""
        return self.radius**2 * self.dimension / (self.dimension + 2)

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        unit = Shell(self.dimension, inner=0.0, outer=1.0, law="volume")
        return scaled(unit.sample(count, generator), self.radius)
