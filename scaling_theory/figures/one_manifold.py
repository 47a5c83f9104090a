"""Michaud, Gorton and McGrath (2025), Figure 2 right: one manifold among discrete features.

alpha = 0.5; the most frequent feature has L(n) = n^-beta, all others are discrete with residual 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scaling_theory.curves import DiscreteCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.scaling import logspace, scaling_curve

if TYPE_CHECKING:
    import pandas as pd

SIZE = (9.0, 3.8)
AXES = (1, 2)

ALPHA = 0.5
BETAS = (0.1, 0.2, 0.3, 0.5, 1.0)
_COLOURS = ("#000000", "#3B528B", "#21918C", "#D55E00", "#CC79A7")
_DASHES = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), ":")


def data() -> pd.DataFrame:
    """Scaling curves for each beta, N from 1e2 to 1e8."""
    import pandas as pd

    frequencies = PowerLawFrequencies(ALPHA)
    tables = []
    for beta in BETAS:
        manifold = PowerLawCurve(beta=beta, shift=0)
        population = Population(frequencies, DiscreteCurve(), ranks={1: manifold})
        table = scaling_curve(population, logspace(1e2, 1e8, 25))
        table.insert(0, "beta", beta)
        table.insert(0, "alpha", ALPHA)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Loss on the left, discovered features on the right."""
    left, right = axes
    for (beta, part), colour, dash in zip(data.groupby("beta"), _COLOURS, _DASHES, strict=True):
        style = {"color": colour, "linestyle": dash, "label": rf"$\beta = {beta:g}$"}
        left.loglog(part["latents"], part["loss"], **style)
        right.loglog(part["latents"], part["discovered"], **style)
    ends = data["latents"].min(), data["latents"].max()
    right.loglog(ends, ends, color="#999999", linewidth=0.8, label="$D = N$")
    worst = data[data["beta"] == data["beta"].min()].iloc[-1]
    right.annotate(
        f"{worst['discovered'] / 1e6:.2f} million features\n"
        f"with {worst['latents'] / 1e6:.0f} million latents",
        (worst["latents"], worst["discovered"]),
        xytext=(0.97, 0.30), textcoords="axes fraction", ha="right", fontsize=8,
        arrowprops={"arrowstyle": "-", "color": "#666666"},
    )  # fmt: skip
    left.set(xlabel="latents $N$", ylabel=r"loss $\sum_i p_i L_i(n_i)$", title="Loss")
    right.set(
        xlabel="latents $N$", ylabel="discovered features $D(N)$", title="Discovery (same curves)"
    )
    title = "$\\alpha = 0.5$; rank 1: $n^{-\\beta}$,\nothers discrete"
    left.legend(title=title, fontsize=8, title_fontsize=8)
    right.legend(*(part[-1:] for part in right.get_legend_handles_labels()), fontsize=8)
