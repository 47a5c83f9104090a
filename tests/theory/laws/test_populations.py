"""``predict`` for mixtures, exceptions and finitely many features, against the exact solver."""

import math

import numpy as np
import pytest

import scaling_theory as sth
from scaling_theory import theory
from scaling_theory._sums import power_sum_after
from scaling_theory.theory.laws.level_sums import StretchSums

M25 = sth.PowerLawFrequencies(0.5)
TILE, STEP = sth.PowerLawCurve(0.1), sth.DiscreteCurve()


def mixture(beta, share=0.01, **options):
    groups = {"tile": (share, sth.PowerLawCurve(beta)), "step": (1.0 - share, STEP)}
    return sth.Population.mixture(M25, groups, **options)


def check_against_the_solver(population, budgets, of_loss):
    said = sth.predict(population=population)
    for n in budgets:
        at = sth.allocate(population, n)
        assert said.loss(n)[0] == pytest.approx(at.excess_loss, rel=of_loss)
        # features are whole, and a pattern of Q ranks leaves some sqrt(Q) of them
        assert abs(said.discovered(n)[0] - at.discovered) <= max(2.0, 2e-5 * at.discovered)
        table = at.by_group().set_index("group")["share"]
        for label, share in said.shares(n).items():
            assert share[0] == pytest.approx(table[label], abs=2e-6 + 2.0 / n)
    return said


# Listed ranks are counted; in the tail the midpoint rule over ranks leaves 1/(24 1024^2) = 4e-8 of
# the terms at its edge, and a periodic pattern of Q ranks, of which the edge may cut Q/2, about
# Q/1024^2 of them.
OF_TAILS = 1e-7


@pytest.mark.parametrize("rank", [1, 10, 2_000_000])
def test_one_manifold_among_discrete_features(rank):
    population = sth.Population(M25, STEP, ranks={rank: sth.PowerLawCurve(0.1, shift=0)})
    said = check_against_the_solver(population, [10**2, 10**4, 10**6, 10**9, 10**12], OF_TAILS)
    assert (said.regime, said.beta) == ("pathological", 0.1)
    # M25's Figure 2: its constants are those of the one manifold, a p_1 and (c / (p_1 beta))
    p = M25.at(rank)[0]
    assert said.loss_constant == pytest.approx(p, rel=1e-9)
    found = (M25.normaliser / (0.1 * p)) ** (1.0 / 1.5)
    assert said.discovery_constant == pytest.approx(found, rel=1e-9)


@pytest.mark.parametrize("options", [{}, {"head": 0}, {"seed": 5, "head": 100_000}])
@pytest.mark.parametrize(
    ("beta", "share", "regime"),
    [(0.1, 0.01, "pathological"), (0.5, 0.3, "critical"), (1.0, 0.3, "benign")],
)
def test_mixtures(beta, share, regime, options):
    population = mixture(beta, share, **options)
    # A pattern of Q = 100 ranks after 3,200 listed: (Q/3200)^2/12 = 8e-5 of the few terms there
    accuracy = 1e-5 if options.get("head") == 0 else 1e-6
    budgets = [10**2, 10**4, 10**6, 10**9, 10**11]
    said = check_against_the_solver(population, budgets, accuracy)
    assert said.regime == regime
    assert said.within_reach == (said.crossover <= 1e12)


def test_magnitudes_weigh_the_loss():
    groups = {"tile": (0.5, sth.PowerLawCurve(0.7), 4.0), "step": (0.5, STEP)}
    check_against_the_solver(sth.Population.mixture(M25, groups), [10**3, 10**6], 1e-6)


def test_leading_constants_of_mixtures_are_approached():
    # benign: the next order is N^(gamma - 1), here with the constant of a few shares
    for beta, exponent in ((1.0, 1.5 / 2.0 - 1.0), (3.0, 1.5 / 4.0 - 1.0)):
        population = mixture(beta, 0.3, head=0)
        said = sth.predict(population=population)
        off = [
            sth.allocate(population, n).excess_loss / (said.loss_constant * n**-0.5) - 1.0
            for n in (10**6, 10**9)
        ]
        assert off[1] / off[0] == pytest.approx(1000.0**exponent, rel=0.1)


