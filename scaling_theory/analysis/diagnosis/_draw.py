"""A diagnosis on one page; matplotlib is loaded when one is drawn.

What each panel answers, in reading order:

1. How probable is either regime, before, from each kind of evidence alone, and from all together?
2. Where are alpha and beta, and on which side of the line between the regimes?
3. What else follows: shares, overlap, discovery?
4. Which further measurement would decide?

Regimes are told apart by hatches as well as by shades, so that the page can be printed in grey.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.analysis.diagnosis.result import CALL, Diagnosis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 4
_BENIGN, _PATHOLOGICAL, _INK = "#DCE9F3", "#B5541C", "#222222"
#: Longest line of text that fits across the page.
_PAGE = 110
_MEANING = {
    "share": "share of features\nthat are manifolds",
    "theta": "overlap exponent\ntheta",
    "piled": "share of latents\npiled on manifolds",
    "discovery_slope": "discovery slope\nd ln D / d ln N",
}


def draw(diagnosis: Diagnosis, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Draw a diagnosis in four panels.

    Parameters
    ----------
    diagnosis
        Of ``diagnose``.
    axes
        Four Axes, in reading order; None makes a page of them, with the verdict above.

    Returns
    -------
    list of Axes

    Raises
    ------
    ValueError
        If there are not four Axes.
    """
    if axes is None:
        panels = _page(diagnosis)
    else:
        panels = list(np.ravel(np.asarray(axes, dtype=object)))
        if len(panels) != PANELS:
            raise ValueError(
                f"axes must be {PANELS} Axes, or None for a page of them, got {len(panels)}"
            )
    _probabilities(diagnosis, panels[0])
    _exponents(diagnosis, panels[1])
    _others(diagnosis, panels[2])
    _further(diagnosis, panels[3])
    return panels


def _page(diagnosis: Diagnosis) -> list[Axes]:
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
    page, panels = plt.subplots(2, 2, figsize=(11.0, 8.0), layout=layout)
    page.suptitle(
        f"Verdict: {diagnosis.verdict}\n{_wrapped(diagnosis.message, _PAGE)}",
        fontsize=12, ha="left", x=0.02,
    )  # fmt: skip
    return list(panels.ravel())


