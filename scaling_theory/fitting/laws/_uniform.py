"""The theory's uniform law at many (alpha, beta) at once.

The same closed form as ``theory/laws/uniform.py`` with frequencies that sum to 1 and curves
(1+n)^-beta, which see; there it holds any curve and one (alpha, beta), here one curve and arrays,
as fits need. The tests hold the two equal. Sums over latents and ranks are direct up to 32, and
beyond by the midpoint Euler-Maclaurin formula (NIST DLMF 2.10.1 with 24.4.27).
"""

from __future__ import annotations

import numpy as np

from scaling_theory._sums import relative_expm1
from scaling_theory._validate import Floats

_DIRECT = 32
_ROUNDS = 60
_STEP = 1e-5


def log_excess(alpha: Floats, beta: Floats, log_n: Floats) -> tuple[Floats, Floats]:
    """Return the logarithm of the excess loss and its slope in ln N, (r, m) each.

    Parameters
    ----------
    alpha, beta : (r,) floats
        Greater than 0.
    log_n : (m,) floats
        Logarithms of N; nan where N is too small for the law.
    """
    log_e, slope, _ = _solve(alpha, beta, log_n)
    return log_e, slope


def log_excess_slopes(alpha: Floats, beta: Floats, log_n: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ln excess (r, m), and its derivatives by ln alpha and ln beta at fixed N.

    With u = ln D as parameter and dE = -price dN, dE at fixed N is the change of E + price N at
    fixed u: central differences of the closed form, without solving it again.
    """
    log_e, slope, u = _solve(alpha, beta, log_n)
    by = []
    for up_a, up_b in ((_STEP, 0.0), (0.0, _STEP)):
        laws = [
            _Law(alpha * np.exp(sign * up_a), beta * np.exp(sign * up_b)) for sign in (1.0, -1.0)
        ]
        (n_up, e_up), (n_down, e_down) = (
            (law.count(u)[0], law.log_price(u) + np.log(law.per_price(u))) for law in laws
        )
        # price N / E = -slope
        by.append((e_up - e_down - slope * (n_up - n_down) * np.exp(-log_n)) / (2.0 * _STEP))
    return log_e, by[0], by[1]


def _solve(alpha: Floats, beta: Floats, log_n: Floats) -> tuple[Floats, Floats, Floats]:
    """Return ln excess, its slope, and u at N, (r, m) each."""
    law = _Law(alpha, beta)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # about where the larger of the two terms alone would be N
        u = log_n / np.maximum(1.0, 1.0 + law.eps) - law.log_unit
        for _ in range(_ROUNDS):
            count, slope = law.count(u)
            move = np.clip((np.log(count) - log_n) * count / slope, -2.0, 2.0)
            u = u - move
            if not (np.abs(move) > 1e-12 * np.maximum(np.abs(u), 1.0)).any():
                break
        per_price = law.per_price(u)
        return law.log_price(u) + np.log(per_price), -np.exp(log_n) / per_price, u


class _Law:
    """N, the price and E / price at u = ln D, for rows of (alpha, beta)."""

    def __init__(self, alpha: Floats, beta: Floats) -> None:
        from scipy.special import zeta

        self.a, self.b = a, b = alpha[:, None], beta[:, None]
        self.eps = (a - b) / (1.0 + b)  # gamma - 1
        log_first = np.log(-np.expm1(-b * np.log(2.0)))
        self.log_top = log_first - np.log(zeta(1.0 + a))
        self.log_unit = (np.log(b) - log_first) / (1.0 + a)
        self.level, self.rank = _level_sum(a, b), _regular_sum(self.eps)
        self.rest = _relative_log1p(self.eps)
        self.tilt = -(1.0 + b) / a * _relative_log1p(-self.eps * (1.0 + b) / a)

    def count(self, u: Floats) -> tuple[Floats, Floats]:
        """N and dN/du."""
        log_a = u + self.log_unit
        found = self.level * np.exp(log_a)
        kappa = np.exp((1.0 + self.eps) * log_a)
        x = -self.eps * (log_a - self.rest)
        tiled = kappa * (self.rank + (log_a - self.rest) * relative_expm1(x))
        return found + tiled + 0.5, found + (1.0 + self.eps) * tiled + kappa * np.exp(x)

    def log_price(self, u: Floats) -> Floats:
        """Logarithm of the price."""
        return np.asarray(self.log_top - (1.0 + self.a) * u)

    def per_price(self, u: Floats) -> Floats:
        """Excess loss over the price."""
        log_a = u + self.log_unit
        span = log_a - self.rest - self.tilt
        tiled = self.rank + span * relative_expm1(-self.eps * span)
        kappa = np.exp((1.0 + self.eps) * log_a)
        return np.asarray(self.level / self.a * np.exp(log_a) + kappa / self.b * tiled)


def _level_sum(a: Floats, b: Floats) -> Floats:
    """Sum of (m(n)/beta)^(1/(1+alpha)) over n without its pole, (r, 1)."""
    power = 1.0 / (1.0 + a)
    x = np.arange(1.0, _DIRECT + 1.0)
    log_gain = -b * np.log(x) + np.log(-np.expm1(-b * np.log1p(1.0 / x)) / b)
    direct = np.exp(power * log_gain).sum(axis=1, keepdims=True)
    # m = beta y^-(1+beta) (1 + c2/y^2 + c4/y^4) at midpoints y = n + 1/2
    c2 = (1.0 + b) * (2.0 + b) / 24.0
    c4 = c2 * (3.0 + b) * (4.0 + b) / 80.0
    s = (1.0 + b) * power
    second, fourth = power * c2, power * c4 + 0.5 * power * (power - 1.0) * c2**2
    low = np.full_like(a, _DIRECT + 1.0)
    return np.asarray(
        direct
        + _regular_tail(s - 1.0, low)
        + second * _tail(s + 2.0, low)
        + fourth * _tail(s + 4.0, low)
    )


def _regular_sum(excess: Floats) -> Floats:
    """Sum of i^-(1+excess) over i >= 1 without its pole 1/excess."""
    i = np.arange(1.0, _DIRECT + 1.0)
    direct = np.exp(-(1.0 + excess) * np.log(i)).sum(axis=1, keepdims=True)
    return np.asarray(direct + _regular_tail(excess, np.full_like(excess, _DIRECT + 0.5)))


def _regular_tail(excess: Floats, low: Floats) -> Floats:
    span = np.log(low)
    s = 1.0 + excess
    return np.asarray(-span * relative_expm1(-excess * span) - _corrections(s, low))


def _tail(s: Floats, low: Floats) -> Floats:
    """Sum of y^-s over the midpoints' lattice y = low + 1/2, low + 3/2, ..., for s > 1."""
    return np.asarray(low ** (1.0 - s) / (s - 1.0) - _corrections(s, low))


def _corrections(s: Floats, x: Floats) -> Floats:
    """Midpoint rule: the integral from x less the sum, of y^-s."""
    first = s / x
    third = first * (s + 1.0) * (s + 2.0) / x**2
    fifth = third * (s + 3.0) * (s + 4.0) / x**2
    terms = first / 24.0 - 7.0 * third / 5760.0 + 31.0 * fifth / 967680.0
    return np.asarray(x**-s * terms)


def _relative_log1p(x: Floats) -> Floats:
    safe = np.where(x == 0.0, 1.0, x)
    return np.asarray(np.where(x == 0.0, 1.0, np.log1p(safe) / safe))
