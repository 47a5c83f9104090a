"""Sites: each is what the model's own arithmetic says, and nothing after it is run."""

import pytest
from tiny_models import HAVE_TEXT, needs_text, save_model

from scaling_theory.datasets.collecting import model, sites

pytestmark = needs_text
if HAVE_TEXT:
    import torch

POST_NORM = {
    "bert": ("attention.output.LayerNorm", "output.LayerNorm"),
    "roberta": ("attention.output.LayerNorm", "output.LayerNorm"),
    "electra": ("attention.output.LayerNorm", "output.LayerNorm"),
    "mpnet": ("attention.LayerNorm", "output.LayerNorm"),
    "distilbert": ("sa_layer_norm", "output_layer_norm"),
}
PRE_NORM = {
    "gpt2": {},
    "gpt_neox": {},
    "llama": {"num_key_value_heads": 2},
    "mistral": {"num_key_value_heads": 2},
    "qwen2": {"num_key_value_heads": 2},
    "gemma": {"num_key_value_heads": 2, "head_dim": 8},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8},
}


def loaded(folder):
    return model.load(model.source_of(folder), torch.device("cpu"))


def batch():
    ids = torch.tensor([[2, 7, 9, 30, 3], [2, 12, 40, 3, 0], [2, 5, 3, 0, 0]])
    return ids, (ids != 0).long()


def at(found, layer, site):
    name = sites.module_of(found.module, found.kind, layer, site)
    with sites.Listener(found.module, name).listening() as listener:
        return listener.run(*batch())


def all_hidden(found):
    ids, mask = batch()
    with torch.inference_mode():
        return found.module(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states


def close(a, b):
    real = batch()[1].bool()  # what padding holds is nobody's business
    torch.testing.assert_close(a[real], b[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", POST_NORM)
def test_post_norm_models_norm_the_sums(kind, tmp_path):
    found = loaded(save_model(tmp_path, kind))
    states = all_hidden(found)
    first, second = POST_NORM[kind]
    for layer in (1, 3):
        path = sites.module_of(found.module, found.kind, layer, "hidden").partition(":")[0]
        block = found.module.get_submodule(path)
        with torch.inference_mode():
            middle = block.get_submodule(first)(states[layer - 1] + at(found, layer, "attention"))
            total = middle + at(found, layer, "mlp")
            close(at(found, layer, "sum"), total)
            close(at(found, layer, "hidden"), block.get_submodule(second)(total))
        close(at(found, layer, "hidden"), states[layer])


@pytest.mark.parametrize("kind", PRE_NORM)
def test_pre_norm_models_add_up(kind, tmp_path):
    found = loaded(save_model(tmp_path, kind, **PRE_NORM[kind]))
    states = all_hidden(found)
    for layer in (1, 2):
        added = at(found, layer, "attention") + at(found, layer, "mlp")
        close(at(found, layer, "sum"), states[layer - 1] + added)
        close(at(found, layer, "hidden"), states[layer])
    # the last of the model's own states is normed, the block's output is not
    added = at(found, 3, "attention") + at(found, 3, "mlp")
    close(at(found, 3, "hidden"), states[2] + added)


def test_a_named_module_is_listened_to(bert):
    found = loaded(bert)
    close(at(found, 1, "encoder.layer.2.output.LayerNorm:output"), all_hidden(found)[3])
    close(at(found, 1, "encoder.layer.1:input"), all_hidden(found)[1])


def test_nothing_after_the_site_is_run_and_no_hook_stays(bert):
    found = loaded(bert)
    seen = []
    layers = found.module.encoder.layer
    handles = [
        layer.register_forward_pre_hook(lambda *_, i=i: seen.append(i))
        for i, layer in enumerate(layers)
    ]
    at(found, 2, "sum")
    assert seen == [0, 1]
    for handle in handles:
        handle.remove()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in found.module.modules())


@pytest.mark.parametrize("layer", [0, 4, -1, 1.5, True])
def test_layers_that_there_are_not_are_refused(bert, layer):
    with pytest.raises(ValueError, match=r"layer must be a whole number in \[1, 3\], got"):
        at(loaded(bert), layer, "sum")


@pytest.mark.parametrize("site", ["output", "", ":input", "encoder:outputs", None, 3])
def test_what_is_no_site_is_refused(site):
    with pytest.raises(ValueError, match="site must be one of sum, hidden, attention, mlp, or"):
        sites.named(site)


def test_modules_that_do_not_fit_are_refused(bert):
    found = loaded(bert)
    with pytest.raises(ValueError, match=r"'encoder.layers'; its parts are embeddings, encoder"):
        at(found, 1, "encoder.layers:input")
    with pytest.raises(ValueError, match="one vector for each token"):
        at(found, 1, "pooler:output")
    with pytest.raises(ValueError, match="a module that is run"):
        at(found, 1, "encoder.layer:input")


def test_kinds_that_are_not_known_want_a_module(tmp_path):
    found = loaded(save_model(tmp_path, "opt", word_embed_proj_dim=16, ffn_dim=24))
    with pytest.raises(ValueError, match="for 'opt' name a module"):
        at(found, 1, "sum")
    assert at(found, 1, "decoder.layers.1:output").shape == (3, 5, 16)
