"""What a folder was made of, held against what is asked for.

The recipe decides every row; its hash is the digest. ``how`` may decide the last digits of numbers
and nothing else: it is no part of the digest, and only a folder that is not complete insists on it.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling_theory import _validate
from scaling_theory.datasets.collecting import files, writing
from scaling_theory.datasets.collecting.corpus import Corpus, installed
from scaling_theory.datasets.collecting.model import Model, Source

DTYPES = ("float16", "float32")


def common(context: int, held_out: float, dtype: str, seed: int) -> dict[str, Any]:
    """The part of a recipe that both have, checked."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    return {
        "context": _validate.whole("context", context, low=1),
        "held_out": _validate.real("held_out", held_out, low=0.0, high=1.0, high_open=True),
        "dtype": dtype,
        "seed": _validate.whole("seed", seed),
    }


def new_manifest(
    recipe: dict[str, Any],
    rows: str,
    source: Source,
    loaded: Model,
    where: str,
    corpus: Corpus,
    how: dict[str, Any],
) -> dict[str, Any]:
    """What is said of a folder before it has a shard."""
    return {
        "format": files.FORMAT,
        "digest": files.digest_of(recipe),
        "recipe": recipe,
        "complete": False,
        "rows": recipe[rows],
        "dimension": None,
        "held_out": None,
        "scale": None,
        "texts": None,
        "shard_rows": writing.SHARD_ROWS[rows],
        "shards": [],
        "files": {},
        "model": {"name": source.name, "kind": loaded.kind, "where": where},
        "text": {
            "digest": corpus.digest,
            "texts": len(corpus.texts),
            "characters": corpus.characters,
            "duplicates": corpus.duplicates,
            "sources": list(corpus.sources),
        },
        "how": how,
    }


def same(
    folder: Path, found: dict[str, Any], recipe: dict[str, Any], corpus: Corpus | None = None
) -> None:
    """Refuse a folder that was made with another recipe, by the first difference."""
    was = found["recipe"]
    for name, value in recipe.items():
        if was[name] == value:
            continue
        said = f"was made with {name}={was[name]!r}, and {name}={value!r} is asked for"
        if name.startswith("model_"):
            said = (
                f"was made with another model ({name[6:]}: SHA-256 was {was[name][:16]}..., is "
                f"{value[:16]}...)"
            )
        elif name == "text" and corpus is not None:
            said = (
                f"was made with another text (SHA-256 was {was[name][:16]}..., is {value[:16]}..."
                f"{_versions(found, corpus)})"
            )
        raise ValueError(f"{folder} {said}: take another folder, or delete this one")


def same_how(folder: Path, was: dict[str, Any], how: dict[str, Any]) -> None:
    """Refuse to go on in a way that would give the other rows other digits."""
    for name in ("device", "batch_tokens", "torch", "transformers", "tokenizers"):
        if was[name] != how[name]:
            raise ValueError(
                f"{folder} was begun with {name}={was[name]!r}, and {name} is {how[name]!r} now: "
                "go on as it was begun, or take another folder"
            )


def unchanged(found: dict[str, Any]) -> bool:
    """Whether the docstrings would be read from the same files, by pip's lists of them."""
    now = installed()
    was = found["text"]["sources"]
    return (
        len(was) == len(now)
        and all(source["record"] is not None for source in now)
        and all(a.items() <= b.items() for a, b in zip(now, was, strict=True))
    )


def how_of(device: str, batch_tokens: int) -> dict[str, Any]:
    """What may decide last digits, and no more."""
    import torch

    from scaling_theory.sae.trainer import device_of

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    versions = ("scaling-theory", "torch", "transformers", "tokenizers")
    how: dict[str, Any] = {
        "device": str(device_of(device)),
        "batch_tokens": batch_tokens,
        "threads": torch.get_num_threads(),
    }
    for name in versions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            how[name] = importlib.metadata.version(name)
    return how


def _versions(found: dict[str, Any], corpus: Corpus) -> str:
    """What distributions changed, if that is what the text is made of."""

    def listed(sources: Sequence[dict[str, Any]]) -> dict[str, str]:
        return {s["distribution"]: s["version"] for s in sources if "distribution" in s}

    was, now = listed(found["text"]["sources"]), listed(corpus.sources)
    changes = [
        f"{name} was {was.get(name, 'not there')}, is {now.get(name, 'not there')}"
        for name in (was | now)
        if was.get(name) != now.get(name)
    ]
    return "; " + ", ".join(changes) if changes and was and now else ""
