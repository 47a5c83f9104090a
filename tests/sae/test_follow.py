"""Trained SAEs held against the solver: the parts of the comparison, and what the rows say."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.curves import DiscreteCurve, TabulatedCurve
from scaling_theory.sae import Circle, Points, ReLU, Shell, Sphere, TopK
from scaling_theory.sae.studies import _kept
from scaling_theory.sae.studies.follow import compare, runs
from scaling_theory.sae.studies.follow import settings as of
from scaling_theory.sae.studies.follow import theory as t
from scaling_theory.sae.studies.follow.curves import (
    measured_curve,
    optimal_curve,
    shared_curve,
    trained_curve,
)

probabilities = st.lists(st.floats(0.01, 0.9), min_size=1, max_size=7).map(np.array)


# ---- a shared k ---------------------------------------------------------------------------------


@given(p=probabilities, k=st.integers(1, 4))
def test_shares_of_k_are_those_of_every_set_of_active_features(p, k):
    expected = np.zeros(k + 1)
    for active in itertools.product([0, 1], repeat=p.size):
        chance = float(np.prod(np.where(active, p, 1.0 - p)))
        count = sum(active)
        dealt = [k // count + (i < k % count) for i in range(count)] if count else []
        for share in dealt:
            expected[share] += chance
    np.testing.assert_allclose(t.shares_of_k(p, k), expected / p.sum(), atol=1e-12)


def test_a_lone_feature_has_all_of_k():
    assert t.shares_of_k(np.array([0.3]), 3).tolist() == pytest.approx([0.0, 0.0, 0.0, 1.0])


def test_a_shared_curve_is_the_mean_of_its_curves():
    nothing = TabulatedCurve([0, 1], [1.0, 1.0])
    one, two = TabulatedCurve([0, 2], [1.0, 0.5]), TabulatedCurve([0, 2, 4], [1.0, 0.4, 0.0])
    shared = shared_curve([nothing, one, two], [0.1, 0.3, 0.6], most=6)
    n = np.arange(7)
    expected = 0.1 + 0.3 * one.loss(n) + 0.6 * two.loss(n)
    np.testing.assert_allclose(shared.loss(n), expected, rtol=1e-14)


def small(default, features=4, alpha=0.5):
    return of.Setting("small", alpha, features, default, widths=(2, 4))


@pytest.mark.parametrize(("default", "half_axes"), [(Points(), 1), (Circle(), 4), (Sphere(4), 8)])
def test_half_axes_lose_everything_at_first_and_nothing_in_the_end(default, half_axes):
    data = small(default).data
    latents = np.full(4, half_axes)
    assert t.HalfAxes(data, k=1).loss(0 * latents) == pytest.approx(data.magnitude, rel=0.02)
    assert t.HalfAxes(data, k=data.dimension).loss(latents) == pytest.approx(0.0, abs=1e-6)
    alone = [t.HalfAxes(data, k).loss(latents) for k in range(1, 6)]
    assert (np.diff(alone) <= 1e-12).all()  # more latents a sample lose no more
    fewer = t.HalfAxes(data, 2).loss(np.array([half_axes, half_axes, 0, 0]))
    assert fewer > t.HalfAxes(data, 2).loss(latents)


def test_points_that_share_k_lose_what_is_active_beyond_it():
    setting = small(Points(), features=5, alpha=0.1)
    p = setting.data.probabilities
    expected = 0.0
    for active in itertools.product([0, 1], repeat=5):
        chance = float(np.prod(np.where(active, p, 1.0 - p)))
        expected += chance * max(sum(active) - 2, 0)
    error = np.sqrt(expected * 3.0 / t._SAMPLES)  # of a mean of numbers up to 3
    found = t.HalfAxes(setting.data, 2).loss(np.ones(5, dtype=np.int64))
    assert found == pytest.approx(expected, abs=5.0 * error)


# ---- theory -------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    moved=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    alpha=st.floats(0.1, 1.5),
    width=st.integers(1, 12),
)
def test_no_allocation_costs_less_than_the_optimum(moved, alpha, width):
    """Of as many latents: the curve is convex, so the solver's is the best of all."""
    setting = of.Setting("drawn", alpha, 4, Circle())
    theory = t.Theory(setting, {"circle": TabulatedCurve(np.arange(6), 0.7 ** np.arange(6.0))})
    other = np.array(moved)
    best = theory.at(int(other.sum()))
    assert theory.cost(best.latents) == pytest.approx(best.loss, rel=1e-12)
    assert theory.cost(other) >= best.loss * (1.0 - 1e-12)
    assert theory.at(width).latents.sum() <= width


