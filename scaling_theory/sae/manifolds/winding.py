"""What winds through more dimensions than it has: tori, rolled-up sheets, rippling curves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds._draw import (
    LEAST,
    MAX_DIMENSION,
    MOST,
    check_draw,
    check_size,
    on_circles,
    scaled,
)


@final
@dataclass(frozen=True)
class Torus(Data):
    """The flat torus: a product of m circles in R^2m, with independent uniform angles.

    Parameters
    ----------
    radii
        One for each circle, at least one, each in [1e-15, 1e15]. Every point has the norm
        sqrt(sum radii^2): by default two unit circles, so sqrt(2), and radii of m^-1/2 put the
        torus on the unit sphere. ``Torus((r,))`` draws what ``Circle(r)`` draws.

    Raises
    ------
    ValueError
        If radii are none, too many or outside their range.

    Notes
    -----
    Coordinates 2j and 2j + 1 are circle j. Intrinsic dimension m: to halve the distance to the
    nearest of n points takes 2^m times as many. But the parts lie in orthogonal planes, so that n
    latents may also tile the circles one by one, n/m each, as if they were m features that are
    always active together. Michaud, Gorton and McGrath (2025), section 3, have spheres only; a
    torus asks whether an SAE finds that product.
    """

    radii: tuple[float, ...] = (1.0, 1.0)
    dimension: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        radii = _validate.reals("radii", self.radii, low=LEAST, high=MOST)
        if radii.size > MAX_DIMENSION // 2:
            raise ValueError(
                f"radii must hold at most {MAX_DIMENSION // 2} numbers, got {radii.size}"
            )
        object.__setattr__(self, "radii", tuple(radii.tolist()))
        object.__setattr__(self, "dimension", 2 * radii.size)

    @property
    def magnitude(self) -> float:
        """Sum of radii^2."""
        return math.fsum(r * r for r in self.radii)

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, 2m)."""
        count, device = check_draw(count, generator), generator.device
        turns = torch.rand(count, len(self.radii), generator=generator, device=device)
        radii = torch.tensor(self.radii, dtype=torch.float32, device=device)
        return on_circles(turns.mul_(2.0 * math.pi)).mul_(radii.repeat_interleave(2))


