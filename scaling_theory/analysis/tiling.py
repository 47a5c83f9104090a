"""What tiling would do to nearest-neighbour cosines, and how much of it a decoder shows.

- :func:`expected_neighbour_cosine`: m latents on one sphere, at random or spread as well as can
  be. Angles shrink as m^(-1/D), D the dimension of the manifold, so cosines tend to 1.
- :func:`tiling_share`: the share of rows that are nearer to another row than unrelated rows are,
  with an interval. It finds crowding of any kind: manifolds that are tiled, duplicates, directions
  that share a component.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np

from scaling_theory import _validate
from scaling_theory.analysis.decoders import Baseline, DecoderNeighbours, decoder_neighbours
from scaling_theory.analysis.directions import RandomDirections, SampledDirections
from scaling_theory.theory.geometry.covering import MAX_DIMENSION, cap_angle

Arrangement = Literal["random", "spread"]

#: (dimension, points): largest cosine of a pair where it is as small as it can be. Icosahedron
#: (Fejes Toth 1943), 600-cell (Boroczky 1978), roots of E8 and shortest vectors of the Leech
#: lattice (Levenshtein 1979); Conway and Sloane, Sphere Packings, Lattices and Groups, chapter 1.
_KNOWN = {
    (3, 12): math.sqrt(0.2),
    (4, 120): math.cos(math.pi / 5.0),
    (8, 240): 0.5,
    (24, 196560): 0.5,
}


@final
@dataclass(frozen=True)
class ExpectedCosine:
    """Nearest-neighbour cosine of m points on the unit sphere of R^d.

    Attributes
    ----------
    latents, dimension, arrangement
        m, d, and how the points lie.
    cosine : float
        "random": the mean over points. "spread": the largest cosine of a pair where that is as
        small as it can be; nan where it is not known.
    low, high : float
        Bounds on it, equal to it where it is known.
    exponent : float
        1/(d - 1): the angle shrinks as m to minus this power.
    status : str
        "exact" or "bracketed".
    """

    latents: int
    dimension: int
    arrangement: Arrangement
    cosine: float
    low: float
    high: float
    exponent: float
    status: Literal["exact", "bracketed"]


@final
@dataclass(frozen=True)
class TilingShare:
    """Share of a decoder's rows whose neighbours a baseline can't explain.

    Attributes
    ----------
    share : float
        Estimate of the share of rows with a nearest neighbour that the baseline can't explain. Not
        clamped: a little below 0 where fewer rows than expected are above the threshold.
    low, high : float
        Interval at ``level``.
    many_share, many_low, many_high : float
        The same for rows whose second nearest neighbour is above the threshold too: tiled
        manifolds, not pairs of duplicates (but three copies count). nan where only two rows count.
    baseline, quantile, threshold
        Which baseline, at which of its quantiles, and the cosine there.
    expected, expected_many : float
        Share of the baseline above the threshold.
    rows, above, above_many : int
        Rows asked after, and how many of them are above.
    level : float
        Confidence level of both intervals.
    status : str
        "crowded": ``low`` is above 0; "explained": the interval has 0 in it; "sparse": ``high`` is
        below 0, so that rows keep away from each other.
    message : str
        The result in a sentence.
    """

    share: float
    low: float
    high: float
    many_share: float
    many_low: float
    many_high: float
    baseline: Baseline
    quantile: float
    threshold: float
    expected: float
    expected_many: float
    rows: int
    above: int
    above_many: int
    level: float
    status: Literal["crowded", "explained", "sparse"]
    message: str


def expected_neighbour_cosine(
    latents: int, dimension: int, arrangement: Arrangement = "spread"
) -> ExpectedCosine:
    """Return the nearest-neighbour cosine of latents that cover one sphere.

    A trained SAE need not do either: the directions of an SAE that tiles are between the two, if
    it tiles evenly.

    Parameters
    ----------
    latents
        Number m of points, 2 to 1e12.
    dimension
        Dimension d of the space, 2 (the circle) to 10,000; the sphere has D = d - 1.
    arrangement
        "random": independent points; the mean over points, exact for all m and d. "spread": so
        that the closest pair is as far apart as it can be. Exact on the circle, cos(2 pi/m), for
        m <= 2 d and for the icosahedron, the 600-cell, E8 and the Leech lattice; bounds otherwise.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Spread: -1/(m - 1) for m <= d + 1 (simplex) and 0 for d + 2 <= m <= 2 d (Rankin 1955). Below,
    caps of half the least angle do not overlap, so m cap(angle/2) <= 1; on the ordinary sphere
    Fejes Toth's bound is sharper, cos(angle) >= (cot(w)^2 - 1)/2 with w = pi m/(6 (m - 2)). Above,
    points are added while caps of the least angle leave room: (m - 1) cap(angle) < 1 will do. Both
    angles are constants times m^(-1/D). Random points have a mean squared angle with the same
    power (``theory.geometry.covering``).
    """
    m = _validate.whole("latents", latents, low=2, high=10**12)
    d = _validate.whole("dimension", dimension, low=2, high=MAX_DIMENSION)
    if arrangement == "random":
        exact = RandomDirections(m, d).mean()
    elif arrangement == "spread":
        exact = _spread(m, d)
    else:
        raise ValueError(f'arrangement must be "random" or "spread", got {arrangement!r}')
    known = not math.isnan(exact)
    low, high = (exact, exact) if known else _bracket(m, d)
    return ExpectedCosine(
        latents=m, dimension=d, arrangement=arrangement, cosine=exact, low=low, high=high,
        exponent=1.0 / (d - 1.0), status="exact" if known else "bracketed",
    )  # fmt: skip


def tiling_share(
    decoder: Any,
    *,
    baseline: Baseline = "anisotropic",
    quantile: float = 0.999,
    level: float = 0.95,
    **options: Any,
) -> TilingShare:
    """Estimate the share of rows whose neighbours a baseline can't explain.

    What it can't tell: whether crowded rows tile a manifold, copy each other or share a component
    (``many_share`` leaves pairs out; give ``alive=`` to leave out dead copies). What it misses:
    manifolds with so few latents, or of so many dimensions, that their neighbours are no nearer
    than the threshold; and, with the anisotropic baseline, a manifold that holds nearly all of the
    rows, whose dimensions that baseline takes for a preference: compare the isotropic one.

    Parameters
    ----------
    decoder
        Result of :func:`~scaling_theory.analysis.decoders.decoder_neighbours`, or a decoder, which
        is handed to it with ``options``.
    baseline
        "anisotropic", the default, or "isotropic".
    quantile
        Of the baseline, in (0, 1): rows above it are counted.
    level
        Confidence level of the intervals, in (0, 1).

    Raises
    ------
    ValueError
        If an argument is out of range, or the baseline is not there.

    Notes
    -----
    If a share s of the rows is crowded and always above the threshold, and the rest is above it as
    often as the baseline, e, a share s + (1 - s) e is above: s = (above - e)/(1 - e). Crowded rows
    that stay below make s an estimate from below.

    Intervals are Clopper-Pearson's on above, and on e where it was drawn: the least s of both and
    the largest, so wide rather than narrow. Unrelated rows come above the threshold in pairs that
    are mutual neighbours, so counts have 1 + (q - 1)/(n - 1) times the binomial variance for q of
    n rows asked after, and counts and rows are divided by that. Crowds of more than two that the
    baseline has by chance are not allowed for.
    """
    found = _found(decoder, baseline, options)
    quantile = _validate.real(
        "quantile", quantile, low=0.0, high=1.0, low_open=True, high_open=True
    )
    level = _validate.real("level", level, low=0.0, high=1.0, low_open=True, high_open=True)
    law = found.baseline(baseline)
    threshold = float(law.quantile(quantile))
    q, drawn = found.rows.size, law.cosine.size if isinstance(law, SampledDirections) else 0
    design = 1.0 + (q - 1.0) / (found.count - 1.0)
    above = int(np.sum(found.cosine > threshold))
    many = int(np.sum(found.second_cosine > threshold))
    expected = float(law.survival(threshold))
    share, low, high = _excess(above, q, design, expected, drawn, level)
    if found.count > 2:
        expected_many = float(law.survival(threshold, second=True))
        many_share, many_low, many_high = _excess(many, q, design, expected_many, drawn, level)
    else:
        expected_many = many_share = many_low = many_high = math.nan
    status: Literal["crowded", "explained", "sparse"] = "explained"
    if low > 0.0 or high < 0.0:
        status = "crowded" if low > 0.0 else "sparse"
    return TilingShare(
        share=share, low=low, high=high, many_share=many_share, many_low=many_low,
        many_high=many_high, baseline=baseline, quantile=quantile, threshold=threshold,
        expected=expected, expected_many=expected_many, rows=q, above=above, above_many=many,
        level=level, status=status,
        message=f"{above} of {q} rows have a neighbour above {threshold:.4f}, where the {baseline} "
        f"baseline has {expected * q:.1f}; {many} have two",
    )  # fmt: skip


def proportion_interval(count: float, total: float, level: float) -> tuple[float, float]:
    """Clopper and Pearson's interval (1934) of a proportion; counts need not be whole."""
    from scipy.special import betaincinv

    half = 0.5 * (1.0 - level)
    low = 0.0 if count <= 0.0 else float(betaincinv(count, total - count + 1.0, half))
    high = 1.0 if count >= total else float(betaincinv(count + 1.0, total - count, 1.0 - half))
    return low, high


