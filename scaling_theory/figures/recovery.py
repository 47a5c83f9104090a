"""Recovery of true features by architecture: directions, firing, and where trees hide features.

A hierarchical, correlated population in the manner of SynthSAEBench, L0 matched; each dot a seed.
The last two rows are no SAEs: the true directions, read by products or by linear probes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SIZE = (11.0, 4.6)
AXES = (1, 3)

_BLUE, _ORANGE, _GREY = "#0B3C6F", "#D55E00", "#888888"
#: Level -> what it is called, and its colour.
_LEVELS = {
    "alone": ("outside of trees", _GREY),
    "root": ("roots", _ORANGE),
    "middle": ("in the middle", "#56B4E9"),
    "leaf": ("leaves", _BLUE),
}


def data() -> pd.DataFrame:
    """Rows of the runs at matched L0, the best F1 first, and of the references below."""
    from scaling_theory.sae.studies.recovery import recovery_rows

    rows = recovery_rows()
    rows = rows[rows["stage"] != "sweep"].drop(columns=["seconds", "version"])
    mean = rows["architecture"].map(rows.groupby("architecture")["f1"].mean())
    mean -= 10.0 * (rows["stage"] == "reference")
    order = mean.sort_values(ascending=False, kind="stable").index
    return rows.loc[order].reset_index(drop=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Cosine and F1; precision against recall; F1 by place in the tree."""
    names = list(dict.fromkeys(data["architecture"]))
    at = data["architecture"].map({name: -i for i, name in enumerate(names)}).to_numpy(dtype=float)
    scores, trade, levels = axes
    for column, label, colour in (
        ("mcc", "mean matched cosine", _ORANGE),
        ("f1", "F1 of firing", _BLUE),
        ("latent_f1", "F1, by latent", _GREY),
    ):
        scores.plot(data[column], at, "o", color=colour, markersize=4, label=label, alpha=0.8)
    scores.set(title="Recovery at matched L0", xlabel="mean over features (or latents)")
    for index, name in enumerate(names):
        part = data[data["architecture"] == name]
        colour = f"C{index}"
        trade.plot(part["recall"], part["precision"], "o", color=colour, markersize=4, label=name)
    trade.set(title="Precision and recall", xlabel="recall", ylabel="precision")
    shift = np.linspace(-0.24, 0.24, len(_LEVELS))
    for (level, (label, colour)), by in zip(_LEVELS.items(), shift, strict=True):
        levels.plot(
            data[f"f1_{level}"], at - by, "o", color=colour, markersize=3.5, label=label, alpha=0.8
        )
    levels.set(title="F1 by place in the tree", xlabel="mean F1 over features")
    for panel in (scores, levels):
        panel.set_yticks([-i for i in range(len(names))], names)
        panel.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        panel.set_axisbelow(True)
    for panel, columns in ((scores, 1), (trade, 3), (levels, 2)):
        panel.legend(fontsize=7, ncol=columns, loc="upper center", bbox_to_anchor=(0.5, -0.16))
