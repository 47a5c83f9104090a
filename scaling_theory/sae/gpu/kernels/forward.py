"""Reconstructions: what parts of the latents add, and the residuals.

Tiles are (latents, rows): few latents, and many rows, which threads keep.
"""
# mypy: ignore-errors
# ruff: noqa: RUF005  (a language of its own)

from __future__ import annotations

import triton
import triton.language as tl

from scaling_theory.sae.gpu.kernels.constants import COLUMNS, OFFSET, PART, PARTS, RELU, TOPK, WIDTH

_add = tl.standard._sum_combine


@triton.jit
def forward(
    tasks, runs, flat, x, clock, limits, lasts, sums,
    chunk, batch,
    D: tl.constexpr, KIND: tl.constexpr, BN: tl.constexpr, BR: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """What a part of the latents adds to the reconstruction of a block of rows."""
    task = tasks + 3 * tl.program_id(0)
    run, block, part = tl.load(task).to(tl.int64), tl.load(task + 1), tl.load(task + 2)
    about = runs + run * COLUMNS
    n = tl.load(about + WIDTH).to(tl.int32)
    encoder = flat + tl.load(about + OFFSET)
    bias = encoder + n * D
    decoder = bias + n
    theta = decoder + n * D + D
    inputs = x + (run * chunk + tl.load(clock)) * batch * D
    row = block * BR + tl.arange(0, BR)
    here = row < batch
    xs = ()
    out = ()
    for i in tl.static_range(D):
        xs = xs + (tl.load(inputs + i * batch + row, mask=here, other=0.0)[None, :],)
        out = out + (tl.full((BN, BR), 0.0, tl.float32),)
    if KIND == TOPK:
        limit = tl.load(limits + run * batch + row, mask=here, other=0.0)[None, :]
        last_at = tl.load(lasts + run * batch + row, mask=here, other=0)[None, :]
    first = part * SIZE
    last = tl.minimum(first + SIZE, n)
    for start in range(first, last, BN):
        j = start + tl.arange(0, BN)
        live = j < last
        z = tl.load(bias + j, mask=live, other=0.0)[:, None] + tl.full((BN, BR), 0.0, tl.float32)
        for i in tl.static_range(D):
            z = tl.fma(tl.load(encoder + j * D + i, mask=live, other=0.0)[:, None], xs[i], z)
        if KIND == RELU:
            on = z > 0.0
        elif KIND == TOPK:
            on = (z > 0.0) & ((z > limit) | ((z == limit) & (j[:, None] <= last_at)))
        else:
            on = z > tl.load(theta + j, mask=live, other=0.0)[:, None]
        f = tl.where(on, z, 0.0)
        new = ()
        for i in tl.static_range(D):
            v = tl.load(decoder + j * D + i, mask=live, other=0.0)[:, None]
            new = new + (tl.fma(f, v, out[i]),)
        out = new
    own = (tl.load(about + PART) + part) * D * batch
    for i in tl.static_range(D):
        tl.store(sums + own + i * batch + row, tl.reduce(out[i], 0, _add), mask=here)


@triton.jit
def residual(
    tasks, runs, flat, x, clock, sums, errors, totals,
    chunk, batch, blocks, scale,
    D: tl.constexpr, BR: tl.constexpr, AHEAD: tl.constexpr,
):  # fmt: skip
    """Reconstruction minus input, times ``scale``; its sums over a block of rows, and squares."""
    task = tasks + 3 * tl.program_id(0)
    run, block = tl.load(task).to(tl.int64), tl.load(task + 1)
    about = runs + run * COLUMNS
    n = tl.load(about + WIDTH)
    parts = tl.load(about + PARTS).to(tl.int32)
    bias = flat + tl.load(about + OFFSET) + n * (2 * D + 1)
    inputs = x + (run * chunk + tl.load(clock)) * batch * D
    row = block * BR + tl.arange(0, BR)
    here = row < batch
    own = sums + tl.load(about + PART) * D * batch + row
    out = totals + (run * blocks + block) * (D + 1)
    sum_ = ()
    for _ in tl.static_range(D):
        sum_ = sum_ + (tl.full((BR,), 0.0, tl.float32),)
    for start in range(0, parts, AHEAD):
        for more in tl.static_range(AHEAD):  # so that many loads are under way at once
            new = ()
            for i in tl.static_range(D):
                there = here & (start + more < parts)
                new = new + (sum_[i] + tl.load(own + i * batch, mask=there, other=0.0),)
            sum_ = new
            own += D * batch
    squares = tl.full((BR,), 0.0, tl.float32)
    for i in tl.static_range(D):
        target = tl.load(inputs + i * batch + row, mask=here, other=0.0)
        missed = tl.where(here, sum_[i] + (tl.load(bias + i) - target), 0.0)
        tl.store(errors + (run * D + i) * batch + row, scale * missed, mask=here)
        tl.store(out + i, tl.reduce(scale * missed, 0, _add))
        squares += missed * missed
    tl.store(out + D, tl.reduce(squares, 0, _add))
