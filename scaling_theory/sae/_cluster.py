"""One function over many items on other processes.

- ``"loky"``: processes of this machine; they are joblib's own.
- ``"dask"``: the workers of the current ``distributed.Client``, on whatever machines.
- Any other name that is registered with joblib (``"ray"``, ``"multiprocessing"``, ...) as it is.

Dask's client is told directly: joblib's backend pickles on the client's event loop, where an error
is logged and the sweep waits for ever, and does not call back for tasks that Dask gives up.

A worker that dies takes what it was doing with it, no more: Dask gives that to another worker, and
so do we where the pool itself is broken (loky), or where Dask gives a task up because several
workers died with it. Such items are tried once more at the end, each alone, so that one that kills
its worker is told from those that only were beside it. What comes out then is :class:`Lost`.

Functions and items are pickled, within one's own cluster; :func:`packed` does it where an error can
still be told.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, final

import torch

from scaling_theory import _validate

T = TypeVar("T")
R = TypeVar("R")

_LOKY, _DASK = "loky", "dask"
#: Backends of joblib that are threads of this process: nothing is pickled.
_HERE = ("sequential", "threading")
#: Seconds between two looks at whether the Dask client is still there.
_LOOK = 0.1
_GONE = "the Dask client was closed, or lost its scheduler; results that came before are kept"
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
    _known(backend)


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

    def together(some: dict[int, T]) -> Generator[tuple[int, R | Lost], None, None]:
        if backend == _DASK:
            return _on_dask(function, some)
        return _by_joblib(function, some, backend, workers)

    while waiting:
        for index, result in together(dict(waiting)):
            item = waiting.pop(index)
            if isinstance(result, Lost):
                suspects[index] = item
            else:
                yield index, result
    for index, item in suspects.items():
        yield from together({index: item})


def packed(item: Any, backend: str) -> Any:
    """Return an item as bytes, with the definitions of what is not in an installed module.

    Where the backend has threads of this process, it is returned as it is.

    Raises
    ------
    Exception
        What pickling it raises: many kinds.
    """
    if backend in _HERE:
        return item
    import cloudpickle  # Dask's own

    return cloudpickle.dumps(item)


def unpacked(item: Any) -> Any:
    """Return what :func:`packed` was given, on a worker."""
    return pickle.loads(item) if isinstance(item, bytes) else item


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


def _by_joblib(
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
        parallel = joblib.Parallel(
            backend=backend, return_as="generator_unordered", batch_size=1, **options
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


def _known(name: str) -> None:
    """Refuse a backend that joblib does not know."""
    try:
        import cloudpickle  # noqa: F401
        import joblib
    except ImportError as error:
        raise ImportError(f"backend={name!r} needs {error.name}: {_INSTALL}") from error
    if name == _DASK:
        _client()
        return
    try:
        with joblib.parallel_config(backend=name):
            pass
    except ValueError as error:
        raise ValueError(
            f"backend must be None, 'loky', 'dask' or another that joblib knows, got {name!r}: "
            f"{error}"
        ) from error


# ---- Dask ---------------------------------------------------------------------------------------


def _on_dask(
    function: Callable[[T], R], items: Mapping[int, T]
) -> Generator[tuple[int, R | Lost], None, None]:
    """One round on the current client, whose scheduler has all at once, in their order."""
    import dask

    client = _client()
    futures: dict[Any, int] = {}
    with _seceded():
        try:
            # a run goes to one worker once, however large its checkpoint is
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
                for index, item in items.items():
                    futures[client.submit(function, item, pure=False)] = index
            for future, result in _as_they_come(client, list(futures)):
                index = futures.pop(future)  # so that the workers let go of the result
                yield index, _of(future, result)
        finally:
            if client.status == "running":
                client.cancel(list(futures))


def _as_they_come(client: Any, futures: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Futures and their results; Dask's own iterator waits for ever for a client that is gone."""
    from distributed import as_completed

    left, named = len(futures), {"with_results": True, "raise_errors": False}
    coming: Any = as_completed(futures, **named)  # type: ignore[no-untyped-call]
    futures.clear()
    for _ in range(left):
        while not coming.has_ready():
            if client.status in ("closing", "closed"):
                raise ConnectionError(_GONE)
            with coming.thread_condition:
                coming.thread_condition.wait(_LOOK)
        yield next(coming)


def _of(future: Any, result: Any) -> Any:
    """What came of a task; its error is raised."""
    from distributed import KilledWorker

    if future.status == "finished":
        return result
    if future.status != "error":
        raise ConnectionError(_GONE)
    _, error, traceback = result
    if isinstance(error, KilledWorker):
        return Lost(f"the workers that ran it died: {error}")
    raise error.with_traceback(traceback)


@contextlib.contextmanager
def _seceded() -> Iterator[None]:
    """Where this is a task of Dask's itself, another may have its thread while it waits."""
    from distributed import rejoin, secede

    try:
        secede()  # type: ignore[no-untyped-call]
    except ValueError:  # no task
        yield
        return
    try:
        yield
    finally:
        rejoin()  # type: ignore[no-untyped-call]


def _client() -> Any:
    """Return the current client."""
    try:
        import distributed
    except ImportError as error:
        raise ImportError(f"backend='dask' needs dask and distributed: {_INSTALL}") from error
    try:
        return distributed.get_client()
    except ValueError as error:
        raise ValueError(
            "backend='dask' needs a client: make one before, with client = distributed.Client() "
            "for processes of this machine or distributed.Client('tcp://host:8786') for a "
            "scheduler that runs"
        ) from error
