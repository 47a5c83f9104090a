"""Texts -> windows -> pieces -> batches with little padding -> rows in the order of the texts.

A window is a stretch of texts, always the same for the same text, and is worked on as a whole: its
pieces are sorted by length, so that a batch holds pieces of about one length, and what comes out is
laid back in order. So neither order nor batches depend on where a run was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from scaling_theory.datasets.collecting.model import Model

#: A window ends with so many texts or so many characters, whichever comes first.
WINDOW_TEXTS, WINDOW_CHARACTERS = 512, 300_000


@final
@dataclass(frozen=True, eq=False)
class Block:
    """Rows of a window of texts.

    Attributes
    ----------
    text
        Number of its first text.
    values
        (rows, dimension), in the type to be stored.
    where
        (rows, 3) int32: number of the text, position in it, token id (-1 where a row is a text).
    ends
        (texts,): rows up to the end of each text.
    """

    text: int
    values: npt.NDArray[Any]
    where: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int64]


def windows(texts: Sequence[str], start: int) -> Iterator[range]:
    """Stretches of texts from ``start``, which begins a window or is the first text."""
    begin, characters = start, 0
    for i in range(start, len(texts)):
        characters += len(texts[i])
        if i + 1 - begin == WINDOW_TEXTS or characters >= WINDOW_CHARACTERS:
            yield range(begin, i + 1)
            begin, characters = i + 1, 0
    if begin < len(texts):
        yield range(begin, len(texts))


def batches(lengths: npt.NDArray[np.int64], batch_tokens: int) -> Iterator[npt.NDArray[np.int64]]:
    """Which pieces go together: longest first, so many that padded they are batch_tokens at most.

    A piece that is longer than that goes alone.
    """
    order = np.argsort(-lengths, kind="stable")
    begin = 0
    while begin < len(order):
        count = max(1, batch_tokens // max(1, int(lengths[order[begin]])))
        yield order[begin : begin + count]
        begin += count


def padded(model: Model, pieces: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    """Ids and mask, (pieces, tokens), of pieces with what the tokenizer puts around them."""
    import torch

    full = [(*model.prefix, *piece, *model.suffix) for piece in pieces]
    longest = max(map(len, full))
    fill = model.tokenizer.pad_token_id or 0  # masked, so any id will do
    ids = np.full((len(full), longest), fill, dtype=np.int64)
    mask = np.zeros((len(full), longest), dtype=np.int64)
    for row, piece in enumerate(full):
        ids[row, : len(piece)] = piece
        mask[row, : len(piece)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def token_block(
    model: Model,
    run: Any,
    texts: Sequence[str],
    window: range,
    *,
    context: int,
    batch_tokens: int,
    dtype: str,
    device: Any,
) -> Block:
    """A row for each token of the texts of a window.

    ``run`` takes ids and mask and returns (pieces, tokens, dimension).
    """
    import torch

    room = context - len(model.prefix) - len(model.suffix)
    encoded = model.encode([texts[i] for i in window])
    pieces = [ids[at : at + room] for ids in encoded for at in range(0, len(ids), room)]
    special = np.array(sorted(model.not_text), dtype=np.int64)
    kept = [np.flatnonzero(~np.isin(piece, special)) for piece in pieces]
    starts = np.concatenate([[0], np.cumsum([len(keep) for keep in kept])]).astype(np.int64)
    where, ends = _places(encoded, special, window.start)
    values: npt.NDArray[Any] | None = None
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    for batch in batches(lengths + context - room, batch_tokens):
        ids, mask = padded(model, [pieces[i] for i in batch], device)
        found = run(ids, mask)
        rows = np.concatenate([np.full(len(kept[i]), row) for row, i in enumerate(batch)])
        columns = np.concatenate([kept[i] for i in batch]) + len(model.prefix)
        into = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in batch])
        picked = found[torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)]
        part = picked.to(getattr(torch, dtype)).cpu().numpy()
        if values is None:
            values = np.empty((int(starts[-1]), part.shape[1]), dtype=dtype)
        values[into] = part
    if values is None:
        values = np.empty((0, 0), dtype=dtype)
    return Block(window.start, values, where, ends)


def text_block(
    model: Model,
    run: Any,
    texts: Sequence[str],
    window: range,
    *,
    context: int,
    batch_tokens: int,
    dtype: str,
    device: Any,
) -> Block:
    """A row for each text of a window, of its first tokens.

    ``run`` takes ids and mask and returns (texts, dimension).
    """
    import torch

    room = context - len(model.prefix) - len(model.suffix)
    pieces = [ids[:room] for ids in model.encode([texts[i] for i in window])]
    lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
    values: npt.NDArray[Any] | None = None
    for batch in batches(lengths + context - room, batch_tokens):
        part = run(*padded(model, [pieces[i] for i in batch], device))
        part = part.to(getattr(torch, dtype)).cpu().numpy()
        if values is None:
            values = np.empty((len(pieces), part.shape[1]), dtype=dtype)
        values[batch] = part
    assert values is not None  # a window has a text
    where = np.full((len(pieces), 3), -1, dtype=np.int32)
    where[:, 0] = np.arange(window.start, window.stop)
    return Block(window.start, values, where, np.arange(1, len(pieces) + 1))


def _places(
    encoded: Sequence[Sequence[int]], special: npt.NDArray[np.int64], first: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Text, position and id of each token that is a row; rows up to the end of each text."""
    parts = []
    for i, ids in enumerate(encoded):
        keep = np.flatnonzero(~np.isin(ids, special))
        part = np.empty((len(keep), 3), dtype=np.int32)
        part[:, 0], part[:, 1], part[:, 2] = first + i, keep, np.asarray(ids, dtype=np.int64)[keep]
        parts.append(part)
    ends = np.cumsum([len(part) for part in parts]).astype(np.int64)
    return np.concatenate(parts), ends
