"""The command ``train``: the library's numbers, nothing ignored, nothing lost on Ctrl-C."""

import csv
import inspect
import json
import signal
import subprocess
import sys
from dataclasses import MISSING, fields

import pytest
import torch

from scaling_theory import _cli_kinds
from scaling_theory.cli import app
from scaling_theory.sae import architectures, manifolds, sweep
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import RUN_COLUMNS, Store
from scaling_theory.sae.trainer import Trainer, TrainingFailed

QUICK = ["--steps", "60", "--batch-size", "64"]
CIRCLE = ["--manifold", "circle", *QUICK]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    real, threads = Trainer, torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(sweep, "choose_path", lambda *a, **k: "reference")
    monkeypatch.setattr(sweep, "Trainer", lambda spec, device, _: real(spec, device, "reference"))
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run(run):
    """Call ``scaling-theory train`` in this process: arguments -> (exit code, stdout, stderr)."""
    return lambda *arguments: run("train", *arguments)


def strict(text):
    def constant(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=constant)


# ---- what it prints -----------------------------------------------------------------------------


def test_json_is_what_the_library_says(run):
    code, out, err = run(*CIRCLE, "--widths", "2:16", "--seeds", 2, "--json")
    assert (code, err) == (0, "")
    said = strict(out)
    runs = sweep.train_widths(
        manifolds.Circle(), [2, 4, 8, 16], architectures.ReLU(), seeds=2, steps=60, batch_size=64
    )
    curve = runs.curve()
    for row, own in zip(said["runs"], runs.rows, strict=True):
        assert {k: v for k, v in row.items() if k not in RUN_COLUMNS} == {
            k: v for k, v in own.items() if k not in RUN_COLUMNS
        }
    assert said["curve"] == json.loads(curve.to_json())
    found = curve.exponents()
    assert said["exponents"].keys() == {"level", "raw", "excess", "gain"}
    for name in ("raw", "excess", "gain"):
        one = getattr(found, name)
        assert said["exponents"][name]["value"] == one.value
        assert said["exponents"][name]["status"] == one.status
        assert said["exponents"][name]["message"] == one.message


def test_a_table_for_people(run):
    code, out, err = run(*CIRCLE, "--widths", "2:16", "--learning-rate", "3e-3")
    assert (code, err) == (0, "")
    table, exponents = out.split("\n\n")
    lines = table.splitlines()
    assert lines[0].split() == [
        "width", "seed", "loss", "stderr", "l0", "fvu", "dead", "duplicates", "seconds",
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[1:]] == [[str(n), "0"] for n in (2, 4, 8, 16)]
    assert [line.split()[0] for line in exponents.splitlines()] == ["raw", "excess", "gain"]
    assert "not identified" in exponents


def test_few_widths_have_no_exponents(run):
    code, out, _ = run(*CIRCLE, "--widths", "4,8,16")
    assert code == 0
    assert out.endswith("exponents: from 4 widths on\n")
    said = strict(run(*CIRCLE, "--widths", 8, "--json")[1])
    assert said["exponents"] is None
    assert said["curve"]["n"] == [0, 8]


def test_a_csv_file(run, tmp_path):
    file = tmp_path / "runs.csv"
    code, out, _ = run(*CIRCLE, "--widths", "4,2", "--output", file)
    assert code == 0
    assert f"2 rows written to {file}" in out
    with file.open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["width"] for row in rows] == ["4", "2"]
    assert json.loads(rows[0]["spec"])["spec"]["width"] == 4


def test_losses_of_zero_have_no_exponents(run, monkeypatch):
    real = Trainer.row
    monkeypatch.setattr(Trainer, "row", lambda trainer: real(trainer) | {"loss": 0.0})
    code, out, _ = run(*CIRCLE, "--widths", "2:16")
    assert code == 0
    assert "exponents: loss must be greater than 0" in out
    said = strict(run(*CIRCLE, "--widths", "2:16", "--json")[1])
    assert "greater than 0" in said["exponents"]["message"]


def test_a_row_without_a_curve_is_printed(run, monkeypatch):
    real = Trainer.row
    monkeypatch.setattr(Trainer, "row", lambda trainer: real(trainer) | {"overlap": 99.0})
    code, out, err = run(*CIRCLE, "--widths", "2")
    assert code == 1
    assert out.splitlines()[1].split()[0] == "2"
    assert err.startswith("scaling-theory: error: overlap must be in [0, n]")


# ---- stopped and started again ------------------------------------------------------------------


