"""From checked points to the optimum, and from the optimum to the parameters of the formula."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting.laws import _profile
from scaling_theory.fitting.laws._descent import descend, optimum
from scaling_theory.fitting.laws._problem import Problem
from scaling_theory.fitting.laws._profile import Interval
from scaling_theory.fitting.laws.law import Law

#: Laws of other shapes from which profiles and bootstraps start, twice.
_POOL = 80


@dataclass(frozen=True)
class Solved:
    """The optimum in the coordinates of the fit."""

    problem: Problem
    theta: Floats
    least: float
    found: Floats  #: the optimum first, then other local minima and shapes
    origin: Floats
    unit: float

    def log_law(self, law: Law, logs: Floats, theta: Floats) -> Floats:
        """Logarithm of laws (r, p) in units of the loss at points ``logs`` (v, k), (r, k)."""
        model = law.model(logs - self.origin[:, None])
        log_unit = math.log(self.unit)
        if not law.floor:
            return model.log_part(theta) + log_unit
        with np.errstate(divide="ignore"):
            log_floor = np.log(np.maximum(theta[:, -1:], 0.0))
        return np.asarray(np.logaddexp(model.log_part(theta[:, :-1]), log_floor)) + log_unit


def checked(
    law: Law,
    variables: tuple[Floats, ...],
    loss: npt.ArrayLike,
    weights: npt.ArrayLike | None,
    huber: float | None,
) -> tuple[Floats, Floats | None, float]:
    """Return the losses, root weights (largest 1) and delta, all checked."""
    names = law.variables
    loss = _validate.reals("loss", loss, low=0.0, low_open=True)
    for name, values in zip(names, variables, strict=True):
        same_length(name, values, loss, "loss")
    root, delta = None, math.inf
    if weights is not None:
        if huber is not None:
            raise ValueError(
                "weights and huber can't be given together: huber is of log-loss, "
                f"weights are of the loss, got huber={huber!r}"
            )
        weights = _validate.reals("weights", weights, low=0.0, low_open=True)
        same_length("weights", weights, loss, "loss")
        root = np.sqrt(weights / weights.max())
    elif huber is not None:
        delta = _validate.real("huber", huber, low=0.0, low_open=True)
    p = len(law.parameters)
    if loss.size <= p:
        raise ValueError(
            f"{names[0]} must have more points than the {law.name} has parameters ({p}), got "
            f"{loss.size}"
        )
    for name, values in zip(names, variables, strict=True):
        if values.min() == values.max():
            raise ValueError(
                f"{name} must hold at least two different values, got only {values[0]:g}"
            )
    return loss, root, delta


def solve(law: Law, logs: Floats, loss: Floats, root: Floats | None, huber: float) -> Solved:
    """Find the optimum of checked input; ``logs`` are of the variables, (v, m)."""
    unit = math.exp(float(np.mean(np.log(loss))))
    origin = law.origin(logs)
    near = logs - origin[:, None]
    y = loss / unit
    low, high = law.bounds(near)
    if law.floor:
        low = np.append(low, 0.0)
        high = np.append(high, math.nextafter(float(y.min()), 0.0))
    problem = Problem(law.model(near), y, root, huber, law.floor, low, high)
    starts = law.starts(problem, near)
    simpler = []
    for inner, matrix, vector in law.contains(near):
        theirs = solve(inner, logs, loss, root, huber).theta
        q = vector.size
        start = matrix @ theirs[: matrix.shape[1]] + vector
        simpler.append(np.append(start, theirs[-1]) if law.floor else start)
        assert start.size == q
    every = np.concatenate([np.array(simpler).reshape(-1, problem.parameters), starts])
    theta, least, found = optimum(problem, every)
    for start in simpler:  # the extension is never the worse one, whatever its other minima
        reached, value = descend(problem, start[None, :], steps=300, tolerance=1e-15)
        if value[0] < least:
            theta, least = reached[0], float(value[0])
    pool = np.concatenate([theta[None, :], _few(problem, found), _few(problem, starts)])
    return Solved(problem, theta, least, pool, origin, unit)


def _few(problem: Problem, laws: Floats) -> Floats:
    """Return the best laws (r, p) of which no two are nearly the same, at most ``_POOL``."""
    laws = laws[np.argsort(problem.objective(laws), kind="stable")]
    _, first = np.unique(np.round(laws, 3), axis=0, return_index=True)
    return np.asarray(laws[np.sort(first)[:_POOL]])


def reported(law: Law, solved: Solved, theta: Floats) -> Floats:
    """Turn laws (r, p) into the parameters that the formula names, (r, p)."""
    logs = _log_parameters(law, solved)
    q = logs[0].shape[0]
    out = np.concatenate([theta[:, :q] @ logs[0].T + logs[1], theta[:, q:] * solved.unit], axis=1)
    columns = [i for i, name in enumerate(law.parameters) if name in law.logs]
    with np.errstate(over="ignore"):
        out[:, columns] = np.exp(out[:, columns])
    return out


def _log_parameters(law: Law, solved: Solved) -> tuple[Floats, Floats]:
    """Return the matrix and vector that give parameters, or their logarithms, from theta."""
    offset = law.offset(solved.origin).copy()
    for i, name in enumerate(law.parameters[: offset.size]):
        if name in law.in_loss:
            offset[i] += math.log(solved.unit)
    return law.shift(solved.origin), offset


def parameters_of(
    law: Law, solved: Solved, wide: Problem, limit: float
) -> tuple[dict[str, float], dict[str, Interval], dict[str, tuple[bool, bool]]]:
    """Return estimates, intervals, and which of their ends are open."""
    matrix, offset = _log_parameters(law, solved)
    estimates = dict(
        zip(law.parameters, reported(law, solved, solved.theta[None, :])[0].tolist(), strict=True)
    )
    ends = np.empty((wide.parameters, 2))
    for i in range(wide.parameters):
        row = np.zeros(wide.parameters)
        row[i] = 1.0
        if i < offset.size:
            row[: offset.size] = matrix[i]
        ends[i] = _profile.interval(wide, solved.found, limit, i, row)
    open_low, open_high = ends[:, 0] <= wide.low, ends[:, 1] >= wide.high
    # A term that may be as steep as can be still meets the point that it is there for, so its
    # level at 1, far from the points, has no bound either.
    for i, k in zip(*np.nonzero(matrix - np.diag(np.diag(matrix))), strict=True):
        steep = (open_low[k] and wide.low[k] != 0.0, open_high[k])
        falls = matrix[i, k] < 0.0
        if steep[1 if not falls else 0]:
            ends[i, 1], open_high[i] = math.inf, True
        if steep[0 if not falls else 1]:
            ends[i, 0], open_low[i] = -math.inf, True

    intervals: dict[str, Interval] = {}
    for i, name in enumerate(law.parameters):
        low, high = ends[i]
        if i == offset.size:
            low, high = low * solved.unit, math.inf if open_high[i] else high * solved.unit
        else:
            low, high = low + offset[i], high + offset[i]
        if name in law.logs:
            with np.errstate(over="ignore"):
                low, high = np.exp(low), np.exp(high)
        intervals[name] = (float(low), float(high))
    opened = {
        name: (bool(open_low[i]), bool(open_high[i])) for i, name in enumerate(law.parameters)
    }
    return estimates, intervals, opened


def exponent_of(
    law: Law, estimates: dict[str, float], intervals: dict[str, Interval]
) -> tuple[float, float, float] | None:
    if not law.exponents:
        return None
    ends = [intervals[name] for name in law.exponents]
    return (
        min(estimates[name] for name in law.exponents),
        min(low for low, _ in ends),
        min(high for _, high in ends),
    )


def undecided(law: Law, solved: Solved, limit: float) -> str:
    """Say so where laws pass that differ in which of two exponents is the smaller."""
    if len(law.exponents) != 2:
        return ""
    passing = solved.found[solved.problem.objective(solved.found) <= limit]
    first, second = (passing[:, law.parameters.index(name)] for name in law.exponents)
    if not ((first < second).any() and (first > second).any()):
        return ""
    return f"laws with {law.exponents[0]} below and above {law.exponents[1]} both pass"


def same_length(name: str, values: Floats, other: Floats, other_name: str) -> None:
    """Refuse lengths that differ."""
    if values.size != other.size:
        raise ValueError(
            f"{name} must have one value for each {other_name}, got {values.size} for {other.size}"
        )
