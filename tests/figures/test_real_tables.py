"""Tables of real activations: they come back from their files, and figures are made from them."""

from __future__ import annotations

import functools
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scaling_theory.figures import FIGURES, registry, reproduce
from scaling_theory.figures.registry import is_real
from scaling_theory.fitting import sae_training_flops
from scaling_theory.sae.studies import real
from scaling_theory.sae.studies.real import Tables, latents, laws
from scaling_theory.sae.studies.real.settings import KINDS, PRESETS, SEEDS

REAL = [name for name, path in FIGURES.items() if is_real(importlib.import_module(path))]
FRAMES = ("runs", "losses", "latents", "similarity", "diagnoses")
KS = PRESETS["quick"].ks
#: Steps of a made-up run, and of its looks.
STEPS, LOOKS = 800, (4, 10, 25, 60, 150, 400, 800)


@functools.cache
def make_tables(dimension: int = 64, multiples: tuple[int, ...] = (1, 2, 4, 8)) -> Tables:
    """Made-up runs and SAEs, through the study's own tables; ReLU and embeddings have no dead."""
    rng = np.random.default_rng(0)
    runs = made_runs(dimension, multiples, rng)
    looked = made_latents(dimension, multiples, rng)
    of_latents, cosines = latents.table(looked, progress=False)
    last = [one for one in looked if one.width == multiples[-1] * dimension]
    names = [latents.name_of(one) for one in last]
    return Tables(
        runs=runs,
        losses=laws.losses(runs),
        latents=of_latents,
        similarity=latents.similarity(looked),
        diagnoses=made_diagnoses(),
        frequencies={name: one.frequencies for name, one in zip(names, last, strict=True)},
        cosines={name: cosines[name] for name in names},
        record={"preset": "quick", "version": "0"},
    )


def made_runs(dimension: int, multiples: tuple[int, ...], rng: np.random.Generator) -> pd.DataFrame:
    """Losses 1.2 n^-0.13 (k/16)^-0.3 with errors of 1%, falling towards that with the steps."""
    rows = []
    for kind in KINDS:
        for multiple in multiples:
            width = multiple * dimension
            for family, k, l1 in [(f"TopK {k}", k, None) for k in KS] + [
                ("ReLU", None, v) for v in (0.02, 0.04)
            ]:
                for seed in SEEDS if multiple == multiples[0] else (0,):
                    l0 = float(k or {0.02: 40.0, 0.04: 25.0}[l1 or 0.0])
                    fvu = 1.2 * width**-0.13 * (l0 / 16.0) ** -0.3 * (1.0 if k else 1.1)
                    fvu *= np.exp(0.01 * rng.normal() - 0.2 * (kind == "embeddings"))
                    seen = np.array(LOOKS) / STEPS
                    dead = 0.2 * (k == 16) * (kind == "tokens")
                    idle = (dead * width * np.exp(-3.0 * seen)).astype(int) * (seen > 0.125)
                    rows.append(
                        {"kind": kind, "family": family, "k": k, "l1": l1, "width": width}
                        | {"seed": seed, "steps": STEPS, "batch_size": 1024, "l0": l0, "fvu": fvu}
                        | {"step_flops": sae_training_flops(width, dimension, 1024, k=k)}
                        | {"history_steps": json.dumps(LOOKS), "key": f"{len(rows):04d}"}
                        | {"history_fvu": json.dumps((fvu * seen**-0.12).tolist())}
                        | {"history_idle": json.dumps(idle.tolist())}
                    )
    out = pd.DataFrame(rows)
    out["k"] = out["k"].astype("Int64")
    return out


