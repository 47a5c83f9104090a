"""Specifications as they travel to other processes: the same runs, whatever was cached."""

import pickle
from dataclasses import replace

import cloudpickle
import hypothesis.strategies as some
import pytest
import torch
from dask.sizeof import sizeof
from hypothesis import given

from scaling_theory import EmpiricalFrequencies, PowerLawFrequencies, sae
from scaling_theory.sae import Circle, Points, ReLU, RunSpec, Sphere, Superposition, TopK, _jobs

FREQUENCIES = some.one_of(
    some.builds(
        PowerLawFrequencies,
        some.floats(0.2, 2.0),
        count=some.integers(3, 9),
        total=some.floats(0.5, 1.2),
    ),
    some.builds(EmpiricalFrequencies, some.lists(some.floats(0.01, 1.0), min_size=3, max_size=9)),
)
RADII = some.floats(0.5, 2.0)
MANIFOLDS = some.one_of(
    some.builds(Circle, RADII),
    some.builds(Sphere, some.integers(2, 5), RADII),
    some.builds(sae.Shell, some.integers(2, 5), some.floats(0.1, 0.9), some.floats(1.0, 2.0)),
    some.builds(sae.Ball, some.integers(2, 5), RADII),
    some.builds(sae.Torus, some.lists(RADII, min_size=1, max_size=3)),
    some.builds(sae.SwissRoll, turns=some.floats(0.5, 3.0)),
    some.builds(sae.Segment, some.floats(0.1, 0.9)),
    some.builds(sae.Ripple, some.sampled_from([2, 4, 8]), RADII),
    some.builds(Points),
)
DATA = MANIFOLDS | some.builds(
    Superposition,
    FREQUENCIES,
    MANIFOLDS,
    some.dictionaries(some.integers(1, 3), MANIFOLDS, max_size=2),
    orientation=some.just("random"),
    dimension=some.just(12),
    seed=some.integers(0, 5),
)
ARCHITECTURES = some.one_of(
    some.builds(ReLU, some.floats(0.0, 1.0)),
    some.builds(TopK, some.integers(1, 4), some.integers(0, 2)),
    some.builds(sae.JumpReLU, some.floats(0.0, 1.0)),
    some.builds(sae.TanhJumpReLU, some.floats(0.0, 1.0)),
    some.builds(sae.BatchTopK, some.integers(1, 4)),
    some.builds(sae.Gated, some.floats(0.0, 1.0)),
    some.builds(sae.Matryoshka, some.integers(1, 4)),
)
REMEDIES = some.lists(
    some.builds(sae.ResampleDead, some.integers(1, 50))
    | some.builds(sae.ResampleDuplicates, cosine=some.floats(0.5, 1.0)),
    max_size=2,
)
RUNS = some.builds(
    RunSpec, DATA, ARCHITECTURES, some.integers(16, 64), some.integers(0, 9), remedies=REMEDIES
)


@given(RUNS, some.booleans(), some.sampled_from([pickle, cloudpickle]))
def test_specifications_survive_pickling(spec, used, by):
    if used:  # so that what is cached is there
        assert spec.key
        spec.data.sample(3, torch.Generator().manual_seed(0))
    again = by.loads(by.dumps(spec))
    assert again == spec
    assert hash(again) == hash(spec)
    anew = replace(again)  # whose text and key are worked out again
    assert (anew.text, anew.key) == (spec.text, spec.key)
    drawn = [s.data.sample(20, torch.Generator().manual_seed(1)) for s in (spec, again)]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("orientation", ["random", "orthogonal"])
def test_what_was_worked_out_does_not_travel(orientation):
    """A basis is 64 x 400 numbers; each of 400 frames is a view that would take all of it along."""
    data = Superposition(
        PowerLawFrequencies(-0.5, count=400, total=10.0), sae.Segment(0.5), orientation=orientation,
        dimension=64 if orientation == "random" else None, parents={(9, 10): 1, 11: 9},
        correlation=sae.Correlation(4, 0.5),
    )  # fmt: skip
    before = len(pickle.dumps(data))
    drawn = data.sample(50, torch.Generator().manual_seed(1))
    assert data.magnitude > 0.0
    assert len(data.frames) == len(data.slices) == 400
    assert len(pickle.dumps(data)) == before < 100_000
    again = pickle.loads(pickle.dumps(data))
    assert again == data
    assert again.magnitude == data.magnitude
    assert torch.equal(again.sample(50, torch.Generator().manual_seed(1)), drawn)


@given(RUNS)
def test_no_job_is_sent_ahead(spec):
    # joblib sends arguments above 1000 bytes, as Dask sees them, to one worker only
    state = {"weights": torch.zeros(10**6)}
    assert sizeof(_jobs.Job(spec, "cpu", "auto", True, 1, (state, {}), None)) < 1000
