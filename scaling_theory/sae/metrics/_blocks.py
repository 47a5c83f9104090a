"""Pieces of a size that memory holds, and sums over them in float64."""

from __future__ import annotations

from typing import Any

import torch

from scaling_theory import _validate

#: Most numbers in one temporary tensor: 16 MiB of float32, 32 MiB of float64.
_NUMBERS = 2**22
#: On a CPU tensors of 1 MiB, which caches hold, are faster, from so many rows on.
_CPU_NUMBERS, _CPU_ROWS = 2**18, 64


def blocks(x: torch.Tensor, block: int | None, *sizes: int) -> tuple[torch.Tensor, ...]:
    """Split a matrix into blocks of rows: as asked, or so that no (rows, size) is too large."""
    if block is not None:
        rows = _validate.whole("block", block, low=1)
    else:
        size = max((x.shape[1], *sizes))
        rows = max(1, _NUMBERS // size)
        if x.device.type == "cpu":
            rows = min(rows, max(_CPU_ROWS, _CPU_NUMBERS // size))
    return torch.split(x, rows)


def wide(x: torch.Tensor) -> torch.Tensor:
    """Return the same numbers in float64, on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def samples(x: Any, dimension: int | None = None) -> torch.Tensor:
    """Return ``x`` if it holds two or more inputs of the dimension, all finite; else ValueError."""
    wanted = "d" if dimension is None else str(dimension)
    if not (
        isinstance(x, torch.Tensor)
        and x.ndim == 2
        and x.is_floating_point()
        and x.shape[0] >= 2
        and (x.shape[1] >= 1 if dimension is None else x.shape[1] == dimension)
    ):
        raise ValueError(
            f"x must be a floating-point tensor of shape (rows >= 2, {wanted}), got {_kind(x)}"
        )
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"x must hold finite numbers only, got {_kind(x)} with others")
    return x


def matrix(name: str, value: Any) -> torch.Tensor:
    """Return a matrix of finite numbers, in float32 or wider; ValueError if it is none."""
    if not (isinstance(value, torch.Tensor) and value.ndim == 2 and value.is_floating_point()):
        raise ValueError(
            f"{name} must be a floating-point tensor of shape (n, d), got {_kind(value)}"
        )
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"{name} must hold finite numbers only, got {_kind(value)} with others")
    return value if value.dtype == torch.float64 else value.float()


def mask(name: str, value: Any, count: int, device: torch.device) -> torch.Tensor:
    """Return a mask of latents on a device, all of them for None; ValueError for anything else."""
    if value is None:
        return torch.ones(count, dtype=torch.bool, device=device)
    if not (
        isinstance(value, torch.Tensor)
        and value.dtype == torch.bool
        and value.shape == torch.Size([count])
    ):
        raise ValueError(
            f"{name} must be a bool tensor of shape ({count},) or None, got {_kind(value)}"
        )
    return value.to(device)


def _kind(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
