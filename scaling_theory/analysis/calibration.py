"""How good is :func:`diagnose`? Families of SAEs with known regimes, judged one by one.

- :func:`judge` diagnoses families; one row each.
- :func:`calibration` sorts rows by stated probability and counts how often it was so.
- :func:`accuracy` counts the calls (above 0.8) that were right, over all and by departure.

``python -m scaling_theory.analysis`` prints both for the blind families.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.analysis.diagnosis import diagnose
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
        One row a family: name, regime (the truth), pathological (the probability said), verdict,
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
                "regime": family.regime,
                "alpha": family.alpha,
                "beta": family.beta,
                "pathological": said.probabilities["pathological"],
                "verdict": said.verdict,
                "evidence": "+".join(piece.name for piece in said.evidence),
                "departures": "; ".join(family.departures),
                "taken_over": float(np.max(family.taken_over)),
                "effective_draws": said.effective_draws,
                **{piece.name: piece.pathological for piece in said.evidence},
                **{f"{piece.name}_misfit": piece.misfit for piece in said.evidence},
            }
        )
    return pd.DataFrame(rows)
