"""Which runs of a sweep are trained together, and which alone.

Runs may share launches if they are alike in what ``group.shared`` gives and are at the same step.
A group is cut where its arrays would take too much memory, or its work more than a few minutes.
How runs are grouped changes no number of any of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from functools import cache

import torch

from scaling_theory.sae.architectures import TopK
from scaling_theory.sae.gpu._layout import Shape
from scaling_theory.sae.gpu._loading import interpreting, missing
from scaling_theory.sae.gpu.group import PATH, shared
from scaling_theory.sae.gpu.units import unfit
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import chunk_steps

#: Most bytes of arrays of a group, and most multiply-adds of its whole training: a tenth of an H200
#: is 3e12 of them in a second, with which this is under six minutes.
MOST_BYTES = 2**33
MOST_WORK = 1e15


def takes(spec: RunSpec, device: torch.device, path: str) -> bool:
    """Whether a run is trained by the Triton kernels.

    With path "auto" it is where they can run on a GPU and can train it; where they could train it,
    and something is missing, a warning says once what.

    Raises
    ------
    ValueError
        If the path is "triton", and they can't.
    """
    if path == "auto":
        if device.type != "cuda" or interpreting():
            return False
        if unfit(spec) is not None:
            return False
        if (lack := missing(device)) is not None:
            _tell(str(device), lack)
        return lack is None
    if path != PATH:
        return False
    if (lack := missing(device)) is not None:
        raise ValueError(f"path {PATH!r} can't be taken here: {lack}")
    if (why := unfit(spec)) is not None:
        raise ValueError(f"path {PATH!r} can't train run {spec.key}: {why}")
    return True


@cache
def _tell(device: str, lack: str) -> None:
    """Say once why runs are trained one by one on a GPU: that costs much time."""
    warnings.warn(
        f"runs are trained one by one on {device}, which is slow, and not by path {PATH!r}: {lack}",
        RuntimeWarning,
        stacklevel=3,
    )


def plan(
    pending: Sequence[RunSpec],
    device: torch.device,
    path: str = "auto",
    begun: Callable[[RunSpec], Hashable] = lambda _: None,
) -> tuple[list[tuple[RunSpec, ...]], list[RunSpec]]:
    """Divide runs into groups, and runs that are trained alone, in the order given.

    Parameters
    ----------
    pending
        Each once.
    device, path
        As for ``train``.
    begun
        The step at which a run goes on, None where it begins.

    Raises
    ------
    ValueError
        As :func:`takes`.
    """
    alike: dict[Hashable, list[RunSpec]] = {}
    alone = []
    for spec in pending:
        if takes(spec, device, path):
            alike.setdefault((shared(spec), begun(spec)), []).append(spec)
        else:
            alone.append(spec)
    most = most_bytes(device)
    return [piece for specs in alike.values() for piece in _cut(specs, most)], alone


def most_bytes(device: torch.device) -> int:
    """Most bytes of arrays of a group: on a GPU at most half of what it has free."""
    if device.type != "cuda" or interpreting() or not torch.cuda.is_available():
        return MOST_BYTES
    free = torch.cuda.mem_get_info(device)[0]
    # what PyTorch keeps for later is free too
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return min(MOST_BYTES, free // 2)


def _cut(specs: Sequence[RunSpec], most: int) -> list[tuple[RunSpec, ...]]:
    """Cut a group where its memory or its work reaches the most allowed; one run is never cut."""
    pieces: list[list[RunSpec]] = [[]]
    size = work = 0.0
    for spec in specs:
        more, longer = bytes_of(spec), work_of(spec)
        if pieces[-1] and (size + more > most or work + longer > MOST_WORK):
            pieces.append([])
            size = work = 0.0
        pieces[-1].append(spec)
        size += more
        work += longer
    return [tuple(piece) for piece in pieces]


def bytes_of(spec: RunSpec, shape: Shape | None = None) -> int:
    """Bytes that a run adds to the arrays of a group, within a few per cent."""
    shape = shape or Shape()
    n, d, batch = spec.width, spec.data.dimension, spec.batch_size
    parts = -(-n // shape.part_latents)
    k = spec.architecture.k if isinstance(spec.architecture, TopK) else 0
    numbers = (
        3 * n * (2 * d + 2)  # weights and moments
        + 2 * chunk_steps(spec) * batch * d  # inputs, and what they are drawn from
        + parts * batch * (d + 2 * k)
        + batch * (d + 2)
        + -(-batch // shape.part_rows) * n * (2 * d + 4)
    )
    return 4 * numbers


def work_of(spec: RunSpec) -> float:
    """Multiply-adds of the whole training: six for each dimension, latent and row."""
    passes = 6.0 + (spec.architecture.k if isinstance(spec.architecture, TopK) else 0)
    return passes * spec.steps * spec.batch_size * spec.width * spec.data.dimension
