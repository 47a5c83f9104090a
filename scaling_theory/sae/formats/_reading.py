"""Reading of files that may hold anything: nothing is unpickled, and what is read is checked.

A reader lists the entries of a file, says which it needs, and takes tensors of stated shapes; what
does not fit is refused with the file, the entry, what was found and what is allowed.
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

#: Types that tensors may be stored in; they are read as float32, float64 as what it is.
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class FormatError(ValueError):
    """A file is not what its format says: the message names it, the entry and what is allowed."""


@final
class Entries:
    """Named entries of one file, read when they are asked for.

    Parameters
    ----------
    file
        Where they are from, for messages.
    names
        Their names.
    read
        Gives the entry of a name.
    """

    def __init__(self, file: Path, names: Sequence[str], read: Callable[[str], Any]) -> None:
        self.file, self.names, self._read = file, tuple(names), read

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def renamed(self, to: Mapping[str, str]) -> Entries:
        """The same entries, under other names where ``to`` has them."""
        own = {to.get(name, name): name for name in self.names}
        if len(own) != len(self.names):
            raise FormatError(f"{self.file}: entries {sorted(self.names)} name a tensor twice")
        return Entries(self.file, list(own), lambda name: self._read(own[name]))

    def check(self, needed: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Raise FormatError unless all that is needed is there, and nothing that is not allowed."""
        missing = sorted(set(needed) - set(self.names))
        unknown = sorted(set(self.names) - set(needed) - set(optional))
        if missing or unknown:
            also = f" and perhaps {', '.join(optional)}" if optional else ""
            raise FormatError(
                f"{self.file} must hold {', '.join(needed)}{also}, got "
                f"{', '.join(sorted(self.names)) or 'nothing'}"
                + (f" (missing: {', '.join(missing)})" if missing else "")
                + (f" (unknown: {', '.join(unknown)})" if unknown else "")
            )

    def value(self, name: str) -> Any:
        """The entry as it was stored."""
        return self._read(name)

    def matrix(self, name: str, what: str) -> torch.Tensor:
        """Return a matrix that is not empty; ``what`` says in messages what its shape means."""
        tensor = self._floats(name, what)
        if tensor.ndim != 2 or 0 in tensor.shape:
            raise self._shape(name, tensor, what)
        return self._finite(name, tensor)

    def tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Return a tensor of exactly this shape."""
        tensor = self._floats(name, str(shape))
        if tuple(tensor.shape) != shape:
            raise self._shape(name, tensor, str(shape))
        return self._finite(name, tensor)

    def count(self, name: str) -> int:
        """Return a whole number of at least 1, stored as a number or a tensor of one."""
        value = self._read(name)
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        return whole(self.file, name, value)

    def _floats(self, name: str, shape: str) -> torch.Tensor:
        value = self._read(name)
        if isinstance(value, torch.Tensor) and value.layout == torch.strided:
            tensor = value.detach()
            if tensor.dtype in _FLOATS:
                return tensor if tensor.dtype == torch.float64 else tensor.float()
            got = f"{tensor.dtype} of shape {tuple(tensor.shape)}"
        else:
            got = f"a {type(value).__name__}"
        raise FormatError(
            f"{self.file}: {name} must be a tensor of shape {shape} in float16, bfloat16, float32 "
            f"or float64, got {got}"
        )

    def _finite(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        wrong = tensor.numel() - int(torch.isfinite(tensor).sum())
        if wrong:
            raise FormatError(
                f"{self.file}: {name} must hold finite numbers only, got {wrong} others in a "
                f"tensor of shape {tuple(tensor.shape)}"
            )
        return tensor

    def _shape(self, name: str, tensor: torch.Tensor, allowed: str) -> FormatError:
        return FormatError(
            f"{self.file}: {name} must have shape {allowed}, got {tuple(tensor.shape)}"
        )


def one_dtype(tensors: Mapping[str, torch.Tensor | None]) -> dict[str, torch.Tensor | None]:
    """Return tensors in float64 if any of them is, so that none loses digits."""
    wide = any(t is not None and t.dtype == torch.float64 for t in tensors.values())
    dtype = torch.float64 if wide else torch.float32
    return {name: None if t is None else t.to(dtype) for name, t in tensors.items()}


@contextlib.contextmanager
def npz_entries(file: Path) -> Iterator[Entries]:
    """Entries of a NumPy archive; arrays of objects, which are pickles, are refused."""
    # opened here, so that it is closed where NumPy finds no archive in it
    with file.open("rb") as content:
        with _refusing(file, "a NumPy archive of plain arrays"):
            archive = np.load(content, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise FormatError(f"{file} must be a NumPy archive (.npz), got a single array")

        def read(name: str) -> Any:
            with _refusing(file, "a NumPy archive of plain arrays"):
                array = archive[name]
            return torch.from_numpy(array) if array.dtype.kind in "iuf" else array

        with archive:
            yield Entries(file, archive.files, read)


@contextlib.contextmanager
def safetensors_entries(file: Path) -> Iterator[Entries]:
    """Entries of a safetensors file."""
    from safetensors import safe_open

    with contextlib.ExitStack() as stack:
        with _refusing(file, "a safetensors file"):
            handle = stack.enter_context(safe_open(file, framework="pt", device="cpu"))
            names = list(handle.keys())

        def read(name: str) -> Any:
            with _refusing(file, "a safetensors file"):
                return handle.get_tensor(name)

        yield Entries(file, names, read)


def torch_entries(file: Path) -> Entries:
    """Entries of a dictionary that torch.save wrote: tensors, numbers and text, no other objects.

    Raises
    ------
    FormatError
        If the file holds anything else. Nothing in it is run: what a pickle would call is refused
        by torch.load(weights_only=True).
    """
    with (
        _refusing(file, "a dictionary of tensors that torch.save wrote"),
        warnings.catch_warnings(),
    ):
        # of protocols that torch.save does not write: what is in them is refused or read
        warnings.simplefilter("ignore", UserWarning)
        content = torch.load(file, map_location="cpu", weights_only=True)
    return entries_of(file, content)


def entries_of(file: Path, content: Any, where: str = "") -> Entries:
    """Entries of a dictionary that was read from a file."""
    place = f"{where} of {file}" if where else str(file)
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise FormatError(f"{place} must be a dictionary with text as keys, got {_brief(content)}")
    return Entries(file, list(content), content.__getitem__)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds."""
    with _refusing(file, "JSON"):
        content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise FormatError(f"{file} must hold a JSON object, got {_brief(content)}")
    return content


