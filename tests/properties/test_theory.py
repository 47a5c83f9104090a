"""Derived exponents and constants against the exact solver, at random exponents and scales.

Notation: frequencies c (i + o)^-(1+alpha), curves f + a (n + s)^-beta, gamma = (1+alpha)/(1+beta).
At the price of the last latent, X is the real rank at which the first gain has it, and
kappa = (a beta c / price)^(1/(1+beta)). The law under test is N = S X + Z kappa + s (1/2 + o).

Where tolerances come from:

- *Straying.* N counts lattice points under a curve whose corner is at min(X, kappa). The count
  strays from its smooth mean by about the square root of that number (Cramer's mean square for the
  divisor problem; the worst is known to be below its 2/3rd power). Three times it is allowed, and 2
  for the latent at the edge.
- *Price.* ln price falls by at most 1 + max(alpha, beta) times ln N, so that straying N moves it by
  as much, relative to N.
- *Loss.* At its own N the loss is stationary under moving latents: straying enters squared, as half
  the change of the price over the stray latents. Besides, the loss is the integral of N over the
  price, in which each row of n latents strays by up to 1/12 of the price's change over one of them,
  (1 + beta)/n of it, and each level likewise. Added up to the corner, with whatever signs, these
  are (2 + alpha + beta)/12 of a price.
- *Next order.* With x the ratio of the two terms of N, limits are off by a stated multiple of x,
  and by multiples of x^2 that are expanded where they are used.
"""

import dataclasses
import math
from functools import cached_property

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.testing import numbers

few = settings(deadline=None, max_examples=30)
GRID = np.geomspace(0.1, 2.0, 12)


@dataclasses.dataclass(frozen=True)
class Case:
    """A shared power-law curve on infinitely many features."""

    alpha: float
    beta: float
    shift: float = 1.0
    scale: float = 1.0
    floor: float = 0.0
    offset: float = 0.0
    total: float = 1.0
    magnitude: float = 1.0

    @property
    def gamma(self):
        return (1.0 + self.alpha) / (1.0 + self.beta)

    @cached_property
    def curve(self):
        return sth.PowerLawCurve(self.beta, scale=self.scale, floor=self.floor, shift=self.shift)

    @cached_property
    def population(self):
        law = sth.ZipfMandelbrotFrequencies(self.alpha, self.offset, total=self.total)
        return sth.Population(law, self.curve, magnitude=self.magnitude)

    @cached_property
    def said(self):
        return sth.predict(population=self.population)

    def solve(self, latents):
        return sth.allocate(self.population, int(latents))

    @property
    def c(self):
        return self.population.frequencies.normaliser * self.magnitude

    @cached_property
    def first_gain(self):
        return float(self.curve.gain(1)[0])

    def edge(self, price):
        """(X, kappa) at a price."""
        x = (self.c * self.first_gain / price) ** (1.0 / (1.0 + self.alpha))
        kappa = (self.scale * self.beta * self.c / price) ** (1.0 / (1.0 + self.beta))
        return x, kappa

    @property
    def rank_sum(self):
        """Z, by mpmath's analytic continuation."""
        return float(mp.zeta(self.gamma, 1.0 + self.offset))

    @property
    def level_sum(self):
        """S, continued: the first gains one by one, and the tail by its midpoint expansion."""
        power, b = 1.0 / (1.0 + self.alpha), self.beta
        m = 2000
        head = float((self.curve.envelope_gain(np.arange(1.0, m + 1.0)) ** power).sum())
        at, t = mp.mpf(m) + 0.5 + self.shift, mp.mpf(1) / self.gamma
        tail = mp.zeta(t, at) + power * (1 + b) * (2 + b) / 24 * mp.zeta(t + 2, at)
        return (head + float(tail) * (self.scale * b) ** power) / self.first_gain**power

    def strays(self, at):
        """Latents by which a count at the price of an allocation strays."""
        return 2.0 + 3.0 * math.sqrt(min(self.edge(at.price)))

    def far_enough(self, latents):
        """Whether every regularity has set in: many ranks beyond the offset, n_1 beyond the shift.

        What is left out of the law falls with the powers of what is compared here.
        """
        at = self.solve(latents)
        first = at.latents_at(1)[0]
        return at.discovered >= 30 * (1.0 + self.offset) and first >= 30 * (1.0 + self.shift)


