"""Residual bootstrap of a fitted law, all replicates at once."""

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

#: Number of replicates unless another is asked for.
REPLICATES = 999


def replicates(
    problem: Problem, theta: Floats, count: int, generator: np.random.Generator
) -> Floats:
    """Return the laws fitted to points drawn around the law ``theta``, (count, 3).

    Residuals of the objective are centred, inflated by sqrt(m / (m - p)) and drawn with
    replacement (Davison and Hinkley, Bootstrap Methods and their Application, 1997, chapter 7).
    Those of a Huber fit are not centred: the fit balances their bounded scores, and their mean is
    what an outlier moves.
    Each replicate starts from the best shape on a coarse grid, found for all replicates by one
    matrix product, and goes downhill from there.
    """
    fitted = problem.predict(theta)
    m = fitted.size
    residuals = problem.z - fitted
    if problem.huber is None:
        residuals = residuals - residuals.mean()
    residuals = residuals * np.sqrt(m / (m - problem.parameters))
    z = fitted + residuals[generator.integers(m, size=(count, m))]
    low, high = bounds(problem)
    free: tuple[int, ...] = (AMPLITUDE, EXPONENT)
    if problem.floor is None:
        free = (*free, FLOOR)
    laws, _ = descend(problem, _starts(problem, theta, z), free, low, high, z=z)
    return laws


def _starts(problem: Problem, theta: Floats, z: Floats) -> Floats:
    """Return the best of the laws on the grid, and of ``theta``, for each row of ``z``: (r, 3).

    Unless the floor is held above 0, a whole law may be scaled to suit the replicate: that
    factor is a linear parameter.
    """
    grid = np.concatenate([surface(problem).reshape(-1, 3), theta[None, :]])
    laws = problem.predict(grid)
    if problem.floor:
        best = np.argmin(np.sum(laws**2, axis=1) - 2.0 * z @ laws.T, axis=1)
        return np.asarray(grid[best])
    if problem.root_weight is None:
        shift = z.mean(axis=1, keepdims=True) - laws.mean(axis=1)
        centred = laws - laws.mean(axis=1, keepdims=True)
        misfit = np.sum(centred**2, axis=1) - 2.0 * z @ centred.T
    else:
        power = np.sum(laws**2, axis=1)
        match = np.maximum(z @ laws.T, 1e-6 * power)
        shift = np.log(match / power)
        misfit = -(match**2) / power
    best = np.argmin(misfit, axis=1)
    starts = np.asarray(grid[best])
    change = shift[np.arange(z.shape[0]), best]
    starts[:, AMPLITUDE] += change
    starts[:, FLOOR] *= np.exp(change)
    return starts
