"""Sums over the latents of one feature, for every level set at once.

With u_n = (m(n)/m(1))^(1/(1+alpha)) a level set holds the ranks up to X u_n at each n. The sum of
u_n over all n is the S of the closed forms; where it diverges it is continued analytically, and its
pole, 1/(1/gamma - 1) in units of (a beta / m(1))^(1/(1+alpha)), can be left out. Derived here.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import numpy as np

from scaling_theory._sums import power_sum_after, regular_power_sum_after, relative_expm1
from scaling_theory._validate import Floats
from scaling_theory.curves import ExponentialCurve, LossCurve

#: Gains summed one by one before the power tail takes over.
_DIRECT = 100_000
#: More terms of a curve without a power tail are not summed.
_MOST_TERMS = 10**8
#: Sums of n^-s with a larger s have no need of the pole at 1.
_STEEP = 4.0
#: Entries of the table of partial sums, and nodes of the integral beyond it.
_TABLE = 4096
_LONG_TABLE = 1_000_000
_NODES = 96


def level_set_sum(curve: LossCurve, alpha: float) -> float:
    """S = sum_n (m(n)/m(1))^(1/(1+alpha)), continued analytically where it diverges.

    For beta > alpha it is the number of latents per discovered feature in the limit; at
    beta = alpha it is infinite.
    """
    beta = float(curve.tail_exponent)
    first = float(curve.envelope_gain(np.ones(1))[0])
    power = 1.0 / (1.0 + alpha)
    if curve.power_tail is not None and (1.0 + beta) * power > _STEEP:
        # Without the pole: the sum would be lost beside it.
        scale, _, shift = curve.power_tail
        upto = max(_DIRECT, curve.tail_from)
        rest = power_sum_after(np.array([float(upto)]), (1.0 + beta) * power, shift - 0.5, None)
        tail = math.exp(power * math.log(scale * beta / first)) * float(rest[0])
        return _gain_sum(curve, power, upto, first) + tail
    regular = regular_level_sum(curve, alpha)
    if curve.power_tail is None:
        return regular
    if alpha == beta:
        return math.inf
    pole = (1.0 + alpha) / (beta - alpha)  # -1 / (1/gamma - 1)
    unit = float((curve.power_tail[0] * beta / first) ** power)
    return (regular + pole) * unit


def regular_level_sum(curve: LossCurve, alpha: float) -> float:
    """Sum of u_n in units of (a beta / m(1))^(1/(1+alpha)), without the pole of a power tail.

    Without a power tail it is the sum itself.
    """
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


@final
class StretchSums:
    """Sums over a stretch of latents on a tail of ranks that ends at B, perhaps at infinity.

    With y_n = Y u_n the rank up to which an n-th latent is worth the price, and t(y) =
    (y^-alpha - B^-alpha)/alpha: sums of y_n and of m(n) t(y_n), for any alpha above -1.

    Parameters
    ----------
    curve
        Shared curve that falls somewhere; where it is not convex, its envelope counts.
    alpha
        Exponent of the frequencies; greater than 0 if B is infinite.
    log_end
        Logarithm of B.
    """

    def __init__(self, curve: LossCurve, alpha: float, log_end: float) -> None:
        self._curve = curve
        self._alpha = alpha
        self._log_end = log_end
        self._first = float(curve.envelope_gain(np.ones(1))[0])

    def between(self, after: Floats, upto: Floats, log_y: Floats) -> tuple[Floats, Floats]:
        """Both sums over after < n <= upto, whole numbers within the curve's fall.

        Parameters
        ----------
        after, upto, log_y
            Shape (k,) each; log_y is ln Y.
        """
        last = float(self._gain.size)
        low, high = (np.minimum(n, last).astype(np.int64) for n in (after, upto))
        if math.isinf(self._log_end):
            y = np.exp(log_y) * (self._u_from[low] - self._u_from[high])
            lacking = self._endless(log_y, y)
        else:
            y, lacking = np.empty(log_y.shape), np.empty(log_y.shape)
            for k, cut in enumerate(map(slice, low.tolist(), high.tolist())):
                at = log_y[k] + self._log_u[cut]
                y[k] = np.exp(at).sum()
                lacking[k] = (self._gain[cut] * self._mass(at)).sum()
        far = np.flatnonzero(upto > np.maximum(after, last))
        if far.size:
            more = self._beyond(np.maximum(after[far], last), upto[far], log_y[far])
            y[far] += more[0]
            lacking[far] += more[1]
        return y, lacking

    def _endless(self, log_y: Floats, y: Floats) -> Floats:
        """Sum of m t from the sum of y: m(n) y_n^-alpha = m(1) Y^-(1+alpha) y_n."""
        price = self._first * np.exp(-(1.0 + self._alpha) * log_y)
        return np.asarray(price * y / self._alpha)

    def _mass(self, log_y: Floats) -> Floats:
        """t(y) for finite B, without a pole at alpha = 0."""
        x = self._log_end - log_y
        scale = math.exp(-self._alpha * self._log_end)
        return np.asarray(scale * x * relative_expm1(self._alpha * x))

    def _logs(self, gain: Floats) -> Floats:
        return np.asarray(np.log(np.maximum(gain / self._first, 1e-300)) / (1.0 + self._alpha))

    @cached_property
    def _gain(self) -> Floats:
        """Gains of the first latents; of all, if they end soon."""
        curve, size = self._curve, max(_TABLE, self._curve.tail_from)
        if curve.power_tail is None:
            gone = np.array([self._first * 1e-300])
            size = max(size, min(int(curve.count_at(np.ones(1), 1.0, gain=gone)[0]), _LONG_TABLE))
        gain = curve.envelope_gain(np.arange(1.0, size + 1.0))
        return gain[gain > 0.0]

    @cached_property
    def _log_u(self) -> Floats:
        return self._logs(self._gain)

    @cached_property
    def _u_from(self) -> Floats:
        """Sum of u over the table's n > 0, 1, 2, ...: small terms first."""
        return np.append(np.cumsum(np.exp(self._log_u)[::-1])[::-1], 0.0)

    def _beyond(self, after: Floats, upto: Floats, log_y: Floats) -> tuple[Floats, Floats]:
        """Sums beyond the table, as integrals between midpoints on a logarithmic axis.

        The midpoint rule leaves s (s-1)/(24 n^2) of a sum over n^-s, s = (1+beta)/(1+alpha), with
        n the length of the table; (rate/(1+alpha))^2/24 for an exponential longer than that.
        """
        span = np.log((upto + 0.5) / (after + 0.5))[:, None]
        t, weight = _gauss_legendre(_NODES)
        x = (after + 0.5)[:, None] * np.exp(span * t)
        gain = self._curve.envelope_gain(np.minimum(x, upto[:, None]).ravel()).reshape(x.shape)
        scale = span * weight * x
        at = log_y[:, None] + self._logs(gain)
        y = (np.exp(at) * scale).sum(axis=1)
        if math.isinf(self._log_end):
            return y, self._endless(log_y, y)
        return y, np.asarray((gain * self._mass(at) * scale).sum(axis=1))


def _gauss_legendre(nodes: int) -> tuple[Floats, Floats]:
    t, weight = np.polynomial.legendre.leggauss(nodes)
    return 0.5 * (t + 1.0), 0.5 * weight
