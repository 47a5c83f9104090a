"""Discovery of trained SAEs over a factor of 16 in N, and the solver's.

One panel a setting and architecture: D(N), features with at least one latent, for each seed, the
optima, and the slope of each in the legend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.figures.trained_allocations import PREDICTIONS, SHORT, SHOWN

if TYPE_CHECKING:
    import pandas as pd

SIZE = (17.0, 6.4)
AXES = (2, 6)


def data() -> pd.DataFrame:
    """Return ``setting``, ``architecture``, ``source``, ``seed``, ``width`` and ``discovered``.

    ``source`` is "trained" or a key of ``trained_allocations.PREDICTIONS`` (seed -1).
    """
    import pandas as pd

    from scaling_theory.sae.studies._kept import Kept
    from scaling_theory.sae.studies.follow import SETTINGS
    from scaling_theory.sae.studies.follow.compare import comparison

    found = comparison(Kept("follow"), SETTINGS)
    found = found[found["architecture"].isin(SHOWN)]
    rows = []
    for key, part in found.groupby(["setting", "architecture"], sort=False):
        first = part[part["fed"] == part["fed"].iloc[0]]
        for _, run in first.iterrows():
            rows.append((*key, "trained", run["seed"], run["width"], run["discovered"]))
        for fed, some in part.groupby("fed", sort=False):
            if fed in PREDICTIONS:
                by_width = some.groupby("width")["predicted_discovered"].first()
                rows += [(*key, fed, -1, width, count) for width, count in by_width.items()]
    names = ["setting", "architecture", "source", "seed", "width", "discovered"]
    return pd.DataFrame(rows, columns=names).sort_values(
        ["architecture"], kind="stable", ignore_index=True
    )


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """One panel a setting and architecture."""
    panels = data.groupby(["architecture", "setting"], sort=False)
    for ax, ((architecture, setting), part) in zip(axes, panels, strict=True):
        trained = part[part["source"] == "trained"]
        slopes = [_slope(some) for _, some in trained.groupby("seed")]
        ax.loglog(
            trained["width"], trained["discovered"], "o", color="#555555", markersize=4, alpha=0.7,
            label=f"trained SAEs: slope {np.mean(slopes):.2f}",
        )  # fmt: skip
        for key, (_, colour, line) in PREDICTIONS.items():
            some = part[part["source"] == key]
            if len(some):
                ax.loglog(
                    some["width"], some["discovered"], line, color=colour, lw=1.4,
                    label=f"{SHORT[key]}: {_slope(some):.2f}",
                )  # fmt: skip
        widths = sorted(part["width"].unique())
        ax.set_xticks(widths, [f"{w:g}" for w in widths])
        ticks = [t for t in (1, 2, 4, 8, 16, 32, 64, 128) if t <= 1.3 * part["discovered"].max()]
        ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
        ax.set_title(f"{setting}\n{architecture}", fontsize=8)
        ax.set_xlabel("latents $N$")
        ax.legend(fontsize=6.5, loc="upper left")
    for row in range(2):
        axes[6 * row].set_ylabel("features with a latent, $D(N)$")


def _slope(part: pd.DataFrame) -> float:
    counts = part["discovered"].to_numpy(dtype=float)
    if (counts <= 0.0).any():
        return float("nan")
    return float(np.polyfit(np.log(part["width"].to_numpy(dtype=float)), np.log(counts), 1)[0])
