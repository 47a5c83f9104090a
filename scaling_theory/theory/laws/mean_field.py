"""Mixtures on average, at one price, over all ways to draw which rank has which curve.

At one price the latents, discovered features and loss of a mixture are, on average over draws,
those of its groups weighted by their shares: a sum of uniform laws. Shares that depend on the rank
(frequent features are manifolds more often, say) weigh the first thousand ranks one by one and the
others in stretches of a factor 1.5. Derived here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._sums import power_sum_after
from scaling_theory._validate import Floats
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import ShiftedPower
from scaling_theory.groups import ListedBlock, TailBlock
from scaling_theory.ranks import TailRanks
from scaling_theory.theory.laws.composite import CompositeLaw
from scaling_theory.theory.laws.limits import Many, limits
from scaling_theory.theory.laws.parts import LISTED, ColumnPart, ListedPart, Part
from scaling_theory.theory.laws.prediction import Prediction, must_fall, power_law, prediction
from scaling_theory.theory.laws.uniform import uniform_law

#: Stretches of ranks over which shares count as constant: ends, as a ratio, and the last.
_RATIO, _LAST = 1.5, 1e15

Share = float | Callable[[Floats], Floats]


def mean_field(frequencies: ShiftedPower, groups: Mapping[str, tuple[Any, ...]]) -> Prediction:
    """Predict a mixture on average, at one price, over all ways to draw which rank has which curve.

    The average is of N, D and the loss at a common price of a latent. At a common N the mean over
    draws is larger, and in the pathological regime neither is typical: a single draw differs by
    the luck of its lowest ranks, see :func:`scaling_theory.theory.takeover_draws`.

    Parameters
    ----------
    frequencies
        Power law over infinitely many features.
    groups
        Label -> (share, curve) or (share, curve, magnitude). A share is a number, or a function
        of the rank (array of shape (k,) -> array of shape (k,)) for a correlation between rank
        and curve; shares are in [0, 1] and sum to 1 at every rank. A distribution of exponents is
        a group for each node of a quadrature.

    Returns
    -------
    Prediction
        With shares that depend on the rank, constants are those of the shares at rank 1e15.

    Raises
    ------
    ValueError
        If the frequencies are not an infinite power law, or the shares do not sum to 1.
    """
    members = mixture_members(frequencies, groups)
    if not any(callable(entry[0]) for entry in groups.values()):
        parts: list[tuple[str, float, Part]] = [
            (label, m.share, uniform_law(frequencies, m.curve, m.scale / frequencies.normaliser))
            for label, m in members.items()
        ]
    else:
        parts = [
            (label, weight, part)
            for label, m in members.items()
            for weight, part in _graded(frequencies, m, _at_ranks(label, groups[label][0]))
        ]
    return prediction(
        frequencies, CompositeLaw(tuple(parts)), limits(frequencies, [*members.values()])
    )


def mixture_members(
    frequencies: ShiftedPower, groups: Mapping[str, tuple[Any, ...]]
) -> dict[str, Many]:
    """Check the groups of a mixture over all ranks of an infinite law."""
    law = power_law("frequencies", frequencies)
    if law.count is not None:
        raise ValueError(f"frequencies must be infinitely many, got {law!r}")
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(f"groups must map labels to (share, curve), got {groups!r}")
    total = np.zeros(_MIDDLES.size)
    members = {}
    for label, entry in groups.items():
        if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
            raise ValueError(
                f"groups must map labels to (share, curve) or (share, curve, magnitude), "
                f"got {entry!r} for {label!r}"
            )
        share, curve = _at_ranks(label, entry[0]), entry[1]
        magnitude = _validate.real(
            f"magnitude of group {label!r}",
            entry[2] if len(entry) == 3 else 1.0,
            low=0.0,
            low_open=True,
        )
        if not isinstance(curve, LossCurve) or curve.size is not None:
            raise ValueError(f"curve of group {label!r} must be one LossCurve, got {curve!r}")
        must_fall(label, curve)
        total += share
        last = float(share[-1])
        members[label] = Many(
            last,
            law.normaliser * magnitude,
            curve,
            partial(_power_sum, share, law.shift),
            -last * (0.5 + law.shift),
            law.shift,
        )
    if (np.abs(total - 1.0) > 1e-9).any():
        worst = int(np.argmax(np.abs(total - 1.0)))
        raise ValueError(
            f"shares must sum to 1, got {total[worst]!r} at rank {_MIDDLES[worst]:.0f}"
        )
    return members


def _stretches() -> tuple[Floats, Floats]:
    """Ends of the stretches after the listed ranks, and the rank that stands for each rank or one.

    The listed ranks stand for themselves; the last stretch has no end.
    """
    number = int(np.ceil(np.log(_LAST / LISTED) / np.log(_RATIO)))
    ends = np.rint(LISTED * _RATIO ** np.arange(number + 1.0))
    middles = np.rint(np.sqrt(ends[:-1] * ends[1:]))
    return ends, np.concatenate([np.arange(1.0, LISTED + 1.0), middles, ends[-1:]])


_ENDS, _MIDDLES = _stretches()


def _at_ranks(label: str, share: Share) -> Floats:
    """Share at each rank that stands for others."""
    name = f"share of group {label!r}"
    if callable(share):
        return _validate.reals(name, np.asarray(share(_MIDDLES.copy())), low=0.0, high=1.0)
    value = _validate.real(name, share, low=0.0, high=1.0, low_open=True)
    return np.full(_MIDDLES.size, value)


def _power_sum(share: Floats, offset: float, s: float) -> float:
    """Sum of share (i + offset)^-s over all ranks."""
    head = (share[:LISTED] * (_MIDDLES[:LISTED] + offset) ** -s).sum()
    after = power_sum_after(_ENDS, s, offset, None)
    stretches = after - np.append(after[1:], 0.0)
    return float(head + (share[LISTED:] * stretches).sum())


def _graded(law: ShiftedPower, members: Many, share: Floats) -> list[tuple[float, Part]]:
    """Parts of one group whose share depends on the rank."""
    magnitude = members.scale / law.normaliser
    ranks = np.arange(1, LISTED + 1, dtype=np.int64)
    p = law._at(ranks)
    listed = ListedBlock(0, members.curve, ranks, p, p * magnitude)
    parts: list[tuple[float, Part]] = [(1.0, ListedPart(listed, share[:LISTED]))]
    everything, none = np.ones(1, dtype=np.int64), np.empty(0, dtype=np.int64)
    ends = [*_ENDS.astype(np.int64).tolist(), None]
    for start, end, weight in zip(ends[:-1], ends[1:], share[LISTED:].tolist(), strict=True):
        tail = TailRanks(start, end, 1, everything, none)
        block = TailBlock(0, members.curve, tail, law, magnitude)
        parts.append((weight, ColumnPart(block)))
    return parts
