"""Counts of right calls, on tables whose answers are known by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scaling_theory.analysis.__main__ import main, stored_file
from scaling_theory.analysis.calibration import accuracy, calibration, judge

ROWS = pd.DataFrame(
    [
        ("benign", 0.1, "benign", "", "losses"),
        ("pathological", 0.1, "benign", "overlap; duplicates", "losses"),
        ("pathological", 0.95, "pathological", "overlap", "losses+cosines"),
        ("pathological", 1.0, "pathological", "", "losses+cosines"),
        ("benign", 0.5, "not enough evidence", "overlap", "losses"),
        ("benign", 0.9, "the model does not describe these SAEs", "overlap", "losses"),
        ("other", 0.9, "pathological", "", "losses"),
    ],
    columns=["regime", "pathological", "verdict", "departures", "evidence"],
)


def test_classes_of_probability():
    table = calibration(ROWS).set_index("low")
    assert table["families"].tolist() == [2, 0, 1, 0, 2]
    assert table.loc[0.0, "so"] == 0.5
    assert table.loc[0.8, "so"] == 1.0
    assert table.loc[0.8, "said"] == pytest.approx(0.975)
    assert np.isnan(table.loc[0.2, "so"])
    low, high = stats.binomtest(1, 2).proportion_ci(method="exact")
    assert table.loc[0.0, ["so_low", "so_high"]].tolist() == pytest.approx([low, high])
    assert table.loc[0.8, "so_high"] == 1.0


def test_calls_by_departure_and_evidence():
    table = accuracy(ROWS).set_index("departures")
    assert table.loc["all", ["families", "called", "right"]].tolist() == [5, 4, 3]
    assert table.loc["overlap", ["families", "called", "right"]].tolist() == [3, 2, 1]
    assert table.loc["duplicates", ["families", "called", "right"]].tolist() == [1, 1, 0]
    assert table.loc["none", ["families", "called", "right"]].tolist() == [2, 2, 2]
    assert table.loc["duplicates", "low"] == 0.0
    by = accuracy(ROWS, "evidence").set_index("evidence")
    assert by.loc["losses+cosines", ["families", "called", "right"]].tolist() == [2, 2, 2]


def test_families_are_judged_by_what_may_be_seen_alone():
    widths = np.array([64, 256, 1024, 4096])
    family = SimpleNamespace(
        name="one", regime="benign", alpha=0.5, beta=2.0, widths=widths, losses=widths**-0.5,
        stderr=None, frequencies={}, cosines={}, departures=("overlap",), taken_over=[0.0],
    )  # fmt: skip
    first = judge([family])
    assert first.loc[0, "evidence"] == "losses"
    family.regime, family.alpha, family.beta, family.name = "pathological", 9.0, 0.0, "two"
    again = judge([family])
    assert again.loc[0, "pathological"] == first.loc[0, "pathological"]
    assert again.loc[0, "limit"] == "pathological"
    assert again.loc[0, "regime"] == "benign"  # nothing is taken over yet
    family.taken_over = [0.0, 0.3]
    assert judge([family]).loc[0, "regime"] == "pathological"


@pytest.mark.skipif(not stored_file("blind").exists(), reason="no rows stored yet")
def test_stored_rows_are_those_that_the_documentation_speaks_of(capsys):
    """At least 200 families, and of those called at least nine in ten are right."""
    rows = pd.read_csv(stored_file("blind"))
    assert (rows["regime"] != "other").sum() >= 200
    said = accuracy(rows).set_index("departures").loc["all"]
    assert said["share"] >= 0.9
    assert main(["stored"]) == 0
    assert "calls by departure" in capsys.readouterr().out
