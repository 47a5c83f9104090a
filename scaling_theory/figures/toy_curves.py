"""What the figures of trained toy manifolds share: loss curves by dimension, drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # load torch
    import pandas as pd

    from scaling_theory.measured import MeasuredCurve
    from scaling_theory.sae.runs import Runs
    from scaling_theory.sae.spec import RunSpec

#: Dimension -> colour and marker; from dark to light, so that they differ in grey too.
STYLES = {
    2: ("#1B0C41", "o"),
    3: ("#4A0C6B", "s"),
    4: ("#781C6D", "^"),
    5: ("#A52C60", "v"),
    6: ("#CF4446", "D"),
    7: ("#ED6925", "P"),
    8: ("#FB9B06", "X"),
}


def select(runs: Runs, condition: Callable[[RunSpec], bool]) -> Runs:
    """Return those of the runs whose specification meets a condition."""
    pairs = [pair for pair in zip(runs.specs, runs.rows, strict=True) if condition(pair[0])]
    return replace(runs, specs=tuple(s for s, _ in pairs), rows=tuple(r for _, r in pairs))


def by_dimension(runs: Runs) -> dict[int, Runs]:
    """Split runs by the dimension of the space."""
    dimensions = sorted({spec.data.dimension for spec in runs.specs})
    return {
        d: select(runs, lambda spec, d=d: spec.data.dimension == d)  # type: ignore[misc]
        for d in dimensions
    }


def curve_table(
    runs: Mapping[str, Runs],
    floor: Callable[[str, int], float],
    basis: Callable[[str, int], float],
) -> pd.DataFrame:
    """One row per sweep, dimension and width: points, with ``floor`` and ``basis`` beside them.

    ``floor`` and ``basis`` give the least loss, and that of one latent a half axis, for the name of
    a sweep and a dimension.
    """
    import pandas as pd

    tables = []
    for sweep, every in runs.items():
        for d, part in by_dimension(every).items():
            table = points(part.curve(), part)
            table.insert(0, "manifold", sweep)
            table.insert(1, "dimension", d)
            table["floor"] = floor(sweep, d)
            table["basis"] = basis(sweep, d)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def points(curve: MeasuredCurve, runs: Runs) -> pd.DataFrame:
    """Return the points of a curve with n >= 1: n, loss, stderr, overlap, seeds, dead (mean).

    Without replicates the standard errors are not known: nan.
    """
    import pandas as pd

    table = runs.table.groupby("width")
    at = curve.n > 0
    return pd.DataFrame(
        {
            "n": curve.n[at],
            "loss": curve.loss[at],
            "stderr": np.full(at.sum(), np.nan) if curve.stderr is None else curve.stderr[at],
            "overlap": np.full(at.sum(), np.nan) if curve.overlap is None else curve.overlap[at],
            "seeds": table.size().to_numpy(),
            "dead": table["dead"].mean().to_numpy(),
        }
    )


def loss_at(table: pd.DataFrame, n: float) -> float:
    """Loss at n: of the run with n latents, or between its neighbours on logarithmic axes."""
    widths = table["n"].to_numpy(dtype=float)
    if not widths.min() <= n <= widths.max():
        return float("nan")
    log_loss = np.log(table["loss"].to_numpy(dtype=float))
    return float(np.exp(np.interp(np.log(n), np.log(widths), log_loss)))


def fall(table: pd.DataFrame, dimension: int) -> float:
    """By which share the loss falls from 4 d to 64 d latents; nan where they were not trained."""
    return 1.0 - loss_at(table, 64.0 * dimension) / loss_at(table, 4.0 * dimension)


def draw_curves(
    data: pd.DataFrame, axes: Any, guides: Mapping[str, str], limits: tuple[float, float]
) -> None:
    """Draw loss curves of one manifold, one colour and marker a dimension, and guides by column."""
    for dimension in sorted(data["dimension"].unique().tolist()):
        part, (colour, marker) = data[data["dimension"] == dimension], STYLES[dimension]
        axes.loglog(
            part["n"], part["loss"], color=colour, marker=marker, markersize=3.8, linewidth=1.1,
            label=f"$d = {dimension}$",
        )  # fmt: skip
        if "basis" in guides:
            axes.plot(
                [2 * dimension, part["n"].max()], part["basis"].iloc[[0, 0]], color=colour,
                linestyle=(0, (1.5, 1.5)), linewidth=1.0,
            )  # fmt: skip
    if "basis" in guides:
        axes.plot([], [], color="#555555", linestyle=(0, (1.5, 1.5)), label=guides["basis"])
    axes.axhline(
        data["floor"].iloc[0], color="black", linestyle="--", linewidth=1.0, label=guides["floor"]
    )
    axes.set_ylim(*limits)
    ticks = [t for t in (0.1, 0.12, 0.15, 0.2, 0.3, 0.5, 1.0) if limits[0] <= t <= limits[1]]
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("latents $n$")
    axes.set_ylabel("loss $L(n)$, in squared units of the data")
