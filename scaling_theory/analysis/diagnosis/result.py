"""What a diagnosis says: probabilities, what each piece of evidence says alone, what would help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.analysis.diagnosis.model import Hypotheses

if TYPE_CHECKING:
    import pandas as pd

#: Probability from which on a regime is called.
CALL = 0.8


class Piece(NamedTuple):
    """One kind of evidence.

    Attributes
    ----------
    name, what
        "losses", "frequencies" or "cosines", and how much of it there was.
    pathological
        Probability of the pathological regime from this evidence alone.
    misfit
        Root mean square error of the hypothesis that fits it best: of log loss, of log
        frequency, of shares of latents.
    """

    name: str
    what: str
    pathological: float
    misfit: float


@final
@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """Which regime SAEs are in, with what certainty, and why.

    Attributes
    ----------
    verdict : str
        "benign" or "pathological" (a probability above 0.8), "not enough evidence", or "the model
        does not describe these SAEs".
    message : str
        The verdict in a sentence.
    probabilities : dict
        Of "pathological" (at least a fifth of the latents at ``width`` are on manifolds with
        beta < alpha) and "benign" (fewer are, or none).
    in_the_limit : float
        Probability that there are manifolds with beta < alpha at all: with enough latents they take
        over, however rare they are.
    prior : float
        Probability of the pathological regime before.
    evidence : tuple of Piece
        What each kind says alone.
    parameters : DataFrame
        Posterior: one row a parameter, columns low, median, high (2.5%, 50%, 97.5%).
    posterior : DataFrame
        500 draws from the posterior, columns alpha, beta (inf where there are no manifolds), share.
    width : float
        Largest width seen (of frequencies the number of latents that fire); "piled" and
        "discovery_slope" in ``parameters`` are at this one.
    effective_draws : float
        Number of independent draws that the posterior is worth; below 50 it is coarse.
    further : DataFrame or None
        Measurements that were not made, columns measurement, information (expected, in nats about
        the regime; at most ln 2), decides (probability that it lifts one regime above 0.8). None
        where the model fails, or none was asked for.
    """

    verdict: str
    message: str
    probabilities: dict[str, float]
    in_the_limit: float
    prior: float
    evidence: tuple[Piece, ...]
    parameters: pd.DataFrame
    posterior: pd.DataFrame
    width: float
    effective_draws: float
    further: pd.DataFrame | None

    def __repr__(self) -> str:
        alone = ", ".join(f"{piece.name} {piece.pathological:.2f}" for piece in self.evidence)
        return (
            f"Diagnosis: {self.verdict}\n{self.message}\npathological, from each alone: {alone} "
            f"(before {self.prior:.2f})"
        )

    def draw(self, ax: Any = None) -> Any:
        """One page: probabilities, what each evidence says, posterior of alpha and beta."""
        from scaling_theory.analysis.diagnosis._draw import draw

        return draw(self, ax)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the draws as numbers, texts and lists, for JSON."""
        return {
            "verdict": self.verdict,
            "message": self.message,
            "probabilities": self.probabilities,
            "in_the_limit": self.in_the_limit,
            "prior": self.prior,
            "evidence": [piece._asdict() for piece in self.evidence],
            "parameters": self.parameters.to_dict(orient="index"),
            "width": self.width,
            "effective_draws": self.effective_draws,
            "further": None if self.further is None else self.further.to_dict(orient="records"),
        }


def posterior_table(hypotheses: Hypotheses, weights: Floats, width: float) -> pd.DataFrame:
    """Quantiles of parameters, and of what they mean at a width."""
    import pandas as pd

    cells = hypotheses.cells(width)
    near = hypotheses.discovered(np.array([width / 2.0, width]))
    values = {
        "alpha": hypotheses.alpha,
        "beta": np.where(hypotheses.share > 0.0, hypotheses.beta, np.inf),
        "share": hypotheses.share,
        "theta": hypotheses.theta,
        "piled": cells.manifold_share,
        "discovery_slope": (near[:, 1] - near[:, 0]) / np.log(2.0),
    }
    rows = {name: quantiles(v, weights, (0.025, 0.5, 0.975)) for name, v in values.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["low", "median", "high"])


def posterior_draws(hypotheses: Hypotheses, weights: Floats, size: int = 500) -> pd.DataFrame:
    """Draws that are equally likely, evenly spread over the weights."""
    import pandas as pd

    some = np.searchsorted(np.cumsum(weights), (np.arange(size) + 0.5) / size * weights.sum())
    kept = hypotheses.take(np.minimum(some, weights.size - 1))
    beta = np.where(kept.share > 0.0, kept.beta, np.inf)
    return pd.DataFrame({"alpha": kept.alpha, "beta": beta, "share": kept.share})


def quantiles(values: Floats, weights: Floats, at: tuple[float, ...]) -> list[float]:
    """Quantiles of weighted values; infinite ones are the largest."""
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[order])
    index = np.minimum(np.searchsorted(upto, np.array(at) * upto[-1]), values.size - 1)
    return [float(v) for v in values[order][index]]
