"""Measured curves: exponents and their intervals, isotonic curves, overlaps, storage, refusals."""

import doctest
import functools
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, least_squares
from scipy.stats import binom

import scaling_theory as sth
from scaling_theory import measured as module
from scaling_theory.allocation.reference import dynamic_programme
from scaling_theory.fitting import exponents
from scaling_theory.fitting.isotonic import pool_adjacent
from scaling_theory.measured import MeasuredCurve
from scaling_theory.testing import check_allocation, check_curve
from scaling_theory.theory import geometry

DOUBLING = 2.0 ** np.arange(4, 14)
UNEVEN = np.array([1.0, 2, 3, 5, 10, 30, 64, 128, 500, 1000, 4096])
NOT_IDENTIFIED = "floor and exponent not identified"


def trained(n, loss, stderr=None, overlap=None, source="a test"):
    return MeasuredCurve(n, loss, stderr, overlap, provenance="trained", source=source)


def optimal(n, loss, **others):
    return MeasuredCurve(n, loss, provenance="optimal", **others)


def law(n, b=0.5, floor=0.1, scale=2.0):
    return floor + scale * np.asarray(n, dtype=float) ** -b


# ---- exponents of exact laws -------------------------------------------------------------------


@pytest.mark.parametrize("n", [DOUBLING, UNEVEN], ids=["doubling", "uneven"])
@pytest.mark.parametrize("errors", ["derived", "unknown", "relative", "uneven"])
@pytest.mark.parametrize(("b", "floor"), [(0.1, 0.3), (0.5, 0.0), (4 / 3, 0.0975), (3.0, 1.0)])
def test_exact_laws_are_recovered(n, errors, b, floor):
    loss = law(n, b, floor)
    stderr = {"relative": 1e-4 * loss, "uneven": 1e-5 * np.geomspace(1, 30, n.size)}.get(errors)
    curve = optimal(n, loss) if errors == "derived" else trained(n, loss, stderr)
    found = curve.exponents()
    # A minimum is found to the square root of rounding, 1.5e-8. Where every gain counts alike, the
    # last one, of two rounded losses, can turn the slope by its relative rounding.
    lost = 2.0**-53 * loss[-1] / (loss[-2] - loss[-1]) if errors == "derived" else 0.0
    assert found.gain.value == pytest.approx(1 + b, abs=1e-7 * (1 + b) + lost)
    assert found.excess.value == pytest.approx(b, rel=1e-5)
    low, high = found.gain.interval
    assert low <= (1 + b) * (1 + 1e-9)
    assert high >= (1 + b) * (1 - 1e-9)
    assert found.raw.value == pytest.approx(-np.polyfit(np.log(n), np.log(loss), 1)[0], rel=1e-9)
    if b < 3.0:  # a step at the first point is, without errors, as good as scatter
        assert found.raw.status == ("ok" if floor == 0.0 else "curved")
    if errors in ("derived", "unknown"):
        # the interval allows for 64 roundings, times Student's 2.36 and the leverage of the ends
        assert high - low < 1e-6 + 200.0 * lost
        assert found.gain.status == "ok"


@pytest.mark.parametrize("provenance", ["optimal", "trained"])
@pytest.mark.parametrize(
    ("g", "loss"), [(1.0, 3.0 - 0.1 * np.log(UNEVEN)), (0.7, 9.0 - 0.1 * UNEVEN**0.3)]
)
def test_gains_have_an_exponent_where_there_is_no_floor(g, loss, provenance):
    found = MeasuredCurve(UNEVEN, loss, provenance=provenance).exponents()
    assert found.gain.value == pytest.approx(g, rel=1e-6)
    assert found.gain.status == "ok"
    # no law with a floor of at least 0 is as flat as that: the best has none
    assert found.fit.floor == 0.0
    assert found.excess.status in (NOT_IDENTIFIED, "floor at boundary")


