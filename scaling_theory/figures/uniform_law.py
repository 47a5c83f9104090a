"""Errors of the closed forms: the uniform law behind ``predict``, and the leading terms alone.

144 pairs (alpha, beta) from 0.1 to 2, the diagonal among them; every feature has the curve
(1+n)^-beta. Colours are the error of the excess loss relative to the exact integer optimum. On the
diagonal the leading term has logarithms, N^-alpha (ln N)^(1+alpha).
"""

from __future__ import annotations

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

SIZE = (11.0, 5.4)
AXES = (2, 4)

BUDGETS = (10**3, 10**6, 10**9, 10**12)
GRID = np.round(np.geomspace(0.1, 2.0, 12), 3)
#: Below this, the error of the uniform law is rounding of the two sums.
_LEAST = 1e-14


def data() -> pd.DataFrame:
    """One row per (latents, alpha, beta): exact values and relative errors of both forms."""
    import pandas as pd

    rows = []
    for alpha in GRID.tolist():
        frequencies = PowerLawFrequencies(alpha)
        for beta in GRID.tolist():
            said = predict(alpha=alpha, beta=beta)
            population = Population(frequencies, PowerLawCurve(beta=beta))
            for n in BUDGETS:
                at = allocate(population, n)
                logs = np.log(n) if said.regime == "critical" else 1.0
                loss = said.loss_constant * n**-said.loss_exponent * logs ** (1.0 + alpha)
                found = said.discovery_constant * n**said.discovery_exponent
                if said.regime == "critical":
                    found /= logs
                rows.append(
                    {
                        "latents": n,
                        "alpha": alpha,
                        "beta": beta,
                        "regime": said.regime,
                        "excess_loss": at.excess_loss,
                        "discovered": at.discovered,
                        "uniform_loss_error": said.loss(n)[0] / at.excess_loss - 1.0,
                        "uniform_discovered_error": said.discovered(n)[0] / at.discovered - 1.0,
                        "leading_loss_error": loss / at.excess_loss - 1.0,
                        "leading_discovered_error": found / at.discovered - 1.0,
                    }
                )
    return pd.DataFrame(rows).sort_values(["latents", "alpha", "beta"], ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Uniform law in the upper row, leading terms in the lower; one column per budget."""
    from matplotlib.colors import Normalize

    names = ("uniform_loss_error", "leading_loss_error")
    titles = ("uniform law", "leading term")
    scale = Normalize(-14.0, 1.0)
    edges = np.append(np.arange(GRID.size) - 0.5, GRID.size - 0.5)
    places = np.flatnonzero(np.isin(np.arange(GRID.size), (0, 3, 7, 11)))
    mesh = None
    for row, name in enumerate(names):
        for column, (n, part) in enumerate(data.groupby("latents")):
            ax = axes[row * len(BUDGETS) + column]
            error = part.pivot_table(index="beta", columns="alpha", values=name).abs().to_numpy()
            logs = np.log10(np.maximum(error, _LEAST))
            mesh = ax.pcolormesh(edges, edges, logs, cmap="cividis", norm=scale)
            worst = f"worst {_short(error.max())}, median {_short(float(np.median(error)))}"
            ax.set_title(f"{titles[row]}, $N = 10^{{{len(str(n)) - 1}}}$\n{worst}", fontsize=8)
            ax.set_xticks(places, [f"{GRID[k]:g}" for k in places], fontsize=7)
            ax.set_yticks(places, [f"{GRID[k]:g}" for k in places], fontsize=7)
            ax.grid(False)
            if row == 1:
                ax.set_xlabel(r"$\alpha$")
            if column == 0:
                ax.set_ylabel(r"$\beta$")
    bar = axes[0].figure.colorbar(mesh, ax=list(axes), pad=0.01)
    bar.set_label(r"$\log_{10}$ |relative error of the excess loss|")


def _short(error: float) -> str:
    power = int(np.floor(np.log10(max(error, _LEAST))))
    return rf"${error / 10.0**power:.1f}\cdot10^{{{power}}}$"
