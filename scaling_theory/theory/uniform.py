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
from scaling_theory.curves import ExponentialCurve, LossCurve
from scaling_theory.frequencies import PowerLawFrequencies, ShiftedPower

#: Gains summed one by one before the power tail takes over.
_DIRECT = 100_000
#: More terms of a curve without a power tail are not summed.
_MOST_TERMS = 10**8
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
    def level_sum(self) -> float:
        """S, continued analytically; inf in the critical case."""
        if math.isinf(self.beta):
            return self.level_regular
        if self.excess_gamma == 0.0:
            return math.inf
        pole = -(1.0 + self.alpha) / (self.alpha - self.beta)  # 1 / (1/gamma - 1)
        return (self.level_regular + pole) * float(self._unit ** (1.0 / (1.0 + self.alpha)))

    @property
    def rank_sum(self) -> float:
        """Z = zeta(gamma, 1 + offset), continued analytically; inf in the critical case."""
        if self.excess_gamma == 0.0:
            return math.inf
        return self.rank_regular + 1.0 / self.excess_gamma

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

    def at_rank(self, log_rank: Floats) -> tuple[Floats, Floats, Floats]:
        """(N, excess, price) at ln X, shape (k,) each."""
        with np.errstate(over="ignore", invalid="ignore"):
            if math.isinf(self.beta):
                return self._without_tail(log_rank)
            return self._with_tail(log_rank)

    def _without_tail(self, u: Floats) -> tuple[Floats, Floats, Floats]:
        a, c = self.alpha, math.log(self.normaliser * self.first_gain)
        gains = np.maximum(self.first_gain * np.exp(-(1.0 + a) * u), 1e-300)
        on_first_rank = self.curve.count_at(np.ones_like(u), 1.0, gain=gains)
        n = self.level_regular * np.exp(u) - (0.5 + self.offset) * on_first_rank
        excess = self.level_regular / a * np.exp(c - a * u)
        return np.asarray(n), np.asarray(excess), np.asarray(np.exp(c - (1.0 + a) * u))

    def _with_tail(self, u: Floats) -> tuple[Floats, Floats, Floats]:
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
        return np.asarray(n), np.asarray(excess), np.asarray(np.exp(log_price))

    def solve(self, latents: Floats) -> tuple[Floats, Floats, Floats]:
        """(ln X, excess, price) at N latents, shape (k,) each, by bisection.

        nan where N is too small for the law: no rank X >= 1/2 + offset has it, or the loss would
        be above that without latents.
        """
        first = math.log(0.5 + self.offset) if self.offset > -0.4 else -3.0
        low = np.full(latents.shape, first)
        high = np.full(latents.shape, _LOG_MOST)
        possible = self.at_rank(low)[0] <= latents
        for _ in range(70):
            middle = 0.5 * (low + high)
            below = self.at_rank(middle)[0] < latents
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        _, excess, price = self.at_rank(high)
        good = possible & (excess > 0.0) & (excess <= self.start)
        log_rank, excess, price = (np.where(good, v, np.nan) for v in (high, excess, price))
        return log_rank, excess, price

    @property
    def start(self) -> float:
        """Excess loss without latents."""
        s = 1.0 + self.alpha
        mass = self.normaliser * float(power_sum_after(np.zeros(1), s, self.offset, None)[0])
        return mass * float(self.curve.envelope_excess(np.zeros(1))[0])

    def crossover(self, within: float) -> float:
        """N from which the local slope price N / excess is within a fraction of its limit.

        Infinity stands for more than 1e299.
        """
        limit = min(self.alpha, self.beta)

        def outside(u: Floats) -> Floats:
            n, excess, price = self.at_rank(u)
            with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
                return np.asarray(~(np.abs(price * n / (excess * limit) - 1.0) <= within))

        first = math.log(1.0 + self.offset)
        grid = np.linspace(first, first + 300.0 / max(self.gamma, self.alpha, 1.0), 4000)
        wrong = np.flatnonzero(outside(grid))
        if not wrong.size:
            return 1.0
        if wrong[-1] == grid.size - 1:
            return math.inf
        low, high = grid[wrong[-1]], grid[wrong[-1] + 1]
        for _ in range(50):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if outside(np.array([middle]))[0] else (low, middle)
        return max(float(self.at_rank(np.array([high]))[0][0]), 1.0)


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
        _level_regular(curve, alpha),
        rank_regular,
    )


def level_set_sum(curve: LossCurve, alpha: float) -> float:
    """S = sum_n (m(n)/m(1))^(1/(1+alpha)), continued analytically where it diverges.

    For beta > alpha it is the number of latents per discovered feature in the limit.
    """
    return uniform_law(PowerLawFrequencies(alpha), curve).level_sum


def _level_regular(curve: LossCurve, alpha: float) -> float:
    """Sum of the gains' powers, without the pole if there is a power tail."""
    power = 1.0 / (1.0 + alpha)
    first = float(curve.envelope_gain(np.ones(1))[0])
    tail = curve.power_tail
    if isinstance(curve, ExponentialCurve):
        return -1.0 / math.expm1(-float(curve.rate) * power)
    if tail is None:
        end = int(curve.latents_for_gain(first * 1e-300)[0])  # they end
        if end > _MOST_TERMS:
            raise ValueError(f"curve must end within {_MOST_TERMS} latents, got {curve!r}")
        return _gain_sum(curve, power, end, first)
    scale, beta, shift = tail
    upto = max(_DIRECT, curve.tail_from)
    excess = (beta - alpha) / (1.0 + alpha)  # of the summand's exponent over 1
    correction = power * (1.0 + beta) * (2.0 + beta) / 24.0
    third = power_sum_after(np.array([float(upto)]), 3.0 + excess, shift - 0.5, None)
    return (
        _gain_sum(curve, power, upto, scale * beta)
        + regular_power_sum_after(upto, excess, shift - 0.5)
        + correction * float(third[0])
    )


def _gain_sum(curve: LossCurve, power: float, upto: int, unit: float) -> float:
    total = 0.0
    for start in range(1, upto + 1, 1_000_000):
        n = np.arange(start, min(start + 1_000_000, upto + 1), dtype=np.float64)
        total += float(np.power(curve.envelope_gain(n) / unit, power).sum())
    return total


def _relative_log1p(x: float) -> float:
    return math.log1p(x) / x if x else 1.0
