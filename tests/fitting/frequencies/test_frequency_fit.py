"""Frequencies of latents as a whole: dead ones, ties, readings, refusals, the command."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import scaling_theory as sth
from scaling_theory._cli_frequencies import frequencies
from scaling_theory.fitting.frequencies import fit_frequencies

TOKENS = 10**6


def drawn(seed=0, size=2000, s=0.7, least=2e-5):
    rates = least * np.random.default_rng(seed).random(size) ** -s
    return np.minimum(rates, 1.0)


def counted(seed=0, **law):
    return np.random.default_rng(seed + 1).binomial(TOKENS, drawn(seed, **law)) / TOKENS


def test_the_law_is_recovered():
    fit = fit_frequencies(drawn(), (20, 1500), replicates=50)
    low, high = fit.interval
    assert low < -0.7 < high
    assert abs(fit.tail.rank_exponent - 0.7) < 0.2
    assert fit.tail.rank_interval[0] < fit.tail.rank_exponent < fit.tail.rank_interval[1]
    assert fit.status == "ok"
    assert fit.p_value == fit.goodness.p_value
    assert fit.corrected is None
    assert fit.tail_begins == fit.tail.xmin
    assert (fit.tail.kind, fit.latents, fit.alive, fit.dead) == ("continuous", 2000, 2000, 0)


@given(seed=st.integers(0, 1000), dead=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_dead_latents_are_counted_and_order_does_not_matter(seed, dead):
    alive = drawn(seed, 400)
    here = fit_frequencies(alive, (5, 300), replicates=0)
    mixed = np.random.default_rng(seed).permutation(np.concatenate([alive, np.zeros(dead)]))
    there = fit_frequencies(mixed, (5, 300), replicates=0)
    assert (there.dead, there.alive, there.latents) == (dead, 400, 400 + dead)
    assert there.slope == here.slope
    assert there.interval == here.interval
    assert there.tail.summary() == here.tail.summary()
    assert math.isnan(there.p_value)


def test_counts_are_corrected_and_their_tail_is_poisson():
    fit = fit_frequencies(counted(least=4e-6, size=8000), (50, 5000), samples=TOKENS, replicates=0)
    assert fit.tail.kind == "poisson"
    assert fit.corrected.interval[0] < -0.7 < fit.corrected.interval[1]
    assert fit.corrected.bias > 0.02  # shallower by noise
    assert fit.status == "noisy"
    assert f"{fit.corrected.slope:.3g}" in fit.message
    assert fit.ties > 0.5
    assert fit.tail_begins == fit.tail.xmin / TOKENS
    assert fit.readings()["alpha"].tolist() == [-fit.corrected.slope - 1.0, -fit.corrected.slope]
    held = fit_frequencies(
        counted(least=4e-6, size=8000), (50, 5000), samples=TOKENS, replicates=0,
        kind="discrete", xmin=3e-5,
    )  # fmt: skip
    assert (held.tail.kind, held.tail.xmin) == ("discrete", 30.0)


def test_ties():
    f = [0.5, 0.4, 0.4, 0.3, 0.2, 0.2, 0.1]
    assert fit_frequencies(f, (1, 7), replicates=0).ties == pytest.approx(4 / 7)


def test_flat_and_bent_curves_are_named():
    flat = fit_frequencies([0.5] + [0.1] * 200, (2, 150), replicates=0)
    assert (flat.status, flat.slope, flat.interval) == ("flat", 0.0, (0.0, 0.0))
    bent = fit_frequencies(1.0 / (np.arange(1, 3001) + 300), (10, 3000), replicates=0)
    assert bent.status == "bent"
    assert "not straight" in bent.message


def test_readings():
    fit = fit_frequencies(np.arange(1, 5001.0) ** -0.74, (100, 4000), replicates=0)
    own, direct = fit.readings().to_dict("records")
    assert own["alpha"] == pytest.approx(-0.26, abs=1e-9)
    assert own["zipf_exponent"] == pytest.approx(0.74, abs=1e-9)
    assert own["pathological_below"] == 0.0
    assert direct["alpha"] == direct["pathological_below"] == pytest.approx(0.74, abs=1e-9)
    assert direct["low"] < 0.74 < direct["high"]


@pytest.mark.parametrize(
    ("alive", "want"),
    [
        (2, (1, 2)),
        (19, (1, 19)),
        (50, (5, 50)),
        (999, (99, 999)),
        (1000, (100, 1000)),
        (9_999, (100, 9_999)),
        (10_000, (100, 10_000)),
        (12_000, (100, 10_000)),
    ],
)
def test_ranks_by_default_are_alive_and_said_where_they_are_few(alive, want):
    rates = np.concatenate([np.arange(1.0, alive + 1.0) ** -0.9, np.zeros(alive)])
    fit = fit_frequencies(rates, replicates=0, xmin=rates[alive - 1])
    assert fit.ranks == want
    given = fit_frequencies(rates, want, replicates=0, xmin=rates[alive - 1])
    assert (fit.slope, fit.interval) == (given.slope, given.interval)
    said = f" Ranks {want[0]} to {want[1]} are the default where {alive} latents fire."
    assert fit.message == given.message + said * (want != (100, 10_000))


GOOD = np.geomspace(1e-4, 0.1, 50)

REFUSED = [
    ({"freq": [0.1, -0.2]}, "freq[1] = -0.2"),
    ({"freq": [0.1, 1.2]}, "freq must hold numbers in [0, 1]"),
    ({"freq": [0.1, math.nan]}, "nan"),
    ({"freq": GOOD, "ranks": (100, 10_000)}, "ranks must rise and end at or before 50"),
    ({"freq": [0.0, 0.0], "ranks": (1, 2)}, "at least 2 latents that fire, got 0 of 2"),
    ({"freq": [0.0, 0.3, 0.0]}, "at least 2 latents that fire, got 1 of 3"),
    ({"freq": GOOD, "ranks": (1, 60), "samples": 1000}, "samples must make every frequency"),
    ({"freq": [2.0], "samples": 0}, "samples must be a whole number of at least 1"),
    ({"freq": GOOD, "ranks": (5, 5)}, "got (5, 5)"),
    ({"freq": GOOD, "ranks": 5}, "ranks must be a first and a last rank"),
    ({"freq": GOOD, "ranks": (1, 40), "samples": 1000}, "samples must make every frequency"),
    ({"freq": GOOD, "ranks": (1, 40), "kind": "poisson"}, "samples must be given"),
    ({"freq": GOOD, "ranks": (1, 40), "kind": "binned"}, "kind must be auto"),
    ({"freq": GOOD, "ranks": (1, 40), "level": 0.0}, "level must be"),
    ({"freq": GOOD, "ranks": (1, 40), "replicates": -1}, "replicates must be"),
    ({"freq": GOOD, "ranks": (1, 40), "xmin": 2.0}, "xmin must be a number in (0, 1]"),
]


@pytest.mark.parametrize(("arguments", "fragment"), REFUSED)
def test_refusals(arguments, fragment):
    with pytest.raises(ValueError, match=r".") as error:
        fit_frequencies(**arguments)
    assert fragment in str(error.value)


# ---- the command -----------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(frequencies, [str(a) for a in arguments])


def test_command_prints_what_the_function_finds(tmp_path):
    f = counted(least=4e-6)
    fit = fit_frequencies(f, (20, 1500), samples=TOKENS, replicates=20)
    options = ("--ranks", 20, 1500, "--samples", "1e6", "--replicates", 20)
    files = [tmp_path / name for name in ("f.csv", "f.npy", "f.txt")]
    files[0].write_text(
        "latent,frequency\n" + "".join(f"{i},{v!r}\n" for i, v in enumerate(f.tolist()))
    )
    np.save(files[1], f)
    np.savetxt(files[2], f)
    for file in files:
        said = json.loads(run(file, *options, "--json").output)
        assert said["slope"] == pytest.approx(fit.slope, rel=1e-12)
        assert said["corrected"] == pytest.approx(fit.corrected.slope, rel=1e-12)
        assert said["p_value"] == fit.p_value
        assert said["dead"] == fit.dead
        assert [r["reading"] for r in said["readings"]] == ["one latent per feature", "alpha = s"]
    text = run(files[0], *options).output
    assert "corrected interval" in text
    assert "zipf_exponent" in text


def test_command_reads_logarithms_and_compares(tmp_path):
    f = drawn(1, 500)
    f[:20] = 0.0
    np.save(tmp_path / "log.npy", np.log10(f + 1e-10))
    done = run(tmp_path / "log.npy", "--log10", "--ranks", 5, 300, "--compare", "--json",
               "--replicates", 0)  # fmt: skip
    said = json.loads(done.output)
    assert said["dead"] == 20
    fit = fit_frequencies(f, (5, 300), replicates=0)
    assert said["slope"] == pytest.approx(fit.slope, rel=1e-6)
    assert said["comparison"][0]["law"] == "lognormal"


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("missing.csv",), "DATA must be a file"),
        (("two.csv",), "--column must say which of ['a', 'b']"),
        (("two.csv", "--column", "b"), "column 'b' must hold numbers"),
        (
            ("two.csv", "--column", "a", "--ranks", "1", "4"),
            "--ranks must rise and end at or before 3",
        ),
        (
            ("two.csv", "--column", "a", "--ranks", "1", "3", "--samples", "7"),
            "--samples must make",
        ),
        (("words.txt",), "must be readable as numbers"),
        (("words.txt", "--column", "a"), "--column is for CSV files"),
    ],
)
def test_command_refuses_in_one_line(tmp_path, arguments, fragment):
    (tmp_path / "two.csv").write_text("a,b\n0.1,x\n0.2,y\n0.3,z\n")
    (tmp_path / "words.txt").write_text("not numbers\n")
    done = run(tmp_path / arguments[0], *arguments[1:])
    assert done.exit_code == 2
    assert fragment in " ".join(done.output.split())


def test_importing_loads_neither_numba_nor_scipy():
    code = (
        "import sys, scaling_theory.fitting.frequencies;"
        "print([m for m in sys.modules if m.split('.')[0] in ('numba', 'torch', 'pandas')"
        " or m in ('scipy.optimize', 'scipy.stats')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.5), (0.5, 1.0), (0.5, 0.3)])
def test_bent_curves_are_not_corrected_by_a_straight_line(alpha, beta):
    """Latents that share features: rates are flat, then fall; slopes of -2 to -40 were made up."""
    population = sth.Population(
        sth.PowerLawFrequencies(alpha), default=sth.PowerLawCurve(beta=beta)
    )
    rates = sth.latent_frequencies(sth.allocate(population, 16_384), overlap=1).at(
        np.arange(1, 16_385)
    )
    counts = np.random.default_rng(0).poisson(1e6 * rates)
    found = fit_frequencies(counts / 1e6, samples=10**6, replicates=0)
    assert found.corrected is None
    assert found.status == "bent"


def test_straight_curves_still_are():
    """At 0.01 one in a hundred would be rejected of continuous data; of counts fewer."""
    kept = 0
    for seed in range(40):
        g = np.random.default_rng(seed)
        counts = g.poisson(3.0 * g.random(4_096) ** -0.74)
        found = fit_frequencies(
            counts / 1e7, ranks=(50, 3_000), samples=10**7, replicates=0, seed=seed
        )
        kept += found.corrected is not None
    assert kept >= 37
