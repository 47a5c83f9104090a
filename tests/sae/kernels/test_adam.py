"""Adam against PyTorch's; clipping and unit norms against what they say."""

import math

import pytest
import torch
from _kernel_checks import seeded

from scaling_theory.sae.optimiser import Adam, clip, normalise, take_out_radial


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["compiled", "torch"])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5), (0.99, 0.0)])
@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
def test_adam_is_that_of_torch(dtype, betas, epsilon):
    """50 steps with a learning rate that changes, gradients over many sizes, some of them 0."""
    generator = seeded(0)
    start = torch.randn(999, generator=generator, dtype=dtype)
    sizes = torch.logspace(-12, 6, 999, dtype=dtype)
    ours, theirs = start.clone(), start.clone().requires_grad_(True)
    adam = Adam(ours, betas, epsilon)
    other = torch.optim.Adam([theirs], lr=1.0, betas=betas, eps=epsilon)
    for step in range(50):
        grad = sizes * torch.randn(999, generator=generator, dtype=dtype)
        grad[::7] = 0.0
        rate = 0.01 * (1.0 + 0.5 * math.sin(step))
        adam.update(ours, grad, rate)
        other.param_groups[0]["lr"] = rate
        theirs.grad = grad.clone()
        other.step()
    moved = float((ours - start).abs().max())
    assert moved > 0.01
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    torch.testing.assert_close(ours, theirs.detach(), rtol=tolerance, atol=tolerance)
    assert torch.equal(ours[::7], start[::7])
    assert adam.steps == 50


def test_compiled_adam_is_the_torch_branch():
    generator = seeded(0)
    ours = torch.randn(999, generator=generator)
    wide = ours.double()
    adam, other = Adam(ours, (0.9, 0.999), 1e-8), Adam(wide, (0.9, 0.999), 1e-8)
    for _ in range(50):
        grad = torch.randn(999, generator=generator)
        adam.update(ours, grad, 0.01)
        other.update(wide, grad.double(), 0.01)
    for a, b in ((ours, wide), (adam.first, other.first), (adam.second, other.second)):
        assert a.dtype == torch.float32
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=2e-6)


def test_first_step_of_adam_is_the_learning_rate():
    """Bias corrections: at first each weight moves by the rate, against its gradient's sign."""
    weights, grad = torch.zeros(4), torch.tensor([1e-3, -5.0, 1e3, 0.0])
    Adam(weights, (0.9, 0.999), 1e-12).update(weights, grad, 0.25)
    torch.testing.assert_close(weights, torch.tensor([-0.25, 0.25, -0.25, 0.0]))


@pytest.mark.parametrize("size", [1, 4096, 4097, 50_001])
def test_threads_change_nothing(size, set_threads):
    """Bit for bit: steps of Adam, norms and what is clipped."""
    generator = seeded(0)
    start, grads = torch.randn(size, generator=generator), torch.randn(5, size, generator=generator)
    found = []
    for count in (1, 2, 3):
        set_threads(count)
        weights, adam = start.clone(), Adam(start, (0.9, 0.999), 1e-8)
        for grad in grads:
            own = grad.clone()
            clip(own, 0.5)
            adam.update(weights, own, 0.01)
        found.append(torch.stack([weights, own, adam.first, adam.second]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("size", [1, 31, 4096, 4097, 50_001])
def test_clipped_gradients_have_the_norm_and_the_direction(size):
    grad = torch.randn(size, generator=seeded(1))
    norm = float(grad.double().norm())
    for most in (0.5 * norm, 0.999 * norm, 1.001 * norm):
        own = grad.clone()
        clip(own, most)
        torch.testing.assert_close(own.double(), grad.double() * min(1.0, most / norm))
        assert (most < norm) or torch.equal(own, grad)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 3), (40, 384), (300, 17)])
def test_unit_norms_and_what_is_tangent_to_them(n, d, set_threads):
    set_threads(3)
    generator = seeded(2)
    decoder = torch.randn(n, d, generator=generator)
    decoder[0] = 0.0
    wide = decoder.double()
    normalise(decoder)
    torch.testing.assert_close(decoder[1:].double(), wide[1:] / wide[1:].norm(dim=1, keepdim=True))
    assert not decoder[0].any()
    grad = torch.randn(n, d, generator=generator)
    before = grad.double()
    take_out_radial(grad, decoder)
    assert float((grad.double() * decoder.double()).sum(1).abs().max()) < 1e-6 * d
    off = before - grad.double()
    along = (before * decoder.double()).sum(1, keepdim=True) * decoder.double()
    torch.testing.assert_close(off, along, rtol=1e-5, atol=1e-6)


def test_the_torch_branches_do_the_same():
    """Where numbers are float64, or on another device."""
    generator = seeded(3)
    decoder, grad = (torch.randn(20, 9, generator=generator) for _ in range(2))
    narrow, wide = (decoder.clone(), grad.clone()), (decoder.double(), grad.double())
    for v, g in (narrow, wide):
        normalise(v)
        take_out_radial(g, v)
        clip(g.view(-1), 0.7)
    for a, b in zip(narrow, wide, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)