@st.composite
def cases(draw, regime=None):
    """Any exponents; or ones of a regime, away from the diagonal."""
    rest = {
        "shift": draw(st.one_of(st.just(1.0), numbers(0.3, 10.0))),
        "scale": draw(st.one_of(st.just(1.0), numbers(0.01, 9.0))),
        "floor": draw(st.one_of(st.just(0.0), numbers(0.0, 2.0))),
        "offset": draw(st.one_of(st.just(0.0), numbers(-0.5, 5.0))),
        "total": draw(st.one_of(st.just(1.0), numbers(0.1, 30.0))),
        "magnitude": draw(st.one_of(st.just(1.0), numbers(0.1, 9.0))),
    }
    alpha = draw(numbers(0.1, 2.0))
    if regime is None:
        return Case(alpha, draw(st.one_of(st.just(alpha), numbers(0.1, 2.0))), **rest)
    if regime == "critical":
        return Case(max(alpha, 0.2), max(alpha, 0.2), **rest)
    # gamma sets the order of what is left: N^(gamma - 1), or N^(1/gamma - 1)
    inverse = draw(numbers(0.4, 0.75))
    gamma = inverse if regime == "benign" else 1.0 / inverse
    beta = (1.0 + alpha) / gamma - 1.0
    assume(0.05 <= beta <= 4.0)
    return Case(alpha, beta, **rest)


# ---- the uniform law -------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", GRID, ids="{:.3f}".format)
def test_the_grid_of_the_uniform_law(alpha):
    """144 pairs (alpha, beta) from 0.1 to 2, equal ones among them: what ``predict`` promises."""
    for beta in GRID:
        said = sth.predict(alpha=alpha, beta=beta)
        population = sth.Population(sth.PowerLawFrequencies(alpha), sth.PowerLawCurve(beta))
        for latents, accuracy in ((10**3, 1e-3), (10**6, 1e-6), (10**9, 1e-6)):
            at = sth.allocate(population, latents)
            assert said.loss(latents)[0] == pytest.approx(at.excess_loss, rel=accuracy)
            if latents >= 10**6:
                near = max(1e-3 * at.discovered, 2.0)
                assert abs(said.discovered(latents)[0] - at.discovered) <= near


@few
@given(cases(), numbers(4.0, 9.0))
@example(Case(0.5, 0.5), 6.0)
@example(Case(1.4, 0.44, shift=0.3), 4.0)
@example(Case(0.5, 2.0), 8.0)  # strays by more than its square, and by rows
@example(Case(1.0, 0.25, shift=3.0), 9.0)
def test_the_uniform_law_strays_as_lattice_points_do(case, power):
    latents = int(10.0**power)
    assume(case.far_enough(latents))
    at, said = case.solve(latents), case.said
    stray = case.strays(at)
    slope = 1.0 + max(case.alpha, case.beta)
    loss, found = said.loss(latents)[0], said.discovered(latents)[0]
    rounding = 1e-12 * loss  # of sums over 1e5 gains
    strays = (2.0 + case.alpha + case.beta) / 12.0 + 0.5 * slope * stray**2 / latents
    assert abs(loss - at.excess_loss) <= at.price * strays + rounding
    # ranks are counted by the same price
    assert abs(found - at.discovered) <= 1.0 + at.discovered * stray / latents * slope
    slope_found = -at.price * latents / at.excess_loss
    error = slope * stray / latents
    assert said.loss_slope(latents)[0] == pytest.approx(slope_found, rel=1.1 * error)


