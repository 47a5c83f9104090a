"""The study of real activations, from rows to tables, on small made-up rows."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from held_rows import Held

from scaling_theory.sae import Activations, Store
from scaling_theory.sae.studies.real import Preset, Tables, judge, laws, make_real, runs
from scaling_theory.sae.studies.real.latents import COSINE_EDGES, DENSITY_EDGES

D = 16
SMALL = Preset(
    name="small", tokens=0, texts=0, context=0, multiples=(4, 8, 16), ks=(2, 4, 8), matched=4,
    steps={"tokens": 100, "embeddings": 80}, learning_rate=0.02,
    l1={"tokens": 0.03, "embeddings": 0.03}, frequency_rows=4000,
)  # fmt: skip


def rows(seed):
    """Sparse sums of 200 directions with power-law frequencies."""
    rng = np.random.default_rng(seed)
    atoms = rng.standard_normal((200, D))
    p = 0.6 * np.arange(1, 201) ** -0.8
    x = (rng.random((6000, 200)) < p) * rng.random((6000, 200)) @ atoms
    return Held((x + 0.05 * rng.standard_normal(x.shape)).astype(np.float32), 1000, f"{seed:016d}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Tables, the folder of the runs, and what was said."""
    patch = pytest.MonkeyPatch()
    patch.setattr(runs, "collect", lambda *_: {"tokens": data(1), "embeddings": data(2)})
    folder = tmp_path_factory.mktemp("real")
    said = []
    tables = make_real(SMALL, folder, progress=False, say=said.append)
    yield tables, folder, said
    patch.undo()


def data(seed):
    return Activations(rows(seed))


def test_every_run_has_a_row_and_a_history(made):
    tables, _, said = made
    table = tables.runs
    counts = table.groupby(["kind", "family", "width"]).size()
    for kind in ("tokens", "embeddings"):
        for k in SMALL.ks:
            assert counts[kind, f"TopK {k}"].tolist() == [3, 1, 1]
        assert counts[kind, "ReLU"].tolist() == [6, 2, 2]
    for run in table.to_dict("records"):
        steps, fvu = json.loads(run["history_steps"]), json.loads(run["history_fvu"])
        assert steps[-1] == run["steps"]
        assert len(steps) == len(fvu) == len(json.loads(run["history_idle"]))
        if run["family"] != "ReLU":
            assert run["l0"] <= run["k"]
    assert len(said) == 5
    assert said[0].startswith("1 of 5")


def test_relu_is_matched_between_two_runs(made):
    tables = made[0]
    relu = tables.runs[tables.runs["family"] == "ReLU"]
    losses = tables.losses.query("family == 'ReLU'").set_index(["kind", "width"])
    for key, part in relu[relu["seed"] == 0].groupby(["kind", "width"]):
        assert part["l0"].min() < SMALL.matched <= part["l0"].max()
        at, (_, width) = losses.loc[key], key
        if width > 64:
            assert part["fvu"].min() <= at["loss"] <= part["fvu"].max()


def test_latents_are_those_of_the_first_seeds(made):
    tables = made[0]
    assert len(tables.latents) == 2 * 4 * 3
    for one in tables.latents.to_dict("records"):
        assert sum(json.loads(one["density_counts"])) == one["alive"]
        assert sum(json.loads(one["cosine_counts"])) == one["alive"]
        assert len(json.loads(one["density_counts"])) == len(DENSITY_EDGES) - 1
        assert len(json.loads(one["even_shares"])) == len(COSINE_EDGES) - 1
        assert 0 <= one["alive"] <= one["width"]
    assert set(tables.frequencies) == set(tables.cosines)
    assert all(v.shape == (256,) for v in tables.frequencies.values())
    for name, frequencies in tables.frequencies.items():
        assert np.array_equal(np.isnan(tables.cosines[name]), frequencies == 0.0)


def test_similarity_is_of_pairs_that_differ_in_one_thing(made):
    table = made[0].similarity
    assert (table.groupby(["kind", "varied"]).size() == 6).all()
    for row in table.to_dict("records"):
        if row["varied"] == "width":
            assert (row["family"], row["width"]) == (row["in_family"], 2 * row["in_width"])
        else:
            assert row["width"] == row["in_width"]
            assert row["family"].split()[1] == str(2 * int(row["in_family"].split()[1]))


def test_each_family_is_diagnosed(made):
    table = made[0].diagnoses
    assert len(table) == 8
    assert table["pathological"].between(0.0, 1.0).all()
    assert {"losses_alone", "frequencies_alone", "alpha", "alpha_low", "verdict"} <= set(table)


def test_tables_come_back_from_files(made, tmp_path):
    tables, folder, _ = made
    tables.save(tmp_path, "small")
    back = Tables.load("small", tmp_path)
    for name in ("runs", "losses", "latents", "similarity", "diagnoses"):
        one, two = getattr(tables, name), getattr(back, name)
        assert list(one.columns) == list(two.columns)
        for column in one:
            if one[column].dtype.kind == "f":
                np.testing.assert_allclose(one[column], two[column], rtol=1e-6)
            elif column != "k":
                assert one[column].astype(str).tolist() == two[column].astype(str).tolist()
    for name, values in tables.cosines.items():
        np.testing.assert_array_equal(back.cosines[name], values.astype(np.float32))
    assert back.record == tables.record
    assert (folder / "tables" / "real_small_runs.csv").exists()
    with pytest.raises(FileNotFoundError, match="reproduce --only real --preset paper"):
        Tables.load("paper", tmp_path)


