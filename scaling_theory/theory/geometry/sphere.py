"""ReLU tilings of a sphere: equal latents on well-spread points.

- :func:`tiling_exponents`: the exponents they are conjectured to have.
- :func:`sphere_tiling`: the best threshold and gain for given points, measured.
- :func:`measure_exponents`: the fit to hold against the conjecture, on the points of
  :func:`~scaling_theory.theory.geometry.spread_points`;
  ``python -m scaling_theory.theory.geometry sphere`` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.theory.geometry.covering import cap_angle, cap_fraction
from scaling_theory.theory.geometry.floor import sphere_floor
from scaling_theory.theory.geometry.points import spread_points, unit_vectors

if TYPE_CHECKING:
    import pandas as pd

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


@final
@dataclass(frozen=True)
class TilingExponents:
    """Exponents of ReLU tilings of the unit sphere in d dimensions.

    Attributes
    ----------
    dimension
        Dimension d of the space.
    excess
        The excess loss falls as n^-excess.
    overlap
        The mean number of latents that fire together grows as n^overlap.
    ideal
        What an ideal encoder reaches in place of ``excess``: 2/(d-1), proved.
    """

    dimension: int
    excess: float
    overlap: float
    ideal: float


def tiling_exponents(dimension: int) -> TilingExponents:
    """Return the exponents of equal ReLU latents on well-spread points: derived for d = 2 only.

    Parameters
    ----------
    dimension
        Dimension d of the space, at least 2.

    Raises
    ------
    ValueError
        If dimension is less than 2.

    Notes
    -----
    Excess 2 (d+2)/((d-1)(d+4)) and overlap 2/(d+4). The argument, with D = d - 1: a latent that
    fires within the angle a has the kernel (a^2 - r^2)/2, whose Fourier transform falls as
    k^-((D+3)/2). On a lattice of n points the ripple, relative to the mean, therefore has variance
    (n^(1/D) a)^-(D+3), while the width of the kernel costs a^2. The best a balances the two:
    with y = n^(1/D) a, y^(D+5) ~ n^(2/D).

    Derived to leading order (``derive("circle_tiling")``) and held against exact tilings: d = 2,
    symmetric. Not proved: that points on the sphere for d > 2 can have the ripple of a lattice;
    that a special a does not beat the power of y (on the circle the best a changes the constant
    only); that latents of unequal gain or threshold, or unevenly spread, do no better.
    ``measure_exponents`` tests the first, and finds the exponents of the excess within their
    errors of about 0.01 in dimension 3 to 5. The overlap jumps between shells of neighbours, so
    its exponent is known far less well.
    """
    d = _validate.whole("dimension", dimension, low=2)
    return TilingExponents(d, 2.0 * (d + 2) / ((d - 1) * (d + 4)), 2.0 / (d + 4), 2.0 / (d - 1))


@final
@dataclass(frozen=True)
class SphereTiling:
    """Equal ReLU latents on given points of the unit sphere, at their best threshold and gain.

    Attributes
    ----------
    n, dimension, l1
        Number of latents, dimension of the space, weight of the L1 penalty.
    loss, excess
        Mean squared error plus penalty, and the same minus ``sphere_floor(l1)``.
    error
        Standard error of both, from the finite sample of points at which the ripple is measured.
    half_width
        The angle within which a latent fires; its threshold is the cosine.
    gain
        Encoder gain times decoder norm.
    overlap
        Mean number of latents that fire together, n times the fraction of a cap.
    complete
        Whether every wider latent was tried or is too wide to be better, ripple or none.
    """

    n: int
    dimension: int
    l1: float
    loss: float
    excess: float
    error: float
    half_width: float
    gain: float
    overlap: float
    complete: bool


def sphere_tiling(
    points: Any, l1: float = 0.1, samples: int = 4096, seed: int = 0, neighbours: int = 128
) -> SphereTiling:
    """Return the best tiling by equal ReLU latents with decoder directions at given points.

    Parameters
    ----------
    points
        Unit vectors, shape (n, d) with d at least 2.
    l1
        Weight of the L1 penalty, in (0, 2).
    samples
        Number of random points at which the ripple is measured, at least 2.
    seed
        Their seed.
    neighbours
        Angles are tried from the one at which a quarter of a latent fires (narrower ones pay only
        where l1 is close to 2, and the sample hardly sees them) up to the one at which more than
        this number fire together anywhere in the sample (or all do), at least 1.

    Raises
    ------
    ValueError
        If an argument is out of range or points are not unit vectors.

    Notes
    -----
    As for :func:`~scaling_theory.theory.geometry.circle_tiling`: with y = sum_j (x.u_j - t)_+ u_j,
    A = E[x.y] and C = E[sum_j f_j] do not depend on where the points are, and are integrals over
    one coordinate. Only the ripple E|y - A x|^2 does, and it is a mean over the sample.
    """
    points = unit_vectors(points)
    l1 = _validate.real("l1", l1, low=0.0, high=2.0, low_open=True, high_open=True)
    samples = _validate.whole("samples", samples, low=2)
    neighbours = _validate.whole("neighbours", neighbours, low=1)
    rng = np.random.default_rng(_validate.whole("seed", seed))
    n, d = points.shape
    x = rng.normal(size=(samples, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    near = _Neighbours(points, x, min(neighbours, n))
    a, complete = _search(lambda a: _excess(a, n, d, l1, near), near.most, n, d)
    found = _excess(a, n, d, l1, near)
    overlap = n * float(cap_fraction(np.array([a]), d)[0])
    return SphereTiling(
        n=n, dimension=d, l1=l1, loss=sphere_floor(l1) + found.excess, excess=found.excess,
        error=found.error, half_width=a, gain=found.gain, overlap=overlap, complete=complete,
    )  # fmt: skip


def measure_exponents(
    dimension: int, widths: Sequence[int] | None = None, l1: float = 0.1, samples: int = 2048
) -> pd.DataFrame:
    """Measure excess and overlap of tilings on spread points, and fit their exponents.

    Parameters
    ----------
    dimension
        2 to 8.
    widths
        Numbers of latents, at least two of them; by default 512 to 16,384 in steps of sqrt(2).
    l1, samples
        As for :func:`sphere_tiling`.

    Returns
    -------
    DataFrame
        One row a width: n, excess, error, half_width, overlap. ``attrs`` holds the slopes of the
        straight lines through the logarithms and their standard errors (from the scatter about the
        lines), beside what is predicted: ``excess_exponent``, ``excess_exponent_error``,
        ``predicted_excess_exponent``, and the same for the overlap.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    import pandas as pd

    said = tiling_exponents(dimension)
    given = [round(2.0 ** (0.5 * k)) for k in range(18, 29)] if widths is None else widths
    counts = _validate.wholes("widths", given, low=1)
    if np.unique(counts).size < 2:
        raise ValueError(f"widths must hold at least two different numbers, got {given!r}")
    tilings = [sphere_tiling(spread_points(n, dimension), l1, samples) for n in counts.tolist()]
    names = ["n", "excess", "error", "half_width", "overlap"]
    table = pd.DataFrame([[getattr(t, name) for name in names] for t in tilings], columns=names)
    for name, sign, predicted in (("excess", -1, said.excess), ("overlap", 1, said.overlap)):
        slope, error = _slope(np.log(counts), np.log(table[name].to_numpy()))
        table.attrs[f"{name}_exponent"] = sign * slope
        table.attrs[f"{name}_exponent_error"] = error
        table.attrs[f"predicted_{name}_exponent"] = predicted
    return table


