"""Michaud, Gorton and McGrath (2025), Figure 2 left: the table of regimes, held to the solver.

Every feature has the curve (1+n)^-beta. The exponents of the formulas stand beside the local
exponents of the exact integer optimum at growing N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scaling_theory.curves import PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.scaling import scaling_curve
from scaling_theory.theory import predict

if TYPE_CHECKING:
    import pandas as pd

SIZE = (9.6, 2.9)
AXES = (1, 1)

#: (alpha, beta) of the rows.
PAIRS = ((0.5, 2.0), (0.5, 1.0), (0.5, 0.5), (0.5, 0.25), (0.5, 0.1), (1.0, 0.5))
#: Budgets at which local exponents are measured.
BUDGETS = (10**4, 10**8, 10**12)

_FORMULAS = {
    "benign": (r"$N^{-\alpha}$", r"$N$"),
    "critical": (r"$N^{-\alpha}(\ln N)^{1+\alpha}$", r"$N/\ln N$"),
    "pathological": (r"$N^{-\beta}$", r"$N^{(1+\beta)/(1+\alpha)}$"),
}


def data() -> pd.DataFrame:
    """One row per (alpha, beta, N): predicted and measured exponents of loss and discovery."""
    import pandas as pd

    rows = []
    for alpha, beta in PAIRS:
        said = predict(alpha=alpha, beta=beta)
        population = Population(PowerLawFrequencies(alpha), PowerLawCurve(beta=beta))
        for row in scaling_curve(population, BUDGETS).to_dict("records"):
            rows.append(
                {
                    "alpha": alpha,
                    "beta": beta,
                    "regime": said.regime,
                    "latents": row["latents"],
                    "loss_exponent": said.loss_exponent,
                    "measured_loss_exponent": -row["loss_slope"],
                    "discovery_exponent": said.discovery_exponent,
                    "measured_discovery_exponent": row["discovery_slope"],
                    "efficiency": row["efficiency"],
                }
            )
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Draw the table on the first axes."""
    ax = axes[0]
    ax.axis("off")
    budgets = sorted(data["latents"].unique())
    powers = [f"$N=10^{{{len(str(n)) - 1}}}$" for n in budgets]
    head = [
        "regime",
        r"$\alpha$",
        r"$\beta$",
        "excess loss",
        "limit",
        *powers,
        "$D(N)$",
        "limit",
        *powers,
    ]
    cells = []
    for (alpha, beta), part in data.groupby(["alpha", "beta"], sort=False):
        by_n = part.set_index("latents")
        regime = part["regime"].iloc[0]
        loss, discovery = _FORMULAS[regime]
        cells.append(
            [
                regime, f"{alpha:g}", f"{beta:g}",
                loss, f"{part['loss_exponent'].iloc[0]:.3f}",
                *(f"{by_n.loc[n, 'measured_loss_exponent']:.3f}" for n in budgets),
                discovery, f"{part['discovery_exponent'].iloc[0]:.3f}",
                *(f"{by_n.loc[n, 'measured_discovery_exponent']:.3f}" for n in budgets),
            ]
        )  # fmt: skip
    k = len(budgets)
    widths = [1.5, 0.6, 0.6, 2.3, 0.8, *[0.8] * k, 1.7, 0.8, *[0.8] * k]
    table = ax.table(
        cellText=cells, colLabels=head, loc="center", cellLoc="center",
        colWidths=[w / sum(widths) for w in widths],
    )  # fmt: skip
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.scale(1.0, 1.6)
    shades = {"benign": "#dcebf7", "critical": "#f2f2f2", "pathological": "#f9e0d2"}
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#999999")
        cell.set_linewidth(0.5)
        if row == 0:
            cell.set_text_props(weight="bold")
        elif column == 0:
            cell.set_facecolor(shades[cells[row - 1][0]])
    ax.set_title(
        "Exponents of excess loss and discovery: by formula (limit), and local slopes\n"
        r"$-d\ln$ excess$/d\ln N$ and $d\ln D/d\ln N$ of the exact integer optimum at $N$ latents;"
        "\n"
        r"$p_i \propto i^{-(1+\alpha)}$, $L(n) = (1+n)^{-\beta}$ on every feature",
        fontsize=10,
    )
