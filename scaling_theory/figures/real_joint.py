"""Loss of TopK SAEs on real activations against latents n and active ones k: one law of both.

Above: measured losses and the law L(n, k) of Gao et al. (2024), arXiv:2406.04093, section 3.2,
fitted to all of them, drawn over the widths that were trained. Below: what the law leaves,
measured over law less 1. The law has six parameters: few points beyond that say little, and the
title gives how the fit judges itself.
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
SIZE = (10.0, 6.6)
AXES = (2, 2)
#: Points of a curve.
_POINTS = 40


def data(tables: Tables) -> pd.DataFrame:
    """Return measured losses with the law's values, curves of the law, and its parameters.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``what``. "measured": ``family``, ``k``, ``n``, ``loss``, ``stderr``, ``law``,
        ``residual`` (loss over law, less 1). "law": ``family``, ``k``, ``n``, ``law``.
        "parameter": ``parameter``, ``value``, ``low``, ``high`` (95% profile interval); "fit":
        ``rms`` (of ln loss), ``points``, ``status``, ``message``.

    Raises
    ------
    ValueError
        If the table of losses lacks something.
    """
    import pandas as pd

    from scaling_theory.fitting import fit_joint

    check_frame("losses", tables.losses, ("kind", "family", "k", "width", "loss", "stderr"))
    topk = tables.losses[tables.losses["family"] != "ReLU"]
    parts = []
    for kind, part in topk.groupby("kind", sort=False):
        n, k = part["width"].to_numpy(float), part["k"].to_numpy(float)
        loss = part["loss"].to_numpy(float)
        fit = fit_joint(n, k, loss)
        law = fit.predict(n, k)
        points = part[["family", "k", "loss", "stderr"]].assign(
            what="measured", n=n, law=law, residual=loss / law - 1.0
        )
        rms = float(np.sqrt(np.mean(np.log(loss / law) ** 2)))
        names = list(fit.estimates)
        parameters = pd.DataFrame(
            {
                "what": "parameter",
                "parameter": names,
                "value": [fit.estimates[name] for name in names],
                "low": [fit.intervals[name][0] for name in names],
                "high": [fit.intervals[name][1] for name in names],
            }
        )
        said = {"what": "fit", "rms": rms, "points": len(part)}
        said |= {"status": fit.status, "message": fit.message}
        curves = []
        for family, own in part.groupby("family", sort=False):
            at = np.geomspace(own["width"].min(), own["width"].max(), _POINTS)
            of = int(own["k"].iloc[0])
            values = fit.predict(at, np.full(at.size, float(of)))
            curves.append(
                pd.DataFrame({"what": "law", "family": family, "k": of, "n": at, "law": values})
            )
        made = pd.concat([points, *curves, parameters, pd.DataFrame([said])], ignore_index=True)
        parts.append(made.assign(kind=kind))
    return pd.concat(parts, ignore_index=True)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data`: losses above, residuals below; a column a kind.

    Raises
    ------
    ValueError
        If there are not four axes.
    """
    check_axes(axes, 4)
    measured = data[data["what"] == "measured"]
    for column, (kind, title) in enumerate(KINDS.items()):
        own = data[data["kind"] == kind]
        above, below = axes[column], axes[2 + column]
        (said,) = own[own["what"] == "fit"].to_dict("records")
        for family, style, part in families(own):
            points, curve = part[part["what"] == "measured"], part[part["what"] == "law"]
            how = {
                "color": style.colour, "marker": style.marker, "markersize": 5.5,
                "markeredgecolor": "black", "markeredgewidth": 0.5, "capsize": 2.5,
            }  # fmt: skip
            above.errorbar(
                points["n"], points["loss"], points["stderr"], linestyle="none", label=family, **how
            )
            above.plot(curve["n"], curve["law"], color=style.colour, linewidth=1.2)
            below.errorbar(
                points["n"], 100.0 * points["residual"],
                100.0 * points["stderr"] / points["law"], linestyle=":", linewidth=0.8, **how,
            )  # fmt: skip
        status = "" if said["status"] == "ok" else f" ({said['status']})"
        above.set_title(
            f"{title}\n{int(said['points'])} points, six parameters{status}, "
            f"rms {100.0 * said['rms']:.2g}%",
            fontsize=9,
        )
        ends = own.loc[own["what"] == "measured", "loss"]
        log_axis(above, 0.94 * float(ends.min()), 1.06 * float(ends.max()))
        below.axhline(0.0, color="black", linewidth=0.8)
        for ax in (above, below):
            width_axis(ax, own.loc[own["what"] == "measured", "n"])
    # the same scale of residuals, so that the two kinds can be compared
    most = 100.0 * (measured["residual"].abs() + measured["stderr"] / measured["law"]).max()
    for ax in axes[2:]:
        ax.set_ylim(-1.15 * most, 1.15 * most)
    axes[0].set_ylabel("unexplained share of variance")
    axes[2].set_ylabel("measured over law, less 1 (%)")
    axes[0].legend(fontsize=8, loc="lower left", title="lines: law of $n$ and $k$",
                   title_fontsize=8)  # fmt: skip
    return axes
