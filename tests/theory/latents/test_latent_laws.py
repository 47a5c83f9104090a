"""Closed forms of the latents' frequencies: symbolically, and against the exact solver."""

import math
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.theory.derivations import latents as chapters
from scaling_theory.theory.latents.frequencies import latent_frequencies
from scaling_theory.theory.latents.laws import latent_law, latent_slope

CHAPTERS = [chapters.latent_slopes, chapters.latent_plateaus]


def power(theta):
    return lambda n: n**theta


def solve(alpha, beta, latents, theta=0.0):
    population = sth.Population(sth.PowerLawFrequencies(alpha), sth.PowerLawCurve(beta))
    alloc = sth.allocate(population, latents)
    return alloc, latent_frequencies(alloc, power(theta))


def local_slope(seen, rank, width=1.1):
    low, high = round(rank / width), round(rank * width)
    f = seen.at([low, high])
    return math.log(f[1] / f[0]) / math.log(high / low)


# ---- derivations -----------------------------------------------------------------------------


def test_slope_of_the_law_is_that_of_the_derivation():
    law = latent_law(0.5, 0.8, latents=1e6, theta=0.3)
    (step,) = (s for s in chapters.latent_slopes() if s.name.startswith("the same with zeta"))
    zeta = float(mp.zeta(mp.mpf(law.gamma)))
    values = {"alpha": 0.5, "beta": 0.8, "theta": 0.3, "kappa": law.kappa, "zeta": zeta}
    for r in (1e5, 5e5):
        at = {s: values.get(s.name, r) for s in step.equation.rhs.free_symbols}
        assert law.slope(r)[0] == pytest.approx(float(step.equation.rhs.subs(at)), rel=1e-10)


# ---- benign ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "beta", "theta", "want"),
    [
        (0.5, 1.0, 0.0, -3.0),
        (0.5, 1.0, 0.5, -4.5),
        (0.5, 2.0, 0.0, -2.0),
        (-0.26, 0.5, 0.0, -0.74 * 0.5 / 0.76),
        (0.5, math.inf, 0.7, -1.5),
        (-0.4, np.inf, 0.0, -0.6),
    ],
)
def test_values_of_the_benign_slope(alpha, beta, theta, want):
    assert latent_slope(alpha, beta, theta) == pytest.approx(want, rel=1e-14)


@given(st.floats(0.0, 5.0), st.floats(1.001, 50.0), st.floats(0.0, 1.0))
def test_latents_are_never_shallower_than_features_if_alpha_is_positive(alpha, ratio, theta):
    assert latent_slope(alpha, (alpha + 0.01) * ratio, theta) <= -(1.0 + alpha)


@pytest.mark.parametrize("theta", [0.0, 0.5])
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 1.0), (0.3, 0.8), (1.0, 2.0)])
def test_benign_slope_is_approached_at_the_rate_of_the_next_order(alpha, beta, theta):
    # at r = N/10: slope/limit = 1/(1 - zeta(gamma) kappa/r), and kappa/N ~ N^(gamma-1)
    want = latent_slope(alpha, beta, theta)
    gamma = (1.0 + alpha) / (1.0 + beta)
    off = []
    for n in (1e9, 1e12, 1e15):
        slope = local_slope(solve(alpha, beta, n, theta)[1], n / 10)
        law = latent_law(alpha, beta, latents=n, theta=theta)
        assert slope == pytest.approx(law.slope(n / 10)[0], rel=0.02)
        off.append(want / law.slope(n / 10)[0] - 1.0)
        assert want / slope - 1.0 == pytest.approx(off[-1], abs=0.02)
    for one, two in pairwise(off):
        assert two / one == pytest.approx(1000.0 ** (gamma - 1.0), rel=2.0 * one)


