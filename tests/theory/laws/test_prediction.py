"""Closed forms against the exact solver: exponents, constants, the uniform law, crossovers."""

import dataclasses
import math

import mpmath as mp
import numpy as np
import pytest

import scaling_theory as sth

M25 = sth.PowerLawFrequencies(0.5)
EXPONENTS = [0.1, 0.3, 0.5, 1.2, 2.0]


def solve(alpha, beta, latents):
    population = sth.Population(sth.PowerLawFrequencies(alpha), sth.PowerLawCurve(beta))
    return sth.allocate(population, latents)


@pytest.mark.parametrize(
    ("alpha", "beta", "regime"),
    [
        (0.5, 0.1, "pathological"),
        (0.5, 0.499999, "pathological"),
        (0.5, 0.5, "critical"),
        (0.5, 0.500001, "benign"),
        (0.5, 2.0, "benign"),
        (2.0, 2.0, "critical"),
    ],
)
def test_regimes_and_exponents(alpha, beta, regime):
    said = sth.predict(alpha=alpha, beta=beta)
    assert said.regime == regime
    assert (said.alpha, said.beta) == (alpha, beta)
    assert said.gamma == pytest.approx((1 + alpha) / (1 + beta), rel=1e-15)
    assert said.loss_exponent == min(alpha, beta)
    assert said.discovery_exponent == pytest.approx(min(1.0, 1.0 / said.gamma), rel=1e-15)


# ---- leading constants -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "beta"), [(0.5, 0.1), (1.0, 0.3), (2.0, 0.5), (0.5, 2.0), (0.3, 1.0), (0.2, 1.5)]
)
def test_leading_constants_are_approached_at_the_rate_of_the_next_order(alpha, beta):
    # N = S X + Z kappa with kappa ~ X^gamma: relative to the larger, the smaller is of order
    # N^(gamma - 1) in the benign regime and N^(1/gamma - 1) in the pathological one.
    said = sth.predict(alpha=alpha, beta=beta)
    order = said.gamma - 1.0 if said.regime == "benign" else 1.0 / said.gamma - 1.0
    loss, found, whole = [], [], []
    for n in (1e6, 1e9, 1e12):
        at = solve(alpha, beta, n)
        loss.append(at.excess_loss / (said.loss_constant * n**-said.loss_exponent) - 1.0)
        found.append(at.discovered / (said.discovery_constant * n**said.discovery_exponent) - 1.0)
        # Discovered features are whole; and sums over whole latents leave a few where there are
        # many features: 3, 7 and 19 at these N.
        few = n**0.11 if said.regime == "benign" else 1.0
        whole.append(few / at.discovered)
    for k in (0, 1):
        # the order after that is the square of this one, with constants of order one
        size = 4.0 * abs(found[k])
        assert loss[k + 1] / loss[k] == pytest.approx(1000.0**order, rel=size)
        rounding = sum(whole[j] / abs(found[j]) for j in (k, k + 1))
        assert found[k + 1] / found[k] == pytest.approx(1000.0**order, rel=size + rounding)
    assert max(abs(loss[2] / loss[0]), abs(found[2] / found[0])) < 0.2


@pytest.mark.parametrize("alpha", [0.3, 0.5, 0.9])
def test_benign_constants_by_arbitrary_precision(alpha):
    # At beta = 1, m(n)/m(1) = 2/(n (n+1)) is a binomial series in (n + 1/2)^-2.
    with mp.workdps(25):
        power = 1 / (1 + mp.mpf(alpha))
        s = 2**power * mp.nsum(
            lambda k: (
                mp.binomial(power + k - 1, k) * mp.mpf(0.25) ** k * mp.zeta(2 * power + 2 * k, 1.5)
            ),
            [0, mp.inf],
        )
        c = 1 / mp.zeta(1 + mp.mpf(alpha))
        loss = c / 2 / mp.mpf(alpha) * s ** (1 + mp.mpf(alpha))
    said = sth.predict(alpha=alpha, beta=1.0)
    assert said.discovery_constant == pytest.approx(float(1 / s), rel=1e-13)
    assert said.loss_constant == pytest.approx(float(loss), rel=1e-13)


def test_the_level_sum_of_one_over_n():
    assert 1.0 / sth.predict(alpha=0.5, beta=1.0).discovery_constant == pytest.approx(
        4.78459, abs=5e-6
    )


