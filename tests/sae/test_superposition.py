"""Superpositions: who is active, what each contributes, the population for the solver."""

import json
import math
import pickle
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import scaling_theory as sth
from scaling_theory.sae._activity import seldom
from scaling_theory.sae.canonical import text_of
from scaling_theory.sae.manifolds import Circle, Points, Shell, Sphere
from scaling_theory.sae.superposition import Superposition

#: Standard errors that a mean may be off: chance 1e-8 a number, and seeds are fixed.
SIGMAS = 5.7
#: Smallest p-value of a test: seeds are fixed, so a test that passes goes on passing.
UNLIKELY = 1e-4

FEW = sth.PowerLawFrequencies(0.5, count=5)
#: Often and seldom active features, one always, four manifolds of three classes.
MIXED = Superposition(
    sth.EmpiricalFrequencies([0.6, 0.1, 0.12, 1.0, 0.01, 0.3, 0.05]),
    Points(),
    ranks={(2, 6): Circle(), 4: Sphere(3), 7: Points([[1.0, 2.0], [3.0, 0.0]])},
    scales=[1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 3.0],
)
TILTED = Superposition(
    MIXED.frequencies,
    MIXED.default,
    dict(MIXED.ranks),
    orientation="random",
    dimension=5,
    scales=MIXED.scales,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def manifold_of(data, i):
    return data.manifolds[data.group_of([i + 1])[0]]


# ---- who is active --------------------------------------------------------------------------


def test_features_are_active_as_often_as_stated():
    data = Superposition(sth.PowerLawFrequencies(0.5, count=300, total=2.4), Points())
    count = 100_000
    active = data.sample_parts(count, generator()).active.numpy()
    p = data.probabilities
    assert np.array_equal(p, data.frequencies.at(np.arange(1, 301)))
    assert p[0] > 0.125 > p[4]  # both ways of drawing
    z = (active.mean(axis=0) - p) / np.sqrt(p * (1 - p) / count)
    assert np.abs(z).max() < SIGMAS
    assert stats.kstest(z[:100], "norm").pvalue > UNLIKELY  # and no less scattered than that


def test_often_active_features_are_active_as_often_as_stated_to_a_thousandth():
    p, count = np.array([0.6, 0.2, 0.95]), 2_000_000
    data = Superposition(sth.EmpiricalFrequencies(p), Points())
    share = data.sample(count, generator()).mean(dim=0, dtype=torch.float64).numpy()
    assert (np.abs(share - p) < SIGMAS * np.sqrt(p * (1 - p) / count)).all()


def test_features_are_active_independently_of_each_other():
    p = np.array([0.6, 0.1, 0.12, 0.3, 0.08])
    data = Superposition(sth.EmpiricalFrequencies(p), Points())
    active = data.sample_parts(100_000, generator(1)).active.numpy()
    found = np.bincount(active @ (1 << np.arange(5)), minlength=32)
    pattern = (np.arange(32)[:, None] >> np.arange(5)) & 1
    expected = len(active) * np.where(pattern, p, 1 - p).prod(axis=1)
    assert stats.chisquare(found, expected).pvalue > UNLIKELY


@pytest.mark.parametrize("p", [0.9, 0.12, 0.01])
def test_inputs_are_independent_of_each_other(p):
    data = Superposition(sth.EmpiricalFrequencies([p]), Points())
    active = data.sample_parts(150_000, generator(2)).active.numpy().reshape(-1, 3)
    found = np.bincount(active @ np.array([1, 2, 4]), minlength=8)
    ones = np.array([bin(k).count("1") for k in range(8)])
    expected = len(active) * p**ones * (1 - p) ** (3 - ones)
    together = ones > 1 if expected.min() < 5 else np.zeros(8, dtype=bool)
    found = np.append(found[~together], found[together].sum())
    expected = np.append(expected[~together], expected[together].sum())
    some = expected > 0
    assert stats.chisquare(found[some], expected[some]).pvalue > UNLIKELY


@pytest.mark.parametrize("probabilities", [[0.5, 0.3], [1e-3, 0.7, 1e-5], [1e-9]])
def test_hits_of_the_process_are_binomial_whatever_the_probabilities(probabilities):
    p, count, draws = np.array(probabilities), 20, 2_000
    hazard, same = torch.tensor(-np.log1p(-p)), generator(3)
    cells = [seldom(hazard, count, same).numpy() for _ in range(draws)]
    for drawn in cells:
        assert (np.diff(drawn) > 0).all()
    found = np.array([np.bincount(c // count, minlength=len(p)) for c in cells])
    for i, share in enumerate(p):
        law = stats.binom(count, share).pmf(np.arange(count + 1)) * draws
        seen = np.bincount(found[:, i], minlength=count + 1)
        tail = law < 5
        if tail.all() or (~tail).sum() < 2:
            assert seen[1:].sum() <= 5
            continue
        law = np.append(law[~tail], law[tail].sum())
        seen = np.append(seen[~tail], seen[tail].sum())
        assert stats.chisquare(seen, law).pvalue > UNLIKELY


def test_a_feature_that_is_always_active_is_in_every_input():
    assert MIXED.sample_parts(1000, generator()).active[:, 3].all()
    data = Superposition(sth.PowerLawFrequencies(0.5, count=1), Circle())
    norms = data.sample(100, generator()).norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(100))


def test_features_that_are_hardly_ever_active_leave_zeros():
    data = Superposition(sth.EmpiricalFrequencies([1e-300, 1e-18]), Sphere(3))
    assert not data.sample(1000, generator()).any()


# ---- what they contribute -------------------------------------------------------------------


@pytest.mark.parametrize("data", [MIXED, TILTED], ids=["orthogonal", "random"])
def test_parts_are_the_inputs_taken_apart(data):
    count = 2000
    parts = data.sample_parts(count, generator(4))
    assert torch.equal(parts.x, data.sample(count, generator(4)))
    assert parts.x.shape == (count, data.dimension)
    assert parts.x.dtype == torch.float32
    assert parts.active.shape == (count, data.features)
    assert parts.active.dtype == torch.bool
    total = torch.zeros_like(parts.x)
    for i in range(data.features):
        own, active, frame = parts.own(i), parts.active[:, i], data.frames[i]
        manifold = manifold_of(data, i)
        scale = float(data.scales[i])
        assert own.shape == (count, manifold.dimension)
        assert not own[~active].any()
        norms = own[active].norm(dim=1) / scale
        allowed = (
            torch.tensor(manifold.positions).norm(dim=1).float()
            if isinstance(manifold, Points)
            else torch.tensor([manifold.radius])
        )
        assert ((norms[:, None] - allowed).abs().min(dim=1).values < 1e-6).all()
        part = parts.part(i)
        assert part.shape == parts.x.shape
        torch.testing.assert_close(part, own @ frame.T)
        total += part
    torch.testing.assert_close(total, parts.x, rtol=1e-5, atol=1e-5)
    if data.orientation == "orthogonal":
        assert torch.equal(total, parts.x)


@pytest.mark.parametrize("data", [MIXED, TILTED], ids=["orthogonal", "random"])
def test_magnitude_and_mean_are_those_of_the_samples(data):
    count = 100_000
    x = data.sample(count, generator(5)).double().numpy()
    squared = (x * x).sum(axis=1)
    error = SIGMAS * squared.std() / math.sqrt(count)
    assert squared.mean() == pytest.approx(data.magnitude, abs=error)
    error = SIGMAS * x.std(axis=0) / math.sqrt(count)
    assert (np.abs(x.mean(axis=0) - data.mean) <= error + 1e-6).all()


def test_covariance_is_the_sum_over_features():
    data, count = TILTED, 100_000
    x = data.sample(count, generator(6)).double().numpy() - data.mean
    expected = np.zeros((data.dimension, data.dimension))
    for i, p in enumerate(data.probabilities):
        manifold, frame = manifold_of(data, i), data.frames[i].double().numpy()
        second = (
            manifold.positions.T @ manifold.positions / len(manifold.positions)
            if isinstance(manifold, Points)
            else np.eye(manifold.dimension) * manifold.magnitude / manifold.dimension
        )
        own = p * second - p * p * np.outer(manifold.mean, manifold.mean)
        expected += data.scales[i] ** 2 * frame @ own @ frame.T
    products = x[:, :, None] * x[:, None, :]
    error = SIGMAS * products.std(axis=0) / math.sqrt(count)
    assert (np.abs(products.mean(axis=0) - expected) <= error + 1e-6).all()


def test_features_of_one_manifold_are_drawn_independently():
    always = Superposition(sth.EmpiricalFrequencies([1.0, 1.0, 0.1]), Circle())
    x = always.sample(50_000, generator(7)).double().numpy()
    z = 2 * (x[:, :2] * x[:, 2:4]).mean(axis=0) * math.sqrt(len(x))
    assert np.abs(z).max() < SIGMAS


def test_frames_are_orthonormal():
    for data in (MIXED, TILTED, Superposition(FEW, Circle(), dimension=13)):
        for i, frame in enumerate(data.frames):
            d = manifold_of(data, i).dimension
            assert frame.shape == (data.dimension, d)
            assert frame.dtype == torch.float32
            torch.testing.assert_close(frame.T @ frame, torch.eye(d), rtol=0, atol=1e-6)


def test_orthogonal_frames_are_axes_and_further_axes_stay_empty():
    data = Superposition(FEW, Points(), {2: Circle()}, dimension=9)
    assert Superposition(FEW, Points(), {2: Circle()}).dimension == 6
    assert data.slices == (slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 5), slice(5, 6))
    assert torch.equal(torch.cat(data.frames, dim=1), torch.eye(9, 6))
    x = data.sample(1000, generator())
    assert x.shape == (1000, 9)
    assert x[:, :6].any(dim=0).all()
    assert not x[:, 6:].any()


@pytest.mark.parametrize("manifold", [Points(), Circle()], ids=repr)
def test_random_frames_are_uniform(manifold):
    many = sth.PowerLawFrequencies(0.5, count=20_000)
    data = Superposition(many, manifold, orientation="random", dimension=3, seed=1)
    first = torch.stack([f[:, 0] for f in data.frames]).double().numpy()
    last = torch.stack([f[:, -1] for f in data.frames]).double().numpy()
    for columns in (first, last):
        for axis in range(3):  # Archimedes: coordinates are uniform in [-1, 1]
            assert stats.kstest(columns[:, axis], stats.uniform(-1, 2).cdf).pvalue > UNLIKELY


def test_random_frames_follow_the_seed():
    def basis(seed):
        many = {"orientation": "random", "dimension": 4, "seed": seed}
        return torch.cat(Superposition(FEW, Circle(), **many).frames, dim=1)

    assert torch.equal(basis(0), basis(0))
    assert not torch.equal(basis(0), basis(1))


def test_the_same_seed_gives_the_same_numbers():
    for data in (MIXED, TILTED):
        same = generator(8)
        first, second = data.sample(500, same), data.sample(500, same)
        again = pickle.loads(pickle.dumps(data))  # as a worker of a sweep gets it
        assert again == data
        assert torch.equal(first, again.sample(500, generator(8)))
        assert not torch.equal(first, second)
        assert data.sample(0, same).shape == (0, data.dimension)
        assert data.sample_parts(0, same).active.shape == (0, data.features)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1e-6, 0.01, 0.12, 0.2, 1.0]),
            st.sampled_from([Points(), Circle(), Sphere(1), Shell(4), Points([[1.0, 2.0]])]),
            st.sampled_from([1.0, 0.5]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 50),
    st.sampled_from([None, 4, 7]),
)
def test_parts_add_up_for_any_features(features, count, ambient):
    p, manifolds, scales = zip(*features, strict=True)
    data = Superposition(
        sth.EmpiricalFrequencies(p),
        manifolds[0],
        dict(enumerate(manifolds, start=1)),
        orientation="random" if ambient else "orthogonal",
        dimension=ambient,
        scales=scales,
    )
    assert [manifold_of(data, i) for i in range(data.features)] == list(manifolds)
    parts = data.sample_parts(count, generator(count))
    assert torch.equal(parts.x, data.sample(count, generator(count)))
    total = sum(parts.part(i) for i in range(data.features))
    torch.testing.assert_close(total, parts.x, rtol=1e-5, atol=1e-5)
    for i in range(data.features):
        assert torch.equal(parts.own(i).any(dim=1), parts.active[:, i])
        assert p[i] < 1.0 or parts.active[:, i].all()


