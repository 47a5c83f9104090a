"""Rows of a study's runs: trained into a store, and kept as one small CSV with the package."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from scaling_theory.sae._files import Row
from scaling_theory.sae.runs import Runs
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import Store
from scaling_theory.sae.sweep import train

if TYPE_CHECKING:
    import pandas as pd

#: Where stored rows are: in the package.
FOLDER: Final = Path(__file__).parent / "stored"
#: Numbers of a row that are kept, to 7 digits, and whole numbers.
_NUMBERS = (
    "loss", "stderr", "reconstruction", "penalty", "l0", "overlap", "fvu", "magnitude", "purity",
    "seconds",
)  # fmt: skip
_COUNTS = ("dead", "duplicates", "features", "discovered")

#: More columns of a run, from its weights: name -> list of numbers, kept as JSON.
More = Callable[[RunSpec, Mapping[str, torch.Tensor]], Mapping[str, Sequence[float]]]


def store_of(name: str) -> Path:
    """Where runs of a study are trained into: ./runs/NAME, or $SCALING_THEORY_RUNS/NAME."""
    return Path(os.environ.get("SCALING_THEORY_RUNS") or "runs") / name


def train_and_keep(
    name: str,
    groups: Iterable[tuple[Mapping[str, str], Sequence[RunSpec]]],
    more: More | None = None,
    stores: Sequence[Path] = (),
    folder: Path = FOLDER,
    **how: Any,
) -> Path:
    """Train what no store has, and write ``folder/NAME.csv``.

    Parameters
    ----------
    name
        Of the study.
    groups
        (labels, specifications): the labels are columns.
    more
        Further columns.
    stores
        Folders to look into before anything is trained into ``store_of(name)``.
    folder
        Where the file is written.
    **how
        As for ``train``.
    """
    import pandas as pd

    groups = [(dict(labels), list(specs)) for labels, specs in groups]
    keepers = [Store(path) for path in (*stores, store_of(name))]
    every = {spec.key: spec for _, specs in groups for spec in specs}
    todo = [s for s in every.values() if all(keeper.row(s) is None for keeper in keepers)]
    train(todo, store_of(name), keep_weights=more is not None, **how)
    rows = []
    for labels, specs in groups:
        for spec in specs:
            keeper = next(k for k in keepers if k.row(spec) is not None)
            row = keeper.row(spec)
            assert row is not None
            kept: dict[str, Any] = {**labels, "key": spec.key, "width": spec.width}
            kept |= {"seed": spec.seed, "steps": spec.steps, "batch_size": spec.batch_size}
            kept |= {c: float(f"{row[c]:.7g}") for c in _NUMBERS if c in row}
            kept |= {c: int(row[c]) for c in _COUNTS if c in row}
            if more is not None:
                lists = more(spec, keeper.weights(spec))
                kept |= {c: json.dumps(list(v), separators=(",", ":")) for c, v in lists.items()}
            rows.append({**kept, "path": row["path"], "version": row["version"]})
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{name}.csv"
    pd.DataFrame(rows).to_csv(out, index=False, lineterminator="\n")
    return out


class Kept:
    """Stored rows of a study, by key.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    """

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        import pandas as pd

        self._file = folder / f"{name}.csv"
        self.table: pd.DataFrame = pd.read_csv(self._file, dtype={"key": str})
        self._rows: dict[str, Row] = {
            str(row["key"]): {str(k): v for k, v in row.items()}
            for row in self.table.to_dict("records")
        }

    def row(self, spec: RunSpec) -> Row:
        """Return the row of a run.

        Raises
        ------
        ValueError
            If it is not stored.
        """
        if spec.key not in self._rows:
            raise ValueError(
                f"{self._file} must have run {spec.key} ({spec.data!r}, {spec.architecture!r}, "
                f"width {spec.width}, seed {spec.seed}), but lacks it: train the study to write it "
                f"anew"
            )
        return self._rows[spec.key]

    def has(self, specs: Iterable[RunSpec]) -> bool:
        """Whether all of some runs are stored."""
        return all(spec.key in self._rows for spec in specs)

    def runs(self, specs: Sequence[RunSpec]) -> Runs:
        """Return runs of which only rows are kept."""
        return Runs(tuple(specs), tuple(self.row(spec) for spec in specs), _NoWeights())


class _NoWeights:
    def weights(self, spec: RunSpec) -> dict[str, torch.Tensor]:
        raise FileNotFoundError(f"weights of run {spec.key} are not stored: train it to have them")