def test_distance_of_allocations():
    one, other = np.array([3, 1, 0]), np.array([2, 1, 1])
    assert compare.total_variation(one, one, 4) == 0.0
    assert compare.total_variation(one, other, 4) == compare.total_variation(other, one, 4) == 0.25
    assert compare.total_variation(one, np.array([3, 0, 0]), 4) == 0.25  # one latent is idle
    assert compare.total_variation(np.array([4, 0, 0]), np.array([0, 4, 0]), 4) == 1.0


def test_curves_that_are_derived():
    point = optimal_curve(Points(), ReLU(0.1))
    assert isinstance(point, DiscreteCurve)
    assert point.loss(np.array([0, 1])).tolist() == pytest.approx([1.0, 0.0975])
    for manifold, end in ((Circle(), 0.1), (Sphere(4), 0.15), (Shell(3), 0.2)):
        curve = optimal_curve(manifold, ReLU(0.1))
        first, last = curve.loss(np.array([0, 48]))
        assert first == pytest.approx(manifold.magnitude)
        assert last < end
    basis = optimal_curve(Circle(), TopK(2))
    assert basis.loss(np.arange(6)).tolist() == pytest.approx([1.0, 0.75, 0.5, 0.25, 0.0, 0.0])
    assert optimal_curve(Sphere(4), TopK(2)) is None  # what is best there is not known


# ---- from training to the table -----------------------------------------------------------------


def test_from_training_to_the_table(tmp_path, monkeypatch):
    """A tiny study: rows hold what the weights say, and distances follow from them."""
    setting = of.Setting("tiny", 0.5, 3, Points(), widths=(2, 3, 4))
    monkeypatch.setattr(of, "RECIPE", {"steps": 300, "batch_size": 64, "evaluation": 2048})
    monkeypatch.setattr(runs, "SETTINGS", (setting,))
    monkeypatch.setattr(runs, "HELD_OUT", ())
    monkeypatch.setenv("SCALING_THEORY_RUNS", str(tmp_path / "runs"))
    file = runs.train_follow(folder=tmp_path, progress=False)
    first = file.read_bytes()
    assert runs.train_follow(folder=tmp_path, progress=False).read_bytes() == first
    kept = _kept.Kept("follow", tmp_path)
    found = compare.trained(setting, "ReLU", kept)
    assert [(r.width, r.seed) for r in found] == [(n, s) for n in (2, 3, 4) for s in of.SEEDS]
    for run in found:
        assert run.latents.sum() + run.idle == run.width
        assert (np.diff(run.frequencies) <= 0.0).all()
        assert run.explained.max() <= 1.0
    table = compare.comparison(kept, [setting])
    assert set(table["fed"]) == set(t.FED)
    product = table["allocation"] * table["within"]
    np.testing.assert_allclose(product.dropna(), table["ratio"].dropna())
    assert table["variation"].between(0.0, 1.0).all()
    said = compare.verdicts(table)
    for name in ("latents_as_seeds", "loss_as_seeds", "compared"):
        assert (said[name] <= said["widths"]).all()
    assert (said["off"].dropna() <= np.log(said["worst"].dropna()).abs() + 1e-12).all()
    shown = compare.allocations(setting, "TopK", 4, kept)
    assert shown[["seed 0", "seed 1", "seed 2"]].sum().max() <= 4
    slopes = compare.exponents(kept, [setting]).set_index("of")
    assert not (slopes.loc["D", "factor"] >= 2.0).any()  # at the last width everything is found
    assert (slopes.loc["1/L", "factor"] == 2.0).all()


def test_a_run_that_is_not_stored_is_said(tmp_path):
    (tmp_path / "follow.csv").write_text("key,width\nabc,1\n")
    kept = _kept.Kept("follow", tmp_path)
    with pytest.raises(ValueError, match=r"must have run .* width 16, seed 0\), but lacks it"):
        compare.trained(of.SETTINGS[2], "ReLU", kept)
    with pytest.raises(FileNotFoundError):
        _kept.Kept("nothing", tmp_path)


# ---- what is stored -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept():
    return _kept.Kept("follow")


@pytest.fixture(scope="module")
def table(kept):
    return compare.comparison(kept)


def test_every_run_of_the_study_is_stored(kept):
    for _, specs in runs.groups():
        assert kept.has(specs)
    assert len(kept.table) == len({spec.key for _, specs in runs.groups() for spec in specs})


def test_curves_reach_beyond_what_any_feature_gets(kept):
    most = max(int(max(json.loads(latents))) for latents in kept.table["latents"].dropna())
    assert most <= max(of.SINGLE_WIDTHS)


