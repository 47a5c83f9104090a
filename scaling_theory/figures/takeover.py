"""When manifolds eat the budget: the share of latents they hold, against N.

alpha = 0.5, manifolds with L(n) = (n+shift)^-0.1 among discrete features. Left: one manifold, at
rank r (shift 0, as in Michaud, Gorton and McGrath 2025, Figure 2). Right: a share of the features
drawn at random, 1000 times: median and quartiles of the N at which they hold half of the latents,
with the exact optimum of 12 draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.allocation import allocate
from scaling_theory.curves import DiscreteCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.scaling import logspace
from scaling_theory.theory import takeover, takeover_draws

if TYPE_CHECKING:
    import pandas as pd

SIZE = (10.2, 4.0)
AXES = (1, 2)
SEED = 0

ALPHA, BETA = 0.5, 0.1
RANKS = (1, 3, 10, 30)
SHARES = (0.1, 0.03, 0.01, 0.003, 0.001)
DRAWS, SOLVED = 1000, 12
_COLOURS = ("#0B3C8C", "#21918C", "#D55E00", "#A0185A")


def data() -> pd.DataFrame:
    """Rows of both panels: (rank, latents, share), and (share, draw, half) with closed forms."""
    import pandas as pd

    law, step = PowerLawFrequencies(ALPHA), DiscreteCurve()
    rows: list[dict[str, Any]] = []
    for rank in RANKS:
        tile = PowerLawCurve(beta=BETA, shift=0)
        population = Population(law, step, ranks={rank: tile}, label="discrete")
        half = takeover(population, f"rank {rank}")
        for n in logspace(1e1, 1e12, 45).tolist():
            share = _held(population, f"rank {rank}", n)
            rows.append({"panel": "one", "rank": rank, "latents": n, "held": share, "half": half})
    tile = PowerLawCurve(beta=BETA)
    for share in SHARES:
        groups = {"manifold": (share, tile), "discrete": (1.0 - share, step)}
        drawn = takeover_draws(law, groups, "manifold", DRAWS, SEED)
        low, half, high = np.quantile(drawn, [0.25, 0.5, 0.75]).tolist()
        rows.append({"panel": "random", "share": share, "lower": low, "half": half, "upper": high})
        for seed in range(SOLVED):
            population = Population.mixture(law, groups, seed)
            closed = takeover(population, "manifold")
            exact = exact_half(population, "manifold", closed)
            rows.append(
                {"panel": "draw", "share": share, "draw": seed, "half": closed, "exact": exact}
            )
    return pd.DataFrame(rows)


def exact_half(population: Population, group: str, guess: float) -> float:
    """N at which the group holds half of the exact optimum's latents, to 0.1%."""
    low, high = max(guess / 4.0, 1.0), guess * 4.0
    if high > 1e13 or _held(population, group, low) > 0.5 or _held(population, group, high) < 0.5:
        return float("nan")
    while high / low > 1.001 and high - low > 1.0:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _held(population, group, middle) < 0.5 else (low, middle)
    return math.sqrt(low * high)


def _held(population: Population, group: str, latents: float) -> float:
    table = allocate(population, round(latents)).by_group()
    return float(table["share"][table["group"] == group].sum())


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Shares on the left, N at half on the right."""
    left, right = axes
    one = data[data["panel"] == "one"]
    for (rank, part), colour in zip(one.groupby("rank"), _COLOURS, strict=True):
        left.semilogx(part["latents"], part["held"], color=colour, label=f"rank {rank:.0f}")
        left.plot(part["half"].iloc[0], 0.5, "o", color=colour, markersize=5)
    left.axhline(0.5, color="#999999", linewidth=0.8)
    left.set(
        xlabel="latents $N$", ylabel="share of the latents on the manifold", ylim=(0.0, 1.0),
        title=rf"One manifold $n^{{-{BETA:g}}}$ among discrete features" "\n"
        rf"($\alpha = {ALPHA:g}$; points: closed form for one half)",
    )  # fmt: skip
    left.legend(fontsize=8)
    many, drawn = data[data["panel"] == "random"], data[data["panel"] == "draw"]
    right.fill_between(
        many["share"], many["lower"], many["upper"], color="#0B3C8C", alpha=0.18,
        label=f"quartiles of {DRAWS} draws",
    )  # fmt: skip
    right.loglog(many["share"], many["half"], color="#0B3C8C", label="median, closed form")
    right.loglog(
        drawn["share"] * 0.96, drawn["half"], "_", color="#D55E00", markersize=9,
        label=f"{SOLVED} draws, closed form",
    )  # fmt: skip
    right.loglog(
        drawn["share"] * 1.04, drawn["exact"], "o", color="#000000", markersize=3,
        label="the same draws, exact optimum",
    )  # fmt: skip
    right.set(
        xlabel="share of manifolds among the features",
        ylabel="$N$ at which they hold half of the latents",
        title=rf"Manifolds $(1+n)^{{-{BETA:g}}}$ at random ranks",
    )
    right.legend(fontsize=8)
