"""Huber fits, bands and extrapolation: optimum, bounded influence, calibrated ends, coverage."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import differential_evolution, minimize
from scipy.stats import binom, norm
from scipy.stats import f as f_distribution
from scipy.stats import t as student

from scaling_theory.fitting import fit_power_law
from scaling_theory.fitting._bootstrap import replicates
from scaling_theory.fitting._calibration import calibrate, deviation, moments
from scaling_theory.fitting._descent import descend
from scaling_theory.fitting._problem import AMPLITUDE, EXPONENT, Problem, bounds
from scaling_theory.fitting.extrapolation import leave_largest

WIDTHS = np.geomspace(64, 65536, 11)
FOLDER = Path(__file__).parents[2] / "benchmarks"


def noisy(seed, exponent=0.5, scale=8.0, floor=0.1, noise=0.01, n=WIDTHS):
    errors = np.random.default_rng(seed).standard_normal(len(n))
    return (scale * n**-exponent + floor) * np.exp(noise * errors)


def huber_sum(residuals, delta):
    size = np.abs(residuals)
    return np.sum(np.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta)))


@pytest.mark.parametrize("delta", [1e-3, 0.02])
@pytest.mark.parametrize(
    ("seed", "exponent", "floor", "noise"),
    [(0, 0.5, 1.0, 0.01), (1, 0.1, 0.0, 0.05), (2, 1.5, 0.3, 0.2)],
)
def test_no_better_robust_law_is_found_by_differential_evolution(
    seed, exponent, floor, noise, delta
):
    n = np.geomspace(1, 1000, 9)
    loss = noisy(seed, exponent, 1.0, floor, noise, n)
    loss[seed + 3] *= 1.2

    def misfit(theta):
        fitted = np.exp(theta[0]) * n ** -theta[1] + theta[2]
        return huber_sum(np.log(loss / fitted), delta)

    limits = [(-8.0, 4.0), (1e-6, 20.0), (0.0, loss.min())]
    search = differential_evolution(misfit, limits, seed=0, tol=1e-12, maxiter=300)
    fit = fit_power_law(n, loss, huber=delta, replicates=0)
    found = misfit((fit.log_scale, fit.exponent, fit.floor))
    assert found <= search.fun * (1 + 1e-9)
    assert found == pytest.approx(fit.cost, rel=1e-9)
    assert fit.rss == pytest.approx(np.sum(fit.residuals**2), rel=1e-12)


@pytest.mark.parametrize("floor", ["free", "zero"])
def test_a_huber_size_that_nothing_reaches_is_least_squares(floor):
    loss = noisy(3)
    squares, robust = (fit_power_law(WIDTHS, loss, floor=floor, huber=h) for h in (None, 20.0))
    assert robust.exponent == pytest.approx(squares.exponent, rel=1e-7)
    assert (squares.cost, squares.huber) == (squares.rss, None)
    assert robust.cost == pytest.approx(squares.rss / 2, rel=1e-10)
    assert robust.covariance == pytest.approx(squares.covariance, rel=1e-5)
    for name, ends in squares.intervals.items():
        assert robust.intervals[name] == pytest.approx(ends, rel=1e-6)
    np.testing.assert_allclose(robust.local_slope(1e6), squares.local_slope(1e6), rtol=1e-6)
    np.testing.assert_allclose(robust.prediction(1e6), squares.prediction(1e6), rtol=1e-6)
    assert math.isnan(robust.aic)
    assert math.isnan(robust.bic)


@given(
    seed=st.integers(0, 10_000),
    factor=st.floats(1.5, 1e6),
    where=st.integers(1, 9),
    up=st.booleans(),
)
@settings(max_examples=10, deadline=None)
def test_how_far_off_an_outlier_is_does_not_matter(seed, factor, where, up):
    """Its score is bounded: the optimum stays one when it moves on."""
    loss = noisy(seed, floor=0.0, noise=0.003)
    near, far = loss.copy(), loss.copy()
    near[where] *= 1.4 if up else 1 / 1.4
    far[where] *= factor if up else 1 / factor
    # the floor is held: a free one is below every loss, also one that is far too low
    here, there = (
        fit_power_law(WIDTHS, y, floor="zero", huber=1e-3, replicates=0) for y in (near, far)
    )
    assert there.exponent == pytest.approx(here.exponent, rel=1e-6)
    assert there.scale == pytest.approx(here.scale, rel=1e-6)
    squares = fit_power_law(WIDTHS, far, floor="zero", replicates=0)
    clean = fit_power_law(WIDTHS, loss, floor="zero", huber=1e-3, replicates=0)
    if where != 5:  # the middle has no leverage on the exponent
        assert abs(squares.exponent - clean.exponent) > abs(there.exponent - clean.exponent)


@given(seed=st.integers(0, 10_000), log_n=st.floats(-12.0, 12.0), log_loss=st.floats(-12.0, 12.0))
@settings(max_examples=6, deadline=None)
def test_units_do_not_matter_to_robust_fits(seed, log_n, log_loss):
    loss = noisy(seed, floor=0.5)
    unit_n, unit_loss = math.exp(log_n), math.exp(log_loss)
    here = fit_power_law(WIDTHS, loss, huber=5e-3, replicates=0)
    there = fit_power_law(WIDTHS * unit_n, loss * unit_loss, huber=5e-3, replicates=0)
    assert there.exponent == pytest.approx(here.exponent, rel=1e-6)
    assert there.floor == pytest.approx(here.floor * unit_loss, rel=1e-6)
    assert there.cost == pytest.approx(here.cost, rel=1e-9)
    # the simulated quantile and all ends move no more than by rounding of the optimum
    assert there.intervals["exponent"] == pytest.approx(here.intervals["exponent"], rel=1e-5)
    at = 1e6
    band = np.multiply(here.band(at), unit_loss)
    np.testing.assert_allclose(there.band(at * unit_n), band, rtol=1e-5)


def constrained(n, loss, delta, at, value, slope, start):
    """Least Huber cost of laws whose value (or local slope) at ``at`` is given, by a simplex.

    Laws are value * (share * (n / at)^-exponent + 1 - share).
    """
    t = np.log(n / at)

    def misfit(x):
        other, exponent = x[0], math.exp(x[1])
        log_value, share = (other, value / exponent) if slope else (math.log(value), other)
        if not 0.0 < share <= 1.0:
            return math.inf
        fitted = log_value + np.log(share * np.exp(np.minimum(-exponent * t, 300)) + 1 - share)
        return huber_sum(np.log(loss) - fitted, delta)

    options = {"maxiter": 20_000, "maxfev": 20_000, "xatol": 1e-11, "fatol": 1e-16}
    best = math.inf
    for factor in (1.001, 1.3):
        exponent = max(start.exponent, value if slope else 0.0) * factor
        other = math.log(start.predict(at)) if slope else 1 - start.floor / start.predict(at)
        x = [other, math.log(exponent)]
        for _ in range(4):  # the simplex may collapse: restart it where it stopped
            run = minimize(misfit, x, method="Nelder-Mead", options=options)
            x = run.x
        best = min(best, run.fun)
    return best


@pytest.mark.parametrize("delta", [1e-3, 0.01, 100.0])
def test_ends_are_where_the_profile_meets_the_limit(delta):
    loss = noisy(1, exponent=0.4, scale=1.0, floor=0.02, noise=0.02)
    fit = fit_power_law(WIDTHS, loss, huber=delta, level=0.9, replicates=0)
    limit = fit._region.calibration.limit(0.9) / 2
    nu = WIDTHS.size - 3
    if delta == 100.0:
        assert limit == pytest.approx(fit.rss / 2 * (1 + f_distribution.ppf(0.9, 1, nu) / nu))
    for at in (1.0, 1000.0, 1e7):
        _, *slopes = fit.local_slope(at)
        for slope, ends in ((False, fit.band(at)), (True, slopes)):
            for end in ends:
                found = constrained(WIDTHS, loss, delta, at, float(end), slope, fit)
                assert found == pytest.approx(limit, rel=1e-5), (at, slope, end)


def test_moments_of_hubers_loss_are_integrals():
    for c in (0.05, 1.0, 3.0):
        loss = quad(lambda x, c=c: 2 * huber_sum(x, c) * norm.pdf(x), -12, 12, points=[-c, c])[0]
        score = quad(lambda x, c=c: np.clip(x, -c, c) ** 2 * norm.pdf(x), -12, 12, points=[-c, c])
        assert moments(c) == pytest.approx((loss, score[0], 2 * norm.cdf(c) - 1), rel=1e-8)
        # the standard deviation is found from the cost that it is expected to cause
        problem = Problem(np.log(WIDTHS / 64), noisy(0), None, None, 1.0, huber=0.01)
        sigma = 0.01 / c
        assert deviation(problem, 8 * sigma**2 * loss) == pytest.approx(sigma, rel=1e-2)
        if c < 8:
            assert deviation(problem, 8 * sigma**2 * moments(c)[0]) == pytest.approx(sigma)


@pytest.mark.parametrize("huber", [1e-3, 8e-3])
def test_the_simulated_limit_holds_the_truth_as_often_as_it_says(huber):
    """Whole batches of fresh noise: one cost with all free, one with the exponent at the truth."""
    rows, sigma, t = 2000, 0.01, np.log(WIDTHS / 64)
    theta = np.array([0.3, 0.4, 0.0])
    law = theta[AMPLITUDE] - theta[EXPONENT] * t
    z = law + sigma * np.random.default_rng(99).standard_normal((rows, t.size))
    problem = Problem(t, np.exp(law), None, 0.0, 1.0, huber=huber)
    starts = np.tile(theta, (rows, 1))
    low, high = bounds(problem)
    _, least = descend(problem, starts, (AMPLITUDE, EXPONENT), low, high, z=z)
    _, held = descend(problem, starts, (AMPLITUDE,), low, high, z=z)
    for level in (0.8, 0.95):
        limits = [calibrate(problem, theta, cost).limit(level) for cost in least[:9]]
        rise = np.median(limits / least[:9])
        hits = np.sum(held <= least * rise)
        # its own draws have an error too: twice the variance
        spread = 3.3 * math.sqrt(2 * level * (1 - level) / rows)
        assert hits / rows == pytest.approx(level, abs=spread)


def test_replicates_are_no_worse_than_those_of_scipy(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    bench = importlib.import_module("fits")
    loss = noisy(5)
    loss[4] *= 1.2
    fit = fit_power_law(WIDTHS, loss, huber=bench.HUBER, replicates=0)
    problem, theta = fit._region.problem, fit._region.theta
    laws = replicates(problem, theta, 15, np.random.default_rng(0))
    residuals = (problem.z - problem.predict(theta)) * math.sqrt(11 / 8)
    z = problem.predict(theta) + residuals[np.random.default_rng(0).integers(11, size=(15, 11))]
    for own, drawn in zip(laws, z, strict=True):
        other = bench.one_at_a_time(problem, theta, drawn)
        mine, theirs = (
            huber_sum(drawn - problem.predict(law), bench.HUBER) for law in (own, other)
        )
        assert mine <= theirs * (1 + 1e-6)


def test_number_of_replicates():
    loss = noisy(6)
    none, few, many = (fit_power_law(WIDTHS, loss, replicates=r) for r in (0, 5, 999))
    assert none.bootstrap_intervals == {}
    assert few.bootstrap_intervals != many.bootstrap_intervals
    assert none.intervals == few.intervals == many.intervals
    assert many.bootstrap_intervals == fit_power_law(WIDTHS, loss).bootstrap_intervals


@given(
    seed=st.integers(0, 10_000),
    floor=st.sampled_from(["free", "zero", 0.05]),
    at=st.floats(0.1, 1e9),
    objective=st.sampled_from(["log", "linear", "huber"]),
)
@settings(max_examples=10, deadline=None)
def test_bands_hold_the_law_and_nest(seed, floor, at, objective):
    loss = noisy(seed)
    weights = loss**-2.0 if objective == "linear" else None
    huber = 5e-3 if objective == "huber" else None
    fit = fit_power_law(WIDTHS, loss, weights, floor, huber=huber, replicates=0)
    weight = None if weights is None else fit.predict(at) ** -2.0
    law, slack = fit.predict(at), 1e-9
    narrow, wide, default = fit.band(at, 0.5), fit.band(at, 0.95), fit.band(at)
    assert default == wide
    assert wide[0] * (1 - slack) <= narrow[0] <= law * (1 + slack)
    assert law * (1 - slack) <= narrow[1] <= wide[1] * (1 + slack)
    low, high = fit.prediction(at, weight=weight)
    assert low < wide[0]
    assert high > wide[1]
    slope, low, high = fit.local_slope(at)
    step = 1e-5
    ratio = fit.predict(at * math.exp(step)) / fit.predict(at * math.exp(-step))
    assert slope == pytest.approx(-math.log(ratio) / (2 * step), rel=1e-4, abs=1e-9)
    assert low <= slope * (1 + slack) + 1e-300
    assert slope <= high * (1 + slack)


def test_bands_of_a_line_are_students():
    loss = noisy(8, floor=0.0)
    fit = fit_power_law(WIDTHS, loss, floor="zero", replicates=0)
    x, nu = np.log(WIDTHS), WIDTHS.size - 2
    at = np.array([1.0, 300.0, 1e6])
    lever = 1 / x.size + (np.log(at) - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)
    deviation = math.sqrt(fit.rss / nu)
    quantile = student.ppf(0.975, nu)
    half = quantile * deviation * np.sqrt(lever)
    law = fit.predict(at)
    np.testing.assert_allclose(fit.band(at), (law * np.exp(-half), law * np.exp(half)), rtol=1e-7)
    half = quantile * deviation * np.sqrt(1 + lever)
    expected = law * np.exp(-half), law * np.exp(half)
    np.testing.assert_allclose(fit.prediction(at), expected, rtol=1e-7)
    for value in fit.local_slope(at)[0]:
        assert value == fit.exponent
    for found in np.transpose(fit.local_slope(at)[1:]):
        assert tuple(found) == pytest.approx(fit.intervals["exponent"], rel=1e-7)


@pytest.mark.parametrize("huber", [None, 5e-3])
def test_bands_meet_the_intervals_of_the_parameters(huber):
    fit = fit_power_law(WIDTHS, noisy(9), huber=huber, replicates=0)
    # far out the law is its floor; close to n = 0 the slope is the exponent
    np.testing.assert_allclose(fit.band(1e200), fit.intervals["floor"], rtol=1e-6)
    np.testing.assert_allclose(fit.local_slope(1e-60)[1:], fit.intervals["exponent"], rtol=1e-6)
    held = fit_power_law(WIDTHS, noisy(9), floor=0.1, huber=huber, replicates=0)
    scale = [end + 0.1 for end in held.intervals["scale"]]
    np.testing.assert_allclose(held.band(1.0), scale, rtol=1e-7)
    assert held.local_slope(1e200)[0] == pytest.approx(0.0, abs=1e-90)


def test_bands_are_open_where_the_data_leave_them_open():
    n = 1000.0 * 2.0 ** np.arange(5)
    fit = fit_power_law(n, [2.0, 1.0, 1.01, 0.99, 1.0])  # a step: any large exponent will do
    low, high = fit.band([10.0, 1e6])
    assert high[0] == math.inf
    assert 2.0 < low[0] < 1e8
    assert math.isfinite(high[1])
    assert fit.local_slope(10.0)[2] == math.inf
    assert math.isfinite(fit.local_slope(1e6)[2])
    # two sizes: beyond them a steep law falls to the floor that is held, and rises without limit
    for floor, level in ((0.0, 1 - 1e-9), (0.4, 0.95)):
        n, loss = [10, 10, 20, 20, 20], [2.0, 1.9, 0.5, 3.0, 0.6]
        held = fit_power_law(n, loss, floor=floor, level=level, replicates=0)
        assert held.intervals["exponent"] == (-math.inf, math.inf)
        low, high = held.band([1.0, 1000.0])
        # the pull on a power term ends with its share of the law
        np.testing.assert_allclose(low, floor, rtol=1e-6)
        assert (high == math.inf).all()
        assert held.local_slope(1.0)[2] == math.inf
        assert held.local_slope(1000.0)[1] == -math.inf


def test_the_local_slope_is_known_where_floor_and_exponent_are_not():
    n = np.array([3072.0, 4608.0, 6144.0, 9216.0, 12288.0, 18432.0])
    fit = fit_power_law(n, noisy(8, 0.15, 0.5, 0.0, n=n), replicates=0)
    assert fit.status == "floor and exponent not identified"
    _, low, high = fit.local_slope(7500.0)
    assert low < 0.15 < high
    assert high < 2 * low


def test_shapes_of_bands():
    fit = fit_power_law(WIDTHS, noisy(10), replicates=0)
    for found in (fit.band(100.0), fit.prediction(100.0), fit.local_slope(100.0)):
        assert {edge.shape for edge in found} == {()}
    for found in (fit.band([[1.0], [9.0]]), fit.local_slope([[1.0], [9.0]])):
        assert {edge.shape for edge in found} == {(2, 1)}


def test_prediction_with_weights():
    loss = noisy(11)
    fit = fit_power_law(WIDTHS, loss, weights=loss**-2.0, replicates=0)
    wide, narrow = (fit.prediction([1e5, 2e5], weight=w) for w in (1.0, [100.0, 100.0]))
    band = fit.band([1e5, 2e5])
    assert (wide[0] < narrow[0]).all()
    assert (narrow[0] < band[0]).all()
    law = fit.predict([1e5, 2e5])
    noise = student.ppf(0.975, 8) * math.sqrt(fit.rss / 8)
    np.testing.assert_allclose((wide[1] - law) ** 2, (band[1] - law) ** 2 + noise**2, rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda fit: fit.band(0.0), "n must hold numbers greater than 0"),
        (lambda fit: fit.band(1.0, level=1.0), r"level must be a number in \(0, 1\), got 1.0"),
        (lambda fit: fit.local_slope(-1.0), "n must hold numbers greater than 0"),
        (lambda fit: fit.prediction(1.0, weight=2.0), "weight must be given if and only if"),
        (lambda fit: leave_largest(WIDTHS, noisy(0), 8), "drop must leave at least 4 points"),
        (lambda fit: leave_largest(WIDTHS, noisy(0), 12), "got 12 of 11 different n"),
        (lambda fit: leave_largest(WIDTHS, noisy(0), 0), "drop must be .* at least 1, got 0"),
        (lambda fit: leave_largest(WIDTHS, noisy(0), []), "drop must hold at least one number"),
        (lambda fit: leave_largest(WIDTHS, [1.0]), "loss must have one value for each n"),
        (lambda fit: leave_largest(WIDTHS, noisy(0), floor="no"), 'floor must be "free"'),
    ],
)
def test_bad_questions_are_refused_by_name(call, message):
    fit = fit_power_law(WIDTHS, noisy(12), replicates=0)
    with pytest.raises(ValueError, match=message):
        call(fit)


def test_leaving_the_largest_is_a_fit_without_them():
    n = np.append(WIDTHS, WIDTHS[-1])  # two points at the largest n go together
    loss = noisy(13, n=n)
    table = leave_largest(n[::-1], loss[::-1], (2, 1), huber=0.02)
    assert table.dropped.tolist() == [2, 2, 2, 1, 1]
    assert table.n.tolist() == [n[-3], n[-1], n[-1], n[-1], n[-1]]
    fit = fit_power_law(n[:-3], loss[:-3], huber=0.02)
    first = table.iloc[0]
    assert (first.exponent, first.floor) == pytest.approx((fit.exponent, fit.floor), rel=1e-7)
    assert first.predicted == pytest.approx(fit.predict(n[-3]), rel=1e-7)
    assert first.error == pytest.approx(math.log(loss[-3] / fit.predict(n[-3])), abs=1e-7)
    np.testing.assert_allclose((first.low, first.high), fit.prediction(n[-3]), rtol=1e-6)
    assert (table.inside == (table.low <= table.loss) & (table.loss <= table.high)).all()
    # a law that bends where nothing was measured is found out
    bent = np.where(n > 30_000, 1.3 * loss, loss)
    assert not leave_largest(n, bent, 2).inside.iloc[-1]


@pytest.mark.slow
def test_predictions_hold_the_largest_as_often_as_they_say():
    curves = 300
    hits = sum(int(leave_largest(WIDTHS, noisy(seed), 3).inside.iloc[-1]) for seed in range(curves))
    low, high = binom.ppf([0.0005, 0.9995], curves, 0.95)
    assert low <= hits <= high


@pytest.mark.slow
@pytest.mark.parametrize(
    ("huber", "outliers"), [(None, 0.0), (1e-3, 0.0), (1e-3, 0.05), (1e-2, 0.0), (1e-2, 0.05)]
)
def test_coverage_over_many_kinds_of_curves(monkeypatch, huber, outliers):
    monkeypatch.syspath_prepend(str(FOLDER))
    table = importlib.import_module("fits").coverage(500, huber, outliers)
    known = table[table.identified]
    assert len(known) > 400
    assert 0.92 <= known.exponent.mean() <= 0.99
    assert 0.92 <= known.floor.mean() <= 0.99
