"""The tables and the figure can be made, and nothing heavy is loaded."""

import subprocess
import sys

import pandas as pd
from matplotlib.figure import Figure

from scaling_theory.figures import circle_tiling as figure
from scaling_theory.theory import geometry
from scaling_theory.theory.geometry import __main__ as tables


def test_names_are_documented():
    assert sorted(geometry.__all__) == geometry.__all__
    for name in geometry.__all__:
        assert getattr(geometry, name).__doc__


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, scaling_theory.theory.geometry as g;"
        "g.circle_curve(most=4); g.covering_bounds(9, 3); g.capacity(9, 0.1); g.basis_curve(3);"
        "heavy = ('torch', 'matplotlib', 'sympy', 'pandas', 'scipy.optimize', 'scipy.stats');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables(capsys):
    assert tables.main(["floor", "circle", "basis", "capacity"]) == 0
    said = capsys.readouterr().out
    assert "0.097500" in said
    assert "8.62208e-06" in said
    assert "0.1542" in said
    assert tables.main(["banana"]) == 2
    assert "banana" in capsys.readouterr().err


def test_figure(monkeypatch):
    monkeypatch.setattr(figure, "STARTS", {1: 2, 2: 2, 3: 2})
    monkeypatch.setattr(figure, "WIDTHS", (1, 2, 3, 8, 16, 64, 128))
    data = figure.data()
    assert isinstance(data, pd.DataFrame)
    assert data["n"].tolist() == [1, 2, 3, 8, 16, 64, 128]
    assert (data["ideal_excess"] <= data["symmetric_excess"] * (1 + 1e-9)).all()
    assert data["optimum_loss"].notna().sum() == 3
    axes = Figure(figsize=figure.SIZE).subplots(*figure.AXES, squeeze=False).ravel()
    figure.draw(data, axes)
    for ax in axes:
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert ax.get_legend() is not None