# ---- finitely many features ------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [-0.9, -0.5, -1e-9, 0.0, 1e-9, 0.3, 1.5])
@pytest.mark.parametrize(
    "curve",
    [STEP, sth.PowerLawCurve(0.5), sth.ExponentialCurve(0.01), sth.PlateauCurve(3, floor=0.1)],
    ids=["step", "power", "exponential", "plateau"],
)
def test_finitely_many_features_and_any_alpha_above_minus_one(alpha, curve):
    law = sth.PowerLawFrequencies(alpha, count=300_000)
    population = sth.Population(law, curve)
    said = sth.predict(population=population)
    budgets = [10**2, 10**4, 250_000, 10**6, 10**8]
    for n in budgets:
        at = sth.allocate(population, n)
        assert said.loss(n)[0] == pytest.approx(at.excess_loss, rel=1e-7, abs=1e-12)
        assert abs(said.discovered(n)[0] - at.discovered) <= 2.0
    # alpha <= 0 is never pathological
    if alpha <= 0.0:
        assert said.regime == "benign"
        assert math.isnan(said.loss_exponent)
    assert math.isnan(said.crossover)


@pytest.mark.parametrize("alpha", [-0.5, 0.0, 0.5])
@pytest.mark.parametrize("curve", [STEP, TILE, sth.PlateauCurve(3)], ids=["step", "tile", "basis"])
def test_saturation_is_where_the_last_feature_is_found(alpha, curve):
    population = sth.Population(sth.PowerLawFrequencies(alpha, count=20_000), curve)
    said = sth.predict(population=population)
    exact = sth.latents_for(population, discovered=20_000)
    # one feature more or less is found by about N/K latents
    assert said.saturation == pytest.approx(exact, abs=2.0 * exact / 20_000)


def test_after_saturation_the_loss_falls_by_the_curves():
    population = sth.Population(sth.PowerLawFrequencies(0.0, count=5000), sth.PowerLawCurve(0.5))
    said = sth.predict(population=population)
    assert said.loss_slope(1e10)[0] == pytest.approx(-0.5, rel=1e-5)
    flat = sth.predict(population=sth.Population(sth.PowerLawFrequencies(0.0, count=5000), STEP))
    assert flat.loss([5000, 10**6]).tolist() == [0.0, 0.0]
    assert flat.discovered([5000, 10**6]).tolist() == [5000.0, 5000.0]


def test_few_features_are_counted_one_by_one():
    population = sth.Population(sth.PowerLawFrequencies(0.3, count=50), TILE)
    said = sth.predict(population=population)
    for n in (1, 10, 1000, 10**6):
        at = sth.allocate(population, n)
        assert said.loss(n)[0] == pytest.approx(at.excess_loss, rel=1e-14)
        assert said.discovered(n)[0] == at.discovered


# ---- crossover -------------------------------------------------------------------------------


def test_crossover_within_a_fraction():
    said = sth.predict(alpha=0.5, beta=0.1)
    assert said.crossover_within(0.1) == said.crossover
    assert said.crossover_within(0.01) > said.crossover > said.crossover_within(0.3)
    for fraction in (0.3, 0.03):
        n = said.crossover_within(fraction)
        assert abs(said.loss_slope(n)[0] / -0.1 - 1.0) == pytest.approx(fraction, rel=1e-6)
    for bad in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="fraction"):
            said.crossover_within(bad)
    assert sth.predict(alpha=0.5, beta=1.0).within_reach
    assert not sth.predict(alpha=0.5, beta=0.5).within_reach


