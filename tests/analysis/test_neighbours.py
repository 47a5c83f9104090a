"""Neighbours against the whole matrix, invariances, sampling, and what stays on Ctrl-C."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from _decoders import circle, cosines, normal, rotation
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.analysis import _rows, decoder_neighbours, decoders, draw_neighbours
from scaling_theory.sae.metrics import neighbour_cosines

mpl.use("Agg")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def find(decoder, **options):
    return decoder_neighbours(decoder, **{"baseline_samples": 0, **options})


# ---- what is found -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 60), st.integers(2, 6), st.integers(1, 61), st.integers(1, 60))
def test_neighbours_are_those_of_the_whole_matrix(n, d, block, samples):
    decoder = normal(n, d, seed=n)
    found = find(decoder, block=block, samples=samples, seed=d)
    asked = found.rows
    assert asked.size == min(n, samples)
    assert (np.diff(asked) > 0).all()
    matrix = cosines(decoder)
    np.testing.assert_allclose(found.cosine, matrix.max(1)[asked], atol=1e-12)
    np.testing.assert_allclose(matrix[asked, found.nearest], matrix.max(1)[asked], atol=1e-12)
    if n > 2:
        second = np.sort(matrix, axis=1)[asked, -2]
        np.testing.assert_allclose(found.second_cosine, second, atol=1e-12)
    else:
        assert np.isnan(found.second_cosine).all()
    assert found.status == ("all rows" if samples >= n else "sampled")
    assert f"{asked.size} of {n} rows" in found.message


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_same_as_the_metric_of_training(dtype):
    decoder = torch.from_numpy(normal(300, 16)).to(dtype)
    decoder[7] = 0.0
    alive = torch.arange(300) % 5 != 0
    found = find(decoder, alive=alive)
    metric = neighbour_cosines(decoder, alive)
    there = ~metric.cosine.isnan().numpy()
    assert found.rows.tolist() == np.flatnonzero(there).tolist()
    assert found.count == there.sum() == 239
    np.testing.assert_allclose(found.cosine, metric.cosine[there], atol=1e-6)
    assert found.nearest.tolist() == metric.nearest[there].tolist()


def test_kinds_of_arrays(tmp_path):
    decoder = normal(50, 4).astype(np.float16)
    np.save(tmp_path / "decoder.npy", decoder)
    mapped = np.load(tmp_path / "decoder.npy", mmap_mode="r")
    wide = find(decoder.astype(np.float64))
    for kind in (decoder, mapped, decoder.astype(np.float32), torch.from_numpy(decoder)):
        found = find(kind)
        np.testing.assert_allclose(found.cosine, wide.cosine, atol=1e-6)
        assert found.cosine.dtype == found.second_cosine.dtype == np.float64
        assert found.nearest.tolist() == wide.nearest.tolist()
    gradient = torch.from_numpy(decoder).requires_grad_()
    assert (find(gradient).cosine == find(decoder).cosine).all()


def test_rotation_permutation_and_norms():
    decoder, order = normal(200, 12), np.random.default_rng(1).permutation(200)
    found = find(decoder)
    turned = find(decoder @ rotation(12, 2))
    np.testing.assert_allclose(turned.cosine, found.cosine, atol=1e-12)
    assert (turned.nearest == found.nearest).all()
    moved = find(decoder[order])
    np.testing.assert_allclose(moved.cosine, found.cosine[order], atol=1e-12)
    assert (order[moved.nearest] == found.nearest[order]).all()
    scaled = find(decoder * np.geomspace(1e-30, 1e30, 200)[:, None])
    np.testing.assert_allclose(scaled.cosine, found.cosine, atol=1e-12)


def test_the_baseline_is_invariant_too():
    decoder = normal(300, 6) * np.arange(1, 7) + 0.5
    found, turned = (
        decoder_neighbours(rows, baseline_samples=2000).anisotropic
        for rows in (decoder, decoder @ rotation(6, 2))
    )
    assert turned.effective_dimension == pytest.approx(found.effective_dimension, rel=1e-9)
    # the axes' signs are arbitrary, so that draws differ: two samples of 2000, once in 1000
    law = np.searchsorted(found.cosine, turned.cosine, side="right") / 2000
    assert np.abs(law - np.arange(1, 2001) / 2000).max() < 1.95 * np.sqrt(2 / 2000)


def test_block_size_does_not_matter():
    decoder = normal(500, 8).astype(np.float32)
    whole = find(decoder)
    for block in (33, 499, 5000):
        parts = find(decoder, block=block)
        np.testing.assert_allclose(parts.cosine, whole.cosine, atol=1e-6)
        np.testing.assert_allclose(parts.second_cosine, whole.second_cosine, atol=1e-6)
        assert (parts.nearest == whole.nearest).all()


def test_a_sample_is_a_part_of_all():
    decoder = normal(400, 8)
    all_rows, some = find(decoder), find(decoder, samples=50, seed=3)
    np.testing.assert_allclose(some.cosine, all_rows.cosine[some.rows], atol=1e-12)
    assert (some.nearest == all_rows.nearest[some.rows]).all()
    assert some.isotropic == all_rows.isotropic
    assert find(decoder, samples=50, seed=3).rows.tolist() == some.rows.tolist()
    assert find(decoder, samples=50, seed=4).rows.tolist() != some.rows.tolist()


# ---- against the baselines ---------------------------------------------------------------------


def test_even_rows_are_like_the_baseline_and_a_circle_is_not():
    n = 3000
    found = find(normal(n, 64).astype(np.float32))
    near = found.compare("isotropic")
    # rows come in mutual pairs, which at worst halves their number
    assert near.ks < 1.95 * np.sqrt(2 / n)
    assert abs(near.excess) < 4 * found.cosine.std() * np.sqrt(2 / n)
    # twice a Poisson number of pairs with mean 1.5: more than 8 pairs once in 10^5
    assert near.share_above <= 16 / n
    assert near.expected_above == pytest.approx(0.001)
    tiled = find(np.concatenate([circle(300, 64), normal(n - 300, 64)])).compare("isotropic")
    assert tiled.share_above == pytest.approx(0.1, abs=16 / n)
    assert tiled.ks > 0.09
    assert tiled.excess == pytest.approx(0.1 * (1 - found.isotropic.mean()), rel=0.1)


def test_tables():
    decoder, frequencies = normal(200, 8), np.linspace(0.0, 1.0, 200)
    found = decoder_neighbours(decoder, frequencies=frequencies, samples=120, baseline_samples=500)
    histogram = found.histogram(40)
    assert len(histogram) == 40
    assert histogram["rows"].sum() == 120
    for name in ("isotropic", "anisotropic"):
        assert histogram[name].sum() == pytest.approx(120, rel=0.01)
    table = found.table()
    assert (table["frequency"] == frequencies[table["row"]]).all()
    assert (table["nearest_frequency"] == frequencies[table["nearest"]]).all()
    assert table["cosine"].max() == found.quantiles([1.0])[0]
    assert "anisotropic" not in find(decoder).histogram()
    assert "frequency" not in find(decoder).table()
    assert "120" in repr(found)
    assert not found.cosine.flags.writeable


def test_drawing():
    decoder = np.concatenate([circle(30, 16), normal(170, 16)])
    found = decoder_neighbours(decoder, baseline_samples=400)
    _, ax = plt.subplots()
    assert draw_neighbours(found, ax, bins=25) is ax
    assert ax.get_xlabel() == "cosine with the nearest other row"
    assert ax.get_ylabel() == "rows"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["200 of 200 rows", "even directions", "same offset and covariance"]
    rows, even, own = (patch.get_data().values for patch in ax.patches)
    histogram = found.histogram(25)
    assert (rows == histogram["rows"]).all()
    assert (even == histogram["isotropic"]).all()
    assert (own == histogram["anisotropic"]).all()
    alone = draw_neighbours(find(decoder))
    assert len(alone.patches) == 2
    ax.figure.canvas.draw()
    plt.close("all")


# ---- long work ---------------------------------------------------------------------------------


def test_ctrl_c_keeps_a_random_part(monkeypatch):
    decoder, done = normal(100, 4), []
    whole = find(decoder)

    def interrupted(rows, positions):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(positions)
        return nearest_two(rows, positions)

    nearest_two = decoders.nearest_two
    monkeypatch.setattr(decoders, "nearest_two", interrupted)
    after = 3
    found = decoder_neighbours(decoder, block=10, baseline_samples=50)
    assert found.rows.size == 30
    assert found.rows.tolist() != list(range(30))
    np.testing.assert_allclose(found.cosine, whole.cosine[found.rows], atol=1e-12)
    assert found.status == "interrupted"
    assert "30 of 100 rows" in found.message
    assert found.anisotropic is None
    with pytest.raises(ValueError, match=r"^baseline must be"):
        found.compare("anisotropic")
    after, done = 0, []
    with pytest.raises(KeyboardInterrupt):
        find(decoder, block=10)


def test_ctrl_c_while_the_baseline_is_drawn(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(decoders, "draw_directions", interrupted)
    found = decoder_neighbours(normal(100, 4))
    assert (found.rows.size, found.status, found.anisotropic) == (100, "interrupted", None)


def test_a_bar_is_shown_where_it_takes_long(monkeypatch):
    shown = []

    def track(items, what, total, *, enabled):
        shown.append((what, total, enabled))
        yield from items

    monkeypatch.setattr(_rows, "track", track)
    items = list(range(5))
    assert list(_rows.long_track(items, "counting", enabled=True)) == items
    assert list(_rows.long_track(items, "counting", enabled=False, after=-1.0)) == items
    assert shown == []
    assert list(_rows.long_track(items, "counting", enabled=True, after=-1.0)) == items
    assert shown == [("counting", 4, True)]


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, scaling_theory.analysis;"
        "print([m for m in ('torch', 'matplotlib', 'sympy', 'pandas', 'scipy.special') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "name"), [
    (lambda: find(np.zeros(3)), "decoder"),
    (lambda: find(np.ones((3, 1))), "decoder"),
    (lambda: find(np.ones((3, 2), dtype=np.int64)), "decoder"),
    (lambda: find([[1.0, 2.0], [3.0, 4.0]]), "decoder"),
    (lambda: find(np.zeros((3, 2))), "decoder"),
    (lambda: find(np.array([[1.0, 2.0], [np.nan, 0.0]])), "decoder"),
    (lambda: find(torch.full((3, 2), np.inf)), "decoder"),
    (lambda: find(np.eye(3), alive=np.ones(3)), "alive"),
    (lambda: find(np.eye(3), alive=np.ones(2, dtype=bool)), "alive"),
    (lambda: find(np.eye(3), alive=np.array([True, False, False])), "decoder"),
    (lambda: find(np.eye(3), frequencies=[0.1, 0.2]), "frequencies"),
    (lambda: find(np.eye(3), frequencies=[0.1, 0.2, 1.2]), "frequencies"),
    (lambda: find(np.eye(3), samples=0), "samples"),
    (lambda: find(np.eye(3), block=0), "block"),
    (lambda: find(np.eye(3), baseline_samples=-1), "baseline_samples"),
    (lambda: find(np.eye(3)).compare("isotropic", quantile=1.0), "quantile"),
    (lambda: find(np.eye(3)).compare("own"), "baseline"),
    (lambda: find(np.eye(3)).compare(), "baseline"),
    (lambda: find(np.eye(3)).histogram(0), "bins"),
    (lambda: find(np.eye(3)).quantiles([1.5]), "probabilities"),
])  # fmt: skip
def test_bad_arguments_are_refused(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must "):
        call()