def _found(decoder: Any, baseline: Baseline, options: dict[str, Any]) -> DecoderNeighbours:
    if not isinstance(decoder, DecoderNeighbours):
        if baseline == "isotropic":
            options = {"baseline_samples": 0, **options}
        return decoder_neighbours(decoder, **options)
    if options:
        raise ValueError(
            f"{next(iter(options))} must not be given with neighbours that have been found"
        )
    return decoder


def _excess(
    above: int, total: int, design: float, expected: float, drawn: int, level: float
) -> tuple[float, float, float]:
    """Share that is not of the baseline, and its interval."""
    low, high = proportion_interval(above / design, total / design, level)
    least, most = expected, expected
    if drawn:
        least, most = proportion_interval(expected * drawn, drawn, level)
    ends = (above / total, expected), (low, most), (high, least)
    share, below, beyond = ((a - e) / (1.0 - e) if e < 1.0 else -math.inf for a, e in ends)
    return share, below, beyond


def _spread(m: int, d: int) -> float:
    if d == 2:
        return math.cos(2.0 * math.pi / m)
    if m <= d + 1:
        return -1.0 / (m - 1.0)
    return 0.0 if m <= 2 * d else _KNOWN.get((d, m), math.nan)


def _bracket(m: int, d: int) -> tuple[float, float]:
    """Bounds on the least largest cosine of more than 2 d points in three dimensions or more."""
    low = max(0.0, math.cos(2.0 * cap_angle(1.0 / m, d)))
    if d == 3:
        low = max(low, 0.5 * (math.tan(math.pi * m / (6.0 * (m - 2.0))) ** -2 - 1.0))
    return low, math.cos(cap_angle(1.0 / (m - 1.0), d))
