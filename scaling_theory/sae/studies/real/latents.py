"""What the latents of a trained SAE look like: how often they fire, and which way they point.

Firing is counted on rows that were trained on, each once: of those there are many, and a latent
that fires once in 10^5 rows is seen. Dead here means that it never fires on them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch

from scaling_theory._progress import track
from scaling_theory._validate import Floats
from scaling_theory.analysis import decoder_neighbours, near_duplicates, tiling_share
from scaling_theory.fitting import fit_frequencies
from scaling_theory.sae.activations import Activations
from scaling_theory.sae.architectures import ReLU, TopK, decode
from scaling_theory.sae.spec import RunSpec
from scaling_theory.sae.store import Store
from scaling_theory.sae.studies.real.settings import Kind, Preset, family_of
from scaling_theory.sae.weights import Weights

if TYPE_CHECKING:
    import pandas as pd

#: Edges of the histograms: log10 of frequencies (O'Neill et al. 2024, Figure 5), cosines.
DENSITY_EDGES: Final = np.round(np.arange(-6.0, 0.01, 0.1), 1)
COSINE_EDGES: Final = np.round(np.arange(0.0, 1.01, 0.02), 2)
#: Ranks of M25 Figure 4; the last one is 10^4 of 2^14 latents there, and as large a part here.
FIRST_RANK, LAST_SHARE = 100, 10_000 / 2**14
#: A test of straightness is believed where every count is at least so large; below this p-value a
#: curve is bent.
_MANY, _BENT = 100, 0.01
#: Inputs that are encoded at once.
_BLOCK = 4096


class Latents(NamedTuple):
    """One trained SAE."""

    kind: Kind
    family: str
    width: int
    spec: RunSpec
    decoder: Floats
    """(n, d) float32."""
    frequencies: Floats
    """(n,): share of ``rows`` on which a latent fires."""
    rows: int
    fvu: float
    """Unexplained share of the variance of these rows, which were trained on."""
    l0: float
    """Mean number of latents that fire, on held-out rows."""


def look(
    preset: Preset, runs: Mapping[Kind, Sequence[RunSpec]], store: Store, progress: bool
) -> list[Latents]:
    """Look at the first seed of each family and width; of the two ReLU runs at that nearer in L0.

    ``progress`` shows a bar with the time left.
    """
    chosen = [
        (kind, spec) for kind, some in runs.items() for spec in _chosen(some, store, preset.matched)
    ]
    out = []
    for kind, spec in track(chosen, "latents", len(chosen), enabled=progress):
        weights = Weights.from_named(store.weights(spec))
        assert isinstance(spec.data, Activations)
        x = spec.data.each_once(preset.frequency_rows, spec.generator("frequencies"))
        fired = torch.zeros(spec.width, dtype=torch.int64)
        missed, mean = 0.0, x.mean(0)
        for rows in torch.split(x, _BLOCK):
            activations = spec.architecture.encode(weights, rows)
            fired += (activations > 0.0).sum(0)
            missed += float((rows - decode(weights, activations)).square().sum(dtype=torch.float64))
        variance = float((x - mean).square().sum(dtype=torch.float64))
        frequencies = (fired.double() / len(x)).numpy()
        family = family_of(spec.architecture)
        decoder = weights.decoder.numpy()
        out.append(
            Latents(
                kind,
                family,
                spec.width,
                spec,
                decoder,
                frequencies,
                len(x),
                missed / variance,
                _l0(store, spec),
            )
        )
    return out


def _chosen(specs: Sequence[RunSpec], store: Store, matched: int) -> list[RunSpec]:
    first = [spec for spec in specs if spec.seed == 0]
    out = [spec for spec in first if isinstance(spec.architecture, TopK)]
    for width in dict.fromkeys(spec.width for spec in first):
        some = [s for s in first if isinstance(s.architecture, ReLU) and s.width == width]
        out.append(min(some, key=lambda s: abs(np.log(_l0(store, s) / matched))))
    return out


def _l0(store: Store, spec: RunSpec) -> float:
    row = store.row(spec)
    assert row is not None
    return float(row["l0"])


def table(latents: Sequence[Latents], progress: bool) -> tuple[pd.DataFrame, dict[str, Floats]]:
    """One row an SAE; and by "KIND FAMILY WIDTH", spaces as underscores, nearest cosines (n,).

    Returns
    -------
    DataFrame
        kind, family, width, ``l0`` (on held-out rows), rows, ``fvu_trained_on`` (held-out rows have
        the column fvu of the runs), alive; ``slope`` (d ln f/d ln rank from
        rank 100 to ``last_rank``) with its 95% interval ``slope_low`` and ``slope_high``,
        ``slope_first`` and ``slope_last`` (of the first and the last quarter of these ranks, in
        ln rank), ``p_straight`` (of a test that the curve is straight) and ``slope_status``, all
        nan where there are too few ranks; median nearest-neighbour cosine of live latents, of even
        directions and of anisotropic ones;
        ``crowded``, ``crowded_low``, ``crowded_high``: share of live latents whose neighbours
        unrelated ones can't explain; ``above_97``: share of live latents with a near-duplicate
        (a cosine above 0.97, dead latents included), ``dead_nearest``: of those, whose nearest is
        dead, ``dead_above_97``: share of the dead that are near-duplicates; histograms as JSON.
    dict
        nan for dead latents.
    """
    import pandas as pd

    rows, cosines = [], {}
    for one in track(list(latents), "neighbours", len(latents), enabled=progress):
        alive = one.frequencies > 0.0
        found = decoder_neighbours(one.decoder, alive=alive)
        share = tiling_share(found)
        pairs = near_duplicates(one.decoder, frequencies=one.frequencies)
        nearest = np.full(one.width, np.nan)
        nearest[found.rows] = found.cosine
        cosines[name_of(one)] = nearest
        assert found.anisotropic is not None
        rows.append(
            {
                "kind": one.kind,
                "family": one.family,
                "width": one.width,
                "l0": one.l0,
                "rows": one.rows,
                "fvu_trained_on": one.fvu,
                "alive": int(alive.sum()),
                **_slope(one),
                "cosine": float(np.median(found.cosine)),
                "cosine_even": float(found.isotropic.quantile(0.5)),
                "cosine_anisotropic": float(found.anisotropic.quantile(0.5)),
                "crowded": share.share,
                "crowded_low": share.low,
                "crowded_high": share.high,
                "above_97": pairs.alive_share,
                "dead_nearest": pairs.dead_nearest_share,
                "dead_above_97": pairs.dead_share,
                "density_counts": _counts(np.log10(one.frequencies[alive]), DENSITY_EDGES),
                "cosine_counts": _counts(found.cosine, COSINE_EDGES),
                "even_shares": _shares(found.isotropic),
                "anisotropic_shares": _shares(found.anisotropic),
            }
        )
    return pd.DataFrame(rows), cosines


def name_of(one: Latents) -> str:
    """Return a key for files: "tokens_TopK_32_3072"."""
    return f"{one.kind}_{one.family}_{one.width}".replace(" ", "_")


def _slope(one: Latents) -> dict[str, Any]:
    last = int(LAST_SHARE * one.width)
    alive = int((one.frequencies > 0.0).sum())
    names = ("slope", "slope_low", "slope_high", "slope_first", "slope_last", "p_straight")
    if min(last, alive) < 2 * FIRST_RANK:
        return {"last_rank": last, **dict.fromkeys(names, np.nan), "slope_status": "too few ranks"}
    last = min(last, alive)
    fit = fit_frequencies(one.frequencies, ranks=(FIRST_RANK, last), samples=one.rows, replicates=0)
    parts = fit.by_rank.stretches["slope"].to_numpy(float)
    p = fit.by_rank.p_straight
    values = dict(zip(names, (fit.slope, *fit.interval, parts[0], parts[-1], p), strict=True))
    # where all counts are large their noise bends no curve, whatever a law that is mixed with
    # noise makes of one that is bent
    counted = one.rows * np.sort(one.frequencies)[-last] >= _MANY
    status = "bent" if p < _BENT and counted else fit.status
    return {"last_rank": last, **values, "slope_status": status}


def similarity(latents: Sequence[Latents]) -> pd.DataFrame:
    """Nearest neighbours of latents of one SAE in another: O'Neill et al. (2024), Figure 6.

    Returns
    -------
    DataFrame
        kind, varied ("width": twice as wide at the same k; "k": the next k at the same width),
        family, width (of the SAE whose latents are asked after), in_family, in_width (where their
        neighbours are), median, ``above_95`` (share of cosines above 0.95, their section 4.1),
        cosine_counts (JSON).
    """
    import pandas as pd

    by = {(one.kind, one.family, one.width): one for one in latents}
    rows = []
    for one in latents:
        if one.family == "ReLU":
            continue
        k = int(one.family.split()[1])
        for varied, key in (
            ("width", (one.kind, one.family, one.width // 2)),
            ("k", (one.kind, f"TopK {k // 2}", one.width)),
        ):
            other = by.get(key)
            if other is None:
                continue
            cosine = _nearest(one, other)
            rows.append(
                {
                    "kind": one.kind,
                    "varied": varied,
                    "family": one.family,
                    "width": one.width,
                    "in_family": other.family,
                    "in_width": other.width,
                    "median": float(np.median(cosine)),
                    "above_95": float((cosine > 0.95).mean()),
                    "cosine_counts": _counts(cosine, COSINE_EDGES),
                }
            )
    return pd.DataFrame(rows)


def _nearest(one: Latents, other: Latents) -> Floats:
    """Largest cosine of each live row of one decoder with the live rows of another."""
    a, b = (
        torch.nn.functional.normalize(torch.from_numpy(v.decoder[v.frequencies > 0.0]), dim=1)
        for v in (one, other)
    )
    most = [(rows @ b.T).amax(1) for rows in torch.split(a, 2048)]
    cosine: Floats = torch.cat(most).double().numpy()
    return cosine


def _counts(values: Floats, edges: Floats) -> str:
    """Histogram as JSON; what is beyond the edges counts in the outermost bins."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return json.dumps(counts.tolist(), separators=(",", ":"))


def _shares(law: Any) -> str:
    """What a baseline puts in the bins, as shares, as JSON."""
    shares = np.diff(np.asarray(law.cdf(COSINE_EDGES), dtype=float))
    return json.dumps([float(f"{v:.4g}") for v in shares], separators=(",", ":"))
