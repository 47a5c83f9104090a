"""A folder of finished and half-finished runs that survives being killed at any moment.

``rows/KEY.parquet`` is the row of a finished run, ``weights/KEY.safetensors`` its weights,
``checkpoints/KEY.safetensors`` a run in progress. Every file is complete or not there: it is
written beside its place, synchronised and renamed. Weights come before the row, the row before the
checkpoint goes, so a run is either finished, or goes on bit for bit. Every file holds the
specification it belongs to and a digest of what it says.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch

from scaling_theory.sae._files import (
    CHECKPOINTS,
    ROWS,
    WEIGHTS,
    Row,
    StoreDamaged,
    check_run,
    damaged,
    failed,
    read_row,
    read_tensors,
    row_bytes,
    tensor_bytes,
)
from scaling_theory.sae.canonical import digest
from scaling_theory.sae.spec import RunSpec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RUN_COLUMNS", "Row", "Store", "StoreDamaged", "StoreInUse", "tabulate"]

#: Columns that say how a run was done, not what came of it: alone in differing between repeats.
RUN_COLUMNS = ("seconds", "path", "device", "resumed", "version")

_ENDINGS = {ROWS: ".parquet", WEIGHTS: ".safetensors", CHECKPOINTS: ".safetensors"}
_LOCK = "lock"
_TEMPORARY = re.compile(r"[0-9a-f]{16}\.(parquet|safetensors)\.tmp")
_KEY = re.compile(r"[0-9a-f]{16}")


class StoreInUse(OSError):  # noqa: N818
    """Another process writes to the store."""


@final
class Store:
    """Rows, weights and checkpoints of runs, under the keys of their specifications.

    Reading needs no lock and may go on while another process writes. Writing is done inside
    :meth:`writing`, by one process at a time.

    Parameters
    ----------
    path
        The folder; :meth:`writing` makes it.

    Raises
    ------
    ValueError
        If the path is that of a file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock: int | None = None
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"store must be a folder, got the file {self.path}")

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    # ---- reading --------------------------------------------------------------------------

    def row(self, spec: RunSpec) -> Row | None:
        """Return the row of a finished run, or None.

        Raises
        ------
        StoreDamaged
            If its file is not what was written, or holds another run.
        """
        file = self._file(ROWS, spec.key)
        row = read_row(file) if file.exists() else None
        if row is not None:
            check_run(file, row["spec"], spec)
        return row

    def table(self, specs: Sequence[RunSpec] | None = None) -> pd.DataFrame:
        """Return the rows of finished runs, one each.

        Parameters
        ----------
        specs
            Runs to return, in this order; runs that are not finished are left out. By default all,
            by data, architecture, width, seed and key.

        Raises
        ------
        FileNotFoundError
            If the store is not there.
        StoreDamaged
            If a file is not what was written.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"there is no store at {self.path}")
        if specs is not None:
            return tabulate([row for spec in specs if (row := self.row(spec)) is not None])
        rows = []
        for file in (self.path / ROWS).glob("*.parquet"):
            if _KEY.fullmatch(file.stem):
                rows.append(read_row(file))
                if digest(str(rows[-1]["spec"])) != file.stem:
                    raise damaged(file, "it holds another run than its name says")
        order = ("data", "architecture", "width", "seed", "key")
        return tabulate(sorted(rows, key=lambda row: [row[name] for name in order]))

    def weights(self, spec: RunSpec) -> dict[str, torch.Tensor]:
        """Return what was stored of a finished run: weights by name, and "frequencies".

        Raises
        ------
        FileNotFoundError
            If the run is not finished, or was trained without keeping weights.
        StoreDamaged
            If the file is not what was written.
        """
        file = self._file(WEIGHTS, spec.key)
        if not file.exists() or not self._file(ROWS, spec.key).exists():
            raise FileNotFoundError(
                f"{self.path} has no weights of run {spec.key}: it is not finished, or was trained "
                "with keep_weights=False"
            )
        return read_tensors(file, spec)[0]

    def checkpoint(self, spec: RunSpec) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return the state of a run in progress and the notes saved with it, or None.

        Raises
        ------
        StoreDamaged
            If the file is not what was written.
        """
        file = self.checkpoint_file(spec)
        return read_tensors(file, spec) if file.exists() else None

    def checkpoint_file(self, spec: RunSpec) -> Path:
        """Where the checkpoint of a run is, or would be."""
        return self._file(CHECKPOINTS, spec.key)

    # ---- writing --------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the store's lock; make its folders and clear what killed processes left.

        The lock is the system's: it ends with the process, however that ends.

        Raises
        ------
        StoreInUse
            If another process, or another Store in this one, is writing.
        OSError
            If the folder can't be made or written to.
        """
        try:
            for name in _ENDINGS:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path / _LOCK)
        except StoreInUse:
            raise
        except OSError as error:
            raise failed(f"{self.path} can't be used as a store", error) from error
        try:
            self._clear()
            yield
        finally:
            os.close(self._lock)
            self._lock = None

    def save_checkpoint(
        self, spec: RunSpec, state: Mapping[str, torch.Tensor], notes: Mapping[str, Any]
    ) -> None:
        """Store the state of a run in progress, with notes that JSON can hold.

        Raises
        ------
        OSError
            If it can't be written; the checkpoint before it is still there.
        """
        self._write(CHECKPOINTS, spec.key, tensor_bytes(spec, state, notes))

    def finish(
        self, spec: RunSpec, row: Row, tensors: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        """Store the row of a run, after its weights if they are given, and drop its checkpoint.

        Raises
        ------
        OSError
            If a file can't be written; the checkpoint is then still there.
        """
        if tensors is not None:
            self._write(WEIGHTS, spec.key, tensor_bytes(spec, tensors, {}))
        self._write(ROWS, spec.key, row_bytes({**row, "key": spec.key, "spec": spec.text}))
        self.drop_checkpoint(spec)

    def drop_checkpoint(self, spec: RunSpec) -> None:
        """Remove the checkpoint of a run, if there is one."""
        self.checkpoint_file(spec).unlink(missing_ok=True)

    # ---- helpers --------------------------------------------------------------------------

    def _file(self, folder: str, key: str) -> Path:
        return self.path / folder / (key + _ENDINGS[folder])

    def _clear(self) -> None:
        """Remove files that were not finished, and checkpoints of runs that are."""
        for folder in _ENDINGS:
            for file in (self.path / folder).iterdir():
                if _TEMPORARY.fullmatch(file.name):
                    file.unlink()
        for file in (self.path / CHECKPOINTS).glob("*.safetensors"):
            if self._file(ROWS, file.stem).exists():
                file.unlink()

    def _write(self, folder: str, key: str, content: bytes) -> None:
        if self._lock is None:
            raise RuntimeError("a store is written to inside `with store.writing():`")
        file = self._file(folder, key)
        temporary = file.with_name(file.name + ".tmp")
        try:
            with temporary.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, file)
            _synchronise(file.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise failed(
                f"{file} could not be written ({len(content)} bytes); what is in the store is "
                "complete, and the same call goes on from there",
                error,
            ) from error


def tabulate(rows: Sequence[Row]) -> pd.DataFrame:
    """Return rows as a table; what a row lacks is nan."""
    import pandas as pd

    return pd.DataFrame(list(rows))


def _synchronise(folder: Path) -> None:
    """Make a rename last through a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _locked(file: Path) -> int:
    """Open a file and lock it for this process."""
    try:
        import fcntl
    except ImportError:
        raise OSError("a store needs file locks, which this system does not have") from None
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    except BlockingIOError:
        holder = os.pread(handle, 200, 0).decode(errors="replace") or "another process"
        os.close(handle)
        raise StoreInUse(
            f"store {file.parent} is in use by {holder}: wait until it is done, or take another "
            "folder"
        ) from None
    except OSError:
        os.close(handle)
        raise
    return handle
