"""Budgets -> table of L(N), D(N), price and local slopes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._progress import track
from scaling_theory._validate import MAX_LATENTS, Ints
from scaling_theory.allocation.exact import Allocation, allocate
from scaling_theory.allocation.solvers import solver_for
from scaling_theory.population import Population

if TYPE_CHECKING:
    import pandas as pd

#: Half the width, in logarithm of the price, over which the slope of D(N) is taken.
_SLOPE_STEP = 0.1


def logspace(low: Any, high: Any, points: Any = None) -> Ints:
    """Whole numbers evenly spaced on a log scale from ``low`` to ``high``, both included.

    Parameters
    ----------
    low, high
        From 1 to 1e15.
    points
        How many before duplicates are dropped; four per factor of 10 by default.

    Returns
    -------
    Ints
        Increasing, shape (k,) with k at most ``points``.
    """
    first = _validate.real("low", low, low=1.0, high=MAX_LATENTS)
    last = _validate.real("high", high, low=first, high=MAX_LATENTS)
    if points is None:
        number = 1 + math.ceil(4.0 * math.log10(last / first) - 1e-9)
    else:
        number = _validate.whole("points", points, low=1, high=1_000_000)
    return np.unique(np.rint(np.geomspace(first, last, number)).astype(np.int64))


def scaling_curve(population: Population, latents: Any, *, progress: bool = False) -> pd.DataFrame:
    """Solve the allocation for each budget.

    Parameters
    ----------
    population
        Features with their frequencies and loss curves.
    latents
        Budgets, whole numbers from 1 to 1e15, shape (k,); see :func:`logspace`.
    progress
        Show a progress bar with an estimate of the time left on standard error.

    Returns
    -------
    DataFrame
        One row a budget: latents, loss, excess_loss, discovered, efficiency (D/N), price,
        loss_slope (d ln excess / d ln N = -price N / excess, exact; nan without excess),
        discovery_slope (d ln D / d ln N between prices 10% above and below; coarse while D is
        small, nan where no latent lies between), gap and status as in :class:`Allocation`.
    """
    import pandas as pd

    rows = list(scaling_rows(population, latents, progress=progress))
    return pd.DataFrame(rows)


def scaling_rows(
    population: Population, latents: Any, *, progress: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the rows of :func:`scaling_curve` one by one."""
    budgets = _validate.wholes(
        "latents", np.atleast_1d(np.asarray(latents)), low=1, high=MAX_LATENTS
    )
    steps: Iterable[int] = budgets.tolist()
    for n in track(steps, "allocating", len(budgets), enabled=progress):
        yield _row(allocate(population, n))


def _row(at: Allocation) -> dict[str, Any]:
    slope = -at.price * at.latents / at.excess_loss if at.excess_loss > 0.0 else math.nan
    return {
        "latents": at.latents,
        "loss": at.loss,
        "excess_loss": at.excess_loss,
        "discovered": at.discovered,
        "efficiency": at.efficiency,
        "price": at.price,
        "loss_slope": slope,
        "discovery_slope": _discovery_slope(at),
        "gap": at.gap,
        "status": at.status,
    }


def _discovery_slope(at: Allocation) -> float:
    """Slope of ln D against ln N between prices 10% above and below."""
    if at.price == 0.0:
        return 0.0
    ends = []
    for factor in (math.exp(_SLOPE_STEP), math.exp(-_SLOPE_STEP)):
        levels = [solver_for(b).level(at.price * factor) for b in at.population.blocks]
        ends.append((sum(v.count for v in levels), sum(v.discovered for v in levels)))
    (n_low, d_low), (n_high, d_high) = ends
    if n_low == 0 or n_high == n_low:
        n_low, d_low = at.total, at.discovered
    if n_high <= n_low:
        return float("nan")
    return math.log(d_high / d_low) / math.log(n_high / n_low)
