"""Local slope of the excess loss against N: exact optimum, uniform law, and the limit.

Left: every feature has the curve (1+n)^-beta. Right: a hundredth of the features, drawn at random,
are manifolds with beta = 0.1 and the others discrete: three draws, and the mean field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.curves import DiscreteCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.scaling import logspace, scaling_curve
from scaling_theory.theory import mean_field, predict

if TYPE_CHECKING:
    import pandas as pd

SIZE = (10.2, 4.0)
AXES = (1, 2)
SEED = 0

ALPHA = 0.5
BETAS = (2.0, 1.0, 0.5, 0.25, 0.1)
SHARE, MANIFOLD_BETA, DRAWS = 0.01, 0.1, (0, 3, 8)
_COLOURS = ("#0B3C8C", "#21918C", "#000000", "#D55E00", "#A0185A")


def data() -> pd.DataFrame:
    """One row per (panel, series, latents): exact slope, the law's, and the limit."""
    import pandas as pd

    law = PowerLawFrequencies(ALPHA)
    dense = np.geomspace(1e2, 1e15, 66)
    tables = []
    for beta in BETAS:
        population = Population(law, PowerLawCurve(beta=beta))
        said = predict(population=population)
        tables.append(_table("one curve", rf"$\beta = {beta:g}$", population, said, dense))
    step, tile = DiscreteCurve(), PowerLawCurve(beta=MANIFOLD_BETA)
    groups = {"manifold": (SHARE, tile), "discrete": (1.0 - SHARE, step)}
    for seed in DRAWS:
        population = Population.mixture(law, groups, seed)
        said = predict(population=population)
        tables.append(_table("mixture", f"draw {seed}", population, said, dense))
    average = mean_field(law, groups)
    tables.append(
        pd.DataFrame(
            {
                "panel": "mixture",
                "series": "mean field",
                "latents": dense,
                "predicted": average.loss_slope(dense),
                "limit": -average.loss_exponent,
            }
        )
    )
    return pd.concat(tables, ignore_index=True)


def _table(panel: str, series: str, population: Population, said: Any, dense: Any) -> pd.DataFrame:
    import pandas as pd

    exact = scaling_curve(population, logspace(1e2, 1e12, 21))
    both = [
        pd.DataFrame({"latents": exact["latents"].astype(float), "exact": exact["loss_slope"]}),
        pd.DataFrame({"latents": dense, "predicted": said.loss_slope(dense)}),
    ]
    table = pd.concat(both, ignore_index=True)
    table.insert(0, "series", series)
    table.insert(0, "panel", panel)
    return table.assign(limit=-said.loss_exponent, crossover=said.crossover)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Markers: exact; lines: predicted; dotted: limit."""
    for ax, (panel, part) in zip(axes, data.groupby("panel", sort=False), strict=True):
        for (series, rows), colour in zip(
            part.groupby("series", sort=False), _COLOURS, strict=False
        ):
            exact, said = rows.dropna(subset=["exact"]), rows.dropna(subset=["predicted"])
            name = str(series)
            if exact.empty:
                ax.semilogx(said["latents"], -said["predicted"], "--", color="#666666", label=name)
                continue
            ax.semilogx(said["latents"], -said["predicted"], color=colour, label=name)
            ax.semilogx(exact["latents"], -exact["exact"], "o", color=colour, markersize=3.2)
            last = float(-rows["limit"].iloc[0])
            ax.axhline(last, color=colour, linewidth=0.8, linestyle=":")
        ax.set(xlabel="latents $N$", ylabel=r"$-d\ln$ excess loss$\,/\,d\ln N$", xlim=(1e2, 1e15))
        ax.set_title(_TITLES[str(panel)], fontsize=9)
        ax.legend(fontsize=8)


_TITLES = {
    "one curve": rf"$\alpha = {ALPHA:g}$, every feature $(1+n)^{{-\beta}}$"
    "\n"
    "markers: exact optimum; lines: closed form; dotted: limit",
    "mixture": rf"$\alpha = {ALPHA:g}$, {SHARE:.0%} manifolds with $\beta = {MANIFOLD_BETA:g}$,"
    " others discrete\n(three draws, and the mean over all draws at a price)",
}