@pytest.mark.parametrize(("alpha", "beta", "shift"), [(0.5, 0.1, 1.0), (1.0, 0.3, 7.0)])
def test_pathological_constants(alpha, beta, shift):
    curve = sth.PowerLawCurve(beta, scale=0.3, floor=0.1, shift=shift)
    said = sth.predict(alpha=alpha, curve=curve)
    gamma = (1 + alpha) / (1 + beta)
    z, c = float(mp.zeta(gamma)), float(1 / mp.zeta(1 + alpha))
    # whatever the shift
    assert said.loss_constant == pytest.approx(0.3 * c * z ** (1 + beta), rel=1e-13)
    found = (curve.gain(1)[0] / (0.3 * beta)) ** (1 / (1 + alpha)) * z ** (-1 / gamma)
    assert said.discovery_constant == pytest.approx(found, rel=1e-13)


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
def test_latents_per_discovered_feature_of_curves_that_end(alpha):
    def per_feature(curve):
        return 1.0 / sth.predict(alpha=alpha, curve=curve).discovery_constant

    assert per_feature(sth.DiscreteCurve(0.1)) == 1.0
    assert per_feature(sth.PlateauCurve(3, floor=0.2)) == pytest.approx(6.0, rel=1e-14)
    for rate in (0.01, 0.5, 3.0):
        want = 1.0 / -math.expm1(-rate / (1.0 + alpha))
        assert per_feature(sth.ExponentialCurve(rate)) == pytest.approx(want, rel=1e-12)


def test_slow_curves_are_summed_to_their_end():
    slow = sth.predict(alpha=0.5, curve=sth.ExponentialCurve(1e-7))
    assert 1.0 / slow.discovery_constant == pytest.approx(1.5e7, rel=1e-6)
    with pytest.raises(ValueError, match="curve must end within"):
        sth.predict(alpha=0.5, curve=sth.PlateauCurve(10**9))


def test_a_law_beyond_a_long_table_begins_after_the_table():
    table = sth.TabulatedCurve([0, 1, 200_000], [1.0, 0.5, 0.1], "power", exponent=1.0)
    n = np.arange(1.0, 4e5 + 1.0)
    scale, beta, _ = table.power_tail
    power = 1.0 / 1.5
    terms = table.envelope_gain(n) ** power
    tail = (scale * beta) ** power * float(mp.zeta(mp.mpf(2) * 2 / 3, n[-1] + 0.5))
    want = (terms.sum() + tail) / terms[0]
    said = sth.predict(alpha=0.5, curve=table)
    assert 1.0 / said.discovery_constant == pytest.approx(want, rel=1e-10)


def test_discrete_features_miss_the_tail():
    said = sth.predict(alpha=0.5, curve=sth.DiscreteCurve(0.1))
    assert said.regime == "benign"
    assert said.beta == math.inf
    assert (said.loss_exponent, said.discovery_exponent) == (0.5, 1.0)
    assert said.loss_constant == pytest.approx(0.9 * M25.normaliser / 0.5, rel=1e-14)
    at = sth.allocate(sth.Population(M25, sth.DiscreteCurve(0.1)), 1e9)
    # the tail's sum by the midpoint rule: 1 + O(N^-2), and N^-a at N + 1/2
    leading = said.loss_constant * 1e9**-0.5
    assert at.excess_loss == pytest.approx(leading, rel=0.5 * 0.5 / 1e9 * 1.01)


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_unshifted_curves_count_by_their_envelope(beta):
    # with L(0) = L(1) the raw first gain is zero
    curve = sth.PowerLawCurve(beta, shift=0.0)
    said = sth.predict(alpha=0.5, curve=curve)
    at = sth.allocate(sth.Population(M25, curve), 1e9)
    assert said.discovered(1e9)[0] == pytest.approx(at.discovered, rel=1e-3)
    assert said.loss(1e9)[0] == pytest.approx(at.excess_loss, rel=1e-7)


# ---- the uniform law -------------------------------------------------------------------------

# N -> error of the excess loss, of the slope. In N = S X + Z kappa + 1/2 the sums over whole
# numbers are replaced by their first Euler-Maclaurin terms, which leaves N^-2 or so; the slope
# is taken with the last whole latent, which leaves 1/D.
ACCURACY = {10**3: (1e-4, 2e-2), 10**6: (1e-7, 2e-4), 10**9: (1e-11, 1e-6)}


