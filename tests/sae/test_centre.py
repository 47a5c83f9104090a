"""The geometric median."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from scaling_theory.sae import RunSpec, Sphere, TopK, Trainer
from scaling_theory.sae.centre import geometric_median


def distances(x, centre):
    return float((x.double() - centre.double()).norm(dim=1).sum())


def test_of_a_triangle_it_is_fermats_point():
    """Where all angles are below 120 degrees, the sides are seen under 120 degrees each."""
    x = torch.tensor([[0.0, 0.0], [4.0, 0.0], [1.0, 3.0]], dtype=torch.float64)
    to = torch.nn.functional.normalize(x - geometric_median(x), dim=1)
    cosines = [float(to[i] @ to[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert cosines == pytest.approx([-0.5] * 3, abs=1e-5)


def test_a_wide_corner_is_its_own_median():
    x = torch.tensor([[0.0, 0.0], [5.0, 1.0], [-5.0, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(
        geometric_median(x), torch.zeros(2, dtype=torch.float64), atol=1e-4, rtol=0.0
    )


@given(
    seed=some.integers(0, 10**6), rows=some.integers(1, 40), d=some.integers(1, 5),
    scale=some.floats(1e-3, 1e3),
)  # fmt: skip
def test_no_point_nearby_is_better_and_it_moves_with_the_rows(seed, rows, d, scale):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, d, generator=generator, dtype=torch.float64)
    centre = geometric_median(x)
    least = distances(x, centre)
    for size in (1e-1, 1e-2):
        step = torch.randn(d, generator=generator, dtype=torch.float64)
        assert distances(x, centre + size * step) >= least * (1.0 - 1e-6)
    shift = torch.randn(d, generator=generator, dtype=torch.float64)
    moved = geometric_median(scale * x + shift)
    assert distances(scale * x + shift, moved) == pytest.approx(scale * least, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("far", [30, 45, 50])
def test_rows_far_away_do_not_move_it_far_while_they_are_fewer(far):
    """Within what the last step leaves: 1e-7 of the largest distance, over 1 - far/near."""
    x = torch.zeros(101, 3)
    x[:far] = 1e6
    left = 1e-7 * 3.0**0.5 * 1e6 / (1.0 - far / (101 - far))
    assert float(geometric_median(x).norm()) <= 1.01 * left
    assert float(x.mean(0).norm()) > 1e5


def test_rows_that_are_all_the_same():
    x = torch.full((7, 3), 2.5)
    assert geometric_median(x).tolist() == [2.5] * 3


def test_a_decoder_bias_may_begin_there():
    spec = RunSpec(Sphere(3), TopK(1), 8, decoder_bias="median")
    bias = Trainer(spec).weights.decoder_bias
    x = spec.data.sample(4096, spec.generator("median"))
    torch.testing.assert_close(bias, geometric_median(x), rtol=0.0, atol=0.0)
    assert 0.0 < float(bias.norm()) < 5.0 / math.sqrt(4096)
    assert not Trainer(RunSpec(Sphere(3), TopK(1), 8)).weights.decoder_bias.any()
