"""Laws of the measured losses: L(n), L(C), L(n, k), with intervals, beside O'Neill et al. (2024).

Losses are unexplained shares of variance on held-out rows. Those of a TopK family are as they were
measured. Those of the ReLU family are at the L0 of a TopK family: at each width two weights of the
penalty were trained, and ln loss is interpolated in ln L0 between them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.fitting import fit_compute, fit_joint, fit_power_law

if TYPE_CHECKING:
    import pandas as pd

#: Exponents of O'Neill et al. (2024), section A.3: of L(n) on (astro-ph, cs.LG), and of L(C).
ONEILL_WIDTH = {16: (0.12, 0.13), 32: (0.13, 0.14), 64: (0.15, 0.17)}
ONEILL_COMPUTE = {16: 0.11, 32: 0.13, 64: 0.16}


def losses(runs: pd.DataFrame, matched: int = 32) -> pd.DataFrame:
    """Loss by kind, family and width: means over seeds, with a standard error.

    Parameters
    ----------
    runs
        What ``runs.table`` gives.
    matched
        L0 at which the ReLU family is taken.

    Returns
    -------
    DataFrame
        kind, family, k (L0), width, loss, stderr, seeds. The error of one seed is that of ln loss
        over the seeds of the smallest width, pooled over the families of a kind. What all runs
        share, which rows are held out, is no part of it: it moves losses together, and exponents
        little.

    Raises
    ------
    ValueError
        If the two ReLU runs of a width and seed do not have the matched L0 between them.
    """
    import pandas as pd

    rows = []
    for (kind, family), part in runs.groupby(["kind", "family"], sort=False):
        for width, at in part.groupby("width"):
            if family == "ReLU":
                values = [_matched(kind, width, of, matched) for _, of in at.groupby("seed")]
                k = matched
            else:
                values, k = at["fvu"].tolist(), int(at["k"].iloc[0])
            rows.append({"kind": kind, "family": family, "k": k, "width": width, "values": values})
    out = pd.DataFrame(rows)
    out["seeds"] = out["values"].map(len)
    out["loss"] = out["values"].map(lambda v: math.exp(np.mean(np.log(v))))
    sd = {kind: _pooled(part["values"]) for kind, part in out.groupby("kind")}
    out["stderr"] = out["loss"] * out["kind"].map(sd) / np.sqrt(out["seeds"])
    return out[["kind", "family", "k", "width", "loss", "stderr", "seeds"]]


def losses_trained_on(latents: pd.DataFrame) -> pd.DataFrame:
    """Losses of the TopK families on rows that were trained on, first seed: as :func:`losses`.

    Where they go on falling while those on held-out rows rise with the width, there are too few
    rows for so many latents.

    Parameters
    ----------
    latents
        What ``latents.table`` gives.
    """
    own = latents[latents["family"] != "ReLU"]
    out = own[["kind", "family", "width"]].assign(loss=own["fvu_trained_on"], seeds=1)
    return out.assign(k=out["family"].map(lambda family: int(family.split()[1])))


def _matched(kind: Any, width: Any, two: pd.DataFrame, matched: int) -> float:
    """The ReLU loss at the matched L0."""
    at = two.sort_values("l0")
    l0, fvu = np.log(at["l0"].to_numpy()), np.log(at["fvu"].to_numpy())
    want = math.log(matched)
    if len(at) != 2 or not l0[0] <= want <= l0[1]:
        raise ValueError(
            f"ReLU runs on {kind} at width {width} must have an L0 below and one above {matched}, "
            f"got {at['l0'].tolist()} for l1 {at['l1'].tolist()}"
        )
    return math.exp(float(np.interp(want, l0, fvu)))


def _pooled(values: pd.Series[Any]) -> float:
    """Standard deviation of ln loss over seeds."""
    many = [np.log(v) for v in values if len(v) > 1]
    squares = math.fsum(float(((v - v.mean()) ** 2).sum()) for v in many)
    return math.sqrt(squares / sum(v.size - 1 for v in many))


def width_laws(points: pd.DataFrame, floors: Sequence[str] = ("zero", "free")) -> pd.DataFrame:
    """Fit loss = scale n^-exponent (+ floor) to each family, without a floor and with a free one.

    Parameters
    ----------
    points
        What :func:`losses` gives.
    floors
        Which fits: "zero", "free".

    Returns
    -------
    DataFrame
        kind, family, k, floor ("zero" or "free"), exponent, low, high (95% profile interval),
        scale, floor_at, r2 (of ln loss), status, oneill (exponents of astro-ph and cs.LG).
    """
    import pandas as pd

    rows = []
    for (kind, family), part in points.groupby(["kind", "family"], sort=False):
        n, loss = part["width"].to_numpy(float), part["loss"].to_numpy()
        k = int(part["k"].iloc[0])
        for floor in floors:
            fit = fit_power_law(n, loss, floor=floor, replicates=0)
            low, high = fit.intervals["exponent"]
            theirs = ONEILL_WIDTH.get(k, ()) if family != "ReLU" else ()
            rows.append(
                {
                    "kind": kind,
                    "family": family,
                    "k": k,
                    "floor": floor,
                    "exponent": fit.exponent,
                    "low": low,
                    "high": high,
                    "scale": fit.scale,
                    "floor_at": fit.floor,
                    "r2": _explained(loss, fit.predict(n)),
                    "status": fit.status,
                    "oneill": ", ".join(f"{v:g}" for v in theirs),
                }
            )
    return pd.DataFrame(rows)


def compute_points(runs: pd.DataFrame) -> pd.DataFrame:
    """Losses on the way: kind, family, k, width, step, flops, loss; TopK, first seed.

    Looks at the first sixteenth of a run, where it still leaves its initial weights, are left out,
    and those at the last fifth, where the learning rate falls: the rest is one recipe, whatever the
    length of a run. flops: products as dense as they need to be (2 n d + 8 k d a sample).
    """
    import pandas as pd

    rows = []
    for run in runs[(runs["seed"] == 0) & (runs["family"] != "ReLU")].to_dict("records"):
        steps = json.loads(run["history_steps"])
        for step, fvu in zip(steps, json.loads(run["history_fvu"]), strict=True):
            if not run["steps"] / 16 <= step <= 0.8 * run["steps"]:
                continue
            what = {name: run[name] for name in ("kind", "family", "k", "width")}
            rows.append({**what, "step": step, "flops": step * run["step_flops"], "loss": fvu})
    return pd.DataFrame(rows)


def compute_laws(points: pd.DataFrame) -> pd.DataFrame:
    """Fit loss = scale C^-exponent to the frontier of each TopK family: ``compute_points``.

    Points of one run are neighbours and no independent draws, so the intervals are too narrow.
    """
    import pandas as pd

    rows = []
    for (kind, family), part in points.groupby(["kind", "family"], sort=False):
        k = int(part["k"].iloc[0])
        for floor in (False, True):
            said = fit_compute(part["flops"].to_numpy(float), part["loss"].to_numpy(), floor=floor)
            low, high = said.fit.intervals["exponent"]
            rows.append(
                {
                    "kind": kind,
                    "family": family,
                    "k": k,
                    "floor": "free" if floor else "zero",
                    "exponent": said.fit.estimates["exponent"],
                    "low": low,
                    "high": high,
                    "scale": said.fit.estimates["scale"],
                    "points": int(said.frontier.sum()),
                    "status": said.status,
                    "oneill": ONEILL_COMPUTE.get(k),
                }
            )
    return pd.DataFrame(rows)


def joint_laws(points: pd.DataFrame) -> pd.DataFrame:
    """Fit L(n, k) of Gao et al. (2024) to the TopK losses of each kind, one row a parameter."""
    import pandas as pd

    rows = []
    for kind, part in points[points["family"] != "ReLU"].groupby("kind", sort=False):
        n, k = part["width"].to_numpy(float), part["k"].to_numpy(float)
        fit = fit_joint(n, k, part["loss"].to_numpy())
        error = np.log(fit.predict(n, k) / part["loss"].to_numpy())
        for name, value in fit.estimates.items():
            low, high = fit.intervals[name]
            rows.append(
                {
                    "kind": kind,
                    "parameter": name,
                    "value": value,
                    "low": low,
                    "high": high,
                    "rms": float(np.sqrt(np.mean(error**2))),
                    "status": fit.status,
                }
            )
    return pd.DataFrame(rows)


def by_length(runs: pd.DataFrame) -> pd.DataFrame:
    """Losses and exponents of one family by number of steps: see ``longer.longer_laws``."""
    import pandas as pd

    parts = []
    for steps, part in runs.groupby("steps"):
        at = part.sort_values("width")
        n, loss = at["width"].to_numpy(float), at["fvu"].to_numpy()
        fit = fit_power_law(n, loss, floor="zero", replicates=0)
        low, high = fit.intervals["exponent"]
        local = np.concatenate([[np.nan], -np.diff(np.log(loss)) / np.diff(np.log(n))])
        columns = {"steps": steps, "width": at["width"], "fvu": loss, "dead": at["dead"]}
        columns |= {"local": local, "exponent": fit.exponent, "low": low, "high": high}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _explained(loss: Any, law: Any) -> float:
    """R^2 of ln loss."""
    y, left = np.log(loss), np.log(loss / law)
    return float(1.0 - (left**2).sum() / ((y - y.mean()) ** 2).sum())
