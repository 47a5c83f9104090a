"""Files that are not what they say are refused in one sentence, and nothing in them is run."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scaling_theory.sae.formats import FORMATS, FormatError, load_sae

F, D = 5, 3


class Creates:
    """Unpickling it makes a file."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def gemma(**changes):
    out = {
        "W_enc": np.ones((D, F), np.float32),
        "W_dec": np.ones((F, D), np.float32),
        "b_enc": np.zeros(F, np.float32),
        "b_dec": np.zeros(D, np.float32),
        "threshold": np.zeros(F, np.float32),
        **changes,
    }
    return {name: value for name, value in out.items() if value is not None}


def lens(**changes):
    out = {
        "W_enc": torch.ones(D, F),
        "W_dec": torch.ones(F, D),
        "b_enc": torch.zeros(F),
        "b_dec": torch.zeros(D),
        **changes,
    }
    return {name: value for name, value in out.items() if value is not None}


CONFIG = {
    "d_in": D, "d_sae": F, "architecture": "standard", "apply_b_dec_to_input": True,
    "normalize_activations": "none", "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.1.0"},
}  # fmt: skip


def openai(**changes):
    out = {
        "pre_bias": torch.zeros(D),
        "latent_bias": torch.zeros(F),
        "encoder.weight": torch.ones(F, D),
        "decoder.weight": torch.ones(D, F),
        **changes,
    }
    return {name: value for name, value in out.items() if value is not None}


def check_refused(path, *fragments, **keywords):
    with pytest.raises(FormatError) as error:
        load_sae(path, **keywords)
    text = str(error.value)
    for fragment in fragments:
        assert fragment in text
    # one sentence, and no advice to unpickle
    assert "\n" not in text
    assert "weights_only" not in text
    assert len(text) < 1000


# ---- nothing is run --------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", ["bare pickle", "torch.save", "inside a state dict", "mid-run"])
@pytest.mark.parametrize("format", ["auto", "openai", "dictionary_learning"])
def test_a_pickle_that_would_create_a_file_is_refused(tmp_path, wrap, format):  # noqa: A002
    victim, file = tmp_path / "created", tmp_path / "ae.pt"
    bad = Creates(victim)
    if wrap == "bare pickle":
        file.write_bytes(pickle.dumps(bad))
    else:
        saved = {
            "torch.save": bad,
            "inside a state dict": openai(pre_bias=bad),
            "mid-run": {"step": 1, "ae": openai(), "config": {"dict_class": bad}},
        }
        torch.save(saved[wrap], file)
    check_refused(file, str(file), "never run", format=format)
    assert not victim.exists()
    # the same file does create it if it is unpickled: the test above can fail
    if wrap == "bare pickle":
        pickle.loads(file.read_bytes())
    else:
        torch.load(file, weights_only=False)
    assert victim.exists()


def test_an_array_of_objects_is_refused(tmp_path):
    victim = tmp_path / "created"
    objects = np.empty(1, dtype=object)
    objects[0] = Creates(victim)
    np.savez(tmp_path / "params.npz", **gemma(b_enc=objects))
    check_refused(tmp_path, "params.npz", "never run")
    assert not victim.exists()


def test_a_module_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "ae.pt")
    check_refused(tmp_path, "torch.nn.modules.linear.Linear", "never run")


@pytest.mark.parametrize("name", ["params.npz", "x.npz", "ae.pt", "x.pt", "params.safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", bytes(range(256)) * 8])
def test_bytes_that_are_no_file_of_the_kind(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    check_refused(tmp_path / name, str(tmp_path / name))


def test_a_file_that_was_cut_off(tmp_path):
    torch.save(openai(), tmp_path / "x.pt")
    whole = (tmp_path / "x.pt").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "x.pt").write_bytes(whole[:length])
        check_refused(tmp_path / "x.pt", "x.pt")


# ---- which format ----------------------------------------------------------------------------


