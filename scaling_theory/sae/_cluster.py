"""One function over many items on other processes, as joblib knows them.

- ``"loky"``: processes of this machine; they are joblib's own.
- ``"dask"``: the workers of the current ``distributed.Client``, on whatever machines.
- Any other name that is registered with joblib (``"ray"``, ``"multiprocessing"``, ...) as it is.

A worker that dies takes what it was doing with it, no more: Dask gives that to another worker, and
so do we where the pool itself is broken (loky), or where Dask gives a task up because several
workers died with it. Such items are tried once more at the end, each alone, so that one that kills
its worker is told from those that only were beside it. What comes out then is :class:`Lost`.

Functions and items are pickled, within one's own cluster.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, final

import torch

from scaling_theory import _validate

T = TypeVar("T")
R = TypeVar("R")

_LOKY, _DASK = "loky", "dask"
_INSTALL = "pip install 'scaling-theory[cluster]'"


@final
@dataclass(frozen=True)
class Lost:
    """What there is instead of a result: the worker that was at it died, again and again."""

    why: str


class Asked(Protocol):
    """Whether to stop."""

    @property
    def asked(self) -> bool:
        """True from the moment on from which it is of no use to go on."""


@final
class GivenUp:
    """Asks for a stop where the Dask worker that runs this was told to forget the task.

    That is so after Ctrl-C in the process that waits for it, or that process's death. Dask itself
    lets a task that runs run on.
    """

    @property
    def asked(self) -> bool:
        """Whether the scheduler has given up the task of this thread; costs no message."""
        if "distributed" not in sys.modules:
            return False
        from distributed import get_worker

        try:
            worker = get_worker()
            key = worker.get_current_task()
        except (ValueError, AttributeError):  # no worker, or none of its tasks
            return False
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"


def check(backend: Any, workers: Any, threads: Any) -> None:
    """Refuse a backend that is not there, and what does not go with it.

    Raises
    ------
    ValueError
        If joblib does not know the backend, Dask has no client, ``workers`` or ``threads`` is no
        whole number of at least 1, or does not go with the backend.
    ImportError
        If joblib or Dask is not installed.
    """
    for name, value in (("workers", workers), ("threads", threads)):
        if value is not None:
            _validate.whole(name, value, low=1)
            if backend is None:
                raise ValueError(f"{name} must be None without a backend, got {value!r}")
    if backend is None:
        return
    if not isinstance(backend, str):
        raise ValueError(f"backend must be None or the name of a joblib backend, got {backend!r}")
    if backend == _DASK and workers is not None:
        raise ValueError(
            f"workers must be None with backend='dask', whose client has them, got {workers!r}"
        )
    _backend(backend)


def spread(
    function: Callable[[T], R], items: Sequence[T], backend: str, workers: int | None = None
) -> Generator[tuple[int, R | Lost], None, None]:
    """Call a function on each item, and yield (index, result) as they come.

    Parameters
    ----------
    function
        A pure one: it may be called twice on an item.
    items
        In the order in which they are begun.
    backend, workers
        Checked by :func:`check`. None is all that the backend has.

    Raises
    ------
    Exception
        What the function raises, at once; the rest is cancelled.
    ConnectionError
        If the Dask client is closed meanwhile, or its scheduler dies.
    BrokenProcessPool
        If processes die before they have begun anything.

    Notes
    -----
    Close the generator (``contextlib.closing``) to cancel what is not finished.
    """
    waiting, suspects = dict(enumerate(items)), {}
    while waiting:
        for index, result in _together(function, dict(waiting), backend, workers):
            item = waiting.pop(index)
            if isinstance(result, Lost):
                suspects[index] = item
            else:
                yield index, result
    for index, item in suspects.items():
        yield from _together(function, {index: item}, backend, workers)


@contextlib.contextmanager
def limited(threads: int) -> Iterator[None]:
    """Let PyTorch, and with it the kernels of this package, have so many threads in this thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- joblib -------------------------------------------------------------------------------------


