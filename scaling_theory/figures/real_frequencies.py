"""Firing frequency against rank of SAEs on real activations, and its slope.

The widest SAE of each family; frequencies on rows that were trained on, each once; latents that
never fired have no point. Broad lines: least squares on logarithmic axes between the ranks that
they are drawn over, of which there are as many as M25's 10^2 to 10^4 of 2^14 latents are; none
where a family has too few. As Michaud, Gorton and McGrath (2025), appendix A.1 and Figure 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.figures.real_shared import KINDS, check_axes, check_frame, families, widest

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.studies.real import Tables

REAL = True
SIZE = (10.5, 4.8)
AXES = (1, 2)
#: Ranks of a curve, evenly spaced logarithms.
_POINTS = 160


def data(tables: Tables) -> pd.DataFrame:
    """Return frequencies at chosen ranks, and the fitted slopes.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``family``, ``width``, ``what``: "latent" (``rank``, ``frequency``) or "law", the
        two ends of a fitted line (``rank``, ``frequency``), of a family without one a single row
        that has neither. Of laws: ``slope``, ``low``, ``high`` (95%), ``status``. All: ``alive``,
        ``rows``.

    Raises
    ------
    ValueError
        If a table lacks something, or the frequencies are not those of the table of latents.
    """
    import pandas as pd

    columns = ("kind", "family", "width", "rows", "alive", "last_rank", "slope", "slope_status")
    check_frame("latents", tables.latents, columns)
    parts = []
    for row in widest(tables.latents).to_dict("records"):
        key = f"{row['kind']}_{row['family']}_{row['width']}".replace(" ", "_")
        if key not in tables.frequencies:
            raise ValueError(
                f"tables.frequencies must have {key}, got {', '.join(tables.frequencies)}"
            )
        values = np.asarray(tables.frequencies[key], dtype=np.float64)
        falling = np.sort(values[values > 0.0])[::-1]
        if (values.size, falling.size) != (row["width"], row["alive"]):
            raise ValueError(
                f"tables.frequencies of {key} must be {row['width']} numbers, {row['alive']} of "
                f"them above 0, got {values.size} and {falling.size}"
            )
        ranks = np.unique(np.rint(np.geomspace(1, falling.size, _POINTS)).astype(int))
        curve = pd.DataFrame({"what": "latent", "rank": ranks, "frequency": falling[ranks - 1]})
        both = pd.concat([curve, _law(falling, row)], ignore_index=True)
        parts.append(both.assign(**{c: row[c] for c in ("kind", "family", "width", "alive",
                                                        "rows")}))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _law(falling: Floats, row: dict[Any, Any]) -> pd.DataFrame:
    """Ends of the line with the stored slope: least squares pass through the mean logarithms."""
    import pandas as pd

    from scaling_theory.fitting.frequencies.slope import grid
    from scaling_theory.sae.studies.real.latents import FIRST_RANK

    of = {"what": "law", "status": row["slope_status"], "slope": row["slope"]}
    if not np.isfinite(row["slope"]):
        return pd.DataFrame([of])
    first, last = FIRST_RANK, int(row["last_rank"])
    at = grid(first, last)
    level = float(np.mean(np.log(falling[at - 1]) - row["slope"] * np.log(at)))
    ends = np.array([first, last])
    line = np.exp(level + row["slope"] * np.log(ends))
    return pd.DataFrame(
        of | {"rank": ends, "frequency": line, "low": row["slope_low"], "high": row["slope_high"]}
    )


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data`: a panel a kind.

    Raises
    ------
    ValueError
        If there are not two axes.
    """
    from scaling_theory.theory.latents.readings import GEMMA_SCOPE

    check_axes(axes, 2)
    theirs = ", ".join(f"{slope:g} ({label})" for label, _, slope in GEMMA_SCOPE)
    for ax, (kind, title) in zip(axes, KINDS.items(), strict=True):
        own = data[data["kind"] == kind]
        for family, style, part in families(own):
            latents, law = part[part["what"] == "latent"], part[part["what"] == "law"]
            ax.plot(
                latents["rank"], latents["frequency"], color=style.colour, linestyle=style.line,
                linewidth=1.0, marker=style.marker, markersize=4, markevery=16,
                label=_label(family, law.iloc[0]),
            )  # fmt: skip
            if law["rank"].notna().all():
                ax.plot(
                    law["rank"], law["frequency"], color=style.colour, linewidth=6.0, alpha=0.35,
                    solid_capstyle="butt", zorder=1,
                )  # fmt: skip
        ax.set_xscale("log")
        ax.set_yscale("log")
        width = int(own["width"].max())
        ax.set(
            title=f"{title}, $n$ = {width:,}",
            xlabel="rank of latent",
            ylabel="firing frequency (share of rows)",
        )
        ax.legend(
            fontsize=7.5, loc="lower left", title_fontsize=7.5, alignment="left",
            title=f"slope of the broad line [95%]\nGemma Scope (M25): {theirs}",
        )  # fmt: skip
    return axes


def _label(family: str, law: pd.Series[Any]) -> str:
    if not np.isfinite(law["slope"]):
        return f"{family}: {law['status']}"
    status = "" if law["status"] == "ok" else f", {law['status']}"
    return f"{family}: {law['slope']:.2f} [{law['low']:.2f}, {law['high']:.2f}]{status}"
