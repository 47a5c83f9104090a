"""Trained SAEs held against the solver: latents by feature, discovery, loss, firing frequencies.

- :func:`comparison`: one row a run and curve (derived, or trained on the manifold alone).
- :func:`verdicts`: one row a setting, architecture and curve; what the seeds agree on.
- :func:`allocations`: trained and predicted latents by feature, for plots.
- :func:`exponents`: slopes of D(N) and of the loss, trained and predicted.

Two numbers say how far a prediction is off. *Total variation* is half of sum_i |n_i - n_i*|/N, with
latents that serve no feature (dead, or idle in the theory) as one more feature; seeds differ among
themselves, too, and a prediction is within their spread if it is no further from them than they are
from each other. The *loss ratio* is the trained loss over the predicted one. It is the product of
two, since the theory also says what the allocation that was trained should cost:

    trained / predicted = (sum p_i L_i(n_i) / sum p_i L_i(n_i*)) (trained / sum p_i L_i(n_i)).

The first is the price of a bad *allocation*, the second says how the features' own losses differ
from their curves (*within*): what training, interference or a shared k do to a feature that has its
n_i latents. Latents are counted for the one feature that they serve most: where many serve two
(purity well below 1) that inflates the first factor and deflates the second.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.sae.studies._kept import Kept
from scaling_theory.sae.studies.follow.curves import measured_curve
from scaling_theory.sae.studies.follow.settings import (
    ARCHITECTURES,
    HELD_OUT,
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
    mixed
        Latents with a purity below 0.9: they serve two features or more.
    """

    width: int
    seed: int
    latents: Ints
    explained: Floats
    loss: float
    frequencies: Floats
    mixed: int

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
                int(json.loads(str(row["mixed"]))[0]),
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
        ``setting``, ``architecture``, ``fed`` (what the prediction rests on), ``width``, ``seed``;
        ``variation`` (total variation), ``seeds`` (mean total variation to the other seeds of the
        width), ``by_p`` and ``by_root`` (total variation to latents in proportion to p_i and to its
        root); ``loss``, ``predicted_loss``, ``gap`` (their difference over E|x|^2, the loss without
        latents), ``ratio``, and its factors ``allocation`` and ``within`` (nan where the prediction
        is below 0.1% of E|x|^2); ``discovered`` (features with a latent),
        ``predicted_discovered``, ``explained`` (features of which more than half is explained),
        ``mixed`` (latents that serve two features or more: a purity below 0.9), ``idle``,
        ``predicted_idle``; ``frequency_error``, the mean of |log10| of the ratio of
        firing frequencies, rank by rank over the latents that fire in both.
    """
    import pandas as pd

    kept = Kept("follow") if kept is None else kept
    rows = []
    for setting, architecture, fed in _cases(settings):
        theory = theory_of(setting, architecture, fed, kept)
        if theory is None:
            continue
        runs = trained(setting, architecture, kept)
        empty, p = setting.data.magnitude, setting.data.probabilities
        fires = _firing(setting, architecture, kept)
        for run in runs:
            best = theory.at(run.width)
            others = [o.latents for o in runs if o.width == run.width and o is not run]
            cost = theory.cost(run.latents)
            off = [
                total_variation(run.latents, other, run.width)
                for other in (
                    best.latents,
                    _shared_out(p, run.width),
                    _shared_out(p**0.5, run.width),
                )
            ]
            rows.append(
                {
                    "setting": setting.name,
                    "architecture": architecture,
                    "fed": fed,
                    "width": run.width,
                    "seed": run.seed,
                    "variation": off[0],
                    "seeds": np.mean([total_variation(run.latents, o, run.width) for o in others]),
                    "by_p": off[1],
                    "by_root": off[2],
                    "loss": run.loss,
                    "predicted_loss": best.loss,
                    "gap": (run.loss - best.loss) / empty,
                    "ratio": _ratio(run.loss, best.loss, empty),
                    "allocation": _ratio(cost, best.loss, empty),
                    "within": _ratio(run.loss, cost, empty),
                    "discovered": int((run.latents > 0).sum()),
                    "predicted_discovered": int((best.latents > 0).sum()),
                    "explained": int((run.explained > 0.5).sum()),
                    "mixed": run.mixed,
                    "idle": run.idle,
                    "predicted_idle": run.width - int(best.latents.sum()),
                    "frequency_error": _apart(run.frequencies, fires(best.latents)),
                }
            )
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what :func:`comparison` says of each setting, architecture and prediction.

    Returns
    -------
    DataFrame
        ``variation``, ``seeds``: means over widths and seeds; ``naive``: the smaller mean of
        ``by_p`` and ``by_root``.
        ``ratio``: mean over the ``compared`` widths that have one; ``off``: mean |ln ratio|;
        ``worst``: the ratio that is furthest from 1. Of means over seeds at each width.
        ``allocation``, ``within``, ``frequency_error``: means, without nan.
        ``spread``: relative standard deviation of the loss over seeds, pooled over widths; the
        samples that losses are measured on are part of it.
        ``latents_as_seeds``, of ``widths``: at how many the mean total variation to the prediction
        is no more than that of the seed which is furthest from the others. A prediction that is the
        centre of the seeds is nearer by sqrt(2) than they are to each other.
        ``loss_as_seeds``: at how many the predicted loss is inside the 95% interval of the seeds'
        mean, from the pooled spread (Student's t). Both are easier where seeds scatter more.
    """
    import pandas as pd
    from scipy.stats import t as student

    table = comparison() if table is None else table
    rows = []
    keys = ["setting", "architecture", "fed"]
    for key, part in table.groupby(keys, sort=False):
        by_width = part.groupby("width")
        loss, expected = by_width["loss"].mean(), by_width["predicted_loss"].first()
        free = len(part) - len(loss)
        relative = part["loss"] / part["width"].map(loss) - 1.0
        spread = math.sqrt(float((relative**2).sum()) / free)
        t = float(student.ppf(0.975, free))
        half: Any = t * spread * loss / np.sqrt(by_width.size())
        ratio = by_width["ratio"].mean().dropna()
        far = ratio.iloc[int(np.argmax(np.abs(np.log(ratio))))] if len(ratio) else math.nan
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        row |= {name: float(part[name].mean()) for name in ("variation", "seeds")}
        row["naive"] = float(min(part["by_p"].mean(), part["by_root"].mean()))
        row |= {"ratio": ratio.mean(), "off": np.abs(np.log(ratio)).mean(), "worst": far}
        row["compared"] = len(ratio)
        names = ("allocation", "within", "frequency_error")
        row |= {name: float(part[name].mean()) for name in names}
        row["spread"] = spread
        row["latents_as_seeds"] = int(
            (by_width["variation"].mean() <= by_width["seeds"].max()).sum()
        )
        row["loss_as_seeds"] = int(((loss - expected).abs() <= half).sum())
        rows.append({**row, "widths": len(loss)})
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


