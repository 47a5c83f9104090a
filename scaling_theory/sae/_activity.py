"""Which features are active on which inputs, drawn exactly.

Cells are pairs of a feature and a row. Cells of frequent features take a uniform number each; for
rare ones a Poisson process over cells of length -ln(1 - p) draws numbers only for what is active: a
cell is hit with probability p, independently of the others.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Plan(NamedTuple):
    """Features drawn in one way: (k,) indices by group, their rates, and where groups begin."""

    features: torch.Tensor
    rates: torch.Tensor
    edges: list[int]


def often(p: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Active cells, feature * count + row, ascending: a uniform number for each."""
    drawn = torch.rand(len(p), count, generator=generator, device=generator.device)
    return (drawn < p[:, None]).view(-1).nonzero().view(-1)


def seldom(hazard: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Active cells, feature * count + row, ascending: those that a Poisson process hits.

    Its points, given their number, are uniform, and come in order as normalised sums of
    exponentials.
    """
    ends = hazard.cumsum(0) * count
    hits = int(torch.poisson(ends[-1:], generator=generator))
    uniform = torch.rand(hits + 1, generator=generator, device=ends.device, dtype=torch.float64)
    sums = uniform.neg_().add_(1.0).log_().neg_().cumsum(0)  # 1 - u is never 0
    at = sums[:-1] * (ends[-1] / sums[-1])
    feature = torch.searchsorted(ends, at, right=True).clamp_(max=len(hazard) - 1)
    row = ((at - ends[feature]) / hazard[feature]).add_(count).long().clamp_(0, count - 1)
    cells = feature.mul_(count).add_(row)
    first = torch.ones_like(cells, dtype=torch.bool)
    torch.ne(cells[1:], cells[:-1], out=first[1:])
    return cells[first]
