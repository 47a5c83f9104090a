"""Folding, scaling, ties and refusals of one SAE, whatever file it is from."""

from dataclasses import FrozenInstanceError, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.sae import BatchTopK, Gated, JumpReLU, Matryoshka, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.architectures import Context, decode
from scaling_theory.sae.formats import PublishedSAE
from scaling_theory.sae.weights import Weights

WIDE = torch.float64


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def make(activation, n=9, d=4, seed=0, dtype=WIDE, **fields):
    generator = seeded(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=WIDE).to(dtype)

    own = {
        "relu": lambda: {},
        "topk": lambda: {"k": max(1, n // 3)},
        "jumprelu": lambda: {"threshold": 0.5 * draw(n)},
        "gated": lambda: {"magnitude_bias": draw(n), "magnitude_log_scale": 0.5 * draw(n)},
    }[activation]()
    weights = draw(n, d), draw(n), draw(n, d), draw(d)
    return PublishedSAE(*weights, activation=activation, **{**own, **fields})


def inputs(rows, d, seed=1, dtype=WIDE):
    return torch.randn(rows, d, generator=seeded(seed), dtype=WIDE).to(dtype)


# ---- folding ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    activation=st.sampled_from(["relu", "topk", "jumprelu", "gated"]),
    normalisation=st.sampled_from(PublishedSAE.NORMALISATIONS),
    subtract=st.booleans(),
    rescale=st.booleans(),
    skip=st.booleans(),
    zeros=st.booleans(),
    n=st.integers(2, 12),
    d=st.integers(2, 5),
    seed=st.integers(0, 10**6),
)
def test_folding_changes_no_reconstruction_and_makes_norms_one(
    activation, normalisation, subtract, rescale, skip, zeros, n, d, seed
):
    rescale = rescale or activation == "topk"
    sae = make(
        activation, n, d, seed,
        normalisation=normalisation, apply_b_dec_to_input=subtract,
        rescale_by_decoder_norm=rescale,
        skip=inputs(d, d, seed + 1) if skip else None,
    )  # fmt: skip
    if zeros:
        sae = replace(sae, decoder=sae.decoder * (torch.arange(n) != 1)[:, None])
    x = inputs(20, d, seed + 2)
    new = sae.folded()
    # sums of at most 12 products: some tens of roundings of numbers of the size of |f| |w|
    size = float(sae.encode(x).abs().amax() * sae.decoder.abs().amax()) + 10.0
    close = {"rtol": 0.0, "atol": 1e-13 * size * n}
    torch.testing.assert_close(new(x), sae(x), **close)
    alive = torch.arange(n) != 1 if zeros else torch.ones(n, dtype=torch.bool)
    torch.testing.assert_close(new.decoder_norms[alive], torch.ones(int(alive.sum()), dtype=WIDE))
    f = sae.encode(x) if rescale else sae.encode(x) * sae.decoder_norms
    torch.testing.assert_close(new.encode(x)[:, alive], f[:, alive], **close)
    assert not new.rescale_by_decoder_norm


def test_folding_topk_is_refused_where_it_would_change_the_largest():
    sae = make("topk")
    with pytest.raises(ValueError, match="k largest") as error:
        sae.folded()
    assert f"{float(sae.decoder_norms.max()):g}" in str(error.value)
    x = inputs(50, 4)
    # what is refused: other latents would fire
    assert bool(((replace(sae, rescale_by_decoder_norm=True).encode(x) > 0)
                 != (sae.encode(x) > 0)).any())  # fmt: skip


def test_folding_topk_with_equal_norms_keeps_the_order():
    sae = make("topk")
    sae = replace(sae, decoder=0.1 * sae.decoder / sae.decoder_norms[:, None])
    x = inputs(50, 4)
    torch.testing.assert_close(sae.folded()(x), sae(x))
    torch.testing.assert_close(sae.folded().encode(x), 0.1 * sae.encode(x))


def test_folding_topk_keeps_ties_where_norms_are_equal_to_rounding_only():
    decoder = torch.tensor([[1.0], [1.0 + 5e-7], [1.0]], dtype=WIDE)
    ones = torch.ones(3, 1, dtype=WIDE)
    sae = PublishedSAE(ones, 0.1 * ones[:, 0], decoder, ones[0], activation="topk", k=1)
    x = torch.ones(1, 1, dtype=WIDE)
    assert (sae.encode(x) > 0).tolist() == [[True, False, False]]
    assert (sae.folded().encode(x) > 0).tolist() == [[True, False, False]]


@settings(deadline=None, max_examples=40)
@given(
    activation=st.sampled_from(["relu", "topk", "jumprelu", "gated"]),
    subtract=st.booleans(),
    rescale=st.booleans(),
    factor=st.floats(0.01, 100.0),
    seed=st.integers(0, 10**6),
)
def test_scaled_is_the_sae_of_inputs_times_the_factor(activation, subtract, rescale, factor, seed):
    sae = make(
        activation, seed=seed, apply_b_dec_to_input=subtract, rescale_by_decoder_norm=rescale,
        skip=inputs(4, 4, seed),
    )  # fmt: skip
    x = inputs(10, 4, seed + 1)
    new = sae.scaled(factor)
    size = 1e-12 * (10.0 + factor) / min(factor, 1.0) * (10.0 + float(sae(factor * x).abs().amax()))
    torch.testing.assert_close(new(x), sae(factor * x) / factor, rtol=0.0, atol=size)
    f = sae.encode(factor * x)
    wanted = f / factor if rescale else f
    torch.testing.assert_close(new.encode(x), wanted, rtol=0.0, atol=size)


def test_scaled_refuses_what_is_normalised_one_by_one():
    with pytest.raises(ValueError, match="layer_norm"):
        make("relu", normalisation="layer_norm").scaled(2.0)
    with pytest.raises(ValueError, match=r"factor must be a number greater than 0, got 0"):
        make("relu").scaled(0.0)


# ---- ties ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(
    z=st.lists(st.integers(-2, 3), min_size=1, max_size=10),
    k=st.integers(1, 10),
)
def test_topk_keeps_k_and_the_first_of_equal_ones(z, k):
    n, k = len(z), min(k, len(z))
    sae = PublishedSAE(
        torch.zeros(n, 1), torch.tensor(z, dtype=torch.float32), torch.ones(n, 1), torch.zeros(1),
        activation="topk", k=k,
    )  # fmt: skip
    kept = sorted(range(n), key=lambda j: (-z[j], j))[:k]
    wanted = [float(max(z[j], 0)) if j in kept else 0.0 for j in range(n)]
    assert sae.encode(torch.zeros(2, 1)).tolist() == [wanted, wanted]


