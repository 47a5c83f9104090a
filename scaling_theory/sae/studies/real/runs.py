"""From text to trained SAEs: rows of activations, runs, and one table of what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scaling_theory.fitting.laws.compute import sae_training_flops
from scaling_theory.sae.activations import Activations
from scaling_theory.sae.architectures import ReLU, TopK
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import Store
from scaling_theory.sae.studies.real.match import match
from scaling_theory.sae.studies.real.settings import (
    KINDS,
    Kind,
    Preset,
    family_of,
    places,
    spec_of,
    specs,
)
from scaling_theory.sae.sweep import train

if TYPE_CHECKING:
    import pandas as pd

#: Numbers of a row that are kept, to 7 digits, and whole numbers.
_NUMBERS = (
    "fvu", "loss", "stderr", "reconstruction", "penalty", "l0", "log_density", "mean_activation",
    "seconds",
)  # fmt: skip
_COUNTS = ("dead", "duplicates", "rows")


def collect(preset: Preset, folder: Path, progress: bool | None) -> dict[Kind, Activations]:
    """Run the transformer over the texts, or take what ``folder`` has."""
    from scaling_theory import datasets
    from scaling_theory.datasets.collecting.model import source_of, transformers

    transformers(), source_of(None)  # what is not installed is said before any work
    places = {kind: folder / kind for kind in KINDS}
    complete = all(_complete(place) for place in places.values())
    # read once for both, and not at all where nothing is left to do
    text = None if complete else datasets.docstrings(progress=progress)
    tokens = datasets.activations(
        places["tokens"], tokens=preset.tokens, text=text, progress=progress
    )
    texts = datasets.embeddings(
        places["embeddings"],
        texts=preset.texts,
        context=preset.context,
        text=text,
        progress=progress,
    )
    for shards in (tokens, texts):
        shards.verify()  # a file that was changed since is noticed here
    return {"tokens": Activations(tokens), "embeddings": Activations(texts)}


def _complete(place: Path) -> bool:
    from scaling_theory import datasets

    try:
        datasets.open_activations(place)
    except FileNotFoundError:
        return False
    return True


def train_all(
    preset: Preset, data: Mapping[Kind, Activations], store: Path, **how: Any
) -> dict[Kind, list[RunSpec]]:
    """Train what the store lacks; arguments as for ``train``."""
    runs = {kind: specs(preset, kind, data[kind]) for kind in KINDS}
    train([spec for kind in KINDS for spec in runs[kind]], store, **how)
    for kind in KINDS:
        runs[kind] += _matched(preset, kind, data[kind], store, how)
    return runs


def _matched(
    preset: Preset, kind: Kind, data: Activations, store: Path, how: Mapping[str, Any]
) -> list[RunSpec]:
    """ReLU runs on either side of the L0 that is matched, trained if they are not there."""

    def l0(spec: RunSpec) -> float:
        return float(train([spec], store, **how)["l0"].iloc[0])

    out: list[RunSpec] = []
    first: Sequence[float] = (preset.l1[kind],)
    for width, seeds in places(preset, data):
        for seed in seeds:
            found = match(
                preset.matched,
                first,
                lambda a, n=width, s=seed: spec_of(preset, kind, data, a, n, s),  # type: ignore[misc]
                l0,
            )
            out += found
            first = [run.architecture.l1 for run in found if isinstance(run.architecture, ReLU)]
    return out


def table(runs: Mapping[Kind, list[RunSpec]], store: Store) -> pd.DataFrame:
    """One row a run: what it was, its metrics on held-out rows, and its history as JSON lists."""
    import pandas as pd

    rows = []
    for kind, of_kind in runs.items():
        for spec in of_kind:
            row = store.row(spec)
            assert row is not None
            a = spec.architecture
            assert isinstance(a, TopK | ReLU)
            k = a.k if isinstance(a, TopK) else None
            flops = sae_training_flops(spec.width, spec.data.dimension, spec.batch_size, k=k)
            kept: dict[str, Any] = {
                "kind": kind,
                "family": family_of(a),
                "k": k,
                "l1": a.l1 if isinstance(a, ReLU) else None,
                "width": spec.width,
                "seed": spec.seed,
                "steps": spec.steps,
                "batch_size": spec.batch_size,
                "dead_after": spec.dead_after,
                "step_flops": flops,
            }
            kept |= {c: float(f"{row[c]:.7g}") for c in _NUMBERS}
            kept |= {c: int(row[c]) for c in _COUNTS}
            kept |= _history(store.weights(spec)["history"])
            rows.append({**kept, "key": spec.key, "path": row["path"], "version": row["version"]})
    out = pd.DataFrame(rows)
    out["k"] = out["k"].astype("Int64")
    return out


def _history(values: torch.Tensor) -> dict[str, str]:
    """Columns ``history_steps``, ``history_fvu``, ``history_idle``: JSON lists."""
    steps, fvu, idle, _ = values.T.tolist()
    lists = {
        "steps": [int(s) for s in steps],
        "fvu": [float(f"{v:.5g}") for v in fvu],
        "idle": [int(v) for v in idle],
    }
    return {f"history_{name}": json.dumps(v, separators=(",", ":")) for name, v in lists.items()}
