"""Who serves whom: SAEs made by hand on superpositions, against the obvious way."""

import math

import numpy as np
import pytest
import torch

import scaling_theory as sth
from scaling_theory.sae.architectures import ReLU, TopK
from scaling_theory.sae.manifolds import Circle, Points, Sphere
from scaling_theory.sae.metrics import ownership
from scaling_theory.sae.superposition import Superposition
from scaling_theory.sae.weights import Weights


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def superposition(p, default=None, ranks=None, **others):
    frequencies = sth.EmpiricalFrequencies(np.asarray(p, dtype=float))
    return Superposition(frequencies, default or Points(), ranks, **others)


def sae(decoder, encoder=None, bias=0.0):
    weights = Weights(*decoder.shape)
    weights.decoder.copy_(decoder)
    weights.encoder.copy_(decoder if encoder is None else encoder)
    weights.encoder_bias.fill_(bias)
    return weights


def obvious(architecture, weights, data, parts):
    """Energies, firings of own latents and explained shares, row by row, with the frames."""
    f = architecture.encode(weights, parts.x)
    missed = parts.x - f @ weights.decoder - weights.decoder_bias
    f, missed, w = (t.double().numpy() for t in (f, missed, weights.decoder))
    energy, explained = np.zeros((data.features, weights.width)), np.full(data.features, np.nan)
    for i, frame in enumerate(data.frames):
        on = parts.active[:, i].numpy()
        energy[i] = (f[on] ** 2).sum(0) * ((w @ frame.double().numpy()) ** 2).sum(1)
        if on.any():
            size = (parts.part(i)[on].double().numpy() ** 2).sum()
            explained[i] = 1.0 - ((missed[on] @ frame.double().numpy()) ** 2).sum() / size
    owner = np.where(energy.max(0) > 0.0, energy.argmax(0), -1)
    overlap = [
        (f[np.ix_(parts.active[:, i].numpy(), owner == i)] > 0).sum(1).mean()
        if parts.active[:, i].any()
        else np.nan
        for i in range(data.features)
    ]
    return energy, owner, overlap, explained


def test_basis_of_points():
    """One latent a feature, in another order, a dead one, a feature without, one never there."""
    data = superposition([0.5, 0.4, 0.3, 0.2, 1e-9])
    parts = data.sample_parts(2000, seeded(0))
    order = [3, 0, 2, 4]
    weights = sae(torch.cat([torch.eye(5)[order], torch.zeros(1, 5)]))
    found = ownership(ReLU(), weights, parts)
    assert found.owner.tolist() == [3, 0, 2, -1, -1]
    np.testing.assert_array_equal(found.purity, [1, 1, 1, math.nan, math.nan])
    assert found.latents.tolist() == [1, 0, 1, 1, 0]
    np.testing.assert_array_equal(found.overlap, [1, 0, 1, 1, math.nan])
    np.testing.assert_array_equal(found.explained, [1, 0, 1, 1, math.nan])
    assert found.discovered.tolist() == [True, False, True, True, False]
    assert torch.equal(found.rows, parts.active.sum(0))
    assert found.rows[0] > 900
    assert found.rows[4] == 0


def test_duplicates_overlap_and_shrinkage_explains_less():
    """Feature 0 by two latents of a half; feature 1 with a share a of itself: 1 - (1 - a)^2."""
    data = superposition([0.5, 0.5])
    parts = data.sample_parts(500, seeded(1))
    for share, discovered in ((0.28, False), (0.3, True)):
        decoder = torch.tensor([[0.5, 0.0], [0.5, 0.0], [0.0, share]])
        weights = sae(decoder, torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        found = ownership(ReLU(), weights, parts)
        assert found.latents.tolist() == [2, 1]
        assert found.overlap.tolist() == [2.0, 1.0]
        np.testing.assert_allclose(found.explained, [1.0, 1.0 - (1.0 - share) ** 2], atol=1e-6)
        assert found.discovered.tolist() == [True, discovered]


def test_a_wrong_reconstruction_explains_less_than_nothing():
    data = superposition([0.5, 0.5])
    weights = sae(torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]]))
    found = ownership(ReLU(), weights, data.sample_parts(500, seeded(1)))
    assert found.explained.tolist() == [-3.0, 0.0]
    assert found.latents.tolist() == [1, 0]


