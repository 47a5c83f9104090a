"""The study of recovery: its population, how sparsity is matched, what is stored."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.sae import ReLU, Store, Superposition, TopK
from scaling_theory.sae.manifolds import Points
from scaling_theory.sae.metrics import recovery
from scaling_theory.sae.studies import __main__ as command
from scaling_theory.sae.studies import _recovery_design as design
from scaling_theory.sae.studies import recovery as study
from scaling_theory.sae.studies._recovery_references import _best_thresholds, references
from scaling_theory.sae.weights import Weights

P = sth.EmpiricalFrequencies([0.5, 0.4, 0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
SMALL = Superposition(
    P, Points(), orientation="random", dimension=6, parents={(4, 5): 1, 6: 4, 7: 2}
)
TINY = design.Design(
    data=lambda: SMALL,
    active=2,
    contenders=(
        design.Contender("ReLU", lambda v: ReLU(l1=v), (0.1, 0.3)),
        design.Contender("TopK", lambda v: TopK(round(v))),
    ),
    recipe={"width": 8, "steps": 100, "batch_size": 64, "learning_rate": 1e-2, "evaluation": 500},
    seeds=(0, 1),
    samples=4000,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    where = tmp_path_factory.mktemp("recovery")
    said: list = []
    rows = study.train_recovery(
        where / "out", where / "runs", TINY, progress=False, on_row=said.append
    )
    return where, rows, said


# ---- the population -------------------------------------------------------------------------


def test_the_population_is_what_it_is_said_to_be():
    data = design.population()
    assert (data.features, data.dimension) == (512, 96)
    assert data.probabilities.sum() == pytest.approx(design.ACTIVE, rel=1e-12)
    slope = np.diff(np.log(data.probabilities)) / np.diff(np.log(np.arange(1, 513)))
    np.testing.assert_allclose(slope, -0.5, rtol=1e-9)
    sizes = {level: len(index) for level, index in design.levels(data).items()}
    assert sum(sizes.values()) == 512
    assert 0.6 < 1 - sizes["alone"] / 512 < 0.7  # two thirds are in trees
    assert min(sizes.values()) >= 50
    assert data.exclusive
    assert design.population() is data


def test_no_feature_hides_its_parent_always():
    data = design.population()
    p = data.probabilities
    for children, above in data.parents:
        assert p[np.array(children) - 1].sum() <= design.FULL * p[above - 1]
        assert 1 <= len(children) <= design.CHILDREN


@settings(deadline=None, max_examples=30)
@given(st.integers(65, 300), st.integers(0, 1000), st.floats(0.0, 1.5))
def test_any_forest_has_room_and_three_levels(size, seed, zipf):
    p = 0.5 * np.arange(1, size + 1) ** -zipf
    parents = design.forest(p, seed)
    data = Superposition(sth.EmpiricalFrequencies(p), Points(), parents=parents, exclusive=bool(
        parents))  # fmt: skip
    depth = dict.fromkeys(range(1, size + 1), 0)
    for child, above in sorted(parents.items()):
        assert child > above
        depth[child] = depth[above] + 1
    assert max(depth.values()) < design.LEVELS
    assert sum(len(index) for index in design.levels(data).values()) == size


# ---- sparsity -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 100.0), st.floats(0.3, 4.0), st.floats(-0.1, 0.3), st.floats(0.05, 20.0))
def test_the_weight_is_found_for_any_smooth_fall_of_l0(scale, power, curved, start):
    """log L0 = -power x - curved x^2 for x = log(weight / scale) above 0, a straight line below."""

    def log_l0(weight):
        x = math.log(weight / scale)
        return 2.4 - power * x - curved * max(x, 0.0) ** 2

    if 2 * curved * math.log(8) * 6 + power < 0.1:
        return
    tried = {v: log_l0(v) for v in (start, 2 * start)}
    for _ in range(8):
        weight = study.next_weight(tried, 2.4)
        assert weight > 0.0
        tried[weight] = log_l0(weight)
    assert min(abs(v - 2.4) for v in tried.values()) < 0.05


def test_the_next_weight_is_on_the_line_between():
    tried = {1.0: math.log(40.0), 4.0: math.log(10.0)}
    assert study.next_weight(tried, math.log(20.0)) == 2.0
    assert study.next_weight(tried, math.log(5.0)) == 8.0
    assert study.next_weight(tried, math.log(1e-9)) == 32.0  # at most a factor of 8
    assert study.next_weight({1.0: 1.0, 2.0: 1.0}, 0.5) == 8.0  # a flat line says only: more


# ---- what is stored -------------------------------------------------------------------------


def test_rows_are_what_was_measured(trained):
    where, rows, said = trained
    last = rows[rows["stage"] == "reference"]
    assert rows["architecture"].unique().tolist() == ["ReLU", "TopK", *last["architecture"]]
    final = rows[rows["stage"] == "final"]
    assert final.groupby("architecture")["seed"].apply(list).tolist() == [[0, 1], [0, 1]]
    assert len({row["key"] for row in said}) == len(said) == len(rows) - len(last)
    store = Store(where / "runs")
    for row in final.to_dict("records"):
        contender = next(c for c in TINY.contenders if c.name == row["architecture"])
        spec = TINY.spec(contender, row["value"], row["seed"])
        assert spec.key == row["key"]
        tensors = store.weights(spec)
        weights = Weights.from_named(tensors)
        parts = SMALL.sample_parts(TINY.samples, spec.generator("recovery"))
        found = recovery(spec.architecture, weights, parts)
        assert row["mcc"] == pytest.approx(found.mcc, rel=1e-5)
        assert row["latent_f1"] == pytest.approx(float(found.latent_f1.mean()), rel=1e-5)
        assert row["l0"] == pytest.approx(found.l0, rel=1e-5)
        among = torch.zeros(8, dtype=torch.bool)
        among[[2, 7]] = True  # outside of trees
        assert row["f1_alone"] == pytest.approx(found.mean("f1", among=among), rel=1e-5)
        assert row["true_l0"] == pytest.approx(P.at(range(1, 9)).sum(), rel=0.05)


def test_the_weight_is_that_of_the_nearest_l0(trained):
    _, rows, _ = trained
    relu = rows[(rows["architecture"] == "ReLU") & (rows["seed"] == 0)]
    off = np.log(relu["l0"] / 2).abs()
    assert relu.loc[off.idxmin(), "stage"] == "final"
    assert 2 <= len(relu) <= study.TRIES
    assert (relu["stage"] == "final").sum() == 1
    assert off.min() < 0.15
    assert rows.loc[rows["architecture"] == "TopK", "value"].tolist() == [2.0, 2.0]


def test_what_is_trained_is_not_trained_again(trained, tmp_path, monkeypatch):
    where, rows, _ = trained
    monkeypatch.setattr("scaling_theory.sae.sweep.Trainer", None)
    again = study.train_recovery(tmp_path, where / "runs", TINY, progress=False)
    pd.testing.assert_frame_equal(again, rows)
    written = [folder / "recovery.csv" for folder in (tmp_path, where / "out")]
    assert written[0].read_bytes() == written[1].read_bytes()


def test_tables_are_means_over_seeds(trained):
    _, rows, _ = trained
    table = study.recovery_table(rows).set_index("architecture")
    assert table["f1"].iloc[:-2].is_monotonic_decreasing
    assert table["f1"].iloc[-2:].is_monotonic_decreasing
    final = rows[(rows["stage"] == "final") & (rows["architecture"] == "TopK")]
    assert len(final) == 2
    for name in ("l0", "mcc", "f1", "precision", "recall", "latent_f1", "dead", "fvu"):
        assert table.loc["TopK", name] == pytest.approx(final[name].mean())
    assert table.loc["TopK", "mcc_sd"] == pytest.approx(final["mcc"].std())
    levels = study.level_table(rows).set_index("architecture")
    assert list(levels.index) == list(table.index)
    assert levels.loc["TopK", "recall_leaf"] == pytest.approx(final["recall_leaf"].mean())


def test_references_have_the_true_directions(trained):
    _, rows, _ = trained
    told = rows[rows["stage"] == "reference"].set_index("architecture")
    assert list(told.index) == ["true directions", "linear probes"]
    np.testing.assert_allclose(told["mcc"], 1.0, rtol=1e-6)
    assert told.loc["true directions", "l0"] <= 2.0
    # Probes with thresholds of their own say more than products with one rule for all.
    assert told.loc["linear probes", "f1"] > told.loc["true directions", "f1"]


def test_probes_are_perfect_where_features_do_not_overlap():
    apart = Superposition(P, Points(), orientation="random", dimension=40, seed=2)
    weights = references(apart, 2, 4000)[1].weights
    found = recovery(ReLU(), weights, apart.sample_parts(2000, torch.Generator().manual_seed(1)))
    assert found.mean("f1") == 1.0


def test_thresholds_are_those_of_the_best_f1():
    draw = torch.Generator().manual_seed(0)
    active = torch.rand(200, 5, generator=draw) < 0.3
    z = torch.randn(200, 5, generator=draw, dtype=torch.float64) + active
    best = _best_thresholds(z, active)
    for i in range(5):
        scores = [f1(z[:, i] > t, active[:, i]) for t in z[:, i] - 1e-9]
        assert f1(z[:, i] > best[i], active[:, i]) == pytest.approx(max(scores), rel=1e-12)


def f1(said, so):
    return float(2 * (said & so).sum() / (said.sum() + so.sum()))


def test_a_folder_without_rows_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"recovery\.csv"):
        study.recovery_rows(tmp_path)


def test_the_command_prints_what_is_stored_and_trains(capsys, monkeypatch):
    assert command.main(["recovery"]) == 0
    printed = capsys.readouterr().out
    for contender in design.CONTENDERS:
        assert contender.name in printed
    called: list = []
    monkeypatch.setattr(command, "train_recovery", lambda on_row: called.append(on_row))
    assert command.main(["recovery", "--train"]) == 0
    assert len(called) == 1


def test_the_stored_rows_are_those_of_the_design():
    rows = study.recovery_rows()
    final = rows[rows["stage"] == "final"]
    for contender in design.CONTENDERS:
        mine = final[final["architecture"] == contender.name]
        assert mine["seed"].tolist() == list(design.SEEDS)
        for row in mine.to_dict("records"):
            assert design.DESIGN.spec(contender, row["value"], row["seed"]).key == row["key"]
    keys = rows.loc[rows["stage"] != "reference", "key"]
    assert keys.is_unique
    assert keys.notna().all()