# ---- labels, texts --------------------------------------------------------------------------


def test_labels_are_class_names_numbered_where_they_would_repeat():
    data = Superposition(FEW, Points(), {1: Circle(), 4: Circle()})
    assert data.labels == ("circle", "points")
    assert data.group_of([1, 2, 3, 4, 5]).tolist() == [0, 1, 1, 0, 1]
    data = Superposition(FEW, Points(), {2: Circle(2), 3: Circle(1), (4, 5): Circle(2)})
    assert data.labels == ("points", "circle 1", "circle 2")
    assert data.manifolds == (Points(), Circle(2), Circle(1))
    data = Superposition(FEW, Points(), {range(1, 6): Circle()}, labels={"circle": "ring"})
    assert data.labels == ("ring",)


def test_how_it_is_written_does_not_matter():
    one = Superposition(FEW, Points(), {1: Circle(), 3: Circle(), 2: Sphere(3), 5: Points()})
    two = Superposition(
        FEW, Points([[1.0]]), {range(2, 3): Sphere(3), (3, 1): Circle(1)}, scales=np.ones(5)
    )
    assert one == two
    assert hash(one) == hash(two)
    assert text_of(one) == text_of(two)
    assert Superposition(FEW, one.default, dict(one.ranks)) == one


def test_texts_say_everything_that_decides_the_samples():
    tilted = {"orientation": "random", "dimension": 4}
    every = [
        Superposition(FEW, Points()),
        Superposition(sth.PowerLawFrequencies(0.6, count=5), Points()),
        Superposition(sth.EmpiricalFrequencies([0.1, 0.2]), Points()),
        Superposition(sth.EmpiricalFrequencies([0.1, 0.3]), Points()),
        Superposition(FEW, Points(), {1: Circle()}),
        Superposition(FEW, Points(), {2: Circle()}),
        Superposition(FEW, Points(), dimension=6),
        Superposition(FEW, Points(), scales=[1, 1, 1, 1, 2]),
        Superposition(FEW, Points(), **tilted),
        Superposition(FEW, Points(), **tilted, seed=1),
    ]
    assert len({text_of(data) for data in every}) == len(every)
    named = Superposition(FEW, Points(), labels={"points": "step"})
    assert text_of(named) == text_of(every[0])
    assert named != every[0]
    said = json.loads(text_of(MIXED))
    assert said["frequencies"]["values"] == MIXED.probabilities.tolist()
    assert said["ranks"][0] == [[2, 6], {"dimension": 2, "kind": "Circle", "radius": 1.0}]
    assert said["scales"] == MIXED.scales.tolist()


