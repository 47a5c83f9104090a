"""Phase diagram: the share of latents that discover a feature, D(N)/N, over alpha and beta.

Every feature has the curve (1+n)^-beta. The line alpha = beta separates the regimes in the limit;
the panels show how slowly that limit comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.allocation import allocate
from scaling_theory.curves import PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population

if TYPE_CHECKING:
    import pandas as pd

SIZE = (11.0, 3.7)
AXES = (1, 3)

BUDGETS = (10**4, 10**8, 10**12)
GRID = np.round(np.linspace(0.125, 2.0, 16), 10)


def data() -> pd.DataFrame:
    """One row per (latents, alpha, beta): discovered and efficiency."""
    import pandas as pd

    rows = []
    for alpha in GRID.tolist():
        frequencies = PowerLawFrequencies(alpha)
        for beta in GRID.tolist():
            population = Population(frequencies, PowerLawCurve(beta=beta))
            for latents in BUDGETS:
                found = allocate(population, latents).discovered
                rows.append((latents, alpha, beta, found, found / latents))
    names = ["latents", "alpha", "beta", "discovered", "efficiency"]
    table = pd.DataFrame(rows, columns=names)
    return table.sort_values(["latents", "alpha", "beta"], ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """One panel per budget, contours of log10 D(N)/N."""
    levels = np.arange(-8.0, 0.01, 0.5)
    filled = None
    for ax, (latents, part) in zip(axes, data.groupby("latents"), strict=True):
        grid = part.pivot_table(index="beta", columns="alpha", values="efficiency")
        logs = np.log10(grid.to_numpy())
        alpha, beta = grid.columns.to_numpy(dtype=float), grid.index.to_numpy(dtype=float)
        filled = ax.contourf(alpha, beta, logs, levels=levels, cmap="cividis", extend="min")
        lines = ax.contour(
            alpha, beta, logs, levels=[-6, -5, -4, -3, -2, -1, -0.5], colors="black",
            linewidths=0.6, linestyles="solid",
        )  # fmt: skip
        ax.clabel(lines, fmt=lambda v: f"$10^{{{v:g}}}$", fontsize=7)
        ax.plot([alpha[0], alpha[-1]], [alpha[0], alpha[-1]], color="#D55E00", linewidth=1.8)
        ax.annotate(
            r"$\beta = \alpha$", (1.62, 1.62), xytext=(-4, 6), textcoords="offset points",
            rotation=45, fontsize=8, color="#8C2D04", ha="center",
        )  # fmt: skip
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.5}
        ax.text(0.19, 1.88, r"benign, $\beta > \alpha$", fontsize=8, va="center", bbox=box)
        ax.text(1.94, 0.18, r"pathological, $\beta < \alpha$", fontsize=8, ha="right", bbox=box)
        ax.set(
            xlabel=r"$\alpha$ (frequencies $i^{-(1+\alpha)}$)",
            title=f"$N = 10^{{{len(str(latents)) - 1}}}$",
        )
        ax.grid(False)
    axes[0].set_ylabel(r"$\beta$ (loss $(1+n)^{-\beta}$)")
    bar = axes[0].figure.colorbar(filled, ax=list(axes), pad=0.01)
    bar.set_label(r"$\log_{10}\,[D(N)/N]$")
