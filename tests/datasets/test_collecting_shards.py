"""Reading rows: any rows, in any order, as float32, from any number of shards."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import needs_text, sentences

from scaling_theory import datasets
from scaling_theory.datasets.collecting import writing
from scaling_theory.datasets.collecting.shards import _single

ROWS = 700


@pytest.fixture(scope="module", params=["float16", "float32"])
def shards(request, bert, tmp_path_factory):
    """Seven shards, and all rows read file by file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "SHARD_ROWS", {"tokens": 101, "texts": 101})
        found = datasets.activations(
            tmp_path_factory.mktemp("shards"),
            text=sentences(80),
            tokens=ROWS,
            model=bert,
            layer=2,
            context=32,
            dtype=request.param,
        )
    parts = [np.load(found.path / f"values-{i:05d}.npy") for i in range(7)]
    assert parts[0].dtype == request.param
    return found, np.concatenate(parts).astype(np.float32)


@needs_text
@given(index=st.lists(st.integers(0, ROWS - 1), max_size=300))
def test_any_rows_in_any_order(shards, index):
    found, rows = shards
    read = found.read(np.array(index, dtype=np.int64))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, rows[np.array(index, dtype=np.int64)])


@needs_text
@given(part=st.slices(ROWS))
def test_any_slice(shards, part):
    found, rows = shards
    np.testing.assert_array_equal(found.read(part), rows[part])


@needs_text
def test_what_is_read_is_the_callers_own(shards):
    found, rows = shards
    found.read([3])[:] = 7
    found.read(slice(0, 2))[:] = 7
    np.testing.assert_array_equal(found.read(slice(0, 5)), rows[:5])
    with pytest.raises(ValueError, match="read-only"):
        found._values[0][0] = 7
    with pytest.raises(ValueError, match="read-only"):
        found.mean[0] = 7


@needs_text
@pytest.mark.parametrize("index", [[-1], [ROWS], [0.0], [True], 3, [[0]], "0", None])
def test_what_is_no_row_is_refused(shards, index):
    with pytest.raises(ValueError, match=r"index must .* \[0, 699\], got"):
        shards[0].read(index)
    if index in ([-1], [ROWS]):
        with pytest.raises(ValueError, match="row must be"):
            shards[0].text_of(index[0])


@needs_text
def test_opened_again_it_is_the_same(shards):
    found, _ = shards
    other = datasets.open_activations(found.path)
    assert (other.digest, other.rows, other.dimension, other.held_out, other.scale) == (
        found.digest, found.rows, found.dimension, found.held_out, found.scale,
    )  # fmt: skip
    assert len(found.digest) == 16
    other.verify()


@needs_text
def test_it_travels_as_its_folder(shards, monkeypatch, tmp_path):
    """Specifications go to other processes with their data: a path, not the rows."""
    found, rows = shards
    sent = pickle.dumps(found)
    assert len(sent) < 1000
    monkeypatch.chdir(tmp_path)
    back = pickle.loads(sent)
    assert back.digest == found.digest
    np.testing.assert_array_equal(back.read(slice(5)), rows[:5])


def test_every_finite_half_becomes_the_same_single():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    expected = halves.astype(np.float32)
    np.testing.assert_array_equal(_single(halves).view(np.uint32), expected.view(np.uint32))
