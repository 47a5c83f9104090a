"""Diagnoses: what they say of SAEs that the solver made, what they refuse, when they hold back."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory.analysis.diagnosis import evidence
from scaling_theory.analysis.diagnosis.next_step import _entropy

WIDTHS = np.array([256, 512, 1024, 2048, 4096, 8192, 16384])


def sae(alpha, curve, noise=0.0, floor=0.3, seed=0, n=16_384):
    """Losses over widths and frequencies of the largest SAE, from the exact solver."""
    g = np.random.default_rng(seed)
    population = sth.Population(sth.PowerLawFrequencies(alpha), default=curve)
    losses = np.array([sth.allocate(population, int(w)).excess_loss for w in WIDTHS])
    losses = (floor + losses) * np.exp(noise * g.standard_normal(losses.size))
    fired = sth.latent_frequencies(sth.allocate(population, n), overlap=1)
    rates = fired.at(np.arange(1, n + 1))
    return losses, rates


CASES = {
    "pathological": (0.8, sth.PowerLawCurve(beta=0.1)),
    "benign": (0.3, sth.PowerLawCurve(beta=1.5)),
    "discrete": (0.6, sth.DiscreteCurve()),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_and_frequencies_together_tell_the_regime(case):
    """A family over a factor of 256 in width, frequencies at three of them."""
    widths = 2 ** np.arange(9, 18)
    alpha, curve = CASES[case]
    population = sth.Population(sth.PowerLawFrequencies(alpha), default=curve)
    optima = {int(w): sth.allocate(population, int(w)) for w in widths}
    noise = np.exp(0.005 * np.random.default_rng(0).standard_normal(widths.size))
    losses = (0.1 + np.array([at.excess_loss for at in optima.values()])) * noise
    rates = {
        w: sth.latent_frequencies(optima[w], overlap=1).at(np.arange(1, w + 1))
        for w in (2048, 16_384, 131_072)
    }
    said = sth.diagnose(widths_losses=(widths, losses), frequencies=rates, plan=False)
    expected = "pathological" if case == "pathological" else "benign"
    assert said.verdict == expected, said.message
    assert said.probabilities[expected] > 0.8
    assert abs(sum(said.probabilities.values()) - 1.0) < 1e-12
    low, high = said.parameters.loc["alpha", ["low", "high"]]
    assert low < alpha < high


def test_a_pure_power_law_of_losses_is_not_enough():
    """The smaller of alpha and beta is 0.3: which of them it is, losses do not say."""
    losses = 0.2 + WIDTHS**-0.3
    said = sth.diagnose(widths_losses=(WIDTHS, losses))
    assert said.verdict == "not enough evidence"
    assert 0.2 < said.probabilities["pathological"] < 0.8
    assert said.further is not None
    assert said.further["information"].is_monotonic_decreasing
    assert (said.further["information"] <= np.log(2.0) + 1e-9).all()
    assert said.further["decides"].between(0.0, 1.0).all()
    assert any("frequencies" in m for m in said.further["measurement"][:2])


def test_the_prior_counts():
    losses = 0.2 + WIDTHS**-0.3
    said = [
        sth.diagnose(widths_losses=(WIDTHS, losses), prior=p, plan=False) for p in (0.1, 0.5, 0.9)
    ]
    chances = [s.probabilities["pathological"] for s in said]
    assert chances[0] < chances[1] < chances[2]
    odds = [c / (1 - c) for c in chances]
    # new draws are made about the posterior of each prior: the odds agree as far as those go
    assert odds[2] / odds[1] == pytest.approx(9.0, rel=0.8)


@settings(max_examples=8, deadline=None)
@given(
    unit=st.floats(1e-6, 1e6), rate=st.floats(1e-6, 1.0), order=st.permutations(range(7)),
    seed=st.integers(0, 5),
)  # fmt: skip
def test_units_and_order_do_not_matter(unit, rate, order, seed):
    losses, rates = sae(*CASES["pathological"], noise=0.01)
    first = sth.diagnose(widths_losses=(WIDTHS, losses), frequencies=rates, plan=False)
    order = list(order)
    shuffled = np.random.default_rng(seed).permutation(rates)
    again = sth.diagnose(
        widths_losses=(WIDTHS[order], unit * losses[order]), frequencies=rate * shuffled, plan=False
    )
    assert again.probabilities["pathological"] == pytest.approx(
        first.probabilities["pathological"], abs=1e-6
    )


@pytest.mark.parametrize(
    ("given", "worst"),
    [
        ({"widths_losses": (WIDTHS, 1.0 + 0.3 * np.log2(WIDTHS / 256))}, "losses"),
        ({"widths_losses": (WIDTHS, [1, 0.5, 1.2, 0.4, 1.1, 0.6, 1.3])}, "losses"),
        (
            {"frequencies": np.r_[np.full(500, 0.5), np.full(7000, 1e-5)], "samples": 10**9},
            "frequencies",
        ),
    ],
)
def test_what_the_model_does_not_describe_is_said(given, worst):
    said = sth.diagnose(**given)
    assert said.verdict == "the model does not describe these SAEs"
    assert worst in said.message
    assert said.further is None


def test_each_evidence_alone_is_what_it_says_alone():
    losses, rates = sae(*CASES["benign"], noise=0.01)
    both = sth.diagnose(widths_losses=(WIDTHS, losses), frequencies=rates, plan=False)
    assert [p.name for p in both.evidence] == ["losses", "frequencies"]
    alone = sth.diagnose(frequencies=rates, plan=False)
    assert alone.evidence[0].pathological == pytest.approx(both.evidence[1].pathological)


def test_decoders_are_read_as_their_cosines():
    g = np.random.default_rng(0)
    rows = g.standard_normal((400, 64))
    from scaling_theory.analysis import decoder_neighbours

    cosines = decoder_neighbours(rows).cosine
    by_rows = sth.diagnose(decoder=rows, plan=False)
    by_cosines = sth.diagnose(cosines=cosines, dimension=64, plan=False)
    assert by_rows.probabilities == pytest.approx(by_cosines.probabilities)


def test_close_neighbours_speak_for_tiled_manifolds():
    """Not for a regime: on a manifold of many dimensions (small beta) neighbours stay far apart."""
    close = sth.diagnose(cosines=np.r_[np.full(3600, 0.97), np.full(400, 0.2)], plan=False)
    apart = sth.diagnose(cosines=np.full(4000, 0.2), plan=False)
    assert close.parameters.loc["piled", "median"] > 0.5
    assert apart.parameters.loc["piled", "median"] < close.parameters.loc["piled", "median"]
    assert close.verdict == apart.verdict == "not enough evidence"


def test_dead_latents_are_no_latents():
    _, rates = sae(*CASES["discrete"])
    half = np.r_[rates, np.zeros(rates.size)]
    first = sth.diagnose(frequencies=rates, plan=False)
    again = sth.diagnose(frequencies=half, plan=False)
    assert again.evidence[0].pathological == pytest.approx(first.evidence[0].pathological)


def test_rare_firings_are_left_out():
    counts = np.random.default_rng(0).poisson(2e5 * np.arange(1, 4097.0) ** -1.4)
    (seen,) = evidence.read_frequencies(counts / 1e6)
    assert np.exp(seen.log_frequencies).min() >= 10 / 1e6 * (1 - 1e-9)
    (less,) = evidence.read_frequencies(counts / 1e6, samples=100_000)
    assert less.fractions[-1] < seen.fractions[-1]


def test_seeds_of_one_width_are_one_point():
    """The model errs alike on them: twenty copies of six losses tell no more than six."""
    n, y = np.array([64, 128, 256, 512, 1024, 2048]), np.array([1, 1.01, 0.99, 1, 1.02, 0.995])
    y = y * n**-0.3
    said = [
        sth.diagnose(widths_losses=(np.tile(n, k), np.tile(y, k)), plan=False) for k in (1, 5, 20)
    ]
    chances = [s.probabilities["pathological"] for s in said]
    assert chances[1:] == pytest.approx([chances[0]] * 2, abs=1e-9)


def test_flat_frequencies_are_no_counts():
    """The mark of the pathological side, which must not be taken for latents that fired once."""
    said = sth.diagnose(frequencies=np.full(4096, 0.01), plan=False)
    assert said.probabilities["pathological"] > 0.6


def test_dead_twins_are_no_neighbours():
    """Michaud, Gorton and McGrath (2025), appendix E.1: near-duplicates whose partner is dead."""
    rows = np.random.default_rng(0).standard_normal((512, 64))
    rates = np.arange(1.0, 513.0) ** -1.1
    alone = sth.diagnose(decoder=rows, frequencies=rates, plan=False)
    twins = sth.diagnose(
        decoder=np.r_[rows, rows], frequencies=np.r_[rates, np.zeros(512)], plan=False
    )
    assert twins.probabilities == pytest.approx(alone.probabilities)


def test_a_decoder_that_tells_nothing_is_left_out():
    decoder = np.random.default_rng(0).standard_normal((500, 3))
    said = sth.diagnose(widths_losses=W3, decoder=decoder, plan=False)
    assert [p.name for p in said.evidence] == ["losses"]
    assert "cosines are left out" in said.message


def test_json_holds_everything():
    losses, rates = sae(*CASES["benign"])
    said = sth.diagnose(widths_losses=(WIDTHS, losses), frequencies={16_384: rates})
    text = json.loads(json.dumps(said.as_dict()))
    assert set(text) >= {"verdict", "probabilities", "evidence", "parameters", "further"}
    assert text["evidence"][1]["what"] == "frequencies at N = 16,384"


def test_tables_and_curves_are_read():
    losses, _ = sae(*CASES["benign"], noise=0.01)
    table = pd.DataFrame({"width": WIDTHS, "loss": losses, "stderr": 0.01 * losses})
    first = sth.diagnose(widths_losses=table, plan=False)
    again = sth.diagnose(widths_losses=(WIDTHS, losses, 0.01 * losses), plan=False)
    assert first.probabilities == again.probabilities


W3 = ([1, 2, 4], [3.0, 2.0, 1.0])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "at least one of widths_losses"),
        ({"widths_losses": ([1, 2], [1.0, 0.5])}, "at least 3 different widths, got 2"),
        ({"widths_losses": ([1, 2, 4], [1.0, 0.5])}, "one loss for each width, got 2 for 3"),
        ({"widths_losses": ([1, 2, 4], [1.0, -0.5, 0.1])}, r"greater than 0, got .*\[1\] = -0.5"),
        ({"widths_losses": 3.0}, "must be .widths, losses. or"),
        ({"widths_losses": pd.DataFrame({"a": [1]})}, "columns width and loss"),
        ({"widths_losses": W3, "prior": 1.0}, r"prior must be a number in \(0, 1\), got 1.0"),
        ({"widths_losses": W3, "samples": 0}, "samples must be a whole number"),
        ({"frequencies": [0.1, -0.2] * 8}, r"of at least 0, got frequencies\[1\] = -0.2"),
        ({"frequencies": [0.1] * 7 + [0.0]}, "at least 8 latents that fire, got 7 of 8"),
        ({"frequencies": {4: [0.1] * 20}}, "of width 4 must be at most that many, got 20"),
        ({"frequencies": [[0.1] * 8] * 2}, r"one-dimensional.*\(2, 8\)"),
        ({"frequencies": np.r_[4, 3, 2, np.ones(60)] / 1e4}, "count over more samples"),
        ({"cosines": [0.5, 1.5]}, r"in \[-1, 1\]"),
        ({"cosines": [0.5] * 50, "dimension": 1}, "tell nothing"),
        ({"cosines": {40: [0.5] * 50}}, "of width 40 must be at most that many .*, got 50"),
        ({"cosines": [0.5] * 9, "decoder": np.ones((9, 3))}, "must not both be given"),
        ({"decoder": np.ones(9)}, r"shape \(n, d\), got \(9,\)"),
    ],
)
def test_refusals(given, match):
    with pytest.raises(ValueError, match=match):
        sth.diagnose(**given)


@settings(max_examples=30, deadline=None)
@given(p=st.floats(0.0, 1.0))
def test_entropy(p):
    assert 0.0 <= float(_entropy(p)) <= np.log(2.0) + 1e-12
    assert float(_entropy(p)) == pytest.approx(float(_entropy(1.0 - p)), abs=1e-9)
