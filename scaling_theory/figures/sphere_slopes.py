"""Exponents of trained curves on unit spheres, by dimension (Michaud et al. 2025, Figure 5).

Left: the slope of the raw loss, floor included, which the paper measures between 1e2 and 1e4
latents. Right: the exponent of the excess over the floor, which is known, and that of the gains,
which needs no floor, less 1; beside what the best tilings and an ideal encoder would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaling_theory.figures.toy_curves import by_dimension
from scaling_theory.measured import FEWEST
from scaling_theory.theory.geometry import sphere_floor, tiling_exponents

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.runs import Runs

SIZE = (10.4, 4.4)
AXES = (1, 2)
SWEEPS = ("spheres",)

L1 = 0.1
#: Steps -> range of widths: the paper's, and what the quick preset has of it.
BETWEEN = {12_000: (100, 10_000), 4_000: (32, 1024)}
#: What the paper reads off its Figure 5: a slope of roughly 0.05 in dimensions 6 to 8.
PUBLISHED, PUBLISHED_DIMENSIONS = 0.05, (6, 8)

_BLUE, _ORANGE, _GREEN = "#0B3C6F", "#D55E00", "#3C8C5A"


def data(runs: Mapping[str, Runs]) -> pd.DataFrame:
    """One row a dimension: exponents with 95% intervals and status, and the guides.

    With one seed of each width the intervals are from the scatter about the law.
    """
    import pandas as pd

    rows = []
    for d, part in by_dimension(runs["spheres"]).items():
        between = BETWEEN[part.specs[0].steps]
        widths = {spec.width for spec in part.specs if between[0] <= spec.width <= between[1]}
        row: dict[str, Any] = {"dimension": d, "low_n": min(widths, default=0)}
        row |= {"high_n": max(widths, default=0), "points": len(widths), "runs": len(part)}
        row |= _exponents(part, between) if len(widths) >= FEWEST else {}  # fewer in previews
        said = tiling_exponents(d)
        rows.append(row | {"tiling": said.excess, "ideal": said.ideal})
    return pd.DataFrame(rows)


def _exponents(part: Runs, between: tuple[int, int]) -> dict[str, Any]:
    curve = part.curve()
    known = curve.exponents(between=between, floor=sphere_floor(L1))
    free = curve.exponents(between=between)
    found = {"raw": known.raw, "excess": known.excess, "free": free.excess, "gain": known.gain}
    row: dict[str, Any] = {"free_floor": free.fit.floor}
    for name, one in found.items():
        row |= {name: one.value, f"{name}_low": one.interval[0]}
        row |= {f"{name}_high": one.interval[1], f"{name}_status": one.status}
    return row


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Raw slopes on the left, exponents of excess and gains on the right."""
    left, right = axes
    d = data["dimension"]
    where = f"{data['low_n'].min()} to {data['high_n'].max()} latents"
    first, last = PUBLISHED_DIMENSIONS
    left.fill_between(
        [first - 0.3, last + 0.3], 0.9 * PUBLISHED, 1.1 * PUBLISHED, color="#BBBBBB", alpha=0.6,
        linewidth=0, label='the paper\'s "roughly 0.05", $10^2$ to $10^4$ latents',
    )  # fmt: skip
    _points(left, data, "raw", _BLUE, "o", f"trained, {where}")
    if (data["raw_status"] != "ok").any():
        left.plot([], [], "o", color=_BLUE, markersize=5, mfc="white", label="hollow: not a line")
    left.set(
        xlabel="dimension $d$ of the space", ylabel=r"$-\mathrm{d}\,\ln L / \mathrm{d}\,\ln n$",
        title="Slope of the loss, floor included", ylim=(0.0, 1.45 * data["raw"].max()),
    )  # fmt: skip
    guide = {"marker": "_", "markersize": 11, "linewidth": 0.9}
    right.plot(
        d, data["ideal"], color="#777777", linestyle=":", label="ideal encoder: $2/(d-1)$", **guide
    )
    right.plot(
        d, data["tiling"], color="black", linestyle="--",
        label="best tilings: $2(d+2)/((d-1)(d+4))$, conjectured for $d > 2$", **guide,
    )  # fmt: skip
    _points(right, data, "excess", _ORANGE, "s", "trained: loss above the floor", -0.08)
    _points(right, data, "gain", _GREEN, "D", "trained: gains, less 1", 0.08, less=1.0)
    if (data[["excess_status", "gain_status"]] != "ok").any(axis=None):
        right.plot(
            [], [], "D", color=_GREEN, markersize=5, mfc="white",
            label="hollow: not identified, or no power law",
        )  # fmt: skip
    right.set(
        xlabel="dimension $d$ of the space", ylabel="exponent of the loss above the floor",
        title=f"Excess exponents, {where}", ylim=(0.0, 2.9),
    )  # fmt: skip
    for panel in axes:
        panel.set_xticks(list(d))
        panel.set_xlim(1.5, 8.5)
    left.legend(fontsize=8, loc="upper left")
    right.legend(fontsize=8, loc="upper right")


def _points(
    panel: Any, data: pd.DataFrame, name: str, colour: str, marker: str, label: str,
    shift: float = 0.0, less: float = 0.0,
) -> None:  # fmt: skip
    """Exponents with intervals; hollow where the status is not "ok"."""
    ok = data[f"{name}_status"] == "ok"
    for part, face in ((data[ok], colour), (data[~ok], "white")):
        ends = [part[name] - part[f"{name}_low"], part[f"{name}_high"] - part[name]]
        panel.errorbar(
            part["dimension"] + shift, part[name] - less, ends, color=colour, marker=marker,
            markersize=5, capsize=2.5, linestyle="none", zorder=3, markerfacecolor=face,
        )  # fmt: skip
    panel.plot([], [], color=colour, marker=marker, markersize=5, linestyle="none", label=label)
