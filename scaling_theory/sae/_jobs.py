"""Runs of a sweep on other processes: what a worker is told, does, and what becomes of it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final

import torch

from scaling_theory.sae import _cluster
from scaling_theory.sae._files import Row
from scaling_theory.sae._watch import Bar, Interrupt, _work, progress_bar
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import TrainingFailed

State = tuple[dict[str, torch.Tensor], dict[str, Any]]


class Keeper(Protocol):
    """Where rows and weights go, and runs in progress are."""

    def checkpoint(self, spec: RunSpec, /) -> State | None:
        """Return the state of a run in progress and its notes, or None."""

    def checkpoint_file(self, spec: RunSpec, /) -> Path:
        """Where that is."""

    def drop_checkpoint(self, spec: RunSpec, /) -> None:
        """Forget a run in progress."""

    def finish(
        self, spec: RunSpec, row: Row, /, tensors: dict[str, torch.Tensor] | None = None
    ) -> None:
        """Keep what came of a run."""


@final
@dataclass(frozen=True)
class Job:
    """A run to be trained on another process.

    Attributes
    ----------
    spec, device, path, keep_weights, threads
        What to do, and how.
    begun
        State and notes of its checkpoint, if there is one.
    file
        Where that is; for messages.
    """

    spec: RunSpec
    device: str
    path: str
    keep_weights: bool
    threads: int
    begun: State | None
    file: Path | None

    @classmethod
    def of(
        cls, spec: RunSpec, keeper: Keeper, device: str, path: str, keep_weights: bool, threads: int
    ) -> Job:
        """A job that goes on from the checkpoint that a keeper has."""
        begun = keeper.checkpoint(spec)
        file = None if begun is None else keeper.checkpoint_file(spec)
        return cls(spec, device, path, keep_weights, threads, begun, file)


def elsewhere(
    jobs: Sequence[Job],
    keeper: Keeper,
    backend: str,
    workers: int | None,
    bar: Bar,
    have: Callable[[Row], None],
    failures: list[tuple[RunSpec, str]],
) -> None:
    """Train runs on other processes, longest first, and keep what comes of each as it comes.

    Raises
    ------
    ValueError
        If a run can't be pickled: before any is begun.
    """
    jobs = sorted(jobs, key=lambda job: job.spec.steps * _work(job.spec), reverse=True)
    parcels = [_packed(job, backend) for job in jobs]
    with contextlib.closing(_cluster.spread(_do, parcels, backend, workers)) as results:
        for index, result in results:
            spec = jobs[index].spec
            with Interrupt():  # Ctrl-C cancels while we wait, but waits while a row is stored
                bar.begin(spec)
                if isinstance(result, _cluster.Lost):
                    failures.append((spec, f"run {spec.key}: {result.why}"))
                elif isinstance(result, str):
                    failures.append((spec, result))
                    keeper.drop_checkpoint(spec)
                else:
                    row, arrays = result
                    tensors = {name: torch.tensor(values) for name, values in arrays.items()}
                    keeper.finish(spec, row, tensors if jobs[index].keep_weights else None)
                    bar.advance(spec.steps)
                    have(row)


def _packed(job: Job, backend: str) -> Any:
    try:
        return _cluster.packed(job, backend)
    except Exception as error:  # whatever the user's classes raise
        raise ValueError(
            f"specs must be picklable, with what their classes use, for backend={backend!r}; run "
            f"{job.spec.key} of {job.spec.data!r}, {job.spec.architecture!r} is not: {error}"
        ) from error


def _do(parcel: Any) -> tuple[Row, dict[str, Any]] | str | _cluster.Lost:
    """Train one run, on a worker: its row and arrays, or why it failed."""
    from scaling_theory.sae import sweep  # which imports this module

    job: Job = _cluster.unpacked(parcel)
    memory, stop = sweep._Memory(job.begun, job.file), _cluster.GivenUp()
    one = (job.spec, job.device, job.path, memory, math.inf, job.keep_weights)
    with _cluster.limited(job.threads), progress_bar([], False) as bar:
        try:
            row = sweep._one(*one, bar, stop)
        except TrainingFailed as error:
            return str(error)
        except KeyboardInterrupt:
            if stop.asked:
                return _cluster.Lost("Dask gave it up")
            raise
    kept = memory.weights(job.spec) if job.keep_weights else {}
    return row, {name: tensor.numpy() for name, tensor in kept.items()}
