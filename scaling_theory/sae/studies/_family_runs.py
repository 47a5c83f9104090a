"""Runs of the families: trained into a store, and kept as two small files.

``families.csv`` has one row a run. ``families.npz`` has the firings (whole numbers) and the cosines
with the nearest neighbour (4 decimals) of all latents of the families, in the order of those rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from scaling_theory._validate import Ints
from scaling_theory.sae._files import Row
from scaling_theory.sae.data import Data
from scaling_theory.sae.metrics import neighbour_cosines
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import Store
from scaling_theory.sae.studies._designs import Design, Single, short
from scaling_theory.sae.superposition import Superposition
from scaling_theory.sae.sweep import train

Floats32 = npt.NDArray[np.float32]

_ROWS, _LATENTS = "families.csv", "families.npz"
_NUMBERS = ("loss", "stderr", "reconstruction", "penalty", "fvu", "l0", "purity", "seconds")
_COUNTS = ("dead", "duplicates", "discovered")


def read(
    folder: Path, wanted: Sequence[Design | Single]
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, tuple[Ints, Floats32]]]:
    """Rows by name, in the order of the widths, and (firings, cosines) by key."""
    import pandas as pd

    table = pd.read_csv(folder / _ROWS, dtype={"key": str}).to_dict("records")
    stored = {str(row["key"]): {str(k): v for k, v in row.items()} for row in table}
    with np.load(folder / _LATENTS, allow_pickle=False) as file:
        fires, cosines = file["fires"], file["cosines"]
    latents, at = {}, 0
    for key, row in stored.items():
        if row["kind"] == "family":
            latents[key] = (fires[at : at + row["width"]], cosines[at : at + row["width"]])
            at += row["width"]
            # Each row says how many latents fire on a sample: nothing is shifted.
            if not math.isclose(latents[key][0].sum() / row["samples"], row["l0"], rel_tol=1e-5):
                raise ValueError(f"{folder / _LATENTS} is not of the runs in {folder / _ROWS}")
    if not at == fires.size == cosines.size:
        raise ValueError(f"{folder / _LATENTS} is not of the runs in {folder / _ROWS}")
    rows = {}
    for one in wanted:
        keys = [spec.key for spec in one.specs()]
        if missing := [key for key in keys if key not in stored]:
            raise ValueError(
                f"{folder / _ROWS} must have every run of {one.name!r}, but lacks "
                f"{len(missing)} of {len(keys)}: train_families() trains and writes them"
            )
        rows[one.name] = [stored[key] for key in keys]
    return rows, latents


def write(
    folder: Path,
    store: Path,
    designs: Sequence[Design],
    singles: Sequence[Single],
    path: str,
    progress: bool | None,
    on_row: Callable[[Row], None] | None,
) -> None:
    """Train what is not in the store, and write the two files."""
    import pandas as pd

    groups: tuple[tuple[str, Sequence[Design | Single]], ...]
    groups = (("family", designs), ("single", singles))
    specs = [spec for _, group in groups for one in group for spec in one.specs()]
    train(specs, store, device="cpu", path=path, progress=progress, on_row=on_row)
    keeper, rows = Store(store), []
    fires: list[Ints] = []
    cosines: list[Floats32] = []
    for kind, group in groups:
        for one in group:
            for spec in one.specs():
                row = keeper.row(spec)
                if row is None:  # trained a moment ago
                    raise FileNotFoundError(f"run {spec.key} has gone from {keeper.path}")
                rows.append(_row(one.name, kind, spec, row))
                if kind == "family":
                    tensors = keeper.weights(spec)
                    rows[-1]["owned"] = _owned(spec.data, tensors["owner"])
                    rate = tensors["frequencies"]
                    near = neighbour_cosines(tensors["decoder"], rate > 0.0).cosine
                    fires.append((rate * spec.evaluation).round().to(torch.int32).numpy())
                    cosines.append(np.round(near.numpy(), 4).astype(np.float32))
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / _ROWS, index=False, lineterminator="\n")
    np.savez_compressed(
        folder / _LATENTS, fires=np.concatenate(fires), cosines=np.concatenate(cosines)
    )


def _row(name: str, kind: str, spec: RunSpec, row: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of a run; numbers to 7 digits."""
    out = {"name": name, "kind": kind, "key": spec.key, "width": spec.width, "seed": spec.seed}
    out |= {"steps": spec.steps, "batch_size": spec.batch_size, "samples": spec.evaluation}
    out |= {column: float(f"{row[column]:.7g}") for column in _NUMBERS if column in row}
    out |= {column: int(row[column]) for column in _COUNTS if column in row}
    return {**out, "version": str(row["version"])}


def _owned(data: Data, owner: torch.Tensor) -> str:
    """Number of latents by the manifold of their owner, as JSON."""
    assert isinstance(data, Superposition)
    ranks = owner[owner >= 0].numpy() + 1
    counts = np.bincount(data.group_of(ranks), minlength=len(data.manifolds))
    return json.dumps(dict(zip(map(short, data.manifolds), counts.tolist(), strict=True)))
