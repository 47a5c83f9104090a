"""What kernels of Triton know by name: they may use globals of this type only."""

from __future__ import annotations

import triton.language as tl

#: Columns of the table of runs.
OFFSET = tl.constexpr(0)  # of the flat weights
WIDTH = tl.constexpr(1)
LATENT = tl.constexpr(2)  # first latent, counted over the group
PART = tl.constexpr(3)  # first part of its latents, over the group
PARTS = tl.constexpr(4)
BLOCK = tl.constexpr(5)  # first block of latents that are updated together, over the group
BLOCKS = tl.constexpr(6)
K = tl.constexpr(7)  # of TopK
COLUMNS = tl.constexpr(8)
#: Numbers of a run at a step: four of the unit (``units.numbers_of``), two of Adam.
NUMBERS = tl.constexpr(6)

RELU = tl.constexpr(0)
JUMP = tl.constexpr(1)
TANH = tl.constexpr(2)
TOPK = tl.constexpr(3)

NOBODY = tl.constexpr(2**31 - 1)
