"""Real activations as what an SAE is trained on: rows of shards on disk.

``datasets.activations`` and ``datasets.embeddings`` write the shards. Training draws rows at random
and with replacement, so that a run depends on nothing but its specification and can be stopped
anywhere; metrics are of rows that are held out, whole texts that training never sees.
"""

from __future__ import annotations

import math
import os
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from scaling_theory.sae.data import Data

if TYPE_CHECKING:
    from scaling_theory.datasets.collecting import Shards
    from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True)
class Activations(Data):
    """Rows of real activations, centred and scaled to a mean squared norm of 1.

    So losses are normalised: |x - x_hat|^2 over what predicting the mean would cost (on the rows
    that are trained on; ``fvu`` of a row takes the mean of the rows that are held out). An SAE that
    is trained on them reads centred and scaled rows; :meth:`fold` makes one of rows as they are.

    Parameters
    ----------
    shards
        What ``datasets.activations`` or ``datasets.embeddings`` returned, or their folder.

    Attributes
    ----------
    digest
        Of the recipe of the shards. It stands for them in the specification of a run: where the
        folder lies is no part of it.
    dimension
        d.

    Raises
    ------
    FileNotFoundError, ValueError
        If there are no complete shards, or all rows are the same.
    """

    shards: InitVar[Shards | str | os.PathLike[str]]
    digest: str = field(init=False)
    dimension: int = field(init=False)
    _shards: Shards = field(init=False, repr=False, compare=False)

    def __post_init__(self, shards: Shards | str | os.PathLike[str]) -> None:
        if isinstance(shards, str | os.PathLike):
            from scaling_theory.datasets import open_activations

            shards = open_activations(shards)
        if not shards.scale > 0.0:
            raise ValueError(f"shards must hold rows that differ, got scale {shards.scale!r}")
        for name, value in (
            ("digest", shards.digest),
            ("dimension", shards.dimension),
            ("_shards", shards),
        ):
            object.__setattr__(self, name, value)

    @property
    def magnitude(self) -> float:
        """E|x|^2 over the rows that are trained on: 1."""
        return 1.0

    @property
    def rows(self) -> int:
        """Number of rows to train on."""
        return self._shards.rows - self._shards.held_out

    @property
    def held_out_rows(self) -> int:
        """Number of rows that are held out."""
        return self._shards.held_out

    def fold(self, weights: Weights) -> Weights:
        """Return an SAE that was trained on these data as one of rows as they are.

        Same latents, same activations; it reads and writes rows in the model's units, neither
        centred nor scaled. To publish an SAE, or to run it in the model:
        ``PublishedSAE.from_weights(data.fold(weights), architecture)``.

        Parameters
        ----------
        weights
            Of n latents on d dimensions; not changed.
        """
        unit = self._unit
        mean = torch.from_numpy(self._shards.mean.copy())
        out = weights.like(weights.flat.to(torch.float64, copy=True))
        shift = out.encoder @ (mean / unit)
        out.encoder_bias.sub_(shift)
        if "magnitude_bias" in out.extra:  # a gated SAE uses the encoder twice
            out.extra["magnitude_bias"].sub_(out.extra["log_scale"].exp() * shift)
        out.encoder.div_(unit)
        out.decoder.mul_(unit)
        out.decoder_bias.mul_(unit).add_(mean)
        return weights.like(out.flat.to(weights.flat.dtype))

    @property
    def _unit(self) -> float:
        """Root mean square norm of a centred row: what rows are divided by."""
        return float(self._shards.scale) * math.sqrt(self.dimension)

    def said(self) -> dict[str, Any]:
        """What is worth telling of the rows: their numbers, and the recipe they were made by."""
        rows = {"trained_on": self.rows, "held_out_rows": self.held_out_rows}
        return {**rows, "digest": self.digest, **self._shards.manifest["recipe"]}

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw rows to train on, with replacement: float32 of shape (count, d)."""
        low, high = self._shards.held_out, self._shards.rows
        index = torch.randint(low, high, (count,), generator=generator, device=generator.device)
        return self._read(index)

    def each_once(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw rows to train on, none twice: (count, d), or fewer if there are not as many."""
        order = torch.randperm(self.rows, generator=generator, device=generator.device)
        return self._read(self._shards.held_out + order[:count])

    def held_out(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw rows that are held out, none twice: (count, d), or all if there are not as many."""
        order = torch.randperm(self.held_out_rows, generator=generator, device=generator.device)
        return self._read(order[:count])

    def _read(self, index: torch.Tensor) -> torch.Tensor:
        x = self._shards.read(index.cpu().numpy())
        x -= self._shards.mean.astype(np.float32)
        x *= np.float32(1.0 / self._unit)
        return torch.from_numpy(x).to(index.device)