@few
@given(cases(), numbers(3.0, 9.0))
def test_the_law_by_sums_of_another_kind(case, power):
    # S and Z by mpmath, the law as it is written, at a rank X: they share nothing but the gains
    assume(abs(case.gamma - 1.0) > 0.02)
    s, z, x = case.level_sum, case.rank_sum, 10.0**power
    price = case.c * case.first_gain * x ** -(1.0 + case.alpha)
    kappa = case.edge(price)[1]
    latents = s * x + z * kappa + case.shift * (0.5 + case.offset)
    excess = price * (s * x / case.alpha + z * kappa / case.beta)
    # sums are good to 1e-13; poles that cancel lose 1/(gamma - 1) of that
    assert case.said.loss(latents)[0] == pytest.approx(excess, rel=1e-11)
    assert case.said.discovered(latents)[0] == pytest.approx(x - case.offset - 0.5, rel=1e-11)


# ---- limits, and how fast they are approached --------------------------------------------------


@few
@given(cases("benign"))
@example(Case(0.5, 2.0))
@example(Case(0.3, 1.0))
def test_benign_limits_are_approached_as_n_to_the_gamma_minus_1(case):
    said, rho = case.said, case.alpha / case.beta
    assert said.regime == "benign"
    s, z = 1.0 / said.discovery_constant, case.rank_sum
    sizes = []
    for latents in (10**7, 10**9):
        at = case.solve(latents)
        kappa = case.edge(case.c * case.first_gain * (latents / s) ** -(1.0 + case.alpha))[1]
        x = z * kappa / latents  # the second term of N relative to the first, at X = N/S
        assume(abs(x) <= 0.2 and case.far_enough(latents))
        sizes.append(x)
        noise = (1.0 + case.beta) * (case.strays(at) + case.shift * (1.0 + case.offset)) / latents
        # second order: (1 + gamma + rho) x^2 at most with rho < 1 and gamma < 1, times 1/(1 - |x|)
        # for what follows; the powers 1 + alpha of the loss make 1 + alpha times that
        second = 3.0 * x * x / (1.0 - abs(x)) ** 2
        slope = at.price * latents / at.excess_loss
        assert abs(slope / said.loss_exponent - 1.0 - (1.0 - rho) * x) <= second + noise
        found = at.discovered / (said.discovery_constant * latents**said.discovery_exponent)
        assert abs(found - 1.0 + x) <= second + noise + 1.0 / at.discovered
        loss = at.excess_loss / (said.loss_constant * latents**-said.loss_exponent)
        assert abs(loss - 1.0 - (case.alpha + rho) * x) <= (1.0 + case.alpha) * second + noise
    assert sizes[1] / sizes[0] == pytest.approx(100.0 ** (case.gamma - 1.0), rel=1e-9)


@few
@given(cases("pathological"))
@example(Case(0.5, 0.1))
@example(Case(1.0, 0.3))
def test_pathological_limits_are_approached_as_n_to_the_inverse_gamma_minus_1(case):
    said, rho = case.said, case.beta / case.alpha
    assert said.regime == "pathological"
    s, z, inverse = case.level_sum, case.rank_sum, 1.0 / case.gamma
    sizes = []
    for latents in (10**7, 10**9):
        at = case.solve(latents)
        price = case.scale * case.beta * case.c * (latents / z) ** -(1.0 + case.beta)
        x = s * case.edge(price)[0] / latents  # the first term relative to the second
        assume(abs(x) <= 0.2 and case.far_enough(latents))
        sizes.append(x)
        noise = (1.0 + case.alpha) * (case.strays(at) + case.shift * (1.0 + case.offset)) / latents
        second = 3.0 * x * x / (1.0 - abs(x)) ** 2
        slope = at.price * latents / at.excess_loss
        assert abs(slope / said.loss_exponent - 1.0 - (1.0 - rho) * x) <= second + noise
        found = (at.discovered + case.offset + 0.5) / (
            said.discovery_constant * latents**said.discovery_exponent
        )
        # a feature more or less
        assert abs(found - 1.0 + inverse * x) <= second + noise + 1.0 / at.discovered
        loss = at.excess_loss / (said.loss_constant * latents**-said.loss_exponent)
        assert abs(loss - 1.0 - (case.beta + rho) * x) <= (1.0 + case.beta) * second + noise
    assert sizes[1] / sizes[0] == pytest.approx(100.0 ** (inverse - 1.0), rel=1e-9)


