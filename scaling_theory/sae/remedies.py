"""What is done about latents that are dead, or that do what another one does already."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch

from scaling_theory import _validate
from scaling_theory.sae.architectures import Architecture, Context, decode
from scaling_theory.sae.metrics.decoders import find_duplicates
from scaling_theory.sae.weights import Weights

#: Cosine of an encoder row and a decoder row above which the one reads what the other writes.
_READS = 0.1


class Remedy(ABC):
    """Latents to start anew at some steps; subclasses are frozen dataclasses of plain values."""

    every: int
    until: float

    @abstractmethod
    def find(self, weights: Weights, idle: torch.Tensor, dead_after: int) -> torch.Tensor:
        """Return the indices of latents to start anew, shape (k,).

        ``idle``, shape (n,), counts the steps since each latent last fired.
        """

    @final
    def due(self, step: int, steps: int) -> bool:
        """Whether it is the remedy's turn after so many steps."""
        return step > 0 and step % self.every == 0 and step <= self.until * steps


@final
@dataclass(frozen=True)
class ResampleDead(Remedy):
    """Dead latents start anew on inputs that are reconstructed badly (Bricken et al. 2023).

    Parameters
    ----------
    every
        Steps between two rounds.
    until
        Share of the run after which there are none.
    """

    every: int = 500
    until: float = 0.6

    def __post_init__(self) -> None:
        _check(self)

    def find(self, weights: Weights, idle: torch.Tensor, dead_after: int) -> torch.Tensor:
        """Latents idle for at least ``dead_after`` steps."""
        return torch.nonzero(idle >= dead_after).flatten()


@final
@dataclass(frozen=True)
class ResampleDuplicates(Remedy):
    """Of latents with nearly the same decoder direction, all but the largest start anew.

    For features that are points: there, two latents for one feature cost nothing and gain nothing.
    A tiling of a manifold is made of latents with close neighbours, and this would undo it.

    Parameters
    ----------
    every
        Steps between two rounds. Default 200: a latent that comes back as a copy gets more tries.
    until
        Share of the run after which there are none. Default 0.8: until the learning rate falls.
    cosine
        Cosine of two decoder rows above which they are the same, in (0, 1]. Default 0.7: rows that
        share half of their squared length. Latents of orthogonal features are near 0.
    encoders
        True asks the same cosine of the encoder rows too, as ``metrics.duplicates`` does. Default
        False: latents that share a feature fire in different company, so that their encoder rows
        differ in the directions of other features while their decoder rows agree
        (``python -m scaling_theory.sae.studies recipes``). Then each must only read what the other
        writes: a cosine above 0.1 of its encoder row and the other's decoder row.

    Notes
    -----
    Latents that are dead by the run's ``dead_after`` neither are nor have duplicates: those are
    left to :class:`ResampleDead`.
    """

    every: int = 200
    until: float = 0.8
    cosine: float = 0.7
    encoders: bool = False

    def __post_init__(self) -> None:
        _check(self)
        value = _validate.real("cosine", self.cosine, low=0.0, high=1.0, low_open=True)
        object.__setattr__(self, "cosine", value)
        if not isinstance(self.encoders, bool):
            raise ValueError(f"encoders must be True or False, got {self.encoders!r}")

    def find(self, weights: Weights, idle: torch.Tensor, dead_after: int) -> torch.Tensor:
        """Latents whose decoder rows point where those of a larger one point."""
        alive = idle < dead_after
        if self.encoders:
            return find_duplicates(weights, self.cosine, alive)
        encoder = torch.nn.functional.normalize(weights.encoder, dim=1)
        decoder = torch.nn.functional.normalize(weights.decoder, dim=1)
        alike = weights.like(weights.flat.clone())  # of the same sizes, but all by the decoder
        alike.encoder.copy_(decoder * weights.encoder.norm(dim=1, keepdim=True))
        found = find_duplicates(alike, self.cosine, alive)
        alive[found] = False
        kept = torch.nonzero(alive).flatten()
        for some in torch.split(found, 1024):
            near = decoder[some] @ decoder[kept].T > self.cosine
            near &= encoder[some] @ decoder[kept].T > _READS
            near &= decoder[some] @ encoder[kept].T > _READS
            alive[some] = ~near.any(1)
        return found[~alive[found]]


def _check(remedy: ResampleDead | ResampleDuplicates) -> None:
    object.__setattr__(remedy, "every", _validate.whole("every", remedy.every, low=1))
    until = _validate.real("until", remedy.until, low=0.0, high=1.0)
    object.__setattr__(remedy, "until", until)


def restart(
    architecture: Architecture,
    weights: Weights,
    index: torch.Tensor,
    x: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Start latents anew on inputs of a batch, in place, after Bricken et al. (2023).

    Inputs are drawn with a probability in proportion to their squared loss. A latent's decoder row
    becomes the residual of its input (there: the input), with the mean norm of the rows of all
    others (there: of those alive, for the encoder); its encoder row the same direction with a fifth
    of the mean norm of the other encoder rows; its bias 0. At most one latent starts in one
    direction, since two that are the same would stay so: the rest are left as they are.

    Parameters
    ----------
    architecture, weights
        The SAE.
    index : (k,)
        Latents to start anew.
    x : (rows, d)
        Inputs.
    generator
        For the draw.

    Returns
    -------
    (m,)
        Latents that did start anew: the first m of ``index``.
    """
    if not index.numel():
        return index
    residual = x - decode(weights, architecture.encode_batch(weights, x, Context()))
    size = float(residual.abs().max())
    if size > 0.0:
        residual = residual * 2.0 ** -math.frexp(size)[1]  # fourth powers stay in float32
    chance = residual.square().sum(1).square()
    missed = int((chance > 0.0).sum())
    if not missed:
        return index[:0]
    rows = torch.multinomial(chance, min(index.numel(), missed), generator=generator)
    direction = torch.nn.functional.normalize(residual[rows], dim=1)
    direction = direction[_distinct(direction)]
    others = torch.ones(weights.width, dtype=torch.bool, device=x.device)
    others[index] = False
    if not bool(others.any()):
        others[:] = True
    index = index[: len(direction)]
    weights.decoder[index] = direction * weights.decoder[others].norm(dim=1).mean()
    weights.encoder[index] = 0.2 * direction * weights.encoder[others].norm(dim=1).mean()
    weights.encoder_bias[index] = 0.0
    for name, value in architecture.initial().items():
        weights.extra[name][index] = value
    return index


def _distinct(directions: torch.Tensor) -> torch.Tensor:
    """Mark rows that point where no earlier one does."""
    keep = torch.ones(len(directions), dtype=torch.bool, device=directions.device)
    for start in range(0, len(directions), 256):
        rows = directions[start : start + 256]
        same = rows @ directions[: start + len(rows)].T > 1.0 - 1e-4
        keep[start : start + len(rows)] = ~same.tril(start - 1).any(1)
    return keep
