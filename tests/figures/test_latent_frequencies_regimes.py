"""Counted firing of optimal latents: the counts belong to the rates, the slopes to the counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling_theory.figures import latent_frequencies_regimes as figure
from scaling_theory.figures.latent_frequencies_regimes import CASES, LATENTS, MOST, RANKS, TOKENS

STRAIGHT = [case for case in CASES if case.beta is None]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return figure.data()


def of(data: pd.DataFrame, case: figure.Case, kind: str) -> pd.DataFrame:
    return data[figure._is(data, case) & (data["kind"] == kind)]


def slope(data: pd.DataFrame, case: figure.Case, estimate: str) -> pd.Series:
    part = of(data, case, "slope")
    return part[part["estimate"] == estimate].iloc[0]


@pytest.mark.parametrize("case", STRAIGHT, ids=str)
def test_features_with_one_latent_each_fire_as_the_features_do(case: figure.Case) -> None:
    rates = figure.rates(case)
    i = np.arange(1.0, LATENTS + 1.0)
    np.testing.assert_allclose(rates, MOST * i ** -(1.0 + case.alpha), rtol=1e-12)


@pytest.mark.parametrize("case", [c for c in CASES if c.beta is not None], ids=str)
def test_the_regime_of_a_case_is_what_its_exponents_say(case: figure.Case) -> None:
    assert (case.regime == "benign") == (case.beta > case.alpha)
    rates = figure.rates(case)
    # each activation of a feature is seen by one latent: all firings are those of found features
    total = MOST * float(np.sum(np.arange(1.0, 10**6) ** -(1.0 + case.alpha)))
    tail = MOST * 10.0 ** (-6 * case.alpha) / case.alpha
    assert 0.5 * total < rates.sum() < total + tail


def test_both_regimes_are_there_and_fall_differently(data: pd.DataFrame) -> None:
    falls: dict[str, list[float]] = {"benign": [], "pathological": []}
    for case in CASES:
        if case.beta is not None:
            falls[case.regime].append(slope(data, case, "rates, least squares")["slope"])
    assert max(falls["benign"]) < min(falls["pathological"])
    assert min(falls["pathological"]) > -0.2  # nearly flat, as far as rank 10,000


def test_counts_are_the_rates_but_for_noise(data: pd.DataFrame) -> None:
    for case in CASES:
        curve = of(data, case, "curve")
        ranks = curve["rank"].to_numpy(int)
        np.testing.assert_array_equal(curve["rate"], figure.rates(case)[ranks - 1])
        # where ranks are many and rates vary slowly, ranking by count moves little
        middle = curve[(curve["rank"] > 500) & (curve["rank"] < 3000)]
        noise = 1.0 / np.sqrt(TOKENS * middle["rate"])
        error = np.log(middle["frequency"] / middle["rate"]).abs()
        assert (error < 3.0 * noise).all(), case


@pytest.mark.parametrize("case", STRAIGHT, ids=str)
def test_on_straight_curves_the_correction_finds_the_slope(
    data: pd.DataFrame, case: figure.Case
) -> None:
    true = -(1.0 + case.alpha)
    for estimate in ("counts, least squares", "counts, corrected"):
        row = slope(data, case, estimate)
        # ranked rates without scatter of their own: far nearer than another draw would be
        assert row["low"] < true < row["high"]
    row = slope(data, case, "rates, likelihood")
    assert row["slope"] == pytest.approx(true, rel=1e-3)


def test_small_counts_bias_the_likelihood_and_the_correction_mends_it(data: pd.DataFrame) -> None:
    case = STRAIGHT[-1]
    true = -(1.0 + case.alpha)
    raw, mended = slope(data, case, "counts, likelihood"), slope(data, case, "counts, corrected")
    assert raw["high"] < true
    assert abs(mended["slope"] - true) < 0.25 * abs(raw["slope"] - true)


def test_least_squares_of_rates_is_what_the_theory_calls_slope(data: pd.DataFrame) -> None:
    from scipy.special import zeta

    import scaling_theory as st

    case = next(c for c in CASES if c.regime == "benign")
    law = st.PowerLawFrequencies(case.alpha, total=MOST * float(zeta(1.0 + case.alpha)))
    optimum = st.allocate(st.Population(law, st.PowerLawCurve(beta=case.beta)), LATENTS)
    own = slope(data, case, "rates, least squares")["slope"]
    assert own == pytest.approx(st.latent_frequencies(optimum).slope(*RANKS), rel=1e-12)


def test_what_is_drawn_is_in_the_table(data: pd.DataFrame) -> None:
    from matplotlib.figure import Figure

    axes = Figure(figsize=figure.SIZE).subplots(*figure.AXES, squeeze=False).ravel()
    figure.draw(data, axes)
    lines = axes[0].get_lines()
    assert len(lines) == 2 * len(CASES)
    for case, (rates, counts) in zip(CASES, zip(lines[::2], lines[1::2], strict=True), strict=True):
        curve = of(data, case, "curve")
        np.testing.assert_array_equal(rates.get_ydata(), curve["rate"])
        fires = curve[curve["frequency"] > 0.0]
        np.testing.assert_array_equal(counts.get_ydata(), fires["frequency"])
    drawn = sorted(float(container.lines[0].get_xdata()[0]) for container in axes[1].containers)
    known = data.loc[data["kind"] == "slope", "slope"].dropna()
    np.testing.assert_array_equal(drawn, sorted(known))
    low, high = axes[1].get_xlim()
    ends = data.loc[data["kind"] == "slope", ["slope", "low", "high"]].to_numpy(float)
    assert low < np.nanmin(ends)
    assert np.nanmax(ends) < high
    none = sum("corrected: none" in text.get_text() for text in axes[1].texts)
    fixed = data[(data["kind"] == "slope") & (data["estimate"] == "counts, corrected")]
    assert none == int(fixed["slope"].isna().sum())
    published = {line.get_xdata()[0] for line in axes[1].get_lines() if len(line.get_xdata()) == 2}
    assert published == {-0.74, -0.57}  # Michaud, Gorton and McGrath (2025), Figure 4
