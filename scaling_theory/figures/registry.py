"""The list of figures, and writing them: SVG, PNG, the CSV they are drawn from, a sidecar JSON."""

from __future__ import annotations

import importlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from scaling_theory._progress import track

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
}

Preset = Literal["quick", "paper"]


def reproduce(
    output: Path,
    only: Sequence[str] = (),
    preset: Preset = "quick",
    command: str = "scaling_theory.figures.reproduce",
    progress: bool = False,
    on_done: Callable[[str, float], None] | None = None,
) -> list[Path]:
    """Make figures and write each as SVG and PNG beside its CSV and a JSON that says how.

    Parameters
    ----------
    output
        Folder, made if it does not exist.
    only
        Names or parts of names; all figures by default.
    preset
        "quick" or "paper"; recorded. Figures that rest on training carry it in their name.
    command
        What to record as the command that made the figures.
    progress
        Show a progress bar with an estimate of the time left on standard error.
    on_done
        Called with the name and the seconds of each figure when its files are written.

    Returns
    -------
    list of Path
        The PNG files.
    """
    if preset not in ("quick", "paper"):
        raise ValueError(f"preset must be 'quick' or 'paper', got {preset!r}")
    names = [n for n in FIGURES if not only or any(part in n for part in only)]
    unknown = [part for part in only if not part or not any(part in n for n in FIGURES)]
    if unknown:
        raise ValueError(f"only must name figures among {sorted(FIGURES)}, got {unknown[0]!r}")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output):  # fail before the work, not after it
        pass
    written = []
    for name in track(names, "figures", len(names), enabled=progress):
        began = time.perf_counter()
        written.append(_write(name, output, preset, command))
        if on_done is not None:
            on_done(name, time.perf_counter() - began)
    return written


def _write(name: str, output: Path, preset: Preset, command: str) -> Path:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    import scaling_theory

    module: Any = importlib.import_module(FIGURES[name])
    table = module.data()
    style: dict[Any, Any] = {
        "font.size": 9,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "svg.hashsalt": name,  # the same data give the same file
        "svg.fonttype": "none",
        "legend.frameon": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=module.SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(*module.AXES, squeeze=False).ravel()
        module.draw(table, axes)
        png = output / f"{name}.png"
        figure.savefig(png, dpi=130, metadata={"Software": None})
        figure.savefig(output / f"{name}.svg", metadata={"Date": None, "Creator": None})
    table.to_csv(output / f"{name}.csv", index=False, float_format="%.10g", lineterminator="\n")
    made = {
        "figure": name,
        "command": command,
        "version": scaling_theory.__version__,
        "seed": getattr(module, "SEED", None),
        "device": "cpu",
        "preset": preset,
    }
    (output / f"{name}.json").write_text(json.dumps(made, indent=2) + "\n")
    return png
