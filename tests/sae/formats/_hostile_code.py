"""Pickles with code, and what torch.save writes with claims of what is not there."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from _hostile_claims import with_arrays, with_directory, zipped
from _hostile_parts import D, F, gemma, npz_bytes, openai, torch_bytes

# ---- code ------------------------------------------------------------------------------------


class Calls:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def payloads(marker):
    """What would make a file, each by another function."""
    import subprocess

    text = str(marker)
    return {
        "os.system": Calls(os.system, f"touch {text}"),
        "eval": Calls(eval, f"open({text!r}, 'w').close()"),
        "exec": Calls(exec, f"open({text!r}, 'w').close()"),
        "open": Calls(open, text, "w"),
        "Path.touch": Calls(Path.touch, marker),
        "subprocess": Calls(subprocess.check_call, ["touch", text]),
        "os.mkdir": Calls(os.mkdir, text),
        "numpy.save": Calls(np.save, text + ".npy", 1),
        "torch.save": Calls(torch.save, 1, text),
    }


def old_opcodes(marker):
    """Pickles in the instructions of protocol 0 that call as they name."""
    command = f"touch {marker}"
    return {
        "INST": f"(S'{command}'\nios\nsystem\n.".encode(),
        "OBJ": f"(cos\nsystem\nS'{command}'\no.".encode(),
        "GLOBAL REDUCE": f"cos\nsystem\n(S'{command}'\ntR.".encode(),
        "NEWOBJ": f"cos\nsystem\n(S'{command}'\nt\x81.".encode(),
        "BUILD": f"}}(S'__setstate__'\ncos\nsystem\nubS'{command}'\nb.".encode(),
        "EXT1": b"\x82\x01.",
        "PERSID": b"Psome id\n.",
    }


def npz_code(marker):
    """Object arrays and pickles where arrays should be."""
    out = {}
    for name, payload in payloads(marker).items():
        array = np.empty((F, D), dtype=object)
        array[0, 0] = payload
        out[f"objects: {name}"] = npz_bytes({**gemma(), "W_dec": array})
        out[f"a pickle: {name}"] = pickle.dumps(payload)
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        out[f"an array of objects: {name}"] = buffer.getvalue()
        out[f"an entry: {name}"] = zipped(with_arrays(W_dec=pickle.dumps(payload)))
    return out


class _Storage:
    def __init__(self, key="0", count=15, kind=torch.FloatStorage, word="storage"):
        self.id = (word, kind, key, "cpu", count)


class _View:
    """A tensor as torch.save writes it, with any claim."""

    def __init__(self, storage=None, offset=0, size=(F, D), stride=(D, 1), function=None):
        self.call = (
            function or torch._utils._rebuild_tensor_v2,
            (storage or _Storage(), offset, size, stride, False, OrderedDict()),
        )

    def __reduce__(self):
        return self.call


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.id if isinstance(obj, _Storage) else None


def state_pickle(content, protocol=2):
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=protocol).dump(content)
    return buffer.getvalue()


def state(pickled, records=None, method=zipfile.ZIP_STORED, folder="archive"):
    """A file as torch.save writes it, of any pickle and records."""
    members = {f"{folder}/data.pkl": pickled, f"{folder}/version": b"3\n",
               f"{folder}/byteorder": b"little"}  # fmt: skip
    records = {"0": bytes(60)} if records is None else records
    members |= {f"{folder}/data/{key}": content for key, content in records.items()}
    return zipped(members, method)


def _in_state(value, name="encoder.weight"):
    return {**{k: _View(size=v.shape, stride=v.stride()) if isinstance(v, torch.Tensor) else v
               for k, v in openai().items()}, name: value}  # fmt: skip


def _laughs(depth, kind=tuple):
    """A value of 2^depth items, in a kilobyte."""
    value = kind((0, 0))
    for _ in range(depth):
        value = kind((value, value))
    return value


def _raw(head, tail):
    """A state whose value for "activation" is made by instructions."""
    return state(b"\x80\x02}X\x0a\x00\x00\x00activation" + head + b"s" + tail)


def pt_claims():
    """Tensors that claim what is not there, and values that keep readers busy."""
    views = {
        "10^12 numbers": _View(_Storage(count=10**12), size=(10**6, 10**6), stride=(10**6, 1)),
        "10^12 numbers in a storage of 15": _View(size=(10**6, 10**6), stride=(10**6, 1)),
        "a number seen 10^12 times": _View(size=(10**6, 10**6), stride=(0, 0)),
        "16 numbers in 60 bytes": _View(_Storage(count=16), size=(4, 4), stride=(4, 1)),
        "14 numbers in 60 bytes": _View(_Storage(count=14), size=(7, 2), stride=(2, 1)),
        "an offset of 2^62": _View(offset=2**62),
        "an offset of 1": _View(offset=1),
        "a negative offset": _View(offset=-1),
        "a negative size": _View(size=(-5, -3)),
        "a negative stride": _View(stride=(-3, -1)),
        "a stride of 2^62": _View(stride=(2**62, 2**62)),
        "sizes without strides": _View(stride=(1,)),
        "sizes in a list": _View(size=[5, 3]),
        "a size of 5.0": _View(size=(5.0, 3)),
        "a size of True": _View(size=(5, True)),
        "1,000 axes": _View(size=(1,) * 1000, stride=(1,) * 1000),
        "no such record": _View(_Storage(key="7")),
        "a record outside": _View(_Storage(key="../data.pkl")),
        "a record of no name": _View(_Storage(key=0)),
        "half a storage": _View(_Storage(count=15, kind=torch.HalfStorage)),
        "twice a storage": _View(_Storage(count=15, kind=torch.DoubleStorage)),
        "no storage": _View(_Storage(kind="x")),
        "another word": _View(_Storage(word="module")),
        "a storage of -1": _View(_Storage(count=-1)),
        "a storage alone": _Storage(),
        "a bytearray of 10^12": Calls(bytearray, 10**12),
        "an untyped storage of 10^12": Calls(torch.UntypedStorage, 10**12),
        "a sparse tensor": Calls(torch._utils._rebuild_sparse_tensor, torch.sparse_coo, ((), ())),
        "a meta tensor": Calls(
            torch._utils._rebuild_meta_tensor_no_storage, torch.float32, (5, 3), (3, 1), False
        ),
        "2^60 items": _laughs(60),
        "lists of 2^60": _laughs(60, list),
    }
    out = {name: state(state_pickle(_in_state(view))) for name, view in views.items()}
    out |= {
        f"activation: {name}": state(state_pickle(_in_state(value, "activation")))
        for name, value in (
            ("2^60 items", _laughs(60)),
            ("lists of 2^60", _laughs(60, list)),
            ("10^5000", 10**5000),
        )
    }
    loop = []
    loop.append(loop)
    good = state_pickle(_in_state(_View()))
    out |= {
        "a key of 2^60 items": state(
            # not made as a dictionary: that would take the time that it is about
            b"\x80\x02}" + pickle.dumps(_laughs(60), 2)[2:-1] + b"K\x01s."
        ),
        "a state of 2^60 items": state(
            state_pickle(
                _in_state({"k": _laughs(60), "postact_fn": "ReLU"}, "activation_state_dict")
            )
        ),
        "a configuration of 2^60": state(
            state_pickle({"ae": _in_state(_View()), "config": {"dict_class": _laughs(60, list)}})
        ),
        "a list in itself": state(state_pickle(_in_state(loop, "activation"))),
        "100,000 tuples": _raw(b")" + b"\x85" * 100_000, b"."),
        "100,000 lists": _raw(b"]" * 100_000 + b"a" * 99_999, b"."),
        "a memo at 2^32 - 1": _raw(b"K\x01r\xff\xff\xff\xff", b"."),
        "text of 2^32 - 1": _raw(b"X\xff\xff\xff\xff", b"."),
        "text of 2^64 - 1": _raw(b"\x8d" + b"\xff" * 8, b"."),
        "bytes of 2^64 - 1": _raw(b"\x8e" + b"\xff" * 8, b"."),
        "a number of 2^31 bytes": _raw(b"\x8b\xff\xff\xff\x7f", b"."),
        "a number of 2^19 bits": _raw(b"\x8b\x00\x00\x01\x00" + b"\x7f" * 65536, b"."),
        "a frame of 2^64 - 1": _raw(b"\x95" + b"\xff" * 8 + b"K\x01", b"."),
        "a value not there": _raw(b"h\x07", b"."),
        "too little on the stack": state(b"\x80\x02}s."),
        "marks": state(b"\x80\x02" + b"(" * 1000 + b"."),
        "items without a mark": state(b"\x80\x02}u."),
        "no end": state(good[:-1]),
        "nothing": state(b""),
        "a long pickle": state(b"\x80\x02" + b"N0" * 2**20),
        "two pickles": zipped({"a/data.pkl": good, "b/data.pkl": good}),
        "a pickle below": zipped({"a/b/data.pkl": good}),
        "no pickle": zipped({"a/version": b"3"}),
        "another byte order": zipped({"a/data.pkl": good, "a/byteorder": b"big"}),
        "deflated": state(good, method=zipfile.ZIP_DEFLATED),
        "a bomb": state(good, {"0": bytes(2**26)}, method=zipfile.ZIP_DEFLATED),
        "a deep folder name": state(good, folder="a" * 300),
        "a record short": state(good, {"0": bytes(59)}),
        "a record long": state(good, {"0": bytes(61)}),
        "not finite": state(good, {"0": b"\xff" * 60}),
    }
    whole = state(good)
    for field in ("method", "flags", "crc", "packed", "size", "at", "name", "extra"):
        for which in (0, 3):
            for value in (1, 2**16 - 1):
                out[f"directory: {field} of {which} is {value}"] = with_directory(
                    whole, field, value, which
                )
    return out


def pt_code(marker):
    """Pickles with code, in all places and protocols."""
    out = {}
    for name, payload in payloads(marker).items():
        for protocol in range(6):
            out[f"bare, protocol {protocol}: {name}"] = pickle.dumps(payload, protocol)
        for protocol in (0, 1, 2, 3, 4, 5):
            pickled = state_pickle(_in_state(payload), protocol)
            out[f"entry, protocol {protocol}: {name}"] = state(pickled)
        out |= {
            f"all: {name}": torch_bytes(payload),
            f"legacy: {name}": torch_bytes(payload, _use_new_zipfile_serialization=False),
            f"legacy entry: {name}": torch_bytes(
                {**openai(), "pre_bias": payload}, _use_new_zipfile_serialization=False
            ),
            f"run: {name}": torch_bytes({"ae": openai(), "config": {"dict_class": payload}}),
            f"key: {name}": state(b"\x80\x02}" + pickle.dumps(payload, 2)[2:-1] + b"K\x01s."),
            f"constants: {name}": zipped(
                {"a/data.pkl": state_pickle(1), "a/constants.pkl": pickle.dumps(payload, 2)}
            ),
        }
    for name, pickled in old_opcodes(marker).items():
        out |= {f"bare: {name}": pickled, f"archive: {name}": state(pickled)}
    return out