class _Cancelled(BaseException):
    """Thrown into joblib's generator, which then cancels without a warning."""


def _together(
    function: Callable[[T], R], items: Mapping[int, T], backend: str, workers: int | None
) -> Generator[tuple[int, R | Lost], None, None]:
    """One round; where the pool breaks, it ends with a Lost for what was begun."""
    import joblib

    with contextlib.ExitStack() as stack:
        begun = None
        options: dict[str, Any] = {"n_jobs": -1 if workers is None else workers}
        if backend == _LOKY:
            begun = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scaling_theory")))
            options["max_nbytes"] = None  # arrays travel in the pickle, not as files
        elif backend == _DASK:
            options["pre_dispatch"] = "all"  # what is queued is the scheduler's to hand out
        parallel = joblib.Parallel(
            backend=_backend(backend),
            return_as="generator_unordered",
            batch_size=1,
            **options,
        )
        done = set()
        results = parallel(joblib.delayed(_call)(function, i, x, begun) for i, x in items.items())
        try:
            for index, result in results:
                done.add(index)
                try:
                    yield index, result
                except BaseException:
                    with contextlib.suppress(_Cancelled):
                        results.throw(_Cancelled())
                    raise
        except BrokenProcessPool:
            lost = {int(file.name) for file in begun.iterdir()} - done if begun else set()
            if not lost:
                raise
            yield from ((index, Lost("the process that ran it died")) for index in sorted(lost))


def _call(function: Callable[[T], R], index: int, item: T, begun: Path | None) -> tuple[int, R]:
    """What a worker does."""
    if begun is not None:
        (begun / str(index)).touch()
    return index, function(item)


def _backend(name: str) -> Any:
    """Return what joblib takes as a backend."""
    try:
        import joblib
    except ImportError as error:
        raise ImportError(f"backend={name!r} needs joblib: {_INSTALL}") from error
    if name == _DASK:
        return _dask()
    try:
        with joblib.parallel_config(backend=name):
            return name
    except ValueError as error:
        raise ValueError(
            f"backend must be None, 'loky', 'dask' or another that joblib knows, got {name!r}: "
            f"{error}"
        ) from error


def _dask() -> Any:
    """The Dask backend of joblib on the current client, which outlives tasks that kill workers."""
    try:
        import distributed
        from joblib._dask import DaskDistributedBackend
    except ImportError as error:
        raise ImportError(f"backend='dask' needs dask and distributed: {_INSTALL}") from error
    try:
        client = distributed.get_client()
    except ValueError as error:
        raise ValueError(
            "backend='dask' needs a client: make one before, with client = distributed.Client() "
            "for processes of this machine or distributed.Client('tcp://host:8786') for a "
            "scheduler that runs"
        ) from error

    @final
    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        """Calls back for tasks that Dask gives up too, cancels what runs, and waits for workers.

        joblib's own waits for ever where Dask says ``KilledWorker``: it calls back for results
        alone. It lets go of what it cancels when the backend is collected, and computes in this
        process where there is one worker thread, as there may be while others start again.
        """

        def effective_n_jobs(self, n_jobs: int) -> int:
            return max(2, int(sum(self.client.ncores().values())))

        def submit(self, func: Any, callback: Any = None) -> Any:
            ((_, (_, index, *_), _),) = func.items
            future = super().submit(func, lambda _: None)
            future.add_done_callback(lambda done: callback((index, done)))
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            index, done = out
            try:
                return super().retrieve_result_callback(done.result())
            except distributed.KilledWorker as error:
                return [(index, Lost(f"the workers that ran it died: {error}"))]
            except CancelledError as error:
                raise ConnectionError(
                    "the Dask client was closed, or lost its scheduler; results that came before "
                    "are kept"
                ) from error

        def abort_everything(self, ensure_ready: bool = True) -> None:
            if self.client.status == "running":
                with self.waiting_futures.lock:
                    futures = list(self.waiting_futures.futures)
                self.client.cancel(futures)

    return Backend(client=client)