@pytest.mark.parametrize("alpha", EXPONENTS)
def test_uniform_law_on_both_sides_of_the_diagonal(alpha):
    for beta in EXPONENTS:
        said = sth.predict(alpha=alpha, beta=beta)
        for latents, (of_loss, of_slope) in ACCURACY.items():
            at = solve(alpha, beta, latents)
            assert said.loss(latents)[0] == pytest.approx(at.excess_loss, rel=of_loss)
            assert abs(said.discovered(latents)[0] - at.discovered) <= max(
                2.0, 1e-3 * at.discovered
            )
            slope = -at.price * latents / at.excess_loss
            assert said.loss_slope(latents)[0] == pytest.approx(slope, abs=of_slope)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.1), (0.3, 1.0), (0.8, 0.5), (0.5, 0.5)])
def test_uniform_law_and_solver_agree_to_twelve_digits_at_1e12(alpha, beta):
    # two ways of summing that share nothing but the gains
    at, said = solve(alpha, beta, 10**12), sth.predict(alpha=alpha, beta=beta)
    assert at.excess_loss == pytest.approx(said.loss(10**12)[0], rel=1e-12)


@pytest.mark.parametrize("latents", [10**4, 10**6, 10**8, 10**10, 10**12])
def test_critical_case_by_the_lambert_function(latents):
    at, said = solve(0.5, 0.5, latents), sth.predict(alpha=0.5, beta=0.5)
    assert said.loss(latents)[0] == pytest.approx(at.excess_loss, rel=1e-5)
    assert abs(said.discovered(latents)[0] - at.discovered) <= max(2.0, 1e-3 * at.discovered)
    # N = kappa (ln kappa + G) + 1/2, in the Lambert function
    constant = sth.theory.regular_level_sum(sth.PowerLawCurve(0.5), 0.5) + np.euler_gamma - 1.0
    w = float(mp.lambertw((latents - 0.5) * mp.exp(constant)))
    closed = M25.normaliser * ((latents - 0.5) / w) ** -0.5 * (w + 3.0)
    assert closed == pytest.approx(at.excess_loss, rel=1e-5)
    # the logarithms of leading order alone stay about a tenth off
    leading = said.loss_constant * latents**-0.5 * math.log(latents) ** 1.5
    assert 0.07 < leading / at.excess_loss - 1.0 < 0.12


def test_critical_case_from_its_published_constants():
    # N = kappa (ln kappa + G) with G = -0.41330 at alpha = beta = 0.5; W = ln kappa + G
    log_constant = -0.41330
    latents, w = 1e6, float(mp.lambertw(1e6 * mp.exp(log_constant)))
    kappa = latents / w
    excess = M25.normaliser * kappa**-0.5 * (w + 3.0)
    assert sth.predict(alpha=0.5, beta=0.5).loss(latents)[0] == pytest.approx(excess, rel=1e-5)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("distance", [1e-3, 1e-4, 1e-6, 1e-7, 1e-8, 3e-9, 1e-9, 1e-11, 1e-14])
def test_close_to_the_diagonal(distance, side):
    # The poles of both sums cancel there, and must not take digits with them.
    beta = 0.5 + side * distance
    at, said = solve(0.5, beta, 10**6), sth.predict(alpha=0.5, beta=beta)
    assert said.loss(10**6)[0] == pytest.approx(at.excess_loss, rel=1e-7)
    assert said.discovered(10**6)[0] == pytest.approx(at.discovered, rel=1e-4)
    # 2.2e13 on the diagonal
    assert 1e13 < said.crossover < 3e13


@pytest.mark.parametrize(
    "curve",
    [
        sth.DiscreteCurve(0.1),
        sth.PlateauCurve(4, floor=0.1),
        sth.PowerLawCurve(1.0, scale=0.3, shift=30.0),
        sth.TabulatedCurve([0, 3, 9], [1.0, 0.9, 0.2], "power", exponent=0.7, floor=0.1),
        sth.TabulatedCurve([0, 3, 9], [1.0, 0.9, 0.2]),
    ],
    ids=["discrete", "plateau", "shifted", "table and law", "table"],
)
@pytest.mark.parametrize(
    "law", [M25, sth.ZipfMandelbrotFrequencies(0.5, 10.0, total=3.0)], ids=["power", "offset"]
)
def test_populations(law, curve):
    population = sth.Population(law, curve, magnitude=2.0)
    said = sth.predict(population=population)
    for latents, accuracy in ((10**4, 1e-5), (10**6, 1e-7), (10**9, 1e-10)):
        at = sth.allocate(population, latents)
        assert said.loss(latents)[0] == pytest.approx(at.excess_loss, rel=accuracy)
        assert abs(said.discovered(latents)[0] - at.discovered) <= max(2.0, 1e-3 * at.discovered)