def test_the_gain_exponent_is_the_slope_of_the_gains():
    # on evenly spaced logarithms the quotient at the geometric mean is a power law too
    curve = trained(DOUBLING, law(DOUBLING, 0.4))
    gains = curve.gains()
    slope = -np.polyfit(np.log(gains["n"]), np.log(gains["gain"]), 1)[0]
    assert slope == pytest.approx(1.4, rel=1e-12)
    assert curve.exponents().gain.value == pytest.approx(slope, rel=1e-7)
    assert gains["stderr"].isna().all()
    both = trained([0, 2, 4], [1.0, 0.5, 0.3], [0.0, 0.3, 0.4]).gains()
    assert both["n"].tolist() == [math.sqrt(8.0)]
    assert both["gain"].tolist() == pytest.approx([0.1])
    assert both["stderr"].tolist() == [0.25]


def test_between_selects_points_and_zero_is_never_among_them():
    n = np.append(0, DOUBLING).astype(int)
    loss = np.append(7.0, law(DOUBLING))
    loss[-1] += 0.05
    found = trained(n, loss).exponents(between=(16, 4096))
    assert found.fit.n_points == 9
    assert found.gain.value == pytest.approx(1.5, rel=1e-7)
    assert found.table()["exponent"].tolist() == ["raw", "excess", "gain"]
    assert found.table()["value"][2] == found.gain.value


def test_the_circle_falls_as_four_thirds_and_overlaps_as_one_third():
    tilings = [geometry.circle_tiling(int(n)) for n in np.geomspace(256, 16384, 25)]
    n = [t.n for t in tilings]
    floor = geometry.sphere_floor(0.1)
    table = sth.TabulatedCurve(
        [0, *n], [1.0, *(t.loss for t in tilings)], "power", exponent=4 / 3, floor=floor
    )
    circle = MeasuredCurve.from_curve(table, n, overlap=[t.overlap for t in tilings])
    assert circle.provenance == "optimal"
    # the tiling's excess lies above its law by up to 1/q^2, q from 5 to 20: 4% falling to 0.25%
    # over ln 64, which is at most 0.01 of slope in the mean, and steps of the same size
    for found in (circle.exponents(), circle.exponents(floor=floor)):
        assert found.excess.value == pytest.approx(4 / 3, abs=0.02)
        assert found.gain.value == pytest.approx(7 / 3, abs=0.02)
        assert found.raw.value < 0.001  # what a raw slope sees
        assert found.raw.status == "curved"
    theta = circle.overlap_exponent()
    # steps of 1 in q are 1/q of it: 20% falling to 5%, at random phases
    assert theta.value == pytest.approx(1 / 3, abs=0.02)
    assert theta.interval[0] < 1 / 3 < theta.interval[1]


def test_docstrings_say_what_is_so():
    done = doctest.testmod(module)
    assert done.attempted > 5
    assert done.failed == 0


# ---- exponents of noisy laws -------------------------------------------------------------------


def binomial_band(draws, level):
    """Counts that a correct method leaves with probability 1e-3."""
    return binom.ppf([0.0005, 0.9995], draws, level)


def noise(seed, size):
    return np.random.default_rng(seed).standard_normal(size)


