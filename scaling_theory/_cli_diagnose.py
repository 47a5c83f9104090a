"""The command ``diagnose``: which regime these SAEs are in, and what would tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from scaling_theory import _validate
from scaling_theory._cli_evidence import Evidence, as_option, gathered
from scaling_theory._cli_files import LOSSES, WIDTHS
from scaling_theory._cli_output import finite, json_option, print_table
from scaling_theory._cli_types import Count

if TYPE_CHECKING:
    from scaling_theory.analysis.diagnosis import Diagnosis

_OPTIONS = (
    click.option(
        "--losses", metavar="DATA", help="Widths and losses: a CSV file or a built-in data set."
    ),
    click.option("--n", "n_column", help=f"Column of the widths. [default: {', '.join(WIDTHS)}]"),
    click.option(
        "--loss", "loss_column", help=f"Column of the losses. [default: {', '.join(LOSSES)}]"
    ),
    click.option(
        "--explained",
        is_flag=True,
        help="That column holds shares of explained variance: the loss is 1 minus it.",
    ),
    click.option("--stderr", help="Column of standard errors. [default: stderr, if it is there]"),
    click.option(
        "--where",
        multiple=True,
        metavar="COLUMN=VALUE",
        help="Keep matching rows of --losses only; repeatable.",
    ),
    click.option(
        "--frequencies",
        multiple=True,
        metavar="[WIDTH=]FILE",
        help="Firing frequencies of the latents of an SAE, as in `frequencies`; repeatable.",
    ),
    click.option("--column", help="Of CSV files of --frequencies and --cosines."),
    click.option("--key", help="Entry of .npz and .safetensors files."),
    click.option("--log10", is_flag=True, help="--frequencies are log10(frequency + 1e-10)."),
    click.option(
        "--decoder",
        multiple=True,
        metavar="[WIDTH=]FILE",
        help="Decoder, one row a latent: .npy, .npz, .safetensors or an SAE; repeatable.",
    ),
    click.option(
        "--sae",
        multiple=True,
        metavar="PATH",
        help="Folder or file of a published SAE: its decoder and, if it has them, its frequencies; "
        "repeatable.",
    ),
    click.option(
        "--rows",
        type=Count(),
        help="Look for neighbours of so many rows of a decoder, drawn at random. [default: all]",
    ),
    click.option(
        "--cosines",
        multiple=True,
        metavar="[WIDTH=]FILE",
        help="Instead of decoders: cosine of each latent with its nearest other; repeatable.",
    ),
    click.option("--dimension", type=Count(), help="Of the decoder that --cosines are of."),
    click.option(
        "--samples", type=Count(), help="Tokens that firing was counted on. [default: judged]"
    ),
    click.option(
        "--prior",
        type=float,
        default=0.5,
        show_default=True,
        help="Probability of the pathological regime before anything is seen.",
    ),
    click.option(
        "--figure",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Draw the diagnosis on one page: .png, .svg or .pdf.",
    ),
)


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_options
@json_option
def diagnose(prior: float, figure: Path | None, as_json: bool, **given: Any) -> None:
    """Are these SAEs in the pathological regime? From losses, frequencies and decoders.

    Give what there is: losses at three widths or more, frequencies and decoders of one SAE or of
    several. The verdict is benign or pathological (a probability above 0.8), "not enough evidence",
    or that the model does not describe these SAEs. alpha: features have frequencies i^-(1+alpha);
    beta: manifolds have the loss (1+n)^-beta (inf: there are none); share: of the features that are
    manifolds; theta: of the n latents of a feature n^theta fire together; piled: share of the
    latents of the largest SAE that share a feature with others; discovery_slope: of ln D against
    ln N there. information: in nats, at most 0.69; decides: probability that one regime is above
    0.8 after the measurement.

    Of decoders it is also said how many rows have nearer neighbours than unrelated rows have, and
    how many pairs point the same way (a cosine above 0.97). Time goes as the square of their rows;
    Ctrl-C diagnoses from the rows that are done.
    """
    from scaling_theory.analysis.diagnosis import diagnose as weigh

    # wrong numbers are refused before the long work
    _validate.real("--prior", prior, low=0.0, high=1.0, low_open=True, high_open=True)
    for name in ("samples", "dimension", "rows"):
        if given[name] is not None:
            _validate.whole(f"--{name}", given[name], low=1)
    if figure is not None:
        _check_figure(figure)
    evidence = gathered(given)
    try:
        said = weigh(prior=prior, **evidence.arguments)
    except ValueError as error:
        raise click.UsageError(as_option(str(error))) from error
    if figure is not None:
        _draw(said, figure)
    if as_json:
        values = {**said.as_dict(), "decoders": evidence.decoders, "notes": evidence.notes}
        click.echo(json.dumps(finite(values)))
    else:
        _print(said, evidence)
        if figure is not None:
            click.echo(f"\nfigure: {figure}")
    if evidence.interrupted:
        raise KeyboardInterrupt


# ---- what is said --------------------------------------------------------------------------------


def _print(said: Diagnosis, evidence: Evidence) -> None:
    """Print the verdict, why, and what would tell more."""
    import pandas as pd

    click.echo(f"verdict: {said.verdict}")
    click.echo(f"{said.message} (before: {said.prior:.2f})")
    click.echo("\nevidence, each alone")
    alone = pd.DataFrame([piece._asdict() for piece in said.evidence])
    print_table(alone.rename(columns={"name": "evidence"}), "  ", digits=2)
    click.echo(
        f"\nparameters, with 95% intervals (piled, discovery_slope: at N = {said.width:,.0f})"
    )
    table = said.parameters[["median", "low", "high"]]
    print_table(table.rename_axis("parameter").reset_index(), "  ", digits=2)
    if said.further is not None and len(said.further):
        decided = said.verdict in said.probabilities
        click.echo("\nfurther measurements" if decided else "\nwhat would decide")
        print_table(said.further, "  ", digits=2)
    for one in evidence.decoders:
        click.echo(f"\ndecoder at N = {one['width']:,}: {one['message']}")
        for name in ("tiling", "duplicates"):
            if name in one:
                click.echo(f"  {name}: {one[name]['message']}")
        dead = one.get("duplicates", {}).get("dead_nearest_share", np.nan)
        if np.isfinite(dead):
            click.echo(f"  of live latents with a near-duplicate, the nearest is dead: {dead:.3g}")
    if evidence.notes:
        click.echo("\n" + "\n".join(f"note: {note}" for note in evidence.notes))


def _check_figure(figure: Path) -> None:
    """Fail before the work, not after it."""
    if figure.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise click.UsageError(f"--figure must be a .png, .svg or .pdf file, got {figure.name!r}")
    there = figure.exists()
    with figure.open("ab"):
        pass
    if not there:  # nothing is left where the diagnosis is refused
        figure.unlink()


def _draw(said: Diagnosis, figure: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg", force=False)
    page = said.draw()[0].figure
    page.savefig(figure, dpi=150)
    from matplotlib import pyplot as plt

    plt.close(page)
