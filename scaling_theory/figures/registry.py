"""The list of figures, and writing them: SVG, PNG, the CSV they are drawn from, a sidecar JSON."""

from __future__ import annotations

import contextlib
import importlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

from scaling_theory._progress import track

if TYPE_CHECKING:  # load torch
    import pandas as pd

    from scaling_theory.sae.runs import Runs
    from scaling_theory.sae.studies.real import Tables

#: In ``only``: all figures of real activations, made anew from text.
REAL = "real"
#: Name of the files -> module that makes the figure.
FIGURES: dict[str, str] = {
    "michaud2025_figure2_left": "scaling_theory.figures.regime_table",
    "michaud2025_figure2_right": "scaling_theory.figures.one_manifold",
    "phase_diagram": "scaling_theory.figures.phase_diagram",
    "crossover": "scaling_theory.figures.crossover",
    "uniform_law": "scaling_theory.figures.uniform_law",
    "local_slope": "scaling_theory.figures.local_slope",
    "takeover": "scaling_theory.figures.takeover",
    "latent_frequencies": "scaling_theory.figures.latent_frequencies",
    "circle_tiling": "scaling_theory.figures.circle_tiling",
    "oneill2024_figure4_left": "scaling_theory.figures.oneill",
    "width_sweeps": "scaling_theory.figures.width_sweeps",
    "latent_frequencies_regimes": "scaling_theory.figures.latent_frequencies_regimes",
    "diagnosis_calibration": "scaling_theory.figures.diagnosis_calibration",
    "trained_allocations": "scaling_theory.figures.trained_allocations",
    "trained_discovery": "scaling_theory.figures.trained_discovery",
    "tiling": "scaling_theory.figures.tiling",
    "recovery": "scaling_theory.figures.recovery",
    "real_scaling": "scaling_theory.figures.real_scaling",
    "real_joint": "scaling_theory.figures.real_joint",
    "real_training": "scaling_theory.figures.real_training",
    "real_density": "scaling_theory.figures.real_density",
    "real_similarity": "scaling_theory.figures.real_similarity",
    "real_frequencies": "scaling_theory.figures.real_frequencies",
    "real_neighbours": "scaling_theory.figures.real_neighbours",
    "real_diagnosis": "scaling_theory.figures.real_diagnosis",
    "michaud2025_figure1": "scaling_theory.figures.circle_saes",
    "michaud2025_figure3": "scaling_theory.figures.relu_curves",
    "michaud2025_figure5": "scaling_theory.figures.sphere_slopes",
    "michaud2025_figure6": "scaling_theory.figures.jumprelu_curves",
}

Preset = Literal["quick", "paper"]


