"""The command line: the library's numbers, numbers as people write them, one line of error."""

import json
import subprocess
import sys

import numpy as np
import pytest

import scaling_theory as sth

# ---- regime ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.1), (0.5, 0.5), (0.5, 2.0)])
def test_regime(ask, alpha, beta):
    said, want = ask("regime", "--alpha", alpha, "--beta", beta), sth.predict(alpha, beta)
    for key in (
        "regime",
        "alpha",
        "beta",
        "loss_exponent",
        "discovery_exponent",
        "loss_constant",
        "discovery_constant",
    ):
        assert said[key] == getattr(want, key)


def test_regime_of_populations(ask):
    one = ask(
        "regime", "--alpha", 0.5, "--beta", 0.1, "--shift", 0, "--manifold-ranks", 10, "--latents",
        "1e6",
    )  # fmt: skip
    tile = sth.PowerLawCurve(0.1, shift=0)
    population = sth.Population(
        sth.PowerLawFrequencies(0.5), sth.DiscreteCurve(), ranks={10: tile}, label="discrete"
    )
    assert one["half"] == sth.theory.takeover(population, "rank 10")
    assert one["predictions"][0]["discovered"] == pytest.approx(
        sth.allocate(population, 1e6).discovered, abs=1.0
    )
    assert one["within_reach"] is True
    share = ask("regime", "--alpha", 0.5, "--beta", 0.1, "--manifold-share", 0.01, "--seed", 3)
    assert share["half"] > one["half"]
    discrete = ask("regime", "--alpha", 0.5)
    assert (discrete["regime"], discrete["discovery_constant"]) == ("benign", 1.0)
    few = ask("regime", "--alpha", -0.2, "--beta", 0.5, "--features", "1e5")
    assert few["saturation"] > 1e5
    assert few["loss_exponent"] is None
    assert "crossover" not in few


def test_crossover_within_a_fraction(ask):
    said = sth.predict(0.5, 0.1)
    strict = ask("regime", "--alpha", 0.5, "--beta", 0.1, "--within", 0.01)
    assert strict["crossover"] == said.crossover_within(0.01)
    assert ask("regime", "--alpha", 0.2, "--beta", 0.2)["within_reach"] is False


def test_regime_for_people(run):
    code, out, _ = run("regime", "--alpha", "0.5", "--beta", "0.1")
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line.strip())
    assert lines["regime"] == "pathological"
    assert float(lines["loss_exponent"]) == 0.1
    assert float(lines["discovery_constant"]) == pytest.approx(
        sth.predict(0.5, 0.1).discovery_constant, rel=1e-9
    )


# ---- allocate --------------------------------------------------------------------------------

