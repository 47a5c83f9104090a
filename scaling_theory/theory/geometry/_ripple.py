"""Symmetric tilings of the circle, evaluated in closed form and without cancellation.

The n latents have decoder directions at multiples of h = 2 pi/n and fire within the angle a of
them, with strength cos(delta) - cos(a). At a point x the p latents that fire sit in a row; let c be
its middle, phi the angle from c to x and epsilon = a - p h/2. The reconstruction before the gain is

    y = [(p + s2)/2 cos(phi) - cos(a) s1] e_c + (p - s2)/2 sin(phi) e_t,

    s1 = sin(p h/2)/sin(h/2),  s2 = sin(p h)/sin(h),

for e_c the direction c and e_t the one across. With q = n a/pi, p is floor(q) or floor(q) + 1, and
in one period phi covers (-w, w) with w = h/2 - epsilon in the first case and h/2 + epsilon in the
second. All of it is derived in ``derive("circle")``; the direct sums are in the tests.
"""

from __future__ import annotations

import numpy as np

from scaling_theory._validate import Floats

#: Gauss-Legendre rules: the longer is exact to rounding on an interval of length pi, the shorter
#: on one of length pi/8, for the products of sines and cosines that are integrated here.
_LONG, _SHORT = (np.polynomial.legendre.leggauss(k) for k in (20, 8))


def means(n: Floats, a: Floats) -> tuple[Floats, Floats]:
    """Return A = E[x.y] and W = E[sum_j f_j] - A, for gain 1.

    Parameters
    ----------
    n, a
        Number of latents, and half-width in (0, pi]; same shape.
    """
    nodes, weights = _LONG
    s = 0.5 * a[..., None] * (nodes + 1.0)
    kernel = 2.0 * np.sin(0.5 * (a[..., None] + s)) * np.sin(0.5 * (a[..., None] - s))
    lost = a * ((kernel * 2.0 * np.sin(0.5 * s) ** 2) @ weights)
    return n / (4.0 * np.pi) * _sine_gap(2.0 * a), n / (2.0 * np.pi) * lost


def ripple(n: Floats, a: Floats) -> Floats:
    """Return E|y - A x|^2 = E|y|^2 - A^2, the ripple of a tiling with gain 1.

    Radial and tangential part are added; the arguments are those of :func:`means`.
    """
    nodes, weights = _SHORT if n.min() >= 8.0 else _LONG
    h = 2.0 * np.pi / n
    q = n * a / np.pi
    lower = np.minimum(np.floor(q), n - 1.0)
    total = np.zeros_like(a)
    for p in (lower, lower + 1.0):
        epsilon = a - 0.5 * p * h
        width = np.clip(0.5 * h - np.abs(epsilon), 0.0, None)
        phi = 0.5 * width[..., None] * (nodes + 1.0)  # even in phi: half of the interval will do
        radial, tangential = _deviation(n[..., None], a[..., None], p[..., None], phi)
        total += width / h * ((radial**2 + tangential**2) @ weights)
    return total


def _deviation(n: Floats, a: Floats, p: Floats, phi: Floats) -> tuple[Floats, Floats]:
    """Radial part of y - A x, and its tangential part, at phi from the middle of a row of p."""
    h = 2.0 * np.pi / n
    e = a - 0.5 * p * h
    more1, more2 = _sum_minus_integral(n, p)
    row = 2.0 * a - 2.0 * e  # p h
    apart = 2.0 * np.sin(0.5 * (phi + e)) * np.sin(0.5 * (phi - e))  # cos(e) - cos(phi)
    half = 2.0 * np.sin(0.5 * phi) ** 2  # 1 - cos(phi)
    # h (R - A) with sums as integrals, then what the sums have more
    radial = -_sine_gap(e) - np.sin(e) * half + np.sin(2.0 * a - e) * apart
    radial = radial - np.sin(row) * np.sin(phi) ** 2
    radial = radial / h + 0.5 * more2 * np.cos(2.0 * phi) - np.cos(a) * np.cos(phi) * more1
    across = -4.0 * np.sin(0.5 * e) * np.sin(a - 0.5 * e) * np.sin(a - e) + np.sin(row) * half
    across = across / h + np.cos(a) * more1 - more2 * np.cos(phi)
    return radial, across * np.sin(phi)


def _sum_minus_integral(n: Floats, p: Floats) -> tuple[Floats, Floats]:
    """s1 - 2 sin(p h/2)/h and s2 - sin(p h)/h."""
    h = 2.0 * np.pi / n
    safe = np.maximum(n, 3.0)
    one = np.sin(0.5 * p * h) * _cosecant_gap(np.pi / safe)
    two = np.sin(p * h) * _cosecant_gap(2.0 * np.pi / safe)
    # Opposite latents, or one alone: sin(h) or sin(h/2) is 0, and the sums are read off.
    few = n < 3.0
    if few.any():
        plain1 = np.where((p == 1.0), 1.0, 0.0)
        plain2 = np.where(p == 1.0, 1.0, np.where(p == 2.0, -2.0, 0.0))
        one = np.where(few, plain1 - 2.0 * np.sin(0.5 * p * h) / h, one)
        two = np.where(few, plain2 - np.sin(p * h) / h, two)
    return one, two


def _sine_gap(x: Floats) -> Floats:
    """X - sin(x)."""
    y = x * x
    series = x * y / 6.0 * (
        1.0 - y / 20.0 * (1.0 - y / 42.0 * (1.0 - y / 72.0 * (1.0 - y / 110.0 * (1.0 - y / 156.0))))
    )  # fmt: skip
    return np.asarray(np.where(np.abs(x) < 0.5, series, x - np.sin(x)))


def _cosecant_gap(x: Floats) -> Floats:
    """1/sin(x) - 1/x."""
    y = x * x
    series = x / 6.0 * (1.0 + y * (7.0 / 60.0 + y * (31.0 / 2520.0 + y * 127.0 / 100800.0)))
    return np.asarray(np.where(x < 0.02, series, 1.0 / np.sin(x) - 1.0 / x))
