"""Loss curves that the solver is fed with: derived ones, and those of SAEs trained on one manifold.

- :func:`optimal_curve`: what the best SAE that is known does with n latents; None where none is.
- :func:`measured_curve`: what the same recipe reaches on the manifold alone. At rate 1 every input
  is a point of the manifold, and SAEs with few latents use the decoder bias, which in a population
  no feature has to itself; where the manifold is active at :data:`~.settings.RARE` they can't.
- :func:`shared_curve`: TopK curves of several k, weighed by how often a feature gets so many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from scaling_theory.curves import DiscreteCurve, LossCurve, TabulatedCurve
from scaling_theory.measured import MeasuredCurve
from scaling_theory.sae.architectures import Architecture, ReLU, TopK
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import Circle, Points, Shell, Sphere
from scaling_theory.sae.studies._kept import Kept
from scaling_theory.sae.studies.follow.settings import ARCHITECTURES, RARE, singles
from scaling_theory.theory.geometry import (
    basis_curve,
    circle_curve,
    sphere_floor,
    sphere_tiling,
    spread_points,
)

if TYPE_CHECKING:
    import pandas as pd

#: Numbers of latents at which tilings of spheres are computed.
_TILINGS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192)


@cache
def optimal_curve(manifold: Data, architecture: Architecture) -> LossCurve | None:
    """Return L(n) of the best SAE that is known, or None where no derived curve is at hand.

    ReLU: one latent for a point (floor l1 - l1^2/4); the best symmetric tilings of the circle; the
    half-axis basis of shells, which trained SAEs do not leave; on spheres the better of that basis
    and equal latents on well-spread points. TopK: one latent for a point; where k is at least the
    dimension the basis, which is exact with 2 d latents.
    """
    if isinstance(architecture, ReLU):
        l1 = architecture.l1
        if isinstance(manifold, Points):
            return DiscreteCurve(residual=sphere_floor(l1))
        if isinstance(manifold, Circle):
            return circle_curve(l1, most=256)
        if isinstance(manifold, Shell):
            return basis_curve(manifold.dimension, l1, manifold.inner, manifold.outer)
        if isinstance(manifold, Sphere):
            return _sphere(manifold.dimension, l1)
    if isinstance(architecture, TopK):
        if isinstance(manifold, Points):
            return DiscreteCurve(residual=0.0)
        if isinstance(manifold, Circle | Sphere) and architecture.k >= manifold.dimension:
            return basis_curve(manifold.dimension, l1=0.0)
    return None


def trained_curve(
    manifold: Data, architecture: Architecture, kept: Kept, rate: float = 1.0
) -> LossCurve:
    """Return L(n) of SAEs trained on the manifold alone; for a point, :func:`optimal_curve`.

    A point needs one latent, and a trained SAE reaches what that can reach.
    """
    if isinstance(manifold, Points):
        curve = optimal_curve(manifold, architecture)
        assert curve is not None
        return curve
    # flat beyond 192 latents, more than a feature gets at the widths of the study
    return measured_curve(manifold, architecture, kept, rate).to_curve(beyond="flat")


def measured_curve(
    manifold: Data, architecture: Architecture, kept: Kept, rate: float = 1.0
) -> MeasuredCurve:
    """Return the measured curve of SAEs trained on a manifold alone, with n = 0.

    At a rate below 1 all means are over the inputs on which it is active: those on which it is not
    cost next to nothing, and what they do cost is counted.
    """
    runs = kept.runs(singles(manifold, architecture, rate))
    if rate == 1.0:
        return runs.curve()
    names = ("loss", "stderr", "overlap", "magnitude")
    rows = tuple({**row, **{name: float(row[name]) / rate for name in names}} for row in runs.rows)
    for row in rows:  # a latent that fires on empty inputs would count here
        row["overlap"] = min(float(row["overlap"]), float(row["width"]))
    return replace(runs, rows=rows).curve()


def shared_curve(
    curves: Sequence[LossCurve], shares: Sequence[float], most: int = 256
) -> LossCurve:
    """Return sum over k of shares[k] curves[k](n), as a table up to ``most`` latents.

    ``curves[k]`` is the loss where the feature gets k latents of a sample; ``curves[0]`` is that of
    a feature without any.
    """
    n = np.arange(most + 1)
    loss = sum(share * curve.loss(n) for share, curve in zip(shares, curves, strict=True))
    return TabulatedCurve(n, np.minimum.accumulate(np.asarray(loss)))


def _sphere(dimension: int, l1: float) -> TabulatedCurve:
    """The half-axis basis up to 2 d latents, then tilings where they are better."""
    basis = basis_curve(dimension, l1)
    few = np.arange(2 * dimension + 1)
    many = np.array([n for n in _TILINGS if n > 2 * dimension])
    tilings = [sphere_tiling(spread_points(int(n), dimension), l1, samples=2048).loss for n in many]
    loss = np.concatenate((basis.loss(few), tilings))
    return TabulatedCurve(np.concatenate((few, many)), np.minimum.accumulate(loss))


def betas(kept: Kept | None = None) -> pd.DataFrame:
    """Return the excess exponents of the manifolds of the study, trained alone with ReLU.

    Returns
    -------
    DataFrame
        ``manifold``, ``rate`` (how often it is active), ``beta``, ``low``, ``high``, ``status``:
        from 2d latents on, with a free floor.
    """
    import pandas as pd

    kept = Kept("follow") if kept is None else kept
    rows = []
    for manifold in (Circle(), Sphere(3), Sphere(4), Shell(3)):
        for rate in (1.0, RARE):
            curve = measured_curve(manifold, ARCHITECTURES["ReLU"], kept, rate)
            most = int(curve.n[-1])
            found = curve.exponents(between=(2 * manifold.dimension, most)).excess
            low, high = found.interval
            row = {"manifold": repr(manifold), "rate": rate, "beta": found.value}
            rows.append({**row, "low": low, "high": high, "status": found.status})
    return pd.DataFrame(rows)