# ---- the sums behind it ----------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [-0.9, -0.5, 0.0, 0.4, 2.0])
@pytest.mark.parametrize(
    "curve",
    [TILE, sth.PowerLawCurve(2.0, shift=9.0), sth.ExponentialCurve(1e-3), sth.PlateauCurve(9000)],
    ids=["tile", "shifted", "exponential", "plateau"],
)
@pytest.mark.parametrize("end", [1e5, math.inf])
def test_sums_over_a_stretch_by_brute_force(alpha, curve, end):
    if alpha <= 0.0 and end == math.inf:
        return
    sums = StretchSums(curve, alpha, math.log(end))
    n = np.arange(1.0, 17_001.0)
    gain = curve.envelope_gain(n)
    log_u = np.log(gain / gain[0]) / (1.0 + alpha)
    after, upto = np.array([0.0, 5.0, 5000.0, 300.0]), np.array([17_000.0, 40.0, 9000.0, 300.0])
    log_y = np.array([8.0, 9.0, 11.0, 10.0]) - log_u[after.astype(int)]
    got = sums.between(after, upto, log_y)
    # The midpoint rule leaves s (s-1)/(24 n^2) of a sum over n^-s from n = 4096 on.
    steep = (1.0 + min(float(curve.tail_exponent), 5.0)) / (1.0 + alpha)
    accuracy = 1e-8 + 2.0 * abs(steep * (steep - 1.0)) / (24.0 * 4096.0**2)
    for k in range(4):
        cut = slice(int(after[k]), int(upto[k]))
        y = np.exp(log_y[k] + log_u[cut])
        assert got[0][k] == pytest.approx(y.sum(), rel=accuracy)
        mass = np.log(end / y) if alpha == 0.0 else (y**-alpha - end**-alpha) / alpha
        # the reference cancels where y is near the end
        assert got[1][k] == pytest.approx((gain[cut] * mass).sum(), rel=accuracy + 1e-8)


def test_power_sums_of_a_pattern():
    population = mixture(0.1, 0.3, head=0)
    for block in population.blocks:
        members = block.ranks.members(0, 10**6).astype(float)
        beyond = power_sum_after(np.array([1e6]), 1.7, 0.2, None)[0] * block.ranks.share
        want = ((members + 0.2) ** -1.7).sum() + beyond
        assert block.ranks.power_sum(1.7, 0.2) == pytest.approx(want, rel=1e-7)
        x = np.arange(10**6, 10**6 + block.ranks.period)
        excess = block.ranks.count_upto(x) - block.ranks.share * (x + 0.5)
        assert block.ranks.regular_count == pytest.approx(excess.mean(), abs=1e-6)


# ---- mean field ------------------------------------------------------------------------------


def test_the_mean_field_of_one_group_is_the_uniform_law():
    one, two = theory.mean_field(M25, {"all": (1.0, TILE)}), sth.predict(alpha=0.5, curve=TILE)
    n = [1e3, 1e6, 1e9]
    assert one.loss(n).tolist() == two.loss(n).tolist()
    assert one.loss_constant == pytest.approx(two.loss_constant, rel=1e-14)


def test_the_mean_field_is_the_mean_over_draws():
    # Benign mixtures hardly depend on the draw. At one N the mean over draws differs from the
    # mean at one price by the variance of N there, which falls as 1/N.
    groups = {"tile": (0.5, sth.PowerLawCurve(1.0)), "step": (0.5, STEP)}
    said = theory.mean_field(M25, groups)
    for n in (1000, 100_000):
        draws = [
            sth.allocate(sth.Population.mixture(M25, groups, seed), n).excess_loss
            for seed in range(30)
        ]
        error = np.std(draws, ddof=1) / math.sqrt(30)
        assert abs(np.mean(draws) - said.loss(n)[0]) < 4.0 * error + 1e-3 * np.mean(draws)


def test_shares_that_depend_on_the_rank():
    tile = sth.PowerLawCurve(0.3)

    def share(i):
        return 0.5 * i**-0.2

    groups = {"tile": (share, tile), "step": (lambda i: 1.0 - share(i), STEP)}
    said = theory.mean_field(M25, groups)
    ranks = np.arange(1, 100_001)
    rng = np.random.default_rng(0)
    losses, shares = [], []
    for _ in range(60):
        tiled = ranks[rng.random(ranks.size) < share(ranks)]
        listed = [sth.Group("tile", tile, tiled), sth.Group("step", STEP)]
        at = sth.allocate(sth.Population.from_groups(M25, listed), 10_000)
        losses.append(at.excess_loss)
        shares.append(at.by_group()["share"][0])
    for draws, mean in ((losses, said.loss(1e4)[0]), (shares, said.shares(1e4)["tile"][0])):
        error = np.std(draws, ddof=1) / math.sqrt(60)
        # frequent manifolds raise N at a price and the loss at an N together: 4 standard errors,
        # and the curvature of both over that spread
        assert abs(np.mean(draws) - mean) < 4.0 * error + np.var(draws) / np.mean(draws)


