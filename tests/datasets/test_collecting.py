"""Activations and embeddings: right rows, resumed to the same bits, never mixed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_models import HAVE_TEXT, needs_text, save_model, sentences

from scaling_theory import datasets
from scaling_theory.datasets.collecting import (
    batches,
    corpus,
    files,
    model,
    recipe,
    sites,
    working,
    writing,
)
from scaling_theory.sae.store import StoreInUse

pytestmark = needs_text
if HAVE_TEXT:
    import torch

TEXTS = [*sentences(150), " ".join(["w1 w2 w3"] * 30)]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Shards of 200 rows, windows of 16 texts."""
    monkeypatch.setattr(writing, "SHARD_ROWS", {"tokens": 200, "texts": 25})
    monkeypatch.setattr(batches, "WINDOW_TEXTS", 16)


@pytest.fixture
def collect(bert, tmp_path):
    """Collect from the tiny BERT into a folder of this test, with whatever is to differ."""

    def call(folder="rows", **options):
        asked = {"tokens": 950, "text": TEXTS, "model": bert, "layer": 2, "context": 32}
        return datasets.activations(tmp_path / folder, **{**asked, **options})

    return call


def loaded(folder):
    return model.load(model.source_of(folder), torch.device("cpu"))


def content(folder):
    """All files but the lock, as bytes."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "lock"}


def test_rows_are_the_models_own_activations_in_order(collect, bert):
    found = collect(dtype="float32")
    assert (found.rows, found.dimension) == (950, 16)
    where = found.where(slice(None))
    # in order of text and position, from the first token of the first text
    assert (np.diff(where[:, 0]) >= 0).all()
    same = np.diff(where[:, 0]) == 0
    assert (np.diff(where[:, 1])[same] == 1).all()
    assert (where[np.flatnonzero(~same) + 1, 1] == 0).all()
    single = loaded(bert)
    listener = sites.Listener(single.module, "encoder.layer.1.output.LayerNorm:input")
    for text in (0, 3, 17, int(where[-1, 0]) - 1):
        rows = np.flatnonzero(where[:, 0] == text)
        words = found.text_of(rows[0]).content.split()
        assert [found.text_of(row).token for row in rows] == words
        ids = single.tokenizer.convert_tokens_to_ids(words)
        expected = []
        for at in range(0, len(ids), 30):  # a context of 32 with [CLS] and [SEP]
            piece = torch.tensor([[2, *ids[at : at + 30], 3]])
            with listener.listening():
                expected.append(listener.run(piece, torch.ones_like(piece))[0, 1:-1])
        np.testing.assert_allclose(found.read(rows), torch.cat(expected), atol=1e-5)


def test_texts_are_shuffled_once_each_and_whole_texts_are_held_out(collect):
    found = collect(text=[*TEXTS, *TEXTS[:40]], held_out=0.2)
    assert found.manifest["text"]["duplicates"] == 40
    taken = json.loads((found.path / "texts.json").read_text())
    assert len(set(taken)) == len(taken) == found.manifest["texts"]
    assert taken != TEXTS[: len(taken)]
    text = found.where(slice(None))[:, 0]
    held = set(text[: found.held_out])
    assert held.isdisjoint(text[found.held_out :])
    assert found.held_out >= 0.2 * 950 > found.held_out - np.count_nonzero(text == max(held))
    assert collect("other", seed=1).text_of(0).content != found.text_of(0).content


def test_mean_and_scale_are_those_of_the_rows_to_train_on(collect):
    found = collect()
    rows = found.read(slice(found.held_out, None)).astype(np.float64)
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.scale, np.sqrt(rows.var(axis=0).mean()), rtol=1e-12)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("stop", [3, 8, 11])
def test_what_was_stopped_goes_on_to_the_same_bits(collect, tmp_path, monkeypatch, error, stop):
    collect("whole")
    write, left = files.write, [stop]

    def failing(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise error("stopped")
        return write(*arguments)

    monkeypatch.setattr(files, "write", failing)
    with pytest.raises(error, match="stopped"):
        collect("stopped")
    monkeypatch.setattr(files, "write", write)
    done = files.read_manifest(tmp_path / "stopped")
    assert len(done["shards"]) == stop // 3  # rows, where, manifest
    with pytest.raises(FileNotFoundError, match=r"is not complete \(\d+ of 950 rows\)"):
        datasets.open_activations(tmp_path / "stopped")
    collect("stopped").verify()
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_what_was_stopped_inside_the_model_goes_on_too(collect, tmp_path, monkeypatch):
    collect("whole")
    run, left = sites.Listener.run, [10]

    def failing(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return run(*arguments)

    monkeypatch.setattr(sites.Listener, "run", failing)
    with pytest.raises(KeyboardInterrupt):
        collect("stopped", batch_tokens=128)
    assert not (tmp_path / "stopped" / "mean.npy").exists()
    monkeypatch.setattr(sites.Listener, "run", run)
    with pytest.raises(ValueError, match="begun with batch_tokens=128, and batch_tokens is 2048"):
        collect("stopped")
    found = collect("stopped", batch_tokens=128)
    other = datasets.open_activations(tmp_path / "whole")
    assert found.digest == other.digest
    # other batches, other last digits: float16 has 11 bits
    np.testing.assert_allclose(
        found.read(slice(None)), other.read(slice(None)), rtol=2e-3, atol=1e-3
    )


def test_what_is_complete_is_not_worked_out_again(collect, monkeypatch):
    first = collect()
    monkeypatch.setattr(model, "load", None)
    monkeypatch.setattr("scaling_theory.datasets.collecting.working.load", None)
    assert collect().digest == first.digest


def test_default_text_is_read_again_only_where_it_may_have_changed(collect, monkeypatch):
    monkeypatch.setattr(corpus, "PACKAGES", ("mpmath", "no-such-distribution"))
    first = collect(text=None)
    (source,) = first.manifest["text"]["sources"]
    assert source["distribution"] == "mpmath"
    with monkeypatch.context() as patch:
        patch.setattr(working, "as_corpus", None)
        assert collect(text=None).digest == first.digest
    # the same distribution at another version, with the same docstrings: read, and found the same
    now = [{**corpus.installed()[0], "version": "0", "record": "0"}]
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "installed", lambda: tuple(now))
        assert collect(text=None).digest == first.digest
        patch.setattr(corpus, "installed", lambda packages: tuple(now))
        patch.setattr(corpus, "LEAST", 60)
        with pytest.raises(
            ValueError, match=rf"another text .*; mpmath was {source['version']}, is 0"
        ):
            collect(text=None)


def test_leftovers_of_a_killed_process_are_cleared(collect, tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "values-00000.npy.tmp").write_bytes(b"half")
    (tmp_path / "rows" / "values-00000.npy").write_bytes(b"not in a manifest")
    collect().verify()
    assert not list((tmp_path / "rows").glob("*.tmp"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("tokens", 900, "tokens=950, and tokens=900"),
        ("layer", 1, "layer=2, and layer=1"),
        ("site", "mlp", "site='sum', and site='mlp'"),
        ("context", 30, "context=32, and context=30"),
        ("held_out", 0.1, "held_out=0.05, and held_out=0.1"),
        ("dtype", "float32", "dtype='float16', and dtype='float32'"),
        ("seed", 1, "seed=0, and seed=1"),
        ("text", TEXTS[1:], "another text"),
    ],
)
def test_other_arguments_are_refused_by_name(collect, name, value, said):
    first = collect()
    with pytest.raises(ValueError, match=said):
        collect(**{name: value})
    assert datasets.open_activations(first.path).digest == first.digest
    assert collect("other", **{name: value}).digest != first.digest


def test_another_model_or_kind_is_refused(collect, gpt2):
    path = collect().path
    with pytest.raises(ValueError, match=r"another model \(weights: SHA-256 was"):
        collect(model=gpt2)
    with pytest.raises(ValueError, match="kind='activations', and kind='embeddings'"):
        datasets.embeddings(path, text=TEXTS, texts=10)


def test_files_that_are_not_what_was_written_are_noticed(collect):
    found = collect()
    before = content(found.path)
    for name in ("values-00002.npy", "where-00000.npy", "mean.npy"):
        file = found.path / name
        for damage in (before[name][:-1], before[name] + b"\0", b""):
            file.write_bytes(damage)
            with pytest.raises(datasets.ShardsDamaged, match=f"{name} is damaged.*delete it"):
                datasets.open_activations(found.path)
            with pytest.raises(datasets.ShardsDamaged, match=f"{name} is damaged"):
                collect()
        changed = bytearray(before[name])
        changed[-3] ^= 1
        file.write_bytes(changed)
        with pytest.raises(datasets.ShardsDamaged, match=f"{name} is damaged .its SHA-256"):
            datasets.open_activations(found.path).verify()
        file.unlink()
        with pytest.raises(datasets.ShardsDamaged, match=f"{name} is missing"):
            datasets.open_activations(found.path)
        collect().verify()
        assert content(found.path) == before
    changed = before["manifest.json"].replace(b'"layer": 2', b'"layer": 3')
    (found.path / "manifest.json").write_bytes(changed)
    with pytest.raises(datasets.ShardsDamaged, match="recipe does not have its digest"):
        datasets.open_activations(found.path)


def test_a_header_that_lies_is_noticed(collect):
    found = collect()
    file = found.path / "values-00001.npy"
    file.write_bytes(file.read_bytes().replace(b"(200, 16)", b"(100, 32)"))
    with pytest.raises(datasets.ShardsDamaged, match=r"holds \(100, 32\), and held \(200, 16\)"):
        datasets.open_activations(found.path)


def test_a_text_that_ends_too_soon_says_how_much_there_is(collect, tmp_path, monkeypatch):
    have = sum(len(text.split()) for text in TEXTS)
    with pytest.raises(ValueError, match=f"tokens must be at most the {have} that the text has"):
        collect(tokens=have + 1)
    assert not (tmp_path / "rows" / "manifest.json").exists()
    monkeypatch.setattr("scaling_theory.datasets.collecting.collect._CHARACTERS", 0)  # not counted
    with pytest.raises(ValueError, match=f"tokens must be at most the {have} that the text has"):
        collect("other", tokens=have + 1)
    assert collect("exact", tokens=have).rows == have


def test_rows_that_are_all_the_same_have_no_scale(collect):
    with pytest.raises(ValueError, match="the 1 rows to train on are all the same"):
        collect(text=["w1", "w2"], tokens=2, held_out=0.5)


def test_numbers_that_do_not_fit_name_their_text(collect, monkeypatch):
    run = sites.Listener.run
    monkeypatch.setattr(sites.Listener, "run", lambda *a: run(*a) * 1e6)
    with pytest.raises(ValueError, match=r"finite in float16.*of text \d+ \('w.*dtype='float32'"):
        collect()
    assert collect("wider", dtype="float32").rows == 950


def test_one_process_writes(collect, tmp_path):
    import fcntl

    (tmp_path / "rows").mkdir()
    with (tmp_path / "rows" / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(StoreInUse, match="in use"):
            collect()
    assert collect().rows == 950


def test_a_folder_of_other_things_is_left_alone(collect, tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"empty folder or a new one; .* has thesis.tex"):
        collect()
    with pytest.raises(FileNotFoundError, match="no activations or embeddings"):
        datasets.open_activations(tmp_path / "rows")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("tokens", 0, "tokens must be"),
        ("layer", 4, r"layer must be a whole number in \[1, 3\], got 4"),
        ("context", 2, r"context must be a whole number in \[3, 64\], got 2"),
        ("context", 65, r"context must be a whole number in \[3, 64\], got 65"),
        ("held_out", 1.0, "held_out must be"),
        ("held_out", 0.999, "held_out must leave texts to train on"),
        ("dtype", "float64", "dtype must be one of float16, float32"),
        ("seed", -1, "seed must be"),
        ("batch_tokens", 0, "batch_tokens must be"),
        ("model", 3, "model must be None, a folder or a name"),
        ("device", "abacus", "device must be"),
    ],
)
def test_bad_arguments_are_refused(collect, name, value, said):
    with pytest.raises(ValueError, match=said):
        collect(**{name: value})


def test_special_tokens_are_no_rows_wherever_they_stand(collect):
    found = collect(text=["w1 [SEP] w2 unknown w3", "w4 [PAD]", "w5"], tokens=6, held_out=0)
    where = found.where(slice(None))
    tokens = {tuple(row[:2]): found.text_of(i).token for i, row in enumerate(where)}
    assert sorted(tokens.values()) == ["[UNK]", "w1", "w2", "w3", "w4", "w5"]
    assert {p for (_, p), t in tokens.items() if t in ("w2", "[UNK]", "w3")} == {2, 3, 4}


def test_a_decoder_has_rows_for_all_its_tokens(collect, gpt2):
    found = collect(model=gpt2, layer=3, dtype="float32", batch_tokens=256)
    single = loaded(gpt2)
    words = found.text_of(0).content.split()[:32]
    ids = torch.tensor([single.tokenizer.convert_tokens_to_ids(words)])
    with torch.inference_mode():
        stream = []
        single.module.ln_f.register_forward_pre_hook(lambda _, args: stream.append(args[0]))
        single.module(input_ids=ids)
    np.testing.assert_allclose(found.read(np.arange(len(words))), stream[0][0], atol=1e-5)


def test_weights_are_whole_and_safetensors(tmp_path, bert):
    from safetensors.torch import load_file, save_file

    folder = save_model(tmp_path / "copy", "bert")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"none, or one of another shape, for .*layer.1.output"):
        loaded(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="must be safetensors"):
        model.source_of(folder)
    with pytest.raises(FileNotFoundError, match="no folder"):
        model.source_of(tmp_path / "nowhere")


def test_embeddings_are_normalised_means_over_all_tokens(tmp_path, bert):
    found = datasets.embeddings(
        tmp_path / "e", texts=60, text=TEXTS, model=bert, context=20, held_out=0.1
    )
    assert (found.rows, found.held_out) == (60, 6)
    single = loaded(bert)
    for row in (0, 7, 59):
        source = found.text_of(row)
        assert (source.text, source.position, source.token) == (row, -1, None)
        ids = single.tokenizer(source.content, truncation=True, max_length=20)["input_ids"]
        assert ids[0] == 2
        assert ids[-1] == 3
        with torch.inference_mode():
            hidden = single.module(input_ids=torch.tensor([ids])).last_hidden_state[0].double()
        mean = hidden.mean(dim=0)
        np.testing.assert_allclose(found.read([row])[0], mean / mean.norm(), atol=1e-6)
    first = datasets.embeddings(
        tmp_path / "f", texts=60, text=TEXTS, model=bert, pooling="first", normalise=False,
        context=20,
    )  # fmt: skip
    assert first.digest != found.digest
    # row 59 is the last that was looked at
    np.testing.assert_allclose(first.read([59])[0], hidden[0], atol=1e-5)


def test_embeddings_refuse_what_there_is_not(tmp_path, bert):
    with pytest.raises(ValueError, match="texts must be at most the 151 that there are, got 152"):
        datasets.embeddings(tmp_path / "e", texts=152, text=TEXTS, model=bert, context=64)
    with pytest.raises(ValueError, match="pooling must be"):
        datasets.embeddings(tmp_path / "e", pooling="max")
    with pytest.raises(ValueError, match="normalise must be"):
        datasets.embeddings(tmp_path / "e", normalise=1)


def test_without_the_extra_it_says_what_to_install(tmp_path, bert, monkeypatch):
    said = r"pip install 'scaling-theory\[text\]'"
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ImportError, match=said):
            datasets.activations(tmp_path / "a", text=TEXTS)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=said):
        datasets.activations(tmp_path / "a", text=TEXTS, model=bert)


def test_the_import_loads_neither_torch_nor_transformers():
    code = (
        "import sys, scaling_theory.datasets;"
        "print([m for m in ('torch', 'transformers', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.strip() == "[]"
