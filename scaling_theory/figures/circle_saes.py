"""SAEs trained on the circle: what 4, 8 and 24 latents do, and the loss of 1 to 128 latents.

As Michaud et al. (2025), Figure 1, beside the best symmetric tiling, which trained SAEs of many
latents do not reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_theory.figures.toy_curves import points
from scaling_theory.theory.geometry import circle_tiling, sphere_floor

if TYPE_CHECKING:
    import pandas as pd

    from scaling_theory.sae.runs import Runs
    from scaling_theory.sae.spec import RunSpec

SIZE = (10.6, 7.4)
AXES = (2, 3)
SWEEPS = ("circles",)

L1 = 0.1
DRAWN = (4, 8, 24)

_BLUE, _ORANGE = "#0B3C6F", "#D55E00"
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 1441)


def data(runs: Mapping[str, Runs]) -> pd.DataFrame:
    """Rows of three kinds: run; width (means, and the optimum); latent (of the SAEs drawn)."""
    import pandas as pd

    part = runs["circles"]
    columns = ["width", "seed", "loss", "stderr", "l0", "dead", "duplicates"]
    each = part.table[columns].rename(columns={"width": "n", "l0": "overlap"})
    each.insert(0, "kind", "run")
    mean = points(part.curve(), part)
    mean.insert(0, "kind", "width")
    tilings = [circle_tiling(int(n), L1) for n in mean["n"]]
    mean["symmetric_loss"] = [t.loss for t in tilings]
    mean["symmetric_excess"] = [t.excess for t in tilings]
    mean["symmetric_overlap"] = [t.overlap for t in tilings]
    mean["floor"] = sphere_floor(L1)
    return pd.concat([each, mean, *_latents(part)], ignore_index=True)


def _latents(part: Runs) -> list[pd.DataFrame]:
    """Weights, one row a latent: of each width that is drawn, the seed of least loss."""
    import pandas as pd

    tables = []
    best: dict[int, tuple[float, RunSpec]] = {}
    for spec, row in zip(part.specs, part.rows, strict=True):
        loss = float(row["loss"])
        if spec.width in DRAWN and loss < best.get(spec.width, (np.inf,))[0]:
            best[spec.width] = loss, spec
    for _, spec in best.values():
        try:
            weights = {name: values.numpy() for name, values in part.weights(spec).items()}
        except FileNotFoundError:
            continue  # a preview; the panel says so
        encoder, decoder, centre = (weights[w] for w in ("encoder", "decoder", "decoder_bias"))
        tables.append(
            pd.DataFrame(
                {
                    "kind": "latent",
                    "n": spec.width,
                    "seed": spec.seed,
                    "latent": np.arange(spec.width),
                    "encoder_x": encoder[:, 0],
                    "encoder_y": encoder[:, 1],
                    "encoder_bias": weights["encoder_bias"],
                    "decoder_x": decoder[:, 0],
                    "decoder_y": decoder[:, 1],
                    "centre_x": centre[0],
                    "centre_y": centre[1],
                }
            )
        )
    return tables


def draw(data: pd.DataFrame, axes: Sequence[Any]) -> None:
    """Three SAEs above; loss, excess and overlap against the number of latents below."""
    latents = data[data["kind"] == "latent"]
    for panel, n in zip(axes[:3], DRAWN, strict=True):
        _draw_sae(panel, latents[latents["n"] == n], data, n)
    each, mean = data[data["kind"] == "run"], data[data["kind"] == "width"]
    loss, excess, overlap = axes[3:]
    floor = mean["floor"].iloc[0]
    seeds = each["seed"].nunique()
    dots = {"marker": "o", "linestyle": "none", "color": _ORANGE, "markersize": 3.5, "zorder": 3}
    line = {"color": _BLUE, "linewidth": 1.2, "label": "best symmetric tiling"}
    name = f"trained, {seeds} seeds"
    loss.loglog(mean["n"], mean["symmetric_loss"], **line)
    loss.loglog(each["n"], each["loss"], **dots, label=name)
    loss.axhline(floor, color="black", linestyle="--", linewidth=1.0, label=f"floor {floor:g}")
    loss.set(ylabel="loss $L(n)$, in squared radii", title="Loss", ylim=(0.09, 1.0))
    loss.set_yticks([0.1, 0.2, 0.5, 1.0], ["0.1", "0.2", "0.5", "1"])
    excess.loglog(mean["n"], mean["symmetric_excess"], **line)
    excess.loglog(each["n"], each["loss"] - floor, **dots, label=name)
    excess.set(ylabel="loss above the floor, in squared radii", title="Loss above the floor")
    overlap.loglog(mean["n"], mean["symmetric_overlap"], **line)
    overlap.loglog(each["n"], each["overlap"], **dots, label=name)
    overlap.set(ylabel="latents that fire together (mean)", title="Overlap")
    overlap.set_yticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    for panel in (loss, excess, overlap):
        panel.set_xlabel("latents $n$")
        panel.set_xticks(
            [1, 2, 4, 8, 16, 32, 64, 128], ["1", "2", "4", "8", "16", "32", "64", "128"]
        )
        panel.minorticks_off()
        panel.legend(fontsize=8)


def _draw_sae(panel: Any, latents: pd.DataFrame, data: pd.DataFrame, n: int) -> None:
    """Data, reconstruction, decoder directions, and where each latent fires."""
    from colorsys import hls_to_rgb

    panel.set_aspect("equal")
    panel.axis("off")
    panel.set_xlim(-1.5, 1.5)
    panel.set_ylim(-2.0, 1.45)
    if latents.empty:
        panel.set_title(f"{n} latents: no weights stored")
        return
    x = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    encoder = latents[["encoder_x", "encoder_y"]].to_numpy(dtype=float)
    decoder = latents[["decoder_x", "decoder_y"]].to_numpy(dtype=float)
    bias = latents["encoder_bias"].to_numpy(dtype=float)
    centre = latents[["centre_x", "centre_y"]].to_numpy(dtype=float)[0]
    active = np.maximum(x @ encoder.T + bias, 0.0)
    found = active @ decoder + centre
    panel.plot(*x.T, color="#BBBBBB", linewidth=3.0)
    panel.plot(*found.T, color="black", linewidth=1.2)
    angles = np.arctan2(decoder[:, 1], decoder[:, 0])
    order, rings = np.argsort(angles), _rings(active > 0.0, np.argsort(angles))
    for j in order:
        # neighbours differ in lightness too
        lightness = 0.26 if np.flatnonzero(order == j)[0] % 2 else 0.47
        colour = hls_to_rgb((angles[j] / (2.0 * np.pi)) % 1.0, lightness, 0.75)
        tip = 0.86 * decoder[j] / np.linalg.norm(decoder[j])
        panel.annotate(
            "", tip, (0.0, 0.0),
            arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.0, "mutation_scale": 8},
        )  # fmt: skip
        radius = 1.1 + 0.055 * rings[j]
        arc = np.where((active[:, j] > 0.0)[:, None], radius * x, np.nan)
        panel.plot(*arc.T, color=colour, linewidth=2.2, solid_capstyle="butt")
    own = data[(data["kind"] == "run") & (data["n"] == n)]
    row = own[own["seed"] == latents["seed"].iloc[0]].iloc[0]
    panel.set_title(
        f"{n} latents: loss {row['loss']:.4f}\n{row['overlap']:.1f} fire together (seed "
        f"{row['seed']:.0f}, the best of {len(own)})",
        fontsize=9,
    )
    grey, arrow = {"color": "#555555"}, {"marker": r"$\rightarrow$", "markersize": 11}
    handles = [
        *panel.plot([], [], color="#BBBBBB", linewidth=3.0, label="data"),
        *panel.plot([], [], color="black", linewidth=1.2, label="reconstruction"),
        *panel.plot([], [], linestyle="none", **arrow, **grey, label="decoder directions"),
        *panel.plot([], [], linewidth=2.2, **grey, label="arcs: where each latent fires"),
    ]
    if n == DRAWN[1]:
        panel.legend(handles=handles, fontsize=8, loc="lower center", ncol=2, columnspacing=1.0)


def _rings(fires: Any, order: Any) -> dict[int, int]:
    """Lowest ring on which each arc meets no other, in the order given."""
    taken: list[Any] = []
    rings = {}
    padded = fires | np.roll(fires, 6, axis=0) | np.roll(fires, -6, axis=0)
    for j in order:
        free = [k for k, ring in enumerate(taken) if not (ring & padded[:, j]).any()]
        rings[int(j)] = free[0] if free else len(taken)
        if not free:
            taken.append(np.zeros(fires.shape[0], dtype=bool))
        taken[rings[int(j)]] |= fires[:, j]
    return rings
