"""The features behind one family of SAEs, as numbers, and the population that is solved for it.

- :class:`Part`: a share of the features with one loss curve: manifolds, discrete features or
  basis solutions.
- :class:`Features`: parts over one law of frequencies and magnitudes.

Two laws are kept apart. Allocation and loss feel the weight p_i magnitude_i; how often latents fire
knows p_i alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from scaling_theory._sums import power_sum_after
from scaling_theory._validate import Floats
from scaling_theory.curves import (
    DiscreteCurve,
    LossCurve,
    PlateauCurve,
    PowerLawCurve,
    TabulatedCurve,
)
from scaling_theory.frequencies import (
    EmpiricalFrequencies,
    Frequencies,
    PowerLawFrequencies,
    ZipfMandelbrotFrequencies,
)
from scaling_theory.population import Population

Kind = Literal["manifold", "discrete", "plateau"]
Convention = Literal["shifted", "step", "table"]


@final
@dataclass(frozen=True)
class Part:
    """Features of one kind.

    Attributes
    ----------
    kind, share
        What they are, and the share of the ranks that they hold, a multiple of 1/100.
    scale
        L(0) - L(inf), in (0, 1]. Only excess losses count: limits change no allocation, and each
        family has one floor for all.
    beta, convention, shift
        Of manifolds: the exponent of the excess loss; whether it is (n + shift)^-beta
        ("shifted"), n^-beta with L(0) = L(1) ("step"), or a table that goes on as n^-beta
        ("table"). nan, "shifted" and 1 for others.
    table
        Of a table: factors on (1 + n)^-beta at n = 1, 2, 4, ...
    basis
        Of basis solutions: the dimension d, 2 d latents a feature; 0 for others.
    dimension, spacing
        Of manifolds: n latents have a nearest neighbour at an angle of about
        spacing n^(-1/dimension); nan for others.
    """

    kind: Kind
    share: float
    scale: float = 1.0
    beta: float = math.nan
    convention: Convention = "shifted"
    shift: float = 1.0
    table: tuple[float, ...] = ()
    basis: int = 0
    dimension: float = math.nan
    spacing: float = math.nan

    def curve(self) -> LossCurve:
        """Return the loss curve of these features; its limit means nothing, its excess is used."""
        if self.kind == "discrete":
            return DiscreteCurve(residual=1.0 - self.scale)
        if self.kind == "plateau":
            return PlateauCurve(self.basis, floor=1.0 - self.scale)
        if self.convention == "step":
            return PowerLawCurve(self.beta, scale=self.scale, shift=0.0)
        if self.convention == "shifted":
            amplitude = self.scale * self.shift**self.beta
            return PowerLawCurve(self.beta, scale=amplitude, shift=self.shift)
        n = np.append(0, 2 ** np.arange(len(self.table)))
        loss = self.scale * (1.0 + n) ** -self.beta * np.append(1.0, self.table)
        # The factors are the table's bumps; where they would make it rise, it is flat instead.
        falling = np.minimum.accumulate(loss)
        return TabulatedCurve(n, falling, beyond="power", exponent=self.beta)


@final
@dataclass(frozen=True)
class Features:
    """Which features there are, how often they are active, and how large.

    Attributes
    ----------
    parts
        Shares sum to 1; which rank belongs to which is drawn at random.
    alpha
        Tail exponent of the weights, w_i ~ i^-(1+alpha): with the betas it decides the regime.
    firing_alpha
        The same of the frequencies p_i. Where it is not alpha, magnitudes are a power of the rank.
    count
        Number of features, or None for infinitely many.
    offset
        Of a Zipf-Mandelbrot law, (i + offset)^-(1+alpha).
    bend, head_alpha
        Where ``bend`` is not 0, weights up to that rank have the exponent ``head_alpha``.
    spread
        Standard deviation of the logarithm of magnitudes drawn for each feature (of mean 1 before
        the power of the rank), in nats.
    listed
        Number of features that can have latents, where weights are not a shifted power: they are
        listed one by one. Those of higher ranks are never found but count in the loss. 0 where
        they are a shifted power, and all can be found.
    seed
        Of the ranks of the parts and of the magnitudes.
    """

    parts: tuple[Part, ...]
    alpha: float
    firing_alpha: float
    count: int | None = None
    offset: float = 0.0
    bend: int = 0
    head_alpha: float = math.nan
    spread: float = 0.0
    listed: int = 0
    seed: int = 0

    @property
    def beta(self) -> float:
        """Smallest beta of the manifolds, which decides the regime; nan without manifolds."""
        return min((p.beta for p in self.parts if p.kind == "manifold"), default=math.nan)

    @property
    def share(self) -> float:
        """Share of the features that are manifolds."""
        return float(round(sum(p.share for p in self.parts if p.kind == "manifold"), 2))

    @property
    def regime(self) -> Literal["benign", "pathological"]:
        """Pathological if any manifold has a beta below alpha."""
        return "pathological" if self.beta < self.alpha else "benign"

    def population(self) -> Population:
        """Build the population whose exact allocation the family has."""
        law: Frequencies
        if self.listed:
            ranks = np.arange(1.0, self.listed + 1.0)
            law = EmpiricalFrequencies(self._law(ranks) * self._magnitudes())
        elif self.offset:
            law = ZipfMandelbrotFrequencies(self.alpha, self.offset, self.count)
        else:
            law = PowerLawFrequencies(self.alpha, self.count)
        if len(self.parts) == 1:
            return Population(law, self.parts[0].curve(), label="part 0")
        members = {f"part {k}": (p.share, p.curve()) for k, p in enumerate(self.parts)}
        return Population.mixture(law, members, seed=self.seed)

    def never_found(self) -> float:
        """Excess loss of the features beyond the listed ones, none of which has a latent."""
        if not self.listed or (self.count is not None and self.count <= self.listed):
            return 0.0
        after = np.array([float(self.listed)])
        mass = power_sum_after(after, 1.0 + self.alpha, self.offset, self.count)[0]
        return float(self._beyond_bend * mass * sum(p.share * p.scale for p in self.parts))

    def firing(self, ranks: Floats) -> Floats:
        """Relative frequencies p_i of ranks, shape (k,) -> (k,)."""
        return self._law(ranks) * (ranks + self.offset) ** (self.alpha - self.firing_alpha)

    def _law(self, ranks: Floats) -> Floats:
        """Weights before magnitudes are drawn, up to a constant; continuous at the bend."""
        weights = self._beyond_bend * (ranks + self.offset) ** -(1.0 + self.alpha)
        if self.bend:
            head = np.minimum(ranks, self.bend) ** -(1.0 + self.head_alpha)
            weights = np.where(ranks <= self.bend, head, weights)
        return np.asarray(weights)

    @property
    def _beyond_bend(self) -> float:
        return float(self.bend) ** (self.alpha - self.head_alpha) if self.bend else 1.0

    def _magnitudes(self) -> Floats:
        # Another stream than the mixture's, which is that of ``seed`` itself.
        rng = np.random.default_rng([self.seed, 1])
        normal = rng.standard_normal(self.listed)
        return np.asarray(np.exp(self.spread * normal - 0.5 * self.spread**2))
