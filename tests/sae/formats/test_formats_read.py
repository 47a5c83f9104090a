"""Files of each format, typed out by hand, against a few lines of what their project computes."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scaling_theory.sae.formats import load_sae

F, D, ROWS = 7, 4, 64

#: Sums of at most 7 products of numbers of order 1 in float32, in another order.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rand(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(threshold=None):
    out = {
        "W_enc": rand(D, F, seed=1),
        "W_dec": rand(F, D, seed=2),
        "b_enc": 0.3 * rand(F, seed=3),
        "b_dec": rand(D, seed=4),
    }
    return out if threshold is None else {**out, "threshold": threshold}


def linear(**more):
    return {
        "encoder.weight": rand(F, D, seed=1),
        "encoder.bias": 0.3 * rand(F, seed=3),
        "decoder.weight": rand(D, F, seed=2),
        **more,
    }


X = 2.0 * rand(ROWS, D, seed=5)
THRESHOLD = 0.2 + 0.5 * rand(F, seed=6).abs()


def largest(z, k):
    """The k largest of each row, one by one."""
    out = torch.zeros_like(z)
    for row in range(len(z)):
        for j in sorted(range(z.shape[1]), key=lambda j: -float(z[row, j]))[:k]:
            out[row, j] = max(float(z[row, j]), 0.0)
    return out


def write_json(file, content):
    file.write_text(json.dumps(content))


def check(sae, f, y, x=X):
    torch.testing.assert_close(sae.encode(x), f, **CLOSE)
    torch.testing.assert_close(sae.decode(sae.encode(x), x), y, **CLOSE)
    torch.testing.assert_close(sae(x), y, **CLOSE)
    # a test of zeros would hold for any encoder
    assert 0.05 < float((f > 0).float().mean()) < 0.95
    assert sae.width == F
    assert sae.dimension == D


# ---- Gemma Scope -----------------------------------------------------------------------------


@pytest.mark.parametrize("lower", [False, True])
def test_gemma_scope_fires_above_the_threshold_and_keeps_the_bias_in_the_input(tmp_path, lower):
    p = plain(THRESHOLD)
    named = {(k.lower() if lower and k.startswith("W") else k): v.numpy() for k, v in p.items()}
    folder = tmp_path / "layer_3" / "width_16k" / "average_l0_7"
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **named)
    z = X @ p["W_enc"] + p["b_enc"]
    f = torch.where(z > THRESHOLD, z, torch.zeros(()))
    for path in (folder, folder / "params.npz"):
        sae = load_sae(path)
        check(sae, f, f @ p["W_dec"] + p["b_dec"])
        assert sae.format == "gemma_scope"
        assert sae.name == "layer_3/width_16k/average_l0_7"
        assert sae.frequencies is None
        assert sae.frequencies_note


def test_a_latent_at_its_threshold_does_not_fire(tmp_path):
    one = {
        "W_enc": [[1.0]], "W_dec": [[1.0]], "b_enc": [0.0], "b_dec": [0.0], "threshold": [0.5]
    }  # fmt: skip
    np.savez(tmp_path / "params.npz", **{k: np.float32(v) for k, v in one.items()})
    up = float(np.nextafter(np.float32(0.5), np.float32(1.0)))
    x = torch.tensor([[0.5], [up], [-1.0]])
    assert load_sae(tmp_path).encode(x).tolist() == [[0.0], [up], [0.0]]


def test_a_threshold_below_zero_leaves_a_relu(tmp_path):
    p = plain(torch.full((F,), -1.0))
    np.savez(tmp_path / "params.npz", **{k: v.numpy() for k, v in p.items()})
    f = (X @ p["W_enc"] + p["b_enc"]).relu()
    check(load_sae(tmp_path), f, f @ p["W_dec"] + p["b_dec"])


def test_gemma_scope_in_safetensors_with_scaling_factor_of_one(tmp_path):
    p = plain(THRESHOLD)
    save_file({**p, "scaling_factor": torch.ones(F)}, tmp_path / "params.safetensors")
    z = X @ p["W_enc"] + p["b_enc"]
    f = z * (z > THRESHOLD)
    check(load_sae(tmp_path), f, f @ p["W_dec"] + p["b_dec"])


# ---- SAELens ---------------------------------------------------------------------------------

VERSION_6 = {
    "d_in": D, "d_sae": F, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
    "normalize_activations": "none", "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.12.3", "hook_name": "blocks.3.hook_resid_pre"},
}  # fmt: skip
VERSION_3 = {
    "d_in": D, "d_sae": F, "dtype": "torch.float32", "device": "cuda", "model_name": "gpt2",
    "hook_point": "blocks.8.hook_resid_pre", "activation_fn_str": "relu",
    "sae_lens_version": "3.9.0", "normalize_activations": "none", "prepend_bos": True,
}  # fmt: skip


def saelens(folder, config, tensors, sparsity=None):
    write_json(folder / "cfg.json", config)
    save_file(tensors, folder / "sae_weights.safetensors")
    if sparsity is not None:
        save_file({"sparsity": sparsity}, folder / "sparsity.safetensors")
    return folder


@pytest.mark.parametrize("subtract", [True, False])
def test_saelens_standard(tmp_path, subtract):
    p = plain()
    config = {**VERSION_6, "architecture": "standard", "apply_b_dec_to_input": subtract}
    sae = load_sae(saelens(tmp_path, config, p))
    f = ((X - p["b_dec"] if subtract else X) @ p["W_enc"] + p["b_enc"]).relu()
    check(sae, f, f @ p["W_dec"] + p["b_dec"])
    assert (sae.format, sae.name) == ("saelens", "blocks.3.hook_resid_pre")
    assert sae.source["config"] == config


def test_saelens_before_version_6(tmp_path):
    p = plain()
    sae = load_sae(saelens(tmp_path, VERSION_3, p) / "sae_weights.safetensors")
    f = ((X - p["b_dec"]) @ p["W_enc"] + p["b_enc"]).relu()
    check(sae, f, f @ p["W_dec"] + p["b_dec"])
    assert sae.name == "blocks.8.hook_resid_pre"


@pytest.mark.parametrize(
    "config",
    [
        {**VERSION_3, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}},
        {**VERSION_6, "architecture": "topk", "k": 3},
    ],
)
def test_saelens_topk_of_both_versions(tmp_path, config):
    p = plain()
    sae = load_sae(saelens(tmp_path, config, p))
    f = largest((X - p["b_dec"]) @ p["W_enc"] + p["b_enc"], 3)
    check(sae, f, f @ p["W_dec"] + p["b_dec"])
    assert sae.k == 3


def test_saelens_topk_that_rescales_by_decoder_norms(tmp_path):
    p = plain()
    config = {**VERSION_6, "architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}
    sae = load_sae(saelens(tmp_path, config, p))
    norms = p["W_dec"].norm(dim=1)
    z = (X - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
    f = largest(z * norms, 3)
    # the norms do decide which are largest
    assert bool(((f > 0) != (largest(z, 3) > 0)).any())
    check(sae, f, (f / norms) @ p["W_dec"] + p["b_dec"])


def test_saelens_jumprelu_as_batchtopk_is_saved(tmp_path):
    p = plain(torch.full((F,), 0.4))
    sae = load_sae(saelens(tmp_path, {**VERSION_6, "architecture": "jumprelu"}, p))
    z = (X - p["b_dec"]) @ p["W_enc"] + p["b_enc"]
    f = torch.where(z > 0.4, z, torch.zeros(()))
    check(sae, f, f @ p["W_dec"] + p["b_dec"])


def test_saelens_gated(tmp_path):
    p = plain()
    del p["b_enc"]
    gate = {"b_gate": rand(F, seed=7), "b_mag": rand(F, seed=8), "r_mag": 0.5 * rand(F, seed=9)}
    sae = load_sae(saelens(tmp_path, {**VERSION_6, "architecture": "gated"}, {**p, **gate}))
    x = X - p["b_dec"]
    opens = x @ p["W_enc"] + gate["b_gate"] > 0
    f = opens * (x @ (p["W_enc"] * gate["r_mag"].exp()) + gate["b_mag"]).relu()
    # both gate and magnitude matter
    assert bool((opens & (f == 0)).any())
    check(sae, f, f @ p["W_dec"] + p["b_dec"])


def test_saelens_layer_norm_is_undone_in_decoding(tmp_path):
    p = plain()
    config = {**VERSION_6, "architecture": "standard", "normalize_activations": "layer_norm"}
    sae = load_sae(saelens(tmp_path, config, p))
    mean = X.mean(1, keepdim=True)
    std = ((X - mean) ** 2).sum(1, keepdim=True).div(D - 1).sqrt()
    f = (((X - mean) / (std + 1e-5) - p["b_dec"]) @ p["W_enc"] + p["b_enc"]).relu()
    check(sae, f, (f @ p["W_dec"] + p["b_dec"]) * std + mean)


def test_saelens_constant_norm_is_undone_in_decoding(tmp_path):
    p = plain()
    how = {"normalize_activations": "constant_norm_rescale"}
    sae = load_sae(saelens(tmp_path, {**VERSION_6, "architecture": "standard", **how}, p))
    scale = X.square().sum(1, keepdim=True).sqrt() / D**0.5
    f = ((X / scale - p["b_dec"]) @ p["W_enc"] + p["b_enc"]).relu()
    check(sae, f, (f @ p["W_dec"] + p["b_dec"]) * scale)
    with pytest.raises(ValueError, match="rows of zeros"):
        sae.encode(torch.zeros(2, D))


@pytest.mark.parametrize(
    "config",
    [
        {**VERSION_3, "normalize_activations": True},
        {
            **VERSION_6,
            "architecture": "standard",
            "normalize_activations": "expected_average_only_in",
        },
    ],
)
def test_saelens_with_a_scale_that_no_file_holds_says_so_and_can_be_given_it(tmp_path, config):
    p = plain()
    sae = load_sae(saelens(tmp_path, config, p))
    assert sae.status == "input_scale_unknown"
    assert "scaled(factor)" in sae.message
    f = ((X - p["b_dec"]) @ p["W_enc"] + p["b_enc"]).relu()
    check(sae, f, f @ p["W_dec"] + p["b_dec"])
    known = sae.scaled(0.5)
    assert known.status == "exact"
    check(known, f, (f @ p["W_dec"] + p["b_dec"]) / 0.5, X / 0.5)


def test_saelens_fine_tuned_factors_scale_the_decoder(tmp_path):
    p, factor = plain(), 0.5 + rand(F, seed=7).abs()
    config = {**VERSION_3, "finetuning_scaling_factor": True}
    sae = load_sae(saelens(tmp_path, config, {**p, "scaling_factor": factor}))
    f = ((X - p["b_dec"]) @ p["W_enc"] + p["b_enc"]).relu()
    check(sae, f, (f * factor) @ p["W_dec"] + p["b_dec"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_saelens_sparsity_is_a_logarithm(tmp_path, dtype):
    f = torch.tensor([0.0, 1e-7, 1e-4, 0.01, 0.3, 1.0, 0.0], dtype=torch.float64)
    stored = torch.log10(f + 1e-10).to(dtype)
    config = {**VERSION_6, "architecture": "standard"}
    sae = load_sae(saelens(tmp_path, config, plain(), stored))
    # a logarithm of size 10 to relative eps moves a frequency by 10 ln(10) eps
    rtol = 25 * torch.finfo(dtype).eps
    torch.testing.assert_close(sae.frequencies.double(), f, rtol=rtol, atol=1e-14)
    assert sae.frequencies[0] == 0.0
    assert "last window" in sae.frequencies_note


def test_saelens_logarithms_of_zero_and_one_may_be_rounded(tmp_path):
    ten = torch.tensor(-10.0)
    up, down = (torch.nextafter(ten, torch.tensor(end)) for end in (0.0, -20.0))
    one = torch.tensor(1e-7)
    stored = torch.stack([up, ten, down, -ten - 11, one, ten, ten])
    sae = load_sae(saelens(tmp_path, {**VERSION_6, "architecture": "standard"}, plain(), stored))
    assert sae.frequencies[[0, 1, 2]].tolist() == [0.0, 0.0, 0.0]
    assert sae.frequencies[3] == pytest.approx(0.1)
    assert sae.frequencies[4] == 1.0


def test_saelens_heads_are_taken_side_by_side(tmp_path):
    config = {**VERSION_6, "architecture": "standard", "reshape_activations": "hook_z"}
    assert "heads" in load_sae(saelens(tmp_path, config, plain())).message


# ---- dictionary_learning ---------------------------------------------------------------------


def dictionary(folder, dict_class, state, **trainer):
    write_json(folder / "config.json", {"trainer": {"dict_class": dict_class, **trainer}})
    torch.save(state, folder / "ae.pt")
    return folder


@pytest.mark.parametrize("old", [True, False])
def test_dictionary_learning_relu_of_both_kinds(tmp_path, old):
    s = linear(**{"bias" if old else "decoder.bias": rand(D, seed=4)})
    sae = load_sae(dictionary(tmp_path, "AutoEncoder" if old else "AutoEncoderNew", s))
    bias = rand(D, seed=4)
    f = ((X - bias if old else X) @ s["encoder.weight"].T + s["encoder.bias"]).relu()
    check(sae, f, f @ s["decoder.weight"].T + bias)
    assert sae.format == "dictionary_learning"


@pytest.mark.parametrize("in_file", [True, False])
def test_dictionary_learning_topk_ignores_its_threshold(tmp_path, in_file):
    s = linear(b_dec=rand(D, seed=4), threshold=torch.tensor(1.5))
    if in_file:
        s["k"] = torch.tensor(3, dtype=torch.int32)
    sae = load_sae(dictionary(tmp_path, "AutoEncoderTopK", s, **({} if in_file else {"k": 3})))
    f = largest((X - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"], 3)
    check(sae, f, f @ s["decoder.weight"].T + s["b_dec"])


def test_dictionary_learning_batchtopk_fires_above_one_threshold(tmp_path):
    s = linear(b_dec=rand(D, seed=4), threshold=torch.tensor(0.6), k=torch.tensor(3))
    sae = load_sae(dictionary(tmp_path, "BatchTopKSAE", s, k=3))
    z = (X - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"]
    f = z * (z > 0.6)
    check(sae, f, f @ s["decoder.weight"].T + s["b_dec"])
    assert sae.status == "exact"


def test_dictionary_learning_threshold_that_was_never_set(tmp_path):
    s = linear(b_dec=rand(D, seed=4), threshold=torch.tensor(-1.0), k=torch.tensor(3))
    sae = load_sae(dictionary(tmp_path, "BatchTopKSAE", s))
    f = ((X - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"]).relu()
    check(sae, f, f @ s["decoder.weight"].T + s["b_dec"])
    assert sae.status == "threshold_unset"
    assert sae.message


def test_dictionary_learning_matryoshka(tmp_path):
    sizes = torch.tensor([2, 5])
    s = {**plain(torch.tensor(0.6)), "k": torch.tensor(3), "group_sizes": sizes}
    sae = load_sae(dictionary(tmp_path, "MatryoshkaBatchTopKSAE", s))
    z = (X - s["b_dec"]) @ s["W_enc"] + s["b_enc"]
    f = z * (z > 0.6)
    check(sae, f, f @ s["W_dec"] + s["b_dec"])


def test_dictionary_learning_jumprelu_multiplies_by_decoder_norms(tmp_path):
    s = plain(THRESHOLD)
    sae = load_sae(dictionary(tmp_path, "JumpReluAutoEncoder", s))
    z = X @ s["W_enc"] + s["b_enc"]
    f = z * (z > THRESHOLD)
    check(sae, f * s["W_dec"].norm(dim=1), f @ s["W_dec"] + s["b_dec"])


def gated_state():
    return {
        "decoder_bias": rand(D, seed=4),
        "encoder.weight": rand(F, D, seed=1),
        "r_mag": 0.5 * rand(F, seed=9),
        "gate_bias": rand(F, seed=7),
        "mag_bias": rand(F, seed=8),
        "decoder.weight": rand(D, F, seed=2),
    }


def gated_f(s, x):
    z = (x - s["decoder_bias"]) @ s["encoder.weight"].T
    return (z + s["gate_bias"] > 0) * (z * s["r_mag"].exp() + s["mag_bias"]).relu()


def test_dictionary_learning_gated(tmp_path):
    s = gated_state()
    sae = load_sae(dictionary(tmp_path, "GatedAutoEncoder", s))
    f, norms = gated_f(s, X), s["decoder.weight"].norm(dim=0)
    check(sae, f * norms, f @ s["decoder.weight"].T + s["decoder_bias"])


@pytest.mark.parametrize("inside", [True, False])
def test_dictionary_learning_mid_run_is_for_inputs_divided_by_the_norm_factor(tmp_path, inside):
    s = gated_state()
    config = {"dict_class": "GatedAutoEncoder", "lr": 1e-3, "steps": None}
    run = {
        "step": 40,
        "ae": s,
        "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]},
        "norm_factor": torch.tensor(2.5),
    }
    if inside:
        run["config"] = config
    else:
        write_json(tmp_path / "config.json", {"trainer": config})
    (tmp_path / "checkpoints").mkdir()
    file = tmp_path / "checkpoints" / "ae_40.pt"
    torch.save(run, file)
    sae = load_sae(file)
    x = X / 2.5
    f, norms = gated_f(s, x), s["decoder.weight"].norm(dim=0)
    check(sae, 2.5 * f * norms, 2.5 * (f @ s["decoder.weight"].T + s["decoder_bias"]))
    assert "2.5" in sae.message


def test_dictionary_learning_final_dictionary_is_folded_already(tmp_path):
    s = gated_state()
    config = {"dict_class": "GatedAutoEncoder"}
    torch.save({"step": 1, "ae": s, "config": config, "norm_factor": 2.5}, tmp_path / "ae.pt")
    f, norms = gated_f(s, X), s["decoder.weight"].norm(dim=0)
    sae = load_sae(tmp_path)
    check(sae, f * norms, f @ s["decoder.weight"].T + s["decoder_bias"])
    assert "folded in" in sae.message


# ---- OpenAI ----------------------------------------------------------------------------------


def openai_state(**more):
    return {
        "pre_bias": rand(D, seed=4),
        "latent_bias": 0.3 * rand(F, seed=3),
        "stats_last_nonzero": torch.zeros(F, dtype=torch.int64),
        "latents_activation_frequency": torch.linspace(0.0, 0.4, F),
        "latents_mean_square": torch.ones(F),
        "encoder.weight": rand(F, D, seed=1),
        "decoder.weight": rand(D, F, seed=2),
        **more,
    }


def test_openai_topk_normalises_each_input_and_undoes_it(tmp_path):
    state = {"k": 3, "postact_fn": "ReLU"}
    s = openai_state(activation="TopK", activation_state_dict=state)
    torch.save(s, tmp_path / "7.pt")
    sae = load_sae(tmp_path / "7.pt")
    mean = X.mean(1, keepdim=True)
    std = ((X - mean) ** 2).sum(1, keepdim=True).div(D - 1).sqrt()
    x = (X - mean) / (std + 1e-5)
    f = largest((x - s["pre_bias"]) @ s["encoder.weight"].T + s["latent_bias"], 3)
    check(sae, f, (f @ s["decoder.weight"].T + s["pre_bias"]) * std + mean)
    assert (sae.format, sae.name, sae.k) == ("openai", "7", 3)
    assert torch.equal(sae.frequencies, s["latents_activation_frequency"])
    with pytest.raises(ValueError, match="x must be given"):
        sae.decode(f)


@pytest.mark.parametrize("named", [True, False])
def test_openai_relu_does_not_normalise(tmp_path, named):
    s = openai_state(**({"activation": "ReLU", "activation_state_dict": {}} if named else {}))
    torch.save(s, tmp_path / "7.pt")
    f = ((X - s["pre_bias"]) @ s["encoder.weight"].T + s["latent_bias"]).relu()
    check(load_sae(tmp_path / "7.pt"), f, f @ s["decoder.weight"].T + s["pre_bias"])


@pytest.mark.parametrize(("value", "said"), [(1.0, "never updated"), (3.0, "not a share")])
def test_openai_statistics_that_are_no_frequencies_are_not_read_as_such(tmp_path, value, said):
    s = openai_state(latents_activation_frequency=torch.full((F,), value))
    torch.save(s, tmp_path / "7.pt")
    sae = load_sae(tmp_path / "7.pt")
    assert sae.frequencies is None
    assert said in sae.frequencies_note


# ---- sparsify --------------------------------------------------------------------------------


@pytest.mark.parametrize("transcode", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_sparsify(tmp_path, transcode, skip):
    s = linear(W_dec=rand(F, D, seed=2), b_dec=rand(D, seed=4))
    del s["decoder.weight"]
    config = {"d_in": D, "k": 3, "num_latents": 0, "expansion_factor": 32}
    if transcode:
        config["transcode"] = True
    if skip:
        config["skip_connection"] = True
        s["W_skip"] = rand(D, D, seed=7)
    write_json(tmp_path / "cfg.json", config)
    save_file(s, tmp_path / "sae.safetensors")
    sae = load_sae(tmp_path)
    x = X if transcode else X - s["b_dec"]
    f = largest(x @ s["encoder.weight"].T + s["encoder.bias"], 3)
    y = f @ s["W_dec"] + s["b_dec"]
    check(sae, f, y + X @ s["W_skip"].T if skip else y)
    assert bool(sae.message) == transcode
    if skip:
        with pytest.raises(ValueError, match="x must be given"):
            sae.decode(f)


# ---- types -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_read_as_float32_exactly(tmp_path, dtype):
    p = {name: value.to(dtype) for name, value in plain().items()}
    sae = load_sae(saelens(tmp_path, {**VERSION_6, "architecture": "standard"}, p))
    assert sae.encoder.dtype == torch.float32
    assert torch.equal(sae.encoder, p["W_enc"].float().T)
    assert torch.equal(sae.decoder_bias, p["b_dec"].float())


def test_float64_loses_no_digits(tmp_path):
    p = {**plain(), "b_enc": rand(F, seed=3).double() / 3.0}
    sae = load_sae(saelens(tmp_path, {**VERSION_6, "architecture": "standard"}, p))
    assert torch.equal(sae.encoder_bias, p["b_enc"])
    assert sae.encode(X.double()).dtype == torch.float64
