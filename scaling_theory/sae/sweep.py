"""Training of many runs: what is stored is not done again, what was stopped goes on.

- :func:`train` for any list of specifications: a table, one row each.
- :func:`train_widths` for the loss curve of one recipe: :class:`Runs`, with ``curve()``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

import scaling_theory
from scaling_theory import _validate
from scaling_theory.sae import _cluster
from scaling_theory.sae._files import Row, damaged
from scaling_theory.sae._jobs import Job, elsewhere
from scaling_theory.sae._watch import Bar, Interrupt, progress_bar
from scaling_theory.sae.architectures import Architecture
from scaling_theory.sae.data import Data
from scaling_theory.sae.gpu.group import PATH, Member
from scaling_theory.sae.gpu.plan import plan, takes
from scaling_theory.sae.gpu.together import step_of, train_together
from scaling_theory.sae.kernels import choose_path
from scaling_theory.sae.runs import Runs
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import RUN_COLUMNS, Store
from scaling_theory.sae.trainer import Trainer, TrainingFailed, device_of

if TYPE_CHECKING:
    import pandas as pd

Stored = Store | str | os.PathLike[str]

#: Seconds between two looks at the clock: of the bar, of Ctrl-C, of the checkpoints.
_SLICE = 0.2


class SweepFailed(TrainingFailed):
    """Some runs failed; the others are done.

    Attributes
    ----------
    failures : tuple of (RunSpec, str)
        Those that failed, and why.
    runs : Runs
        Those that are done.
    """

    def __init__(self, message: str, failures: tuple[tuple[RunSpec, str], ...], runs: Runs) -> None:
        super().__init__(message)
        self.failures, self.runs = failures, runs


def train(
    specs: Iterable[RunSpec],
    store: Stored | None = None,
    device: str = "auto",
    path: str = "auto",
    progress: bool | None = None,
    keep_weights: bool = True,
    checkpoint_seconds: float = 60.0,
    on_row: Callable[[Row], None] | None = None,
    backend: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Train SAEs and return a tidy table, one row a specification, in the order given.

    Parameters
    ----------
    specs
        What to train; one that is there twice is trained once, and has two rows.
    store
        A folder, or a ``Store``. Runs that it holds are not trained again, on whatever device and
        path that was; those that were stopped go on. Only one process at a time can train into it.
        By default nothing is stored.
    device
        "auto" (cuda if there is one, else cpu), "cpu", "cuda", "cuda:1", ...
    path
        Of the gradients: "auto", or one of ``kernels.PATHS``, or "triton": many runs in one launch
        on a GPU (``sae.gpu`` says which runs, and what it needs), which "auto" takes where it can.
        On that path, Ctrl-C, checkpoints and the end of runs are those of a whole group.
    progress
        A bar with the time left, on standard error; by default if that is a terminal.
    keep_weights
        Store the weights too (``Store(...).weights(spec)``).
    checkpoint_seconds
        Seconds after which a run in progress is saved to the store, again and again; at least 0.
    on_row
        Called with each row: first those that are stored, then each run as it is done.
    backend
        Where runs are trained: None, the default, in this process; "loky", in processes of this
        machine; "dask", on the workers of the current ``distributed.Client`` (make one before); or
        another backend that joblib knows, such as "ray". With a backend runs are begun longest
        first, and stored by this process as they come. Needs the extra ``cluster``.
    workers
        Number of processes, with a backend other than "dask"; by default one a core.
    threads
        Threads that a run has, with a backend; 1 by default.

    Returns
    -------
    DataFrame
        ``key``, ``data``, ``architecture``, ``width``, ``seed``, ``steps``, ``batch_size``,
        ``learning_rate``; the metrics of the trainer; how it was done (``store.RUN_COLUMNS``:
        ``seconds``, ``path``, ``device``, how often it was ``resumed``, ``version``), which alone
        differs between repeats; and ``spec``, the canonical JSON of everything.

    Raises
    ------
    ValueError
        If an argument is out of range, or a stopped run was trained on another kind of device, or
        path, than this one; if joblib does not know the backend, or Dask has no client.
    ImportError
        If what the backend needs is not installed.
    SweepFailed
        If runs failed, after the others are done. A run whose worker died with it, and again when
        it was tried alone, has failed; workers that die for other reasons cost time only.
    ConnectionError
        If the Dask client was closed meanwhile, or its scheduler died.
    StoreDamaged, StoreInUse, OSError
        If the store can't be used: what is in it is kept.
    KeyboardInterrupt
        On Ctrl-C, after the run in progress is saved to the store. A second Ctrl-C does not wait
        for that: then the checkpoint before it counts. With a backend runs in progress are
        cancelled and not saved.

    Notes
    -----
    Runs are pure functions of their specification: with the same number of threads on the same kind
    of processor a table does not depend on the backend, on how many workers there are, or on which
    of them died. Specifications, rows and weights travel in pickles between processes of one's own
    cluster, which need the same packages; architectures and data that are defined in a script
    travel with them. What a store holds is written by this process alone. A run that was stopped is
    sent with its checkpoint, and goes on; workers save none.

    ``device`` means the same for every worker, and "auto" is what this machine has: name "cuda"
    where the workers have what this machine lacks. Each run is then one of its own on its worker's
    device, so that a worker a device is right (``dask_cuda.LocalCUDACluster`` makes them).
    """
    keep_weights = keep_weights and store is not None
    where = (backend, workers, threads)
    return _train(
        specs, store, device, path, progress, keep_weights, checkpoint_seconds, on_row, where
    ).table


