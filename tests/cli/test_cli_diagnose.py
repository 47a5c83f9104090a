"""``scaling-theory diagnose``: the library's diagnosis of what files hold, and nothing ignored."""

import importlib
import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import scaling_theory as sth
from scaling_theory import _cli_evidence
from scaling_theory._cli_output import finite
from scaling_theory.analysis import diagnosis
from scaling_theory.analysis.blind import blind_family
from scaling_theory.sae.formats import PublishedSAE, save_sae

FAMILY = blind_family(2)  # pathological, nothing withheld
WIDTH = 135
#: The package has a function of the module's name.
diagnose_module = importlib.import_module("scaling_theory.analysis.diagnosis.diagnose")
GPT2 = ["--losses", "gpt2_layer8_widths", "--loss", "variance_explained", "--explained"]


@pytest.fixture(scope="module")
def told():
    """The diagnosis of GPT-2's SAEs: a diagnosis takes a second or more."""
    table = sth.datasets.load("gpt2_layer8_widths")
    return sth.diagnose(
        widths_losses=(table["width"].to_numpy(), 1.0 - table["variance_explained"].to_numpy())
    )


@pytest.fixture
def given(monkeypatch, ask, told):
    """Options -> arguments that ``st.diagnose`` is called with, and the JSON that is said."""
    calls = []

    def record(**arguments):
        calls.append(arguments)
        return told

    monkeypatch.setattr(diagnosis, "diagnose", record)

    def call(*options):
        said = ask("diagnose", *options)
        (arguments,) = calls
        calls.clear()
        return arguments, said

    return call


@pytest.fixture
def losses(tmp_path):
    path = tmp_path / "losses.csv"
    columns = {"width": FAMILY.widths, "loss": FAMILY.losses, "stderr": FAMILY.stderr}
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def decoder():
    """A circle of 24 rows, a pair of twins and 70 others."""
    g = np.random.default_rng(0)
    angle = 2.0 * np.pi * np.arange(24) / 24
    rows = np.zeros((96, 32))
    rows[:24, 0], rows[:24, 1] = np.cos(angle), np.sin(angle)
    rows[24:] = g.standard_normal((72, 32))
    rows[25] = rows[24]
    return rows


def check_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert np.array_equal(a, b)


# ---- evidence ------------------------------------------------------------------------------------


def test_losses(given, losses):
    arguments, _ = given("--losses", losses)
    check_same(arguments["widths_losses"], (FAMILY.widths, FAMILY.losses, FAMILY.stderr))
    assert arguments["prior"] == 0.5
    assert not {"frequencies", "cosines", "decoder"} & set(arguments)


def test_losses_under_other_names(given, tmp_path):
    path = tmp_path / "long.csv"
    table = pd.DataFrame({"n": FAMILY.widths, "mse": FAMILY.losses, "error": FAMILY.stderr})
    other = table.assign(mse=1.0)
    pd.concat([table.assign(k=16), other.assign(k=32)]).to_csv(path, index=False)
    options = ["--losses", path, "--loss", "mse", "--where", "k=16"]
    check_same(given(*options)[0]["widths_losses"], (FAMILY.widths, FAMILY.losses))
    arguments, _ = given(*options, "--n", "n", "--stderr", "error")
    check_same(arguments["widths_losses"], (FAMILY.widths, FAMILY.losses, FAMILY.stderr))


def test_data_in_the_package(ask, told):
    said = ask("diagnose", *GPT2)
    assert said == {**json.loads(json.dumps(finite(told.as_dict()))), "decoders": [], "notes": []}


def test_frequencies_of_several_widths(given, tmp_path):
    files = []
    for width, rates in FAMILY.frequencies.items():
        files += ["--frequencies", tmp_path / f"{width}.npy"]
        np.save(files[-1], rates)
    arguments, _ = given(*files, "--samples", 10**6, "--prior", 0.2)
    assert list(arguments["frequencies"]) == list(FAMILY.frequencies)
    check_same(arguments["frequencies"].values(), FAMILY.frequencies.values())
    assert (arguments["samples"], arguments["prior"]) == (10**6, 0.2)


def test_a_width_of_frequencies(given, tmp_path):
    path = tmp_path / "live.npz"
    live = FAMILY.frequencies[WIDTH]
    live = live[live > 0.0]
    np.savez(path, live=live, other=live[:3])
    arguments, _ = given("--frequencies", f"1e5={path}", "--key", "live")
    assert list(arguments["frequencies"]) == [100_000]
    check_same(arguments["frequencies"].values(), [live])


