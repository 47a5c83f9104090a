"""Kernels on several threads, which sleep while there is nothing to do.

Steps take well under a millisecond. Threads that spin between parallel loops, as OpenMP's do, are
fast on an idle machine and starve everything on a busy one, themselves included. Here the calling
thread does its share and wakes others of a pool for theirs; small steps wake nobody.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

import torch

_T = TypeVar("_T")

#: Work, in multiply-adds, for which it pays to wake a thread (about 30 microseconds).
WORTH = 2**21


def share(function: Callable[..., Any], total: int, work: float, *args: Any) -> None:
    """Call ``function(start, stop, *args)`` on parts of range(total).

    Parameters
    ----------
    function
        Releases the interpreter's lock, and writes what belongs to its part only.
    total
        Number of items.
    work
        Multiply-adds of all together. As many threads as ``torch.get_num_threads()`` take part, if
        each then has enough to do.
    """
    threads = max(1, min(torch.get_num_threads(), total, int(work // WORTH)))
    if threads == 1:
        function(0, total, *args)
        return
    cuts = [total * i // threads for i in range(threads + 1)]
    others: list[Future[Any]] = [
        _pool(threads - 1).submit(function, low, high, *args) for low, high in pairwise(cuts[1:])
    ]
    try:
        function(cuts[0], cuts[1], *args)
    finally:
        failures = [other.exception() for other in others]  # waits for each of them
    for failure in failures:
        if failure is not None:
            raise failure


def aside(function: Callable[..., _T], *args: Any) -> Future[_T] | None:
    """Start ``function(*args)`` on a thread of its own, or return None if none is to spare."""
    return None if torch.get_num_threads() == 1 else _aside().submit(function, *args)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch to one thread for a while, in this thread."""
    threads = torch.get_num_threads()
    if threads == 1:  # always so in the thread of aside: elsewhere the number is not touched
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="scaling_theory")


@cache
def _aside() -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(1, thread_name_prefix="scaling_theory_aside")
    threads = torch.get_num_threads()
    pool.submit(torch.set_num_threads, 1).result()
    torch.set_num_threads(threads)  # threads that start later take the number that was set last
    return pool


if hasattr(os, "register_at_fork"):  # a child has the pools, but none of their threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
    os.register_at_fork(after_in_child=_aside.cache_clear)