def test_alpha_below_zero_can_be_shallower_than_its_features():
    # -(1+alpha) beta/(beta-alpha) = -0.4286 for features of slope -0.6; a finite number of them
    count = 10**12
    law = sth.PowerLawFrequencies(-0.4, count=count)
    alloc = sth.allocate(sth.Population(law, sth.PowerLawCurve(1.0)), count)
    want = latent_slope(-0.4, 1.0)
    assert want == pytest.approx(-0.6 / 1.4)
    rank = 3_000_000
    kappa, gamma = alloc.latents_at(1)[0] + 1.0, 0.3
    next_order = 1.0 / (1.0 - float(mp.zeta(gamma)) * kappa / rank)
    slope = local_slope(latent_frequencies(alloc), rank, 1.5)
    assert slope == pytest.approx(want * next_order, rel=0.005)


# ---- pathological and critical ---------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.0, 0.5])
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.1), (1.0, 0.3), (1.0, 0.1)])
def test_pathological_plateau_and_fall(alpha, beta, theta):
    gamma = (1.0 + alpha) / (1.0 + beta)
    zeta = float(mp.zeta(mp.mpf(gamma)))
    want = (1.0 + alpha) * (beta + theta) / (alpha - beta)
    off, share = [], []
    for n in (1e9, 1e12, 1e15):
        alloc, seen = solve(alpha, beta, n, theta)
        first = int(alloc.latents_at(1)[0])
        f = seen.at([1, first, first + 1])
        assert f[0] == f[1] > f[2]
        # next order: kappa zeta(gamma) is N and a constant times D
        off.append((first + 1.0) * zeta / n - 1.0)
        share.append(off[-1] / alloc.efficiency)
        # the fall, where dozens of features are left; features are whole
        left = np.array([0.1, 0.01]) if alpha - beta < 0.8 else np.array([0.03, 0.003])
        f = seen.at(np.rint(n * (1.0 - left)).astype(np.int64))
        measured = math.log(f[0] / f[1])
        whole = math.log((left[0] + off[-1]) / (left[1] + off[-1]))
        assert measured == pytest.approx(want * whole, rel=0.03)
    assert off[2] < 5e-4
    assert share[2] == pytest.approx(share[1], rel=0.02)
    for one, two in pairwise(off):
        assert two / one == pytest.approx(1000.0 ** (1.0 / gamma - 1.0), rel=4.0 * one + 0.01)


@pytest.mark.parametrize("theta", [0.0, 0.5])
@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
def test_critical_fall_is_exponential(alpha, theta):
    for n, off in ((1e9, 0.03), (1e12, 0.01)):
        alloc, seen = solve(alpha, alpha, n, theta)
        kappa = float(alloc.latents_at(1)[0])
        r = np.rint(kappa * np.array([4.0, 6.0])).astype(np.int64)
        f = seen.at(r)
        slope = math.log(f[1] / f[0]) / (r[1] - r[0]) * kappa
        assert slope == pytest.approx(-(alpha + theta), rel=off)
        assert latent_law(alpha, alpha, latents=n, theta=theta).regime == "critical"


# ---- one law for all -------------------------------------------------------------------------

PAIRS = [(0.5, 0.1), (0.5, 0.3), (0.5, 0.5), (0.5, 0.7), (0.5, 1.0), (1.0, 0.3), (0.2, 0.6)]