def reproduce(
    output: Path,
    only: Sequence[str] = (),
    preset: Preset = "quick",
    command: str = "scaling_theory.figures.reproduce",
    progress: bool = False,
    on_done: Callable[[str, float], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Make figures and write each as SVG and PNG beside its CSV and a JSON that says how.

    Figures that rest on training (their module states ``SWEEPS``) come last, carry the preset in
    the names of their files, and take what ``figures.stored`` has; the rest is trained first.
    Figures of real activations (``real_*``) are drawn from what is stored of the study; where
    ``only`` names "real" itself it is made from text (up to 75 minutes with the quick preset on 2
    cores, resumable). Where nothing is stored for a preset they are left out with a word, or are an
    error if they were asked for by name.

    Parameters
    ----------
    output
        Folder, made if it does not exist.
    only
        Names or parts of names; all figures by default.
    preset
        "quick" or "paper"; recorded.
    command
        What to record as the command that made the figures.
    progress
        Show a progress bar with an estimate of the time left on standard error.
    on_done
        Called with the name of the files, without ending, and the seconds of each figure when they
        are written.
    say
        Called with one line before anything is trained.

    Returns
    -------
    list of Path
        The PNG files.

    Raises
    ------
    ValueError
        If an argument is out of range.
    SweepFailed, OSError, KeyboardInterrupt
        While training: what is done is kept, and the same call goes on from there.
    ImportError
        If figures of real activations are made from text, and the extra ``text`` is not installed.
    """
    _check_preset(preset)
    names = [n for n in FIGURES if not only or any(part in n for part in only)]
    unknown = [part for part in only if not part or not any(part in n for n in FIGURES)]
    if unknown:
        raise ValueError(
            f"only must name figures among {sorted(FIGURES)}, or be {REAL!r} (those of real "
            f"activations, from text), got {unknown[0]!r}"
        )
    _writable(output)
    modules = {name: importlib.import_module(FIGURES[name]) for name in names}
    real = [name for name in names if is_real(modules[name])]
    plain = [name for name in names if not is_trained(modules[name]) and name not in real]
    found = None
    if real and REAL not in only:
        # asked for by name: by a part that no other figure has
        named = any(all(n in real for n in names if part in n) for part in only)
        found = _stored_tables(preset, named, say)
    trained = [name for name in names if is_trained(modules[name])]
    written = []

    def make(
        name: str, runs: Mapping[str, Runs] | None = None, tables: Tables | None = None
    ) -> None:
        began = time.perf_counter()
        if tables is None:
            made = _made(name, modules[name], preset, command, runs)
        else:
            made = _made_real(name, modules[name], preset, command, tables)
        written.append(_write(name, made, modules[name], output))
        if on_done is not None:
            on_done(made.stem, time.perf_counter() - began)

    for name in track(plain, "figures", len(plain), enabled=progress):
        make(name)
    if real:
        if REAL in only:
            from scaling_theory.sae.studies.real import make_real

            found = make_real(preset, progress=progress, say=say)
        for name in track(real if found else [], "figures", len(real), enabled=progress):
            make(name, tables=found)
    if trained:
        from scaling_theory.figures import stored

        sweeps = list(dict.fromkeys(s for name in trained for s in modules[name].SWEEPS))
        runs = stored.runs(sweeps, preset, progress, say)
        for name in track(trained, "figures", len(trained), enabled=progress):
            make(name, {sweep: runs[sweep] for sweep in modules[name].SWEEPS})
    return written


def preview(name: str, output: Path, preset: Preset, store: Path | None = None) -> tuple[Path, str]:
    """Draw a figure that rests on training from the runs that there are; nothing is trained.

    Parameters
    ----------
    name
        Of the figure.
    output
        Folder, made if it does not exist.
    preset
        "quick" or "paper".
    store
        Where runs are that are not stored with the package; default as for ``reproduce``.

    Returns
    -------
    (Path, str)
        The PNG file, NAME_PRESET_preview.png, and what is missing, which the figure says as well.

    Raises
    ------
    ValueError
        If an argument is out of range, or a sweep of the figure has no run at all.
    """
    from scaling_theory.figures import stored

    _check_preset(preset)
    module = importlib.import_module(FIGURES[name])
    runs = stored.runs(module.SWEEPS, preset, missing="leave", store=store)
    missing = stored.missing(runs, preset)
    for sweep, part in runs.items():
        if not len(part):
            raise ValueError(f"a preview of {name} needs runs of the sweep {sweep}, got none")
    _writable(output)
    command = f"python -m scaling_theory.figures.stored {name} --preset {preset} --draw"
    made = _made(name, module, preset, command, runs)
    made.stem += "_preview"
    made.note = f"preview, {missing}" if missing else ""
    made.record["missing"] = missing
    return _write(name, made, module, output), missing


def is_trained(module: Any) -> bool:
    """Whether a figure rests on training: whether its module states SWEEPS."""
    return hasattr(module, "SWEEPS")


def is_real(module: Any) -> bool:
    """Whether a figure is of real activations: whether its module states REAL."""
    return hasattr(module, "REAL")


def _stored_tables(preset: Preset, named: bool, say: Callable[[str], None] | None) -> Tables | None:
    """Tables of real activations: those of the package, or else what was made here before.

    Where there are none: an error, if they were asked for by name; else None, with a word.
    """
    from scaling_theory.sae.studies.real import Tables, tables_folder

    try:
        return Tables.load(preset)
    except FileNotFoundError as error:
        with contextlib.suppress(FileNotFoundError):
            return Tables.load(preset, tables_folder(preset))
        if named:
            raise
        if say is not None:
            say(f"figures of real activations are left out: {error}")
        return None


@final
@dataclass
class _Made:
    """A figure before it is written: name of its files, its data, what its JSON says."""

    stem: str
    table: pd.DataFrame
    record: dict[str, Any]
    note: str = ""


def _made(
    name: str, module: Any, preset: Preset, command: str, runs: Mapping[str, Runs] | None
) -> _Made:
    import scaling_theory

    record = {"figure": name, "command": command, "version": scaling_theory.__version__}
    if runs is None:
        seed = getattr(module, "SEED", None)
        return _Made(
            name, module.data(), record | {"seed": seed, "device": "cpu", "preset": preset}
        )
    from scaling_theory.figures import stored

    how = {"preset": preset, "sweeps": list(runs), **stored.record(list(runs.values()))}
    return _Made(f"{name}_{preset}", module.data(runs), record | how)


def _made_real(name: str, module: Any, preset: Preset, command: str, tables: Tables) -> _Made:
    import scaling_theory

    record = {"figure": name, "command": command, "version": scaling_theory.__version__}
    how = {"seed": 0, "device": "cpu", "preset": preset, "study": tables.record}
    return _Made(f"{name}_{preset}", module.data(tables), record | how)


def _check_preset(preset: str) -> None:
    if preset not in ("quick", "paper"):
        raise ValueError(f"preset must be 'quick' or 'paper', got {preset!r}")


def _writable(output: Path) -> None:
    """Fail before the work, not after it."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output):
        pass


def _write(name: str, made: _Made, module: Any, output: Path) -> Path:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "font.size": 9,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "svg.hashsalt": name,  # the same data give the same file
        "svg.fonttype": "none",
        "legend.frameon": False,
    }
    file = output / made.stem  # names hold no dots
    with matplotlib.rc_context(style):
        figure = Figure(figsize=module.SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(*module.AXES, squeeze=False).ravel()
        module.draw(made.table, axes)
        if made.note:
            figure.suptitle(made.note, color="#A00000")
        png = file.with_suffix(".png")
        _save_png(figure, png)
        figure.savefig(file.with_suffix(".svg"), metadata={"Date": None, "Creator": None})
    made.table.to_csv(
        file.with_suffix(".csv"), index=False, float_format="%.10g", lineterminator="\n"
    )
    file.with_suffix(".json").write_text(json.dumps(made.record, indent=2) + "\n")
    return png


def _save_png(figure: Any, file: Path) -> None:
    """Write the figure with a palette: a third of the size, and no difference to the eye."""
    import io

    from PIL import Image

    plain = io.BytesIO()
    figure.savefig(plain, dpi=130, format="png")
    Image.open(plain).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        file, optimize=True
    )