def made_latents(
    dimension: int, multiples: tuple[int, ...], rng: np.random.Generator
) -> list[latents.Latents]:
    """Nested random decoders; frequencies r^-0.7; a fifth of the widest TopK 16 is dead."""
    out = []
    samples = 2**18
    for kind in KINDS:
        base = rng.normal(size=(multiples[-1] * dimension, dimension))
        for family, k in [(f"TopK {k}", k) for k in KS] + [("ReLU", 32)]:
            for multiple in multiples:
                width = multiple * dimension
                decoder = base[:width] + 0.01 * k * rng.normal(size=(width, dimension))
                decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
                rates = np.arange(1, width + 1) ** -0.7
                rates *= k / rates.sum()
                counts = rng.binomial(samples, np.minimum(rates, 0.9))
                if (kind, family, multiple) == ("tokens", "TopK 16", multiples[-1]):
                    counts[-width // 5 :] = 0
                    decoder[-1] = decoder[0]  # a dead twin of a live latent
                freq = counts / samples
                spec: Any = None  # tables do not look at it
                out.append(
                    latents.Latents(
                        kind,
                        family,
                        width,
                        spec,
                        decoder.astype(np.float32),
                        freq,
                        samples,
                        0.1,
                        32.0,
                    )
                )
    return out


def made_diagnoses() -> pd.DataFrame:
    """One of each verdict; frequencies left out of one family; one that the model doesn't fit."""
    rows = []
    for kind in KINDS:
        for i, family in enumerate([*(f"TopK {k}" for k in KS), "ReLU"]):
            p = (0.05, 0.5, 0.93, 0.6)[i]
            verdict = ("benign", "not enough evidence", "pathological",
                       "the model does not describe these SAEs")[i]  # fmt: skip
            row = {"kind": kind, "family": family, "verdict": verdict, "message": "so it is"}
            row |= {"pathological": p, "in_the_limit": p, "next": "a width", "next_decides": 0.3}
            row |= {"losses_alone": 0.5 * p, "losses_misfit": 0.09 if i == 3 else 0.01}
            row |= {"cosines_alone": 0.9 * p, "cosines_misfit": 0.1}
            if (kind, family) != ("embeddings", "TopK 64"):
                row |= {"frequencies_alone": 0.8, "frequencies_misfit": 0.2}
            rows.append(row)
    return pd.DataFrame(rows)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up tables in place of the stored ones, and nothing is made anew."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is to be made")

    monkeypatch.setattr(Tables, "load", classmethod(lambda cls, preset: make_tables()))
    monkeypatch.setattr(real, "make_real", refuse)


def four_files(stem: str) -> set[str]:
    return {f"{stem}.{ending}" for ending in ("png", "svg", "csv", "json")}


def test_tables_come_back_from_their_files(tmp_path: Path) -> None:
    tables = make_tables()
    written = tables.save(tmp_path, "some")
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()}
    assert all(path.name.startswith("real_some_") for path in written)
    back = Tables.load("some", tmp_path)
    for name in FRAMES:
        # 7 digits; whole numbers with gaps come back as floats
        there, again = getattr(tables, name), getattr(back, name)
        pd.testing.assert_frame_equal(again, there, rtol=1e-6, check_dtype=False)
    assert back.runs["key"].tolist() == tables.runs["key"].tolist()
    for name in ("frequencies", "cosines"):
        there, again = getattr(tables, name), getattr(back, name)
        assert list(again) == list(there)
        for key, values in there.items():
            np.testing.assert_allclose(again[key], values, rtol=2.0**-23)
    assert np.isnan(back.cosines["tokens_TopK_16_512"]).sum() == 103  # the dead have none
    assert back.record == tables.record


def test_files_of_another_preset_are_not_taken(tmp_path: Path) -> None:
    make_tables().save(tmp_path, "some")
    with pytest.raises(FileNotFoundError, match=r"preset 'quick'.*--only real --preset quick"):
        Tables.load("quick", tmp_path)


@pytest.mark.parametrize("name", REAL)
def test_stored_tables_give_the_same_figure(name: str, tmp_path: Path) -> None:
    tables, module = make_tables(), importlib.import_module(FIGURES[name])
    tables.save(tmp_path, "some")
    once, again = module.data(tables), module.data(Tables.load("some", tmp_path))
    if name == "real_joint":  # of flat directions the fit reports any point
        once, again = (t[t["what"] != "parameter"].drop(columns="message") for t in (once, again))
    pd.testing.assert_frame_equal(again, once, rtol=1e-3, atol=1e-5, check_dtype=False)