@pytest.mark.parametrize("theta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("alpha", "beta"), PAIRS)
@pytest.mark.parametrize("n", [1e6, 1e9])
def test_frequencies_by_the_law(alpha, beta, theta, n):
    alloc, seen = solve(alpha, beta, n, theta)
    law = latent_law(alpha, beta, latents=n, theta=theta)
    features = np.unique(np.rint(np.geomspace(1, alloc.discovered / 3, 40)).astype(np.int64))
    latents = alloc.latents_at(features)
    some = latents >= 20
    features, latents = features[some], latents[some]
    upto, f = law.parametric(features)
    # a step of the curve: the rank at which the frequency falls below that of the feature
    off = np.abs(np.log(f / alloc.population.frequencies.at(features) * latents ** (1 - theta)))
    # by the uniform law, kappa is off by less than 1e-4 from N = 1e6 and 1e-6 from N = 1e9 on
    kappa = 1e-4 if n < 1e9 else 1e-6
    assert (off <= 1.0 / latents + kappa).all()
    # whole numbers of latents put features of nearly equal rates in any order
    middle = seen.at(np.clip(np.rint(upto - 0.5 * latents), 1, n).astype(np.int64))
    # and the last features, with one latent, may come before those with a few: d ln f = slope dr
    last = law.gamma * (beta + theta) * alloc.discovered / (features * latents)
    assert (np.abs(np.log(middle / f)) <= 2.0 / latents + last + kappa).all()


@pytest.mark.parametrize(("alpha", "beta"), PAIRS)
def test_frequencies_by_rank(alpha, beta):
    n = 1e9
    _, seen = solve(alpha, beta, n)
    law = latent_law(alpha, beta, latents=n)
    ranks = np.rint(n * np.array([1e-6, 1e-4, 1e-3, 0.01, 0.1, 0.237])).astype(np.int64)
    assert np.abs(np.log(law.at(ranks) / seen.at(ranks))).max() < 0.02


@pytest.mark.parametrize("theta", [0.0, 0.5])
@pytest.mark.parametrize(("alpha", "beta"), [*PAIRS, (0.5, 2.0)])
def test_the_whole_fall(alpha, beta, theta):
    for n in (1e6, 1e9):
        alloc, seen = solve(alpha, beta, n, theta)
        law = latent_law(alpha, beta, latents=n, theta=theta)
        ends = seen.at([1, int(n)])
        # features are whole: the last with some number of latents is off by one
        off = 5e-4 + 2.0 / alloc.discovered
        assert ends[0] == pytest.approx(law.top, rel=2e-3)
        assert ends[1] == pytest.approx(law.bottom, rel=off)
        assert law.fall == law.top / law.bottom
        assert law.discovered == pytest.approx(alloc.discovered, rel=1e-3, abs=2)


def test_fall_at_m25_figure_2_left():
    # a factor of 4.3 at N = 1e8; with m(1) in place of the largest n m(n) it would be 3.7
    _, seen = solve(0.5, 0.1, 1e8)
    law = latent_law(0.5, 0.1, latents=1e8)
    ends = seen.at([1, 10**8])
    assert ends[0] / ends[1] == pytest.approx(4.3043, abs=1e-4)
    assert law.fall == pytest.approx(4.3043, rel=1e-4)
    curve = sth.PowerLawCurve(0.1)
    first = curve.gain(1)[0]
    assert law.plateau**0.1 * first / 0.1 == pytest.approx(3.748, abs=1e-3)
    largest = (curve.gain(np.arange(1, 100)) * np.arange(1, 100)).max()
    assert law.fall == pytest.approx(law.plateau**0.1 * largest / 0.1, rel=1e-3)


def test_small_falls_begin_on_rare_features():
    # at N = 1e4 the features with one latent, just below the second, fire most often
    alloc, seen = solve(0.5, 0.1, 1e4)
    law = latent_law(0.5, 0.1, latents=1e4)
    first = alloc.population.frequencies.at(1)[0] / alloc.latents_at(1)[0]
    assert seen.at(1)[0] > 1.15 * first
    assert law.top == pytest.approx(seen.at(1)[0], rel=0.01)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 1.0), (0.5, 2.0), (1.0, 2.0)])
def test_slope_at_the_very_end(alpha, beta):
    n = 10**9
    _, seen = solve(alpha, beta, n)
    law = latent_law(alpha, beta, latents=n)
    # over a fraction h of the ranks the slope changes by h N/D of itself
    h = 1e-4
    slope = seen.slope(round(n * (1 - h)), n)
    assert slope == pytest.approx(law.end_slope, rel=2 * h * n / law.discovered)


