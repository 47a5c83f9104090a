"""Which architecture recovers the true features: a hierarchical, correlated population.

- :func:`recovery_rows`: stored measurements, one row a run.
- :func:`recovery_table`, :func:`level_table`: means over seeds, one row an architecture.
- :func:`train_recovery`: trains the SAEs and writes the stored file again.

The population is in the manner of SynthSAEBench-16k (Chanin et al. 2026, arXiv:2602.14687), at 1/32
of its features: see :mod:`scaling_theory.sae.studies._recovery_design`. It is another task, so that
numbers can't be held against those published for it. Two references stand beside the SAEs: what the
true directions reach with TopK's rule, and what least-squares probes reach, which is a lower bound
on the best linear reader.

Sparsity is matched, since precision trades against recall by it: architectures with a k have the
true number of active features, the others the weight of the penalty whose L0 is nearest to that. It
is looked for with one seed, by interpolation of log L0 in log weight from two weights, until L0 is
within 5%, or six weights have been tried, or the next, rounded to 3 digits, was tried already. The
other seeds are trained at the weight that was found; all runs are in the rows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from scaling_theory.sae._files import Row
from scaling_theory.sae.architectures import Architecture
from scaling_theory.sae.metrics import Recovery, recovery
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import Store
from scaling_theory.sae.studies._recovery_design import DESIGN, Contender, Design, levels
from scaling_theory.sae.studies._recovery_references import references
from scaling_theory.sae.superposition import Parts, Superposition
from scaling_theory.sae.sweep import train
from scaling_theory.sae.weights import Weights

if TYPE_CHECKING:
    import pandas as pd

#: Where the stored measurements are: in the package.
FOLDER: Final = Path(__file__).parent / "stored"
#: Where runs are trained into.
STORE: Final = Path("runs") / "recovery"
#: |log(L0 / active)| that is near enough, and most weights that are tried.
CLOSE: Final = 0.05
TRIES: Final = 6

_FILE = "recovery.csv"
_MATCHED = ("precision", "recall", "f1")


def recovery_rows(folder: str | os.PathLike[str] = FOLDER) -> pd.DataFrame:
    """Stored rows, one a run, and two of references.

    Returns
    -------
    DataFrame
        ``architecture``, ``value`` (weight of the penalty, or k), ``stage`` ("sweep": only to find
        the value; "final"; "reference": no SAE, see ``_recovery_references``), ``seed``, ``l0`` and
        ``true_l0``; of features and the latents matched to them (``metrics.recovery``) ``mcc``,
        ``precision``, ``recall``, ``f1``, and ``f1_firing`` with features weighted by how often
        they are active; ``f1_matched_firing``, F1 of the matching by firing; of latents and the
        features nearest to them (the reading of SynthSAEBench) ``latent_precision``,
        ``latent_recall``, ``latent_f1``; ``uniqueness``, ``dead`` (shares of latents), ``fvu``;
        ``cosine``, ``precision``, ``recall`` and ``f1`` of features that stand ``_alone``, or are a
        ``_root``, in the ``_middle`` or a ``_leaf`` of a tree; ``seconds``, ``key`` of the run,
        ``version``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """
    import pandas as pd

    return pd.read_csv(Path(folder) / _FILE, dtype={"key": str, "version": str})


def recovery_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds at matched L0, one row an architecture, by F1; then the references.

    ``mcc_sd`` and ``f1_sd`` are standard deviations over seeds.
    """
    names = ["l0", "mcc", "f1", "precision", "recall", "latent_f1", "uniqueness", "dead", "fvu"]
    table = _means(rows, ["value", *names])
    spread = rows[rows["stage"] == "final"].groupby("architecture")[["mcc", "f1"]].std()
    for name in ("mcc", "f1"):
        at = list(table.columns).index(name) + 1
        table.insert(at, f"{name}_sd", table["architecture"].map(spread[name]))
    return table


