"""How often diagnoses are right: families of SAEs with known regimes, judged by ``diagnose``.

Left: stated probability of the pathological regime, in five classes, against the share that is
pathological. Middle: how many of the calls (a probability above 0.8 for either regime) are right,
over all, by kind of evidence, and by what of the model's assumptions is broken. Right: where in
(alpha, beta) the wrong calls are. Intervals are binomial (Clopper-Pearson, 95%).

Drawn from rows that are stored with the package (``stored/diagnosis_blind.csv``,
``stored/diagnosis_trained.csv``; columns of ``analysis.calibration.judge``). Where a table is not
there the figure says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.analysis.calibration import accuracy, calibration
from scaling_theory.analysis.diagnosis.result import CALL

if TYPE_CHECKING:
    import pandas as pd

SIZE = (15.0, 6.2)
AXES = (1, 3)

#: Sources of families: file in ``FOLDER``, what they are.
SOURCES = {"blind": "drawn families", "trained": "trained families"}
FOLDER = Path(__file__).parent / "stored"
#: Columns of a stored table that are read.
COLUMNS = ("name", "regime", "alpha", "beta", "pathological", "verdict", "evidence", "departures")

#: What became of a family.
_OUTCOMES = ("right", "wrong", "no call", "not described")
_COLOURS = {"blind": "#0B3C8C", "trained": "#D55E00"}
_MARKERS = {"blind": "o", "trained": "s"}


def data(folder: Path | None = None) -> pd.DataFrame:
    """Return what is drawn, from the stored tables.

    Parameters
    ----------
    folder
        Where diagnosis_blind.csv and diagnosis_trained.csv are; default: in the package.

    Returns
    -------
    pandas.DataFrame
        ``source`` ("blind" or "trained") and ``kind``. "missing": there is no such table, and
        no other row of that source. "class": ``low``, ``high`` of the stated probability,
        ``families``, ``said`` (its mean), ``so`` (share that is pathological), ``so_low``,
        ``so_high``. "calls": ``group`` ("all", "evidence" or "departure"), ``value``, ``families``,
        ``called``, ``right``, ``so`` (share of right calls), ``so_low``, ``so_high``. "family":
        ``name``, ``regime``, ``alpha``, ``beta`` (nan without manifolds), ``pathological``,
        ``verdict``, ``outcome`` ("right", "wrong", "no call", or "not described" where the model is
        said not to describe the family).

    Raises
    ------
    ValueError
        If a table lacks a column or has no rows, or holds what ``judge`` does not write.
    """
    import pandas as pd

    where = FOLDER if folder is None else folder
    tables = []
    for source in SOURCES:
        file = where / f"diagnosis_{source}.csv"
        if file.exists():
            rows = of_families(read(file))
        else:
            rows = pd.DataFrame({"kind": ["missing"], "name": [file.name]})
        rows.insert(0, "source", source)
        tables.append(rows)
    return pd.concat(tables, ignore_index=True)


def read(file: Path) -> pd.DataFrame:
    """Read and check a stored table."""
    import pandas as pd

    rows = pd.read_csv(file)
    lacking = [name for name in COLUMNS if name not in rows.columns]
    if lacking:
        raise ValueError(f"{file.name} must have the columns of judge, lacks {', '.join(lacking)}")
    if rows.empty:
        raise ValueError(f"{file.name} must have a row for each family, got none")
    rows["beta"] = rows["beta"].replace(math.inf, math.nan)  # no manifolds, or a plateau
    p = rows["pathological"].to_numpy(float)
    if not ((p >= 0.0) & (p <= 1.0)).all():
        raise ValueError(f"pathological in {file.name} must be in [0, 1], got {p.tolist()}")
    strange = sorted(set(rows["regime"].astype(str)) - {"benign", "pathological", "other"})
    if strange:
        raise ValueError(
            f"regime in {file.name} must be benign, pathological or other, got {strange[0]!r}"
        )
    return rows


def of_families(rows: pd.DataFrame) -> pd.DataFrame:
    """Return classes, calls and families of a table of ``judge``."""
    import pandas as pd

    rows = rows.assign(outcome=_outcomes(rows))
    names = {"share": "so", "low": "so_low", "high": "so_high"}
    calls = []
    for by, group in (("evidence", "evidence"), ("departures", "departure")):
        table = accuracy(rows, by=by).rename(columns={by: "value", **names})
        table["group"] = np.where(table["value"] == "all", "all", group)
        calls.append(table if by == "evidence" else table[table["group"] != "all"])
    kept = ["name", "regime", "alpha", "beta", "pathological", "verdict", "outcome"]
    parts = {
        "class": calibration(rows),
        "calls": pd.concat(calls, ignore_index=True),
        "family": rows[kept],
    }
    return pd.concat([part.assign(kind=kind) for kind, part in parts.items()], ignore_index=True)


def _outcomes(rows: pd.DataFrame) -> np.ndarray[Any, Any]:
    """One of ``_OUTCOMES`` for each family; families of regime "other" can't be called right."""
    p, regime = rows["pathological"], rows["regime"]
    described = ~rows["verdict"].str.startswith("the model")
    called = (p > CALL) | (p < 1.0 - CALL)
    right = ((p > CALL) & (regime == "pathological")) | ((p < 1.0 - CALL) & (regime == "benign"))
    return np.select(
        [~described.to_numpy(), ~called.to_numpy(), right.to_numpy()],
        ["not described", "no call", "right"],
        "wrong",
    )


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Draw :func:`data` on three axes and return them.

    Raises
    ------
    ValueError
        If there are not three axes.
    """
    if len(axes) != 3:
        raise ValueError(f"axes must hold 3 Axes, got {len(axes)}")
    missing = data[data["kind"] == "missing"]
    there = [source for source in SOURCES if source not in set(missing["source"])]
    for ax, title in zip(
        axes,
        ("Is it so as often as said?", "Calls that are right", "Where calls are wrong"),
        strict=True,
    ):
        ax.set_title(title)
        if not there:
            ax.set_axis_off()
    if there:
        _draw_reliability(data, there, axes[0])
        _draw_calls(data, there, axes[1])
        _draw_families(data, there, axes[2])
    if len(missing):
        said = "\n".join(
            f"no {SOURCES[str(row.source)]}: {row.name} is not stored" for row in _tuples(missing)
        )
        place = (0.5, 0.5) if not there else (0.0, 1.08)
        axes[0].text(
            *place, said, transform=axes[0].transAxes, color="#A00000", fontsize=8,
            ha="center" if not there else "left",
        )  # fmt: skip
    return axes


def _draw_reliability(data: pd.DataFrame, there: list[str], ax: Any) -> None:
    classes = data[(data["kind"] == "class") & (data["families"] > 0)]
    ax.plot([0, 1], [0, 1], color="black", linewidth=0.8, label="as often as said")
    for source in there:
        part = classes[classes["source"] == source]
        ax.errorbar(
            part["said"], part["so"],
            yerr=[part["so"] - part["so_low"], part["so_high"] - part["so"]],
            linestyle="none", marker=_MARKERS[source], markersize=6, capsize=2.5, linewidth=1.2,
            color=_COLOURS[source],
            label=f"{SOURCES[source]} ({int(part['families'].sum())} judged)",
        )  # fmt: skip
        right = source == there[0]
        for row in _tuples(part):
            ax.annotate(
                f"{int(row.families)}", (row.said, row.so), (6 if right else -6, 4),
                textcoords="offset points", fontsize=7.5, ha="left" if right else "right",
                color=_COLOURS[source],
            )  # fmt: skip
    ax.set(
        xlabel="probability said of the pathological regime (mean of class)",
        ylabel="share that is pathological, 95%",
        xlim=(-0.04, 1.08),
        ylim=(-0.04, 1.04),
    )
    ax.legend(
        fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2,
        title="numbers: families in class", title_fontsize=7.5,
    )  # fmt: skip


def _draw_calls(data: pd.DataFrame, there: list[str], ax: Any) -> None:
    calls = data[data["kind"] == "calls"]
    rows = calls[["group", "value"]].drop_duplicates()
    order = {"all": 0, "evidence": 1, "departure": 2}
    rows = rows.sort_values("group", key=lambda g: g.map(order), kind="stable")
    places: dict[tuple[str, str], float] = {}
    labels, at = [], 0.0
    for group, part in rows.groupby("group", sort=False):
        values = part["value"].astype(str)
        if group == "departure":
            values = values.sort_values(key=lambda names: names.where(names != "none", ""))
        for value in values:
            places[str(group), str(value)] = at
            labels.append("no departure" if value == "none" else str(value))
            at -= 1.0
        at -= 0.6  # a gap between groups
    shift = 0.18 if len(there) > 1 else 0.0
    for k, source in enumerate(there):
        for row in _tuples(calls[calls["source"] == source]):
            y = places[str(row.group), str(row.value)] + (shift if k == 0 else -shift)
            text = f" {int(row.right)}/{int(row.called)}"
            ax.text(1.02, y, text, fontsize=6.5, va="center", color=_COLOURS[source])
            if not row.called:
                continue
            ax.errorbar(
                row.so, y, xerr=[[row.so - row.so_low], [row.so_high - row.so]], linewidth=1.1,
                marker=_MARKERS[source], markersize=4, capsize=2, color=_COLOURS[source],
            )  # fmt: skip
    ax.axvline(CALL, color="black", linewidth=0.8, linestyle="--")
    ax.set_yticks(list(places.values()), labels, fontsize=7)
    ax.set(xlabel=f"share of calls that are right, 95%; dashed: {CALL:g}", xlim=(0.0, 1.17))
    ax.set_xticks(np.linspace(0.0, 1.0, 6))
    ax.set_ylim(at + 1.0, 1.0)


def _draw_families(data: pd.DataFrame, there: list[str], ax: Any) -> None:
    from matplotlib.ticker import NullLocator

    families = data[data["kind"] == "family"]
    known = families[families["regime"] != "other"]
    betas = [1.0, *known["beta"].dropna()]
    low = 0.7 * min(0.03, *betas)
    none = 2.0 * max(betas)  # where families without manifolds are drawn, above all others
    filled = {"right": "#B8C4D6", "wrong": "#C00000", "no call": "white", "not described": "white"}
    for source in there:
        for outcome in _OUTCOMES:
            part = known[(known["source"] == source) & (known["outcome"] == outcome)]
            wrong = outcome == "wrong"
            ax.scatter(
                part["alpha"], part["beta"].fillna(none),
                s=44 if wrong else 20, facecolors=filled[outcome],
                marker=_MARKERS[source] if outcome != "not described" else "v",
                edgecolors="black" if wrong else _COLOURS[source],
                linewidths=0.9 if wrong else 0.6, zorder=4 if wrong else 2,
                label=f"{SOURCES[source]}: {outcome} ({len(part)})",
            )  # fmt: skip
    ends = np.geomspace(low, 0.7 * none, 60)
    ax.plot(ends, ends, color="black", linewidth=0.8)
    ax.set_yscale("log")
    ax.set_ylim(low, 1.4 * none)
    ax.set_xlim(min(0.0, float(known["alpha"].min()) - 0.05), float(known["alpha"].max()) + 0.05)
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if low < t < 0.7 * none]
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_yticks([*ticks, none], [*(f"{t:g}" for t in ticks), "none"])
    ax.set(
        xlabel=r"$\alpha$ of the features",
        ylabel=r"smallest $\beta$ of the manifolds (none: no manifolds)",
    )
    strange = families[families["regime"] == "other"]
    told = int((strange["outcome"] == "not described").sum())
    title = rf"line: $\beta = \alpha$; of {len(strange)} families of another kind, {told} were told"
    ax.legend(
        fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=max(len(there), 1),
        title=title, title_fontsize=7.5,
    )  # fmt: skip


def _tuples(table: pd.DataFrame) -> Any:
    """Rows with attributes; their types are those of the columns, which are not declared."""
    return table.itertuples()
