"""Trained SAEs held against the solver: latents by feature, discovery, loss, firing frequencies.

- :func:`comparison`: one row a run and curve (derived, or trained on the manifold alone).
- :func:`verdicts`: one row a setting, architecture and curve; what the seeds agree on.
- :func:`allocations`: trained and predicted latents by feature, for plots.
- :func:`discovery_exponents`: slopes of D(N), trained and predicted.

Two numbers say how far a prediction is off. *Total variation* is half of sum_i |n_i - n_i*|/N, with
latents that serve no feature (dead, or idle in the theory) as one more feature; seeds differ among
themselves, too, and a prediction is within their spread if it is no further from them than they are
from each other. The *loss ratio* is the trained loss over the predicted one. It is the product of
two, since the theory also says what the allocation that was trained should cost:

    trained / predicted = (sum p_i L_i(n_i) / sum p_i L_i(n_i*)) (trained / sum p_i L_i(n_i)).

The first is the price of a bad *allocation*, the second says how the features' own losses differ
from their curves (*within*): what training, interference or a shared k do to a feature that has its
n_i latents.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.sae.studies._kept import Kept
from scaling_theory.sae.studies.follow.curves import measured_curve
from scaling_theory.sae.studies.follow.settings import (
    ARCHITECTURES,
    HELD_OUT,
    RARE,
    SETTINGS,
    Setting,
)
from scaling_theory.sae.studies.follow.theory import FED, Fed, theory_of

if TYPE_CHECKING:
    import pandas as pd

#: Losses below this share of E|x|^2 are next to nothing: ratios to them say nothing.
_NOTHING: Final = 1e-3


@final
@dataclass(frozen=True, eq=False)
class Trained:
    """What one trained SAE did.

    Attributes
    ----------
    width, seed
        Of the run.
    latents : (features,) int64
        Latents that serve each feature (``sae.ownership``).
    explained : (features,)
        Share of each feature's energy that is explained while it is active.
    loss
        On fresh samples.
    frequencies : (width,)
        How often each latent fires, falling.
    """

    width: int
    seed: int
    latents: Ints
    explained: Floats
    loss: float
    frequencies: Floats

    @property
    def idle(self) -> int:
        """Latents that serve no feature."""
        return self.width - int(self.latents.sum())


def trained(setting: Setting, architecture: str, kept: Kept) -> list[Trained]:
    """Return what SAEs did in a setting, by width, then by seed."""
    out = []
    for spec in setting.specs(architecture):
        row = kept.row(spec)
        out.append(
            Trained(
                spec.width,
                spec.seed,
                np.array(json.loads(str(row["latents"])), dtype=np.int64),
                np.array(json.loads(str(row["explained"])), dtype=np.float64),
                float(row["loss"]),
                np.sort(np.array(json.loads(str(row["fires"])), dtype=np.float64))[::-1]
                / spec.evaluation,
            )
        )
    return out


def total_variation(one: Ints, other: Ints, latents: int) -> float:
    """Half of sum_i |n_i - m_i|/N; latents that neither gives to a feature are one more feature."""
    idle = abs(int(one.sum()) - int(other.sum()))
    return float(np.abs(one - other).sum() + idle) / (2.0 * latents)


def comparison(
    kept: Kept | None = None, settings: Sequence[Setting] = (*SETTINGS, *HELD_OUT)
) -> pd.DataFrame:
    """Return how far each run is from each prediction.

    Returns
    -------
    DataFrame
        ``setting``, ``architecture``, ``fed`` (with which curves), ``width``, ``seed``;
        ``variation`` (total variation), ``seeds`` (mean total variation to the other seeds of the
        width), ``loss``, ``predicted_loss``, ``gap`` (their difference over E|x|^2, the loss
        without latents), ``ratio``, and its factors ``allocation`` and ``within`` (nan where the
        prediction is below 0.1% of E|x|^2); ``discovered`` (features
        with a latent), ``predicted_discovered``, ``explained`` (features of which more than half is
        explained), ``idle``, ``predicted_idle``;
        ``frequency_error``, the mean of |log10| of the ratio of firing frequencies, rank by rank
        over the latents that fire in both.
    """
    import pandas as pd

    kept = Kept("follow") if kept is None else kept
    rows = []
    for setting, architecture, fed in _cases(settings):
        theory = theory_of(setting, architecture, fed, kept)
        if theory is None:
            continue
        runs = trained(setting, architecture, kept)
        empty = setting.data.magnitude
        fires = _firing(setting, architecture, kept)
        for run in runs:
            best = theory.at(run.width)
            others = [o.latents for o in runs if o.width == run.width and o is not run]
            cost = theory.cost(run.latents)
            rows.append(
                {
                    "setting": setting.name,
                    "architecture": architecture,
                    "fed": fed,
                    "width": run.width,
                    "seed": run.seed,
                    "variation": total_variation(run.latents, best.latents, run.width),
                    "seeds": np.mean([total_variation(run.latents, o, run.width) for o in others]),
                    "loss": run.loss,
                    "predicted_loss": best.loss,
                    "gap": (run.loss - best.loss) / empty,
                    "ratio": _ratio(run.loss, best.loss, empty),
                    "allocation": _ratio(cost, best.loss, empty),
                    "within": _ratio(run.loss, cost, empty),
                    "discovered": int((run.latents > 0).sum()),
                    "predicted_discovered": int((best.latents > 0).sum()),
                    "explained": int((run.explained > 0.5).sum()),
                    "idle": run.idle,
                    "predicted_idle": run.width - int(best.latents.sum()),
                    "frequency_error": _apart(run.frequencies, fires(best.latents)),
                }
            )
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what :func:`comparison` says of each setting, architecture and curve.

    Returns
    -------
    DataFrame
        Means over widths and seeds of ``variation``, ``seeds``, ``gap``, ``ratio``, ``allocation``,
        ``within`` and ``frequency_error``, without nan; ``ratio_low`` and ``ratio_high``;
        ``as_seeds``, at how many widths the mean total variation to the prediction is no more than
        that of the seed which is furthest from the others, of ``widths``; ``loss_as_seeds``, at how
        many the predicted loss is inside the 95% interval of the seeds' mean (Student's t).
    """
    import pandas as pd
    from scipy.stats import t as student

    table = comparison() if table is None else table
    rows = []
    for (setting, architecture, fed), part in table.groupby(
        ["setting", "architecture", "fed"], sort=False
    ):
        row: dict[str, Any] = {"setting": setting, "architecture": architecture, "fed": fed}
        names = ["variation", "seeds", "gap", "ratio", "allocation", "within", "frequency_error"]
        row |= {name: float(part[name].mean()) for name in names}
        row |= {"ratio_low": part["ratio"].min(), "ratio_high": part["ratio"].max()}
        by_width = part.groupby("width")
        row["as_seeds"] = int(sum(w["variation"].mean() <= w["seeds"].max() for _, w in by_width))
        inside = 0
        for _, some in by_width:
            k = len(some)
            half = student.ppf(0.975, k - 1) * some["loss"].std(ddof=1) / np.sqrt(k)
            inside += int(abs(some["loss"].mean() - some["predicted_loss"].iloc[0]) <= half)
        rows.append({**row, "loss_as_seeds": inside, "widths": len(by_width)})
    return pd.DataFrame(rows)


