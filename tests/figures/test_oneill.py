"""O'Neill et al. Figure 4: our fits against the published ones, and what is drawn."""

import subprocess
import sys

import numpy as np
import pytest

from scaling_theory.figures import oneill


@pytest.fixture(scope="module")
def data():
    return oneill.data()


@pytest.fixture
def axes():
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(*oneill.AXES, figsize=oneill.SIZE, squeeze=False)
    yield axes.ravel()
    plt.close(figure)


def test_eight_published_exponents_are_reproduced(data):
    table = oneill.table(data)
    assert len(table) == 8
    difference = table["zero_exponent"] - table["published_exponent"]
    assert (difference.abs() < 0.025).all()
    # 0.005 is the rounding of the printed exponent: most families agree to within twice that
    assert (difference.abs() < 0.01).sum() >= 6
    inside = table["published_exponent"].between(
        table["zero_exponent_low"], table["zero_exponent_high"]
    )
    assert inside.sum() >= 7


def test_published_levels_agree_at_the_middle_of_the_widths(data):
    # scale and exponent are strongly correlated: compare the laws where the data are
    table, middle = oneill.table(data), 6144.0
    ours = table["zero_scale"] * middle ** -table["zero_exponent"]
    published = table["published_scale"] * middle ** -table["published_exponent"]
    np.testing.assert_allclose(ours, published, rtol=0.045)


def test_a_free_floor_leaves_the_exponent_open_in_every_family(data):
    table = oneill.table(data)
    assert (table["free_status"] == "floor and exponent not identified").all()
    assert (table["free_exponent_high"] > 4 * table["free_exponent_low"]).all()
    assert (table["free_floor_low"] == 0).all()
    smallest = data.groupby(["corpus", "k"], sort=False)["normalised_mse"].min().to_numpy()
    # a floor at three quarters of the smallest loss is compatible with all of them
    assert (table["free_floor_high"] > 0.75 * smallest).all()
    # and the law without a floor is never refused
    assert (table["free_exponent_low"] <= table["zero_exponent"]).all()
    assert (table["free_exponent_high"] >= table["zero_exponent"]).all()


def test_data_has_every_point_with_its_laws_and_its_source(data):
    assert len(data) == 40
    assert not data.isna().any().any()
    assert data.groupby(["corpus", "k"])["zero_exponent"].nunique().eq(1).all()
    assert "O'Neill" in data.attrs["citation"]


def test_every_line_is_a_point_or_a_fit_in_the_data(data, axes):
    kept = data.copy()
    returned = oneill.draw(data, axes)
    assert list(returned) == list(axes)
    for corpus, ax in zip(["astro-ph", "cs.LG"], axes, strict=True):
        assert ax.get_title() == corpus
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        panel = data[data["corpus"] == corpus]
        lines = ax.get_lines()
        assert len(lines) == 3 * 4
        for index, (_, family) in enumerate(panel.groupby("k")):
            row = family.iloc[0]
            ours, published, points = lines[3 * index : 3 * index + 3]
            for line, prefix in ((ours, "zero"), (published, "published")):
                x, y = line.get_data()
                law = row[f"{prefix}_scale"] * x ** -row[f"{prefix}_exponent"]
                np.testing.assert_allclose(y, law)
                # no extrapolation
                assert (x.min(), x.max()) == pytest.approx((3072, 12288))
            np.testing.assert_array_equal(points.get_xdata(), family["n"])
            np.testing.assert_array_equal(points.get_ydata(), family["normalised_mse"])
            low, high = ax.get_ylim()
            assert low < points.get_ydata().min()
            assert points.get_ydata().max() < high
        markers = {line.get_marker() for line in lines[2::3]}
        colours = {line.get_color() for line in lines[2::3]}
        assert len(markers) == len(colours) == 4
        legend = [text.get_text() for text in ax.get_legend().get_texts()]
        assert legend[0].startswith("$k = 16$: 0.1")
        assert legend[-2:] == ["fit, no floor", "published law"]
    assert data.equals(kept)


def test_draw_wants_two_axes(data, axes):
    with pytest.raises(ValueError, match="axes must hold 2 Axes, one for each corpus, got 1"):
        oneill.draw(data, axes[:1])


def test_importing_the_figure_does_not_load_matplotlib():
    code = "import sys, scaling_theory.figures.oneill; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
