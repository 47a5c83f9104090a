"""Discovery of discrete features: with N latents the theory finds the N most frequent, D(N) = N.

Michaud, Gorton and McGrath (2025), section 2.3: a discrete feature needs one latent and gains
nothing by a second, so the best allocation is one latent each, the most frequent features first.
Training does not reach it by itself:

- A second latent for one feature costs nothing. Under L1 with decoder norms the penalty of a
  feature is l1 (f_1 |w_1| + f_2 |w_2|), the same for every split of the same reconstruction. So
  there is no force that separates two copies, and a latent on a feature that is explained has
  nothing else to learn: features without a latent move it only while it fires on them.
- From small initial weights all latents that can see the most frequent features grow onto them
  first, since gradients are in proportion to p_i. Whoever is left over is a copy.
- Copies do not look like copies to a comparison of encoder rows: one fires on the feature alone,
  the other on the feature together with rare ones (``ResampleDuplicates.encoders``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.frequencies import EmpiricalFrequencies
from scaling_theory.sae.architectures import Architecture, JumpReLU, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.manifolds import Points
from scaling_theory.sae.remedies import Remedy, ResampleDead, ResampleDuplicates
from scaling_theory.sae.superposition import Superposition
from scaling_theory.sae.sweep import Stored, train_widths

if TYPE_CHECKING:
    import pandas as pd

#: Architectures of the study.
ARCHITECTURES: Final[Mapping[str, Architecture]] = MappingProxyType(
    {
        "ReLU": ReLU(l1=0.1),
        "TopK k=1": TopK(1),
        "TopK k=2": TopK(2),
        "TopK k=4": TopK(4),
        "TopK k=2, AuxK": TopK(2, auxk=8),
        "JumpReLU": JumpReLU(l0=0.1, bandwidth=0.2),
        "TanhJumpReLU": TanhJumpReLU(),
    }
)
#: Remedies of the study.
REMEDIES: Final[Mapping[str, tuple[Remedy, ...]]] = MappingProxyType(
    {
        "none": (),
        "dead": (ResampleDead(),),
        "duplicates": (ResampleDuplicates(),),
        "both": (ResampleDead(), ResampleDuplicates()),
    }
)
#: Recipe: decoder rows start at norm 0.1 (Anthropic, April 2024), and small batches cost little.
#: From norm 1 latents start as mixtures of all features, and many stay mixtures.
RECIPE: Final[Mapping[str, Any]] = MappingProxyType(
    {"steps": 6000, "batch_size": 512, "decoder_norm": 0.1}
)


def discovery(
    widths: Sequence[int] = (8, 16, 32),
    seeds: int | Sequence[int] = 3,
    architectures: Mapping[str, Architecture] = ARCHITECTURES,
    remedies: Mapping[str, tuple[Remedy, ...]] = REMEDIES,
    *,
    features: int = 64,
    store: Stored | None = None,
    path: str = "auto",
    progress: bool | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Train SAEs on discrete features with p_i = 0.3 i^-1.5 and count what they find.

    A feature is discovered when more than half of its energy is explained while it is active
    (``metrics.ownership``).

    Parameters
    ----------
    widths
        Numbers of latents N.
    seeds
        So many seeds of each, or the seeds.
    architectures, remedies
        Name -> what is trained; all pairs of them.
    features
        Number of features, on orthogonal axes.
    store, path, progress
        As for ``train_widths``.
    **options
        What else a ``RunSpec`` takes, instead of :data:`RECIPE`.

    Returns
    -------
    DataFrame
        One row a run: ``architecture``, ``remedy``, ``width``, ``seed``; ``discovered`` = D(N);
        ``share`` = D(N)/N; ``first_missed``, the most frequent feature that is not found (rank);
        ``rarest_found``; ``mass``, the sum of p_i of what is found over that of the N first;
        ``purity``, ``dead``, ``duplicates`` (by encoder and decoder rows), ``loss``.

    Raises
    ------
    ValueError, SweepFailed
        As for ``train_widths``.
    """
    import pandas as pd

    features = _validate.whole("features", features, low=1)
    p: Floats = 0.3 * np.arange(1.0, features + 1.0) ** -1.5
    data = Superposition(EmpiricalFrequencies(p), default=Points())
    rows = []
    for name, architecture in architectures.items():
        for remedy, chosen in remedies.items():
            runs = train_widths(
                data, widths, architecture, seeds, store, path=path, progress=progress,
                **{**RECIPE, "remedies": chosen, **options},
            )  # fmt: skip
            for index, row in enumerate(runs.rows):
                found = runs.weights(index)["explained"].numpy() > 0.5
                ranks, n = np.flatnonzero(found) + 1, int(row["width"])
                rows.append(
                    {
                        "architecture": name,
                        "remedy": remedy,
                        "width": n,
                        "seed": row["seed"],
                        "discovered": ranks.size,
                        "share": ranks.size / n,
                        "first_missed": int(np.argmin(found)) + 1 if not found.all() else None,
                        "rarest_found": ranks.max(initial=0),
                        "mass": float(p[found].sum() / p[:n].sum()),
                        **{k: row[k] for k in ("purity", "dead", "duplicates", "loss")},
                    }
                )
    return pd.DataFrame(rows)


def table(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and least D(N)/N over seeds in percent, one row an architecture and remedy.

    Also D(N) of each seed; and at the largest width ``first_missed`` of each seed, and means of
    ``mass`` (near 1 even where D(N) is small if the rarest features are missed), ``purity``,
    ``dead`` and ``loss``.
    """
    import pandas as pd

    rows = []
    for (architecture, remedy), part in runs.groupby(["architecture", "remedy"], sort=False):
        row: dict[str, Any] = {"architecture": architecture, "remedy": remedy}
        for width, some in part.groupby("width"):
            row[f"N={width}"] = (
                f"{100 * some['share'].mean():.0f} ({100 * some['share'].min():.0f})"
            )
            row[f"D({width})"] = " ".join(f"{d}" for d in some["discovered"])
        widest = part[part["width"] == part["width"].max()]
        row["first_missed"] = " ".join(f"{r:.0f}" for r in widest["first_missed"])
        row |= {name: widest[name].mean() for name in ("mass", "purity", "dead", "loss")}
        rows.append(row)
    return pd.DataFrame(rows)


def recipes(
    widths: Sequence[int] = (8, 16, 32), seeds: int | Sequence[int] = 3, **options: Any
) -> pd.DataFrame:
    """What :func:`discovery` gives for ReLU from two starts and with two ideas of a duplicate.

    ``architecture`` names the start, norm 0.1 or 1 (the default here); remedy "by both rows" is the
    one that compares encoder rows too.
    """
    import pandas as pd

    remedies = {
        "none": (),
        "by both rows": (ResampleDuplicates(cosine=0.95, encoders=True),),
        "by decoder rows": (ResampleDuplicates(),),
    }
    parts = []
    for name, norm in (("norm 0.1", 0.1), ("norm 1", None)):
        chosen: dict[str, Any] = {"path": "blocked", "decoder_norm": norm, **options}
        parts.append(discovery(widths, seeds, {name: ReLU(l1=0.1)}, remedies, **chosen))
    return pd.concat(parts, ignore_index=True)
