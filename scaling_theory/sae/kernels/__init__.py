"""Gradients of a batch, three ways.

- ``compiled``: Numba on the CPU, for architectures with a fused unit.
- ``blocked``: PyTorch on any device, in blocks of latents; no array of batch size times width.
- ``reference``: autograd; any architecture, any device. Slow and obvious; tests hold the others to
  it.
"""

from __future__ import annotations

import torch

from scaling_theory.sae.architectures import Architecture
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.blocked import BlockedGradients
from scaling_theory.sae.kernels.reference import ReferenceGradients

PATHS = ("compiled", "blocked", "reference")

#: Units that the compiled path has, the largest input dimension it is made for, and the largest one
#: in which it is the fastest (``benchmarks/sae_step.py --dimension``).
_FUSED = ("relu", "jumprelu", "tanh_jumprelu", "topk")
_MOST = 64
_FASTEST = 16

__all__ = ["PATHS", "Gradients", "Step", "choose_path", "gradients_for"]


def choose_path(path: str, architecture: Architecture, dimension: int, device: torch.device) -> str:
    """Return the path to take: ``path`` itself, or the fastest possible one for "auto".

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
            possible.insert(int(dimension > _FASTEST), "compiled")
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
    if path == "compiled":
        from scaling_theory.sae.kernels.compiled import CompiledGradients

        return CompiledGradients(architecture, width, dimension, batch_size)
    if path == "blocked":
        return BlockedGradients(architecture, width, dimension, batch_size)
    return ReferenceGradients(architecture, width, dimension, batch_size)
