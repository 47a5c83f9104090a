# mypy: disable-error-code="assignment"
"""What follows the gradients of a step on the CPU, by Numba: clipping, unit norms, Adam.

Each loop is one pass over memory, and threads share it where it is long. Flat arrays are cut into
blocks of ``BLOCK`` numbers and decoders into rows, so that no sum depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from scaling_theory.sae.kernels.threads import share

#: Numbers of a flat array that are worked on together.
BLOCK = 4096
#: Multiply-adds that take as long as one number of Adam's, and as one that is only read or scaled.
_ADAM, _READ = 40, 8

_F = np.float32
_summing = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


def adam_step(
    weights: Any,
    grad: Any,
    first: Any,
    second: Any,
    a: float,
    b: float,
    epsilon: float,
    rate: float,
    steps: int,
) -> None:
    """Take one step on float32 arrays of shape (size,), in place; ``steps`` counts from 1."""
    step, root = rate / (1.0 - a**steps), 1.0 / np.sqrt(1.0 - b**steps)
    numbers = np.array([a, 1.0 - a, b, 1.0 - b, step, root, epsilon])
    _blocks(_adam, weights.size, _ADAM, weights, grad, first, second, numbers)


def norm(flat: Any) -> float:
    """Euclidean norm of a float32 array of shape (size,), blocks of it summed in float64."""
    sums = np.empty(-(-flat.size // BLOCK))
    _blocks(_squares, flat.size, _READ, flat, sums)
    return float(np.sqrt(sums.sum()))


def scale(flat: Any, factor: float) -> None:
    """Multiply a float32 array of shape (size,), in place."""
    _blocks(_scale, flat.size, _READ, flat, factor)


def take_out_radial(grad: Any, decoder: Any) -> None:
    """Take the part along each row of a decoder, (n, d), out of that row's gradient, in place."""
    share(_take_out_radial, len(decoder), float(_READ * decoder.size), grad, decoder)


def normalise(decoder: Any) -> None:
    """Scale each row of a decoder, (n, d), to norm 1, in place; rows of zeros stay."""
    share(_normalise, len(decoder), float(_READ * decoder.size), decoder)


def _blocks(function: Callable[..., Any], size: int, each: int, *args: Any) -> None:
    share(function, -(-size // BLOCK), float(each * size), *args)


@numba.njit(nogil=True, fastmath={"contract", "nsz", "arcp"}, cache=True, error_model="numpy")
def _adam(
    begin: int, end: int, weights: Any, grad: Any, first: Any, second: Any, numbers: Any
) -> None:
    keep, add, keep2, add2 = _F(numbers[0]), _F(numbers[1]), _F(numbers[2]), _F(numbers[3])
    step, root, least = _F(numbers[4]), _F(numbers[5]), _F(numbers[6])
    # slices begin at 0: an index that might be negative keeps loops from vectorising
    low, high = begin * BLOCK, min(end * BLOCK, weights.size)
    w, g_, m_, v_ = weights[low:high], grad[low:high], first[low:high], second[low:high]
    for i in range(w.size):
        g = g_[i]
        m = keep * m_[i] + add * g
        v = keep2 * v_[i] + add2 * g * g
        m_[i] = m
        v_[i] = v
        w[i] -= step * m / (np.sqrt(v) * root + least)


@_summing
def _squares(begin: int, end: int, flat: Any, sums: Any) -> None:
    for block in range(begin, end):
        part, total = flat[block * BLOCK : (block + 1) * BLOCK], _F(0.0)
        for i in range(part.size):
            total += part[i] * part[i]
        sums[block] = total


@_summing
def _scale(begin: int, end: int, flat: Any, factor: float) -> None:
    part, by = flat[begin * BLOCK : end * BLOCK], _F(factor)
    for i in range(part.size):
        part[i] *= by


@_summing
def _take_out_radial(begin: int, end: int, grad: Any, decoder: Any) -> None:
    for j in range(begin, end):
        v, a, along = decoder[j], grad[j], _F(0.0)
        for i in range(v.size):
            along += v[i] * a[i]
        for i in range(v.size):
            a[i] -= along * v[i]


@_summing
def _normalise(begin: int, end: int, decoder: Any) -> None:
    for j in range(begin, end):
        v, square = decoder[j], _F(0.0)
        for i in range(v.size):
            square += v[i] * v[i]
        by = max(np.sqrt(square), _F(1e-30))
        for i in range(v.size):
            v[i] /= by
