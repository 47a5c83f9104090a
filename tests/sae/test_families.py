"""Trained families: truth from single manifolds, what is stored is what was measured."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from scaling_theory.sae import (
    Circle,
    Points,
    ReLU,
    Shell,
    Sphere,
    Store,
    TopK,
    Weights,
    evaluate,
    ownership,
    train,
)
from scaling_theory.sae.metrics import duplicates
from scaling_theory.sae.studies import __main__ as command
from scaling_theory.sae.studies.__main__ import main
from scaling_theory.sae.studies._designs import DESIGNS, SINGLES, Design, Single, short
from scaling_theory.sae.studies.families import (
    FOLDER,
    exponents_table,
    families_table,
    train_families,
    trained_families,
)

TINY = {"steps": 60, "batch_size": 128, "learning_rate": 5e-3, "evaluation": 700}
SOME = (
    Design("some", 1.0, 0.5, 4, Sphere(2), {(2, 3): Points()}, widths=(3, 9), recipe=TINY),
    Design(
        "others", 0.1, 0.5, 5, Points(), {4: Circle()}, TopK(2), 6, widths=(4, 8), recipe=TINY
    ),
    Design("points", 0.4, 0.5, 3, Points(), widths=(2, 4), recipe=TINY),
)  # fmt: skip
#: Ranks that are not points.
SLOW = {"some": [1, 4], "others": [4], "points": []}
ALONE = (
    Single(Sphere(2), widths=(4, 6, 8, 16, 32), recipe=TINY),
    Single(Circle(), TopK(2), widths=(4, 6, 8, 16, 32), recipe={**TINY, "steps": 400}),
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tensors are tiny here: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Files, store, and what was returned."""
    where = tmp_path_factory.mktemp("families")
    found = train_families(
        where / "files", where / "store", SOME, ALONE, path="blocked", progress=False
    )
    return where / "files", where / "store", found


@pytest.fixture(scope="module")
def stored():
    return trained_families()


def measured(spec, store):
    """An SAE of a store, and its evaluation on the samples of its own specification."""
    weights, kept = Weights(spec.width, spec.data.dimension), Store(store).weights(spec)
    for name in ("encoder", "encoder_bias", "decoder", "decoder_bias"):
        getattr(weights, name).copy_(kept[name])
    x = spec.data.sample(spec.evaluation, spec.generator("evaluation"))
    return weights, evaluate(spec.architecture, weights, x)


# ---- what is stored -----------------------------------------------------------------------------


def test_what_is_stored_is_what_the_trained_saes_do(trained):
    """Measured again from their weights: losses, firing, cosines one by one, owners."""
    folder, store, _ = trained
    for design, family in zip(SOME, trained_families(folder, SOME, ALONE), strict=True):
        assert (family.name, family.alpha, family.stderr) == (design.name, design.alpha, None)
        assert family.widths.tolist() == list(design.widths)
        assert family.samples == TINY["evaluation"]
        for k, spec in enumerate(design.specs()):
            weights, at = measured(spec, store)
            assert family.losses[k] == pytest.approx(at.loss, rel=1e-5)
            assert family.fvu[k] == pytest.approx(at.fvu, rel=1e-5)
            assert family.dead[k] == at.dead
            assert family.duplicates[k] == duplicates(weights, alive=at.alive)
            np.testing.assert_allclose(
                family.frequencies[spec.width], at.frequencies.numpy(), rtol=1e-6
            )
            unit = weights.decoder.double() / weights.decoder.double().norm(dim=1, keepdim=True)
            product = (unit @ unit.T).fill_diagonal_(-2.0)
            product[:, ~at.alive] = -2.0
            near = product.amax(1).masked_fill(~at.alive, math.nan)
            np.testing.assert_allclose(family.cosines[spec.width], near.numpy(), atol=6e-5)
            owners = ownership(
                spec.architecture, weights,
                spec.data.sample_parts(16_384, spec.generator("ownership")),
            ).owner.numpy()  # fmt: skip
            ranks = owners[owners >= 0] + 1
            slow = np.isin(ranks, SLOW[family.name] if family.beta < family.alpha else [])
            assert family.taken_over[k] == pytest.approx(slow.mean())


