"""``fetch_sae``: files of an SAE from the Hugging Face Hub, if huggingface_hub is installed."""

from __future__ import annotations

import importlib
import os
from pathlib import Path, PurePosixPath
from typing import Any

from scaling_theory.sae.formats import (
    dictionary_learning,
    gemma_scope,
    saelens,
    sparsify,
)

#: Files of a folder that are fetched: what readers look at, and no more.
_FILES = (
    *gemma_scope.FILES,
    saelens.WEIGHTS,
    saelens.CONFIG,
    saelens.SPARSITY,
    sparsify.WEIGHTS,
    dictionary_learning.WEIGHTS,
    dictionary_learning.CONFIG,
)
_SUFFIXES = (".npz", ".pt", ".safetensors")


def fetch_sae(repo_id: str, path: str = "", revision: str | None = None) -> Path:
    """Fetch an SAE from the Hugging Face Hub, for :func:`load_sae` to read.

    What was fetched before is taken from the Hub's cache.

    Parameters
    ----------
    repo_id
        Such as "google/gemma-scope-2b-pt-res".
    path
        Folder in the repository ("layer_20/width_16k/average_l0_71"; "", the default, is its root),
        or one file of it (.npz, .pt or .safetensors).
    revision
        Branch, tag or commit. None, the default: the main branch. A commit is the only one that
        always gives the same files.

    Returns
    -------
    Path
        The folder or file on this machine.

    Raises
    ------
    ImportError
        If huggingface_hub is not installed.
    ValueError
        If repo_id or path is no name, or path leads out of the repository.
    FileNotFoundError
        If the repository, the revision or the path is not there, or has no file of an SAE.
    ConnectionError
        If the Hub can't be reached, or HF_HUB_OFFLINE is set, and the files are not in its cache.
    OSError
        If fetching fails for another reason.
    """
    if not (isinstance(repo_id, str) and repo_id.count("/") == 1 and all(repo_id.split("/"))):
        raise ValueError(f"repo_id must be 'owner/name', got {repo_id!r}")
    inside = _inside(path)
    hub = _hub()
    what = f"{repo_id}/{inside}" if inside else repo_id
    try:
        if inside.endswith(_SUFFIXES):
            return Path(hub.hf_hub_download(repo_id, inside, revision=revision))
        wanted = [f"{inside}/{name}" if inside else name for name in _FILES]
        root = hub.snapshot_download(repo_id, allow_patterns=wanted, revision=revision)
    except (OSError, hub.errors.EntryNotFoundError) as error:
        raise _explained(error, what, revision, hub) from error
    folder = Path(root) / inside
    if not any((folder / name).is_file() for name in _FILES):
        raise FileNotFoundError(
            f"{what} has none of the files that tell an SAE: {', '.join(_FILES)}"
            + (" (of those in the cache: HF_HUB_OFFLINE is set)" if _offline() else "")
        )
    return folder


def _inside(path: str) -> str:
    """The path as the Hub writes it, if it stays inside the repository."""
    if not isinstance(path, str):
        raise ValueError(f"path must be text, got {path!r}")
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or any(c in path for c in "\\*?["):
        raise ValueError(f"path must be relative, without '..' and wildcards, got {path!r}")
    return "/".join(part for part in parts if part != ".")


def _hub() -> Any:
    """Return the huggingface_hub module."""
    try:
        importlib.import_module("huggingface_hub.errors")
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise ImportError(
            "fetch_sae needs huggingface_hub: pip install 'scaling-theory[hub]' (or fetch the "
            "files by other means, and load_sae(folder) reads them)"
        ) from None


def _explained(error: Exception, what: str, revision: str | None, hub: Any) -> OSError:
    """The error in one sentence: not there, or not reachable."""
    errors = hub.errors
    text = " ".join(str(error).split())[:200]
    at = f" at revision {revision!r}" if revision is not None else ""
    # a file that is not in the cache is also an "entry not found", so it comes first
    if _offline() or isinstance(error, errors.OfflineModeIsEnabled):
        return ConnectionError(
            f"{what}{at} is not in the Hub's cache, and HF_HUB_OFFLINE is set: unset it, or "
            "load_sae a folder"
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        return ConnectionError(
            f"{what}{at} is not in the Hub's cache, and the Hub can't be reached: {text}"
        )
    missing = (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
    )
    if isinstance(error, missing):
        return FileNotFoundError(f"{what}{at} is not on the Hub, or not open to you: {text}")
    return OSError(f"{what}{at} could not be fetched: {text}")


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
