"""One sentence about a file, whatever is wrong with it; and nothing read before its size is known.

Messages are about bytes that others wrote: names and values are cut short, and never looked into
deeper than a few levels, because a file of a kilobyte can hold a list that is 2^60 items long when
it is printed.
"""

from __future__ import annotations

import contextlib
import errno
import reprlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

#: Most bytes of text that is parsed (configurations, headers, pickles); real ones are of kilobytes.
MAX_TEXT = 2**20

#: Most characters of one name or value in a message, and most names.
_SHORT, _NAMES = 60, 12

_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxlist, _BRIEF.maxdict, _BRIEF.maxtuple = 2, 8, 4, 8
_BRIEF.maxstring = _BRIEF.maxother = _SHORT


class FormatError(ValueError):
    """A file is not what its format says: the message names it, the entry and what is allowed."""


def file_size(file: Path) -> int:
    """Bytes of a regular file; FileNotFoundError, or FormatError for folders, pipes and devices.

    Opening a pipe would wait for ever, and a device may have no end.
    """
    status = file.stat()
    if not file.is_file():
        kind = "a folder" if file.is_dir() else "no regular file"
        raise FormatError(f"{file} must be a file, got {kind}")
    return status.st_size


def read_text(file: Path) -> str:
    """Text of a file, of at most MAX_TEXT bytes."""
    size = file_size(file)
    if size > MAX_TEXT:
        raise FormatError(f"{file} must be text of at most {MAX_TEXT} bytes, got {size} bytes")
    return file.read_text(encoding="utf-8")


def shown(value: Any) -> str:
    """A value in a message: on one line, short, and in bounded time."""
    if isinstance(value, torch.Tensor):
        return f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a whole number of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | str | list | tuple | dict):
        try:
            text = _BRIEF.repr(value)
        except ValueError:  # a whole number inside that is too long to be written out
            return kind(value)
        return text if len(text) <= 3 * _SHORT else text[: 3 * _SHORT] + "..."
    return kind(value)


def names_shown(names: Iterable[str]) -> str:
    """Names in a message: those with line breaks and the like quoted, the first twelve."""
    names = list(names)
    short = [_name(name) for name in names[:_NAMES]]
    more = f", ... ({len(names)} in all)" if len(names) > _NAMES else ""
    return ", ".join(short) + more


def _name(name: str) -> str:
    text = name if len(name) <= _SHORT else name[:_SHORT] + "..."
    return text if text.isprintable() else repr(text)


def kind(value: Any) -> str:
    """What a value is, in words."""
    return f"a {type(value).__name__}"


@contextlib.contextmanager
def refusing(file: Path, allowed: str) -> Iterator[None]:
    """Turn whatever a decoder says about bad bytes into one sentence about the file."""
    try:
        yield
    except FormatError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except MemoryError as error:
        raise OSError(errno.ENOMEM, "not enough memory to read it", str(file)) from error
    # decoders of damaged or hostile bytes raise almost anything; it is refused, not hidden
    except Exception as error:
        if "can't allocate memory" in str(error):  # PyTorch's own
            raise OSError(errno.ENOMEM, "not enough memory to read it", str(file)) from error
        raise FormatError(f"{file} must be {allowed}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a decoder failed, on one line."""
    text = " ".join(str(error).split())
    return text[:200] if text else type(error).__name__
