"""Directions with nothing in common but the dimensions that all of them prefer.

Real decoders are not spread evenly: their rows share an offset and favour some dimensions, so that
even unrelated rows have larger cosines than :class:`RandomDirections` of the same number.
:func:`anisotropic_directions` draws unrelated rows with the offset and covariance of a given
decoder and finds the nearest neighbours of those.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.analysis._projected import fit as projected_fit
from scaling_theory.analysis._rows import TopTwo, UnitRows, long_track, pieces
from scaling_theory.analysis.directions import SampledDirections

if TYPE_CHECKING:
    import torch

#: Largest dimension whose covariance is taken apart: two matrices of 2 GiB.
MAX_DIMENSION = 2**14


def anisotropic_directions(
    decoder: Any,
    *,
    alive: Any = None,
    samples: int = 10_000,
    seed: int | np.random.Generator = 0,
    block: int | None = None,
    progress: bool = False,
) -> SampledDirections:
    """Draw nearest cosines among unrelated directions that have a decoder's own anisotropy.

    Directions of normal vectors, such that the directions (not the vectors) have the mean of the
    decoder's unit rows and their variance along each principal axis. A manifold that holds many of
    the rows is part of that: it raises this baseline, and one that holds nearly all of the rows is
    explained by it.

    Parameters
    ----------
    decoder : (n, d)
        Array or tensor, one row a latent.
    alive : (n,) bool, optional
        Rows that count. All by default; rows of zeros never do.
    samples
        Number of nearest cosines that are drawn, at least 1. Each costs 2 n d operations.
    seed
        Seed or generator.
    block
        Rows at once. None, the default: as suits memory.
    progress
        Show a bar with the time left on standard error where it takes over two seconds.

    Raises
    ------
    ValueError
        If an argument is out of range or of another shape or type, or d exceeds 16,384.

    Notes
    -----
    With few rows a decoder, the covariance measured is less even than that behind it. So it is
    mixed with an even one, just as much as makes the mean squared cosine of two directions that of
    two different rows, which is free of this bias; the offset is shortened to the mean cosine of
    two different rows. Both are held at their bounds where noise would put them beyond.

    Cosines do not change under rotation: vectors are drawn along the principal axes. Their law is
    found from exact moments of directions of normal vectors (integrals in one dimension). Rows of
    a decoder have other laws too: what is not normal about them is not in the baseline.
    """
    samples = _validate.whole("samples", samples, low=1)
    return draw_directions(UnitRows(decoder, alive, block), samples, seed, progress)


def draw_directions(
    rows: UnitRows, samples: int, seed: int | np.random.Generator, progress: bool
) -> SampledDirections:
    """:func:`anisotropic_directions` of rows that have been checked."""
    model = _model(rows, progress)
    rng = np.random.default_rng(seed)
    # Queries that share their neighbours are not independent: no more of them than neighbours.
    sets = math.ceil(samples / rows.count)
    sizes = [stop - start for start, stop in pieces(samples, math.ceil(samples / sets))]
    steps = [
        (size, start, stop) for size in sizes for start, stop in pieces(rows.count - 1, rows.others)
    ]
    found: list[TopTwo] = []
    queries = None
    for size, start, stop in long_track(steps, "drawing a baseline", enabled=progress):
        if start == 0:
            queries = model.draw(size, rng, rows)
            found.append(TopTwo(size, queries))
        assert queries is not None
        others = model.draw(stop - start, rng, rows).T
        for low, high in pieces(size, rows.queries):
            found[-1].update(queries[low:high] @ others, start, slice(low, high))
    first, second = (
        np.sort(np.concatenate([getattr(f, name).cpu().numpy() for f in found]).astype(np.float64))
        for name in ("first", "second")
    )
    if rows.count < 3:
        second = np.full_like(first, np.nan)
    first, second = np.clip(first, -1.0, 1.0), np.clip(second, -1.0, 1.0)
    for array in (first, second):
        array.flags.writeable = False
    return SampledDirections(
        count=rows.count, dimension=rows.dimension, cosine=first, second_cosine=second,
        effective_dimension=1.0 / model.square if model.square > 0.0 else math.inf,
        mean_cosine=model.mean_cosine,
        shrinkage=model.shrinkage, mismatch=model.mismatch,
    )  # fmt: skip


class _Model(NamedTuple):
    """Normal vectors along the principal axes of the covariance."""

    offset: Floats
    deviation: Floats
    square: float
    mean_cosine: float
    shrinkage: float
    mismatch: float

    def draw(self, count: int, rng: np.random.Generator, rows: UnitRows) -> torch.Tensor:
        import torch

        normal = rng.standard_normal((count, self.offset.size), dtype=np.float32)
        vectors = torch.from_numpy(normal).to(rows.device())
        deviation, offset = (
            torch.from_numpy(v.astype(np.float32)).to(rows.device())
            for v in (self.deviation, self.offset)
        )
        return torch.nn.functional.normalize(vectors * deviation + offset, dim=1)


def _model(rows: UnitRows, progress: bool) -> _Model:
    mean, second = _moments(rows, progress)
    n, d = rows.count, rows.dimension
    # Means over pairs of different rows: pairs of a row with itself are taken out.
    mean_cosine = (n * float(mean @ mean) - 1.0) / (n - 1.0)
    square = (n * float(np.sum(second * second)) - 1.0) / (n - 1.0)
    values, axes = np.linalg.eigh(second - np.outer(mean, mean))
    values, along = np.clip(values, 0.0, None), axes.T @ mean
    length = max(mean_cosine, 0.0)
    offset = along * math.sqrt(length / max(float(along @ along), 1e-300))
    even = (1.0 - length) / d
    own = values * ((1.0 - length) / max(float(values.sum()), 1e-300))
    # Mean squared cosine with a share s of the own covariance: a s^2 + b s + c + square
    a = float(np.sum((own - even) ** 2))
    b = 2.0 * float(offset**2 @ (own - even))
    c = d * even**2 + 2.0 * even * length + length**2 - square
    root = math.sqrt(max(b * b - 4.0 * a * c, 0.0))
    kept = min(max((root - b) / (2.0 * a), 0.0), 1.0) if a > 0.0 else 1.0
    law = projected_fit(offset, even + kept * (own - even) + offset**2)
    return _Model(law.offset, np.sqrt(law.variance), square, mean_cosine, 1.0 - kept, law.mismatch)


def _moments(rows: UnitRows, progress: bool) -> tuple[Floats, Floats]:
    """Mean and second moment of the unit rows, summed in float64 over blocks."""
    d = rows.dimension
    if d > MAX_DIMENSION:
        raise ValueError(
            f"decoder must have at most {MAX_DIMENSION} columns for a baseline with its own "
            f"covariance, got {d}"
        )
    total, second = np.zeros(d), np.zeros((d, d))
    steps = list(pieces(rows.count, rows.others))
    for start, stop in long_track(steps, "measuring the covariance", enabled=progress):
        unit = rows.read(slice(start, stop))
        total += unit.sum(0).cpu().double().numpy()
        second += (unit.T @ unit).cpu().double().numpy()
    return total / rows.count, second / rows.count
