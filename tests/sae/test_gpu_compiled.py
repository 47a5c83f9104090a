"""The Triton kernels compile for an H200, which the interpreter does not show; no GPU is needed."""

import importlib.util
import inspect
import re

import pytest

from scaling_theory.sae.gpu import Shape
from scaling_theory.sae.gpu._loading import load

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed"
)

RELU, JUMP, TANH, TOPK = range(4)
POINTERS = {"runs": "*i64", "tasks": "*i32", "clock": "*i32", "places": "*i32", "lasts": "*i32"}
FLOATS = ("scale", "keep", "add", "keep2", "add2", "epsilon")
COUNTS = ("chunk", "batch", "most", "blocks", "count", "latents", "parts")


@pytest.fixture(autouse=True)
def _compiled(monkeypatch, tmp_path):
    """Nothing comes from an earlier run."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def kernels(kind, d):
    """Name and constants of each kernel of a step."""
    s = Shape()
    tile = {"D": d, "BN": s.abreast, "BR": s.rows, "SIZE": s.part_latents}
    if kind == TOPK:
        yield "largest", tile
        yield "threshold", {"BN": s.merged, "BR": s.updated}
    yield "forward", {"KIND": kind, **tile}
    yield "residual", {"D": d, "BR": s.updated, "AHEAD": s.ahead}
    rows = {"BR": s.in_line_of(d), "SIZE": s.part_rows}
    yield "backward", {"D": d, "KIND": kind, "BN": s.latents, **rows}
    yield "update", {"D": d, "DP": 1 << (d - 1).bit_length(), "KIND": kind, "BN": s.updated}
    yield "finish", {"D": d, "DP": 1 << d.bit_length(), "BN": s.updated}


def compiled(name, constants, ones):
    """Compile as a launch does; where ``ones``, all counts are 1, which Triton makes constants."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(load(), name)
    constants = dict(constants)
    signature, attributes = {}, {}
    for place, argument in enumerate(inspect.signature(function.fn).parameters):
        if argument in COUNTS and ones:
            constants[argument] = 1
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in FLOATS:
            signature[argument] = "fp32"
        elif argument in COUNTS:
            signature[argument] = "i32"
        else:
            signature[argument] = POINTERS.get(argument, "*fp32")
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(function, signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": Shape().warps, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def check(kind, d, ones):
    for name, constants in kernels(kind, d):
        made = compiled(name, constants, ones)
        ptx = made.asm["ptx"]
        assert "sm_90" in ptx
        if name in ("forward", "backward", "largest"):
            # products are exact: fused multiply-adds in float32, no tensor cores
            assert ptx.count("fma.rn.f32") > d
        # sums have an order, so nothing is added atomically
        assert not re.search(r"\b(wgmma|mma|atom|red)\.", ptx)


def test_kernels_compile():
    check(RELU, 2, ones=False)


@pytest.mark.slow
@pytest.mark.parametrize("ones", [False, True])
@pytest.mark.parametrize("d", [1, 3, 8, 16])
@pytest.mark.parametrize("kind", [RELU, JUMP, TANH, TOPK])
def test_kernels_compile_for_all_units(kind, d, ones):
    check(kind, d, ones)