def test_constant_shares_may_be_functions():
    def law(share):
        return theory.mean_field(M25, {"tile": (share(0.01), TILE), "step": (share(0.99), STEP)})

    numbers, functions = law(lambda w: w), law(lambda w: lambda i: np.full(i.size, w))
    n = [1e4, 1e8, 1e12]
    assert functions.loss(n) == pytest.approx(numbers.loss(n), rel=1e-7)
    assert functions.loss_constant == pytest.approx(numbers.loss_constant, rel=1e-12)


def test_a_distribution_of_exponents_as_nodes_of_a_quadrature():
    # beta uniform in [0.2, 1.2]: four nodes against a draw for each feature
    nodes, weights = np.polynomial.legendre.leggauss(8)
    groups = {
        f"{k}": (w / 2.0, sth.PowerLawCurve(0.7 + 0.5 * x))
        for k, (x, w) in enumerate(zip(nodes.tolist(), weights.tolist(), strict=True))
    }
    said = theory.mean_field(sth.PowerLawFrequencies(1.0), groups)
    losses = []
    for seed in range(60):
        betas = np.random.default_rng(seed).uniform(0.2, 1.2, size=100_000)
        law = sth.PowerLawFrequencies(1.0, count=100_000)
        at = sth.allocate(sth.Population(law, sth.PowerLawCurve(betas)), 3000)
        losses.append(at.excess_loss)
    # 100,000 features lack the tail's mass beyond, 6/pi^2/1e5
    losses = np.array(losses) + M25.at(1)[0] * 0.0 + 6.0 / math.pi**2 / 1e5
    error = losses.std(ddof=1) / math.sqrt(60)
    assert abs(losses.mean() - said.loss(3000)[0]) < 4.0 * error + losses.var() / losses.mean()
    assert said.regime == "pathological"
    assert said.beta == pytest.approx(0.7 - 0.5 * nodes.max())


@pytest.mark.parametrize(
    ("groups", "fragments"),
    [
        ({}, ["groups must map", "{}"]),
        ({"a": (0.5, STEP)}, ["shares must sum to 1", "0.5"]),
        ({"a": (1.5, STEP)}, ["share of group 'a'", "(0, 1]", "1.5"]),
        ({"a": (1.0, "x")}, ["curve of group 'a'", "'x'"]),
        ({"a": 1.0}, ["groups must map", "1.0"]),
        ({"a": (lambda i: i, STEP)}, ["share of group 'a'", "[0, 1]"]),
        ({"a": (1.0, STEP, 0.0)}, ["magnitude of group 'a'", "0.0"]),
    ],
)
def test_mean_field_refusals(groups, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        theory.mean_field(M25, groups)
    for fragment in fragments:
        assert fragment in str(error.value)
    with pytest.raises(ValueError, match="infinitely many"):
        theory.mean_field(sth.PowerLawFrequencies(0.5, count=9), {"a": (1.0, STEP)})


# ---- steps at one price ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "population",
    [
        sth.Population(sth.PowerLawFrequencies(0.3, count=50), sth.PlateauCurve(9000)),
        sth.Population(sth.PowerLawFrequencies(-0.9999, count=5000), sth.PlateauCurve(30)),
        sth.Population.mixture(M25, {"a": (0.5, sth.PlateauCurve(300)), "b": (0.5, TILE)}, seed=1),
    ],
    ids=["long steps", "nearly equal features", "mixture"],
)
def test_many_latents_at_one_price(population):
    # within a step the optimum's loss is a straight line of slope -price
    said = sth.predict(population=population)
    for n in (1, 10, 500, 20_000, 100_000):
        at = sth.allocate(population, n)
        assert said.loss(n)[0] == pytest.approx(at.excess_loss, rel=1e-9)
        assert abs(said.discovered(n)[0] - at.discovered) < 1.0


# ---- found by a critic -------------------------------------------------------------------------

FIGURE_2 = sth.Population(M25, STEP, ranks={1: sth.PowerLawCurve(0.1, shift=0)})


@pytest.mark.parametrize("population", [FIGURE_2, mixture(0.1, 0.1)], ids=["one", "mixture"])
def test_very_large_budgets(population):
    # half a latent is less than rounding of N from 5e13 on
    said = sth.predict(population=population)
    for n in (5e13, 1e14, 3e14, 1e15):
        assert said.loss(n)[0] == pytest.approx(sth.allocate(population, n).excess_loss, rel=1e-6)
        assert said.loss([n, 10.0])[0] == pytest.approx(said.loss(n)[0], rel=1e-13)


