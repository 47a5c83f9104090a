"""Hold candidate laws against the same losses: :func:`compare_laws`.

Read the table from the top: laws whose ``delta`` is below 2 describe these points equally well,
and the message says so. ``holdout`` asks something else, whether a law that has not seen the
largest n foretells them; a law can win one and lose the other, and then none is told apart.

With few points AICc rules out laws by the number of their parameters alone; the message counts
them. That a law is ahead of the rest is then said of the laws that the points allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._progress import track
from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._solve import checked, same_length, solve
from scaling_theory.fitting.laws.catalogue import LAWS, law_of
from scaling_theory.fitting.laws.fit import fit_law
from scaling_theory.fitting.laws.law import CurveLaw, Law

if TYPE_CHECKING:  # pandas is slow to import: bound when a table is made
    import pandas as pd

#: Laws whose criteria differ by less are not told apart (Burnham and Anderson, Model Selection
#: and Multimodel Inference, 2nd ed., 2002, section 2.6).
DISTINGUISHED = 2.0
#: A law is not told apart where another one foretells the n held out with an error smaller by more
#: than this factor. Errors that differ by less than ``ROUNDING`` are those of the fit.
FORETOLD = 2.0
ROUNDING = 1e-9


def compare_laws(
    n: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    huber: float | None = None,
    laws: Sequence[str | Law] | None = None,
    drop: int | None = None,
    level: float = 0.95,
    progress: bool = False,
) -> pd.DataFrame:
    """Fit several laws of one variable and rank them.

    Parameters
    ----------
    n, loss, weights, huber, level
        As in :func:`fit_law`.
    laws : sequence of CurveLaw or str, optional
        Candidates, each once; all of ``laws.LAWS`` by default.
    drop : int, optional
        How many of the largest different n are held out; a third, rounded down but at least 1, by
        default. 0 for none.
    progress : bool
        Whether to show a bar on standard error; laws of the theory take seconds each.

    Returns
    -------
    pandas.DataFrame
        One row a law, sorted by AICc, then AIC: ``law``, ``parameters`` (their number),
        ``objective``, ``aic``, ``aicc``, ``bic``, ``delta`` (AICc above the least), ``weight``
        (Akaike's, from AICc; Burnham and Anderson 2002, section 2.9), ``holdout`` (mean of
        |log(loss / law)| over the n held out), ``exponent``, ``exponent_low``, ``exponent_high``,
        ``floor`` (loss as n grows without limit, 0 for laws without one), ``status``, ``message``.
        A law with too few points, or for other n, is a row of nan whose status says so. ``attrs``
        holds "message", "indistinguishable" (the laws with delta below 2) and "dropped".

    Raises
    ------
    ValueError
        As :func:`fit_law` for the points; for a law given twice; if no value of n would remain.

    Notes
    -----
    Rows are fitted independently: a further law changes ``delta`` and ``weight`` of others only.
    """
    import pandas as pd

    n = _validate.reals("n", n, low=0.0, low_open=True)
    loss = _validate.reals("loss", loss, low=0.0, low_open=True)
    same_length("loss", loss, n, "n")
    if weights is not None:
        weights = _validate.reals("weights", weights, low=0.0, low_open=True)
        same_length("weights", weights, n, "n")
    chosen = _chosen(laws)
    sizes = np.unique(n)
    dropped = max(1, sizes.size // 3) if drop is None else _validate.whole("drop", drop)
    if dropped >= sizes.size:
        raise ValueError(
            f"drop must be less than the number of different n, {sizes.size}, got {dropped}"
        )
    seen = n <= sizes[sizes.size - 1 - dropped]
    rows = [
        _row(law, n, loss, weights, huber, level, seen)
        for law in track(chosen, "laws", len(chosen), enabled=progress)
    ]
    table = pd.DataFrame(rows)
    table.insert(6, "delta", table["aicc"] - _least(table["aicc"].to_numpy(dtype=float)))
    table.insert(7, "weight", _weights(table["aicc"].to_numpy(dtype=float)))
    exact = table["aicc"].to_numpy(dtype=float) == -math.inf
    if exact.any():
        table["delta"] = np.where(exact, 0.0, math.inf)
    table = table.sort_values(["aicc", "aic"], kind="stable", ignore_index=True)
    close = tuple(table["law"][table["delta"] < DISTINGUISHED])
    table.attrs["indistinguishable"] = close
    table.attrs["dropped"] = dropped
    table.attrs["message"] = _message(table, close, n.size, dropped)
    return table


def _chosen(laws: Sequence[str | Law] | None) -> list[CurveLaw]:
    if laws is None:
        return list(LAWS)
    if isinstance(laws, str) or not isinstance(laws, Sequence) or not laws:
        raise ValueError(f"laws must be a sequence of at least one law, got {laws!r}")
    chosen = [law_of("laws", law) for law in laws]
    names = [law.name for law in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"laws must each be given once, got {name!r} {names.count(name)} times"
            )
    return chosen


def _row(
    law: CurveLaw,
    n: Floats,
    loss: Floats,
    weights: Floats | None,
    huber: float | None,
    level: float,
    seen: npt.NDArray[np.bool_],
) -> dict[str, float | int | str]:
    row: dict[str, float | int | str] = {"law": law.name, "parameters": len(law.parameters)}
    numbers = (
        "objective", "aic", "aicc", "bic", "holdout", "exponent", "exponent_low", "exponent_high",
        "floor",
    )  # fmt: skip
    lacking = _lacking(law, n)
    if lacking:
        return row | dict.fromkeys(numbers, math.nan) | {"status": lacking, "message": lacking}
    fit = fit_law(n, loss, law, weights=weights, huber=huber, level=level)
    exponent = fit.exponent or (math.nan,) * 3
    floor = fit.estimates["floor"] if law.floor else 0.0
    values = (
        fit.objective, fit.aic, fit.aicc, fit.bic,
        _holdout(law, n, loss, weights, huber, seen), *exponent, floor,
    )  # fmt: skip
    row |= dict(zip(numbers, values, strict=True))
    return row | {"status": fit.status, "message": fit.message}


def _lacking(law: CurveLaw, n: Floats) -> str:
    """Return why a law can't be fitted to these n, or nothing."""
    if n.size <= len(law.parameters):
        return "too few points"
    if law.counts and float(n.min()) < law.least:
        return "n too small for the law"
    return ""