def test_repr_is_short():
    assert repr(Superposition(FEW, Points(), {1: Circle()}, scales=np.arange(1, 6))) == (
        "Superposition(PowerLawFrequencies(alpha=0.5, count=5, total=1.0), {'circle': 1 x "
        "Circle(radius=1.0), 'points': 4 x Points()}, orientation='orthogonal', dimension=6)"
    )


# ---- the population for the solver ----------------------------------------------------------


def test_the_population_has_the_curves_where_the_superposition_has_manifolds():
    freqs = sth.PowerLawFrequencies(0.5, count=50)
    data = Superposition(freqs, Points(), {1: Circle()})
    n = 2 ** np.arange(9)
    measured = sth.MeasuredCurve(n, 0.1 + 0.5 * n**-1.3, provenance="trained")
    step = sth.DiscreteCurve(residual=0.1)
    population = data.population({"circle": measured, "points": step})
    tile = measured.to_curve(at_zero=1.0)  # a unit feature without latents loses 1
    expected = sth.Population(freqs, step, ranks={1: tile})
    assert population.labels == ("circle", "points")
    for latents in (3, 20, 200):
        ours, theirs = sth.allocate(population, latents), sth.allocate(expected, latents)
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-12)
        ranks = np.arange(1, 51)
        assert ours.latents_at(ranks).tolist() == theirs.latents_at(ranks).tolist()


