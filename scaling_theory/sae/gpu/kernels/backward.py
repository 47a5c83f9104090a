"""Gradients by each latent, summed over parts of a batch.

Tiles are (rows, latents): few rows, and many latents, which threads keep.
"""
# mypy: ignore-errors
# ruff: noqa: RUF005, SIM109  (a language of its own)

from __future__ import annotations

import triton
import triton.language as tl

from scaling_theory.sae.gpu.kernels.constants import (
    COLUMNS,
    JUMP,
    LATENT,
    NUMBERS,
    OFFSET,
    RELU,
    TANH,
    TOPK,
    WIDTH,
)

_add = tl.standard._sum_combine


@triton.jit(do_not_specialize=["count", "latents"])
def backward(
    tasks, runs, numbers, flat, x, clock, limits, lasts, errors, grads,
    chunk, batch, count, latents,
    D: tl.constexpr, KIND: tl.constexpr, BN: tl.constexpr, BR: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Gradients of a block of latents, summed over a part of the rows.

    Columns of ``grads``: encoder (D), decoder (D) but for the norm's part, encoder bias, and three
    numbers of the unit, whose sums over rows :func:`update` takes.
    """
    task = tasks + 3 * tl.program_id(0)
    run, block, part = tl.load(task).to(tl.int64), tl.load(task + 1), tl.load(task + 2)
    about = runs + run * COLUMNS
    n = tl.load(about + WIDTH).to(tl.int32)
    encoder = flat + tl.load(about + OFFSET)
    bias = encoder + n * D
    decoder = bias + n
    step = tl.load(clock)
    p = numbers + (step * count + run) * NUMBERS
    inputs = x + (run * chunk + step) * batch * D
    error = errors + run * D * batch
    j = block * BN + tl.arange(0, BN)
    live = j < n
    b = tl.load(bias + j, mask=live, other=0.0)[None, :] + tl.full((BR, BN), 0.0, tl.float32)
    squared = tl.full((BN,), 0.0, tl.float32)
    ws = ()
    vs = ()
    to_encoder = ()
    to_decoder = ()
    zero = tl.full((BR, BN), 0.0, tl.float32)
    for i in tl.static_range(D):
        v = tl.load(decoder + j * D + i, mask=live, other=0.0)
        squared += v * v
        ws = ws + (tl.load(encoder + j * D + i, mask=live, other=0.0)[None, :],)
        vs = vs + (v[None, :],)
        to_encoder = to_encoder + (zero,)
        to_decoder = to_decoder + (zero,)
    norm = tl.sqrt_rn(squared)[None, :]
    to_bias = zero
    one = zero
    two = zero
    three = zero
    p0 = tl.load(p)
    if KIND == JUMP or KIND == TANH:
        theta = tl.load(decoder + n * D + D + j, mask=live, other=0.0)[None, :]
        bandwidth = tl.load(p + 1)
        half = 0.5 * bandwidth
    if KIND == TANH:
        curved = tl.load(p + 2)
        p3 = tl.load(p + 3)
    first = part * SIZE
    last = tl.minimum(first + SIZE, batch)
    for start in range(first, last, BR):
        row = start + tl.arange(0, BR)
        here = row < last
        inside = here[:, None]
        z = b
        g = zero
        xs = ()
        es = ()
        for i in tl.static_range(D):
            xs = xs + (tl.load(inputs + i * batch + row, mask=here, other=0.0)[:, None],)
            es = es + (tl.load(error + i * batch + row, mask=here, other=0.0)[:, None],)
            z = tl.fma(ws[i], xs[i], z)
            g = tl.fma(vs[i], es[i], g)
        if KIND == RELU:
            on = inside & (z > 0.0)
            f = tl.where(on, z, 0.0)
            dz = tl.where(on, g + p0 * norm, 0.0)
            one += f
        elif KIND == TOPK:
            limit = tl.load(limits + run * batch + row, mask=here, other=0.0)[:, None]
            last_at = tl.load(lasts + run * batch + row, mask=here, other=0)[:, None]
            on = inside & (z > 0.0) & ((z > limit) | ((z == limit) & (j[None, :] <= last_at)))
            f = tl.where(on, z, 0.0)
            dz = tl.where(on, g, 0.0)
        else:
            on = inside & (z > theta)
            near = inside & (tl.abs(z - theta) < half)
            f = tl.where(on, z, 0.0)
            if KIND == JUMP:
                dz = tl.where(on, g, 0.0)
                one += tl.where(on, 1.0, 0.0)
                two -= tl.where(near, g * theta + p0, 0.0)
            else:
                # tanh to 3e-7: a continued fraction at an eighth, doubled three times
                y = tl.minimum(curved * f * norm, 10.0) * 0.125
                s = y * y
                over = y * (945.0 + s * (105.0 + s))
                u = tl.div_rn(over, 945.0 + s * (420.0 + 15.0 * s))
                u = tl.div_rn(2.0 * u, 1.0 + u * u)
                u = tl.div_rn(2.0 * u, 1.0 + u * u)
                u = tl.div_rn(2.0 * u, 1.0 + u * u)
                slope = p0 * curved * (1.0 - u * u)
                below = tl.where(inside, tl.maximum(theta - z, 0.0), 0.0)
                pulled = tl.where(inside & (z < theta), p3 * norm, 0.0)
                gf = g + slope * norm
                dz = tl.where(on, gf, 0.0) - pulled
                one += tl.where(inside, slope * f + p3 * below, 0.0)
                two += pulled * bandwidth - tl.where(near, gf * theta, 0.0)
                three += tl.where(inside, p0 * u + p3 * below * norm, 0.0)
        new_encoder = ()
        new_decoder = ()
        for i in tl.static_range(D):
            new_encoder = new_encoder + (tl.fma(dz, xs[i], to_encoder[i]),)
            new_decoder = new_decoder + (tl.fma(f, es[i], to_decoder[i]),)
        to_encoder = new_encoder
        to_decoder = new_decoder
        to_bias += dz
    own = grads + part.to(tl.int64) * (2 * D + 4) * latents + tl.load(about + LATENT) + j
    for i in tl.static_range(D):
        tl.store(own + i * latents, tl.reduce(to_encoder[i], 0, _add), mask=live)
        tl.store(own + (D + i) * latents, tl.reduce(to_decoder[i], 0, _add), mask=live)
    tl.store(own + 2 * D * latents, tl.reduce(to_bias, 0, _add), mask=live)
    if KIND != TOPK:
        tl.store(own + (2 * D + 1) * latents, tl.reduce(one, 0, _add), mask=live)
    if KIND == JUMP or KIND == TANH:
        tl.store(own + (2 * D + 2) * latents, tl.reduce(two, 0, _add), mask=live)
    if KIND == TANH:
        tl.store(own + (2 * D + 3) * latents, tl.reduce(three, 0, _add), mask=live)
