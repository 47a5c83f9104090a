"""What published exponents would mean: Gemma Scope's latents, and scaling laws in parameters.

Michaud, Gorton and McGrath (2025), appendix A.1, ask for alpha in two ways: from the slopes at
which the firing frequencies of latents decay with rank (their Figure 4), and from the exponents of
neural scaling laws. Each needs an assumption; here it is named, and its consequence computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.theory.latents.inference import compatible_exponents, joint_exponents
from scaling_theory.theory.laws.limits import regime_of

if TYPE_CHECKING:
    import pandas as pd

#: Michaud, Gorton and McGrath (2025), Figure 4: (label, latents, slope between latent 1e2 and 1e4).
GEMMA_SCOPE = (("16k", 16_384, -0.74), ("32k", 32_768, -0.57))
#: Published exponents of the loss in the number of parameters, as quoted there.
PARAMETER_SCALING = (("Kaplan et al. (2020)", 0.07), ("Hoffmann et al. (2022)", 0.34))

#: Where a pair for both widths is looked for.
_ALPHAS = (-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
_BETAS = (0.05, 5.0)

_QUANTA = (
    "quanta hypothesis (Michaud et al., 2023): the features are the quanta, in order of their "
    "frequencies i^-(1+alpha); each costs a fixed number of parameters and removes its loss whole "
    "(discrete features); so the loss in parameters falls as N^-alpha"
)


def gemma_scope_readings(thetas: Any = (0.0, 0.3, 0.8)) -> pd.DataFrame:
    """State what the slopes of Gemma Scope's latents imply, by three readings.

    - "one latent per feature": latents are features, 1 + alpha = -slope.
    - "alpha = -slope": the alpha that M25 state (0.5 to 0.7), that is features with Zipf exponents
      of 1.57 and 1.74. Latents can then be shallower only by sharing features: the beta at which
      the exact optimum of that width shows the measured slope.
    - "both widths": one pair (alpha, beta) for both SAEs.

    Parameters
    ----------
    thetas
        Exponents of the overlap q = n^theta, each in [0, 1], shape (k,).

    Returns
    -------
    DataFrame
        reading, sae, latents, slope (as measured), theta, alpha, beta, regime, most (latents on the
        most frequent feature), efficiency (D/N), loss_exponent (-d ln excess / d ln N there). nan
        and "none" where no beta in [0.02, 50] does it.

    Notes
    -----
    Slopes: Michaud, Gorton and McGrath (2025), Figure 4, for SAEs with "16k" and "32k" latents,
    taken as 16,384 and 32,768. The readings assume curves (1+n)^-beta on every feature, the optimal
    allocation, and a slope by least squares on logarithmic axes. p_i ~ i^-(1+alpha) with one
    feature per latent gives the first reading, not alpha = -slope. Nor is a slope all there is to
    a curve: for alpha > 0 the model's is bent, flat first and then steep, where a straight line
    was measured the first reading or one of alpha near -0.1 is left.
    """
    rows: list[dict[str, Any]] = []
    for label, latents, slope in GEMMA_SCOPE:
        rows.append(
            _row("one latent per feature", label, latents, slope, float("nan"))
            | {"alpha": -1.0 - slope, "beta": float("inf"), "regime": "benign"}
            | {"most": 1, "efficiency": 1.0, "early_slope": slope, "late_slope": slope}
        )
    for theta in _validate.reals("thetas", thetas, low=0.0, high=1.0).tolist():
        overlap = _power(theta)
        for label, latents, slope in GEMMA_SCOPE:
            found = compatible_exponents(slope, latents, overlap=overlap, alphas=[-slope])
            at = found.table[found.table["alpha"] == -slope]
            rows.append(_row("alpha = -slope", label, latents, slope, theta) | _filled(at))
        pairs = [(latents, slope) for _, latents, slope in GEMMA_SCOPE]
        both = joint_exponents(pairs, overlap=overlap, alphas=_ALPHAS, betas=_BETAS)
        rows.append(_row("both widths", "both", 0, float("nan"), theta) | _filled(both))
    import pandas as pd

    return pd.DataFrame(rows)


def _power(theta: float) -> Any:
    def overlap(n: Floats) -> Floats:
        return n**theta

    return overlap


def _row(reading: str, sae: str, latents: int, slope: float, theta: float) -> dict[str, Any]:
    nan = float("nan")
    empty = {"alpha": nan, "beta": nan, "regime": "none", "most": 0, "efficiency": nan}
    first = {"reading": reading, "sae": sae, "latents": latents, "slope": slope, "theta": theta}
    return first | empty | {"early_slope": nan, "late_slope": nan, "loss_exponent": nan}


def _filled(solutions: pd.DataFrame) -> dict[str, Any]:
    """Entries of the first solution, if there is one."""
    if solutions.empty:
        return {}
    first = solutions.iloc[0]
    names = ["alpha", "beta", "regime", "most", "efficiency", "early_slope", "late_slope"]
    out = {name: first[name] for name in names}
    return out | {"loss_exponent": -first["loss_slope"]}


@final
@dataclass(frozen=True)
class ParameterScalingReading:
    """What a scaling law in parameters says of the features, and under which assumption.

    Attributes
    ----------
    exponent
        The alpha_N of loss ~ N^-alpha_N in the number of parameters.
    alpha
        Tail exponent of the features; 1 + alpha is their Zipf exponent.
    assumption
        What has to hold for that.
    """

    exponent: float
    alpha: float
    assumption: str

    @property
    def threshold(self) -> float:
        """The beta below which SAEs on these features scale pathologically: alpha."""
        return self.alpha

    def regime(self, beta: Any) -> str:
        """Regime of an SAE whose features have curves that fall as n^-beta."""
        b = _validate.real("beta", beta, low=0.0, low_open=True)
        return regime_of(self.alpha, b)


def alpha_from_parameter_scaling(exponent: Any) -> ParameterScalingReading:
    """Read alpha off a neural scaling law in the number of parameters.

    The assumption is the quanta hypothesis: the features of an SAE are the quanta of the network it
    is trained on, each costs a fixed number of parameters and removes its loss whole. Then the loss
    in parameters falls as N^-alpha, and alpha = alpha_N. If the network itself tiled manifolds with
    an exponent beta_N, alpha_N would be the smaller of the two, and only a lower bound on alpha.

    Parameters
    ----------
    exponent
        alpha_N, greater than 0: 0.07 in Kaplan et al. (2020), 0.34 in Hoffmann et al. (2022).

    Notes
    -----
    Michaud, Gorton and McGrath (2025), appendix A.1, who call it highly speculative; the quanta
    hypothesis is from Michaud, Liu, Girit and Tegmark (2023).
    """
    value = _validate.real("exponent", exponent, low=0.0, low_open=True, high=100.0)
    return ParameterScalingReading(value, value, _QUANTA)
