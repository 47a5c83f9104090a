"""The law scale * n^-exponent + floor as a least-squares problem, solved for many data at once.

A law is a row ``theta`` of three numbers: the log of the power term at t = 0, the exponent, and
the floor. :class:`Problem` says how far laws are from points; :func:`surface` spreads laws over
all shapes; :func:`descend` moves each of many laws downhill to its own minimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scaling_theory._validate import Floats

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
    """

    t: Floats
    y: Floats
    root_weight: Floats | None
    floor: float | None
    roof: float

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

    def sse(self, theta: Floats, z: Floats | None = None) -> Floats:
        """Sum of squared residuals of the laws (..., 3): (...)."""
        residuals = (self.z if z is None else z) - self.predict(theta)
        total: Floats = np.einsum("...i,...i->...", residuals, residuals)
        return total

    def levelled(self, exponent: Floats, floor: Floats) -> Floats:
        """Complete shapes to laws (..., 3) by the amplitude that suits them best.

        The amplitude is exact where it is a linear parameter: log amplitude in log-loss
        without a floor, amplitude in loss. With a floor in log-loss it is a few Gauss-Newton
        steps from the regression of log(y - floor).
        """
        exponent, floor = np.broadcast_arrays(exponent, floor)
        power = -exponent[..., None] * self.t
        top = power.max(axis=-1, keepdims=True)
        if self.root_weight is None:
            excess = np.log(np.maximum(self.y - floor[..., None], 1e-6 * self.y))
            level = np.mean(excess - power, axis=-1, keepdims=True)
            log_floor = _log(floor[..., None])
            for _ in range(3):
                value = np.logaddexp(level + power, log_floor)
                share = np.exp(level + power - value)
                curvature = np.maximum(np.sum(share**2, axis=-1), 1e-280)
                step = np.sum((self.z - value) * share, axis=-1) / curvature
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


def descend(
    problem: Problem,
    theta: Floats,
    free: tuple[int, ...],
    low: Floats,
    high: Floats,
    z: Floats | None = None,
    steps: int = 60,
) -> tuple[Floats, Floats]:
    """Take each law to a local minimum by Levenberg-Marquardt steps inside bounds.

    Parameters
    ----------
    theta : (r, 3) floats
        Where to start.
    free : tuple of int
        Columns of theta that may move.
    low, high : (3,) or (r, 3) floats
        Bounds. A parameter on its bound that would leave it is held for that step.
    z : (m,) or (r, m) floats, optional
        Other points than the problem's own, as the objective sees them.

    Returns
    -------
    theta : (r, 3) floats
    sse : (r,) floats
        Never above that of the start (moved inside the bounds).
    """
    low, high = np.broadcast_to(low, theta.shape), np.broadcast_to(high, theta.shape)
    theta = np.clip(theta, low, high)
    rows = theta.shape[0]
    z = np.broadcast_to(problem.z if z is None else z, (rows, problem.t.size))
    fixed = np.array([column not in free for column in range(3)])
    sse = problem.sse(theta, z)
    damping = np.full(rows, 1e-3)
    active = np.flatnonzero(sse > 1e-6 * problem.rounding)
    for _ in range(steps):
        if active.size == 0:
            break
        here, lower, upper = theta[active], low[active], high[active]
        value, slopes = problem.jacobian(here)
        pull = np.einsum("rmi,rm->ri", slopes, z[active] - value)
        curvature = np.einsum("rmi,rmj->rij", slopes, slopes)
        held = fixed | ((here <= lower) & (pull < 0.0)) | ((here >= upper) & (pull > 0.0))
        trial = here + _step(curvature, pull, damping[active], held)
        outside = ((trial < lower) | (trial > upper)) & ~held
        if outside.any():  # stop these at the bound and let the others follow
            move = np.where(outside, np.where(trial < lower, lower, upper) - here, 0.0)
            rest = pull - np.einsum("rij,rj->ri", curvature, move)
            trial = here + move + _step(curvature, rest, damping[active], held | outside)
            trial = np.clip(trial, lower, upper)
        reached = problem.sse(trial, z[active])
        gain = sse[active] - reached
        better = gain > 0.0
        stuck = np.abs(gain) <= 1e-11 * sse[active]
        theta[active[better]] = trial[better]
        sse[active[better]] = reached[better]
        damping[active] *= np.where(better, 0.1, 8.0)
        damping[active] = np.maximum(damping[active], 1e-12)
        done = stuck | (damping[active] > 1e8) | (sse[active] <= 1e-6 * problem.rounding)
        active = active[~done]
    return theta, sse


def _step(curvature: Floats, pull: Floats, damping: Floats, held: npt.NDArray[np.bool_]) -> Floats:
    """Solve the damped normal equations (r, 3, 3) for the parameters that are not held.

    Written out (scale to unit diagonal, then L D L^T), which for many 3 x 3 systems is several
    times faster than a call to LAPACK for each, and cannot meet an exactly singular one.
    """
    diagonal = np.maximum(np.einsum("rii->ri", curvature), 1e-280)
    scale = np.where(held, 0.0, 1.0 / np.sqrt(diagonal))
    d = 1.0 + damping
    c01 = curvature[:, 0, 1] * scale[:, 0] * scale[:, 1]
    c02 = curvature[:, 0, 2] * scale[:, 0] * scale[:, 2]
    c12 = curvature[:, 1, 2] * scale[:, 1] * scale[:, 2]
    g0, g1, g2 = (pull * scale).T
    l10, l20 = c01 / d, c02 / d
    d1 = np.maximum(d - l10 * c01, 1e-14)
    l21 = (c12 - l20 * c01) / d1
    d2 = np.maximum(d - l20 * c02 - l21**2 * d1, 1e-14)
    g1 = g1 - l10 * g0
    g2 = g2 - l20 * g0 - l21 * g1
    x2 = g2 / d2
    x1 = g1 / d1 - l21 * x2
    x0 = g0 / d - l10 * x1 - l20 * x2
    return np.stack([x0, x1, x2], axis=1) * scale


def _log(values: Floats) -> Floats:
    """Logarithm with log 0 = -inf, silently."""
    with np.errstate(divide="ignore"):
        return np.log(values)
