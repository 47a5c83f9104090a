"""SAEs on real activations while they train: idle latents, and the variance left unexplained.

A latent is idle when it has not fired for an epoch, or for an eighth of the run where that is
shorter; before so many steps none can be. As O'Neill et al. (2024), arXiv:2408.00657, Figure 3
(k = 16, an epoch), at every k; first seed. The learning rate falls to 0 in the last fifth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scaling_theory.figures.real_shared import (
    KINDS,
    check_axes,
    check_frame,
    families,
    log_axis,
    numbers,
    width_styles,
)

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.studies.real import Tables

REAL = True
SIZE = (10.5, 11.0)
AXES = (4, 3)
_COLUMNS = ("kind", "family", "k", "width", "seed", "history_steps", "history_fvu", "history_idle")


def data(tables: Tables) -> pd.DataFrame:
    """Return one row a look at a TopK run of the first seed.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``family``, ``k``, ``width``, ``step``, ``idle`` (share of the latents that have
        not fired for a while), ``fvu`` (unexplained share of variance).

    Raises
    ------
    ValueError
        If the table of runs lacks something, or a history is not of one length.
    """
    import pandas as pd

    check_frame("runs", tables.runs, _COLUMNS)
    runs = tables.runs[(tables.runs["seed"] == 0) & (tables.runs["family"] != "ReLU")]
    parts = []
    for run in runs.to_dict("records"):
        looks = len(str(run["history_steps"]).split(","))
        steps = numbers("history_steps", run["history_steps"], looks)
        idle = numbers("history_idle", run["history_idle"], looks)
        part = pd.DataFrame(
            {
                "step": steps.astype(int),
                "idle": idle / int(run["width"]),
                "fvu": numbers("history_fvu", run["history_fvu"], looks),
            }
        )
        parts.append(part.assign(**{c: run[c] for c in ("kind", "family", "k", "width")}))
    out = pd.concat(parts, ignore_index=True)
    out["k"] = out["k"].astype(int)
    return out[["kind", "family", "k", "width", "step", "idle", "fvu"]]


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data`: a column a k; idle latents and losses of tokens, then of embeddings.

    Raises
    ------
    ValueError
        If there are not twelve axes, or more than three families.
    """
    check_axes(axes, 12)
    named = [family for family, _, _ in families(data)]
    if len(named) > 3:
        raise ValueError(f"data must have at most three TopK families, got {named}")
    looks = width_styles(data["width"])
    for row, kind in enumerate(KINDS):
        own = data[data["kind"] == kind]
        # zero is the message of some panels, so the axis starts a little below it
        most = max(100.0 * float(own["idle"].max()), 1.0)
        for column, (family, _, part) in enumerate(families(own)):
            above, below = (axes[3 * (2 * row + i) + column] for i in (0, 1))
            for width, run in part.groupby("width"):
                colour, marker, line = looks[int(str(width))]
                how = {
                    "color": colour, "marker": marker, "linestyle": line, "markersize": 3.5,
                    "linewidth": 1.1, "label": f"$n = {int(str(width)):,}$".replace(",", "{,}"),
                }  # fmt: skip
                above.plot(run["step"], 100.0 * run["idle"], **how)
                below.plot(run["step"], run["fvu"], **how)
            above.set_title(f"{family}, {KINDS[kind]}", fontsize=9)
            above.set_ylim(-0.06 * most, 1.08 * most)
            log_axis(below, 0.9 * float(own["fvu"].min()), 1.1 * float(own["fvu"].max()))
            below.set_xlabel("steps")
            for ax in (above, below):
                ax.set_xscale("log")
        for column in range(len(named), 3):
            axes[6 * row + column].set_axis_off()
            axes[6 * row + 3 + column].set_axis_off()
        axes[6 * row].set_ylabel("idle latents (%)")
        axes[6 * row + 3].set_ylabel("unexplained share of variance")
    axes[3].legend(fontsize=7.5, loc="lower left")
    return axes
