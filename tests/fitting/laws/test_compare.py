"""The comparison of laws: its columns, its ranking, what it says, what it leaves alone."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.fitting.laws import (
    BrokenPowerLaw,
    PowerLaw,
    TheoryLaw,
    compare_laws,
    fit_law,
    names,
)
from scaling_theory.fitting.laws import __main__ as tables

SIZES = np.geomspace(64, 65536, 12)
CHEAP = ["power law", "power law + floor", "exponential + floor", "critical power law"]


def noisy(seed, noise=0.01, floor=0.1):
    errors = np.random.default_rng(seed).standard_normal(SIZES.size)
    return PowerLaw()(SIZES, 2.0, 0.5, floor) * np.exp(noise * errors)


def test_rows_are_the_fits():
    loss = noisy(0)
    table = compare_laws(SIZES, loss, laws=CHEAP)
    assert list(table["aicc"]) == sorted(table["aicc"])
    assert table["law"][0] == "power law + floor"
    for row in table.to_dict("records"):
        fit = fit_law(SIZES, loss, row["law"])
        assert row["parameters"] == len(fit.law.parameters)
        for name in ("objective", "aic", "aicc", "bic", "status", "message"):
            assert row[name] == getattr(fit, name)
        assert row["floor"] == fit.estimates.get("floor", 0.0)
        if fit.exponent is None:
            assert math.isnan(row["exponent"])
        else:
            found = (row["exponent"], row["exponent_low"], row["exponent_high"])
            assert found == fit.exponent
    # Akaike weights
    relative = np.exp(-0.5 * (table["aicc"] - table["aicc"].min()))
    np.testing.assert_allclose(table["weight"], relative / relative.sum(), rtol=1e-12)
    np.testing.assert_allclose(table["delta"], table["aicc"] - table["aicc"].min(), atol=1e-12)


def test_the_uniform_law_has_the_smaller_exponent():
    loss = TheoryLaw(floor=False)(SIZES, 1.0, 0.4, 1.5)
    row = compare_laws(SIZES, loss, laws=[TheoryLaw(floor=False)]).iloc[0]
    assert row["exponent"] == pytest.approx(0.4, rel=1e-5)


def test_holdout_is_the_error_on_sizes_not_seen():
    loss = noisy(1)
    for drop, kept in ((None, 8), (2, 10)):
        table = compare_laws(SIZES, loss, laws=CHEAP[:2], drop=drop).set_index("law")
        for name in CHEAP[:2]:
            early = fit_law(SIZES[:kept], loss[:kept], name)
            error = np.mean(np.abs(np.log(loss[kept:] / early.predict(SIZES[kept:]))))
            assert table["holdout"][name] == pytest.approx(error, rel=1e-9)
    none = compare_laws(SIZES, loss, laws=CHEAP, drop=0)
    assert none["holdout"].isna().all()
    # repeated sizes are held out together
    twice = compare_laws(np.repeat(SIZES, 2), np.repeat(loss, 2), laws=["power law"], drop=3)
    single = compare_laws(SIZES, loss, laws=["power law"], drop=3)
    assert twice["holdout"][0] == pytest.approx(single["holdout"][0], rel=1e-9)
    assert twice.attrs["dropped"] == 3


@given(seed=st.integers(0, 10_000), first=st.integers(1, 2), huber=st.sampled_from([None, 0.01]))
@settings(max_examples=2, deadline=None)
def test_a_further_law_changes_no_other_row(seed, first, huber):
    loss = noisy(seed)
    some = compare_laws(SIZES, loss, laws=CHEAP[:first], huber=huber).set_index("law")
    more = compare_laws(SIZES, loss, laws=CHEAP[2::-1], huber=huber).set_index("law")
    relative = ["delta", "weight"]
    pd.testing.assert_frame_equal(
        some.drop(columns=relative), more.loc[some.index].drop(columns=relative)
    )


def test_says_whether_a_law_is_distinguished():
    clear = compare_laws(SIZES, noisy(2, noise=0.003), laws=["power law", "power law + floor"])
    assert clear.attrs["indistinguishable"] == ("power law + floor",)
    assert "told apart" in clear.attrs["message"]
    rough = compare_laws(SIZES, noisy(2, noise=1.0), laws=CHEAP)
    assert len(rough.attrs["indistinguishable"]) > 1
    assert "No single law is distinguished" in rough.attrs["message"]
    for name in rough.attrs["indistinguishable"]:
        assert rough.set_index("law")["delta"][name] < 2.0


def test_laws_that_cannot_be_fitted_are_rows_that_say_so():
    n, loss = SIZES[:5] / 100.0, noisy(3)[:5]
    laws = [PowerLaw(), BrokenPowerLaw(), TheoryLaw(floor=False), PowerLaw(floor=False)]
    table = compare_laws(n, loss, laws=laws).set_index("law")
    assert table["status"]["broken power law + floor"] == "too few points"
    assert table["status"]["uniform law"] == "n too small for the law"
    assert table.loc[["broken power law + floor", "uniform law"], "aicc"].isna().all()
    assert table["weight"]["uniform law"] == 0.0
    # 5 points, 3 parameters and a variance: no AICc
    assert table["aicc"]["power law + floor"] == math.inf
    none = compare_laws(n, loss, laws=[PowerLaw()])
    assert "no law can be ranked" in none.attrs["message"]
    assert none["weight"].isna().all()


def test_laws_ruled_out_by_the_number_of_points_are_counted():
    # 6 points: 3 parameters and a variance leave an AICc, 4 parameters none
    n = SIZES[::2]
    loss = PowerLaw(False)(n, 2.0, 0.5) * np.exp(0.003 * np.array([1, -1, 0, -1, 1, 0]))
    pair = ["power law", "exponential + floor"]
    all_allowed = compare_laws(n, loss, laws=pair).attrs["message"]
    assert all_allowed == "The power law is told apart from the others: all are 2 or more off."
    one = compare_laws(n, loss, laws=[*pair, "uniform law + floor"])
    assert one.attrs["indistinguishable"] == ("power law",)
    assert "power law is told apart of the laws that 6 points allow" in one.attrs["message"]
    assert "1 law has too many parameters for AICc with 6 points." in one.attrs["message"]
    more = compare_laws(n, loss, laws=[*pair, "broken power law", "broken power law + floor"])
    assert "2 laws have too many parameters for AICc" in more.attrs["message"]


@pytest.mark.parametrize("progress", [False, True])
def test_progress_is_asked_for(monkeypatch, progress):
    shown = []

    def track(items, what, total, *, enabled):
        shown.append((what, total, enabled))
        return items

    monkeypatch.setattr("scaling_theory.fitting.laws.compare.track", track)
    compare_laws(SIZES, noisy(0), laws=CHEAP[:2], progress=progress)
    assert shown == [("laws", 2, progress)]


def test_the_hold_out_may_disagree():
    # a floor that AICc can't afford with 6 points, but the largest n show it
    n = 512.0 * 2.0 ** np.arange(6)
    loss = np.array([0.50, 0.43, 0.37, 0.33, 0.30, 0.275])
    table = compare_laws(n, loss, laws=["power law", "power law + floor"])
    assert table.attrs["indistinguishable"] == ("power law",)
    errors = table.set_index("law")["holdout"]
    assert errors["power law"] > 2.0 * errors["power law + floor"]
    message = table.attrs["message"]
    assert "told apart" not in message
    assert "hold-out disagrees: the power law + floor foretells the 2 largest n" in message
    assert f"{errors['power law + floor']:.2g}, the power law with" in message
    # nothing held out, nothing to disagree
    assert (
        "told apart"
        in compare_laws(n, loss, laws=["power law", "power law + floor"], drop=0).attrs["message"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"laws": []}, "laws must be a sequence of at least one law"),
        ({"laws": "power law"}, "laws must be a sequence"),
        ({"laws": ["power law", PowerLaw(False)]}, "given once, got 'power law' 2 times"),
        ({"laws": ["line"]}, "laws must be a CurveLaw or one of"),
        ({"drop": 12}, "drop must be less than the number of different n, 12, got 12"),
        ({"drop": -1}, "drop must be a whole number of at least 0"),
        ({"loss": [1.0]}, "loss must have one value for each n, got 1 for 12"),
        ({"weights": [1.0]}, "weights must have one value for each n, got 1 for 12"),
        ({"huber": -1.0}, "huber must be a number greater than 0"),
    ],
)
def test_bad_input_is_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        compare_laws(**({"n": SIZES, "loss": noisy(0), "laws": CHEAP} | change))


@pytest.mark.slow
def test_all_laws_on_published_widths(capsys):
    assert tables.main(["gpt2"]) == 0
    printed = capsys.readouterr().out
    for name in names():
        assert name in printed
    assert "No single law is distinguished: 3 of 11" in printed


def test_tables(capsys):
    assert tables.main(["oneill", "flops"]) == 0
    printed = capsys.readouterr().out
    assert "astro-ph: 20 points" in printed
    assert "7.550e+17" in printed
    assert tables.main(["banana"]) == 2
    assert "banana" in capsys.readouterr().err
