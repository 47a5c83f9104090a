"""``scaling-theory frequencies``: every kind of file, none of them unpickled."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from safetensors.torch import save_file

import scaling_theory as sth
from scaling_theory import _cli_files as files
from scaling_theory.sae.formats import PublishedSAE, save_sae

RATES = np.concatenate([0.3 * np.arange(1.0, 397.0) ** -0.9, np.zeros(4)])[::-1].copy()
RANKS = ["--ranks", 10, 300, "--replicates", 0]


def write(folder, kind):
    """Write RATES in one of the ways; return what to give to the command."""
    path = folder / f"rates.{kind}"
    if kind == "csv":
        path.write_text(
            "latent,frequency\n" + "\n".join(f"{i},{v!r}" for i, v in enumerate(RATES.tolist()))
        )
    elif kind == "txt":
        np.savetxt(path, RATES)
    elif kind == "npy":
        np.save(path, RATES)
    elif kind == "npz":
        np.savez(path, frequency=RATES, other=RATES[:3])
    elif kind == "safetensors":
        save_file({"rates": torch.from_numpy(RATES)}, path)
    return path


@pytest.mark.parametrize("kind", ["csv", "txt", "npy", "npz", "safetensors"])
def test_every_kind_of_file(ask, tmp_path, kind):
    said = ask("frequencies", write(tmp_path, kind), *RANKS)
    want = sth.fit_frequencies(RATES, ranks=(10, 300), replicates=0)
    assert said["slope"] == pytest.approx(want.slope, rel=1e-12)
    assert said["intervals"]["exponent"] == pytest.approx(want.tail.interval, rel=1e-9)
    assert (said["latents"], said["dead"]) == (400, 4)


def test_a_column_and_an_entry_by_name(ask, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "\n".join(f"1,{v!r}" for v in RATES.tolist()))
    archive = tmp_path / "archive.npz"
    np.savez(archive, a=np.ones(400), b=RATES)
    want = sth.fit_frequencies(RATES, ranks=(10, 300), replicates=0).slope
    assert ask("frequencies", table, "--column", "b", *RANKS)["slope"] == pytest.approx(want)
    assert ask("frequencies", archive, "--key", "b", *RANKS)["slope"] == pytest.approx(want)


def saelens(folder):
    n, d = RATES.size, 8
    decoder = torch.ones(n, d)
    rates = torch.from_numpy(RATES).float()
    sae = PublishedSAE(
        decoder.clone(), torch.zeros(n), decoder, torch.zeros(d), "relu", frequencies=rates
    )
    return save_sae(sae, folder / "sae")


def test_an_sae_and_its_sparsity(ask, run, tmp_path):
    folder = saelens(tmp_path)
    whole = ask("frequencies", folder, *RANKS)
    part = ask("frequencies", folder / "sparsity.safetensors", *RANKS)
    want = sth.fit_frequencies(RATES.astype(np.float32), ranks=(10, 300), replicates=0)
    for said in (whole, part):
        assert said["slope"] == pytest.approx(want.slope, abs=1e-5)
        assert said["dead"] == 4
    assert "log10(frequency + 1e-10)" in part["note"]
    assert "SAELens" in whole["note"]
    _, out, _ = run("frequencies", folder, *RANKS)
    assert whole["note"] in out


def test_logarithms_by_option(ask, tmp_path):
    path = tmp_path / "log.npy"
    np.save(path, np.log10(RATES + 1e-10))
    said = ask("frequencies", path, "--log10", *RANKS)
    want = sth.fit_frequencies(RATES, ranks=(10, 300), replicates=0)
    assert said["slope"] == pytest.approx(want.slope, rel=1e-6)
    assert said["dead"] == 4


@given(
    some.lists(some.just(0.0) | some.floats(-9, 0).map(lambda e: 10.0**e), min_size=1),
    some.sampled_from([np.float32, np.float64]),
)
def test_logarithms_come_back(rates, dtype):
    rates = np.array(rates)
    log = np.log10(rates + files.SHIFT).astype(dtype)
    back = files._unlogged("DATA", "file", log)
    # rounding of a float32 logarithm of up to 10, and of the sum before it
    assert np.allclose(back, rates, rtol=1e-5, atol=1e-15)
    assert np.array_equal(back == 0.0, rates == 0.0)
    assert back.max() <= 1.0


class Trap:
    """Unpickling would call this."""

    def __reduce__(self):
        return (pytest.fail, ("a file was unpickled",))


@pytest.mark.parametrize("kind", ["npy", "npz", "txt", "safetensors", "pt"])
def test_nothing_is_unpickled(check_refused, tmp_path, kind):
    path = tmp_path / f"trap.{kind}"
    array = np.empty(1, dtype=object)
    array[0] = Trap()
    if kind == "npy":
        np.save(path, array, allow_pickle=True)
    elif kind == "npz":
        np.savez(path, frequency=array)
    else:
        path.write_bytes(pickle.dumps(Trap()))
    check_refused(["frequencies", path], "DATA", f"trap.{kind}")


def test_refused(check_refused, tmp_path):
    table, archive = write(tmp_path, "csv"), write(tmp_path, "npz")
    array, tensors = write(tmp_path, "npy"), write(tmp_path, "safetensors")
    check_refused(["frequencies", tmp_path / "no.npy"], "DATA", "no.npy")
    check_refused(["frequencies", table, "--column", "x"], "--column", "'x'", "frequency")
    check_refused(["frequencies", table, "--key", "x"], "--key", "rates.csv")
    check_refused(["frequencies", archive, "--key", "x"], "--key", "'x'", "other")
    check_refused(["frequencies", tensors, "--key", "x"], "--key", "'x'", "rates")
    check_refused(["frequencies", array, "--column", "x"], "--column", "CSV", "rates.npy")
    check_refused(["frequencies", array, "--log10"], "DATA", "log10", "-10 to 0")
    check_refused(["frequencies", array, "--ranks", 1, 1000], "--ranks", "396", "1000")
    check_refused(["frequencies", array, *RANKS, "--samples", 7], "--samples", "7")
    check_refused(["frequencies", array, *RANKS, "--level", 2], "--level", "2", "(0, 1)")
    np.save(tmp_path / "square.npy", np.ones((3, 3)))
    check_refused(["frequencies", tmp_path / "square.npy"], "one number a latent", "(3, 3)")
    (tmp_path / "empty.txt").write_text("")
    check_refused(["frequencies", tmp_path / "empty.txt"], "DATA", "empty.txt")
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    check_refused(["frequencies", tmp_path / "words.txt"], "DATA", "words.txt")
    (tmp_path / "folder").mkdir()
    check_refused(["frequencies", tmp_path / "folder"], "DATA", "folder", "SAELens")


def test_an_sae_without_frequencies(check_refused, tmp_path):
    folder = saelens(tmp_path)
    (folder / "sparsity.safetensors").unlink()
    check_refused(
        ["frequencies", folder], "DATA", "frequencies", "there is no sparsity.safetensors"
    )
    check_refused(["frequencies", folder, "--log10"], "--log10", "SAE")


def test_for_people(run, tmp_path):
    code, out, _ = run("frequencies", write(tmp_path, "npy"), *RANKS, "--compare")
    assert code == 0
    want = sth.fit_frequencies(RATES, ranks=(10, 300), replicates=0)
    name, value = out.splitlines()[0].split()
    assert name == "slope"
    assert float(value) == pytest.approx(want.slope, rel=1e-9)
    assert "zipf_exponent" in out
    assert "verdict" in out


@pytest.mark.parametrize("ranks", [["10", "300"], ["10,300"], ["10:300"], ["10,3e2"]])
def test_ranks_in_one_word_or_two(ask, tmp_path, ranks):
    path = write(tmp_path, "npy")
    want = sth.fit_frequencies(RATES, ranks=(10, 300), replicates=0)
    said = ask("frequencies", path, "--ranks", *ranks, "--replicates", 0)
    assert (said["slope_from"], said["slope_to"]) == (10, 300)
    assert said["slope"] == want.slope
    if len(ranks) == 1:
        joined = ask("frequencies", path, f"--ranks={ranks[0]}", "--replicates", 0)
        assert joined == said


def test_ranks_by_default(ask, tmp_path):
    said = ask("frequencies", write(tmp_path, "npy"), "--replicates", 0)
    want = sth.fit_frequencies(RATES, ranks=(39, 396), replicates=0)
    assert (said["slope_from"], said["slope_to"], said["slope"]) == (39, 396, want.slope)
    assert "Ranks 39 to 396 are the default where 396 latents fire." in said["message"]


def test_refused_with_a_hint(check_refused, tmp_path):
    path = tmp_path / "some.npy"

    def of(values):
        np.save(path, values)
        return ["frequencies", path]

    check_refused(of(np.log10(RATES[4:])), "DATA must hold", "[0, 1]", "got some.npy[0]", "--log10")
    check_refused(of(np.round(1e6 * RATES)), "got some.npy[4]", "counts?", "number of samples")
    check_refused(of(np.zeros(9)), "DATA must have at least 2 latents that fire, got 0 of 9")
    check_refused([*of(RATES), "--samples", 7], "--samples", "7")
    check_refused([*of(RATES), "--samples", 0], "--samples", "at least 1")
    check_refused([*of(RATES), "--ranks", "10,1000"], "--ranks", "396", "(10, 1000)")
    check_refused([*of(RATES), "--ranks", "10,x"], "--ranks", "'x'")
    both = "--compare needs --kind continuous or discrete"
    # before the file is read
    check_refused(
        ["frequencies", tmp_path / "no.npy", "--samples", 7, "--compare"], both, "--samples"
    )
    check_refused(["frequencies", tmp_path / "no.npy", "--kind", "poisson", "--compare"], both)
    archive = tmp_path / "two.npz"
    np.savez(archive, a=RATES, b=RATES)
    check_refused(["frequencies", archive], "--key must say which of ['a', 'b']", "'frequency'")
    table = tmp_path / "two.csv"
    table.write_text("a,b\n0.1,0.2\n")
    check_refused(["frequencies", table], "--column must say which of ['a', 'b']", "'frequency'")


def test_neither_hint_for_what_is_neither(run, tmp_path):
    path = tmp_path / "some.txt"
    for wrong in ("0.1\n-0.2\n", "0.1\n1.5\n"):
        path.write_text(wrong)
        _, _, err = run("frequencies", path)
        assert "[0, 1]" in err
        assert "log10" not in err
        assert "counts" not in err
