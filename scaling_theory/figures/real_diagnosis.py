"""Which regime SAEs on real activations are in: what ``diagnose`` says of each family, and why.

A row a family: the probability of the pathological regime (at least a fifth of the latents on
manifolds with beta < alpha) from losses over widths, from firing frequencies and from neighbour
cosines of the widest SAE, each alone, and from all together. Beyond the dashed lines a regime is
called. Hollow: the model's best description is too far off for that evidence to be believed, and
then it has no verdict either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scaling_theory.figures.real_shared import KINDS, check_axes, check_frame, families

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.studies.real import Tables

REAL = True
SIZE = (10.5, 5.4)
AXES = (1, 1)
#: Evidence: label, marker, colour, size.
_STYLES = {
    "losses": ("losses alone", "s", "#0072B2", 6.5),
    "frequencies": ("frequencies alone", "^", "#E69F00", 7.5),
    "cosines": ("cosines alone", "D", "#CC79A7", 6.0),
    "all": ("all together", "o", "#000000", 9.0),
}


def data(tables: Tables) -> pd.DataFrame:
    """Return one row a family and kind of evidence.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``family``, ``evidence`` ("losses", "frequencies", "cosines", "all"; those that
        were not used have no row), ``pathological`` (probability), ``misfit`` (root mean square, of
        each alone), ``believed`` (whether the model describes that evidence, or all of it), and in
        all rows of a family ``verdict``, ``message``.

    Raises
    ------
    ValueError
        If the table lacks something, or a probability is not one.
    """
    import pandas as pd

    from scaling_theory import _validate
    from scaling_theory.analysis.diagnosis.diagnose import WORST

    check_frame("diagnoses", tables.diagnoses,
                ("kind", "family", "verdict", "message", "pathological"))  # fmt: skip
    rows: list[dict[str, Any]] = []
    for row in tables.diagnoses.to_dict("records"):
        of = {c: row[c] for c in ("kind", "family", "verdict", "message")}
        believed = []
        for name, most in WORST.items():
            value = row.get(f"{name}_alone")
            if value is None or value != value:  # not used, of this family or of any
                continue
            misfit = row[f"{name}_misfit"]
            believed.append(bool(misfit <= most))
            rows.append(
                {**of, "evidence": name, "pathological": value, "misfit": misfit}
                | {"believed": believed[-1]}
            )
        together = {"evidence": "all", "pathological": row["pathological"]}
        rows.append({**of, **together, "believed": all(believed)})
    out = pd.DataFrame(rows)
    _validate.reals("pathological", out["pathological"].to_numpy(), low=0.0, high=1.0)
    return out


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data` on one axis: families of each kind together, the verdicts at the right.

    Raises
    ------
    ValueError
        If there is not one axis.
    """
    from scaling_theory.analysis.diagnosis.result import CALL

    check_axes(axes, 1)
    (ax,) = axes
    places, labels, at = [], [], 0.0
    for kind, title in KINDS.items():
        own = data[data["kind"] == kind]
        ax.text(0.0, at + 0.62, title, fontsize=9, fontweight="bold")
        for family, _, part in families(own):
            _draw_family(ax, part, at)
            ax.text(1.04, at, _wrapped(str(part["verdict"].iloc[0])), fontsize=8.5, va="center")
            places.append(at)
            labels.append(family)
            at -= 1.0
        at -= 0.7
    for value in (1.0 - CALL, CALL):
        ax.axvline(value, color="black", linewidth=0.9, linestyle="--")
    ax.text(0.5 * (1.0 - CALL), at + 0.75, "benign", ha="center", fontsize=8.5)
    ax.text(0.5 * (1.0 + CALL), at + 0.75, "pathological", ha="center", fontsize=8.5)
    ax.set_yticks(places, labels)
    ax.set(xlim=(-0.02, 1.02), ylim=(at + 0.55, 1.1))
    ax.set_xlabel("probability of the pathological regime")
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)
    _legend(ax)
    return axes


def _draw_family(ax: Any, part: pd.DataFrame, at: float) -> None:
    for name, (_, marker, colour, size) in _STYLES.items():
        for row in part[part["evidence"] == name].to_dict("records"):
            # side by side, so that markers at the same probability can be told apart
            shift = {"losses": 0.24, "frequencies": 0.08, "cosines": -0.08, "all": -0.26}[name]
            ax.plot(
                row["pathological"], at + shift, marker=marker, markersize=size, linestyle="none",
                markeredgecolor=colour, markeredgewidth=1.2, clip_on=False, zorder=3,
                markerfacecolor=colour if row["believed"] else "white",
            )  # fmt: skip


def _wrapped(verdict: str) -> str:
    import textwrap

    return textwrap.fill(verdict, 26)


def _legend(ax: Any) -> None:
    from matplotlib.lines import Line2D

    def handle(marker: str, colour: str, size: float, face: str, label: str) -> Line2D:
        return Line2D(
            [], [], marker=marker, linestyle="none", markersize=size, color=colour,
            markerfacecolor=face, label=label,
        )  # fmt: skip

    handles = [handle(m, c, s, c, label) for label, m, c, s in _STYLES.values()]
    handles.append(handle("o", "#000000", 7.0, "white", "hollow: not described by the model"))
    ax.legend(
        handles=handles, ncols=5, loc="upper center", bbox_to_anchor=(0.55, -0.13), fontsize=8
    )