# ---- shapes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", PublishedSAE.ACTIVATIONS)
def test_inputs_of_any_leading_shape(activation):
    sae = make(activation, normalisation="layer_norm", skip=inputs(4, 4))
    x = inputs(6, 4)
    for shape in ((6,), (2, 3), (3, 1, 2)):
        y = sae(x.reshape(*shape, 4))
        assert y.shape == (*shape, 4)
        torch.testing.assert_close(y.reshape(6, 4), sae(x))
    torch.testing.assert_close(sae(x[0]), sae(x)[0])


def test_inputs_are_computed_with_in_the_type_of_the_weights():
    sae = make("relu", dtype=torch.float32)
    x = inputs(5, 4, dtype=torch.bfloat16)
    assert torch.equal(sae.encode(x), sae.encode(x.float()))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (
            torch.zeros(2, 3),
            r"x must be a floating-point tensor of shape \(\.\.\., 4\), got .*2, 3",
        ),
        (torch.zeros(2, 4, dtype=torch.int64), "int64"),
        ([[0.0] * 4], "a list"),
        (torch.tensor([[0.0, 1.0, 2.0, float("nan")]]), "finite"),
        (torch.zeros(2, 4, device="meta"), "device"),
    ],
)
def test_bad_inputs_are_refused(x, said):
    with pytest.raises(ValueError, match=said):
        make("relu").encode(x)


def test_decode_refuses_what_does_not_go_together():
    sae = make("relu", normalisation="layer_norm")
    with pytest.raises(ValueError, match=r"f must be .*\(\.\.\., 9\)"):
        sae.decode(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"x must be given.*layer_norm"):
        sae.decode(torch.zeros(2, 9))
    with pytest.raises(ValueError, match="leading shape of f"):
        sae.decode(torch.zeros(2, 9), torch.zeros(1, 4))


def test_gradients_reach_the_input():
    x = inputs(3, 4).requires_grad_()
    for activation in PublishedSAE.ACTIVATIONS:
        (grad,) = torch.autograd.grad(make(activation)(x).sum(), x)
        assert bool((grad != 0).any())


