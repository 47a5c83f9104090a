"""Whole SAEs of the five formats as bytes, and what else may be in them or in their place."""

import functools
import io
import json
import os
import warnings

import numpy as np
import torch
from safetensors.torch import save

F, D = 5, 3


def rand(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain():
    return {
        "W_enc": rand(D, F, seed=1),
        "W_dec": rand(F, D, seed=2),
        "b_enc": rand(F, seed=3),
        "b_dec": rand(D, seed=4),
    }


def linear():
    return {
        "encoder.weight": rand(F, D, seed=1),
        "encoder.bias": rand(F, seed=3),
        "decoder.weight": rand(D, F, seed=2),
    }


def openai():
    return {
        "pre_bias": rand(D, seed=4),
        "latent_bias": rand(F, seed=3),
        "encoder.weight": rand(F, D, seed=1),
        "decoder.weight": rand(D, F, seed=2),
        "latents_activation_frequency": rand(F, seed=5).sigmoid(),
        "activation": "TopK",
        "activation_state_dict": {"k": 2, "postact_fn": "ReLU"},
    }


def sparsify():
    out = {**linear(), "W_dec": rand(F, D, seed=2), "b_dec": rand(D, seed=4)}
    del out["decoder.weight"]
    return out


def batchtopk():
    return {**linear(), "b_dec": rand(D, seed=4), "threshold": torch.tensor(0.1)}


def gemma():
    return {**plain(), "threshold": rand(F, seed=6).abs()}


LENS = {
    "d_in": D, "d_sae": F, "architecture": "jumprelu", "dtype": "float32", "device": "cpu",
    "apply_b_dec_to_input": True, "normalize_activations": "none", "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.1.0", "hook_name": "blocks.0"},
}  # fmt: skip
LENS_OLD = {
    "d_in": D, "d_sae": F, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 2},
    "hook_point": "blocks.1", "sae_lens_version": "3.9.0", "normalize_activations": "none",
}  # fmt: skip


def encoded(content):
    return json.dumps(content).encode()


def torch_bytes(content, **keywords):
    buffer = io.BytesIO()
    torch.save(content, buffer, **keywords)
    return buffer.getvalue()


def npz_bytes(arrays, compressed=False):
    buffer = io.BytesIO()
    write = np.savez_compressed if compressed else np.savez
    write(buffer, **{name: as_array(value) for name, value in arrays.items()})
    return buffer.getvalue()


def _saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def as_array(value):
    return value.numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


@functools.cache
def layouts():
    """Whole SAEs: name -> (format, files)."""
    sparsity = save({"sparsity": torch.log10(rand(F, seed=7).sigmoid() + 1e-10)})
    run = {"step": 3, "ae": {**linear(), "bias": rand(D, seed=4)}, "norm_factor": 1.5,
           "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": []},
           "config": {"dict_class": "AutoEncoder"}}  # fmt: skip
    topk = {"d_in": D, "num_latents": F, "k": 2, "activation": "topk", "signed": False}
    dictionary = {"trainer": {"dict_class": "BatchTopKSAE", "k": 2}}
    return {
        "gemma": ("gemma_scope", {"params.npz": npz_bytes(gemma())}),
        "gemma deflated": ("gemma_scope", {"params.npz": npz_bytes(gemma(), compressed=True)}),
        "gemma safetensors": ("gemma_scope", {"params.safetensors": save(gemma())}),
        "saelens": (
            "saelens",
            {
                "cfg.json": encoded(LENS),
                "sae_weights.safetensors": save(gemma()),
                "sparsity.safetensors": sparsity,
            },
        ),
        "saelens 3": (
            "saelens",
            {"cfg.json": encoded(LENS_OLD), "sae_weights.safetensors": save(plain())},
        ),
        "dictionary": (
            "dictionary_learning",
            {"config.json": encoded(dictionary), "ae.pt": torch_bytes(batchtopk())},
        ),
        "dictionary run": ("dictionary_learning", {"ae.pt": torch_bytes(run)}),
        "openai": ("openai", {"x.pt": torch_bytes(openai())}),
        "sparsify": (
            "sparsify",
            {"cfg.json": encoded(topk), "sae.safetensors": save(sparsify())},
        ),
    }


@functools.cache
def tensor_layouts():
    """Formats whose tensors are changed: name -> (format, other files, tensors, writer)."""
    made = layouts()

    def file(name, write):
        return lambda tensors: (name, write(tensors))

    def rest(layout):
        return {name: c for name, c in made[layout][1].items() if name.endswith(".json")}

    return {
        "npz": ("gemma_scope", {}, gemma(), file("params.npz", npz_bytes)),
        "saelens": (
            "saelens", rest("saelens"), gemma(), file("sae_weights.safetensors", tensors_only),
        ),
        "sparsify": (
            "sparsify", rest("sparsify"), sparsify(), file("sae.safetensors", tensors_only),
        ),
        "openai pt": ("openai", {}, openai(), file("x.pt", torch_bytes)),
        "dictionary pt": (
            "dictionary_learning", rest("dictionary"), batchtopk(), file("ae.pt", torch_bytes),
        ),
    }  # fmt: skip


def tensors_only(tensors):
    return save({k: v.contiguous() for k, v in tensors.items() if isinstance(v, torch.Tensor)})