def test_a_bias_serves_a_manifold_that_is_alone(kept):
    """Curves at rate 1 are below those at rate 0.1 where latents are few, and reach the same."""
    for manifold in (Circle(), Sphere(4)):
        alone = measured_curve(manifold, ReLU(0.1), kept)
        rare = measured_curve(manifold, ReLU(0.1), kept, of.RARE)
        few = (alone.n >= 1) & (alone.n <= manifold.dimension)
        assert (alone.loss[few] < rare.loss[few]).all()
        assert rare.loss[-1] == pytest.approx(alone.loss[-1], rel=0.05)


def test_topk_explains_a_circle_that_is_alone_with_two_latents_that_always_fire(kept):
    two = trained_curve(Circle(), TopK(2), kept)
    assert two.loss(np.array([2]))[0] < 1e-3
    assert optimal_curve(Circle(), TopK(2)).loss(np.array([2]))[0] == pytest.approx(0.5)


def by(table, setting, architecture, fed):
    part = table[
        (table["setting"] == setting)
        & (table["architecture"] == architecture)
        & (table["fed"] == fed)
    ]
    assert len(part)
    return part


@pytest.mark.parametrize(
    "setting", ["circles", "shells", "spheres, alpha above beta", "spheres, alpha below beta"]
)
def test_relu_loses_what_the_solver_says(table, setting):
    """Manifolds, ReLU: within 5% on average, with curves that know of no bias."""
    for fed in ("derived", "rare"):
        part = by(table, setting, "ReLU", fed)
        assert part["ratio"].mean() == pytest.approx(1.0, abs=0.05)
        assert part["ratio"].between(0.9, 1.1).all()
        # and latents are nearer to the optimum than to anything in proportion to p or its root
        assert part["variation"].mean() < 0.6 * part[["by_p", "by_root"]].mean().min()
    alone = by(table, setting, "ReLU", "alone")["ratio"].mean()
    assert alone > by(table, setting, "ReLU", "rare")["ratio"].mean() + 0.02


def test_copies_are_what_discrete_features_lose(table):
    def widest(architecture):
        part = by(table, "discrete", architecture, "derived")
        return part[part["width"] == 128]

    plain, mended = widest("ReLU"), widest("ReLU, copies restart")
    assert (plain["discovered"] < 0.7 * 128).all()
    assert (mended["discovered"] > 0.95 * 128).all()
    assert plain["ratio"].min() > 1.07
    assert mended["ratio"].mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("setting", [s.name for s in (*of.SETTINGS, *of.HELD_OUT)])
def test_topk_needs_a_shared_k(table, setting):
    """As the theory stands TopK is off by a quarter at least; with a shared k by far less."""
    said = compare.verdicts(
        table[(table["setting"] == setting) & (table["architecture"] == "TopK")]
    )
    off = said.set_index("fed")["off"]
    assert off["rare"] > 0.25
    assert off["rare, k shared"] < 0.5 * off["rare"]
    if "derived, k shared" in off:
        assert off["derived, k shared"] < min(0.15, 0.5 * off["derived"])


@pytest.mark.parametrize("setting", of.SETTINGS[-2:], ids=lambda s: s.name)
def test_discovery_above_and_below_beta(kept, setting):
    """On spheres of dimension 4: trained exponents, beside the solver's at the same widths."""
    beta = measured_curve(Sphere(4), ReLU(0.1), kept, of.RARE).exponents(between=(8, 192)).excess
    assert (setting.alpha > beta.interval[1]) == (setting.name == "spheres, alpha above beta")
    assert (setting.alpha < beta.interval[0]) == (setting.name == "spheres, alpha below beta")
    found = compare.exponents(kept, [setting])
    found = found[(found["architecture"] == "ReLU") & (found["of"] == "D")].iloc[0]
    assert found["factor"] >= 16
    for fed in ("derived", "rare"):
        assert found["trained"] == pytest.approx(found[fed], abs=0.04)
    assert found["high"] < (0.8 if setting.alpha > beta.value else 1.0)


def test_shares_and_solution_agree(kept):
    """Of rare curves with a shared k: the features that share it are those that have latents."""
    setting = of.SETTINGS[4]
    theory = t.theory_of(setting, "TopK", "rare, k shared", kept)
    for width in (16, 64):
        best = theory.at(width)
        assert best.loss == pytest.approx(theory.cost(best.latents), rel=1e-12)
        again = theory._with(best.latents > 0).at(width)
        assert (again.latents == best.latents).all()


def test_naive_allocations_sum_to_the_latents():
    p = np.array([0.5, 0.3, 0.1, 0.05])
    for n in (0, 1, 7, 100):
        out = compare._shared_out(p, n)
        assert out.sum() == n
        assert np.abs(out - n * p / p.sum()).max() < 1.0
