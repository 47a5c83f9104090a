"""Making a folder of shards: one process at a time, stopped and resumed as may be.

Each shard is in the manifest together with the point to go on from after it: the window that its
last row is in. That window is worked out again, and the rows that are there are left out.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from scaling_theory._validate import Floats
from scaling_theory.datasets.collecting import files
from scaling_theory.datasets.collecting.batches import Block

#: Rows of a shard: what is lost at most when a process is killed. A text costs what its tokens do.
SHARD_ROWS = {"tokens": 65_536, "texts": 4_096}
_START = {"text": 0, "row": 0, "held_out": None}


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which ends with the process; clear what was not finished.

    Raises
    ------
    scaling_theory.sae.store.StoreInUse
        If another process writes there.
    ValueError
        If the folder is a file, or holds other things.
    """
    from scaling_theory.sae.store import _locked

    if folder.exists() and not folder.is_dir():
        raise ValueError(f"path must be a folder, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    strange = [p.name for p in folder.iterdir() if p.name != "lock" and p.suffix != ".tmp"]
    if strange and not (folder / files.MANIFEST).exists() and not _ours(strange):
        raise ValueError(f"path must be an empty folder or a new one; {folder} has {strange[0]}")
    handle = _locked(folder / "lock")
    try:
        for left in folder.glob("*" + files.TEMPORARY):
            left.unlink()
        yield
    finally:
        os.close(handle)


def _ours(names: Sequence[str]) -> bool:
    """Whether files are a first shard whose manifest was not written any more."""
    return set(names) <= {files.values_file(0), files.where_file(0)}


@final
class Writer:
    """Takes blocks of rows in order and makes shards of them.

    Parameters
    ----------
    folder
        Where to; locked by the caller.
    manifest
        The manifest there, or a new one without shards.
    held_out
        Share of rows.
    advance
        Called with numbers of rows that are new.
    """

    def __init__(
        self,
        folder: Path,
        manifest: dict[str, Any],
        held_out: float,
        advance: Callable[[int], None],
    ) -> None:
        self._folder, self._manifest, self._advance = folder, manifest, advance
        self._total: int = manifest["rows"]
        self._needed = math.ceil(held_out * self._total)
        shards = manifest["shards"]
        for i, entry in enumerate(shards):
            if not all(files.present(folder, entry[part]) for part in ("values", "where")):
                del shards[i:]  # it was deleted: it and those after it are made anew
                break
        manifest["complete"] = False
        self.point: dict[str, Any] = dict(shards[-1]["after"] if shards else _START)
        self._row: int = self.point["row"]
        self._held_out: int | None = 0 if self._needed == 0 else self.point["held_out"]
        self._have = sum(entry["rows"] for entry in shards)
        self._texts = 0
        self._values: npt.NDArray[Any] | None = None
        self._where = np.empty((manifest["shard_rows"], 3), dtype=np.int32)
        self._filled = 0
        advance(self._have)

    @property
    def wanting(self) -> bool:
        """Whether there are rows to come."""
        return self._row < self._total

    @property
    def rows(self) -> int:
        """Rows of all blocks so far."""
        return self._row

    def add(self, block: Block) -> None:
        """Take the next block."""
        self.point = {"text": block.text, "row": self._row, "held_out": self._held_out}
        ends = self._row + block.ends
        if self._held_out is None and len(ends) and ends[-1] >= self._needed:
            self._held_out = int(ends[np.searchsorted(ends, self._needed)])
        starts = np.concatenate([[self._row], ends[:-1]])
        self._texts = block.text + int(np.count_nonzero(starts < self._total))
        at = max(0, self._have - self._row)
        stop = min(len(block.values), self._total - self._row)
        while at < stop:
            at += self._take(block.values[at:stop], block.where[at:stop])
        self._row += len(block.values)

    def finish(self, texts: Sequence[str], vocabulary: Sequence[str]) -> None:
        """Write what comes after all rows, and say that the folder is complete.

        Raises
        ------
        ValueError
            If no row is left to train on.
        """
        manifest, held_out = self._manifest, self._held_out
        if held_out is None or held_out >= self._total:
            raise ValueError(
                f"held_out must leave texts to train on, got {manifest['recipe']['held_out']}: the "
                f"text in which that share is reached ends with row {held_out or self._total} of "
                f"{self._total}"
            )
        mean, scale = self._statistics(held_out)
        contents = {
            files.MEAN: files.array_bytes(mean),
            files.TEXTS: files.json_bytes(list(texts[: self._texts])),
            files.VOCABULARY: files.json_bytes(list(vocabulary)),
        }
        manifest["files"] = {
            name: files.write(self._folder, name, content) for name, content in contents.items()
        }
        manifest.update(complete=True, held_out=held_out, scale=scale, texts=self._texts)
        self._save()

    def _take(self, values: npt.NDArray[Any], where: npt.NDArray[np.int32]) -> int:
        """Put rows into the shard in hand, as many as it takes."""
        manifest = self._manifest
        size: int = manifest["shard_rows"]
        if self._values is None:
            manifest["dimension"] = values.shape[1]
            self._values = np.empty((size, values.shape[1]), dtype=values.dtype)
        count = min(len(values), size - self._filled)
        self._values[self._filled : self._filled + count] = values[:count]
        self._where[self._filled : self._filled + count] = where[:count]
        self._filled += count
        self._have += count
        if self._filled == size or self._have == self._total:
            self._store()
        self._advance(count)
        return count

    def _store(self) -> None:
        """Write the shard in hand, and then the manifest."""
        assert self._values is not None
        shards, filled = self._manifest["shards"], self._filled
        values = files.array_bytes(self._values[:filled])
        where = files.array_bytes(self._where[:filled])
        entry = {
            "rows": filled,
            "values": files.write(self._folder, files.values_file(len(shards)), values),
            "where": files.write(self._folder, files.where_file(len(shards)), where),
            "after": dict(self.point),
        }
        shards.append(entry)
        self._filled = 0
        self._save()

    def _save(self) -> None:
        files.write(self._folder, files.MANIFEST, files.json_bytes(self._manifest))

    def _statistics(self, held_out: int) -> tuple[Floats, float]:
        """Mean and scale of the rows to train on, as stored, in one pass.

        Sums are over rows less the mean of the first few, so that their squares do not cancel.
        """
        manifest = self._manifest
        width, dtype = manifest["dimension"], manifest["recipe"]["dtype"]
        shift: Floats | None = None
        total, squares, row = np.zeros(width), 0.0, 0
        for entry in manifest["shards"]:
            shape = (entry["rows"], width)
            array = files.opened(self._folder, entry["values"], dtype, shape)
            for begin in range(max(0, held_out - row), len(array), 8192):
                part = array[begin : begin + 8192].astype(np.float64)
                if shift is None:
                    shift = part.mean(axis=0)
                part -= shift
                total += part.sum(axis=0)
                squares += float(np.einsum("ij,ij->", part, part))
            row += len(array)
        count = self._total - held_out
        assert shift is not None
        spread = squares - float(total @ total) / count
        if spread <= 0.0:
            raise ValueError(f"the {count} rows to train on are all the same: text must have more")
        return shift + total / count, math.sqrt(spread / (count * width))
