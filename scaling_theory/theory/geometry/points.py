"""Well-spread points on spheres: a spiral on the ordinary sphere, repulsion elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats

#: Real root of x^3 = x + 1.
_PLASTIC = 1.324717957244746


def spread_points(n: int, dimension: int, steps: int = 300, seed: int = 0) -> Floats:
    """Return n well-spread unit vectors, shape (n, dimension).

    Evenly spaced on the circle; a Fibonacci spiral in three dimensions; beyond, points that have
    repelled each other (:func:`relax_points`), from a spiral in four dimensions, from random ones
    in more.

    Parameters
    ----------
    n
        Number of points, at least 1.
    dimension
        Dimension of the space, 2 to 8.
    steps
        Steps of repulsion; without effect in two and three dimensions.
    seed
        Seed of the random start; without effect below five dimensions.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    The start in four dimensions has the angles 2 pi s/rho and 2 pi s/rho^2 in two orthogonal
    planes, rho^3 = rho + 1 (Roberts' sequence), and s/n of the squared length in the first: all
    even in volume. Alexa's super-Fibonacci spiral (CVPR 2022) has the same form; its constants are
    chosen for rotations, where a point and its opposite count as one.
    """
    n = _validate.whole("n", n, low=1)
    dimension = _validate.whole("dimension", dimension, low=2, high=8)
    steps = _validate.whole("steps", steps)
    rng = np.random.default_rng(_validate.whole("seed", seed))
    s = np.arange(n) + 0.5
    if dimension == 2:
        angle = 2.0 * np.pi * s / n
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if dimension == 3:
        z, angle = 1.0 - 2.0 * s / n, np.pi * (1.0 + np.sqrt(5.0)) * s
        around = np.sqrt(1.0 - z * z)
        return np.stack([around * np.cos(angle), around * np.sin(angle), z], axis=1)
    if dimension == 4:
        one, two = np.sqrt(s / n), np.sqrt(1.0 - s / n)
        first, second = 2.0 * np.pi * s / _PLASTIC, 2.0 * np.pi * s / _PLASTIC**2
        parts = [one * np.cos(first), one * np.sin(first), two * np.cos(second)]
        start = np.stack([*parts, two * np.sin(second)], axis=1)
    else:
        start = rng.normal(size=(n, dimension))
        start /= np.linalg.norm(start, axis=1, keepdims=True)
    return relax_points(start, steps)


def relax_points(points: Any, steps: int = 300) -> Floats:
    """Let unit vectors repel their neighbours.

    Parameters
    ----------
    points
        Unit vectors, shape (n, d), d at least 2.
    steps
        Number of steps, at least 0.

    Returns
    -------
    Floats
        The vectors after the steps, same shape.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Forces along differences, with the potential distance^-(d+2) over about three shells of
    neighbours, steps of at most a fifth of the spacing, ever smaller.
    """
    from scipy.spatial import cKDTree

    array = unit_vectors(points)
    n, d = array.shape
    steps = _validate.whole("steps", steps)
    count = min(n - 1, 2 ** (d + 1))
    if count == 0:
        return array
    index, spacing = np.zeros((n, count), dtype=np.int64), 1.0
    for step in range(steps):
        if step % 4 == 0:
            near, order = (np.asarray(v) for v in cKDTree(array).query(array, k=count + 1))
            index, spacing = order[:, 1:], max(float(np.median(near[:, 1])), 1e-9)
        apart = array[:, None, :] - array[index]
        square = np.maximum(np.einsum("ijk,ijk->ij", apart, apart), 1e-4 * spacing**2)
        force = np.einsum("ij,ijk->ik", (spacing**2 / square) ** (0.5 * d + 2.0), apart)
        force -= np.einsum("ij,ij->i", force, array)[:, None] * array
        length = np.linalg.norm(force, axis=1, keepdims=True)
        move = np.minimum(0.15, 0.2 * spacing / np.maximum(length, 1e-300))
        array = array + (1.0 - 0.9 * step / steps) * move * force
        array /= np.linalg.norm(array, axis=1, keepdims=True)
    return array


def unit_vectors(points: Any) -> Floats:
    """Return a copy of unit vectors of shape (n, d), d at least 2, or raise ValueError."""
    try:
        array = np.array(points, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"points must hold numbers, got {points!r:.60}") from None
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 2:
        raise ValueError(f"points must have shape (n, d) with d of at least 2, got {array.shape}")
    off = np.abs(np.linalg.norm(array, axis=1) - 1.0)
    if not (off < 1e-9).all():
        at = int(np.argmax(~(off < 1e-9)))
        raise ValueError(f"points must be unit vectors (to 1e-9), got points[{at}] = {array[at]}")
    return array
