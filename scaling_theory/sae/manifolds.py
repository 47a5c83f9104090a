"""Toy manifolds: what one feature looks like when it is active.

- :class:`Sphere`: the case whose theory is known best; ``Sphere(1)`` is plus or minus one point.
- :class:`Circle`: the sphere in two dimensions, whose optimum has been computed.
- :class:`Shell`: a sphere with a radius that varies, on which thresholds fail to tile.
- :class:`Points`: finitely many points; one of them, the default, is a discrete feature.

Several features at once: ``Superposition``. Sizes are in [1e-15, 1e15], so that their squares are
ordinary float32 numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.sae.data import Data

#: Largest dimension of one manifold.
MAX_DIMENSION = 2**20
_LEAST, _MOST = 1e-15, 1e15


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
        object.__setattr__(self, "dimension", _dimension(self.dimension))
        object.__setattr__(self, "radius", _size("radius", self.radius))

    @property
    def magnitude(self) -> float:
        """radius^2."""
        return self.radius**2

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        count = check_draw(count, generator)
        return _scaled(_directions(count, self.dimension, generator), self.radius)


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
        object.__setattr__(self, "radius", _size("radius", self.radius))

    @property
    def magnitude(self) -> float:
        """radius^2."""
        return self.radius**2

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, 2)."""
        return _scaled(_directions(check_draw(count, generator), 2, generator), self.radius)


@final
@dataclass(frozen=True)
class Shell(Data):
    """A uniform direction in R^d, and a random radius.

    Parameters
    ----------
    dimension
        d, at least 1.
    inner, outer
        Least and largest radius; inner may be 0 (a ball).
    law
        "radius": the radius is uniform in [inner, outer]. "volume": the point is uniform in the
        shell, so that radii are r^(d-1) as likely.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Notes
    -----
    Michaud, Gorton and McGrath (2025), Figure 3, sample {x: 0.5 < |x| < 2} and do not state the
    law of the radius. In one dimension the two laws are the same.
    """

    dimension: int
    inner: float = 0.5
    outer: float = 2.0
    law: Literal["radius", "volume"] = "radius"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", _dimension(self.dimension))
        outer = _size("outer", self.outer)
        inner = _validate.real("inner", self.inner, low=0.0, high=outer, high_open=True)
        object.__setattr__(self, "outer", outer)
        object.__setattr__(self, "inner", inner)
        if self.law not in ("radius", "volume"):
            raise ValueError(f"law must be 'radius' or 'volume', got {self.law!r}")

    @property
    def magnitude(self) -> float:
        """(a^2 + ab + b^2)/3, or b^2 d/(d+2) (1 - t^(d+2))/(1 - t^d) with t = a/b, by volume."""
        a, b, d = self.inner, self.outer, self.dimension
        if self.law == "radius":
            return (a * a + a * b + b * b) / 3.0
        if a == 0.0:
            return b * b * d / (d + 2)
        log_t = math.log(a / b)  # 1 - t^k without cancellation in thin shells
        return b * b * d / (d + 2) * math.expm1((d + 2) * log_t) / math.expm1(d * log_t)

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        count = check_draw(count, generator)
        x = _directions(count, self.dimension, generator)
        radius = torch.rand(count, 1, generator=generator, device=generator.device)
        if self.law == "radius":
            radius.mul_(self.outer - self.inner).add_(self.inner)
        else:
            # In units of the outer radius: its d-th power may be beyond float32.
            least = (self.inner / self.outer) ** self.dimension
            radius.mul_(1.0 - least).add_(least).pow_(1.0 / self.dimension).mul_(self.outer)
        return x.mul_(radius)


@final
@dataclass(frozen=True, eq=False, repr=False)
class Points(Data):
    """One of k points, each as likely as the others.

    Parameters
    ----------
    positions
        Array of shape (k, d), not all 0, none beyond 1e15. None (default) is the single point 1
        in R^1: the discrete feature of Michaud, Gorton and McGrath (2025), section 2.3. A list
        of k numbers is refused, since it could be k points on the line or one point in R^k.

    Raises
    ------
    ValueError
        If positions are not k points of the same dimension.
    """

    positions: Any = None
    dimension: int = field(init=False)

    def __post_init__(self) -> None:
        given = [[1.0]] if self.positions is None else self.positions
        try:
            shape = np.shape(given)
        except ValueError:
            raise ValueError(
                f"positions must hold k points with d numbers each, got rows of different "
                f"lengths: {given!r}"
            ) from None
        if len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"positions must have shape (k, d), got {shape}: k points on the line are "
                f"[[a], [b], ...], one point is [[a, b, ...]]"
            )
        flat = given.reshape(-1) if isinstance(given, np.ndarray) else [v for p in given for v in p]
        values = _validate.reals("positions (point by point)", flat, low=-_MOST, high=_MOST)
        if np.abs(values).max() < _LEAST:
            raise ValueError(
                f"positions must reach a distance of at least {_LEAST:g} from 0, got a largest "
                f"coordinate of {float(np.abs(values).max())!r}"
            )
        positions = values.reshape(shape) + 0.0  # -0.0 becomes 0.0, so that equal ones hash alike
        positions.flags.writeable = False
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "dimension", int(shape[1]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Points) and np.array_equal(self.positions, other.positions)

    def __hash__(self) -> int:
        return hash((self.positions.shape, self.positions.tobytes()))

    def __repr__(self) -> str:
        if self.positions.tolist() == [[1.0]]:
            return "Points()"
        return f"Points(positions=<{' x '.join(map(str, self.positions.shape))} values>)"

    @property
    def magnitude(self) -> float:
        """Mean squared norm of the positions."""
        return float(np.mean(np.sum(self.positions**2, axis=1)))

    @property
    def mean(self) -> Floats:
        """Mean of the positions, shape (dimension,)."""
        return np.asarray(self.positions.mean(axis=0))

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, dimension)."""
        count, device = check_draw(count, generator), generator.device
        positions = torch.tensor(self.positions, dtype=torch.float32, device=device)
        if len(positions) == 1:  # nothing to draw
            return positions.repeat(count, 1)
        which = torch.randint(len(positions), (count,), generator=generator, device=device)
        return positions[which]


def check_draw(count: Any, generator: Any) -> int:
    """Return the checked number of inputs to draw."""
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
    return _validate.whole("count", count)


def _dimension(value: Any) -> int:
    return _validate.whole("dimension", value, low=1, high=MAX_DIMENSION)


def _size(name: str, value: Any) -> float:
    return _validate.real(name, value, low=_LEAST, high=_MOST)


def _scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x if factor == 1.0 else x.mul_(factor)


def _directions(count: int, dimension: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform unit vectors, a new float32 tensor of shape (count, dimension)."""
    device = generator.device
    if dimension == 1:  # signs: torch.randn is exactly 0 once in 2^24 draws
        signs = torch.randint(2, (count, 1), generator=generator, device=device, dtype=torch.int8)
        return signs.mul_(2).sub_(1).to(torch.float32)
    if dimension == 2:  # half the time of normals
        angle = torch.rand(count, generator=generator, device=device).mul_(2.0 * math.pi)
        return torch.stack((torch.cos(angle), torch.sin(angle)), dim=1)
    return _normalised(torch.randn(count, dimension, generator=generator, device=device))


def _normalised(x: torch.Tensor) -> torch.Tensor:
    """Rows divided by their norms in place; rows of zeros become the first axis, never NaN."""
    squared = (x * x).sum(dim=1, keepdim=True)  # of normals: far from either end of float32
    zero = squared == 0.0
    x[:, :1] += zero
    return x.div_(squared.add_(zero).sqrt_())
