"""Gradients of a batch, several ways.

- ``compiled``: Numba on the CPU, for architectures with a fused unit.
- ``sparse``: Numba on the CPU, for inputs that are mostly zeros: superpositions of many features.
- ``listed``: BLAS and Numba on the CPU, for dense inputs in many dimensions: one product of
  matrices, then sums over what fires.
- ``blocked``: PyTorch on any device, in blocks of latents; no array of batch size times width.
- ``reference``: autograd; any architecture, any device. Slow and obvious; tests hold the others to
  it.

Many runs together on a GPU take none of these: see ``gpu``.
"""

from __future__ import annotations

import torch

from scaling_theory.sae.architectures import Architecture
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.blocked import BlockedGradients
from scaling_theory.sae.kernels.reference import ReferenceGradients

PATHS = ("compiled", "sparse", "listed", "blocked", "reference")

#: What ``Architecture.fused`` may name, the largest input dimension that the compiled path is made
#: for, and the largest one in which it is the fastest (``benchmarks/sae_step.py --dimension``):
#: loops over dimensions are unrolled, and vectorise until too much is in them.
_FUSED = ("relu", "jumprelu", "tanh_jumprelu", "topk", "batch_topk", "matryoshka", "gated")
_MOST = 64
_FASTEST = 16
_FASTEST_OF = {"gated": 12, "batch_topk": 48, "matryoshka": 48}
#: Dimensions above which the listed path is the fastest for TopK. With a penalty few enough fire
#: only in trained SAEs on real activations: it is taken where the compiled path ends.
_LISTED_FROM = {"topk": 16}
#: Units that the sparse and listed paths have, and the largest share of coordinates that are not
#: zero at which the sparse one is the fastest in more than 16 (``benchmarks/sae_superposed.py``).
_SPARSE = ("relu", "jumprelu", "topk")
_SPARSEST = 0.125

__all__ = ["PATHS", "Gradients", "Step", "choose_path", "gradients_for"]


def choose_path(
    path: str,
    architecture: Architecture,
    dimension: int,
    device: torch.device,
    density: float = 1.0,
) -> str:
    """Return the path to take: ``path`` itself, or the fastest possible one for "auto".

    ``density`` is the mean share of an input's coordinates that are not zero (``Data.density``).

    Raises
    ------
    ValueError
        If the path is unknown, or the architecture or the device does not allow it.
    """
    if architecture.fused not in (None, *_FUSED):
        raise ValueError(
            f"fused of an architecture must be None or one of {', '.join(_FUSED)}, got "
            f"{architecture.fused!r} of {architecture!r}"
        )
    possible = ["reference"]
    if architecture.fused in _FUSED:
        possible.insert(0, "blocked")
        if device.type == "cpu" and dimension <= _MOST:
            most = _FASTEST_OF.get(architecture.fused, _FASTEST)
            possible.insert(int(dimension > most), "compiled")
    if architecture.fused in _SPARSE and device.type == "cpu":
        fastest = dimension > _LISTED_FROM.get(architecture.fused, _MOST)
        possible.insert(0 if fastest else len(possible) - 1, "listed")
    if architecture.fused in _SPARSE and device.type == "cpu" and not architecture.needs_dead:
        fastest = dimension > _FASTEST and density <= _SPARSEST
        possible.insert(0 if fastest else len(possible) - 1, "sparse")
    if path == "auto":
        return possible[0]
    if path not in possible:
        raise ValueError(
            f"path must be auto or one of {', '.join(possible)} for {architecture!r} in dimension "
            f"{dimension} on {device}, got {path!r}"
        )
    return path


def gradients_for(
    path: str, architecture: Architecture, width: int, dimension: int, batch_size: int
) -> Gradients:
    """Return the gradients of a path that ``choose_path`` gave."""
    if path == "compiled" and architecture.fused == "topk":
        from scaling_theory.sae.kernels.compiled_topk import CompiledTopK

        return CompiledTopK(architecture, width, dimension, batch_size)
    if path == "compiled" and architecture.fused in ("batch_topk", "matryoshka"):
        from scaling_theory.sae.kernels.compiled_batch import CompiledBatch

        return CompiledBatch(architecture, width, dimension, batch_size)
    if path == "compiled" and architecture.fused == "gated":
        from scaling_theory.sae.kernels.compiled_gated import CompiledGated

        return CompiledGated(architecture, width, dimension, batch_size)
    if path == "compiled":
        from scaling_theory.sae.kernels.compiled import CompiledGradients

        return CompiledGradients(architecture, width, dimension, batch_size)
    if path == "sparse":
        from scaling_theory.sae.kernels.sparse import SparseGradients

        return SparseGradients(architecture, width, dimension, batch_size)
    if path == "listed":
        from scaling_theory.sae.kernels.listed import ListedGradients

        return ListedGradients(architecture, width, dimension, batch_size)
    if path == "blocked":
        return BlockedGradients(architecture, width, dimension, batch_size)
    return ReferenceGradients(architecture, width, dimension, batch_size)
