"""The strategies keep their word, and the checks notice what is wrong."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import find, given, settings

import scaling_theory as sth
from scaling_theory import testing
from scaling_theory.curves.base import ConvexCurve
from scaling_theory.testing import (
    any_curves,
    budgets,
    check_allocation,
    check_curve,
    convex_curves,
    enough_features,
    frequencies,
    lists_of_frequencies,
    mixtures,
    populations,
    power_laws,
    stepped_curves,
)

few = settings(deadline=None, max_examples=40)


@dataclass(frozen=True, eq=False, repr=False)
class Hyperbola(ConvexCurve):
    """L(n) = 1 / (1 + n), as somebody would add it."""

    size_of_first: Any = 1.0

    @property
    def limit(self):
        return 0.0

    @property
    def tail_exponent(self):
        return 1.0

    @property
    def power_tail(self):
        return (self.size_of_first, 1.0, 1.0)

    def excess(self, n):
        return self.size_of_first / (1.0 + n)

    def envelope_gain(self, n):
        return self.size_of_first / (n * (1.0 + n))

    def _invert(self, gain):
        root = np.sqrt(0.25 + self.size_of_first / gain)
        return root - 0.5, 1e-14 * root


# ---- checks of curves --------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(any_curves())
def test_curves_of_the_package_keep_their_word(curve):
    check_curve(curve)


@settings(deadline=None, max_examples=25)
@given(any_curves(4))
def test_curves_with_array_parameters_too(curve):
    check_curve(curve, 1e6)


def test_a_curve_of_ones_own():
    check_curve(Hyperbola())
    check_curve(Hyperbola(0.3), most=100)
    population = sth.Population(sth.PowerLawFrequencies(0.5), Hyperbola())
    check_allocation(population, sth.allocate(population, 500))


def spoiled(**methods):
    """Return a Hyperbola with other methods."""
    return type("Spoiled", (Hyperbola,), methods)()


def excess(self, n):
    return 1.0 / (1.0 + n)


#: What is done wrong -> (the curve, what the check says).
WRONG = {
    "rises": (
        spoiled(excess=lambda self, n: excess(self, n) + 0.1 * (n == 7.0)),
        "the loss must never rise",
    ),
    "negative": (
        spoiled(excess=lambda self, n: excess(self, n) - 1e-3),
        "excess must be at least 0",
    ),
    "limit": (spoiled(limit=property(lambda self: np.inf)), "limit must be finite"),
    "nan": (
        spoiled(excess=lambda self, n: np.where(n == 3.0, np.nan, excess(self, n))),
        "excess must not be nan",
    ),
    "gain of the next": (
        spoiled(envelope_gain=lambda self, n: 1.0 / ((1.0 + n) * (2.0 + n))),
        r"gain\(n\) must be L\(n-1\) - L\(n\)",
    ),
    "gain with cancellation": (
        spoiled(envelope_gain=lambda self, n: excess(self, n - 1.0) - excess(self, n)),
        "envelope_gain",
    ),
    "inverse off by one": (
        spoiled(_invert=lambda self, gain: (0.5 + np.sqrt(0.25 + 1.0 / gain), 0.0 * gain)),
        "the last latent counted must be worth the price",
    ),
    "inverse too short": (
        spoiled(_invert=lambda self, gain: (np.sqrt(0.25 + 1.0 / gain) - 1.5, 0.0 * gain)),
        "the next latent must not be worth the price",
    ),
    "inverse that is too sure": (
        spoiled(
            _invert=lambda self, gain: ((np.sqrt(0.25 + 1.0 / gain) - 0.5) * (1 + 1e-9), 0 * gain)
        ),
        "must be worth the price",
    ),
    "tail exponent": (spoiled(tail_exponent=property(lambda self: 2.0)), "must agree"),
    "no power tail": (spoiled(power_tail=property(lambda self: None)), "power_tail must be stated"),
    "shift of the tail": (
        spoiled(power_tail=property(lambda self: (1.0, 1.0, 0.0))),
        "excess must be scale",
    ),
    "infinite tail exponent": (
        spoiled(
            tail_exponent=property(lambda self: np.inf), power_tail=property(lambda self: None)
        ),
        "faster than any power",
    ),
    "shape": (spoiled(excess=lambda self, n: 0.5), "must return float64"),
    "whole numbers": (
        spoiled(envelope_gain=lambda self, n: np.ones(n.shape, dtype=np.int64)),
        "must return float64|must be L",
    ),
    "changes its argument": (
        spoiled(excess=lambda self, n: np.divide(1.0, np.add(n, 1.0, out=n), out=n)),
        "must not change its argument",
    ),
    "no field": (spoiled(per_feature=("scale",)), "per_feature names 'scale'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_noticed(name):
    curve, said = WRONG[name]
    with pytest.raises(AssertionError, match=said):
        check_curve(curve)


@dataclass(frozen=True, eq=False, repr=False)
class Bridged(sth.curves.LossCurve):
    """A table with an envelope and pieces of the envelope as stated, 0 after its end."""

    losses: Any
    envelope: Any
    piece: float

    limit: ClassVar[float] = 0.0
    tail_exponent: ClassVar[float] = np.inf
    convex: ClassVar[bool] = False

    @property
    def end(self):
        return len(self.losses) - 1.0

    def excess(self, n):
        return np.interp(n, np.arange(self.end + 1.0), self.losses)

    def envelope_excess(self, n):
        return np.interp(n, np.arange(self.end + 1.0), self.envelope)

    def envelope_gain(self, n):
        return np.where(n <= self.end, self.envelope[0] - self.envelope[1], 0.0)

    def segment(self, n):
        before = np.floor((n - 1.0) / self.piece) * self.piece
        inside = n <= self.end
        return np.where(inside, before, n - 1.0), np.where(inside, before + self.piece, n)

    def _invert(self, gain):
        return np.where(gain <= 0.3, self.end, 0.0), np.ones_like(gain)


def test_envelopes_are_checked():
    step, line = (1.0, 1.0, 0.8, 0.8, 0.0), (1.0, 0.75, 0.5, 0.25, 0.0)
    check_curve(Bridged(step, line, 4.0))
    with pytest.raises(AssertionError, match="must not lie above the curve"):
        check_curve(Bridged(step, (1.0, 1.1, 0.5, 0.25, 0.0), 4.0))
    with pytest.raises(AssertionError, match="envelope's fall"):
        check_curve(Bridged(step, (1.0, 0.7, 0.5, 0.2, 0.0), 4.0))
    with pytest.raises(AssertionError, match="touch the curve at the ends"):
        check_curve(Bridged(step, line, 2.0))


def test_smooth_curves_are_checked():
    @dataclass(frozen=True, eq=False, repr=False)
    class Smooth(Hyperbola):
        smooth: ClassVar[bool] = True
        factor: float = 1.0

        def continuous_latents(self, slope):
            return np.maximum(self.factor * np.sqrt(1.0 / slope) - 1.0, 0.0)

        def continuous_excess(self, n):
            return 1.0 / (1.0 + n)

    check_curve(Smooth())
    with pytest.raises(AssertionError, match="must minimise"):
        check_curve(Smooth(factor=1.1))


def test_curves_must_be_frozen_and_curves():
    @dataclass(eq=False, repr=False)
    class Thawed(ConvexCurve):
        limit: ClassVar[float] = 0.0
        tail_exponent: ClassVar[float] = 1.0
        excess = Hyperbola.excess
        envelope_gain = Hyperbola.envelope_gain
        _invert = Hyperbola._invert

    with pytest.raises(AssertionError, match="frozen dataclass"):
        check_curve(Thawed())
    with pytest.raises(ValueError, match="curve must be a LossCurve, got 3"):
        check_curve(3)
    with pytest.raises(ValueError, match="most"):
        check_curve(Hyperbola(), 1)


# ---- checks of allocations -----------------------------------------------------------------------

TILES = sth.Population(
    sth.PowerLawFrequencies(0.5), sth.DiscreteCurve(), {(1, 3): sth.PowerLawCurve(0.3, floor=0.1)}
)


@few
@given(populations(any_curves), budgets(most=10**12))
def test_allocations_of_any_size(population, latents):
    check_allocation(population, sth.allocate(population, latents))


def test_an_exception_far_out():
    population = sth.Population(
        sth.PowerLawFrequencies(0.5), sth.DiscreteCurve(), {10**12: sth.PowerLawCurve(0.1)}
    )
    assert enough_features(population, 5) == 10**12
    check_allocation(population, sth.allocate(population, 50))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"total": 41}, "total <= latents"),
        ({"total": 39, "latents": 39}, "latents add up over groups"),
        ({"discovered": 30}, "discovered add up over groups"),
        ({"discovered": 50}, "discovered <= total"),
        ({"excess_loss": 0.3}, "excess_loss adds up over groups"),
        ({"loss": 0.0}, "loss >= excess_loss"),
        ({"loss": 3.0}, "loss is the excess and the floor"),
        ({"price": -1.0}, "at least 0"),
        ({"price": 1e-9}, "a latent left out gains the price at most"),
        ({"price": 1.0}, "a latent taken gains the price"),
        ({"gap": 0.1}, "'within gap' just if"),
        ({"status": "within gap"}, "'within gap' just if"),
        ({"latents": 50}, "idle only where nothing gains"),
        ({"largest_left": 1.0}, "no gain left out"),
    ],
)
def test_statements_are_checked(changes, said):
    at = sth.allocate(TILES, 40)
    check_allocation(TILES, at)
    with pytest.raises(AssertionError, match=said):
        check_allocation(TILES, dataclasses.replace(at, **changes))


def test_a_worse_allocation_is_noticed():
    at = sth.allocate(TILES, 40)
    # a latent moved from rank 1 to rank 3, with its accounts in order
    ranks = np.array([1, 3])
    n = at.latents_at(ranks)
    curve = TILES.groups[0].curve
    weights = TILES.frequencies.at(ranks)
    more = weights[0] * curve.gain(n[0])[0] - weights[1] * curve.gain(n[1] + 1)[0]
    assert more > 0.0
    groups = list(at._groups)
    groups[0] = (groups[0][0], groups[0][1], groups[0][2] + more)
    worse = dataclasses.replace(
        at,
        loss=at.loss + more,
        excess_loss=at.excess_loss + more,
        _changed={1: int(n[0]) - 1, 3: int(n[1]) + 1},
        _groups=tuple(groups),
    )
    for effort, said in ((10**6, "heap greedy"), (0, "latent taken gains")):
        with pytest.raises(AssertionError, match=said):
            check_allocation(TILES, worse, effort=effort)
    # accounts out of order
    with pytest.raises(AssertionError, match="that of the latents"):
        check_allocation(TILES, dataclasses.replace(at, _changed=worse._changed))
    with pytest.raises(AssertionError, match="add up over ranks"):
        check_allocation(TILES, dataclasses.replace(at, _changed={1: 0}))


def test_a_gap_that_is_too_small_is_noticed():
    # two features that need three latents each, and four to spend
    curve = sth.TabulatedCurve([0, 2, 3], [1.0, 1.0, 0.0])
    population = sth.Population(sth.EmpiricalFrequencies([0.5, 0.5]), curve)
    at = sth.allocate(population, 4)
    assert at.gap > 0.0
    check_allocation(population, at)
    # all on the first feature's first steps: nothing is gained
    worse = dataclasses.replace(
        at, loss=1.0, excess_loss=1.0, gap=0.1, _changed={1: 2, 2: 2}, discovered=2,
        _groups=((4, 2, 1.0),),
    )  # fmt: skip
    with pytest.raises(AssertionError, match="dynamic programme"):
        check_allocation(population, worse)


def test_other_things_are_refused():
    with pytest.raises(ValueError, match="population must be a Population"):
        check_allocation(3, sth.allocate(TILES, 3))
    with pytest.raises(ValueError, match="allocation must be an Allocation"):
        check_allocation(TILES, 3)


# ---- strategies ----------------------------------------------------------------------------------


@few
@given(populations(stepped_curves, infinite=True, max_period=5))
def test_bounds_of_populations(population):
    assert population.count is None
    assert max(b.ranks.period for b in population.blocks if hasattr(b.ranks, "period")) <= 5


@few
@given(mixtures(), budgets(least=3, most=7), budgets(least=100, most=10**6))
def test_mixtures_and_budgets(population, few_latents, many_latents):
    assert 2 <= len(population.labels) <= 3
    assert 3 <= few_latents <= 7
    assert 100 <= many_latents <= 10**6


def test_what_the_simplest_cases_are():
    steady = settings(derandomize=True, database=None)

    def simplest(strategy, condition=lambda value: True):
        return find(strategy, condition, settings=steady)

    assert simplest(budgets()) == 0
    assert simplest(budgets(5, 10**9), lambda n: n > 60) == 100
    assert simplest(power_laws(infinite=True)) == sth.PowerLawFrequencies(0.25)
    assert isinstance(simplest(convex_curves()), sth.DiscreteCurve)


@few
@given(frequencies(infinite=False), lists_of_frequencies(3), lists_of_frequencies(most=2))
def test_bounds_of_frequencies(law, three, short):
    assert 1 <= law.count <= 40
    assert three.count == 3
    assert short.count <= 2


def test_budgets_are_refused_that_cannot_be():
    for least, most in ((5, 4), (-1, 3), (0, 1e16)):
        with pytest.raises(ValueError, match=r"least|most"):
            budgets(least, most)


# ---- the module ----------------------------------------------------------------------------------


def test_every_public_name_is_documented():
    assert sorted(testing.__all__) == testing.__all__
    for name in testing.__all__:
        assert len(getattr(testing, name).__doc__) > 60
        assert f":func:`{name}`" in testing.__doc__


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_hypothesis_the_error_says_what_to_install():
    done = run("import sys; sys.modules['hypothesis'] = None; import scaling_theory.testing")
    assert done.returncode == 1
    said = "ImportError: scaling_theory.testing needs hypothesis: pip install"
    assert f"{said} scaling-theory[testing]" in done.stderr


def test_the_package_does_not_load_hypothesis():
    done = run("import sys, scaling_theory; print('hypothesis' in sys.modules)")
    assert done.stdout.strip() == "False"


def test_checks_hold_under_dash_o():
    code = (
        "import scaling_theory as sth, dataclasses, scaling_theory.testing as t\n"
        "p = sth.Population(sth.PowerLawFrequencies(0.5), sth.DiscreteCurve())\n"
        "t.check_allocation(p, dataclasses.replace(sth.allocate(p, 5), discovered=4))"
    )
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert "AssertionError: discovered add up over groups" in done.stderr


def test_gains_at_the_end_of_the_floats_are_none():
    """Found by the test above: subnormal products counted 1490 latents by rank, 1487 by price."""
    population = sth.Population(
        sth.PowerLawFrequencies(0.25, count=2), default=sth.ExponentialCurve(rate=1.0)
    )
    check_allocation(population, sth.allocate(population, 10_000))
