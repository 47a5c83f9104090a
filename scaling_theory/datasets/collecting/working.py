"""From arguments to a complete folder: text and model hashed, recipe held, rows worked out."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory.datasets.collecting import files, recipe, writing
from scaling_theory.datasets.collecting.batches import Block, windows
from scaling_theory.datasets.collecting.corpus import as_corpus
from scaling_theory.datasets.collecting.model import Model, Source, load, source_of
from scaling_theory.datasets.collecting.shards import Shards

#: A loaded model, texts and a device -> where it listens, and what makes rows of a window.
Worker = Callable[
    [Model, Sequence[str], Any],
    contextlib.AbstractContextManager[tuple[str, Callable[[range], Block]]],
]


def collect(
    path: str | os.PathLike[str],
    rows: str,
    asked: dict[str, Any],
    *,
    text: Any,
    model: str | os.PathLike[str] | None,
    device: str,
    batch_tokens: int,
    progress: bool | None,
    worker: Worker,
) -> Shards:
    """Return the rows that are asked for, working out those that the folder does not have.

    Parameters
    ----------
    path, text, model, device, batch_tokens, progress
        As in :func:`activations`.
    rows
        The entry of ``asked`` that says how many rows.
    asked
        The recipe, but for text and model.
    worker
        What makes rows.
    """
    folder = Path(path)
    found = files.read_manifest(folder)
    source = source_of(model)
    wanted = asked | {f"model_{name}": value for name, value in source.identity.items()}
    if found is not None:
        recipe.same(folder, found, wanted)  # before any text is read
        if text is None and found["complete"] and recipe.unchanged(found) and _whole(folder, found):
            return Shards.open(folder)
    corpus = as_corpus(text, progress=progress)
    wanted["text"] = corpus.digest
    if found is not None:
        recipe.same(folder, found, wanted, corpus)
        if found["complete"] and _whole(folder, found):
            return Shards.open(folder)
    with writing.locked(folder):
        found = files.read_manifest(folder)  # another process may have been here meanwhile
        how = recipe.how_of(device, batch_tokens)
        if found is not None:
            recipe.same(folder, found, wanted, corpus)
            recipe.same_how(folder, found["how"], how)
        order = np.random.default_rng(wanted["seed"]).permutation(len(corpus.texts))
        texts = [corpus.texts[i] for i in order]
        loaded = _loaded(source, how["device"], wanted["context"])
        enabled = sys.stderr.isatty() if progress is None else progress
        with (
            worker(loaded, texts, how["device"]) as (where, block_of),
            _bar(rows, wanted[rows], enabled) as advance,
        ):
            manifest = found or recipe.new_manifest(
                wanted, rows, source, loaded, where, corpus, how
            )
            writer = writing.Writer(folder, manifest, wanted["held_out"], advance)
            for window in windows(texts, writer.point["text"]):
                if not writer.wanting:
                    break
                block = block_of(window)
                _finite(block, texts, wanted["dtype"])
                writer.add(block)
            if writer.wanting:
                raise ValueError(
                    f"{rows} must be at most the {writer.rows} that the text has, got "
                    f"{wanted[rows]}"
                )
            writer.finish(texts, loaded.vocabulary())
    return Shards.open(folder)


def _whole(folder: Path, found: dict[str, Any]) -> bool:
    """Whether all files are there."""
    return all(files.present(folder, entry) for entry in files.entries(found))


def _loaded(source: Source, device: str, context: int) -> Model:
    import torch

    loaded = load(source, torch.device(device))
    least = len(loaded.prefix) + len(loaded.suffix) + 1
    _validate.whole("context", context, low=least, high=loaded.limit)
    return loaded


def _finite(block: Block, texts: Sequence[str], dtype: str) -> None:
    """Refuse rows that are not finite, by their text."""
    wrong = ~np.isfinite(block.values).all(axis=1)
    if not wrong.any():
        return
    row = int(np.argmax(wrong))
    text = int(block.where[row, 0])
    hint = "; take dtype='float32', which holds larger numbers" if dtype == "float16" else ""
    raise ValueError(
        f"activations must be finite in {dtype}, and are not at token {int(block.where[row, 1])} "
        f"of text {text} ({_validate._short(texts[text])}){hint}"
    )


@contextlib.contextmanager
def _bar(what: str, total: int, enabled: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error with the time left."""
    if not enabled:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=120.0
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)
