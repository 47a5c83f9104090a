"""Which feature has which loss curve: labelled groups over shared frequencies.

- ``Population(frequencies, default=curve)``: every feature alike.
- ``Population(frequencies, default=curve, ranks={1: other})``: exceptions by rank.
- ``Population.mixture(frequencies, {"a": (0.01, curve_a), "b": (0.99, curve_b)}, seed=0)``: drawn.
- curves whose parameters are arrays, one value per feature, over finitely many frequencies.
- ``Population.from_groups(frequencies, [Group(...), ...])``: anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any, Self, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Ints
from scaling_theory.curves import LossCurve
from scaling_theory.frequencies import MAX_COUNT, Frequencies, ShiftedPower
from scaling_theory.groups import (
    Block,
    Group,
    ListedBlock,
    TailBlock,
    blocks_by_rank,
    blocks_drawn,
    check_length,
    locate,
)

#: Longest pattern of a mixture's tail.
_MAX_PERIOD = 1_000


@final
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Population:
    """Features with their frequencies and loss curves.

    Parameters
    ----------
    frequencies
        Who is active how often.
    default
        Curve of every rank without an exception. Its parameters may be arrays, one value per
        rank (finite frequencies only).
    ranks
        Exceptions: rank, or tuple or range of ranks, -> curve.
    magnitude
        Mean squared size of the features when active: a number, or one value per rank.
    label
        Label of the default group.

    Raises
    ------
    ValueError
        If ranks repeat or do not exist, or per-feature parameters do not match the frequencies.
    """

    frequencies: Frequencies
    groups: tuple[Group, ...]
    blocks: tuple[Block, ...]

    def __init__(
        self,
        frequencies: Frequencies,
        default: LossCurve,
        ranks: Mapping[Any, LossCurve] | None = None,
        *,
        magnitude: Any = 1.0,
        label: str = "default",
    ) -> None:
        _check_frequencies(frequencies)
        rest = Group(label, default, None, magnitude)
        exceptions = _exceptions({} if ranks is None else ranks, frequencies.count)
        listed = [Group(name, curve, at) for name, curve, at in exceptions]
        if isinstance(magnitude, float | int | np.number) or np.ndim(magnitude) == 0:
            listed = [Group(g.label, g.curve, g.ranks, rest.magnitude) for g in listed]
        else:
            check_length(rest, frequencies.count)
            listed = [Group(g.label, g.curve, g.ranks, rest.magnitude[g.ranks - 1]) for g in listed]
        _build(self, frequencies, [*listed, rest], None)

    @classmethod
    def from_groups(cls, frequencies: Frequencies, groups: Sequence[Group]) -> Self:
        """Population of any groups that hold every rank exactly once.

        At most one group has ``ranks=None`` and takes the rest; its per-feature parameters, if
        any, are indexed by rank 1 .. count.
        """
        _check_frequencies(frequencies)
        if not isinstance(groups, list | tuple):
            raise ValueError(f"groups must be a list of Group objects, got {groups!r}")
        new = object.__new__(cls)
        _build(new, frequencies, list(groups), None)
        return new

    @classmethod
    def mixture(
        cls,
        frequencies: Frequencies,
        groups: Mapping[str, tuple[Any, ...]],
        seed: int | np.random.Generator = 0,
        *,
        head: int = 10_000,
    ) -> Self:
        """Draw which rank has which curve, label -> (share, curve) or (share, curve, magnitude).

        The first ``head`` ranks are drawn independently. Beyond, a random periodic pattern is
        repeated in which every share is exact: the shares must be multiples of 1/Q for a Q of at
        most 1,000. The result is one concrete population, the same for the same seed.

        Parameters
        ----------
        frequencies
            Shared by all groups.
        groups
            Shares are positive and sum to 1.
        seed
            Whole number or numpy Generator.
        head
            Number of ranks drawn one by one, from 0 to 10 million.
        """
        _check_frequencies(frequencies)
        head = _validate.whole("head", head, low=0, high=10_000_000)
        names, shares, members = _mixture_parts(groups)
        rng = (
            seed
            if isinstance(seed, np.random.Generator)
            else np.random.default_rng(_validate.whole("seed", seed))
        )
        count = frequencies.count
        if not isinstance(frequencies, ShiftedPower) and count is not None:
            head = count
        head = head if count is None else min(head, count)
        drawn = rng.choice(len(names), size=head, p=[float(s) for s in shares])
        period = lcm(*(s.denominator for s in shares))
        sizes = [int(s * period) for s in shares]
        pattern = rng.permutation(np.repeat(np.arange(len(names)), sizes))
        new = object.__new__(cls)
        _build(new, frequencies, members, (drawn, pattern))
        return new

    def __repr__(self) -> str:
        return f"Population({self.frequencies!r}, {list(self.groups)!r})"

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the groups."""
        return tuple(group.label for group in self.groups)

    @property
    def count(self) -> int | None:
        """Number of features, or None for infinitely many."""
        return self.frequencies.count

    def without(self, rank: int) -> Population:
        """Return the population with one rank taken out of its block; for the solvers."""
        blocks: list[Block] = []
        for block in self.blocks:
            inside, index = locate(block, np.array([rank], dtype=np.int64))
            if not inside.size:
                blocks.append(block)
            elif isinstance(block, TailBlock):
                tail = block.ranks
                excluded = np.sort(np.append(tail.excluded, rank))
                rest = replace(tail, excluded=excluded)
                blocks.append(replace(block, ranks=rest))
            elif block.ranks.size > 1:
                keep = np.delete(np.arange(block.ranks.size), index)
                blocks.append(
                    ListedBlock(
                        block.group,
                        block.curve.take(keep),
                        block.ranks[keep],
                        block.frequencies[keep],
                        block.weights[keep],
                    )
                )
        new = object.__new__(Population)
        for name in ("frequencies", "groups"):
            object.__setattr__(new, name, getattr(self, name))
        object.__setattr__(new, "blocks", tuple(blocks))
        return new

    def group_of(self, ranks: Any) -> Ints:
        """Index into ``labels`` of the group that holds each rank, shape (k,) -> shape (k,)."""
        listed = np.atleast_1d(np.asarray(ranks))
        at = _validate.wholes("ranks", listed, low=1, high=self.count or MAX_COUNT)
        out = np.full(at.shape, -1, dtype=np.int64)
        for block in self.blocks:
            inside, _ = locate(block, at)
            out[inside] = block.group
        return out