def train_widths(
    data: Data,
    widths: Sequence[int],
    architecture: Architecture,
    seeds: int | Sequence[int] = 1,
    store: Stored | None = None,
    device: str = "auto",
    progress: bool | None = None,
    path: str = "auto",
    keep_weights: bool = True,
    checkpoint_seconds: float = 60.0,
    on_row: Callable[[Row], None] | None = None,
    backend: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    **options: Any,
) -> Runs:
    """Train one recipe at several widths, for its loss curve.

    Parameters
    ----------
    data, architecture
        What every run has.
    widths
        Numbers of latents.
    seeds
        So many seeds, from 0 on, of each width; or the seeds themselves.
    store, device, progress, path, keep_weights, checkpoint_seconds, on_row
    backend, workers, threads
        As for :func:`train`. Weights that are kept without a store are kept in memory.
    **options
        What else a ``RunSpec`` takes: steps, batch_size, learning_rate, ...

    Returns
    -------
    Runs
        By width, then by seed: ``table``, ``curve()``, ``weights(run)``.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError, SweepFailed, OSError, KeyboardInterrupt
        As for :func:`train`.
    """
    known = [f.name for f in fields(RunSpec)]
    known = [name for name in known if name not in ("data", "architecture", "width", "seed")]
    for name in options:
        if name not in known:
            raise TypeError(f"options of train_widths must be among {known}, got {name!r}")
    many = _validate.wholes("widths", widths, low=1).tolist()
    if isinstance(seeds, Sequence) or np.ndim(seeds) > 0:
        each = _validate.wholes("seeds", seeds).tolist()
    else:
        each = list(range(_validate.whole("seeds", seeds, low=1)))
    specs = [RunSpec(data, architecture, n, seed, **options) for n in many for seed in each]
    where = (backend, workers, threads)
    return _train(
        specs, store, device, path, progress, keep_weights, checkpoint_seconds, on_row, where
    )


# ---- the sweep ----------------------------------------------------------------------------------