def differences(n, loss, stderr):
    """The obvious way: differences, the inverse of their covariance, and MINPACK."""
    step = np.diff(np.eye(n.size), axis=0)
    white = np.linalg.inv(np.linalg.cholesky(step @ np.diag(stderr**2) @ step.T))

    def errors(x):
        b = x[1]
        gained = np.exp(x[0]) * (n[:-1] ** -b - n[1:] ** -b) / b
        return white @ (-np.diff(loss) - gained)

    run = least_squares(errors, [0.0, 0.5], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    return 1.0 + run.x[1], 2.0 * run.cost


@pytest.mark.parametrize("seed", range(5))
def test_the_gain_exponent_is_generalised_least_squares_of_differences(seed):
    stderr = 1e-3 * np.geomspace(3.0, 1.0, UNEVEN.size)
    loss = law(UNEVEN) + stderr * noise(seed, UNEVEN.size)
    value, least = differences(UNEVEN, loss, stderr)
    found = trained(UNEVEN, loss, stderr).exponents().gain
    assert found.value == pytest.approx(value, rel=1e-6)
    # the ends are where the profile has risen by chi-square(1)
    kept = exponents._LossLaw(np.log(UNEVEN), loss, 1.0 / stderr)
    sums = kept.squares(np.array([*found.interval, found.value]) - 1.0)
    assert sums == pytest.approx(np.array([3.841459, 3.841459, 0.0]) + least, abs=1e-5)


@pytest.mark.parametrize("b", [0.2, 0.8])
@pytest.mark.parametrize("known", [True, False], ids=["stderr", "scatter"])
def test_coverage_of_the_gain_exponent(b, known):
    draws, hits = 200, 0
    for seed in range(draws):
        exact = law(DOUBLING, b)
        error = 3e-3 * exact * (np.geomspace(2.0, 1.0, 10) if known else 1.0)
        loss = exact + error * noise(seed, 10)
        stderr = error if known else None
        low, high = exponents.gain_exponent(DOUBLING, loss, stderr, False, 0.9).interval
        hits += low <= 1 + b <= high
        if seed == 0:  # this is what the public method reports
            public = trained(DOUBLING, loss, stderr).exponents(level=0.9).gain
            assert public.interval == (low, high)
    low, high = binomial_band(draws, 0.9)
    assert low <= hits <= high


def test_the_profile_agrees_with_a_parametric_bootstrap():
    error = 1e-3 * np.ones(10)
    gain = functools.partial(exponents.gain_exponent, DOUBLING, exact=False, level=0.9)
    found = gain(law(DOUBLING), error)
    draws = [gain(law(DOUBLING) + error * noise(s, 10), error).value for s in range(400)]
    ends = np.quantile(draws, [0.05, 0.95])
    # standard error of a 5% quantile of 400 normal draws: 0.106 standard deviations, or 0.064
    # half-widths; 4 of them, and as much again for the curvature of the law
    half = 0.5 * (found.interval[1] - found.interval[0])
    assert found.interval == pytest.approx(ends, abs=0.3 * half)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_coverage_of_the_raw_slope(floor):
    # with errors known the target is the slope of the exact losses, bent or not
    draws, known, scatter = 400, 0, 0
    exact = law(DOUBLING, 0.3, floor)
    target = -np.polyfit(np.log(DOUBLING), np.log(exact), 1)[0]
    for seed in range(draws):
        error = np.full(10, 0.01)
        y = -np.log(exact) - np.log1p(error * noise(seed, 10))
        low, high = exponents.line_exponent(np.log(DOUBLING), y, error, 0.9, "").interval
        known += low <= target <= high
        low, high = exponents.line_exponent(np.log(DOUBLING), y, None, 0.9, "").interval
        scatter += low <= target <= high
    low, high = binomial_band(draws, 0.9)
    assert low <= known <= high
    assert low <= scatter  # a bend widens it
    assert floor or scatter <= high


def test_coverage_of_the_excess_exponent_with_standard_errors(monkeypatch):
    monkeypatch.setattr("scaling_theory.fitting._bootstrap.REPLICATES", 2)  # not looked at here
    draws, hits = 60, 0
    error = 1e-3 * np.geomspace(3.0, 1.0, 10)
    for seed in range(draws):
        loss = law(DOUBLING) + error * noise(seed, 10)
        low, high = trained(DOUBLING, loss, error).exponents(level=0.9).excess.interval
        hits += low <= 0.5 <= high
    low, high = binomial_band(draws, 0.9)
    assert low <= hits <= high


def test_coverage_of_the_overlap_exponent():
    draws, hits = 400, 0
    for seed in range(draws):
        q = 1.5 * DOUBLING**0.4 * np.exp(0.05 * noise(seed, 10))
        curve = trained(DOUBLING, law(DOUBLING), overlap=q)
        low, high = curve.overlap_exponent(level=0.9).interval
        hits += low <= 0.4 <= high
    low, high = binomial_band(draws, 0.9)
    assert low <= hits <= high


def test_bends_and_misfits_are_found_as_often_as_their_significance():
    draws, bent, misfit = 400, 0, 0
    error = np.full(10, 1e-3)
    for seed in range(draws):
        y = 1.0 - 0.3 * np.log(DOUBLING) + error * noise(seed, 10)
        bent += exponents.line_exponent(np.log(DOUBLING), y, error, 0.9, "").status == "curved"
        loss = law(DOUBLING) + error * noise(seed, 10)
        gain = exponents.gain_exponent(DOUBLING, loss, error, False, 0.9)
        misfit += gain.status != "ok"
    low, high = binomial_band(draws, exponents.SIGNIFICANCE)
    assert low <= bent <= high
    assert low <= misfit <= high


# ---- status ------------------------------------------------------------------------------------


def test_what_is_not_identified_is_said():
    # two octaves with noise: neither a floor nor its absence can be told
    n = np.array([16, 24, 32, 48, 64])
    loss = law(n) * np.exp(0.01 * noise(3, 5))
    found = trained(n, loss).exponents()
    assert found.excess.status == found.fit.status == NOT_IDENTIFIED
    assert found.excess.message == found.fit.message
    assert found.gain.status == "gain exponent not identified"
    assert found.gain.interval[1] == math.inf or found.gain.interval[1] > 2 * found.gain.interval[0]


@pytest.mark.parametrize("stderr", [None, 0.01 * np.ones(10)])
def test_a_loss_that_rises_has_no_gains(stderr):
    found = trained(DOUBLING, 1.0 + 0.1 * np.log(DOUBLING), stderr).exponents().gain
    assert math.isnan(found.value)
    assert found.interval == (-math.inf, math.inf)
    assert found.status == "gain exponent not identified"


def test_a_derived_curve_that_is_flat_somewhere_has_no_exponent():
    found = optimal([1, 2, 3, 4, 5], [0.5, 0.4, 0.4, 0.3, 0.2]).exponents().gain
    assert math.isnan(found.value)
    assert found.status == "gains not a power law"


def test_a_kink_is_no_power_law():
    loss = np.minimum(law(DOUBLING), law(DOUBLING[5]) - 0.02 * (DOUBLING >= 1024))
    found = trained(DOUBLING, loss, np.full(10, 1e-3)).exponents()
    assert found.gain.status == "gains not a power law"
    assert "p =" in found.gain.message


# ---- invariances -------------------------------------------------------------------------------

LAWS = st.tuples(st.floats(0.2, 2.0), st.floats(0.0, 1.0), st.integers(0, 1000))


def noisy(drawn):
    b, floor, seed = drawn
    exact = law(DOUBLING, b, floor, 16.0**b)
    stderr = 0.002 * np.linspace(1.0, 2.0, 10)
    return exact + stderr * noise(seed, 10), stderr


@settings(deadline=None, max_examples=8)
@given(LAWS, st.floats(1e-6, 1e6), st.sampled_from([1, 3, 1024]), st.booleans())
def test_units_of_loss_and_latents_change_no_exponent(drawn, factor, times, known):
    loss, stderr = noisy(drawn)
    assume(loss.min() > 0.0)
    here = trained(DOUBLING, loss, stderr if known else None).exponents()
    there = trained(times * DOUBLING, factor * loss, factor * stderr if known else None).exponents()
    for name in ("raw", "gain", "excess"):
        a, b = getattr(here, name), getattr(there, name)
        # a flat valley of the fit moves with rounding: 1e-5, as in the tests of the fit
        assert b.value == pytest.approx(a.value, rel=1e-5, abs=1e-9)
        assert b.interval == pytest.approx(a.interval, rel=1e-4, abs=1e-9)
        assert b.status == a.status


@settings(deadline=None, max_examples=5)
@given(LAWS, st.floats(0.05, 10.0))
def test_a_floor_changes_the_raw_slope_and_not_the_gains(drawn, more):
    loss, stderr = noisy(drawn)
    assume(loss.min() > 0.0)
    here = trained(DOUBLING, loss, stderr).exponents()
    there = trained(DOUBLING, loss + more, stderr).exponents()
    assert there.gain.value == pytest.approx(here.gain.value, rel=1e-6)
    assert there.gain.interval == pytest.approx(here.gain.interval, rel=1e-6)
    assert there.gain.status == here.gain.status
    assert there.raw.value < here.raw.value
    derived = [optimal(DOUBLING, law(DOUBLING, drawn[0], f)) for f in (0.0, more)]
    first, second = (curve.exponents() for curve in derived)
    # rounding of the last gains: 2^-53 of the loss
    lost = 10.0 * 2.0**-53 * (more + 2.0) / -np.diff(law(DOUBLING, drawn[0], 0.0))[-1]
    assert second.gain.value == pytest.approx(first.gain.value, abs=1e-7 + lost)
    assert second.raw.value < first.raw.value


# ---- isotonic curves ---------------------------------------------------------------------------

LOSSES = st.lists(st.integers(0, 6).map(lambda v: v / 4.0), min_size=1, max_size=7)


def best_blocks(loss, weight):
    """Brute force: of all ways to cut into blocks with falling means, the closest."""
    best, found = math.inf, None
    for cuts in itertools.product([False, True], repeat=loss.size - 1):
        edges = [0, *(np.flatnonzero(cuts) + 1), loss.size]
        means = [np.average(loss[a:b], weights=weight[a:b]) for a, b in itertools.pairwise(edges)]
        values = np.repeat(means, np.diff(edges))
        distance = float(weight @ (loss - values) ** 2)
        if (np.diff(means) <= 1e-12).all() and distance < best - 1e-12:
            best, found = distance, values
    return found


@settings(deadline=None, max_examples=60)
@given(LOSSES, st.integers(0, 1000))
def test_isotonic_losses_are_the_closest(losses, seed):
    loss = np.array(losses)
    weight = np.random.default_rng(seed).uniform(0.2, 3.0, loss.size)
    found = pool_adjacent(loss, weight)
    assert (np.diff(found) <= 0.0).all()
    np.testing.assert_allclose(found, best_blocks(loss, weight), atol=1e-12)
    scipys = isotonic_regression(loss, weights=weight, increasing=False).x
    np.testing.assert_allclose(found, scipys, atol=1e-12)
    assert pool_adjacent(found, weight).tolist() == found.tolist()


def test_points_that_are_moved_are_listed():
    curve = trained([0, 1, 2, 4, 8], [1.0, 0.5, 0.6, 0.3, 0.2], [0.0, 0.1, 0.2, 0.1, 0.1])
    moved = curve.violations()
    # weights 4 to 1: 0.52
    assert moved["n"].tolist() == [1, 2]
    assert moved["isotonic"].tolist() == pytest.approx([0.52, 0.52])
    assert moved["moved"].tolist() == pytest.approx([0.02, -0.08])
    assert moved["standard_errors"].tolist() == pytest.approx([0.2, -0.4])
    table = curve.to_curve(beyond="flat")
    assert table.losses.tolist() == pytest.approx([1.0, 0.52, 0.52, 0.3, 0.2])
    unknown = trained([1, 2], [0.5, 0.6]).violations()
    assert unknown["isotonic"].tolist() == pytest.approx([0.55, 0.55])
    assert unknown["standard_errors"].isna().all()
    assert trained([1, 2, 3], [0.5, 0.5, 0.4]).violations().empty


def test_an_exact_loss_at_zero_stays():
    curve = trained([1, 2, 4], [1.1, 0.8, 0.9], [0.1, 0.1, 0.1])
    table = curve.to_curve("flat", at_zero=1.0)
    assert table.losses.tolist() == pytest.approx([1.0, 1.0, 0.85, 0.85])
    assert table.losses[0] == 1.0
    assert curve.violations(at_zero=1.0)["n"].tolist() == [1, 2, 4]
    assert curve.violations()["n"].tolist() == [2, 4]
    exact = trained([0, 1, 2], [1.0, 1.1, 0.8], [0.0, 0.1, 0.1])
    assert exact.to_curve("flat").losses[0] == 1.0


def test_the_law_beyond_is_the_fitted_one():
    curve = trained(DOUBLING, law(DOUBLING))
    table = curve.to_curve(at_zero=3.0)
    far = np.array([10**5, 10**7])
    np.testing.assert_allclose(table.loss(far), law(far), rtol=1e-6)
    held = curve.to_curve(at_zero=3.0, floor=0.1)
    assert held.floor == 0.1
    assert held.tail_exponent == pytest.approx(0.5, rel=1e-7)
    stated = curve.to_curve(at_zero=3.0, exponent=2.0, floor=0.05)
    assert (stated.tail_exponent, stated.limit) == (2.0, 0.05)
    part = curve.to_curve(at_zero=3.0, between=(64, 8192))
    assert part.tail_exponent == pytest.approx(0.5, rel=1e-6)
    assert part.n.tolist() == [0, *DOUBLING]


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 10_000), beyond=st.sampled_from(["flat", "power"]))
def test_curves_keep_their_word_and_are_allocated_exactly(seed, beyond):
    generator = np.random.default_rng(seed)
    n = np.array([1, 2, 3, 4, 6, 8, 12])
    error = np.full(7, 0.03)
    curve = trained(n, law(n, 0.7, 0.2, 0.7) + error * generator.standard_normal(7), error)
    stated = {} if beyond == "flat" else {"exponent": 0.7, "floor": 0.0}
    table = curve.to_curve(beyond, at_zero=1.0, **stated)
    check_curve(table)
    other = sth.PowerLawCurve(0.4, scale=0.9)
    population = sth.Population(
        sth.PowerLawFrequencies(0.5, count=4), default=table, ranks={2: other}
    )
    for latents in (1, 5, 14, 30):
        alloc = sth.allocate(population, latents)
        check_allocation(population, alloc)
        best = dynamic_programme(population, latents).excess_loss
        assert alloc.excess_loss >= best * (1 - 1e-12)
        assert alloc.excess_loss - alloc.gap <= best * (1 + 1e-12)