def test_cosines(given, tmp_path):
    files = []
    for width, cosines in FAMILY.cosines.items():
        path = tmp_path / f"{width}.csv"
        pd.DataFrame({"cosine": cosines.tolist(), "latent": 0}).to_csv(path, index=False)
        files += ["--cosines", f"{width}={path}"]
    arguments, _ = given(*files, "--dimension", 1000)
    assert list(arguments["cosines"]) == list(FAMILY.cosines)
    check_same(arguments["cosines"].values(), FAMILY.cosines.values())
    assert arguments["dimension"] == 1000


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors", "transposed"])
def test_decoders(given, tmp_path, decoder, kind):
    path = tmp_path / f"decoder.{'npy' if kind == 'transposed' else kind}"
    if kind == "npy":
        np.save(path, decoder)
    elif kind == "npz":
        np.savez(path, W_dec=decoder, b_dec=np.zeros(32))
    elif kind == "safetensors":
        save_file({"W_dec": torch.from_numpy(decoder), "b_dec": torch.zeros(32)}, path)
    else:
        np.save(path, np.asfortranarray(decoder))
    arguments, said = given("--decoder", path)
    cosines, dimension = diagnose_module._cosines_of(decoder, None)  # what decoder= is turned into
    assert list(arguments["cosines"]) == list(cosines) == [96]
    # sums over columns that lie otherwise in memory are rounded otherwise
    assert np.allclose(arguments["cosines"][96], cosines[96], rtol=0.0, atol=1e-12)
    assert arguments["dimension"] == dimension == 32
    (one,) = said["decoders"]
    share = sth.analysis.tiling_share(decoder)
    assert one["width"] == 96
    assert one["tiling"]["message"] == share.message
    assert one["tiling"]["share"] == pytest.approx(share.share, abs=1e-12)
    assert one["duplicates"]["message"] == sth.analysis.near_duplicates(decoder).message
    assert one["duplicates"]["pair_count"] == 1


@pytest.fixture
def published(tmp_path, decoder):
    rates = 0.2 * np.arange(1.0, 97.0) ** -1.2
    rates[25] = 0.0  # one of the twins is dead
    rows = torch.from_numpy(decoder).float()
    sae = PublishedSAE(
        rows.clone(), torch.zeros(96), rows, torch.zeros(32), "relu",
        frequencies=torch.from_numpy(rates).float(),
    )  # fmt: skip
    return save_sae(sae, tmp_path / "sae")


def test_a_published_sae(given, run, published):
    arguments, said = given("--sae", published)
    sae = sth.load_sae(published)
    check_same([arguments["frequencies"][96]], [sae.frequencies.numpy()])
    fires = sae.frequencies.numpy() > 0.0  # dead latents are no neighbours
    near = sth.analysis.decoder_neighbours(sae.decoder, alive=fires)
    check_same([arguments["cosines"][int(fires.sum())]], [near.cosine])
    assert said["decoders"][0]["duplicates"]["dead_nearest_share"] == 1.0
    assert said["notes"] == [f"{published}: {sae.frequencies_note}"]
    # the same, read by two options
    _, apart = given("--decoder", published, "--frequencies", f"96={published}")
    assert {**apart, "notes": said["notes"]} == said
    _, out, _ = run("diagnose", "--sae", published)
    for text in (said["decoders"][0]["tiling"]["message"], said["notes"][0], "nearest is dead: 1"):
        assert text in out


def test_rows_of_a_decoder(given, tmp_path, decoder):
    np.save(tmp_path / "decoder.npy", decoder)
    (one,) = given("--decoder", tmp_path / "decoder.npy", "--rows", 40)[1]["decoders"]
    assert one["message"].startswith("40 of 96 rows")
    assert one["tiling"]["message"] == sth.analysis.tiling_share(decoder, samples=40).message


def test_notes_of_what_looks_wrong(given, run, tmp_path, decoder):
    wide = tmp_path / "wide.npy"
    np.save(wide, decoder[:20])
    note = "20 rows of 32 numbers: one row is one latent; transpose if the file holds (d, n)"
    assert given("--decoder", wide)[1]["notes"] == [f"{wide}: {note}"]
    np.save(wide, decoder[:32])
    assert given("--decoder", wide)[1]["notes"] == []
    path = tmp_path / "rising.csv"
    path.write_text("d_sae,mse\n100,0.5\n200,0.6\n400,0.7\n")
    arguments, said = given("--losses", path)
    check_same(arguments["widths_losses"], ([100, 200, 400], [0.5, 0.6, 0.7]))
    hint = "losses rise with n: shares of explained variance? --explained"
    assert said["notes"] == [f"{path}: {hint}"]
    assert given("--losses", path, "--explained")[1]["notes"] == []


