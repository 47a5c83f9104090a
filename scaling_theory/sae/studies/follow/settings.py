"""Settings in which trained SAEs are held against the solver: which features, which SAEs.

Features live in orthogonal subspaces and are active independently with p_i = rate i^-(1 + alpha).
Every setting is trained with ReLU and with TopK, at widths over a factor of 16, with three seeds,
and each of its manifolds is trained alone by the same recipe: the curves that the theory is fed
with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, final

import numpy as np

from scaling_theory.frequencies import EmpiricalFrequencies
from scaling_theory.sae.architectures import Architecture, ReLU, TopK
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import Circle, Points, Shell, Sphere
from scaling_theory.sae.remedies import Remedy, ResampleDuplicates
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.superposition import Superposition

#: p_1; the sum of the p_i, the mean number of active features, is below 1.
RATE: Final = 0.3
SEEDS: Final = (0, 1, 2)
#: What all SAEs share. Rare features are what takes so many steps: 8,000 of 1024 inputs hold rank
#: 100 of p = 0.3 i^-1.5 about 2,500 times.
RECIPE: Final[Mapping[str, Any]] = MappingProxyType({"steps": 8000, "batch_size": 1024})
#: Name -> what is trained, and what its recipe has besides.
ARCHITECTURES: Final[Mapping[str, Architecture]] = MappingProxyType(
    {"ReLU": ReLU(l1=0.1), "TopK": TopK(2), "ReLU, copies restart": ReLU(l1=0.1)}
)
REMEDIES: Final[Mapping[str, tuple[Remedy, ...]]] = MappingProxyType(
    {"ReLU, copies restart": (ResampleDuplicates(),)}
)
#: Frequency at which manifolds are trained rarely: see :func:`singles`.
RARE: Final = 0.1
#: Widths at which manifolds are trained alone.
SINGLE_WIDTHS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)


@final
@dataclass(frozen=True)
class Setting:
    """A population of features, and the widths at which SAEs are trained on it.

    Attributes
    ----------
    name
        What it is called in tables.
    alpha
        Exponent of the frequencies.
    features
        Number of features K.
    default, ranks
        As for ``Superposition``.
    widths
        Numbers of latents N.
    """

    name: str
    alpha: float
    features: int
    default: Data
    ranks: tuple[tuple[int, Data], ...] = ()
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)

    @property
    def data(self) -> Superposition:
        """The inputs."""
        p = RATE * np.arange(1.0, self.features + 1.0) ** -(1.0 + self.alpha)
        return Superposition(EmpiricalFrequencies(p), self.default, dict(self.ranks))

    @property
    def architectures(self) -> tuple[str, ...]:
        """What is trained: copies only start anew where features are points, which need no second.

        Neighbours in a tiling look like copies.
        """
        points = self.default == Points() and not self.ranks
        return tuple(name for name in ARCHITECTURES if points or name not in REMEDIES)

    def specs(self, architecture: str, seeds: tuple[int, ...] = SEEDS) -> list[RunSpec]:
        """Runs by width, then by seed."""
        data, chosen = self.data, ARCHITECTURES[architecture]
        how = {**RECIPE, "remedies": REMEDIES.get(architecture, ())}
        return [RunSpec(data, chosen, n, seed, **how) for n in self.widths for seed in seeds]


SETTINGS: Final = (
    Setting("discrete", 0.5, 128, Points(), widths=(8, 16, 32, 64, 128)),
    Setting("one circle", 0.7, 128, Points(), ((1, Circle()),), widths=(8, 16, 32, 64, 128)),
    Setting("circles", 0.7, 48, Circle()),
    Setting("shells", 0.5, 48, Shell(3)),
    Setting("spheres, alpha above beta", 1.5, 24, Sphere(4)),
    Setting("spheres, alpha below beta", 0.2, 40, Sphere(4)),
)
#: Settings in which a correction that was found in the others is tested.
HELD_OUT: Final = (
    Setting("circles and points", 0.4, 64, Points(), tuple((r, Circle()) for r in range(1, 65, 3))),
    Setting("spheres 3", 0.8, 32, Sphere(3)),
)


def singles(
    manifold: Data, architecture: Architecture, rate: float = 1.0, seeds: tuple[int, ...] = SEEDS
) -> list[RunSpec]:
    """Runs of one manifold alone, active at a rate, by width, then by seed.

    At rate 1 every input is a point of the manifold, and the decoder bias serves it like a latent
    for nothing; at :data:`RARE` a bias costs where the manifold is idle.
    """
    data = (
        manifold if rate == 1.0 else Superposition(EmpiricalFrequencies(np.array([rate])), manifold)
    )
    least = architecture.k if isinstance(architecture, TopK) else 1
    return [
        RunSpec(data, architecture, n, seed, **RECIPE)
        for n in SINGLE_WIDTHS
        if n >= least
        for seed in seeds
    ]
