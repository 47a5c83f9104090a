"""Many features at once: who is active, each on a manifold of its own.

``Superposition(frequencies, default=Points(), ranks={1: Circle()})`` is the twin of ``Population``:
manifolds where it has curves. :meth:`Superposition.population` gives the solver's problem for it.
Features are active independently of each other; or below ``parents``, or correlated:

- ``parents={(5, 6): 1}``: ranks 5 and 6 are active only where rank 1 is.
- ``parents=..., exclusive=True``: at most one child of a parent at a time.
- ``correlation=Correlation(rank=8, strength=0.5)``: through shared Gaussian factors.

Whatever they depend on, feature i is active with probability p_i exactly, and nothing else of who
is active enters the theory: see :meth:`Superposition.population`.
Features count from 0 where tensors are indexed (``active[:, i]``, ``frames[i]``, ``parts.part(i)``)
and from 1 where they are ranks; feature i has rank i + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import Frequencies
from scaling_theory.measured import MeasuredCurve
from scaling_theory.population import Population
from scaling_theory.sae._cells import Drawing
from scaling_theory.sae._dependence import dependence, probabilities_of
from scaling_theory.sae._features import arguments
from scaling_theory.sae._forest import Forest, Links
from scaling_theory.sae._frames import random_frames
from scaling_theory.sae._moments import cross_terms, pair_probabilities
from scaling_theory.sae._parts import Parts
from scaling_theory.sae._population import population_of
from scaling_theory.sae.canonical import LATER, text_of
from scaling_theory.sae.correlation import Correlation
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import check_draw

__all__ = ["Parts", "Superposition"]


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Superposition(Data):
    """Sum of features, each active with its own probability and then drawn from its manifold.

    Parameters
    ----------
    frequencies
        Probability p_i that feature i is active: finitely many, none above 1.
    default
        Manifold of every rank without an exception.
    ranks
        Exceptions: rank, or tuple or range of ranks, -> manifold.
    orientation
        "orthogonal" (default): feature i has coordinate axes of its own, ``slices[i]``; axes
        beyond the sum of the features' dimensions stay 0. "random": feature i has a uniformly
        random orthonormal frame of its own, so that subspaces overlap.
    dimension
        Of the ambient space. Orthogonal: at least the sum of the features' dimensions, which is
        the default. Random: at least the largest of them; it must be given.
    seed
        Of the random frames; 0 where there are none.
    scales
        One positive number per rank, or None (default, all 1): an active feature is so many times
        a point of its manifold.
    parents
        Rank, or tuple or range of ranks, -> rank of their parent. A child is active only where its
        parent is, and there with probability p_child / p_parent, which must not be above 1: p stays
        the probability over all inputs. Trees may have any depth. None (default): everyone is a
        root.
    exclusive
        At most one child of a parent is active. Then the p of its children must not add up to more
        than its own. Default False: children of a parent are active independently of each other,
        given the parent, unless they have loadings.
    correlation
        Loadings on shared factors, an array of shape (features, r) with rows shorter than 1, or a
        ``Correlation``, which draws them. None (default): none. See Notes for what is correlated.
    labels
        New names for labels, {"circle": "ring"}. By default a group, which is all features with
        equal manifolds, is called by the lower-case name of the class: "circle", "points". Where
        a class occurs with different parameters its groups are numbered in the order of their
        first ranks: "circle 1", "circle 2". Labels decide no sample and no hash.

    Attributes
    ----------
    manifolds, labels : tuple
        One per group, in the order of their first ranks.
    probabilities : (features,) float64
        p_i.
    slices : tuple of slice
        Where feature i is among all own coordinates; with orthogonal features, also in an input.
    loadings : (features, r) float64
        Of ``correlation``; r = 0 without.

    Raises
    ------
    ValueError
        If an argument is out of range, or ranks repeat or do not exist, or children are more likely
        than their parent.

    Notes
    -----
    A feature is active if its parent is and its own gate is open: g_i < Phi^-1(q_i) with
    q_i = p_i / p_parent (p_i for roots) and g_i = F_i.u + sqrt(1 - |F_i|^2) e_i, a Gaussian copula
    with loadings F_i. The factors u are drawn anew for each input and each depth of the trees. So
    the gates of a feature and its ancestors are independent, and P(i) = p_i exactly. Features of
    the same depth are correlated: roots with roots, and children, given their parents, with
    children of the same and of other parents. Features of different depths depend on each other
    through their ancestors only. The choice among exclusive siblings depends on nothing but the
    parent: they have no loadings (those of a ``Correlation`` are 0 for them).

    The ingredients are those of SynthSAEBench (Chanin et al. 2026, arXiv:2602.14687). There trees
    act on what a copula of all features has drawn, probabilities are scaled up to make good for
    that, as far as they go, and a child's size follows its parent's. Here p_i is exact, and sizes
    are independent.

    Where nothing else is asked for, what is active is drawn without a number for each input and
    feature. Along feature i lie its cells, one an input, each of length -ln(1 - p_i); a Poisson
    process of rate 1 leaves a cell empty with probability 1 - p_i, independently of the others, so
    the cells that it hits are the active ones, exactly. Points of manifolds are drawn for those
    only. Features with p_i above 1/8 are drawn one uniform number a cell, which is faster there
    (and rounds p_i to 2^-24), and roots with loadings one normal number a cell; children are drawn
    where their parent is active.

    Two more roundings. Gates of roots with loadings are drawn in float32 where p_i is at least
    2^-10, which moves p_i by about 2^-24; rarer ones in float64, whose normal numbers have tails.
    And the shares of exclusive siblings are cut out of [i, i + 1) for the parent i, counted from 0,
    so that about 53 - log2(i) bits of them are left.
    """

    frequencies: Frequencies
    default: Data
    ranks: tuple[tuple[tuple[int, ...], Data], ...]
    orientation: Literal["orthogonal", "random"]
    dimension: int
    seed: int
    scales: Floats | None
    _manifolds: tuple[Data, ...]
    _group: Ints  # (features,): index into manifolds
    _labels: tuple[str, ...]
    _forest: Forest | None  # None where features are independent
    parents: Links | None = field(default=None, metadata=LATER)
    exclusive: bool = field(default=False, metadata=LATER)
    correlation: Correlation | Floats | None = field(default=None, metadata=LATER)

    def __init__(
        self,
        frequencies: Frequencies,
        default: Data,
        ranks: Mapping[Any, Data] | None = None,
        *,
        orientation: Literal["orthogonal", "random"] = "orthogonal",
        dimension: int | None = None,
        seed: int = 0,
        scales: Any = None,
        parents: Mapping[Any, int] | None = None,
        exclusive: bool = False,
        correlation: Any = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        values = arguments(
            frequencies, default, ranks, orientation, dimension, seed, scales,
            parents, exclusive, correlation, labels,
        )  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Superposition)
            and self._labels == other._labels
            and text_of(self) == text_of(other)
        )

    def __hash__(self) -> int:
        return hash(text_of(self))

    def __getstate__(self) -> dict[str, Any]:
        # what is cached stays here: frames are views, each pickled with the whole basis
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __repr__(self) -> str:
        sizes = np.bincount(self._group)
        groups = ", ".join(
            f"{label!r}: {size} x {manifold!r}"
            for label, size, manifold in zip(self._labels, sizes, self._manifolds, strict=True)
        )
        return (
            f"Superposition({self.frequencies!r}, {{{groups}}}, "
            f"orientation={self.orientation!r}, dimension={self.dimension}"
            f"{dependence(self.parents, self.exclusive, self.correlation)})"
        )

    # ---- what it consists of ----------------------------------------------------------------

    @property
    def features(self) -> int:
        """Number of features."""
        return int(self._group.size)

    @property
    def manifolds(self) -> tuple[Data, ...]:
        """Manifold of each group."""
        return self._manifolds

    @property
    def labels(self) -> tuple[str, ...]:
        """Label of each group."""
        return self._labels

    def group_of(self, ranks: Any) -> Ints:
        """Index into ``labels`` of the group that holds each rank, shape (k,) -> shape (k,)."""
        at = _validate.wholes(
            "ranks", np.atleast_1d(np.asarray(ranks)), low=1, high=self._group.size
        )
        return self._group[at - 1]

    @cached_property
    def probabilities(self) -> Floats:
        """p_i, shape (features,)."""
        return probabilities_of(self.frequencies, self._group.size)

    @property
    def loadings(self) -> Floats:
        """F_i: what each feature's gate takes of the shared factors, shape (features, r)."""
        return np.zeros((self.features, 0)) if self._forest is None else self._forest.loadings

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each feature is among all own coordinates."""
        return tuple(slice(int(a), int(b)) for a, b in pairwise(self._edges))

    @cached_property
    def frames(self) -> tuple[torch.Tensor, ...]:
        """Orthonormal frame of each feature: float32 of shape (dimension, d_i), on the CPU.

        A feature's contribution to inputs is its own coordinates times the frame's transpose. All
        of them together take dimension times the sum of the d_i numbers.
        """
        basis = self._basis
        if basis is None:
            basis = torch.eye(self.dimension, int(self._edges[-1]))
        return tuple(basis[:, s] for s in self.slices)

    @property
    def magnitude(self) -> float:
        """Mean squared norm of an input, inputs without any active feature among them.

        Exact, also where features depend on each other: where subspaces overlap and manifolds have
        means, it counts who is active together (:meth:`together`).
        """
        p, scales = self.probabilities, self._sizes
        own = np.array([m.magnitude for m in self._manifolds])[self._group] * scales**2
        means = [m.mean for m in self._manifolds]
        alone = np.array([float(m @ m) for m in means])[self._group] * (p * scales) ** 2
        if self.orientation == "orthogonal" or not alone.any():
            return float(p @ own)
        return float(p @ own - alone.sum() + self.mean @ self.mean + self._cross)

    @cached_property
    def _cross(self) -> float:
        return 0.0 if self._forest is None else cross_terms(self, self._forest)

    def together(self, first: Any, second: Any) -> Floats:
        """P(i and j): probabilities that two ranks are active together, shape (k,) each -> (k,).

        From p, from bivariate normal probabilities where gates are correlated, and 0 for exclusive
        siblings; a rank with itself has p_i. Nothing is drawn: probabilities are off by rounding,
        and by about 1e-12 where gates have correlations up to 0.999 in size. They never leave
        [max(0, p_i + p_j - 1), min(p_i, p_j)], where rounding alone would put some.

        Raises
        ------
        ValueError
            If ranks do not exist, or there are not as many of both.
        """
        high = self.features
        i = _validate.wholes("first", np.atleast_1d(np.asarray(first)), low=1, high=high) - 1
        j = _validate.wholes("second", np.atleast_1d(np.asarray(second)), low=1, high=high) - 1
        if i.size != j.size:
            raise ValueError(f"second must hold as many ranks as first, {i.size}, got {j.size}")
        return pair_probabilities(self.probabilities, self._forest, i, j)

    @property
    def density(self) -> float:
        """Mean share of coordinates that are not zero, at most: of active features' axes."""
        if self._basis is not None:
            return 1.0
        return float(self.probabilities @ np.diff(self._edges)) / self.dimension

    @property
    def mean(self) -> Floats:
        """Mean input, shape (dimension,)."""
        weights = self.probabilities * self._sizes
        means = [m.mean for m in self._manifolds]
        own = np.concatenate([w * means[g] for w, g in zip(weights, self._group, strict=True)])
        if self._basis is None:
            return np.pad(own, (0, self.dimension - own.size))
        return np.asarray(self._basis.double().numpy() @ own)

    # ---- samples ----------------------------------------------------------------------------

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw inputs, float32 of shape (count, dimension)."""
        return self._inputs(self._draw(check_draw(count, generator), generator, None))

    def sample_parts(self, count: int, generator: torch.Generator) -> Parts:
        """Draw the same inputs as :meth:`sample`, with what each feature contributed."""
        count, device = check_draw(count, generator), generator.device
        active = torch.zeros(count, self.features, dtype=torch.bool, device=device)
        coordinates = self._draw(count, generator, active)
        basis = None if self._basis is None else self._basis.to(device)
        return Parts(self._inputs(coordinates), active, coordinates, self.slices, basis)

    def _draw(
        self, count: int, generator: torch.Generator, active: torch.Tensor | None
    ) -> torch.Tensor:
        """Own coordinates of all features, 0 where idle; marks what is active."""
        device = generator.device
        width = self.dimension if self._basis is None else int(self._edges[-1])
        out = torch.zeros(count, width, device=device)
        starts = torch.tensor(self._edges, device=device)
        scales = None if self.scales is None else torch.tensor(self.scales, device=device).float()
        for feature, row, cuts in self._drawing.draw(count, generator):
            if active is not None:
                active.view(-1).index_fill_(0, row * active.shape[1] + feature, True)
            at = row * width + starts[feature]
            for manifold, (low, high) in zip(self._manifolds, pairwise(cuts), strict=True):
                if low == high:
                    continue
                x = manifold.sample(high - low, generator)
                if scales is not None:
                    x = x * scales[feature[low:high], None]
                where = at[low:high, None] + torch.arange(manifold.dimension, device=device)
                out.view(-1).index_copy_(0, where.view(-1), x.reshape(-1))
        return out

    def _inputs(self, coordinates: torch.Tensor) -> torch.Tensor:
        basis = self._basis
        return coordinates if basis is None else coordinates @ basis.to(coordinates.device).T

    @cached_property
    def _drawing(self) -> Drawing:
        return Drawing(self.probabilities, self._group, self._forest)

    @cached_property
    def _edges(self) -> Ints:
        """Where features begin among all own coordinates; (features + 1,)."""
        sizes = np.array([m.dimension for m in self._manifolds], dtype=np.int64)[self._group]
        return np.concatenate(([0], np.cumsum(sizes)))

    @cached_property
    def _sizes(self) -> Floats:
        return np.ones(self.features) if self.scales is None else self.scales

    @cached_property
    def _basis(self) -> torch.Tensor | None:
        """Frames side by side, (dimension, sum of d_i) float32; None if they are axes."""
        if self.orientation == "orthogonal":
            return None
        return random_frames(self._edges, self.dimension, self.seed)

    # ---- back to the theory -----------------------------------------------------------------

    def population(
        self, curves: Mapping[str, LossCurve | MeasuredCurve], *, relative: bool = False
    ) -> Population:
        """Return the solver's population: what N latents buy on these features.

        It holds the probabilities p_i and nothing of who is active together. The theory's loss,
        sum_i p_i L_i(n_i), is a sum of expectations, which needs no independence: it holds for
        correlated and hierarchical features too, as long as each latent serves one feature and
        L_i(n_i) is what those latents leave of it. What dependence changes is whether latents stay
        specific: where features come together, one latent for both may pay.

        Parameters
        ----------
        curves
            Label -> curve, for every label. A measured one is taken by its ``to_curve()``; if it
            has no point at n = 0 the loss there is the manifold's magnitude, which is what a
            feature without latents loses.
        relative
            False (default): a curve is the loss of the feature at its own size, as measured on
            its manifold; L(0) is the manifold's magnitude, and the groups' magnitudes are 1.
            True: a curve is relative to the feature's mean squared size; L(0) is 1, and a feature
            weighs its manifold's magnitude times its scale squared.

        Raises
        ------
        ValueError
            If labels are missing or unknown, or scales are not 1 and ``relative`` is False: with
            an L1 penalty a feature of scale s has the loss s^2 L(n; l1/s), which no factor makes
            of L(n; l1). State the size in the manifold and measure there; or, for losses that are
            all squared error (TopK), divide them by the magnitude and set ``relative``.
        """
        return population_of(self, curves, relative)
