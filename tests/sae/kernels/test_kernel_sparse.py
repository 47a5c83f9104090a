"""The path for inputs that are mostly zeros: exact for any input, and chosen where it is fast."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from _kernel_checks import (
    FUSED,
    check_against_autograd,
    double,
    near_kinks,
    random_sae,
    seeded,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.frequencies import EmpiricalFrequencies
from scaling_theory.sae import RunSpec, Sphere, Superposition
from scaling_theory.sae.architectures import Context, Gated, ReLU, TopK
from scaling_theory.sae.kernels import choose_path, gradients_for
from scaling_theory.sae.trainer import Trainer

KINDS = {"relu": FUSED["relu"], "jumprelu": FUSED["jumprelu"], "topk": TopK(3)}
CPU = torch.device("cpu")


def sparse_inputs(architecture, weights, rows, density, seed):
    """Inputs with zeros, empty ones among them, and none near to a kink."""
    generator = seeded(seed)
    x = torch.randn(4 * rows + 8, weights.dimension, generator=generator)
    x *= torch.rand(x.shape, generator=generator) < density
    near = near_kinks(architecture, weights, x, torch.zeros(weights.width, dtype=torch.bool))
    return x[~near][:rows].contiguous()


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(list(KINDS)),
    d=st.integers(1, 70),
    n=st.integers(1, 70),
    rows=st.integers(1, 100),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    scale=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 2**20),
)
def test_sparse_gradients_are_those_of_autograd(kind, d, n, rows, density, scale, seed):
    architecture = KINDS[kind]
    if kind == "topk":
        architecture = replace(architecture, k=min(architecture.k, n))
    weights = random_sae(architecture, n, d, seed)
    x = sparse_inputs(architecture, weights, rows, density, seed + 1)
    if len(x):
        check_against_autograd("sparse", architecture, weights, x, Context(scale))


@pytest.mark.parametrize("kind", KINDS)
def test_lists_grow_as_they_must(kind):
    """Nearly every latent fires on nearly every row: far more than there is room for at first."""
    architecture = KINDS[kind]
    weights = random_sae(architecture, 200, 9)
    weights.encoder_bias.add_(6.0)
    x = sparse_inputs(architecture, weights, 70, 0.5, 3)
    check_against_autograd("sparse", architecture, weights, x, Context(0.7))


@pytest.mark.parametrize("kind", ["relu", "jumprelu"])
def test_lists_shrink_where_they_may(kind):
    """Once fewer fire, as in training; the results are those of a list that was never longer."""
    architecture = KINDS[kind]
    weights = random_sae(architecture, 200, 9)
    many = weights.like(weights.flat.clone())
    many.encoder_bias.add_(6.0)
    weights.encoder_bias.sub_(1.5)
    x = sparse_inputs(architecture, weights, 70, 0.1, 3)
    used, out = gradients_for("sparse", architecture, 200, 9, len(x)), weights.like()
    rooms, steps = [used._listed[0].shape[1]], []
    for each in (many, weights, weights):
        steps.append(used(each, x, Context(0.7), out))
        rooms.append(used._listed[0].shape[1])
    assert rooms[0] == 32 * 8
    assert rooms[1] > 32 * 150
    assert rooms[3] <= rooms[2] < rooms[1] / 2
    anew, fresh = weights.like(), gradients_for("sparse", architecture, 200, 9, len(x))
    first = fresh(weights, x, Context(0.7), anew)
    assert steps[1].loss == steps[2].loss == first.loss
    assert torch.equal(out.flat, anew.flat)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_whatever_the_number_of_threads(kind, set_threads):
    architecture = KINDS[kind]
    weights = random_sae(architecture, 301, 40)
    x = sparse_inputs(architecture, weights, 1000, 0.1, 3)
    found = []
    for count in (1, 2, 3, 1):
        set_threads(count)
        out = weights.like()
        step = gradients_for("sparse", architecture, 301, 40, len(x))(weights, x, Context(), out)
        found.append((step.loss, step.fired.clone(), out.flat))
    for loss, fired, flat in found[1:]:
        assert loss == found[0][0]
        assert torch.equal(fired, found[0][1])
        assert torch.equal(flat, found[0][2])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_input_that_is_not_finite_is_seen(value):
    weights = random_sae(ReLU(), 9, 20)
    x = torch.zeros(30, 20)
    x[7, 3] = value
    step = gradients_for("sparse", ReLU(), 9, 20, 30)(weights, x, Context(), weights.like())
    assert not np.isfinite(step.loss)


def test_it_is_chosen_for_superpositions_of_many_features_only():
    p = 0.3 * np.arange(1.0, 41.0) ** -1.5
    many = Superposition(EmpiricalFrequencies(p), Sphere(3))
    assert many.density == pytest.approx(p.sum() * 3 / 120)
    x = many.sample(20_000, seeded(0))
    rate = float((x != 0.0).double().mean())
    assert rate == pytest.approx(many.density, abs=5.0 * (many.density / x.numel() * 3) ** 0.5)
    assert Superposition(EmpiricalFrequencies(p), Sphere(3), dimension=240).density == (
        pytest.approx(many.density / 2)
    )
    assert Trainer(RunSpec(many, ReLU(), 8)).path == "sparse"
    assert Trainer(RunSpec(many, TopK(2), 8)).path == "sparse"
    assert Trainer(RunSpec(many, TopK(2, auxk=1), 8)).path == "listed"  # asks who is dead
    assert Trainer(RunSpec(many, Gated(), 8)).path == "blocked"
    drawn = Superposition(EmpiricalFrequencies(p), Sphere(3), orientation="random", dimension=50)
    assert drawn.density == 1.0
    assert Trainer(RunSpec(drawn, ReLU(), 8)).path == "blocked"
    assert choose_path("auto", ReLU(), 16, CPU, 0.01) == "compiled"
    assert choose_path("sparse", ReLU(), 2, CPU) == "sparse"
    with pytest.raises(ValueError, match=r"^path must be auto or one of blocked, reference for"):
        choose_path("sparse", ReLU(), 2, torch.device("cuda"))


def test_a_run_is_the_same_on_every_path_up_to_rounding():
    p = 0.3 * np.arange(1.0, 9.0) ** -1.5
    spec = RunSpec(Superposition(EmpiricalFrequencies(p), Sphere(3)), ReLU(), 12, batch_size=128)
    flats = []
    for path in ("sparse", "blocked"):
        trainer = Trainer(spec, path=path)
        trainer.advance(20)
        flats.append(double(trainer.weights).flat)
    # Adam's first steps are signs of gradients: one of rounding's size may differ by 2 rates
    off = (flats[0] - flats[1]).abs()
    assert float(off.quantile(0.98)) < 1e-6
    assert float(off.median()) < 1e-7
