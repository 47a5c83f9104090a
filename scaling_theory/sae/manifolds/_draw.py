"""What manifolds share: their arguments checked, uniform directions, angles and intensities."""

from __future__ import annotations

import math
from typing import Any

import torch

from scaling_theory import _validate

#: Largest dimension of one manifold.
MAX_DIMENSION = 2**20
#: Range of sizes: their squares are ordinary float32 numbers.
LEAST, MOST = 1e-15, 1e15


def check_draw(count: Any, generator: Any) -> int:
    """Return the checked number of inputs to draw."""
    if not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator, got {generator!r}")
    return _validate.whole("count", count)


def check_dimension(value: Any) -> int:
    return _validate.whole("dimension", value, low=1, high=MAX_DIMENSION)


def check_size(name: str, value: Any) -> float:
    return _validate.real(name, value, low=LEAST, high=MOST)


def check_range(inner: Any, outer: Any) -> tuple[float, float]:
    """Least and largest radius or intensity: 0 <= inner < outer."""
    outer = check_size("outer", outer)
    return _validate.real("inner", inner, low=0.0, high=outer, high_open=True), outer


def mean_square(inner: float, outer: float) -> float:
    """E r^2 for r uniform in [inner, outer]."""
    return (inner * inner + inner * outer + outer * outer) / 3.0


def scaled(x: torch.Tensor, factor: float) -> torch.Tensor:
    return x if factor == 1.0 else x.mul_(factor)


def intensities(count: int, inner: float, outer: float, generator: torch.Generator) -> torch.Tensor:
    """Uniform in [inner, outer], float32 of shape (count, 1)."""
    drawn = torch.rand(count, 1, generator=generator, device=generator.device)
    return drawn.mul_(outer - inner).add_(inner)


def on_circles(angles: torch.Tensor) -> torch.Tensor:
    """Angles of shape (count, m) -> (cos, sin) of each in turn, shape (count, 2m)."""
    return torch.stack((torch.cos(angles), torch.sin(angles)), dim=2).flatten(1)


def directions(count: int, dimension: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform unit vectors, a new float32 tensor of shape (count, dimension)."""
    device = generator.device
    if dimension == 1:  # signs: torch.randn is exactly 0 once in 2^24 draws
        signs = torch.randint(2, (count, 1), generator=generator, device=device, dtype=torch.int8)
        return signs.mul_(2).sub_(1).to(torch.float32)
    if dimension == 2:  # half the time of normals
        angle = torch.rand(count, generator=generator, device=device).mul_(2.0 * math.pi)
        return torch.stack((torch.cos(angle), torch.sin(angle)), dim=1)
    return normalised(torch.randn(count, dimension, generator=generator, device=device))


def normalised(x: torch.Tensor) -> torch.Tensor:
    """Rows divided by their norms in place; rows of zeros become the first axis, never NaN."""
    squared = (x * x).sum(dim=1, keepdim=True)  # of normals: far from either end of float32
    zero = squared == 0.0
    x[:, :1] += zero
    return x.div_(squared.add_(zero).sqrt_())
