"""Who is active where features depend on each other: parents, exclusive siblings, shared factors.

A feature has a gate, open with probability q_i = p_i / p_parent (p_i for roots), and is active if
its gate and its parent's ancestors' are open. Gates of different depths are independent: factors
are drawn anew for each depth. So gates along a path are independent, and P(i) is the product of
their probabilities, which is p_i: exactly, whatever the loadings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, final

import numpy as np
import torch

from scaling_theory import _validate
from scaling_theory._validate import Floats, Ints
from scaling_theory.sae._activity import often, seldom
from scaling_theory.sae.correlation import excess

#: Features that are active more often than this are drawn input by input; see Superposition.
OFTEN = 0.125
#: Gates with loadings that are open less often than this are drawn in float64, whose normal numbers
#: have tails.
_FINE = 2.0**-10
#: Most numbers drawn at once.
_NUMBERS = 2**20
#: Pairs of features looked at at once: few enough to stay in a cache.
_PAIRS = 2**17
#: Rounding that sums of probabilities may be off by, relative.
_ROUNDING = 1e-12

Links = tuple[tuple[tuple[int, ...], int], ...]
#: Active cells: features and rows.
Found = tuple[torch.Tensor, torch.Tensor]


def links_of(parents: Any, count: int) -> Links | None:
    """(children, parent) in ranks, by parent; None where there are none."""
    if parents is None:
        return None
    if not isinstance(parents, Mapping):
        raise ValueError(f"parents must map ranks to the rank of their parent, got {parents!r}")
    families: dict[int, list[int]] = {}
    seen: set[int] = set()
    for key, parent in parents.items():
        if isinstance(key, tuple | range) and not key:
            raise ValueError(f"parents must not have an empty key, got {key!r}")
        above = _validate.whole("parents (the parent)", parent, low=1, high=count)
        keys: Iterable[Any] = key if isinstance(key, tuple | range) else (key,)
        for each in keys:
            child = _validate.whole("parents (the child)", each, low=1, high=count)
            if child in seen:
                raise ValueError(f"parents must give each child one parent, got {child} twice")
            seen.add(child)
            families.setdefault(above, []).append(child)
    return tuple((tuple(sorted(c)), p) for p, c in sorted(families.items())) or None


@final
@dataclass(frozen=True, eq=False)
class Forest:
    """Gates of features, their order, and how they are drawn.

    Attributes
    ----------
    p, conditional : (features,) float64
        P(i), and q_i = P(i | parent).
    parent, depth : (features,) int64
        Index of the parent, -1 for roots; roots have depth 0.
    exclusive
        Whether at most one child of a parent is active.
    loadings : (features, r) float64
        On the factors; rows of 0 where a gate depends on nothing.
    """

    p: Floats
    conditional: Floats
    parent: Ints
    depth: Ints
    exclusive: bool
    loadings: Floats

    @classmethod
    def of(cls, p: Floats, links: Links | None, exclusive: bool, loadings: Floats) -> Forest:
        """Check that the probabilities allow it.

        Raises
        ------
        ValueError
            If features are their own ancestors, or children are more likely than their parent.
        """
        parent = np.full(p.size, -1, dtype=np.int64)
        for children, above in links or ():
            parent[np.array(children) - 1] = above - 1
        depth = _depths(parent)
        conditional = p.copy()
        below = np.flatnonzero(parent >= 0)
        conditional[below] = p[below] / p[parent[below]]
        if (conditional > 1.0 + _ROUNDING).any():
            child = int(np.argmax(conditional))
            raise ValueError(
                f"parents must be at least as likely as their children, got p = "
                f"{float(p[parent[child]])!r} for rank {parent[child] + 1} and {float(p[child])!r} "
                f"for its child, rank {child + 1}"
            )
        if exclusive:
            share = np.bincount(parent[below], conditional[below], minlength=p.size)
            if (share > 1.0 + _ROUNDING).any():
                above = int(np.argmax(share))
                raise ValueError(
                    f"exclusive=True must have children that together are at most as likely as "
                    f"their parent, got {float(share[above] * p[above])!r} for the children of "
                    f"rank {above + 1}, which has {float(p[above])!r}"
                )
        return cls(p, np.minimum(conditional, 1.0), parent, depth, exclusive, loadings)

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}  # nothing cached

    # ---- samples ----------------------------------------------------------------------------

    def draw(self, count: int, generator: torch.Generator) -> Found:
        """Active cells, depth by depth: (feature, row), both int64."""
        found: list[Found] = []
        for depth in range(int(self.depth.max()) + 1):
            here = self.depth == depth
            factors = self._factors(here, count, generator)
            if depth == 0:
                cells = self._roots(here, factors, count, generator)
            elif self.exclusive:
                cells = self._chosen(*found[-1], generator)
            else:
                cells = self._opened(*found[-1], factors, generator)
            found.append(cells)
        return torch.cat([f for f, _ in found]), torch.cat([r for _, r in found])

    def _factors(self, here: Any, count: int, generator: torch.Generator) -> torch.Tensor | None:
        if not self.loadings[here].any():
            return None
        shape = (count, self.loadings.shape[1])
        return torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float64)

    def _roots(
        self, here: Any, factors: torch.Tensor | None, count: int, generator: torch.Generator
    ) -> Found:
        device = generator.device
        loaded = here & self.loadings.any(axis=1)
        found: list[Found] = []
        if factors is not None:
            gates = self._gates(device)
            for fine in (False, True):
                at = np.flatnonzero(loaded & ((self.p < _FINE) == fine))
                kind = torch.float64 if fine else torch.float32
                wide = factors.to(kind)
                for some in np.array_split(at, max(1, -(-at.size * count // _NUMBERS))):
                    index = torch.tensor(some, device=device)
                    level, own, left = (v[index].to(kind) for v in gates)
                    limit = (level[:, None] - own @ wide.T) / left[:, None]
                    shape = limit.shape
                    e = torch.randn(shape, generator=generator, device=device, dtype=kind)
                    where, row = (e < limit).nonzero(as_tuple=True)
                    found.append((index[where], row))
        for frequent in (True, False):
            at = np.flatnonzero(here & ~loaded & ((self.p > OFTEN) == frequent))
            if at.size:
                index, p = torch.tensor(at, device=device), self.p[at]
                if frequent:
                    rates = torch.tensor(p, dtype=torch.float32, device=device)
                    cells = often(rates, count, generator)
                else:
                    cells = seldom(torch.tensor(-np.log1p(-p), device=device), count, generator)
                found.append((index[cells // max(count, 1)], cells % max(count, 1)))
        return torch.cat([f for f, _ in found]), torch.cat([r for _, r in found])

    def _opened(
        self,
        feature: torch.Tensor,
        row: torch.Tensor,
        factors: torch.Tensor | None,
        generator: torch.Generator,
    ) -> Found:
        """Children of active features whose own gates are open."""
        device = generator.device
        starts, sizes, children = (v.to(device) for v in self._families)
        many = sizes[feature]
        child_row = row.repeat_interleave(many)
        first = starts[feature].repeat_interleave(many)
        within = torch.arange(len(child_row), device=device)
        within -= (many.cumsum(0) - many).repeat_interleave(many)
        child = children[first + within]
        shape: dict[str, Any] = {"generator": generator, "device": device, "dtype": torch.float64}
        if factors is None:
            q = torch.tensor(self.conditional, device=device)
            open_ = torch.rand(len(child), **shape) < q[child]
        else:
            level, own, left = self._gates(device)
            e = torch.randn(len(child), **shape)
            open_ = torch.empty(len(child), dtype=torch.bool, device=device)
            for some in torch.split(
                torch.arange(len(child), device=device), _NUMBERS // own.shape[1]
            ):
                c = child[some]
                shared = (own[c] * factors[child_row[some]]).sum(1)
                open_[some] = shared + left[c] * e[some] < level[c]
        return child[open_], child_row[open_]

    def _chosen(
        self, feature: torch.Tensor, row: torch.Tensor, generator: torch.Generator
    ) -> Found:
        """At most one child of each active feature: a point on [0, 1) that shares of q_i cover."""
        device = generator.device
        starts, sizes, children = (v.to(device) for v in self._families)
        ends = torch.tensor(self._ends, device=device)
        has = sizes[feature] > 0
        feature, row = feature[has], row[has]
        at = torch.rand(len(feature), generator=generator, device=device, dtype=torch.float64)
        which = torch.searchsorted(ends, feature + at, right=True)
        one = which < (starts + sizes)[feature]
        return children[which[one]], row[one]

    def _gates(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """Thresholds t_i, loadings F_i and sqrt(1 - |F_i|^2), in float64."""
        left = np.sqrt(1.0 - (self.loadings**2).sum(axis=1))
        return tuple(torch.tensor(v, device=device) for v in (self._levels, self.loadings, left))

    @cached_property
    def _levels(self) -> Floats:
        from scipy.special import ndtri

        return np.asarray(ndtri(self.conditional))

    @cached_property
    def _families(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Where each feature's children begin, how many they are, and all of them in that order."""
        below = np.flatnonzero(self.parent >= 0)
        children = below[np.argsort(self.parent[below], kind="stable")]
        sizes = np.bincount(self.parent[below], minlength=self.p.size)
        starts = np.cumsum(sizes) - sizes
        return torch.tensor(starts), torch.tensor(sizes), torch.tensor(children)

    @cached_property
    def _ends(self) -> Floats:
        """Ends of the children's shares, each family's in [f, f + 1] for its feature f."""
        starts, sizes, children = (v.numpy() for v in self._families)
        total = np.cumsum(self.conditional[children])
        before = np.repeat(
            (total - self.conditional[children])[starts[sizes > 0]], sizes[sizes > 0]
        )
        return np.asarray(self.parent[children] + np.minimum(total - before, 1.0))

    # ---- probabilities ----------------------------------------------------------------------

    def covariances(self, rows: Ints, columns: Ints) -> Floats:
        """P(i and j) - P(i) P(j) of some features i with some features j: (rows, columns).

        P(i and j) is the product over depths of what the gates of i's and j's ancestors there
        (themselves included) do together: q where they are the same, the bivariate normal
        probability where they differ, 0 for exclusive siblings, q of the one where the other has
        no ancestor so deep.
        """
        together = np.ones((rows.size, columns.size))
        q = np.append(self.conditional, 1.0)  # -1: nobody
        for depth, line in enumerate(self._lines):
            i, j = line[rows], line[columns]
            a, b = i[:, None], j[None, :]
            gate = np.outer(q[i], q[j])
            if depth and self.exclusive:
                gate[(a >= 0) & (b >= 0) & (self.parent[a] == self.parent[b])] = 0.0
            else:
                some, others = (np.flatnonzero((v >= 0) & self._loaded[v]) for v in (i, j))
                if some.size and others.size:
                    i, j = i[some], j[others]
                    rho = self.loadings[i] @ self.loadings[j].T
                    rho[i[:, None] == j] = 0.0  # the same gate, see below
                    more = excess(self._levels[i][:, None], self._levels[j], rho)
                    if more.shape == gate.shape:
                        gate += more
                    else:
                        gate[np.ix_(some, others)] += more
            together *= np.where((a == b) & (a >= 0), q[a], gate)
        return together - np.outer(self.p[rows], self.p[columns])

    @cached_property
    def _loaded(self) -> Any:
        return self.loadings.any(axis=1)

    @cached_property
    def _lines(self) -> list[Ints]:
        """By depth: the ancestor of each feature there, or itself; -1 if it is not so deep."""
        deepest = int(self.depth.max())
        at = np.arange(self.p.size)
        lines = [at] * (deepest + 1)
        for depth in range(deepest, -1, -1):
            lines[depth] = np.where(self.depth[at] == depth, at, -1)
            at = np.where((self.depth[at] == depth) & (depth > 0), self.parent[at], at)
        return lines

    def blocks(self) -> list[Ints]:
        """Features in blocks for :meth:`covariances`."""
        size = max(1, _PAIRS // self.p.size)
        return np.array_split(np.arange(self.p.size), -(-self.p.size // size))


def _depths(parent: Ints) -> Ints:
    """Number of ancestors; refuses features that are their own."""
    depth = np.zeros(parent.size, dtype=np.int64)
    at = parent.copy()
    for _ in range(int((parent >= 0).sum()) + 1):
        above = at >= 0
        if not above.any():
            return depth
        depth += above
        at[above] = parent[at[above]]
    rank = int(at.max()) + 1
    raise ValueError(f"parents must not go round in a circle, got rank {rank} below itself")
