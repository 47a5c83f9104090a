"""The study from text to tables: :func:`make_real`, resumable at any moment; :class:`Tables`."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

import scaling_theory
from scaling_theory._validate import Floats
from scaling_theory.sae.store import Store
from scaling_theory.sae.studies._kept import FOLDER, store_of
from scaling_theory.sae.studies.real import judge, latents, laws, runs
from scaling_theory.sae.studies.real.settings import KINDS, PRESETS, Preset

if TYPE_CHECKING:
    import pandas as pd

_STAGES: Final = 5


@final
@dataclass(frozen=True, eq=False)
class Tables:
    """What the study found; figures are drawn from it.

    Attributes
    ----------
    runs
        One row a run: ``runs.table``.
    losses
        By kind, family and width, means over seeds, ReLU at matched L0: ``laws.losses``.
    latents
        One row an SAE (first seed): ``latents.table``.
    similarity
        Of latents across widths and k: ``latents.similarity``.
    diagnoses
        One row a family: ``judge.judge``.
    frequencies, cosines
        Of the widest SAE of each family, one number a latent, by "KIND_TopK_K_WIDTH".
    record
        How it was made: preset, version, recipes of the data, seconds of training in all.
    """

    runs: pd.DataFrame
    losses: pd.DataFrame
    latents: pd.DataFrame
    similarity: pd.DataFrame
    diagnoses: pd.DataFrame
    frequencies: dict[str, Floats]
    cosines: dict[str, Floats]
    record: dict[str, Any]

    def save(self, folder: Path, preset: str) -> list[Path]:
        """Write real_PRESET_NAME.csv, .npz and .json into a folder: all of them, or none."""
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".real_") as beside:
            out = self._write(Path(beside), preset)
            for file in out:
                os.replace(file, folder / file.name)
        return [folder / file.name for file in out]

    def _write(self, folder: Path, preset: str) -> list[Path]:
        out = []
        for name in _FRAMES:
            out.append(folder / f"real_{preset}_{name}.csv")
            getattr(self, name).to_csv(
                out[-1], index=False, float_format="%.7g", lineterminator="\n"
            )
        for name in _ARRAYS:
            out.append(folder / f"real_{preset}_{name}.npz")
            values = {k: v.astype(np.float32) for k, v in getattr(self, name).items()}
            np.savez_compressed(out[-1], allow_pickle=False, **values)
        out.append(folder / f"real_{preset}_record.json")
        out[-1].write_text(json.dumps(self.record, indent=2) + "\n")
        return out

    @classmethod
    def load(cls, preset: str, folder: Path = FOLDER) -> Tables:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError
            If nothing is stored for the preset.
        """
        import pandas as pd

        record = folder / f"real_{preset}_record.json"
        if not record.exists():
            raise FileNotFoundError(
                f"{folder} has no results of real activations for the preset {preset!r}: "
                f"`scaling-theory reproduce --only real --preset {preset}` makes them"
            )
        found: dict[str, Any] = {"record": json.loads(record.read_text())}
        for name in _FRAMES:
            file = folder / f"real_{preset}_{name}.csv"
            types = {"key": "str", "k": "Int64"} if name == "runs" else None
            found[name] = pd.read_csv(file, dtype=types)
        for name in _ARRAYS:
            with np.load(folder / f"real_{preset}_{name}.npz", allow_pickle=False) as file:
                found[name] = {key: file[key].astype(np.float64) for key in file.files}
        return cls(**found)


_FRAMES = ("runs", "losses", "latents", "similarity", "diagnoses")
_ARRAYS = ("frequencies", "cosines")
assert {*_FRAMES, *_ARRAYS, "record"} == {f.name for f in fields(Tables)}


def tables_folder(preset: str) -> Path:
    """Where ``make_real`` writes tables: ./runs/real_PRESET/tables, or $SCALING_THEORY_RUNS/..."""
    return store_of(f"real_{preset}") / "tables"


def make_real(
    preset: str | Preset = "quick",
    store: Path | None = None,
    folder: Path | None = None,
    progress: bool | None = None,
    say: Callable[[str], None] | None = None,
    **how: Any,
) -> Tables:
    """Make the tables from text: activations, SAEs, what they look like, and what regime it is.

    Parameters
    ----------
    preset
        "quick" (under 75 minutes on 2 cores), "paper" (hours), or a ``Preset`` of one's own.
    store
        Where activations, runs and tables are kept: ./runs/real_PRESET by default, or
        $SCALING_THEORY_RUNS/real_PRESET. The same call goes on from what is there.
    folder
        Where the tables are written too.
    progress
        Bars with the time left, on standard error; by default if that is a terminal.
    say
        Called with a line before each of the five stages.
    **how
        As for ``sae.train``.

    Raises
    ------
    ImportError
        If the extra ``text`` is not installed.
    TrainingFailed
        If no weight of the penalty was found that has the matched L0, or runs failed.
    ValueError, OSError, KeyboardInterrupt
        As ``datasets.activations`` and ``sae.train`` do: what is done is kept.
    """
    import sys

    chosen = preset if isinstance(preset, Preset) else PRESETS[preset]
    if store is None:
        store = store_of(f"real_{chosen.name}")
    shown = sys.stderr.isatty() if progress is None else progress
    began, stage = time.perf_counter(), 0

    def next_stage(what: str) -> None:
        nonlocal stage
        stage += 1
        if say is not None:
            minutes = (time.perf_counter() - began) / 60.0
            say(f"{stage} of {_STAGES}, after {minutes:.1f} min: {what}")

    next_stage(
        f"activations of the transformer on the docstrings of installed packages, which are read "
        f"first; into {store}, where the same call goes on from whatever is complete"
    )
    data = runs.collect(chosen, store, shown)
    next_stage(f"SAEs on {', '.join(f'{data[k].rows:,} {k}' for k in KINDS)}")
    specs = runs.train_all(chosen, data, store / "saes", progress=shown, **how)
    kept = Store(store / "saes")
    table = runs.table(specs, kept)
    losses = laws.losses(table, chosen.matched)
    next_stage("firing of the latents")
    looked = latents.look(chosen, specs, kept, shown)
    next_stage("neighbours of the latents")
    of_latents, cosines = latents.table(looked, shown)
    similar = latents.similarity(looked)
    next_stage("diagnoses")
    diagnoses = judge.judge(losses, looked, cosines, shown)
    widest = {kind: max(one.width for one in looked if one.kind == kind) for kind in KINDS}
    last = [one for one in looked if one.width == widest[one.kind]]
    tables = Tables(
        runs=table,
        losses=losses,
        latents=of_latents,
        similarity=similar,
        diagnoses=diagnoses,
        frequencies={latents.name_of(one): one.frequencies for one in last},
        cosines={latents.name_of(one): cosines[latents.name_of(one)] for one in last},
        record={
            "preset": chosen.name,
            "version": scaling_theory.__version__,
            "data": {kind: data[kind].said() for kind in KINDS},
            "train_seconds": float(f"{table['seconds'].sum():.4g}"),
        },
    )
    for where in (store / "tables", folder):
        if where is not None:
            tables.save(where, chosen.name)
    return tables
