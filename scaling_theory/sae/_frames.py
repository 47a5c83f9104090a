"""Random frames of features: uniformly random subspaces, each with an orthonormal basis."""

from __future__ import annotations

import numpy as np
import torch

from scaling_theory._validate import Ints
from scaling_theory.sae.canonical import seed_of


def random_frames(edges: Ints, dimension: int, seed: int) -> torch.Tensor:
    """Frames side by side, float32 of shape (dimension, edges[-1]).

    Parameters
    ----------
    edges
        Where features begin among all own coordinates, shape (features + 1,).
    dimension
        Of the ambient space.
    seed
        The same seed gives the same frames.
    """
    generator = torch.Generator().manual_seed(seed_of("frames", seed))
    drawn = torch.randn(int(edges[-1]), dimension, generator=generator, dtype=torch.float64).T
    basis = torch.empty(drawn.shape)
    sizes = np.diff(edges)
    for size in np.unique(sizes):
        columns = torch.tensor(edges[:-1][sizes == size, None] + np.arange(size))
        q, r = torch.linalg.qr(drawn[:, columns].movedim(1, 0))
        # Signs such that r has a positive diagonal: else q is not uniform.
        q = q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0.0, -1.0, 1.0)[:, None]
        basis[:, columns.view(-1)] = q.movedim(0, 1).reshape(dimension, -1).float()
    return basis
