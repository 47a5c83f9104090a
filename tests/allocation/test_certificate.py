"""The certificate notices allocations that are wrong, and says by how much."""

import dataclasses

import numpy as np
import pytest

import scaling_theory as sth
from scaling_theory.allocation.solvers import solver_for

PRICE = 1e-3
TILE = sth.PowerLawCurve(0.5)


def listed():
    law = sth.EmpiricalFrequencies(np.geomspace(1.0, 1e-4, 30))
    (block,) = sth.Population(law, TILE).blocks
    return solver_for(block)


def tail():
    (block,) = sth.Population(sth.PowerLawFrequencies(0.5), TILE).blocks
    return solver_for(block)


@pytest.mark.parametrize("make", [listed, tail])
def test_a_right_level_is_certified(make):
    solver = make()
    level = solver.level(PRICE)
    smallest, largest, wrong = solver.certificate(level, level)
    assert smallest >= PRICE > largest > 0.0
    assert wrong == 0.0


def test_a_latent_too_many_or_too_few_on_a_list():
    solver = listed()
    level = solver.level(PRICE)
    weights, rows = solver.block.weights, level.rows
    for step in (1, -1):
        changed = rows.copy()
        changed[3] += step
        bad = dataclasses.replace(level, rows=changed)
        smallest, largest, wrong = solver.certificate(bad, bad)
        gain = weights[3] * TILE.gain(rows[3] + max(step, 0))[0]
        if step > 0:
            assert smallest == pytest.approx(gain, rel=1e-15)
            assert smallest < PRICE
        else:
            assert largest == pytest.approx(gain, rel=1e-15)
            assert largest > PRICE
        assert wrong == pytest.approx(abs(PRICE - gain), rel=1e-12)


@pytest.mark.parametrize("step", [1, -1])
def test_a_rank_too_many_or_too_few_in_a_column_of_a_tail(step):
    solver = tail()
    level = solver.level(PRICE)
    changed = level.columns.copy()
    changed[1] += step
    bad = dataclasses.replace(level, columns=changed)
    smallest, largest, wrong = solver.certificate(bad, bad)
    rank = level.columns[1] + max(step, 0)
    gain = solver.block.law.at(rank)[0] * TILE.gain(2)[0]
    assert (smallest if step > 0 else largest) == pytest.approx(gain, rel=1e-15)
    assert wrong == pytest.approx(abs(PRICE - gain), rel=1e-12)


@pytest.mark.parametrize("step", [1, -1])
def test_a_latent_too_many_or_too_few_in_a_row_of_a_tail(step):
    solver = tail()
    level = solver.level(1e-9)  # far enough for rows beside the columns
    assert level.rows.size > 10
    changed = level.rows.copy()
    changed[5] += step
    bad = dataclasses.replace(level, rows=changed)
    smallest, largest, wrong = solver.certificate(bad, bad)
    n = level.rows[5] + max(step, 0)
    gain = solver.block.law.at(6)[0] * TILE.gain(n)[0]
    assert (smallest if step > 0 else largest) == pytest.approx(gain, rel=1e-15)
    assert wrong == pytest.approx(abs(1e-9 - gain), rel=1e-6)


def test_the_next_member_is_found_behind_excluded_ranks():
    slow = sth.PowerLawCurve(beta=1e-3)
    excluded = (2_000_001, 2_000_002)  # beyond the ranks that are listed one by one
    population = sth.Population(sth.PowerLawFrequencies(0.5), sth.DiscreteCurve(), {excluded: slow})
    at = sth.allocate(population, 2_000_000)
    next_gain = sth.PowerLawFrequencies(0.5).at(2_000_003)[0]
    assert at.largest_left == next_gain
