"""Exponents of tails: known answers, a slow reference, invariances, recovery, refusals."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.fitting.frequencies import draw_tail, fit_tail, goodness_of_fit, reference
from scaling_theory.fitting.frequencies._model import Likelihood, Rule, distances_of
from scaling_theory.fitting.frequencies._sample import Sample

SHARED = Path(__file__).parents[4] / "shared" / "data"

KINDS = ["continuous", "discrete", "poisson"]


def published(name):
    file = SHARED / name
    if not file.is_file():
        pytest.skip(f"{name} is not here")
    return np.loadtxt(file)


def pareto(seed, size, exponent=2.3, start=1.0):
    return start * (np.random.default_rng(seed).pareto(exponent - 1.0, size) + 1.0)


def whole(seed, size, exponent=2.3, start=3.0):
    return np.floor(pareto(seed, size, exponent, start))


def mixed(seed, size, kind):
    """Data with a body, a tail and ties."""
    generator = np.random.default_rng(seed)
    body, tail = generator.integers(1, 6, size // 2), whole(seed + 1, size - size // 2)
    values = np.minimum(np.concatenate([body, tail]), 1e6)
    if kind == "continuous":  # some alike
        values = np.concatenate([values[::2], values[1::2] * generator.uniform(1, 2)])
    return generator.permutation(values)


# ---- known answers ---------------------------------------------------------------------------


def test_words():
    fit = fit_tail(published("clauset_words.txt"), kind="discrete")
    assert fit.exponent == pytest.approx(1.95273, abs=5e-6)
    assert (fit.xmin, fit.tail, fit.total) == (7.0, 2958, 18855)
    assert fit.error == pytest.approx(0.02, abs=0.005)  # as printed there


def test_blackouts():
    fit = fit_tail(published("clauset_blackouts.txt"))
    assert fit.exponent == pytest.approx(2.27264, abs=5e-6)
    assert (fit.xmin, fit.tail, fit.total) == (230_000.0, 59, 211)
    assert fit.status == "ok"


def test_hill_by_hand():
    # 1 + n / sum of ln(x / xmin), and (a - 1) / sqrt(n)
    fit = fit_tail([1.0, math.e, math.e**2, math.e**3], xmin=1.0)
    assert fit.exponent == pytest.approx(1.0 + 4.0 / 6.0, rel=1e-14)
    assert fit.error == pytest.approx((2.0 / 3.0) / 2.0, rel=1e-6)
    assert fit.rank_exponent == pytest.approx(1.5, rel=1e-14)
    assert fit.status == "small tail"
    assert "fewer than 50" in fit.message


# ---- the slow reference ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6), size=st.integers(4, 60))
@settings(max_examples=15, deadline=None)
def test_every_distance_is_the_reference(kind, seed, size):
    values = mixed(seed, size, kind)
    if np.unique(values).size < 2:
        return
    xmins, exponents, distances = reference.distances(values, kind)
    sample = Sample.of(values)
    rule = Rule(kind, math.inf, None, None)
    found, fitted, best = distances_of(sample, rule, every=True)
    np.testing.assert_array_equal(sample.values[:-1], xmins)
    inside = exponents < 199.0  # the reference looks no further
    # an optimiser that only sees values finds a maximum to the root of their rounding
    np.testing.assert_allclose(fitted[inside], exponents[inside], rtol=2e-6)
    np.testing.assert_allclose(found[inside], distances[inside], atol=2e-6)
    assert best == int(np.argmin(found))


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6), size=st.integers(4, 3000))
@settings(max_examples=15, deadline=None)
def test_giving_up_early_changes_nothing(kind, seed, size):
    sample = Sample.of(mixed(seed, size, kind))
    if sample.values.size < 2:
        return
    rule = Rule(kind, math.inf, None, None)
    every, exponents, best = distances_of(sample, rule, every=True)
    some, again, same = distances_of(sample, rule, every=False)
    assert same == best
    known = ~np.isnan(some)
    np.testing.assert_array_equal(some[known], every[known])
    assert (every[~known] > every[best]).all()
    np.testing.assert_allclose(again, exponents, rtol=1e-9)


def test_most_of_the_work_is_saved():
    sample = Sample.of(pareto(0, 20_000))
    found, _, _ = distances_of(sample, Rule("continuous", math.inf, None, None), every=False)
    assert np.isfinite(found).sum() < 200


# ---- invariances -----------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6), log_unit=st.floats(-100.0, 100.0))
@settings(max_examples=25, deadline=None)
def test_units_scale_xmin_and_nothing_else(seed, log_unit):
    values, unit = pareto(seed, 300), math.exp(log_unit)
    here, there = fit_tail(values), fit_tail(values * unit)
    assert there.xmin == pytest.approx(here.xmin * unit, rel=1e-12)
    assert there.exponent == pytest.approx(here.exponent, rel=1e-9)
    assert there.interval == pytest.approx(here.interval, rel=1e-7)
    assert there.distance == pytest.approx(here.distance, abs=1e-10)
    assert there.tail == here.tail


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_order_does_not_matter(kind, seed):
    values = mixed(seed, 200, kind)
    shuffled = np.random.default_rng(seed).permutation(values)
    here, there, up = (fit_tail(v, kind=kind) for v in (values, shuffled, np.sort(values)))
    assert here.summary() == there.summary() == up.summary()


def test_input_is_left_alone():
    values = pareto(0, 50)[::-1].copy()
    before = values.copy()
    fit_tail(values)
    np.testing.assert_array_equal(values, before)


# ---- recovery --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "exponent", "xmin"),
    [("continuous", 1.4, 2.0), ("continuous", 3.5, 1.0), ("discrete", 1.7, 1), ("discrete", 3.0, 5),
     ("poisson", 2.35, 6), ("poisson", 1.5, 3)],
)  # fmt: skip
@given(seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_draws_from_a_law_give_it_back(kind, exponent, xmin, seed):
    shape = whole(3, 500, exponent, 8.0) if kind != "continuous" else pareto(3, 500, exponent, 8.0)
    law = fit_tail(shape, kind=kind, xmin=xmin)
    drawn = draw_tail(law, 4000, np.random.default_rng(seed))
    assert drawn.min() >= xmin
    fit = fit_tail(drawn, kind=kind, xmin=xmin)
    assert abs(fit.exponent - law.exponent) < 5.0 * fit.error  # 6e-7 for a normal estimate
    low, high = fit.interval
    assert low < fit.exponent < high
    assert high - low == pytest.approx(2 * 1.96 * fit.error, rel=0.1)


@pytest.mark.parametrize("exponent", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_a_law_that_ends(kind, exponent):
    generator = np.random.default_rng(5)
    x = np.arange(10, 301) if kind == "discrete" else np.geomspace(10.0, 300.0, 200_001)
    weights = x**-exponent * (1.0 if kind == "discrete" else x)
    values = generator.choice(x, 20_000, p=weights / weights.sum())
    fit = fit_tail(values, kind=kind, xmin=10, xmax=300)
    assert abs(fit.exponent - exponent) < 4.0 * fit.error
    assert fit.distance < 1.95 / math.sqrt(fit.tail)  # Kolmogorov: exceeded once in 1000
    assert fit.xmax == 300.0
    unaware = fit_tail(values, kind=kind, xmin=10)
    assert unaware.exponent - exponent > 3.0 * fit.error


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_is_where_the_likelihood_has_fallen_by_half_a_quantile(kind):
    values = mixed(11, 300, kind)
    fit = fit_tail(values, kind=kind, xmin=4)
    tail = values[values >= 4]
    best = reference.log_likelihood(tail, 4.0, fit.exponent, kind)
    assert fit.log_likelihood == pytest.approx(best, rel=1e-10)
    for end in fit.interval:
        fallen = best - reference.log_likelihood(tail, 4.0, end, kind)
        assert fallen == pytest.approx(3.841459 / 2.0, rel=1e-5)


def test_counts_of_rates_need_the_poisson_law():
    generator = np.random.default_rng(2)
    errors = {"poisson": [], "discrete": []}
    for _ in range(20):
        counts = generator.poisson(generator.pareto(1.35, 8000) + 1.0)
        for kind, found in errors.items():
            fit = fit_tail(counts[counts > 0], kind=kind, xmin=6)
            found.append((fit.exponent - 2.35) / fit.error)
    mean = 1.0 / math.sqrt(20.0)
    assert abs(np.mean(errors["poisson"])) < 4.0 * mean
    assert np.mean(errors["discrete"]) > 2.0


def test_bins_of_a_power_law():
    values = pareto(7, 20_000)
    edges = np.append(2.0 ** np.arange(13), np.inf)
    counts = np.histogram(values, edges)[0]
    fit = fit_tail(counts, kind="binned", edges=edges, xmin=1.0)
    exact = fit_tail(values, xmin=1.0)
    assert fit.tail == fit.total == 20_000
    # bins lose a little information, and never more than that
    assert abs(fit.exponent - exact.exponent) < 3.0 * math.sqrt(fit.error**2 - exact.error**2)
    assert exact.error < fit.error < 1.2 * exact.error
    # two bins: the share beyond the edge is 2^-(a - 1)
    two = fit_tail([300, 100], kind="binned", edges=[1.0, 2.0, np.inf])
    assert two.exponent == pytest.approx(3.0, rel=1e-12)
    # nothing beyond a finite last edge is a statement too
    closed = fit_tail(counts[:4], kind="binned", edges=edges[:5], xmin=1.0)
    assert closed.exponent > fit.exponent + 5.0 * fit.error
    # unless the law ends there
    ended = fit_tail(counts[:4], kind="binned", edges=edges[:5], xmin=1.0, xmax=16.0)
    assert abs(ended.exponent - 2.3) < 4.0 * ended.error


EXTREMES = [
    ([1e300, 1e307, 1.5e308], {}),
    ([5e-324, 1e-320, 1.0], {}),
    ([1.0, 1.0 + 1e-15], {}),
    ([1, 1, 10**15], {"kind": "discrete"}),
    ([7] * 1000 + [8], {"kind": "discrete"}),
    ([10**6] * 5 + [10**6 + 1], {"kind": "discrete"}),
    ([1, 9, 9, 10], {"kind": "discrete", "xmax": 10}),
    ([1] * 500 + [2], {"kind": "poisson"}),
    ([1, 10**9], {"kind": "poisson"}),
    ([1, 50, 1000], {"kind": "binned", "edges": [1, 2, 4, 8], "xmax": 8}),
]


@pytest.mark.parametrize(("values", "options"), EXTREMES)
def test_extremes_have_an_exponent_inside_its_interval(values, options):
    fit = fit_tail(values, **options)
    low, high = fit.interval
    assert -math.inf < low < fit.exponent < high < math.inf
    likelihood = Likelihood(
        fit.data,
        fit.kind,
        int(np.searchsorted(fit.data.edges if fit.kind == "binned" else fit.data.values, fit.xmin)),
        fit.xmin,
        fit.xmax,
    )
    best = likelihood(fit.exponent)
    for other in (low, high):
        assert best - likelihood(other) == pytest.approx(3.841459 / 2.0, rel=1e-3)
    assert goodness_of_fit(fit, 3).replicates == 3


def test_candidates_can_be_thinned_or_given():
    values = pareto(3, 5000)
    every = fit_tail(values)
    assert (every.candidates, every.thinned) == (4999, False)
    thin = fit_tail(values, candidates=50)
    assert 40 <= thin.candidates <= 50
    assert thin.thinned
    assert thin.distance >= every.distance
    two = fit_tail(values, candidates=[every.xmin, 2.0])
    assert (two.xmin, two.exponent) == (every.xmin, pytest.approx(every.exponent))
    held = fit_tail(values, xmin=2.0)
    assert (held.candidates, held.thinned, held.xmin) == (1, False, 2.0)


def test_bootstrap_intervals_include_the_choice_of_xmin():
    values = np.concatenate([np.random.default_rng(0).uniform(0.5, 2.0, 300), pareto(4, 400)])
    fit = fit_tail(values, bootstrap=200)
    low, high = fit.bootstrap_intervals["exponent"]
    assert low < fit.exponent < high
    assert high - low > fit.interval[1] - fit.interval[0]
    assert fit_tail(values, bootstrap=200).bootstrap_intervals == fit.bootstrap_intervals
    assert fit_tail(values, bootstrap=200, seed=1).bootstrap_intervals != fit.bootstrap_intervals


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_coverage_of_the_interval(kind):
    start, runs = 5.0, 2000
    shape = whole(3, 500) if kind != "continuous" else pareto(3, 500)
    law = fit_tail(shape, kind=kind, xmin=start)
    generator, inside = np.random.default_rng(0), 0
    for _ in range(runs):
        low, high = fit_tail(draw_tail(law, 60, generator), kind=kind, xmin=start).interval
        inside += low <= law.exponent <= high
    # 0.95 with a standard error of 0.005; the likelihood's own error at n = 60 is of that order
    assert 0.93 < inside / runs < 0.97


# ---- refusals --------------------------------------------------------------------------------

REFUSED = [
    ({"values": [1.0, 0.0]}, "values[1] = 0.0"),
    ({"values": [1.0, math.nan]}, "nan"),
    ({"values": []}, "values must not be empty"),
    ({"values": [2.0, 2.0]}, "two distinct values"),
    ({"values": [1.0, 2.0], "xmin": 2.0}, "two distinct values at or above xmin"),
    ({"values": [1.5, 2.0], "kind": "discrete"}, "values[0] = 1.5"),
    ({"values": [0, 2], "kind": "poisson"}, "of at least 1"),
    ({"values": [1.0, 2.0], "kind": "normal"}, "kind must be one of continuous"),
    ({"values": [1.0, 2.0], "level": 1.0}, "level must be a number in (0, 1)"),
    ({"values": [1.0, 2.0], "xmin": -1.0}, "xmin must be a number"),
    ({"values": [1.0, 2.0, 3.0], "xmin": 1.0, "candidates": 3}, "candidates must not"),
    ({"values": [1.0, 2.0, 3.0], "candidates": 0}, "candidates must be"),
    ({"values": [1.0, 2.0, 3.0], "xmax": 1.5}, "xmax must leave"),
    ({"values": [1, 2, 3], "kind": "poisson", "xmax": 3}, 'not be given for kind="poisson"'),
    ({"values": [1.0, 2.0, 3.0], "edges": [1.0, 2.0]}, 'edges is for kind="binned"'),
    ({"values": [3, 4], "kind": "binned"}, "edges must be given"),
    ({"values": [3, 4], "kind": "binned", "edges": [1.0, 2.0]}, "one more than the 2 bins"),
    ({"values": [3, 4], "kind": "binned", "edges": [1.0, 3.0, 2.0]}, "edges must increase"),
    ({"values": [3, 0], "kind": "binned", "edges": [1.0, 2.0, 3.0]}, "two bins that are not"),
    ({"values": [3, 4], "kind": "binned", "edges": [1, 2, 3], "xmax": 2}, "xmax must be the last"),
    ({"values": [1.0, 2.0], "bootstrap": -1}, "bootstrap must be"),
    ({"values": [1.0, 2.0], "seed": -1}, "seed must be"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "fragment"), REFUSED)
def test_refusals(arguments, fragment):
    with pytest.raises(ValueError, match=r".") as error:
        fit_tail(**arguments)
    assert fragment in str(error.value)
