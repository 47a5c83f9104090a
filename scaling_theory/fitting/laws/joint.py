"""Laws of two variables: latents and sparsity, parameters and data.

- :func:`fit_joint`: losses of TopK autoencoders over n latents and k active ones, by the law of
  Gao et al. (2024), arXiv:2406.04093, section 3.2 (joint fit of L(n, k)).
- :func:`fit_parameters_data`: losses of models of N parameters after D samples (tokens), by the
  third approach of Hoffmann et al. (2022), arXiv:2203.15556, section 3.3.

Both return a :class:`~scaling_theory.fitting.laws.fit.LawFit`, with profile intervals and a status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.fitting.laws._problem import Model, Problem
from scaling_theory.fitting.laws.fit import LawFit, fit_points
from scaling_theory.fitting.laws.law import STEEPEST, Law


def fit_joint(
    n: npt.ArrayLike,
    k: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    huber: float | None = None,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> LawFit:
    """Fit exp(a + b_k ln k + b_n ln n + g ln k ln n) + exp(z + eta ln k).

    The second term is what no number of latents removes at k.

    Parameters
    ----------
    n, k : (m,) array_like
        Positive numbers of latents, and of those active for a sample.
    loss : (m,) array_like
        Positive losses.
    huber, level, seed
        As in :func:`fit_law`; the objective is of log-loss.

    Returns
    -------
    LawFit
        Of ``parameters`` a, b_k, b_n, g, z, eta, and variables n, k. "not identified" where a
        profile is open, as when the points show no second term (z, eta).

    Raises
    ------
    ValueError
        As :func:`fit_law`; at least 7 points are needed.

    Notes
    -----
    Gao et al. (2024), section 3.2; their a, b_k, b_n, g, z and eta are alpha, beta_k, beta_n,
    gamma, zeta and eta. Starts: for irreducible shares and eta on a grid, the first term is a
    linear regression of log(loss - second term).
    """
    points = tuple(
        _validate.reals(name, values, low=0.0, low_open=True)
        for name, values in (("n", n), ("k", k))
    )
    return fit_points(
        SparsityLaw(), points, loss, weights=None, huber=huber, level=level, seed=seed
    )


def fit_parameters_data(
    N: npt.ArrayLike,
    D: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    huber: float | None = 1e-3,
    level: float = 0.95,
    seed: int | np.random.Generator = 0,
) -> LawFit:
    """Fit E + A / N^a + B / D^b.

    Parameters
    ----------
    N, D : (m,) array_like
        Positive numbers of parameters, and of samples or tokens.
    loss : (m,) array_like
        Positive losses.
    huber : float or None
        Huber's delta on log-loss residuals, whose losses are summed; None for least squares.
    level, seed
        As in :func:`fit_law`.

    Returns
    -------
    LawFit
        Of ``parameters`` A, a, B, b, E, and variables N, D.

    Raises
    ------
    ValueError
        As :func:`fit_law`; at least 6 points are needed.

    Notes
    -----
    Hoffmann et al. (2022), section 3.3 and equation 2, and appendix D.3 for the objective. Starts:
    E, A and B by linear least squares of relative errors for each (a, b) on a grid.
    """
    points = tuple(
        _validate.reals(name, values, low=0.0, low_open=True)
        for name, values in (("N", N), ("D", D))
    )
    return fit_points(
        ParametersDataLaw(), points, loss, weights=None, huber=huber, level=level, seed=seed
    )


@final
@dataclass(frozen=True)
class _Sum:
    """exp(X theta) of two terms, added: designs (m, q) each."""

    first: Floats
    second: Floats

    def log_part(self, theta: Floats) -> Floats:
        return np.asarray(np.logaddexp(theta @ self.first.T, theta @ self.second.T))

    def log_slopes(self, theta: Floats) -> tuple[Floats, Floats]:
        first, second = theta @ self.first.T, theta @ self.second.T
        value = np.logaddexp(first, second)
        share = np.exp(first - value)[..., None]
        return value, share * self.first + (1.0 - share) * self.second


@final
@dataclass(frozen=True)
class SparsityLaw(Law):
    """exp(a + b_k ln k + b_n ln n + g ln k ln n) + exp(z + eta ln k)."""

    floor = False

    name = "joint law of n and k"
    formula = "exp(a + b_k ln k + b_n ln n + g ln k ln n) + exp(z + eta ln k)"
    variables = ("n", "k")
    parameters = ("a", "b_k", "b_n", "g", "z", "eta")
    linear = ()
    logs = ()
    in_loss = ("a", "z")
    exponents = ()
    source = "Gao et al. (2024), arXiv:2406.04093, section 3.2"

    def origin(self, logs: Floats) -> Floats:
        """The mean logarithms."""
        return np.asarray(logs.mean(axis=1))

    def model(self, logs: Floats) -> Model:
        """Both terms."""
        u, v = logs
        one, none = np.ones_like(u), np.zeros_like(u)
        return _Sum(
            np.stack([one, v, u, u * v, none, none], axis=1),
            np.stack([none, none, none, none, one, v], axis=1),
        )

    def shift(self, origin: Floats) -> Floats:
        """Terms in ln n - u and ln k - v, written in ln n and ln k."""
        u, v = origin
        out = np.eye(6)
        out[0, 1:4] = -v, -u, u * v
        out[1, 3], out[2, 3] = -u, -v
        out[4, 5] = -v
        return out

    def offset(self, origin: Floats) -> Floats:  # noqa: ARG002
        """None."""
        return np.zeros(6)

    def bounds(self, logs: Floats) -> tuple[Floats, Floats]:  # noqa: ARG002
        """None."""
        return np.full(6, -np.inf), np.full(6, np.inf)

    def starts(self, problem: Problem, logs: Floats) -> Floats:
        """Second terms on a grid, and the regression of what they leave."""
        u, v = logs
        design = np.stack([np.ones_like(u), v, u, u * v], axis=1)
        solver = np.linalg.pinv(design)
        laws = []
        for eta in (-2.0, -1.0, -0.6, -0.3, -0.1, 0.0, 0.1, 0.3):
            for share in (0.999, 0.95, 0.8, 0.6, 0.4, 0.2, 0.1, 0.03, 0.01, 1e-4):
                z = float(np.min(problem.z - eta * v)) + np.log(share)
                rest = problem.z + np.log1p(-np.exp(z + eta * v - problem.z))
                laws.append([*(solver @ rest), z, eta])
        return np.array(laws)

    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:  # noqa: ARG002
        """Nothing simpler within the bounds."""
        return []


@final
@dataclass(frozen=True)
class ParametersDataLaw(Law):
    """E + A / N^a + B / D^b."""

    floor = True

    name = "law of parameters and data"
    formula = "E + A / N^a + B / D^b"
    variables = ("N", "D")
    parameters = ("A", "a", "B", "b", "E")
    linear = ("A", "B", "E")
    logs = ("A", "B")
    in_loss = ("A", "B")
    exponents = ()
    source = "Hoffmann et al. (2022), arXiv:2203.15556, section 3.3, equation 2"

    def origin(self, logs: Floats) -> Floats:
        """The mean logarithms."""
        return np.asarray(logs.mean(axis=1))

    def model(self, logs: Floats) -> Model:
        """Both power terms."""
        one, none = np.ones_like(logs[0]), np.zeros_like(logs[0])
        return _Sum(
            np.stack([one, -logs[0], none, none], axis=1),
            np.stack([none, none, one, -logs[1]], axis=1),
        )

    def shift(self, origin: Floats) -> Floats:
        """A and B are the terms at N = 1 and D = 1."""
        out = np.eye(4)
        out[0, 1], out[2, 3] = origin
        return out

    def offset(self, origin: Floats) -> Floats:  # noqa: ARG002
        """None."""
        return np.zeros(4)

    def bounds(self, logs: Floats) -> tuple[Floats, Floats]:
        """Exponents from 0 to ones that span all of floating point over the points."""
        high = STEEPEST / (logs.max(axis=1) - logs.min(axis=1))
        return (
            np.array([-np.inf, 0.0, -np.inf, 0.0]),
            np.array([np.inf, high[0], np.inf, high[1]]),
        )

    def starts(self, problem: Problem, logs: Floats) -> Floats:
        """All pairs of exponents, with the linear parameters that suit relative errors best."""
        span = logs.max(axis=1) - logs.min(axis=1)
        a, b = np.meshgrid(*(np.geomspace(0.1, 20.0, 14) / s for s in span), indexing="ij")
        a, b = a.ravel(), b.ravel()
        log_terms = [-a[:, None] * logs[0], -b[:, None] * logs[1]]
        tops = [term.max(axis=1, keepdims=True) for term in log_terms]
        columns = [np.exp(t - top) / problem.y for t, top in zip(log_terms, tops, strict=True)]
        columns.append(np.broadcast_to(1.0 / problem.y, columns[0].shape))
        design = np.stack(columns, axis=2)
        normal = np.matmul(design.transpose(0, 2, 1), design)
        normal += 1e-10 * np.eye(3) * problem.y.size
        linear = np.linalg.solve(normal, design.sum(axis=1)[..., None])[..., 0]
        smallest = float(problem.y.min())
        A, B = np.log(np.maximum(linear[:, :2], 1e-3 * smallest)).T
        E = np.clip(linear[:, 2], 0.0, 0.999 * smallest)
        return np.stack([A - tops[0][:, 0], a, B - tops[1][:, 0], b, E], axis=1)

    def contains(self, logs: Floats) -> list[tuple[Law, Floats, Floats]]:  # noqa: ARG002
        """Nothing simpler within the bounds."""
        return []
