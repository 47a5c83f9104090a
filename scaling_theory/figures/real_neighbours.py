"""Nearest-neighbour cosines of SAE decoders on real activations, and near-duplicates.

A row a kind. The widest SAE of each family: live latents by their largest cosine with another live
one, beside as many even directions, and as many from a Gaussian with the decoder's covariance.
Last column: the share of live latents with a near-duplicate (a cosine above 0.97, dead latents
included), of those the share whose nearest is dead, and the share of dead latents that are
near-duplicates. As Michaud, Gorton and McGrath (2025), appendix E and Figures 7 and 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.figures.real_shared import (
    KINDS,
    Style,
    check_axes,
    check_frame,
    numbers,
    styles,
    widest,
)

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.studies.real import Tables

REAL = True
SIZE = (15.0, 6.8)
AXES = (2, 5)
#: A cosine above this is a near-duplicate (M25, E.1).
NEAR = 0.97
#: Shares: label, marker, colour, and what is written where there is nothing to take it of.
_SHARES = {
    "above_97": ("of live latents", "o", "#000000", "no live latents"),
    "dead_nearest": ("of those, nearest dead", "X", "#C00000", "no near-duplicates"),
    "dead_above_97": ("of dead latents", "s", "#FFFFFF", "no dead latents"),
}
_COLUMNS = ("kind", "family", "width", "alive", "crowded", "crowded_low", "crowded_high",
            *_SHARES, "cosine_counts", "even_shares", "anisotropic_shares")  # fmt: skip


def data(tables: Tables) -> pd.DataFrame:
    """Return the histograms, one row a bin, and the shares, one row each.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``family``, ``width``, ``alive``, ``what``. "bin": ``low``, ``high`` (cosine; what
        is below 0 is in the first), ``count`` and ``share`` (of the live latents), ``even`` and
        ``anisotropic`` (share of the baselines). "crowded" (share of live latents whose neighbours
        unrelated ones can't explain): ``value``, ``value_low``, ``value_high`` (95%). "above_97",
        "dead_nearest", "dead_above_97": ``value``, nan where there is nothing to take it of.

    Raises
    ------
    ValueError
        If the table lacks something, or counts do not add up to the live latents.
    """
    import pandas as pd

    from scaling_theory.sae.studies.real.latents import COSINE_EDGES

    check_frame("latents", tables.latents, _COLUMNS)
    bins = COSINE_EDGES.size - 1
    parts = []
    for row in widest(tables.latents).to_dict("records"):
        counts = numbers("cosine_counts", row["cosine_counts"], bins)
        if counts.sum() != row["alive"]:
            raise ValueError(
                f"cosine_counts of {row['kind']} {row['family']} at width {row['width']} must add "
                f"up to its {row['alive']} live latents, got {counts.sum():g}"
            )
        part = pd.DataFrame(
            {
                "what": "bin",
                "low": COSINE_EDGES[:-1],
                "high": COSINE_EDGES[1:],
                "count": counts,
                "share": counts / counts.sum(),
                "even": numbers("even_shares", row["even_shares"], bins),
                "anisotropic": numbers("anisotropic_shares", row["anisotropic_shares"], bins),
            }
        )
        crowded = {"what": "crowded", "value": row["crowded"]}
        crowded |= {f"value_{end}": row[f"crowded_{end}"] for end in ("low", "high")}
        said = [crowded, *({"what": name, "value": row[name]} for name in _SHARES)]
        both = pd.concat([part, pd.DataFrame(said)], ignore_index=True)
        parts.append(both.assign(**{c: row[c] for c in ("kind", "family", "width", "alive")}))
    return pd.concat(parts, ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data`: a row a kind, a column a family, and one for near-duplicates.

    Raises
    ------
    ValueError
        If there are not ten axes, or more than four families.
    """
    check_axes(axes, 10)
    bins = data[data["what"] == "bin"]
    least = 100.0 * 0.6 / float(bins["alive"].max())
    seen = bins[(bins["count"] > 0) | (100.0 * bins[["even", "anisotropic"]].max(axis=1) > least)]
    first = float(seen["low"].min())
    names = styles(data["family"])
    if len(names) > 4:
        raise ValueError(f"data must have at most four families, got {', '.join(names)}")
    for row, (kind, title) in enumerate(KINDS.items()):
        own = data[data["kind"] == kind]
        for column, (family, style) in enumerate(names.items()):
            ax = axes[5 * row + column]
            _draw_cosines(ax, own[own["family"] == family], style, first, least)
            ax.set_title(f"{family}, {title}", fontsize=9)
        for ax in axes[5 * row + len(names) : 5 * row + 4]:
            ax.set_axis_off()
        axes[5 * row].set_ylabel("share of latents per bin (%)")
        _draw_duplicates(axes[5 * row + 4], own)
        axes[5 * row + 4].set_title(f"near-duplicates, {title}", fontsize=9)
    axes[0].legend(fontsize=7.5, loc="upper right", bbox_to_anchor=(1.0, 0.9))
    axes[9].legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    for ax in axes[5:9]:
        ax.set_xlabel("cosine with the nearest latent")
    axes[9].set_xlabel(f"share with a cosine above {NEAR:g} (%)")
    return axes


def _draw_cosines(ax: Any, part: pd.DataFrame, style: Style, first: float, least: float) -> None:
    bins = part[part["what"] == "bin"]
    (crowded,) = part[part["what"] == "crowded"].to_dict("records")
    edges = np.append(bins["low"], bins["high"].iloc[-1])
    share = 100.0 * bins["share"]
    ax.stairs(share, edges, fill=True, color=style.colour, alpha=0.45)
    ax.stairs(share, edges, color=style.colour, linewidth=1.0, label="live latents")
    for name, line, label in (
        ("even", (0, (1, 1)), "even directions"),
        ("anisotropic", (0, (4, 1.5)), "same covariance"),
    ):
        ax.stairs(
            100.0 * bins[name], edges, color="#444444", linewidth=1.3, linestyle=line, label=label
        )
    ax.axvline(NEAR, color="#A00000", linewidth=0.9, linestyle="-.")
    ax.set_yscale("log")
    ax.set(xlim=(first, 1.0), ylim=(least, 100.0))
    # rounded to whole numbers, of which there is no -0
    at, low, high = (round(100.0 * crowded[name]) for name in ("value", "value_low", "value_high"))
    ax.text(
        0.03, 0.97, f"crowded: {at} [{low}, {high}]%", fontsize=7.5, va="top",
        transform=ax.transAxes,
    )  # fmt: skip


def _draw_duplicates(ax: Any, own: pd.DataFrame) -> None:
    there = list(styles(own["family"]))
    for index, (name, (label, marker, colour, none)) in enumerate(_SHARES.items()):
        part = own[own["what"] == name].set_index("family")["value"]
        at = np.array([-i - 0.22 * (index - 1) for i in range(len(there))])
        values = 100.0 * part.reindex(there).to_numpy(float)
        ax.plot(
            values, at, marker=marker, color=colour, markersize=6, linestyle="none", label=label,
            markeredgecolor="black", markeredgewidth=0.4, clip_on=False, zorder=3,
        )  # fmt: skip
        for y in at[np.isnan(values)]:
            ax.text(2.0, y, none, fontsize=6.5, va="center")
    ax.set_yticks([-i for i in range(len(there))], there, fontsize=8)
    ax.set(xlim=(0.0, 100.0), ylim=(-len(there) + 0.4, 0.6))
