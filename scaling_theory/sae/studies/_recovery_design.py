"""The population of :mod:`scaling_theory.sae.studies.recovery`, and what is trained on it.

In the manner of SynthSAEBench-16k (Chanin et al. 2026, arXiv:2602.14687), small enough for a CPU:
Zipf-like frequencies with exponent 1/2, a forest with exclusive siblings, roots that are correlated
through a few factors, intensities that vary, more features than dimensions. The forest has three
levels, roots included; there it has more: 128 roots, branching 4, depth 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final, final

import numpy as np

from scaling_theory._validate import Ints
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.sae.architectures import (
    Architecture,
    BatchTopK,
    Gated,
    JumpReLU,
    Matryoshka,
    ReLU,
    TanhJumpReLU,
    TopK,
)
from scaling_theory.sae.correlation import Correlation
from scaling_theory.sae.manifolds import Segment
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.superposition import Superposition

FEATURES: Final = 512
DIMENSION: Final = 96
#: Features that are active at a time, on average.
ACTIVE: Final = 11
#: Ranks that are roots in any case; of the others every second one looks for a parent. So about two
#: thirds of the features are in trees, as there.
ROOTS: Final = 64
LEVELS: Final = 3
CHILDREN: Final = 4
#: Most that children take of their parent's probability.
FULL: Final = 0.6
#: All runs: as many latents as features.
RECIPE: Final[Mapping[str, Any]] = MappingProxyType(
    {"width": FEATURES, "steps": 4000, "batch_size": 512, "learning_rate": 3e-3}
)
SEEDS: Final = (0, 1, 2)
#: Of the architectures with a k, as their papers have it: without it a quarter of the latents of
#: Matryoshka die here.
AUXK: Final = 32


@final
@dataclass(frozen=True, eq=False)
class Contender:
    """An architecture, and how its sparsity is set.

    Attributes
    ----------
    name
        Of the architecture.
    make
        Weight of the penalty, or k, -> architecture.
    weights
        Two weights of the penalty to begin with; None where k says how many latents fire.
    """

    name: str
    make: Callable[[float], Architecture]
    weights: tuple[float, float] | None = None


CONTENDERS: Final[tuple[Contender, ...]] = (
    Contender("ReLU", lambda value: ReLU(l1=value), (1.0, 1.6)),
    Contender("JumpReLU", lambda value: JumpReLU(l0=value, bandwidth=0.2), (0.05, 0.1)),
    Contender("TanhJumpReLU", lambda value: TanhJumpReLU(sparsity=value), (4.0, 8.0)),
    Contender("Gated", lambda value: Gated(l1=value), (1.0, 2.0)),
    Contender("TopK", lambda value: TopK(round(value), AUXK)),
    Contender("BatchTopK", lambda value: BatchTopK(round(value), AUXK)),
    Contender("Matryoshka", lambda value: Matryoshka(round(value), auxk=AUXK)),
)


@final
@dataclass(frozen=True, eq=False)
class Design:
    """What is trained on what.

    Attributes
    ----------
    data
        Makes the features, all of one dimension and not negative.
    active
        Number of features that are active at a time, on average: the L0 wanted.
    contenders
        Architectures.
    recipe
        Options of the runs.
    seeds
        Of the runs; the first one looks for the weights.
    samples
        Fresh inputs that recovery is measured on.
    """

    data: Callable[[], Superposition]
    active: int
    contenders: tuple[Contender, ...]
    recipe: Mapping[str, Any]
    seeds: tuple[int, ...]
    samples: int = 32_768

    def spec(self, contender: Contender, value: float, seed: int) -> RunSpec:
        """One run."""
        return RunSpec(self.data(), contender.make(value), seed=seed, **self.recipe)


@cache
def population() -> Superposition:
    """The features; a pure function of the numbers above."""
    frequencies = PowerLawFrequencies(-0.5, count=FEATURES, total=float(ACTIVE))
    return Superposition(
        frequencies,
        Segment(0.75, 1.25),
        orientation="random",
        dimension=DIMENSION,
        parents=forest(frequencies.at(np.arange(1, FEATURES + 1))),
        exclusive=True,
        correlation=Correlation(rank=8, strength=0.5),
    )


def forest(p: Any, seed: int = 0) -> dict[int, int]:
    """Parents by rank: each child takes a random parent that has room for it.

    A parent has room if it is on the first or second level, has fewer than four children, and they
    take no more than 0.6 of its probability with the new one: it is often active without them.
    """
    generator = np.random.default_rng(seed)
    level, children = np.zeros(len(p), dtype=np.int64), np.zeros(len(p), dtype=np.int64)
    room = FULL * np.asarray(p)
    parents = {}
    for i in range(ROOTS, len(p)):
        if i % 2:
            continue
        able = np.arange(len(p)) < i
        able &= (level < LEVELS - 1) & (children < CHILDREN) & (room >= p[i])
        if able.any():
            above = int(generator.choice(np.flatnonzero(able)))
            parents[i + 1] = above + 1
            room[above] -= p[i]
            children[above] += 1
            level[i] = level[above] + 1
    return parents


def levels(data: Superposition) -> dict[str, Ints]:
    """Indices of features by what they are: alone, root, middle, leaf."""
    parent = np.full(data.features, -1, dtype=np.int64)
    has = np.zeros(data.features, dtype=bool)
    for below, above in data.parents or ():
        parent[np.array(below) - 1] = above - 1
        has[above - 1] = True
    return {
        "alone": np.flatnonzero((parent < 0) & ~has),
        "root": np.flatnonzero((parent < 0) & has),
        "middle": np.flatnonzero((parent >= 0) & has),
        "leaf": np.flatnonzero((parent >= 0) & ~has),
    }


#: What ``python -m scaling_theory.sae.studies recovery --train`` trains.
DESIGN: Final = Design(population, ACTIVE, CONTENDERS, RECIPE, SEEDS)
