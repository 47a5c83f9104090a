"""The uniform law: N, D and the loss in closed form on both sides of alpha = beta.

With X the (real) rank at which the last feature is found, a level set holds the ranks up to
X (m(n)/m(1))^(1/(1+alpha)) at each n. Summing over n, and summing the power tail of the gains over
ranks, gives

    N = S X + Z kappa + shift (1/2 + offset),
    excess = price (S X / alpha + Z kappa / beta),   price = c m(1) X^-(1+alpha),
    kappa = (a beta X^(1+alpha) / m(1))^(1/(1+beta)),   Z = zeta(gamma, 1 + offset),

where S = sum_n (m(n)/m(1))^(1/(1+alpha)) and the zeta function are continued analytically beyond
their poles. The poles, kappa^(1/gamma) / (1/gamma - 1) and kappa / (gamma - 1), cancel at
alpha = beta; they are summed together here, so that the law holds through the diagonal. The leading
terms of the two regimes are its limits. Derived here; the tests hold it to the exact solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory._sums import power_sum_after, regular_power_sum_after, relative_expm1
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import ShiftedPower
from scaling_theory.theory.laws.level_sums import regular_level_sum

#: Largest logarithm of a rank.
_LOG_MOST = 690.0


@final
@dataclass(frozen=True, eq=False)
class UniformLaw:
    """The law for one frequency law and one shared curve.

    Attributes
    ----------
    curve
        The curve; where it is not convex, its envelope counts.
    alpha, beta, gamma
        Exponents; beta is inf for curves without a power tail.
    normaliser, offset
        c times the magnitude, and what is added to ranks.
    first_gain
        m(1).
    level_regular, rank_regular
        S (m(1) / (a beta))^(1/(1+alpha)) and Z without their poles. Without a power tail, S and 0.
    """

    curve: LossCurve
    alpha: float
    beta: float
    normaliser: float
    offset: float
    first_gain: float
    level_regular: float
    rank_regular: float

    @property
    def gamma(self) -> float:
        """(1 + alpha) / (1 + beta)."""
        return (1.0 + self.alpha) / (1.0 + self.beta)

    @property
    def excess_gamma(self) -> float:
        """Return gamma - 1, without cancellation."""
        return (self.alpha - self.beta) / (1.0 + self.beta)

    @property
    def _unit(self) -> float:
        """The ratio a beta / m(1)."""
        scale, beta, _ = self._tail
        return scale * beta / self.first_gain

    @property
    def _tail(self) -> tuple[float, float, float]:
        tail = self.curve.power_tail
        assert tail is not None
        return tail

    def at(self, log_price: Floats) -> tuple[Floats, Floats, Floats]:
        """(N, D, excess) at the logarithm of the price, shape (k,) each.

        Above the price at which the first rank is found there is nothing; next to it the law may
        not hold, and N is then taken to be 0 where it comes out negative.
        """
        log_rank = (math.log(self.normaliser * self.first_gain) - log_price) / (1.0 + self.alpha)
        with np.errstate(over="ignore", invalid="ignore"):
            n, excess = (
                self._without_tail(log_rank) if math.isinf(self.beta) else self._with_tail(log_rank)
            )
        found = np.exp(log_rank) - (self.offset + 0.5)
        none = (found <= 0.0) | (n <= 0.0)
        return (
            np.where(none, 0.0, n),
            np.where(none, 0.0, found),
            np.where(none, self.start, excess),
        )

    @property
    def log_price_range(self) -> tuple[float, float]:
        """Logarithms of the price between which the law can be asked."""
        top = math.log(self.normaliser * self.first_gain)
        first = math.log(0.5 + self.offset) if self.offset > -0.4 else -3.0
        return top - (1.0 + self.alpha) * _LOG_MOST, top - (1.0 + self.alpha) * first

    @property
    def log_price_end(self) -> float:
        """There is no last rank."""
        return -math.inf

    def _without_tail(self, u: Floats) -> tuple[Floats, Floats]:
        a, c = self.alpha, math.log(self.normaliser * self.first_gain)
        gains = np.maximum(self.first_gain * np.exp(-(1.0 + a) * u), 1e-300)
        on_first_rank = self.curve.count_at(np.ones_like(u), 1.0, gain=gains)
        n = self.level_regular * np.exp(u) - (0.5 + self.offset) * on_first_rank
        excess = self.level_regular / a * np.exp(c - a * u)
        return np.asarray(n), np.asarray(excess)

    def _with_tail(self, u: Floats) -> tuple[Floats, Floats]:
        a, b, eps = self.alpha, self.beta, self.excess_gamma
        log_a = u + math.log(self._unit) / (1.0 + a)  # A = kappa^(1/gamma)
        log_kappa = log_a * self.gamma
        log_price = math.log(self.normaliser * self.first_gain) - (1.0 + a) * u
        kappa = np.exp(log_kappa)
        # The poles A/(1/gamma-1) + kappa/(gamma-1) make kappa (e^x - 1)/x (ln A - rest), with
        # x = -eps (ln A - rest) the logarithm of their ratio; those of the loss likewise.
        rest = _relative_log1p(eps)
        tilt = -(1.0 + b) / a * _relative_log1p(-eps * (1.0 + b) / a)  # ln(beta/alpha) / eps
        span, loss_span = log_a - rest, log_a - rest - tilt
        n = (
            self.level_regular * np.exp(log_a)
            + kappa * (self.rank_regular + span * relative_expm1(-eps * span))
            + self._tail[2] * (0.5 + self.offset)
        )
        excess = self.level_regular / a * np.exp(log_price + log_a) + np.exp(
            log_price + log_kappa
        ) / b * (self.rank_regular + loss_span * relative_expm1(-eps * loss_span))
        return np.asarray(n), np.asarray(excess)

    @property
    def start(self) -> float:
        """Excess loss without latents."""
        s = 1.0 + self.alpha
        mass = self.normaliser * float(power_sum_after(np.zeros(1), s, self.offset, None)[0])
        return mass * float(self.curve.envelope_excess(np.zeros(1))[0])


def uniform_law(law: ShiftedPower, curve: LossCurve, magnitude: float = 1.0) -> UniformLaw:
    """State the law for infinitely many features with one shared curve."""
    alpha, beta = law.alpha, float(curve.tail_exponent)
    first = float(curve.envelope_gain(np.ones(1))[0])
    rank_regular = 0.0
    if math.isfinite(beta):
        rank_regular = regular_power_sum_after(0, (alpha - beta) / (1.0 + beta), law.shift)
    return UniformLaw(
        curve,
        alpha,
        beta,
        law.normaliser * magnitude,
        law.shift,
        first,
        regular_level_sum(curve, alpha),
        rank_regular,
    )


def _relative_log1p(x: float) -> float:
    return math.log1p(x) / x if x else 1.0