def exponents(
    kept: Kept | None = None, settings: Sequence[Setting] = (*SETTINGS, *HELD_OUT)
) -> pd.DataFrame:
    """Return slopes against ln N, trained and predicted.

    Returns
    -------
    DataFrame
        ``setting``, ``architecture``, ``alpha``; ``of``: "D", features with a latent, at the widths
        at which no count, trained or predicted, is that of all features ("alone" is not asked);
        "D explained", of which more than half is explained, at the same widths; "1/L", the loss, at
        all. ``factor``, by which N grows over these widths. ``trained``, ``low``, ``high``: mean of
        the seeds' slopes with its 95% interval (Student's t). Then the solver's slope of the same
        for each prediction; D explained has none.
    """
    import pandas as pd

    kept = Kept("follow") if kept is None else kept
    rows = []
    for setting in settings:
        for architecture in setting.architectures:
            runs = trained(setting, architecture, kept)
            theories = {fed: theory_of(setting, architecture, fed, kept) for fed in FED}
            known = {fed: theory for fed, theory in theories.items() if theory is not None}
            best = {fed: [t.at(n) for n in setting.widths] for fed, t in known.items()}
            counts = {fed: [int((b.latents > 0).sum()) for b in at] for fed, at in best.items()}
            seeds = sorted({run.seed for run in runs})
            own = [[r for r in runs if r.seed == seed] for seed in seeds]
            found = [[int((r.latents > 0).sum()) for r in rs] for rs in own]
            seen = [*found, *(c for fed, c in counts.items() if fed != "alone")]
            some = [
                i for i in range(len(setting.widths)) if all(c[i] < setting.features for c in seen)
            ]
            every = list(range(len(setting.widths)))
            explained = [[int((r.explained > 0.5).sum()) for r in rs] for rs in own]
            inverse: dict[str, list[float]] = {
                fed: [_inverse(b.loss) for b in at] for fed, at in best.items()
            }
            cases: tuple[tuple[str, Any, Any, list[int]], ...] = (
                ("D", found, counts, some),
                ("D explained", explained, {}, some),
                ("1/L", [[1.0 / r.loss for r in rs] for rs in own], inverse, every),
            )
            for of, mine, theirs, at in cases:
                widths = np.array(setting.widths)[at]
                slopes = np.array([_slope(np.array(c)[at], widths) for c in mine])
                rows.append(
                    {
                        "setting": setting.name,
                        "architecture": architecture,
                        "alpha": setting.alpha,
                        "of": of,
                        "factor": widths[-1] / widths[0] if widths.size else math.nan,
                        **_interval(slopes),
                        **{fed: _slope(np.array(c)[at], widths) for fed, c in theirs.items()},
                    }
                )
    return pd.DataFrame(rows)


