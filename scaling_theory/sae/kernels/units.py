"""Activations and their partial derivatives, one entry (row, latent) at a time, for Numba.

A unit belongs to an architecture through ``Architecture.fused``. ``z`` is the pre-activation,
``theta`` the threshold, ``norm`` the norm of the decoder row, ``g`` the derivative of the
reconstruction error by the activation, ``p`` up to four numbers of the architecture, from
:func:`numbers_of`. Everything is arithmetic and comparisons, so that loops over rows vectorise.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np

from scaling_theory.sae.architectures import Architecture, Context, JumpReLU, ReLU, TanhJumpReLU

#: Name of a unit -> its number in the kernels, where it is a constant.
KINDS: Final = {"relu": 0, "jumprelu": 1, "tanh_jumprelu": 2}

_F = np.float32
_inline = numba.njit(inline="always", fastmath={"contract", "nsz"})


def numbers_of(architecture: Architecture, context: Context) -> Any:
    """Numbers of an architecture at a step, float32 of shape (4,); penalties are warmed up."""
    scale = context.scale
    match architecture:
        case ReLU():
            values = (scale * architecture.l1, 0.0, 0.0, 0.0)
        case JumpReLU():
            values = (scale * architecture.l0, architecture.bandwidth, 0.0, 0.0)
        case TanhJumpReLU():
            values = (
                scale * architecture.sparsity,
                architecture.bandwidth,
                architecture.tanh_scale,
                scale * architecture.pre_activation,
            )
        case _:
            raise ValueError(f"architecture must have a fused unit, got {architecture!r}")
    return np.array(values, dtype=np.float32)


@_inline
def activation(kind: int, z: Any, theta: Any) -> Any:
    """Activation of one entry."""
    if kind == 0:
        return max(z, _F(0.0))
    return z if z > theta else _F(0.0)


@_inline
def partials(kind: int, z: Any, theta: Any, norm: Any, g: Any, p: Any) -> Any:
    """Return activation, d/dz, and four numbers whose sums over rows :func:`totals` takes."""
    zero, one = _F(0.0), _F(1.0)
    if kind == 0:
        on = z > zero
        f = z if on else zero
        return f, g + p[0] * norm if on else zero, zero, f, zero, zero
    on = z > theta
    f = z if on else zero
    count = one if on else zero
    near = abs(z - theta) < _F(0.5) * p[1]
    if kind == 1:
        dtheta = -(g * theta + p[0]) / p[1] if near else zero
        return f, g if on else zero, dtheta, count, zero, zero
    u = tanh(p[2] * f * norm)
    slope = p[0] * p[2] * (one - u * u)
    below = max(theta - z, zero)
    out = p[3] * norm if z < theta else zero
    gf = g + slope * norm
    dz = (gf if on else zero) - out
    dtheta = (-gf * theta / p[1] if near else zero) + out
    return f, dz, dtheta, count, slope * f + p[3] * below, p[0] * u + p[3] * below * norm


@_inline
def totals(kind: int, norm: Any, p: Any, size: Any, third: Any, fourth: Any) -> Any:
    """Return d/dnorm and the penalty, summed over rows; ``size`` is positive if any row fires."""
    if kind == 0:
        return p[0] * size, p[0] * size * norm
    if kind == 1:
        return 0.0, p[0] * size
    return third, fourth


@_inline
def tanh(x: Any) -> Any:
    """Hyperbolic tangent for x >= 0, to 3e-7: a continued fraction at x/8, doubled three times."""
    y = min(x, _F(10.0)) * _F(0.125)
    s = y * y
    t = y * (_F(945.0) + s * (_F(105.0) + s)) / (_F(945.0) + s * (_F(420.0) + _F(15.0) * s))
    t = _F(2.0) * t / (_F(1.0) + t * t)
    t = _F(2.0) * t / (_F(1.0) + t * t)
    return _F(2.0) * t / (_F(1.0) + t * t)
