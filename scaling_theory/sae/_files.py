"""Files of a store: one row as Parquet, named tensors as safetensors, each with a digest.

Nothing is unpickled; what can't be read, or reads otherwise than it was written, is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scaling_theory.sae.spec import RunSpec

Row = dict[str, float | int | str]

ROWS, WEIGHTS, CHECKPOINTS = "rows", "weights", "checkpoints"

_FORMAT = 1
_NAME = "scaling_theory"


class StoreDamaged(OSError):  # noqa: N818
    """A file of a store is not what was written: the message names it and says what to do."""


def row_bytes(row: Row) -> bytes:
    """Return a row as a Parquet file of one row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, value in row.items():
        if type(value) not in (float, int, str):
            raise ValueError(f"a row must hold floats, ints and text, got {name} = {value!r}")
    table = pa.Table.from_pylist([row]).replace_schema_metadata(
        {_NAME: json.dumps({"format": _FORMAT, "digest": _row_digest(row)})}
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_row(file: Path) -> Row:
    """Return the row that a file holds, or raise StoreDamaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = _content(file)
    try:
        # one thread: others may outlive a short process, and abort it
        reader = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        table = reader.read(use_threads=False)
        said = json.loads((table.schema.metadata or {})[_NAME.encode()])
        (row,) = table.to_pylist()
        own = _row_digest(row)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(file, str(error)) from error
    _this_format(file, said)
    if said.get("digest") != own or not {"key", "spec"} <= set(row):
        raise damaged(file, "its digest does not match")
    found: Row = row
    return found


def _row_digest(row: Row) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def tensor_bytes(
    spec: RunSpec, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, Any]
) -> bytes:
    """Return tensors as a safetensors file, with the run they are of and notes for JSON."""
    from safetensors.torch import save

    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    said = {"format": _FORMAT, "spec": spec.text, "notes": dict(notes)}
    said["digest"] = _tensor_digest(own, said)
    return save(own, {_NAME: json.dumps(said)})


def read_tensors(file: Path, spec: RunSpec) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors of a run, and the notes, that a file holds, or raise StoreDamaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = _content(file)
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        said = json.loads(header["__metadata__"][_NAME])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise damaged(file, str(error)) from error
    _this_format(file, said)
    if said.pop("digest", None) != _tensor_digest(tensors, said):
        raise damaged(file, "its digest does not match")
    check_run(file, said["spec"], spec)
    notes: dict[str, Any] = said["notes"]
    return tensors, notes


def _tensor_digest(tensors: Mapping[str, torch.Tensor], said: Mapping[str, Any]) -> str:
    found = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise failed(f"{file} can't be read", error) from error


def _this_format(file: Path, said: Any) -> None:
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        shown = said.get("format") if isinstance(said, dict) else said
        raise damaged(file, f"its format is {shown!r}, not {_FORMAT}")


def check_run(file: Path, text: Any, spec: RunSpec) -> None:
    """Raise StoreDamaged unless the text in a file is that of the run it is named after."""
    if text != spec.text:
        raise damaged(file, f"it holds another run than {spec.key}")


def damaged(file: Path, why: str) -> StoreDamaged:
    """Return the error that names a file and says what to do about it."""
    row, weights = file.parent.name == ROWS, file.parent.name == WEIGHTS
    then = "trains that run again" if row or weights else "starts that run over"
    also = f" (with {file.parent.parent / ROWS / file.stem}.parquet)" if weights else ""
    return StoreDamaged(
        f"{file} is damaged: {' '.join(why.split())}; deleting it{also} {then}, the other runs are "
        "kept"
    )


def failed(what: str, error: OSError) -> OSError:
    """The same kind of error, with more to say."""
    text = f"{what}: {error.strerror or error}"
    return OSError(text) if error.errno is None else OSError(error.errno, text)
