"""The figure of recovery: the final runs, the best architecture first."""

import matplotlib as mpl
import pandas as pd
import pytest

mpl.use("Agg")
from matplotlib import pyplot as plt

from scaling_theory.figures import recovery as figure
from scaling_theory.sae.studies import recovery as study

LEVELS = ("alone", "root", "middle", "leaf")


@pytest.fixture
def rows():
    made = []
    for name, f1 in (("One", 0.4), ("Two", 0.7), ("Three", 0.5)):
        for seed, stage in enumerate(("final", "final", "sweep")):
            score = f1 + 0.01 * seed
            made.append(
                {"architecture": name, "value": 1.0, "stage": stage, "seed": seed, "f1": score}
                | {"mcc": score + 0.1, "latent_f1": score - 0.1, "precision": 0.3, "recall": 0.6}
                | {f"f1_{level}": score for level in LEVELS}
                | {"seconds": 1.0, "version": "0"}
            )
    told = {**made[0], "architecture": "Probe", "stage": "reference", "f1": 0.9}
    return pd.DataFrame([told, *made])


def test_it_shows_the_final_runs_the_best_first(rows, monkeypatch):
    monkeypatch.setattr(study, "recovery_rows", lambda: rows)
    data = figure.data()
    assert data["architecture"].tolist() == [*["Two"] * 2, *["Three"] * 2, *["One"] * 2, "Probe"]
    assert data["seed"].tolist() == [0, 1, 0, 1, 0, 1, 0]
    panels, axes = plt.subplots(*figure.AXES, figsize=figure.SIZE)
    figure.draw(data, axes)
    scores, trade, levels = axes
    names = ["Two", "Three", "One", "Probe"]
    shown = {line.get_label(): line.get_xdata().tolist() for line in scores.get_lines()}
    assert shown["F1 of firing"] == data["f1"].tolist()
    assert shown["mean matched cosine"] == data["mcc"].tolist()
    assert [label.get_text() for label in scores.get_yticklabels()] == names
    assert scores.get_lines()[0].get_ydata().tolist() == [0, 0, -1, -1, -2, -2, -3]
    assert [line.get_label() for line in trade.get_lines()] == names
    assert len(levels.get_lines()) == len(LEVELS)
    plt.close(panels)
