"""Tiny random transformers with a tiny tokenizer, as folders."""

import importlib.util
import warnings

import numpy as np
import pytest

WORDS = [f"w{i}" for i in range(60)]
HAVE_TEXT = importlib.util.find_spec("transformers") is not None

needs_text = pytest.mark.skipif(not HAVE_TEXT, reason="the extra `text` is not installed")


def sentences(count, seed=0, longest=40):
    rng = np.random.default_rng(seed)
    return [
        " ".join(rng.choice(WORDS, size=rng.integers(1, longest))) + f" w{i % 60}"
        for i in range(count)
    ]


def save_model(folder, kind, **options):
    """A random model of this kind and its tokenizer in a folder; BERT's adds tokens around."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
        from tokenizers import Tokenizer, models, pre_tokenizers, processors

        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        vocabulary = {word: i for i, word in enumerate(special + WORDS)}
        words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
        if kind not in ("gpt2", "gpt_neox", "llama", "mistral", "qwen2", "gemma", "gemma2"):
            words.post_processor = processors.TemplateProcessing(
                single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
            )
            names |= {"cls_token": "[CLS]", "sep_token": "[SEP]"}
        transformers.PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(
            folder
        )
        config = transformers.AutoConfig.for_model(
            kind,
            **{
                "vocab_size": len(vocabulary),
                "hidden_size": 16,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                "intermediate_size": 24,
                "max_position_embeddings": 64,
                "pad_token_id": 0,
                **options,
            },
        )
        torch.manual_seed(1)
        module = transformers.AutoModel.from_config(config)
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if name.endswith("bias") or "norm" in name.lower():  # or they do nothing
                    weight += 0.3 * torch.randn_like(weight)
        module.save_pretrained(folder)
    return folder
