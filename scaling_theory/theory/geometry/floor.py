"""The loss that no dictionary on a sphere can undercut, and what one latent per feature pays.

Objective throughout: the mean of ``|x - xhat|^2 + l1 * sum_j f_j |u_j|`` with latents f_j >= 0,
decoder directions u_j and, where it is said, a decoder bias.

- :func:`sphere_floor`: data on a sphere, any dictionary, any code.
- :func:`shrink_l1`, :func:`shrink_topk`, :func:`shrink_jump`: orthonormal decoder directions, the
  best code of an L1, a TopK and a JumpReLU SAE, in closed form.
- :func:`l1_bias`: what TopK and JumpReLU save of the squared error at equal support.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats


def sphere_floor(l1: float, radius: float = 1.0) -> float:
    """Return the least loss of any SAE on data spread evenly over a sphere.

    ``l1 r - l1^2/4`` for l1 < 2 r, and r^2 from there on: then a latent costs more than all it
    explains, the best SAE is silent, and more latents buy nothing.

    Parameters
    ----------
    l1
        Weight of the L1 penalty, at least 0.
    radius
        Radius r of the sphere, greater than 0. Losses scale as r^2 L(l1/r).

    Returns
    -------
    float
        The floor, in squared units of the data.

    Raises
    ------
    ValueError
        If l1 is negative or radius is not positive.

    Notes
    -----
    Derived here. Without bias: s = sum_j f_j |u_j| is at least |xhat|, and |x - xhat| at least
    ``r - |xhat|``, so for every code the cost at x is at least the minimum over g >= 0 of
    ``(r - g)^2 + l1 g``, which is this floor, taken at g = max(r - l1/2, 0). With a decoder bias b
    the same holds with |x - b| for r. As a function of the vector x - b that minimum is the Moreau
    envelope of a norm, so it is convex, and its mean over x and -x is at least its value at x: a
    bias cannot help on any distribution that is symmetric about 0. A dictionary that is dense in
    the sphere attains the floor with one latent a point.

    Examples
    --------
    >>> round(sphere_floor(0.1), 10)
    0.0975
    """
    l1 = _validate.real("l1", l1, low=0.0)
    radius = _validate.real("radius", radius, low=0.0, low_open=True)
    if l1 >= 2.0 * radius:
        return radius * radius
    return l1 * (radius - 0.25 * l1)


@final
@dataclass(frozen=True, eq=False)
class Shrinkage:
    """Best code of one architecture on orthonormal decoder directions.

    Attributes
    ----------
    coefficient
        The latents, in the shape of the given magnitudes.
    squared_error
        (f - coefficient)^2, one a latent.
    penalty
        What the objective adds for each latent.
    """

    coefficient: Floats
    squared_error: Floats
    penalty: Floats

    @property
    def loss(self) -> Floats:
        """Squared error plus penalty, one a latent."""
        return np.asarray(self.squared_error + self.penalty)


def shrink_l1(f: Any, l1: float) -> Shrinkage:
    """Return the best code under an L1 penalty: every magnitude loses l1/2.

    Parameters
    ----------
    f
        True magnitudes, at least 0; any shape.
    l1
        Weight of the L1 penalty on f, with ``|x - xhat|^2`` (not half of it), at least 0.

    Returns
    -------
    Shrinkage
        Coefficient max(f - l1/2, 0), squared error min(f, l1/2)^2, penalty l1 times coefficient.

    Notes
    -----
    Soft thresholding (T26, "The L1 SAE objective and the shrinkage problem"). For orthonormal
    directions the objective splits into one minimisation of ``(f - g)^2 + l1 g`` a latent.
    """
    magnitudes, l1 = _magnitudes(f), _validate.real("l1", l1, low=0.0)
    coefficient = np.maximum(magnitudes - 0.5 * l1, 0.0)
    return Shrinkage(coefficient, np.minimum(magnitudes, 0.5 * l1) ** 2, l1 * coefficient)


def shrink_topk(f: Any, k: int) -> Shrinkage:
    """Return the best code of at most k latents: the k largest magnitudes, exactly.

    Parameters
    ----------
    f
        True magnitudes, at least 0; shape (..., latents). The choice is along the last axis.
    k
        Latents that may fire, at least 0. Ties go to the first.

    Returns
    -------
    Shrinkage
        No error on the chosen latents, the whole magnitude squared on the others, no penalty.

    Notes
    -----
    T26, "Shrinkage-elimination argument": with orthonormal directions least squares on the support
    returns the magnitudes.
    """
    magnitudes, k = _magnitudes(f), _validate.whole("k", k)
    if magnitudes.ndim == 0:
        raise ValueError(f"f must have an axis of latents, got a number: {f!r}")
    order = np.argsort(-magnitudes, axis=-1, kind="stable")
    kept = np.zeros(magnitudes.shape, dtype=bool)
    np.put_along_axis(kept, order[..., :k], True, axis=-1)
    coefficient = np.where(kept, magnitudes, 0.0)
    return Shrinkage(coefficient, (magnitudes - coefficient) ** 2, np.zeros_like(magnitudes))


def shrink_jump(f: Any, l0: float) -> Shrinkage:
    """Return the best code under an L0 penalty: a latent fires, unshrunk, iff f^2 > l0.

    Parameters
    ----------
    f
        True magnitudes, at least 0; any shape.
    l0
        Price of a latent that fires, at least 0: the JumpReLU threshold is sqrt(l0).

    Returns
    -------
    Shrinkage
        Loss min(f^2, l0) a latent. With l0 = l1^2/4 the same latents fire as under L1.

    Notes
    -----
    T26, "JumpReLU SAEs: separating gating from magnitude"; the threshold is derived here.
    """
    magnitudes, l0 = _magnitudes(f), _validate.real("l0", l0, low=0.0)
    fires = magnitudes**2 > l0
    error = np.where(fires, 0.0, magnitudes**2)
    return Shrinkage(np.where(fires, magnitudes, 0.0), error, np.where(fires, l0, 0.0))


def l1_bias(l1: float) -> float:
    """Return the squared error that L1 adds to each active latent: l1^2/4.

    It is what TopK and JumpReLU save at equal support, whatever the magnitude.

    Raises
    ------
    ValueError
        If l1 is negative.
    """
    return 0.25 * _validate.real("l1", l1, low=0.0) ** 2


def _magnitudes(f: Any) -> Floats:
    """Magnitudes of any shape, all finite and at least 0."""
    try:
        array = np.asarray(f, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"f must hold numbers of at least 0, got {f!r}") from None
    if array.size == 0:
        raise ValueError("f must not be empty: it holds numbers of at least 0")
    return _validate.reals("f", array.ravel(), low=0.0).reshape(array.shape)
