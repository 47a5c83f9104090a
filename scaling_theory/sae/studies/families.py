"""Families of trained SAEs whose regime is known: what a diagnosis is to be judged by.

- :func:`trained_families`: 30 families from stored measurements, in the form of
  ``scaling_theory.analysis.blind.Family``, so that ``scaling_theory.analysis.calibration.judge``
  takes both.
- :func:`families_table`, :func:`exponents_table`: what they are, and the exponents that their
  regimes follow from.
- :func:`train_families`: trains them and writes the stored files again.

The truth of a family is not what its SAEs do but what it is made of. Each kind of manifold is
trained alone with the same architecture (with ReLU at l1 = 0.1 these are the runs of the figures'
quick preset, which are longer); beta is the excess exponent b of that curve, L(n) = floor + C n^-b
with a free floor (``fit_power_law``). A family is pathological if any of its manifolds has
beta < alpha. Points have no such exponent, and a curve that changes by less than 5%
from 4d to 64d latents is a plateau: both count as infinite. Where alpha is inside the 95% interval
of an exponent that could decide, the truth isn't known and the regime is "other".

A few hundred latents are few: alpha can be above beta while hardly any latent is on the manifold
yet (``taken_over``), or below it while all features are found. And a curve of a manifold alone is
no more than a guide where latents are shared: TopK has one k for all features of a sample.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, final

import numpy as np

from scaling_theory._validate import Floats, Ints
from scaling_theory.fitting import fit_power_law
from scaling_theory.sae._files import Row
from scaling_theory.sae.manifolds import Points
from scaling_theory.sae.studies import _family_runs as runs
from scaling_theory.sae.studies._designs import DESIGNS, SINGLES, Design, Single, short
from scaling_theory.sae.studies._family_runs import Floats32

if TYPE_CHECKING:
    import pandas as pd

#: Where the stored measurements are: in the package.
FOLDER: Final = Path(__file__).parent / "stored"
#: Where runs are trained into.
STORE: Final = Path("runs") / "families"
#: Share by which a loss changes from 4d to 64d latents, below which it is a plateau.
PLATEAU: Final = 0.05


@final
@dataclass(frozen=True, eq=False, repr=False)
class TrainedFamily:
    """SAEs of several widths trained on one superposition, one seed each, and the truth behind.

    Attributes
    ----------
    name
        What it consists of.
    regime
        "pathological" if any manifold has beta < alpha, else "benign"; "other" where not ``clear``.
    alpha, beta
        Exponent of the frequencies, p_i = rate i^-(1 + alpha), and the smallest excess exponent of
        the manifolds; infinite where there are only points and plateaus.
    clear
        Whether alpha is above the 95% interval of some manifold's exponent, or below all of them.
    truth
        How the regime follows, in a sentence.
    widths : (k,) int64
        Numbers of latents, increasing.
    losses : (k,)
        Training objective (reconstruction + penalty) on fresh samples.
    stderr
        None: one seed says nothing of the next.
    fvu : (k,)
        Fraction of variance unexplained.
    frequencies : width -> (width,) float32
        How often each latent fires on ``samples`` fresh samples.
    cosines : width -> (width,) float32
        Cosine of each live decoder row with its nearest other, to 4 decimals; nan for dead latents.
    samples
        Number of samples behind losses and frequencies.
    dead, duplicates : (k,) int64
        Numbers of latents (``sae.metrics.duplicates``: at a cosine of 0.95).
    departures
        Architecture, manifolds, and "random subspaces" where they are not orthogonal.
    taken_over : (k,)
        Share of each width's latents with an owner (``sae.ownership``) whose owner is a manifold
        with beta < alpha; nan where none has an owner.
    """

    name: str
    regime: Literal["benign", "pathological", "other"]
    alpha: float
    beta: float
    clear: bool
    truth: str
    widths: Ints
    losses: Floats
    stderr: None
    fvu: Floats
    frequencies: Mapping[int, Floats32]
    cosines: Mapping[int, Floats32]
    samples: int
    dead: Ints
    duplicates: Ints
    departures: tuple[str, ...]
    taken_over: Floats

    def __repr__(self) -> str:
        return (
            f"TrainedFamily({self.name!r}, {self.regime!r}, alpha={self.alpha:g}, "
            f"beta={self.beta:.3g}, {self.widths.size} widths)"
        )


@final
@dataclass(frozen=True)
class Exponent:
    """The excess exponent of one manifold alone.

    Attributes
    ----------
    beta : float
        b of L(n) = floor + C n^-b; infinite for a plateau.
    low, high : float
        95% interval, from the scatter about the law.
    fall : float
        (L(4d) - L(64d)) / L(4d), at the first and the last width from 4d to 64d.
    """

    beta: float
    low: float
    high: float
    fall: float


# ---- reading ------------------------------------------------------------------------------------


def trained_families(
    folder: str | os.PathLike[str] = FOLDER,
    designs: Sequence[Design] = DESIGNS,
    singles: Sequence[Single] = SINGLES,
) -> list[TrainedFamily]:
    """Return the families that are stored.

    Parameters
    ----------
    folder
        Where :func:`train_families` wrote them; by default those of the package.
    designs, singles
        What was trained.

    Raises
    ------
    FileNotFoundError
        If there is nothing in the folder.
    ValueError
        If runs are missing, are of other specifications, or do not fit together.
    """
    rows, latents = runs.read(Path(folder), [*designs, *singles])
    exponents = _exponents(rows, singles)
    return [_family(design, rows, latents, exponents) for design in designs]


def families_table(families: Sequence[TrainedFamily]) -> pd.DataFrame:
    """One row a family: what it is, its truth, and its widest SAE.

    Returns
    -------
    DataFrame
        ``name``, ``regime``, ``clear``, ``alpha``, ``beta``, ``widest``; of the widest SAE
        ``taken_over``, ``fvu``, ``dead``, ``duplicates``; ``departures``, joined by "; ".
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "name": family.name,
            "regime": family.regime,
            "clear": family.clear,
            "alpha": family.alpha,
            "beta": family.beta,
            "widest": int(family.widths[-1]),
            "taken_over": float(family.taken_over[-1]),
            "fvu": float(family.fvu[-1]),
            "dead": int(family.dead[-1]),
            "duplicates": int(family.duplicates[-1]),
            "departures": "; ".join(family.departures),
        }
        for family in families
    )


