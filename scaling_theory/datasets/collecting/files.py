"""What is in a folder of shards, and how it is checked.

``values-00000.npy`` (rows, dimension) and ``where-00000.npy`` (rows, 3: text, position, token id)
hold a shard each, ``mean.npy`` the mean of the rows to train on, ``texts.json`` the texts that rows
are from, ``vocabulary.json`` the tokens by id, ``manifest.json`` everything else: the recipe, rows
of a shard, and size and hash of each file. A file is written beside its place, synchronised and
renamed, and named in the manifest after that.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MANIFEST, MEAN, TEXTS, VOCABULARY = "manifest.json", "mean.npy", "texts.json", "vocabulary.json"
FORMAT = "scaling_theory shards 1"
TEMPORARY = ".tmp"
#: The largest manifest that is read: text that is parsed has a bound.
_LARGEST = 64 * 2**20


class ShardsDamaged(OSError):  # noqa: N818
    """A file of a folder of shards is not what was written."""


def values_file(index: int) -> str:
    """Name of the file with a shard's rows."""
    return f"values-{index:05d}.npy"


def where_file(index: int) -> str:
    """Name of the file that says where a shard's rows are from."""
    return f"where-{index:05d}.npy"


def digest_of(recipe: dict[str, Any]) -> str:
    """16 hex digits of the SHA-256 of a recipe, written with sorted keys."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a folder, or None where there is none.

    Raises
    ------
    ShardsDamaged
        If it is not what was written.
    """
    file = folder / MANIFEST
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST} bytes")
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        if digest_of(found["recipe"]) != found["digest"]:
            raise ValueError("its recipe does not have its digest")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ShardsDamaged(
            f"{file} is damaged ({error}): delete the folder, and the same call makes it anew"
        ) from None
    return found


def write(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    """Write a file whole or not at all; return what the manifest says of it."""
    file = folder / name
    temporary = file.with_name(name + TEMPORARY)
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)  # or the rename is lost with the power
        finally:
            os.close(handle)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(
            f"{file} could not be written ({len(content)} bytes): {error.strerror or error}; what "
            "is in the folder is complete, and the same call goes on from there"
        ) from error
    return {"file": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def array_bytes(array: npt.NDArray[Any]) -> bytes:
    """An array as .npy."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def json_bytes(value: Any) -> bytes:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def present(folder: Path, entry: dict[str, Any]) -> bool:
    """Whether a file is there, as long as it was.

    Raises
    ------
    ShardsDamaged
        If it has another length.
    """
    file = folder / entry["file"]
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        return False
    if size != entry["bytes"]:
        raise _damaged(file, f"it has {size} bytes, and had {entry['bytes']}")
    return True


def opened(
    folder: Path, entry: dict[str, Any], dtype: str, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Map an array of the folder, read-only.

    Raises
    ------
    ShardsDamaged
        If it is not there, or its length, type or shape are not as they were.
    """
    file = folder / entry["file"]
    if not present(folder, entry):
        raise ShardsDamaged(f"{file} is missing: the call that made the folder makes it anew")
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _damaged(file, str(error)) from None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        raise _damaged(file, f"it holds {getattr(array, 'shape', 'no array')}, and held {shape}")
    return array.view(np.ndarray)  # still a map, without the overhead of np.memmap


def checked(folder: Path, entry: dict[str, Any]) -> None:
    """Hash a file again.

    Raises
    ------
    ShardsDamaged
        If it is not there, or not what was written.
    """
    file = folder / entry["file"]
    if not present(folder, entry):
        raise ShardsDamaged(f"{file} is missing: the call that made the folder makes it anew")
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != entry["sha256"]:
        raise _damaged(file, f"its SHA-256 is {found[:16]}..., and was {entry['sha256'][:16]}...")


def entries(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What a manifest says of each file but itself."""
    shards = [entry[part] for entry in manifest["shards"] for part in ("values", "where")]
    return shards + list(manifest["files"].values())


def _damaged(file: Path, why: str) -> ShardsDamaged:
    return ShardsDamaged(
        f"{file} is damaged ({why}): delete it, and the call that made the folder makes it anew"
    )
