"""Rows of activations or embeddings, read from memory maps."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.datasets.collecting.files import (
    MEAN,
    TEXTS,
    VOCABULARY,
    ShardsDamaged,
    checked,
    entries,
    opened,
    read_manifest,
)


@final
@dataclass(frozen=True)
class TextOf:
    """Where a row is from.

    Attributes
    ----------
    text
        Number of the text, in the order in which texts were taken.
    content
        The text.
    position
        Which of the text's tokens it is, from 0; -1 where the row is the whole text.
    token_id, token
        The token, by its id (-1 where the row is the whole text) and as the vocabulary writes it
        (None there).
    """

    text: int
    content: str
    position: int
    token_id: int
    token: str | None


@final
@dataclass(frozen=True, eq=False)
class Shards:
    """Rows in a folder: the first ``held_out`` for evaluation, the others to train on.

    Made by :func:`activations` and :func:`embeddings`, opened again by :meth:`open`.

    Attributes
    ----------
    path
        The folder.
    rows, dimension
        Number of rows and of coordinates.
    held_out
        Rows for evaluation: rows 0 to held_out - 1. They end with a text, so none is on both sides.
    digest
        16 hex digits of the SHA-256 of the recipe (model, site, text, seed, ...), not of the
        numbers: these may differ in their last digits between processors.
    manifest
        What manifest.json says.
    mean
        (dimension,) Mean of the rows to train on.
    scale
        Root mean square of a coordinate of these rows less their mean, sqrt(E|x - mean|^2 / d).
    """

    path: Path
    rows: int
    dimension: int
    held_out: int
    digest: str
    manifest: dict[str, Any] = field(repr=False)
    mean: Floats = field(repr=False)
    scale: float
    _values: tuple[npt.NDArray[Any], ...] = field(repr=False)
    _where: tuple[npt.NDArray[np.int32], ...] = field(repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a folder; sizes and headers are checked, hashes are not (:meth:`verify`).

        Raises
        ------
        FileNotFoundError
            If there is no manifest, or rows are still to come.
        ShardsDamaged
            If a file is missing, or has another length, type or shape than was written.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        if manifest is None:
            raise FileNotFoundError(f"there are no activations or embeddings in {folder}")
        if not manifest["complete"]:
            done = sum(entry["rows"] for entry in manifest["shards"])
            raise FileNotFoundError(
                f"{folder} is not complete ({done} of {manifest['rows']} rows): the call that "
                "began it goes on from there"
            )
        width, dtype = manifest["dimension"], manifest["recipe"]["dtype"]
        values, where = [], []
        for entry in manifest["shards"]:
            values.append(opened(folder, entry["values"], dtype, (entry["rows"], width)))
            where.append(opened(folder, entry["where"], "int32", (entry["rows"], 3)))
        mean = np.array(opened(folder, manifest["files"][MEAN], "float64", (width,)))
        mean.flags.writeable = False
        return cls(
            path=folder,
            rows=manifest["rows"],
            dimension=width,
            held_out=manifest["held_out"],
            digest=manifest["digest"],
            manifest=manifest,
            mean=mean,
            scale=manifest["scale"],
            _values=tuple(values),
            _where=tuple(where),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the folder: other processes map the same files, and no row is copied."""
        return Shards.open, (self.path.resolve(),)

    def read(self, index: Any) -> npt.NDArray[np.float32]:
        """Return rows as float32, as they are: neither centred nor scaled.

        Parameters
        ----------
        index
            Row numbers from 0 to rows - 1, in any order, repeated or not; or a slice.

        Returns
        -------
        numpy.ndarray
            (len(index), dimension), a new array.

        Raises
        ------
        ValueError
            If a number is not a row.
        """
        found = self._gathered(self._values, index, self.dimension)
        return _single(found) if found.dtype == np.float16 else found

    def where(self, index: Any) -> npt.NDArray[np.int32]:
        """Return (len(index), 3): number of the text, position in it and token id of rows.

        Position and id are -1 where rows are whole texts.
        """
        return self._gathered(self._where, index, 3)

    def text_of(self, row: int) -> TextOf:
        """Return which text a row is from, and which of its tokens.

        Raises
        ------
        ValueError
            If it is not a row.
        ShardsDamaged
            If texts or vocabulary are not what was written.
        """
        row = _validate.whole("row", row, low=0, high=self.rows - 1)
        text, position, token_id = map(int, self.where(np.array([row]))[0])
        return TextOf(
            text=text,
            content=self._list(TEXTS)[text],
            position=position,
            token_id=token_id,
            token=None if token_id < 0 else self._list(VOCABULARY)[token_id],
        )

    def verify(self) -> None:
        """Hash every file again.

        Raises
        ------
        ShardsDamaged
            If one is not what was written; the message names it.
        """
        for entry in entries(self.manifest):
            checked(self.path, entry)

    def _list(self, name: str) -> list[str]:
        entry = self.manifest["files"][name]
        return _read_list(self.path, name, entry["bytes"], entry["sha256"])

    def _gathered(
        self, maps: tuple[npt.NDArray[Any], ...], index: Any, width: int
    ) -> npt.NDArray[Any]:
        """Rows of all shards together, in the type they are stored in."""
        dtype = maps[0].dtype
        if isinstance(index, slice):
            index = np.arange(*index.indices(self.rows))
        rows = np.asarray(index)
        if rows.size == 0 and rows.ndim == 1:
            return np.empty((0, width), dtype=dtype)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ValueError(
                f"index must be a slice or whole numbers in [0, {self.rows - 1}], got "
                f"{_validate._short(index)}"
            )
        if rows.min() < 0 or rows.max() >= self.rows:
            wrong = rows[(rows < 0) | (rows >= self.rows)][0]
            raise ValueError(
                f"index must hold whole numbers in [0, {self.rows - 1}], got {int(wrong)}"
            )
        size = self.manifest["shard_rows"]
        # in ascending order: shard by shard, and page by page of the file
        order = np.argsort(rows, kind="stable")
        ascending = rows[order].astype(np.int64)
        first, last = int(ascending[0]) // size, int(ascending[-1]) // size
        edges = np.searchsorted(ascending, np.arange(first, last + 2) * size)
        out = np.empty((len(rows), width), dtype=dtype)
        for shard, begin, end in zip(range(first, last + 1), edges[:-1], edges[1:], strict=True):
            if end > begin:
                local = ascending[begin:end] - shard * size
                out[order[begin:end]] = np.take(maps[shard], local, axis=0)
        return out


def _single(values: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    """Float16 as float32, four times as fast as astype; all must be finite, as stored rows are.

    Sign, exponent and fraction are moved to where float32 has them; what is missing is the factor
    2^112 between the exponents' biases, and the product is exact, for subnormal numbers too.
    """
    bits = values.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= np.int32(-0x70002000)  # 0x8fffe000: not the copies of the sign
    found = bits.view(np.float32)
    found *= np.float32(2.0**112)
    return found


@functools.lru_cache(maxsize=8)
def _read_list(folder: Path, name: str, size: int, sha256: str) -> list[str]:
    """Strings of a JSON file of the folder, checked against its hash."""
    checked(folder, {"file": name, "bytes": size, "sha256": sha256})
    found = json.loads((folder / name).read_text(encoding="utf-8"))
    if not isinstance(found, list):
        raise ShardsDamaged(f"{folder / name} holds no list")
    return found
