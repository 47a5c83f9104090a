"""Tables over budgets: columns, slopes, and the budgets themselves."""

import math

import numpy as np
import pytest

import scaling_theory as sth

COLUMNS = [
    "latents",
    "loss",
    "excess_loss",
    "discovered",
    "efficiency",
    "price",
    "loss_slope",
    "discovery_slope",
    "gap",
    "status",
]
M25 = sth.PowerLawFrequencies(0.5)
CASES = {
    "discrete": sth.DiscreteCurve(0.1),
    "pathological": sth.PowerLawCurve(0.1),
    "critical": sth.PowerLawCurve(0.5),
    "benign": sth.PowerLawCurve(2.0, floor=0.1),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_allocations(name):
    population = sth.Population(M25, CASES[name])
    table = sth.scaling_curve(population, sth.logspace(1, 1e6, 13))
    assert table.columns.tolist() == COLUMNS
    assert table["latents"].tolist() == sth.logspace(1, 1e6, 13).tolist()
    for row in table.itertuples():
        at = sth.allocate(population, row.latents)
        for column in (*COLUMNS[:6], "gap", "status"):
            assert getattr(row, column) == getattr(at, column)
    assert np.isfinite(table.iloc[1:].drop(columns="status").to_numpy(dtype=float)).all()


@pytest.mark.parametrize("name", CASES)
def test_loss_slope_is_the_slope(name):
    population = sth.Population(M25, CASES[name])
    for latents in (10**4, 10**8):
        step = latents // 1000
        row = sth.scaling_curve(population, [latents - step, latents, latents + step])
        ends = np.log(row["excess_loss"].to_numpy())
        difference = (ends[2] - ends[0]) / math.log((latents + step) / (latents - step))
        # the slope itself changes by less than 1 over a factor e in N, and so by 1e-6 in the
        # second order; the price is that of the last latent: one in N
        assert row["loss_slope"][1] == pytest.approx(difference, abs=1e-6 + 2.0 / latents)


@pytest.mark.parametrize("name", CASES)
def test_discovery_slope_is_the_slope(name):
    population = sth.Population(M25, CASES[name])
    row = sth.scaling_curve(population, [10**8]).iloc[0]
    ends = [sth.allocate(population, n) for n in (9e7, 1.1e8)]
    slope = math.log(ends[1].discovered / ends[0].discovered) / math.log(1.1 / 0.9)
    # both are chords over some ten percent of N of a slope that drifts with ln N; one feature in
    # a million is 1e-6 of a chord of 0.1
    assert row["discovery_slope"] == pytest.approx(slope, abs=2e-4)


@pytest.mark.parametrize(("name", "beta"), [("pathological", 0.1), ("benign", 2.0)])
def test_discovery_slope_comes_to_the_predicted_exponent(name, beta):
    said = sth.predict(curve=CASES[name], alpha=0.5)
    table = sth.scaling_curve(sth.Population(M25, CASES[name]), [1e6, 1e9, 1e12])
    error = np.abs(table["discovery_slope"].to_numpy() - said.discovery_exponent)
    # the next order is N^-|1 - 1/gamma| or N^-(1 - gamma), times a constant
    order = -abs(1.0 - 1.0 / said.gamma) if name == "pathological" else said.gamma - 1.0
    shrink = 1000.0**order
    assert error[1] / error[0] == pytest.approx(shrink, rel=0.25)
    assert error[2] / error[1] == pytest.approx(shrink, rel=0.25)
    assert error[2] < 0.03


def test_discovery_slope_is_taken_ten_percent_of_the_price_to_both_sides():
    # Gains of the tile are 1/2, 1/6, 1/12, 1/20, 1/30: with five latents the price is 1/20, and
    # between 0.0553 and 0.0452 the total goes from 3 to 5 and D from 1 to 2.
    law = sth.EmpiricalFrequencies([1.0, 0.051, 0.04, 0.03])
    population = sth.Population(law, sth.DiscreteCurve(), {1: sth.PowerLawCurve(1.0)})
    row = sth.scaling_curve(population, 5).iloc[0]
    assert row["price"] == pytest.approx(1 / 20, rel=1e-15)
    assert row["discovered"] == 2
    assert row["discovery_slope"] == pytest.approx(math.log(2.0) / math.log(5 / 3), rel=1e-15)


def test_a_budget_may_be_one_number():
    table = sth.scaling_curve(sth.Population(M25, CASES["discrete"]), 1e3)
    assert table["latents"].tolist() == [1000]
    assert table["discovered"].tolist() == [1000]
    assert table["loss_slope"][0] == pytest.approx(-0.5, abs=1e-3)


def test_saturated_rows():
    population = sth.Population(sth.PowerLawFrequencies(0.5, count=3), sth.DiscreteCurve(0.1))
    table = sth.scaling_curve(population, [2, 3, 4, 10**15])
    assert table["discovered"].tolist() == [2, 3, 3, 3]
    assert table["excess_loss"].tolist()[1:] == [0.0, 0.0, 0.0]
    assert table["price"].tolist()[2:] == [0.0, 0.0]
    assert table["loss_slope"].isna().tolist() == [False, True, True, True]
    assert table["discovery_slope"].tolist()[2:] == [0.0, 0.0]


def test_budgets_are_not_mutated_and_may_be_in_any_order():
    budgets = np.array([1000.0, 10.0])
    table = sth.scaling_curve(sth.Population(M25, CASES["discrete"]), budgets)
    assert table["latents"].tolist() == [1000, 10]
    assert budgets.tolist() == [1000.0, 10.0]
    assert budgets.flags.writeable


def test_progress_changes_nothing(capsys):
    population = sth.Population(M25, CASES["discrete"])
    plain = sth.scaling_curve(population, [10, 100])
    shown = sth.scaling_curve(population, [10, 100], progress=True)
    assert shown.equals(plain)
    assert capsys.readouterr().out == ""


# ---- logspace --------------------------------------------------------------------------------


def test_logspace_has_both_ends_and_four_points_a_decade():
    got = sth.logspace(1e2, 1e10)
    assert got.dtype == np.int64
    assert got.size == 33
    assert got[[0, 4, 32]].tolist() == [100, 1000, 10**10]
    assert sth.logspace(100, 100).tolist() == [100]


def test_logspace_with_a_number_of_points():
    got = sth.logspace(1e2, 1e8, 25)
    assert got.size == 25
    assert (got[0], got[-1]) == (100, 10**8)
    ratio = got[1:] / got[:-1]
    # rounded to whole numbers: half of one in a hundred
    np.testing.assert_allclose(ratio, 10**0.25, rtol=0.01)


def test_logspace_drops_duplicates():
    assert sth.logspace(1, 4, 50).tolist() == [1, 2, 3, 4]
