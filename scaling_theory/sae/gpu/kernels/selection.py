"""The k-th largest pre-activation of each row, for TopK; it then is an entrywise unit.

The k largest are taken one after the other, each time with another look at all pre-activations:
k is small, and nothing of rows times latents is held. A unit with one threshold for a whole batch
needs no more than other numbers in the same two arrays.
"""
# mypy: ignore-errors
# ruff: noqa: RUF005  (a language of its own)

from __future__ import annotations

import triton
import triton.language as tl

from scaling_theory.sae.gpu.kernels.constants import COLUMNS, NOBODY, OFFSET, PART, PARTS, WIDTH, K

_max = tl.standard._elementwise_max
_min = tl.standard._elementwise_min


@triton.jit(do_not_specialize=["most"])
def largest(
    tasks, runs, flat, x, clock, values, places,
    chunk, batch, most,
    D: tl.constexpr, BN: tl.constexpr, BR: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """The k largest pre-activations of each row within a part of the latents, in order.

    Larger values first, then smaller indices, so that there is one answer where some are equal.
    """
    task = tasks + 3 * tl.program_id(0)
    run, block, part = tl.load(task).to(tl.int64), tl.load(task + 1), tl.load(task + 2)
    about = runs + run * COLUMNS
    n = tl.load(about + WIDTH).to(tl.int32)
    k = tl.load(about + K).to(tl.int32)
    encoder = flat + tl.load(about + OFFSET)
    bias = encoder + n * D
    inputs = x + (run * chunk + tl.load(clock)) * batch * D
    row = block * BR + tl.arange(0, BR)
    here = row < batch
    xs = ()
    for i in tl.static_range(D):
        xs = xs + (tl.load(inputs + i * batch + row, mask=here, other=0.0)[None, :],)
    first = part * SIZE
    last = tl.minimum(first + SIZE, n)
    own = (tl.load(about + PART) + part) * most * batch
    before = tl.full((1, BR), float("inf"), tl.float32)
    before_at = tl.full((1, BR), -1, tl.int32)
    for turn in range(0, k):
        best = tl.full((BN, BR), float("-inf"), tl.float32)
        at = tl.full((BN, BR), NOBODY, tl.int32)
        for start in range(first, last, BN):
            j = start + tl.arange(0, BN)
            live = j < last
            z = tl.load(bias + j, mask=live, other=0.0)[:, None] + tl.full(
                (BN, BR), 0.0, tl.float32
            )
            for i in tl.static_range(D):
                z = tl.fma(tl.load(encoder + j * D + i, mask=live, other=0.0)[:, None], xs[i], z)
            later = (z < before) | ((z == before) & (j[:, None] > before_at))
            better = live[:, None] & later & (z > best)
            best = tl.where(better, z, best)
            at = tl.where(better, j[:, None], at)
        value = tl.reduce(best, 0, _max)
        place = tl.reduce(tl.where(best == value[None, :], at, NOBODY), 0, _min)
        tl.store(values + own + turn * batch + row, value, mask=here)
        tl.store(places + own + turn * batch + row, place, mask=here)
        before = value[None, :]
        before_at = place[None, :]


@triton.jit(do_not_specialize=["most"])
def threshold(
    tasks, runs, values, places, limits, lasts, batch, most,
    BN: tl.constexpr, BR: tl.constexpr,
):  # fmt: skip
    """The k-th of what :func:`largest` found in all parts: its value and its index, by row."""
    task = tasks + 3 * tl.program_id(0)
    run, block = tl.load(task).to(tl.int64), tl.load(task + 1)
    about = runs + run * COLUMNS
    k = tl.load(about + K).to(tl.int32)
    count = tl.load(about + PARTS).to(tl.int32) * k
    row = block * BR + tl.arange(0, BR)
    here = row < batch
    own = tl.load(about + PART) * most * batch + row[None, :]
    before = tl.full((1, BR), float("inf"), tl.float32)
    before_at = tl.full((1, BR), -1, tl.int32)
    for _ in range(0, k):
        best = tl.full((BN, BR), float("-inf"), tl.float32)
        at = tl.full((BN, BR), NOBODY, tl.int32)
        for start in range(0, count, BN):
            one = start + tl.arange(0, BN)
            entry = own + ((one // k * most + one % k).to(tl.int64) * batch)[:, None]
            there = (one < count)[:, None] & here[None, :]
            value = tl.load(values + entry, mask=there, other=float("-inf"))
            place = tl.load(places + entry, mask=there, other=NOBODY)
            later = (value < before) | ((value == before) & (place > before_at))
            better = later & ((value > best) | ((value == best) & (place < at)))
            best = tl.where(better, value, best)
            at = tl.where(better, place, at)
        top = tl.reduce(best, 0, _max)[None, :]
        before_at = tl.reduce(tl.where(best == top, at, NOBODY), 0, _min)[None, :]
        before = top
    line = tl.arange(0, 1)[:, None] + row[None, :]
    tl.store(limits + run * batch + line, before, mask=here[None, :])
    tl.store(lasts + run * batch + line, before_at, mask=here[None, :])
