"""Checks of arguments: every refusal names the argument, the value and what is allowed.

Use :func:`real` for one number, :func:`reals` for an array, :func:`whole` for a count and
:func:`wholes` for an array of counts. Each returns the checked value in the type that the
callers compute with, never a clamped one.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Largest number of latents: counts up to it are exact in both int64 and float64.
MAX_LATENTS = 10**15


def real(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """Return ``value`` as a finite float inside the given range, or raise ValueError."""
    allowed = _range(low, high, low_open, high_open)
    value = _scalar(value)
    if type(value) is bool or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a number {allowed}, got {_show(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    inside = (number > low if low_open else number >= low) and (
        number < high if high_open else number <= high
    )
    if not (math.isfinite(number) and inside):
        raise ValueError(f"{name} must be a number {allowed}, got {_show(value)}")
    return number


def reals(
    name: str,
    values: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> Floats:
    """Return ``values`` as a new, read-only, one-dimensional float64 array, all in range."""
    allowed = _range(low, high, low_open, high_open)
    array = _as_array(name, values, f"finite numbers {allowed}")
    if array.dtype.kind == "O" and all(type(v) is int for v in array):
        array = np.array([float(v) if abs(v) < 10**300 else math.inf for v in array])
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold numbers {allowed}, got {_short(values)}")
    out = array.astype(np.float64)
    above = out > low if low_open else out >= low
    below = out < high if high_open else out <= high
    bad = ~(np.isfinite(out) & above & below)
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(
            f"{name} must hold numbers {allowed}, got {name}[{where}] = {_show(array[where])}"
        )
    out.flags.writeable = False
    return out


def whole(name: str, value: Any, *, low: int = 0, high: int | None = None) -> int:
    """Return ``value`` as an int in [low, high]; floats with an integer value are taken."""
    allowed = (
        f"a whole number of at least {low}"
        if high is None
        else (f"a whole number in [{low}, {high}]")
    )
    value = _scalar(value)
    if type(value) is bool or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be {allowed}, got {_show(value)}")
    if isinstance(value, numbers.Integral):
        number = int(value)
    else:
        as_float = float(value)
        if not (math.isfinite(as_float) and as_float.is_integer()):
            raise ValueError(f"{name} must be {allowed}, got {_show(value)}")
        number = int(as_float)
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name} must be {allowed}, got {_show(value)}")
    return number


def wholes(name: str, values: Any, *, low: int = 0, high: int | None = None) -> Ints:
    """Return ``values`` as a new, read-only, one-dimensional int64 array, all in range."""
    allowed = (
        f"whole numbers of at least {low}"
        if high is None
        else (f"whole numbers in [{low}, {high}]")
    )
    array = _as_array(name, values, allowed)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold {allowed}, got {_short(values)}")
    if array.dtype.kind == "f":
        bad = ~np.isfinite(array) | (array != np.floor(array)) | (np.abs(array) > 2.0**62)
    else:
        bad = np.zeros(array.shape, dtype=bool)
    bad |= array < low
    if high is not None:
        bad |= array > high
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(f"{name} must hold {allowed}, got {name}[{where}] = {_show(array[where])}")
    out = array.astype(np.int64)
    out.flags.writeable = False
    return out


def latents(value: Any, name: str = "latents") -> int:
    """Return a budget of latents: a whole number from 0 to 1e15."""
    return whole(name, value, low=0, high=MAX_LATENTS)


def _scalar(value: Any) -> Any:
    """Unwrap NumPy scalars and arrays without dimensions; masked ones stay what they are."""
    if isinstance(value, np.ma.MaskedArray):
        return value
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


def _as_array(name: str, values: Any, allowed: str) -> npt.NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name} must not be masked ({allowed}), got {_short(values)}")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a sequence of {allowed}, got {_short(values)}") from None
    if array.ndim != 1:
        raise ValueError(
            f"{name} must be one-dimensional ({allowed}), got {_short(values)} "
            f"of shape {array.shape}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must not be empty: it holds {allowed}")
    return array


def _show(value: Any) -> str:
    """Repr of a value as a person writes it, cut short."""
    return _short(value.item() if isinstance(value, np.generic) else value)


def _range(low: float, high: float, low_open: bool, high_open: bool) -> str:
    if low == -math.inf and high == math.inf:
        return "that is finite"
    if high == math.inf:
        return f"{'greater than' if low_open else 'of at least'} {low:g}"
    if low == -math.inf:
        return f"{'less than' if high_open else 'of at most'} {high:g}"
    return f"in {'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"


def _short(values: Any) -> str:
    text = repr(values)
    return text if len(text) <= 60 else text[:57] + "..."