# ---- overlap -----------------------------------------------------------------------------------


def test_overlaps_between_at_and_beyond_the_points():
    n = np.array([0, 4, 16, 64])
    curve = trained(n, [1.0, 0.5, 0.4, 0.3], overlap=np.array([0.0, 2.0, 4.0, 8.0]))
    theta = curve.overlap_exponent()
    assert theta.value == pytest.approx(0.5, rel=1e-12)
    assert theta.status == "ok"
    x = np.array([[1.0, 2.0, 4.0], [30.0, 64.0, 1e6]])
    np.testing.assert_allclose(curve.overlap_at(x), np.sqrt(x), rtol=1e-12)
    assert curve.overlap_at(256, exponent=1.0) == pytest.approx(32.0)
    assert curve.overlap_at(640, exponent=2.0) == pytest.approx(640.0)  # never more than n
    assert curve.overlap_at(1e9, exponent=-1.0) == 1.0  # never less than 1


def test_activations_that_are_missed_count_as_seen_once():
    curve = trained([1, 2, 4, 8], [0.9, 0.8, 0.7, 0.6], overlap=[0.3, 0.0, 0.5, 3.0])
    assert curve.overlap_at([1.0, 2.0, 3.0, 4.0]).tolist() == [1.0] * 4
    assert curve.overlap_at([8.0])[0] == pytest.approx(3.0)
    with pytest.raises(ValueError, match=r"between must leave at least 3 points.*got 2"):
        curve.overlap_at(16.0)
    assert curve.overlap_at(16.0, exponent=0.0) == pytest.approx(3.0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=8), st.floats(1.0, 1e9))
