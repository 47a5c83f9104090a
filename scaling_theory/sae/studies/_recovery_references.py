"""Two references: the true directions under TopK's rule, and least-squares probes.

An SAE reads each latent off a linear function of the input. The first reference is what the true
directions reach where the largest products fire. The second is what probes reach that are told the
answers; they are fitted by least squares, so that it is a lower bound on the best linear reader,
not its F1: logistic probes get further. Neither is trained as an SAE.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from scaling_theory.sae.architectures import Architecture, ReLU, TopK
from scaling_theory.sae.canonical import seed_of, text_of
from scaling_theory.sae.superposition import Parts, Superposition
from scaling_theory.sae.weights import Weights


class Reference(NamedTuple):
    """A dictionary of true directions, with an encoder."""

    name: str
    architecture: Architecture
    weights: Weights
    value: float


def references(data: Superposition, active: int, samples: int) -> tuple[Reference, ...]:
    """Return the two references.

    "true directions": encoder and decoder are the features' directions, and the ``active`` largest
    products fire. "linear probes": each feature's coordinate by least squares from the input, with
    the threshold of the best F1 of its own, on ``samples`` inputs that nobody else sees. Neither is
    made to reconstruct, and what they leave of the variance says nothing.
    """
    generator = torch.Generator().manual_seed(seed_of("probes", text_of(data)))
    parts = data.sample_parts(samples, generator)
    directions = torch.cat(data.frames, dim=1).T
    plain, probes = (Weights(data.features, data.dimension) for _ in range(2))
    for weights in (plain, probes):
        weights.decoder.copy_(directions)
    plain.encoder.copy_(directions)
    slopes = _least_squares(parts)
    probes.encoder.copy_(slopes)
    z = parts.x.double() @ slopes.T
    probes.encoder_bias.copy_(-_best_thresholds(z, parts.active))
    return (
        Reference("true directions", TopK(active), plain, float(active)),
        Reference("linear probes", ReLU(l1=0.0), probes, torch.nan),
    )


def _least_squares(parts: Parts) -> torch.Tensor:
    """Coefficients of coordinates on inputs, (features, d) float64; thresholds absorb offsets."""
    x, y = parts.x.double(), parts.coordinates[:, : len(parts.slices)].double()
    found: torch.Tensor = torch.linalg.lstsq(x - x.mean(0), y - y.mean(0)).solution
    return found.T


def _best_thresholds(z: torch.Tensor, active: torch.Tensor) -> torch.Tensor:
    """Threshold of each column above which it says best who is active, by F1."""
    out = torch.empty(z.shape[1], dtype=z.dtype)
    said = torch.arange(1, z.shape[0] + 1, dtype=z.dtype)
    for i in range(z.shape[1]):
        falling, order = z[:, i].sort(descending=True)
        hits = active[order, i].to(z.dtype).cumsum(0)
        best = int((2.0 * hits / (said + hits[-1])).argmax())
        after = falling[min(best + 1, len(falling) - 1)]
        out[i] = 0.5 * (falling[best] + after)
    return out
