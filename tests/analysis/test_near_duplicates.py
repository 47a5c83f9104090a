"""Planted twins, dead and alive, and all pairs against the whole matrix."""

import math

import numpy as np
import pytest
import torch
from _decoders import circle, cosines, normal
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.analysis import near_duplicates


def obvious(decoder, threshold):
    matrix = np.triu(cosines(decoder), 1)
    matrix[np.tril_indices(len(decoder))] = -np.inf
    first, second = np.nonzero(matrix > threshold)
    return {(i, j) for i, j in zip(first.tolist(), second.tolist(), strict=True)}


def pairs(found):
    return {(i, j) for i, j in found.pairs[["first", "second"]].itertuples(index=False)}


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 50), st.integers(2, 4), st.floats(-0.9, 0.99), st.integers(1, 51))
def test_pairs_are_those_of_the_whole_matrix(n, d, threshold, block):
    decoder = normal(n, d, seed=n)
    found = near_duplicates(decoder, cosine=threshold, block=block)
    matrix = cosines(decoder)
    assert pairs(found) == obvious(decoder, threshold)
    assert found.pair_count == len(found.pairs)
    assert (found.partners == (matrix > threshold).sum(1)).all()
    has = matrix.max(1) > threshold
    assert (found.nearest == np.where(has, matrix.argmax(1), -1)).all()
    at = found.pairs
    np.testing.assert_allclose(at["cosine"], matrix[at["first"], at["second"]], atol=1e-12)
    assert (np.diff(at["cosine"]) <= 0).all()
    assert found.alive_share == has.mean()


@settings(deadline=None, max_examples=25)
@given(st.integers(3, 50), st.integers(1, 49), st.integers(1, 51), st.integers(0, 5))
def test_a_sample_has_its_own_pairs(n, samples, block, seed):
    decoder = normal(n, 3, seed=n)
    found = near_duplicates(decoder, cosine=0.7, samples=samples, block=block, seed=seed)
    asked = set(found.rows.tolist())
    assert len(asked) == min(n, samples)
    assert pairs(found) == {p for p in obvious(decoder, 0.7) if asked & set(p)}
    matrix = cosines(decoder)
    assert (found.partners == (matrix > 0.7).sum(1)[found.rows]).all()
    assert found.status == ("sampled" if samples < n else "all rows")


@pytest.mark.parametrize("block", [None, 7])
def test_planted_twins_with_dead_neighbours(block):
    """As in M25 E.1: 20 living latents, each with a dead twin; and 5 living pairs."""
    n = 400
    decoder, frequencies = normal(n, 64).astype(np.float32), np.full(n, 0.01)
    rng = np.random.default_rng(0)
    rows = rng.permutation(n)
    living, twins, left, right = rows[:20], rows[20:40], rows[40:45], rows[45:50]
    for own, other in ((living, twins), (left, right)):
        # 0.02 in each of 64 dimensions: cosines near 1 - 64 * 0.02^2/(2 * 64)
        decoder[other] = 3.0 * (decoder[own] + 0.02 * rng.normal(size=(own.size, 64)))
    frequencies[twins] = np.where(np.arange(20) % 2, 0.0, 1e-10)
    frequencies[rows[50:60]] = 0.0  # dead, and alone
    found = near_duplicates(decoder, frequencies=frequencies, dead_below=1e-8, block=block)
    planted = [*zip(living, twins, strict=True), *zip(left, right, strict=True)]
    assert pairs(found) == {(min(p), max(p)) for p in planted}
    assert (found.alive_rows, found.dead_rows) == (n - 30, 30)
    assert found.alive_share == 30 / (n - 30)
    assert found.dead_share == 20 / 30
    assert found.dead_nearest_share == 20 / 30
    table = found.pairs
    assert (table["first_dead"] | table["second_dead"]).sum() == 20
    assert not (table["first_dead"] & table["second_dead"]).any()
    for end in ("first", "second"):
        assert (table[f"{end}_frequency"] == frequencies[table[end]]).all()
        assert (table[f"{end}_dead"] == (table[f"{end}_frequency"] < 1e-8)).all()
    # frequencies of exactly 0 alone
    strict = near_duplicates(decoder, frequencies=frequencies, block=block)
    assert strict.dead_rows == 20
    # the dead left out
    alive = frequencies > 1e-8
    among = near_duplicates(decoder, frequencies=frequencies, dead_below=1e-8, alive=alive)
    assert pairs(among) == {(min(p), max(p)) for p in planted[20:]}
    assert math.isnan(among.dead_share)
    assert among.dead_nearest_share == 0.0


def test_more_pairs_than_the_table_holds():
    decoder = circle(200, 4)
    whole = near_duplicates(decoder, cosine=0.9)
    short = near_duplicates(decoder, cosine=0.9, most_pairs=10, block=30)
    assert (len(short.pairs), short.status) == (10, "truncated")
    assert short.pair_count == whole.pair_count == len(whole.pairs)
    assert (short.partners == whole.partners).all()
    assert pairs(short) < pairs(whole)
    assert whole.alive_share == short.alive_share == 1.0
    none = near_duplicates(decoder, cosine=0.9, most_pairs=0)
    assert (len(none.pairs), none.pair_count) == (0, whole.pair_count)


def test_without_frequencies_nothing_is_said_of_the_dead():
    found = near_duplicates(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    assert pairs(found) == {(0, 1)}
    assert found.rows.tolist() == [0, 1, 2]
    assert found.nearest.tolist() == [1, 0, -1]
    assert list(found.pairs) == ["first", "second", "cosine"]
    assert math.isnan(found.dead_share)
    assert math.isnan(found.dead_nearest_share)
    assert found.pairs["cosine"].max() <= 1.0


@pytest.mark.parametrize(("call", "name"), [
    (lambda: near_duplicates(np.eye(1, 3)), "decoder"),
    (lambda: near_duplicates(np.eye(3), cosine=1.0), "cosine"),
    (lambda: near_duplicates(np.eye(3), cosine=-1.0), "cosine"),
    (lambda: near_duplicates(np.eye(3), frequencies=[0.1]), "frequencies"),
    (lambda: near_duplicates(np.eye(3), frequencies=[0.1, -0.1, 0.0]), "frequencies"),
    (lambda: near_duplicates(np.eye(3), dead_below=1.5), "dead_below"),
    (lambda: near_duplicates(np.eye(3), most_pairs=-1), "most_pairs"),
    (lambda: near_duplicates(np.eye(3), samples=0), "samples"),
])  # fmt: skip
def test_bad_arguments_are_refused(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must "):
        call()