def _train(
    specs: Iterable[RunSpec],
    store: Stored | None,
    device: str,
    path: str,
    progress: bool | None,
    keep_weights: bool,
    checkpoint_seconds: float,
    on_row: Callable[[Row], None] | None,
    where: tuple[str | None, int | None, int | None],
) -> Runs:
    if not isinstance(specs, Iterable):
        raise ValueError(f"specs must be a list of RunSpecs, as in train([spec]), got {specs!r}")
    specs = tuple(specs)
    every = _validate.real("checkpoint_seconds", checkpoint_seconds, low=0.0)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    for i, spec in enumerate(specs):
        if not isinstance(spec, RunSpec):
            raise ValueError(f"specs must hold RunSpecs, got specs[{i}] = {spec!r}")
    backend, workers, threads = where
    _cluster.check(backend, workers, threads)
    keeper = _Memory() if store is None else store if isinstance(store, Store) else Store(store)
    distinct = {spec.key: spec for spec in specs}
    rows: dict[str, Row] = {}
    failures: list[tuple[RunSpec, str]] = []

    def look_up() -> None:
        """Read the rows that are there."""
        for key, spec in distinct.items():
            if key not in rows and (row := keeper.row(spec)) is not None:
                have(row)

    def have(row: Row) -> None:
        rows[str(row["key"])] = row
        if on_row is not None:
            on_row(dict(row))

    look_up()
    if len(rows) < len(distinct):
        with keeper.writing():
            look_up()  # another process may have been writing
            pending = [spec for key, spec in distinct.items() if key not in rows]
            if pending and str(_named(device)) != "cpu" and backend is None:
                device_of(device)  # before its kernels are asked for
            for spec in pending:  # fail before the work, not after it
                _check(spec, device, path, keeper, grouped=backend is None)
            enabled = sys.stderr.isatty() if progress is None else progress
            if backend is not None:
                how = (device, path, keep_weights, 1 if threads is None else threads)
                jobs = [Job.of(spec, keeper, *how) for spec in pending]
                with progress_bar(pending, enabled) as bar:
                    elsewhere(jobs, keeper, backend, workers, bar, have, failures)
                pending, enabled = [], False
            with progress_bar(pending, enabled) as bar, Interrupt() as interrupt:
                at = functools.partial(step_of, keeper)
                groups, pending = plan(pending, torch.device(device), path, at)
                for group in groups:
                    options = (device, keeper, every, keep_weights, bar, interrupt, have)
                    _together(group, *options, failures)
                for spec in pending:
                    bar.begin(spec)
                    try:
                        have(_one(spec, device, path, keeper, every, keep_weights, bar, interrupt))
                    except TrainingFailed as error:
                        failures.append((spec, str(error)))
                        keeper.drop_checkpoint(spec)
                    if interrupt.asked:
                        raise KeyboardInterrupt
    done = tuple(spec for spec in specs if spec.key in rows)
    runs = Runs(done, tuple(rows[spec.key] for spec in done), keeper)
    if failures:
        raise SweepFailed(
            f"{len(failures)} of {len(distinct)} runs failed; the others are done"
            + (" and stored" if isinstance(keeper, Store) else "")
            + "".join(f"\n{text}" for _, text in failures),
            tuple(failures),
            runs,
        )
    return runs


def _one(
    spec: RunSpec,
    device: str,
    path: str,
    keeper: Store | _Memory,
    every: float,
    keep_weights: bool,
    bar: Bar,
    interrupt: _cluster.Asked,
) -> Row:
    """Train one run to its end, from where it was stopped, and keep what came of it."""
    trainer = Trainer(spec, device, path)
    notes: dict[str, Any] = {
        "device": torch.device(device).type,
        "path": trainer.path,
        "resumed": 0,
    }
    if (found := keeper.checkpoint(spec)) is not None:
        state, was = found
        try:
            trainer.load_state(state)
        except ValueError as error:
            raise damaged(keeper.checkpoint_file(spec), str(error)) from error
        notes["resumed"] = was["resumed"] + 1
        bar.skip(trainer.step)
    saved, steps = time.perf_counter(), 1
    while trainer.step < spec.steps:
        began, before = time.perf_counter(), trainer.step
        trainer.advance(steps)
        bar.advance(trainer.step - before)
        now = time.perf_counter()
        if interrupt.asked or (now - saved >= every and trainer.step < spec.steps):
            keeper.save_checkpoint(spec, trainer.state(), notes)
            saved = time.perf_counter()
        if interrupt.asked:
            raise KeyboardInterrupt
        # at most eight times as many at once: the first step may be slow for other reasons
        steps = max(1, min(8 * steps, int(_SLICE * steps / max(now - began, 1e-9))))
    row = _row(spec, trainer, int(notes["resumed"]))
    keeper.finish(spec, row, trainer.tensors() if keep_weights else None)
    return row