@few
@given(cases("critical"))
@example(Case(0.5, 0.5))
def test_critical_limits_are_approached_by_logarithms(case):
    said, alpha = case.said, case.alpha
    assert said.regime == "critical"
    w, kappas, strays = [], [], []
    for latents in (10**5, 10**7, 10**9):
        assume(case.far_enough(latents))
        at = case.solve(latents)
        kappa = case.edge(at.price)[1]
        strays.append(case.strays(at) / kappa)
        w.append((latents - case.shift * (0.5 + case.offset)) / kappa)
        kappas.append(kappa)
        # E = price kappa (W + 1 + 1/alpha) / alpha, whatever the constant G in W = ln kappa + G
        excess = at.excess_loss * alpha / (at.price * kappa)
        assert abs(excess - w[-1] - 1.0 - 1.0 / alpha) <= (1.0 + alpha) * strays[-1]
        slope = at.price * latents / at.excess_loss
        want = alpha * (1.0 - (1.0 + 1.0 / alpha) / (w[-1] + 1.0 + 1.0 / alpha))
        error = (case.strays(at) + case.shift * (1.0 + case.offset)) / latents
        assert slope == pytest.approx(want, rel=(2.0 + alpha) * error * max(1.0, 1.0 / alpha))
        # and D = kappa (m_1/(a beta))^(1/(1+alpha)), as said
        share = said.discovery_constant * kappa
        assert abs(at.discovered + case.offset + 0.5 - share) <= 1.0
    # W grows by the logarithm of kappa, so that the slope approaches alpha as 1/ln N
    for k in (0, 1):
        grown = math.log(kappas[k + 1] / kappas[k])
        assert w[k + 1] - w[k] == pytest.approx(grown, abs=strays[k] + strays[k + 1])


@few
@given(cases("pathological"))
def test_latents_of_the_first_features_fall_as_rank_to_the_minus_gamma(case):
    at = case.solve(10**9)
    ranks = np.arange(1, 51)
    kappa = case.edge(at.price)[1]
    real = kappa * (ranks + case.offset) ** -case.gamma - case.shift
    assume(real[-1] > 100.0)
    # a whole number, and the midpoint's (2 + beta)/24 over what is there
    off = 0.5 + (2.0 + case.beta) / 24.0 / real + 1e-9 * real
    assert (np.abs(at.latents_at(ranks) - real) <= off).all()


# ---- what changes nothing, or only the scale ---------------------------------------------------


@few
@given(cases(), st.integers(-20, 20), st.integers(-20, 20), numbers(0.0, 3.0))
def test_rescaling_scales_the_loss_and_nothing_else(case, power, other, floor):
    latents = 10**6
    assume(case.far_enough(latents))
    factor = 2.0**power * 2.0**other
    changed = dataclasses.replace(
        case, magnitude=case.magnitude * 2.0**power, scale=case.scale * 2.0**other, floor=floor
    )
    # by powers of two nothing is rounded in the exact solver, at and total, or scale, alike
    one, two = case.solve(latents), changed.solve(latents)
    assert (two.discovered, two.status) == (one.discovered, one.status)
    assert two.price == factor * one.price
    assert two.excess_loss == factor * one.excess_loss
    ranks = np.unique(np.geomspace(1, one.discovered + 10, 50).astype(int))
    assert two.latents_at(ranks).tolist() == one.latents_at(ranks).tolist()
    # the total is divided out and multiplied in again: rounding
    wider = dataclasses.replace(case, total=case.total * 3.0)
    for a, b, by in ((case.said, changed.said, factor), (case.said, wider.said, 3.0)):
        assert (b.regime, b.gamma, b.loss_exponent) == (a.regime, a.gamma, a.loss_exponent)
        assert b.discovery_constant == pytest.approx(a.discovery_constant, rel=1e-12)
        assert b.loss_constant == pytest.approx(by * a.loss_constant, rel=1e-12)
        assert b.crossover == pytest.approx(a.crossover, rel=1e-9)
        n = [1e5, 1e8]
        np.testing.assert_allclose(b.loss(n), by * a.loss(n), rtol=1e-12)
        np.testing.assert_allclose(b.discovered(n), a.discovered(n), rtol=1e-12)
        np.testing.assert_allclose(b.loss_slope(n), a.loss_slope(n), rtol=1e-12)


