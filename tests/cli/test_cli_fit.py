"""``scaling-theory fit``: what the library's fits say, and no option without effect."""

import functools
import math

import numpy as np
import pytest

import scaling_theory as sth
from scaling_theory import _cli_fit
from scaling_theory._cli_output import finite, print_values
from scaling_theory.fitting import laws

GPT2 = ["fit", "gpt2_layer8_widths", "--n", "width", "--loss", "variance_explained", "--explained"]
TABLE = sth.datasets.load("gpt2_layer8_widths")
N = TABLE["width"].to_numpy(dtype=float)
LOSS = 1.0 - TABLE["variance_explained"].to_numpy()


def same(said, want):
    """Equal numbers, where JSON has null for inf and nan."""
    if isinstance(want, float) and not math.isfinite(want):
        return said is None
    return said == want


def test_explained_variance_is_turned_into_a_loss(ask):
    said = ask(*GPT2)
    want = sth.fit_power_law(N, LOSS)
    assert (said["exponent"], said["floor"]) == (want.exponent, want.floor)
    assert said["intervals"]["exponent"] == list(want.intervals["exponent"])
    assert said["bootstrap_intervals"] == {k: list(v) for k, v in want.bootstrap_intervals.items()}


def test_the_seed_is_that_of_the_bootstrap(ask):
    one, other = ask(*GPT2, "--seed", 1), ask(*GPT2, "--seed", 2)
    assert one["intervals"] == other["intervals"]
    assert one["bootstrap_intervals"] != other["bootstrap_intervals"]
    want = sth.fit_power_law(N, LOSS, seed=1).bootstrap_intervals["exponent"]
    assert one["bootstrap_intervals"]["exponent"] == list(want)


@pytest.mark.parametrize("name", ["power law", "critical power law + floor", "exponential + floor"])
def test_a_law_by_name(ask, name):
    said = ask(*GPT2, "--law", name, "--level", 0.8)
    want = sth.fit_law(N, LOSS, name, level=0.8)
    assert said["law"] == name
    for parameter, value in want.estimates.items():
        assert same(said[parameter], value)
        assert all(map(same, said["intervals"][parameter], want.intervals[parameter]))
    if want.exponent is None:
        assert "exponent" not in said
    else:
        assert said["exponent"] == want.exponent[0]
        assert said["intervals"]["exponent"] == pytest.approx(want.exponent[1:])
    assert (said["status"], said["message"], said["level"]) == (want.status, want.message, 0.8)


def test_every_law_has_a_name_here(run):
    _, out, _ = run("fit", "--help")
    text = " ".join(out.split())
    for name in laws.names():
        assert name in text


def test_huber(ask):
    loss = LOSS.copy()
    said = ask(*GPT2, "--huber", 0.001, "--floor", "zero")
    want = sth.fit_power_law(N, loss, huber=0.001, floor="zero")
    assert (said["exponent"], said["huber"]) == (want.exponent, 0.001)
    assert said["exponent"] != sth.fit_power_law(N, loss, floor="zero", replicates=0).exponent
    law = ask(*GPT2, "--huber", 0.001, "--law", "power law")
    assert law["exponent"] == sth.fit_law(N, loss, "power law", huber=0.001).exponent[0]


def test_compare(ask, run, monkeypatch):
    # all laws take seconds
    few = functools.partial(sth.compare_laws, laws=["power law", "power law + floor"])
    monkeypatch.setattr(_cli_fit, "compare_laws", few)
    said = ask(*GPT2, "--compare")
    want = few(N, LOSS)
    assert said["laws"] == finite(want.to_dict("records"))
    assert said["message"] == want.attrs["message"]
    assert said["indistinguishable"] == list(want.attrs["indistinguishable"])
    assert said["held_out"] == 2
    assert ask(*GPT2, "--compare", "--leave-largest", 3)["held_out"] == 3
    _, out, _ = run(*GPT2, "--compare")
    assert want.attrs["message"] in out
    lines = out.splitlines()
    assert lines[1].lstrip().startswith(want["law"][0])


def test_leave_largest(ask, run):
    rows = ask(*GPT2, "--leave-largest", "1,2", "--floor", "zero")["left_out"]
    want = sth.leave_largest(N, LOSS, [1, 2], floor="zero")
    assert rows == want.to_dict("records")
    assert [row["dropped"] for row in rows] == [1, 2, 2]
    _, out, _ = run(*GPT2, "--leave-largest", 1)
    assert "inside" in out.splitlines()[0]


def test_bands(ask):
    rows = ask(*GPT2, "--band", "1e5,1e6")["band"]
    fit = sth.fit_power_law(N, LOSS, replicates=0)
    at = np.array([1e5, 1e6])
    for name, ends in {
        "low": ("low", "high"),
        "measured": ("measured_low", "measured_high"),
    }.items():
        want = fit.band(at) if name == "low" else fit.prediction(at)
        assert np.allclose([[row[e] for row in rows] for e in ends], want, rtol=1e-12)
    assert [row["n"] for row in rows] == [100_000, 1_000_000]
    law = ask(*GPT2, "--law", "power law + floor", "--band", "1e5")["band"]
    want = sth.fit_law(N, LOSS, "power law + floor").band([1e5])
    assert [law[0][k] for k in ("law", "low", "high")] == [float(v[0]) for v in want]