def exponents_table(
    folder: str | os.PathLike[str] = FOLDER, singles: Sequence[Single] = SINGLES
) -> pd.DataFrame:
    """One row a manifold alone: ``manifold``, ``beta``, ``low``, ``high``, ``fall``."""
    import pandas as pd

    rows, _ = runs.read(Path(folder), list(singles))
    found = _exponents(rows, singles).items()
    return pd.DataFrame({"manifold": name, **vars(exponent)} for name, exponent in found)


def _exponents(
    rows: Mapping[str, Sequence[Mapping[str, Any]]], singles: Sequence[Single]
) -> dict[str, Exponent]:
    """By the name of what is alone."""
    found = {}
    for single in singles:
        n = np.array([row["width"] for row in rows[single.name]])
        loss = np.array([row["loss"] for row in rows[single.name]])
        d = single.manifold.dimension
        inside = loss[(n >= 4 * d) & (n <= 64 * d)]
        fall = float(1.0 - inside[-1] / inside[0]) if inside.size > 1 else math.nan
        if abs(fall) < PLATEAU:
            found[single.name] = Exponent(math.inf, math.inf, math.inf, fall)
            continue
        fit = fit_power_law(n, loss)
        if not math.isfinite(fit.exponent):
            raise ValueError(f"{single.name!r} has no excess exponent: {fit.message}")
        found[single.name] = Exponent(fit.exponent, *fit.intervals["exponent"], fall)
    return found


