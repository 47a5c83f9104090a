"""The point estimate: known answers, invariances, global optimum, refusals."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import differential_evolution

from scaling_theory.fitting import fit_power_law

WIDTHS = np.geomspace(64, 65536, 11)


def law(n, exponent, scale, floor):
    return scale * np.asarray(n, dtype=float) ** -exponent + floor


def noisy(seed, exponent, scale, floor, noise=0.01, n=WIDTHS):
    errors = np.random.default_rng(seed).standard_normal(len(n))
    return law(n, exponent, scale, floor) * np.exp(noise * errors)


@pytest.mark.parametrize("objective", ["log", "linear"])
@pytest.mark.parametrize(
    ("exponent", "scale", "floor"),
    [(0.5, 2.0, 0.1), (0.1, 0.6, 0.05), (1.5, 300.0, 1.0), (0.3, 1e-6, 1e-7), (2.5, 1e5, 0.02)],
)
def test_noiseless_laws_are_recovered(exponent, scale, floor, objective):
    loss = law(WIDTHS, exponent, scale, floor)
    weights = None if objective == "log" else np.ones(WIDTHS.size)
    fit = fit_power_law(WIDTHS, loss, weights=weights)
    assert fit.exponent == pytest.approx(exponent, rel=1e-8)
    assert fit.scale == pytest.approx(scale, rel=1e-8)
    assert fit.floor == pytest.approx(floor, rel=1e-8)
    assert fit.objective == objective
    assert fit.status == "ok"
    for name, truth in (("exponent", exponent), ("scale", scale), ("floor", floor)):
        low, high = fit.intervals[name]
        assert low <= truth * (1 + 1e-12)
        assert high >= truth * (1 - 1e-12)
        assert high - low < 1e-6 * truth


def test_noiseless_law_on_a_held_floor():
    fit = fit_power_law(WIDTHS, law(WIDTHS, 0.4, 3.0, 0.25), floor=0.25)
    assert (fit.exponent, fit.scale) == pytest.approx((0.4, 3.0), rel=1e-10)
    assert fit.floor == 0.25
    assert fit.intervals["floor"] == (0.25, 0.25)


@given(
    seed=st.integers(0, 10_000),
    exponent=st.floats(-2.0, 2.0),
    noise=st.sampled_from([1e-3, 0.03, 0.5]),
)
@settings(max_examples=15, deadline=None)
def test_floor_zero_is_the_regression_of_logs(seed, exponent, noise):
    loss = noisy(seed, exponent, 3.0, 0.0, noise)
    fit = fit_power_law(WIDTHS, loss, floor="zero")
    slope, intercept = np.polyfit(np.log(WIDTHS), np.log(loss), 1)
    np.testing.assert_allclose(fit.exponent, -slope, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fit.scale, np.exp(intercept), rtol=1e-7)
    # for a linear model, profile intervals and covariance are Student's
    half = fit.intervals["exponent"][1] - fit.exponent
    error = math.sqrt(fit.covariance[0, 0])
    assert half == pytest.approx(2.262157 * error, rel=1e-5)  # t with 9 degrees of freedom
    assert fit.exponent - fit.intervals["exponent"][0] == pytest.approx(half, rel=1e-5)


@given(
    seed=st.integers(0, 10_000),
    log_n=st.floats(-12.0, 12.0),
    log_loss=st.floats(-12.0, 12.0),
    objective=st.sampled_from(["log", "linear"]),
    floor=st.sampled_from(["free", "zero", "held"]),
)
@settings(max_examples=12, deadline=None)
def test_units_do_not_matter(seed, log_n, log_loss, objective, floor):
    loss = noisy(seed, 0.5, 8.0, 0.5)
    weights = None if objective == "log" else loss**-2.0
    unit_n, unit_loss = math.exp(log_n), math.exp(log_loss)
    held = 0.4 if floor == "held" else floor
    here = fit_power_law(WIDTHS, loss, weights=weights, floor=held)
    there = fit_power_law(
        WIDTHS * unit_n,
        loss * unit_loss,
        weights=None if weights is None else weights * 17.0,
        floor=0.4 * unit_loss if floor == "held" else floor,
    )
    scale = unit_loss * unit_n**here.exponent
    assert there.exponent == pytest.approx(here.exponent, rel=1e-6)
    assert there.floor == pytest.approx(here.floor * unit_loss, rel=1e-6)
    assert there.scale == pytest.approx(here.scale * scale, rel=1e-5)
    assert there.status == here.status
    for intervals in ("intervals", "bootstrap_intervals"):
        old, new = getattr(here, intervals), getattr(there, intervals)
        assert new["exponent"] == pytest.approx(old["exponent"], rel=1e-5)
        assert new["floor"] == pytest.approx([unit_loss * end for end in old["floor"]], rel=1e-5)
    # the change of the loss's unit is the whole change of the deviance
    assert there.aic - here.aic == pytest.approx(2 * WIDTHS.size * log_loss, abs=1e-4)


@given(seed=st.integers(0, 10_000), order=st.permutations(list(range(WIDTHS.size))))
@settings(max_examples=5, deadline=None)
def test_order_of_the_points_does_not_matter(seed, order):
    loss = noisy(seed, 0.5, 8.0, 0.5)
    here = fit_power_law(WIDTHS, loss)
    there = fit_power_law(WIDTHS[order], loss[order])
    assert there.exponent == pytest.approx(here.exponent, rel=1e-7)
    assert there.intervals["scale"] == pytest.approx(here.intervals["scale"], rel=1e-6)
    np.testing.assert_allclose(there.residuals, here.residuals[order], atol=1e-7)


@pytest.mark.parametrize("objective", ["log", "linear"])
@pytest.mark.parametrize(
    ("seed", "exponent", "floor", "noise"),
    [(0, 0.5, 1.0, 0.01), (1, 0.1, 0.0, 0.05), (2, 1.5, 0.3, 0.2), (3, 0.8, 3.0, 0.02)],
)
def test_no_better_law_is_found_by_differential_evolution(seed, exponent, floor, noise, objective):
    n = np.geomspace(1, 1000, 8)
    loss = noisy(seed, exponent, 1.0, floor, noise, n)
    weights = None if objective == "log" else np.ones(n.size)

    def misfit(theta):
        fitted = np.exp(theta[0]) * n ** -theta[1] + theta[2]
        return np.sum(np.log(loss / fitted) ** 2 if weights is None else (loss - fitted) ** 2)

    limits = [(-8.0, 4.0), (1e-6, 20.0), (0.0, loss.min())]
    search = differential_evolution(misfit, limits, seed=0, tol=1e-12, maxiter=300)
    fit = fit_power_law(n, loss, weights=weights)
    found = misfit((fit.log_scale, fit.exponent, fit.floor))
    assert found <= search.fun * (1 + 1e-9)
    assert found == pytest.approx(fit.rss, rel=1e-9)


def test_the_global_minimum_of_a_surface_with_two():
    # The first two points nearly coincide in n: one minimum follows the whole curve, the other
    # is a step between them. Brute force on a fine grid says which is lower.
    n = np.array([100.0, 101.0, 400.0, 1600.0, 6400.0, 25600.0])
    for first, step in ((1.6, True), (1.02, False)):
        loss = np.array([first, 1.0, 0.99, 0.97, 0.96, 0.95])
        exponents = np.geomspace(1e-3, 3000, 300)[:, None, None]
        floors = np.linspace(0.0, loss.min(), 60)[None, :, None]
        power = -exponents * np.log(n / n[0])
        best = np.inf
        for level in np.linspace(-6.0, 1.0, 30):
            fitted = np.logaddexp(level + power, np.log(np.maximum(floors, 1e-300)))
            best = min(best, np.min(np.sum((np.log(loss) - fitted) ** 2, axis=-1)))
        fit = fit_power_law(n, loss)
        assert fit.rss <= best
        assert (fit.exponent > 10.0) == step


def test_weights_are_inverse_variances():
    n = np.array([10.0, 20.0, 40.0, 80.0, 160.0, 320.0])
    loss = law(n, 0.5, 2.0, 0.1)
    loss[3] *= 1.5
    weights = np.ones(6)
    weights[3] = 1e-9
    fit = fit_power_law(n, loss, weights=weights)
    assert fit.exponent == pytest.approx(0.5, rel=1e-5)
    # a weight of two is the same as two points
    doubled = fit_power_law([*n, n[0]], [*loss, loss[0]], weights=np.ones(7))
    weighted = fit_power_law(n, loss, weights=[2, 1, 1, 1, 1, 1])
    assert weighted.exponent == pytest.approx(doubled.exponent, rel=1e-6)
    assert weighted.rss == pytest.approx(doubled.rss, rel=1e-9)


def test_residuals_predict_and_summary_agree_with_the_law():
    loss = noisy(5, 0.5, 2.0, 0.1)
    fit = fit_power_law(WIDTHS, loss)
    fitted = law(WIDTHS, fit.exponent, fit.scale, fit.floor)
    np.testing.assert_allclose(fit.predict(WIDTHS), fitted, rtol=1e-12)
    np.testing.assert_allclose(fit.residuals, np.log(loss / fitted), atol=1e-12)
    assert fit.rss == pytest.approx(np.sum(fit.residuals**2), rel=1e-12)
    assert fit.predict(64.0).shape == ()
    assert fit.predict([[64.0], [128.0]]).shape == (2, 1)
    row = fit.summary()
    assert row["exponent"] == fit.exponent
    assert (row["floor_low"], row["floor_high"]) == fit.intervals["floor"]
    assert row["status"] == fit.status
    weights = 1 / loss**2
    linear = fit_power_law(WIDTHS, loss, weights=weights)
    np.testing.assert_allclose(
        linear.residuals, np.sqrt(weights) * (loss - linear.predict(WIDTHS)), atol=1e-12
    )


def test_information_criteria_are_likelihoods_of_the_loss():
    from scipy.stats import lognorm, norm

    loss = noisy(6, 0.5, 2.0, 0.1)
    m = loss.size
    log = fit_power_law(WIDTHS, loss)
    deviation = math.sqrt(log.rss / m)
    total = -2 * lognorm.logpdf(loss, s=deviation, scale=log.predict(WIDTHS)).sum()
    assert log.aic == pytest.approx(total + 2 * 4, rel=1e-9)
    assert log.bic == pytest.approx(total + 4 * math.log(m), rel=1e-9)
    weights = 3.0 / loss
    linear = fit_power_law(WIDTHS, loss, weights=weights, floor="zero")
    deviations = np.sqrt(linear.rss / m / weights)
    total = -2 * norm.logpdf(loss, linear.predict(WIDTHS), deviations).sum()
    assert linear.aic == pytest.approx(total + 2 * 3, rel=1e-9)
    # the truth has a floor, 1% noise and 11 points: the criteria see it
    assert log.aic < fit_power_law(WIDTHS, loss, floor="zero").aic - 10
    assert log.bic < fit_power_law(WIDTHS, loss, floor="zero").bic - 10


def test_results_and_inputs_cannot_be_changed():
    n, loss = WIDTHS.copy(), noisy(7, 0.5, 2.0, 0.1)
    kept = loss.copy()
    fit = fit_power_law(n, loss)
    np.testing.assert_array_equal(loss, kept)
    with pytest.raises(AttributeError):
        fit.exponent = 1.0
    with pytest.raises(ValueError, match="read-only"):
        fit.residuals[0] = 1.0


GOOD = {"n": [1, 2, 4, 8, 16], "loss": [5.0, 4.0, 3.5, 3.2, 3.1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": [1, 2, 4, 8, 0]}, r"n must hold numbers greater than 0, got n\[4\] = "),
        ({"n": [1, 2, 4, 8, math.nan]}, r"n must hold .*nan"),
        ({"n": [1, 2, 4, 8, math.inf]}, r"n must hold .*inf"),
        ({"n": [[1, 2, 4, 8, 16]]}, "n must be one-dimensional"),
        ({"n": ["a"] * 5}, "n must hold numbers"),
        ({"n": [3, 3, 3, 3, 3]}, "n must hold at least two different values, got only 3"),
        ({"loss": [5, 4, 3, 2, -1]}, r"loss must hold numbers greater than 0, got loss\[4\] = "),
        ({"loss": [5, 4, 3, 2]}, "loss must have one value for each n, got 4 for 5"),
        ({"weights": [1, 1, 1, 1]}, "weights must have one value for each n, got 4 for 5"),
        ({"weights": [1, 1, 1, 1, 0]}, r"weights must hold .* greater than 0, got weights\[4\]"),
        ({"n": [1, 2, 4], "loss": [3, 2, 1]}, r"more points than .*\(3 with floor='free'\), got 3"),
        ({"n": [1, 2], "loss": [3, 2], "floor": "zero"}, r"\(2 with floor='zero'\), got 2"),
        ({"floor": "none"}, 'floor must be "free", "zero" or a number, got \'none\''),
        ({"floor": -0.1}, "floor must be a number of at least 0, got -0.1"),
        ({"floor": 3.1}, "floor must be below every loss, whose smallest is 3.1, got 3.1"),
        ({"floor": None}, "floor must be a number"),
        ({"level": 0.0}, r"level must be a number in \(0, 1\), got 0.0"),
        ({"level": 1.0}, r"level must be a number in \(0, 1\), got 1.0"),
        ({"level": 95}, r"level must be a number in \(0, 1\), got 95"),
        ({"huber": 0.0}, "huber must be a number greater than 0, got 0.0"),
        ({"huber": math.nan}, "huber must be a number greater than 0, got nan"),
        ({"huber": 0.1, "weights": [1] * 5}, "huber must be None where weights are .* got 0.1"),
        ({"replicates": -1}, "replicates must be a whole number of at least 0, got -1"),
        ({"replicates": 9.5}, "replicates must be a whole number of at least 0, got 9.5"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": None}, "seed must be a whole number"),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        fit_power_law(**(GOOD | change))


@pytest.mark.parametrize("n", [0.0, -1.0, math.nan, []])
def test_predict_refuses_bad_sizes(n):
    with pytest.raises(ValueError, match=r"^n must"):
        fit_power_law(**GOOD).predict(n)


def test_importing_the_subpackages_is_light():
    # under an empty parent, so that only what these two import themselves is seen
    code = (
        "import importlib.util, sys, types\n"
        "parent = types.ModuleType('scaling_theory')\n"
        "spec = importlib.util.find_spec('scaling_theory')\n"
        "parent.__path__ = spec.submodule_search_locations\n"
        "sys.modules['scaling_theory'] = parent\n"
        "import scaling_theory.fitting, scaling_theory.datasets\n"
        "heavy = {'scipy', 'torch', 'matplotlib', 'sympy', 'pandas'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
