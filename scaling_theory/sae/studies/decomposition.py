"""The loss on superposed features against the sum of the features' own losses.

Michaud, Gorton and McGrath (2025), appendix B.1, show E L(x) = sum_i p_i L_i under three
assumptions: latents are specific to features, write into their feature's subspace only, and
subspaces are orthogonal. With a decoder bias the statement needs one more term.

Let x = sum over active i of x_i, xhat(x) = b + sum_j w_j f_j(x), S the penalty, L = |x - xhat|^2
+ S. Take latents that are specific: f_j(x) = f_j(x_i) for the latents of an active feature i, and 0
for the others. With e_i = x_i - sum over i's latents of w_j f_j(x_i), the residual is
sum_i e_i - b, and

    |sum_i e_i - b|^2 = sum_i |e_i|^2 - 2 b.(sum_i e_i) + |b|^2 + 2 sum over i < k of e_i.e_k,
    |e_i - b|^2 = |e_i|^2 - 2 b.e_i + |b|^2.

Each feature's own loss holds |b|^2 = L(0), the loss of the empty input, once, so the sum over A
active features holds it A times where L(x) does once. With e_i.e_k = 0 (orthogonal subspaces):

    L(x) - L(0) = sum over active i of (L(x_i) - L(0)),
    E L(x) = L(0) + sum_i p_i (L_i - L(0)) = sum_i p_i L_i + (1 - sum_i p_i) L(0),

with L_i = E L(x_i), for every b; where L(0) = 0 it is the paper's equation (1). It is exact input
by input, so the two sides are compared on the same inputs, and an input without or with one active
feature adds nothing to the difference.

Whatever the SAE, the difference has two parts. Let e_0 = -xhat(0) and e_i = x_i - (xhat(x_i)
- xhat(0)), now with all latents. If activations were those of the single features added up, the
residual would be e_0 + sum_i e_i, and |e_0 + sum_i e_i|^2 - |e_0|^2 - sum_i (|e_0 + e_i|^2 -
|e_0|^2) = 2 sum over i < k of e_i.e_k: the *geometry* part, 0 where what is missed of different
features is orthogonal. The rest is the *firing* part: activations, and so reconstructions and
penalties, that are not the sum of those of single features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.frequencies import EmpiricalFrequencies
from scaling_theory.sae.architectures import (
    Architecture,
    Context,
    JumpReLU,
    ReLU,
    TanhJumpReLU,
    TopK,
    decode,
)
from scaling_theory.sae.manifolds import Circle, Points
from scaling_theory.sae.measure import measure
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.superposition import Parts, Superposition
from scaling_theory.sae.trainer import Trainer
from scaling_theory.sae.weights import Weights

if TYPE_CHECKING:
    import pandas as pd

#: Inputs, or single features, encoded at once.
_ROWS = 4096


@final
@dataclass(frozen=True, eq=False)
class Decomposition:
    """The loss of an SAE against that of its features one by one, on the same inputs.

    Attributes
    ----------
    total
        Mean loss (reconstruction and penalty) of the inputs.
    empty
        L(0), the loss of the input without any feature: |xhat(0)|^2 and its penalty.
    parts : (features,) float64
        L_i: mean loss of the SAE where feature i is the input, alone; nan where it never is active.
    frequencies : (features,) float64
        Share of the inputs in which each feature is active.
    predicted
        L(0) + sum_i p_i (L_i - L(0)), with these frequencies.
    geometry, firing
        Parts of total - predicted (module docstring).
    stderr
        Standard error of total - predicted.
    together
        Share of the inputs with two or more active features.
    rows
        Number of inputs.
    """

    total: float
    empty: float
    parts: Floats
    frequencies: Floats
    predicted: float
    geometry: float
    firing: float
    stderr: float
    together: float
    rows: int

    @property
    def gap(self) -> float:
        """(total - predicted) / total: 0 under the assumptions; nan where the total is 0."""
        return (self.total - self.predicted) / self.total if self.total else math.nan

    @property
    def gap_stderr(self) -> float:
        """Standard error of the gap, the total taken as exact; nan where it is 0."""
        return self.stderr / self.total if self.total else math.nan


def decompose(
    architecture: Architecture,
    weights: Weights,
    superposition: Superposition,
    count: int,
    generator: torch.Generator,
) -> Decomposition:
    """Compare an SAE's loss with the sum of its losses on single features.

    Parameters
    ----------
    architecture, weights
        The SAE, on the generator's device.
    superposition
        What inputs are drawn from, of the SAE's dimension.
    count
        Number of inputs, at least 2.
    generator
        For the draw.

    Raises
    ------
    ValueError
        If an argument is out of range, or dimensions differ.

    Notes
    -----
    Everything is computed in float64. ``parts`` feed the SAE x = x_i and let all latents answer: if
    they are specific, those of other features stay silent.
    """
    count = _validate.whole("count", count, low=2)
    if weights.dimension != superposition.dimension:
        raise ValueError(
            f"weights must be of dimension {superposition.dimension}, that of the superposition, "
            f"got {weights.dimension}"
        )
    own = weights.like(weights.flat.detach().double())
    with torch.no_grad():
        parts = superposition.sample_parts(count, generator)
        at = torch.nonzero(parts.active)  # (cells, 2): row, feature
        row, feature = at[:, 0], at[:, 1]
        zero = own.decoder.new_zeros(1, own.dimension)
        error_0, penalty_0 = _losses(architecture, own, zero)
        error, penalty = _losses(architecture, own, parts.x)
        alone, alone_penalty, added = [], [], own.decoder.new_zeros(count, own.dimension)
        for cells in torch.split(at, _ROWS):
            x = _alone(parts, cells)
            r, s = _losses(architecture, own, x)
            alone.append(r.square().sum(1))
            alone_penalty.append(s)
            added.index_add_(0, cells[:, 0], r - error_0)
        none = [error.new_zeros(0)]
        squares, penalties = torch.cat(alone or none), torch.cat(alone_penalty or none)
        empty = float(error_0.square().sum() + penalty_0)
        losses = squares + penalties
        total = error.square().sum(1) + penalty
        predicted = torch.full_like(total, empty).index_add_(0, row, losses - empty)
        additive = (added + error_0).square().sum(1)
        single = torch.full_like(total, float(error_0.square().sum()))
        single.index_add_(0, row, squares - float(error_0.square().sum()))
        features = superposition.features
        times = torch.bincount(feature, minlength=features)
        sums = losses.new_zeros(features).index_add_(0, feature, losses)
        difference = total - predicted
        geometry = float((additive - single).mean())
        return Decomposition(
            total=float(total.mean()),
            empty=empty,
            parts=(sums / times).cpu().numpy(),
            frequencies=(times.double() / count).cpu().numpy(),
            predicted=float(predicted.mean()),
            geometry=geometry,
            firing=float(difference.mean()) - geometry,
            stderr=float(difference.std()) / math.sqrt(count),
            together=float((parts.active.sum(1) > 1).double().mean()),
            rows=count,
        )


def _losses(
    architecture: Architecture, weights: Weights, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Residuals (rows, d) and penalties (rows,)."""
    residuals, penalties = [], []
    for rows in torch.split(x.double(), _ROWS):
        activations = architecture.encode(weights, rows)
        residuals.append(rows - decode(weights, activations))
        penalties.append(architecture.penalty(weights, rows, activations, Context()))
    return torch.cat(residuals), torch.cat(penalties)


