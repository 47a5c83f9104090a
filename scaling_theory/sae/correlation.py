"""Which features tend to be active together: loadings on shared Gaussian factors.

- :class:`Correlation`: random loadings, stated by rank, strength and seed.
- :func:`loadings_of`: the loadings that an argument means, checked.
- :func:`excess`: P(i and j) - P(i) P(j) of two gates, from the bivariate normal distribution.

Gate i is open if g_i < t_i with t_i = Phi^-1(q_i) and g_i = F_i.u + sqrt(1 - |F_i|^2) e_i; factors
u and the e_i are independent standard normal numbers. So g_i is standard normal whatever F_i, and
q_i is the probability of the gate, exactly; g_i and g_j have the correlation F_i.F_j.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.sae.canonical import seed_of

#: Largest number of factors.
MAX_RANK = 1024
#: Correlation, and size of thresholds, up to which :func:`excess` is a series.
_SERIES = 0.25
_NEAR = 6.0
#: Correlation up to which 16 nodes give the integral of :func:`excess` to 1e-12, else 64.
_WEAK = 0.5


@final
@dataclass(frozen=True)
class Correlation:
    """Random loadings: each feature has a uniformly random direction in the space of factors.

    Parameters
    ----------
    rank
        Number of factors r, from 1 to 1024.
    strength
        Length of the loadings |F_i|, in (0, 1). Two features' normal numbers have the correlation
        strength^2 cos(angle), at most strength^2; with r factors its root mean square is
        strength^2 / sqrt(r).
    seed
        Of the directions.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Notes
    -----
    Chanin et al. (2026, arXiv:2602.14687), SynthSAEBench-16k, have loadings with independent normal
    entries of standard deviation 0.1 at r = 25: about ``Correlation(25, 0.5)``, with lengths that
    vary.
    """

    rank: int
    strength: float
    seed: int = 0

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            "rank": _validate.whole("rank", self.rank, low=1, high=MAX_RANK),
            "strength": _validate.real(
                "strength", self.strength, low=0.0, high=1.0, low_open=True, high_open=True
            ),
            "seed": _validate.whole("seed", self.seed),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def loadings(self, features: int) -> Floats:
        """Draw the loadings of so many features, shape (features, rank)."""
        features = _validate.whole("features", features, low=1)
        generator = torch.Generator().manual_seed(seed_of("loadings", self.seed))
        drawn = torch.randn(features, self.rank, generator=generator, dtype=torch.float64).numpy()
        return np.asarray(self.strength * drawn / np.linalg.norm(drawn, axis=1, keepdims=True))


def loadings_of(correlation: Any, features: int) -> tuple[Correlation | Floats | None, Floats]:
    """Return the argument as it is kept, and the loadings (features, r); r = 0 for None."""
    if correlation is None:
        return None, np.zeros((features, 0))
    if isinstance(correlation, Correlation):
        return correlation, correlation.loadings(features)
    try:
        shape = np.shape(correlation)
    except ValueError:
        shape = ()
    if len(shape) != 2 or shape[0] != features or not 1 <= shape[1] <= MAX_RANK:
        raise ValueError(
            f"correlation must be None, a Correlation or loadings of shape ({features}, r) with r "
            f"from 1 to {MAX_RANK}, for example Correlation(rank=8, strength=0.5), got "
            f"{type(correlation).__name__} of shape {shape}"
        )
    flat = _validate.reals("correlation (row by row)", np.reshape(correlation, -1))
    values = flat.reshape(shape) + 0.0
    lengths = np.sqrt((values**2).sum(axis=1))
    if (lengths >= 1.0).any():
        worst = int(np.argmax(lengths))
        raise ValueError(
            f"correlation must have loadings of a length below 1, got {float(lengths[worst])!r} "
            f"for rank {worst + 1}"
        )
    if not values.any():
        return None, np.zeros((features, 0))
    values.flags.writeable = False
    return values, values


def excess(first: Any, second: Any, correlation: Any) -> Floats:
    """P(g < h, g' < k) - P(g < h) P(g' < k) of standard normal numbers that are correlated.

    Parameters
    ----------
    first, second
        Thresholds h and k; infinite ones give 0.
    correlation
        rho in (-1, 1). The arguments are broadcast.

    Notes
    -----
    Up to |rho| = 1/4, and for thresholds up to 6 in size, by Mehler's series, :func:`_series`: one
    product a term and pair. Else by :func:`_quadrature`, which has no cancellation, however small
    the probabilities. The series has some where rho h k is negative: it is right to 1e-15, and to
    1e-12 of the excess plus Phi(-|h|) Phi(-|k|). The quadrature is right to 1e-12 up to
    |rho| = 0.999.
    """
    h, k, rho = (np.asarray(v, dtype=np.float64) for v in (first, second, correlation))
    shape = np.broadcast_shapes(h.shape, k.shape, rho.shape)
    near = (np.abs(h) <= _NEAR, np.abs(k) <= _NEAR)
    weak = np.abs(rho) <= _SERIES
    if weak.all() and near[0].all() and near[1].all():
        return _series(h, k, np.broadcast_to(rho, shape))
    weak = np.broadcast_to(weak & near[0] & near[1], shape)
    out = _series(np.where(near[0], h, 0.0), np.where(near[1], k, 0.0), np.where(weak, rho, 0.0))
    strong = ~weak
    h, k, rho = (np.broadcast_to(v, shape)[strong] for v in (h, k, rho))
    out[strong] = _quadrature(h, k, rho)
    return out


def _series(h: Floats, k: Floats, rho: Floats) -> Floats:
    """Mehler's series: the sum over m >= 1 of rho^m/m psi_{m-1}(h) psi_{m-1}(k).

    psi_m = He_m phi / sqrt(m!), with He_m Hermite's polynomials and phi the normal density. By
    Cramer's bound, |psi_m(x)| <= 1.0865 / sqrt(2 pi) exp(-x^2/4), what is left after M terms is at
    most 1.0865^2/(2 pi) exp(-(h^2 + k^2)/4) |rho|^(M+1) / ((M + 1) (1 - |rho|)). There are as many
    terms as put that below 2^-53 |rho| phi(h) phi(k), rounding of the first term, for all pairs.
    """
    largest = [float(np.abs(v).max(initial=0.0)) for v in (h, k, rho)]
    count = _terms(*largest)
    pairs = list(zip(_hermite(h, count), _hermite(k, count), strict=True))
    total = np.zeros(np.broadcast_shapes(h.shape, k.shape, rho.shape))
    term = np.empty_like(total)
    for m in range(count, 0, -1):  # Horner's scheme
        one, other = pairs[m - 1]
        total += np.multiply(one / m, other, out=term)
        total *= rho
    return total


def _terms(h: float, k: float, rho: float) -> int:
    """Number of terms of :func:`_series` up to a size of the arguments; see there."""
    count, left = 1, 1.0865**2 * math.exp(0.25 * (h * h + k * k)) / (1.0 - rho)
    while left * rho**count > 2.0**-53 * (count + 1):
        count += 1
    return count


def _hermite(x: Floats, count: int) -> list[Floats]:
    """psi_0 to psi_{count - 1} at x, by their three-term recurrence."""
    out = [np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)]
    before = np.zeros_like(x)
    for m in range(1, count):
        out.append((x * out[-1] - math.sqrt(m - 1) * before) / math.sqrt(m))
        before = out[-2]
    return out


def _quadrature(h: Floats, k: Floats, rho: Floats) -> Floats:
    """Plackett (1954): d/drho P is the bivariate density, so the excess its integral from 0 to rho.

    With rho = sin(theta) that is 1/(2 pi) times the integral of
    exp(-(h^2 + k^2 - 2 h k sin(theta)) / (2 cos(theta)^2)) over theta from 0 to asin(rho), by
    Gauss-Legendre quadrature. Arguments have one shape.
    """
    finite = np.isfinite(h) & np.isfinite(k)
    h, k = np.where(finite, h, 0.0), np.where(finite, k, 0.0)
    weak = bool((np.abs(rho) <= _WEAK).all())
    nodes, weights = np.polynomial.legendre.leggauss(16 if weak else 64)
    half = 0.5 * np.arcsin(rho)
    total = np.zeros(h.shape)
    for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
        angle = half * (1.0 + node)
        sine, cosine = np.sin(angle), np.cos(angle)
        total += weight * np.exp(-0.5 * (h * h + k * k - 2.0 * h * k * sine) / (cosine * cosine))
    return np.where(finite, total * half / (2.0 * math.pi), 0.0)