def _build(
    population: Population,
    frequencies: Frequencies,
    groups: list[Group],
    drawn: tuple[Ints, Ints] | None,
) -> None:
    if not groups:
        raise ValueError("groups must not be empty: it holds at least one Group")
    for group in groups:
        if not isinstance(group, Group):
            raise ValueError(f"groups must hold Group objects only, got {group!r}")
    labels = [g.label for g in groups]
    for name in labels:
        if labels.count(name) > 1:
            raise ValueError(f"labels must be distinct, got {name!r} twice")
    blocks = (
        blocks_by_rank(frequencies, groups)
        if drawn is None
        else blocks_drawn(frequencies, groups, *drawn)
    )
    for name, value in {
        "frequencies": frequencies,
        "groups": tuple(groups),
        "blocks": tuple(blocks),
    }.items():
        object.__setattr__(population, name, value)


def _check_frequencies(frequencies: Any) -> None:
    if not isinstance(frequencies, Frequencies):
        raise ValueError(f"frequencies must be a Frequencies object, got {frequencies!r}")


def _exceptions(
    ranks: Mapping[Any, LossCurve], count: int | None
) -> list[tuple[str, LossCurve, Ints]]:
    """(label, curve, ranks), one entry for each distinct curve object."""
    if not isinstance(ranks, Mapping):
        raise ValueError(f"ranks must map ranks to curves, got {ranks!r}")
    together: dict[int, tuple[LossCurve, list[int]]] = {}
    for key, curve in ranks.items():
        keys: Iterable[Any] = key if isinstance(key, tuple | range) else (key,)
        if isinstance(key, tuple | range) and not key:
            raise ValueError(f"ranks must not have an empty key, got {key!r}")
        listed = [_validate.whole("ranks", k, low=1, high=count or MAX_COUNT) for k in keys]
        together.setdefault(id(curve), (curve, []))[1].extend(listed)
    out = []
    for curve, listed in together.values():
        name = (
            f"rank {listed[0]}" if len(listed) == 1 else f"{len(listed)} ranks from {min(listed)}"
        )
        out.append((name, curve, np.array(listed, dtype=np.int64)))
    return out


def _mixture_parts(
    groups: Mapping[str, tuple[Any, ...]],
) -> tuple[list[str], list[Fraction], list[Group]]:
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(f"groups must map labels to (share, curve), got {groups!r}")
    names, shares, members = [], [], []
    for name, entry in groups.items():
        if not isinstance(entry, tuple | list) or len(entry) not in (2, 3):
            raise ValueError(
                f"groups must map labels to (share, curve) or (share, curve, magnitude), "
                f"got {entry!r} for {name!r}"
            )
        share = _validate.real(
            f"share of group {name!r}", entry[0], low=0.0, high=1.0, low_open=True
        )
        exact = Fraction(share).limit_denominator(_MAX_PERIOD)
        if abs(float(exact) - share) > 1e-12:
            raise ValueError(
                f"share of group {name!r} must be a multiple of 1/Q for a Q of at most "
                f"{_MAX_PERIOD}, got {share!r}"
            )
        group = Group(name, entry[1], None, entry[2] if len(entry) == 3 else 1.0)
        if group.curve.size is not None or isinstance(group.magnitude, np.ndarray):
            raise ValueError(
                f"curve and magnitude of group {name!r} must be shared by its features in a "
                f"mixture, got one value per feature"
            )
        names.append(name)
        shares.append(exact)
        members.append(group)
    if sum(shares) != 1:
        raise ValueError(f"shares must sum to 1, got {float(sum(shares))!r}")
    if lcm(*(s.denominator for s in shares)) > _MAX_PERIOD:
        raise ValueError(
            f"shares must have a common denominator of at most {_MAX_PERIOD}, got "
            f"{[str(s) for s in shares]}"
        )
    return names, shares, members