# ---- what it says --------------------------------------------------------------------------------


def told_to_people(run, monkeypatch, said):
    monkeypatch.setattr(diagnosis, "diagnose", lambda **_: said)
    code, out, err = run("diagnose", *GPT2)
    assert (code, err) == (0, "")
    return out


def test_for_people(run, monkeypatch, told):
    out = told_to_people(run, monkeypatch, told)
    lines = out.splitlines()
    assert lines[0] == f"verdict: {told.verdict}"
    assert lines[1] == f"{told.message} (before: 0.50)"
    for name in told.parameters.index:
        assert any(line.split()[:1] == [name] for line in lines)
    for name in told.further["measurement"]:
        assert name in out


def test_verdicts(run, monkeypatch, told):
    unknown = replace(told, verdict="not enough evidence")
    out = told_to_people(run, monkeypatch, unknown)
    assert out.startswith("verdict: not enough evidence\n")
    assert "what would decide" in out
    out = told_to_people(run, monkeypatch, replace(told, verdict="pathological"))
    assert out.startswith("verdict: pathological\n")
    assert "what would decide" not in out
    assert "further measurements" in out
    none = replace(told, verdict="the model does not describe these SAEs", further=None)
    out = told_to_people(run, monkeypatch, none)
    assert "what would decide" not in out
    assert "further measurements" not in out


