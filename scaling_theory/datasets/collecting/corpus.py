"""Texts with a hash.

- :func:`docstrings`: what every user has on the machine, the documentation of scientific packages.
- :func:`as_corpus`: whatever a caller may give as ``text``: nothing (docstrings), strings, files.

Exact duplicates are left out, and so is what holds nothing but white space; the order is kept.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import importlib.metadata
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from scaling_theory import _validate
from scaling_theory._progress import track

#: Distributions whose docstrings are the default text, in this order, so far as they are
#: installed: this package's own dependencies, those of its extras, and what these bring along.
PACKAGES = (
    "numpy",
    "scipy",
    "pandas",
    "sympy",
    "mpmath",
    "matplotlib",
    "torch",
    "numba",
    "dask",
    "distributed",
    "networkx",
    "scikit-learn",
)
#: Characters that a docstring has at least.
LEAST = 40


@final
@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts in a fixed order, each once.

    Attributes
    ----------
    texts
        The texts.
    digest
        SHA-256 over the texts in their order, 64 hex digits.
    sources
        Where they come from: dictionaries that JSON can hold, one a distribution or file.
    duplicates
        Texts left out because they were there before.
    """

    texts: tuple[str, ...]
    digest: str
    sources: tuple[dict[str, Any], ...]
    duplicates: int

    def __repr__(self) -> str:
        return (
            f"Corpus({len(self.texts)} texts, {self.characters} characters, "
            f"digest={self.digest[:16]!r})"
        )

    @property
    def characters(self) -> int:
        """Characters in all texts together."""
        return sum(map(len, self.texts))


def docstrings(packages: Iterable[str] | None = None, *, progress: bool | None = None) -> Corpus:
    """Return the docstrings of installed Python distributions.

    Source files are read and parsed, never imported or run. Docstrings of modules, classes and
    functions are cleaned as ``inspect.cleandoc`` does, and kept from 40 characters on, in the order
    of distributions, files (by name) and lines. Another version of a distribution, or of Python
    (which decides what can be parsed), gives another text and another digest.

    Parameters
    ----------
    packages
        Names of distributions, as pip knows them. None, the default: those of numpy, scipy, pandas,
        sympy, mpmath, matplotlib, torch, numba, dask, distributed, networkx and scikit-learn that
        are installed.
    progress
        Whether a bar is shown on standard error. None, the default: if that is a terminal.

    Returns
    -------
    Corpus
        ``sources`` has for each distribution its version, the number of source files, texts and
        characters, and the names of files that could not be read or parsed.

    Raises
    ------
    ValueError
        If a named distribution is not installed, or there is no docstring in any.
    """
    found = installed(packages)
    files = [(i, name, path) for i, source in enumerate(found) for name, path in _files(source)]
    enabled = sys.stderr.isatty() if progress is None else progress
    texts: list[list[str]] = [[] for _ in found]
    unread: list[list[str]] = [[] for _ in found]
    with _no_collector():
        for i, name, path in track(files, "docstrings", len(files), enabled=enabled):
            try:
                texts[i].extend(_docstrings_of(path.read_bytes()))
            except (OSError, SyntaxError, ValueError, RecursionError):
                unread[i].append(name)
    sources = tuple(
        {
            **source,
            "files": sum(1 for file in files if file[0] == i),
            "unreadable": unread[i],
            "texts": len(texts[i]),
            "characters": sum(map(len, texts[i])),
        }
        for i, source in enumerate(found)
    )
    return gathered((text for part in texts for text in part), sources)


def installed(packages: Iterable[str] | None = None) -> tuple[dict[str, Any], ...]:
    """Return name, version and a hash of pip's list of files for each distribution, and Python's.

    It is what tells whether :func:`docstrings` would read the same files, at no cost.
    """
    if isinstance(packages, str):
        raise ValueError(f"packages must be names of distributions, not one text: {packages!r}")
    out = []
    for name in PACKAGES if packages is None else tuple(packages):
        try:
            distribution = importlib.metadata.distribution(name)
        except (importlib.metadata.PackageNotFoundError, ValueError):
            if packages is None:
                continue
            raise ValueError(
                f"packages must be names of installed distributions, got {name!r}"
            ) from None
        record = distribution.read_text("RECORD")
        out.append(
            {
                "distribution": name,
                "version": distribution.version,
                "python": f"{sys.version_info.major}.{sys.version_info.minor}",
                "record": None if record is None else hashlib.sha256(record.encode()).hexdigest(),
            }
        )
    return tuple(out)


