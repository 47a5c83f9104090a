"""Bad input is refused at the door: the argument, the value and what is allowed are named."""

import math

import numpy as np
import pytest

import scaling_theory as sth

M25 = sth.PowerLawFrequencies(0.5)
FEW = sth.PowerLawFrequencies(0.5, count=3)
STEP = sth.DiscreteCurve()
TILE = sth.PowerLawCurve(0.5)
STEPS = sth.Population(M25, STEP)
FEW_STEPS = sth.Population(FEW, STEP)
SOLVED = sth.allocate(FEW_STEPS, 2)


def check_refused(call, *fragments):
    with pytest.raises(ValueError, match=r".") as error:
        call()
    for fragment in fragments:
        assert fragment in str(error.value)


# ---- one number ------------------------------------------------------------------------------

#: name in the message, call, allowed range as stated, values outside it
NUMBERS = [
    ("alpha", sth.PowerLawFrequencies, "(0, 100]", [0.0, -0.5, 101]),
    ("alpha", lambda v: sth.PowerLawFrequencies(v, count=5), "(-1, 100]", [-1, -2.0, 101]),
    ("alpha", lambda v: sth.ZipfMandelbrotFrequencies(v, 1.0), "(0, 100]", [0.0, -0.5]),
    ("offset", lambda v: sth.ZipfMandelbrotFrequencies(0.5, v), "(-1, 1e+12]", [-1, -7.0, 1e13]),
    ("total", lambda v: sth.PowerLawFrequencies(0.5, total=v), "greater than 0", [0, -1.0]),
    ("beta", sth.PowerLawCurve, "(0, 1000]", [0.0, -0.1, 1001]),
    ("scale", lambda v: sth.PowerLawCurve(0.5, scale=v), "greater than 0", [0, -1.0]),
    ("floor", lambda v: sth.PowerLawCurve(0.5, floor=v), "at least 0", [-1e-9]),
    ("shift", lambda v: sth.PowerLawCurve(0.5, shift=v), "[0, 1e+12]", [-1e-9, 1e13]),
    ("residual", sth.DiscreteCurve, "[0, 1)", [-0.1, 1, 1.5]),
    ("rate", sth.ExponentialCurve, "(0, 700]", [0, -1.0, 701]),
    ("scale", lambda v: sth.ExponentialCurve(1.0, scale=v), "greater than 0", [0, -1.0]),
    ("floor", lambda v: sth.ExponentialCurve(1.0, floor=v), "at least 0", [-1.0]),
    ("dimension", sth.PlateauCurve, "1", [0, -2, 0.5, 2e9]),
    ("floor", lambda v: sth.PlateauCurve(2, v), "[0, 1)", [-0.1, 1.0]),
    (
        "exponent",
        lambda v: sth.TabulatedCurve([0, 1], [1.0, 0.5], "power", exponent=v),
        "(0, 1000]",
        [0.0, -1.0, 1001],
    ),
    (
        "floor",
        lambda v: sth.TabulatedCurve([0, 1], [1.0, 0.5], "power", exponent=1.0, floor=v),
        "",
        [-0.1, 0.5, 0.7],
    ),
    ("magnitude", lambda v: sth.Group("a", STEP, None, v), "greater than 0", [0, -1.0]),
    ("magnitude", lambda v: sth.Population(M25, STEP, magnitude=v), "greater than 0", [0, -1.0]),
    (
        "share",
        lambda v: sth.Population.mixture(M25, {"a": (v, STEP), "b": (0.5, TILE)}),
        "(0, 1]",
        [0.0, -0.5, 1.5],
    ),
    ("loss", lambda v: sth.latents_for(STEPS, loss=v), "at least 0", [-0.1]),
    ("excess_loss", lambda v: sth.latents_for(STEPS, excess_loss=v), "at least 0", [-0.1]),
    ("low", lambda v: sth.logspace(v, 100), "[1, 1e+15]", [0.5, -1, 2e15]),
    ("high", lambda v: sth.logspace(10, v), "[10, 1e+15]", [9, 2e15]),
]
WHOLES = [
    ("count", lambda v: sth.PowerLawFrequencies(0.5, count=v), "[1, 10", [0, -3, 2.5, 1e16]),
    ("latents", lambda v: sth.allocate(STEPS, v), "[0, 10", [-1, 0.5, 1.1e15, 10**30]),
    ("latents", lambda v: sth.allocate_continuous(STEPS, v), "[0, 10", [-1, 0.5, 1.1e15]),
    ("discovered", lambda v: sth.latents_for(STEPS, discovered=v), "[0, 10", [-1, 0.5]),
    ("discovered", lambda v: sth.latents_for(FEW_STEPS, discovered=v), "[0, 3]", [-1, 0.5, 4]),
    ("ranks", lambda v: sth.Population(M25, STEP, {v: TILE}), "[1, 10", [0, -1, 1.5]),
    ("ranks", lambda v: sth.Population(FEW, STEP, {v: TILE}), "[1, 3]", [0, 4]),
    ("head", lambda v: mixture(head=v), "[0, 10000000]", [-1, 0.5, 10**8]),
    ("seed", lambda v: mixture(seed=v), "at least 0", [-1, 0.5]),
    ("points", lambda v: sth.logspace(10, 100, v), "[1, 1000000]", [0, 1.5, 10**7]),
]


