"""Which families of SAEs are trained for :mod:`scaling_theory.sae.studies.families`.

- :data:`DESIGNS`: superpositions, each with one architecture at 5 or 6 widths.
- :data:`SINGLES`: manifolds alone, for the exponents that alpha is held against.

They were chosen before any of them was diagnosed: alpha of at least 1 with spheres of dimension 4
to 8, whose excess falls slowly; alpha of at most 0.3 with circles and spheres of dimension 3;
shells and points with any alpha. How they are trained is in :data:`RECIPE` and
:data:`TOPK_RECIPE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.frequencies import EmpiricalFrequencies
from scaling_theory.sae.architectures import Architecture, ReLU, TopK
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import Circle, Points, Shell, Sphere
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.superposition import Superposition

#: With ReLU. ``evaluation`` is the number of fresh samples behind losses and frequencies.
RECIPE: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "steps": 2500,
        "batch_size": 512,
        "learning_rate": 2e-3,
        "decoder_norm": 0.1,
        "evaluation": 131_072,
    }
)
#: With TopK decoder rows are kept at norm 1, as by Gao et al. (2024): free ones let most latents of
#: a sphere die.
TOPK_RECIPE: Final[Mapping[str, Any]] = MappingProxyType(
    {**RECIPE, "decoder_norm": None, "unit_norm": True}
)
#: Widths of a family: (up to so many dimensions, widths). Steps cost their product.
WIDTHS: Final = (
    (72, (16, 32, 64, 128, 256, 512)),
    (150, (16, 32, 64, 128, 256)),
    (300, (8, 16, 32, 64, 128)),
)
#: Widths of manifolds alone, where the figures have none.
SINGLE_WIDTHS: Final = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@final
@dataclass(frozen=True, eq=False)
class Design:
    """One family: features with p_i = rate i^-(1 + alpha), and what is trained on them.

    Attributes
    ----------
    name
        What it consists of.
    alpha, rate
        Of the frequencies.
    features
        Their number.
    default
        Manifold of every rank without an exception.
    ranks
        Exceptions, as for ``Superposition``.
    architecture
        What is trained.
    dimension
        None: orthogonal subspaces. A number: random ones in so many dimensions.
    widths
        Numbers of latents; None: as :data:`WIDTHS` has them.
    recipe
        Options of the runs; None: :data:`RECIPE`, or :data:`TOPK_RECIPE`.
    """

    name: str
    alpha: float
    rate: float
    features: int
    default: Data
    ranks: Mapping[Any, Data] = field(default_factory=dict)
    architecture: Architecture = field(default_factory=ReLU)
    dimension: int | None = None
    widths: tuple[int, ...] | None = None
    recipe: Mapping[str, Any] | None = None

    def data(self) -> Superposition:
        """The features."""
        p: Floats = self.rate * np.arange(1.0, self.features + 1.0) ** -(1.0 + self.alpha)
        frequencies = EmpiricalFrequencies(p)
        if self.dimension is None:
            return Superposition(frequencies, self.default, self.ranks)
        return Superposition(
            frequencies, self.default, self.ranks, orientation="random", dimension=self.dimension
        )

    def specs(self) -> list[RunSpec]:
        """The runs, by width."""
        data = self.data()
        widths = self.widths or next(w for most, w in WIDTHS if data.dimension <= most)
        recipe = self.recipe or _recipe(self.architecture)
        return [RunSpec(data, self.architecture, n, **recipe) for n in widths]


@final
@dataclass(frozen=True, eq=False)
class Single:
    """One manifold alone, with one architecture."""

    manifold: Data
    architecture: Architecture = field(default_factory=ReLU)
    widths: tuple[int, ...] = SINGLE_WIDTHS
    recipe: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What it is."""
        return f"{short(self.manifold)} alone, {short(self.architecture)}"

    def specs(self) -> list[RunSpec]:
        """The runs, by width."""
        recipe = self.recipe or _recipe(self.architecture)
        return [RunSpec(self.manifold, self.architecture, n, **recipe) for n in self.widths]


def short(thing: Data | Architecture) -> str:
    """A manifold or an architecture in a word."""
    if isinstance(thing, Points):
        return "points"
    if isinstance(thing, Circle):
        return "circle"
    if isinstance(thing, Sphere | Shell):
        return f"{type(thing).__name__.lower()} {thing.dimension}"
    if isinstance(thing, ReLU):
        return f"ReLU {thing.l1:g}"
    return f"TopK {thing.k}" if isinstance(thing, TopK) else repr(thing)


def _recipe(architecture: Architecture) -> Mapping[str, Any]:
    return TOPK_RECIPE if isinstance(architecture, TopK) else RECIPE


def _every(step: int, features: int, first: int = 1) -> range:
    return range(first, features + 1, step)


_POINTS = Points()
_FIVE = (16, 32, 64, 128, 256)
_NARROW = (8, 16, 32, 64, 128)
_FEW, _FREQUENT = 0.3, 0.5  # rates: about one feature is active at a time

