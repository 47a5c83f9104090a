"""How good is :func:`diagnose`? Families of SAEs with known regimes, judged one by one.

- :func:`judge` diagnoses families; one row each.
- :func:`calibration` sorts rows by stated probability and counts how often it was so.
- :func:`accuracy` counts the calls (above 0.8) that were right, over all and by departure.

``python -m scaling_theory.analysis`` prints both for the blind families.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.analysis.diagnosis import diagnose
from scaling_theory.analysis.diagnosis.prior import SHOWS
from scaling_theory.analysis.diagnosis.result import CALL

if TYPE_CHECKING:
    import pandas as pd

#: Edges of the classes of stated probability.
EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def judge(families: Iterable[Any], **options: Any) -> pd.DataFrame:
    """Diagnose each family from what may be seen of it.

    Returns
    -------
    DataFrame
        One row a family: name, regime (the truth: "pathological" where at least a fifth of the
        latents of the largest SAE are on manifolds with beta < alpha), limit (the regime in the
        limit of many latents), in_the_limit, pathological (the probabilities said), verdict,
        departures (joined by "; "), evidence (kinds, joined by "+"), taken_over (share of the
        latents of the largest SAE that are on manifolds with beta < alpha), effective_draws.
    """
    import pandas as pd

    rows = []
    for family in families:
        given = {
            "widths_losses": None
            if family.losses is None
            else (family.widths, family.losses)
            if family.stderr is None
            else (family.widths, family.losses, family.stderr),
            "frequencies": family.frequencies or None,
            "cosines": family.cosines or None,
        }
        said = diagnose(**given, plan=False, **options)
        rows.append(
            {
                "name": family.name,
                "regime": _shown(family),
                "limit": family.regime,
                "alpha": family.alpha,
                "beta": family.beta,
                "in_the_limit": said.in_the_limit,
                "pathological": said.probabilities["pathological"],
                "verdict": said.verdict,
                "evidence": "+".join(piece.name for piece in said.evidence),
                "departures": "; ".join(family.departures),
                "taken_over": float(np.asarray(family.taken_over)[-1]),
                "effective_draws": said.effective_draws,
                **{piece.name: piece.pathological for piece in said.evidence},
                **{f"{piece.name}_misfit": piece.misfit for piece in said.evidence},
            }
        )
    return pd.DataFrame(rows)


def _shown(family: Any) -> str:
    """Regime by what the latents of the largest SAE are spent on."""
    if family.regime == "other":
        return "other"
    return "pathological" if float(np.asarray(family.taken_over)[-1]) >= SHOWS else "benign"


def calibration(rows: pd.DataFrame) -> pd.DataFrame:
    """Stated probabilities in five classes beside how often it was so.

    Returns
    -------
    DataFrame
        One row a class of the probability of the pathological regime: low, high, families, said
        (mean probability), so (share that is pathological), so_low, so_high (Clopper-Pearson, 95%).
        Families of regime "other", and those that the model is said not to describe, are left out.
    """
    import pandas as pd

    known = _judged(rows)
    out = []
    for low, high in pairwise(EDGES):
        p = known["pathological"]
        here = known[(p >= low) & ((p < high) | (high == 1.0))]
        so = int((here["regime"] == "pathological").sum())
        said = float(here["pathological"].mean()) if len(here) else math.nan
        share = so / len(here) if len(here) else math.nan
        out.append((low, high, len(here), said, share, *_binomial(so, len(here))))
    columns = ["low", "high", "families", "said", "so", "so_low", "so_high"]
    return pd.DataFrame(out, columns=columns)


def accuracy(rows: pd.DataFrame, by: str = "departures") -> pd.DataFrame:
    """Calls (probability above 0.8) and how many were right, over all and by departure or evidence.

    Returns
    -------
    DataFrame
        One row a value of the column ``by`` ("departures" is split at "; "; "none" where empty):
        families, called, right, share (right of called), low, high (Clopper-Pearson, 95%).
    """
    import pandas as pd

    known = _judged(rows).copy()
    p = known["pathological"]
    known["called"] = (p > CALL) | (p < 1.0 - CALL)
    known["right"] = known["called"] & ((p > 0.5) == (known["regime"] == "pathological"))
    groups: dict[str, list[int]] = {"all": list(range(len(known)))}
    for place, value in enumerate(known[by].fillna("")):
        names = (str(value).split("; ") if value else ["none"]) if by == "departures" else [value]
        for name in names:
            groups.setdefault(str(name), []).append(place)
    out = []
    for name, places in groups.items():
        here = known.iloc[places]
        called, right = int(here["called"].sum()), int(here["right"].sum())
        share = right / called if called else math.nan
        out.append((name, len(here), called, right, share, *_binomial(right, called)))
    columns = [by, "families", "called", "right", "share", "low", "high"]
    return pd.DataFrame(out, columns=columns)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[(rows["regime"] != "other") & ~rows["verdict"].str.startswith("the model")]


def _binomial(hits: int, total: int) -> tuple[float, float]:
    """Clopper-Pearson interval at 95%."""
    from scipy.special import betaincinv

    low = 0.0 if hits == 0 else float(betaincinv(hits, total - hits + 1, 0.025))
    high = 1.0 if hits == total else float(betaincinv(hits + 1, total - hits, 0.975))
    return low, high
