"""Symmetric tilings of the unit circle by n ReLU latents, exactly.

- :func:`circle_tiling`: the best threshold and gain for n latents.
- :func:`circle_tiling_at`: the best gain for a threshold of your own.
- :func:`circle_curve`: the whole curve L(n), for ``allocate``.
- :func:`circle_law`: what excess loss and overlap tend to, n^(-4/3) and n^(1/3).
- :func:`~scaling_theory.theory.geometry.circle_ideal`: what a better encoder reaches, n^-2.
- :func:`~scaling_theory.theory.geometry.circle_optimum`: SAEs that are not symmetric, few latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.curves import TabulatedCurve
from scaling_theory.theory.geometry._ripple import means, ripple
from scaling_theory.theory.geometry.floor import sphere_floor

#: Largest number of latents of a tiling.
MAX_TILES = 10**9


@final
@dataclass(frozen=True)
class CircleTiling:
    """A symmetric tiling of the unit circle, with its best gain.

    Attributes
    ----------
    n, l1
        Number of latents, and weight of the L1 penalty.
    loss
        Mean squared error plus penalty; 1 for an SAE that is silent.
    excess
        Loss minus ``sphere_floor(l1)``, computed without that subtraction.
    threshold
        cos(a): latent j fires where the cosine of the angle to it exceeds the threshold.
    half_width
        The angle a, in (0, pi].
    gain
        Encoder gain times decoder norm. Only this product counts, because the penalty weighs each
        latent by its decoder norm. 0 for an SAE that is silent.
    overlap
        q = n a / pi, the mean number of latents that fire together.
    """

    n: int
    l1: float
    loss: float
    excess: float
    threshold: float
    half_width: float
    gain: float
    overlap: float


def circle_tiling(n: int, l1: float = 0.1) -> CircleTiling:
    """Return the best symmetric tiling of the unit circle by n ReLU latents.

    Latent j has decoder direction u_j at 2 pi j/n and fires with g (x.u_j - t)_+; the decoder
    bias is 0. Threshold t in [-1, 1) and gain g are the best ones.

    Parameters
    ----------
    n
        Number of latents, 1 to 1e9.
    l1
        Weight of the L1 penalty, in (0, 2): from 2 on every latent is silent.

    Raises
    ------
    ValueError
        If n or l1 is out of range.

    Notes
    -----
    Derived here (``derive("circle")``). With m = 1 - l1/2, A = E[x.y] and W = E[sum_j f_j] - A at
    gain 1 the best gain is (m A - l1 W/2)/E|y|^2, and the excess loss is

        [m^2 E|y - A x|^2 + l1 W (m A - l1 W/4)] / E|y|^2,

    a sum of positive terms. There is about one local minimum for each whole number that the
    overlap passes, near the half-integers, where the first harmonic of the ripple vanishes. Each
    such interval is scanned and refined. Intervals are left out only where no ripple at all would
    still be too much: the excess is at least m^2 - (m - l1 W/(2A))^2, which grows with a.

    The best symmetric tiling is not always the best SAE, and nothing here bounds by how much one
    without symmetry can be better for many latents: see
    :func:`~scaling_theory.theory.geometry.circle_optimum` and
    :func:`~scaling_theory.theory.geometry.covering_bounds`.
    """
    n = _validate.whole("n", n, low=1, high=MAX_TILES)
    l1 = _l1(l1)
    return _tiling(n, float(_best(np.array([float(n)]), l1)[0]), l1)


def circle_tiling_at(n: int, threshold: float, l1: float = 0.1) -> CircleTiling:
    """Return the symmetric tiling with a given threshold, and the best gain for it.

    Parameters
    ----------
    n, l1
        As for :func:`circle_tiling`.
    threshold
        Cosine in [-1, 1) above which a latent fires. At -1 every latent fires everywhere.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    n = _validate.whole("n", n, low=1, high=MAX_TILES)
    l1 = _l1(l1)
    threshold = _validate.real("threshold", threshold, low=-1.0, high=1.0, high_open=True)
    return _tiling(n, float(np.arccos(threshold)), l1)