def _holdout(
    law: CurveLaw,
    n: Floats,
    loss: Floats,
    weights: Floats | None,
    huber: float | None,
    seen: npt.NDArray[np.bool_],
) -> float:
    """Mean |log(loss / law)| on the points not seen, of the law fitted to the others."""
    few = int(seen.sum()) <= len(law.parameters) or np.unique(n[seen]).size < 2
    if seen.all() or few:
        return math.nan
    some = None if weights is None else weights[seen]
    losses, root, delta = checked(law, (n[seen],), loss[seen], some, huber)
    solved = solve(law, np.log(n[seen])[None, :], losses, root, delta)
    said = solved.log_law(law, np.log(n[~seen])[None, :], solved.theta[None, :])[0]
    return float(np.mean(np.abs(np.log(loss[~seen]) - said)))


def _least(aicc: Floats) -> float:
    known = aicc[~np.isnan(aicc)]
    return float(known.min()) if known.size and math.isfinite(known.min()) else math.nan


def _weights(aicc: Floats) -> Floats:
    """Akaike weights; laws through all points to the last digit share everything."""
    if (aicc == -math.inf).any():
        out = (aicc == -math.inf).astype(np.float64)
        return np.asarray(out / out.sum())
    least = _least(aicc)
    if math.isnan(least):
        return np.full_like(aicc, math.nan)
    out = np.where(np.isnan(aicc), 0.0, np.exp(-0.5 * (np.nan_to_num(aicc, nan=least) - least)))
    return np.asarray(out / out.sum())


def _message(table: pd.DataFrame, close: tuple[str, ...], points: int, dropped: int) -> str:
    if not close:
        return "Too few points for AICc: no law can be ranked."
    ruled_out = int(((table["aicc"] == math.inf) | (table["status"] == "too few points")).sum())
    many = (
        f" {ruled_out} {'law has' if ruled_out == 1 else 'laws have'} too many parameters for AICc "
        f"with {points} points."
    ) * bool(ruled_out)
    if len(close) > 1:
        fitted = int(table["aicc"].notna().sum())
        return (
            f"No single law is distinguished: {len(close)} of {fitted} differ by less than "
            f"{DISTINGUISHED:g} in AICc ({', '.join(close)}).{many}"
        )
    first = close[0]
    allowed = f" of the laws that {points} points allow" * bool(ruled_out)
    errors = table.set_index("law")["holdout"].astype(float)
    best = errors.min()  # nan is left out
    if errors[first] > FORETOLD * best and errors[first] - best > ROUNDING:
        return (
            f"The {first} has the least AICc{allowed}, and the hold-out disagrees: the "
            f"{errors.idxmin()} foretells the {dropped} largest n with a mean error of ln loss of "
            f"{best:.2g}, the {first} with {errors[first]:.2g}. No single law is "
            f"distinguished.{many}"
        )
    if ruled_out:
        return (
            f"The {first} is told apart{allowed}: all others of these are {DISTINGUISHED:g} or "
            f"more off.{many}"
        )
    return f"The {first} is told apart from the others: all are {DISTINGUISHED:g} or more off."
