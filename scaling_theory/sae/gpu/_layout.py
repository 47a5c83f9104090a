"""Where the numbers of many SAEs lie in shared arrays, and which program does what.

Everything that decides an order of summation depends on a run alone: on its width, its batch size
and the shape of the tiles. What else is in the group only moves addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

#: Columns of the table of runs; the kernels have them by name.
COLUMNS = ("offset", "width", "latent", "part", "parts", "block", "blocks", "k")


@final
@dataclass(frozen=True)
class Shape:
    """Sizes of tiles and parts: powers of two, whose products are numbers in registers.

    Attributes
    ----------
    warps
        Of a program.
    rows, abreast
        Tile of the forward pass: threads keep rows, and meet so many latents at once. With four
        rows a thread, what is loaded of the latents is used often enough.
    latents, in_line
        Tile of the backward pass: threads keep latents, and meet so many rows at once, which are
        loaded together.
    part_latents, part_rows
        What one program goes through in the forward and in the backward pass.
    updated
        Latents, and rows, that a program of the small kernels takes.
    merged, ahead
        Candidates of TopK, and partial sums, that are loaded together.
    """

    warps: int = 4
    rows: int = 512
    abreast: int = 2
    latents: int = 128
    in_line: int = 4
    part_latents: int = 512
    part_rows: int = 512
    updated: int = 128
    merged: int = 16
    ahead: int = 4

    def in_line_of(self, dimension: int) -> int:
        """Rows abreast of the backward pass: above 12 dimensions registers are enough for two."""
        return min(self.in_line, 2) if dimension > 12 else self.in_line


@final
@dataclass(frozen=True)
class Layout:
    """Tables of a group.

    Attributes
    ----------
    runs : (runs, 8) int64
        ``COLUMNS``.
    tasks : dict of (programs, 3) int32
        (run, block, part) of each program of a kernel, longest first.
    sizes : dict of int
        ``weights``, ``latents``, ``parts`` and ``blocks`` in all; ``row_parts`` of a batch,
        ``row_blocks`` of a batch in the residual.
    """

    runs: Any
    tasks: dict[str, Any]
    sizes: dict[str, int]


def lay_out(
    widths: Sequence[int], ks: Sequence[int], dimension: int, extra: int, batch: int, shape: Shape
) -> Layout:
    """Lay runs out in the order given.

    Parameters
    ----------
    widths, ks
        Of each run; k is 0 where there is none.
    extra
        Parameters a latent beyond encoder, bias and decoder.
    """
    n = np.array(widths, dtype=np.int64)
    weights = n * (2 * dimension + 1 + extra) + dimension
    parts = -(-n // shape.part_latents)
    blocks = -(-n // shape.updated)
    firsts = [np.cumsum(v) - v for v in (weights, n, parts, blocks)]
    table = np.stack([firsts[0], n, firsts[1], firsts[2], parts, firsts[3], blocks, ks], axis=1)
    rows = range(-(-batch // shape.rows))
    residual_rows = range(-(-batch // shape.updated))
    row_parts = range(-(-batch // shape.part_rows))

    def within(start: int, size: int, end: int) -> int:
        return min(size, end - start * size)

    def listed(
        of_a_run: Callable[[int], Sequence[int]], others: range, last_first: bool, size: int
    ) -> Any:
        """(size, run, block, part) of all, longest first; those that are as long in order."""
        entries = []
        for run, width in enumerate(widths):
            for piece in of_a_run(run):
                for other in others:
                    block, part = (other, piece) if last_first else (piece, other)
                    entries.append((-within(piece, size, width), run, block, part))
        entries.sort(key=lambda entry: entry[0])
        return np.array([entry[1:] for entry in entries], dtype=np.int32)

    in_parts = listed(lambda run: range(parts[run]), rows, True, shape.part_latents)
    by_block = listed(
        lambda run: range(-(-widths[run] // shape.latents)), row_parts, False, shape.latents
    )
    updates = listed(lambda run: range(blocks[run]), range(1), False, shape.updated)
    order = sorted(range(len(widths)), key=lambda run: -widths[run])
    by_rows = np.array([(run, block, 0) for run in order for block in residual_rows], np.int32)
    return Layout(
        runs=table,
        tasks={"parts": in_parts, "rows": by_rows, "latents": by_block, "updates": updates},
        sizes={
            "weights": int(weights.sum()),
            "latents": int(n.sum()),
            "parts": int(parts.sum()),
            "blocks": int(blocks.sum()),
            "row_parts": len(row_parts),
            "row_blocks": len(residual_rows),
        },
    )
