"""Runs for figures: from the stored rows, from a store on disk, or trained into that store."""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, final

import torch

from scaling_theory.figures.stored.files import Kept, as_lists, read
from scaling_theory.figures.sweeps import SWEEPS, Preset, drawn
from scaling_theory.sae import Runs, RunSpec, Store, train
from scaling_theory.sae._watch import _work

#: Seconds per unit of ``_work`` on two cores; for the time that is announced only.
_SECONDS = {"ReLU": 1.6e-10, "TanhJumpReLU": 6e-10}


def runs_folder(preset: Preset) -> Path:
    """Where runs of a preset are trained into: ./runs/PRESET, or $SCALING_THEORY_RUNS/PRESET."""
    return Path(os.environ.get("SCALING_THEORY_RUNS") or "runs") / preset


def runs(
    names: Sequence[str],
    preset: Preset,
    progress: bool = False,
    say: Callable[[str], None] | None = None,
    missing: Literal["train", "leave"] = "train",
    store: Path | None = None,
) -> dict[str, Runs]:
    """Return the runs of sweeps: stored rows, and what is missing is trained.

    Parameters
    ----------
    names
        Of sweeps (``figures.sweeps.SWEEPS``).
    preset
        "quick" or "paper".
    progress
        Show a progress bar on standard error while training.
    say
        Called with one line before anything is trained: what, where to, and about how long.
    missing
        "train", or "leave": return what there is.
    store
        Folder that is looked up after the stored rows, and trained into; it is made only if
        something must be trained. Default: :func:`runs_folder`. What was stopped goes on.

    Returns
    -------
    dict of Runs
        By sweep; the specifications are in the order of the sweep. ``weights`` are there for those
        that ``sweeps.drawn`` names.

    Raises
    ------
    ValueError
        If a name is unknown, or a stored row is not what was written or not of the run it is under.
    SweepFailed, StoreDamaged, StoreInUse, OSError, KeyboardInterrupt
        As ``sae.train``: what is done is in the store.
    """
    wanted = {name: specs_of(name, preset) for name in names}
    folder = runs_folder(preset) if store is None else store
    found = {name: look_up(name, preset, specs, folder) for name, specs in wanted.items()}
    todo = {n: [s for s in specs if s.key not in found[n]] for n, specs in wanted.items()}
    if missing == "train" and any(todo.values()):
        if say is not None:
            say(_announcement(todo, wanted, folder))
        train([s for specs in todo.values() for s in specs], folder, progress=progress)
        for name, specs in todo.items():
            found[name] |= look_up(name, preset, specs, folder)
    if missing == "train":
        for name, specs in wanted.items():
            _add_weights(specs, found[name])
    return {name: _runs(specs, found[name]) for name, specs in wanted.items()}


def specs_of(name: str, preset: Preset) -> list[RunSpec]:
    """Return what a sweep consists of."""
    if name not in SWEEPS:
        raise ValueError(f"names must be sweeps among {sorted(SWEEPS)}, got {name!r}")
    return SWEEPS[name](preset)


def look_up(name: str, preset: Preset, specs: Sequence[RunSpec], folder: Path) -> dict[str, Kept]:
    """Return what is stored of runs, by key: in the package first, then in a folder."""
    stored, store = read(name, preset), Store(folder)
    found: dict[str, Kept] = {}
    for spec in specs:
        if spec.key in stored:
            found[spec.key] = stored[spec.key]
            if stored[spec.key].row["spec"] != spec.text:
                raise ValueError(f"the stored row {spec.key} of {name}_{preset} is of another run")
        elif (row := store.row(spec)) is not None:
            weights = None
            if drawn(spec):
                try:
                    weights = as_lists(_named(store.weights(spec)))
                except FileNotFoundError:  # trained without keeping them
                    weights = None
            found[spec.key] = Kept(row, weights)
    return found


def keep(name: str, preset: Preset, specs: Sequence[RunSpec], folder: Path) -> list[Kept]:
    """Return what is to be stored of a sweep: what is there, with the weights that are drawn."""
    found = look_up(name, preset, specs, folder)
    _add_weights(specs, found)
    return [found[spec.key] for spec in specs if spec.key in found]


def record(parts: Sequence[Runs]) -> dict[str, Any]:
    """Return how runs were done: device, seeds, steps and their number, for the sidecar JSON."""
    rows = [row for part in parts for row in part.rows]
    return {
        "device": ", ".join(sorted({str(row["device"]) for row in rows})),
        "seeds": sorted({int(row["seed"]) for row in rows}),
        "steps": sorted({int(row["steps"]) for row in rows}),
        "runs": len(rows),
        "trained_with": sorted({str(row["version"]) for row in rows}),
    }


def missing(parts: Mapping[str, Runs], preset: Preset) -> str:
    """Say which runs of sweeps are not there, by manifold and dimension; "" if none are."""
    said = []
    for name, part in parts.items():
        have = {spec.key for spec in part.specs}
        specs = specs_of(name, preset)
        without = [spec for spec in specs if spec.key not in have]
        counts = Counter(f"d = {spec.data.dimension}" for spec in without)
        if without:
            where = ", ".join(f"{where}: {count}" for where, count in counts.items())
            said.append(f"{len(without)} of {len(specs)} runs of {name} are missing ({where})")
    return "; ".join(said)


def _named(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights proper, without what was measured of each latent."""
    names = ("encoder", "encoder_bias", "decoder", "decoder_bias")
    return {name: tensors[name] for name in names}


def _add_weights(specs: Sequence[RunSpec], found: dict[str, Kept]) -> None:
    """Train runs again whose weights are drawn and were not kept: seconds each."""
    for spec in filter(drawn, specs):
        if spec.key in found and found[spec.key].weights is None:
            with tempfile.TemporaryDirectory() as folder:
                train([spec], folder, progress=False)
                (kept,) = look_up("", "quick", [spec], Path(folder)).values()
            found[spec.key] = kept


def _runs(specs: Sequence[RunSpec], found: dict[str, Kept]) -> Runs:
    done = [spec for spec in specs if spec.key in found]
    rows = tuple(found[spec.key].row for spec in done)
    return Runs(tuple(done), rows, _Weights(found))


def _announcement(
    todo: dict[str, list[RunSpec]], wanted: dict[str, list[RunSpec]], folder: Path
) -> str:
    counts = Counter({name: len(specs) for name, specs in todo.items() if specs})
    every = sum(len(specs) for specs in wanted.values())
    parts = ", ".join(f"{name} {count}" for name, count in counts.items())
    seconds = math.fsum(_cost(spec) for specs in todo.values() for spec in specs)
    about = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
    if seconds > 7200:
        about = f"{seconds / 3600:.1f} h"
    return (
        f"training {counts.total()} of {every} runs ({parts}) into {folder}: about {about} on two "
        "cores; Ctrl-C keeps what is done, the same command goes on from there"
    )


def _cost(spec: RunSpec) -> float:
    """About how many seconds a run takes."""
    slowest = max(_SECONDS.values())
    return _SECONDS.get(type(spec.architecture).__name__, slowest) * _work(spec) * spec.steps


@final
class _Weights:
    """Weights of runs, for those that they are stored of."""

    def __init__(self, found: dict[str, Kept]) -> None:
        self._found = found

    def weights(self, run: RunSpec) -> dict[str, torch.Tensor]:
        """Weights by name, or FileNotFoundError."""
        weights = self._found[run.key].weights
        if weights is None:
            raise FileNotFoundError(f"weights of run {run.key} are not stored")
        return {name: torch.tensor(values) for name, values in weights.items()}