@pytest.mark.slow
def test_three_losses_are_not_enough_evidence(run, tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("width,loss\n100,0.50\n200,0.45\n400,0.41\n")
    code, out, _ = run("diagnose", "--losses", path)
    assert code == 0
    assert out.startswith("verdict: not enough evidence\n")


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_figure(run, monkeypatch, told, tmp_path, suffix):
    monkeypatch.setattr(diagnosis, "diagnose", lambda **_: told)
    path = tmp_path / f"page.{suffix}"
    code, out, _ = run("diagnose", *GPT2, "--figure", path)
    assert code == 0
    start = {"png": b"\x89PNG", "svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(start)
    assert str(path) in out


def test_ctrl_c_diagnoses_from_what_is_done(run, tmp_path, decoder, monkeypatch, told):
    monkeypatch.setattr(diagnosis, "diagnose", lambda **_: told)
    from scaling_theory.analysis import decoders

    np.save(tmp_path / "decoder.npy", decoder)
    real = decoders.nearest_two

    def once(rows, at):
        if once.done:
            raise KeyboardInterrupt
        once.done = True
        return real(rows, at)

    once.done = False
    monkeypatch.setattr(decoders, "nearest_two", once)
    original = sth.analysis.decoder_neighbours
    monkeypatch.setattr(
        sth.analysis, "decoder_neighbours", lambda *a, **k: original(*a, **k, block=16)
    )
    code, out, err = run("diagnose", "--decoder", tmp_path / "decoder.npy")
    assert code == 130
    assert err.splitlines()[-1] == "scaling-theory: stopped"
    assert out.startswith("verdict: ")
    assert "Ctrl-C" in out
    assert "16 of 96 rows" in out


def test_ctrl_c_before_anything_is_done(run, tmp_path, decoder, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    np.save(tmp_path / "decoder.npy", decoder)
    monkeypatch.setattr(sth.analysis, "decoder_neighbours", stop)
    code, out, err = run("diagnose", "--decoder", tmp_path / "decoder.npy")
    assert (code, out, err) == (130, "", "\nscaling-theory: stopped\n")


# ---- errors --------------------------------------------------------------------------------------

LOSSES = ["--losses", "gpt2_layer8_widths"]
WRONG = {
    "nothing": ([], ["--losses", "--frequencies", "--sae"]),
    "no file": (["--losses", "no.csv"], ["--losses", "no.csv", "gpt2_layer8_widths"]),
    "no column": (LOSSES, ["--loss", "'loss'", "variance_explained"]),
    "width column": ([*GPT2, "--n", "x"], ["--n", "'x'"]),
    "stderr": ([*GPT2, "--stderr", "x"], ["--stderr", "'x'"]),
    "no rows": ([*GPT2, "--where", "width=3"], ["gpt2_layer8_widths", "--where"]),
    "few widths": ([*GPT2, "--where", "width=768"], ["--losses", "3 different widths", "1"]),
    "prior": ([*GPT2, "--prior", "1"], ["--prior", "1.0", "(0, 1)"]),
    "samples": ([*GPT2, "--samples", "5"], ["--samples", "--frequencies"]),
    "rows": ([*GPT2, "--rows", "5"], ["--rows", "--decoder"]),
    "no rows at all": (["--decoder", "flat.npy", "--rows", "0"], ["--rows", "0", "at least 1"]),
    "dimension": ([*GPT2, "--dimension", "5"], ["--dimension", "--cosines"]),
    "column of nothing": (["--frequencies", "rates.npy", "--column", "a"], ["--column", ".csv"]),
    "key of nothing": (["--frequencies", "rates.npy", "--key", "a"], ["--key", ".npz"]),
    "losses of nothing": (["--frequencies", "rates.npy", "--loss", "a"], ["--loss", "--losses"]),
    "width": (["--frequencies", "1=rates.npy"], ["--frequencies", "1=rates.npy", "at least 2"]),
    "half a width": (["--frequencies", "9.5=rates.npy"], ["--frequencies", "9.5=rates.npy"]),
    "narrower": (["--frequencies", "9=rates.npy"], ["--frequencies", "9", "50"]),
    "twice": (["--frequencies", "rates.npy"] * 2, ["--frequencies", "50", "twice"]),
    "few live": (["--frequencies", "few.npy"], ["--frequencies", "at least 8", "3"]),
    "flat decoder": (["--decoder", "rates.npy"], ["--decoder", "(latents, dimension)", "(50,)"]),
    "decoder of text": (["--decoder", "text.txt"], ["--decoder", ".npy", "text.txt"]),
    "wide decoder": (["--decoder", "9=flat.npy"], ["--decoder", "9", "20"]),
    "two spaces": (
        ["--decoder", "flat.npy", "--decoder", "other.npy"],
        ["decoders", "one dimension", "[4, 5]"],
    ),
    "not finite": (["--decoder", "nan.npy"], ["--decoder", "finite", "row 3"]),
    "both": (["--decoder", "flat.npy", "--cosines", "rates.npy"], ["--cosines", "--decoder"]),
    "no cosines": (["--cosines", "large.npy"], ["--cosines", "2.0"]),
    "no sae": (["--sae", "no"], ["--sae", "no"]),
    "negative loss": (
        ["--losses", "negative.csv"],
        ["--losses (losses) must hold", "got --losses (losses)[1] = -0.4"],
    ),
    "percentages": (["--losses", "percent.csv", "--explained"], ["--explained", "61", "by 100"]),
    "logarithms": (
        ["--frequencies", "logs.npy"],
        ["--frequencies must be at least 0", "logs.npy", "--log10"],
    ),
    "figure": ([*GPT2, "--figure", "page.doc"], ["--figure", ".png", "page.doc"]),
    "figure nowhere": ([*GPT2, "--figure", "no/page.png"], ["no/page.png"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(check_refused, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    g = np.random.default_rng(0)
    np.save("rates.npy", np.arange(1.0, 51.0) ** -1.0)
    np.save("few.npy", np.array([0.1, 0.1, 0.1, 0.0]))
    np.save("flat.npy", g.standard_normal((20, 4)))
    np.save("other.npy", g.standard_normal((10, 5)))
    np.save("large.npy", np.full(20, 2.0))
    np.save("logs.npy", np.log10(np.arange(1.0, 51.0) ** -1.0))
    (tmp_path / "negative.csv").write_text("width,loss\n100,0.5\n200,-0.4\n400,0.3\n")
    (tmp_path / "percent.csv").write_text("width,loss\n100,61\n200,65\n400,70\n")
    bad = g.standard_normal((20, 4))
    bad[3, 2] = np.nan
    np.save("nan.npy", bad)
    (tmp_path / "text.txt").write_text("1 2\n3 4\n")
    arguments, fragments = WRONG[name]
    check_refused(["diagnose", *arguments], *fragments)
    assert not (tmp_path / "page.png").exists()


def test_a_refused_diagnosis_leaves_no_figure(check_refused, tmp_path):
    path = tmp_path / "page.png"
    check_refused(["diagnose", *LOSSES, "--figure", path], "--loss")
    assert not path.exists()


def test_help_and_that_torch_is_not_loaded_for_losses(run):
    import subprocess

    code = "import sys; from scaling_theory.cli import main\ntry:\n    main()\nfinally:\n    "
    code += "print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "diagnose", *GPT2], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False False"
    for command in ("fit", "frequencies", "diagnose"):
        code, out, _ = run(command, "--help")
        assert code == 0
        assert f"Usage: scaling-theory {command}" in out


def test_a_file_name_with_an_equals_sign():
    assert _cli_evidence.named_width("--decoder", "a=b.npy")[0] is None
    assert _cli_evidence.named_width("--decoder", "1e3=b=c.npy")[0] == 1000
    assert str(_cli_evidence.named_width("--decoder", "1e3=b=c.npy")[1]) == "b=c.npy"
