"""Print the numbers of superposed features: ``python -m scaling_theory.sae.studies``.

Name topics to choose: recipes discovery decomposition families recovery follow tiling real
real_longer. The first three train: recipes and decomposition for minutes, discovery for up to an
hour; it is printed only where it is named. The others read what is stored with the package;
``TOPIC --train`` trains it again, into runs/TOPIC, for tens of minutes (Ctrl-C keeps what is done,
the same command goes on).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import count

import torch

from scaling_theory._tables import print_topics
from scaling_theory.sae._files import Row
from scaling_theory.sae.studies._kept import FOLDER
from scaling_theory.sae.studies.decomposition import decomposition
from scaling_theory.sae.studies.discovery import discovery, recipes, table
from scaling_theory.sae.studies.families import (
    exponents_table,
    families_table,
    train_families,
    trained_families,
)
from scaling_theory.sae.studies.follow import (
    betas,
    comparison,
    exponents,
    train_follow,
    verdicts,
)
from scaling_theory.sae.studies.real import Tables, make_real
from scaling_theory.sae.studies.real.longer import longer_laws, train_longer
from scaling_theory.sae.studies.real.report import report
from scaling_theory.sae.studies.recovery import (
    level_table,
    recovery_rows,
    recovery_table,
    train_recovery,
)
from scaling_theory.sae.studies.tiling import tiling_table, train_tiling


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the topics named, or all but the slow one."""
    if not any(argument.startswith("real") for argument in arguments):
        torch.set_num_threads(1)  # tensors are small here
    if "--train" in arguments:
        arguments = [argument for argument in arguments if argument != "--train"]
        if len(arguments) != 1 or arguments[0] not in _TRAINED:
            print(
                f"--train must be with {' or '.join(_TRAINED)} alone, got {arguments}",
                file=sys.stderr,
            )
            return 2
        try:
            _TRAINED[arguments[0]](_said())
        except KeyboardInterrupt:
            return 130
    return print_topics(_TOPICS, arguments, __doc__, slow=("discovery",))


def _recipes() -> None:
    print("64 discrete features, p = 0.3 i^-1.5, ReLU; 100 D(N)/N: mean (least) of three seeds")
    print(table(recipes()).to_string(index=False, float_format="{:.3f}".format))


def _discovery() -> None:
    print("64 discrete features, p = 0.3 i^-1.5; 100 D(N)/N: mean (least) of two seeds")
    print(
        table(discovery(seeds=2, path="blocked")).to_string(
            index=False, float_format="{:.3f}".format
        )
    )


def _decomposition() -> None:
    print("two circles and twelve points, p = scale * 0.1 i^-0.5, 24 latents")
    print(decomposition(path="blocked").to_string(index=False, float_format="{:.4f}".format))


def _said() -> Callable[[Row], None]:
    """A line for each run that is trained, for logs; none where a terminal has the bar."""
    done = count(1)

    def on_row(row: Row) -> None:
        if not sys.stderr.isatty():
            said = f"run {next(done)}: width {row['width']}, {row['seconds']:.1f} s, {row['data']}"
            print(said, file=sys.stderr, flush=True)

    return on_row


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _families() -> None:
    print("manifolds alone: excess exponent with its 95% interval, fall from 4d to 64d latents")
    print(exponents_table().to_string(index=False, float_format="{:.3f}".format))
    print()
    print("trained families; taken_over, fvu, dead, duplicates are those of the widest SAE")
    print(families_table(trained_families()).to_string(index=False, float_format="{:.3f}".format))


def _recovery() -> None:
    rows = recovery_rows()
    print("512 features in 96 dimensions, hierarchical and correlated; 512 latents, L0 matched;")
    print("means over seeds of scores over features, latent_f1 over latents (SynthSAEBench)")
    print(recovery_table(rows).to_string(index=False, float_format="{:.3f}".format))
    print()
    print("by place in the tree")
    print(level_table(rows).to_string(index=False, float_format="{:.3f}".format))


def _follow() -> None:
    found = comparison()
    print("distances between trained SAEs and the solver; fed: with which curves (the last two")
    print("settings are held out); means over widths and seeds")
    print(verdicts(found).to_string(index=False, float_format="{:.3f}".format))
    print()
    print("the same by width, means over seeds")
    keys = ["setting", "architecture", "fed", "width"]
    by_width = found.drop(columns=["seed"]).groupby(keys, sort=False).mean().reset_index()
    print(by_width.to_string(index=False, float_format="{:.3f}".format))
    print()
    print("slopes against ln N; D at widths at which features are left to find")
    print(exponents().to_string(index=False, float_format="{:.3f}".format))
    print()
    print("manifolds alone, ReLU: excess exponent from 2d latents on, with its 95% interval")
    print(betas().to_string(index=False, float_format="{:.3f}".format))


def _real() -> None:
    for i, (title, rows) in enumerate(report(Tables.load("quick"))):
        print("\n" * (i > 0) + title)
        print(rows.to_string(index=False, float_format="{:.4g}".format))


def _real_longer() -> None:
    print("TopK 32 on tokens: unexplained variance by steps and width; exponent: without a floor")
    print(longer_laws().to_string(index=False, float_format="{:.4g}".format))


def _tiling() -> None:
    print("losses over E|x|^2 at 2d and 64d latents; fall from 4d to 64d; excess exponent")
    print(tiling_table().to_string(index=False, float_format="{:.3f}".format))


_TOPICS: dict[str, Callable[[], None]] = {
    "recipes": _recipes,
    "discovery": _discovery,
    "decomposition": _decomposition,
    "families": _families,
    "recovery": _recovery,
    "follow": _follow,
    "tiling": _tiling,
    "real": _real,
    "real_longer": _real_longer,
}
#: What --train trains.
_TRAINED: dict[str, Callable[[Callable[[Row], None]], object]] = {
    "families": lambda on_row: train_families(on_row=on_row),
    "recovery": lambda on_row: train_recovery(on_row=on_row),
    "follow": lambda on_row: train_follow(on_row=on_row),
    "tiling": lambda on_row: train_tiling(on_row=on_row),
    "real": lambda on_row: make_real(folder=FOLDER, on_row=on_row, say=_say),
    "real_longer": lambda on_row: train_longer(on_row=on_row),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
