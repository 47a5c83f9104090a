"""The closed form against high precision, exact cases and simulation."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_theory.analysis import RandomDirections, SampledDirections
from scaling_theory.analysis.directions import inverse_tail, ks_distance, tail


def density_tail(cosine, dimension):
    """T by integrating the density of a cosine, ~ (1 - x^2)^((d-3)/2), in 30 digits."""
    with mpmath.workdps(30):
        power, c = mpmath.mpf(dimension - 3) / 2, mpmath.mpf(float(cosine))
        width = 1 / mpmath.sqrt(dimension)
        ends = sorted({min(c + k * width, mpmath.mpf(1)) for k in (0, 1, 2, 4, 8, 16, 32)})
        ends += [mpmath.mpf(1)] if dimension < 1000 and ends[-1] < 1 else []
        whole = mpmath.beta(mpmath.mpf(1) / 2, mpmath.mpf(dimension - 1) / 2)
        return mpmath.quad(lambda x: (1 - x * x) ** power, ends) / whole


# ---- the closed form ---------------------------------------------------------------------------


@pytest.mark.parametrize("dimension", [4, 64, 2304, 100_000])
@pytest.mark.parametrize("count", [3, 1000, 10**7])
def test_survival_and_quantile_in_high_precision(count, dimension):
    law = RandomDirections(count, dimension)
    for p in (0.3, 0.999):
        c = float(law.quantile(p))
        with mpmath.workdps(30):
            above = density_tail(c, dimension)
            exact = -mpmath.expm1((count - 1) * mpmath.log1p(-above))
            both = exact - (count - 1) * above * (1 - above) ** (count - 2)
        assert float(law.survival(c)) == pytest.approx(float(exact), rel=1e-11)
        assert float(law.survival(c, second=True)) == pytest.approx(float(both), rel=1e-11)
        # a cosine near 1 is a coarse coordinate: its spacing moves the tail by 1e-16/(1 - c)
        assert float(exact) == pytest.approx(1.0 - p, rel=1e-11 + 1e-15 * dimension / (1.0 - c))


@given(st.integers(2, 10**7), st.floats(-1.0, 1.0))
def test_the_circle_and_the_sphere(count, cosine):
    """Angles are even on the circle, heights on the sphere (Archimedes)."""
    on_circle = (1.0 - math.acos(cosine) / math.pi) ** (count - 1)
    found = float(RandomDirections(count, 2).cdf(cosine))
    # one rounding of the cosine moves the angle by up to 1.5e-8
    assert found == pytest.approx(on_circle, rel=1e-7 * count, abs=1e-300)
    on_sphere = ((cosine + 1.0) / 2.0) ** (count - 1)
    law = RandomDirections(count, 3)
    assert float(law.cdf(cosine)) == pytest.approx(on_sphere, rel=1e-15 * count + 1e-12, abs=1e-300)
    assert law.mean() == pytest.approx((count - 2) / count, abs=1e-13)


def test_means():
    assert RandomDirections(3, 2).mean() == pytest.approx(4.0 / math.pi**2, rel=1e-13)
    for d in (2, 5, 1000):
        assert RandomDirections(2, d).mean() == pytest.approx(0.0, abs=1e-14)
    law = RandomDirections(50, 7)  # by parts, from the distribution
    c = np.linspace(-1.0, 1.0, 20_001)
    assert law.mean() == pytest.approx(np.trapezoid(law.survival(c), c) - 1.0, abs=1e-7)


@given(st.integers(2, 10**7), st.integers(4, 10**5), st.floats(1e-9, 1.0 - 1e-9))
def test_quantiles_invert_the_distribution(count, dimension, p):
    law = RandomDirections(count, dimension)
    c = float(law.quantile(p))
    spacing = 1e-15 * dimension / (1.0 - c)  # as above
    assert float(law.cdf(c)) == pytest.approx(p, rel=1e-10 + spacing * count**0.5)
    assert float(law.survival(c)) == pytest.approx(1.0 - p, rel=1e-10 + spacing)
    assert c < float(law.quantile(p + 0.5 * (1.0 - p)))


@given(st.integers(2, 10**5), st.floats(-1.0, 1.0))
def test_a_direction_and_its_opposite(dimension, cosine):
    both = tail(np.array([cosine, -cosine]), dimension)
    assert both.sum() == pytest.approx(1.0, abs=1e-14)
    if 1e-12 < both[0] < 1.0 - 1e-4 and abs(cosine) < 0.999:
        assert inverse_tail(both[:1], dimension)[0] == pytest.approx(cosine, rel=1e-9, abs=1e-12)


@given(st.integers(3, 10**6), st.integers(2, 5000), st.floats(-1.0, 1.0))
def test_the_second_is_no_nearer_than_the_first(count, dimension, cosine):
    law = RandomDirections(count, dimension)
    first, second = (float(law.survival(cosine, second=s)) for s in (False, True))
    assert second <= first
    if cosine > -0.999:  # the binomial tail of survival is another way than the cdf's
        assert second + float(law.cdf(cosine, second=True)) == pytest.approx(1.0, abs=1e-9)


# ---- simulation --------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "dimension"), [(2, 2), (5, 4), (40, 3), (30, 50)])
def test_simulated_sets(count, dimension):
    """One row of each of 4000 sets, so that samples are independent."""
    sets = 4000
    rows = np.random.default_rng(count).normal(size=(sets, count, dimension))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    found = np.sort(np.einsum("sd,scd->sc", rows[:, 0], rows[:, 1:]), axis=1)
    law = RandomDirections(count, dimension)
    limit = 1.95 / math.sqrt(sets)  # Kolmogorov's distribution beyond it: 0.001
    first = np.sort(found[:, -1])
    assert ks_distance(first, law) < limit
    assert first.mean() == pytest.approx(law.mean(), abs=4.0 * first.std() / math.sqrt(sets))
    assert ks_distance(np.sort(law.sample(sets, seed=1)), law) < limit
    other = RandomDirections(count + 1, dimension)  # what the test can tell apart
    if count < 10:
        assert ks_distance(first, other) > limit
    if count > 2:
        second = np.sort(found[:, -2])
        gap = np.arange(1, sets + 1) / sets - law.cdf(second, second=True)
        assert np.abs(gap).max() < limit


def test_distance_to_samples_is_the_two_sample_one():
    values, other = np.array([0.1, 0.2, 0.6]), np.array([0.15, 0.2, 0.3, 0.4])
    sampled = SampledDirections(5, 3, other, other, 3.0, 0.0, 0.0, 0.0)
    assert ks_distance(values, sampled) == pytest.approx(1.0 / 3.0)
    assert ks_distance(other, sampled) == 0.0
    assert float(sampled.survival(0.2)) == 0.5
    assert float(sampled.cdf(0.2)) == 0.5


# ---- refusals ----------------------------------------------------------------------------------


def test_shapes_are_kept():
    law = RandomDirections(10, 5)
    assert law.cdf(np.zeros((2, 3))).shape == (2, 3)
    assert law.quantile(0.5).shape == ()
    assert law.sample(7).shape == (7,)


@pytest.mark.parametrize(("call", "name"), [
    (lambda: RandomDirections(1, 3), "count"),
    (lambda: RandomDirections(10, 1), "dimension"),
    (lambda: RandomDirections(10, 2.5), "dimension"),
    (lambda: RandomDirections(10, 3).cdf(1.5), "cosine"),
    (lambda: RandomDirections(10, 3).survival(math.nan), "cosine"),
    (lambda: RandomDirections(10, 3).quantile(0.0), "probability"),
    (lambda: RandomDirections(10, 3).quantile(1.0), "probability"),
    (lambda: RandomDirections(10, 3).sample(0), "size"),
    (lambda: RandomDirections(2, 3).cdf(0.0, second=True), "second"),
    (lambda: RandomDirections(2, 3).survival(0.0, second=True), "second"),
])  # fmt: skip
def test_bad_arguments_are_refused(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must "):
        call()