@pytest.mark.parametrize(
    ("alpha", "beta", "latents"),
    [(-0.95, 1.0, 1e10), (-0.9, 2.0, 1e13), (-0.9, 5.0, 1e10), (-0.98, 1.0, 1e10)],
)
def test_alpha_near_minus_one_long_after_saturation(alpha, beta, latents):
    law = sth.PowerLawFrequencies(alpha, count=2000)
    population = sth.Population(law, sth.PowerLawCurve(beta))
    said, at = sth.predict(population=population), sth.allocate(population, latents)
    assert said.loss(latents)[0] == pytest.approx(at.excess_loss, rel=1e-7)
    assert said.price(latents)[0] == pytest.approx(at.price, rel=1e-7)


def test_steep_level_sums_do_not_cancel_beside_the_pole():
    for alpha, beta in ((-0.98, 5.0), (-0.9, 2.0), (0.1, 5.0)):
        curve = sth.PowerLawCurve(beta)
        u = (curve.gain(np.arange(1, 200_001)) / curve.gain(1)) ** (1.0 / (1.0 + alpha))
        assert theory.level_set_sum(curve, alpha) == pytest.approx(u[::-1].sum(), rel=1e-12)
    law = sth.PowerLawFrequencies(-0.98, count=3)
    said = sth.predict(population=sth.Population(law, sth.PowerLawCurve(5.0)))
    assert said.discovery_constant == pytest.approx(1.0)
    assert said.saturation == 3.0


def test_saturation_of_steep_frequencies():
    for beta in (0.1, 3.0):
        law = sth.PowerLawFrequencies(3.0, count=1025)
        population = sth.Population(law, sth.PowerLawCurve(beta))
        exact = sth.latents_for(population, discovered=1025)
        assert sth.predict(population=population).saturation == pytest.approx(exact, abs=2.0)


def test_shares_are_nan_where_the_law_does_not_hold():
    law = sth.ZipfMandelbrotFrequencies(0.5, offset=1e5)
    said = sth.predict(population=sth.Population(law, TILE))
    assert np.isnan(said.loss([1, 10])).all()
    assert np.isnan(said.shares([1, 10])["default"]).all()


@pytest.mark.parametrize("shift", [0.0, 1.0, 1e4])
def test_one_feature_at_the_edge_adds_to_the_sum(shift):
    # beta = alpha on a single feature: as many latents as all the others, whatever N
    tile = sth.PowerLawCurve(0.5, shift=shift, scale=3.0)
    population = sth.Population(M25, STEP, ranks={2: tile})
    said, n = sth.predict(population=population), 10**13
    assert (said.regime, said.loss_exponent) == ("benign", 0.5)
    at = sth.allocate(population, n)
    # next order: shift and a few whole latents in N
    assert at.excess_loss == pytest.approx(
        said.loss_constant * n**-0.5, rel=10.0 * (1.0 + shift) / n + 1e-12
    )


@pytest.mark.parametrize("shift", [1.0, 1e5])
def test_constants_of_listed_features_do_not_depend_on_the_shift(shift):
    tile = sth.PowerLawCurve(np.array([0.2, 0.2]), scale=np.array([0.5, 2.0]), shift=shift)
    groups = [sth.Group("tiles", tile, [3, 8]), sth.Group("rest", STEP)]
    said = sth.predict(population=sth.Population.from_groups(M25, groups))
    p = M25.at([3, 8]) * np.array([0.5, 2.0])
    t = ((0.2 * p) ** (1.0 / 1.2)).sum()
    assert said.loss_constant == pytest.approx(t**1.2 / 0.2, rel=1e-9)


def test_shares_by_rank_by_brute_force():
    tile = sth.PowerLawCurve(0.6)

    def share(i):
        return 0.05 + 0.6 * i**-0.3

    groups = {"tile": (share, tile), "step": (lambda i: 1.0 - share(i), STEP)}
    said = theory.mean_field(M25, groups)
    for n in (1e4, 1e6):
        price = said.price(n)[0]
        ranks = np.arange(1, 3 * int(n))
        p = M25.at(ranks)
        held = share(ranks) @ tile.count_at(p, price)
        held += (1.0 - share(ranks)) @ STEP.count_at(p, price)
        # stretches of a factor 1.5 and their middles: (ln 1.5)^2/24 of the share's curvature
        assert held == pytest.approx(n, rel=1e-3)