def test_ctrl_c_and_on_again(run, tmp_path, monkeypatch):
    whole = strict(run(*CIRCLE, "--widths", "2,4,8", "--json")[1])
    arguments = [*CIRCLE, "--widths", "2,4,8", "--store", tmp_path / "store"]
    real = Trainer.advance

    def press(trainer, steps):
        if trainer.spec.width == 4:
            signal.raise_signal(signal.SIGINT)
        real(trainer, min(steps, 20))

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", press)
        code, out, err = run(*arguments)
    assert code == 130
    assert [line.split()[0] for line in out.splitlines()] == ["width", "2"]
    assert "1 of 3 runs are done and kept in " in err
    assert "the same command goes on from there" in err
    again = strict(run(*arguments, "--json")[1])
    assert [row["resumed"] for row in again["runs"]] == [0, 1, 0]
    assert again["curve"] == whole["curve"]
    store = Store(tmp_path / "store")
    assert len(store.table()) == 3
    assert len(list((store.path / "weights").iterdir())) == 3


def test_ctrl_c_without_a_store(run, monkeypatch):
    monkeypatch.setattr(Trainer, "advance", lambda *_: signal.raise_signal(signal.SIGINT))
    code, out, err = run(*CIRCLE, "--widths", "2,4", "--json")
    assert code == 130
    assert strict(out) == {"runs": [], "curve": None, "exponents": None}
    assert "0 of 2 runs are done; --store keeps what is done" in err


def test_a_run_that_fails(run, monkeypatch):
    def fail(trainer, steps):
        if trainer.spec.width == 4:
            raise TrainingFailed("run x: the loss is nan at step 3")
        trainer.step = trainer.spec.steps

    monkeypatch.setattr(Trainer, "advance", fail)
    code, out, err = run(*CIRCLE, "--widths", "2,4,8")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()] == ["width", "2", "8"]
    assert "1 of 3 runs failed; the others are done\nrun x: the loss is nan" in err


def test_a_damaged_store(run, tmp_path):
    arguments = [*CIRCLE, "--widths", "2", "--store", tmp_path]
    assert run(*arguments)[0] == 0
    (row,) = (tmp_path / "rows").iterdir()
    row.write_bytes(b"")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert f"{row} is damaged" in err


# ---- choices and their options ------------------------------------------------------------------