def circle_curve(l1: float = 0.1, most: int = 1024) -> TabulatedCurve:
    """Return L(n) of symmetric tilings of the unit circle, as a curve for ``allocate``.

    Parameters
    ----------
    l1
        Weight of the L1 penalty, in (0, 2).
    most
        Last n of the table, 1 to 8192; takes about three seconds for each 1024. Beyond it the law
        n^-(4/3) goes on.

    Returns
    -------
    TabulatedCurve
        L(0) = 1. It never rises, because an SAE may leave latents unused: where n latents tile
        worse than fewer, the loss of the fewer is taken.

    Raises
    ------
    ValueError
        If l1 or most is out of range.
    """
    l1 = _l1(l1)
    most = _validate.whole("most", most, low=1, high=8192)
    n = np.arange(1.0, most + 1.0)
    excess, _ = _excess(n, _best(n, l1), l1)
    floor = sphere_floor(l1)
    losses = np.minimum.accumulate(np.append(1.0, floor + excess))
    return TabulatedCurve(np.arange(most + 1), losses, "power", exponent=4.0 / 3.0, floor=floor)


@final
@dataclass(frozen=True)
class CircleLaw:
    """Leading terms of the best symmetric tiling, for many latents.

    Attributes
    ----------
    exponent, constant
        The excess loss tends to constant n^-exponent; the exponent is 4/3.
    overlap_exponent, overlap_constant
        The overlap tends to overlap_constant n^overlap_exponent; that exponent is 1/3.
    """

    exponent: float
    constant: float
    overlap_exponent: float
    overlap_constant: float

    def excess(self, n: Any) -> Floats:
        """Excess loss for numbers of latents of at least 1."""
        return np.asarray(self.constant * np.power(_counts(n), -self.exponent))

    def overlap(self, n: Any) -> Floats:
        """Mean number of latents that fire together, for numbers of latents of at least 1."""
        return np.asarray(self.overlap_constant * np.power(_counts(n), self.overlap_exponent))


def circle_law(l1: float = 0.1) -> CircleLaw:
    """Return the law that :func:`circle_tiling` tends to.

    Parameters
    ----------
    l1
        Weight of the L1 penalty, in (0, 2).

    Raises
    ------
    ValueError
        If l1 is out of range.

    Notes
    -----
    Derived here (``derive("circle_tiling")``), with m = 1 - l1/2 and y = n a = pi q: the width of
    the arc costs l1 m a^2/10; the ripple, where q is a whole number and a half so that its odd
    harmonics vanish, costs m^2 pi^4/(80 y^4). Their sum is least at y^6 = m pi^4 n^2/(4 l1), where
    it is (3/20) l1 m y^2/n^2.

    q can't follow y/pi smoothly: it stays near whole numbers and a half, and jumps. The excess
    therefore lies above the law by a fraction between 0 and about 1/q^2, of order n^(-2/3), that is
    periodic in q, hence in n^(1/3); and by a fraction of order a^2, or n^(-4/3), from the ripple
    along the circle. Between n = 64 and 1024 the two make the measured exponent larger than 4/3:
    ``python -m scaling_theory.theory.geometry circle``.
    """
    l1 = _l1(l1)
    m = 1.0 - 0.5 * l1
    y = (m * np.pi**4 / (4.0 * l1)) ** (1.0 / 6.0)  # times n^(1/3)
    return CircleLaw(4.0 / 3.0, float(0.15 * l1 * m * y * y), 1.0 / 3.0, float(y / np.pi))


def _l1(l1: float) -> float:
    return _validate.real("l1", l1, low=0.0, high=2.0, low_open=True, high_open=True)


