"""O'Neill et al. 2024, Figure 4 (left), refitted: loss against latents of 40 autoencoders.

Two panels, text embeddings of astro-ph and of cs.LG abstracts: normalised mean squared error
of top-k autoencoders against their number of latents n, for four k, as printed in their Table 2.
Solid lines are our fits of scale * n^-exponent, dashed lines the laws of their section A.3; the
legends give both exponents. (Two printed decimals of an exponent leave the level of a published
law uncertain by 4%, which is as far as the lines are apart.) :func:`table` sets both side by
side, with what happens when the floor is left free: five points within a factor of four in n
cannot tell a floor from another exponent, for any of the eight families.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scaling_theory import datasets
from scaling_theory.fitting import PowerLawFit, fit_power_law

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Width and height in inches.
SIZE = (9.0, 5.0)
#: Rows and columns of axes.
AXES = (1, 2)

_CORPORA = ("astro-ph", "cs.LG")
#: Colour and marker of each k: from dark to light as k grows, so that they survive grey print.
_STYLES = {
    16: ("#2b0a57", "o"),
    32: ("#1f6f9f", "s"),
    64: ("#c2571a", "^"),
    128: ("#e0a100", "D"),
}


def data() -> pd.DataFrame:
    """Return the 40 points, each with the laws of its family of five (corpus, k).

    Returns
    -------
    pandas.DataFrame
        ``corpus``, ``k``, ``n``, ``normalised_mse``: the points. ``published_*``: exponent and
        scale of section A.3. ``zero_*``: our fit with the floor at zero, comparable to those.
        ``free_*``: our fit with a free floor. ``*_low`` and ``*_high`` are the ends of 95%
        profile intervals, ``free_status`` what the fit says of itself. Its source is in
        ``attrs["citation"]``.
    """
    points = datasets.load("oneill2024_table2")
    families = points[["corpus", "k"]].drop_duplicates().reset_index(drop=True)
    rows = []
    for corpus, k in families.itertuples(index=False):
        family = points[(points["corpus"] == corpus) & (points["k"] == k)]
        n, loss = family["n"].to_numpy(), family["normalised_mse"].to_numpy()
        zero, free = fit_power_law(n, loss, floor="zero"), fit_power_law(n, loss, floor="free")
        rows.append(
            _columns("zero", zero, ("exponent", "scale"))
            | _columns("free", free, ("exponent", "scale", "floor"))
            | {"free_status": free.status}
        )
    fits = families.assign(**{name: [row[name] for row in rows] for name in rows[0]})
    published = datasets.load("oneill2024_fits").rename(
        columns={"exponent": "published_exponent", "scale": "published_scale"}
    )
    out = points[["corpus", "k", "n", "normalised_mse"]].merge(
        published.merge(fits, on=["corpus", "k"]), on=["corpus", "k"]
    )
    out.attrs["citation"] = points.attrs["citation"]
    return out


def table(data: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each corpus and k: the published law, ours, and ours with a free floor."""
    return (
        data.drop(columns=["n", "normalised_mse"])
        .drop_duplicates(subset=["corpus", "k"])
        .reset_index(drop=True)
    )


def draw(data: pd.DataFrame, axes: Sequence[Axes]) -> Sequence[Axes]:
    """Draw :func:`data` on two axes, one for each corpus, and return them.

    Raises
    ------
    ValueError
        If there are not two axes.
    """
    if len(axes) != len(_CORPORA):
        raise ValueError(f"axes must hold 2 Axes, one for each corpus, got {len(axes)}")
    for corpus, ax in zip(_CORPORA, axes, strict=True):
        panel = data[data["corpus"] == corpus]
        for k, family in panel.groupby("k"):
            _draw_family(ax, int(str(k)), family)
        _finish(ax, corpus, panel)
    axes[0].set_ylabel("normalised mean squared error")
    return axes


def _draw_family(ax: Axes, k: int, family: pd.DataFrame) -> None:
    """Draw five points, the law fitted to them, and the published one."""
    colour, marker = _STYLES[k]
    row = family.iloc[0]
    n = np.geomspace(family["n"].min(), family["n"].max(), 50)
    ours = row["zero_scale"] * n ** -row["zero_exponent"]
    published = row["published_scale"] * n ** -row["published_exponent"]
    ends = f"[{row['zero_exponent_low']:.3f}, {row['zero_exponent_high']:.3f}]"
    label = f"$k = {k}$: {row['zero_exponent']:.3f} {ends} ({row['published_exponent']:.2f})"
    ax.plot(n, ours, color=colour, linewidth=1.4)
    ax.plot(n, published, color=colour, linewidth=1.2, linestyle=(0, (4, 3)))
    ax.plot(
        family["n"],
        family["normalised_mse"],
        color=colour,
        marker=marker,
        markersize=6,
        markeredgecolor="black",
        markeredgewidth=0.6,
        linestyle="none",
        label=label,
    )


def _finish(ax: Axes, corpus: str, panel: pd.DataFrame) -> None:
    """Set scales, ticks, title and legend."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sorted(panel["n"].unique())))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(FixedLocator([0.1, 0.15, 0.2, 0.25]))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:.2f}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0.085, 0.25)
    ax.set_xlabel("latents $n$")
    ax.set_title(corpus)
    handles, labels = ax.get_legend_handles_labels()
    handles += [
        Line2D([], [], color="black", linewidth=1.4),
        Line2D([], [], color="black", linewidth=1.2, linestyle=(0, (4, 3))),
    ]
    labels += ["fit, no floor", "published law"]
    ax.legend(
        handles,
        labels,
        title="exponent: fitted here [95% interval] (published, 2 decimals)",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2,
        columnspacing=1.0,
        fontsize="small",
        title_fontsize="small",
        frameon=False,
    )


def _columns(prefix: str, fit: PowerLawFit, names: tuple[str, ...]) -> dict[str, float | str]:
    row = fit.summary()
    return {
        f"{prefix}_{name}{end}": row[f"{name}{end}"]
        for name in names
        for end in ("", "_low", "_high")
    }