@final
class _Neighbours:
    """The nearest points of each x, up to the angle at which the list may be incomplete."""

    def __init__(self, points: Floats, x: Floats, count: int) -> None:
        from scipy.spatial import cKDTree

        chord, index = cKDTree(points).query(x, k=np.arange(1, count + 1))
        angle = 2.0 * np.arcsin(np.minimum(0.5 * chord, 1.0))
        # Beyond the nearest of the farthest ones, a point that is not listed could fire.
        self.most = float(angle[:, -1].min()) if count < len(points) else float(np.pi)
        self.angle, self.off = angle, points[index] - x[:, None, :]
        self.x, self.cosine = x, 1.0 - 0.5 * chord**2

    def ripple(self, a: float, mean: float) -> Floats:
        """|y - A x|^2 at each x for latents of half-width a and gain 1."""
        used = int((self.angle < a).sum(axis=1).max())  # columns are in order of the angle
        angle = self.angle[:, :used]
        kernel = 2.0 * np.sin(0.5 * (a + angle)) * np.sin(0.5 * (a - angle))
        kernel = np.where(angle < a, kernel, 0.0)
        off = np.einsum("ij,ijk->ik", kernel, self.off[:, :used])
        off += (kernel.sum(axis=1) - mean)[:, None] * self.x
        return np.asarray((off**2).sum(axis=1))


