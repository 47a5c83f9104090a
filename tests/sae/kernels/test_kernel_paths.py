"""Which path is taken, what is refused, and what memory each needs."""

import os
import subprocess
import sys

import pytest
import torch
from _kernel_checks import DENSE, FUSED, check_against_autograd, random_sae, seeded

from scaling_theory.sae.architectures import (
    Architecture,
    BatchTopK,
    Context,
    Gated,
    Matryoshka,
    ReLU,
    TanhJumpReLU,
    TopK,
)
from scaling_theory.sae.kernels import PATHS, choose_path, gradients_for

CPU = torch.device("cpu")
#: Units that the listed path has.
LISTED = ("relu", "jumprelu", "topk")


class Plain(Architecture):
    """An architecture that no fused unit computes."""

    encode = ReLU.encode

    def penalty(self, weights, x, activations, context):
        return 0.1 * activations.sum(1)


def test_the_fastest_possible_path_is_chosen():
    assert set(DENSE) <= set(PATHS)
    cuda = torch.device("cuda")
    for architecture in FUSED.values():
        most = {"gated": 12, "batch_topk": 48, "matryoshka": 48}.get(architecture.fused, 16)
        assert choose_path("auto", architecture, most, CPU) == "compiled"
        topk, lists = architecture.fused == "topk", architecture.fused in LISTED
        assert choose_path("auto", architecture, most + 1, CPU) == ("listed" if topk else "blocked")
        assert choose_path("auto", architecture, 64, CPU) == ("listed" if topk else "blocked")
        assert choose_path("auto", architecture, 65, CPU) == ("listed" if lists else "blocked")
        assert choose_path("auto", architecture, 2, cuda) == "blocked"
        for path in DENSE:
            assert choose_path(path, architecture, 64, CPU) == path
    assert choose_path("auto", Plain(), 2, CPU) == "reference"


def test_a_unit_that_is_not_there_is_no_silent_fallback():
    class Eager(Plain):
        fused = "eager"

    with pytest.raises(ValueError, match="fused of an architecture must be None or one of relu"):
        choose_path("auto", Eager(), 2, CPU)


@pytest.mark.parametrize(
    ("path", "architecture", "dimension", "device", "possible"),
    [
        ("fast", Gated(), 2, "cpu", "compiled, blocked, reference"),
        (None, BatchTopK(1), 2, "cpu", "compiled, blocked, reference"),
        ("compiled", Matryoshka(1), 65, "cpu", "blocked, reference"),
        ("compiled", TopK(1, auxk=1), 65, "cpu", "listed, blocked, reference"),
        ("listed", TanhJumpReLU(), 65, "cpu", "blocked, reference"),
        ("compiled", TopK(1), 2, "cuda", "blocked, reference"),
        ("blocked", Plain(), 2, "cpu", "reference"),
    ],
)
def test_impossible_paths_are_refused(path, architecture, dimension, device, possible):
    match = rf"^path must be auto or one of {possible} for .* in dimension {dimension} on {device}"
    with pytest.raises(ValueError, match=rf"{match}, got {path!r}$"):
        choose_path(path, architecture, dimension, torch.device(device))


def test_reference_path_takes_any_architecture():
    weights, x = random_sae(Plain(), 6, 2), torch.randn(30, 2, generator=seeded(3))
    check_against_autograd("reference", Plain(), weights, x, Context())
    with pytest.raises(ValueError, match=r"^architecture must have a fused unit, got "):
        gradients_for("blocked", Plain(), 6, 2, 30)(weights, x, Context(), weights.like())


# ---- memory ---------------------------------------------------------------------------------

_PEAK = """
import sys, torch
from scaling_theory.sae.architectures import BatchTopK, Context, Gated, Matryoshka, ReLU, TopK
from scaling_theory.sae.kernels import gradients_for
from scaling_theory.sae.weights import Weights

def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

def step(n, rows):
    weights = Weights(n, 8, architecture.extra)
    weights.flat.normal_(generator=torch.Generator().manual_seed(0))
    x = torch.randn(rows, 8, generator=torch.Generator().manual_seed(1))
    out = weights.like()
    before = kilobytes("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the largest size so far, which compilation may have reached
    gradients_for(path, architecture, n, 8, rows)(weights, x, Context(), out)
    return kilobytes("VmHWM") - before

path, kind = sys.argv[1:]
architecture = {
    "relu": ReLU(), "topk": TopK(8), "batch_topk": BatchTopK(8), "matryoshka": Matryoshka(8),
    "gated": Gated(),
}[kind]
step(32, 64)
print(step(16384, 2048) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["relu", "topk", "batch_topk", "matryoshka", "gated"])
@pytest.mark.parametrize("path", DENSE)
def test_memory_of_a_wide_sae(path, kind):
    """Width 16384, batch 2048: one array of both is 128 MiB, and only the reference holds one."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, path, kind], capture_output=True, text=True, check=True,
        timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    mebibytes = float(done.stdout)
    if path == "reference":
        assert mebibytes > 128.0
    else:
        assert mebibytes < 64.0