def test_a_latent_of_two_features_is_half_pure():
    """A latent along (a, b) that fires on either feature: energies (a^2 + t, b^2 + t) by rows."""
    data = superposition([0.5, 0.5])
    parts = data.sample_parts(4000, seeded(2))
    a, b = 0.8, 0.6
    found = ownership(ReLU(), sae(torch.tensor([[a, b]])), parts)
    only, other, both = (
        float((parts.active == torch.tensor(pattern)).all(1).sum())
        for pattern in ([True, False], [False, True], [True, True])
    )
    first = (only * a**2 + both * (a + b) ** 2) * a**2
    second = (other * b**2 + both * (a + b) ** 2) * b**2
    assert found.owner.tolist() == [0]
    assert float(found.purity) == pytest.approx(first / (first + second), rel=1e-6)
    assert float(found.purity) < 0.9


def test_company_costs_no_purity():
    """All features at once in most rows: orthogonal subspaces keep latents apart all the same."""
    data = superposition([0.9] * 4, Circle())
    parts = data.sample_parts(1000, seeded(3))
    decoder = torch.cat([torch.eye(8), -torch.eye(8)])
    found = ownership(ReLU(), sae(decoder), parts)
    assert found.owner.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] * 2
    assert found.purity.tolist() == [1.0] * 16
    assert found.overlap.tolist() == [2.0] * 4  # one of the axes' two ends each
    np.testing.assert_allclose(found.explained, 1.0, atol=1e-6)


def test_overlapping_subspaces_leak_as_stated():
    """Feature 0 alone has a latent; others, there in half of the rows, take d_k/d each."""
    d, others = 40, 30
    data = superposition([0.5] * (1 + others), orientation="random", dimension=d, seed=1)
    weights = sae(data.frames[0].T.clone(), bias=-0.5)
    found = ownership(ReLU(), weights, data.sample_parts(4000, seeded(4)))
    assert found.owner.tolist() == [0]
    assert float(found.purity) == pytest.approx(1 / (1 + 0.5 * others / d), rel=0.15)


@pytest.mark.parametrize("block", [None, 1, 7])
@pytest.mark.parametrize("orientation", ["orthogonal", "random"])
@pytest.mark.parametrize("architecture", [ReLU(), TopK(3)], ids=["relu", "topk"])
def test_ownership_is_that_of_the_obvious_way(architecture, orientation, block):
    data = superposition(
        [0.6, 0.3, 0.2, 0.2, 0.1, 1e-9], Circle(), {2: Points(), 4: Sphere(3)},
        orientation=orientation, dimension=14, seed=0 if orientation == "orthogonal" else 5,
    )  # fmt: skip
    parts = data.sample_parts(60, seeded(6))
    weights = Weights(25, 14)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=seeded(7)))
    weights.encoder[3] = 0.0
    weights.encoder_bias[3] = -1.0
    found = ownership(architecture, weights, parts, block=block)
    energy, owner, overlap, explained = obvious(architecture, weights, data, parts)
    np.testing.assert_array_equal(found.owner, owner)
    assert found.owner[3] == -1
    with np.errstate(invalid="ignore"):
        purity = energy.max(0) / energy.sum(0)
    np.testing.assert_allclose(found.purity, purity, rtol=1e-5)
    np.testing.assert_allclose(found.overlap, overlap, rtol=1e-12)
    np.testing.assert_allclose(found.explained, explained, rtol=1e-5)
    np.testing.assert_array_equal(found.latents, np.bincount(owner[owner >= 0], minlength=6))
    assert found.rows[:5].min() > 0


def test_axes_beyond_the_features_serve_nobody():
    """A latent that writes where no feature is has no owner, and its harm is nobody's."""
    data = superposition([0.5, 0.5], dimension=3)
    weights = sae(torch.eye(3), torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 0]]))
    found = ownership(ReLU(), weights, data.sample_parts(200, seeded(8)))
    assert found.owner.tolist() == [0, 1, -1]
    assert found.explained.tolist() == [1.0, 1.0]


def test_bad_parts_are_refused():
    data = superposition([0.5, 0.5])
    parts = data.sample_parts(10, seeded(9))
    with pytest.raises(ValueError, match=r"^parts must "):
        ownership(ReLU(), sae(torch.eye(2)), parts.x)
    with pytest.raises(ValueError, match=r"^x must "):
        ownership(ReLU(), sae(torch.eye(3)), parts)
    with pytest.raises(ValueError, match=r"^block must "):
        ownership(ReLU(), sae(torch.eye(2)), parts, block=0)
