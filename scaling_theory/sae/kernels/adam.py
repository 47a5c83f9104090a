"""Adam in one pass over memory, compiled by Numba."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_F = np.float32


@numba.njit(fastmath={"contract", "nsz", "arcp"}, cache=True, error_model="numpy")
def adam_step(
    weights: Any,
    grad: Any,
    first: Any,
    second: Any,
    a: float,
    b: float,
    epsilon: float,
    rate: float,
    steps: int,
) -> None:
    """Take one step on float32 arrays of shape (size,), in place; ``steps`` counts from 1."""
    keep, add, keep2, add2 = _F(a), _F(1.0 - a), _F(b), _F(1.0 - b)
    step = _F(rate / (1.0 - a**steps))
    root = _F(1.0 / np.sqrt(1.0 - b**steps))
    least = _F(epsilon)
    for i in range(weights.size):
        g = grad[i]
        m = keep * first[i] + add * g
        v = keep2 * second[i] + add2 * g * g
        first[i] = m
        second[i] = v
        weights[i] -= step * m / (np.sqrt(v) * root + least)
