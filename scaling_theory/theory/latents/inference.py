"""The inverse question: the (alpha, beta) that make latents look as they do.

One measured slope of a rank-frequency curve does not tell alpha: it leaves a curve of pairs
(alpha, beta). :func:`compatible_exponents` finds them with the exact solver at the SAE's own number
of latents, where asymptotic slopes are not reached, and where a second measurement, the local
exponent of the loss, crosses that curve.

For a given alpha the slope is not monotone in beta. It is 0 where latents pile up on one feature,
steepens with beta beyond the features' own 1 + alpha (for alpha > 0), and returns to it as features
become discrete: a slope between the two has two solutions, "rising" and "falling".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from scaling_theory import _validate
from scaling_theory.theory.latents.slope_cases import SlopeCase, along, frame, solutions_of

if TYPE_CHECKING:
    import pandas as pd

#: Values of alpha that are tried by default.
ALPHAS = tuple(round(0.1 * k, 1) for k in range(-5, 16))


@final
@dataclass(frozen=True, eq=False)
class CompatibleExponents:
    """Pairs (alpha, beta) that reproduce a slope of the latents' rank-frequency curve.

    Attributes
    ----------
    slope, latents, ranks, loss_exponent
        What was asked for.
    table
        One row a solution: alpha, beta (inf for one latent per feature), branch ("rising" where
        the curve is steeper for larger beta, "falling", "discrete"), regime, slope (attained; off
        by what one latent changes), early_slope and late_slope (over the first and the second half
        of the ranks on a logarithmic axis: equal on a straight line, and nan where there is no
        rank between), loss_slope (-price N/excess, exact; nan where it depends on a
        number of features that was not given), most (latents on the most frequent feature),
        discovered, efficiency.
    intersections
        Those of the solutions, between the tabulated alpha too, at which -loss_slope is
        ``loss_exponent``; the same columns. Empty for none, or if none was given.
    """

    slope: float
    latents: int
    ranks: tuple[int, int]
    loss_exponent: float | None
    table: pd.DataFrame
    intersections: pd.DataFrame

    def __repr__(self) -> str:
        return (
            f"CompatibleExponents(slope={self.slope:g}, latents={self.latents}, "
            f"ranks={self.ranks}, {len(self.table)} solutions, "
            f"{len(self.intersections)} intersections)"
        )


def compatible_exponents(
    slope: Any,
    latents: Any,
    *,
    ranks: tuple[Any, Any] = (100, 10_000),
    overlap: Any = 1.0,
    loss_exponent: Any = None,
    alphas: Any = ALPHAS,
    betas: tuple[Any, Any] = (0.02, 50.0),
    count: Any = None,
) -> CompatibleExponents:
    """Find the (alpha, beta) whose optimal SAE shows a given rank-frequency slope.

    Every feature has the curve (1+n)^-beta, frequencies are i^-(1+alpha), and the SAE is the exact
    optimum for its number of latents.

    Parameters
    ----------
    slope
        Measured slope of ln frequency against ln rank, less than 0.
    latents
        Number N of latents of the SAE, up to 1e9.
    ranks
        First and last rank between which the slope was measured.
    overlap
        q(n), as in :func:`latent_frequencies`.
    loss_exponent
        Measured local exponent of the excess loss, -d ln excess / d ln N, greater than 0; None
        (default) if unknown.
    alphas
        Values of alpha to solve for, increasing, each greater than -1; shape (k,).
    betas
        Range of beta in which to look for solutions; outside, only beta = inf is considered.
    count
        Number of features for alpha <= 0, where they cannot be infinitely many; at least N. For
        alpha > 0 they are. None (default) takes N: with N latents no more can be found, so that
        frequencies of latents do not depend on it. The loss does, and is left open.

    Returns
    -------
    CompatibleExponents

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Derived here, for the discussion in Michaud, Gorton and McGrath (2025), appendix A.1.
    """
    case = SlopeCase.of(slope, latents, ranks, overlap, count)
    wanted = None
    if loss_exponent is not None:
        wanted = _validate.real("loss_exponent", loss_exponent, low=0.0, low_open=True)
    solutions = solutions_of(case, alphas, betas)
    rows = [case.row(a, b, branch) for a, found in solutions for b, branch in found]
    own = -1.0 - case.slope  # one latent per feature
    if own > -1.0:
        rows.append(case.row(own, math.inf, "discrete"))
    rows.sort(key=lambda row: (row["alpha"], row["beta"]))
    crossings = []
    if wanted is not None:
        crossings = along(case, solutions, lambda a, b: case.loss_exponent(a, b) - wanted)
    return CompatibleExponents(
        case.slope, case.latents, case.ranks, wanted, frame(rows), frame(crossings)
    )


def joint_exponents(
    measured: Any,
    *,
    ranks: tuple[Any, Any] = (100, 10_000),
    overlap: Any = 1.0,
    alphas: Any = ALPHAS,
    betas: tuple[Any, Any] = (0.02, 50.0),
) -> pd.DataFrame:
    """Find the (alpha, beta) that reproduce the slopes of two SAEs of different widths at once.

    Parameters
    ----------
    measured
        Two pairs (latents, slope).
    ranks, overlap, alphas, betas
        As in :func:`compatible_exponents`.

    Returns
    -------
    DataFrame
        One row a common solution, in columns as in :class:`CompatibleExponents` (those of the
        first SAE); no rows if there is none between the given alphas.
    """
    if len(measured) != 2:
        raise ValueError(f"measured must hold two pairs (latents, slope), got {measured!r}")
    first, second = (SlopeCase.of(slope, n, ranks, overlap, None) for n, slope in measured)
    return frame(along(first, solutions_of(first, alphas, betas), second.difference))