#: Meant to be pathological: the first fourteen. What they are is measured on :data:`SINGLES`.
DESIGNS: Final[tuple[Design, ...]] = (
    Design("12 spheres 6, alpha 1", 1.0, _FREQUENT, 12, Sphere(6)),
    Design("12 spheres 6, alpha 1.5", 1.5, _FREQUENT, 12, Sphere(6)),
    Design("16 spheres 6 in 48", 1.0, _FREQUENT, 16, Sphere(6), dimension=48),
    Design("8 spheres 8", 1.0, _FREQUENT, 8, Sphere(8)),
    Design("10 spheres 8 in 48", 1.5, _FREQUENT, 10, Sphere(8), dimension=48),
    Design("16 spheres 4", 1.2, _FREQUENT, 16, Sphere(4)),
    Design("every 4th of 64 a sphere 6", 1.0, _FREQUENT, 64, _POINTS, {_every(4, 64): Sphere(6)}),
    Design("first of 128 a sphere 8", 1.0, _FREQUENT, 128, _POINTS, {1: Sphere(8)}),
    Design(
        "every 3rd of 64 a sphere 6, in 96", 1.2, _FREQUENT, 64, _POINTS,
        {_every(3, 64, 3): Sphere(6)}, dimension=96,
    ),
    Design("spheres 6 and shells 4", 1.0, _FREQUENT, 12, Shell(4), {_every(2, 12): Sphere(6)}),
    Design("circles and spheres 8", 1.0, _FREQUENT, 12, Circle(), {_every(2, 12, 2): Sphere(8)}),
    Design("12 spheres 6, TopK", 1.0, _FREQUENT, 12, Sphere(6), architecture=TopK(2)),
    Design(
        "every 2nd of 64 a sphere 6, in 96, TopK", 1.2, _FREQUENT, 64, _POINTS,
        {_every(2, 64): Sphere(6)}, TopK(3), dimension=96,
    ),
    Design("12 spheres 6, l1 0.05", 1.0, _FREQUENT, 12, Sphere(6), architecture=ReLU(0.05)),
    # -----------------------------------------------------------------------------------------
    Design("512 points in 256, alpha 0.3", 0.3, _FEW, 512, _POINTS, dimension=256),
    Design("512 points in 256, alpha 0.6", 0.6, _FEW, 512, _POINTS, dimension=256),
    Design("300 points", 1.0, _FREQUENT, 300, _POINTS),
    Design("512 points in 64", 0.3, _FEW, 512, _POINTS, dimension=64, widths=_NARROW),
    Design("128 circles", 0.2, _FEW, 128, Circle()),
    Design("48 circles", 0.3, _FEW, 48, Circle()),
    Design(
        "every 4th of 256 a circle, in 128", 0.3, _FEW, 256, _POINTS,
        {_every(4, 256): Circle()}, dimension=128, widths=_NARROW,
    ),
    Design("64 spheres 3", 0.2, _FEW, 64, Sphere(3)),
    Design("32 spheres 3", 0.3, _FEW, 32, Sphere(3)),
    Design(
        "every 5th of 200 a sphere 3, in 128", 0.3, _FEW, 200, _POINTS,
        {_every(5, 200): Sphere(3)}, dimension=128, widths=_NARROW,
    ),
    Design("24 shells 3", 0.5, _FEW, 24, Shell(3), widths=_FIVE),
    Design("64 shells 2", 0.8, _FEW, 64, Shell(2), widths=_NARROW),
    Design(
        "every 3rd of 100 a shell 4, in 128", 0.4, _FEW, 100, _POINTS,
        {_every(3, 100): Shell(4)}, dimension=128, widths=_NARROW,
    ),
    Design("300 points in 128, TopK", 0.3, _FEW, 300, _POINTS, {}, TopK(3), 128, widths=_NARROW),
    Design("32 spheres 3, TopK", 0.3, _FEW, 32, Sphere(3), architecture=TopK(2)),
    Design("300 points, l1 0.05", 0.4, _FEW, 300, _POINTS, architecture=ReLU(0.05)),
)  # fmt: skip


def _quick(manifold: Data, most: int) -> Single:
    """A curve of the quick preset of the figures: the same specifications, so the same runs."""
    d = manifold.dimension
    powers = [2**k for k in range(4, most.bit_length())]
    return Single(manifold, widths=tuple(sorted({*powers, 4 * d, 64 * d})), recipe={"steps": 4000})


#: Every manifold that is not a point, with every architecture it meets in :data:`DESIGNS`.
SINGLES: Final[tuple[Single, ...]] = (
    *(_quick(Sphere(d), 1024) for d in (3, 4, 6, 8)),
    *(_quick(Shell(d), 512) for d in (2, 3, 4)),
    Single(Circle(), widths=(8, 12, 16, 24, 32, 48, 64, 96, 128), recipe={"steps": 12_000}),
    Single(Sphere(3), TopK(2)),
    Single(Sphere(6), ReLU(0.05)),
    Single(Sphere(6), TopK(2)),
    Single(Sphere(6), TopK(3)),
)