def as_corpus(text: Any, *, progress: bool | None = None) -> Corpus:
    """Return what a caller gave as ``text`` as a corpus.

    None is :func:`docstrings`; a path (text or Path), or several Paths, are UTF-8 files whose
    paragraphs (separated by blank lines) are the texts; other strings are the texts themselves.

    Raises
    ------
    ValueError
        If it is something else, empty, or can't be written as UTF-8.
    FileNotFoundError
        If a file is not there.
    """
    if text is None:
        return docstrings(progress=progress)
    if isinstance(text, Corpus):
        return text
    if isinstance(text, (str, os.PathLike)):
        return _of_files([Path(text)])
    try:
        items = list(text)
    except TypeError:
        items = []
    if items and all(isinstance(item, os.PathLike) for item in items):
        return _of_files([Path(item) for item in items])
    if not items or not all(isinstance(item, str) for item in items):
        raise ValueError(
            "text must be None, a Corpus, a path, paths (as Path), or strings, at least one, got "
            f"{_validate._short(text)}"
        )
    for i, item in enumerate(items):
        if not _encodable(item):
            raise ValueError(
                f"text must be Unicode that UTF-8 can hold, got text {i}: {item!r:.60}"
            )
    return gathered(items, ({"given": len(items), "characters": sum(map(len, items))},))


def gathered(texts: Iterable[str], sources: Sequence[dict[str, Any]]) -> Corpus:
    """Return texts as a corpus, each once, without blank ones."""
    kept: dict[str, None] = {}
    seen = 0
    for text in texts:
        if text.strip():
            seen += 1
            kept.setdefault(text)
    if not kept:
        raise ValueError("text must hold at least one text that is not blank, got none")
    digest = hashlib.sha256()
    for text in kept:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return Corpus(tuple(kept), digest.hexdigest(), tuple(sources), seen - len(kept))


def _of_files(files: Sequence[Path]) -> Corpus:
    texts: list[str] = []
    sources = []
    for file in files:
        if file.is_dir():
            raise ValueError(
                f"text must be files or texts, got the folder {file}: "
                f"Path({str(file)!r}).rglob('*.md') gives its files of one kind"
            )
        if not file.is_file():
            raise FileNotFoundError(f"text: there is no file {file}")
        try:
            content = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"text must be UTF-8, got {file} with byte {error.object[error.start]:#04x} at "
                f"{error.start}"
            ) from None
        parts = [part.strip("\n") for part in re.split(r"\n[ \t]*\n", content) if part.strip()]
        texts.extend(parts)
        sources.append({"file": file.name, "texts": len(parts), "characters": sum(map(len, parts))})
    return gathered(texts, sources)


def _files(source: dict[str, Any]) -> list[tuple[str, Path]]:
    """Names and places of the Python files of a distribution, by name."""
    listed = importlib.metadata.distribution(source["distribution"]).files or []
    return sorted((str(file), Path(str(file.locate()))) for file in listed if file.suffix == ".py")


def _docstrings_of(content: bytes) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of code that is not ours: "invalid escape sequence"
        tree = ast.parse(content)
    return iter(list(_walk(tree)))


def _walk(node: ast.AST) -> Iterator[str]:
    """Docstrings of a node and those inside, by line; expressions are not looked into."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        text = ast.get_docstring(node)
        if text is not None and len(text) >= LEAST and _encodable(text):
            yield text
    for field in ("body", "handlers", "cases", "orelse", "finalbody"):
        inside = getattr(node, field, None)
        if isinstance(inside, list):
            for child in inside:
                yield from _walk(child)


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Without the cyclic garbage collector: syntax trees are many objects and no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _encodable(text: str) -> bool:
    """Whether UTF-8 can hold it: half of a surrogate pair, written as an escape, is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
