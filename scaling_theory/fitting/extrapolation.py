"""How well a power law predicted the largest n at hand: fit without them, then look.

The residuals of a fit say how well it describes what it has seen. :func:`leave_largest` asks what
one wants to know before a larger run: with the largest sizes left out, how far off is the law
there, and did the band that it stated hold the truth?
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory.fitting.power_law import fit_power_law

if TYPE_CHECKING:
    import pandas as pd


def leave_largest(
    n: npt.ArrayLike,
    loss: npt.ArrayLike,
    drop: int | Iterable[int] = 1,
    weights: npt.ArrayLike | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Return the errors of laws fitted without the largest n in predicting the losses there.

    Parameters
    ----------
    n, loss : (m,) array_like
        As for :func:`fit_power_law`.
    drop : int or iterable of int
        How many of the largest different n to leave out, at least 1; each number is a fit of
        its own. Points that share an n go together.
    weights : (m,) array_like, optional
        As for :func:`fit_power_law`; those of the points left out say how noisy they are.
    **options
        Of :func:`fit_power_law`: floor, level, huber, ... The bootstrap is left out unless
        ``replicates`` is given.

    Returns
    -------
    DataFrame
        A row for each number left out and each point left out, ordered by both:

        - ``dropped``: how many n were left out; ``n``, ``loss``: the point.
        - ``predicted``: the law there; ``error``: log(loss / predicted).
        - ``low``, ``high``: the band in which the law said that a measurement would lie
          (:meth:`PowerLawFit.prediction` at the fit's level), and ``inside``: whether it did.
        - ``exponent``, ``floor``, ``status``: of the fit.

    Raises
    ------
    ValueError
        For input that :func:`fit_power_law` refuses, or a ``drop`` that leaves fewer than two
        different n or too few points for a fit.
    """
    import pandas as pd

    n = _validate.reals("n", n, low=0.0, low_open=True)
    loss = _validate.reals("loss", loss, low=0.0, low_open=True)
    if loss.size != n.size:
        raise ValueError(f"loss must have one value for each n, got {loss.size} for {n.size}")
    if weights is not None:
        weights = _validate.reals("weights", weights, low=0.0, low_open=True)
        if weights.size != n.size:
            raise ValueError(
                f"weights must have one value for each n, got {weights.size} for {n.size}"
            )
    sizes = np.unique(n)
    needed = 4 if options.get("floor", "free") == "free" else 3
    parts = []
    for dropped in drop if isinstance(drop, Iterable) else [drop]:
        dropped = _validate.whole("drop", dropped, low=1)
        kept = n < sizes[-dropped] if dropped <= sizes.size else np.zeros(n.size, dtype=bool)
        if np.unique(n[kept]).size < 2 or kept.sum() < needed:
            raise ValueError(
                f"drop must leave at least {needed} points at two different n, got {dropped} of "
                f"{sizes.size} different n, which leaves {int(kept.sum())} points"
            )
        fit = fit_power_law(
            n[kept],
            loss[kept],
            weights=None if weights is None else weights[kept],
            **({"replicates": 0} | options),
        )
        left = np.flatnonzero(~kept)
        left = left[np.argsort(n[left], kind="stable")]
        predicted = fit.predict(n[left])
        low, high = fit.prediction(n[left], weight=None if weights is None else weights[left])
        parts.append(
            pd.DataFrame(
                {
                    "dropped": dropped,
                    "n": n[left],
                    "loss": loss[left],
                    "predicted": predicted,
                    "error": np.log(loss[left] / predicted),
                    "low": low,
                    "high": high,
                    "inside": (low <= loss[left]) & (loss[left] <= high),
                    "exponent": fit.exponent,
                    "floor": fit.floor,
                    "status": fit.status,
                }
            )
        )
    if not parts:
        raise ValueError("drop must hold at least one number, got none")
    return pd.concat(parts, ignore_index=True)
