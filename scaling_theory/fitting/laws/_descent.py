"""Downhill from many starts at once, and the last digits of the best.

:func:`descend` is Levenberg and Marquardt's method inside bounds for a batch of laws;
:func:`optimum` takes all starts down, also with the floor on its bounds, and polishes the lowest.
Huber's objective is treated by the same steps with weights psi(r)/r (iteratively reweighted least
squares; Holland and Welsch, Communications in Statistics A6, 813, 1977), which seldom overshoot but
converge slowly, and with psi'(r), whichever is lower; the polish adds a quasi-Newton search.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._problem import Problem

Bools = npt.NDArray[np.bool_]

_KEPT, _FIRST = 40, 15  # starts that are taken downhill, and for how many steps
_LAST = 12  # how many of them go on


def descend(
    problem: Problem,
    theta: Floats,
    held: Bools | None = None,
    low: Floats | None = None,
    high: Floats | None = None,
    z: Floats | None = None,
    steps: int = 60,
    tolerance: float = 1e-11,
    enough: float = 0.0,
) -> tuple[Floats, Floats]:
    """Take each law to a local minimum inside bounds.

    Parameters
    ----------
    theta : (r, p) floats
        Where to start; moved inside the bounds first.
    held : (p,) bools, optional
        Columns that may not move.
    low, high : (p,) or (r, p) floats, optional
        Bounds, if not the problem's own.
    z : (r, m) floats, optional
        Other points than the problem's own, as the objective sees them.
    steps, tolerance
        Most steps of each law, and the relative gain of a step that ends it.
    enough
        An objective that needs no further descent.

    Returns
    -------
    theta : (r, p) floats
    objective : (r,) floats
        Never above that of the start.
    """
    low = np.broadcast_to(problem.low if low is None else low, theta.shape)
    high = np.broadcast_to(problem.high if high is None else high, theta.shape)
    theta = np.clip(theta, low, high)
    rows, p = theta.shape
    fixed = np.zeros(p, dtype=bool) if held is None else held
    z = np.broadcast_to(problem.z if z is None else z, (rows, problem.y.size))
    value = problem.objective(theta, z)
    damping = np.full(rows, 1e-3)
    enough = max(enough, 1e-6 * problem.rounding)
    active = np.flatnonzero((value > enough) & np.isfinite(value))
    for _ in range(steps):
        if active.size == 0:
            break
        here, lower, upper = theta[active], low[active], high[active]
        with np.errstate(over="ignore", invalid="ignore"):
            pull, curvatures = _normal(problem, here, z[active])
        stop = fixed | ((here <= lower) & (pull < 0.0)) | ((here >= upper) & (pull > 0.0))
        trial, reached = here, np.full(active.size, np.inf)
        for curvature in curvatures:
            there = _inside(here, pull, curvature, damping[active], stop, lower, upper)
            value_there = problem.objective(there, z[active])
            lower_still = value_there < reached
            trial = np.where(lower_still[:, None], there, trial)
            reached = np.where(lower_still, value_there, reached)
        gain = value[active] - reached
        better = gain > 0.0
        stuck = np.abs(gain) <= tolerance * value[active]
        theta[active[better]] = trial[better]
        value[active[better]] = reached[better]
        damping[active] = np.maximum(damping[active] * np.where(better, 0.1, 8.0), 1e-12)
        active = active[~(stuck | (damping[active] > 1e8) | (value[active] <= enough))]
    return theta, value


def _inside(
    here: Floats,
    pull: Floats,
    curvature: Floats,
    damping: Floats,
    stop: Bools,
    lower: Floats,
    upper: Floats,
) -> Floats:
    """Take one step; what would leave its bounds stops there, and the others follow."""
    trial = here + _step(curvature, pull, damping, stop)
    outside = ((trial < lower) | (trial > upper)) & ~stop
    if not outside.any():
        return trial
    move = np.where(outside, np.where(trial < lower, lower, upper) - here, 0.0)
    rest = pull - np.einsum("rij,rj->ri", curvature, move)
    trial = here + move + _step(curvature, rest, damping, stop | outside)
    return np.clip(trial, lower, upper)


def _normal(problem: Problem, theta: Floats, z: Floats) -> tuple[Floats, list[Floats]]:
    """Return minus the gradient (r, p) and the curvatures (r, p, p) to try.

    For squares that is Gauss and Newton's. Huber's objective is not quadratic: psi(r)/r is safe
    from afar, psi' is quick once it is settled which residuals are beyond delta.
    """
    value, slopes = problem.jacobian(theta)
    residuals = z - value
    slopes = np.where(np.isfinite(slopes), slopes, 0.0)
    if np.isinf(problem.huber):
        pull = np.einsum("rmi,rm->ri", slopes, residuals)
        return pull, [np.matmul(slopes.transpose(0, 2, 1), slopes)]
    pull = np.einsum("rmi,rm->ri", slopes, problem.influence(residuals))
    size = np.abs(residuals)
    weight = problem.huber / np.maximum(size, problem.huber)
    inner = np.where(size <= problem.huber, 1.0, 1e-3 * weight)
    turned = slopes.transpose(0, 2, 1)
    return pull, [np.matmul(turned, each[..., None] * slopes) for each in (weight, inner)]


def _step(curvature: Floats, pull: Floats, damping: Floats, stop: Bools) -> Floats:
    """Solve the damped normal equations for what may move, each column scaled to unit size."""
    diagonal = np.maximum(np.einsum("rii->ri", curvature), 1e-280)
    scale = np.where(stop, 0.0, 1.0 / np.sqrt(diagonal))
    system = curvature * scale[:, :, None] * scale[:, None, :]
    p = pull.shape[1]
    # 1e-14 keeps an exactly singular system solvable; damping makes the step safe
    system[:, range(p), range(p)] = 1.0 + (damping[:, None] + 1e-14)
    step = np.linalg.solve(system, (pull * scale)[..., None])[..., 0] * scale
    return np.asarray(np.nan_to_num(step, nan=0.0, posinf=0.0, neginf=0.0))


def optimum(problem: Problem, starts: Floats) -> tuple[Floats, float, Floats]:
    """Return the best law (p,), its objective, and the local minima found, (r, p).

    Parameters
    ----------
    starts : (s, p) floats
        Laws spread over all shapes. The best of them are taken downhill; with a floor, also with
        the floor on its lower and upper bound. A floor of exactly 0 wins ties to rounding.
    """
    starts = np.clip(starts, problem.low, problem.high)
    order = np.argsort(problem.objective(starts), kind="stable")[:_KEPT]
    starts = starts[order]
    found = []
    if problem.floored:
        held = np.arange(problem.parameters) == problem.parameters - 1
        for bound in (problem.low[-1], problem.high[-1]):
            on_bound = starts.copy()
            on_bound[:, -1] = bound
            found.append(_downhill(problem, on_bound, held))
    found.append(_downhill(problem, starts, None))
    best = [(float(value.min()), theta[int(np.argmin(value))]) for theta, value in found]
    best = [polish(problem, theta, value) for value, theta in best]
    value, theta = min(best, key=lambda pair: pair[0])
    if best[0][0] <= value * (1.0 + 1e-12) + problem.rounding:
        value, theta = best[0]
    return theta, value, np.concatenate([theta for theta, _ in found])


def _downhill(problem: Problem, starts: Floats, held: Bools | None) -> tuple[Floats, Floats]:
    """Take all starts some way, and the best of them to their minima."""
    theta, value = descend(problem, starts, held, steps=_FIRST)
    theta = theta[np.argsort(value, kind="stable")[:_LAST]]
    return descend(problem, theta, held)


def polish(problem: Problem, theta: Floats, value: float) -> tuple[float, Floats]:
    """Return the law after a last, tight descent of what is not on a bound."""
    loose = np.flatnonzero((theta > problem.low) & (theta < problem.high))
    if not loose.size or value <= 1e-6 * problem.rounding:
        return value, theta
    search = _least_squares if np.isinf(problem.huber) else _quasi_newton
    for _ in range(5):
        before = value
        for reached in (search(problem, theta, loose), _tight(problem, theta, loose)):
            total = float(problem.objective(reached[None, :])[0])
            if total < value:
                value, theta = total, reached
        if before - value <= 1e-13 * before:
            break
    return value, theta


def _tight(problem: Problem, theta: Floats, loose: npt.NDArray[np.intp]) -> Floats:
    held = np.ones(problem.parameters, dtype=bool)
    held[loose] = False
    return np.asarray(descend(problem, theta[None, :], held, steps=200, tolerance=1e-15)[0][0])


def _full(problem: Problem, theta: Floats, loose: npt.NDArray[np.intp], x: Floats) -> Floats:
    full = theta.copy()
    x = np.where(np.isfinite(x), x, theta[loose])  # a search may leave through a flat valley
    full[loose] = np.clip(x, problem.low[loose], problem.high[loose])
    return full


def _least_squares(problem: Problem, theta: Floats, loose: npt.NDArray[np.intp]) -> Floats:
    """Polish squares by MINPACK."""
    from scipy.optimize import least_squares

    if problem.y.size < loose.size:
        return theta

    def errors(x: Floats) -> Floats:
        out = problem.predict(_full(problem, theta, loose, x)[None, :])[0] - problem.z
        return np.where(np.isfinite(out), out, 1e6)

    def slopes(x: Floats) -> Floats:
        out = problem.jacobian(_full(problem, theta, loose, x)[None, :])[1][0][:, loose]
        return np.where(np.isfinite(out), out, 0.0)

    tight: dict[str, Any] = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 300}
    with np.errstate(over="ignore", invalid="ignore"):
        done = least_squares(errors, theta[loose], jac=slopes, method="lm", **tight)
    return _full(problem, theta, loose, np.asarray(done.x))


def _quasi_newton(problem: Problem, theta: Floats, loose: npt.NDArray[np.intp]) -> Floats:
    """Polish Huber's objective by BFGS, in coordinates in which its curvature is the identity."""
    from scipy.optimize import minimize

    curvature = _normal(problem, theta[None, :], problem.z[None, :])[1][1][0]
    curvature = curvature[np.ix_(loose, loose)]
    scale = 1.0 / np.sqrt(np.maximum(np.diag(curvature), 1e-280))
    values, vectors = np.linalg.eigh(curvature * scale[:, None] * scale)
    basis = scale[:, None] * vectors / np.sqrt(np.maximum(values, 1e-10 * values[-1]))
    unit = max(float(problem.objective(theta[None, :])[0]), problem.rounding)
    step = np.sqrt(unit)

    def law(x: Floats) -> Floats:
        return _full(problem, theta, loose, theta[loose] + step * (basis @ x))

    def height(x: Floats) -> tuple[float, Floats]:
        at = law(x)[None, :]
        pull = _normal(problem, at, problem.z[None, :])[0][0][loose]
        return float(problem.objective(at)[0]) / unit, -(basis.T @ pull) * (step / unit)

    start = np.zeros(loose.size)
    done = minimize(height, start, jac=True, method="BFGS", options={"gtol": 1e-12})
    return law(np.asarray(done.x))