def test_what_is_no_sae(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    check_refused(tmp_path, "notes.txt", "params.npz", "ae.pt", "sae_weights.safetensors")
    check_refused(tmp_path / "notes.txt", "notes.txt", ".npz or .pt")
    (tmp_path / "empty").mkdir()
    check_refused(tmp_path / "empty", "no files")
    with pytest.raises(FileNotFoundError, match="there is no SAE at"):
        load_sae(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="format must be 'auto' or one of gemma_scope, saelens"):
        load_sae(tmp_path, format="sae_lens")


def test_a_folder_of_two_formats_asks_which(tmp_path):
    np.savez(tmp_path / "params.npz", **gemma())
    save_file(lens(), tmp_path / "sae_weights.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps(CONFIG))
    check_refused(tmp_path, "format must be given", "gemma_scope, saelens")
    assert load_sae(tmp_path, format="saelens").format == "saelens"
    assert load_sae(tmp_path, format="gemma_scope").format == "gemma_scope"


@pytest.mark.parametrize("format", [f for f in FORMATS if f != "gemma_scope"])
def test_another_format_than_is_said(tmp_path, format):  # noqa: A002
    np.savez(tmp_path / "params.npz", **gemma())
    with pytest.raises((FormatError, FileNotFoundError)):
        load_sae(tmp_path, format=format)


# ---- entries, shapes, numbers ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": None}, ["missing: threshold", "W_enc, W_dec, b_enc, b_dec, threshold"]),
        ({"W_extra": np.ones(2, np.float32)}, ["unknown: W_extra"]),
        ({"w_enc": np.ones((D, F), np.float32)}, ["twice"]),
        ({"W_enc": np.ones((F, D), np.float32)}, ["W_enc must have shape (3, 5), got (5, 3)"]),
        ({"W_dec": np.ones(F, np.float32)}, ["W_dec must have shape (latents, dimension)", "(5,)"]),
        ({"W_dec": np.ones((0, D), np.float32)}, ["W_dec must have shape", "(0, 3)"]),
        ({"b_enc": np.zeros(F + 1, np.float32)}, ["b_enc must have shape (5,), got (6,)"]),
        ({"b_dec": np.zeros(D, np.int32)}, ["b_dec must be a tensor", "float32", "torch.int32"]),
        ({"b_dec": np.array(["a"] * D)}, ["b_dec must be a tensor", "ndarray"]),
        (
            {"b_enc": np.array([0, np.nan, 0, np.inf, 0], np.float32)},
            ["b_enc must hold finite numbers only, got 2 others"],
        ),
        ({"scaling_factor": np.full(F, 2.0, np.float32)}, ["scaling_factor must be 1"]),
    ],
)
def test_gemma_scope_entries(tmp_path, changes, said):
    np.savez(tmp_path / "params.npz", **gemma(**changes))
    check_refused(tmp_path, "params.npz", *said)


@pytest.mark.parametrize(
    ("config", "tensors", "said"),
    [
        ({"d_in": 4}, {}, ["cfg.json: d_in must be 3, as in sae_weights.safetensors, got 4"]),
        ({"d_sae": 4}, {}, ["d_sae must be 5"]),
        ({"architecture": "transcoder"}, {}, ["'standard', 'topk', 'jumprelu', 'gated'"]),
        ({"architecture": "topk"}, {}, ["must have 'k'"]),
        ({"architecture": "topk", "k": 0}, {}, ["k must be a whole number of at least 1, got 0"]),
        ({"architecture": "topk", "k": True}, {}, ["got True"]),
        ({"architecture": "jumprelu"}, {}, ["missing: threshold"]),
        ({"architecture": "gated"}, {}, ["missing: b_gate, b_mag, r_mag", "unknown: b_enc"]),
        ({"normalize_activations": "covariance_whitening"}, {}, ["'covariance_whitening'"]),
        ({"reshape_activations": "hook_q"}, {}, ["reshape_activations", "'hook_z'", "'hook_q'"]),
        ({"apply_b_dec_to_input": 1}, {}, ["apply_b_dec_to_input", "True, False", "got 1"]),
        ({"metadata": 3}, {}, ["metadata must be an object"]),
        ({"sae_lens_version": "six"}, {}, ["sae_lens_version must begin with a number"]),
        ({"metadata": {}, "activation_fn": "tanh-relu"}, {}, ["'relu', 'topk'", "'tanh-relu'"]),
        (
            {"metadata": {}, "activation_fn": "topk", "activation_fn_kwargs": 3},
            {},
            ["activation_fn_kwargs must be an object, got 3"],
        ),
        ({}, {"scaling_factor": torch.full((F,), 2.0)}, ["finetuning_scaling_factor"]),
        ({}, {"W_enc": torch.ones(D, F).long()}, ["W_enc must be a tensor", "torch.int64"]),
    ],
)
def test_saelens_settings(tmp_path, config, tensors, said):
    (tmp_path / "cfg.json").write_text(json.dumps({**CONFIG, **config}))
    save_file(lens(**tensors), tmp_path / "sae_weights.safetensors")
    check_refused(tmp_path, *said)


def test_saelens_k_above_the_width(tmp_path):
    (tmp_path / "cfg.json").write_text(json.dumps({**CONFIG, "architecture": "topk", "k": 6}))
    save_file(lens(), tmp_path / "sae_weights.safetensors")
    with pytest.raises(ValueError, match=r"k must be a whole number in \[1, 5\], got 6"):
        load_sae(tmp_path)


@pytest.mark.parametrize(
    ("sparsity", "said"),
    [
        (torch.full((F,), 0.5), "from -10 to 0, got sparsity[0] = 0.5"),
        (torch.full((F,), -11.0), "got sparsity[0] = -11"),
        (torch.full((F + 1,), -1.0), "sparsity must have shape (5,), got (6,)"),
        (torch.zeros(F, dtype=torch.int64), "sparsity must be a tensor"),
    ],
)
def test_saelens_sparsity(tmp_path, sparsity, said):
    (tmp_path / "cfg.json").write_text(json.dumps(CONFIG))
    save_file(lens(), tmp_path / "sae_weights.safetensors")
    save_file({"sparsity": sparsity}, tmp_path / "sparsity.safetensors")
    check_refused(tmp_path, "sparsity.safetensors", said)


