"""Threads change no gradient, sleep while there is nothing to do, and outlive a fork."""

import os
import signal
import time

import pytest
import torch
from _kernel_checks import FUSED, D, random_sae, seeded

from scaling_theory.sae.architectures import Context
from scaling_theory.sae.kernels import gradients_for, threads


@pytest.mark.parametrize("kind", FUSED)
def test_gradients_do_not_depend_on_the_number_of_threads(kind, set_threads, monkeypatch):
    """Bit for bit, and several did take part."""
    architecture, names = FUSED[kind], set()
    weights, x = random_sae(architecture, 301, D), torch.randn(1000, D, generator=seeded(3))
    context, found, pool = Context(0.5, torch.arange(301) < 100), [], threads._pool

    def noted(size):
        names.add(size + 1)
        return pool(size)

    monkeypatch.setattr(threads, "_pool", noted)
    for count in (1, 2, 3, 8, 1):
        set_threads(count)
        out = weights.like()
        step = gradients_for("compiled", architecture, 301, D, 1000)(weights, x, context, out)
        found.append((step.loss, step.fired.clone(), out.flat))
    assert names == {2, 3, 8}
    for loss, fired, flat in found[1:]:
        assert loss == found[0][0]
        assert torch.equal(fired, found[0][1])
        assert torch.equal(flat, found[0][2])


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("total", [0, 1, 2, 7, 100])
def test_shares_are_every_item_once(count, total, set_threads):
    set_threads(count)
    parts = []
    threads.share(lambda start, stop, *more: parts.append((start, stop, more)), total, 1e9, "a", 2)
    assert len(parts) == max(1, min(count, total))
    assert sorted(i for start, stop, _ in parts for i in range(start, stop)) == list(range(total))
    assert {more for _, _, more in parts} == {("a", 2)}


def test_small_steps_wake_nobody():
    callers = []
    torch.set_num_threads(4)
    try:
        for work in (0.0, 1.9 * threads.WORTH, 2.1 * threads.WORTH, 1e3 * threads.WORTH):
            callers.append(0)
            threads.share(lambda start, stop: callers.append(callers.pop() + 1), 100, work)
    finally:
        torch.set_num_threads(1)
    assert callers == [1, 1, 2, 4]


@pytest.mark.parametrize("where", [0, 60])
def test_what_one_thread_raises_is_raised(where, set_threads):
    """Whichever it is, and not before the others are done."""
    set_threads(3)
    done = []

    def work(start, stop):
        if start <= where < stop:
            raise ZeroDivisionError
        time.sleep(0.02)
        done.append(start)

    with pytest.raises(ZeroDivisionError):
        threads.share(work, 99, 1e9)
    assert len(done) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_processes_have_threads_of_their_own(set_threads):
    """A pool's threads do not live on in a child, which must not wait for them."""
    set_threads(2)
    threads.share(lambda start, stop: None, 2, 1e9)
    child = os.fork()
    if child == 0:
        parts = []
        threads.share(lambda start, stop: parts.append(start), 2, 1e9)
        os._exit(0 if sorted(parts) == [0, 1] else 1)
    deadline, done = time.monotonic() + 20.0, 0
    while not done and time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done, "the child waits for a thread that does not exist"
    assert status == 0