WRONG = {
    "law": (["--law", "cubic"], ["--law", "cubic", "power law + floor"]),
    "law and compare": (["--law", "power law", "--compare"], ["--compare", "power law"]),
    "law and left out": (["--law", "power law", "--leave-largest", "1"], ["--leave-largest"]),
    "floor of a law": (["--law", "power law", "--floor", "zero"], ["--floor", "zero"]),
    "floor": (["--floor", "up"], ["--floor", "'up'", "free", "zero"]),
    "floor above": (["--floor", "0.5"], ["--floor", "0.5", "below every loss"]),
    "seed of none": (["--compare", "--seed", "1"], ["--seed", "bootstrap"]),
    "band of none": (["--compare", "--band", "5"], ["--band"]),
    "band": (["--band", "0,5"], ["--band", "0", "at least 1"]),
    "huber": (["--huber", "-1"], ["--huber", "-1", "greater than 0"]),
    "level": (["--level", "1.5"], ["--level", "1.5", "(0, 1)"]),
    "all left out": (["--leave-largest", "6"], ["--leave-largest", "6"]),
    "none left out": (["--leave-largest", "0"], ["--leave-largest", "0"]),
    "several held out": (["--compare", "--leave-largest", "1,2"], ["--leave-largest", "[1, 2]"]),
    "more held out than there are": (["--compare", "--leave-largest", "8"], ["--leave-largest"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(check_refused, name):
    options, fragments = WRONG[name]
    check_refused([*GPT2, *options], *fragments)


def test_explained_variance_of_all_is_no_loss(check_refused, tmp_path):
    path = tmp_path / "explained.csv"
    path.write_text("n,explained\n1,0.5\n2,0.7\n4,1.0\n8,1.0\n")
    check_refused(
        ["fit", path, "--loss", "explained", "--explained"], "loss", "greater than 0", "0.0"
    )


def csv(folder, header, *rows):
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


FALLING = ("512,0.50", "1024,0.43", "2048,0.37", "4096,0.33", "8192,0.30")


@pytest.mark.parametrize(
    "header", ["n,loss", "width,mse", "widths,loss", "latents,mse", "d_sae,mse"]
)
def test_columns_are_guessed_and_said(ask, run, tmp_path, header):
    path = csv(tmp_path, header, *FALLING)
    width, loss = header.split(",")
    options = ["--floor", "zero"]
    said = ask("fit", path, *options)
    named = ask("fit", path, "--n", width, "--loss", loss, *options)
    guesses = [f"--n is the column {width}"] * (width != "n")
    guesses += [f"--loss is the column {loss}"] * (loss != "loss")
    assert said["notes"] == guesses
    assert named == {**said, "notes": []}
    assert ask("fit", path, "--leave-largest", 1, *options)["notes"] == guesses
    _, out, _ = run("fit", path, *options)
    assert all(f"note: {text}" in out for text in guesses)
    assert ("note:" in out) == bool(guesses)


def test_the_first_of_several_columns_is_taken(ask, tmp_path):
    rows = [f"{i},{row}" for i, row in enumerate(FALLING, 1)]
    path = csv(tmp_path, "width,n,loss", *rows)
    both = ask("fit", path)
    assert both == ask("fit", path, "--n", "n")
    assert both["scale"] != ask("fit", path, "--n", "width")["scale"]


def test_losses_that_rise_are_doubted(ask, tmp_path):
    hint = "losses rise with n: shares of explained variance? --explained"
    path = csv(tmp_path, "n,loss", "2048,0.7", "512,0.5", "1024,0.6", "4096,0.75")
    assert ask("fit", path)["notes"] == [hint]
    assert ask("fit", path, "--explained")["notes"] == []
    once_down = csv(tmp_path, "n,loss", "512,0.5", "1024,0.6", "2048,0.7", "4096,0.65")
    assert ask("fit", once_down)["notes"] == []


def test_refused_files_and_columns(check_refused, tmp_path):
    path = csv(tmp_path, "width;mse", "512;0.5", "1024;0.4")
    check_refused(["fit", path], "commas", "';'", "width;mse")
    path = csv(tmp_path, "n,loss", "512,39.0", "1024,60.5")
    check_refused(["fit", path, "--explained"], "--explained", "39", "'loss'", "[0, 1]", "by 100")
    path = csv(tmp_path, "n,loss", "512,0.5", "1024,-0.4", "2048,0.3", "4096,0.2")
    check_refused(["fit", path], "--loss must hold", "greater than 0", "got --loss[1] = -0.4")


def test_no_minus_zero_and_no_touching_words(capsys):
    values = {
        "a": -0.0,
        "a name as long as it gets": -0.5,
        "intervals": {"long_one_bad": [-0.0, 1.0]},
    }
    print_values(values | {"rows": [{"b": -0.0}]}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["a", "0"]
    assert lines[1] == "a name as long as it gets -0.5"
    assert lines[2] == "long_one_bad interval 0  1"
    assert lines[-1].split() == ["0"]
    print_values({"a": -0.0, "b": [-0.0]}, as_json=True)
    assert capsys.readouterr().out == '{"a": 0.0, "b": [0.0]}\n'
