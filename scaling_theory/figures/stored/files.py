"""Rows of runs as CSV: every number comes back as it was, every row says which run it is of."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from scaling_theory.sae.canonical import digest

if TYPE_CHECKING:
    import torch

    from scaling_theory.sae.store import Row

#: Where the CSV files are: in the package.
FOLDER = Path(__file__).parent

#: Columns that hold text; the others hold numbers, whole ones without a point.
_TEXT = frozenset(["key", "data", "architecture", "path", "device", "version", "spec", "weights"])


@final
@dataclass(frozen=True)
class Kept:
    """What is stored of a run.

    Attributes
    ----------
    row : dict
        As ``sae.train`` gave it.
    weights : dict of nested lists, or None
        Weights by name, where they are stored.
    """

    row: Row
    weights: dict[str, list[object]] | None = None


def read(name: str, preset: str, folder: Path | None = None) -> dict[str, Kept]:
    """Return the stored rows of a sweep, by key; none where there is no file.

    Parameters
    ----------
    name
        Of the sweep (``figures.sweeps.SWEEPS``).
    preset
        "quick" or "paper".
    folder
        Where the file NAME_PRESET.csv is; by default :data:`FOLDER`.

    Raises
    ------
    ValueError
        If a row is not what was written: a cell is no number, or the digest of its specification is
        not its key, or a key is there twice.
    """
    file = (folder or FOLDER) / f"{name}_{preset}.csv"
    if not file.exists():
        return {}
    found: dict[str, Kept] = {}
    with file.open(newline="", encoding="utf-8") as lines:
        for cells in csv.DictReader(lines, strict=True):
            try:
                kept = _kept(cells)
                if digest(str(kept.row["spec"])) != kept.row["key"]:
                    raise ValueError("the digest of its specification is not its key")
                if kept.row["key"] in found:
                    raise ValueError("its key is there twice")
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{file} has a damaged row with key {cells.get('key')!r}: {error}; deleting it "
                    "trains that run again"
                ) from error
            found[str(kept.row["key"])] = kept
    return found


def write(name: str, preset: str, kept: Sequence[Kept], folder: Path | None = None) -> Path:
    """Store rows of a sweep, in the order given, in place of what was stored of it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If there are no rows, or their columns differ.
    """
    if not kept:
        raise ValueError(f"kept must hold at least one row of {name}, got none")
    columns = list(kept[0].row)
    file = (folder or FOLDER) / f"{name}_{preset}.csv"
    lines: list[list[str]] = [[*columns, "weights"]]
    for one in kept:
        if list(one.row) != columns:
            raise ValueError(
                f"kept must hold rows of the same columns, got {list(one.row)} after {columns}"
            )
        weights = "" if one.weights is None else json.dumps(one.weights, separators=(",", ":"))
        lines.append([*(_cell(one.row[name]) for name in columns), weights])
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows(lines)
    return file


def as_lists(tensors: Mapping[str, torch.Tensor]) -> dict[str, list[object]]:
    """Return float32 tensors as nested lists, in as few digits as they come back from."""
    import numpy as np

    def shortest(value: object) -> object:
        if isinstance(value, list):
            return [shortest(v) for v in value]
        return float(str(np.float32(value)))  # type: ignore[arg-type]

    return {name: list(map(shortest, tensor.tolist())) for name, tensor in tensors.items()}


def _cell(value: float | int | str) -> str:
    return value if isinstance(value, str) else repr(value)


def _kept(cells: Mapping[str, str]) -> Kept:
    row: Row = {}
    for name, text in cells.items():
        if name == "weights":
            continue
        row[name] = text if name in _TEXT else _number(name, text)
    return Kept(row, json.loads(cells["weights"]) if cells["weights"] else None)


def _number(name: str, text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, got {text!r}") from None
