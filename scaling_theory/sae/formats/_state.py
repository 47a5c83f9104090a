"""What torch.save wrote, read as data: no unpickler takes part.

A pickle is a programme for a stack machine, and an unpickler runs it, even where it only admits
some functions: torch.load(weights_only=True) let files run code before PyTorch 2.6
(CVE-2025-32434), allocates what a file claims, and can be kept busy for ever by a kilobyte of
tuples in tuples. The dictionaries of tensors that torch.save writes need few instructions. They are
followed here with inert values: a function is a name, and a tensor is a note of where its numbers
lie, which is held against the size of that entry before anything is read. Any other instruction or
name is refused. Tensors are read when they are asked for.
"""

from __future__ import annotations

import math
import pickletools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from scaling_theory.sae.formats._archive import Archive, opened
from scaling_theory.sae.formats._errors import (
    MAX_TEXT,
    FormatError,
    file_size,
    names_shown,
    refusing,
)

ALLOWED = "a dictionary of tensors that torch.save wrote (PyTorch 1.6 or later)"

#: Storages of numbers, by their class; those of tensors that are no plain numbers are not read.
_STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
#: Types that configurations hold, kept as text.
_WORDS = {
    f"torch.{name}"
    for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "float", "half")
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE")
#: Instructions that change nothing.
_IDLE = ("PROTO", "FRAME")
_MAX_DIMENSIONS = 4


@final
@dataclass(frozen=True)
class StoredTensor:
    """Where the numbers of a tensor lie: an entry of an archive, and a view of it."""

    file: Path
    entry: str
    dtype: torch.dtype
    count: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    def read(self) -> torch.Tensor:
        """Return the tensor; its numbers are exactly those that the entry has."""
        with opened(self.file, ALLOWED, compressed=False) as archive, refusing(self.file, ALLOWED):
            self.check(archive)
            storage = torch.empty(self.count, dtype=self.dtype)
            archive.fill(self.entry, storage.view(torch.uint8))
        return storage.as_strided(self.shape, self.stride, self.offset)

    def check(self, archive: Archive) -> None:
        """Raise FormatError unless the entry holds the numbers, and the view is inside it."""
        if self.entry not in archive:
            raise FormatError(f"{self.file} must hold {names_shown([self.entry])}, a tensor's")
        held, wanted = archive.size(self.entry), self.count * self.dtype.itemsize
        if held != wanted:
            raise FormatError(
                f"{self.file}: {names_shown([self.entry])} must be of {wanted} bytes, as its "
                f"tensor says, got {held}"
            )
        last = self.offset + sum(
            (size - 1) * step for size, step in zip(self.shape, self.stride, strict=True)
        )
        # no view is larger than what it is of: one number can be seen as 10^12, all of them equal
        many = math.prod(self.shape)
        if many and (last >= self.count or many > self.count):
            raise FormatError(
                f"{self.file}: a tensor of shape {self.shape} and stride {self.stride} must lie "
                f"in the {self.count} numbers of {names_shown([self.entry])}"
            )


def read_state(file: Path) -> Any:
    """Return what torch.save wrote to a file: dictionaries, lists, numbers, text, StoredTensors.

    Raises
    ------
    FormatError
        If it holds anything else. Nothing in it is run.
    """
    file_size(file)
    with file.open("rb") as content:
        if content.read(4) != b"PK\x03\x04":
            raise FormatError(
                f"{file} must be {ALLOWED}, got no ZIP archive: older files are bare pickles, and "
                "pickled code is never run"
            )
    with opened(file, ALLOWED, compressed=False) as archive, refusing(file, ALLOWED):
        pickles = [name for name in archive.names if name.endswith("/data.pkl")]
        if len(pickles) != 1 or pickles[0].count("/") != 1:
            raise FormatError(f"{file} must hold one data.pkl, got {names_shown(pickles)}")
        folder = pickles[0].removesuffix("data.pkl")
        _check_order(file, archive, folder)
        return _Machine(file, archive, folder).run(archive.bytes(pickles[0], MAX_TEXT))