def test_overlaps_are_in_range(shares, x):
    n = np.arange(1, len(shares) + 1) * 3
    curve = trained(n, np.ones(n.size), overlap=np.array(shares) * n)
    q = float(curve.overlap_at(x, exponent=0.4))
    assert 1.0 <= q <= x


def test_overlaps_make_frequencies_of_latents():
    curve = trained(DOUBLING, law(DOUBLING), overlap=DOUBLING**0.3)
    population = sth.Population(sth.PowerLawFrequencies(0.5), curve.to_curve(at_zero=3.0))
    alloc = sth.allocate(population, 20_000)
    found = sth.latent_frequencies(alloc, overlap=curve.overlap_at)
    want = sth.latent_frequencies(alloc, overlap=lambda n: n**0.3)
    ranks = np.array([1, 10, 1000, 20_000])
    np.testing.assert_allclose(found.at(ranks), want.at(ranks), rtol=1e-9)


# ---- sources and storage -----------------------------------------------------------------------


def test_a_derived_curve_says_what_it_is():
    power = sth.PowerLawCurve(beta=0.5, floor=0.1, shift=0)
    curve = MeasuredCurve.from_curve(power, [1, 2, 4, 8, 16], overlap=lambda n: n**0.2)
    assert curve.source == repr(power)
    assert curve.stderr is None
    assert curve.loss.tolist() == power.loss([1, 2, 4, 8, 16]).tolist()
    assert curve.overlap_exponent().value == pytest.approx(0.2, rel=1e-12)
    assert "optimal" in repr(curve)


