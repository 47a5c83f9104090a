"""Which regime are these SAEs in? :func:`diagnose` weighs hypotheses by what was seen.

What to give it:

- losses at several widths: they tell the smaller of alpha and beta (and bend where they cross), not
  which is which;
- firing frequencies of the latents of one SAE, better of the widest: steep where features are
  found, flat where latents pile up;
- a decoder, or its nearest-neighbour cosines: close neighbours where manifolds are tiled.

Losses and frequencies of the same SAEs together decide most cases; each alone seldom does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Floats
from scaling_theory.analysis.diagnosis import evidence, likelihood
from scaling_theory.analysis.diagnosis.model import Hypotheses
from scaling_theory.analysis.diagnosis.next_step import further
from scaling_theory.analysis.diagnosis.prior import closer, draws, log_prior, shows
from scaling_theory.analysis.diagnosis.result import (
    CALL,
    Diagnosis,
    Piece,
    posterior_draws,
    posterior_table,
)

_Seen = TypeVar("_Seen")

#: Root mean square misfits of the best hypothesis above which the model is said to fail.
WORST = {"losses": 0.05, "frequencies": 0.6, "cosines": 0.35}
#: Effective number of draws that is enough, and how often new ones are drawn for it.
ENOUGH, ROUNDS = 200.0, 3


def diagnose(
    *,
    widths_losses: Any = None,
    frequencies: Any = None,
    decoder: Any = None,
    cosines: Any = None,
    samples: Any = None,
    dimension: Any = None,
    prior: Any = 0.5,
    plan: bool = True,
) -> Diagnosis:
    """Weigh the benign against the pathological regime.

    SAEs are called pathological where at least a fifth of the latents of the largest one seen are
    on manifolds with beta < alpha, on which they pile up; otherwise benign. In the limit of many
    latents any such manifolds take over, however rare, but the rare ones can't be seen before:
    ``in_the_limit`` is the probability that there are some, and depends on the prior most.

    Parameters
    ----------
    widths_losses
        (widths, losses) or (widths, losses, standard errors), arrays of shape (m,) with at least
        3 different widths; a DataFrame with columns width, loss (and stderr); or a MeasuredCurve.
        Losses in any unit, with any floor.
    frequencies
        Firing frequencies of all latents of an SAE, shape (n,), in any unit; zeros are dead
        latents. A dict {width: array} for several SAEs of one family; of more than three, the
        smallest, the middle and the largest are read, as the others would say the same again.
    decoder
        Rows of a decoder, shape (n, d), or a dict {width: rows}.
    cosines
        Instead of a decoder: cosine of each latent with its nearest neighbour, shape (n,), or a
        dict {width: array}. nan for latents that are left out.
    samples
        Number of tokens behind the frequencies: ranks with fewer than ten firings are left out.
        None, the default: judged by the frequencies themselves.
    dimension
        d, where ``cosines`` are given: which cosines random directions reach.
    prior
        Probability of the pathological regime before anything is seen, in (0, 1). Default 0.5.
    plan
        Whether to work out which further measurement would decide.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ValueError
        If nothing is given, both a decoder and cosines are, or an argument is out of range.

    References
    ----------
    Michaud, Gorton and McGrath (2025), section 2.5 and appendix A.1: the question. The forward
    model is theirs, with an overlap law and copies (``diagnosis.model``).
    """
    probability = _validate.real("prior", prior, low=0.0, high=1.0, low_open=True, high_open=True)
    if decoder is not None and cosines is not None:
        raise ValueError("decoder and cosines must not both be given: cosines are the decoder's")
    losses = evidence.read_losses(widths_losses)
    rates = _three(evidence.read_frequencies(frequencies, samples))
    if decoder is not None:
        cosines, dimension = _cosines_of(decoder, frequencies)
    close = _three(evidence.read_close(cosines, dimension))
    few = frequencies is not None and not rates
    crowded = cosines is not None and not close
    if losses is None and not rates and not close:
        raise ValueError(
            f"frequencies {evidence.TOO_FEW}"
            if few
            else "cosines tell nothing: random directions in so few dimensions are as close"
            if crowded
            else "at least one of widths_losses, frequencies, decoder and cosines is needed"
        )

    sizes = [
        *(losses.widths.tolist() if losses is not None else []),
        *(s.alive for s in rates),
        *(s.width for s in close),
    ]
    at = float(max(sizes))
    hypotheses, proposed = draws(), np.zeros(draws().size)
    for turn in range(ROUNDS + 1):
        pieces, fit = _pieces(hypotheses, losses, rates, close)
        before = log_prior(hypotheses, probability, at) + proposed
        is_so = shows(hypotheses, at)
        weights = _normalised(before + likelihood.POWER * sum(log for log, _, _ in pieces.values()))
        if turn == 0:
            alone = {
                name: Piece(
                    name,
                    what,
                    float(_normalised(before + likelihood.POWER * log) @ is_so),
                    float(rms.min()),
                )
                for name, (log, rms, what) in pieces.items()
            }
        effective = float(1.0 / np.sum(weights**2))
        if effective >= ENOUGH or turn == ROUNDS:
            break
        hypotheses, proposed = closer(hypotheses, weights, proposed, turn)
    alone = {
        name: piece._replace(misfit=min(piece.misfit, float(pieces[name][1].min())))
        for name, piece in alone.items()
    }
    pathological, limit = float(weights @ is_so), float(weights @ hypotheses.pathological)
    worst = [name for name, piece in alone.items() if piece.misfit > WORST[name]]
    steps = (
        further(hypotheses, weights, fit, losses, rates, close, at) if plan and not worst else None
    )
    table = posterior_table(hypotheses, weights, at)
    draws().forget()
    return Diagnosis(
        probabilities={"benign": 1.0 - pathological, "pathological": pathological},
        in_the_limit=limit,
        verdict=_verdict(pathological, worst),
        message=_message(pathological, limit, worst, alone, at)
        + f"; frequencies are left out, which {evidence.TOO_FEW}" * few
        + "; cosines are left out: random directions are as close" * crowded,
        prior=probability,
        evidence=tuple(alone.values()),
        parameters=table,
        posterior=posterior_draws(hypotheses, weights),
        width=at,
        effective_draws=effective,
        further=steps,
    )


def _three(seen: list[_Seen]) -> list[_Seen]:
    """Of more than three SAEs the smallest, the middle and the largest."""
    return seen if len(seen) < 4 else [seen[0], seen[len(seen) // 2], seen[-1]]


def _pieces(
    hypotheses: Hypotheses,
    losses: evidence.Losses | None,
    rates: list[evidence.Frequencies],
    close: list[evidence.Close],
) -> tuple[dict[str, tuple[Floats, Floats, str]], likelihood.LossFit | None]:
    """Log-likelihood, misfit and amount of each kind of evidence."""
    found: dict[str, tuple[Floats, Floats, str]] = {}
    fit = None
    if losses is not None:
        fit = likelihood.of_losses(hypotheses, losses)
        found["losses"] = fit.log_likelihood, fit.rms, f"{losses.widths.size} losses"
    if rates:
        many = [likelihood.of_frequencies(hypotheses, seen, len(rates)) for seen in rates]
        found["frequencies"] = _together(many, [s.width for s in rates], "frequencies")
    if close:
        many = [likelihood.of_close(hypotheses, seen, len(close)) for seen in close]
        found["cosines"] = _together(many, [s.width for s in close], "neighbours")
    return found, fit


def _together(
    fits: list[likelihood.Fitted], widths: list[int], what: str
) -> tuple[Floats, Floats, str]:
    log = np.sum([fit.log_likelihood for fit in fits], axis=0)
    rms = np.sqrt(np.mean([fit.rms**2 for fit in fits], axis=0))
    return log, rms, f"{what} at N = {', '.join(f'{w:,}' for w in widths)}"


def _normalised(log: Floats) -> Floats:
    weights = np.exp(log - log.max())
    return np.asarray(weights / weights.sum())


def _verdict(pathological: float, worst: list[str]) -> str:
    if worst:
        return "the model does not describe these SAEs"
    if pathological > CALL:
        return "pathological"
    return "benign" if pathological < 1.0 - CALL else "not enough evidence"


def _message(
    pathological: float, limit: float, worst: list[str], alone: Mapping[str, Piece], width: float
) -> str:
    if worst:
        said = ", ".join(
            f"{name} (at best {alone[name].misfit:.2g} off, root mean square; at most "
            f"{WORST[name]:g} is believed)"
            for name in worst
        )
        return f"no alpha and beta give such {said}"
    regime, p = (
        ("benign", 1.0 - pathological) if pathological < 0.5 else ("pathological", pathological)
    )
    odds = (
        f"{regime} at N = {width:,.0f} with probability {p:.2f} (pathological: at least a fifth of "
        f"the latents on manifolds with beta < alpha); some such manifolds: {limit:.2f}"
    )
    against = [p for p in alone.values() if abs(p.pathological - 0.5) > CALL - 0.5]
    sides = {p.pathological > 0.5 for p in against}
    if len(sides) == 2:
        said = "; ".join(f"{p.name} alone say {p.pathological:.2f}" for p in against)
        return f"{odds}, but the evidence is divided: {said}"
    return odds


def _cosines_of(decoder: Any, frequencies: Any) -> tuple[dict[int, Floats], int]:
    """Cosines by width, of the latents that fire where that is known."""
    from scaling_theory.analysis.decoders import decoder_neighbours

    given = decoder if isinstance(decoder, Mapping) else {None: decoder}
    found, dimensions = {}, set()
    for width, rows in given.items():
        shape = tuple(getattr(rows, "shape", np.shape(rows)))
        if len(shape) != 2:
            raise ValueError(f"decoder must have shape (n, d), got {shape}")
        key = shape[0] if width is None else _validate.whole("decoder (width)", width, low=2)
        fired = frequencies.get(width) if isinstance(frequencies, Mapping) else frequencies
        alive = None
        if fired is not None and np.shape(fired) == shape[:1]:
            alive = np.asarray(fired, dtype=np.float64) > 0.0
        near = decoder_neighbours(rows, alive=alive, baseline_samples=0)
        # dead latents were never spent
        found[key if alive is None else int(alive.sum())] = np.asarray(near.cosine, dtype=float)
        dimensions.add(int(shape[1]))
    if len(dimensions) != 1:
        raise ValueError(f"decoder must have one dimension d, got {sorted(dimensions)}")
    return found, dimensions.pop()
