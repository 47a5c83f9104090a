"""Thousands of damaged and hostile files: one sentence each, no code, bounded time and memory.

They are read in a process of their own, with its address space limited and a watchdog for each
file, so that a crash, a file that is unpacked on its word, or one that never ends is noticed.
"""

import json
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import _hostile_code as code
import _hostile_parts as parts
import numpy as np
import pytest
import torch

from scaling_theory.sae.formats import FORMATS, FormatError, load_sae

SCRIPT = Path(__file__).parent / "_hostile.py"
NO_MEMORY = 12


def outcomes(folder, *arguments):
    """What the process said of each case; it must end by itself."""
    command = [sys.executable, SCRIPT, folder, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    *rows, last = map(json.loads, done.stdout.splitlines())
    return rows, last["grown_kilobytes"]


def wrong(row):
    """What is wrong with the outcome of a case; None if nothing is."""
    if row["marker"]:
        return "it ran code"
    if row["loaded"]:
        if not row["may_load"]:
            return "it was read"
        return None if row["finite"] and row["same"] else "it does not come back the same"
    text = row["message"]
    if not {"ValueError", "OSError"} & set(row["error"]):
        return f"it raised {row['error'][0]}: {text}"
    if not row["named"] or not text.isprintable() or len(text) > 1000:
        return f"its message is not one short line that names the file: {text[:500]!r}"
    if row["errno"] == NO_MEMORY and not row["large"]:
        return "it was believed, until memory ran out"
    return None


def check(rows, grown):
    said = {row["name"]: what for row in rows if (what := wrong(row))}
    assert not said, json.dumps(said, indent=1)[:5000]
    # the largest file has 80 MiB; one bomb or claim that is believed takes more
    assert grown < 2**19
    assert set(FORMATS) == {row["format"] for row in rows}


def test_hostile_files_are_refused(tmp_path):
    rows, grown = outcomes(tmp_path)
    check(rows, grown)
    assert len(rows) >= 2000
    assert len({row["name"] for row in rows}) == len(rows)
    each = Counter(row["format"] for row in rows if not row["loaded"])
    assert min(each.values()) >= 200
    # the damage is done to files that can be read
    read = Counter(row["format"] for row in rows if row["loaded"])
    assert set(read) == set(FORMATS)
    assert sum(read.values()) < len(rows) / 4
    # what holds what it claims, and is too large, is not said to be of another format
    large = [row for row in rows if row["large"]]
    assert large
    assert all(row["errno"] == NO_MEMORY or "FormatError" in row["error"] for row in large)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_more_damage_at_random(tmp_path, seed):
    check(*outcomes(tmp_path, "--part", "damaged", "--random", 600, "--seed", seed))


@pytest.mark.parametrize("name", list(code.payloads("x")))
def test_the_code_in_them_would_run(tmp_path, name):
    # so that no marker means that nothing was unpickled
    marker = tmp_path / "marker"
    payload = code.payloads(marker)[name]
    made = pickle.loads(pickle.dumps(payload))
    if hasattr(made, "close"):
        made.close()
    assert marker.exists() or marker.with_suffix(".npy").exists()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols_of_torch_save(tmp_path, protocol):
    wanted = parts.openai()
    torch.save(wanted, tmp_path / "x.pt", pickle_protocol=protocol)
    sae = load_sae(tmp_path / "x.pt")
    assert torch.equal(sae.encoder, wanted["encoder.weight"])
    assert torch.equal(sae.decoder, wanted["decoder.weight"].T)
    assert sae.k == 2


def test_views_parameters_and_shared_storages_are_read(tmp_path):
    both = parts.rand(2 * parts.F, parts.D, seed=11)
    content = {
        **parts.openai(),
        "encoder.weight": torch.nn.Parameter(both[parts.F :]),
        "decoder.weight": both[: parts.F].T,
        "pre_bias": both[0],
        "latent_bias": both[:, 1][::2],
    }
    torch.save(content, tmp_path / "x.pt")
    sae = load_sae(tmp_path / "x.pt")
    assert torch.equal(sae.encoder, both[parts.F :])
    assert torch.equal(sae.decoder, both[: parts.F])
    assert torch.equal(sae.decoder_bias, both[0])
    assert torch.equal(sae.encoder_bias, both[:, 1][::2])


def test_the_state_of_a_module_is_read(tmp_path):
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = torch.nn.Linear(parts.D, parts.F)
            self.decoder = torch.nn.Linear(parts.F, parts.D)

    module = Module()
    optimiser = torch.optim.Adam(module.parameters())
    module.decoder(module.encoder(torch.ones(2, parts.D))).sum().backward()
    optimiser.step()
    run = {
        "step": 1, "ae": module.state_dict(), "optimizer": optimiser.state_dict(),
        "norm_factor": None, "config": {
            "dict_class": "AutoEncoderNew", "device": torch.device("cpu"),
            "dtype": torch.float32, "seed": 2**40, "sizes": torch.Size([2, 3]),
        },
    }  # fmt: skip
    torch.save(run, tmp_path / "ae.pt")
    sae = load_sae(tmp_path)
    assert torch.equal(sae.encoder, module.encoder.weight)
    assert torch.equal(sae.decoder, module.decoder.weight.T)
    assert sae.source["config"] == {
        "dict_class": "AutoEncoderNew", "device": "cpu", "dtype": "torch.float32", "seed": 2**40,
        "sizes": (2, 3),
    }  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_arrays_of_any_byte_order_and_layout_are_read(tmp_path, order, layout):
    arrays = {
        name: np.asarray(value.numpy(), dtype=f"{order}f4", order=layout)
        for name, value in parts.gemma().items()
    }
    np.savez_compressed(tmp_path / "params.npz", **arrays)
    sae = load_sae(tmp_path)
    for name, value in (("encoder", "W_enc"), ("decoder", "W_dec"), ("encoder_bias", "b_enc")):
        wanted = parts.gemma()[value]
        assert torch.equal(getattr(sae, name), wanted.T if name == "encoder" else wanted)


def test_archives_of_zeros_may_be_compressed(tmp_path):
    # a thousand times smaller, and below 64 MiB
    n, d = 2**11, 2**10
    zeros = {"W_enc": np.zeros((d, n), np.float32), "W_dec": np.zeros((n, d), np.float32)}
    ones = {name: np.ones(k, np.float32) for name, k in
            (("b_enc", n), ("b_dec", d), ("threshold", n))}  # fmt: skip
    np.savez_compressed(tmp_path / "params.npz", **zeros, **ones)
    assert load_sae(tmp_path).width == n
    many = {f"more{i}": zeros["W_dec"] for i in range(8)}
    np.savez_compressed(tmp_path / "params.npz", **zeros, **ones, **many)
    with pytest.raises(FormatError, match="must unpack to at most"):
        load_sae(tmp_path)