M25 = sth.PowerLawFrequencies(0.5)
STEP, TILE = sth.DiscreteCurve(), sth.PowerLawCurve(0.1)
PROBLEMS = {
    "discrete": ([], sth.Population(M25, STEP)),
    "residual": (["--residual", "0.1"], sth.Population(M25, sth.DiscreteCurve(0.1))),
    "all manifolds": (["--beta", "0.1"], sth.Population(M25, TILE)),
    "the paper's": (
        ["--beta", "0.1", "--shift", "0"],
        sth.Population(M25, sth.PowerLawCurve(0.1, shift=0.0)),
    ),
    "Figure 2": (
        ["--beta", "0.1", "--shift", "0", "--manifold-ranks", "1"],
        sth.Population(M25, STEP, {1: sth.PowerLawCurve(0.1, shift=0.0)}),
    ),
    "some ranks": (
        ["--beta", "0.1", "--manifold-ranks", "2,5-7", "--residual", "0.2"],
        sth.Population(M25, sth.DiscreteCurve(0.2), {(2, 5, 6, 7): TILE}),
    ),
    "a share": (
        ["--beta", "0.1", "--manifold-share", "0.25", "--seed", "3"],
        sth.Population.mixture(M25, {"manifold": (0.25, TILE), "discrete": (0.75, STEP)}, 3),
    ),
    "few": (
        ["--features", "1e3", "--beta", "0.1"],
        sth.Population(sth.PowerLawFrequencies(0.5, count=1000), TILE),
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_allocate(ask, name):
    options, population = PROBLEMS[name]
    said = ask("allocate", "--alpha", "0.5", "--latents", "1e5", *options)
    at = sth.allocate(population, 10**5)
    for key in ("latents", "discovered", "loss", "excess_loss", "price", "gap"):
        assert said[key] == getattr(at, key)
    assert said["seconds"] >= 0.0


def test_figure_2_from_the_command_line(ask):
    options, _ = PROBLEMS["Figure 2"]
    said = ask("allocate", "--alpha", "0.5", "--latents", "1e8", *options)
    assert said["latents"] == 10**8
    assert said["discovered"] == pytest.approx(3_330_771, rel=1e-4)


def test_allocate_for_people(run):
    code, out, _ = run("allocate", "--alpha", "0.5", "--latents", "1e6")
    assert code == 0
    assert "1,000,000" in out
    assert all(word in out for word in ("discovered", "loss", "price", "gap", "seconds"))


@pytest.mark.parametrize("written", ["1e6", "1000000", "1E6", "1e+06", "1000000.0"])
def test_numbers_as_people_write_them(ask, written):
    assert ask("allocate", "--alpha", "0.5", "--latents", written)["latents"] == 10**6


def test_counts_keep_their_last_digit(ask):
    # beyond 2^53 a float would not
    said = ask("allocate", "--alpha", "0.5", "--latents", "999999999999999")
    assert said["latents"] == 999_999_999_999_999


# ---- simulate --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "budgets"),
    [
        ("100", [100]),
        ("1,10,100", [1, 10, 100]),
        ("4:1024", [4 * 2**k for k in range(9)]),
        ("3:20", [3, 6, 12]),
        ("1e2:1e8:25", sth.logspace(1e2, 1e8, 25).tolist()),
    ],
)
def test_ranges(ask, written, budgets):
    rows = ask("simulate", "--alpha", "0.5", "--latents", written)
    assert [row["latents"] for row in rows] == budgets


def test_simulate_is_the_scaling_curve(ask):
    rows = ask("simulate", "--alpha", "0.5", "--beta", "0.1", "--latents", "64:1024")
    table = sth.scaling_curve(PROBLEMS["all manifolds"][1], [64, 128, 256, 512, 1024])
    assert list(rows[0]) == table.columns.tolist()
    assert rows == table.to_dict("records")


def test_simulate_defaults_to_25_budgets(ask):
    rows = ask("simulate", "--alpha", "0.5")
    assert [rows[0]["latents"], rows[-1]["latents"], len(rows)] == [100, 10**8, 25]


def test_simulate_writes_a_table(run, tmp_path):
    import pandas as pd

    path = tmp_path / "curve.csv"
    code, _, _ = run("simulate", "--alpha", "0.5", "--latents", "4:64", "--output", path)
    assert code == 0
    written = pd.read_csv(path)
    table = sth.scaling_curve(PROBLEMS["discrete"][1], [4, 8, 16, 32, 64])
    pd.testing.assert_frame_equal(written, table, check_exact=True)


def test_an_undefined_slope_is_null_in_json(ask):
    (row,) = ask("simulate", "--alpha", "0.5", "--features", "1", "--latents", "1")
    assert row["discovery_slope"] is None


# ---- fit -------------------------------------------------------------------------------------


def test_fit(ask, tmp_path):
    n = np.geomspace(64, 65536, 11)
    path = tmp_path / "losses.csv"
    lines = [
        f"{x!r},{y!r}" for x, y in zip(n.tolist(), (2.0 * n**-0.5 + 0.1).tolist(), strict=True)
    ]
    path.write_text("n,loss\n" + "\n".join(lines))
    said = ask("fit", path)
    assert {"exponent", "scale", "floor", "intervals", "status"} <= set(said)
    for name, truth in {"exponent": 0.5, "scale": 2.0, "floor": 0.1}.items():
        assert said[name] == pytest.approx(truth, rel=1e-7)
        low, high = said["intervals"][name]
        assert low <= truth * (1 + 1e-9)
        assert high >= truth * (1 - 1e-9)


def test_fit_of_a_data_set_that_ships_with_the_package(ask):
    where = ["--where", "corpus=astro-ph", "--where", "k=16"]
    said = ask("fit", "oneill2024_table2", "--loss", "normalised_mse", *where)
    table = sth.datasets.load("oneill2024_table2")
    table = table[(table["corpus"] == "astro-ph") & (table["k"] == 16)]
    want = sth.fit_power_law(table["n"].to_numpy(), table["normalised_mse"].to_numpy())
    assert said["exponent"] == want.exponent
    assert said["status"] == want.status


# ---- errors ----------------------------------------------------------------------------------

MANIFOLD = ["allocate", "--alpha", "0.5", "--beta", "0.1", "--latents", "5"]
WRONG = {
    "no such command": (["frobnicate"], ["frobnicate"]),
    "no alpha": (["regime", "--beta", "1"], ["--alpha"]),
    "alpha": (["regime", "--alpha", "-0.5", "--beta", "1"], ["alpha", "-0.5", "(0, 100]"]),
    "alpha is text": (["regime", "--alpha", "x", "--beta", "1"], ["--alpha", "'x'"]),
    "beta": (["regime", "--alpha", "0.5", "--beta", "nan"], ["beta", "nan"]),
    "no such option": (["regime", "--gamma", "1"], ["--gamma"]),
    "no latents": (["allocate", "--alpha", "0.5"], ["--latents"]),
    "fraction": (["allocate", "--alpha", "0.5", "--latents", "1.5"], ["--latents", "1.5"]),
    "negative": (["allocate", "--alpha", "0.5", "--latents", "-5"], ["latents", "-5", "[0, "]),
    "too many": (["allocate", "--alpha", "0.5", "--latents", "2e15"], ["latents", "[0, 1"]),
    "infinite": (["allocate", "--alpha", "0.5", "--latents", "inf"], ["--latents", "inf"]),
    "huge": (["allocate", "--alpha", "0.5", "--latents", "1e400"], ["--latents", "1e400"]),
    "text": (["allocate", "--alpha", "0.5", "--latents", "many"], ["--latents", "many"]),
    "features": (
        ["allocate", "--alpha", "0.5", "--latents", "5", "--features", "0"],
        ["--features", "0", "[1, "],
    ),
    "ranks and share": (
        [*MANIFOLD, "--manifold-ranks", "1", "--manifold-share", "0.5"],
        ["--manifold-ranks", "--manifold-share"],
    ),
    "ranks without a manifold": (
        ["allocate", "--alpha", "0.5", "--latents", "5", "--manifold-ranks", "1"],
        ["--manifold-ranks", "--beta"],
    ),
    "rank 0": (
        [*MANIFOLD, "--manifold-ranks", "0"],
        ["ranks", "0"],
    ),
    "share": (
        [*MANIFOLD, "--manifold-share", "1.5"],
        ["share", "1.5"],
    ),
    "residual": (
        ["allocate", "--alpha", "0.5", "--latents", "5", "--residual", "1"],
        ["residual", "1", "[0, 1)"],
    ),
    "range upside down": (["simulate", "--alpha", "0.5", "--latents", "8:4"], ["'8:4'"]),
    "range from 0": (["simulate", "--alpha", "0.5", "--latents", "0:4"], ["'0:4'"]),
    "four parts": (["simulate", "--alpha", "0.5", "--latents", "1:2:3:4"], ["'1:2:3:4'"]),
    "no points": (["simulate", "--alpha", "0.5", "--latents", "1:8:0"], ["points", "0"]),
    "budget 0": (["simulate", "--alpha", "0.5", "--latents", "0"], ["latents", "0"]),
    "no data": (["fit", "no-such-file.csv"], ["no-such-file.csv", "oneill2024_table2"]),
    "no column": (["fit", "oneill2024_table2", "--loss", "x"], ["--loss", "'x'"]),
    "where": (["fit", "oneill2024_table2", "--where", "x=1"], ["--where", "'x=1'"]),
    "floor": (
        ["fit", "oneill2024_table2", "--loss", "normalised_mse", "--floor", "up"],
        ["--floor", "'up'"],
    ),
    "figure": (["reproduce", "--only", "no-such-figure"], ["no-such-figure"]),
    "preset": (["reproduce", "--preset", "slow"], ["--preset", "slow"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_one_line_and_exit_code_2(run, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, fragments = WRONG[name]
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    for fragment in fragments:
        assert fragment in err


@pytest.mark.parametrize("ranks", ["inf", "1.7", "5-1", "nan", "1,,2", "x"])
def test_ranks_that_are_none(run, ranks):
    code, _, err = run(*MANIFOLD, "--manifold-ranks", ranks)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "--manifold-ranks" in err
    assert ranks in err


def test_a_file_that_is_no_table(run, tmp_path):
    for name, content in (("empty.csv", b""), ("binary.csv", b"\xff\xfe\x00\x81" * 50)):
        path = tmp_path / name
        path.write_bytes(content)
        code, _, err = run("fit", path)
        assert code == 2
        assert len(err.splitlines()) == 1
        assert name in err


def test_a_column_of_words(run, tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("n,loss\n1,0.5\n2,low\n4,0.2\n")
    code, _, err = run("fit", path)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "'loss'" in err


# ---- as a program ------------------------------------------------------------------------------


def program(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "scaling_theory.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_as_a_program():
    done = program("regime", "--alpha", "0.5", "--beta", "0.1", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["regime"] == "pathological"


def test_an_error_as_a_program():
    done = program("allocate", "--alpha", "nan", "--latents", "5")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "nan" in done.stderr


@pytest.mark.parametrize("command", ["regime", "allocate", "simulate", "fit", "reproduce"])
def test_help(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert "Usage: scaling-theory" in out
    code, out, _ = run("--help")
    assert command in out


def test_version(run):
    code, out, _ = run("--version")
    assert code == 0
    assert sth.__version__ in out
