"""From what is seen to alpha and beta: what was put in comes out."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.theory.latents.frequencies import latent_frequencies
from scaling_theory.theory.latents.inference import compatible_exponents, joint_exponents
from scaling_theory.theory.latents.laws import latent_slope
from scaling_theory.theory.latents.readings import (
    GEMMA_SCOPE,
    PARAMETER_SCALING,
    alpha_from_parameter_scaling,
    gemma_scope_readings,
)

COLUMNS = (
    "alpha", "beta", "branch", "regime", "slope", "early_slope", "late_slope", "loss_slope", "most",
    "discovered", "efficiency",
)  # fmt: skip


def measure(alpha, beta, latents, overlap=1.0, count=None, ranks=(100, 10_000)):
    law = sth.PowerLawFrequencies(alpha, count=count)
    alloc = sth.allocate(sth.Population(law, sth.PowerLawCurve(beta)), latents)
    slope = latent_frequencies(alloc, overlap).slope(*ranks)
    return slope, alloc.price * latents / alloc.excess_loss, alloc


# ---- one slope -------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(st.floats(0.1, 1.2), st.floats(0.3, 1.2), st.sampled_from([0.0, 0.5]))
@example(0.5, 0.3892582927055606, 0.0)  # a point of the grid that is scanned for solutions
def test_beta_is_found_again(alpha, beta, theta):
    def overlap(n):
        return n**theta

    slope, _, alloc = measure(alpha, beta, 20_000, overlap)
    if slope > -0.05:
        return  # all on the plateau
    seen = compatible_exponents(slope, 20_000, overlap=overlap, alphas=[alpha], betas=(0.1, 4.0))
    rows = seen.table[seen.table["alpha"] == alpha]
    # features are whole, and the slope moves in steps: 0.003 of it, or of beta per unit of it
    best = rows.iloc[int(np.argmin(np.abs(np.log(rows["beta"] / beta))))]
    assert best["beta"] == pytest.approx(beta, rel=0.02)
    assert best["slope"] == pytest.approx(slope, abs=0.01)
    assert best["most"] == pytest.approx(alloc.latents_at(1)[0], rel=0.05)
    assert (rows["regime"] == np.where(rows["beta"] > alpha, "benign", "pathological")).all()


def test_a_slope_between_the_features_and_the_steepest_has_two_solutions():
    # alpha = 0.5 at N = 16,384: steeper than -1.5 for beta between about 1 and 10
    seen = compatible_exponents(-1.6, 16_384, alphas=[0.5])
    rows = seen.table[seen.table["alpha"] == 0.5]
    assert rows["branch"].tolist() == ["rising", "falling"]
    assert rows["slope"].tolist() == pytest.approx([-1.6, -1.6], abs=0.005)
    low, high = rows["beta"]
    between, *_ = measure(0.5, math.sqrt(low * high), 16_384)
    assert between < -1.65
    # beyond, none
    assert compatible_exponents(-2.5, 16_384, alphas=[0.5]).table["alpha"].tolist() == [1.5]


def test_one_latent_per_feature():
    seen = compatible_exponents(-0.74, 16_384, alphas=[0.5])
    row = seen.table.iloc[0]
    assert row["alpha"] == pytest.approx(-0.26, abs=1e-12)
    assert (row["beta"], row["branch"], row["regime"]) == (math.inf, "discrete", "benign")
    assert (row["most"], row["discovered"], row["efficiency"]) == (1, 16_384, 1.0)
    assert row["slope"] == pytest.approx(-0.74, abs=1e-12)


def test_shallow_slopes_need_piling_up_where_alpha_is_positive():
    # not the asymptotic slope, which is never below 1 + alpha: latents sit on the plateau
    seen = compatible_exponents(-0.74, 16_384, alphas=[0.2, 0.5, 0.74])
    rows = seen.table[seen.table["alpha"] > 0.0]
    assert rows["branch"].tolist() == ["rising"] * 3
    for alpha, beta, most in zip(rows["alpha"], rows["beta"], rows["most"], strict=True):
        assert latent_slope(alpha, beta) < -1.2
        assert most > 300  # well into the ranks that are fitted
    assert rows["regime"].tolist() == ["benign"] * 3
    # and so the curve is bent: features show a straight line
    assert (rows["early_slope"] > -0.35).all()
    assert (rows["late_slope"] < -1.0).all()
    straight = seen.table.iloc[0]
    assert straight["early_slope"] == pytest.approx(straight["late_slope"], abs=1e-12)


def test_features_of_alpha_up_to_zero_are_as_many_as_wanted():
    few = compatible_exponents(-0.5, 16_384, alphas=[-0.3, 0.0])
    many = compatible_exponents(-0.5, 16_384, alphas=[-0.3, 0.0], count=10**6)
    assert few.table["beta"].tolist() == pytest.approx(many.table["beta"].tolist(), rel=1e-9)
    rows = many.table[many.table["branch"] != "discrete"]
    assert few.table["loss_slope"].isna().all()
    assert (rows["loss_slope"] < 0.0).all()
    assert (rows["regime"] == "benign").all()


# ---- with the loss ---------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "beta"), [(0.35, 0.25), (0.45, 0.8)])
def test_the_loss_tells_alpha_and_beta(alpha, beta):
    slope, exponent, _ = measure(alpha, beta, 30_000)
    seen = compatible_exponents(
        slope, 30_000, loss_exponent=exponent, alphas=[0.2, 0.3, 0.4, 0.5, 0.6], betas=(0.1, 2.0)
    )
    assert tuple(seen.intersections.columns) == COLUMNS
    best = seen.intersections.iloc[0]
    assert best["alpha"] == pytest.approx(alpha, rel=0.02)
    assert best["beta"] == pytest.approx(beta, rel=0.02)
    assert -best["loss_slope"] == pytest.approx(exponent, rel=1e-3)
    assert best["slope"] == pytest.approx(slope, abs=0.01)


def test_no_intersection():
    seen = compatible_exponents(
        -0.74, 16_384, loss_exponent=3.0, alphas=[0.2, 0.4], betas=(0.3, 2.0)
    )
    assert seen.intersections.empty
    assert tuple(seen.intersections.columns) == COLUMNS
    assert "2 solutions" not in repr(seen)
    assert repr(seen).endswith("0 intersections)")


def test_two_widths_tell_alpha_and_beta():
    pairs = [(n, measure(0.33, 0.6, n)[0]) for n in (16_384, 65_536)]
    found = joint_exponents(pairs, alphas=[0.1, 0.2, 0.3, 0.4, 0.5], betas=(0.2, 2.0))
    assert tuple(found.columns) == COLUMNS
    best = found.iloc[int(np.argmin(np.abs(found["alpha"] - 0.33)))]
    assert best["alpha"] == pytest.approx(0.33, abs=0.02)
    assert best["beta"] == pytest.approx(0.6, rel=0.02)


# ---- readings --------------------------------------------------------------------------------


def check_readings(table, thetas):
    assert len(table) == 2 + 3 * len(thetas)
    first = table[table["reading"] == "one latent per feature"]
    assert first["alpha"].tolist() == pytest.approx([-0.26, -0.43], abs=1e-12)
    assert (first["regime"] == "benign").all()
    second = table[table["reading"] == "alpha = -slope"]
    assert second["alpha"].tolist() == [0.74, 0.57] * len(thetas)
    for theta, alpha, beta, latents, slope in second[
        ["theta", "alpha", "beta", "latents", "slope"]
    ].itertuples(index=False):
        got, *_ = measure(alpha, beta, latents, lambda n, theta=theta: n**theta)
        assert got == pytest.approx(slope, abs=0.005)
    assert (
        second["regime"] == np.where(second["beta"] > second["alpha"], "benign", "pathological")
    ).all()
    return second, table[table["reading"] == "both widths"]


def test_gemma_scope_without_overlap():
    assert [(n, s) for _, n, s in GEMMA_SCOPE] == [(16_384, -0.74), (32_768, -0.57)]
    second, both = check_readings(gemma_scope_readings([0.0]), [0.0])
    assert second["beta"].tolist() == pytest.approx([0.973, 0.993], abs=0.003)
    assert (second["early_slope"] > -0.05).all()
    assert (second["late_slope"] < -1.0).all()
    assert second["most"].tolist() == pytest.approx([1386, 1461], rel=0.01)
    assert both["alpha"].item() == pytest.approx(0.223, abs=0.01)
    assert both["beta"].item() == pytest.approx(0.778, abs=0.01)


@pytest.mark.slow
def test_gemma_scope_with_overlap():
    second, both = check_readings(gemma_scope_readings(), [0.0, 0.3, 0.8])
    assert second["beta"].tolist()[2:] == pytest.approx([0.831, 0.878, 0.660, 0.743], abs=0.003)
    assert second["regime"].tolist()[4:] == ["pathological", "benign"]
    assert both["regime"].tolist() == ["benign", "benign", "none"]
    assert math.isnan(both["alpha"].iloc[-1])


def test_parameter_scaling():
    for (_, exponent), want in zip(PARAMETER_SCALING, (0.07, 0.34), strict=True):
        said = alpha_from_parameter_scaling(exponent)
        assert said.alpha == said.threshold == said.exponent == want
        assert "quanta hypothesis" in said.assumption
        assert said.regime(0.9 * want) == "pathological"
        assert said.regime(want) == "critical"
        assert said.regime(1.1 * want) == "benign"
    # the quanta's own law, by the exact solver: the loss of discrete features falls as N^-alpha
    population = sth.Population(sth.PowerLawFrequencies(0.34), sth.DiscreteCurve())
    loss = [sth.allocate(population, n).excess_loss for n in (10**6, 10**9)]
    assert math.log(loss[0] / loss[1]) / math.log(1000) == pytest.approx(0.34, rel=1e-5)


def test_refusals():
    for name, bad in {"slope": 0.1, "latents": 1, "alphas": [-1.0], "loss_exponent": 0.0}.items():
        arguments = {"slope": -0.7, "latents": 20_000} | {name: bad}
        with pytest.raises(ValueError, match=f"{name} must"):
            compatible_exponents(**arguments)
    with pytest.raises(ValueError, match=r"ranks\[1\] must be a whole number in \[2, 5000\]"):
        compatible_exponents(-0.7, 5000)
    for bad in ((10,), 100, [1, 2, 3]):
        with pytest.raises(ValueError, match="ranks must hold two ranks"):
            compatible_exponents(-0.7, 5000, ranks=bad)
    with pytest.raises(ValueError, match="alphas must be increasing"):
        compatible_exponents(-0.7, 20_000, alphas=[0.5, 0.4])
    with pytest.raises(ValueError, match=r"betas\[1\] must be"):
        compatible_exponents(-0.7, 20_000, betas=(1.0, 1.0))
    with pytest.raises(ValueError, match="count must be"):
        compatible_exponents(-0.7, 20_000, count=100)
    with pytest.raises(ValueError, match="measured must hold two pairs"):
        joint_exponents([(16_384, -0.7)])
    with pytest.raises(ValueError, match="exponent must be"):
        alpha_from_parameter_scaling(0.0)
    with pytest.raises(ValueError, match="beta must be"):
        alpha_from_parameter_scaling(0.1).regime(0.0)
    with pytest.raises(ValueError, match="thetas must hold"):
        gemma_scope_readings([2.0])
