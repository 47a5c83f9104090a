"""Adam against PyTorch's."""

import math

import pytest
import torch
from _kernel_checks import seeded

from scaling_theory.sae.optimiser import Adam


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
