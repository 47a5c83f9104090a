"""One law at a time: known answers, recovery, invariances, global optimum, refusals."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import differential_evolution
from scipy.special import huber as huber_loss

import scaling_theory as sth
from scaling_theory.fitting import fit_power_law
from scaling_theory.fitting.laws import (
    LAWS,
    BrokenPowerLaw,
    ExponentialLaw,
    LogCorrectedLaw,
    PowerLaw,
    TheoryLaw,
    fit_law,
    names,
)
from scaling_theory.fitting.laws._solve import checked, reported, solve
from scaling_theory.fitting.laws._uniform import log_excess, log_excess_slopes

SIZES = np.geomspace(64, 65536, 16)

#: Parameters for each law, in the order of law.parameters, that 16 points over 3 decades show.
TRUTH = {
    "power law": (2.0, 0.3),
    "power law + floor": (2.0, 0.5, 0.1),
    "broken power law": (3.0, 0.2, 0.7, 1500.0, 0.4),
    "broken power law + floor": (3.0, 0.3, 1.2, 1500.0, 0.3, 0.05),
    "exponential + floor": (0.5, 3000.0, 0.2),
    "critical power law": (2.0, 0.6),
    "critical power law + floor": (2.0, 0.8, 0.02),
    "log-corrected power law": (2.0, 0.6, 1.3),
    "log-corrected power law + floor": (2.0, 1.1, 2.0, 0.05),
    "uniform law": (1.5, 0.4, 0.9),
    "uniform law + floor": (1.5, 1.5, 0.6, 0.02),
}
FREE_UNITS = [law for law in LAWS if not law.counts]


def noisy(law, seed, noise=0.01, n=SIZES):
    errors = np.random.default_rng(seed).standard_normal(n.size)
    return law(n, *TRUTH[law.name]) * np.exp(noise * errors)


def misfit(law, values, n, loss, huber=None):
    errors = np.log(loss / law(n, *values))
    return np.sum(errors**2) / 2 if huber is None else np.sum(huber_loss(huber, errors))


def least(law, loss, huber=None):
    """The objective and the parameters of a fit, without its intervals."""
    losses, root, delta = checked(law, (SIZES,), loss, None, huber)
    solved = solve(law, np.log(SIZES)[None, :], losses, root, delta)
    return solved.least, reported(law, solved, solved.theta[None, :])[0]


def test_every_law_has_an_example():
    assert set(TRUTH) == set(names())
    for law in LAWS:
        assert len(TRUTH[law.name]) == len(law.parameters)
        assert law.source
        assert law.floor == ("floor" in law.parameters)


SLOWER = [pytest.param(law, 1e-3, marks=pytest.mark.slow, id=law.name) for law in LAWS]


@pytest.mark.parametrize(
    ("law", "huber"), [pytest.param(law, None, id=law.name) for law in LAWS] + SLOWER
)
def test_noiseless_laws_are_recovered(law, huber):
    loss = law(SIZES, *TRUTH[law.name])
    fit = fit_law(SIZES, loss, law, huber=huber)
    # the worst conditioned of them amplify rounding (1e-16) by up to 1e7
    for name, truth in zip(law.parameters, TRUTH[law.name], strict=True):
        assert fit.estimates[name] == pytest.approx(truth, rel=1e-6), name
        low, high = fit.intervals[name]
        assert low <= truth * (1 + 1e-6)
        assert high >= truth * (1 - 1e-6)
    np.testing.assert_allclose(fit.predict(SIZES), loss, rtol=1e-9)
    assert fit.status == "ok", fit.message


def test_the_power_law_is_that_of_fit_power_law():
    loss = noisy(PowerLaw(), 3)
    for floor in (False, True):
        for weights in (None, 1 / loss):
            fit = fit_law(SIZES, loss, PowerLaw(floor), weights=weights)
            peer = fit_power_law(SIZES, loss, weights=weights, floor="free" if floor else "zero")
            assert fit.rss == pytest.approx(peer.rss, rel=1e-10)
            assert (fit.aic, fit.bic) == pytest.approx((peer.aic, peer.bic), rel=1e-10)
            for name in fit.law.parameters:
                assert fit.estimates[name] == pytest.approx(getattr(peer, name), rel=1e-6)
                assert fit.intervals[name] == pytest.approx(peer.intervals[name], rel=1e-6)
            np.testing.assert_allclose(fit.residuals, peer.residuals, atol=1e-8)


@pytest.mark.parametrize("alpha", [0.02, 0.3, 0.5, 4.0])
@pytest.mark.parametrize("beta", [0.02, 0.5, 0.5000001, 1.3, 4.0])
def test_the_uniform_law_is_the_theorys(alpha, beta):
    n = np.geomspace(10, 1e12, 9)
    said = sth.predict(alpha=alpha, beta=beta)
    log_e, slope = log_excess(np.array([alpha]), np.array([beta]), np.log(n))
    np.testing.assert_allclose(np.exp(log_e[0]), said.loss(n), rtol=1e-8)
    np.testing.assert_allclose(slope[0], said.loss_slope(n), rtol=1e-8)
    np.testing.assert_allclose(TheoryLaw()(n, 2.0, alpha, beta, 0.1), 2 * said.loss(n) + 0.1)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_derivatives_are_those_of_the_law(law):
    t = np.log(SIZES)
    values = TRUTH[law.name][1 : 1 + len(law.shape)]
    shape = np.array(
        [
            [
                math.log(v) if name in law.logs else v
                for name, v in zip(law.shape, values, strict=True)
            ]
        ]
    )
    log_g, slopes = law.by_shape(shape, t)
    np.testing.assert_allclose(log_g, law.log_g(shape, t)[0], rtol=1e-12)
    step = 1e-5
    for column in range(shape.size):
        move = step * np.eye(shape.size)[column]
        up, down = law.log_g(shape + move, t)[0], law.log_g(shape - move, t)[0]
        # central differences: rounding 1e-16 / 1e-5, and 1e-10 of the third derivative
        np.testing.assert_allclose(slopes[..., column], (up - down) / (2 * step), atol=3e-8)
    up, down = law.log_g(shape, t + step)[0], law.log_g(shape, t - step)[0]
    np.testing.assert_allclose(law.log_g(shape, t)[1], (up - down) / (2 * step), atol=3e-8)


def test_the_uniform_laws_derivatives_hold_on_the_diagonal():
    a, b, t = np.full(2, 0.5), np.array([0.5, 0.5 + 1e-9]), np.log([10.0, 1e4, 1e9])
    _, by_alpha, by_beta = log_excess_slopes(a, b, t)
    h = 1e-4
    for up, down, found in (
        ((a * np.exp(h), b), (a * np.exp(-h), b), by_alpha),
        ((a, b * np.exp(h)), (a, b * np.exp(-h)), by_beta),
    ):
        expected = (log_excess(*up, t)[0] - log_excess(*down, t)[0]) / (2 * h)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@given(
    law=st.sampled_from(FREE_UNITS),
    seed=st.integers(0, 10_000),
    log_n=st.floats(-10.0, 10.0),
    log_loss=st.floats(-10.0, 10.0),
    huber=st.sampled_from([None, 3e-3]),
)
@settings(max_examples=3, deadline=None)
def test_units_do_not_matter(law, seed, log_n, log_loss, huber):
    loss = noisy(law, seed, noise=1e-4)
    unit_n, unit_loss = math.exp(log_n), math.exp(log_loss)
    here = fit_law(SIZES, loss, law, huber=huber)
    there = fit_law(SIZES * unit_n, loss * unit_loss, law, huber=huber)
    assert there.objective == pytest.approx(here.objective, rel=1e-6)
    assert there.status == here.status
    assert there.aic - here.aic == pytest.approx(2 * SIZES.size * log_loss, abs=1e-4)
    rises = "early_exponent" if "early_exponent" in law.parameters else "exponent"
    for name in law.parameters:
        factor = 1.0
        if name in ("scale", "floor"):
            factor = unit_loss
        if name == "scale":
            factor *= unit_n ** here.estimates.get(rises, 0.0)
        if name in ("break", "length"):
            factor = unit_n
        assert there.estimates[name] == pytest.approx(factor * here.estimates[name], rel=1e-4)
        if name != "scale":  # whose unit depends on the exponent
            ends = [factor * end for end in here.intervals[name]]
            assert there.intervals[name] == pytest.approx(ends, rel=1e-3)


@pytest.mark.parametrize(
    "law",
    [law for law in LAWS if law.counts and not isinstance(law, TheoryLaw)]
    + [pytest.param(TheoryLaw(), marks=pytest.mark.slow)],
)
def test_units_of_the_loss_do_not_matter_where_n_is_a_count(law):
    loss = noisy(law, 1, noise=1e-4)
    here, there = fit_law(SIZES, loss, law), fit_law(SIZES, 1e5 * loss, law)
    for name in law.parameters:
        factor = 1e5 if name in ("scale", "floor") else 1.0
        assert there.estimates[name] == pytest.approx(factor * here.estimates[name], rel=1e-5)
        ends = [factor * end for end in here.intervals[name]]
        assert there.intervals[name] == pytest.approx(ends, rel=1e-4)


@given(law=st.sampled_from(LAWS), order=st.permutations(list(range(SIZES.size))))
@settings(max_examples=3, deadline=None)
def test_order_of_the_points_does_not_matter(law, order):
    loss = noisy(law, 5, noise=1e-4)
    here, there = fit_law(SIZES, loss, law), fit_law(SIZES[order], loss[order], law)
    assert there.objective == pytest.approx(here.objective, rel=1e-8)
    np.testing.assert_allclose(there.residuals, here.residuals[order], atol=1e-7)
    for name in law.parameters:
        assert there.estimates[name] == pytest.approx(here.estimates[name], rel=1e-4)


@given(
    law=st.sampled_from(LAWS),
    seed=st.integers(0, 10_000),
    noise=st.sampled_from([1e-3, 0.03, 0.3]),
    huber=st.sampled_from([None, 1e-3, 0.1]),
)
@settings(max_examples=10, deadline=None)
def test_never_worse_than_the_truth(law, seed, noise, huber):
    loss = noisy(law, seed, noise)
    truth = TRUTH[law.name]
    if law.floor and truth[-1] >= loss.min():
        return  # the truth is beyond the bound of a floor
    objective, estimates = least(law, loss, huber)
    assert objective <= misfit(law, truth, SIZES, loss, huber)
    assert misfit(law, estimates, SIZES, loss, huber) == pytest.approx(objective, rel=1e-6)


@pytest.mark.parametrize("huber", [None, 5e-3])
@pytest.mark.parametrize(
    "law",
    [PowerLaw(), BrokenPowerLaw(floor=False), BrokenPowerLaw(), TheoryLaw(), LogCorrectedLaw()],
    ids=lambda law: law.name,
)
@pytest.mark.slow
def test_no_better_law_is_found_by_differential_evolution(law, huber):
    loss = noisy(law, 11, noise=0.02)
    t = np.log(SIZES)
    low, high = law.shape_bounds(t)
    limits = [(-6.0, 9.0), *zip(low, high, strict=True)]
    limits = [(max(a, -9.0), min(b, 12.0)) for a, b in limits]
    if law.floor:
        limits.append((0.0, loss.min()))

    def height(theta):
        q = 1 + len(law.shape)
        part = theta[0] + law.log_g(theta[None, 1:q], t)[0][0]
        with np.errstate(divide="ignore"):
            said = np.logaddexp(part, np.log(theta[q:].sum()))
        errors = np.log(loss) - said
        return np.sum(errors**2) / 2 if huber is None else np.sum(huber_loss(huber, errors))

    search = differential_evolution(height, limits, seed=0, tol=1e-10, maxiter=400)
    assert least(law, loss, huber)[0] <= search.fun * (1 + 1e-9)


@given(
    seed=st.integers(0, 10_000),
    floor=st.booleans(),
    huber=st.sampled_from([None, 1e-3]),
    noise=st.sampled_from([1e-3, 0.1]),
)
@settings(max_examples=4, deadline=None)
def test_an_extension_is_never_worse(seed, floor, huber, noise):
    loss = noisy(PowerLaw(), seed, noise)
    power = least(PowerLaw(floor), loss, huber)[0]
    rounding = 1e-12 * power
    assert least(BrokenPowerLaw(floor), loss, huber)[0] <= power + rounding
    critical = least(LogCorrectedLaw(floor, critical=True), loss, huber)[0]
    assert least(LogCorrectedLaw(floor), loss, huber)[0] <= min(power, critical) + rounding
    if floor:
        bare, (_, exponent) = least(PowerLaw(floor=False), loss, huber)
        if exponent >= 0.0:  # a law with a floor may not rise
            assert power <= bare + rounding


def test_equal_slopes_are_a_power_law():
    law = BrokenPowerLaw()
    said = law(SIZES, 2.0, 0.4, 0.4, 700.0, 0.3, 0.1)
    np.testing.assert_allclose(said, PowerLaw()(SIZES, 2.0, 0.4, 0.1), rtol=1e-14)
    # its local slopes far from the break are the two exponents
    slope = law.log_g(np.array([[0.2, 0.9, 0.0, math.log(0.5)]]), np.array([-30.0, 0.0, 30.0]))[1]
    np.testing.assert_allclose(slope[0], [-0.2, -0.55, -0.9], rtol=1e-9)


@pytest.mark.parametrize("law", [PowerLaw(), ExponentialLaw(), BrokenPowerLaw(floor=False)])
def test_huber_with_a_large_delta_is_least_squares(law):
    loss = noisy(law, 4)
    squares, huber = fit_law(SIZES, loss, law), fit_law(SIZES, loss, law, huber=1e3)
    assert huber.objective == pytest.approx(squares.objective, rel=1e-9)
    assert squares.objective == pytest.approx(squares.rss / 2, rel=1e-12)
    assert (huber.aic, huber.aicc, huber.bic) == pytest.approx(
        (squares.aic, squares.aicc, squares.bic), abs=1e-6
    )
    assert huber.status == squares.status
    for name in law.parameters:
        assert huber.estimates[name] == pytest.approx(squares.estimates[name], rel=1e-4)
        assert huber.intervals[name] == pytest.approx(squares.intervals[name], rel=1e-4)


def test_huber_does_not_see_an_outlier():
    loss = noisy(PowerLaw(), 8, noise=1e-3)
    spoilt = loss.copy()
    spoilt[5] *= 2.0
    honest = fit_law(SIZES, loss, PowerLaw()).estimates["exponent"]
    robust = fit_law(SIZES, spoilt, PowerLaw(), huber=1e-3)
    assert robust.estimates["exponent"] == pytest.approx(honest, rel=0.02)
    low, high = robust.intervals["exponent"]
    assert low < 0.5 < high
    assert abs(fit_law(SIZES, spoilt, PowerLaw()).estimates["exponent"] / honest - 1) > 0.1


def test_criteria_of_huber_are_a_likelihood():
    from scipy.integrate import quad
    from scipy.optimize import minimize_scalar

    loss = noisy(PowerLaw(), 9, noise=0.02)
    delta = 0.01
    fit = fit_law(SIZES, loss, PowerLaw(), huber=delta)

    def deviance(log_tau):
        tau = math.exp(log_tau)
        mass = 2 * quad(lambda r: math.exp(-huber_loss(delta, r) / tau), 0, 1, points=[delta])[0]
        density = np.exp(-huber_loss(delta, fit.residuals) / tau) / mass / loss
        return -2 * np.sum(np.log(density))

    best = minimize_scalar(deviance, bounds=(-14, -2), method="bounded").fun
    m, k = SIZES.size, 4
    assert fit.aic == pytest.approx(best + 2 * k, abs=1e-4)
    assert fit.bic == pytest.approx(best + k * math.log(m), abs=1e-4)
    assert fit.aicc == pytest.approx(fit.aic + 2 * k * (k + 1) / (m - k - 1), abs=1e-9)


def test_alpha_and_beta_are_not_told_apart_on_a_short_curve():
    law = TheoryLaw(floor=False)
    n = np.geomspace(1e3, 1e5, 8)
    loss = noisy(law, 2, noise=0.01, n=n)
    fit = fit_law(n, loss, law)
    assert fit.status == "not identified"
    assert "below and above" in fit.message
    exchanged = law(n, 1.0, 0.9, 0.4)
    assert np.std(np.log(loss / exchanged)) < 0.03  # the other way round does nearly as well


def test_a_straight_line_has_no_break():
    fit = fit_law(SIZES, noisy(PowerLaw(floor=False), 12), BrokenPowerLaw(floor=False))
    assert fit.status == "not identified"
    assert "break" in fit.message
    exact = fit_law(SIZES, PowerLaw(floor=False)(SIZES, 2.0, 0.5), BrokenPowerLaw(floor=False))
    assert exact.status == "not identified"


def test_bands_and_slopes():
    law = PowerLaw(floor=False)
    fit = fit_law(SIZES, noisy(law, 6, noise=0.05), law)
    # the textbook band of a straight line
    x, z = np.log(SIZES), np.log(noisy(law, 6, noise=0.05))
    slope, intercept = np.polyfit(x, z, 1)
    spread = math.sqrt(np.sum((z - slope * x - intercept) ** 2) / 14)
    at = np.array([10.0, 1e3, 1e6])
    half = (
        2.1447867
        * spread
        * np.sqrt(1 / 16 + (np.log(at) - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2))
    )
    band = fit.band(at)
    np.testing.assert_allclose(band.value, np.exp(intercept + slope * np.log(at)), rtol=1e-8)
    np.testing.assert_allclose(np.log(band.high / band.value), half, rtol=1e-5)
    np.testing.assert_allclose(np.log(band.value / band.low), half, rtol=1e-5)
    steep = fit.local_slope(at)
    assert steep.value == pytest.approx(slope, rel=1e-8)
    assert steep.low == pytest.approx(-fit.intervals["exponent"][1], rel=1e-5)
    for law in (ExponentialLaw(), BrokenPowerLaw(), LogCorrectedLaw(), TheoryLaw()):
        fit = fit_law(SIZES, noisy(law, 6, noise=1e-4), law)
        h = 1e-5
        ratio = np.log(fit.predict(SIZES * (1 + h)) / fit.predict(SIZES * (1 - h)))
        expected = ratio / (np.log1p(h) - np.log1p(-h))
        np.testing.assert_allclose(fit.local_slope(SIZES).value, expected, atol=1e-7)


def test_bootstrap_agrees_with_the_profile():
    n = np.geomspace(64, 65536, 40)
    loss = noisy(PowerLaw(), 4, n=n)
    for huber in (None, 0.01):
        fit = fit_law(n, loss, PowerLaw(), huber=huber, seed=1)
        again = fit_law(n, loss, PowerLaw(), huber=huber, seed=1)
        drawn = fit.bootstrap()
        assert drawn == again.bootstrap()
        assert drawn != fit.bootstrap()  # new draws
        for name in fit.law.parameters:
            low, high = fit.intervals[name]
            # Monte Carlo error of a 2.5% quantile from 999 draws is about 5% of the half-width;
            # residuals of another shape than normal move it further for Huber's
            assert drawn[name] == pytest.approx((low, high), abs=0.2 * (high - low))


@pytest.mark.slow
@pytest.mark.parametrize("huber", [None, 3e-3])
def test_coverage(huber):
    from scipy.stats import binom

    curves, hits = 200, dict.fromkeys(("scale", "exponent", "floor"), 0)
    n = np.geomspace(64, 65536, 24)
    for seed in range(curves):
        fit = fit_law(n, noisy(PowerLaw(), seed, n=n), PowerLaw(), huber=huber)
        for name, truth in zip(fit.law.parameters, TRUTH["power law + floor"], strict=True):
            low, high = fit.intervals[name]
            hits[name] += low <= truth <= high
    print(huber, hits)
    # with Huber's, the scale of the objective is an asymptotic estimate
    least = binom.ppf(0.0005, curves, 0.95 if huber is None else 0.9)
    assert min(hits.values()) >= least, hits


def test_weights_and_repr():
    loss = noisy(PowerLaw(), 2)
    weights = 3.0 / loss
    fit = fit_law(SIZES, loss, "power law + floor", weights=weights)
    np.testing.assert_allclose(
        fit.residuals, np.sqrt(weights) * (loss - fit.predict(SIZES)), atol=1e-9
    )
    assert fit.rss == pytest.approx(np.sum(fit.residuals**2), rel=1e-12)
    assert fit.objective == pytest.approx(fit.rss / 2, rel=1e-12)
    assert "exponent=0." in repr(fit)
    assert fit.summary()["exponent_low"] == fit.intervals["exponent"][0]
    assert fit.exponent == (fit.estimates["exponent"], *fit.intervals["exponent"])
    assert fit.predict([[64.0], [128.0]]).shape == (2, 1)
    with pytest.raises(ValueError, match="read-only"):
        fit.residuals[0] = 1.0


GOOD = {"n": [2, 4, 8, 16, 32], "loss": [5.0, 4.0, 3.5, 3.2, 3.1], "law": "power law + floor"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": [2, 4, 8, 16, 0]}, r"n must hold numbers greater than 0, got n\[4\] = "),
        ({"n": [2, 2, 2, 2, 2]}, "n must hold at least two different values, got only 2"),
        ({"loss": [1.0, 2.0]}, "n must have one value for each loss, got 5 for 2"),
        ({"loss": [5, 4, 3, 2, math.nan]}, "loss must hold .*nan"),
        ({"law": "line"}, "law must be a CurveLaw or one of power law, .*got 'line'"),
        ({"law": "broken power law"}, r"more points than the broken power law has .*\(5\), got 5"),
        ({"law": LogCorrectedLaw(), "n": [1, 4, 8, 16, 32]}, "n must hold numbers greater than 1"),
        ({"law": TheoryLaw(), "n": [0.5, 4, 8, 16, 32]}, "n must hold numbers of at least 1"),
        ({"huber": 0.0}, "huber must be a number greater than 0, got 0.0"),
        ({"huber": 1e-3, "weights": [1] * 5}, "weights and huber can't be given together"),
        ({"weights": [1, 1, 1, 1, -1]}, r"weights must hold .* greater than 0"),
        ({"weights": [1, 1]}, "weights must have one value for each loss, got 2 for 5"),
        ({"level": 1.0}, r"level must be a number in \(0, 1\), got 1.0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        fit_law(**(GOOD | change))


def test_other_refusals():
    fit = fit_law(**GOOD)
    with pytest.raises(ValueError, match="n must hold"):
        fit.predict(0.0)
    with pytest.raises(ValueError, match="variables must be n, got 2"):
        fit.band([1.0], [2.0])
    with pytest.raises(ValueError, match="replicates must be a whole number of at least 19"):
        fit.bootstrap(3)
    with pytest.raises(ValueError, match="values must be 3, for scale, exponent, floor, got 1"):
        PowerLaw()(SIZES, 1.0)
    with pytest.raises(ValueError, match="floor must be True or False, got 'free'"):
        PowerLaw(floor="free")


def test_importing_the_laws_is_light():
    code = (
        "import sys, scaling_theory\n"
        "before = set(sys.modules)\n"
        "import scaling_theory.fitting.laws\n"
        "new = set(sys.modules) - before\n"
        "print(*sorted(m for m in new if m.split('.')[0] in "
        "{'scipy', 'torch', 'matplotlib', 'sympy', 'pandas'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
