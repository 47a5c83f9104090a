"""Who tiles what: one row for each manifold and architecture.

- :func:`train_tiling`: trains all runs, and writes what is kept of them.
- :func:`tiling_table`: plateau or not, at what n, excess exponent with its interval.
- :func:`tiling_curves`: the losses behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scaling_theory.sae.runs import Runs
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.studies._kept import FOLDER, Kept, train_and_keep
from scaling_theory.sae.studies.families import PLATEAU
from scaling_theory.sae.studies.tiling.designs import MANIFOLDS, MULTIPLES, longer, pairs, specs

if TYPE_CHECKING:
    import pandas as pd

#: A loss below this share of E|x|^2 leaves nothing to tile for: the manifold is explained.
SOLVED: Final = 0.01


def groups() -> list[tuple[dict[str, str], list[RunSpec]]]:
    """(labels, runs), pair by pair."""
    return [({"manifold": m, "architecture": a}, [*specs(m, a), *longer(m, a)]) for m, a in pairs()]


def train_tiling(stores: Sequence[Path] = (), folder: Path = FOLDER, **how: Any) -> Path:
    """Train all runs of the study, and write its file; arguments as for ``train``.

    Runs that one of ``stores`` holds are not trained again.
    """
    return train_and_keep("tiling", groups(), None, stores, folder, **how)


def tiling_table(kept: Kept | None = None) -> pd.DataFrame:
    """Return one row for each manifold and architecture.

    Returns
    -------
    DataFrame
        ``manifold``, ``architecture``, ``dimension`` d.
        ``start``, ``end``: mean loss at 2d and 64d latents over E|x|^2.
        ``fall``: 1 - L(64d)/L(4d) of the mean losses, with ``fall_low``, ``fall_high``, a 95%
        interval from the seeds (delta method, Student's t).
        ``shape``: "explained" where L(2d) or L(4d) is below 1% of E|x|^2, so that nothing is left
        to tile for; "falls" where the fall is certain to be above 5%, "plateau" where it is certain
        to be below, else "unclear"; ", dead" is added where more than half of the 64d latents are:
        then the curve says more of training than of the manifold.
        ``flat_from``: least number of latents from which on the loss is within 5% of that at 64d,
        or within 1% of E|x|^2 of it.
        ``fall`` and exponent are nan where the manifold is explained.
        ``exponent``, ``low``, ``high``: of the excess, L = floor + C n^-b with a free floor, from
        2d latents on, with its 95% interval; ``status`` says where it is not identified.
        ``overlap``: latents that fire together, at 64d. ``dead``: share of dead latents there.
        ``longer``: by how much the loss at 64d falls when training is four times as long (shells).
    """
    import pandas as pd

    kept = Kept("tiling") if kept is None else kept
    return pd.DataFrame([_row(m, a, kept) for m, a in pairs() if kept.has(specs(m, a))])


def tiling_curves(kept: Kept | None = None) -> pd.DataFrame:
    """Return ``manifold``, ``architecture``, ``n``, ``loss`` and ``low``, ``high`` over seeds.

    Losses are in units of E|x|^2.
    """
    import pandas as pd

    kept = Kept("tiling") if kept is None else kept
    rows = []
    for manifold, architecture in pairs():
        if not kept.has(specs(manifold, architecture)):
            continue
        for n, losses in _losses(kept.runs(specs(manifold, architecture))).items():
            row = {"manifold": manifold, "architecture": architecture, "n": n}
            row |= {"multiple": n // MANIFOLDS[manifold].dimension, "loss": float(losses.mean())}
            rows.append({**row, "low": float(losses.min()), "high": float(losses.max())})
    return pd.DataFrame(rows)


def _losses(runs: Runs) -> dict[int, Any]:
    """Width -> loss of each seed over E|x|^2."""
    size = float(runs.rows[0]["magnitude"])
    out: dict[int, list[float]] = {}
    for spec, row in zip(runs.specs, runs.rows, strict=True):
        out.setdefault(spec.width, []).append(float(row["loss"]) / size)
    return {n: np.array(values) for n, values in out.items()}


def _row(manifold: str, architecture: str, kept: Kept) -> dict[str, Any]:
    from scipy.stats import t as student

    d = MANIFOLDS[manifold].dimension
    runs = kept.runs(specs(manifold, architecture))
    losses = _losses(runs)
    mean = {n: float(values.mean()) for n, values in losses.items()}
    widest = MULTIPLES[-1] * d
    ends = (losses[4 * d], losses[widest])
    centre = math.log(mean[widest] / mean[4 * d])
    spread = math.hypot(*(v.std(ddof=1) / v.mean() / math.sqrt(v.size) for v in ends))
    half = float(student.ppf(0.975, sum(v.size - 1 for v in ends))) * spread
    fall, low, high = -math.expm1(centre), -math.expm1(centre + half), -math.expm1(centre - half)
    solved = min(mean[2 * d], mean[4 * d]) < SOLVED
    shape = "falls" if low > PLATEAU else "plateau" if high < PLATEAU else "unclear"
    end = mean[widest]
    flat = [
        n
        for n in mean
        if all(v <= end * (1.0 + PLATEAU) or v <= end + SOLVED for m, v in mean.items() if m >= n)
    ]
    excess = runs.curve().exponents(between=(2 * d, widest)).excess
    last = [row for spec, row in zip(runs.specs, runs.rows, strict=True) if spec.width == widest]
    dead = float(np.mean([float(r["dead"]) for r in last])) / widest
    if solved:  # nothing is left to fall
        shape, fall, low, high = "explained", math.nan, math.nan, math.nan
    elif dead > 0.5:
        shape += ", dead"
    row: dict[str, Any] = {
        "manifold": manifold,
        "architecture": architecture,
        "dimension": d,
        "start": mean[2 * d],
        "end": end,
        "fall": fall,
        "fall_low": low,
        "fall_high": high,
        "shape": shape,
        "flat_from": min(flat),
        "exponent": math.nan if solved else excess.value,
        "low": math.nan if solved else excess.interval[0],
        "high": math.nan if solved else excess.interval[1],
        "status": "explained" if solved else excess.status,
        "overlap": float(np.mean([float(r["overlap"]) for r in last])),
        "dead": dead,
    }
    for more in longer(manifold, architecture):
        same = [
            s for s in specs(manifold, architecture) if (s.width, s.seed) == (widest, more.seed)
        ]
        own = kept.row(same[0])
        row["longer"] = 1.0 - float(kept.row(more)["loss"]) / float(own["loss"])
    return row