def setting(file: Path, config: Mapping[str, Any], key: str, *allowed: Any) -> Any:
    """Return a setting that must be there; one of ``allowed``, if there are any."""
    if key not in config:
        raise FormatError(f"{file} must have {key!r}, got {', '.join(map(repr, config))}")
    value = config[key]
    if allowed and not any(value is a or (type(value) is type(a) and value == a) for a in allowed):
        one = "one of " if len(allowed) > 1 else ""
        raise FormatError(
            f"{file}: {key} must be {one}{', '.join(map(repr, allowed))}, got {value!r}"
        )
    return value


def whole(file: Path, key: str, value: Any) -> int:
    """Return a value as a whole number of at least 1."""
    if type(value) is not int or value < 1:
        raise FormatError(f"{file}: {key} must be a whole number of at least 1, got {value!r}")
    return value


def same_size(file: Path, key: str, value: Any, size: int, of: Path) -> None:
    """Raise FormatError unless a size in a configuration is that of the weights beside it."""
    if value != size or type(value) is bool:
        raise FormatError(f"{file}: {key} must be {size}, as in {of.name}, got {value!r}")


@contextlib.contextmanager
def _refusing(file: Path, allowed: str) -> Iterator[None]:
    """Turn whatever a decoder says about bad bytes into one sentence about the file."""
    try:
        yield
    except (FormatError, FileNotFoundError, PermissionError, IsADirectoryError, MemoryError):
        raise
    # decoders of damaged or hostile bytes raise almost anything; it is refused, not hidden
    except Exception as error:
        raise FormatError(f"{file} must be {allowed}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a decoder failed, without its advice to unpickle."""
    text = " ".join(str(error).split())
    named = re.search(r"GLOBAL ([\w.]+)", text) or re.search(r"(?:class|function) ([\w.]+)", text)
    if type(error).__name__ == "UnpicklingError":
        what = f"it would call {named[1]}" if named else "it is damaged or holds other objects"
        return f"{what}, and pickled code is never run"
    if "allow_pickle" in text or "Object arrays" in text:
        return "it holds pickled objects, and these are never run"
    return text[:200] if text else type(error).__name__


def _brief(value: Any) -> str:
    return f"a {type(value).__name__}"
