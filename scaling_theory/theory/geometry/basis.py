"""The basis solution: two latents for each dimension, one for either sign.

The simplest thing an SAE can do with a manifold, and what it does when the data vary in radius
(Michaud, Gorton and McGrath 2025, A.1: plateaus at n near 2 d). For every point it is the best
code with these directions, because orthogonal directions split the objective into one soft
threshold a coordinate.

- :func:`basis_loss`: its loss on spheres and shells.
- :func:`basis_curve`: L(n) when only n of the 2 d latents are there, as a curve for ``allocate``.
- :func:`shell_floor`: what no SAE can undercut on the same data.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.curves import TabulatedCurve
from scaling_theory.theory.geometry.floor import sphere_floor

#: Largest dimension that is taken.
MAX_DIMENSION = 10**6

Law = Literal["radius", "volume"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(96)


def basis_loss(
    dimension: int, l1: float = 0.1, low: float = 1.0, high: float = 1.0, law: Law = "radius"
) -> float:
    """Return the loss of the basis solution with its 2 d latents.

    Parameters
    ----------
    dimension
        Dimension d of the space, 1 to 1e6. The data have directions spread evenly over the sphere.
    l1
        Weight of the L1 penalty, at least 0.
    low, high
        Smallest and largest radius, 0 <= low <= high and high > 0. Equal: a sphere.
    law
        How radii between them are spread: "radius", evenly (Michaud et al. do not say which, and
        this reproduces a sampler that draws the radius); "volume", with density ~ r^(d-1).

    Returns
    -------
    float
        ``d E[phi(x_1)]`` with phi(x) = x^2 for |x| < l1/2 and l1 |x| - l1^2/4 beyond.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Derived here (``derive("basis")``). On a sphere of radius r the coordinate x_1/r has density
    ~ (1 - u^2)^((d-3)/2), so with tau = l1/(2 r) < 1

        L = r^2 I(3/2) + l1 r d (1 - tau^2)^((d-1)/2) / ((d-1)/2 B(1/2, (d-1)/2))
            - (l1^2/4) d (1 - I(1/2)),

    where I(s) is the regularised incomplete beta function of s, (d-1)/2 at tau^2 and B the beta
    function; it is r^2 for tau >= 1. Shells are integrated over r by Gauss-Legendre, in pieces that
    end where tau = 1.
    """
    d, l1, low, high = _checked(dimension, l1, low, high, law)
    return _mean_over_radius(lambda r: _on_sphere(d, l1, r), 0.5 * l1, d, low, high, law)


def shell_floor(
    dimension: int, l1: float = 0.1, low: float = 1.0, high: float = 1.0, law: Law = "radius"
) -> float:
    """Return the mean of :func:`~scaling_theory.theory.geometry.sphere_floor` over the radius.

    No SAE, with whatever dictionary and decoder bias, has a lower loss on these data.

    Parameters
    ----------
    dimension, l1, low, high, law
        As for :func:`basis_loss`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    d, l1, low, high = _checked(dimension, l1, low, high, law)

    def on_spheres(r: Floats) -> Floats:
        return np.array([sphere_floor(l1, x) if x > 0.0 else 0.0 for x in r.tolist()])

    return _mean_over_radius(on_spheres, 0.5 * l1, d, low, high, law)


def basis_curve(
    dimension: int, l1: float = 0.1, low: float = 1.0, high: float = 1.0, law: Law = "radius"
) -> TabulatedCurve:
    """Return L(n) of the basis solution with n of its latents, as a curve for ``allocate``.

    Parameters
    ----------
    dimension, l1, low, high, law
        As for :func:`basis_loss`; here the dimension is at most 1e5.

    Returns
    -------
    TabulatedCurve
        L(0) = E|x|^2, a straight line to :func:`basis_loss` at n = 2 d, and flat from there on.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Derived here. A coordinate of either sign costs E[x_1^2]/2 without its latent and E[phi(x_1)]/2
    with it, whatever the others do, so each of the 2 d latents buys the same. This is
    ``PlateauCurve(d, floor=basis_loss / E|x|^2)`` times E|x|^2: a population that holds
    the PlateauCurve needs a magnitude of E|x|^2. Other SAEs with n < 2 d latents can be better
    (two on a circle: see :func:`~scaling_theory.theory.geometry.circle_optimum`).
    """
    d, l1, low, high = _checked(dimension, l1, low, high, law, most=10**5)
    start = _mean_over_radius(lambda r: r * r, 0.5 * l1, d, low, high, law)
    end = min(_mean_over_radius(lambda r: _on_sphere(d, l1, r), 0.5 * l1, d, low, high, law), start)
    n = np.arange(2 * d + 1)
    left = (2 * d - n) / (2 * d)
    return TabulatedCurve(n, np.minimum.accumulate(end + (start - end) * left))


def _on_sphere(d: int, l1: float, r: Floats) -> Floats:
    """Loss of the basis solution on spheres of radius r."""
    from scipy.special import beta, betainc, betaincc

    tau = np.minimum(np.divide(0.5 * l1, r, out=np.ones_like(r), where=r > 0.0), 1.0)
    if d == 1:
        return np.where(tau < 1.0, l1 * r - 0.25 * l1 * l1, r * r)
    half = 0.5 * (d - 1.0)
    small = betainc(1.5, half, tau * tau)
    shrunk = d * (1.0 - tau * tau) ** half / (half * beta(0.5, half))
    often = d * betaincc(0.5, half, tau * tau)
    return np.asarray(r * r * small + l1 * r * shrunk - 0.25 * l1 * l1 * often)


def _mean_over_radius(
    function: Callable[[Floats], Floats], kink: float, d: int, low: float, high: float, law: Law
) -> float:
    """Mean of a function of the radius that is smooth on either side of the kink."""
    if low == high:
        return float(function(np.array([high]))[0])
    total = mass = 0.0
    power = d - 1 if law == "volume" else 0
    edges = sorted({low, high, *([kink] if low < kink < high else [])})
    for start, end in pairwise(edges):
        # Half-integer powers begin at the kink: r = start + (end - start) s^2 makes them whole.
        s = 0.5 * (_NODES + 1.0)
        r = start + (end - start) * s * s
        weight = _WEIGHTS * s * (end - start) * (r / high) ** power
        total += float(weight @ function(r))
        mass += float(weight.sum())
    return total / mass


def _checked(
    dimension: int, l1: float, low: float, high: float, law: Law, most: int = MAX_DIMENSION
) -> tuple[int, float, float, float]:
    d = _validate.whole("dimension", dimension, low=1, high=most)
    l1 = _validate.real("l1", l1, low=0.0)
    high = _validate.real("high", high, low=0.0, low_open=True)
    low = _validate.real("low", low, low=0.0, high=high)
    if law not in ("radius", "volume"):
        raise ValueError(f"law must be 'radius' or 'volume', got {law!r}")
    return d, l1, low, high
