"""Likelihood ratios against other laws: normalisation, published ratios, power, refusals."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from scaling_theory.fitting.frequencies import _alternatives as laws
from scaling_theory.fitting.frequencies import compare_tails, fit_tail

SHARED = Path(__file__).parents[4] / "shared" / "data"

SHAPES = [
    (laws.lognormal, 1.3, 0.05), (laws.lognormal, -2.0, 0.4), (laws.lognormal, 1.5, 1e-6),
    (laws.stretched, 0.8, 0.4), (laws.stretched, 1.2, 1e-4),
    (laws.cutoff, 1.2, 1e-3), (laws.cutoff, -0.4, 0.3), (laws.exponential, 0.4, 0.0),
]  # fmt: skip


def published(name):
    file = SHARED / name
    if not file.is_file():
        pytest.skip(f"{name} is not here")
    return np.loadtxt(file)


def by_law(table):
    return {row["law"]: row for row in table.to_dict("records")}


@pytest.mark.parametrize(("shape", "first", "second"), SHAPES)
def test_densities_integrate_to_one(shape, first, second):
    def density(t):
        data = laws.TailData(np.array([3.0 * math.exp(t)]), np.array([1]), 3.0, False)
        return math.exp(data.log_densities(shape, first, second)[0] + t) * 3.0

    total = sum(quad(density, a, a + 2.5, epsabs=1e-12)[0] for a in np.arange(0.0, 60.0, 2.5))
    assert total == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(("shape", "first", "second"), SHAPES)
def test_probabilities_of_whole_numbers_add_up_to_one(shape, first, second):
    x = np.arange(3.0, 400_003.0)
    data = laws.TailData(x, np.ones(x.size, dtype=np.int64), 3.0, True)
    p = np.exp(data.log_densities(shape, first, second))
    # a power law is left beyond: x / (first + ...) of the last probability at most
    left = p[-1] * x[-1] / max(first, 0.3)
    assert 1.0 - 1.1 * left - 1e-9 < p.sum() < 1.0 + 1e-9


def test_blackouts_as_published():
    # Clauset, Shalizi and Newman (2009), table 6.2 and 6.3: normalised ratios and p-values; their
    # cutoff p-value is that of chi-square, twice the one at the edge of a range
    found = by_law(compare_tails(fit_tail(published("clauset_blackouts.txt"))))
    assert found["lognormal"]["normalised"] == pytest.approx(-0.412, abs=0.01)
    assert found["lognormal"]["p_vuong"] == pytest.approx(0.68, abs=0.005)
    assert found["stretched exponential"]["normalised"] == pytest.approx(-0.417, abs=0.01)
    assert found["power law with cutoff"]["ratio"] == pytest.approx(-0.382, abs=0.0005)
    assert 2.0 * found["power law with cutoff"]["p_nested"] == pytest.approx(0.38, abs=0.005)


def test_words_as_published():
    found = by_law(compare_tails(fit_tail(published("clauset_words.txt"), kind="discrete")))
    assert found["exponential"]["normalised"] == pytest.approx(9.09, abs=0.1)
    assert found["power law with cutoff"]["ratio"] == pytest.approx(-0.899, abs=0.01)
    assert 2.0 * found["power law with cutoff"]["p_nested"] == pytest.approx(0.18, abs=0.005)
    # the best lognormal and stretched exponential are the power law
    for law in ("lognormal", "stretched exponential"):
        assert (found[law]["ratio"], found[law]["p_nested"]) == (0.0, 1.0)
        assert found[law]["verdict"] == "power law"


@pytest.mark.parametrize("discrete", [False, True])
def test_each_law_is_recognised_and_its_parameters_recovered(discrete):
    generator = np.random.default_rng(0)
    size, start = 6000, 10.0
    uniform = generator.random(size)
    drawn = {
        "lognormal": np.exp(generator.normal(3.0, 0.8, 4 * size)),
        "exponential": start + generator.exponential(25.0, size),
        "stretched exponential": (np.sqrt(start / 9.0) - np.log(uniform)) ** 2 * 9.0,
    }
    truth = {
        "lognormal": {"mu": 3.0, "sigma": 0.8},
        "exponential": {"rate": 0.04},
        "stretched exponential": {"beta": 0.5, "rate": 1.0 / 9.0},
    }
    for law, values in drawn.items():
        values = values[values >= start]
        tail = fit_tail(np.floor(values) if discrete else values,
                        kind="discrete" if discrete else "continuous", xmin=start)  # fmt: skip
        found = by_law(compare_tails(tail))
        assert found[law]["verdict"] == law
        assert found[law]["ratio"] < -30.0
        best = max(found.values(), key=lambda row: row["log_likelihood"])
        assert best["log_likelihood"] - found[law]["log_likelihood"] < 5.0
        # whole parts move x by about a half of ten: the parameters by less than that
        for name, value in truth[law].items():
            wanted = pytest.approx(value, rel=0.25 if discrete else 0.15)
            assert found[law]["parameters"][name] == wanted


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_a_cutoff_is_recognised(kind):
    generator = np.random.default_rng(1)
    if kind == "discrete":
        x = np.arange(5.0, 5000.0)
        weights = x**-1.8 * np.exp(-x / 200.0)
        values = generator.choice(x, 20_000, p=weights / weights.sum())
    else:
        values = 5.0 * (generator.pareto(0.8, 25_000) + 1.0)
        values = values[generator.random(values.size) < np.exp(-(values - 5.0) / 200.0)]
    found = by_law(compare_tails(fit_tail(values, kind=kind, xmin=5)))
    row = found["power law with cutoff"]
    assert row["verdict"] == "power law with cutoff"
    assert row["parameters"]["exponent"] == pytest.approx(1.8, abs=0.04)
    assert row["parameters"]["rate"] == pytest.approx(1.0 / 200.0, rel=0.15)


def test_a_power_law_is_left_alone():
    values = np.random.default_rng(4).pareto(1.4, 3000) + 1.0
    found = by_law(compare_tails(fit_tail(values, xmin=1.0)))
    assert {row["verdict"] for row in found.values()} == {"power law"}
    for row in found.values():
        if row["nested"]:
            assert row["ratio"] <= 0.0
            assert row["aic"] == pytest.approx(2.0 * row["ratio"] + 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_nested_p_values_under_the_power_law(kind):
    generator = np.random.default_rng(0)
    small = dict.fromkeys(("lognormal", "stretched exponential", "power law with cutoff"), 0)
    runs = 80 if kind == "discrete" else 150
    for _ in range(runs):
        values = 8.0 * (generator.pareto(1.5, 400) + 1.0)
        if kind == "discrete":
            tail = fit_tail([8, 8, 9, 11, 15, 20, 40], kind="discrete", xmin=8)
            from scaling_theory.fitting.frequencies import draw_tail

            values = draw_tail(tail, 400, generator)
        table = by_law(compare_tails(fit_tail(values, kind=kind, xmin=8)))
        for law in small:
            small[law] += table[law]["p_nested"] < 0.1
    # a tenth is expected, give or take 3.7 of 150 or 2.7 of 80
    assert max(small.values()) <= 0.1 * runs + 13
    assert min(small.values()) >= 1


def test_refusals():
    for tail in (
        fit_tail([5, 6, 9, 30], kind="poisson"),
        fit_tail([30, 10, 5], kind="binned", edges=[1.0, 2.0, 4.0, 8.0]),
    ):
        with pytest.raises(ValueError, match='kind "continuous" or "discrete"'):
            compare_tails(tail)
    with pytest.raises(ValueError, match="no xmax"):
        compare_tails(fit_tail([1.0, 2.0, 3.0, 4.0], xmax=10.0))
    with pytest.raises(ValueError, match="threshold must be"):
        compare_tails(fit_tail([1.0, 2.0, 3.0]), threshold=0.0)
    with pytest.raises(ValueError, match="at least three distinct values"):
        compare_tails(fit_tail([1.0, 2.0]))
