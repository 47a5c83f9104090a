"""The ideal encoder on the circle: against an enumeration of supports, and its law."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_theory.theory.geometry import circle_ideal, circle_tiling, sphere_floor


def sparse_coding(n, l1, points):
    """Least loss over all supports of at most two latents: at most two are needed in the plane."""
    angle = 2.0 * np.pi * np.arange(n) / n
    atoms = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    theta = (np.arange(points) + 0.5) / points * np.pi / n  # half a period; the rest mirrors it
    x = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    best = 1.0 - np.maximum(x @ atoms.T - l1 / 2.0, 0.0).max(axis=1) ** 2
    for pair in combinations(range(n), 2):
        two = atoms[list(pair)]
        gram = two @ two.T
        if abs(np.linalg.det(gram)) < 1e-12:
            continue
        code = np.linalg.solve(gram, (x @ two.T - l1 / 2.0).T).T
        cost = ((x - code @ two) ** 2).sum(axis=1) + l1 * code.sum(axis=1)
        best = np.where((code >= 0.0).all(axis=1), np.minimum(best, cost), best)
    return best.mean()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.floats(0.02, 1.95))
def test_loss_is_that_of_the_best_code_point_by_point(n, l1):
    points = 2000
    # midpoint rule: second derivative below 4 on an interval of length pi/n, and kinks of the
    # slope below 2
    step = math.pi / n / points
    tolerance = 4.0 * step**2 / 24.0 + 2.0 * 2.0 * step**2 / 8.0 / (math.pi / n)
    said = circle_ideal(n, l1)
    assert said.loss == pytest.approx(sparse_coding(n, l1, points), abs=tolerance)
    assert said.loss - said.excess == pytest.approx(sphere_floor(l1), abs=1e-14)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 10**6), st.floats(0.02, 1.95))
def test_no_tiling_beats_the_ideal_encoder(n, l1):
    assert circle_ideal(n, l1).excess <= circle_tiling(n, l1).excess * (1.0 + 1e-9)


@pytest.mark.parametrize("l1", [0.02, 0.1, 0.9])
def test_leading_law_misses_by_the_square_of_the_spacing(l1):
    off = [circle_ideal(n, l1).excess / circle_ideal(n, l1).leading - 1.0 for n in (64, 128, 256)]
    h = 2.0 * math.pi / 64
    assert 0.0 < off[0] < 0.25 * h**2
    for before, after in pairwise(off):
        assert before / after == pytest.approx(4.0, abs=8.0 * h**2)  # the next even order


def test_digits_survive_many_latents():
    for n in (10**5, 10**7, 10**9):
        said = circle_ideal(n)
        assert said.excess == pytest.approx(said.leading, rel=(2.0 * math.pi / n) ** 2 + 1e-13)
    assert circle_ideal(1024).excess == pytest.approx(2.9e-7, abs=0.05e-7)


def test_pairs_fire_on_all_but_l1_over_two():
    # the arc of one latent is (l1/2) tan(h/2) wide on either side, of h/2
    assert circle_ideal(10**6, 0.3).pairs == pytest.approx(1.0 - 0.15, rel=1e-9)
    assert circle_ideal(2, 0.3).pairs == 0.0


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [((0,), ["n", "[1, 1000000000]"]), ((3, 2.0), ["l1", "(0, 2)"]), ((3, -1.0), ["l1", "-1.0"])],
)
def test_refusals(arguments, fragments):
    with pytest.raises(ValueError, match=r".") as error:
        circle_ideal(*arguments)
    for fragment in fragments:
        assert fragment in str(error.value)