def test_training_again_reads_the_store_and_writes_the_same(trained, tmp_path):
    folder, store, found = trained
    again = train_families(tmp_path, store, SOME, ALONE, progress=False)
    for name in ("families.csv", "families.npz"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    assert [repr(f) for f in again] == [repr(f) for f in found]


def test_departures_say_architecture_manifolds_and_random_subspaces(trained):
    some_, others, points = trained[2]
    assert some_.departures == ("ReLU 0.1", "sphere 2", "points")
    assert others.departures == ("TopK 2", "points", "circle", "random subspaces")
    assert points.departures == ("ReLU 0.1", "points")


def test_points_alone_have_no_exponent_and_are_benign(trained):
    points = trained[2][2]
    assert (points.regime, points.beta, points.clear) == ("benign", math.inf, True)
    assert points.taken_over.tolist() == [0.0, 0.0]


def test_missing_files_and_runs_are_refused(trained, tmp_path):
    folder = trained[0]
    with pytest.raises(FileNotFoundError, match=r"families\.csv"):
        trained_families(tmp_path, SOME, ALONE)
    more = Design("more", 1.0, 0.5, 4, Points(), widths=(3, 9), recipe=TINY)
    with pytest.raises(ValueError, match=r"must have every run of 'more', but lacks 2 of 2"):
        trained_families(folder, [*SOME, more], ALONE)
    with pytest.raises(ValueError, match=r"singles must have 'circle alone, TopK 2', which 'other"):
        trained_families(folder, SOME, ALONE[:1])


@pytest.mark.parametrize("change", ["shift", "shorter", "longer"])
def test_latents_of_other_runs_are_refused(trained, tmp_path, change):
    folder = trained[0]
    (tmp_path / "families.csv").write_bytes((folder / "families.csv").read_bytes())
    with np.load(folder / "families.npz") as file:
        fires, cosines = file["fires"], file["cosines"]
    if change == "shift":
        fires = np.roll(fires, 1)
    else:
        fires, cosines = (
            (a[:-1] if change == "shorter" else np.append(a, a[:1])) for a in (fires, cosines)
        )
    np.savez_compressed(tmp_path / "families.npz", fires=fires, cosines=cosines)
    with pytest.raises(ValueError, match=r"families\.npz is not of the runs in"):
        trained_families(tmp_path, SOME, ALONE)


# ---- truth --------------------------------------------------------------------------------------


def made(tmp_path, trained, law):
    """The stored files with the losses of the sphere alone replaced by a law."""
    folder = trained[0]
    table = pd.read_csv(folder / "families.csv", dtype={"key": str})
    at = table["name"] == ALONE[0].name
    table.loc[at, "loss"] = [law(n) for n in table.loc[at, "width"]]
    table.to_csv(tmp_path / "families.csv", index=False)
    (tmp_path / "families.npz").write_bytes((folder / "families.npz").read_bytes())
    return trained_families(tmp_path, SOME[:1], ALONE[:1])[0]


@settings(max_examples=10, deadline=None)
@given(beta=some.floats(0.3, 2.0), floor=some.floats(0.0, 0.1))
def test_the_regime_is_that_of_the_law_of_the_manifold_alone(
    tmp_path_factory, trained, beta, floor
):
    """Losses without noise: beta is the law's, and alpha = 1 is on the side that it is on."""
    if abs(beta - 1.0) < 1e-3:  # what the fit resolves
        return
    family = made(tmp_path_factory.mktemp("law"), trained, lambda n: floor + 0.5 * n**-beta)
    assert family.beta == pytest.approx(beta, abs=1e-3)
    assert family.regime == ("pathological" if beta < 1.0 else "benign")
    assert family.clear
    assert (family.taken_over > 0).any() == (beta < 1.0)
    assert f"sphere 2: beta {family.beta:.2f}" in family.truth


def test_a_curve_that_hardly_falls_is_a_plateau(tmp_path, trained):
    """Just on either side of 5% from 4d = 8 to 32 latents; the slow fall itself has no say."""
    fall = math.log(0.951) / math.log(4.0)
    family = made(tmp_path, trained, lambda n: 0.3 * n**fall)
    assert (family.beta, family.regime, family.clear) == (math.inf, "benign", True)
    assert "a plateau (the loss falls by 4.9% from 4d to 64d latents)" in family.truth
    fall = math.log(0.949) / math.log(4.0)
    assert made(tmp_path, trained, lambda n: 0.3 * n**fall).beta < 0.1


def test_exponents_that_hold_alpha_in_their_interval_are_not_clear(tmp_path, trained):
    rough = {4: 1.15, 6: 0.8, 8: 1.2, 16: 0.85, 32: 1.1}
    family = made(tmp_path, trained, lambda n: rough[n] / n)
    assert not family.clear
    assert family.regime == "other"


# ---- the families of the package ----------------------------------------------------------------


def test_every_manifold_has_a_curve_of_its_own_and_of_its_architecture():
    alone = {single.name for single in SINGLES}
    met = {
        Single(manifold, design.architecture).name
        for design in DESIGNS
        for manifold in design.data().manifolds
        if not isinstance(manifold, Points)
    }
    assert met == alone
    assert len({design.name for design in DESIGNS}) == len(DESIGNS)
    # a plateau is where a threshold can't follow the radius: not known of TopK
    assert not any("TopK" in name for name in alone if "shell" in name)


def test_stored_families_are_enough_of_both_regimes(stored):
    regimes = [family.regime for family in stored]
    assert min(regimes.count("benign"), regimes.count("pathological")) >= 10
    assert all(family.clear == (family.regime != "other") for family in stored)
    assert all(family.taken_over[-1] > 0.1 for family in stored if family.regime == "pathological")
    assert sum(file.stat().st_size for file in FOLDER.glob("families.*")) < 200_000


def test_stored_families_are_whole(stored):
    for family in stored:
        k = family.widths.size
        assert k >= 5
        assert (np.diff(family.widths) > 0).all()
        for values in (family.losses, family.fvu, family.taken_over, family.dead):
            assert values.shape == (k,)
        assert set(family.frequencies) == set(family.cosines) == set(family.widths.tolist())
        for n, rates, near, dead in zip(
            family.widths.tolist(), family.frequencies.values(), family.cosines.values(),
            family.dead, strict=True,
        ):  # fmt: skip
            assert rates.shape == near.shape == (n,)
            assert ((rates >= 0.0) & (rates <= 1.0)).all()
            assert (rates == 0.0).sum() == dead
            assert (np.isnan(near) == (rates == 0.0)).all()
            assert (np.abs(near[rates > 0.0]) <= 1.0).all()


@pytest.mark.slow
def test_stored_losses_are_those_of_training_again(stored):
    """The narrowest SAEs of three families: other processors round otherwise, no more."""
    for design, family in list(zip(DESIGNS, stored, strict=True))[::12]:
        row = train([design.specs()[0]], progress=False).iloc[0]
        assert family.losses[0] == pytest.approx(row["loss"], rel=0.02)


@pytest.mark.slow
def test_a_diagnosis_takes_them(stored):
    from scaling_theory.analysis.calibration import judge

    said = judge(stored[::10])
    assert said["pathological"].between(0.0, 1.0).all()
    assert said["evidence"].tolist() == ["losses+frequencies+cosines"] * len(said)


# ---- tables and the command ---------------------------------------------------------------------


def test_tables_are_those_of_the_families(trained):
    folder, _, found = trained
    table = families_table(found)
    assert table["name"].tolist() == [design.name for design in SOME]
    assert table["regime"].tolist() == [family.regime for family in found]
    assert table["taken_over"].tolist() == [family.taken_over[-1] for family in found]
    exponents = exponents_table(folder, ALONE).set_index("manifold")
    assert list(exponents.index) == [single.name for single in ALONE]
    assert exponents["beta"].iloc[0] == found[0].beta


def test_the_command_prints_and_trains(capsys, monkeypatch):
    assert main(["--train"]) == 2
    assert main(["recipes", "families", "--train"]) == 2
    assert "--train must be with families or" in capsys.readouterr().err
    row = {"width": 8, "seconds": 1.0, "data": "some data"}
    monkeypatch.setattr(command, "train_families", lambda on_row: [on_row(row), on_row(row)])
    assert main(["families", "--train"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[1] == "run 2: width 8, 1.0 s, some data"
    assert all(design.name in said.out for design in DESIGNS)
    assert all(single.name in said.out for single in SINGLES)

    def stopped(on_row):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "train_families", stopped)
    assert main(["families", "--train"]) == 130


@pytest.mark.parametrize(
    ("thing", "word"),
    [
        (Points(), "points"), (Circle(), "circle"), (Sphere(6), "sphere 6"), (Shell(3), "shell 3"),
        (ReLU(0.05), "ReLU 0.05"), (TopK(3), "TopK 3"),
    ],
)  # fmt: skip
def test_names_in_a_word(thing, word):
    assert short(thing) == word


def test_owners_are_counted_by_manifold(trained):
    table = pd.read_csv(trained[0] / "families.csv")
    owned = json.loads(table["owned"].iloc[1])
    assert set(owned) == {"sphere 2", "points"}
    assert 0 < sum(owned.values()) <= table["width"].iloc[1]
