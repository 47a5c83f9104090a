"""Folders that are written are read back the same, by this package and by SAELens."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from scaling_theory.sae.formats import PublishedSAE, load_sae, save_sae

N, D = 7, 4


def make(activation, seed=0, dtype=torch.float32, **fields):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    own = {
        "relu": lambda: {},
        "topk": lambda: {"k": 3},
        "jumprelu": lambda: {"threshold": 0.5 * draw(N)},
        "gated": lambda: {"magnitude_bias": draw(N), "magnitude_log_scale": 0.5 * draw(N)},
    }[activation]()
    weights = draw(N, D), draw(N), draw(N, D), draw(D)
    return PublishedSAE(*weights, activation=activation, **{**own, **fields})


def inputs(rows=40, dtype=torch.float32):
    return (2.0 * torch.randn(rows, D, generator=torch.Generator().manual_seed(9))).to(dtype)


@settings(deadline=None, max_examples=40)
@given(
    activation=st.sampled_from(PublishedSAE.ACTIVATIONS),
    normalisation=st.sampled_from(PublishedSAE.NORMALISATIONS),
    subtract=st.booleans(),
    rescale=st.booleans(),
    wide=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_what_is_read_back_is_the_same(
    tmp_path_factory, activation, normalisation, subtract, rescale, wide, seed
):
    dtype = torch.float64 if wide else torch.float32
    sae = make(
        activation, seed, dtype,
        normalisation=normalisation, apply_b_dec_to_input=subtract, name="one",
        rescale_by_decoder_norm=rescale and activation == "topk",
    )  # fmt: skip
    new = load_sae(save_sae(sae, tmp_path_factory.mktemp("saved") / "inner"))
    x = inputs(dtype=dtype)
    assert torch.equal(new.encode(x), sae.encode(x))
    assert torch.equal(new(x), sae(x))
    for name in ("name", "activation", "k", "normalisation", "status", "rescale_by_decoder_norm"):
        assert getattr(new, name) == getattr(sae, name)
    assert new.format == "saelens"


def test_frequencies_come_back_with_their_note(tmp_path):
    f = torch.tensor([0.0, 1e-6, 1e-3, 0.02, 0.3, 0.9, 1.0])
    sae = make("relu", frequencies=f, frequencies_note="counted on 10^6 inputs")
    new = load_sae(save_sae(sae, tmp_path))
    # float32 logarithms of size 10: relative errors up to 10 ln(10) 2^-24
    torch.testing.assert_close(new.frequencies, f, rtol=2e-6, atol=1e-16)
    assert new.frequencies_note == "counted on 10^6 inputs"


def test_a_scale_that_is_not_known_stays_so(tmp_path):
    sae = make("relu", status="input_scale_unknown")
    assert load_sae(save_sae(sae, tmp_path)).status == "input_scale_unknown"


def test_the_layout_is_that_of_version_6(tmp_path):
    save_sae(make("topk", rescale_by_decoder_norm=True), tmp_path)
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert config["metadata"].pop("sae_lens_version").startswith("6.")
    del config["metadata"]
    assert config == {
        "architecture": "topk", "d_in": D, "d_sae": N, "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": False, "normalize_activations": "none",
        "reshape_activations": "none", "k": 3, "rescale_acts_by_decoder_norm": True,
    }  # fmt: skip
    shapes = {k: tuple(v.shape) for k, v in load_file(tmp_path / "sae_weights.safetensors").items()}
    assert shapes == {"W_enc": (D, N), "W_dec": (N, D), "b_enc": (N,), "b_dec": (D,)}
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "cfg.json",
        "sae_weights.safetensors",
    ]


def test_what_saelens_does_not_have_is_refused_before_anything_is_written(tmp_path):
    rescaled = make("gated", rescale_by_decoder_norm=True)
    for sae, said in (
        (make("relu", skip=torch.zeros(D, D)), "skip"),
        (rescaled, r"save sae\.folded\(\)"),
    ):
        with pytest.raises(ValueError, match=said):
            save_sae(sae, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    x = inputs()
    new = load_sae(save_sae(rescaled.folded(), tmp_path / "new"))
    torch.testing.assert_close(new.encode(x), rescaled.encode(x), rtol=1e-4, atol=1e-5)


def test_nothing_is_overwritten(tmp_path):
    save_sae(make("relu"), tmp_path)
    before = (tmp_path / "sae_weights.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match=r"sae_weights\.safetensors, cfg\.json"):
        save_sae(make("relu", seed=1), tmp_path)
    assert (tmp_path / "sae_weights.safetensors").read_bytes() == before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("normalisation", PublishedSAE.NORMALISATIONS)
@pytest.mark.parametrize("activation", [*PublishedSAE.ACTIVATIONS, "rescaled topk"])
def test_saelens_computes_the_same(tmp_path, activation, normalisation, subtract):
    lens = pytest.importorskip("sae_lens")
    sae = make(
        activation.split()[-1], 5, normalisation=normalisation, apply_b_dec_to_input=subtract,
        rescale_by_decoder_norm=activation == "rescaled topk",
    )  # fmt: skip
    other = lens.SAE.load_from_disk(save_sae(sae, tmp_path / "here"))
    x = inputs(500)
    f = sae.encode(x)
    with torch.no_grad():
        torch.testing.assert_close(other.encode(x), f, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(other(x), sae(x), rtol=1e-5, atol=1e-5)
        # and what it writes is read here
        other.save_model(tmp_path / "there")
        assert torch.equal(load_sae(tmp_path / "there")(x), sae(x))
    assert 0.05 < float((f > 0).float().mean()) < 0.95
