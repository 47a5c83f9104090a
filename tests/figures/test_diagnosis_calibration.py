"""How often diagnoses are right, counted by hand on a made-up table; what is missing is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from scaling_theory.figures import diagnosis_calibration as figure
from scaling_theory.figures import registry

#: regime, alpha, beta, said, verdict, evidence, departures -> outcome
ROWS = [
    ("pathological", 0.6, 0.1, 0.99, "pathological", "losses", "", "right"),
    ("pathological", 0.5, 0.2, 0.85, "pathological", "losses+cosines", "overlap", "right"),
    ("pathological", 0.9, 0.3, 0.05, "benign", "losses+cosines", "overlap; bent law", "wrong"),
    ("pathological", 0.7, 0.6, 0.5, "not enough evidence", "losses", "", "no call"),
    ("benign", 0.4, np.nan, 0.1, "benign", "losses", "", "right"),
    ("benign", 0.3, 1.0, 0.15, "benign", "losses+cosines", "bent law", "right"),
    ("benign", 0.2, 0.5, 0.97, "pathological", "losses", "overlap", "wrong"),
    ("benign", 0.5, 9.0, 0.01, "the model does not describe these SAEs", "losses", "",
     "not described"),
    ("other", np.nan, np.nan, 0.0, "the model does not describe these SAEs", "losses", "strange",
     "not described"),
    ("other", np.nan, np.nan, 0.9, "pathological", "losses", "strange", "wrong"),
]  # fmt: skip


def table() -> pd.DataFrame:
    names = [*figure.COLUMNS[1:], "outcome"]
    rows = pd.DataFrame(ROWS, columns=names)
    rows.insert(0, "name", [f"family {i}" for i in range(len(rows))])
    return rows


def store(folder: Path, *sources: str) -> None:
    for source in sources:
        table().drop(columns="outcome").to_csv(folder / f"diagnosis_{source}.csv", index=False)


def drawn(data: pd.DataFrame) -> list:
    axes = Figure(figsize=figure.SIZE).subplots(*figure.AXES, squeeze=False).ravel()
    assert list(figure.draw(data, axes)) == list(axes)
    return list(axes)


def test_outcomes_classes_and_calls_are_counted_as_by_hand(tmp_path: Path) -> None:
    store(tmp_path, "blind")
    data = figure.data(tmp_path)
    families = data[data["kind"] == "family"]
    assert families["outcome"].tolist() == table()["outcome"].tolist()
    classes = data[data["kind"] == "class"].set_index("low")
    assert classes["families"].tolist() == [3, 0, 1, 0, 3]  # 0.05 0.1 0.15 | 0.5 | 0.85 0.97 0.99
    assert classes.loc[0.0, "so"] == pytest.approx(1 / 3)
    assert classes.loc[0.0, "said"] == pytest.approx(0.1)
    assert classes.loc[0.8, "so"] == pytest.approx(2 / 3)
    calls = data[data["kind"] == "calls"].set_index(["group", "value"])
    counts = {key: (int(r["called"]), int(r["right"])) for key, r in calls.iterrows()}
    assert counts == {
        ("all", "all"): (6, 4),
        ("evidence", "losses"): (3, 2),
        ("evidence", "losses+cosines"): (3, 2),
        ("departure", "none"): (2, 2),
        ("departure", "overlap"): (3, 1),
        ("departure", "bent law"): (2, 1),
    }
    # 4 right of 6: Clopper and Pearson (1934), by their definition as tails of the binomial
    from scipy.stats import binom

    low, high = calls.loc[("all", "all"), ["so_low", "so_high"]]
    assert binom.sf(3, 6, low) == pytest.approx(0.025)
    assert binom.cdf(4, 6, high) == pytest.approx(0.025)


def test_what_is_drawn_is_in_the_table(tmp_path: Path) -> None:
    store(tmp_path, "blind", "trained")
    data = figure.data(tmp_path)
    reliability, calls, where = drawn(data)
    classes = data[(data["kind"] == "class") & (data["families"] > 0)]
    points = [c.lines[0].get_xydata() for c in reliability.containers]
    np.testing.assert_array_equal(np.concatenate(points), classes[["said", "so"]].to_numpy(float))
    texts = [text.get_text() for text in reliability.texts]
    assert texts == ["3", "1", "3"] * 2
    assert len(calls.containers) == 2 * 6
    labels = [label.get_text() for label in calls.get_yticklabels()]
    assert labels == ["all", "losses", "losses+cosines", "no departure", "bent law", "overlap"]
    fractions = sorted(text.get_text().strip() for text in calls.texts)
    assert fractions == sorted(["4/6", "2/3", "2/3", "2/2", "1/3", "1/2"] * 2)
    scattered = {str(c.get_label()): c.get_offsets() for c in where.collections}
    assert len(scattered) == 8
    for source in ("drawn", "trained"):
        for outcome in ("right", "wrong", "no call", "not described"):
            own = [r for r in ROWS if r[-1] == outcome and r[0] != "other"]
            points = scattered[f"{source} families: {outcome} ({len(own)})"]
            assert sorted(points[:, 0]) == sorted(r[1] for r in own)
    low, high = where.get_ylim()
    at = scattered["drawn families: right (4)"]
    (none,) = at[at[:, 0] == 0.4, 1]  # no manifolds: above every beta that there is
    assert 9.0 < none < high
    assert low < 0.1
    assert "of 4 families of another kind, 2 were told" in where.get_legend().get_title().get_text()


def test_trained_families_look_different(tmp_path: Path) -> None:
    store(tmp_path, "blind", "trained")
    reliability, _, where = drawn(figure.data(tmp_path))
    assert len({c.lines[0].get_marker() for c in reliability.containers}) == 2
    shapes = [c.get_paths()[0].vertices.shape for c in where.collections[::4]]
    assert shapes[0] != shapes[1]


def test_one_missing_table_is_named_and_the_other_drawn(tmp_path: Path) -> None:
    store(tmp_path, "trained")
    data = figure.data(tmp_path)
    missing = data[data["kind"] == "missing"]
    assert missing["name"].tolist() == ["diagnosis_blind.csv"]
    axes = drawn(data)
    said = [text.get_text() for text in axes[0].texts]
    assert "no drawn families: diagnosis_blind.csv is not stored" in said
    assert len(axes[0].containers) == 1


def test_reproduce_goes_on_where_no_table_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure, "FOLDER", tmp_path)
    monkeypatch.setitem(
        registry.FIGURES, "diagnosis_calibration", "scaling_theory.figures.diagnosis_calibration"
    )
    registry.reproduce(tmp_path / "out", ["diagnosis_calibration"])
    said = (tmp_path / "out" / "diagnosis_calibration.svg").read_text()
    for source in ("blind", "trained"):
        assert f"diagnosis_{source}.csv is not stored" in said
    written = pd.read_csv(tmp_path / "out" / "diagnosis_calibration.csv")
    assert written["kind"].tolist() == ["missing", "missing"]


def test_only_families_without_manifolds_can_be_drawn(tmp_path: Path) -> None:
    rows = table().drop(columns="outcome")
    rows[rows["beta"].isna()].to_csv(tmp_path / "diagnosis_blind.csv", index=False)
    _, _, where = drawn(figure.data(tmp_path))
    low, high = where.get_ylim()
    assert low < where.collections[0].get_offsets()[0, 1] < high


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.drop(columns="beta"),
            "diagnosis_blind.csv must have the columns of judge, la",
        ),
        (lambda t: t.assign(pathological=1.5), "pathological in diagnosis_blind.csv must be in"),
        (lambda t: t.assign(regime="good"), "regime in diagnosis_blind.csv must be benign, path"),
        (lambda t: t.iloc[:0], "diagnosis_blind.csv must have a row for each family, got none"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, change, message: str) -> None:
    change(table()).to_csv(tmp_path / "diagnosis_blind.csv", index=False)
    with pytest.raises(ValueError, match=message):
        figure.data(tmp_path)


def test_draw_wants_three_axes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="axes must hold 3 Axes, got 0"):
        figure.draw(figure.data(tmp_path), [])