def changed_tensors(tensors, pickled):
    """Yield (what, tensors, whether it may load) with one entry changed."""
    statistic = ("latents_activation_frequency",)  # left out where it is no frequency
    yield "another entry", {**tensors, "other": torch.zeros(2)}, False
    yield "line breaks in a name", {**tensors, "a\nb\r\x1b[31m" * 50: torch.zeros(2)}, False
    yield "3,000 entries", {**tensors, **{f"x{i}": torch.zeros(1) for i in range(3000)}}, False
    yield "no entries", {}, False
    for name, value in tensors.items():
        rest = {other: v for other, v in tensors.items() if other != name}
        optional = name in (*statistic, "activation", "activation_state_dict")
        yield f"no {name}", rest, optional
        yield f"{name} renamed", {**rest, name.upper() + "_": value}, False
        if not isinstance(value, torch.Tensor):
            values = {
                "a number": 3, "a list": [1, 2], "empty": {}, "nothing": None, "long": "x" * 10**5,
                "a tensor": torch.zeros(3), "lines": "a\nb", "large": 10**5000,
            }  # fmt: skip
            for what, new in values.items():
                yield f"{name}: {what}", {**tensors, name: new}, False
            continue
        flat = value.reshape(-1)
        shapes = {
            "longer": torch.cat([flat, flat]),
            "an axis more": value[None],
            "two axes more": value[None, ..., None],
            "empty": flat[:0],
            "a number": torch.tensor(0.5),
            "shorter": flat[1:],
        }
        if value.ndim == 2:
            shapes |= {"flat": flat, "transposed": value.T.contiguous(), "a row less": value[1:]}
        for what, new in shapes.items():
            if new.shape != value.shape:
                yield f"{name}: {what}", {**tensors, name: new}, False
        for dtype in (torch.int32, torch.bool, torch.uint8, torch.complex64, torch.int64):
            yield f"{name}: {dtype}", {**tensors, name: value.to(dtype)}, False
        for dtype in (torch.float16, torch.float64):
            yield f"{name}: {dtype}", {**tensors, name: value.to(dtype)}, True
        for number in (float("nan"), float("inf"), -float("inf")):
            new = flat.clone()
            new[-1] = number
            yield f"{name}: {number}", {**tensors, name: new.reshape(value.shape)}, False
        # products of these are infinite, which is said of what is encoded, not of the file
        yield f"{name}: 3e38", {**tensors, name: torch.full_like(value, 3e38)}, True
        if pickled:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # quantised tensors are on their way out
                quantised = torch.quantize_per_tensor(flat, 0.1, 0, torch.qint8)
            values = {
                "text": "x", "nothing": None, "a list": flat.tolist(), "a dictionary": {"a": value},
                "sparse": value.to_sparse(), "quantised": quantised,
                "meta": value.to("meta"), "an array": value.numpy(), "huge": 10**4000,
                "seen 10^12 times": torch.zeros(1).expand(10**6, 10**6),
            }  # fmt: skip
            for what, new in values.items():
                yield f"{name}: {what}", {**tensors, name: new}, False


def changed_settings(content):
    """Yield (what, text) with one setting changed."""
    config = json.loads(content)
    values = {
        "null": None, "true": True, "minus": -1, "zero": 0, "half": 1.5, "text": "x",
        "lines": "a\nb\x1b[2J" * 1000, "list": [], "object": {}, "long": list(range(10_000)),
        "large": 10**4000, "infinite": float("inf"), "nan": float("nan"), "surrogate": "\ud800",
    }  # fmt: skip
    nested = [(config, ())] + [(v, (k,)) for k, v in config.items() if isinstance(v, dict)]
    for part, path in nested:
        for key in part:
            for what, value in {**values, "gone": ...}.items():
                new = json.loads(content)
                at = new[path[0]] if path else new
                if value is ...:
                    del at[key]
                else:
                    at[key] = value
                yield f"{'.'.join((*path, key))}: {what}", json.dumps(new).encode()
        deep = json.dumps(config)[:-1] + ', "extra": ' + "[" * 500 + "]" * 500 + "}"
        yield f"nested in {path}", deep.encode()


def texts():
    """Texts that are no configuration."""
    deep = 100_000
    return {
        "100,000 lists": b"[" * deep + b"]" * deep,
        "100,000 lists, open": b"[" * deep,
        "100,000 objects": b'{"a":' * deep + b"1" + b"}" * deep,
        "a long number": b'{"d_in": ' + b"9" * 10**5 + b"}",
        "a large exponent": b'{"d_in": 1e999999999}',
        "null": b"null",
        "a list": b"[1, 2]",
        "two objects": b"{}{}",
        "no object": b"{}",
        "single quotes": b"{'d_in': 3}",
        "Latin": b'{"d_in": "\xe9"}',
        "UTF-16": '{"d_in": 3}'.encode("utf-16"),
        "a mark": b"\xef\xbb\xbf{}",
        "control characters": b'{"d_in\n": "\0"}',
        "2 MiB of blanks": b" " * 2**21 + b"{}",
        "10^6 keys": b"{" + b",".join(b'"%d":0' % i for i in range(10**5)) + b"}",
        "Python": b"__import__('os').system('true')",
    }


def patched(content, at, new):
    return content[:at] + new + content[at + len(new) :]


def other_files():
    """What may lie in place of any file."""
    return {
        "empty": b"",
        "zeros": bytes(4096),
        "random": np.random.default_rng(3).bytes(5000),
        "text": b"hello\n" * 10,
        "an archive of nothing": b"PK\x05\x06" + bytes(18),
        "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "an array": _saved(np.zeros((2, 3), np.float32)),
        "holes": lambda path: holes(path, b"", 2**36),
    }


def holes(path, start, size):
    """A large file of which only the start is on the disk."""
    path.write_bytes(start)
    os.truncate(path, size)


def _link(to):
    return lambda path: path.symlink_to(to)


NO_FILES = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "device": _link("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "broken link": _link("/nowhere/at/all"),
}
