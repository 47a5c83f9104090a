"""How latents point: nearest neighbours in one SAE, agreement of two, duplicates.

- :func:`neighbour_cosines`: a tiled manifold has close neighbours, discrete features have not.
- :func:`mean_max_cosine`: do two seeds find the same directions?
- :func:`duplicates`: latents that do what another one does already.

All of them go through blocks of rows; no (n, n) matrix is held.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from scaling_theory import _validate
from scaling_theory.sae.metrics._blocks import blocks, mask, matrix, wide
from scaling_theory.sae.weights import Weights


class Neighbours(NamedTuple):
    """Nearest other row of each row of a decoder.

    Attributes
    ----------
    cosine : (n,)
        Largest cosine with another row, in [-1, 1]; nan for rows that are left out (dead, or
        zeros), and where there is no other row.
    nearest : (n,) int64
        Index of that row; -1 where the cosine is nan.
    """

    cosine: torch.Tensor
    nearest: torch.Tensor


def neighbour_cosines(
    decoder: torch.Tensor, alive: torch.Tensor | None = None, block: int | None = None
) -> Neighbours:
    """Find each row's nearest other row, by cosine.

    Rows of zeros have no direction: they are left out, as neighbours too.

    Parameters
    ----------
    decoder : (n, d)
        One row a latent.
    alive : (n,) bool, optional
        Rows that count; the others are left out, as neighbours too. All by default.
    block
        Rows at once. None, the default: as suits the device, tensors of (rows, n) within 16 MiB.

    Raises
    ------
    ValueError
        If an argument has another shape or type, or the decoder has numbers that are not finite.
    """
    unit, index = _units("decoder", decoder, "alive", alive)
    n, m = decoder.shape[0], unit.shape[0]
    cosine = torch.full((n,), math.nan, dtype=unit.dtype, device=unit.device)
    nearest = torch.full((n,), -1, dtype=torch.int64, device=unit.device)
    if m < 2:
        return Neighbours(cosine, nearest)
    start = 0
    for rows in blocks(unit, block, m):
        product = rows @ unit.T
        own = torch.arange(rows.shape[0], device=unit.device)
        product[own, start + own] = -math.inf
        value, at = product.max(1)
        here = index[start : start + rows.shape[0]]
        cosine[here] = value.clamp(-1.0, 1.0)
        nearest[here] = index[at]
        start += rows.shape[0]
    return Neighbours(cosine, nearest)


def mean_max_cosine(
    decoder_a: torch.Tensor,
    decoder_b: torch.Tensor,
    alive_a: torch.Tensor | None = None,
    alive_b: torch.Tensor | None = None,
    symmetric: bool = False,
    block: int | None = None,
) -> float:
    """Mean over rows of a of the largest cosine with a row of b (MMCS: Sharkey et al. 2022).

    Near 1 where b has all that a has, so of a small and a large SAE give the small one first.
    Random rows give more than 0, the more the wider b is. Rows of zeros are left out.

    Parameters
    ----------
    decoder_a, decoder_b : (n_a, d), (n_b, d)
        Of two seeds, or two widths.
    alive_a, alive_b : (n_a,), (n_b,) bool, optional
        Rows that count; all by default.
    symmetric
        True gives the mean of both directions, a in b and b in a. Default False.
    block
        Rows at once. None, the default: as suits the device, tensors of (rows, n) within 16 MiB.

    Returns
    -------
    float
        In [-1, 1]; nan where no row is left in a or in b.

    Raises
    ------
    ValueError
        If an argument has another shape or type, or a decoder has numbers that are not finite.
    """
    a, b = (
        _units(f"decoder_{s}", decoder, f"alive_{s}", alive)[0]
        for s, decoder, alive in (("a", decoder_a, alive_a), ("b", decoder_b, alive_b))
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"decoder_b must have the dimension of decoder_a, {a.shape[1]}, got {b.shape[1]}"
        )
    if not (a.shape[0] and b.shape[0]):
        return math.nan
    forward = _mean_max(a, b, block)
    return 0.5 * (forward + _mean_max(b, a, block)) if symmetric else forward


def duplicates(
    weights: Weights,
    cosine: float = 0.95,
    alive: torch.Tensor | None = None,
    block: int | None = None,
) -> int:
    """Count the latents that do what a larger one does: see :func:`find_duplicates`."""
    return find_duplicates(weights, cosine, alive, block).numel()


def find_duplicates(
    weights: Weights,
    cosine: float = 0.95,
    alive: torch.Tensor | None = None,
    block: int | None = None,
) -> torch.Tensor:
    """Find the latents whose decoder and encoder rows point where those of a larger one point.

    Latents are gone through by size, |decoder row| |encoder row|, largest first (by index where
    sizes are equal). One is a duplicate if both cosines with an earlier latent that is none itself
    are above ``cosine``: k copies of a latent are k - 1 duplicates, and a chain of neighbours, each
    near to the next only, is not taken for one latent. Rows of zeros, or of numbers that are not
    finite, are no duplicates.

    Parameters
    ----------
    weights
        Of n latents.
    cosine
        In (0, 1], default 0.95.
    alive : (n,) bool, optional
        Latents that count; the others are no duplicates, and have none. All by default.
    block
        Rows at once. None, the default: as suits the device, tensors of (rows, n) within 16 MiB.

    Returns
    -------
    (k,) int64
        Indices, ascending.

    Raises
    ------
    ValueError
        If an argument is out of range or of another shape or type.
    """
    cosine = _validate.real("cosine", cosine, low=0.0, high=1.0, low_open=True)
    counts = mask("alive", alive, weights.width, weights.decoder.device)
    with torch.no_grad():
        size = weights.decoder.norm(dim=1) * weights.encoder.norm(dim=1)
        order = torch.argsort(size, descending=True, stable=True)
        order = order[counts[order]]
        decoder, encoder = _normalised(weights.decoder[order]), _normalised(weights.encoder[order])
        kept = torch.ones(order.numel(), dtype=torch.bool, device=order.device)
        start = 0
        for rows in blocks(decoder, block, weights.width):
            stop = start + rows.shape[0]
            near = rows @ decoder[:stop].T > cosine
            near[:, start:].tril_(-1)
            at = torch.nonzero(near.any(1)).flatten()
            if at.numel():
                near = near[at] & (encoder[start + at] @ encoder[:stop].T > cosine)
                # near to one that was kept in an earlier block, or, in order, in this one
                free = at[~(near[:, :start] & kept[:start]).any(1)]
                kept[start + at] = False
                kept[start + free] = True
                inside = near.new_zeros(rows.shape[0], rows.shape[0])
                inside[at] = near[:, start:]
                kept[start:stop] = _first(inside, kept[start:stop])
            start = stop
    return order[~kept].sort().values


def _first(near: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
    """Keep, in order, the candidates that are near to no earlier one that is kept.

    ``near`` is strictly lower triangular, so each round settles at least one more in order; mostly
    two or three rounds are enough.
    """
    kept = candidates
    for _ in range(candidates.numel()):
        again = candidates & ~(near & kept).any(1)
        if bool((again == kept).all()):
            break
        kept = again
    return kept


def _mean_max(a: torch.Tensor, b: torch.Tensor, block: int | None) -> float:
    largest = [(rows @ b.T).amax(1) for rows in blocks(a, block, b.shape[0])]
    return float(wide(torch.cat(largest)).clamp(-1.0, 1.0).mean())


def _units(
    name: str, decoder: torch.Tensor, alive_name: str, alive: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of norm 1 of the latents that count and have a direction, and their indices."""
    decoder = matrix(name, decoder).detach()
    counts = mask(alive_name, alive, decoder.shape[0], decoder.device)
    index = torch.nonzero(counts & (decoder != 0.0).any(1)).flatten()
    return _normalised(decoder[index]), index


def _normalised(rows: torch.Tensor) -> torch.Tensor:
    """Rows of norm 1, or of zeros; the squares of tiny and huge numbers must not be lost."""
    largest = rows.abs().amax(1, keepdim=True)
    rows = rows / torch.where(largest > 0.0, largest, 1.0)
    norms = rows.norm(dim=1, keepdim=True)
    return rows / torch.where(norms > 0.0, norms, 1.0)
