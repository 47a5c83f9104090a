"""``load_sae``: which format a path holds, and its reader."""

from __future__ import annotations

import os
from pathlib import Path

from scaling_theory.sae.formats import (
    dictionary_learning,
    gemma_scope,
    openai,
    saelens,
    sparsify,
)
from scaling_theory.sae.formats._errors import FormatError, names_shown
from scaling_theory.sae.formats._reading import torch_entries
from scaling_theory.sae.formats.published import PublishedSAE

#: Formats that are read.
FORMATS = ("gemma_scope", "saelens", "dictionary_learning", "openai", "sparsify")

_READERS = {
    "gemma_scope": gemma_scope.read,
    "saelens": saelens.read,
    "dictionary_learning": dictionary_learning.read,
    "openai": openai.read,
    "sparsify": sparsify.read,
}

#: Files that tell the format of the folder they are in.
_MARKS = {
    **dict.fromkeys(gemma_scope.FILES, "gemma_scope"),
    saelens.WEIGHTS: "saelens",
    sparsify.WEIGHTS: "sparsify",
    dictionary_learning.WEIGHTS: "dictionary_learning",
}

_ALLOWED = (
    "a folder with params.npz or params.safetensors (Gemma Scope), sae_weights.safetensors and "
    "cfg.json (SAELens), ae.pt and config.json (dictionary_learning), sae.safetensors and cfg.json "
    "(sparsify), or one of these files, or a .npz or .pt file"
)


def load_sae(path: str | os.PathLike[str], *, format: str = "auto") -> PublishedSAE:  # noqa: A002
    """Read a published SAE; nothing in its files is ever run.

    Parameters
    ----------
    path
        Folder or file of the SAE, as its project lays it out.
    format
        "gemma_scope", "saelens", "dictionary_learning", "openai" or "sparsify"; "auto", the
        default, tells it from the names of files and, of ``.pt`` files, their entries.

    Raises
    ------
    FileNotFoundError
        If the path, or a file that its format needs, is not there.
    FormatError
        A ValueError: if the files are of no known format, hold anything but tensors, numbers and
        text, lack an entry or have one that is not known, or if shapes, types, settings or
        numbers are not those of the format. A file that claims more than it holds is refused
        before anything is allocated for it.
    OSError
        If a file can't be read, or there is not enough memory for what it does hold.
    """
    if format != "auto" and format not in FORMATS:
        raise ValueError(f"format must be 'auto' or one of {', '.join(FORMATS)}, got {format!r}")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no SAE at {path}")
    try:
        return _read(path, format)
    except FormatError:
        raise
    except ValueError as error:  # weights that fit each other, but make no SAE
        raise FormatError(f"{path}: {error}") from error


def _read(path: Path, format: str) -> PublishedSAE:  # noqa: A002
    if format != "auto":
        return _READERS[format](path)
    if path.is_dir():
        return _READERS[_of_folder(path)](path)
    if path.name in _MARKS and path.suffix != ".pt":
        return _READERS[_MARKS[path.name]](path)
    if path.suffix == ".npz":
        return gemma_scope.read(path)
    if path.suffix == ".pt":
        entries = torch_entries(path)
        if openai.MARK in entries:
            return openai.read_entries(entries)
        return dictionary_learning.read_entries(entries)
    raise FormatError(f"path must be {_ALLOWED}, got the file {path}")


def _of_folder(folder: Path) -> str:
    """The format of a folder, by the files in it."""
    names = sorted(file.name for file in folder.iterdir())
    found = {_MARKS[name] for name in names if name in _MARKS}
    if len(found) == 1:
        return found.pop()
    shown = names_shown(names)
    if found:
        raise FormatError(
            f"format must be given: {folder} holds files of {', '.join(sorted(found))} ({shown})"
        )
    raise FormatError(f"path must be {_ALLOWED}, got a folder with {shown or 'no files'}: {folder}")