def _check_order(file: Path, archive: Archive, folder: str) -> None:
    name = f"{folder}byteorder"
    if name in archive:
        order = archive.bytes(name, 16).decode("ascii", "replace")
        if order != sys.byteorder:
            raise FormatError(
                f"{file}: byteorder must be {sys.byteorder!r}, that of this machine, got {order!r}"
            )


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle names; it stays a name."""

    text: str


@dataclass(frozen=True)
class _Storage:
    """Numbers in an entry of the archive."""

    entry: str
    dtype: torch.dtype
    count: int


class _Mark:
    """Where the items of a list or dictionary begin on the stack."""


class _Machine:
    """The stack machine of pickles, with inert values."""

    def __init__(self, file: Path, archive: Archive, folder: str) -> None:
        self.file, self.archive, self.folder = file, archive, folder
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self._calls: dict[str, Callable[[Any], Any]] = {
            "collections.OrderedDict": self._ordered,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch.Size": lambda given: _as(tuple, _one(given)),
            "torch.device": lambda given: _as(str, _one(given)),
        }
        self._steps: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys((*_NUMBERS, *_TEXTS), self.stack.append),
            **dict.fromkeys(_IDLE, lambda _: None),
            "MARK": lambda _: self.stack.append(_Mark()),
            "EMPTY_DICT": lambda _: self.stack.append({}),
            "EMPTY_LIST": lambda _: self.stack.append([]),
            "EMPTY_TUPLE": lambda _: self.stack.append(()),
            "TUPLE1": lambda _: self.stack.append(tuple(self._pop(1))),
            "TUPLE2": lambda _: self.stack.append(tuple(self._pop(2))),
            "TUPLE3": lambda _: self.stack.append(tuple(self._pop(3))),
            "TUPLE": lambda _: self.stack.append(tuple(self._items())),
            "APPEND": lambda _: self._extend(self._pop(1)),
            "APPENDS": lambda _: self._extend(self._items()),
            "SETITEM": lambda _: self._set(self._pop(2)),
            "SETITEMS": lambda _: self._set(self._items()),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT"), self._put),
            **dict.fromkeys(("BINGET", "LONG_BINGET"), self._get),
            "MEMOIZE": lambda _: self._put(len(self.memo)),
            "GLOBAL": lambda text: self._name(text.replace(" ", ".", 1)),
            "STACK_GLOBAL": lambda _: self._name(".".join(map(str, self._pop(2)))),
            "BINPERSID": lambda _: self._storage(),
            "REDUCE": lambda _: self._call(),
            "BUILD": lambda _: self._build(),
        }
        self._steps |= {name: self._constant(value) for name, value in _CONSTANTS.items()}

    def run(self, pickled: bytes) -> Any:
        """Follow the instructions and return what is left on the stack."""
        for code, argument, _ in pickletools.genops(pickled):
            if code.name == "STOP":
                break
            if code.name not in self._steps:
                raise FormatError(
                    f"{self.file} must be {ALLOWED}: it holds other objects ({code.name}), and "
                    "pickled code is never run"
                )
            self._steps[code.name](argument)
        (value,) = self._pop(1)
        return value

    # ---- instructions ---------------------------------------------------------------------

    def _pop(self, count: int) -> list[Any]:
        values = self.stack[-count:]
        if len(values) < count or any(isinstance(value, _Mark) for value in values):
            raise ValueError("it is damaged: too little on the stack")
        del self.stack[-count:]
        return values

    def _items(self) -> list[Any]:
        """What lies above the last mark."""
        values: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if isinstance(value, _Mark):
                return values[::-1]
            values.append(value)
        raise ValueError("it is damaged: no mark on the stack")

    def _extend(self, values: list[Any]) -> None:
        _as(list, self._top()).extend(values)

    def _set(self, values: list[Any]) -> None:
        target = _as(dict, self._top())
        keys = values[::2]
        if len(values) % 2:
            raise ValueError("it is damaged: a key without a value")
        for key in keys:
            # tuples would be hashed, level by level: 2^60 steps for 60 of them in each other
            if type(key) is not str and not (type(key) is int and abs(key) < 2**31):
                raise ValueError("keys must be text or small whole numbers")
        target.update(zip(keys, values[1::2], strict=True))

    def _top(self) -> Any:
        if not self.stack:
            raise ValueError("it is damaged: nothing on the stack")
        return self.stack[-1]

    def _constant(self, value: bool | None) -> Callable[[Any], None]:
        return lambda _: self.stack.append(value)

    def _put(self, at: int) -> None:
        self.memo[at] = self._top()

    def _get(self, at: int) -> None:
        if at not in self.memo:
            raise ValueError(f"it is damaged: no value {at}")
        self.stack.append(self.memo[at])

    def _name(self, text: str) -> None:
        if text not in self._calls and text not in _STORAGES and text not in _WORDS:
            raise FormatError(
                f"{self.file} must be {ALLOWED}: it would call {names_shown([text])}, and pickled "
                "code is never run"
            )
        self.stack.append(text if text in _WORDS else _Name(text))

    def _storage(self) -> None:
        (given,) = self._pop(1)
        word, kind, key, _, count = _as(tuple, given, 5)
        if word != "storage" or not isinstance(kind, _Name) or kind.text not in _STORAGES:
            raise ValueError("tensors must be of plain numbers")
        entry = f"{self.folder}data/{_as(str, key)}"
        self.stack.append(_Storage(entry, _STORAGES[kind.text], _size(count)))

    def _call(self) -> None:
        function, given = self._pop(2)
        if not isinstance(function, _Name) or function.text not in self._calls:
            raise ValueError("it is damaged: a call of what is no function")
        self.stack.append(self._calls[function.text](_as(tuple, given)))

    def _build(self) -> None:
        """Attributes of a dictionary, such as the versions of modules, are left out."""
        self._pop(1)
        _as(dict, self._top())

    # ---- calls ----------------------------------------------------------------------------

    def _ordered(self, given: tuple[Any, ...]) -> dict[str, Any]:
        _as(tuple, given, 0)
        return {}

    def _parameter(self, given: tuple[Any, ...]) -> StoredTensor:
        tensor: StoredTensor = _as(StoredTensor, _as(tuple, given, 3)[0])
        return tensor

    def _tensor(self, given: tuple[Any, ...]) -> StoredTensor:
        if len(given) not in (6, 7):
            raise ValueError("it is damaged: a tensor with other arguments")
        storage, offset, shape, stride = _as(_Storage, given[0]), *given[1:4]
        sizes = tuple(_size(size) for size in _as(tuple, shape))
        steps = tuple(_size(step) for step in _as(tuple, stride, len(sizes)))
        if len(sizes) > _MAX_DIMENSIONS:
            raise ValueError(f"tensors must have at most {_MAX_DIMENSIONS} dimensions")
        tensor = StoredTensor(
            self.file, storage.entry, storage.dtype, storage.count, sizes, steps, _size(offset)
        )
        tensor.check(self.archive)
        return tensor


def _as(kind: type[Any], value: Any, length: int | None = None) -> Any:
    """Return a value of a type (and length), or raise ValueError."""
    if type(value) is not kind or (length is not None and len(value) != length):
        raise ValueError(f"it is damaged: a {type(value).__name__} where a {kind.__name__} must be")
    return value


def _one(given: tuple[Any, ...]) -> Any:
    return _as(tuple, given, 1)[0]


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("it is damaged: a size that is no whole number from 0 to 2^63")
    return value
