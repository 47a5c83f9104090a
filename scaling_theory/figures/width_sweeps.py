"""Two published width sweeps, and every candidate law fitted to them.

Left: fraction of variance unexplained by eight autoencoders on GPT-2 small (J. Bloom, 2024). Middle
and right: normalised mean squared error of 40 top-k autoencoders on text embeddings, of two corpora
and with four k (O'Neill et al., 2024, Table 2). Lines are the laws of ``compare_laws``, with 95%
bands for those within 2 of the least AICc; the legend gives how far the AICc of each is above the
least, its exponent with a 95% interval, and its floor. Laws with more parameters than AICc allows
for so few points are thin. The left panel shows, dotted, what its laws say beyond the points, and
their floors as bars at its edge.

Five points can rank only laws of two parameters: the three-parameter ones have an infinite AICc.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory import datasets
from scaling_theory._validate import Floats
from scaling_theory.fitting import LawFit, fit_law
from scaling_theory.fitting.laws import LAWS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Width and height in inches.
SIZE = (14.4, 7.0)
#: Rows and columns of axes.
AXES = (1, 3)

GPT2 = "GPT-2"
CORPORA = ("astro-ph", "cs.LG")
#: Points of curves, for GPT-2 and for corpora; how far beyond the last n those of GPT-2 go.
_POINTS, _FEW, _BEYOND = 33, 9, 16.0

#: Kinds of laws: colour. With a floor they are solid, without one dashed.
_COLOURS = {
    "power law": "#0B3C8C",
    "critical power law": "#D55E00",
    "log-corrected power law": "#1F9E89",
    "uniform law": "#F5C242",
    "broken power law": "#8A8A8A",
    "exponential": "#000000",
}
_MARKERS = {0: "o", 16: "o", 32: "s", 64: "^", 128: "D"}
_FLOOR = " + floor"
_WIDE = "uniform"


def data() -> pd.DataFrame:
    """Return points, laws and their curves for nine families: GPT-2, and (corpus, k).

    Returns
    -------
    pandas.DataFrame
        ``sweep``, ``k`` (0 for GPT-2), ``kind``, ``citation`` (of points). Rows of kind "point":
        ``n``, ``loss``. Of kind "law": ``law`` (those with fewer parameters than points),
        ``parameters`` (their number), ``aicc``, ``delta`` (AICc above the least of the family;
        inf where AICc is), ``aic``, ``exponent`` and ``floor`` with the ends ``*_low`` and
        ``*_high`` of 95% profile intervals, ``status``: as in ``compare_laws``. Of kind "curve":
        ``law``, ``n``, ``loss`` and, where the parameters' covariance exists, the ends ``low`` and
        ``high`` of the band.
    """
    import pandas as pd

    widths = datasets.load("gpt2_layer8_widths")
    unexplained = 1.0 - widths["variance_explained"].to_numpy(float)
    source = widths.attrs["citation"]
    tables = [family(GPT2, 0, widths["width"].to_numpy(float), unexplained, source)]
    points = datasets.load("oneill2024_table2")
    for (corpus, k), part in points.groupby(["corpus", "k"]):
        n, loss = part["n"].to_numpy(float), part["normalised_mse"].to_numpy(float)
        tables.append(family(str(corpus), int(str(k)), n, loss, points.attrs["citation"]))
    return pd.concat(tables, ignore_index=True)


def family(sweep: str, k: int, n: Floats, loss: Floats, citation: str) -> pd.DataFrame:
    """Return the rows of one family: its points, its laws in the order of AICc, their curves."""
    import pandas as pd

    points = pd.DataFrame({"kind": "point", "n": n, "loss": loss, "citation": citation})
    inside = np.geomspace(n.min(), n.max(), _POINTS if sweep == GPT2 else _FEW)
    beyond = n.max() * np.geomspace(1.0, _BEYOND, _POINTS)[1:] if sweep == GPT2 else []
    at = np.append(inside, beyond)
    # As in ``compare_laws``, whose hold-out fits are left out: they take as long again.
    fits = [fit_law(n, loss, law) for law in LAWS if len(law.parameters) < n.size]
    laws = pd.DataFrame([_row(fit) for fit in fits])
    laws.insert(3, "delta", laws["aicc"] - laws["aicc"].min())
    laws = laws.sort_values(["aicc", "aic"], kind="stable", ignore_index=True)
    curves = [_curve(fit, at) for fit in fits]
    out = pd.concat([points, laws.assign(kind="law"), *curves], ignore_index=True)
    out.insert(0, "k", k)
    out.insert(0, "sweep", sweep)
    return out


def _row(fit: LawFit) -> dict[str, float | int | str]:
    nan = float("nan")
    exponent, low, high = fit.exponent or (nan, nan, nan)
    floor_low, floor_high = fit.intervals.get("floor", (0.0, 0.0))
    return {
        "law": fit.law.name, "parameters": fit.parameters, "aicc": fit.aicc, "aic": fit.aic,
        "exponent": exponent, "exponent_low": low, "exponent_high": high,
        "floor": fit.estimates.get("floor", 0.0), "floor_low": floor_low, "floor_high": floor_high,
        "status": fit.status,
    }  # fmt: skip


def _curve(fit: LawFit, at: Floats) -> pd.DataFrame:
    import pandas as pd

    band = fit.band(at)
    known = np.isfinite(band.high)  # none where parameters can change together
    low, high = np.where(known, band.low, np.nan), np.where(known, band.high, np.nan)
    rows = {"law": fit.law.name, "n": at, "loss": band.value, "low": low, "high": high}
    return pd.DataFrame({"kind": "curve"} | rows)


def draw(data: pd.DataFrame, axes: Sequence[Axes]) -> Sequence[Axes]:
    """Draw :func:`data` on three axes and return them.

    Raises
    ------
    ValueError
        If there are not three axes.
    """
    if len(axes) != 3:
        raise ValueError(f"axes must hold 3 Axes, GPT-2 and two corpora, got {len(axes)}")
    for sweep, ax in zip((GPT2, *CORPORA), axes, strict=True):
        panel = data[data["sweep"] == sweep]
        for k, part in panel.groupby("k"):
            _draw_family(ax, int(str(k)), part)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("latents $n$")
    _finish_gpt2(axes[0], data[data["sweep"] == GPT2])
    for corpus, ax in zip(CORPORA, axes[1:], strict=True):
        _finish_corpus(ax, corpus, data[data["sweep"] == corpus])
    axes[1].set_ylabel("normalised mean squared error")
    return axes


def _draw_family(ax: Axes, k: int, part: pd.DataFrame) -> None:
    points = part[part["kind"] == "point"]
    last = points["n"].max()
    laws = part[part["kind"] == "law"]
    # the least AICc last, on top
    for row in _tuples(laws.iloc[::-1]):
        ranked = bool(np.isfinite(row.delta))
        line: dict[str, Any] = {"color": _colour(row.law), "linestyle": _dash(row.law)}
        line |= {"linewidth": _width(row.law, ranked), "alpha": 1.0 if ranked else 0.7}
        # wide where it would hide behind the power law, which it contains
        line |= {"zorder": 1.9 if row.law.startswith(_WIDE) else 2.0}
        curve = part[(part["kind"] == "curve") & (part["law"] == row.law)]
        inside, beyond = curve[curve["n"] <= last], curve[curve["n"] >= last]
        ax.plot(inside["n"], inside["loss"], **line)
        if ranked and row.delta < 2.0:
            ax.fill_between(
                inside["n"], inside["low"], inside["high"], color=line["color"], alpha=0.12,
                linewidth=0,
            )  # fmt: skip
        if len(beyond) > 1:
            ax.plot(beyond["n"], beyond["loss"], **line | {"linestyle": (0, (1, 1.6))})
            if row.floor > 0.0:
                end = curve["n"].max()
                ax.plot([1.06 * end, 1.6 * end], [row.floor] * 2, **line | {"linestyle": "-"})
    ax.plot(
        points["n"], points["loss"], linestyle="none", marker=_MARKERS[k], markersize=6,
        color="white", markeredgecolor="black", markeredgewidth=1.0, zorder=5,
    )  # fmt: skip


def _finish_gpt2(ax: Axes, panel: pd.DataFrame) -> None:
    laws = panel[panel["kind"] == "law"]
    last = panel.loc[panel["kind"] == "point", "n"].max()
    ax.axvline(last, color="black", linewidth=0.6)
    ax.text(0.93 * last, 0.52, "points end", fontsize=8, rotation=90, ha="right", va="top")
    ax.set_ylim(0.1, 0.55)
    _ticks(ax, (1e3, 1e4, 1e5, 1e6), (0.1, 0.15, 0.2, 0.3, 0.4, 0.5))
    ax.set_ylabel("fraction of variance unexplained")
    ax.set_title("GPT-2 small, layer 8 (8 widths); bars at the edge: floors")
    head = f"{'law':<32}{'ΔAICc':>6}  {'exponent [95%]':<21} floor [95%]"
    entries = [
        (_line(row.law, bool(np.isfinite(row.delta))), f"{row.law:<32}{_delta(row.delta):>6}  "
         f"{_interval(row.exponent, row.exponent_low, row.exponent_high):<21} {_floor(row)}")
        for row in _tuples(laws)
    ]  # fmt: skip
    _legend(ax, entries, head)


def _finish_corpus(ax: Axes, corpus: str, panel: pd.DataFrame) -> None:
    from matplotlib.lines import Line2D

    points = panel[panel["kind"] == "point"]
    _ticks(ax, sorted(points["n"].unique()), (0.1, 0.15, 0.2, 0.25))
    ax.set_ylim(0.085, 0.25)
    ax.set_title(f"text embeddings, {corpus} (5 widths for each $k$)")
    head = f"{'law':<28}{'ΔAICc':>6}  exponent [95%]"
    entries = []
    for k, part in panel[panel["kind"] == "law"].groupby("k"):
        for row in _tuples(part[np.isfinite(part["delta"])]):
            text = f"k = {k:<4}{row.law:<20}{_delta(row.delta):>6}  " + _interval(
                row.exponent, row.exponent_low, row.exponent_high
            )
            handle = _line(row.law, ranked=True)
            handle.set(marker=_MARKERS[int(str(k))], markersize=5)
            handle.set(markerfacecolor="white", markeredgecolor="black")
            entries.append((handle, text))
    thin = panel[panel["kind"] == "law"]
    others = sorted(set(thin["law"][~np.isfinite(thin["delta"])]))
    entries.append(
        (Line2D([], [], color="#444444", linewidth=0.6),
         f"thin: {len(others)} laws with too many\nparameters for the AICc of 5 points")
    )  # fmt: skip
    _legend(ax, entries, head)


def _legend(ax: Axes, entries: list[tuple[Any, str]], head: str) -> None:
    handles, labels = zip(*entries, strict=True)
    # the header starts where the labels do
    legend = ax.legend(
        handles, labels, title="        " + head, loc="upper center", bbox_to_anchor=(0.5, -0.1),
        prop={"family": "monospace", "size": 6.4}, alignment="left", handlelength=2.6,
        title_fontproperties={"family": "monospace", "size": 6.4, "weight": "bold"},
    )  # fmt: skip
    legend.get_title().set_multialignment("left")


def _ticks(ax: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    ax.xaxis.set_major_locator(FixedLocator(list(x)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(FixedLocator(list(y)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:.2f}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _line(law: str, ranked: bool) -> Any:
    from matplotlib.lines import Line2D

    width = _width(law, ranked)
    return Line2D([], [], color=_colour(law), linestyle=_dash(law), linewidth=width)


def _width(law: str, ranked: bool) -> float:
    if not ranked:
        return 0.6
    return 4.0 if law.startswith(_WIDE) else 1.6


def _colour(law: str) -> str:
    return _COLOURS[law.removesuffix(_FLOOR)]


def _dash(law: str) -> Any:
    return "-" if law.endswith(_FLOOR) else (0, (4, 2))


def _delta(delta: float) -> str:
    return f"{delta:.1f}" if np.isfinite(delta) else "inf"


def _interval(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "none"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _floor(row: Any) -> str:
    if not row.law.endswith(_FLOOR):
        return "none"
    return _interval(row.floor, row.floor_low, row.floor_high)


def _tuples(table: pd.DataFrame) -> Any:
    """Rows with attributes; their types are those of the columns, which are not declared."""
    return table.itertuples()
