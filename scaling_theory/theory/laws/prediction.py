"""Predictions in closed form: regime, exponents, constants, crossover, loss and discovery at any N.

For frequencies p_i = c (i + offset)^-(1+alpha) over infinitely many features that share one curve
with gains m(n), and gamma = (1+alpha)/(1+beta):

- benign, beta > alpha: D = N/S, excess = (c m(1)/alpha) S^(1+alpha) N^-alpha, with
  S = sum_n (m(n)/m(1))^(1/(1+alpha)), finite in this regime only;
- pathological, beta < alpha, excess of the curve a (n+shift)^-beta:
  excess = a c Z^(1+beta) N^-beta and D = (m(1)/(a beta))^(1/(1+alpha)) (N/Z)^(1/gamma), with
  Z = zeta(gamma, 1+offset);
- critical, alpha = beta: logarithms, summed by the Lambert W function.

Mixtures, exceptions and finitely many features: the smallest beta decides, see ``limits.py``. The
exponents are those of Michaud, Gorton and McGrath (2025), appendix B.3 and B.4, after Brill (2024).
The constants, the critical case, mixtures and the laws behind :meth:`Prediction.loss` are derived
here, see ``uniform.py`` and ``parts.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies, ShiftedPower
from scaling_theory.population import Population
from scaling_theory.theory.laws.composite import CompositeLaw
from scaling_theory.theory.laws.limits import Limits, Regime, limits, members_of
from scaling_theory.theory.laws.parts import parts_of

#: Larger N are out of reach of any SAE.
WITHIN_REACH = 1e12


@final
@dataclass(frozen=True)
class Prediction:
    """What the theory says of a population over power-law frequencies.

    Attributes
    ----------
    regime
        "benign" (beta > alpha), "pathological" (beta < alpha), "critical" (equal). With
        finitely many features: before most of them are found.
    alpha, beta, gamma
        Exponents of frequencies and curve, the smallest if there are several curves;
        gamma = (1+alpha)/(1+beta).
    loss_exponent, discovery_exponent
        excess loss ~ N^-loss_exponent and D ~ N^discovery_exponent. For alpha <= 0 the loss is no
        power law: nan.
    loss_constant, discovery_constant
        Their leading constants. In the critical case they multiply N^-alpha (ln N)^(1+alpha) and
        N / ln N, which real N approach too slowly to be of use: see :meth:`loss`.
    saturation
        N at the price at which the last of finitely many features is found, with all latents that
        are worth that price; inf for infinitely many.
    """

    regime: Regime
    alpha: float
    beta: float
    gamma: float
    loss_exponent: float
    discovery_exponent: float
    loss_constant: float
    discovery_constant: float
    saturation: float
    _law: CompositeLaw = field(repr=False)

    @cached_property
    def crossover(self) -> float:
        """N from which the local slope of the loss is within 10% of its limit."""
        return self.crossover_within(0.1)

    @property
    def within_reach(self) -> bool:
        """Whether the crossover is at most 1e12 latents; beyond, no SAE sees the limit."""
        return self.crossover <= WITHIN_REACH

    def crossover_within(self, fraction: float) -> float:
        """N from which the local slope of the loss stays within a fraction of its limit.

        Parameters
        ----------
        fraction
            In (0, 1); 0.1 is the attribute ``crossover``.

        Returns
        -------
        float
            inf where it is more than 1e120; nan for finitely many
            features, whose loss has no limiting slope before they are found.
        """
        within = _validate.real(
            "fraction", fraction, low=0.0, low_open=True, high=1.0, high_open=True
        )
        if math.isfinite(self.saturation):
            return math.nan
        return self._law.crossover(self.loss_exponent, within)

    def loss(self, latents: Any) -> Floats:
        """Predicted excess loss for N latents, shape (k,) or one number -> shape (k,).

        For curves (n+1)^-beta with alpha and beta from 0.1 to 2 within 1e-3 of the exact optimum
        from N = 1e3 on and within 1e-6 from 1e9 on, on both sides of alpha = beta, and for other
        power tails from where the first feature has left the head of its curve. Where a curve falls
        exponentially the error is of order ln(N)/N: 2% at 1e2, 0.3% at 1e3. nan where N is too
        small for the law, as next to large shifts and offsets.
        """
        return self._law.solve(self._latents(latents)).excess

    def discovered(self, latents: Any) -> Floats:
        """Predicted D(N), a real number, as :meth:`loss`; within about two features or 0.1%."""
        return self._law.solve(self._latents(latents)).discovered

    def price(self, latents: Any) -> Floats:
        """Predicted price, the fall of the loss by one more latent; as :meth:`loss`."""
        return self._law.solve(self._latents(latents)).price

    def loss_slope(self, latents: Any) -> Floats:
        """Predicted local slope d ln excess / d ln N = -price N / excess; nan without excess."""
        n = self._latents(latents)
        said = self._law.solve(n)
        with np.errstate(invalid="ignore"):
            return np.asarray(-said.price * n / said.excess)

    def shares(self, latents: Any) -> dict[str, Floats]:
        """Share of the latents that each group holds: label -> shape (k,)."""
        return self._law.shares(self._latents(latents))

    def _latents(self, latents: Any) -> Floats:
        return _validate.reals("latents", np.atleast_1d(np.asarray(latents)), low=1.0, high=1e200)


def predict(
    alpha: Any = None,
    beta: Any = None,
    *,
    curve: LossCurve | None = None,
    population: Population | None = None,
) -> Prediction:
    """Regime, exponents, constants, and loss and discovery at any N.

    Parameters
    ----------
    alpha
        Exponent of frequencies that sum to 1; greater than 0.
    beta
        Exponent of the curve (1+n)^-beta on every feature; greater than 0.
    curve
        Instead of ``beta``: any shared curve. Where it is not convex, its envelope counts.
    population
        Instead of all of these: any population over a power law of frequencies, finite or
        infinite, with exceptions or a mixture of curves.

    Returns
    -------
    Prediction

    Notes
    -----
    Exponents: Michaud, Gorton and McGrath (2025), Figure 2 left and appendix B.3, B.4. Constants,
    the critical case, the uniform law and mixtures: derived here, see
    :func:`scaling_theory.theory.derive`. In a concrete population the features that are listed,
    and the first thousand ranks of others, are counted one by one.

    Raises
    ------
    ValueError
        If the arguments do not state exactly one case, or the case has no closed form here.
    """
    if population is not None:
        if not (alpha is None and beta is None and curve is None):
            raise ValueError("population already states alpha and the curve: give it alone")
        return _concrete(population)
    given = {"alpha": alpha, "beta": beta, "curve": curve}
    if alpha is None or (beta is None) == (curve is None):
        raise ValueError(
            f"alpha and one of beta and curve must be given, got "
            f"{[n for n, v in given.items() if v is not None] or 'none'}"
        )
    law = PowerLawFrequencies(_validate.real("alpha", alpha, low=0.0, low_open=True, high=100.0))
    if curve is None:
        exponent = _validate.real("beta", beta, low=0.0, low_open=True, high=1000.0)
        curve = PowerLawCurve(beta=exponent)
    if not isinstance(curve, LossCurve) or curve.size is not None:
        raise ValueError(f"curve must be one LossCurve shared by all features, got {curve!r}")
    return _concrete(Population(law, curve))


def _concrete(population: Population) -> Prediction:
    if not isinstance(population, Population):
        raise ValueError(f"population must be a Population, got {population!r}")
    law = power_law("population", population.frequencies)
    for label, group in zip(population.labels, population.groups, strict=True):
        must_fall(label, group.curve)
    parts = tuple((population.labels[g], sign, part) for g, sign, part in parts_of(population))
    return prediction(law, CompositeLaw(parts), limits(law, members_of(population)))


def prediction(law: ShiftedPower, composite: CompositeLaw, at: Limits) -> Prediction:
    """Put a law and its limits together."""
    finite = law.count is not None
    saturation = composite.saturation if finite else math.inf
    return Prediction(
        at.regime, law.alpha, at.beta, (1.0 + law.alpha) / (1.0 + at.beta), at.loss_exponent,
        at.discovery_exponent, at.loss_constant, at.discovery_constant, saturation,
        composite,
    )  # fmt: skip


def power_law(name: str, law: Any) -> ShiftedPower:
    """Refuse frequencies that are no power law."""
    if not isinstance(law, ShiftedPower):
        raise ValueError(
            f"{name} must have power-law frequencies for a closed form, got {law!r}; for others "
            f"use scaling_curve"
        )
    return law


def must_fall(label: str, curve: LossCurve) -> None:
    """Refuse curves on which no latent gains anything."""
    first = curve.envelope_gain(np.ones(curve.size or 1))
    if (first <= 0.0).any():
        raise ValueError(
            f"curve of group {label!r} must fall somewhere, got {curve!r}, on which no latent gains"
        )
