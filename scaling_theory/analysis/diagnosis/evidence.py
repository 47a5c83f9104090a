"""What was seen, checked and summed up: losses by width, frequencies, close neighbours.

Frequencies are read at a few fractions of the ranks of the latents that fire, from the top
hundredth (or third latent) down to nine tenths. Where counts are low noise sorts, not frequency, so
ranks at which a latent fires fewer than ten times are left out (the rarest latent that fires is
taken to have fired once if ``samples`` is not given and frequencies look like counts: whole
multiples of the rarest, 1 to 4 times it among them); an SAE with
too few others is left out whole.

Of cosines, the shares above a few values are read, those above what random directions reach: above
0.7 where the dimension is not known. Where all of them are reached by chance they tell nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats

#: Fewest firings of a latent whose frequency is read.
FEWEST = 10
#: Values of the cosine above which latents are counted.
COSINES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_POINTS = 12
TOO_FEW = (
    f"must have at least 8 latents with {FEWEST} firings, and three times as many as a hundredth "
    f"of those that fire: count over more samples"
)


class Losses(NamedTuple):
    """Losses (m,) at widths (m,), ascending, and relative standard errors or None."""

    widths: Floats
    losses: Floats
    errors: Floats | None


class Frequencies(NamedTuple):
    """Log frequencies (k,) at fractions (k,) of the ranks of the latents that fire, ``alive``."""

    width: int
    alive: int
    fractions: Floats
    log_frequencies: Floats


class Close(NamedTuple):
    """Shares (k,) of the latents whose nearest neighbour has at least these cosines (k,)."""

    width: int
    cosines: Floats
    shares: Floats


def read_losses(given: Any) -> Losses | None:
    """Check (widths, losses[, standard errors]), a table with such columns, or a MeasuredCurve."""
    if given is None:
        return None
    errors: Any = None
    if hasattr(given, "columns"):
        names = [n for n in ("width", "widths", "n", "latents") if n in given.columns]
        if not names or "loss" not in given.columns:
            raise ValueError(
                f"widths_losses must have columns width and loss, got {list(given.columns)}"
            )
        widths, losses = given[names[0]].to_numpy(), given["loss"].to_numpy()
        if "stderr" in given.columns:
            errors = given["stderr"].to_numpy()
    elif hasattr(given, "loss") and hasattr(given, "n"):
        widths, losses, errors = given.n, given.loss, getattr(given, "stderr", None)
    else:
        try:
            parts = list(given)
        except TypeError:
            parts = []
        if len(parts) not in (2, 3):
            raise ValueError(
                f"widths_losses must be (widths, losses) or (widths, losses, standard errors), "
                f"got {given!r}"
            )
        widths, losses, errors = [*parts, None][:3]
    widths = _validate.reals("widths_losses (widths)", widths, low=1.0, high=1e9)
    losses = _validate.reals("widths_losses (losses)", losses, low=0.0, low_open=True)
    if widths.size != losses.size:
        raise ValueError(
            f"widths_losses must have one loss for each width, got {losses.size} for {widths.size}"
        )
    relative = None
    if errors is not None:
        errors = _validate.reals("widths_losses (standard errors)", errors, low=0.0)
        if errors.size != losses.size:
            raise ValueError(
                f"widths_losses must have one standard error for each loss, got {errors.size} "
                f"for {losses.size}"
            )
        relative = errors / losses
    if np.unique(widths).size < 3:
        raise ValueError(
            f"widths_losses must have at least 3 different widths, got {np.unique(widths).size}: "
            f"a floor and a scale fit any two losses"
        )
    different, which, times = np.unique(widths, return_inverse=True, return_counts=True)
    # several SAEs of one width err together where the model does: their mean is one point
    logs = np.bincount(which, weights=np.log(losses)) / times
    if relative is not None:
        relative = np.sqrt(np.bincount(which, weights=relative**2)) / times
    return Losses(different, np.exp(logs), relative)


def read_frequencies(given: Any, samples: Any = None) -> list[Frequencies]:
    """Check one array of frequencies, or several by width; those that tell nothing are left out."""
    tokens = None if samples is None else _validate.whole("samples", samples, low=1)
    found = []
    for width, values in _by_width("frequencies", given):
        f = _validate.reals("frequencies", values, low=0.0)
        alive = np.sort(f[f > 0.0])[::-1]
        if alive.size < 8:
            raise ValueError(
                f"frequencies must have at least 8 latents that fire, got {alive.size} of {f.size}"
            )
        if width < f.size:
            raise ValueError(
                f"frequencies of width {width} must be at most that many, got {f.size}"
            )
        known = int(np.sum(alive >= _least(alive, tokens)))  # latents whose rank is not noise
        first = max(0.01 * alive.size, 3.0)
        if known < max(8.0, 3.0 * first):
            continue
        last = min(0.9 * alive.size, float(known))
        ranks = np.unique(np.geomspace(first, last, _POINTS).astype(np.int64))
        log_f = np.log(alive[ranks - 1])
        fractions = (ranks - 0.5) / alive.size
        found.append(Frequencies(width, int(alive.size), fractions, log_f))
    return found


def _least(alive: Floats, tokens: int | None) -> float:
    """Frequency of FEWEST firings."""
    if tokens is not None:
        return FEWEST / tokens
    counts = alive[alive < 100.0 * alive[-1]] / alive[-1]
    whole = np.abs(counts - np.round(counts)) < 1e-3 * counts
    small = set(np.round(counts[counts < 4.5]).tolist()) >= {1.0, 2.0, 3.0, 4.0}
    return float(FEWEST * alive[-1]) if small and np.mean(whole) > 0.99 else 0.0


def read_close(cosines: Any, dimension: Any = None) -> list[Close]:
    """Check one array of nearest-neighbour cosines, or several by width."""
    d = None if dimension is None else _validate.whole("dimension", dimension, low=1)
    found = []
    for width, values in _by_width("cosines", cosines):
        array = np.asarray(values, dtype=np.float64).ravel()
        if array.size > width:
            raise ValueError(
                f"cosines of width {width} must be at most that many (fewer are a sample), got "
                f"{array.size}"
            )
        array = array[~np.isnan(array)]  # latents that are left out
        if array.size < 2:
            continue
        array = _validate.reals("cosines", array, low=-1.0 - 1e-6, high=1.0 + 1e-6)
        use = [c for c in COSINES if c > _chance(width, d)]
        if not use:  # random directions are as close
            continue
        shares = np.array([np.mean(array >= c) for c in use])
        found.append(Close(width, np.array(use), shares))
    return found


def _chance(width: int, dimension: int | None) -> float:
    """A cosine that one in a hundred of random directions reaches with some other."""
    if dimension is None:
        return 0.7
    if dimension == 1:
        return 1.0
    from scipy.special import betaincinv

    # the cosine squared of two directions is Beta(1/2, (d-1)/2)
    tail = -math.expm1(math.log(0.99) / max(width - 1, 1))
    return float(np.sqrt(betaincinv(0.5, 0.5 * (dimension - 1), 1.0 - min(2.0 * tail, 1.0))))


def _by_width(name: str, given: Any) -> list[tuple[int, Any]]:
    if given is None:
        return []
    if isinstance(given, Mapping):
        pairs = [(_validate.whole(f"{name} (width)", w, low=2), v) for w, v in given.items()]
        return sorted(pairs, key=lambda pair: pair[0])
    values = np.asarray(given)
    if values.ndim != 1:
        raise ValueError(
            f"{name} must be one-dimensional, or a dict of width to such arrays, got shape "
            f"{values.shape}"
        )
    return [(max(int(values.size), 2), values)]