def _together(
    specs: Sequence[RunSpec],
    device: str,
    keeper: Store | _Memory,
    every: float,
    keep_weights: bool,
    bar: Bar,
    interrupt: Interrupt,
    have: Callable[[Row], None],
    failures: list[tuple[RunSpec, str]],
) -> None:
    """Train runs that share launches on a GPU, and keep what came of them."""

    def failed(spec: RunSpec, why: str) -> None:
        failures.append((spec, why))
        keeper.drop_checkpoint(spec)

    options = (device, keeper, every, keep_weights, bar, interrupt, have, failed, _row)
    train_together(specs, *options)


def _check(spec: RunSpec, device: str, path: str, keeper: Store | _Memory, grouped: bool) -> None:
    """Refuse a path that can't train a run, and a checkpoint that would go on to other numbers."""
    on = _named(device)
    if grouped and takes(spec, on, path):
        chosen = PATH
    else:
        data = spec.data
        chosen = choose_path(path, spec.architecture, data.dimension, on, data.density)
    now = {"device": on.type, "path": chosen}
    if (found := keeper.checkpoint(spec)) is None:
        return
    for name, value in now.items():
        was = found[1][name]
        if was != value:
            # only this process trains many runs in one launch
            alone = "train it without backend; " if was == PATH and not grouped else ""
            raise ValueError(
                f"{name} must be {was!r}, on which run {spec.key} was stopped, got {value!r}; "
                f"{alone}deleting {keeper.checkpoint_file(spec)} starts it over"
            )


def _named(device: str) -> torch.device:
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be auto, cpu, cuda, cuda:1, ..., got {device!r}") from None


def _row(spec: RunSpec, trainer: Trainer | Member, resumed: int) -> Row:
    """The row of a finished run: what it was, what came of it, how it was done."""
    said = trainer.row()
    how = {**said, "resumed": resumed, "version": scaling_theory.__version__}
    what: Row = {
        "key": spec.key,
        "data": repr(spec.data),
        "architecture": repr(spec.architecture),
        "width": spec.width,
        "seed": spec.seed,
        "steps": spec.steps,
        "batch_size": spec.batch_size,
        "learning_rate": spec.learning_rate,
    }
    metrics = {name: value for name, value in said.items() if name not in (*what, *RUN_COLUMNS)}
    return {**what, **metrics, **{name: how[name] for name in RUN_COLUMNS}, "spec": spec.text}


@final
class _Memory:
    """What stands for a store where there is none; it may know one run in progress."""

    def __init__(
        self,
        begun: tuple[dict[str, torch.Tensor], dict[str, Any]] | None = None,
        file: Path | None = None,
    ) -> None:
        self._tensors: dict[str, dict[str, torch.Tensor]] = {}
        self._begun, self._file = begun, file

    def writing(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def row(self, _: RunSpec) -> Row | None:
        return None

    def weights(self, spec: RunSpec) -> dict[str, torch.Tensor]:
        if spec.key not in self._tensors:
            raise FileNotFoundError("weights were not kept: train with keep_weights=True")
        return {name: tensor.clone() for name, tensor in self._tensors[spec.key].items()}

    def checkpoint(self, _: RunSpec) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        return self._begun

    def checkpoint_file(self, _: RunSpec) -> Path:
        assert self._file is not None
        return self._file

    def save_checkpoint(self, *of_a_run: Any) -> None:
        pass

    def drop_checkpoint(self, _: RunSpec) -> None:
        pass

    def finish(self, spec: RunSpec, _: Row, tensors: dict[str, torch.Tensor] | None = None) -> None:
        if tensors is not None:
            self._tensors[spec.key] = tensors