CHOICES = {
    "sphere": (["--manifold", "sphere", "--dimension", 3], manifolds.Sphere(3)),
    "large sphere": (
        ["--manifold", "sphere", "--dimension", 3, "--radius", 2], manifolds.Sphere(3, 2.0)
    ),
    "circle": (["--manifold", "circle", "--radius", 0.5], manifolds.Circle(0.5)),
    "points": (["--manifold", "points"], manifolds.Points()),
    "shell": (["--manifold", "shell", "--dimension", 4], manifolds.Shell(4)),
    "thick shell": (
        ["--manifold", "shell", "--dimension", 4, "--inner", 0, "--outer", 3, "--radius-law",
         "volume"],
        manifolds.Shell(4, 0.0, 3.0, "volume"),
    ),
    "relu": (["--architecture", "relu", "--l1", 0.2], architectures.ReLU(0.2)),
    "topk": (["--architecture", "topk", "--k", 2], architectures.TopK(2)),
    "auxk": (["--architecture", "topk", "--k", 1, "--auxk", 2], architectures.TopK(1, 2)),
    "jumprelu": (["--architecture", "jumprelu", "--l0", "1e-3"], architectures.JumpReLU(1e-3)),
    "jumprelu set": (
        ["--architecture", "jumprelu", "--l0", 0.1, "--bandwidth", 0.2, "--threshold", 0.3],
        architectures.JumpReLU(0.1, 0.2, 0.3),
    ),
    "tanh-jumprelu": (["--architecture", "tanh-jumprelu"], architectures.TanhJumpReLU()),
    "tanh-jumprelu set": (
        ["--architecture", "tanh-jumprelu", "--sparsity", 2, "--tanh-scale", 4,
         "--pre-activation", 0, "--bandwidth", 1, "--threshold", 0.2],
        architectures.TanhJumpReLU(2.0, 4.0, 0.0, 1.0, 0.2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_what_is_trained(run, name):
    arguments, want = CHOICES[name]
    manifold = [] if "--manifold" in arguments else ["--manifold", "circle"]
    code, out, err = run(*arguments, *manifold, *QUICK, "--widths", 4, "--json")
    assert (code, err) == (0, "")
    (row,) = strict(out)["runs"]
    if manifold:
        assert row["architecture"] == repr(want)
        assert row["data"] == repr(manifolds.Circle())
    else:
        assert row["data"] == repr(want)
        assert row["architecture"] == repr(architectures.ReLU())
    assert (row["seed"], row["steps"], row["batch_size"]) == (0, 60, 64)


REFUSED = {
    "no manifold": (["--widths", 4], "--manifold"),
    "no widths": (["--manifold", "circle"], "--widths"),
    "unknown manifold": (["--manifold", "plane", "--widths", 4], "'plane'"),
    "sphere without dimension": (["--manifold", "sphere"], "--manifold sphere needs --dimension"),
    "shell without dimension": (["--manifold", "shell"], "--manifold shell needs --dimension"),
    "topk without k": (["--architecture", "topk"], "--architecture topk needs --k"),
    "jumprelu without l0": (["--architecture", "jumprelu"], "--architecture jumprelu needs --l0"),
    "dimension of a circle": (
        ["--dimension", 2], "--dimension is of --manifold sphere or shell or"
    ),
    "radius of points": (["--manifold", "points", "--radius", 2], "--radius is of --manifold"),
    "inner of a circle": (["--inner", 0], "--inner is of --manifold shell"),
    "l1 of topk": (["--architecture", "topk", "--k", 1, "--l1", 0], "--l1 is of --architecture"),
    "k of relu": (
        ["--k", 1],
        "--k is of --architecture topk or batch-topk or matryoshka, got --architecture relu",
    ),
    "threshold of relu": (
        ["--threshold", 1], "--threshold is of --architecture jumprelu or tanh-jumprelu"
    ),
    "k too large": (["--architecture", "topk", "--k", 9], "--k must be at most the width"),
    "l1 below 0": (["--l1", -1], "--l1 must be a number of at least 0, got -1.0"),
    "l1 nan": (["--l1", "nan"], "--l1 must be a number"),
    "steps": (["--steps", -5], "--steps must be a whole number of at least 0, got -5"),
    "batch size": (["--batch-size", 0], "--batch-size must be"),
    "learning rate": (["--learning-rate", 0], "--learning-rate must be"),
    "seeds": (["--seeds", 0], "--seeds must be"),
    "widths": (["--widths", "0"], "--widths must hold"),
    "width": (["--widths", "5e6"], "width must be"),
    "radius": (["--radius", -1], "--radius must be"),
    "device": (["--device", "gpu"], "--device must be"),
    "json and output": (["--json", "--output", "x.csv"], "at most one of --output and --json"),
    "store": (["--store", "/dev/null"], "--store"),
    "store that can't be": (["--store", "/dev/null/x"], "/dev/null/x"),
    "output that can't be": (["--output", "/no/where.csv"], "/no/where.csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(run, name):
    arguments, message = REFUSED[name]
    more = []
    if "--manifold" not in arguments and name != "no manifold":
        more += ["--manifold", "circle"]
    if "--widths" not in arguments and name != "no widths":
        more += ["--widths", 4]
    code, out, err = run(*more, *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert message in err


def test_every_option_of_an_architecture_is_one_of_the_library():
    kinds = {
        "relu": architectures.ReLU, "topk": architectures.TopK, "jumprelu": architectures.JumpReLU,
        "tanh-jumprelu": architectures.TanhJumpReLU, "batch-topk": architectures.BatchTopK,
        "matryoshka": architectures.Matryoshka, "gated": architectures.Gated,
    }  # fmt: skip
    helps = {p.name: p.help or "" for p in app.commands["train"].params}
    for choice, names in _cli_kinds.ARCHITECTURES.items():
        defaults = {f.name: f.default for f in fields(kinds[choice])}
        for option in names:
            default = defaults[option]
            if default is MISSING:
                assert _cli_kinds.NEEDED[choice] == option
                continue
            if option == "prefixes":  # in test_cli_architectures
                continue
            said = helps[option].split("[default: ")[1].rstrip("]")
            if "," in said:  # one a choice
                said = dict(part.split() for part in said.split(", "))[choice]
            assert said == default if isinstance(default, str) else float(said) == default


def test_defaults_are_those_of_the_specification():
    defaults = {f.name: f.default for f in fields(RunSpec)}
    options = {p.name: p.default for p in app.commands["train"].params}
    for name in ("steps", "batch_size", "learning_rate"):
        assert options[name] == defaults[name]
    named = inspect.signature(sweep.train_widths).parameters
    for name in ("device", "seeds"):
        assert options[name] == named[name].default


def test_other_commands_do_not_load_torch():
    code = (
        "import sys; sys.argv = ['scaling-theory', 'regime', '--alpha', '0.5']\n"
        "from scaling_theory.cli import main\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_help_names_every_option(run):
    code, out, _ = run("--help")
    assert code == 0
    for parameter in app.commands["train"].params:
        assert parameter.opts[0] in out
