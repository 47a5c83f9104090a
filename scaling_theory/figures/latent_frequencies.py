"""What latents look like from outside: rank-frequency curves, and what two slopes leave open.

Left: how often the latents of the optimum fire, beside how often features do, in the three regimes
and in a mixture; the closed form of ``theory.latent_law`` is dashed. Right: all (alpha, beta) that
give the slopes measured on two Gemma Scope SAEs (Michaud, Gorton and McGrath, 2025, Figure 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.allocation import allocate
from scaling_theory.curves import DiscreteCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.theory.latents.frequencies import latent_frequencies
from scaling_theory.theory.latents.inference import compatible_exponents, joint_exponents
from scaling_theory.theory.latents.laws import latent_law
from scaling_theory.theory.latents.readings import GEMMA_SCOPE

if TYPE_CHECKING:
    import pandas as pd

SIZE = (10.5, 4.4)
AXES = (1, 2)
SEED = 0

ALPHA = 0.5
LATENTS = 10**8
BETAS = {"benign": 1.0, "critical": 0.5, "pathological": 0.1}
SHARE = 0.01  # of manifolds in the mixture, with the benign beta
THETAS = (0.0, 0.8)
_ALPHAS = (-0.25, -0.2, -0.15, -0.1, 0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)

_LOWEST = 0.012  # of the axis of beta

_STYLES: dict[str, tuple[str, Any, float]] = {
    "features": ("#999999", "-", 1.0),
    "benign": ("#0B3C8C", "-", 2.2),
    "critical": ("#1F9E89", "-", 2.2),
    "pathological": ("#E69F00", "-", 2.2),
    "mixture": ("#000000", (0, (1, 1.2)), 1.6),
}


def data() -> pd.DataFrame:
    """Rows of both panels: panel, series, then rank and frequency, or theta, alpha and beta."""
    import pandas as pd

    law, step = PowerLawFrequencies(ALPHA), DiscreteCurve()
    tables = []
    for regime, beta in BETAS.items():
        curve = PowerLawCurve(beta=beta)
        table = latent_frequencies(allocate(Population(law, curve), LATENTS)).table(300)
        theory = latent_law(ALPHA, beta, latents=LATENTS)
        tables.append(table.assign(series=regime, theory=theory.at(table["rank"].to_numpy())))
    manifold = PowerLawCurve(beta=BETAS["benign"])
    groups = {"manifold": (SHARE, manifold), "discrete": (1.0 - SHARE, step)}
    mixture = Population.mixture(law, groups, seed=SEED)
    tables.append(
        latent_frequencies(allocate(mixture, LATENTS)).table(300).assign(series="mixture")
    )
    discrete = latent_frequencies(allocate(Population(law, step), LATENTS)).table(20)
    tables.append(discrete.assign(series="features"))
    left = pd.concat(tables, ignore_index=True).assign(panel="frequencies")
    return pd.concat([left, _exponents().assign(panel="exponents")], ignore_index=True)


def _exponents() -> pd.DataFrame:
    import pandas as pd

    tables = []
    for theta in THETAS:

        def overlap(n: Floats, theta: float = theta) -> Floats:
            return n**theta

        for label, latents, slope in GEMMA_SCOPE:
            found = compatible_exponents(
                slope, latents, overlap=overlap, alphas=_ALPHAS, betas=(0.02, 5.0)
            )
            rows = found.table[found.table["branch"] == "rising"]
            tables.append(rows.assign(series=label, theta=theta, measured=slope))
        pairs = [(latents, slope) for _, latents, slope in GEMMA_SCOPE]
        both = joint_exponents(pairs, overlap=overlap, alphas=_ALPHAS[2:], betas=(0.05, 3.0))
        if not both.empty:
            tables.append(both.assign(series="both", theta=theta))
    return pd.concat(tables, ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Frequencies on the left, compatible exponents on the right."""
    _draw_frequencies(data[data["panel"] == "frequencies"], axes[0])
    _draw_exponents(data[data["panel"] == "exponents"], axes[1])


def _draw_frequencies(data: pd.DataFrame, ax: Any) -> None:
    names = {
        "features": rf"features, $i^{{-{1 + ALPHA:g}}}$",
        "mixture": rf"{SHARE:.0%} with $\beta = {BETAS['benign']:g}$, others discrete",
    } | {regime: rf"$\beta = {beta:g}$, {regime}" for regime, beta in BETAS.items()}
    for series, (colour, dash, width) in _STYLES.items():
        part = data[data["series"] == series]
        ax.loglog(
            part["rank"], part["frequency"], color=colour, linestyle=dash, linewidth=width,
            label=names[series],
        )  # fmt: skip
    for regime in BETAS:
        part = data[data["series"] == regime]
        ax.loglog(
            part["rank"], part["theory"], color="white", linestyle=(0, (2, 3)), linewidth=0.9,
            zorder=4,
        )  # fmt: skip
    ax.set(
        xlabel="rank of latent (or feature)",
        ylabel="frequency",
        title=rf"$N = 10^{{{len(str(LATENTS)) - 1}}}$ latents, $\alpha = {ALPHA:g}$, $q = 1$",
        ylim=(1e-13, 2.0),
    )
    ax.legend(fontsize=8, loc="lower left", title="white dashes: closed form", title_fontsize=8)


def _draw_exponents(data: pd.DataFrame, ax: Any) -> None:
    colours = dict(zip((label for label, *_ in GEMMA_SCOPE), ("#0B3C8C", "#D55E00"), strict=True))
    markers = dict(zip(colours, ("o", "s"), strict=True))
    for label, latents, slope in GEMMA_SCOPE:
        for theta, part in data[data["series"] == label].groupby("theta"):
            ax.semilogy(
                part["alpha"], part["beta"], color=colours[label], marker=markers[label],
                markersize=3.5, linestyle="-" if theta == 0.0 else "--",
                label=rf"${slope:g}$ at {latents:,} latents, "
                + ("$q = 1$" if theta == 0.0 else rf"$q = n^{{{theta:g}}}$"),
            )  # fmt: skip
    both = data[data["series"] == "both"]
    ax.semilogy(
        both["alpha"], both["beta"], "k*", markersize=11, linestyle="none",
        label="both SAEs at once",
    )  # fmt: skip
    diagonal = np.geomspace(_LOWEST, 1.05, 50)
    ax.semilogy(diagonal, diagonal, color="black", linewidth=1.0)
    ax.fill_between(diagonal, _LOWEST, diagonal, color="black", alpha=0.08, linewidth=0)
    ax.text(0.93, 0.22, r"pathological, $\beta < \alpha$", fontsize=8, ha="right")
    ax.text(0.93, 3.2, r"benign, $\beta > \alpha$", fontsize=8, ha="right")
    ax.set(
        xlabel=r"$\alpha$ (features $i^{-(1+\alpha)}$)",
        ylabel=r"$\beta$ (loss $(1+n)^{-\beta}$)",
        title="What gives the slopes of two Gemma Scope SAEs",
        xlim=(-0.3, 1.05),
        ylim=(_LOWEST, 5.0),
    )
    ax.legend(fontsize=7.5, loc="lower right")
