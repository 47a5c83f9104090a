"""Figures of real activations: what they say is in the tables, and what is drawn is what they say.

The tables are made up, see ``test_real_tables``.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from test_real_tables import KS, LOOKS, REAL, STEPS, make_tables

from scaling_theory.figures import (
    FIGURES,
    real_density,
    real_diagnosis,
    real_frequencies,
    real_joint,
    real_neighbours,
    real_scaling,
    real_shared,
    real_similarity,
    real_training,
)
from scaling_theory.fitting import sae_training_flops
from scaling_theory.sae.studies.real import Tables, laws
from scaling_theory.sae.studies.real.latents import FIRST_RANK, LAST_SHARE

WIDTHS = (64, 128, 256, 512)
#: A table that each figure reads, and a column of it.
READS = {
    "real_scaling": ("losses", "stderr"),
    "real_joint": ("losses", "loss"),
    "real_training": ("runs", "history_idle"),
    "real_density": ("latents", "density_counts"),
    "real_similarity": ("similarity", "above_95"),
    "real_frequencies": ("latents", "slope"),
    "real_neighbours": ("latents", "even_shares"),
    "real_diagnosis": ("diagnoses", "verdict"),
}


@pytest.fixture(scope="module")
def tables() -> Tables:
    return make_tables()


def drawn(module: Any, data: pd.DataFrame) -> list[Any]:
    axes = Figure(figsize=module.SIZE).subplots(*module.AXES, squeeze=False).ravel()
    kept = data.copy()
    assert list(module.draw(data, axes)) == list(axes)
    assert data.equals(kept)
    return list(axes)


def changed(tables: Tables, name: str, **columns: Any) -> Tables:
    return dataclasses.replace(tables, **{name: getattr(tables, name).assign(**columns)})


def where(frame: pd.DataFrame, **values: Any) -> pd.DataFrame:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_wrong_tables_and_axes_are_refused(name: str, tables: Tables) -> None:
    module = importlib.import_module(FIGURES[name])
    read, column = READS[name]
    frame = getattr(tables, read)
    without = dataclasses.replace(tables, **{read: frame.drop(columns=column)})
    with pytest.raises(ValueError, match=rf"tables\.{read} must have the columns .* {column}$"):
        module.data(without)
    half = dataclasses.replace(tables, **{read: frame[frame["kind"] == "tokens"]})
    with pytest.raises(ValueError, match=rf"tables\.{read} must have rows of tokens and embedd"):
        module.data(half)
    strange = changed(tables, read, family=frame["family"].str.replace("TopK ", "K="))
    with pytest.raises(ValueError, match=r"family must be 'TopK K' or 'ReLU', got 'K=\d+'"):
        module.data(strange)
    count = module.AXES[0] * module.AXES[1]
    with pytest.raises(ValueError, match=f"axes must hold {count} Axes, got 0"):
        module.draw(pd.DataFrame(), [])


# ---- losses -------------------------------------------------------------------------------------


def test_laws_of_scaling_are_those_of_the_study_over_what_was_measured(tables: Tables) -> None:
    data = real_scaling.data(tables)
    fitted = {
        "width": laws.width_laws(tables.losses),
        "compute": laws.compute_laws(laws.compute_points(tables.runs)),
    }
    assert len(data[data["what"] == "law"]) == 2 * (8 + 6)
    for (panel, kind, family), part in data.groupby(["panel", "kind", "family"]):
        law, points = part[part["what"] == "law"], part[part["what"] == "measured"]
        table = where(fitted[str(panel)], kind=kind, family=family, floor="zero")
        for column in ("exponent", "low", "high"):
            assert law[column].tolist() == pytest.approx(2 * table[column].tolist(), rel=1e-9)
        on = points[points["frontier"].astype(bool)]
        assert law["x"].tolist() == [on["x"].min(), on["x"].max()]
        np.testing.assert_allclose(law["y"], law["scale"] * law["x"] ** -law["exponent"])
        if panel == "compute":
            best = [not ((points["x"] <= x) & (points["y"] < y)).any()
                    for x, y in zip(points["x"], points["y"], strict=True)]  # fmt: skip
            assert points["frontier"].tolist() == best
            within = [look for look in LOOKS if STEPS / 16 <= look <= 0.8 * STEPS]
            assert len(points) == len(WIDTHS) * len(within)


def test_scaling_draws_every_point_and_every_exponent(tables: Tables) -> None:
    data = real_scaling.data(tables)
    axes = drawn(real_scaling, data)
    assert [len(ax.containers) for ax in axes] == [4, 4, 0, 0]  # with bars
    for ax, (panel, kind) in zip(
        axes, [(p, k) for p in ("width", "compute") for k in ("tokens", "embeddings")], strict=True
    ):
        own = data[(data["panel"] == panel) & (data["kind"] == kind)]
        law = own[own["what"] == "law"].drop_duplicates("family").set_index("family")
        for text in texts(ax):
            family, numbers = text.split(": ")
            at = law.loc[family]
            said = f"{at['exponent']:.3f}"
            if panel == "width":  # looks at one run are no independent points
                said += f" [{at['low']:.3f}, {at['high']:.3f}]"
            assert numbers == said + (f" ({at['oneill']})" if at["oneill"] else "")
        assert len(texts(ax)) == len(law)
        held = {tuple(v) for v in own[["x", "y"]].to_numpy(float)}
        lines = {tuple(v) for line in ax.get_lines() for v in line.get_xydata()}
        assert {v for v in lines if np.isfinite(v).all()} >= held
        low, high = ax.get_ylim()
        assert low < own["y"].min() < own["y"].max() < high
    assert "TopK 16" in texts(axes[0])[0]
    assert texts(axes[0])[0].endswith("(0.12, 0.13)")


def test_joint_law_is_the_formula_with_its_parameters(tables: Tables) -> None:
    data = real_joint.data(tables)
    for _, own in data.groupby("kind"):
        p = own[own["what"] == "parameter"].set_index("parameter")["value"]
        points, curve = (own[own["what"] == what] for what in ("measured", "law"))
        assert len(points) == 12
        for part in (points, curve):
            u, v = np.log(part["n"]), np.log(part["k"].astype(float))
            both = np.exp(p["a"] + p["b_k"] * v + p["b_n"] * u + p["g"] * u * v)
            np.testing.assert_allclose(part["law"], both + np.exp(p["z"] + p["eta"] * v), rtol=1e-6)
            assert (part["n"].min(), part["n"].max()) == pytest.approx((64, 512))
        np.testing.assert_allclose(points["law"] * (1.0 + points["residual"]), points["loss"])
        said = own[own["what"] == "fit"].iloc[0]
        assert said["rms"] == pytest.approx(
            np.sqrt(np.mean(np.log(points["loss"] / points["law"]) ** 2))
        )
        assert said["rms"] < 0.02  # errors of 1% were put in
    axes = drawn(real_joint, data)
    assert axes[2].get_ylim() == axes[3].get_ylim()
    assert "not identified" in axes[0].get_title()  # a power law alone was put in
    assert [len(ax.containers) for ax in axes] == [3, 3, 3, 3]


def test_training_shows_histories_of_the_first_seed(tables: Tables) -> None:
    data = real_training.data(tables)
    assert len(data) == 2 * len(KS) * len(WIDTHS) * len(LOOKS)
    one = {"kind": "tokens", "family": "TopK 16", "width": 512}
    own = where(data, **one)
    (run,) = where(tables.runs, seed=0, **one).to_dict("records")
    np.testing.assert_allclose(own["idle"] * 512, json.loads(run["history_idle"]))
    assert own["fvu"].tolist() == json.loads(run["history_fvu"])
    axes = drawn(real_training, data)
    assert all(len(ax.get_lines()) == len(WIDTHS) for ax in axes)
    widest = axes[0].get_lines()[-1]
    assert widest.get_ydata().tolist() == (100.0 * own["idle"]).tolist()
    assert widest.get_xdata().tolist() == list(LOOKS)
    # where none is idle, the line is inside of the panel, not on its edge
    assert axes[6].get_ylim()[0] < 0.0 < axes[6].get_ylim()[1]
    broken = changed(tables, "runs", history_idle="[1,2]")
    with pytest.raises(ValueError, match=r"history_idle must hold 7 numbers, got shape \(2,\)"):
        real_training.data(broken)


# ---- latents ------------------------------------------------------------------------------------


def test_density_is_of_three_saes_of_each_kind(tables: Tables) -> None:
    data = real_density.data(tables)
    of = data.groupby(["kind", "k"])
    assert {key[1]: int(part["width"].iloc[0]) for key, part in of} == {16: 128, 32: 256, 64: 512}
    np.testing.assert_allclose(of["share"].sum(), 1.0)
    assert of["count"].sum().tolist() == of["alive"].first().tolist()
    for ax, kind in zip(drawn(real_density, data), ("tokens", "embeddings"), strict=True):
        own = data[data["kind"] == kind]
        shown = [p.get_data()[0] for p in ax.patches if not p.get_fill()]
        for values, (_, part) in zip(shown, own.groupby("k"), strict=True):
            np.testing.assert_allclose(values, 100.0 * part["share"])
        low, high = ax.get_xlim()
        assert own[(own["low"] < low) | (own["high"] > high)]["count"].sum() == 0
        assert "$k = 64$" in texts(ax)[2]
        assert "512, 0 dead" in texts(ax)[2]
    with pytest.raises(ValueError, match="density_counts of tokens TopK 16 at width 128 must add"):
        real_density.data(changed(tables, "latents", alive=7))
    with pytest.raises(ValueError, match=r"must have an SAE of .*dimension 64"):
        real_density.data(changed(tables, "latents", width=100))


def test_similarity_has_a_ridge_for_each_pair(tables: Tables) -> None:
    data = real_similarity.data(tables)
    pairs = data.groupby(["kind", "varied", "family", "width"])
    assert len(pairs) == len(tables.similarity)
    for _, part in pairs:
        assert part["share"].sum() == pytest.approx(1.0)
        # 0.95 and the median are inside of bins
        ends = [part.loc[part["low"] >= edge, "share"].sum() for edge in (0.959, 0.939)]
        assert ends[0] - 1e-12 <= part["above_95"].iloc[0] <= ends[1] + 1e-12
        below = part["share"].cumsum()
        median = part[(below >= 0.5 - 0.5 / 64)].iloc[0]
        assert median["low"] - 0.5 < part["median"].iloc[0]
    # decoders are nested, and noise grows with k
    at = where(tables.similarity, varied="k", width=512).groupby("family")["median"].max()
    assert at["TopK 32"] > at["TopK 64"]
    axes = drawn(real_similarity, data)
    labels = [text.get_text() for text in axes[0].get_yticklabels()]
    assert labels[:2] == ["$k$ = 16: 128 in 64", "$k$ = 16: 256 in 128"]
    assert [len(ax.get_yticklabels()) for ax in axes] == [9, 9, 8, 8]
    first = where(tables.similarity, kind="tokens", varied="width").iloc[0]
    assert f"{first['above_95']:.1%}" in [text.get_text() for text in axes[0].texts]
    with pytest.raises(ValueError, match="varied must be one of width, k, got 'seed'"):
        real_similarity.data(changed(tables, "similarity", varied="seed"))


def test_frequencies_have_lines_between_their_ranks_alone(tables: Tables) -> None:
    data = real_frequencies.data(tables)
    for (kind, family), part in data.groupby(["kind", "family"]):
        law, shown = part[part["what"] == "law"], part[part["what"] == "latent"]
        row = where(tables.latents, kind=kind, family=family, width=512).iloc[0]
        last = min(int(512 * LAST_SHARE), row["alive"])
        assert law["rank"].tolist() == [FIRST_RANK, last]
        slope = np.diff(np.log(law["frequency"])) / np.diff(np.log(law["rank"]))
        assert slope[0] == pytest.approx(row["slope"], rel=1e-9)
        falling = np.sort(tables.frequencies[f"{kind}_{family}_512".replace(" ", "_")])[::-1]
        ranks = shown["rank"].to_numpy(int)
        assert shown["frequency"].tolist() == falling[ranks - 1].tolist()
        assert (ranks[0], ranks[-1]) == (1, row["alive"])
        # of a power law the line goes through the curve: 10^5 counts are known to 1%
        np.testing.assert_allclose(law["frequency"], falling[[FIRST_RANK - 1, last - 1]], rtol=0.02)
    for ax in drawn(real_frequencies, data):
        lines = [line.get_xdata().tolist() for line in ax.get_lines()]
        assert sum(len(x) == 2 for x in lines) == 4
        assert "-0.74 (16k), -0.57 (32k)" in ax.get_legend().get_title().get_text()
        assert texts(ax)[0].startswith("TopK 16: -0.7")


def test_a_family_with_too_few_ranks_has_a_curve_and_no_line(tables: Tables) -> None:
    few = tables.latents["family"] == "ReLU"
    status = tables.latents["slope_status"].mask(few, "too few ranks")
    slope = tables.latents["slope"].mask(few, np.nan)
    some = changed(tables, "latents", slope=slope, slope_status=status)
    for ax in drawn(real_frequencies, real_frequencies.data(some)):
        assert sum(len(line.get_xdata()) == 2 for line in ax.get_lines()) == 3
        assert texts(ax)[3] == "ReLU: too few ranks"
    wrong = {key: values[1:] for key, values in tables.frequencies.items()}
    with pytest.raises(ValueError, match="frequencies of tokens_TopK_16_512 must be 512 numbers"):
        real_frequencies.data(dataclasses.replace(tables, frequencies=wrong))
    with pytest.raises(ValueError, match=r"tables\.frequencies must have tokens_TopK_16_512"):
        real_frequencies.data(dataclasses.replace(tables, frequencies={}))


def test_neighbours_show_the_widest_saes_and_their_dead(tables: Tables) -> None:
    data = real_neighbours.data(tables)
    assert set(data["width"]) == {512}
    bins = data[data["what"] == "bin"]
    for name in ("share", "even", "anisotropic"):
        np.testing.assert_allclose(
            bins.groupby(["kind", "family"])[name].sum(), 1.0, atol=2e-3, err_msg=name
        )
    axes = drawn(real_neighbours, data)
    for at, family in enumerate(("TopK 16", "TopK 32", "TopK 64", "ReLU")):
        own = bins[(bins["kind"] == "tokens") & (bins["family"] == family)]
        filled = [patch.get_data()[0] for patch in axes[at].patches if patch.get_fill()]
        np.testing.assert_allclose(filled, [100.0 * own["share"]])
        assert axes[at].get_title().startswith(family)
    # one family has dead latents, one of which is the twin of a live one
    written = [[text.get_text() for text in axes[i].texts] for i in (4, 9)]
    assert [some.count("no dead latents") for some in written] == [3, 4]
    assert [some.count("no near-duplicates") for some in written] == [3, 4]
    alive, twin, dead = (line.get_xdata()[0] for line in axes[4].get_lines())
    assert alive == pytest.approx(100.0 / 409)
    assert (twin, dead) == pytest.approx((100.0, 100.0 / 103))
    with pytest.raises(ValueError, match="cosine_counts of tokens TopK 16 at width 512 must add"):
        real_neighbours.data(changed(tables, "latents", alive=7))


# ---- the diagnosis ------------------------------------------------------------------------------


def test_diagnosis_has_a_dot_for_all_evidence_that_there_was(tables: Tables) -> None:
    data = real_diagnosis.data(tables)
    assert data.groupby("evidence").size().to_dict() == {
        "all": 8, "losses": 8, "cosines": 8, "frequencies": 7
    }  # fmt: skip
    doubted = data[~data["believed"]]
    assert set(zip(doubted["family"], doubted["evidence"], strict=True)) == {
        ("ReLU", "losses"), ("ReLU", "all")
    }  # fmt: skip
    (ax,) = drawn(real_diagnosis, data)
    dots = [line for line in ax.get_lines() if line.get_marker() not in ("None", None)]
    assert sorted(line.get_xdata()[0] for line in dots) == sorted(data["pathological"])
    assert sum(line.get_markerfacecolor() == "white" for line in dots) == len(doubted)
    guides = [line.get_xdata()[0] for line in ax.get_lines() if line.get_linestyle() == "--"]
    assert guides == pytest.approx([0.2, 0.8])
    written = [text.get_text().replace("\n", " ") for text in ax.texts]
    for verdict, part in tables.diagnoses.groupby("verdict"):
        also = 1 if verdict in ("benign", "pathological") else 0  # the names of the regimes
        assert written.count(str(verdict)) == len(part) + also
    with pytest.raises(ValueError, match=r"pathological must hold numbers in \[0, 1\]"):
        real_diagnosis.data(changed(tables, "diagnoses", pathological=1.2))


def test_diagnosis_without_frequencies_at_all(tables: Tables) -> None:
    some = tables.diagnoses.drop(columns=["frequencies_alone", "frequencies_misfit"])
    data = real_diagnosis.data(dataclasses.replace(tables, diagnoses=some))
    assert set(data["evidence"]) == {"all", "losses", "cosines"}


# ---- what they share ----------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8, unique=True))
def test_widths_can_be_told_apart_in_grey(widths: list[int]) -> None:
    from matplotlib.colors import to_rgb

    styles = real_shared.width_styles(widths)
    assert list(styles) == sorted(widths)
    grey = [np.dot((0.299, 0.587, 0.114), to_rgb(style.colour)) for style in styles.values()]
    assert (np.diff(grey) < 0.0).all()  # the wider, the darker
    assert len({style.marker for style in styles.values()}) == len(widths)


def test_families_are_ordered_and_told_apart() -> None:
    names = ["ReLU", "TopK 64", "TopK 8", "TopK 16", "TopK 32"]
    styles = real_shared.styles(names)
    assert list(styles) == ["TopK 8", "TopK 16", "TopK 32", "TopK 64", "ReLU"]
    for part in range(2):
        assert len({style[part] for style in styles.values()}) == 5
    with pytest.raises(ValueError, match="or of 3 more"):
        real_shared.styles([f"TopK {k}" for k in (1, 2, 3, 4)])


@settings(deadline=None, max_examples=40)
@given(st.floats(1e-4, 10.0), st.floats(1.11, 1e3))
def test_logarithmic_axes_have_ticks_at_round_places(low: float, ratio: float) -> None:
    ax = Figure().subplots()
    real_shared.log_axis(ax, low, low * ratio)
    ticks, labels = ax.get_yticks(), [text.get_text() for text in ax.get_yticklabels()]
    assert ax.get_ylim() == pytest.approx((low, low * ratio))
    assert 1 <= len(ticks) <= 16
    assert [float(label) for label in labels] == pytest.approx(ticks, rel=1e-6)
    assert ((low <= ticks) & (ticks <= low * ratio)).all()


@given(
    st.integers(1, 4096), st.integers(1, 10**5), st.integers(1, 64), st.sampled_from([1, 64, 1024])
)
def test_dimension_comes_back_from_the_cost_of_a_step(d: int, n: int, k: int, batch: int) -> None:
    k = min(k, n)
    flops = sae_training_flops(n, d, batch, k=k)
    run = {"family": "TopK 16", "width": n, "batch_size": batch, "k": k, "step_flops": flops}
    assert real_shared.dimension(pd.DataFrame([run])) == d