FINITE = st.floats(0.0, 1e300, allow_subnormal=True)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(FINITE, st.floats(5e-324, 1e300), st.floats(0.0, 1.0)), min_size=1),
    st.booleans(),
    st.sampled_from(["", "text é", {}, {"seeds": 3, "rate": 0.1, "who": [1, None, {"a": True}]}]),
)
def test_json_gives_back_every_bit(points, bare, source):
    loss, stderr, share = (np.array(column) for column in zip(*points, strict=True))
    n = np.cumsum(np.arange(1, loss.size + 1)) ** 2
    others = (None, None) if bare else (stderr, share * n)
    curve = trained(n, loss, *others, source=source)
    again = MeasuredCurve.from_json(curve.to_json())
    for name in ("n", "loss", "stderr", "overlap"):
        old, new = getattr(curve, name), getattr(again, name)
        if old is None:
            assert new is None
        else:
            assert new.dtype == old.dtype
            assert new.tobytes() == old.tobytes()
    assert again.provenance == curve.provenance
    assert again.source == source
    assert again.to_json() == curve.to_json()


def test_nothing_can_be_changed_from_outside():
    n, loss, source = np.array([1, 2]), np.array([1.0, 0.5]), {"seeds": [1]}
    curve = trained(n, loss, source=source)
    n[0], loss[0] = 7, 7.0
    source["seeds"].append(2)
    curve.source["seeds"].append(3)
    assert curve.n.tolist() == [1, 2]
    assert curve.loss.tolist() == [1.0, 0.5]
    assert curve.source == {"seeds": [1]}
    with pytest.raises(ValueError, match="read-only"):
        curve.loss[0] = 3.0
    with pytest.raises(AttributeError):
        curve.provenance = "optimal"


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, scaling_theory.measured as m;"
        "c = m.MeasuredCurve([0, 1, 2], [1.0, 0.5, 0.6], overlap=[0, 1, 1], provenance='trained');"
        "c.to_curve('flat'); c.overlap_at([1.5]); m.MeasuredCurve.from_json(c.to_json());"
        "print([x for x in ('pandas', 'scipy.optimize', 'torch', 'sympy') if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- refusals ----------------------------------------------------------------------------------