def mixture(**options):
    return sth.Population.mixture(M25, {"a": (0.5, STEP), "b": (0.5, TILE)}, **options)


NEVER = [math.nan, math.inf, -math.inf, True, "x", "1", b"1", 1j]
#: None means "not given" to these.
OPTIONAL = {"count", "loss", "excess_loss", "discovered", "points", "exponent"}


def bad_values(name, outside):
    return [*outside, *NEVER] + ([] if name in OPTIONAL else [None])


@pytest.mark.parametrize(
    ("name", "call", "allowed", "value"),
    [
        pytest.param(name, call, allowed, value, id=f"{name}-{value}")
        for name, call, allowed, outside in NUMBERS + WHOLES
        for value in bad_values(name, outside)
    ],
)
def test_numbers(name, call, allowed, value):
    check_refused(lambda: call(value), name, repr(value), allowed)


@pytest.mark.parametrize("value", [10**400, np.complex128(1.0), np.array(True), object()])
def test_objects_that_are_no_real_numbers(value):
    check_refused(lambda: sth.PowerLawFrequencies(value), "alpha")
    check_refused(lambda: sth.allocate(STEPS, value), "latents")


@pytest.mark.parametrize(
    "call",
    [lambda v: sth.allocate(STEPS, v), lambda v: sth.PowerLawFrequencies(0.5, count=v)],
)
def test_a_list_is_not_a_number(call):
    check_refused(lambda: call([1]), "must be a whole number", "[1]")


# ---- many numbers ----------------------------------------------------------------------------

ARRAYS = [
    ("values", sth.EmpiricalFrequencies, [0.0, -0.1]),
    ("beta", sth.PowerLawCurve, [0.0, -0.1]),
    ("scale", lambda v: sth.PowerLawCurve(0.5, scale=v), [0.0]),
    ("residual", sth.DiscreteCurve, [1.0, -0.1]),
    ("rate", sth.ExponentialCurve, [0.0]),
    ("dimension", sth.PlateauCurve, [0.0]),
    ("magnitude", lambda v: sth.Group("a", STEP, [1, 2], v), [0.0]),
    ("loss", lambda v: sth.TabulatedCurve([0, 1], v), [-0.1]),
    ("gain", STEP.latents_for_gain, [0.0, -1.0]),
]
COUNTS = [
    ("n", lambda v: sth.TabulatedCurve(v, [1.0, 0.5]), [-1, 0.5, 2**22 + 1]),
    ("n", STEP.loss, [-1, 0.5, 1e16]),
    ("n", STEP.gain, [0, -1, 0.5]),
    ("n", STEP.envelope_loss, [-1, 0.5]),
    ("ranks", M25.at, [0, -1, 1.5]),
    ("ranks", FEW.at, [0, 4]),
    ("ranks", FEW.mass_after, [-1, 4, 0.5]),
    ("ranks", SOLVED.latents_at, [0, 4, 1.5]),
    ("ranks", FEW_STEPS.group_of, [0, 4]),
    ("ranks", lambda v: sth.Group("a", STEP, v), [0, -1, 1.5]),
    ("latents", lambda v: sth.scaling_curve(STEPS, v), [0, -1, 1.5, 2e15]),
    ("latents", sth.predict(alpha=0.5, beta=0.1).loss, [0.0, -1.0]),
]


@pytest.mark.parametrize(
    ("name", "call", "value"),
    [
        pytest.param(name, call, value, id=f"{name}-{value}")
        for name, call, outside in ARRAYS + COUNTS
        for value in [*outside, math.nan, math.inf]
    ],
)
def test_one_bad_number_among_many_is_pointed_at(name, call, value):
    good = 0.9 if name == "residual" else 1.0
    check_refused(lambda: call([good, value]), name, "[1] = ", str(value))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        pytest.param(name, call, id=f"{name}-{k}")
        for k, (name, call, _) in enumerate(ARRAYS + COUNTS)
        if name != "gain"
    ],
)
def test_empty_text_and_flags_are_no_numbers(name, call):
    check_refused(lambda: call([]), name, "empty")
    check_refused(lambda: call(["1", "2"]), name, "'1'")
    check_refused(lambda: call([True, True]), name, "True")
    check_refused(lambda: call([1.0, None]), name, "None")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("values", sth.EmpiricalFrequencies),
        ("beta", sth.PowerLawCurve),
        ("loss", lambda v: sth.TabulatedCurve([0, 1], v)),
    ],
)
def test_tables_are_no_lists(name, call):
    check_refused(lambda: call(np.ones((2, 2))), name, "one-dimensional", "(2, 2)")


