"""Which architectures tile which manifolds: loss against width, one panel a manifold.

Losses in units of E|x|^2, widths in units of the dimension d (a basis and its negative have 2 d
latents); means of the seeds, bars from the least to the largest. Curves that are flat are those
that have no use for more latents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SIZE = (15.0, 9.6)
AXES = (3, 4)

#: Architecture -> colour, marker, line: those with a penalty are drawn through.
STYLES = {
    "ReLU": ("#000000", "o", "-"),
    "Gated": ("#0072B2", "s", "-"),
    "JumpReLU": ("#56B4E9", "^", "-"),
    "TopK k=1": ("#D55E00", "v", "--"),
    "TopK k=2": ("#E69F00", "D", "--"),
    "TopK k=d": ("#A07000", "P", "--"),
    "BatchTopK k=2": ("#7B3F6E", ">", ":"),
    "Matryoshka k=2": ("#009E73", "X", ":"),
    "TopK k=1, AuxK": ("#8F3D00", "v", "-."),
    "TopK k=2, AuxK": ("#F5C542", "D", "-."),
    "BatchTopK k=2, AuxK": ("#CC79A7", ">", "-."),
    "JumpReLU, dead restart": ("#8FD0F5", "2", "-."),
}


def data() -> pd.DataFrame:
    """Return losses by manifold and architecture; see ``tiling_curves``."""
    from scaling_theory.sae.studies.tiling import tiling_curves

    return tiling_curves()


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """One panel a manifold; the last one has the legend."""
    manifolds = list(dict.fromkeys(data["manifold"]))
    for ax, manifold in zip(axes, manifolds, strict=False):
        part = data[data["manifold"] == manifold]
        for architecture, (colour, marker, line) in STYLES.items():
            some = part[part["architecture"] == architecture]
            if not len(some):
                continue
            mean = some["loss"].to_numpy()
            bars = np.abs(np.array([mean - some["low"], some["high"] - mean]))
            ax.errorbar(
                some["multiple"], mean, bars, color=colour, marker=marker, linestyle=line,
                markersize=3.5, linewidth=1.1, elinewidth=0.7, label=architecture,
            )  # fmt: skip
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_ylim(max(1e-4, 0.7 * part["loss"].min()), 1.1)
        multiples = sorted(part["multiple"].unique())
        ax.set_xticks(multiples, [f"{m:g}" for m in multiples])
        ax.minorticks_off()
        ax.set_title(manifold, fontsize=9)
        ax.set_xlabel("latents, $n/d$")
    for ax in axes[::4]:
        ax.set_ylabel(r"loss over $E|x|^2$")
    last = axes[len(manifolds)]
    handles = [last.plot([], [], color=c, marker=m, linestyle=s)[0] for c, m, s in STYLES.values()]
    last.legend(handles, list(STYLES), loc="center", fontsize=9)
    for ax in axes[len(manifolds) :]:
        ax.set_axis_off()
