"""The law scale * n^-exponent + floor as a problem of least squares or least Huber errors.

A law is a row ``theta`` of three numbers: the log of the power term at t = 0, the exponent, and
the floor. :class:`Problem` says how far laws are from points; :func:`surface` spreads laws over
all shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting._descent import cost

#: Columns of ``theta``.
AMPLITUDE, EXPONENT, FLOOR = 0, 1, 2

_EPS = float(np.finfo(np.float64).eps)
_HUGE = 300.0  # a cap on logarithms, so that no square overflows


@dataclass(frozen=True)
class Problem:
    """Points, their weights and what is held fixed.

    Parameters
    ----------
    t : (m,) floats
        log n, up to a constant: the law's power term is exp(theta[0] - exponent * t).
    y : (m,) floats
        Losses over their geometric mean.
    root_weight : (m,) floats or None
        Square roots of the weights; None measures distance in log-loss.
    floor : float or None
        The floor, in units of y, where it is held; None leaves it free.
    roof : float
        The highest value of a free floor, in units of y.
    huber : float or None
        Residuals of log-loss beyond this size count by their size; None squares all.
    """

    t: Floats
    y: Floats
    root_weight: Floats | None
    floor: float | None
    roof: float
    huber: float | None = None

    @cached_property
    def z(self) -> Floats:
        """The points as the objective sees them, (m,)."""
        return self.targets(self.y)

    @property
    def parameters(self) -> int:
        """How many parameters the data choose."""
        return 3 if self.floor is None else 2

    @cached_property
    def rounding(self) -> float:
        """Sum of squares below which a law meets the points up to floating-point rounding."""
        size = np.ones_like(self.y) if self.root_weight is None else self.root_weight * self.y
        return float(np.sum((64.0 * _EPS * size) ** 2))

    @cached_property
    def exponents(self) -> tuple[float, float]:
        """Bounds of the exponent.

        At a bound the power term is down to rounding at all points but the first (or, for
        negative exponents, the last): whatever lies beyond is the same law on these points.
        """
        t = np.unique(self.t)
        steepest = -np.log(_EPS)
        high = float(steepest / (t[1] - t[0]))
        return (0.0, high) if self.floor is None else (float(-steepest / (t[-1] - t[-2])), high)

    def targets(self, y: Floats) -> Floats:
        """Losses as the objective sees them: their logarithms, or times the root weights."""
        return np.log(y) if self.root_weight is None else self.root_weight * y

    def predict(self, theta: Floats) -> Floats:
        """Laws (..., 3) as the objective sees them at the points, (..., m)."""
        power = theta[..., :1] - theta[..., 1:2] * self.t
        if self.root_weight is None:
            return np.logaddexp(power, _log(theta[..., 2:]))
        return self.root_weight * (np.exp(np.minimum(power, _HUGE)) + theta[..., 2:])

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return :meth:`predict` (..., m) and its derivatives by theta (..., m, 3)."""
        power = theta[..., :1] - theta[..., 1:2] * self.t
        slopes = np.empty((*power.shape, 3))
        if self.root_weight is None:
            value = np.logaddexp(power, _log(theta[..., 2:]))
            slopes[..., 0] = np.exp(power - value)
            slopes[..., 2] = np.exp(np.minimum(-value, _HUGE / 2))
        else:
            term = np.exp(np.minimum(power, _HUGE))
            value = self.root_weight * (term + theta[..., 2:])
            slopes[..., 0] = self.root_weight * term
            slopes[..., 2] = self.root_weight
        slopes[..., 1] = -self.t * slopes[..., 0]
        return value, slopes

    def cost(self, theta: Floats) -> Floats:
        """Sum of squared residuals of the laws (..., 3), or twice that of Huber losses: (...)."""
        return cost(self.z - self.predict(theta), self.huber)

    def levelled(self, exponent: Floats, floor: Floats) -> Floats:
        """Complete shapes to laws (..., 3) by the amplitude that suits them best.

        The amplitude is exact where it is a linear parameter: log amplitude in log-loss
        without a floor, amplitude in loss. With a floor in log-loss it is a few Gauss-Newton
        steps from the regression of log(y - floor). For Huber errors it starts from medians
        instead, which outliers do not move, and the steps are reweighted.
        """
        exponent, floor = np.broadcast_arrays(exponent, floor)
        power = -exponent[..., None] * self.t
        top = power.max(axis=-1, keepdims=True)
        if self.root_weight is None:
            excess = np.log(np.maximum(self.y - floor[..., None], 1e-6 * self.y))
            centre = np.mean if self.huber is None else np.median
            level = centre(excess - power, axis=-1, keepdims=True)
            log_floor = _log(floor[..., None])
            for _ in range(3):
                value = np.logaddexp(level + power, log_floor)
                share = np.exp(level + power - value)
                errors = self.z - value
                weight: Floats | float = 1.0
                if self.huber is not None:
                    weight = self.huber / np.maximum(np.abs(errors), self.huber)
                curvature = np.maximum(np.sum(weight * share**2, axis=-1), 1e-280)
                step = np.sum(weight * errors * share, axis=-1) / curvature
                level = level + np.clip(step, -5.0, 5.0)[..., None]
            level = level[..., 0]
        else:
            basis = self.root_weight * np.exp(power - top)
            above = self.root_weight * (self.y - floor[..., None])
            best = np.sum(basis * above, axis=-1) / np.sum(basis**2, axis=-1)
            level = np.log(np.maximum(best, 1e-6)) - top[..., 0]
        return np.stack([level, exponent, floor], axis=-1)


def exponent_grid(problem: Problem) -> Floats:
    """Exponents from 0 and too flat to matter to the bounds, evenly in the logarithm."""
    t = np.unique(problem.t)
    low, high = problem.exponents
    flat = 0.02 / (t[-1] - t[0])
    falling = np.geomspace(flat, high, 40)
    if low == 0.0:
        return np.append(0.0, falling)
    return np.concatenate([-np.geomspace(flat, -low, 40)[::-1], [0.0], falling])


def floor_grid(problem: Problem) -> Floats:
    """Floors from 0 to just below the smallest loss, denser towards it; or the held one.

    Under a roof above the smallest loss, also some floors among the losses.
    """
    if problem.floor is not None:
        return np.array([problem.floor])
    short = np.array([1.0, 0.8, 0.6, 0.4, 0.25, 0.15, 0.08, 0.04, 0.02, 0.01, 3e-3, 1e-3])
    smallest = float(problem.y.min())
    floors = (1.0 - short) * smallest
    if problem.roof > smallest:
        floors = np.append(floors, np.quantile(problem.y, [0.1, 0.25, 0.4, 0.6]))
    return floors


def surface(problem: Problem) -> Floats:
    """Laws over a coarse grid of all shapes, each at its best amplitude: (exponents, floors, 3)."""
    return problem.levelled(exponent_grid(problem)[:, None], floor_grid(problem)[None, :])


def bounds(problem: Problem) -> tuple[Floats, Floats]:
    """Lower and upper bounds of theta, (3,) each."""
    low, high = problem.exponents
    bottom, top = (0.0, problem.roof) if problem.floor is None else (problem.floor,) * 2
    return np.array([-np.inf, low, bottom]), np.array([np.inf, high, top])


def _log(values: Floats) -> Floats:
    """Logarithm with log 0 = -inf, silently."""
    with np.errstate(divide="ignore"):
        return np.log(values)