def test_saelens_configurations(tmp_path):
    save_file(lens(), tmp_path / "sae_weights.safetensors")
    with pytest.raises(FileNotFoundError, match=r"cfg\.json"):
        load_sae(tmp_path)
    for text, said in (("{", "must be JSON"), ("[1]", "JSON object, got a list")):
        (tmp_path / "cfg.json").write_text(text)
        check_refused(tmp_path, "cfg.json", said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latent_bias": torch.zeros(F + 1)}, "latent_bias must have shape (5,), got (6,)"),
        ({"decoder.weight": None}, "missing: decoder.weight"),
        ({"encoder.weight": "a"}, "encoder.weight must be a tensor"),
        ({"activation": "GELU"}, "activation must be one of 'ReLU', 'TopK', got 'GELU'"),
        ({"activation": "TopK"}, "activation_state_dict"),
        ({"activation": "TopK", "activation_state_dict": {"k": 2}}, "missing: postact_fn"),
        (
            {"activation": "TopK", "activation_state_dict": {"k": 2, "postact_fn": "Identity"}},
            "postact_fn must be 'ReLU', got 'Identity'",
        ),
        (
            {"activation": "TopK", "activation_state_dict": {"k": 2.5, "postact_fn": "ReLU"}},
            "k must be a whole number of at least 1, got 2.5",
        ),
    ],
)
def test_openai_entries(tmp_path, changes, said):
    torch.save(openai(**changes), tmp_path / "x.pt")
    check_refused(tmp_path / "x.pt", "x.pt", said)


def test_openai_is_a_file(tmp_path):
    check_refused(tmp_path, "must be a .pt file", format="openai")
    torch.save([1, 2], tmp_path / "x.pt")
    check_refused(tmp_path / "x.pt", "dictionary with text as keys, got a list")


@pytest.mark.parametrize(
    ("config", "state", "said"),
    [
        (None, {}, "config.json beside it"),
        ({}, {}, "dict_class"),
        ({"trainer": 3}, {}, "trainer must be an object"),
        ({"dict_class": "CrossCoder"}, {}, "'BatchTopKSAE'"),
        ({"dict_class": "AutoEncoder"}, {"b_dec": torch.zeros(D)}, "unknown: b_dec"),
        ({"dict_class": "AutoEncoderTopK"}, {"b_dec": torch.zeros(D)}, "must have 'k'"),
        ({"dict_class": "BatchTopKSAE"}, {"b_dec": torch.zeros(D)}, "missing: threshold"),
        (
            {"dict_class": "BatchTopKSAE"},
            {"b_dec": torch.zeros(D), "threshold": torch.zeros(F)},
            "threshold must have shape (), got (5,)",
        ),
    ],
)
def test_dictionary_learning_entries(tmp_path, config, state, said):
    linear = {
        "encoder.weight": torch.ones(F, D),
        "encoder.bias": torch.zeros(F),
        "decoder.weight": torch.ones(D, F),
    }
    (tmp_path / "inner" / "run").mkdir(parents=True)
    folder = tmp_path / "inner" / "run"
    torch.save({**linear, **state}, folder / "ae.pt")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    check_refused(folder, said)


def test_dictionary_learning_groups_and_norm_factors(tmp_path):
    plain = {**lens(), "threshold": torch.tensor(0.1), "group_sizes": torch.tensor([2, 2])}
    config = {"dict_class": "MatryoshkaBatchTopKSAE"}
    torch.save({"ae": plain, "config": config}, tmp_path / "ae.pt")
    check_refused(tmp_path, "group_sizes must sum to 5, got [2, 2]")
    plain["group_sizes"] = torch.tensor([2, 3])
    for factor in (0.0, float("nan"), "two"):
        run = {"ae": plain, "config": config, "optimizer": {}, "norm_factor": factor}
        torch.save(run, tmp_path / "ae.pt")
        check_refused(tmp_path, "norm_factor must be a number greater than 0")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"k": 2}, "must have 'd_in'"),
        ({"d_in": D}, "must have 'k'"),
        ({"d_in": 4, "k": 2}, "d_in must be 3"),
        ({"d_in": D, "k": 2, "num_latents": 9}, "num_latents must be 5"),
        ({"d_in": D, "k": 2, "activation": "groupmax"}, "activation must be 'topk'"),
        ({"d_in": D, "k": 2, "signed": True}, "signed must be False"),
        ({"d_in": D, "k": 2, "skip_connection": True}, "W_skip"),
    ],
)
def test_sparsify_settings(tmp_path, config, said):
    tensors = {
        "encoder.weight": torch.ones(F, D),
        "encoder.bias": torch.zeros(F),
        "W_dec": torch.ones(F, D),
        "b_dec": torch.zeros(D),
    }
    save_file(tensors, tmp_path / "sae.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    check_refused(tmp_path, "cfg.json", said)
