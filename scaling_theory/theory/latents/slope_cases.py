"""One measured slope of latents, and the model's answer for any (alpha, beta)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import numpy as np

from scaling_theory import _validate
from scaling_theory.allocation.exact import Allocation, allocate
from scaling_theory.curves import DiscreteCurve, PowerLawCurve
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.theory.latents.frequencies import LatentFrequencies, latent_frequencies
from scaling_theory.theory.laws.limits import regime_of

if TYPE_CHECKING:
    import pandas as pd

#: Steps per factor of e in which beta is scanned for solutions, and bisections of each.
_SCAN = 5.0
_BISECTIONS = 16
#: Differences of slopes below this are rounding.
_SAME = 1e-9
#: Solutions at neighbouring alpha belong to one branch if ln beta differs by less.
_NEAR = 1.5


@final
@dataclass(frozen=True, eq=False)
class SlopeCase:
    """One measured SAE, and the model's answer for any (alpha, beta)."""

    slope: float
    latents: int
    ranks: tuple[int, int]
    overlap: Any
    count: int | None
    _known: dict[tuple[float, float], float] = field(default_factory=dict)

    @classmethod
    def of(cls, slope: Any, latents: Any, ranks: Any, overlap: Any, count: Any) -> SlopeCase:
        """Check the arguments."""
        slope = _validate.real("slope", slope, high=0.0, high_open=True)
        number = _validate.whole("latents", latents, low=2, high=10**9)
        if not isinstance(ranks, tuple | list) or len(ranks) != 2:
            raise ValueError(f"ranks must hold two ranks (first, last), got {ranks!r}")
        high = _validate.whole("ranks[1]", ranks[1], low=2, high=number)
        low = _validate.whole("ranks[0]", ranks[0], low=1, high=high - 1)
        if count is not None:
            count = _validate.whole("count", count, low=number, high=10**15)
        return cls(slope, number, (low, high), overlap, count)

    def allocation(self, alpha: float, beta: float) -> Allocation:
        """Return the optimum at this number of latents."""
        count = None if alpha > 0.0 else self.count or self.latents
        curve = DiscreteCurve() if math.isinf(beta) else PowerLawCurve(beta)
        return allocate(Population(PowerLawFrequencies(alpha, count), curve), self.latents)

    def seen(self, alpha: float, beta: float) -> LatentFrequencies:
        """Return what its latents look like."""
        return latent_frequencies(self.allocation(alpha, beta), self.overlap)

    def difference(self, alpha: float, beta: float) -> float:
        """Measured minus model's slope: positive where the model is steeper."""
        if (alpha, beta) not in self._known:
            self._known[alpha, beta] = self.slope - self.seen(alpha, beta).slope(*self.ranks)
        return self._known[alpha, beta]

    def solve(self, alpha: float, low: float, high: float) -> list[tuple[float, str]]:
        """All beta in a range at which the slope is the measured one, and their branches."""
        steps = max(math.ceil(_SCAN * math.log(high / low)), 1)
        grid = np.geomspace(low, high, steps + 1).tolist()
        values = [self.difference(alpha, b) for b in grid]
        found = []
        for k in range(steps):
            one, two = values[k], values[k + 1]
            before = values[k - 1] if k else 0.0
            if abs(one) <= _SAME and before * two < 0.0:  # right on the grid
                found.append((grid[k], "rising" if before < 0.0 else "falling"))
            if one * two < 0.0 and min(abs(one), abs(two)) > _SAME:
                beta = _bisect(lambda b: self.difference(alpha, b), grid[k], grid[k + 1], one)
                found.append((beta, "rising" if one < 0.0 else "falling"))
        return found

    def row(self, alpha: float, beta: float, branch: str) -> dict[str, Any]:
        """Describe a solution."""
        at = self.allocation(alpha, beta)
        flat = at.excess_loss == 0.0 or self.is_open(alpha)
        seen, (low, high) = latent_frequencies(at, self.overlap), self.ranks
        middle = round(math.sqrt(low * high))
        inside = low < middle < high
        return {
            "alpha": alpha,
            "beta": beta,
            "branch": branch,
            "regime": regime_of(alpha, beta),
            "slope": seen.slope(low, high),
            "early_slope": seen.slope(low, middle) if inside else math.nan,
            "late_slope": seen.slope(middle, high) if inside else math.nan,
            "loss_slope": math.nan if flat else -at.price * at.latents / at.excess_loss,
            "most": int(at.latents_at(1)[0]),
            "discovered": at.discovered,
            "efficiency": at.efficiency,
        }

    def is_open(self, alpha: float) -> bool:
        """Whether the loss depends on a number of features that was not given."""
        return alpha <= 0.0 and self.count is None

    def loss_exponent(self, alpha: float, beta: float) -> float:
        """Return -d ln excess / d ln N; nan where it is left open."""
        at = self.allocation(alpha, beta)
        return math.nan if self.is_open(alpha) else at.price * at.latents / at.excess_loss


def _bisect(function: Callable[[float], float], low: float, high: float, at_low: float) -> float:
    """Geometric bisection between two positive numbers at which a function has opposite signs."""
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        if function(middle) * at_low > 0.0:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


Solutions = list[tuple[float, list[tuple[float, str]]]]


def solutions_of(case: SlopeCase, alphas: Any, betas: tuple[Any, Any]) -> Solutions:
    """Solve for each alpha: (alpha, [(beta, branch), ...])."""
    grid = _validate.reals("alphas", alphas, low=-1.0, low_open=True, high=100.0)
    if (np.diff(grid) <= 0.0).any():
        raise ValueError(f"alphas must be increasing, got {alphas!r}")
    low = _validate.real("betas[0]", betas[0], low=1e-3)
    high = _validate.real("betas[1]", betas[1], low=low, low_open=True, high=1000.0)
    return [(a, case.solve(a, low, high)) for a in grid.tolist()]


def along(
    case: SlopeCase, solutions: Solutions, second: Callable[[float, float], float]
) -> list[dict[str, Any]]:
    """Zeros of a second condition along the branches of the first."""
    rows = []
    for (a1, found1), (a2, found2) in pairwise(solutions):
        for b1, branch in found1:
            same = [b for b, other in found2 if other == branch]
            if not same:
                continue
            b2 = min(same, key=lambda b: abs(math.log(b / b1)))
            if abs(math.log(b2 / b1)) > _NEAR or not second(a1, b1) * second(a2, b2) < 0.0:
                continue
            low, high, at_low = a1, a2, second(a1, b1)
            beta = b1
            for _ in range(_BISECTIONS):
                middle = 0.5 * (low + high)
                near = case.solve(middle, 0.7 * min(b1, b2), 1.4 * max(b1, b2))
                betas = [b for b, other in near if other == branch]
                if not betas:
                    break
                beta = min(betas, key=lambda b: abs(math.log(b / beta)))
                if second(middle, beta) * at_low > 0.0:
                    low = middle
                else:
                    high = middle
            else:
                rows.append(case.row(middle, beta, branch))
    return rows


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return solutions as a table."""
    import pandas as pd

    names = [
        "alpha", "beta", "branch", "regime", "slope", "early_slope", "late_slope", "loss_slope",
        "most", "discovered", "efficiency",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=names)
