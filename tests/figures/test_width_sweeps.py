"""Laws of real width sweeps: rows are those of ``compare_laws``, lines those of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scaling_theory import compare_laws, datasets, fit_law
from scaling_theory.figures import width_sweeps
from scaling_theory.fitting.laws import LAWS

WRITTEN = Path(__file__).parents[2] / "figures" / "width_sweeps.csv"


#: Those that take no long fits.
FAST = ("power law", "power law + floor", "exponential + floor", "critical power law")


@pytest.fixture(scope="module")
def family() -> pd.DataFrame:
    """One of the eight of five points, with four of the laws."""
    points = datasets.load("oneill2024_table2")
    points = points[(points["corpus"] == "cs.LG") & (points["k"] == 128)]
    n, loss = points["n"].to_numpy(float), points["normalised_mse"].to_numpy(float)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(width_sweeps, "LAWS", [law for law in LAWS if law.name in FAST])
        return width_sweeps.family("cs.LG", 128, n, loss, "a citation")


@pytest.fixture(scope="module")
def written() -> pd.DataFrame:
    return pd.read_csv(WRITTEN)


def of_kind(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    return table[table["kind"] == kind].dropna(axis=1, how="all").reset_index(drop=True)


def test_laws_are_those_of_compare_laws(family: pd.DataFrame) -> None:
    points, laws = of_kind(family, "point"), of_kind(family, "law")
    table = compare_laws(points["n"], points["loss"], laws=FAST, drop=0)
    assert laws["law"].tolist() == table["law"].tolist()
    for name in ("delta", "aicc", "exponent", "exponent_low", "exponent_high", "floor"):
        np.testing.assert_array_equal(laws[name], table[name], err_msg=name)
    assert laws["status"].tolist() == table["status"].tolist()


def test_floors_have_the_intervals_of_their_fits(family: pd.DataFrame) -> None:
    points, laws = of_kind(family, "point"), of_kind(family, "law").set_index("law")
    fit = fit_law(points["n"], points["loss"], "power law + floor")
    row = laws.loc["power law + floor"]
    assert (row["floor_low"], row["floor_high"]) == fit.intervals["floor"]
    assert (laws.loc["power law", ["floor", "floor_low", "floor_high"]] == 0.0).all()


def test_curves_are_the_fitted_laws_and_do_not_leave_the_points(family: pd.DataFrame) -> None:
    points, curves = of_kind(family, "point"), of_kind(family, "curve")
    assert set(curves["law"]) == set(of_kind(family, "law")["law"])
    for name in ("power law", "exponential + floor"):
        own = curves[curves["law"] == name]
        band = fit_law(points["n"], points["loss"], name).band(own["n"])
        np.testing.assert_array_equal(own["loss"], band.value)
        np.testing.assert_array_equal(own["high"], band.high)
    assert curves["n"].min() == points["n"].min()
    assert curves["n"].max() == pytest.approx(points["n"].max())


def test_written_table_has_every_point_of_both_datasets(written: pd.DataFrame) -> None:
    points = of_kind(written, "point")
    gpt2 = datasets.load("gpt2_layer8_widths")
    own = points[points["sweep"] == "GPT-2"]
    assert own["n"].tolist() == gpt2["width"].tolist()
    np.testing.assert_allclose(own["loss"], 1.0 - gpt2["variance_explained"], rtol=1e-9)
    theirs = datasets.load("oneill2024_table2").rename(columns={"corpus": "sweep"})
    both = points.merge(theirs, on=["sweep", "k", "n"])
    assert len(both) == 40
    np.testing.assert_allclose(both["loss"], both["normalised_mse"], rtol=1e-9)
    laws = of_kind(written, "law")
    assert laws.groupby(["sweep", "k"])["delta"].min().eq(0.0).all()
    for (sweep, _), part in laws.groupby(["sweep", "k"]):
        many = 8 if sweep == "GPT-2" else 5
        fitted = {law.name for law in LAWS if len(law.parameters) < many}
        assert set(part["law"]) == fitted


def test_gpt2_needs_a_floor_or_a_bend_but_does_not_say_which(written: pd.DataFrame) -> None:
    laws = of_kind(written, "law")
    laws = laws[laws["sweep"] == "GPT-2"].set_index("law")
    assert laws.loc["power law", "delta"] > 2.0
    assert laws.loc["power law + floor", "delta"] < 2.0
    assert (laws["delta"] < 2.0).sum() > 1
    # the exponent of the raw loss is outside what the law with a floor allows
    assert laws.loc["power law", "exponent"] < laws.loc["power law + floor", "exponent_low"]


def test_every_line_is_a_fit_in_the_data(written: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    kept = written.copy()
    axes = Figure(figsize=width_sweeps.SIZE).subplots(*width_sweeps.AXES, squeeze=False).ravel()
    assert list(width_sweeps.draw(written, axes)) == list(axes)
    assert written.equals(kept)
    curves, laws = of_kind(written, "curve"), of_kind(written, "law")
    for sweep, ax in zip(("GPT-2", "astro-ph", "cs.LG"), axes, strict=True):
        own = curves[curves["sweep"] == sweep]
        held = {round(v, 9) for v in own["loss"]} | {round(v, 9) for v in laws["floor"]}
        drawn = set()
        for line in ax.get_lines():
            y = np.asarray(line.get_ydata(), float)
            # what is left are the points, and the vertical line at the last of them
            if line.get_marker() == "None" and y.tolist() != [0, 1]:
                drawn |= {round(v, 9) for v in y.tolist()}
        assert drawn <= held
        assert {round(v, 9) for v in own["loss"]} <= drawn
        (legend,) = [ax.get_legend()]
        texts = [text.get_text() for text in legend.get_texts()]
        ranked = laws[(laws["sweep"] == sweep) & np.isfinite(laws["delta"])]
        assert sum("[" in text for text in texts) >= len(ranked) - 1


def test_draw_wants_three_axes(written: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="axes must hold 3 Axes, GPT-2 and two corpora, got 0"):
        width_sweeps.draw(written, [])


@pytest.mark.slow
def test_written_table_is_what_the_fits_give(written: pd.DataFrame) -> None:
    made = width_sweeps.data()
    pd.testing.assert_frame_equal(made, written, rtol=1e-4, check_dtype=False)
