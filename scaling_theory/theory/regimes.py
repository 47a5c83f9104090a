"""Regimes of the allocation problem: exponents, leading constants, crossover.

For frequencies p_i = c (i + offset)^-(1+alpha) over infinitely many features that share one curve
with gains m(n), and gamma = (1+alpha)/(1+beta):

- benign, beta > alpha: D = N/S, excess = (c m(1)/alpha) S^(1+alpha) N^-alpha, with
  S = sum_n (m(n)/m(1))^(1/(1+alpha)), finite in this regime only;
- pathological, beta < alpha, excess of the curve a (n+shift)^-beta:
  excess = a c Z^(1+beta) N^-beta and D = (m(1)/(a beta))^(1/(1+alpha)) (N/Z)^(1/gamma), with
  Z = zeta(gamma, 1+offset);
- critical, alpha = beta: logarithms, summed by the Lambert W function.

The exponents are those of Michaud, Gorton and McGrath (2025), appendix B.3 and B.4, after Brill
(2024). The constants, the critical case and the uniform law behind :meth:`Prediction.loss` are
derived here, see ``theory/uniform.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies, ShiftedPower
from scaling_theory.population import Population
from scaling_theory.theory.uniform import UniformLaw, uniform_law

Regime = Literal["benign", "critical", "pathological"]


@final
@dataclass(frozen=True)
class Prediction:
    """What the theory says of one shared curve and power-law frequencies.

    Attributes
    ----------
    regime
        "benign" (beta > alpha), "pathological" (beta < alpha), "critical" (equal).
    alpha, beta, gamma
        Exponents of frequencies and curve; gamma = (1+alpha)/(1+beta).
    loss_exponent, discovery_exponent
        excess loss ~ N^-loss_exponent and D ~ N^discovery_exponent.
    loss_constant, discovery_constant
        Their leading constants. In the critical case they multiply N^-alpha (ln N)^(1+alpha) and
        N / ln N, which real N approach too slowly to be of use: see :meth:`loss`.
    crossover
        N from which the local slope of the loss is within 10% of its limit; inf if beyond 1e299.
    """

    regime: Regime
    alpha: float
    beta: float
    gamma: float
    loss_exponent: float
    discovery_exponent: float
    loss_constant: float
    discovery_constant: float
    crossover: float
    _law: UniformLaw = field(repr=False)

    def loss(self, latents: Any) -> Floats:
        """Predicted excess loss for N latents, shape (k,) or one number -> shape (k,).

        By the uniform law: for curves with a power tail within 1e-3 of the exact optimum from
        N = 1e3 on and within 1e-6 from 1e9 on, on both sides of alpha = beta. nan where N
        is too small for the law, as next to large shifts and offsets.
        """
        return self._law.solve(self._latents(latents))[1]

    def discovered(self, latents: Any) -> Floats:
        """Predicted D(N), a real number, as :meth:`loss`; within about two features or 0.1%."""
        log_rank, _, _ = self._law.solve(self._latents(latents))
        return np.asarray(np.maximum(np.exp(log_rank) - self._law.offset - 0.5, 0.0))

    def loss_slope(self, latents: Any) -> Floats:
        """Predicted local slope d ln excess / d ln N = -price N / excess."""
        n = self._latents(latents)
        _, excess, price = self._law.solve(n)
        return np.asarray(-price * n / excess)

    def _latents(self, latents: Any) -> Floats:
        return _validate.reals("latents", np.atleast_1d(np.asarray(latents)), low=1.0, high=1e200)


def predict(
    alpha: Any = None,
    beta: Any = None,
    *,
    curve: LossCurve | None = None,
    population: Population | None = None,
) -> Prediction:
    """Regime, exponents and leading constants.

    Parameters
    ----------
    alpha
        Exponent of frequencies that sum to 1; greater than 0.
    beta
        Exponent of the curve (1+n)^-beta on every feature; greater than 0.
    curve
        Instead of ``beta``: any shared curve. Where it is not convex, its envelope counts.
    population
        Instead of all of these: a population of infinitely many features in which every feature
        has the same curve.

    Returns
    -------
    Prediction

    Notes
    -----
    Exponents: Michaud, Gorton and McGrath (2025), Figure 2 left and appendix B.3, B.4. Constants,
    the critical case and the uniform law: derived here, see :func:`scaling_theory.theory.derive`.

    Raises
    ------
    ValueError
        If the arguments do not state exactly one case, or the case has no closed form here.
    """
    shared: LossCurve
    if population is not None:
        if not (alpha is None and beta is None and curve is None):
            raise ValueError("population already states alpha and the curve: give it alone")
        law, shared, magnitude = _single(population)
    else:
        given = {"alpha": alpha, "beta": beta, "curve": curve}
        if alpha is None or (beta is None) == (curve is None):
            raise ValueError(
                f"alpha and one of beta and curve must be given, got "
                f"{[n for n, v in given.items() if v is not None] or 'none'}"
            )
        law = PowerLawFrequencies(
            _validate.real("alpha", alpha, low=0.0, low_open=True, high=100.0)
        )
        if curve is None:
            exponent = _validate.real("beta", beta, low=0.0, low_open=True, high=1000.0)
            shared = PowerLawCurve(beta=exponent)
        else:
            shared = curve
        magnitude = 1.0
    if not isinstance(shared, LossCurve) or shared.size is not None:
        raise ValueError(f"curve must be one LossCurve shared by all features, got {shared!r}")
    return _predict(law, shared, magnitude)


def _predict(law: ShiftedPower, curve: LossCurve, magnitude: float) -> Prediction:
    alpha, beta = law.alpha, float(curve.tail_exponent)
    first = float(curve.envelope_gain(np.ones(1))[0])
    if first <= 0.0:
        raise ValueError(f"curve must fall somewhere, got {curve!r}, on which no latent gains")
    uniform = uniform_law(law, curve, magnitude)
    gamma, c = uniform.gamma, uniform.normaliser
    critical = math.isclose(alpha, beta, rel_tol=1e-12)
    ends = uniform.crossover(0.1), uniform
    if beta == math.inf or (beta > alpha and not critical):
        s = uniform.level_sum
        constants = c * first / alpha * s ** (1.0 + alpha), 1.0 / s
        return Prediction("benign", alpha, beta, gamma, alpha, 1.0, *constants, *ends)
    assert curve.power_tail is not None  # a finite beta
    scale = curve.power_tail[0]
    share = (first / (scale * beta)) ** (1.0 / (1.0 + alpha))
    if critical:
        return Prediction("critical", alpha, beta, 1.0, alpha, 1.0, c * scale, share, *ends)
    z = uniform.rank_sum
    constants = scale * c * z ** (1.0 + beta), share * z ** (-1.0 / gamma)
    return Prediction("pathological", alpha, beta, gamma, beta, 1.0 / gamma, *constants, *ends)


def _single(population: Population) -> tuple[ShiftedPower, LossCurve, float]:
    if not isinstance(population, Population):
        raise ValueError(f"population must be a Population, got {population!r}")
    law = population.frequencies
    if not isinstance(law, ShiftedPower) or law.count is not None:
        raise ValueError(
            f"population must have infinitely many features with power-law frequencies, got {law!r}"
        )
    group = population.groups[0]
    if len(population.groups) > 1:
        raise ValueError(
            f"population must have one group, got {list(population.labels)}; mixtures have no "
            f"closed form here yet: use scaling_curve"
        )
    return law, group.curve, group.magnitude