def allocations(
    setting: Setting, architecture: str, width: int, kept: Kept | None = None
) -> pd.DataFrame:
    """Return latents by feature: ``rank``, ``label``, a column a seed and a column a prediction."""
    import pandas as pd

    kept = Kept("follow") if kept is None else kept
    data = setting.data
    ranks = np.arange(1, setting.features + 1)
    labels = np.array(data.labels)[data.group_of(ranks)]
    out: dict[str, Any] = {"rank": ranks, "label": labels, "probability": data.probabilities}
    for run in trained(setting, architecture, kept):
        if run.width == width:
            out[f"seed {run.seed}"] = run.latents
    for fed in FED:
        theory = theory_of(setting, architecture, fed, kept)
        if theory is not None:
            out[fed] = theory.at(width).latents
    return pd.DataFrame(out)


def discovery_exponents(
    kept: Kept | None = None, settings: Sequence[Setting] = SETTINGS
) -> pd.DataFrame:
    """Return the slopes of ln D(N) against ln N over all widths of each setting.

    Returns
    -------
    DataFrame
        ``setting``, ``architecture``, ``alpha``; ``trained``, ``low``, ``high``: mean of the seeds'
        slopes with its 95% interval (Student's t); ``explained``: the same slope of features of
        which more than half is explained; ``predicted from derived``, ``predicted from trained``:
        slopes of the solver's D(N) at the same widths; ``factor``, by which N grows.
    """
    import pandas as pd
    from scipy.stats import t as student

    kept = Kept("follow") if kept is None else kept
    rows = []
    for setting in settings:
        for architecture in setting.architectures:
            runs = trained(setting, architecture, kept)
            seeds = sorted({run.seed for run in runs})

            widths = np.array(setting.widths)
            own = [[r for r in runs if r.seed == seed] for seed in seeds]
            found = np.array([_slope(((r.latents > 0).sum() for r in rs), widths) for rs in own])
            half = student.ppf(0.975, len(seeds) - 1) * found.std(ddof=1) / np.sqrt(len(seeds))
            explained = [_slope(((r.explained > 0.5).sum() for r in rs), widths) for rs in own]
            row: dict[str, Any] = {
                "setting": setting.name,
                "architecture": architecture,
                "alpha": setting.alpha,
                "factor": widths[-1] / widths[0],
                "trained": found.mean(),
                "low": found.mean() - half,
                "high": found.mean() + half,
                "explained": float(np.mean(explained)),
            }
            for fed in FED:
                theory = theory_of(setting, architecture, fed, kept)
                if theory is not None:
                    counts = [int((theory.at(int(n)).latents > 0).sum()) for n in widths]
                    row[f"predicted from {fed}"] = _slope(counts, widths)
            rows.append(row)
    return pd.DataFrame(rows)


