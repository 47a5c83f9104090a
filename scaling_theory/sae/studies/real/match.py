"""ReLU SAEs at the L0 of a TopK family: two weights of the penalty, one on either side.

L0 falls as the penalty grows, about as a power of it. At each width the search begins with the two
weights that were good at the width before, and goes on until the wanted L0 lies between two runs
that are not further from it than a factor of ``WIDEST``. What is tried depends on results
of runs alone, so a search that was stopped goes on with what is stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from scaling_theory.sae.architectures import ReLU
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.trainer import TrainingFailed

#: How far from the wanted L0 the next run aims, as a factor, and may end up.
_AIM, WIDEST = 1.15, 1.7
#: L0 falls as this power of the weight, to go by until two runs are there; the longest step.
_POWER, _LONGEST = 1.2, 4.0
#: From a weight that was tried to one that was not.
_NUDGE = 1.07
#: Weight, L0, run.
_Tried = tuple[float, float, RunSpec]
#: Most runs at one width and seed.
MOST: Final = 12


def match(
    wanted: float,
    first: Sequence[float],
    spec: Callable[[ReLU], RunSpec],
    l0: Callable[[RunSpec], float],
) -> list[RunSpec]:
    """Return runs on either side of a wanted L0, that with the larger L0 first.

    Parameters
    ----------
    wanted
        L0.
    first
        Weights of the penalty to begin with: one, or two.
    spec
        The run with an architecture.
    l0
        Trains a run, unless it is stored, and returns its L0.

    Raises
    ------
    TrainingFailed
        If ``MOST`` runs were not enough.
    """
    tried: list[_Tried] = []
    begin = list(first)
    l1 = begin.pop(0)
    while len(tried) < MOST:
        run = spec(ReLU(l1=_rounded(l1)))
        assert isinstance(run.architecture, ReLU)
        tried.append((run.architecture.l1, l0(run), run))
        above = min((t for t in tried if t[1] >= wanted), key=lambda t: t[1], default=None)
        below = max((t for t in tried if t[1] < wanted), key=lambda t: t[1], default=None)
        far = [t is None or _apart(t[1], wanted) > WIDEST for t in (above, below)]
        if above is not None and below is not None:
            if not any(far):
                return [above[2], below[2]]
            l1 = _between(above, below, wanted * _AIM if far[0] else wanted / _AIM)
        elif (
            above is not None
        ):  # from the largest weight: where L0 is flat, the nearest leads nowhere
            l1 = max(t[0] for t in tried) * _step(above[1], wanted / _AIM)
        elif below is not None:
            l1 = min(t[0] for t in tried) / _step(wanted * _AIM, below[1])
        if begin:
            l1 = begin.pop(0)
        while any(t[0] == _rounded(l1) for t in tried):  # the same run would say the same again
            l1 *= _NUDGE
    raise TrainingFailed(
        f"no ReLU runs on either side of an L0 of {wanted:g} after {MOST}: l1, L0 were "
        + ", ".join(f"{t[0]:g} {t[1]:.3g}" for t in tried)
        + "; a Preset with another first l1 for these data, or another matched L0, may help"
    )


def _rounded(l1: float) -> float:
    return float(f"{l1:.4g}")


def _apart(a: float, b: float) -> float:
    return max(a / b, b / a) if a > 0.0 else math.inf


def _step(high: float, low: float) -> float:
    """Factor of the weight from one L0 down to another."""
    ratio = high / low if low > 0.0 else math.inf
    return float(min(ratio ** (1.0 / _POWER), _LONGEST))


def _between(above: _Tried, below: _Tried, aim: float) -> float:
    """Weight between two at which a power law through them has the L0 that is aimed at."""
    if not above[0] < below[0]:  # noise: L0 did not fall with the weight
        return above[0] * _step(above[1], aim)
    share = 0.5
    if below[1] > 0.0:
        share = math.log(above[1] / aim) / math.log(above[1] / below[1])
    share = min(max(share, 0.1), 0.9)
    return float(above[0] ** (1.0 - share) * below[0] ** share)
