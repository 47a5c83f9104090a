"""Tiling a circle: what n ReLU latents can buy, at best, on the unit circle with an L1 penalty.

Michaud, Gorton and McGrath (2025) train such SAEs (Figures 1 and 3). Here is what they could reach:
the best symmetric tiling, its law for many latents, the ideal encoder, and for few latents the
best SAE found with all parameters free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.theory.geometry import (
    circle_ideal,
    circle_law,
    circle_optimum,
    circle_tiling,
    sphere_floor,
)

if TYPE_CHECKING:
    import pandas as pd

SIZE = (12.0, 3.9)
AXES = (1, 3)

L1 = 0.1
SEED = 1
#: Number of latents -> starts of the search with all parameters free.
STARTS = {1: 30, 2: 30, 3: 30, 4: 30, 5: 30, 6: 60, 7: 120, 8: 300}
WIDTHS = tuple(np.unique(np.r_[1:65, np.round(np.geomspace(64, 8192, 141))]).astype(int).tolist())

_BLUE, _ORANGE, _GREEN = "#0B3C6F", "#D55E00", "#5AA469"


def data() -> pd.DataFrame:
    """One row per number of latents; the optimum only where it was searched for."""
    import pandas as pd

    law, floor = circle_law(L1), sphere_floor(L1)
    rows = []
    for n in WIDTHS:
        tiling, ideal = circle_tiling(n, L1), circle_ideal(n, L1)
        best = circle_optimum(n, L1, SEED, STARTS[n]) if n in STARTS else None
        rows.append(
            {
                "n": n,
                "l1": L1,
                "symmetric_loss": tiling.loss,
                "symmetric_excess": tiling.excess,
                "threshold": tiling.threshold,
                "gain": tiling.gain,
                "overlap": tiling.overlap,
                "law_excess": float(law.excess(n)[0]),
                "law_overlap": float(law.overlap(n)[0]),
                "ideal_excess": ideal.excess,
                "optimum_loss": np.nan if best is None else best.loss,
                "optimum_excess": np.nan if best is None else best.loss - floor,
                "optimum_hits": np.nan if best is None else best.hits,
                "optimum_starts": np.nan if best is None else best.starts,
            }
        )
    return pd.DataFrame(rows)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Excess loss on the left, overlap in the middle, few latents on the right."""
    left, middle, right = axes
    n, few = data["n"], data[data["optimum_loss"].notna()]
    tail = data[n >= 16]
    free = {"marker": "o", "linestyle": "none", "color": _ORANGE, "markersize": 5, "zorder": 3}
    left.loglog(n, data["symmetric_excess"], color=_BLUE, label="best symmetric tiling")
    left.loglog(
        tail["n"], tail["law_excess"], color="black", linestyle="--", linewidth=1.0,
        label=rf"its law, {_constant(tail, 'law_excess', 4 / 3):.3g} $n^{{-4/3}}$",
    )  # fmt: skip
    ideal = f"{_constant(tail, 'ideal_excess', 2.0):.3g}"
    left.loglog(
        n, data["ideal_excess"], color=_GREEN, linestyle="-.",
        label=rf"ideal encoder, same directions: $\to$ {ideal} $n^{{-2}}$",
    )  # fmt: skip
    left.loglog(few["n"], few["optimum_excess"], **free, label="best found, all parameters free")
    left.set(
        xlabel="latents $n$", ylabel="loss above the floor",
        title=f"Unit circle, L1 weight {L1:g}: floor {sphere_floor(L1):g}",
    )  # fmt: skip
    left.legend(fontsize=7.5, loc="lower left")

    middle.loglog(n, data["overlap"], color=_BLUE, label="best symmetric tiling")
    middle.loglog(
        tail["n"], tail["law_overlap"], color="black", linestyle="--", linewidth=1.0,
        label=rf"its law, {_constant(tail, 'law_overlap', -1 / 3):.3g} $n^{{1/3}}$",
    )  # fmt: skip
    middle.set(
        xlabel="latents $n$", ylabel="latents that fire together (mean)",
        title="Overlap: near whole numbers and a half",
    )  # fmt: skip
    steps = [q for q in (0.5, 1.5, 2.5, 3.5, 5.5, 8.5, 12.5) if q < data["overlap"].max()]
    middle.set_yticks(steps, [f"{q:g}" for q in steps])
    middle.set_yticks([], minor=True)
    middle.legend(fontsize=7.5, loc="upper left")

    right.semilogy(
        few["n"], few["symmetric_excess"], marker="s", markersize=5, color=_BLUE, linewidth=0.8,
        markerfacecolor="white", label="best symmetric tiling",
    )  # fmt: skip
    right.semilogy(few["n"], few["optimum_excess"], **free, label="best found, all parameters free")
    pairs = few[["n", "symmetric_excess", "optimum_excess"]].to_numpy(dtype=float)
    for at, symmetric, optimum in pairs.tolist():
        gain = 1.0 - optimum / symmetric
        if gain > 1e-6:
            right.annotate(
                f"$-${100 * gain:.{0 if gain > 0.1 else 1}f}%", (at, optimum),
                xytext=(0, -12), textcoords="offset points", ha="center", fontsize=7.5,
            )  # fmt: skip
    right.set(
        xlabel="latents $n$", ylabel="loss above the floor",
        title="Few latents: where symmetry is not best",
    )  # fmt: skip
    right.set_xlim(0.4, 8.7)
    right.set_ylim(bottom=0.5 * few["optimum_excess"].min())
    right.legend(fontsize=7.5)


def _constant(data: pd.DataFrame, column: str, exponent: float) -> float:
    """Constant of a power law, at the last row."""
    last = data.iloc[-1]
    return float(last[column] * last["n"] ** exponent)
