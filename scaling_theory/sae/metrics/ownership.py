"""Which feature of a superposition each latent serves, and which features have been found.

:func:`ownership` reads an allocation off a trained SAE: latents and overlap by feature, to be held
against ``Allocation.latents_at`` and ``MeasuredCurve.overlap``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import torch

from scaling_theory.sae.architectures import Architecture, decode
from scaling_theory.sae.metrics._blocks import blocks, samples, wide
from scaling_theory.sae.superposition import Parts
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True, eq=False)
class Ownership:
    """Latents by feature; features count from 0, in the order of their ranks.

    Attributes
    ----------
    owner : (n,) int64
        Feature that each latent serves; -1 for latents that serve none: dead, or never in the
        subspace of a feature that is active.
    purity : (n,) float64
        Share of the owner in the latent's energy, in (0, 1]; nan without an owner.
    latents : (features,) int64
        Number of latents that each feature owns.
    overlap : (features,) float64
        q of the theory: mean number of the feature's own latents that fire where it is active; nan
        for features that are never active in the samples.
    explained : (features,) float64
        1 - sum |error in the feature's subspace|^2 / sum |the feature's part|^2, over the rows
        where it is active; at most 1, below 0 where the SAE does more harm than good, nan for
        features that are never active in the samples.
    rows : (features,) int64
        Number of rows on which each feature is active.
    """

    owner: torch.Tensor
    purity: torch.Tensor
    latents: torch.Tensor
    overlap: torch.Tensor
    explained: torch.Tensor
    rows: torch.Tensor

    @property
    def discovered(self) -> torch.Tensor:
        """Features of which more than half is explained, (features,) bool."""
        return self.explained > 0.5


def ownership(
    architecture: Architecture, weights: Weights, parts: Parts, block: int | None = None
) -> Ownership:
    """Find the feature that each latent serves, and how much of each feature is explained.

    The energy of latent j on feature i is what it writes into the feature's subspace (orthonormal
    frame F_i) while the feature is active:
    e_ij = |F_i^T w_j|^2 times the sum of f_j^2 over the rows where i is active. Its owner is the
    feature with the largest e_ij, its purity e_ij / sum_i e_ij. So what a latent writes outside of
    all active features' subspaces does not count; features that are active together with the owner
    take nothing if their subspaces are orthogonal to the latent.

    Where subspaces overlap (``orientation="random"``) they leak: purity falls by about
    d_k/d for each other feature k that is active at the time, and the error in a feature's subspace
    contains that of the others. With orthogonal features both are exact.

    Parameters
    ----------
    architecture, weights
        The SAE, with n latents on d dimensions.
    parts
        ``Superposition.sample_parts(...)`` of at least two inputs, on the device of the weights.
    block
        Rows at once. None, the default: as suits the device, tensors of (rows, n) within 16 MiB.
        Besides, three tensors of (features, n) float64 are held, and one of (sum of d_i, n).

    Raises
    ------
    ValueError
        If ``parts`` is no sample of a superposition in d dimensions.
    """
    if not isinstance(parts, Parts):
        raise ValueError(
            f"parts must be what Superposition.sample_parts gives, got a {type(parts).__name__}"
        )
    x, n = samples(parts.x, weights.dimension), weights.width
    features = parts.active.shape[1]
    sizes = torch.tensor([s.stop - s.start for s in parts.slices])
    feature = torch.repeat_interleave(torch.arange(features), sizes).to(x.device)
    axes = feature.numel()

    def own(rows: torch.Tensor) -> torch.Tensor:
        """Coordinates in the frames of all features, side by side: (rows, axes)."""
        return rows[:, :axes] if parts.basis is None else rows @ parts.basis

    def by_feature(values: torch.Tensor) -> torch.Tensor:
        """Sum over the axes of each feature: (axes, ...) -> (features, ...)."""
        zeros = torch.zeros(features, *values.shape[1:], dtype=values.dtype, device=values.device)
        return zeros.index_add_(0, feature.to(values.device), values)

    with torch.no_grad():
        shape: dict[str, Any] = {"dtype": torch.float64, "device": wide(x[:0]).device}
        squares = torch.zeros(features, n, **shape)
        firing = torch.zeros(features, n, **shape)
        error, size = torch.zeros(axes, **shape), torch.zeros(axes, **shape)
        start = 0
        for some in blocks(x, block, n, axes):
            rows = slice(start, start + some.shape[0])
            active = parts.active[rows]
            activations = architecture.encode(weights, some)
            missed = own(some - decode(weights, activations))
            error += wide(missed * active[:, feature]).square().sum(0)
            size += wide(parts.coordinates[rows, :axes]).square().sum(0)
            here = torch.nonzero(active.any(0)).flatten()
            on = wide(active[:, here]).T
            here = here.to(on.device)
            squares.index_add_(0, here, on @ wide(activations).square())
            firing.index_add_(0, here, on @ wide(activations > 0.0))
            start = rows.stop
        energy = squares.mul_(by_feature(wide(own(weights.decoder)).square().T))
        largest, owner = energy.max(0)
        purity = largest / energy.sum(0)
        owner[~(largest > 0.0)] = -1
        served = torch.nonzero(owner >= 0).flatten()
        at = owner[served]
        times = parts.active.sum(0).to(at.device)
        together = torch.zeros(features, **shape).index_add_(0, at, firing[at, served])
    return Ownership(
        owner=owner,
        purity=purity,
        latents=torch.bincount(at, minlength=features),
        overlap=together / times,
        explained=1.0 - by_feature(error) / by_feature(size),
        rows=times,
    )
