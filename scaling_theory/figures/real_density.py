"""How often latents of TopK SAEs fire on real activations: histograms of log10 frequency.

With the least k at n = 2d, the next at 4d, and the third at 8d (in the presets k = 16, 32, 64), on
rows that were trained on, each once; live latents only. As O'Neill et al. (2024), arXiv:2408.00657,
Figure 5 (the last one at 6d there). Triangle: the mean frequency, which is k/n for any TopK SAE,
dead latents included, and so the same for all of them in the presets. Left of the grey line a
latent would have fired less than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.figures.real_shared import (
    KINDS,
    check_axes,
    check_frame,
    dimension,
    families,
    k_of,
    numbers,
    styles,
)

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.studies.real import Tables

REAL = True
SIZE = (10.0, 4.2)
AXES = (1, 2)
#: Widths over the dimension, of the three smallest k.
_MULTIPLES = (2, 4, 8)


def data(tables: Tables) -> pd.DataFrame:
    """Return the histograms, one row a bin.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``family``, ``k``, ``multiple`` (n/d), ``width``, ``low`` and ``high`` (ends of
        the bin, log10 frequency; what is beyond the outermost is in them), ``count`` (live
        latents), ``share`` (of them); the same in all rows of an SAE: ``alive``, ``rows`` (that
        firing was counted on), ``mean`` (log10 of k/n).

    Raises
    ------
    ValueError
        If a table lacks something, or counts do not add up to the live latents.
    """
    import pandas as pd

    from scaling_theory.sae.studies.real.latents import DENSITY_EDGES

    check_frame("runs", tables.runs, ("kind", "family", "k", "width", "batch_size", "step_flops"))
    check_frame("latents", tables.latents, ("kind", "family", "width", "alive", "rows",
                                            "density_counts"))  # fmt: skip
    d = dimension(tables.runs)
    topk = [family for family in styles(tables.latents["family"]) if k_of(family) is not None]
    wanted = dict(zip(topk, _MULTIPLES, strict=False))
    parts = []
    for row in tables.latents.to_dict("records"):
        family = str(row["family"])
        if row["width"] != wanted.get(family, 0) * d:
            continue
        counts = numbers("density_counts", row["density_counts"], DENSITY_EDGES.size - 1)
        if counts.sum() != row["alive"]:
            raise ValueError(
                f"density_counts of {row['kind']} {row['family']} at width {row['width']} must add "
                f"up to its {row['alive']} live latents, got {counts.sum():g}"
            )
        part = pd.DataFrame({"low": DENSITY_EDGES[:-1], "high": DENSITY_EDGES[1:], "count": counts})
        part["share"] = counts / counts.sum()
        of = {c: row[c] for c in ("kind", "family", "width", "alive", "rows")}
        k = k_of(family)
        assert k is not None
        of |= {"k": k, "multiple": wanted[family], "mean": float(np.log10(k / row["width"]))}
        parts.append(part.assign(**of))
    if not parts:
        raise ValueError(
            f"tables.latents must have an SAE of {wanted} (width over the dimension {d}), "
            f"got widths {sorted(set(tables.latents['width']))}"
        )
    return pd.concat(parts, ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data`: a panel a kind.

    Raises
    ------
    ValueError
        If there are not two axes.
    """
    check_axes(axes, 2)
    seen = data[data["count"] > 0]
    low, high = float(seen["low"].min()) - 0.2, min(0.0, float(seen["high"].max()) + 0.2)
    top = float(data["share"].max())
    for ax, (kind, title) in zip(axes, KINDS.items(), strict=True):
        own = data[data["kind"] == kind]
        for (_, style, part), line in zip(families(own), _LINES, strict=False):
            first = part.iloc[0]
            dead = int(first["width"] - first["alive"])
            label = rf"$k = {first['k']}$, $n = {first['multiple']}\,d$ = {first['width']:,}, "
            edges = np.append(part["low"], part["high"].iloc[-1])
            ax.stairs(
                100.0 * part["share"], edges, color=style.colour, linewidth=1.4,
                linestyle=line, label=label + f"{dead:,} dead",
            )  # fmt: skip
            ax.stairs(100.0 * part["share"], edges, color=style.colour, fill=True, alpha=0.12)
        means = own["mean"].unique()
        ax.plot(means, np.full(means.size, 100.0 * 1.12 * top), "kv", markersize=7)
        ax.axvline(-np.log10(float(own["rows"].max())), color="#888888", linewidth=1.0)
        ax.set(
            title=f"{title} ({int(own['rows'].max()):,} rows)",
            xlabel="log$_{10}$ firing frequency (share of rows)",
            xlim=(low, high),
            ylim=(0.0, 100.0 * 1.6 * top),
        )
        ax.legend(fontsize=8, loc="upper left")
    axes[0].set_ylabel("share of live latents per 0.1 decade (%)")
    return axes


_LINES: tuple[Any, ...] = ((0, (4, 1.5)), "-", (0, (1.2, 1)))
