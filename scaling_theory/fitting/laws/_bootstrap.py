"""Residual bootstrap of a fitted law, all replicates at once."""

from __future__ import annotations

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._descent import descend
from scaling_theory.fitting.laws._problem import Problem

_CHUNK = 4_000_000  # numbers in a Jacobian


def replicates(
    problem: Problem, theta: Floats, found: Floats, generator: np.random.Generator, count: int
) -> Floats:
    """Return the laws fitted to points drawn around the law ``theta``, (count, p).

    Parameters
    ----------
    found : (r, p) floats
        Laws of other shapes; each replicate starts from the best of them.
    """
    fitted = problem.predict(theta[None, :])[0]
    m, p = fitted.size, problem.parameters
    residuals = problem.z - fitted
    residuals = (residuals - residuals.mean()) * np.sqrt(m / (m - p))
    z = fitted + residuals[generator.integers(m, size=(count, m))]
    candidates = np.concatenate([theta[None, :], found])
    value = np.stack(
        [problem.objective(np.broadcast_to(law, (count, p)), z) for law in candidates], axis=1
    )
    starts = candidates[np.argmin(value, axis=1)]
    size = max(1, _CHUNK // (m * p))
    parts = [
        descend(problem, starts[i : i + size], z=z[i : i + size])[0] for i in range(0, count, size)
    ]
    return np.concatenate(parts)


def percentiles(
    values: Floats, names: tuple[str, ...], level: float
) -> dict[str, tuple[float, float]]:
    """Return percentile intervals of parameters (count, p)."""
    tail = 0.5 * (1.0 - level)
    # no interpolation: values may be infinite
    ends = np.quantile(values, [tail, 1.0 - tail], axis=0, method="inverted_cdf")
    return {name: (float(ends[0, i]), float(ends[1, i])) for i, name in enumerate(names)}