@final
@dataclass(frozen=True)
class SwissRoll(Data):
    """A rolled-up sheet in R^3, uniform in area: flat, with edges, and winding past itself.

    Parameters
    ----------
    start
        How many turns are left out inside, where the roll begins; in [0, 100].
    turns
        How often it goes round; in [0.01, 100].
    height
        Along the axis, in units of the outermost radius; in [0, 1000]. 0 leaves a plane spiral.
    radius
        Root mean squared norm, in [1e-15, 1e15]: magnitudes are comparable with spheres'.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Notes
    -----
    The spiral is the involute of a circle, (cos t + t sin t, sin t - t cos t) for t from
    2 pi start to 2 pi (start + turns). Unlike those of the usual t (cos t, sin t), its turns keep
    one distance, and its arc length is t^2/2, so that uniform points, their mean and their
    magnitude are closed forms. The defaults are about the extent of the usual one (t from 1.5 pi to
    4.5 pi, a height of 21), which is drawn uniformly in t. The axis goes through 0 and the third
    coordinate is in [-h/2, h/2]; spirals are lopsided, so ``mean`` is not 0.

    Good for: a manifold with edges and curvature that varies, whose turns come near each other, so
    that neighbours in space are not neighbours on the sheet. It is not in Michaud, Gorton and
    McGrath (2025), who ask in section 3 how L(n) depends on the shape of a manifold. The radial
    direction varies too, from the innermost to the outermost turn.
    """

    start: float = 0.75
    turns: float = 1.5
    height: float = 1.5
    radius: float = 1.0
    dimension: int = field(default=3, init=False, repr=False)

    def __post_init__(self) -> None:
        ranges = {"start": (0.0, 100.0), "turns": (0.01, 100.0), "height": (0.0, 1000.0)}
        for name, (low, high) in ranges.items():
            value = _validate.real(name, getattr(self, name), low=low, high=high)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "radius", check_size("radius", self.radius))

    @property
    def magnitude(self) -> float:
        """radius^2."""
        return self.radius**2

    @property
    def mean(self) -> Floats:
        """Mean point, shape (3,): the spiral's t, weighted by its arc length."""

        def antiderivative(t: float) -> Floats:
            """Of t (cos t + t sin t, sin t - t cos t, 0)."""
            cos, sin = math.cos(t), math.sin(t)
            odd, even = 3.0 * t, 3.0 - t * t
            return np.array([odd * sin + even * cos, even * sin - odd * cos, 0.0])

        low, high = self._ends
        weighted = antiderivative(high) - antiderivative(low)
        return np.asarray(self.radius * self._unit * weighted / ((high**2 - low**2) / 2.0))

    @property
    def sides(self) -> tuple[float, float]:
        """Length and height of the sheet when unrolled, which bends it but stretches nothing."""
        low, high = self._ends
        size = self.radius * self._unit
        return size * (high**2 - low**2) / 2.0, size * self._height

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, 3)."""
        count, device = check_draw(count, generator), generator.device
        along, up = torch.rand(count, 2, generator=generator, device=device).unbind(dim=1)
        low, high = self._ends
        t = along.mul_(high**2 - low**2).add_(low**2).sqrt_()
        cos, sin = torch.cos(t), torch.sin(t)
        x = torch.stack((cos + t * sin, sin - t * cos, (up - 0.5) * self._height), dim=1)
        return scaled(x.mul_(self._unit), self.radius)

    @property
    def _ends(self) -> tuple[float, float]:
        """Values of t at the inner and at the outer edge."""
        return 2.0 * math.pi * self.start, 2.0 * math.pi * (self.start + self.turns)

    @property
    def _height(self) -> float:
        """In units of the radius of the circle that the sheet is unrolled from."""
        return self.height * math.hypot(1.0, self._ends[1])

    @property
    def _unit(self) -> float:
        """That radius where the root mean squared norm is 1: 1 + t^2 on average, and h^2/12."""
        low, high = self._ends
        return 1.0 / math.sqrt(1.0 + (low**2 + high**2) / 2.0 + self._height**2 / 12.0)


@final
@dataclass(frozen=True)
class Ripple(Data):
    """A closed curve through all of R^2m: angle t -> a_k (cos kt, sin kt) for k = 1 .. m.

    Parameters
    ----------
    dimension
        2m, even, at least 2. ``Ripple(2)`` is the circle.
    decay
        How fast the amplitudes a_k fall with k, in [0, 100]; 0: all are equal, which ripples most.
    law
        "power": a_k ~ k^-decay. "exponential": a_k ~ exp(-decay k).
    radius
        sqrt(sum a_k^2), the norm of every point; in [1e-15, 1e15].

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Notes
    -----
    The angle is uniform, and so is the place along the curve, whose speed is the same everywhere.
    The inner product of two points depends on their angles' difference alone (:meth:`kernel`), as
    for features of a cyclic property, whose inner products are a circulant matrix; the slower the
    decay, the sharper it peaks. The curve lies on a sphere but is one-dimensional, and
    ``length`` says how much of it there is to tile: with decay 0 it grows as m, with a power above
    3/2 it stays bounded however large m is.

    Good for: the question that Michaud, Gorton and McGrath (2025) leave open at the end of
    appendix A.1, what SAEs do on a manifold that is "intrinsically low dimensional, but ripples
    through a large number of other dimensions" (they
    cite Olah 2024, their reference 29). With an intensity that varies: ``Intensity(Ripple(16))``.
    """

    dimension: int
    decay: float = 1.0
    law: Literal["power", "exponential"] = "power"
    radius: float = 1.0

    def __post_init__(self) -> None:
        d = _validate.whole("dimension", self.dimension, low=2, high=MAX_DIMENSION)
        if d % 2:
            raise ValueError(f"dimension must be even, two for each harmonic, got {d}")
        object.__setattr__(self, "dimension", d)
        decay = _validate.real("decay", self.decay, low=0.0, high=100.0)
        object.__setattr__(self, "decay", decay)
        if self.law not in ("power", "exponential"):
            raise ValueError(f"law must be 'power' or 'exponential', got {self.law!r}")
        object.__setattr__(self, "radius", check_size("radius", self.radius))

    @property
    def magnitude(self) -> float:
        """radius^2."""
        return self.radius**2

    @property
    def amplitudes(self) -> Floats:
        """a_k for k = 1 .. m, shape (m,)."""
        return self.radius * self._unit

    @property
    def length(self) -> float:
        """Of the curve, 2 pi sqrt(sum k^2 a_k^2); 2 pi radius for the circle."""
        k = np.arange(1, self._unit.size + 1)
        return float(2.0 * math.pi * np.linalg.norm(k * self.amplitudes))

    def kernel(self, angles: Any) -> Floats:
        """Inner product of two points whose angles differ by so much, sum a_k^2 cos(k angle).

        Parameters
        ----------
        angles
            In radians; shape (j,), or one number. Returns shape (j,).
        """
        angles = _validate.reals("angles", np.atleast_1d(np.asarray(angles)))
        k = np.arange(1, self._unit.size + 1)
        return np.asarray(np.cos(np.outer(angles, k)) @ self.amplitudes**2)

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw points, float32 of shape (count, 2m)."""
        count, device = check_draw(count, generator), generator.device
        k = torch.arange(1, self.dimension // 2 + 1, dtype=torch.float64, device=device)
        # In float64 up to k turns are taken off: in float32 high harmonics would lose their phase.
        turns = torch.rand(count, 1, generator=generator, dtype=torch.float64, device=device)
        angles = (turns * k).frac_().mul_(2.0 * math.pi).to(torch.float32)
        amplitudes = torch.tensor(self._unit, dtype=torch.float32, device=device)
        return scaled(on_circles(angles).mul_(amplitudes.repeat_interleave(2)), self.radius)

    @property
    def _unit(self) -> Floats:
        """Amplitudes for a radius of 1."""
        k = np.arange(1, self.dimension // 2 + 1, dtype=np.float64)
        # Of k - 1, so that the first never underflows: what is constant cancels in the ratio.
        falling = k**-self.decay if self.law == "power" else np.exp(-self.decay * (k - 1.0))
        return np.asarray(falling / np.linalg.norm(falling))