def _alone(parts: Parts, cells: torch.Tensor) -> torch.Tensor:
    """Inputs that hold one active feature each, of cells (row, feature): (cells, d)."""
    sizes = torch.tensor([s.stop - s.start for s in parts.slices], device=cells.device)
    axes = parts.coordinates.shape[1]
    owner = torch.repeat_interleave(torch.arange(len(sizes), device=cells.device), sizes)
    owner = torch.nn.functional.pad(owner, (0, axes - owner.numel()), value=-1)
    x = parts.coordinates[cells[:, 0]] * (owner == cells[:, 1:])
    return x if parts.basis is None else x @ parts.basis.T


# ---- the study ----------------------------------------------------------------------------------

#: Architectures of the study.
ARCHITECTURES: Final[Mapping[str, Architecture]] = MappingProxyType(
    {
        "ReLU": ReLU(l1=0.1),
        "TanhJumpReLU": TanhJumpReLU(),
        "JumpReLU": JumpReLU(l0=0.1, bandwidth=0.2),
        "TopK k=2": TopK(2),
        "TopK k=6": TopK(6),
    }
)


def features(scale: float = 1.0, dimension: int | None = None, seed: int = 0) -> Superposition:
    """Two circles, then twelve points, p_i = scale * 0.1 i^-0.5: the data of the study.

    Parameters
    ----------
    scale
        Factor of all frequencies, in (0, 10].
    dimension
        None (default): orthogonal, in 16 dimensions. A number: random subspaces in so many.
    seed
        Of the random subspaces.
    """
    scale = _validate.real("scale", scale, low=0.0, high=10.0, low_open=True)
    p: Floats = scale * 0.1 * np.arange(1.0, 15.0) ** -0.5
    frequencies = EmpiricalFrequencies(p)
    if dimension is None:
        return Superposition(frequencies, Points(), {(1, 2): Circle()})
    return Superposition(
        frequencies, Points(), {(1, 2): Circle()},
        orientation="random", dimension=dimension, seed=seed,
    )  # fmt: skip


