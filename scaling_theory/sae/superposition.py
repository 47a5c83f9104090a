"""Many features at once: each active independently, on a manifold of its own.

``Superposition(frequencies, default=Points(), ranks={1: Circle()})`` is the twin of ``Population``:
manifolds where it has curves. :meth:`Superposition.population` gives the solver's problem for it.
Features count from 0 where tensors are indexed (``active[:, i]``, ``frames[i]``, ``parts.part(i)``)
and from 1 where they are ranks; feature i has rank i + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import Frequencies
from scaling_theory.groups import Group
from scaling_theory.measured import MeasuredCurve
from scaling_theory.population import Population
from scaling_theory.sae._activity import Plan, often, seldom
from scaling_theory.sae._features import ambient, checked_count, exceptions_of, groups_of, named
from scaling_theory.sae.canonical import seed_of, text_of
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import check_draw

#: Features that are active more often than this are drawn input by input; see Superposition.
_OFTEN = 0.125


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Superposition(Data):
    """Sum of features, each active with its own probability and then drawn from its manifold.

    Parameters
    ----------
    frequencies
        Probability p_i that feature i is active, independently of the others: finitely many, none
        above 1.
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

    Raises
    ------
    ValueError
        If an argument is out of range, or ranks repeat or do not exist.

    Notes
    -----
    What is active is drawn without a number for each input and feature. Along feature i lie its
    cells, one an input, each of length -ln(1 - p_i); a Poisson process of rate 1 leaves a cell
    empty with probability 1 - p_i, independently of the others, so the cells that it hits are the
    active ones, exactly. Points of manifolds are drawn for those only. Features with p_i above 1/8
    are drawn one uniform number a cell, which is faster there (and rounds p_i to 2^-24).
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
        labels: Mapping[str, str] | None = None,
    ) -> None:
        count = checked_count(frequencies)
        if not isinstance(default, Data):
            raise ValueError(f"default must be a manifold, got {default!r}")
        exceptions = exceptions_of(default, {} if ranks is None else ranks, count)
        if orientation not in ("orthogonal", "random"):
            raise ValueError(f"orientation must be 'orthogonal' or 'random', got {orientation!r}")
        manifolds, group = groups_of(default, exceptions, count)
        seed = _validate.whole("seed", seed)
        if orientation == "orthogonal" and seed != 0:
            raise ValueError(
                f"seed must be 0 with orientation='orthogonal', where nothing is drawn, got {seed}"
            )
        if scales is not None:
            scales = _validate.reals("scales", scales, low=1e-15, high=1e15)
            if scales.size != count:
                raise ValueError(f"scales must hold {count} numbers, got {scales.size}")
            scales = None if (scales == 1.0).all() else scales
        values = {
            "frequencies": frequencies,
            "default": default,
            "ranks": exceptions,
            "orientation": orientation,
            "dimension": ambient(dimension, orientation, [m.dimension for m in manifolds], group),
            "seed": seed,
            "scales": scales,
            "_manifolds": manifolds,
            "_group": group,
            "_labels": named(manifolds, {} if labels is None else labels),
        }
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

    def __repr__(self) -> str:
        sizes = np.bincount(self._group)
        groups = ", ".join(
            f"{label!r}: {size} x {manifold!r}"
            for label, size, manifold in zip(self._labels, sizes, self._manifolds, strict=True)
        )
        return (
            f"Superposition({self.frequencies!r}, {{{groups}}}, "
            f"orientation={self.orientation!r}, dimension={self.dimension})"
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
        values = self.frequencies.at(np.arange(1, self._group.size + 1))
        values = np.minimum(values, 1.0)  # rounding: they were checked
        values.flags.writeable = False
        return values

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
        """Mean squared norm of an input, inputs without any active feature among them."""
        p, scales = self.probabilities, self._sizes
        own = np.array([m.magnitude for m in self._manifolds])[self._group] * scales**2
        means = [m.mean for m in self._manifolds]
        alone = np.array([float(m @ m) for m in means])[self._group] * (p * scales) ** 2
        if self.orientation == "orthogonal" or not alone.any():
            return float(p @ own)
        return float(p @ own - alone.sum() + self.mean @ self.mean)

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
        for frequent, plan in ((True, self._plan[0]), (False, self._plan[1])):
            if not plan.features.numel():
                continue
            draw = often if frequent else seldom
            cells = draw(plan.rates.to(device), count, generator)
            ends = torch.tensor(plan.edges, device=device) * count
            cuts = torch.searchsorted(cells, ends).tolist()
            if not cells.numel():
                continue
            feature = plan.features.to(device)[cells // count]
            row = cells % count
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
    def _plan(self) -> tuple[Plan, Plan]:
        """Features to draw often and seldom, group by group."""
        p, order = self.probabilities, np.argsort(self._group, kind="stable")
        frequent = p[order] > _OFTEN
        return (
            self._part(order[frequent], lambda at: torch.tensor(p[at], dtype=torch.float32)),
            self._part(order[~frequent], lambda at: torch.tensor(-np.log1p(-p[at]))),
        )

    def _part(self, at: Ints, rates: Any) -> Plan:
        edges = np.searchsorted(self._group[at], np.arange(len(self._manifolds) + 1))
        return Plan(torch.tensor(at), rates(at), edges.tolist())

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
        generator = torch.Generator().manual_seed(seed_of("frames", self.seed))
        drawn = torch.randn(
            int(self._edges[-1]), self.dimension, generator=generator, dtype=torch.float64
        ).T
        basis = torch.empty(drawn.shape)
        sizes = np.diff(self._edges)
        for size in np.unique(sizes):
            columns = torch.tensor(self._edges[:-1][sizes == size, None] + np.arange(size))
            q, r = torch.linalg.qr(drawn[:, columns].movedim(1, 0))
            # Signs such that r has a positive diagonal: else q is not uniform.
            q = q * torch.where(r.diagonal(dim1=-2, dim2=-1) < 0.0, -1.0, 1.0)[:, None]
            basis[:, columns.view(-1)] = q.movedim(0, 1).reshape(self.dimension, -1).float()
        return basis

    # ---- back to the theory -----------------------------------------------------------------

    def population(
        self, curves: Mapping[str, LossCurve | MeasuredCurve], *, relative: bool = False
    ) -> Population:
        """Return the solver's population: what N latents buy on these features.

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
        if not isinstance(curves, Mapping):
            raise ValueError(f"curves must map labels to curves, got {curves!r}")
        for kind, wrong in {
            "must have a curve for every label, got none for": set(self.labels) - set(curves),
            "must have no other labels, got": set(curves) - set(self.labels),
        }.items():
            if wrong:
                raise ValueError(
                    f"curves {kind} {sorted(wrong, key=str)}; the labels are {list(self.labels)}"
                )
        if not isinstance(relative, bool):
            raise ValueError(f"relative must be True or False, got {relative!r}")
        if self.scales is not None and not relative:
            raise ValueError(
                f"scales must be 1 for curves of features at their own size, got up to "
                f"{float(self.scales.max())!r}: a penalty does not scale with the feature. State "
                f"the size in the manifold (Circle(radius=2)) and measure there, or give curves "
                f"relative to the squared size and relative=True"
            )
        groups = []
        for index, (label, manifold) in enumerate(zip(self.labels, self.manifolds, strict=True)):
            curve, unit = curves[label], 1.0 if relative else manifold.magnitude
            if isinstance(curve, MeasuredCurve):
                curve = curve.to_curve(at_zero=None if curve.n[0] == 0 else unit)
            at = np.flatnonzero(self._group == index)
            weight = manifold.magnitude * self._sizes[at] ** 2 if relative else 1.0
            groups.append(Group(label, curve, at + 1, weight))
        return Population.from_groups(self.frequencies, groups)


class Parts(NamedTuple):
    """Inputs, and what each feature contributed to them.

    Attributes
    ----------
    x : (count, d) float32
        The inputs.
    active : (count, features) bool
        Which features are in them.
    coordinates : (count, sum of d_i) float32
        Own coordinates of all features, side by side. With orthogonal features these are the
        inputs, and share their memory.
    slices : tuple of slice
        Columns of ``coordinates`` of each feature.
    basis : (d, sum of d_i) float32, or None
        Frames of the features, side by side; None if they are the coordinate axes.
    """

    x: torch.Tensor
    active: torch.Tensor
    coordinates: torch.Tensor
    slices: tuple[slice, ...]
    basis: torch.Tensor | None

    def own(self, i: int) -> torch.Tensor:
        """Coordinates of feature i in its own frame, (count, d_i), 0 where it is idle; a view."""
        return self.coordinates[:, self.slices[i]]

    def part(self, i: int) -> torch.Tensor:
        """Return the contribution of feature i to the inputs, (count, d); their sum is x."""
        if self.basis is not None:
            return self.own(i) @ self.basis[:, self.slices[i]].T
        out = torch.zeros_like(self.x)
        out[:, self.slices[i]] = self.own(i)
        return out
