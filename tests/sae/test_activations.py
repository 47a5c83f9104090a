"""Real activations as data: what is drawn, what is held out, what a specification says of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from held_rows import Held
from hypothesis import given
from hypothesis import strategies as some

from scaling_theory.sae import Activations, Gated, JumpReLU, ReLU, RunSpec, TopK, Trainer
from scaling_theory.sae.architectures import decode
from scaling_theory.sae.measure import measure


def held(rows=100, d=6, held_out=20, seed=0):
    rng = np.random.default_rng(seed)
    return Held(3.0 + 2.0 * rng.standard_normal((rows, d)).astype(np.float32), held_out)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def raw(data, shards, x):
    """Undo the centring and the scale."""
    return x.double().numpy() * shards.scale * np.sqrt(data.dimension) + shards.mean


def among(rows, x):
    """Index among rows of each row of x; fails where one is not there."""
    distance = np.abs(x[:, None, :] - rows[None]).max(2)
    assert distance.min(1).max() < 1e-4
    return distance.argmin(1)


def test_rows_are_centred_and_of_mean_squared_norm_one():
    shards = held(2000, 6)
    x = Activations(shards).each_once(10**6, generator()).double()
    assert x.shape == (1980, 6)
    torch.testing.assert_close(x.mean(0), torch.zeros(6, dtype=torch.float64), atol=1e-6, rtol=0.0)
    assert float(x.square().sum(1).mean()) == pytest.approx(1.0, rel=1e-6)


@given(
    rows=some.integers(10, 60), share=some.floats(0.1, 0.8), count=some.integers(1, 80),
    seed=some.integers(0, 10**6),
)  # fmt: skip
def test_what_is_trained_on_is_never_held_out(rows, share, count, seed):
    cut = max(2, int(share * rows))
    shards = held(rows, 3, min(cut, rows - 2), seed)
    data = Activations(shards)
    drawn = among(shards.x, raw(data, shards, data.sample(count, generator(seed))))
    assert drawn.min() >= shards.held_out
    once = among(shards.x, raw(data, shards, data.each_once(count, generator(seed))))
    assert once.min() >= shards.held_out
    assert len(set(once.tolist())) == len(once) == min(count, data.rows)
    out = among(shards.x, raw(data, shards, data.held_out(count, generator(seed))))
    assert out.max() < shards.held_out
    assert len(set(out.tolist())) == len(out) == min(count, shards.held_out)


def test_a_specification_knows_the_recipe_and_not_the_place():
    here, there = held(), held()
    there.path = "elsewhere"
    a, b = (RunSpec(Activations(s), TopK(2), 8) for s in (here, there))
    assert a.key == b.key
    assert "somewhere" not in a.text
    assert '"data":{"digest":"0123456789abcdef","dimension":6,"kind":"Activations"}' in a.text
    other = held()
    other.digest = "f" * 16
    assert RunSpec(Activations(other), TopK(2), 8).key != a.key
    assert pickle.loads(pickle.dumps(a)).key == a.key


def test_rows_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match="shards must hold rows that differ"):
        Activations(Held(np.ones((50, 4), np.float32)))


def test_metrics_are_of_rows_that_are_held_out():
    """An SAE that knows the training rows by heart is judged on the others."""
    shards = held(64, 4, 30)
    spec = RunSpec(Activations(shards), TopK(2), 8, steps=3, batch_size=16, evaluation=1000)
    trainer = Trainer(spec)
    trainer.advance(3)
    row, tensors = measure(spec, trainer.weights)
    x = (shards.x[:30] - shards.mean) / (shards.scale * 2.0)
    f = spec.architecture.encode(trainer.weights, torch.from_numpy(x.astype(np.float32)))
    missed = torch.from_numpy(x) - f.double() @ trainer.weights.decoder.double()
    missed -= trainer.weights.decoder_bias.double()
    assert row["rows"] == 30
    assert row["reconstruction"] == pytest.approx(float(missed.square().sum(1).mean()), rel=1e-5)
    variance = float(((x - x.mean(0)) ** 2).sum(1).mean())
    assert row["fvu"] == pytest.approx(row["reconstruction"] / variance, rel=1e-5)
    fired = (f > 0).double().mean(0)
    assert row["mean_activation"] == pytest.approx(float(f[f > 0].double().mean()), rel=1e-5)
    assert row["log_density"] == pytest.approx(float(fired[fired > 0].log10().mean()), rel=1e-9)
    torch.testing.assert_close(tensors["frequencies"], fired)


@pytest.mark.parametrize("architecture", [TopK(3), ReLU(), JumpReLU(l0=0.01), Gated()])
def test_a_folded_sae_does_the_same_to_rows_as_they_are(architecture):
    shards = held(400, 6)
    data = Activations(shards)
    spec = RunSpec(data, architecture, 16, steps=30, batch_size=64, learning_rate=1e-2)
    trainer = Trainer(spec)
    trainer.advance(30)
    weights = trainer.weights
    before = weights.flat.clone()
    folded = data.fold(weights)
    assert torch.equal(weights.flat, before)
    x = data.held_out(20, generator())
    rows = torch.from_numpy(raw(data, shards, x)).float()
    f, g = architecture.encode(weights, x), architecture.encode(folded, rows)
    torch.testing.assert_close(g, f, rtol=1e-3, atol=1e-4)
    there = torch.from_numpy(raw(data, shards, decode(weights, f)))
    torch.testing.assert_close(decode(folded, g).double(), there, rtol=1e-3, atol=1e-3)


def test_shards_alone_are_no_data():
    with pytest.raises(ValueError, match=r"or Activations\(shards\)"):
        RunSpec(held(), TopK(2), 8)
