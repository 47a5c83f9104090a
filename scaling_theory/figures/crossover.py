"""From which N the limits hold: contours of the crossover over alpha and beta.

The crossover is the N from which the local slope of the excess loss is within 10% of its limit;
every feature has the curve (1+n)^-beta. Beyond 1e12 latents it is out of reach of any SAE. The CSV
also holds the local slope of the exact optimum at the predicted crossover over 1.25 and times 1.25,
where that lies between 1e2 and 1e12: as the chord of ln excess over a factor 1.1 to both sides,
since the price of a single latent goes up and down by (1+alpha)/D.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.allocation import allocate
from scaling_theory.curves import PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.theory import predict

if TYPE_CHECKING:
    import pandas as pd

SIZE = (6.2, 4.9)
AXES = (1, 1)

GRID = np.round(np.geomspace(0.1, 2.0, 12), 3)
_FINE = np.geomspace(0.1, 2.0, 37)
_CHECKED = (1e2, 1e12)
_FACTOR = 1.25
_CHORD = 1.1


def data() -> pd.DataFrame:
    """One row per (alpha, beta): the crossover, and off the limit by how much around it."""
    import pandas as pd

    rows = []
    pairs = {(a, b) for a in _FINE.tolist() for b in _FINE.tolist()}
    checked = {(a, b) for a in GRID.tolist() for b in GRID.tolist()}
    for alpha, beta in sorted(pairs | checked):
        said = predict(alpha=alpha, beta=beta)
        row = {
            "alpha": alpha,
            "beta": beta,
            "regime": said.regime,
            "crossover": said.crossover,
            "within_reach": said.within_reach,
        }
        if (alpha, beta) in checked and _CHECKED[0] <= said.crossover <= _CHECKED[1]:
            limit = said.loss_exponent
            for name, n in (
                ("exact_before", said.crossover / _FACTOR),
                ("exact_after", said.crossover * _FACTOR),
            ):
                row[name] = exact_slope(alpha, beta, n) / limit - 1.0
        rows.append(row)
    return pd.DataFrame(rows)


def exact_slope(alpha: float, beta: float, latents: float) -> float:
    """Return -d ln excess / d ln N of the exact optimum, over a factor 1.1 to both sides."""
    population = Population(PowerLawFrequencies(alpha), PowerLawCurve(beta=beta))
    budgets = [round(latents / _CHORD), round(latents * _CHORD)]
    low, high = (allocate(population, n).excess_loss for n in budgets)
    return -math.log(high / low) / math.log(budgets[1] / budgets[0])


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Contours of log10 of the crossover; hatched where it is out of reach."""
    ax = axes[0]
    fine = data[data["alpha"].isin(_FINE) & data["beta"].isin(_FINE)]
    grid = fine.pivot_table(index="beta", columns="alpha", values="crossover", dropna=False)
    logs = np.log10(np.minimum(grid.to_numpy(), 1e60))
    alpha, beta = grid.columns.to_numpy(dtype=float), grid.index.to_numpy(dtype=float)
    levels = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    filled = ax.contourf(alpha, beta, logs, levels=levels, cmap="cividis", extend="min")
    ax.contourf(alpha, beta, logs, levels=[12.0, 400.0], colors=["#ffffff"], hatches=["////"])
    lines = ax.contour(
        alpha, beta, logs, levels=[2, 3, 4, 6, 8, 12], colors="black", linewidths=0.7
    )
    ax.clabel(lines, fmt=lambda v: f"$10^{{{v:g}}}$", fontsize=7)
    ax.plot([0.1, 2.0], [0.1, 2.0], color="#D55E00", linewidth=1.8)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
    ax.text(0.108, 1.72, r"benign, $\beta > \alpha$", fontsize=8, bbox=box)
    ax.text(1.9, 0.112, r"pathological, $\beta < \alpha$", fontsize=8, ha="right", bbox=box)
    ax.text(
        0.155, 0.155, "out of reach,\n$N > 10^{12}$", fontsize=8, ha="center", va="center", bbox=box
    )
    ticks = [0.1, 0.2, 0.5, 1.0, 2.0]
    ax.set(
        xscale="log", yscale="log", aspect="equal",
        xlabel=r"$\alpha$ (frequencies $i^{-(1+\alpha)}$)",
        ylabel=r"$\beta$ (loss $(1+n)^{-\beta}$)",
        title="$N$ from which the slope of the loss\nis within 10% of its limit",
    )  # fmt: skip
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.grid(False)
    bar = ax.figure.colorbar(filled, ax=ax, pad=0.02)
    bar.set_label(r"$\log_{10} N$")
