"""Sums of the parts, and Adam."""
# mypy: ignore-errors
# ruff: noqa: SIM109  (a language of its own)

from __future__ import annotations

import triton
import triton.language as tl

from scaling_theory.sae.gpu.kernels.constants import (
    BLOCK,
    BLOCKS,
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


@triton.jit
def _adam(grad, at, live, state, rule, FLOOR: tl.constexpr):
    """Adam on some entries, as ``kernels.adam`` has it; at 0 or more where FLOOR."""
    flat, one, two = state[0], state[1], state[2]
    m = rule[0] * tl.load(one + at, mask=live, other=0.0) + rule[1] * grad
    v = rule[2] * tl.load(two + at, mask=live, other=0.0) + rule[3] * grad * grad
    w = tl.load(flat + at, mask=live, other=0.0)
    w -= tl.div_rn(rule[5] * m, tl.sqrt_rn(v) * rule[6] + rule[4])
    if FLOOR:
        w = tl.where(w < 0.0, 0.0, w)  # not maximum: nan stays nan
    tl.store(one + at, m, mask=live)
    tl.store(two + at, v, mask=live)
    tl.store(flat + at, w, mask=live)


@triton.jit(do_not_specialize=["count", "latents"])
def update(
    tasks, runs, numbers, flat, one, two, clock, grads, penalties,
    count, latents, parts, keep, add, keep2, add2, epsilon,
    D: tl.constexpr, DP: tl.constexpr, KIND: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Add the gradients of a block of latents up, and take a step of Adam."""
    task = tasks + 3 * tl.program_id(0)
    run, block = tl.load(task).to(tl.int64), tl.load(task + 1)
    about = runs + run * COLUMNS
    n = tl.load(about + WIDTH)
    p = numbers + (tl.load(clock) * count + run) * NUMBERS
    state = (flat, one, two)
    rule = (keep, add, keep2, add2, epsilon, tl.load(p + 4), tl.load(p + 5))
    j = block * BN + tl.arange(0, BN)
    live = j < n
    encoder = tl.load(about + OFFSET)
    bias = encoder + n * D
    decoder = bias + n
    own = grads + tl.load(about + LATENT) + j
    stride = (2 * D + 4) * latents
    i = tl.arange(0, DP)[None, :]
    entry = j[:, None] * D + i
    inside = live[:, None] & (i < D)
    v = tl.load(flat + decoder + entry, mask=inside, other=0.0)
    norm = tl.sqrt_rn(tl.reduce(v * v, 1, _add))
    to_encoder = tl.full((BN, DP), 0.0, tl.float32)
    to_decoder = tl.full((BN, DP), 0.0, tl.float32)
    first = tl.full((BN,), 0.0, tl.float32)
    second = tl.full((BN,), 0.0, tl.float32)
    third = tl.full((BN,), 0.0, tl.float32)
    total = tl.full((BN,), 0.0, tl.float32)
    at = own
    for _ in range(0, parts):
        column = at[:, None] + i * latents
        to_encoder += tl.load(column, mask=inside, other=0.0)
        to_decoder += tl.load(column + D * latents, mask=inside, other=0.0)
        total += tl.load(at + 2 * D * latents, mask=live, other=0.0)
        if KIND != TOPK:
            first += tl.load(at + (2 * D + 1) * latents, mask=live, other=0.0)
        if KIND == JUMP or KIND == TANH:
            second += tl.load(at + (2 * D + 2) * latents, mask=live, other=0.0)
        if KIND == TANH:
            third += tl.load(at + (2 * D + 3) * latents, mask=live, other=0.0)
        at += stride
    p0 = tl.load(p)
    to_norm = tl.full((BN,), 0.0, tl.float32)
    penalty = tl.full((BN,), 0.0, tl.float32)
    if KIND == RELU:
        to_norm = p0 * first
        penalty = p0 * first * norm
    elif KIND == JUMP:
        penalty = p0 * first
    elif KIND == TANH:
        to_norm = first
        penalty = third
    own_block = tl.load(about + BLOCK) + block
    tl.store(penalties + own_block, tl.reduce(tl.where(live, penalty, 0.0), 0, _add))
    along = tl.div_rn(to_norm, tl.where(norm < 1e-30, 1e-30, norm))
    _adam(total, bias + j, live, state, rule, False)
    if KIND == JUMP or KIND == TANH:
        grad = tl.div_rn(second, tl.load(p + 1))
        place = decoder + n * D + D + j
        _adam(grad, place, live, state, rule, True)
    place = encoder + entry
    _adam(to_encoder, place, inside, state, rule, False)
    to_decoder += along[:, None] * v
    tl.debug_barrier()  # every thread has its v before another one's decoder changes
    place = decoder + entry
    _adam(to_decoder, place, inside, state, rule, False)


@triton.jit(do_not_specialize=["count"])
def finish(
    runs, numbers, flat, one, two, clock, totals, penalties, losses,
    count, blocks, batch, keep, add, keep2, add2, epsilon,
    D: tl.constexpr, DP: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """Take a step with the decoder bias, and note the loss."""
    run = tl.program_id(0).to(tl.int64)
    about = runs + run * COLUMNS
    n = tl.load(about + WIDTH)
    moment = tl.load(clock)
    p = numbers + (moment * count + run) * NUMBERS
    state = (flat, one, two)
    rule = (keep, add, keep2, add2, epsilon, tl.load(p + 4), tl.load(p + 5))
    column = tl.arange(0, DP)
    total = tl.full((DP,), 0.0, tl.float32)
    for block in range(0, blocks):
        at = (run * blocks + block) * (D + 1) + column
        total += tl.load(totals + at, mask=column < D + 1, other=0.0)
    squares = tl.reduce(tl.where(column == D, total, 0.0), 0, _add)
    penalty = tl.full((BN,), 0.0, tl.float32)
    first = tl.load(about + BLOCK)
    own = tl.load(about + BLOCKS).to(tl.int32)
    for start in range(0, own, BN):
        entry = start + tl.arange(0, BN)
        penalty += tl.load(penalties + first + entry, mask=entry < own, other=0.0)
    tl.store(losses + moment * count + run, squares / batch + tl.reduce(penalty, 0, _add))
    place = tl.load(about + OFFSET) + n * (2 * D + 1) + column
    _adam(total, place, column < D, state, rule, False)