@few
@given(cases(), numbers(0.1, 50.0))
def test_only_total_times_magnitude_counts(case, total):
    same = dataclasses.replace(case, total=total, magnitude=case.magnitude * case.total / total)
    n = [1e5, 1e8]
    np.testing.assert_allclose(same.said.loss(n), case.said.loss(n), rtol=1e-12)
    np.testing.assert_allclose(same.said.discovered(n), case.said.discovered(n), rtol=1e-12)
    assert same.solve(10**5).discovered == pytest.approx(case.solve(10**5).discovered, abs=1)


# ---- monotonicity ------------------------------------------------------------------------------


@few
@given(cases())
def test_predictions_fall_and_rise_as_they_must(case):
    latents = np.geomspace(1e5, 1e12, 60)
    said = case.said
    loss, found, slope = said.loss(latents), said.discovered(latents), said.loss_slope(latents)
    assume(np.isfinite(loss).all() and case.far_enough(10**5))
    assert (np.diff(loss) < 0.0).all()
    assert (np.diff(found) > 0.0).all()
    # an N-th latent costs at least what the next does: price = -slope loss / N
    price = -slope * loss / latents
    assert (np.diff(price) < 0.0).all()
    # discovered is less than N, but for the half rank of its smooth count
    assert (found <= latents + 1.0).all()
    # the slope is the derivative, by central differences of relative width h: h^2 of it
    h = 1e-4
    up, down = (said.loss(latents * (1.0 + sign * h)) for sign in (1, -1))
    numeric = (np.log(up) - np.log(down)) / (math.log1p(h) - math.log1p(-h))
    # rounding 1e-13 / h and curvature h^2
    np.testing.assert_allclose(numeric, slope, rtol=1e-7, atol=1e-8)


@few
@given(cases(), numbers(0.05, 1.0), numbers(3.0, 8.0))
def test_a_lower_curve_makes_a_lower_loss(case, more, power):
    latents = int(10.0**power)
    plain = dataclasses.replace(case, shift=1.0)
    steeper = dataclasses.replace(plain, beta=plain.beta + more)  # lower at each n, equal at 0
    one, two = plain.solve(latents), steeper.solve(latents)
    assert two.excess_loss < one.excess_loss
    # the same number for more frequent features, or beside another floor
    more_often = dataclasses.replace(plain, total=plain.total * (1.0 + more))
    assert more_often.solve(latents).excess_loss > one.excess_loss
    if plain.far_enough(latents) and steeper.far_enough(latents):
        assert steeper.said.loss(latents)[0] < plain.said.loss(latents)[0]


@few
@given(numbers(0.1, 2.0), numbers(0.1, 2.0))
@example(0.10000000000000002, 0.1)
def test_regimes_meet_on_the_diagonal(alpha, beta):
    said = sth.predict(alpha=alpha, beta=beta)
    want = "benign" if beta > alpha else "pathological" if beta < alpha else "critical"
    if abs(alpha - beta) > 1e-11:
        assert said.regime == want
    # nearer than 1e-12 of themselves they are taken as equal
    assert said.loss_exponent == pytest.approx(min(alpha, beta), rel=1e-12)
    assert said.discovery_exponent == pytest.approx(min(1.0, (1 + beta) / (1 + alpha)), rel=1e-15)
    # from the crossover on, the slope is within a tenth of its limit, and before it is not
    if 1e3 < said.crossover < 1e150:
        around = said.loss_slope([said.crossover * 0.99, said.crossover, said.crossover * 1.01])
        off = np.abs(-around / said.loss_exponent - 1.0)
        assert off[0] > off[1] > off[2]
        assert off[1] == pytest.approx(0.1, abs=1e-3)