def level_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of recall and F1 by where a feature is in its tree, in the same order."""
    where = ("alone", "root", "middle", "leaf")
    return _means(rows, [f"{score}_{level}" for score in ("recall", "f1") for level in where])


def _means(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for stage in ("final", "reference"):
        groups = rows[rows["stage"] == stage].groupby("architecture", sort=False)
        order = groups["f1"].mean().sort_values(ascending=False).index
        parts.append(groups[names].mean().loc[order])
    return pd.concat(parts).reset_index()


# ---- training -----------------------------------------------------------------------------------


def train_recovery(
    folder: str | os.PathLike[str] = FOLDER,
    store: str | os.PathLike[str] = STORE,
    design: Design = DESIGN,
    *,
    path: str = "auto",
    progress: bool | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> pd.DataFrame:
    """Train the SAEs and write what is measured of them.

    Parameters
    ----------
    folder
        Where ``recovery.csv`` is written.
    store
        Where runs are trained into, on the CPU; what is there is not trained again, and what was
        stopped goes on.
    design
        What to train on what.
    path, progress, on_row
        As for ``sae.train``.

    Returns
    -------
    DataFrame
        What :func:`recovery_rows` now gives for this folder.

    Raises
    ------
    ValueError, SweepFailed, OSError, KeyboardInterrupt
        As for ``sae.train``: what is done is in the store.
    """
    import pandas as pd

    keeper, seen = Store(store), set()

    def tell(row: Row) -> None:
        if on_row is not None and row["key"] not in seen:
            seen.add(row["key"])
            on_row(row)

    def trained(specs: list[RunSpec]) -> list[Row]:
        train(specs, keeper, device="cpu", path=path, progress=progress, on_row=tell)
        rows = [keeper.row(spec) for spec in specs]
        return [row for row in rows if row is not None]

    out = []
    for contender in design.contenders:
        value, tried = _tuned(contender, design, trained)
        specs = [design.spec(contender, value, seed) for seed in design.seeds]
        rows = trained(specs)
        stages = [("sweep", v, s) for v, s in tried.items() if v != value]
        stages += [("final", value, spec) for spec in specs]
        of = {spec.key: row for spec, row in zip(specs, rows, strict=True)}
        for stage, at, spec in stages:
            row = of.get(spec.key) or keeper.row(spec)
            assert row is not None  # trained a moment ago
            measured = measure_recovery(spec, keeper.weights(spec), design.samples)
            out.append(
                {"architecture": contender.name, "value": at, "stage": stage, "seed": spec.seed}
                | measured
                | {"seconds": round(float(row["seconds"]), 2), "key": spec.key}
                | {"version": str(row["version"])}
            )
    data = design.data()
    parts = data.sample_parts(design.samples, torch.Generator().manual_seed(0))
    for name, architecture, weights, value in references(data, design.active, design.samples):
        what: Row = {"architecture": name, "value": value, "stage": "reference", "seed": 0}
        out.append({**what, **_scores(data, architecture, weights, parts)})
    Path(folder).mkdir(parents=True, exist_ok=True)
    pd.DataFrame(out).to_csv(Path(folder) / _FILE, index=False, lineterminator="\n")
    return recovery_rows(folder)


def measure_recovery(
    spec: RunSpec, tensors: Mapping[str, torch.Tensor], samples: int
) -> dict[str, float]:
    """Measure one SAE on fresh samples; numbers to 6 digits."""
    data = spec.data
    assert isinstance(data, Superposition)
    weights = Weights(spec.width, data.dimension, spec.architecture.extra)
    for name, values in weights.named().items():
        values.copy_(tensors[name])
    parts = data.sample_parts(samples, spec.generator("recovery"))
    return _scores(data, spec.architecture, weights, parts)


def _scores(
    data: Superposition, architecture: Architecture, weights: Weights, parts: Parts
) -> dict[str, float]:
    found = recovery(architecture, weights, parts)
    firing = recovery(architecture, weights, parts, matching="firing")
    row = {"l0": found.l0, "true_l0": found.true_l0, "mcc": found.mcc}
    row |= {score: found.mean(score) for score in _MATCHED}  # type: ignore[arg-type]
    row |= {
        "f1_firing": found.mean("f1", "firing"),
        "f1_matched_firing": firing.mean("f1"),
        "latent_precision": float(found.latent_precision.mean()),
        "latent_recall": float(found.latent_recall.mean()),
        "latent_f1": float(found.latent_f1.mean()),
        "uniqueness": found.uniqueness,
        "dead": found.dead,
        "fvu": found.fvu,
    }
    row |= _by_level(found, levels(data))
    return {name: float(f"{value:.6g}") for name, value in row.items()}


def _by_level(found: Recovery, of: Mapping[str, Any]) -> dict[str, float]:
    out = {}
    for level, index in of.items():
        among = torch.zeros(found.firing.numel(), dtype=torch.bool)
        among[torch.from_numpy(index)] = True
        for score in ("cosine", *_MATCHED):
            out[f"{score}_{level}"] = found.mean(score, among=among)  # type: ignore[arg-type]
    return out


def _tuned(
    contender: Contender, design: Design, trained: Callable[[list[RunSpec]], list[Row]]
) -> tuple[float, dict[float, RunSpec]]:
    """Weight of the penalty, or k, for the L0 wanted, and all that was trained to find it."""
    if contender.weights is None:
        return float(design.active), {}
    wanted = math.log(design.active)
    specs: dict[float, RunSpec] = {}
    l0: dict[float, float] = {}
    value: float | None = contender.weights[0]
    while value is not None and value not in specs:
        specs[value] = design.spec(contender, value, design.seeds[0])
        (row,) = trained([specs[value]])
        l0[value] = math.log(max(float(row["l0"]), 1e-3))  # none at all has no logarithm
        if len(specs) == 1:
            value = contender.weights[1]
        elif len(specs) >= TRIES or min(abs(v - wanted) for v in l0.values()) < CLOSE:
            value = None
        else:
            value = next_weight(l0, wanted)
    return min(specs, key=lambda v: abs(l0[v] - wanted)), specs


def next_weight(log_l0: Mapping[float, float], wanted: float) -> float:
    """Weight to try next: where the line through two points, log L0 in log weight, has the L0.

    The two are neighbours that have it between them, the closest such pair. Where there is none,
    the two nearest to it, and a factor of at most 8 from the nearer. Rounded to 3 digits.
    """
    points = sorted((math.log(weight), value - wanted) for weight, value in log_l0.items())
    across = [(a, b) for a, b in pairwise(points) if a[1] > 0.0 >= b[1]]
    if across:
        (x, y), (u, v) = min(across, key=lambda pair: pair[1][0] - pair[0][0])
        step = y * (u - x) / (y - v)
    else:  # L0 falls with the weight; a slope that says otherwise says nothing
        (x, y), (u, v) = sorted(points, key=lambda p: abs(p[1]))[:2]
        slope = (v - y) / (u - x)
        step = -y / slope if slope < 0.0 else math.copysign(math.inf, y)
        step = max(-math.log(8.0), min(math.log(8.0), step))
    return float(f"{math.exp(x + step):.3g}")
