"""The command ``train`` with architectures that keep a number of activations, or have a gate."""

import json

import pytest
import torch

from scaling_theory.sae import architectures

QUICK = ["--manifold", "circle", "--steps", 20, "--batch-size", 64, "--widths", 4]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (["batch-topk", "--k", 2], architectures.BatchTopK(2)),
        (["batch-topk", "--k", 1, "--auxk", 3], architectures.BatchTopK(1, auxk=3)),
        (["matryoshka", "--k", 2], architectures.Matryoshka(2)),
        (
            ["matryoshka", "--k", 1, "--prefixes", "0.5,1", "--auxk", 2],
            architectures.Matryoshka(1, (0.5, 1.0), auxk=2),
        ),
        (["gated"], architectures.Gated()),
        (["gated", "--l1", 0.05], architectures.Gated(0.05)),
    ],
    ids=str,
)
def test_what_is_trained(run, arguments, want):
    code, out, err = run("train", *QUICK, "--architecture", *arguments, "--json")
    assert (code, err) == (0, "")
    (row,) = json.loads(out)["runs"]
    assert row["architecture"] == repr(want)
    assert row["loss"] > 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["batch-topk"], "--architecture batch-topk needs --k"),
        (["matryoshka"], "--architecture matryoshka needs --k"),
        (["matryoshka", "--k", 5], "--k must be at most the width, got k=5 for width=4"),
        (["gated", "--k", 1], "--k is of --architecture topk or batch-topk or matryoshka, got"),
        (["batch-topk", "--k", 1, "--prefixes", "1"], "--prefixes is of --architecture matryoshka"),
        (["matryoshka", "--k", 1, "--prefixes", "0.5"], "--prefixes must rise to 1, got (0.5,)"),
        (["matryoshka", "--k", 1, "--prefixes", "a,1"], "'a,1'"),
        (["gated", "--l1", -1], "--l1 must be a number of at least 0, got -1.0"),
    ],
    ids=str,
)
def test_refusals(run, arguments, message):
    code, out, err = run("train", *QUICK, "--architecture", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def test_the_default_that_is_stated_is_that_of_the_library(run):
    code, out, _ = run("train", "--help")
    assert code == 0
    said = "".join(out.split()).split("risingto1.[default:")[1].split("]")[0]
    assert tuple(float(p) for p in said.split(",")) == architectures.Matryoshka(1).prefixes
