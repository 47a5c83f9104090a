"""Reading of files that may hold anything: nothing is unpickled, and what is read is checked.

A reader lists the entries of a file, says which it needs, and takes tensors of stated shapes; what
does not fit is refused with the file, the entry, what was found and what is allowed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch

from scaling_theory.sae.formats._archive import opened
from scaling_theory.sae.formats._errors import (
    MAX_TEXT,
    FormatError,
    file_size,
    kind,
    names_shown,
    read_text,
    refusing,
    shown,
)
from scaling_theory.sae.formats._state import StoredTensor, read_state

#: Types that tensors may be stored in; they are read as float32, float64 as what it is.
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


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
            names = names_shown(sorted(self.names))
            raise FormatError(f"{self.file}: entries {names} name a tensor twice")
        return Entries(self.file, list(own), lambda name: self._read(own[name]))

    def check(self, needed: Sequence[str], optional: Sequence[str] = ()) -> None:
        """Raise FormatError unless all that is needed is there, and nothing that is not allowed."""
        missing = sorted(set(needed) - set(self.names))
        unknown = sorted(set(self.names) - set(needed) - set(optional))
        if missing or unknown:
            also = f" and perhaps {', '.join(optional)}" if optional else ""
            raise FormatError(
                f"{self.file} must hold {', '.join(needed)}{also}, got "
                f"{names_shown(sorted(self.names)) or 'nothing'}"
                + (f" (missing: {', '.join(missing)})" if missing else "")
                + (f" (unknown: {names_shown(unknown)})" if unknown else "")
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
            got = kind(value)
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
    allowed = "a NumPy archive (.npz) of plain arrays"
    with opened(file, allowed, compressed=True) as archive:
        stored = {name.removesuffix(".npy"): name for name in archive.names}
        if len(stored) < len(archive.names):
            raise FormatError(
                f"{file}: entries {names_shown(sorted(archive.names))} name an array twice"
            )

        def read(name: str) -> Any:
            with refusing(file, allowed):
                return archive.array(stored[name])

        yield Entries(file, list(stored), read)


@contextlib.contextmanager
def safetensors_entries(file: Path) -> Iterator[Entries]:
    """Entries of a safetensors file."""
    from safetensors import safe_open

    _check_header(file)
    with contextlib.ExitStack() as stack:
        with refusing(file, "a safetensors file"):
            handle = stack.enter_context(safe_open(file, framework="pt", device="cpu"))
            names = list(handle.keys())

        def read(name: str) -> Any:
            with refusing(file, "a safetensors file"):
                return handle.get_tensor(name)

        yield Entries(file, names, read)


def _check_header(file: Path) -> None:
    """Hold the length that a safetensors header claims against the file, before it is read."""
    size = file_size(file)
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
    if not 2 <= length <= min(size - 8, MAX_TEXT):  # the shortest is {}
        raise FormatError(
            f"{file} must be a safetensors file with a header of 2 to {MAX_TEXT} bytes inside "
            f"it, got {length} in a file of {size}"
        )


def torch_entries(file: Path) -> Entries:
    """Entries of a dictionary that torch.save wrote: tensors, numbers and text, no other objects.

    Raises
    ------
    FormatError
        If the file holds anything else. Nothing in it is run: it is read as data.
    """
    return entries_of(file, read_state(file))


def entries_of(file: Path, content: Any, where: str = "") -> Entries:
    """Entries of a dictionary that was read from a file."""
    place = f"{where} of {file}" if where else str(file)
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        raise FormatError(f"{place} must be a dictionary with text as keys, got {kind(content)}")

    def read(name: str) -> Any:
        value = content[name]
        return value.read() if isinstance(value, StoredTensor) else value

    return Entries(file, list(content), read)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds."""
    with refusing(file, "JSON"):
        content = json.loads(read_text(file))
    if not isinstance(content, dict):
        raise FormatError(f"{file} must hold a JSON object, got {kind(content)}")
    return content


def setting(file: Path, config: Mapping[str, Any], key: str, *allowed: Any) -> Any:
    """Return a setting that must be there; one of ``allowed``, if there are any."""
    if key not in config:
        raise FormatError(f"{file} must have {key!r}, got {_keys(config)}")
    value = config[key]
    if allowed and not any(value is a or (type(value) is type(a) and value == a) for a in allowed):
        one = "one of " if len(allowed) > 1 else ""
        raise FormatError(
            f"{file}: {key} must be {one}{', '.join(map(repr, allowed))}, got {shown(value)}"
        )
    return value


def whole(file: Path, key: str, value: Any) -> int:
    """Return a value as a whole number of at least 1."""
    if type(value) is not int or not 1 <= value < 2**63:
        got = shown(value)
        raise FormatError(f"{file}: {key} must be a whole number of at least 1, got {got}")
    return value


def _keys(config: Mapping[str, Any]) -> str:
    """Keys of a configuration, for messages."""
    return names_shown(map(repr, config)) or "nothing"


def same_size(file: Path, key: str, value: Any, size: int, of: Path) -> None:
    """Raise FormatError unless a size in a configuration is that of the weights beside it."""
    if value != size or type(value) is bool:
        raise FormatError(f"{file}: {key} must be {size}, as in {of.name}, got {shown(value)}")
