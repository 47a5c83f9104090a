"""Which SAEs are trained on which manifolds, to see who tiles what."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from scaling_theory.sae.architectures import (
    Architecture,
    BatchTopK,
    Gated,
    JumpReLU,
    Matryoshka,
    ReLU,
    TopK,
)
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import Ball, Intensity, Ripple, Shell, Sphere, Torus
from scaling_theory.sae.remedies import Remedy, ResampleDead
from scaling_theory.sae.spec import RunSpec

#: Name -> manifold. Radii vary from 0.5 to 2 in shells and intensities, as in Michaud, Gorton and
#: McGrath (2025), Figure 3.
MANIFOLDS: Final[Mapping[str, Data]] = MappingProxyType(
    {
        "shell 2": Shell(2),
        "shell 3": Shell(3),
        "shell 4": Shell(4),
        "shell 6": Shell(6),
        "sphere 3": Sphere(3),
        "ball 3": Ball(3),
        "torus": Torus(),
        "torus, intensity varies": Intensity(Torus()),
        "ripple 8": Ripple(8, decay=0.0),
        "ripple 8, intensity varies": Intensity(Ripple(8, decay=0.0)),
    }
)
#: Widths in units of the dimension d: a basis and its negative have 2 d.
MULTIPLES: Final = (2, 4, 8, 16, 32, 64)
SEEDS: Final = (0, 1, 2)
RECIPE: Final[Mapping[str, Any]] = MappingProxyType({"steps": 5000, "batch_size": 1024})
#: The widest SAEs on shells are trained so many times longer as well (seed 0): what is still to be
#: gained.
LONGER: Final = 4
#: Architectures that are not trained on every manifold -> those on which they are. What keeps
#: latents alive is slow, and two shells show what it does.
SOME: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("TopK k=d", "BatchTopK k=2", "Matryoshka k=2"),
            ("shell 2", "shell 3", "shell 4", "shell 6", "sphere 3"),
        ),
        "JumpReLU, dead restart": ("shell 2", "shell 3", "shell 4", "shell 6"),
        **dict.fromkeys(("TopK k=1, AuxK", "TopK k=2, AuxK"), ("shell 3", "shell 6")),
        "BatchTopK k=2, AuxK": ("shell 6",),
    }
)


def architectures(dimension: int) -> dict[str, Architecture]:
    """Name -> architecture, for a manifold in so many dimensions.

    L1 weights are those of the paper's Figure 3. l0 = 0.05 makes a second latent worth its price if
    it explains a squared error of 0.05. TopK at k = d can have the basis solution, which is exact.
    Where training leaves latents dead, what keeps them alive comes beside it (AuxK; dead ones start
    anew): a plateau of dead latents says nothing of the manifold.
    """
    out: dict[str, Architecture] = {
        "ReLU": ReLU(l1=0.1),
        "Gated": Gated(l1=0.1),
        "JumpReLU": JumpReLU(l0=0.05, bandwidth=0.1),
        "TopK k=1": TopK(1),
        "TopK k=2": TopK(2),
        "BatchTopK k=2": BatchTopK(2),
        "Matryoshka k=2": Matryoshka(2),
    }
    if dimension > 2:
        out["TopK k=d"] = TopK(dimension)
    return out | {
        "TopK k=1, AuxK": TopK(1, auxk=16),
        "TopK k=2, AuxK": TopK(2, auxk=16),
        "BatchTopK k=2, AuxK": BatchTopK(2, auxk=16),
        "JumpReLU, dead restart": out["JumpReLU"],
    }


#: What is done about dead latents, beyond AuxK: a plateau of dead latents says little.
REMEDIES: Final[Mapping[str, tuple[Remedy, ...]]] = MappingProxyType(
    {"JumpReLU, dead restart": (ResampleDead(),)}
)


def specs(manifold: str, architecture: str) -> list[RunSpec]:
    """Runs of one pair, by width, then by seed."""
    data = MANIFOLDS[manifold]
    chosen = architectures(data.dimension)[architecture]
    how = {**RECIPE, "remedies": REMEDIES.get(architecture, ())}
    return [
        RunSpec(data, chosen, m * data.dimension, seed, **how) for m in MULTIPLES for seed in SEEDS
    ]


def longer(manifold: str, architecture: str) -> list[RunSpec]:
    """The widest SAE of a pair, trained :data:`LONGER` times as long.

    On shells only, and not with AuxK, which is slow.
    """
    if not manifold.startswith("shell") or architecture.endswith("AuxK"):
        return []
    data = MANIFOLDS[manifold]
    chosen = architectures(data.dimension)[architecture]
    how = {**RECIPE, "remedies": REMEDIES.get(architecture, ())}
    how["steps"] = LONGER * int(RECIPE["steps"])
    return [RunSpec(data, chosen, MULTIPLES[-1] * data.dimension, SEEDS[0], **how)]


def pairs() -> list[tuple[str, str]]:
    """Manifolds and the architectures that are trained on them."""
    return [
        (m, a)
        for m, data in MANIFOLDS.items()
        for a in architectures(data.dimension)
        if m in SOME.get(a, (m,))
    ]