class _Excess(NamedTuple):
    excess: float  # with the best gain
    error: float
    gain: float
    least: float  # what the excess would be without ripple


def _excess(a: float, n: int, d: int, l1: float, near: _Neighbours) -> _Excess:
    m = 1.0 - 0.5 * l1
    s = 0.5 * a * (_NODES + 1.0)
    density = n * 0.5 * a * _WEIGHTS * np.sin(s) ** (d - 2) / _whole(d)
    kernel = 2.0 * np.sin(0.5 * (a + s)) * np.sin(0.5 * (a - s))
    mean = float(density @ (kernel * np.cos(s)))
    lost = float(density @ (kernel * 2.0 * np.sin(0.5 * s) ** 2))
    width = min(0.5 * l1 * lost / mean, m)
    least = width * (2.0 * m - width)
    ripple = near.ripple(a, mean)
    power, error = float(ripple.mean()), float(ripple.std(ddof=1) / np.sqrt(ripple.size))
    square = mean * mean + power
    net = m * mean - 0.5 * l1 * lost
    if net <= 0.0:
        return _Excess(m * m, 0.0, 0.0, least)
    excess = (m * m * power + l1 * lost * (m * mean - 0.25 * l1 * lost)) / square
    return _Excess(excess, (net / square) ** 2 * error, net / square, least)


def _search(at: Callable[[float], _Excess], most: float, n: int, d: int) -> tuple[float, bool]:
    """Best half-width, and whether no wider one could be better."""
    tried: list[float] = []
    values: list[float] = []
    complete = most >= np.pi
    # From a quarter of a latent that fires: narrower ones are rarely seen by the sample.
    a = min(cap_angle(min(0.25 / n, 0.5), d), 0.5 * most)
    while a < most:
        found = at(a)
        if values and found.least >= min(values):  # least grows with a
            complete = True
            break
        tried.append(a)
        values.append(found.excess)
        a = min(a * 1.01, a + 0.01)
    tried.append(min(a, most))
    values.append(at(tried[-1]).excess)
    best, level = tried[int(np.argmin(values))], min(values)
    for k in range(1, len(tried) - 1):
        if values[k] <= min(values[k - 1], values[k + 1], 1.1 * min(values)):
            candidate = _golden(at, tried[k - 1], tried[k + 1])
            value = at(candidate).excess
            if value < level:
                best, level = candidate, value
    return best, complete


def _whole(d: int) -> float:
    """Integral of sin(s)^(d-2) over (0, pi)."""
    from scipy.special import beta

    return float(beta(0.5 * (d - 1.0), 0.5))


def _golden(at: Callable[[float], _Excess], low: float, high: float) -> float:
    ratio = 0.5 * (np.sqrt(5.0) - 1.0)
    for _ in range(18):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if at(left).excess < at(right).excess:
            high = right
        else:
            low = left
    return float(0.5 * (low + high))


def _slope(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope of a straight line by least squares, with its standard error (0 for two points)."""
    from_mean = x - x.mean()
    spread = float(from_mean @ from_mean)
    slope = float(from_mean @ y) / spread
    left = y - y.mean() - slope * from_mean
    return slope, float(np.sqrt((left @ left) / max(x.size - 2, 1) / spread))
