"""Random SAEs, inputs away from kinks, and the comparison with float64 autograd."""

import math
from dataclasses import replace

import pytest
import torch

from scaling_theory.sae.architectures import (
    BatchTopK,
    Context,
    Gated,
    JumpReLU,
    Matryoshka,
    ReLU,
    TanhJumpReLU,
    TopK,
    pre_activations,
)
from scaling_theory.sae.kernels import gradients_for
from scaling_theory.sae.weights import Weights

FUSED = {
    "relu": ReLU(0.3),
    "jumprelu": JumpReLU(0.1, bandwidth=0.3),
    "tanh_jumprelu": TanhJumpReLU(0.7, tanh_scale=2.0, pre_activation=0.05, bandwidth=0.3),
    "topk": TopK(3, auxk=2, auxk_weight=0.5),
    "batch_topk": BatchTopK(3, auxk=2, auxk_weight=0.5),
    "matryoshka": Matryoshka(3, prefixes=(0.2, 0.5, 1.0), auxk=2, auxk_weight=0.5),
    "gated": Gated(0.3),
}
#: Paths that have all architectures, whatever the inputs.
DENSE = ("compiled", "blocked", "reference")
#: Dimension of the compiled path, which takes seconds to compile for each: all together, and one.
D = 5
#: Rows this near to a kink are left out: float32 and float64 may be on different sides.
NEAR = 1e-5


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_sae(architecture, n, d, seed=0):
    generator = seeded(seed)
    weights = Weights(n, d, architecture.extra)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=generator))
    weights.decoder.mul_(1.0 / math.sqrt(n))
    for value in weights.extra.values():
        value.copy_(torch.rand(n, generator=generator))
    return weights


def double(weights):
    return Weights(weights.width, weights.dimension, tuple(weights.extra), weights.flat.double())


def near_kinks(architecture, weights, x, dead):
    """Rows on which some derivative may jump within rounding, bool of shape (rows,)."""
    z = pre_activations(double(weights), x.double())
    extra = {name: value.double() for name, value in weights.extra.items()}
    if isinstance(architecture, ReLU):
        return (z.abs() < NEAR).any(1)
    if isinstance(architecture, Gated):
        along = (z - weights.encoder_bias.double()) * extra["log_scale"].exp()
        return ((z.abs() < NEAR) | ((along + extra["magnitude_bias"]).abs() < NEAR)).any(1)
    if isinstance(architecture, TopK | BatchTopK | Matryoshka):
        near = (z.abs() < NEAR).any(1)
        if isinstance(architecture, TopK):
            near = _near_ties(z, architecture.k)
        if architecture.auxk and bool(dead.any()):
            near |= _near_ties(z[:, dead], min(architecture.auxk, int(dead.sum())))
        return near
    off = (z - extra["threshold"]).abs()
    return ((off < NEAR) | ((off - 0.5 * architecture.bandwidth).abs() < NEAR)).any(1)


def _near_ties(z, k):
    """The k-th largest is as large as the next one, or one of the k is nearly 0."""
    most = z.sort(1, descending=True).values
    near = (most[:, :k].abs() < NEAR).any(1)
    if k < z.shape[1]:
        near |= (most[:, k - 1] - most[:, k]).abs() < NEAR
    return near


def near_boundary(architecture, weights, x):
    """What a batch keeps would change within rounding."""
    if not isinstance(architecture, BatchTopK | Matryoshka):
        return False
    z = pre_activations(double(weights), x.double()).relu().flatten().sort(descending=True).values
    count = architecture.k * len(x)
    return count < len(z) and 0.0 < float(z[count - 1]) < float(z[count]) + NEAR


def smooth_rows(architecture, weights, rows, dead, seed):
    """Exactly so many inputs that are not near to a kink, and there are hardly any others."""
    for attempt in range(20):
        generator = seeded(seed + 10**6 * attempt)
        x = torch.randn(2 * rows + 8, weights.dimension, generator=generator)
        near = near_kinks(architecture, weights, x, dead)
        assert int(near.sum()) <= 2 + 0.02 * len(x)
        x = x[~near][:rows].contiguous()
        if not near_boundary(architecture, weights, x):
            return x
    raise AssertionError("no batch whose selection rounding can't change")


def check_against_autograd(path, architecture, weights, x, context, exactly=None):
    """Gradients of a path against float64 autograd, by norm, each tensor for itself."""
    shape = (weights.width, weights.dimension, len(x))
    out = weights.like(torch.full_like(weights.flat, math.nan))
    exact = double(weights).like()
    step = gradients_for(path, architecture, *shape)(weights, x, context, out)
    reference = gradients_for("reference", exactly or architecture, *shape)
    expected = reference(double(weights), x.double(), context, exact)
    for name, value in out.named().items():
        error = float((value.double() - exact.named()[name]).norm())
        # of sums of both signs little may be left, so that errors are also held against the whole
        allowed = 1e-5 * float(exact.named()[name].norm()) + 1e-7 * float(exact.flat.norm())
        assert error <= allowed, f"{name} is off by {error}, allowed is {allowed}"
    assert step.loss == pytest.approx(expected.loss, rel=1e-5)
    assert torch.equal(step.fired, expected.fired)
    return out


def check_gradients(path, kind, n, d, rows, scale=1.0, seed=0, zero_rows=False, dead="some"):
    architecture = FUSED[kind]
    if hasattr(architecture, "k"):
        architecture = replace(architecture, k=min(architecture.k, n))
    weights = random_sae(architecture, n, d, seed)
    if zero_rows:
        weights.decoder[::2] = 0.0
    if dead == "all":
        weights.encoder_bias.fill_(-100.0)
    idle = torch.arange(n) % 2 == 0 if dead == "some" else torch.full((n,), dead == "all")
    x = smooth_rows(architecture, weights, rows, idle, seed + 1)
    context = Context(scale, idle)
    out = check_against_autograd(path, architecture, weights, x, context)
    if dead == "all" and getattr(architecture, "pre_activation", 0.0) * scale == 0.0:
        assert not out.encoder.any()
        assert not out.decoder.any()
