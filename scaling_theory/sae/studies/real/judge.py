"""Which regime the families are in: ``diagnose`` with all evidence, and with each kind alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory._progress import track
from scaling_theory._validate import Floats
from scaling_theory.analysis.diagnosis import diagnose
from scaling_theory.sae.studies.real.latents import Latents, name_of

if TYPE_CHECKING:
    import pandas as pd

_PARAMETERS = ("alpha", "beta", "share", "theta", "piled", "discovery_slope")


def judge(
    losses: pd.DataFrame,
    latents: Sequence[Latents],
    cosines: Mapping[str, Floats],
    progress: bool,
) -> pd.DataFrame:
    """Diagnose each family: losses of all widths, firing and neighbours of the widest.

    Returns
    -------
    DataFrame
        kind, family, verdict, message, pathological (probability), in_the_limit; of each kind of
        evidence alone ``NAME_alone`` (probability) and ``NAME_misfit``; parameters as median,
        ``_low`` and ``_high``; what would decide: ``next`` and ``next_decides``.
    """
    import pandas as pd

    families = list(losses.groupby(["kind", "family"], sort=False))
    rows = []
    for (kind, family), part in track(families, "diagnoses", len(families), enabled=progress):
        one = max(
            (v for v in latents if (v.kind, v.family) == (kind, family)), key=lambda v: v.width
        )
        said = diagnose(
            widths_losses=(
                part["width"].to_numpy(),
                part["loss"].to_numpy(),
                part["stderr"].to_numpy(),
            ),
            frequencies={one.width: one.frequencies},
            cosines={one.width: cosines[name_of(one)]},
            samples=one.rows,
            dimension=one.decoder.shape[1],
        )
        row: dict[str, Any] = {
            "kind": kind,
            "family": family,
            "verdict": said.verdict,
            "message": said.message,
            "pathological": said.probabilities["pathological"],
            "in_the_limit": said.in_the_limit,
        }
        for piece in said.evidence:
            row[f"{piece.name}_alone"] = piece.pathological
            row[f"{piece.name}_misfit"] = piece.misfit
        for name in _PARAMETERS:
            if name in said.parameters.index:
                of = said.parameters.loc[name, ["median", "low", "high"]].to_numpy(float)
                row |= dict(zip((name, f"{name}_low", f"{name}_high"), of.tolist(), strict=True))
        if said.further is not None and len(said.further):
            best = said.further.sort_values("decides", ascending=False).iloc[0]
            row |= {"next": str(best["measurement"]), "next_decides": float(best["decides"])}
        rows.append({k: v if np.ndim(v) == 0 else str(v) for k, v in row.items()})
    return pd.DataFrame(rows)