THREE = trained([1, 2, 4], [0.9, 0.8, 0.7], overlap=[1.0, 1.5, 2.0])
TEN = trained(DOUBLING, law(DOUBLING))
VAGUE = trained([16, 24, 32, 48, 64], law([16, 24, 32, 48, 64]) * np.exp(0.01 * noise(3, 5)))
ZERO = trained([0, *DOUBLING], [3.0, *law(DOUBLING)])

REFUSED = [
    (lambda: trained([1, 1], [1.0, 0.5]), ["n must be strictly increasing", "n[1] = 1"]),
    (lambda: trained([-1, 1], [1.0, 0.5]), ["n", "n[0] = -1"]),
    (lambda: trained([1.5, 2], [1.0, 0.5]), ["n", "whole", "1.5"]),
    (lambda: trained([], []), ["n must not be empty"]),
    (lambda: trained([1, 2], [1.0]), ["loss must have one value per n", "1 for 2"]),
    (lambda: trained([1, 2], [1.0, -0.5]), ["loss", "at least 0", "loss[1] = -0.5"]),
    (lambda: trained([1, 2], [1.0, math.nan]), ["loss[1] = nan"]),
    (lambda: trained([1, 2], [1.0, 0.5], [0.1]), ["stderr must have one value per n"]),
    (lambda: trained([1, 2], [1.0, 0.5], [0.1, 0.0]), ["stderr", "greater than 0", "stderr[1]"]),
    (lambda: trained([1, 2], [1.0, 0.5], [0.1, math.inf]), ["stderr[1] = inf"]),
    (lambda: trained([1, 2], [1.0, 0.5], None, [1.1, 1.0]), ["overlap", "[0, n]", "1.1"]),
    (lambda: trained([0, 2], [1.0, 0.5], None, [1.0, 1.0]), ["overlap", "at n = 0"]),
    (lambda: trained([1], [1.0], source={"a": math.nan}), ["source", "JSON", "nan"]),
    (lambda: trained([1], [1.0], source={"a": (1, 2)}), ["source", "(1, 2)"]),
    (lambda: trained([1], [1.0], source={1: 2}), ["source", "{1: 2}"]),
    (lambda: trained([1], [1.0], source=3), ["source", "text", "3"]),
    (
        lambda: MeasuredCurve([1], [1.0], provenance="guessed"),
        ["provenance", "'optimal' or 'trained'", "'guessed'"],
    ),
    (lambda: MeasuredCurve.from_curve(3, [1]), ["curve must be a LossCurve", "3"]),
    (
        lambda: MeasuredCurve.from_curve(sth.PowerLawCurve(np.array([0.1, 0.2])), [1]),
        ["curve", "one feature"],
    ),
    (THREE.exponents, ["at least 4 points", "got 3"]),
    (lambda: TEN.exponents(between=(16, 64)), ["between", "got 3", "(16, 64)"]),
    (lambda: TEN.exponents(between=(64, 16)), ["between[1]", "at least 64", "16"]),
    (lambda: TEN.exponents(between=(0, 16)), ["between[0]", "at least 1", "0"]),
    (lambda: TEN.exponents(between=64), ["between must be two numbers", "64"]),
    (lambda: TEN.exponents(level=1.0), ["level", "(0, 1)", "1.0"]),
    (lambda: TEN.exponents(floor=9.0), ["floor", "9.0"]),
    (lambda: trained([1, 2, 3, 4], [1.0, 0.5, 0.1, 0.0]).exponents(), ["loss[3] = 0.0", "n = 4"]),
    (TEN.overlap_exponent, ["overlap must be given", "None"]),
    (lambda: TEN.overlap_at(3), ["overlap must be given", "None"]),
    (THREE.overlap_exponent, ["at least 3 points with n >= 2", "got 2"]),
    (lambda: THREE.overlap_at([2.0, 0.5]), ["n[1] = 0.5", "at least 1"]),
    (lambda: THREE.overlap_at(2.0, exponent=math.inf), ["exponent", "inf"]),
    (TEN.to_curve, ["at_zero must be given", "None"]),
    (lambda: ZERO.to_curve(at_zero=3.0), ["at_zero must be None where n = 0", "3.0"]),
    (lambda: TEN.to_curve(at_zero=0.01), ["at_zero", "smallest loss", "0.01"]),
    (lambda: TEN.to_curve(at_zero=-1.0), ["at_zero", "at least 0", "-1.0"]),
    (lambda: TEN.violations(at_zero=math.nan), ["at_zero", "nan"]),
    (
        lambda: VAGUE.to_curve(at_zero=3.0),
        ["beyond='power'", "identified", "beyond='flat'", "exponent and floor"],
    ),
    (lambda: ZERO.to_curve(exponent=1.0), ["floor must be given with exponent=1.0"]),
    (
        lambda: ZERO.to_curve(exponent=1.0, floor=0.0, between=(1, 64)),
        ["between must be None where no law is fitted", "(1, 64)"],
    ),
    (lambda: ZERO.to_curve("flat", between=(1, 64)), ["between must be None", "'flat'"]),
    (lambda: ZERO.to_curve("flat", floor=0.0), ["exponent and floor must be None", "floor=0.0"]),
    (lambda: ZERO.to_curve("linear"), ["beyond must be 'flat' or 'power'", "'linear'"]),
    (lambda: MeasuredCurve.from_json("{"), ["text must be the JSON of a MeasuredCurve"]),
    (lambda: MeasuredCurve.from_json("[1]"), ["text must be the JSON", "[1]"]),
    (
        lambda: MeasuredCurve.from_json(TEN.to_json().replace("MeasuredCurve/1", "Other/1")),
        ["format", "MeasuredCurve/1"],
    ),
    (
        lambda: MeasuredCurve.from_json(TEN.to_json().replace("trained", "guessed")),
        ["provenance", "'guessed'"],
    ),
]


@pytest.mark.parametrize(("call", "fragments"), REFUSED)
def test_bad_input_is_refused(call, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)