def _counts(n: Any) -> Floats:
    return _validate.reals("n", n if np.ndim(n) else [n], low=1.0)


def _tiling(n: int, a: float, l1: float) -> CircleTiling:
    excess, gain = (float(v[0]) for v in _excess(np.array([float(n)]), np.array([a]), l1))
    loss = sphere_floor(l1) + excess if gain > 0.0 else 1.0
    return CircleTiling(n, l1, loss, excess, float(np.cos(a)), a, gain, n * a / np.pi)


def _excess(n: Floats, a: Floats, l1: float) -> tuple[Floats, Floats]:
    """Excess loss and gain at half-widths a, with the best gain; silent where that is negative."""
    m = 1.0 - 0.5 * l1
    mean, lost = means(n, a)
    power = ripple(n, a)
    square = mean * mean + power
    gain = np.maximum(m * mean - 0.5 * l1 * lost, 0.0) / square
    excess = (m * m * power + l1 * lost * (m * mean - 0.25 * l1 * lost)) / square
    return np.where(gain > 0.0, excess, m * m), gain


def _best(n: Floats, l1: float) -> Floats:
    """Best half-width for each number of latents."""
    best = np.empty_like(n)
    for start in range(0, n.size, 256):
        best[start : start + 256] = _best_of(n[start : start + 256], l1)
    return best


def _best_of(n: Floats, l1: float) -> Floats:
    q0 = circle_law(l1).overlap(n)
    last = np.minimum(np.ceil(4.0 * q0) + 8.0, n)  # intervals (k, k + 1) of the overlap
    owner = np.repeat(np.arange(n.size), last.astype(np.int64))
    k = np.arange(owner.size) - np.repeat(np.cumsum(last) - last, last.astype(np.int64))
    count = n[owner]
    step = np.linspace(0.0, 1.0, 9)
    # If l1 is near 2, only very narrow latents fire: the first interval is scanned from far below.
    scan = np.where(k[:, None] == 0.0, step**6, k[:, None] + step).clip(1e-9)
    values, _ = _excess(count[:, None], scan * np.pi / count[:, None], l1)
    at = values.argmin(axis=1)
    values = values.min(axis=1)
    bound = np.full(n.size, np.inf)
    np.minimum.at(bound, owner, values)
    _certify(n, last, bound, l1)
    # A scanned value is less than twice the minimum of its interval; the others cannot win.
    kept = values <= 2.0 * bound[owner]
    low = scan[kept, np.maximum(at[kept] - 1, 0)]
    high = scan[kept, np.minimum(at[kept] + 1, 8)]
    owner, count = owner[kept], count[kept]
    q = _golden(low, high, count, l1)
    values, _ = _excess(count, q * np.pi / count, l1)
    first = np.lexsort((values, owner))
    chosen = first[np.unique(owner[first], return_index=True)[1]]
    return np.asarray(q[chosen] * np.pi / n)


def _certify(n: Floats, last: Floats, bound: Floats, l1: float) -> None:
    """Check that no overlap beyond the scanned ones can be better than the bound."""
    m = 1.0 - 0.5 * l1
    mean, lost = means(n, last * np.pi / n)
    width = np.minimum(0.5 * l1 * lost / mean, m)
    if not ((last >= n) | (width * (2.0 * m - width) >= bound)).all():
        raise AssertionError("the scan of the overlap ended too early")


def _golden(low: Floats, high: Floats, n: Floats, l1: float) -> Floats:
    """Minimise the excess over the overlap in each bracket, by golden sections."""
    ratio = 0.5 * (np.sqrt(5.0) - 1.0)
    for _ in range(36):
        step = ratio * (high - low)
        left, right = high - step, low + step
        better = _excess(n, left * np.pi / n, l1)[0] < _excess(n, right * np.pi / n, l1)[0]
        low, high = np.where(better, low, left), np.where(better, right, high)
    return np.asarray(0.5 * (low + high))