# ---- what belongs together -------------------------------------------------------------------

A, B = np.array([0.1, 0.2]), np.array([0.1, 0.2, 0.3])

TOGETHER = {
    "losses rise": (
        lambda: sth.TabulatedCurve([0, 1, 2, 4], [1.0, 0.5, 0.75, 0.1]),
        ["loss must never increase", "loss[2] = 0.75", "loss[1] = 0.5"],
    ),
    "widths out of order": (
        lambda: sth.TabulatedCurve([0, 4, 2], [1.0, 0.5, 0.4]),
        ["n must be strictly increasing", "n[2] = 2", "after 4"],
    ),
    "a width twice": (
        lambda: sth.TabulatedCurve([0, 2, 2], [1.0, 0.5, 0.4]),
        ["n must be strictly increasing", "n[2] = 2"],
    ),
    "no loss without latents": (
        lambda: sth.TabulatedCurve([1, 2], [1.0, 0.5]),
        ["n must begin at 0", "n[0] = 1"],
    ),
    "losses and widths": (
        lambda: sth.TabulatedCurve([0, 1, 2], [1.0, 0.5]),
        ["one value per n", "2 losses", "3 values"],
    ),
    "beyond": (
        lambda: sth.TabulatedCurve([0, 1], [1.0, 0.5], beyond="up"),
        ["beyond must be 'flat' or 'power'", "'up'"],
    ),
    "no exponent": (
        lambda: sth.TabulatedCurve([0, 1], [1.0, 0.5], beyond="power"),
        ["exponent must be given", "None"],
    ),
    "exponent of nothing": (
        lambda: sth.TabulatedCurve([0, 1], [1.0, 0.5], exponent=1.0),
        ["only meaningful with beyond='power'", "exponent=1.0"],
    ),
    "law beyond no latents": (
        lambda: sth.TabulatedCurve([0], [1.0], "power", exponent=1.0),
        ["past n = 0"],
    ),
    "L(0) below L(1)": (
        lambda: sth.PowerLawCurve(0.5, scale=2.0, floor=0.1, shift=0.0, at_zero=2.0),
        ["at_zero must be at least L(1)", "2.0"],
    ),
    "L(0) twice": (
        lambda: sth.PowerLawCurve(0.5, at_zero=2.0),
        ["at_zero is only meaningful with shift=0", "at_zero=2.0", "shift=1.0"],
    ),
    "parameters of different lengths": (
        lambda: sth.PowerLawCurve(A, scale=B),
        ["one common length", "beta has 2", "scale has 3"],
    ),
    "more parameters than features": (
        lambda: sth.Population(FEW, sth.DiscreteCurve(A)),
        ["curve parameters of group 'default'", "3 values", "got 2"],
    ),
    "parameters without end": (
        lambda: sth.Population(M25, sth.DiscreteCurve(A)),
        ["curve parameters of group 'default'", "infinite", "2 values"],
    ),
    "magnitudes without end": (
        lambda: sth.Population(M25, STEP, magnitude=A),
        ["magnitude of group 'default'", "infinite", "2 values"],
    ),
    "more magnitudes than features": (
        lambda: sth.Population(FEW, STEP, magnitude=A),
        ["magnitude of group 'default'", "3 values", "got 2"],
    ),
    "more parameters than ranks": (
        lambda: sth.Group("a", sth.DiscreteCurve(B), [1, 2]),
        ["curve parameters of group 'a'", "2 values", "got 3"],
    ),
    "a rank twice in a group": (
        lambda: sth.Group("a", STEP, [3, 1, 3]),
        ["ranks of group 'a' must be distinct", "3 twice"],
    ),
    "a rank in two groups": (
        lambda: sth.Population.from_groups(
            M25, [sth.Group("a", STEP, [1, 2]), sth.Group("b", TILE, [2, 3]), sth.Group("c", STEP)]
        ),
        ["one group each", "2"],
    ),
    "a rank that does not exist": (
        lambda: sth.Population.from_groups(FEW, [sth.Group("a", STEP, [4]), sth.Group("b", STEP)]),
        ["ranks must be at most the 3", "4"],
    ),
    "two groups for the rest": (
        lambda: sth.Population.from_groups(M25, [sth.Group("a", STEP), sth.Group("b", TILE)]),
        ["ranks=None to at most one group", "'a', 'b'"],
    ),
    "ranks without a group": (
        lambda: sth.Population.from_groups(FEW, [sth.Group("a", STEP, [1, 2])]),
        ["every rank", "all 3 ranks", "got 2"],
    ),
    "groups of something else": (
        lambda: sth.Population.from_groups(M25, ["x"]),
        ["groups", "Group", "'x'"],
    ),
    "a key with no ranks": (lambda: sth.Population(M25, STEP, {(): TILE}), ["ranks"]),
    "no groups": (lambda: sth.Population.from_groups(M25, []), ["groups must not be empty"]),
    "a label twice": (
        lambda: sth.Population.from_groups(M25, [sth.Group("a", STEP, [1]), sth.Group("a", TILE)]),
        ["labels must be distinct", "'a' twice"],
    ),
    "no label": (lambda: sth.Group("", STEP), ["label must be a non-empty string", "''"]),
    "no curve": (lambda: sth.Group("a", 0.5), ["curve of group 'a'", "LossCurve", "0.5"]),
    "no default": (lambda: sth.Population(M25, None), ["curve", "LossCurve", "None"]),
    "no exception": (lambda: sth.Population(M25, STEP, {1: 3}), ["curve", "LossCurve", "3"]),
    "no frequencies": (
        lambda: sth.Population([0.5, 0.5], STEP),
        ["frequencies must be a Frequencies object", "[0.5, 0.5]"],
    ),
    "ranks as a list": (
        lambda: sth.Population(M25, STEP, [1, 2]),
        ["ranks must map ranks to curves", "[1, 2]"],
    ),
    "no mixture": (
        lambda: sth.Population.mixture(M25, {}),
        ["groups must map labels to (share, curve)", "{}"],
    ),
    "shares alone": (
        lambda: sth.Population.mixture(M25, {"a": 1.0}),
        ["(share, curve)", "1.0", "'a'"],
    ),
    "shares of less than all": (
        lambda: sth.Population.mixture(M25, {"a": (0.5, STEP), "b": (0.25, TILE)}),
        ["shares must sum to 1", "0.75"],
    ),
    "shares with no common denominator": (
        lambda: sth.Population.mixture(
            M25, {"a": (1 / 101, STEP), "b": (1 / 103, TILE), "c": (1 - 1 / 101 - 1 / 103, STEP)}
        ),
        ["1000"],
    ),
    "irrational shares": (
        lambda: sth.Population.mixture(M25, {"a": (0.5**0.5, STEP), "b": (1 - 0.5**0.5, TILE)}),
        ["share of group 'a'", "multiple of 1/Q", "1000", "0.707"],
    ),
    "per-feature curves in a mixture": (
        lambda: sth.Population.mixture(FEW, {"a": (1.0, sth.DiscreteCurve(B))}),
        ["shared by its features", "'a'"],
    ),
    "no population to allocate to": (
        lambda: sth.allocate("x", 5),
        ["population must be a Population", "'x'"],
    ),
    "none for real numbers": (
        lambda: sth.allocate_continuous(M25, 5),
        ["population must be a Population", "PowerLawFrequencies"],
    ),
    "none for a table": (
        lambda: sth.scaling_curve(None, [5]),
        ["population must be a Population", "None"],
    ),
    "a range upside down": (lambda: sth.logspace(100, 10), ["high", "[100, 1e+15]", "10"]),
    "frequencies that vanish": (
        lambda: sth.EmpiricalFrequencies([1.0, 1e-300], total=1e-100),
        ["total must leave every frequency greater than 0", "1e-100"],
    ),
    "a curve that begins at infinity": (
        lambda: sth.PowerLawCurve(1000.0, shift=0.001),
        ["L(0)", "finite", "shift=0.001", "beta=1000"],
    ),
    "frequencies out of range": (
        lambda: sth.ZipfMandelbrotFrequencies(100.0, -0.999999),
        ["alpha", "floating-point range", "100.0", "-0.999999"],
    ),
    "counts for other features": (
        lambda: sth.DiscreteCurve(A).loss([1, 2, 3]),
        ["n ", "2", "3"],
    ),
    "fractional dimension": (lambda: sth.PlateauCurve(2.5), ["dimension", "whole number", "2.5"]),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_what_does_not_fit_together(name):
    call, fragments = TOGETHER[name]
    check_refused(call, *fragments)


def test_references_need_finitely_many_features():
    from scaling_theory.allocation.reference import dynamic_programme, greedy

    for solve in (greedy, dynamic_programme):
        check_refused(lambda solve=solve: solve(STEPS, 3), "features must be given", "None")
        check_refused(lambda solve=solve: solve(FEW_STEPS, 3, 4), "features", "[1, 3]", "4")
        check_refused(lambda solve=solve: solve(FEW_STEPS, -1), "latents", "-1")
