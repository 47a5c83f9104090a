"""ZIP archives of arrays (``.npz`` and ``.pt`` are ZIP archives), checked before they are unpacked.

- What an archive says that it unpacks to is held against its own size, and what an array claims
  against what is there for it: nothing is allocated on a header's word.
- Arrays of objects are pickles: refused. So are compressions that NumPy and PyTorch don't write.
"""

from __future__ import annotations

import contextlib
import math
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, final

import numpy as np
import torch

from scaling_theory.sae.formats._errors import FormatError, file_size, names_shown, refusing

#: A compressed archive unpacks to at most this many times its own size, and 64 MiB more. Float32
#: weights that hold four bits each would shrink eightfold; DEFLATE shrinks zeros a thousandfold.
_EXPANSION, _SLACK = 16, 2**26
#: Most entries; SAEs have about ten, a training run in progress some more.
_MOST = 4096
_PIECE = 2**20


@final
class Archive:
    """An open ZIP archive whose directory was checked.

    Parameters
    ----------
    file
        Where it is, for messages.
    content
        The open archive.
    compressed
        Whether entries may be deflated; otherwise they lie in the file as they are.
    """

    def __init__(self, file: Path, content: zipfile.ZipFile, compressed: bool) -> None:
        self.file, self._content = file, content
        members = content.infolist()
        names = [member.filename for member in members]
        if len(members) > _MOST:
            raise FormatError(f"{file} must hold at most {_MOST} entries, got {len(members)}")
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise FormatError(f"{file} must hold each entry once, got {names_shown(twice)} twice")
        methods = {zipfile.ZIP_STORED, *([zipfile.ZIP_DEFLATED] if compressed else [])}
        odd = [m.filename for m in members if m.compress_type not in methods or m.flag_bits & 1]
        if odd:
            how = "stored or deflated" if compressed else "stored as they are"
            raise FormatError(f"{file} must hold entries {how}, got others: {names_shown(odd)}")
        size = file_size(file)
        most = _EXPANSION * size + _SLACK if compressed else size
        unpacked = sum(member.file_size for member in members)
        if unpacked > most:
            raise FormatError(
                f"{file} must unpack to at most {most} bytes, as it is of {size}, got {unpacked}"
            )
        self._members = dict(zip(names, members, strict=True))

    @property
    def names(self) -> list[str]:
        """Names of the entries, as they are in the archive."""
        return list(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self, name: str) -> int:
        """Bytes of an entry."""
        return self._members[name].file_size

    def bytes(self, name: str, most: int) -> bytes:
        """An entry of at most this many bytes."""
        if self.size(name) > most:
            raise FormatError(
                f"{self.file}: {names_shown([name])} must be of at most {most} bytes, "
                f"got {self.size(name)}"
            )
        return self._content.read(self._members[name])

    def array(self, name: str) -> Any:
        """An entry in NumPy's format: a tensor of numbers, or an array of text and the like.

        Notes
        -----
        A header has at most 10,000 characters (NumPy's own bound), so that it is parsed in bounded
        time; the array is only allocated once its size is that of the entry.
        """
        member = self._members[name]
        with self._content.open(member) as stream:
            dtype, shape = _header(self.file, name, stream)
            left = member.file_size - stream.tell()
        claimed = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise FormatError(
                f"{self.file}: {names_shown([name])} must hold numbers: it holds pickled objects, "
                "and these are never run"
            )
        if claimed != left or min(shape, default=0) < 0:
            raise FormatError(
                f"{self.file}: {names_shown([name])} must hold as many numbers as it says, "
                f"got {left} bytes for {str(shape)[:60]} of {dtype.itemsize} bytes each"
            )
        with self._content.open(member) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
        if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
            return array
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        return torch.from_numpy(native if native.flags.writeable else native.copy())

    def fill(self, name: str, tensor: torch.Tensor) -> None:
        """Read an entry into a tensor of bytes that is as long."""
        into, at = tensor.numpy(), 0
        with self._content.open(self._members[name]) as stream:
            while piece := stream.read(_PIECE):
                into[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
                at += len(piece)
        if at != len(into):
            raise FormatError(f"{self.file}: {names_shown([name])} is cut off after {at} bytes")


@contextlib.contextmanager
def opened(file: Path, allowed: str, *, compressed: bool) -> Iterator[Archive]:
    """Open a ZIP archive and check its directory; ``allowed`` says in messages what it must be."""
    file_size(file)
    with contextlib.ExitStack() as stack:
        with refusing(file, allowed):
            archive = Archive(file, stack.enter_context(zipfile.ZipFile(file)), compressed)
        yield archive


def _header(file: Path, name: str, stream: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise FormatError(
            f"{file}: {names_shown([name])} must be in version 1.0 or 2.0 of NumPy's format, "
            f"got {version}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how the header is written
            shape, _, dtype = readers[version](stream)
    except MemoryError:  # of Python's parser, about brackets in brackets
        raise FormatError(f"{file}: the header of {names_shown([name])} is nested") from None
    return dtype, shape