def test_a_measured_loss_without_latents_is_used_where_there_is_one():
    n = np.append(0, 2 ** np.arange(8))
    measured = sth.MeasuredCurve(n, np.append(0.9, 0.5 * n[1:] ** -1.0), provenance="trained")
    data = Superposition(FEW, Circle(2))
    population = data.population({"circle": measured})
    assert population.groups[0].curve.loss([0])[0] == 0.9
    no_zero = sth.MeasuredCurve(n[1:], measured.loss[1:], provenance="trained")
    assert data.population({"circle": no_zero}).groups[0].curve.loss([0])[0] == 4.0
    relative = data.population({"circle": no_zero}, relative=True)
    assert relative.groups[0].curve.loss([0])[0] == 1.0


def test_magnitudes_are_one_at_own_size_and_squared_sizes_for_relative_curves():
    step = sth.DiscreteCurve()
    data = Superposition(FEW, Points(), {(2, 5): Circle(3)})
    curves = {"points": step, "circle": step}
    assert [np.unique(g.magnitude) for g in data.population(curves).groups] == [1.0, 1.0]
    scales = [1.0, 2.0, 3.0, 4.0, 5.0]
    data = Superposition(FEW, Points(), {(2, 5): Circle(3)}, scales=scales)
    with pytest.raises(ValueError, match=r"scales must be 1 .* got up to 5.0.*relative=True"):
        data.population(curves)
    groups = data.population(curves, relative=True).groups
    assert [g.label for g in groups] == ["points", "circle"]
    assert groups[0].magnitude.tolist() == [1.0, 9.0, 16.0]
    assert groups[1].magnitude.tolist() == [9 * 4.0, 9 * 25.0]
    # Without latents the loss is the mean squared norm.
    nothing = sth.allocate(data.population(curves, relative=True), 0)
    assert nothing.loss == pytest.approx(data.magnitude, rel=1e-12)


