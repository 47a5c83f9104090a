"""Intervals and status: where the ends are, how often they hold the truth, what is admitted."""

import inspect
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binom
from scipy.stats import f as f_distribution

from scaling_theory.fitting import fit_power_law
from scaling_theory.fitting._calibration import calibrate
from scaling_theory.fitting._optimum import optimum
from scaling_theory.fitting._problem import EXPONENT, Problem, bounds
from scaling_theory.fitting._profile import interval, profile, unroofed

NOT_IDENTIFIED = "floor and exponent not identified"


def curve(seed, exponent, scale, floor, noise=0.01, n=None):
    n = np.geomspace(64, 65536, 10) if n is None else n
    errors = np.random.default_rng(seed).standard_normal(n.size)
    return n, (scale * n**-exponent + floor) * np.exp(noise * errors)


def profiled(n, loss, weights, name, value, start):
    """Least sum of squares with one parameter held, by SciPy's simplex from several starts."""
    free = [other for other in ("exponent", "log_scale", "floor") if other != name]

    def misfit(x):
        p = dict(zip(free, x, strict=True)) | {name: value}
        if p["exponent"] < 0 or p["floor"] < 0:
            return math.inf
        fitted = np.exp(np.minimum(p["log_scale"] - p["exponent"] * np.log(n), 300)) + p["floor"]
        if weights is None:
            return np.sum(np.log(loss / fitted) ** 2)
        return np.sum(weights * (loss - fitted) ** 2)

    options = {"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-11, "fatol": 1e-16}
    best = math.inf
    for factor in (1.0, 0.7, 1.4):
        x = [start[other] * (factor if other == "exponent" else 1.0) for other in free]
        for _ in range(3):  # the simplex may collapse: restart it where it stopped
            run = minimize(misfit, x, method="Nelder-Mead", options=options)
            x = run.x
        best = min(best, run.fun)
    return best


@pytest.mark.parametrize("objective", ["log", "linear"])
@pytest.mark.parametrize("level", [0.68, 0.95])
def test_ends_are_where_the_profile_meets_the_f_threshold(objective, level):
    n, loss = curve(1, 0.4, 1.0, 0.02, noise=0.02)
    weights = None if objective == "log" else loss**-1.5
    fit = fit_power_law(n, loss, weights=weights, level=level)
    nu = n.size - 3
    limit = fit.rss * (1 + f_distribution.ppf(level, 1, nu) / nu)
    start = {"exponent": fit.exponent, "log_scale": fit.log_scale, "floor": fit.floor}
    for name, ends in fit.intervals.items():
        for end in ends:
            held, value = ("log_scale", math.log(end)) if name == "scale" else (name, end)
            found = profiled(n, loss, weights, held, value, start)
            assert found == pytest.approx(limit, rel=1e-5), (name, end)


@given(
    seed=st.integers(0, 10_000),
    exponent=st.floats(0.05, 2.0),
    floor=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
    noise=st.sampled_from([1e-3, 0.02, 0.2]),
    points=st.integers(4, 12),
    held=st.sampled_from(["free", "zero", 0.5]),
    objective=st.sampled_from(["log", "linear"]),
)
@settings(max_examples=12, deadline=None)
def test_whatever_the_data_intervals_hold_the_estimate_and_nest(
    seed, exponent, floor, noise, points, held, objective
):
    n, loss = curve(seed, exponent, 64**exponent, floor, noise, np.geomspace(64, 4096, points))
    weights = None if objective == "log" else np.ones(points)
    held = held * loss.min() if held == 0.5 else held
    narrow, wide = (
        fit_power_law(n, loss, weights=weights, floor=held, level=level) for level in (0.5, 0.95)
    )
    assert 0.0 <= narrow.floor < loss.min()
    assert narrow.exponent == wide.exponent
    for name in ("exponent", "scale", "floor"):
        estimate, slack = getattr(wide, name), 1e-9
        (low, high), (inner_low, inner_high) = wide.intervals[name], narrow.intervals[name]
        assert low <= inner_low * (1 + slack) <= estimate * (1 + slack) ** 2 or low < 0
        assert high * (1 + slack) ** 2 >= inner_high * (1 + slack) >= estimate or estimate < 0
        assert low <= estimate <= high
    assert wide.status == ("ok" if held != "free" else wide.status)
    if held == "free":
        low, high = wide.intervals["exponent"]
        assert (wide.status == NOT_IDENTIFIED) == (low <= 0 or high > 2 * low)


def test_coverage_of_the_exponent():
    # 200 curves of 10 widths, 1% noise: the number of intervals that hold the truth is binomial.
    # A correct method leaves the band of 99.9% with probability 1e-3 (and the seeds are fixed).
    curves, exponent, floor = 200, 0.5, 0.1
    hits = 0
    for seed in range(curves):
        n, loss = curve(seed, exponent, 8.0, floor)
        unit = np.exp(np.mean(np.log(loss)))
        problem = Problem(np.log(n / n[0]), loss / unit, None, None, loss.min() / unit)
        theta, least = optimum(problem)
        limit = calibrate(problem, theta, least).limit(0.95)
        wide = unroofed(problem, limit)
        low, high = (bound[EXPONENT] for bound in bounds(wide))
        solve = partial(profile, wide, EXPONENT)
        low, high = interval(wide, solve, theta[EXPONENT], theta, limit, (low, high))
        hits += low <= exponent <= high
        if seed == 0:  # this is what the public function reports
            public = fit_power_law(n, loss).intervals["exponent"]
            assert (low, high) == pytest.approx(public, rel=1e-9)
    low, high = binom.ppf([0.0005, 0.9995], curves, 0.95)
    assert low <= hits <= high


@pytest.mark.slow
@pytest.mark.parametrize(
    ("exponent", "floor", "conservative"),
    # A curve that has levelled off (the last two) puts losses below its floor. The estimate of
    # the floor is then held at the smallest, and intervals may be wide, but not wrong.
    [(0.5, 0.1, False), (0.5, 0.0, True), (0.2, 0.02, True), (1.0, 1.0, True), (2.0, 1.0, True)],
)
def test_coverage_of_all_parameters_by_both_methods(exponent, floor, conservative):
    curves = 300
    truth = {"exponent": exponent, "scale": 64**exponent, "floor": floor}
    profile, bootstrap = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for seed in range(curves):
        n, loss = curve(1000 + seed, exponent, truth["scale"], floor)
        fit = fit_power_law(n, loss)
        for name, value in truth.items():
            for counts, intervals in (
                (profile, fit.intervals),
                (bootstrap, fit.bootstrap_intervals),
            ):
                low, high = intervals[name]
                counts[name] += low * (1 - 1e-12) <= value <= high * (1 + 1e-12)
    print(exponent, floor, profile, bootstrap)
    low, high = binom.ppf([0.0005, 0.9995], curves, 0.95)
    for name in truth:
        assert profile[name] >= low, (name, profile)
        assert conservative or profile[name] <= high, (name, profile)
        # percentile intervals of ten points are known to be a little short
        assert bootstrap[name] >= binom.ppf(0.0005, curves, 0.88), (name, bootstrap)


def test_bootstrap_is_set_by_its_seed():
    n, loss = curve(2, 0.5, 8.0, 0.1)
    first, again = fit_power_law(n, loss, seed=3), fit_power_law(n, loss, seed=3)
    other = fit_power_law(n, loss, seed=4)
    assert first.bootstrap_intervals == again.bootstrap_intervals
    assert first.bootstrap_intervals != other.bootstrap_intervals
    assert first.intervals == other.intervals
    generator = fit_power_law(n, loss, seed=np.random.default_rng(3))
    assert generator.bootstrap_intervals == first.bootstrap_intervals


def test_bootstrap_agrees_with_the_profile_on_well_determined_laws():
    assert inspect.signature(fit_power_law).parameters["replicates"].default >= 999
    n, loss = curve(4, 0.5, 8.0, 0.1, n=np.geomspace(64, 65536, 40))
    for weights in (None, loss**-2.0):
        fit = fit_power_law(n, loss, weights=weights)
        for name in ("exponent", "scale", "floor"):
            profile, bootstrap = fit.intervals[name], fit.bootstrap_intervals[name]
            # Monte Carlo error of a 2.5% quantile from 999 draws is about 5% of the half-width
            half = 0.5 * (profile[1] - profile[0])
            assert bootstrap == pytest.approx(profile, abs=0.25 * half)


def test_status_ok_with_a_floor_in_plain_sight():
    n, loss = curve(5, 0.5, 8.0, 0.1)
    fit = fit_power_law(n, loss)
    assert fit.status == "ok"
    assert "within a factor of 2" in fit.message
    assert fit.intervals["floor"][0] > 0.05


def test_status_floor_at_boundary_when_the_curve_steepens():
    n, loss = curve(6, 0.5, 8.0, 0.0, noise=1e-3)
    bent = loss * np.exp(-0.004 * np.log(n / 2000.0) ** 2)
    fit = fit_power_law(n, bent)
    assert fit.floor == 0.0
    assert fit.status == "floor at boundary"
    assert fit.intervals["floor"][0] == 0.0
    assert fit.exponent == pytest.approx(fit_power_law(n, bent, floor="zero").exponent, rel=1e-9)
    assert (fit.covariance[2] == 0.0).all()


def test_status_floor_at_boundary_when_the_curve_has_levelled_off():
    n, loss = curve(7, 1.0, 64.0, 1.0, noise=0.005)
    fit = fit_power_law(n, loss)
    assert fit.status == "floor at boundary"
    assert "levelled off" in fit.message
    assert fit.floor < loss.min()
    assert fit.floor == pytest.approx(loss.min(), rel=1e-12)
    low, high = fit.intervals["floor"]
    assert low < 1.0 < high
    assert high > loss.min()


def test_status_not_identified_for_five_points_over_a_factor_of_four():
    n = np.array([3072.0, 4608.0, 6144.0, 9216.0, 12288.0])
    n, loss = curve(8, 0.15, 0.5, 0.0, n=n)
    fit = fit_power_law(n, loss)
    assert fit.status == NOT_IDENTIFIED
    assert fit.intervals["floor"][0] == 0.0
    low, high = fit.intervals["exponent"]
    assert high > 2 * low
    assert "cannot tell a floor from another exponent" in fit.message


def test_an_open_end_is_the_bound_of_the_parameter():
    n = 1000.0 * 2.0 ** np.arange(5)
    loss = np.array([2.0, 1.0, 1.01, 0.99, 1.0])  # a step: any large exponent will do
    fit = fit_power_law(n, loss)
    assert fit.status == NOT_IDENTIFIED
    assert fit.intervals["exponent"][1] == math.inf
    assert fit.intervals["scale"][1] == math.inf
    assert 0.0 < fit.intervals["exponent"][0] < fit.exponent
    # in units where all n are below 1, a steep law has a small scale
    small = fit_power_law(n / 1e6, loss)
    assert small.intervals["scale"][0] == 0.0
    assert math.isfinite(small.intervals["scale"][1])


@pytest.mark.parametrize("weights", [None, np.ones(5)])
def test_a_rising_loss_has_no_floor_to_speak_of(weights):
    n = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
    fit = fit_power_law(n, n**0.5, weights=weights)
    assert fit.status == NOT_IDENTIFIED
    assert fit.exponent == 0.0
    assert "does not fall" in fit.message
    assert fit.intervals["exponent"][0] == 0.0
    rising = fit_power_law(n, n**0.5, weights=weights, floor="zero")
    assert rising.exponent == pytest.approx(-0.5, rel=1e-9)
    assert rising.status == "ok"


@pytest.mark.parametrize("weights", [None, np.ones(5)])
def test_constant_and_two_level_losses_fit_without_a_warning(weights):
    n = np.array([10.0, 10.0, 20.0, 20.0, 20.0])
    constant = fit_power_law(n, np.full(5, 3.0), weights=weights)
    assert constant.status == NOT_IDENTIFIED
    assert constant.intervals["exponent"] == (0.0, math.inf)
    assert constant.intervals["floor"] == pytest.approx((0.0, 3.0))
    flat = fit_power_law(n, np.full(5, 3.0), weights=weights, floor="zero")
    assert flat.exponent == pytest.approx(0.0, abs=1e-12)
    assert flat.scale == pytest.approx(3.0)
    levels = fit_power_law(n, [2.0, 2.0, 1.0, 1.0, 1.0], weights=weights)
    assert levels.status == NOT_IDENTIFIED
    assert levels.rss < 1e-25
    assert levels.intervals["exponent"] == pytest.approx((1.0, math.inf))


def test_extreme_units_fit_without_a_warning():
    n = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
    loss = np.array([1.0, 0.72, 0.5, 0.36, 0.25])
    plain = fit_power_law(n, loss)
    for unit in (1e-290, 1e290):
        fit = fit_power_law(n, loss * unit)
        assert fit.exponent == pytest.approx(plain.exponent, rel=1e-6)
        assert fit.status == plain.status
    steep = fit_power_law(1e200 * n, [2.0, 1.0, 1.01, 0.99, 1.0])
    assert steep.scale == math.inf
    assert math.isfinite(steep.log_scale)
    assert steep.predict(1e201) == pytest.approx(2.0, rel=0.02)
    assert np.isinf(steep.covariance).all()


@pytest.mark.parametrize("weights", [None, np.ones(4)])
@pytest.mark.parametrize("floor", ["free", "zero"])
def test_extreme_levels_give_point_and_everything(weights, floor):
    n, loss = np.array([10.0, 20.0, 40.0, 80.0]), np.array([3.0, 2.0, 1.5, 1.1])
    wide = fit_power_law(n, loss, weights=weights, floor=floor, level=1 - 1e-13)
    assert wide.intervals["exponent"][1] == math.inf
    assert wide.intervals["scale"] == (0.0, math.inf)
    narrow = fit_power_law(n, loss, weights=weights, floor=floor, level=1e-12)
    for name in ("exponent", "scale", "floor"):
        assert narrow.intervals[name] == pytest.approx([getattr(narrow, name)] * 2, rel=1e-4)
