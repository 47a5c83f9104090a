"""Pairs of latents that point the same way, and which of them are dead.

A latent with a twin is no sign of tiling if the twin is dead: Michaud, Gorton and McGrath (2025,
E.1) found that of one SAE's latents with a neighbour above 0.97 every neighbour was dead.
:func:`near_duplicates` lists such pairs with the frequencies of both. For the latents that a
remedy should start anew, by decoder and encoder,
:func:`~scaling_theory.sae.metrics.find_duplicates`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

import numpy as np

from scaling_theory import _validate
from scaling_theory._repr import compact
from scaling_theory._validate import Floats, Ints
from scaling_theory.analysis._rows import Mask, UnitRows, long_track, pieces, products, rates

if TYPE_CHECKING:
    import pandas as pd


@final
@dataclass(frozen=True, eq=False, repr=False)
class NearDuplicates:
    """Pairs of rows with a cosine above a threshold.

    Attributes
    ----------
    pairs : DataFrame
        One row a pair, nearest first: first < second (rows of the decoder), cosine; with
        frequencies also first_frequency, second_frequency, first_dead, second_dead.
    pair_count : int
        Number of pairs found; more than are in the table where the status is "truncated".
    threshold : float
        Pairs have a larger cosine than this.
    rows : (q,) int64
        The rows that were asked after, ascending.
    partners : (q,) int64
        Number of near-duplicates of each.
    nearest : (q,) int64
        The nearest of them; -1 for rows without.
    alive_rows, dead_rows : int
        How many of the rows asked after are alive and dead. Without frequencies all count as
        alive, and what is said of the dead is nan.
    alive_share, dead_share : float
        Share of them with at least one near-duplicate; nan where there is none of the kind.
    dead_nearest_share : float
        Of the alive rows with a near-duplicate, the share whose nearest is dead; nan without any.
    status : str
        "all rows"; "sampled": only some rows were asked after; "truncated": there are more pairs
        than the table holds (partners and shares are of all).
    message : str
        The result in a sentence.
    """

    pairs: pd.DataFrame
    pair_count: int
    threshold: float
    rows: Ints
    partners: Ints
    nearest: Ints
    alive_rows: int
    dead_rows: int
    alive_share: float
    dead_share: float
    dead_nearest_share: float
    status: Literal["all rows", "sampled", "truncated"]
    message: str

    def __repr__(self) -> str:
        return compact(self)


def near_duplicates(
    decoder: Any,
    *,
    cosine: float = 0.97,
    frequencies: Any = None,
    dead_below: float = 0.0,
    alive: Any = None,
    samples: int | None = None,
    most_pairs: int = 1_000_000,
    seed: int | np.random.Generator = 0,
    block: int | None = None,
    progress: bool = False,
) -> NearDuplicates:
    """List the pairs of latents whose decoder rows have a cosine above a threshold.

    Time is that of n^2 d operations, or 2 q n d with ``samples`` = q; memory is that of blocks and
    of the pairs.

    Parameters
    ----------
    decoder : (n, d)
        NumPy array or tensor, half precision or wider, one row a latent; d at least 2. Norms do
        not matter; rows of zeros are left out.
    cosine
        Threshold, in (-1, 1); default 0.97, that of M25 E.1.
    frequencies : (n,), optional
        How often each latent fires, in [0, 1].
    dead_below
        Rows are dead that have a frequency of 0 or below this, in [0, 1]: 1/samples for
        frequencies that were smoothed or fitted.
    alive : (n,) bool, optional
        Rows that count, as neighbours too. All by default: dead twins are what is looked for.
    samples
        Number of rows to ask after, drawn at random, against all. None, the default: every row.
    most_pairs
        Length of the table, at least 0: pairs beyond it are counted only.
    seed
        Seed or generator, of the rows asked after.
    block
        Rows at once. None, the default: as suits memory.
    progress
        Show a bar with the time left on standard error where it takes over two seconds.

    Raises
    ------
    ValueError
        If an argument is out of range or of another shape or type, fewer than two rows count, or
        the decoder has numbers that are not finite.
    """
    rows = UnitRows(decoder, alive, block)
    cosine = _validate.real("cosine", cosine, low=-1.0, high=1.0, low_open=True, high_open=True)
    fires = rates(frequencies, rows.total)
    dead_below = _validate.real("dead_below", dead_below, low=0.0, high=1.0)
    most_pairs = _validate.whole("most_pairs", most_pairs)
    asked = np.arange(rows.count)
    if samples is not None and _validate.whole("samples", samples, low=1) < rows.count:
        asked = np.sort(np.random.default_rng(seed).permutation(rows.count)[: int(samples)])
    hits = _search(rows, asked, cosine, most_pairs, progress)
    dead = None if fires is None else (fires == 0.0) | (fires < dead_below)
    return _result(rows, asked, hits, cosine, fires, dead)


class _Hits(NamedTuple):
    """Pairs of positions, ordered; partners and nearest by position."""

    first: Ints
    second: Ints
    cosine: Floats
    pair_count: int
    partners: Ints
    nearest: Ints


def _search(rows: UnitRows, asked: Ints, cosine: float, most: int, progress: bool) -> _Hits:
    import torch

    m, every = rows.count, asked.size == rows.count
    queried = np.zeros(m, dtype=np.bool_)
    queried[asked] = True
    partners, nearest = np.zeros(m, dtype=np.int64), np.full(m, -1, dtype=np.int64)
    best = np.full(m, -math.inf)
    none = np.zeros(0, dtype=np.int64)
    kept: list[tuple[Ints, Ints, Floats]] = [(none, none, np.zeros(0))]
    count = held = 0
    steps = list(pieces(asked.size, rows.queries))
    for start, stop in long_track(steps, "near-duplicates", enabled=progress):
        at = asked[start:stop]
        # Each pair once: where all rows are asked after, rows behind the block will do.
        behind = start if every else 0
        for offset, product in products(rows, rows.read(at), at, behind):
            near = torch.nonzero(product > cosine)
            if not near.numel():
                continue
            value = product[near[:, 0], near[:, 1]].cpu().double().numpy()
            left, right = (part.cpu().numpy() for part in near.T)
            left, right = at[left], right + offset
            new = (left < right) | ~queried[right]
            left, right, value = left[new], right[new], np.minimum(value[new], 1.0)
            count += left.size
            for own, other in ((left, right), (right, left)):
                np.add.at(partners, own, 1)
                order = np.lexsort((-other, value))  # nearest last, so that it is what stays
                order = order[value[order] > best[own[order]]]
                best[own[order]], nearest[own[order]] = value[order], other[order]
            room = slice(0, max(most - held, 0))
            kept.append((left[room], right[room], value[room]))
            held += kept[-1][0].size
    left, right, value = (np.concatenate(part) for part in zip(*kept, strict=True))
    first, second = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((second, first, -value))
    return _Hits(first[order], second[order], value[order], count, partners, nearest)


def _result(
    rows: UnitRows, asked: Ints, hits: _Hits, cosine: float, fires: Floats | None, dead: Mask | None
) -> NearDuplicates:
    import pandas as pd

    first, second = rows.index[hits.first], rows.index[hits.second]
    columns: dict[str, Any] = {"first": first, "second": second, "cosine": hits.cosine}
    if fires is not None and dead is not None:
        columns |= {"first_frequency": fires[first], "second_frequency": fires[second]}
        columns |= {"first_dead": dead[first], "second_dead": dead[second]}
    partners, near = hits.partners[asked], hits.nearest[asked]
    nearest = np.where(near >= 0, rows.index[near], -1)
    own = np.zeros(asked.size, dtype=np.bool_) if dead is None else dead[rows.index[asked]]
    has = partners > 0
    twins = nearest[has & ~own]
    shown = hits.first.size
    status: Literal["all rows", "sampled", "truncated"] = "all rows"
    if shown < hits.pair_count:
        status = "truncated"
    elif asked.size < rows.count:
        status = "sampled"
    message = (
        f"{hits.pair_count} pairs above {cosine:g} ({shown} listed), {int(has.sum())} of "
        f"{asked.size} rows asked after, among {rows.count}, have a near-duplicate"
    )
    return NearDuplicates(
        pairs=pd.DataFrame(columns),
        pair_count=hits.pair_count,
        threshold=cosine,
        rows=rows.index[asked],
        partners=partners,
        nearest=nearest,
        alive_rows=int(np.sum(~own)),
        dead_rows=int(np.sum(own)),
        alive_share=_share(has[~own]),
        dead_share=_share(has[own]),
        dead_nearest_share=math.nan if dead is None else _share(dead[twins]),
        status=status,
        message=message,
    )


def _share(mask: Mask) -> float:
    return float(mask.mean()) if mask.size else math.nan
