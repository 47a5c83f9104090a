"""The uniform law: N, D and the loss in closed form on both sides of alpha = beta.

With X the (real) rank at which the last feature is found, a level set holds the ranks up to
X (m(n)/m(1))^(1/(1+alpha)) at each n. Summing over n, and summing the power tail of the gains over
ranks, gives

    N = S X + Z kappa + shift (1/2 + offset),
    excess = price (S X / alpha + Z kappa / beta),   price = c m(1) X^-(1+alpha),
    kappa = (a beta X^(1+alpha) / m(1))^(1/(1+beta)),   Z = zeta(gamma, 1 + offset),

where S = sum_n (m(n)/m(1))^(1/(1+alpha)) and the zeta function are continued analytically beyond
their poles, which cancel at alpha = beta; there logarithms take their place. The leading terms of
the two regimes are its limits. Derived here; the tests hold it to the exact solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from scaling_theory._sums import power_sum_after
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import ShiftedPower

#: Gains summed one by one before the power tail takes over.
_DIRECT = 100_000
#: Closer to alpha = beta than this (in gamma - 1), the poles cancel too many digits.
_CRITICAL = 1e-9
_LOG_MOST = 690.0


@final
@dataclass(frozen=True, eq=False)
class UniformLaw:
    """The law for one frequency law and one shared curve.

    Attributes
    ----------
    alpha, beta, gamma
        Exponents; beta is inf for curves without a power tail.
    level_sum
        S, continued analytically; nan in the critical case.
    rank_sum
        Z = zeta(gamma, 1 + offset), continued analytically; nan where there is no power tail.
    log_constant
        G of the critical case N = kappa (ln kappa + G); nan elsewhere.
    """

    curve: LossCurve
    alpha: float
    beta: float
    gamma: float
    normaliser: float
    offset: float
    first_gain: float
    level_sum: float
    rank_sum: float
    log_constant: float

    @property
    def critical(self) -> bool:
        """Whether alpha = beta, to within what the closed form can tell apart."""
        return not math.isnan(self.log_constant)

    def at_rank(self, log_rank: Floats) -> tuple[Floats, Floats, Floats]:
        """(N, excess, price) at ln X, shape (k,) each."""
        with np.errstate(over="ignore"):
            return self._at_rank(log_rank)

    def _at_rank(self, log_rank: Floats) -> tuple[Floats, Floats, Floats]:
        u, a = log_rank, self.alpha
        c = math.log(self.normaliser) + math.log(self.first_gain)
        price = np.exp(c - (1.0 + a) * u)
        if self.critical:
            scale, _, shift = self._tail
            log_kappa = u + math.log(scale * a / self.first_gain) / (1.0 + a)
            w = log_kappa + self.log_constant
            n = np.exp(log_kappa) * w + shift * (0.5 + self.offset)
            excess = self.normaliser * scale * np.exp(-a * log_kappa) * (w + 1.0 + 1.0 / a)
            return np.asarray(n), np.asarray(excess), price
        main = self.level_sum * np.exp(u)
        excess = self.level_sum / a * np.exp(c - a * u)
        if math.isinf(self.beta):
            found = self.curve.count_at(
                np.ones_like(u),
                1.0,
                gain=np.maximum(self.first_gain * np.exp(-(1.0 + a) * u), 1e-300),
            )
            return np.asarray(main - (0.5 + self.offset) * found), np.asarray(excess), price
        scale, b, shift = self._tail
        log_kappa = (math.log(scale * b / self.first_gain) + (1.0 + a) * u) / (1.0 + b)
        n = main + self.rank_sum * np.exp(log_kappa) + shift * (0.5 + self.offset)
        excess = excess + self.rank_sum / b * np.exp(c - (1.0 + a) * u + log_kappa)
        return np.asarray(n), np.asarray(excess), price

    def solve(self, latents: Floats) -> tuple[Floats, Floats, Floats]:
        """(ln X, excess, price) at N latents, shape (k,) each, by bisection."""
        low = np.full(latents.shape, -3.0)
        high = np.full(latents.shape, _LOG_MOST)
        for _ in range(70):
            middle = 0.5 * (low + high)
            below = self.at_rank(middle)[0] < latents
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        _, excess, price = self.at_rank(high)
        return high, excess, price

    def crossover(self, within: float) -> float:
        """N at which the local slope price N / excess is within a fraction of its limit.

        Where S X and Z kappa are the two terms, the slope is a function of their ratio alone, so
        that the answer is in closed form. Infinity stands for more than 1e299.
        """
        if self.critical:
            a = self.alpha
            w = (1.0 - within) / within * (1.0 + 1.0 / a)
            log_n = w - self.log_constant + math.log(w)
            return math.exp(log_n) if log_n < _LOG_MOST else math.inf
        if math.isinf(self.beta):
            rank = (0.5 + self.offset) / (self.level_sum * within)
            for _ in range(20):  # the number of latents of rank 1 grows at most as a logarithm
                n = self.at_rank(np.array([math.log(max(rank, 1.0))]))[0][0]
                rank = (self.level_sum * rank - n) / (self.level_sum * within)
            return max(float(n), 1.0)
        small, large = sorted((self.alpha, self.beta))
        ratio = within / (1.0 - (1.0 - within) * small / large)
        scale, b, _ = self._tail
        # |Z kappa / (S X)| as a power of X: kappa / X = (a beta / m(1))^(1/(1+beta)) X^(gamma - 1)
        share = abs(self.rank_sum / self.level_sum) * (scale * b / self.first_gain) ** (
            1.0 / (1.0 + b)
        )
        if self.gamma > 1.0:
            ratio = 1.0 / ratio
        u = math.log(ratio / share) / (self.gamma - 1.0)
        if u > _LOG_MOST / max(self.gamma, 1.0):
            return math.inf
        return max(float(self.at_rank(np.array([u]))[0][0]), 1.0)

    @property
    def _tail(self) -> tuple[float, float, float]:
        tail = self.curve.power_tail
        assert tail is not None
        return tail


def uniform_law(law: ShiftedPower, curve: LossCurve, magnitude: float = 1.0) -> UniformLaw:
    """State the law for infinitely many features with one shared curve."""
    alpha, beta = law.alpha, float(curve.tail_exponent)
    gamma = (1.0 + alpha) / (1.0 + beta)
    first = float(curve.envelope_gain(np.ones(1))[0])
    critical = abs(gamma - 1.0) <= _CRITICAL
    nan = math.nan
    return UniformLaw(
        curve,
        alpha,
        beta,
        gamma,
        law.normaliser * magnitude,
        law.shift,
        first,
        nan if critical else level_set_sum(curve, alpha),
        nan if critical or math.isinf(beta) else _rank_sum(gamma, law.shift),
        _log_constant(curve, law.shift) if critical else nan,
    )


def level_set_sum(curve: LossCurve, alpha: float) -> float:
    """S = sum_n (m(n)/m(1))^(1/(1+alpha)), continued analytically where it diverges.

    For beta > alpha it is the number of latents per discovered feature in the limit. Gains are
    summed one by one, and the power tail by Euler-Maclaurin.
    """
    power = 1.0 / (1.0 + alpha)
    first = float(curve.envelope_gain(np.ones(1))[0])
    tail = curve.power_tail
    if tail is None:
        smallest = max(first * 1e-20 ** (1.0 + alpha), 1e-300)
        end = int(curve.latents_for_gain(smallest)[0])
        return _gain_sum(curve, power, min(max(end, 1), 10**8)) / float(first**power)
    scale, beta, shift = tail
    at, s = np.array([float(_DIRECT)]), power * (1.0 + beta)
    correction = power * (1.0 + beta) * (2.0 + beta) / 24.0
    rest = power_sum_after(at, s, shift - 0.5, None)
    rest = rest + correction * power_sum_after(at, s + 2.0, shift - 0.5, None)
    direct = _gain_sum(curve, power, _DIRECT)
    return (direct + float((scale * beta) ** power * rest[0])) / float(first**power)


def _rank_sum(gamma: float, offset: float) -> float:
    return float(power_sum_after(np.zeros(1), gamma, offset, None)[0])


def _log_constant(curve: LossCurve, offset: float) -> float:
    """G = -digamma(1 + offset) + gamma_m - 1 of the critical case.

    gamma_m = lim sum_{n<=M} (m(n)/(a beta))^(1/(1+beta)) - ln M.
    """
    from scipy.special import digamma

    tail = curve.power_tail
    assert tail is not None  # the critical case has a finite beta
    scale, beta, shift = tail
    power = 1.0 / (1.0 + beta)
    correction = power * (1.0 + beta) * (2.0 + beta) / 24.0
    cubes = power_sum_after(np.array([float(_DIRECT)]), 3.0, shift - 0.5, None)
    gamma_m = (
        _gain_sum(curve, power, _DIRECT) / float((scale * beta) ** power)
        - float(digamma(_DIRECT + 0.5 + shift))
        + correction * float(cubes[0])
    )
    return -float(digamma(1.0 + offset)) + gamma_m - 1.0


def _gain_sum(curve: LossCurve, power: float, upto: int) -> float:
    total = 0.0
    for start in range(1, upto + 1, 1_000_000):
        n = np.arange(start, min(start + 1_000_000, upto + 1), dtype=np.float64)
        total += float(np.power(curve.envelope_gain(n), power).sum())
    return total
