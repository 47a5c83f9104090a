"""Active cells of a superposition, (feature, row), group by group: what manifolds are drawn for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np
import torch

from scaling_theory._validate import Floats, Ints
from scaling_theory.sae._activity import Plan, often, seldom
from scaling_theory.sae._forest import OFTEN, Forest

Cells = tuple[torch.Tensor, torch.Tensor, list[int]]


@final
class Drawing:
    """How active cells are drawn.

    Parameters
    ----------
    p
        Probabilities, shape (features,).
    group
        Index of each feature's manifold; all from 0 on are there.
    forest
        Who depends on whom; None if features are independent.
    """

    def __init__(self, p: Floats, group: Ints, forest: Forest | None) -> None:
        self._p, self._group, self._forest = p, group, forest
        order = np.argsort(group, kind="stable")
        self._edges = [0, *np.cumsum(np.bincount(group)).tolist()]
        self._place = torch.tensor(np.argsort(order))  # of each feature, group by group
        frequent = p[order] > OFTEN
        self._plans = (
            self._part(order[frequent], lambda at: torch.tensor(p[at], dtype=torch.float32)),
            self._part(order[~frequent], lambda at: torch.tensor(-np.log1p(-p[at]))),
        )

    def draw(self, count: int, generator: torch.Generator) -> Iterator[Cells]:
        """Active cells of so many rows: (feature, row, where groups begin among them).

        Whoever takes them draws from the same generator before the next come.
        """
        device = generator.device
        if self._forest is not None:
            feature, row = self._forest.draw(count, generator)
            place = self._place.to(device)[feature]
            order = (place * count + row).argsort()
            edges = torch.tensor(self._edges, device=device)
            yield feature[order], row[order], torch.searchsorted(place[order], edges).tolist()
            return
        for draw, plan in zip((often, seldom), self._plans, strict=True):
            if not plan.features.numel():
                continue
            cells = draw(plan.rates.to(device), count, generator)
            ends = torch.tensor(plan.edges, device=device) * count
            cuts = torch.searchsorted(cells, ends).tolist()
            if cells.numel():
                yield plan.features.to(device)[cells // count], cells % count, cuts

    def _part(self, at: Ints, rates: Any) -> Plan:
        edges = np.searchsorted(self._group[at], np.arange(len(self._edges)))
        return Plan(torch.tensor(at), rates(at), edges.tolist())
