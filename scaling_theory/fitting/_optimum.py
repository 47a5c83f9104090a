"""The best law for a :class:`Problem`: a global start and a polish."""

from __future__ import annotations

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting._descent import descend
from scaling_theory.fitting._problem import (
    AMPLITUDE,
    EXPONENT,
    FLOOR,
    Problem,
    bounds,
    surface,
)


def optimum(problem: Problem) -> tuple[Floats, float]:
    """Return the law of least cost, theta (3,), and its cost.

    Variable projection gives the best amplitude for every shape on a coarse grid, and the best
    floor on the grid for every exponent. All of those are taken downhill, with the floor free
    and with the floor on either bound, and the lowest is polished: by MINPACK, or, for Huber
    errors, by more steps of the same descent. A floor of exactly 0 wins ties to rounding.
    """
    grid = surface(problem)
    best = np.argmin(problem.cost(grid), axis=1)
    starts = grid[np.arange(grid.shape[0]), best]
    low, high = bounds(problem)
    free: tuple[int, ...] = (AMPLITUDE, EXPONENT)
    found = []
    if problem.floor is None:
        for floor in (low[FLOOR], high[FLOOR]):
            on_bound = starts.copy()
            on_bound[:, FLOOR] = floor
            found.append(descend(problem, on_bound, free, low, high))
        free = (*free, FLOOR)
    found.append(descend(problem, starts, free, low, high))
    lowest = [(float(costs.min()), laws[int(np.argmin(costs))]) for laws, costs in found]
    lowest = [_polish(problem, theta, least, low, high) for least, theta in lowest]
    least, theta = min(lowest, key=lambda pair: pair[0])
    if lowest[0][0] <= least * (1.0 + 1e-12) + problem.rounding:
        least, theta = lowest[0]
    return theta, least


def _polish(
    problem: Problem, theta: Floats, least: float, low: Floats, high: Floats
) -> tuple[float, Floats]:
    """Return the law after a last, tight descent of what is not on a bound."""
    from scipy.optimize import least_squares

    loose = np.flatnonzero((theta > low) & (theta < high))
    if problem.huber is not None:
        free = tuple(loose.tolist())
        laws, costs = descend(problem, theta[None, :], free, low, high, steps=400, tolerance=1e-15)
        return float(costs[0]), laws[0]

    def law(x: Floats) -> Floats:
        full = theta.copy()
        x = np.where(np.isfinite(x), x, theta[loose])  # MINPACK may leave through a flat valley
        full[loose] = np.clip(x, low[loose], high[loose])
        return full

    def errors(x: Floats) -> Floats:
        return problem.predict(law(x)) - problem.z

    def slopes(x: Floats) -> Floats:
        return problem.jacobian(law(x))[1][:, loose]

    polished = least_squares(
        errors,
        theta[loose],
        jac=slopes,
        method="lm",
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-15,
    )
    reached = law(np.asarray(polished.x))
    total = float(problem.cost(reached))
    return (total, reached) if total <= least else (least, theta)
