"""What an SAE loses on samples, and which of its latents fire.

- :func:`evaluate`: loss and its standard error, L0, unexplained variance, firing frequencies.
- :func:`empty_loss`, :func:`magnitude`: the two readings of L(0), the loss without any latent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch

from scaling_theory.sae.architectures import Architecture, Context, decode
from scaling_theory.sae.data import Data
from scaling_theory.sae.metrics._blocks import blocks, samples, wide
from scaling_theory.sae.weights import Weights


@final
@dataclass(frozen=True, eq=False)
class Evaluation:
    """Means over samples; a latent fires where its activation is above 0.

    Attributes
    ----------
    loss
        L(n) = reconstruction + penalty, in squared units of the inputs. An auxiliary loss
        (``TopK.auxk``) is no part of it.
    stderr
        Standard error of the loss: standard deviation over rows (with rows - 1) over sqrt(rows).
    reconstruction
        Mean of |x - x_hat|^2.
    penalty
        Mean penalty at its full size.
    fvu
        Fraction of variance unexplained, sum |x - x_hat|^2 / sum |x - mean x|^2; nan where the
        samples are all the same, so that there is no variance to explain.
    frequencies : (n,) float64
        Share of the rows on which each latent fires.
    rows
        Number of samples.
    mean_activation
        Mean activation where it is not 0; nan if nothing fires. O'Neill et al. (2024), Table 2.
    """

    loss: float
    stderr: float
    reconstruction: float
    penalty: float
    fvu: float
    frequencies: torch.Tensor
    rows: int
    mean_activation: float

    @property
    def log_density(self) -> float:
        """Mean of log10 of the frequencies that are not 0; nan if all are.

        O'Neill et al. (2024), Table 2 ("Log FD"); their SAEs had no dead latents.
        """
        alive = self.frequencies[self.alive]
        return float(alive.log10().mean()) if alive.numel() else math.nan

    @property
    def l0(self) -> float:
        """Mean number of latents that fire."""
        return float(self.frequencies.sum())

    @property
    def overlap(self) -> float:
        """Theory's q of one manifold: mean number of latents that fire together.

        The theory counts a feature's own latents on the rows where the feature is active. A
        manifold that is trained alone is active on all rows and owns all latents, so this is
        ``l0``, rows on which nothing fires included. On a superposition it is not: there
        :func:`ownership` has it by feature.
        """
        return self.l0

    @property
    def alive(self) -> torch.Tensor:
        """Latents that fire at least once, shape (n,)."""
        return self.frequencies > 0.0

    @property
    def dead(self) -> int:
        """Number of latents that never fire."""
        return int((~self.alive).sum())


def evaluate(
    architecture: Architecture, weights: Weights, x: torch.Tensor, block: int | None = None
) -> Evaluation:
    """Measure an SAE on samples.

    Parameters
    ----------
    architecture, weights
        The SAE, with n latents on d dimensions.
    x : (rows, d)
        At least two inputs, on the device of the weights.
    block
        Rows at once. None, the default: as suits the device, tensors of (rows, n) within 16 MiB.

    Raises
    ------
    ValueError
        If ``x`` has another shape or type, or numbers that are not finite.
    """
    x = samples(x, weights.dimension)
    reconstruction, penalty, active = [], [], []
    fired = torch.zeros(weights.width, dtype=torch.int64, device=x.device)
    with torch.no_grad():
        for rows in blocks(x, block, weights.width):
            activations = architecture.encode(weights, rows)
            missed = rows - decode(weights, activations)
            reconstruction.append(missed.square().sum(1))
            penalty.append(architecture.penalty(weights, rows, activations, Context()))
            fired += (activations > 0.0).sum(0)
            active.append(float(wide(activations.sum(1)).sum()))
        errors, penalties = wide(torch.cat(reconstruction)), wide(torch.cat(penalty))
        losses = errors + penalties
        variance = _variance(x)
    rows_in_all = x.shape[0]
    error = float(errors.mean())
    return Evaluation(
        loss=float(losses.mean()),
        stderr=float(losses.std()) / math.sqrt(rows_in_all),
        reconstruction=error,
        penalty=float(penalties.mean()),
        fvu=error / variance if variance > 0.0 else math.nan,
        frequencies=wide(fired) / rows_in_all,
        rows=rows_in_all,
        mean_activation=math.fsum(active) / count if (count := int(fired.sum())) else math.nan,
    )


def empty_loss(x: torch.Tensor | Data) -> float:
    """L(0) of a manifold trained alone: E|x - mean x|^2, exact or from samples of (rows, d).

    Without latents the decoder bias is the reconstruction, and the mean is the best one. Put this
    at n = 0 of a measured curve that stands for an SAE trained alone. A feature in a superposition
    can't have the bias to itself: its L(0) is its :func:`magnitude`, and so is L(0) in Michaud,
    Gorton and McGrath (2025), section 2.3, in units where it is 1. Where the mean is 0 (circles,
    spheres) there is no difference; a point of norm 1 has 0 here, and magnitude 1.

    Raises
    ------
    ValueError
        If ``x`` is neither a ``Data`` nor a matrix of two or more rows of finite numbers.
    """
    if isinstance(x, Data):
        return max(0.0, x.magnitude - float(x.mean @ x.mean))
    return _variance(samples(x))


def magnitude(x: torch.Tensor) -> float:
    """L(0) of a feature in a superposition: E|x|^2, from samples of the feature, shape (rows, d).

    What reconstructing an active feature as 0 costs; ``Data.magnitude`` is its exact value. Put
    this at n = 0 of a measured curve for the theory. See :func:`empty_loss` for the other reading.

    Raises
    ------
    ValueError
        If ``x`` is not a matrix of two or more rows of finite numbers.
    """
    x = samples(x)
    return math.fsum(float(wide(rows).square().sum()) for rows in blocks(x, None)) / x.shape[0]


def _variance(x: torch.Tensor) -> float:
    """E|x - mean x|^2; exactly 0 where all rows are the same."""
    first = wide(x[0])
    shift = torch.zeros_like(first)
    for rows in blocks(x, None):
        shift += (wide(rows) - first).sum(0) / x.shape[0]
    centre = first + shift
    total = math.fsum(float((wide(rows) - centre).square().sum()) for rows in blocks(x, None))
    return total / x.shape[0]
