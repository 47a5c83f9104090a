"""Are the latents of a smaller SAE in a larger one? Nearest cosines of decoder rows.

For each live latent of the larger SAE its largest cosine with a live latent of the smaller one:
above, the smaller has half of the latents and the same k; below, half of the k and as many latents.
One ridge a pair, all of a panel on one scale; markers are medians, numbers the shares above
0.95. As O'Neill et al. (2024), arXiv:2408.00657, section A.4 and Figure 6. More latents have nearer
neighbours by chance alone, so ridges of one width compare best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.figures.real_shared import KINDS, check_axes, check_frame, k_of, numbers, styles

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.studies.real import Tables

REAL = True
SIZE = (11.0, 10.0)
AXES = (2, 2)
_COLUMNS = ("kind", "varied", "family", "width", "in_family", "in_width", "median", "above_95",
            "cosine_counts")  # fmt: skip
#: What is varied: title.
_PANELS = {"width": "same $k$, half the latents", "k": "same latents, half the $k$"}


def data(tables: Tables) -> pd.DataFrame:
    """Return the histograms, one row a bin.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``varied`` ("width" or "k"), ``family``, ``width`` (of the larger SAE),
        ``in_family``, ``in_width`` (of the smaller one), ``median``, ``above_95``, ``low`` and
        ``high`` (ends of the bin, cosine; what is below 0 is in the first), ``share`` (of the live
        latents of the larger one).

    Raises
    ------
    ValueError
        If the table lacks something.
    """
    import pandas as pd

    from scaling_theory.sae.studies.real.latents import COSINE_EDGES

    check_frame("similarity", tables.similarity, _COLUMNS)
    strange = sorted(set(tables.similarity["varied"]) - set(_PANELS))
    if strange:
        raise ValueError(f"varied must be one of {', '.join(_PANELS)}, got {strange[0]!r}")
    parts = []
    for row in tables.similarity.to_dict("records"):
        counts = numbers("cosine_counts", row["cosine_counts"], COSINE_EDGES.size - 1)
        part = pd.DataFrame({"low": COSINE_EDGES[:-1], "high": COSINE_EDGES[1:]})
        part["share"] = counts / counts.sum()
        parts.append(part.assign(**{c: row[c] for c in _COLUMNS[:-1]}))
    return pd.concat(parts, ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data`: a row what is varied, a column a kind.

    Raises
    ------
    ValueError
        If there are not four axes.
    """
    check_axes(axes, 4)
    for row, (varied, what) in enumerate(_PANELS.items()):
        for column, (kind, title) in enumerate(KINDS.items()):
            ax = axes[2 * row + column]
            own = data[(data["kind"] == kind) & (data["varied"] == varied)]
            _draw_ridges(ax, own, varied)
            ax.set_title(f"{title}: {what}", fontsize=9.5)
            ax.set_xlabel("cosine with the nearest latent of the smaller SAE")
    return axes


def _draw_ridges(ax: Any, own: pd.DataFrame, varied: str) -> None:
    if not len(own):
        ax.text(0.5, 0.5, "no such pairs of SAEs", transform=ax.transAxes, ha="center")
        return
    of = styles(own["family"])
    own = own.assign(k=own["family"].map(k_of))
    pairs = list(own.groupby(["k", "width"]))
    scale = 0.92 / float(own["share"].max())
    labels = []
    for at, ((k, width), part) in enumerate(pairs):
        style, base, first = of[f"TopK {k}"], float(-at), part.iloc[0]
        heights = base + scale * part["share"].to_numpy()
        edges = np.append(part["low"], part["high"].iloc[-1])
        ax.stairs(heights, edges, baseline=base, fill=True, color=style.colour, alpha=0.3)
        ax.stairs(heights, edges, baseline=base, color=style.colour, linewidth=0.9)
        ax.plot(
            first["median"], base, marker=style.marker, color=style.colour, markersize=5,
            markeredgecolor="black", markeredgewidth=0.5, linestyle="none", zorder=3, clip_on=False,
        )  # fmt: skip
        ax.text(1.03, base + 0.12, f"{first['above_95']:.1%}", fontsize=7.5)
        n = f"{int(str(width)):,}"
        if varied == "width":
            labels.append(f"$k$ = {k}: {n} in {int(first['in_width']):,}")
        else:
            labels.append(f"{n}: $k$ = {k} in {k_of(first['in_family'])}")
    ax.set_yticks([-float(i) for i in range(len(pairs))], labels, fontsize=8)
    ax.grid(axis="y", visible=False)
    ax.axvline(0.95, color="#888888", linewidth=0.8, linestyle="--")
    ax.text(1.03, 1.05, "> 0.95", fontsize=7.5)
    ax.set(xlim=(0.0, 1.16), ylim=(-len(pairs) + 0.8, 1.45))
    ax.set_xticks(np.linspace(0.0, 1.0, 6))
