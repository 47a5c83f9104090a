"""Neighbours, agreement and duplicates of decoders made by hand, against the obvious way."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.sae.metrics import (
    duplicates,
    find_duplicates,
    mean_max_cosine,
    neighbour_cosines,
)
from scaling_theory.sae.remedies import ResampleDuplicates
from scaling_theory.sae.weights import Weights


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosines(a, b):
    a, b = (m.double().numpy() for m in (a, b))
    a, b = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a, b))
    return a @ b.T


def sae(decoder, encoder=None):
    weights = Weights(*decoder.shape)
    weights.decoder.copy_(decoder)
    weights.encoder.copy_(decoder if encoder is None else encoder)
    return weights


# ---- neighbours --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 60), st.integers(1, 6), st.integers(1, 61))
def test_neighbours_are_those_of_the_whole_matrix(n, d, block):
    decoder = normal(n, d, seed=n)
    found = neighbour_cosines(decoder, block=block)
    matrix = cosines(decoder, decoder)
    np.fill_diagonal(matrix, -np.inf)
    np.testing.assert_allclose(found.cosine, matrix.max(1), atol=1e-6)
    # the index of a row that is as near, where there are ties
    np.testing.assert_allclose(matrix[np.arange(n), found.nearest], matrix.max(1), atol=1e-6)
    assert (found.nearest != torch.arange(n)).all()


def test_neighbours_on_a_regular_tiling():
    angle = 2 * math.pi * torch.arange(12) / 12
    decoder = torch.stack([angle.cos(), angle.sin()], dim=1) * torch.arange(1, 13)[:, None]
    found = neighbour_cosines(decoder)
    np.testing.assert_allclose(found.cosine, math.cos(math.pi / 6), atol=1e-6)
    steps = (found.nearest - torch.arange(12)) % 12
    assert set(steps.tolist()) <= {1, 11}


def test_opposite_rows_are_far_and_copies_are_at_1():
    found = neighbour_cosines(torch.tensor([[1.0, 0.3], [-1.0, -0.3], [2.0, 0.6]]))
    np.testing.assert_allclose(found.cosine, [1.0, -1.0, 1.0], atol=1e-6)
    assert found.cosine.abs().max() <= 1.0
    assert found.nearest[[0, 2]].tolist() == [2, 0]


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e30])
def test_norms_do_not_matter(scale):
    decoder = normal(20, 3)
    found, scaled = neighbour_cosines(decoder), neighbour_cosines(decoder * scale)
    np.testing.assert_allclose(found.cosine, scaled.cosine, atol=1e-6)
    assert torch.equal(found.nearest, scaled.nearest)


def test_zero_and_dead_rows_are_left_out():
    decoder = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.1], [1.0, 1.0], [0.0, 2.0]])
    alive = torch.tensor([True, True, False, True, True])
    found = neighbour_cosines(decoder, alive, block=1)
    half = math.sqrt(0.5)
    np.testing.assert_allclose(found.cosine, [half, math.nan, math.nan, half, half], atol=1e-6)
    assert found.nearest.tolist()[:3] == [3, -1, -1]
    assert found.nearest.tolist()[4] == 3


@pytest.mark.parametrize("decoder", [torch.zeros(3, 2), torch.eye(1), torch.diag(torch.eye(3)[0])])
def test_a_row_alone_has_no_neighbour(decoder):
    found = neighbour_cosines(decoder)
    assert found.cosine.isnan().all()
    assert found.nearest.tolist() == [-1] * decoder.shape[0]


# ---- agreement ---------------------------------------------------------------------------------


def test_a_permuted_copy_agrees():
    decoder = normal(40, 5)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    scaled = decoder[order] * (1.0 + torch.arange(40.0))[:, None]
    assert mean_max_cosine(decoder, scaled) == pytest.approx(1.0, abs=1e-6)
    assert mean_max_cosine(decoder, scaled) <= 1.0
    assert mean_max_cosine(decoder, -scaled) < 0.99


@pytest.mark.parametrize("block", [None, 1, 7, 100])
def test_agreement_is_that_of_the_whole_matrix(block):
    a, b = normal(30, 4, seed=1), normal(50, 4, seed=2)
    matrix = cosines(a, b)
    forward, backward = matrix.max(1).mean(), matrix.max(0).mean()
    assert abs(forward - backward) > 0.01
    assert mean_max_cosine(a, b, block=block) == pytest.approx(forward, abs=1e-6)
    assert mean_max_cosine(b, a, block=block) == pytest.approx(backward, abs=1e-6)
    both = mean_max_cosine(a, b, symmetric=True, block=block)
    assert both == pytest.approx((forward + backward) / 2, abs=1e-6)


def test_agreement_of_a_part_and_of_the_living():
    whole = torch.eye(4)
    part = torch.cat([whole[:2], torch.zeros(1, 4)])
    assert mean_max_cosine(part, whole) == 1.0
    assert mean_max_cosine(whole, part) == 0.5
    assert mean_max_cosine(part, whole, symmetric=True) == 0.75
    living = torch.tensor([False, True, True, True])
    assert mean_max_cosine(part, whole, None, living) == 0.5
    assert mean_max_cosine(whole, part, living) == pytest.approx(1 / 3)
    assert math.isnan(mean_max_cosine(torch.zeros(2, 4), whole))


# ---- duplicates --------------------------------------------------------------------------------


def obvious_duplicates(weights, cosine):
    d, e = weights.decoder.double(), weights.encoder.double()
    size = (d.norm(dim=1) * e.norm(dim=1)).numpy()
    near = (cosines(d, d) > cosine) & (cosines(e, e) > cosine)
    kept = []
    for j in np.argsort(-size, kind="stable"):
        if not near[j, kept].any():
            kept.append(j)
    return sorted(set(range(len(size))) - set(kept))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 80), st.integers(2, 3), st.integers(1, 81), st.sampled_from([0.3, 0.9, 0.95]))
def test_duplicates_are_those_of_the_obvious_way(n, d, block, cosine):
    """Dense directions, so that chains of neighbours run through blocks."""
    weights = sae(normal(n, d, seed=n), normal(n, d, seed=n) + 0.3 * normal(n, d, seed=n + 1))
    found = find_duplicates(weights, cosine, block=block)
    assert found.tolist() == obvious_duplicates(weights, cosine)
    assert duplicates(weights, cosine, block=block) == found.numel()


@pytest.mark.parametrize("block", [None, 1, 3, 16])
def test_copies_placed_by_hand(block):
    decoder = torch.eye(16)
    decoder[5] = 3.0 * decoder[2]  # larger: 2 is the duplicate
    decoder[9] = decoder[2]
    decoder[12] = decoder[1]  # as large: the later one
    decoder[14] = -decoder[3]  # opposite: none
    encoder = decoder.clone()
    decoder[7] = decoder[6]  # same decoder, other encoder: none
    weights = sae(decoder, encoder)
    assert find_duplicates(weights, block=block).tolist() == [2, 9, 12]
    assert duplicates(weights, block=block) == 3


def test_threshold_and_both_rows_count():
    def turned(angle):
        return torch.tensor([[1.0, 0.0], [0.9 * math.cos(angle), 0.9 * math.sin(angle)]])

    at, beyond = math.acos(0.95) - 1e-3, math.acos(0.95) + 1e-3
    assert duplicates(sae(turned(at), turned(at))) == 1
    assert duplicates(sae(turned(beyond), turned(at))) == 0
    assert duplicates(sae(turned(at), turned(beyond))) == 0
    assert duplicates(sae(turned(beyond), turned(beyond)), cosine=0.9) == 1


def test_a_chain_is_not_one_latent():
    """Five directions 10 degrees apart, by size in order: each is near to the next ones only."""
    angle = math.radians(10.0) * torch.arange(5)
    decoder = torch.stack([angle.cos(), angle.sin()], dim=1) * torch.linspace(2, 1, 5)[:, None]
    assert find_duplicates(sae(decoder), math.cos(math.radians(15.0))).tolist() == [1, 3]
    assert find_duplicates(sae(decoder), math.cos(math.radians(25.0))).tolist() == [1, 2, 4]


def test_dead_latents_neither_are_nor_have_duplicates():
    weights = sae(torch.tensor([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    assert find_duplicates(weights).tolist() == [1, 2]
    assert find_duplicates(weights, alive=torch.arange(5) != 0).tolist() == [2]
    assert find_duplicates(weights, alive=torch.arange(5) == 0).tolist() == []
    assert duplicates(weights, alive=torch.zeros(5, dtype=torch.bool)) == 0


def test_weights_that_are_not_finite_are_no_duplicates():
    """A remedy asks in the middle of a run; the run itself says what is wrong."""
    decoder = torch.ones(5, 2)
    decoder[0], decoder[1] = math.nan, math.inf
    assert find_duplicates(sae(decoder)).tolist() == [3, 4]


def test_the_remedy_starts_duplicates_anew():
    weights, idle = sae(normal(50, 2)), torch.zeros(50, dtype=torch.int64)
    for cosine in (0.9, 0.999):
        found = ResampleDuplicates(cosine=cosine).find(weights, idle, 10)
        assert found.tolist() == obvious_duplicates(weights, cosine)
        assert 0 < found.numel() < 50


def test_tens_of_thousands_of_latents():
    """All copies of fifty, in blocks."""
    n = 8192
    decoder = torch.nn.functional.normalize(normal(50, 16), dim=1)[torch.arange(n) % 50]
    assert find_duplicates(sae(decoder)).tolist() == list(range(50, n))


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "name"), [
    (lambda: neighbour_cosines(torch.zeros(3)), "decoder"),
    (lambda: neighbour_cosines(torch.full((2, 2), math.nan)), "decoder"),
    (lambda: neighbour_cosines(np.eye(2)), "decoder"),
    (lambda: neighbour_cosines(torch.eye(2), torch.ones(3, dtype=torch.bool)), "alive"),
    (lambda: neighbour_cosines(torch.eye(2), torch.ones(2)), "alive"),
    (lambda: neighbour_cosines(torch.eye(2), block=0), "block"),
    (lambda: mean_max_cosine(torch.eye(2), torch.eye(3)), "decoder_b"),
    (lambda: mean_max_cosine(torch.eye(2), torch.eye(2), torch.ones(2)), "alive_a"),
    (lambda: mean_max_cosine(torch.eye(2), torch.ones(2, 2, dtype=torch.int64)), "decoder_b"),
    (lambda: duplicates(sae(torch.eye(2)), cosine=0.0), "cosine"),
    (lambda: duplicates(sae(torch.eye(2)), cosine=1.5), "cosine"),
    (lambda: duplicates(sae(torch.eye(2)), alive=torch.ones(2)), "alive"),
])  # fmt: skip
def test_bad_arguments_are_refused(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must "):
        call()