# ---- construction ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activation": "softmax"}, "activation must be one of relu, topk, jumprelu, gated"),
        ({"normalisation": "batch"}, "normalisation must be one of"),
        ({"status": "fine"}, "status must be one of"),
        ({"k": 3}, "k must be given for activation='topk' and for no other"),
        ({"threshold": torch.zeros(9, dtype=WIDE)}, "threshold must be given for"),
        ({"activation": "topk"}, "k must be given"),
        ({"activation": "topk", "k": 10}, r"k must be a whole number in \[1, 9\], got 10"),
        ({"activation": "gated"}, "magnitude_bias must be given"),
        ({"encoder": torch.zeros(9, 5, dtype=WIDE)}, r"encoder must be .*\(9, 4\).*\(9, 5\)"),
        ({"encoder_bias": torch.zeros(9)}, "of one dtype with the decoder"),
        ({"decoder_bias": None}, "decoder_bias must be a tensor"),
        ({"decoder": torch.zeros(9)}, "decoder must be a tensor of shape"),
        ({"decoder": torch.zeros(9, 4, dtype=torch.int64)}, "decoder must be of float32"),
        ({"skip": torch.zeros(4, 5, dtype=WIDE)}, "skip must be"),
        ({"encoder_bias": torch.full((9,), float("inf"), dtype=WIDE)}, "encoder_bias must hold f"),
        ({"frequencies": torch.full((9,), 1.5, dtype=WIDE)}, r"frequencies must be in \[0, 1\]"),
        ({"frequencies": torch.zeros(9, dtype=WIDE, device="meta")}, "device"),
        ({"apply_b_dec_to_input": 1}, "apply_b_dec_to_input must be True or False"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        replace(make("relu"), **changes)


def test_layer_norm_needs_two_dimensions():
    with pytest.raises(ValueError, match="layer_norm needs a dimension of at least 2"):
        make("relu", d=1, normalisation="layer_norm")


def test_frozen_and_short_to_print():
    sae = make("topk", name="seven")
    with pytest.raises(FrozenInstanceError):
        sae.k = 2
    assert repr(sae) == (
        "PublishedSAE(name='seven', format='', width=9, dimension=4, activation='topk', k=3, "
        "status='exact')"
    )


def test_to_moves_every_tensor(monkeypatch):
    sae = make("gated", skip=inputs(4, 4), frequencies=torch.zeros(9, dtype=WIDE))
    moved = []

    def to(self, device):
        moved.append(self.data_ptr())
        assert device == "cpu"
        return self.clone()

    monkeypatch.setattr(torch.Tensor, "to", to)
    new = sae.to("cpu")
    tensors = [v for v in vars(sae).values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 8
    assert sorted(moved) == sorted(t.data_ptr() for t in tensors)
    assert not any(v.data_ptr() in moved for v in vars(new).values() if hasattr(v, "data_ptr"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("activation", PublishedSAE.ACTIVATIONS)
def test_the_same_on_a_gpu(activation):
    sae = make(activation, normalisation="layer_norm", apply_b_dec_to_input=True)
    x = inputs(50, 4)
    torch.testing.assert_close(sae.to("cuda")(x.cuda()).cpu(), sae(x))


# ---- of this package -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture",
    [
        *(ReLU(0.1), TopK(3), JumpReLU(0.1), TanhJumpReLU(bandwidth=0.5)),
        *(BatchTopK(2), Matryoshka(2), Gated()),
    ],
)
def test_an_sae_of_this_package_encodes_as_its_architecture(architecture):
    weights = Weights(9, 4, architecture.extra)
    weights.flat.copy_(torch.randn(weights.flat.shape, generator=seeded(3)))
    for value in weights.extra.values():
        value.abs_()
    x = inputs(40, 4, dtype=torch.float32)
    f = architecture.encode(weights, x)
    sae = PublishedSAE.from_weights(weights, architecture, name="own")
    torch.testing.assert_close(sae.encode(x), f)
    torch.testing.assert_close(sae(x), decode(weights, f))
    if not isinstance(architecture, BatchTopK | Matryoshka):  # those select in a batch
        squares = architecture.losses(weights, x, Context()).reconstruction
        torch.testing.assert_close((x - sae(x)).square().sum(1), squares)
    weights.flat.zero_()
    torch.testing.assert_close(sae.encode(x), f)
    assert (sae.format, sae.name) == ("scaling_theory", "own")


def test_weights_without_threshold_are_no_jumprelu():
    with pytest.raises(ValueError, match="weights must have a threshold"):
        PublishedSAE.from_weights(Weights(3, 2), JumpReLU(0.1))
    with pytest.raises(ValueError, match="architecture must be ReLU"):
        PublishedSAE.from_weights(Weights(3, 2), "relu")