def test_curves_may_have_one_parameter_per_feature_of_their_group():
    data = Superposition(FEW, Points(), {(1, 4): Circle()})
    tiles = sth.PowerLawCurve(beta=[0.5, 2.0])
    population = data.population({"circle": tiles, "points": sth.DiscreteCurve()})
    assert population.groups[0].curve.beta.tolist() == [0.5, 2.0]


# ---- refusals -------------------------------------------------------------------------------

STEP = sth.DiscreteCurve()
CIRCLES = Superposition(FEW, Points(), {1: Circle()})
EVERYONE = sth.PowerLawFrequencies(0.5)
LOUD = sth.EmpiricalFrequencies([0.5, 1.5])
REFUSED = [
    (lambda: Superposition(EVERYONE, Points()), "frequencies", "give count="),
    (lambda: Superposition(LOUD, Points()), "frequencies", "at most 1, got a largest of 1.5"),
    (lambda: Superposition([0.1], Points()), "frequencies", "Frequencies object, got [0.1]"),
    (lambda: Superposition(FEW, STEP), "default", "a manifold, got DiscreteCurve"),
    (lambda: Superposition(FEW, Points(), [Circle()]), "ranks", "map ranks to manifolds"),
    (lambda: Superposition(FEW, Points(), {1: STEP}), "ranks", "got DiscreteCurve"),
    (lambda: Superposition(FEW, Points(), {6: Circle()}), "ranks", "[1, 5], got 6"),
    (lambda: Superposition(FEW, Points(), {0: Circle()}), "ranks", "[1, 5], got 0"),
    (lambda: Superposition(FEW, Points(), {(): Circle()}), "ranks", "empty key, got ()"),
    (
        lambda: Superposition(FEW, Points(), {1: Circle(), (1, 2): Sphere(3)}),
        "ranks",
        "distinct, got 1 twice",
    ),
    (lambda: Superposition(FEW, Points(), orientation="no"), "orientation", "'random', got 'no'"),
    (lambda: Superposition(FEW, Points(), dimension=4), "dimension", "[5, 1048576], got 4"),
    (lambda: Superposition(FEW, Circle(), orientation="random"), "dimension", "at least 2"),
    (
        lambda: Superposition(FEW, Circle(), orientation="random", dimension=1),
        "dimension",
        "[2, 1048576], got 1",
    ),
    (lambda: Superposition(FEW, Points(), seed=1), "seed", "0 with orientation='orthogonal'"),
    (lambda: Superposition(FEW, Points(), seed=-1), "seed", "at least 0, got -1"),
    (lambda: Superposition(FEW, Points(), scales=[1, 2]), "scales", "5 numbers, got 2"),
    (lambda: Superposition(FEW, Points(), scales=[1, 1, 1, 1, 0]), "scales", "scales[4] = 0"),
    (lambda: Superposition(FEW, Points(), labels={"circle": "a"}), "labels", "got ['circle']"),
    (lambda: Superposition(FEW, Points(), labels={"points": ""}), "labels", "non-empty"),
    (lambda: Superposition(FEW, Points(), labels=["a"]), "labels", "map labels"),
    (
        lambda: Superposition(FEW, Points(), {1: Circle()}, labels={"circle": "points"}),
        "labels",
        "'points' twice",
    ),
    (lambda: CIRCLES.sample(-1, generator()), "count", "at least 0, got -1"),
    (lambda: CIRCLES.sample_parts(1, 7), "generator", "torch.Generator, got 7"),
    (lambda: CIRCLES.group_of([6]), "ranks", "[1, 5]"),
    (lambda: CIRCLES.population(STEP), "curves", "map labels to curves"),
    (lambda: CIRCLES.population({"circle": STEP}), "curves", "none for ['points']"),
    (
        lambda: CIRCLES.population({"circle": STEP, "points": STEP, "ring": STEP}),
        "curves",
        "got ['ring']; the labels are ['circle', 'points']",
    ),
    (lambda: CIRCLES.population({"circle": 1.0, "points": STEP}), "circle", "LossCurve"),
    (
        lambda: CIRCLES.population({"circle": STEP, "points": STEP}, relative=1),
        "relative",
        "True or False, got 1",
    ),
]


@pytest.mark.parametrize(("call", "name", "rest"), REFUSED)
def test_refusals_name_the_argument_what_is_allowed_and_the_value(call, name, rest):
    with pytest.raises(ValueError, match=name) as error:
        call()
    assert rest in str(error.value)


# ---- a manifold of one's own ----------------------------------------------------------------


def test_the_manifold_of_the_contributors_guide_works():
    guide = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    section = guide.split("## How do I add a manifold?")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)\n *```", section, flags=re.DOTALL)
    names: dict = {"__name__": __name__}
    exec(textwrap.dedent(code), names)
    torus = names["Torus"]()
    data = Superposition(FEW, Points(), {1: torus})
    assert data.labels == ("torus", "points")
    x = data.sample(20_000, generator())
    assert x.shape == (20_000, 8)
    expected = torus.magnitude * data.probabilities[0] + data.probabilities[1:].sum()
    squared = x.double().square().sum(dim=1)
    error = SIGMAS * float(squared.std()) / math.sqrt(len(x))
    assert float(squared.mean()) == pytest.approx(expected, abs=error)
    assert '"kind":"Torus"' in text_of(data)