def by_hand(axes: int) -> Weights:
    """A ReLU SAE whose latents are specific: two an axis, plus and minus, and decoder bias 0.1."""
    weights, axis = Weights(2 * axes, axes), torch.eye(axes)
    weights.decoder.copy_(torch.cat((axis, -axis)))
    weights.encoder.copy_(weights.decoder)
    weights.encoder_bias.fill_(-0.05)
    weights.decoder_bias.fill_(0.1)
    return weights


def decomposition(
    scales: Sequence[float] = (1.0, 3.0, 9.0),
    dimensions: Sequence[int] = (8, 16, 32, 64),
    architectures: Mapping[str, Architecture] = ARCHITECTURES,
    *,
    width: int = 24,
    seed: int = 0,
    count: int = 65_536,
    path: str = "auto",
    **options: Any,
) -> pd.DataFrame:
    """Train SAEs on superposed circles and points, and see whether their loss is a sum.

    Parameters
    ----------
    scales
        Factors of the frequencies, orthogonal subspaces; at 9 an input has 6 of 14 features.
    dimensions
        Of the space in which the subspaces are random, at the first scale.
    architectures
        Name -> what is trained.
    width, seed, path, **options
        Of the runs; 4,000 steps with batches of 1024 and decoder rows of norm 0.1 at first, unless
        ``options`` of ``RunSpec`` say otherwise.
    count
        Inputs of each comparison.

    Returns
    -------
    DataFrame
        One row a run, after those of an SAE made :func:`by_hand`: ``architecture``, ``subspaces``,
        ``dimension``, ``active`` (mean number of active features), ``together``, ``total``,
        ``predicted``, ``gap``, ``stderr`` (of the gap), ``geometry`` and ``firing`` (parts of the
        gap, relative to the total), ``purity``.
    """
    import pandas as pd

    cases = [("orthogonal", features(s)) for s in scales]
    cases += [("random", features(scales[0], d)) for d in dimensions]
    recipe = {"steps": 4000, "batch_size": 1024, "decoder_norm": 0.1, **options}
    rows = []
    for name, architecture in {"by hand": None, **architectures}.items():
        for subspaces, data in cases:
            spec = RunSpec(data, architecture or ReLU(), width, seed, **recipe)
            generator = spec.generator("decomposition")
            if architecture is not None:
                trainer = Trainer(spec, path=path)
                trainer.advance(spec.steps)
                weights = trainer.weights
            elif subspaces == "orthogonal":
                weights = by_hand(data.dimension)
            else:
                continue
            purity = measure(spec, weights)[0]["purity"]
            at = decompose(spec.architecture, weights, data, count, generator)
            rows.append(
                {
                    "architecture": name,
                    "subspaces": subspaces,
                    "dimension": data.dimension,
                    "active": float(data.probabilities.sum()),
                    "together": at.together,
                    "total": at.total,
                    "predicted": at.predicted,
                    "gap": at.gap,
                    "stderr": at.gap_stderr,
                    "geometry": at.geometry / at.total,
                    "firing": at.firing / at.total,
                    "purity": purity,
                }
            )
    return pd.DataFrame(rows)