def test_parametric_ranks_add_up():
    alloc, _ = solve(0.5, 0.3, 10**6)
    law = latent_law(0.5, 0.3, latents=1e6)
    features = np.array([1, 2, 10, 100, 1000, 4095, 4096, 4097, 5000, 10_000])
    upto, f = law.parametric(features)
    n = np.cumsum(alloc.latents_at(np.arange(1, 10_001)))[features - 1]
    # kappa by the uniform law, and features with a few latents at the end
    assert (np.abs(upto - n) <= 1e-5 * n + 0.02 * features).all()
    assert (np.diff(f) < 0.0).all()
    direct, series = law.parametric([4096])[0][0], law.parametric([4097])[0][0]
    assert series - direct == pytest.approx(law.kappa * 4097**-law.gamma - 1.0, rel=1e-4)


# ---- mixtures --------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0.0, 0.5])
@pytest.mark.parametrize("beta", [0.3, 0.5, 1.0])
def test_mixtures_add_their_groups(beta, theta):
    # Each group counts on its share w of the ranks: discrete features those with p > f, manifolds
    # kappa x^-gamma - 1 each, up to x = (f_1/f)^(1/(gamma (beta+theta))).
    alpha, w, n = 0.5, 0.1, 10**10
    tile, step = sth.PowerLawCurve(beta), sth.DiscreteCurve()
    law = sth.PowerLawFrequencies(alpha)
    population = sth.Population.mixture(law, {"tile": (w, tile), "step": (1 - w, step)}, head=0)
    alloc = sth.allocate(population, n)
    seen = latent_frequencies(alloc, power(theta))
    c, gamma = law.normaliser, (1 + alpha) / (1 + beta)
    kappa = (beta * c / alloc.price) ** (1 / (1 + beta))
    found = alloc.by_group()["discovered"].to_numpy()
    # frequencies of features with 1e3 and 30 latents, on manifolds; of other ranks if discrete
    n = np.array([1e3, 30.0])
    x = (kappa / n) ** (1 / gamma)
    f = c * x ** -(1 + alpha) * n ** (theta - 1.0)
    sums = (x ** (1 - gamma) - 1) / (1 - gamma) if gamma != 1 else np.log(x)
    above = w * (kappa * sums - x) + (1 - w) * np.minimum((c / f) ** (1 / (1 + alpha)), found[1])
    above = np.diff(above)[0]
    assert np.diff(seen.above(f))[0] == pytest.approx(above, rel=0.05)


# ---- refusals --------------------------------------------------------------------------------


def test_refusals():
    with pytest.raises(ValueError, match=r"beta \(inf is allowed\) must be a number greater than"):
        latent_slope(0.5, 0.5)
    with pytest.raises(ValueError, match="alpha must be"):
        latent_slope(-1.0, 1.0)
    with pytest.raises(ValueError, match="theta must be"):
        latent_slope(0.5, 1.0, 1.5)
    with pytest.raises(ValueError, match="theta must be"):
        latent_law(0.5, 0.1, latents=1e6, theta=-0.1)
    with pytest.raises(ValueError, match="curve must have a power tail"):
        latent_law(0.5, curve=sth.DiscreteCurve(), latents=1e6)
    with pytest.raises(ValueError, match="latents must be"):
        latent_law(0.5, 0.1, latents=0)
    with pytest.raises(ValueError, match="latents must be enough for the uniform law"):
        latent_law(0.5, curve=sth.PowerLawCurve(0.1, shift=1e6), latents=10)
    law = latent_law(0.5, 0.1, latents=1e6)
    with pytest.raises(ValueError, match="ranks must hold"):
        law.at(1e6 + 1)
    with pytest.raises(ValueError, match="features must hold"):
        law.parametric(0)


@settings(deadline=None, max_examples=60)
@given(st.floats(0.05, 2.0), st.floats(0.05, 3.0), st.floats(0.0, 1.0), st.floats(3.0, 15.0))
def test_law_is_decreasing_and_finite(alpha, beta, theta, log_n):
    law = latent_law(alpha, beta, latents=10.0**log_n, theta=theta)
    ranks = np.geomspace(1.0, law.latents, 50)
    f = law.at(ranks)
    assert np.isfinite(f).all()
    assert (f > 0.0).all()
    assert (law.slope(ranks) <= 0.0).all()
    assert law.bottom <= law.top * (1 + 1e-12)