def _family(
    design: Design,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    latents: Mapping[str, tuple[Ints, Floats32]],
    exponents: Mapping[str, Exponent],
) -> TrainedFamily:
    mine, data = rows[design.name], design.data()
    of = {}
    for manifold in data.manifolds:
        if not isinstance(manifold, Points):
            name = Single(manifold, design.architecture).name
            if name not in exponents:
                raise ValueError(f"singles must have {name!r}, which {design.name!r} has")
            of[short(manifold)] = exponents[name]
    slow = [name for name, exponent in of.items() if exponent.beta < design.alpha]
    regime: Literal["benign", "pathological"] = "pathological" if slow else "benign"
    clear = any(e.high < design.alpha for e in of.values()) or all(
        e.low > design.alpha for e in of.values()
    )
    widths = np.array([row["width"] for row in mine], dtype=np.int64)
    samples = int(mine[0]["samples"])
    owned = [json.loads(row["owned"]) for row in mine]
    departures = [short(design.architecture), *map(short, data.manifolds)]
    if data.orientation == "random":
        departures.append("random subspaces")
    return TrainedFamily(
        name=design.name,
        regime=regime if clear else "other",
        alpha=design.alpha,
        beta=min((exponent.beta for exponent in of.values()), default=math.inf),
        clear=clear,
        truth=_truth(design.alpha, of),
        widths=widths,
        losses=np.array([row["loss"] for row in mine]),
        stderr=None,
        fvu=np.array([row["fvu"] for row in mine]),
        frequencies=MappingProxyType(
            {int(r["width"]): (latents[r["key"]][0] / samples).astype(np.float32) for r in mine}
        ),
        cosines=MappingProxyType({int(r["width"]): latents[r["key"]][1] for r in mine}),
        samples=samples,
        dead=np.array([row["dead"] for row in mine]),
        duplicates=np.array([row["duplicates"] for row in mine]),
        departures=tuple(departures),
        taken_over=np.array(
            [sum(c[s] for s in slow) / (sum(c.values()) or math.nan) for c in owned]
        ),
    )


def _truth(alpha: float, of: Mapping[str, Exponent]) -> str:
    said = [
        f"{name}: a plateau (the loss falls by {100 * e.fall:.1f}% from 4d to 64d latents)"
        if math.isinf(e.beta)
        else f"{name}: beta {e.beta:.2f} [{e.low:.2f}, {e.high:.2f}]"
        for name, e in of.items()
    ]
    return f"alpha {alpha:g}; " + ("; ".join(said) if said else "points only")


# ---- training -----------------------------------------------------------------------------------


def train_families(
    folder: str | os.PathLike[str] = FOLDER,
    store: str | os.PathLike[str] = STORE,
    designs: Sequence[Design] = DESIGNS,
    singles: Sequence[Single] = SINGLES,
    *,
    path: str = "auto",
    progress: bool | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> list[TrainedFamily]:
    """Train the families, and the manifolds alone, and write what is measured of them.

    Parameters
    ----------
    folder
        Where two files are written: ``families.csv``, one row a run, and ``families.npz`` with the
        firings (whole numbers) and nearest-neighbour cosines of all latents of the families, in the
        order of those rows.
    store
        Where runs are trained into, on the CPU; what is there is not trained again, and what was
        stopped goes on.
    designs, singles
        What to train.
    path, progress, on_row
        As for ``sae.train``.

    Returns
    -------
    list of TrainedFamily
        What :func:`trained_families` now gives for this folder.

    Raises
    ------
    ValueError, SweepFailed, OSError, KeyboardInterrupt
        As for ``sae.train``: what is done is in the store.
    """
    runs.write(Path(folder), Path(store), designs, singles, path, progress, on_row)
    return trained_families(folder, designs, singles)