# ---- crossover -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alpha", "beta"), [(0.5, 0.1), (0.3, 1.0), (1.0, 0.3), (0.5, 0.8), (0.8, 0.5)]
)
def test_the_local_slope_is_ten_percent_off_at_the_crossover(alpha, beta):
    said = sth.predict(alpha=alpha, beta=beta)
    latents = round(said.crossover)
    at = solve(alpha, beta, latents)
    slope = at.price * latents / at.excess_loss
    # the price is that of the last whole latent: one feature more or less is (1 + alpha)/D of it
    rounding = max(1e-4, (1.0 + alpha) / at.discovered)
    assert abs(slope / said.loss_exponent - 1.0) == pytest.approx(0.1, abs=rounding)


def test_crossovers_beyond_reach():
    assert sth.predict(alpha=0.2, beta=0.2).crossover == pytest.approx(1e25, rel=2.0)
    assert sth.predict(alpha=0.01, beta=0.01).crossover == math.inf
    # critical: W = 9 (1 + 1/alpha)
    w = 27.0
    kappa = math.exp(w + 0.41330)
    assert sth.predict(alpha=0.5, beta=0.5).crossover == pytest.approx(w * kappa, rel=1e-4)


# ---- arguments and result ----------------------------------------------------------------------

STEP = sth.DiscreteCurve()
MIXTURE = sth.Population.mixture(M25, {"a": (0.5, STEP), "b": (0.5, sth.PowerLawCurve(0.1))})


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        ({}, ["alpha and one of beta and curve", "none"]),
        ({"alpha": 0.5}, ["alpha and one of beta and curve", "'alpha'"]),
        ({"beta": 0.5}, ["alpha and one of beta and curve", "'beta'"]),
        ({"alpha": 0.5, "beta": 1.0, "curve": STEP}, ["alpha and one of beta and curve"]),
        ({"alpha": 0.5, "population": MIXTURE}, ["population already states alpha"]),
        (
            {"population": sth.Population(sth.EmpiricalFrequencies([1.0]), STEP)},
            ["population must have power-law frequencies", "EmpiricalFrequencies", "scaling_curve"],
        ),
        ({"population": "x"}, ["population must be a Population", "'x'"]),
        ({"alpha": 0.5, "curve": "x"}, ["curve must be one LossCurve", "'x'"]),
        ({"alpha": 0.5, "curve": sth.DiscreteCurve([0.1, 0.2])}, ["curve must be one LossCurve"]),
        (
            {"alpha": 0.5, "curve": sth.TabulatedCurve([0, 2], [0.3, 0.3])},
            ["curve of group", "must fall"],
        ),
        ({"alpha": 0.0, "beta": 0.5}, ["alpha", "(0, 100]", "0.0"]),
        ({"alpha": 0.5, "beta": math.nan}, ["beta", "(0, 1000]", "nan"]),
    ],
)
def test_refusals(arguments, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        sth.predict(**arguments)
    for fragment in fragments:
        assert fragment in str(error.value)


def test_predictions_take_numbers_and_arrays_and_are_frozen():
    said = sth.predict(alpha=0.5, beta=0.1)
    assert said.loss(1e6).shape == (1,)
    assert said.loss([1e6, 1e9]).shape == said.discovered([1e6, 1e9]).shape == (2,)
    with pytest.raises(dataclasses.FrozenInstanceError):
        said.regime = "benign"
    assert said.loss(10**20)[0] == said.loss(1e20)[0]
    assert said.loss([10**3, 10**20]).shape == (2,)
    for bad in (0, -1.0, math.nan, "1e6", [1e3, math.inf], 10**400):
        with pytest.raises(ValueError, match="latents"):
            said.loss(bad)