def _probabilities(diagnosis: Diagnosis, ax: Axes) -> None:
    """One bar a kind of evidence, divided between the regimes."""
    rows = [("before", "", diagnosis.prior)]
    rows += [
        (f"{piece.name} alone", piece.what, piece.pathological) for piece in diagnosis.evidence
    ]
    rows += [("together", "", diagnosis.probabilities["pathological"])]
    for place, (_, _, p) in enumerate(rows):
        edge: dict[str, Any] = {"edgecolor": _INK, "linewidth": 0.8, "height": 0.55}
        ax.barh(place, 1.0 - p, color=_BENIGN, label="benign" if place == 0 else None, **edge)
        ax.barh(
            place, p, left=1.0 - p, color=_PATHOLOGICAL, hatch="///",
            label="pathological" if place == 0 else None, **edge,
        )  # fmt: skip
        ax.text(1.02, place, f"{p:.2f}", va="center", fontsize=9, fontweight=_weight(place, rows))
    ax.vlines([1.0 - CALL, CALL], -0.45, len(rows) - 0.5, color=_INK, linewidth=1.2, linestyle=":")
    labels = [f"{name}\n{shorten(what, 52, placeholder=' ...')}" for name, what, _ in rows]
    ax.set_yticks(range(len(rows)), [_wrapped(label.strip(), 28) for label in labels], fontsize=8)
    ax.set(
        xlim=(0.0, 1.12),
        xticks=[0.0, 0.2, 0.5, 0.8, 1.0],
        xlabel=f"probability (dotted: called where one regime has more than {CALL:g})",
        title="Which regime; right: probability of the pathological one",
    )
    ax.invert_yaxis()
    ax.set_ylim(top=-1.0)  # room for the legend
    ax.legend(loc="upper left", ncols=2, fontsize=8, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    _small(ax)


def _weight(place: int, rows: Sequence[Any]) -> str:
    return "bold" if place == len(rows) - 1 else "normal"


def _exponents(diagnosis: Diagnosis, ax: Axes) -> None:
    """Draws from the posterior, medians as a cross, and the line between the regimes."""
    table: Any = diagnosis.parameters.to_dict(orient="index")
    alpha, beta = table["alpha"], table["beta"]
    left, right = min(-0.2, alpha["low"]) - 0.1, max(1.0, alpha["high"]) + 0.1
    top = 1.2 * max(1.0, right, *(v for v in beta.values() if math.isfinite(v)))
    without = 0.92 * top  # where "no manifolds" is drawn, beta = inf
    least, middle, most = (min(beta[name], without) for name in ("low", "median", "high"))
    line = np.linspace(0.0, right, 64)
    ax.fill_between(
        line, 0.0, line, facecolor=_PATHOLOGICAL, alpha=0.18, hatch="///", edgecolor=_INK,
        linewidth=0.0,
    )  # fmt: skip
    ax.plot(line, line, color=_INK, linewidth=1.2)
    drawn = diagnosis.posterior
    ax.plot(
        drawn["alpha"], np.minimum(drawn["beta"], without), ".", color="#4A4A4A", markersize=3,
        alpha=0.45, zorder=3,
    )  # fmt: skip
    style: dict[str, Any] = {"color": _INK, "linewidth": 1.8, "markersize": 9, "zorder": 4}
    ax.plot([alpha["low"], alpha["high"]], [middle, middle], marker="|", **style)
    ax.plot([alpha["median"]] * 2, [least, most], marker="_", **style)
    ax.plot(alpha["median"], middle, "o", color=_INK, markersize=7, zorder=5)
    ticks = [tick for tick in ax.get_yticks() if 0.0 <= tick < 0.95 * without]
    if math.isfinite(beta["high"]):
        ax.set_yticks(ticks)
    else:
        ax.set_yticks([*ticks, without], [*(f"{tick:g}" for tick in ticks), "no\nmanifolds"])
    # out of the way of the cross
    box = {"facecolor": "white", "edgecolor": "none", "pad": 2.0}
    at = 0.62 if alpha["median"] < left + 0.45 * (right - left) else 0.25
    ax.text(at, 0.8, r"$\beta > \alpha$", transform=ax.transAxes, fontsize=9, ha="center",
            bbox=box)  # fmt: skip
    at = 0.06 if middle > 0.2 * top else 0.36
    ax.text(0.97, at, r"in the limit: $\beta < \alpha$", transform=ax.transAxes, fontsize=9,
            ha="right", bbox=box)  # fmt: skip
    ax.set(
        xlim=(left, right), ylim=(0.0, top),
        xlabel=r"$\alpha$: frequencies $i^{-(1+\alpha)}$",
        ylabel=r"$\beta$: loss of manifolds $(1+n)^{-\beta}$",
        title="Exponents: posterior (dots), medians and 95% intervals",
    )  # fmt: skip
    _small(ax)


def _others(diagnosis: Diagnosis, ax: Axes) -> None:
    """Median and interval of what else follows."""
    table: Any = diagnosis.parameters.to_dict(orient="index")
    names = [name for name in _MEANING if name in table]
    for place, name in enumerate(names):
        row = table[name]
        ends = [row["low"], row["high"]]
        ax.plot(ends, [place, place], color=_INK, linewidth=1.8, marker="|", markersize=9)
        ax.plot(row["median"], place, "o", color=_INK, markersize=6)
        text = f"{row['median']:.2g}  [{row['low']:.2g}, {row['high']:.2g}]"
        middle = 0.5 * (row["low"] + row["high"])
        ax.text(min(max(middle, 0.15), 0.9), place - 0.16, text, fontsize=8, ha="center")
    ax.set_yticks(range(len(names)), [_MEANING[name] for name in names], fontsize=8)
    highest = max(table[name]["high"] for name in names)
    ax.set(
        xlim=(-0.05, max(1.05, highest + 0.05)),
        ylim=(len(names) - 0.5, -0.75),
        title=f"What follows, at N = {diagnosis.width:,.0f} (95% intervals)",
    )
    ax.grid(axis="x", color="#CCCCCC", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    _small(ax)


def _further(diagnosis: Diagnosis, ax: Axes) -> None:
    """Chance of a verdict after each further measurement, and what it is worth."""
    decided = diagnosis.verdict in diagnosis.probabilities
    title = "What further measurements would tell" if decided else "What would decide"
    ax.set_title(title, fontsize=10)
    table = diagnosis.further
    if table is None or table.empty:
        why = "None was worked out."
        if diagnosis.verdict.startswith("the model"):
            why = "None: the model does not describe these SAEs."
        ax.text(0.5, 0.5, why, ha="center", va="center", fontsize=9, transform=ax.transAxes)
        ax.set_axis_off()
        return
    places = range(len(table))
    ax.barh(places, table["decides"], color="#BBBBBB", edgecolor=_INK, linewidth=0.8, height=0.6)
    for place, (decides, worth) in enumerate(
        zip(table["decides"], table["information"], strict=True)
    ):
        ax.text(
            decides + 0.02, place, f"{decides:.2f}  ({worth:.2f} nats)", va="center", fontsize=8
        )
    ax.set_yticks(
        places, [_wrapped(name.replace(" at N", "\nat N"), 28) for name in table["measurement"]]
    )
    ax.set(
        xlim=(0.0, 1.4),
        xticks=[0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        xlabel="probability that a regime is called after it (information)",
    )
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    _small(ax)


def _small(ax: Axes) -> None:
    ax.title.set_fontsize(10)
    ax.xaxis.label.set_fontsize(9)
    ax.yaxis.label.set_fontsize(9)
    ax.tick_params(labelsize=8)


def _wrapped(text: str, most: int) -> str:
    return "\n".join(line for part in text.split("\n") for line in wrap(part, most) or [""])
