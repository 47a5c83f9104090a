"""Firing frequencies of latents in both regimes as an experiment sees them: counted, and fitted.

Left: how often the latents of the exact optimum fire, counted over a million tokens and ranked
(lines: the rates themselves). Right: slopes between ranks 100 and 10,000. Least squares on
logarithmic axes is what a plot shows, and what Michaud, Gorton and McGrath (2025, Figure 4 and
appendix A.1) measured on two Gemma Scope SAEs, -0.74 and -0.57 (vertical lines, as stated there).
Maximum likelihood weighs all ranks alike, that is mostly the last ones; with the noise of counting
taken out it is ``corrected`` in ``fit_frequencies``. On straight curves (first three rows) all of
them agree, and where counts are small, as in the third, the correction is needed. The model's
curves for alpha > 0 are bent, flat first and steep later: least squares and likelihood then weigh
other parts of the curve, and the correction, which supposes a straight law, does not give the slope
of the rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.allocation import allocate
from scaling_theory.curves import DiscreteCurve, LossCurve, PowerLawCurve
from scaling_theory.fitting import fit_frequencies
from scaling_theory.frequencies import PowerLawFrequencies
from scaling_theory.population import Population
from scaling_theory.theory.latents.frequencies import latent_frequencies
from scaling_theory.theory.latents.readings import GEMMA_SCOPE

if TYPE_CHECKING:
    import pandas as pd

SIZE = (11.6, 6.0)
AXES = (1, 2)
SEED = 0

LATENTS = 16_384
TOKENS = 10**6
RANKS = (100, 10_000)
#: How often the most frequent feature is active.
MOST = 0.5


class Case(NamedTuple):
    """Features ``MOST`` * i^-(1+alpha), curves (1+n)^-beta.

    Without a beta each of as many features as latents takes one.
    """

    regime: str
    alpha: float
    beta: float | None

    @property
    def label(self) -> str:
        """For legends."""
        beta = "one latent each" if self.beta is None else rf"$\beta = {self.beta:g}$"
        return rf"$\alpha = {self.alpha:g}$, {beta}"


CASES = (
    Case("one latent per feature", -1.0 - GEMMA_SCOPE[0][2], None),
    Case("one latent per feature", -1.0 - GEMMA_SCOPE[1][2], None),
    Case("one latent per feature", 0.3, None),
    Case("benign", 0.2, 0.5),
    Case("benign", 0.5, 1.0),
    Case("benign", 0.5, 3.0),
    Case("pathological", 1.0, 0.5),
    Case("pathological", 0.5, 0.3),
    Case("pathological", 0.5, 0.1),
)

_COLOURS = {
    "one latent per feature": ("#000000", "#666666", "#A6A6A6"),
    "benign": ("#7FB2E5", "#2A6FB0", "#0B2D66"),
    "pathological": ("#F2B134", "#D55E00", "#8C2D04"),
}
_MARKERS = {"one latent per feature": "s", "benign": "o", "pathological": "^"}


def data() -> pd.DataFrame:
    """Return rank-frequency curves and slopes of all cases.

    Returns
    -------
    pandas.DataFrame
        ``regime``, ``alpha``, ``beta`` (nan: one latent each), ``kind``. Rows of kind "curve":
        ``rank``, ``rate`` (exact), ``frequency`` (counted, ranked by itself; 0 for those never seen
        to fire). Of kind "slope": ``estimate`` and its ``slope`` (nan where there is none) with the
        ends ``low`` and ``high`` of a 95% interval; ``status`` is that of ``fit_frequencies``.
    """
    import pandas as pd

    rng = np.random.default_rng(SEED)
    return pd.concat([of_case(case, rng) for case in CASES], ignore_index=True)


def rates(case: Case) -> Floats:
    """Return how often each latent fires, in decreasing order, shape (LATENTS,)."""
    from scipy.special import zeta

    curve: LossCurve
    if case.beta is None:
        total = MOST * float(np.sum(np.arange(1.0, LATENTS + 1.0) ** -(1.0 + case.alpha)))
        law = PowerLawFrequencies(case.alpha, count=LATENTS, total=total)
        curve = DiscreteCurve()
    else:
        law = PowerLawFrequencies(case.alpha, total=MOST * float(zeta(1.0 + case.alpha)))
        curve = PowerLawCurve(beta=case.beta)
    found = latent_frequencies(allocate(Population(law, curve), LATENTS))
    return found.at(np.arange(1, LATENTS + 1))


def of_case(case: Case, rng: np.random.Generator) -> pd.DataFrame:
    """Return the rows of one case; its counts are drawn from ``rng``."""
    import pandas as pd

    exact = rates(case)
    counted = np.sort(rng.binomial(TOKENS, exact) / TOKENS)[::-1]
    ranks = np.unique(np.rint(np.geomspace(1, LATENTS, 61)).astype(np.int64))
    curve = pd.DataFrame(
        {"kind": "curve", "rank": ranks, "rate": exact[ranks - 1], "frequency": counted[ranks - 1]}
    )
    own = fit_frequencies(exact, RANKS, kind="continuous", replicates=0)
    seen = fit_frequencies(counted, RANKS, samples=TOKENS, replicates=0, seed=SEED)
    likely = (-seen.by_rank.spacing_interval[1], -seen.by_rank.spacing_interval[0])
    nan = (np.nan, np.nan)
    rows: list[tuple[str, float, tuple[float, float], str]] = [
        ("rates, least squares", own.slope, nan, own.status),
        ("counts, least squares", seen.slope, seen.interval, seen.status),
        ("rates, likelihood", -own.by_rank.spacing_exponent, nan, own.status),
        ("counts, likelihood", -seen.by_rank.spacing_exponent, likely, seen.status),
    ]
    fixed = seen.corrected
    if fixed is None:
        rows.append(("counts, corrected", np.nan, nan, "no power law"))
    else:
        rows.append(("counts, corrected", fixed.slope, fixed.interval, seen.status))
    slopes = pd.DataFrame(
        [
            {"kind": "slope", "estimate": name, "slope": slope, "low": low, "high": high,
             "status": status}
            for name, slope, (low, high), status in rows
        ]
    )  # fmt: skip
    out = pd.concat([curve, slopes], ignore_index=True)
    beta = np.nan if case.beta is None else case.beta
    return out.assign(regime=case.regime, alpha=case.alpha, beta=beta)


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> Sequence[Any]:
    """Curves on the left, slopes on the right."""
    places = list(zip(CASES, _colours(), strict=True))
    for case, colour in places:
        part = data[_is(data, case)]
        _draw_curve(axes[0], case, colour, part[part["kind"] == "curve"])
    _finish_curves(axes[0])
    for place, (case, colour) in enumerate(places):
        part = data[_is(data, case) & (data["kind"] == "slope")].set_index("estimate")
        _draw_slopes(axes[1], -place, colour, part)
    _finish_slopes(axes[1])
    return axes


def _colours() -> list[str]:
    used = dict.fromkeys(_COLOURS, 0)
    out = []
    for case in CASES:
        out.append(_COLOURS[case.regime][used[case.regime]])
        used[case.regime] += 1
    return out


def _is(data: pd.DataFrame, case: Case) -> Any:
    beta: Any = data["beta"].isna() if case.beta is None else np.isclose(data["beta"], case.beta)
    return np.isclose(data["alpha"], case.alpha) & beta


def _draw_curve(ax: Any, case: Case, colour: str, part: pd.DataFrame) -> None:
    fires = part[part["frequency"] > 0.0]
    ax.loglog(part["rank"], part["rate"], color=colour, linewidth=1.5)
    ax.loglog(
        fires["rank"], fires["frequency"], color=colour, linestyle="none",
        marker=_MARKERS[case.regime], markersize=3.6, markeredgewidth=0.4, markeredgecolor="white",
        label=f"{case.label} ({case.regime})" if case.beta is not None else case.label,
    )  # fmt: skip


def _finish_curves(ax: Any) -> None:
    ax.axvspan(*RANKS, color="black", alpha=0.06, linewidth=0)
    ax.text(1000, 1.6, "slopes are fitted here", fontsize=8, ha="center", va="bottom")
    ax.set(
        xlabel="rank of latent",
        ylabel="firings per token",
        title=f"{LATENTS:,} latents: rates (lines), counts over $10^{{6}}$ tokens (marks)",
        ylim=(7e-7, 4.0),
    )
    ax.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3)


#: Estimate -> marker, size, filled, height within its row.
_ESTIMATES = {
    "rates, least squares": ("|", 13, True, 0.2),
    "counts, least squares": ("o", 5, True, 0.2),
    "rates, likelihood": ("|", 13, True, -0.2),
    "counts, likelihood": ("s", 5, False, -0.2),
    "counts, corrected": ("D", 5, True, -0.2),
}


def _draw_slopes(ax: Any, place: int, colour: str, part: pd.DataFrame) -> None:
    slopes: Any = part["slope"]
    for name, (marker, size, filled, lift) in _ESTIMATES.items():
        row = part.loc[name]
        if np.isnan(row["slope"]):
            ax.text(
                slopes["counts, likelihood"] - 0.12, place + lift, "corrected: none",
                fontsize=7, ha="right", va="center",
            )  # fmt: skip
            continue
        spread = None
        if np.isfinite(row["low"]):
            spread = [[row["slope"] - row["low"]], [row["high"] - row["slope"]]]
        exact = name.startswith("rates")
        ax.errorbar(
            row["slope"], place + lift, xerr=spread, marker=marker, markersize=size,
            color="black" if exact else colour, markerfacecolor=colour if filled else "white",
            markeredgecolor="black" if exact else colour, markeredgewidth=1.3, linewidth=1.2,
            zorder=2 if exact else 3,
        )  # fmt: skip


def _finish_slopes(ax: Any) -> None:
    from matplotlib.lines import Line2D

    for (label, _, slope), dash in zip(GEMMA_SCOPE, ("--", ":"), strict=True):
        ax.axvline(slope, color="#444444", linestyle=dash, linewidth=1.1, zorder=1)
        side = "right" if slope == GEMMA_SCOPE[0][2] else "left"
        ax.text(slope, 0.75, f" {label}: {slope:g} ", fontsize=7.5, ha=side)
    handles = [
        Line2D([], [], linestyle="none", marker=marker, markersize=min(size, 9), color="black",
               markerfacecolor="black" if filled else "white")
        for name, (marker, size, filled, _) in _ESTIMATES.items() if name != "rates, likelihood"
    ]  # fmt: skip
    labels = ["rates, without noise", "least squares (upper)", "max. likelihood (lower)"]
    labels.append("same, noise corrected")
    handles.append(Line2D([], [], color="#444444", linestyle="--", linewidth=1.1))
    labels.append("as published for Gemma Scope")
    ax.legend(
        handles, labels, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2,
        title="dashed, dotted: Michaud, Gorton and McGrath (2025), Figure 4, A.1",
        title_fontsize=7.5,
    )  # fmt: skip
    ax.set_yticks([-place for place in range(len(CASES))], [case.label for case in CASES])
    ax.set(
        xlabel=f"slope between ranks {RANKS[0]} and {RANKS[1]:,}, with 95% intervals",
        title="The slope of a bent curve depends on how one asks",
        xlim=(-3.85, 0.1),
        ylim=(-len(CASES) + 0.4, 1.3),
    )
