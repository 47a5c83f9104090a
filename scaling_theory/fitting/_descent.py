"""Many fits downhill at once: Levenberg-Marquardt steps for squared or Huber errors, in bounds.

:func:`cost` says how far residuals are from 0; :func:`descend` moves each of many parameter rows
to its own minimum.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from scaling_theory._validate import Floats

_FLATTEST = 1e-12  # least damping


class Model(Protocol):
    """What can be fitted: values at points for any of three parameters, and their derivatives."""

    @property
    def z(self) -> Floats:
        """The points, (m,)."""

    @property
    def huber(self) -> float | Floats | None:
        """Size of a residual (each, or all) from which it counts by its size; None squares all."""

    @property
    def rounding(self) -> float:
        """Cost below which the points are met up to floating-point rounding."""

    def predict(self, theta: Floats) -> Floats:
        """Values at the points (..., m) for parameters (..., 3)."""

    def jacobian(self, theta: Floats) -> tuple[Floats, Floats]:
        """Values (..., m) and derivatives by theta (..., m, 3)."""


def cost(residuals: Floats, huber: float | Floats | None) -> Floats:
    """Sum of squares of the residuals (..., m), or twice their sum of Huber losses: (...).

    Huber's loss of r is r^2/2 up to |r| = huber, and huber (|r| - huber/2) beyond (Huber, Annals of
    Mathematical Statistics 35, 73, 1964). Twice it is the square wherever |r| <= huber.
    """
    if huber is None:
        total: Floats = np.einsum("...i,...i->...", residuals, residuals)
        return total
    size = np.abs(residuals)
    inner = np.minimum(size, huber)
    linear: Floats = np.einsum("...i,...i->...", inner, 2.0 * size - inner)
    return linear


def descend(
    model: Model,
    theta: Floats,
    free: tuple[int, ...],
    low: Floats,
    high: Floats,
    z: Floats | None = None,
    steps: int = 60,
    tolerance: float = 1e-11,
) -> tuple[Floats, Floats]:
    """Take each row of parameters to a local minimum by damped Newton steps inside bounds.

    The curvature is that of Gauss and Newton. With Huber errors it is between that of the
    residuals below ``huber`` alone (Newton, fast near the minimum) and that of iteratively
    reweighted squares (a majorant, good from afar): the damping moves from one to the other.

    Parameters
    ----------
    theta : (r, 3) floats
        Where to start.
    free : tuple of int
        Columns of theta that may move.
    low, high : (3,) or (r, 3) floats
        Bounds. A parameter on its bound that would leave it is held for that step.
    z : (m,) or (r, m) floats, optional
        Other points than the model's own.
    tolerance : float
        A row is done when a step changes its cost by no more than this part of it.

    Returns
    -------
    theta : (r, 3) floats
    cost : (r,) floats
        Never above that of the start (moved inside the bounds).
    """
    low, high = np.broadcast_to(low, theta.shape), np.broadcast_to(high, theta.shape)
    theta = np.clip(theta, low, high)
    rows = theta.shape[0]
    z = model.z if z is None else z
    z = np.broadcast_to(z, (rows, z.shape[-1]))
    fixed = np.array([column not in free for column in range(3)])
    total = cost(z - model.predict(theta), model.huber)
    damping = np.full(rows, 1e-3)
    active = np.flatnonzero(total > 1e-6 * model.rounding)
    for _ in range(steps):
        if active.size == 0:
            break
        here, lower, upper = theta[active], low[active], high[active]
        value, slopes = model.jacobian(here)
        pull, curvature, damped = _newton(slopes, z[active] - value, damping[active], model.huber)
        held = fixed | ((here <= lower) & (pull < 0.0)) | ((here >= upper) & (pull > 0.0))
        trial = here + _step(curvature, pull, damped, held)
        outside = ((trial < lower) | (trial > upper)) & ~held
        if outside.any():  # stop these at the bound and let the others follow
            move = np.where(outside, np.where(trial < lower, lower, upper) - here, 0.0)
            rest = pull - np.einsum("rij,rj->ri", curvature, move)
            trial = here + move + _step(curvature, rest, damped, held | outside)
            trial = np.clip(trial, lower, upper)
        reached = cost(z[active] - model.predict(trial), model.huber)
        gain = total[active] - reached
        better = gain > 0.0
        stuck = np.abs(gain) <= tolerance * total[active]
        theta[active[better]] = trial[better]
        total[active[better]] = reached[better]
        damping[active] *= np.where(better, 0.1, 8.0)
        damping[active] = np.maximum(damping[active], _FLATTEST)
        done = stuck | (damping[active] > 1e8) | (total[active] <= 1e-6 * model.rounding)
        active = active[~done]
    return theta, total


def _newton(
    slopes: Floats, errors: Floats, damping: Floats, huber: float | Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return the downhill force (r, 3), the curvature (r, 3, 3) and the damping of a step (r,)."""
    if huber is None:
        pull = np.einsum("rmi,rm->ri", slopes, errors)
        return pull, np.einsum("rmi,rmj->rij", slopes, slopes), damping
    weight = np.minimum(huber / np.maximum(np.abs(errors), 1e-300), 1.0)
    pull = np.einsum("rmi,rm->ri", slopes, errors * weight)
    mix = np.minimum(np.sqrt(damping), 1.0)[:, None]
    newton = np.where(weight == 1.0, 1.0, mix * weight)
    curvature = np.einsum("rmi,rmj->rij", slopes * newton[..., None], slopes)
    # damped by the diagonal of the majorant: the residuals below huber may be too few for a step
    diagonal = np.einsum("rmi,rm->ri", slopes**2, weight)
    curvature[:, range(3), range(3)] += damping[:, None] * diagonal
    return pull, curvature, np.zeros_like(damping)


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