# ---- firing frequencies -------------------------------------------------------------------------


def _firing(setting: Setting, architecture: str, kept: Kept) -> Any:
    """Function of an allocation: how often its latents fire, falling.

    A feature's n latents share its activations with the overlap q(n) that was measured on its
    manifold in every input; each fires with frequency p q(n)/n.
    """
    data = setting.data
    group = data.group_of(np.arange(1, setting.features + 1))
    chosen = ARCHITECTURES[architecture]
    measured = [
        None if manifold.dimension == 1 else measured_curve(manifold, chosen, kept)
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


def _slope(values: Floats, widths: Ints) -> float:
    """Slope of ln values against ln widths; nan of one width, and where a value is 0 or unknown."""
    if widths.size < 2 or not (values > 0.0).all():
        return math.nan
    return float(np.polyfit(np.log(widths), np.log(values), 1)[0])


def _interval(slopes: Floats) -> dict[str, float]:
    from scipy.stats import t as student

    mean = float(slopes.mean())
    t = float(student.ppf(0.975, slopes.size - 1))
    half = t * float(slopes.std(ddof=1)) / math.sqrt(slopes.size)
    return {"trained": mean, "low": mean - half, "high": mean + half}


def _inverse(loss: float) -> float:
    return 1.0 / loss if loss > 0.0 else math.nan


def _shared_out(weights: Floats, latents: int) -> Ints:
    """Whole numbers in proportion to weights that sum to ``latents``: largest remainders."""
    exact = latents * weights / weights.sum()
    out: Ints = np.floor(exact).astype(np.int64)
    more = np.argsort(out - exact, kind="stable")[: latents - int(out.sum())]
    out[more] += 1
    return out


def _ratio(one: float, other: float, empty: float) -> float:
    """Ratio of losses; nan where the second one is next to nothing."""
    return one / other if other > _NOTHING * empty else math.nan


def _apart(one: Floats, other: Floats) -> float:
    """Mean |log10| of the ratio of two falling lists, over ranks at which both are positive."""
    k = min(int((one > 0.0).sum()), int((other > 0.0).sum()))
    return float(np.mean(np.abs(np.log10(one[:k] / other[:k])))) if k else float("nan")


def _cases(settings: Sequence[Setting]) -> list[tuple[Setting, str, Fed]]:
    return [(s, a, fed) for s in settings for a in s.architectures for fed in FED]
