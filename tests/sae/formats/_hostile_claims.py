"""Safetensors headers, NumPy arrays and ZIP archives that claim what is not there."""

import io
import json
import struct
import zipfile

import numpy as np
from _hostile_parts import gemma, holes, patched
from safetensors.torch import save

# ---- safetensors -----------------------------------------------------------------------------


def _safe(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    return struct.pack("<Q", size) + text + data


def safetensors_claims():
    """Headers that claim what is not there, or say it in ways that parsers stumble on."""
    good = save(gemma())

    def one(dtype="F32", shape=(4,), offsets=(0, 16), name="W_dec", **more):
        entry = {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}
        return _safe({name: entry}, bytes(16))

    lengths = {
        "2^63": 2**63, "2^64 - 1": 2**64 - 1, "10^8": 10**8, "0": 0, "1": 1,
        "the file's": len(good), "the file's less 8": len(good) - 8, "2^31": 2**31, "2^20": 2**20,
    }  # fmt: skip
    out = {f"header of {w}": struct.pack("<Q", n) + good[8:] for w, n in lengths.items()}
    huge = {"dtype": "F32", "shape": [2**17, 2**17], "data_offsets": [0, 2**36]}
    start = _safe({"W_dec": huge, **{
        name: {"dtype": "F32", "shape": [0], "data_offsets": [2**36, 2**36]}
        for name in ("W_enc", "b_enc", "b_dec", "threshold", "encoder.weight", "encoder.bias")
    }})  # fmt: skip
    return out | {
        "10^12 numbers": one(shape=[10**12], offsets=[0, 4 * 10**12]),
        "10^12 numbers in 16 bytes": one(shape=[10**12]),
        "a product of 2^64": one(shape=[2**32, 2**32]),
        "a product of 2^64 + 4": one(shape=[2**62, 4], offsets=[0, 16]),
        "a negative size": one(shape=[-4]),
        "a size of 4.5": one(shape=[4.5]),
        "a size of 10^30": one(shape=[10**30]),
        "50,000 axes": one(shape=[1] * 50_000),
        "offsets backwards": one(offsets=[16, 0]),
        "offsets of 2^63": one(offsets=[2**63, 2**63 + 16]),
        "negative offsets": one(offsets=[-16, 0]),
        "offsets with a gap": one(offsets=[4, 20]),
        "another type": one(dtype="F33"),
        "no type": one(dtype=None),
        "eight bits": one(dtype="F8_E4M3", shape=[16]),
        "four bits": one(dtype="F4", shape=[32]),
        "complex": one(dtype="C64", shape=[2]),
        "a name of lines": one(name="a\nb" * 1000),
        "another field": one(more=3),
        "overlaps": _safe(
            {
                name: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
                for name in ("W_dec", "W_enc", "b_dec", "b_enc", "threshold")
            },
            bytes(16),
        ),
        "nested": _safe(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        "lists": _safe(b"[" * 100_000),
        "a list": _safe([]),
        "nothing": _safe({}),
        "metadata of numbers": _safe({"__metadata__": {"a": 3}}),
        "metadata of lists": _safe({"__metadata__": {"a": [[]]}}),
        "no text": _safe(b"\xff\xfe" * 100),
        "the same twice": _safe(
            b'{"W_dec":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
            b'"W_dec":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', bytes(16)
        ),
        "20,000 entries": _safe(
            {f"{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(15_000)}
        ),
        "a file of holes": lambda path: holes(path, start, len(start) + 2**36),
        "a header of holes": lambda path: holes(path, struct.pack("<Q", 2**35), 2**36),
    }  # fmt: skip


# ---- NumPy -----------------------------------------------------------------------------------


def _npy(descr, shape, data=b"", version=(1, 0), fortran="False", header=None, length=None):
    if header is None:
        text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
        header = text.encode() + b"\n"
    size = len(header) if length is None else length
    packed = struct.pack("<H" if version[0] == 1 else "<I", size)
    return b"\x93NUMPY" + bytes(version) + packed + header + data


def zipped(members, method=zipfile.ZIP_STORED, most=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return buffer.getvalue()


def with_arrays(**changes):
    """A Gemma Scope archive in which entries are other bytes."""
    members = {}
    for name, value in gemma().items():
        buffer = io.BytesIO()
        np.save(buffer, value.numpy())
        members[f"{name}.npy"] = buffer.getvalue()
    return members | {f"{name}.npy": content for name, content in changes.items()}


def with_directory(content, field, value, which=0):
    """An archive whose directory says something else of an entry."""
    offset, size = {
        "flags": (8, 2), "method": (10, 2), "crc": (16, 4), "packed": (20, 4), "size": (24, 4),
        "name": (28, 2), "extra": (30, 2), "at": (42, 4),
    }[field]  # fmt: skip
    at = -1
    for _ in range(which + 1):
        at = content.index(b"PK\x01\x02", at + 1)
    return patched(content, at + offset, value.to_bytes(size, "little"))


#: What is wrong with an archive and without effect.
HARMLESS = ("65,535 entries", "a long comment", "a deep folder name")


def npz_claims():
    """Arrays and archives that claim what is not there."""
    n = bytes(60)
    headers = {
        "10^12 numbers": _npy("'<f4'", "(1000000, 1000000)", n),
        "10^30 numbers": _npy("'<f4'", f"({10**15}, {10**15})", n),
        "2^64 numbers": _npy("'<f4'", f"({2**32}, {2**32})", n),
        "2^64 bytes": _npy("'<f4'", f"({2**31}, {2**31}, 4)", n),
        "a negative size": _npy("'<f4'", "(-5, -3)", n),
        "a size of 5.0": _npy("'<f4'", "(5.0, 3)", n),
        "a size of True": _npy("'<f4'", "(True, 15)", n),
        "no tuple": _npy("'<f4'", "15", n),
        "10^9 axes": _npy("'<f4'", "(1,) * 10**9", n),
        "3,000 axes": _npy("'<f4'", "(" + "1, " * 3000 + ")", n[:4]),
        "a header of 2^32 - 1": _npy("'<f4'", "(5, 3)", n, version=(2, 0), length=2**32 - 1),
        "a header of 65,535": _npy("'<f4'", "(5, 3)", n, length=65535),
        "version 3": _npy("'<f4'", "(5, 3)", n, version=(3, 0)),
        "version 9": _npy("'<f4'", "(5, 3)", n, version=(9, 9)),
        "objects": _npy("'|O'", "(5, 3)", n),
        "objects in fields": _npy("[('a', '|O')]", "(5, 3)", n),
        "10^9 bytes each": _npy("'|V1000000000'", "(5, 3)", n),
        "10^8 characters each": _npy("'<U100000000'", "(5, 3)", n),
        "no bytes each": _npy("'|V0'", f"({10**15},)"),
        "no characters each": _npy("'<U0'", f"({10**9}, {10**6})"),
        "fields": _npy("[('a', '<f4'), ('b', '<f4')]", "(5, 3)", n + n),
        "no type": _npy("'<q9'", "(5, 3)", n),
        "dates": _npy("'<M8[ns]'", "(5, 3)", n + n),
        "sixteen bytes each": _npy("'<f16'", "(5, 3)", 4 * n),
        "complex": _npy("'<c8'", "(5, 3)", n + n),
        "an order of 3": _npy("'<f4'", "(5, 3)", n, fortran="3"),
        "brackets in brackets": _npy("'<f4'", "(" * 4000 + ")" * 4000, n),
        "signs": _npy("'<f4'", "-" * 9000 + "1", n),
        "a header that calls": _npy("'<f4'", "__import__('os').abort()", n),
        "a header that is long": _npy("'<f4'", "(5, 3)" + " " * 60000, n),
        "no header": b"",
        "a magic alone": b"\x93NUMPY",
        "keys twice": _npy("'<f4'", "(5, 3), 'shape': (10000000, 10000000)", n),
        "an empty dictionary": _npy("", "", header=b"{}\n"),
        "nothing after it": _npy("'<f4'", "(5, 3)"),
        "a byte short": _npy("'<f4'", "(5, 3)", n[:-1]),
        "a byte more": _npy("'<f4'", "(5, 3)", n + b"\0"),
    }  # fmt: skip
    out = {what: zipped(with_arrays(W_dec=content)) for what, content in headers.items()}
    out |= {f"{w}, bare": content for w, content in headers.items()}
    good, deflated = zipped(with_arrays()), zipped(with_arrays(), zipfile.ZIP_DEFLATED)
    for which in (0, 1, 4):
        for field in ("method", "flags", "crc", "packed", "size", "at", "name", "extra"):
            for value in (
                (1, 2**16 - 1)
                if field in ("method", "flags", "name", "extra")
                else (
                    1,
                    2**31,
                    2**32 - 1,
                )
            ):
                for kind, content in (("stored", good), ("deflated", deflated)):
                    what = f"directory: {kind} {field} of {which} is {value}"
                    out[what] = with_directory(content, field, value, which)
    rows = _npy("'<f4'", f"({2**11}, {10 * 2**10})") + bytes(2**26 + 2**24)
    end = good.rindex(b"PK\x05\x06")
    return out | {
        "a bomb": zipped(with_arrays(W_dec=rows), zipfile.ZIP_DEFLATED),
        "a bomb beside it": zipped(with_arrays(other=rows), zipfile.ZIP_DEFLATED),
        "a bomb that understates": with_directory(
            zipped(with_arrays(W_dec=rows), zipfile.ZIP_DEFLATED), "size", 200, 1
        ),
        "bz2": zipped(with_arrays(W_dec=rows), zipfile.ZIP_BZIP2),
        "lzma": zipped(with_arrays(), zipfile.ZIP_LZMA),
        "5,000 entries": zipped({**with_arrays(), **{f"{i}.npy": b"" for i in range(5000)}}),
        "a name of lines": zipped({**with_arrays(), "a\nb" * 300: b""}),
        "a name outside": zipped({**with_arrays(), "../../x.npy": b""}),
        "a folder": zipped({**with_arrays(), "W_dec.npy/": b""}),
        "two names of one": zipped({**with_arrays(), "W_dec": with_arrays()["W_dec.npy"]}),
        "a directory of 2^32 - 1": patched(good, end + 12, b"\xff" * 4),
        "a directory at 2^32 - 1": patched(good, end + 16, b"\xff" * 4),
        "65,535 entries": patched(good, end + 8, b"\xff" * 4),
        "a long comment": patched(good, end + 20, b"\xff\xff"),
        "no directory": good[: good.index(b"PK\x01\x02")],
    }
