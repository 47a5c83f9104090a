"""Scaling of SAEs on real activations: loss against latents and compute, beside O'Neill et al.

Above: unexplained variance on held-out rows against the number of latents n, all families; bars are
one standard error. Below: the same of TopK against training compute C, each run a thin line from
a sixteenth of its steps to where the learning rate begins to fall; marked are the looks that no
cheaper one of the family equals, and the law is fitted to those. Lines: scale * x^-exponent, no
floor, over the fitted range only; intervals of L(n) are 95% profile intervals. Looks at one run are
no independent points, so that L(C) is shown without: what its data have takes them for such.

Exponents beside them: O'Neill et al. (2024), arXiv:2408.00657, section A.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.figures.real_shared import (
    KINDS,
    check_axes,
    check_frame,
    families,
    log_axis,
    width_axis,
)

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.studies.real import Tables

REAL = True
SIZE = (10.5, 8.6)
AXES = (2, 2)


def data(tables: Tables) -> pd.DataFrame:
    """Return measured losses and the laws fitted to them.

    Returns
    -------
    pandas.DataFrame
        ``panel`` ("width" or "compute"), ``kind``, ``family``, ``k``, ``width`` (of the SAE),
        ``what`` ("measured", or "law": two rows, the ends of its line), ``x`` (latents, or
        floating-point operations), ``y`` (unexplained share of variance); of points ``stderr`` (nan
        against compute) and ``frontier`` (whether the law was fitted to it); of laws ``exponent``,
        ``low``, ``high``, ``scale``, ``status``, ``oneill`` (their exponents).

    Raises
    ------
    ValueError
        If the tables of the study lack something.
    """
    import pandas as pd

    check_frame("losses", tables.losses, ("kind", "family", "k", "width", "loss", "stderr"))
    columns = ("kind", "family", "k", "width", "seed", "step_flops", "history_fvu", "history_steps")
    check_frame("runs", tables.runs, columns)
    parts = [*_of_width(tables.losses), *_of_compute(tables.runs)]
    return pd.concat(parts, ignore_index=True)


def _of_width(losses: pd.DataFrame) -> list[pd.DataFrame]:
    from scaling_theory.sae.studies.real import laws

    points = losses.rename(columns={"loss": "y"})[["kind", "family", "k", "width", "y", "stderr"]]
    points = points.assign(panel="width", what="measured", x=points["width"], frontier=True)
    fitted = laws.width_laws(losses)
    out = [points]
    for law in fitted[fitted["floor"] == "zero"].to_dict("records"):
        own = losses[(losses["kind"] == law["kind"]) & (losses["family"] == law["family"])]
        out.append(_line("width", law, own["width"].min(), own["width"].max()))
    return out


def _of_compute(runs: pd.DataFrame) -> list[pd.DataFrame]:
    from scaling_theory.fitting import fit_compute
    from scaling_theory.sae.studies.real import laws

    points = laws.compute_points(runs)
    out = []
    for (kind, family), part in points.groupby(["kind", "family"], sort=False):
        flops = part["flops"].to_numpy(float)
        said = fit_compute(flops, part["loss"].to_numpy(), floor=False)
        looks = part.rename(columns={"flops": "x", "loss": "y"}).drop(columns="step")
        out.append(looks.assign(panel="compute", what="measured", frontier=said.frontier))
        low, high = said.fit.intervals["exponent"]
        k = int(part["k"].iloc[0])
        law = {
            "kind": kind, "family": family, "k": k, "low": low, "high": high,
            "exponent": said.fit.estimates["exponent"], "scale": said.fit.estimates["scale"],
            "status": said.status, "oneill": str(laws.ONEILL_COMPUTE.get(k, "")),
        }  # fmt: skip
        best = flops[said.frontier]
        out.append(_line("compute", law, best.min(), best.max()))
    return out


def _line(panel: str, law: dict[Any, Any], first: float, last: float) -> pd.DataFrame:
    """Ends of a law's line."""
    import pandas as pd

    x = np.array([first, last], dtype=np.float64)
    names = ("kind", "family", "k", "exponent", "low", "high", "scale", "status", "oneill")
    return pd.DataFrame(
        {"panel": panel, "what": "law", "x": x, "y": law["scale"] * x ** -law["exponent"]}
        | {name: law[name] for name in names}
    )


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data`: L(n) above, L(C) below; a column a kind.

    Raises
    ------
    ValueError
        If there are not four axes.
    """
    check_axes(axes, 4)
    for column, (kind, title) in enumerate(KINDS.items()):
        for row, panel in enumerate(("width", "compute")):
            ax = axes[2 * row + column]
            own = data[(data["kind"] == kind) & (data["panel"] == panel)]
            for family, style, part in families(own):
                points, law = part[part["what"] == "measured"], part[part["what"] == "law"]
                label = _label(family, law.iloc[0], panel)
                if panel == "width":
                    _draw_widths(ax, points, style, label)
                else:
                    _draw_looks(ax, points, style, label)
                ax.plot(
                    law["x"], law["y"], color=style.colour, linestyle=style.line, linewidth=1.3,
                )  # fmt: skip
            theirs = ": astro-ph, cs.LG" if panel == "width" else ""
            shown = " [95%]" if panel == "width" else ""
            ax.legend(
                fontsize=7.5, loc="lower left", title_fontsize=7.5,
                title=f"exponent{shown} (O'Neill et al. 2024{theirs})",
            )  # fmt: skip
            # the lowest part is for the legend
            low, high = float(own["y"].min()), float(own["y"].max())
            span = max(np.log(high / low), 0.3)
            log_axis(ax, low * np.exp(-0.55 * span), high * np.exp(0.08 * span))
            if panel == "width":
                ax.set_title(title)
                width_axis(ax, own["x"])
            else:
                ax.set_xscale("log")
                ax.set_xlabel("training compute $C$ (floating-point operations)")
    for ax in axes[::2]:
        ax.set_ylabel("unexplained share of variance")
    return axes


def _label(family: str, law: pd.Series[Any], panel: str) -> str:
    theirs = f" ({law['oneill']})" if law["oneill"] else ""
    status = "" if law["status"] == "ok" else f", {law['status']}"
    ends = f" [{law['low']:.3f}, {law['high']:.3f}]" if panel == "width" else ""
    return f"{family}: {law['exponent']:.3f}{ends}{theirs}{status}"


def _draw_widths(ax: Any, points: pd.DataFrame, style: Any, label: str) -> None:
    ax.errorbar(
        points["x"], points["y"], points["stderr"], color=style.colour, marker=style.marker,
        markersize=5.5, markeredgecolor="black", markeredgewidth=0.5, linestyle="none",
        elinewidth=1.0, capsize=2.5, label=label, zorder=3,
    )  # fmt: skip


def _draw_looks(ax: Any, points: pd.DataFrame, style: Any, label: str) -> None:
    for _, run in points.groupby("width"):
        ax.plot(run["x"], run["y"], color=style.colour, linewidth=0.5, alpha=0.45)
    best = points[points["frontier"].astype(bool)]
    ax.plot(
        best["x"], best["y"], color=style.colour, marker=style.marker, markersize=3.5,
        markeredgecolor="black", markeredgewidth=0.3, linestyle="none", label=label, zorder=3,
    )  # fmt: skip