def test_the_same_call_trains_nothing_again(made, monkeypatch):
    tables, folder, _ = made
    monkeypatch.setattr(judge, "judge", lambda *_: tables.diagnoses)  # takes its time
    before = Store(folder / "saes").table()
    again = make_real(SMALL, folder, progress=False)
    after = Store(folder / "saes").table()
    pd.testing.assert_frame_equal(before, after)
    assert again.losses.equals(tables.losses)


# ---- laws ---------------------------------------------------------------------------------------


def losses(exponent, floor=0.0):
    n = np.array([384, 768, 1536, 3072])
    parts = [
        pd.DataFrame({
            "kind": "tokens", "family": f"TopK {k}", "k": k, "width": n,
            "loss": floor + 2.0 * k**-0.3 * n**-exponent, "stderr": 1e-3, "seeds": 1,
        })
        for k in (16, 32, 64)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_width_laws_find_the_exponent():
    found = laws.width_laws(losses(0.15)).query("floor == 'zero'")
    np.testing.assert_allclose(found["exponent"], 0.15, rtol=1e-6)
    np.testing.assert_allclose(found["scale"], 2.0 * np.array([16, 32, 64]) ** -0.3, rtol=1e-6)
    np.testing.assert_allclose(found["r2"], 1.0, rtol=1e-9)
    assert found["oneill"].tolist() == ["0.12, 0.13", "0.13, 0.14", "0.15, 0.17"]


def test_compute_laws_are_of_the_frontier():
    """Runs of L = C^-0.2 while they are narrow enough, flat after: widths take turns."""
    parts = []
    for k in (16, 32, 64):
        for width in (384, 768, 1536):
            flops = np.geomspace(1e9, 1e12, 40) * width / 384
            loss, flat = flops**-0.2, (4e9 * (width / 384) ** 3) ** -0.2
            # a step is 3.6%: no look on the flat part equals the last one before it
            loss = np.where(loss < flat, 1.05 * flat, loss)
            parts.append(pd.DataFrame({
                "kind": "tokens", "family": f"TopK {k}", "k": k, "width": width,
                "step": np.arange(40), "flops": flops, "loss": loss,
            }))  # fmt: skip
    found = laws.compute_laws(pd.concat(parts)).query("floor == 'zero'")
    np.testing.assert_allclose(found["exponent"], 0.2, rtol=1e-6)
    assert (found["points"] < 120).all()


def test_joint_law_through_points_of_its_own():
    n, k = np.meshgrid([384.0, 768.0, 1536.0, 3072.0], [16.0, 32.0, 64.0])
    points = pd.DataFrame({
        "kind": "tokens", "family": "TopK", "k": k.ravel().astype(int), "width": n.ravel(),
        "loss": np.exp(1.0 - 0.3 * np.log(k) - 0.1 * np.log(n) - 0.01 * np.log(k) * np.log(n))
        .ravel(),
    })  # fmt: skip
    assert (laws.joint_laws(points)["rms"] < 1e-6).all()


def test_errors_are_pooled_over_the_families_of_a_kind():
    """sd of ln loss over three seeds: (0.01^2 + 0.03^2)/2 for two families."""
    rows = []
    for family, k, sd in (("TopK 16", 16, 0.01), ("TopK 32", 32, 0.03)):
        for seed, z in enumerate((-1.0, 0.0, 1.0)):
            rows.append(("tokens", family, k, None, 384, seed, 0.2 * math.exp(sd * z), k))
        rows.append(("tokens", family, k, None, 768, 0, 0.1, k))
    names = ["kind", "family", "k", "l1", "width", "seed", "fvu", "l0"]
    found = laws.losses(pd.DataFrame(rows, columns=names))
    sd = math.sqrt((0.01**2 + 0.03**2) / 2.0)
    np.testing.assert_allclose(found["loss"], [0.2, 0.1, 0.2, 0.1], rtol=1e-12)
    np.testing.assert_allclose(
        found["stderr"], np.array([0.2 / math.sqrt(3), 0.1, 0.2 / math.sqrt(3), 0.1]) * sd
    )


def test_an_l0_that_is_not_between_is_refused():
    rows = [("tokens", "ReLU", None, l1, 384, 0, 0.2, l0) for l1, l0 in ((0.1, 40.0), (0.2, 33.0))]
    names = ["kind", "family", "k", "l1", "width", "seed", "fvu", "l0"]
    with pytest.raises(ValueError, match="an L0 below and one above 32"):
        laws.losses(pd.DataFrame(rows, columns=names))


def test_exponents_by_length_are_those_of_each():
    n = np.array([384, 768, 1536, 3072])
    parts = [
        pd.DataFrame({"steps": steps, "width": n, "fvu": n**-b, "dead": 0, "k": 32})
        for steps, b in ((100, 0.3), (400, 0.2))
    ]
    found = laws.by_length(pd.concat(parts).sample(frac=1.0, random_state=0))
    assert found["width"].tolist() == [*n, *n]
    for steps, b in ((100, 0.3), (400, 0.2)):
        part = found[found["steps"] == steps]
        np.testing.assert_allclose(part["exponent"], b, rtol=1e-6)
        np.testing.assert_allclose(part["local"].iloc[1:], b, rtol=1e-9)