# ---- firing frequencies -------------------------------------------------------------------------


def _firing(setting: Setting, architecture: str, kept: Kept) -> Any:
    """Function of an allocation: how often its latents fire, falling.

    A feature's n latents share its activations with the overlap q(n) that was measured on its
    manifold alone; each fires with frequency p q(n)/n.
    """
    data = setting.data
    group = data.group_of(np.arange(1, setting.features + 1))
    chosen = ARCHITECTURES[architecture]
    measured = [
        None if manifold.dimension == 1 else measured_curve(manifold, chosen, kept, RARE)
        for manifold in data.manifolds
    ]

    def fires(latents: Ints) -> Floats:
        rate = np.zeros(latents.size)
        for index, curve in enumerate(measured):
            at = (group == index) & (latents > 0)
            if at.any():
                n = latents[at].astype(np.float64)
                q = np.ones(n.size) if curve is None else curve.overlap_at(latents[at])
                rate[at] = data.probabilities[at] * np.minimum(q, n) / n
        return np.sort(np.repeat(rate, latents))[::-1]

    return fires


def _slope(counts: Iterable[int], widths: Ints) -> float:
    """Slope of ln counts against ln widths; nan where a count is 0."""
    found = np.fromiter(counts, np.float64)
    if (found <= 0.0).any():
        return math.nan
    return float(np.polyfit(np.log(widths), np.log(found), 1)[0])


def _ratio(one: float, other: float, empty: float) -> float:
    """Ratio of losses; nan where the second one is next to nothing."""
    return one / other if other > _NOTHING * empty else math.nan


def _apart(one: Floats, other: Floats) -> float:
    """Mean |log10| of the ratio of two falling lists, over ranks at which both are positive."""
    k = min(int((one > 0.0).sum()), int((other > 0.0).sum()))
    return float(np.mean(np.abs(np.log10(one[:k] / other[:k])))) if k else float("nan")


def _cases(settings: Sequence[Setting]) -> list[tuple[Setting, str, Fed]]:
    return [(s, a, fed) for s in settings for a in s.architectures for fed in FED]
