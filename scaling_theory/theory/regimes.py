"""Regimes of the allocation problem: exponents and leading constants in closed form.

For frequencies p_i = c (i + offset)^-(1+alpha) over infinitely many features that share one curve
with gains m(n), and gamma = (1+alpha)/(1+beta):

- benign, beta > alpha: D = N/S, excess = (c m(1)/alpha) S^(1+alpha) N^-alpha, with
  S = sum_n (m(n)/m(1))^(1/(1+alpha)), finite in this regime only;
- pathological, beta < alpha, excess of the curve a (n+shift)^-beta:
  excess = a c Z^(1+beta) N^-beta and D = (m(1)/(a beta))^(1/(1+alpha)) (N/Z)^(1/gamma), with
  Z = zeta(gamma, 1+offset);
- critical, alpha = beta: logarithms, summed by the Lambert W function.

The exponents are those of Michaud, Gorton and McGrath (2025), appendix B.3 and B.4, after Brill
(2024). The constants and the critical case are derived here: a level set holds the ranks up to
(c m(n)/price)^(1/(1+alpha)), and both sums are over level sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._sums import power_sum_after
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies, ShiftedPower
from scaling_theory.population import Population

Regime = Literal["benign", "critical", "pathological"]

#: Gains summed one by one before the power tail takes over.
_DIRECT = 100_000


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
    """

    regime: Regime
    alpha: float
    beta: float
    gamma: float
    loss_exponent: float
    discovery_exponent: float
    loss_constant: float
    discovery_constant: float
    _log_constant: float = field(default=math.nan, repr=False)  # G of the critical case

    def loss(self, latents: Any) -> Floats:
        """Predicted excess loss for N latents, shape (k,) or one number -> shape (k,).

        The leading term; in the critical case the Lambert-W form, accurate from N of about 1e3.
        """
        n = self._latents(latents)
        if self.regime != "critical":
            return np.asarray(self.loss_constant * np.power(n, -self.loss_exponent))
        kappa, w = self._kappa(n)
        a = self.alpha
        return np.asarray(self.loss_constant * kappa**-a * (w + 1.0 + 1.0 / a))

    def discovered(self, latents: Any) -> Floats:
        """Predicted D(N), as :meth:`loss`."""
        n = self._latents(latents)
        if self.regime != "critical":
            return np.asarray(self.discovery_constant * np.power(n, self.discovery_exponent))
        return np.asarray(self.discovery_constant * self._kappa(n)[0])

    def _latents(self, latents: Any) -> Floats:
        return _validate.reals("latents", np.atleast_1d(np.asarray(latents)), low=1.0, high=1e300)

    def _kappa(self, n: Floats) -> tuple[Floats, Floats]:
        """Solve N = kappa (ln kappa + G)."""
        from scipy.special import lambertw

        argument: Any = n * math.exp(self._log_constant)
        w = np.real(lambertw(argument))
        return np.asarray(n / w), np.asarray(w)


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

    Raises
    ------
    ValueError
        If the arguments do not state exactly one case, or the case has no closed form here.
    """
    shared: LossCurve
    if population is not None:
        if (alpha, beta, curve) != (None, None, None):
            raise ValueError("population already states alpha and the curve: give it alone")
        law, shared, magnitude = _single(population)
    else:
        if alpha is None or (beta is None) == (curve is None):
            raise ValueError(
                f"alpha and one of beta and curve must be given, got alpha={alpha!r}, "
                f"beta={beta!r}, curve={curve!r}"
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
    c = law.normaliser * magnitude
    gamma = (1.0 + alpha) / (1.0 + beta)
    if beta == math.inf or not math.isclose(alpha, beta, rel_tol=1e-12):
        if beta > alpha:
            s = level_set_sum(curve, alpha)
            return Prediction(
                "benign",
                alpha,
                beta,
                gamma,
                alpha,
                1.0,
                c * first / alpha * s ** (1.0 + alpha),
                1.0 / s,
            )
        assert curve.power_tail is not None  # a finite beta
        scale = curve.power_tail[0]
        z = float(power_sum_after(np.zeros(1), gamma, law.shift, None)[0])
        return Prediction(
            "pathological",
            alpha,
            beta,
            gamma,
            beta,
            1.0 / gamma,
            scale * c * z ** (1.0 + beta),
            (first / (scale * beta)) ** (1.0 / (1.0 + alpha)) * z ** (-1.0 / gamma),
        )
    from scipy.special import digamma

    assert curve.power_tail is not None
    scale = curve.power_tail[0]
    log_constant = -float(digamma(1.0 + law.shift)) + _gain_constant(curve) - 1.0
    return Prediction(
        "critical",
        alpha,
        beta,
        1.0,
        alpha,
        1.0,
        c * scale,
        (first / (scale * beta)) ** (1.0 / (1.0 + alpha)),
        log_constant,
    )


def level_set_sum(curve: LossCurve, alpha: float) -> float:
    """S = sum_n (m(n)/m(1))^(1/(1+alpha)): latents per discovered feature in the benign regime.

    Sums the gains one by one and a power tail by Euler-Maclaurin; needs beta > alpha.
    """
    power = 1.0 / (1.0 + alpha)
    first = float(curve.envelope_gain(np.ones(1))[0])
    tail = curve.power_tail
    if tail is None:
        end = int(curve.latents_for_gain(max(first * 1e-20 ** (1.0 + alpha), 1e-300))[0])
        return _gain_sum(curve, power, min(max(end, 1), 10**8)) / float(first**power)
    scale, beta, shift = tail
    rest = _tail_sum(beta, shift, power)
    return (_gain_sum(curve, power, _DIRECT) + float((scale * beta) ** power) * rest) / float(
        first**power
    )


def _gain_constant(curve: LossCurve) -> float:
    """Return gamma_m = lim sum_{n<=M} (m(n)/(a beta))^(1/(1+beta)) - ln M."""
    from scipy.special import digamma

    assert curve.power_tail is not None
    scale, beta, shift = curve.power_tail
    power = 1.0 / (1.0 + beta)
    direct = _gain_sum(curve, power, _DIRECT) * float((scale * beta) ** -power)
    correction = power * (1.0 + beta) * (2.0 + beta) / 24.0
    start = _DIRECT + 0.5 + shift
    cubes = float(power_sum_after(np.array([float(_DIRECT)]), 3.0, shift - 0.5, None)[0])
    return direct - float(digamma(start)) + correction * cubes


def _tail_sum(beta: float, shift: float, power: float) -> float:
    """Sum over n > _DIRECT of the gains' powers, in units of (scale beta)^power."""
    at, s = np.array([float(_DIRECT)]), power * (1.0 + beta)
    leading = float(power_sum_after(at, s, shift - 0.5, None)[0])
    correction = power * (1.0 + beta) * (2.0 + beta) / 24.0
    return leading + correction * float(power_sum_after(at, s + 2.0, shift - 0.5, None)[0])


def _gain_sum(curve: LossCurve, power: float, upto: int) -> float:
    total = 0.0
    for start in range(1, upto + 1, 1_000_000):
        n = np.arange(start, min(start + 1_000_000, upto + 1), dtype=np.float64)
        total += float(np.power(curve.envelope_gain(n), power).sum())
    return total


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