def test_a_figure_is_written_from_stored_tables(tmp_path: Path, stored: None) -> None:
    (png,) = reproduce(tmp_path, only=["real_scaling"], command="test")
    assert png.name == "real_scaling_quick.png"
    assert {path.name for path in tmp_path.iterdir()} == four_files("real_scaling_quick")
    assert png.stat().st_size < 150_000
    said = json.loads((tmp_path / "real_scaling_quick.json").read_text())
    assert said["study"] == make_tables().record
    assert (said["figure"], said["command"], said["preset"]) == ("real_scaling", "test", "quick")
    table = pd.read_csv(tmp_path / "real_scaling_quick.csv")
    loss = table[(table["panel"] == "width") & (table["what"] == "measured")]["y"]
    np.testing.assert_allclose(loss, make_tables().losses["loss"], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_every_figure_is_written_small_and_the_same_twice(
    name: str, tmp_path: Path, stored: None
) -> None:
    first, second = (reproduce(tmp_path / where, only=[name]) for where in "ab")
    assert {p.name for p in (tmp_path / "a").iterdir()} == four_files(f"{name}_quick")
    assert first[0].stat().st_size < 150_000
    assert first[0].read_bytes() == second[0].read_bytes()


def test_the_study_is_made_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    written: list[str] = []

    def make(preset: str, **how: Any) -> Tables:
        asked.append((preset, how["progress"]))
        return make_tables()

    def load(preset: str) -> Tables:
        raise AssertionError("what is stored is not to be taken")

    def write(name: str, made: Any, module: Any, output: Path) -> Path:
        written.append(made.stem)
        return output / f"{made.stem}.png"

    monkeypatch.setattr(real, "make_real", make)
    monkeypatch.setattr(Tables, "load", load)
    monkeypatch.setattr(registry, "_write", write)
    out = reproduce(tmp_path, only=["real"], preset="paper")
    assert asked == [("paper", False)]
    assert written == [f"{name}_paper" for name in REAL]
    assert [path.stem for path in out] == written


def test_what_is_not_stored_is_refused_by_name_and_else_left_out_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(preset: str, folder: Path | None = None) -> Tables:
        raise FileNotFoundError(f"nothing of {preset}")

    monkeypatch.setattr(Tables, "load", load)
    some = {name: FIGURES[name] for name in (*REAL, "oneill2024_figure4_left")}
    monkeypatch.setattr(registry, "FIGURES", some)
    monkeypatch.setattr(registry, "_write", lambda name, *_: tmp_path / f"{name}.png")
    with pytest.raises(FileNotFoundError, match="nothing of paper"):
        reproduce(tmp_path / "named", only=["real_scaling"], preset="paper")
    # a part that other figures have too names none of them
    reproduce(tmp_path / "named", only=["e"], preset="paper")
    said: list[str] = []
    out = reproduce(tmp_path / "all", preset="paper", say=said.append)
    assert [path.stem for path in out] == ["oneill2024_figure4_left"]
    assert said == ["figures of real activations are left out: nothing of paper"]


def test_the_stored_tables_are_those_of_this_version() -> None:
    """What reads them (notebook, figures) finds what the study writes now."""
    stored = Tables.load("quick")
    for made in stored.record["data"].values():
        assert {"trained_on", "held_out_rows", "digest", "text", "model_weights"} <= set(made)
    columns = {name: set(getattr(make_tables(), name)) - {"l1"} for name in FRAMES}
    for name in ("losses", "latents", "similarity"):
        assert set(getattr(stored, name)) == columns[name]
    counts = stored.losses.groupby(["kind", "family"])["width"].nunique()
    assert len(counts) == len(KINDS) * (len(KS) + 1)
    assert (counts >= 4).all()
    smallest = stored.losses[stored.losses["width"] == stored.losses["width"].min()]
    assert (smallest["seeds"] == 3).all()


def test_what_was_made_here_is_drawn_where_the_package_has_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALING_THEORY_RUNS", str(tmp_path))
    make_tables().save(tmp_path / "real_paper" / "tables", "paper")
    (png,) = reproduce(tmp_path / "out", only=["real_density"], preset="paper")
    assert png.name == "real_density_paper.png"
