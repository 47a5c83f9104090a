"""Parts of the compiled kernels."""

import numba
import numpy as np
import pytest
from _kernel_checks import FUSED

from scaling_theory.sae.architectures import Context, JumpReLU, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.kernels.units import KINDS, numbers_of, tanh


def test_tanh_is_accurate_to_3e_7():
    x = np.concatenate([np.linspace(0.0, 20.0, 200_001), np.geomspace(1e-30, 1.0, 1001)])
    x = x.astype(np.float32)
    found = _tanh_of(x)
    assert found.dtype == np.float32
    assert np.abs(found - np.tanh(x.astype(np.float64))).max() < 3e-7
    small = x < 1e-3
    np.testing.assert_allclose(found[small], x[small], rtol=5e-7)
    assert found[x == 0.0].tolist() == [0.0] * int((x == 0.0).sum())
    assert found.max() <= 1.0
    assert _tanh_of(np.array([1e30, np.inf], np.float32)).tolist() == [1.0, 1.0]


@numba.njit
def _tanh_of(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = tanh(x[i])
    return out


def test_numbers_are_warmed_up():
    """The penalties are, bandwidth and tanh_scale are not."""
    np.testing.assert_allclose(numbers_of(ReLU(0.3), Context(0.5)), [0.15, 0, 0, 0], rtol=1e-7)
    jump = numbers_of(JumpReLU(0.1, bandwidth=0.3), Context(0.5))
    np.testing.assert_allclose(jump, [0.05, 0.3, 0, 0], rtol=1e-7)
    values = numbers_of(TanhJumpReLU(0.7, 2.0, 0.05, 0.3), Context(0.5))
    np.testing.assert_allclose(values, [0.35, 0.3, 2.0, 0.025], rtol=1e-7)
    assert values.dtype == np.float32
    with pytest.raises(ValueError, match=r"^architecture must have a fused unit, got TopK\(k=1"):
        numbers_of(TopK(1), Context())
    others = {"topk", "batch_topk", "matryoshka", "gated"}  # have kernels of their own
    assert {*KINDS, *others} == set(FUSED) == {a.fused for a in FUSED.values()}
