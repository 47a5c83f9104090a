"""Tables of the study for reading: ``python -m scaling_theory.sae.studies real``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaling_theory.sae.studies.real import laws
from scaling_theory.sae.studies.real.study import Tables

if TYPE_CHECKING:
    import pandas as pd


def report(tables: Tables) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield titles and tables: metrics, laws, latents, similarity, diagnoses."""
    yield (
        "metrics on held-out rows (O'Neill et al. 2024, Table 2); first seed; ReLU on either side "
        "of the matched L0",
        metrics(tables.runs),
    )
    yield "losses: means over seeds; ReLU at the matched L0", tables.losses
    yield (
        "L(n) = scale n^-exponent + floor, 95% profile intervals; oneill: astro-ph, cs.LG",
        laws.width_laws(tables.losses),
    )
    least = 2 * int(tables.losses["width"].min())
    yield (
        "the same from 2 d latents on, as in O'Neill et al.; few points",
        laws.width_laws(tables.losses[tables.losses["width"] >= least], floors=("zero",)),
    )
    yield (
        "the same on rows that were trained on (first seed, TopK)",
        laws.width_laws(laws.losses_trained_on(tables.latents)),
    )
    yield (
        "L(C) = scale C^-exponent + floor on the frontier of all widths; intervals are too narrow",
        laws.compute_laws(laws.compute_points(tables.runs)),
    )
    yield "L(n, k) of Gao et al. (2024)", laws.joint_laws(tables.losses)
    yield "firing and neighbours of latents (first seed)", _plain(tables.latents)
    yield "nearest latents in other SAEs", _plain(tables.similarity)
    yield "diagnoses", diagnoses(tables.diagnoses)


def metrics(runs: pd.DataFrame) -> pd.DataFrame:
    """Normalised MSE, log density and mean activation of each SAE of the first seed."""
    names = ["kind", "family", "l1", "width", "fvu", "l0", "dead", "log_density", "mean_activation"]
    return runs.loc[runs["seed"] == 0, names].sort_values(["kind", "family", "width"])


def diagnoses(table: pd.DataFrame) -> pd.DataFrame:
    """Probabilities of the pathological regime and verdicts."""
    names = ["kind", "family", "losses_alone", "frequencies_alone", "cosines_alone", "pathological"]
    names += ["in_the_limit", "losses_misfit", "frequencies_misfit", "cosines_misfit"]
    names += ["alpha", "beta", "verdict"]
    return table[[name for name in names if name in table]]


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Without the histograms."""
    return table.drop(columns=[c for c in table.columns if str(c).endswith(("_counts", "_shares"))])
