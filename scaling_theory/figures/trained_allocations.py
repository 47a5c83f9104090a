"""Latents by feature: what trained SAEs did, and what the solver says they should.

One panel a setting (columns) and architecture (rows), at the widest SAEs of each; dots are seeds,
lines are optima: for derived curves, for curves of SAEs trained on one manifold, and for TopK with
a k that features share. In each panel: mean total variation between a seed and the
predictions, and between seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SIZE = (17.0, 6.4)
AXES = (2, 6)

#: Architectures, a row each.
SHOWN = ("ReLU", "TopK")

#: With which curves the solver was fed -> label, colour, line.
PREDICTIONS = {
    "derived": ("optimum, derived curves", "#0B3C8C", "-"),
    "rare": ("optimum, trained curves", "#D55E00", "--"),
    "rare, k shared": ("optimum, trained curves, k shared", "#009E73", "-."),
}
SHORT = {"derived": "derived curves", "rare": "trained curves", "rare, k shared": "k shared"}


def data() -> pd.DataFrame:
    """Return ``setting``, ``architecture``, ``width``, ``rank``, ``label`` and latents by source.

    Sources: ``seed 0``, ``seed 1``, ...: trained; the keys of :data:`PREDICTIONS`: optima.
    ``variation KEY`` and ``variation seeds`` repeat the panel's mean total variations.
    """
    import pandas as pd

    from scaling_theory.sae.studies._kept import Kept
    from scaling_theory.sae.studies.follow import SETTINGS, allocations
    from scaling_theory.sae.studies.follow.compare import comparison

    kept = Kept("follow")
    found = comparison(kept, SETTINGS)
    tables = []
    for architecture in SHOWN:
        for setting in SETTINGS:
            width = setting.widths[-1]
            table = allocations(setting, architecture, width, kept)
            left_out = [c for c in ("alone", "derived, k shared") if c in table]
            table = table.drop(columns=left_out)
            table.insert(0, "setting", setting.name)
            table.insert(1, "architecture", architecture)
            table.insert(2, "width", width)
            here = found[
                (found["setting"] == setting.name)
                & (found["architecture"] == architecture)
                & (found["width"] == width)
            ]
            table["variation seeds"] = here["seeds"].mean()
            for fed in PREDICTIONS:
                if (here["fed"] == fed).any():
                    column = here.loc[here["fed"] == fed, "variation"]
                    table[f"variation {fed}"] = column.mean()
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """One panel a setting and architecture."""
    panels = data.groupby(["architecture", "setting"], sort=False)
    for ax, ((architecture, setting), part) in zip(axes, panels, strict=True):
        width = int(part["width"].iloc[0])
        seeds = [c for c in part.columns.tolist() if c.startswith("seed ")]
        for index, seed in enumerate(seeds):
            ax.plot(
                part["rank"], _above(part[seed]), ".", color="#555555", markersize=4, alpha=0.7,
                label="trained, one seed each" if index == 0 else None,
            )  # fmt: skip
        said = [f"seeds {part['variation seeds'].iloc[0]:.2f}"]
        for key, (label, colour, line) in PREDICTIONS.items():
            if key in part and part[key].notna().all():
                ax.plot(part["rank"], _above(part[key]), line, color=colour, lw=1.4, label=label)
                said.append(f"{SHORT[key]} {part[f'variation {key}'].iloc[0]:.2f}")
        ax.set_xscale("log")
        ax.set_yscale("log")
        top = max(4.0, 1.5 * float(part[seeds].max().max()))
        ax.set_ylim(0.4, top)
        ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50, 100, 200) if t <= top]
        ax.set_yticks(ticks, ["none" if t == 0.5 else f"{t:g}" for t in ticks])
        ranks = [t for t in (1, 3, 10, 30, 100) if t <= part["rank"].max()]
        ax.set_xticks(ranks, [f"{t:g}" for t in ranks])
        ax.minorticks_off()
        ax.set_title(f"{setting}\n{architecture}, N = {width}", fontsize=8)
        ax.text(
            0.97, 0.97, "total variation\n" + "\n".join(said), transform=ax.transAxes, ha="right",
            va="top", fontsize=6.5,
        )  # fmt: skip
        ax.set_xlabel("rank of the feature")
    for row in range(2):
        axes[6 * row].set_ylabel("latents that serve the feature")
    handles, labels = axes[-1].get_legend_handles_labels()
    derived = PREDICTIONS["derived"][0]
    handles.append(next(line for line in axes[0].get_lines() if line.get_label() == derived))
    labels.append(derived)
    axes[0].figure.legend(handles, labels, loc="outside lower center", ncol=len(labels))


def _above(latents: Any) -> Any:
    """Features without latents are drawn at one half."""
    return np.maximum(np.asarray(latents, dtype=float), 0.5)
