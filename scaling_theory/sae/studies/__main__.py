"""Print the numbers of superposed features: ``python -m scaling_theory.sae.studies``.

Name topics to choose: recipes discovery decomposition families. The first three train: recipes and
decomposition for minutes, discovery for up to an hour; it is printed only where it is named.
families reads what is stored with the package; ``families --train`` trains it again, into
runs/families, for tens of minutes (Ctrl-C keeps what is done, the same command goes on).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import count

import torch

from scaling_theory._tables import print_topics
from scaling_theory.sae._files import Row
from scaling_theory.sae.studies.decomposition import decomposition
from scaling_theory.sae.studies.discovery import discovery, recipes, table
from scaling_theory.sae.studies.families import (
    exponents_table,
    families_table,
    train_families,
    trained_families,
)


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the topics named, or all but the slow one."""
    torch.set_num_threads(1)  # tensors are small here
    if "--train" in arguments:
        arguments = [argument for argument in arguments if argument != "--train"]
        if arguments != ["families"]:
            print(f"--train must be with families alone, got {arguments}", file=sys.stderr)
            return 2
        try:
            train_families(on_row=_said())
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


def _families() -> None:
    print("manifolds alone: excess exponent with its 95% interval, fall from 4d to 64d latents")
    print(exponents_table().to_string(index=False, float_format="{:.3f}".format))
    print()
    print("trained families; taken_over, fvu, dead, duplicates are those of the widest SAE")
    print(families_table(trained_families()).to_string(index=False, float_format="{:.3f}".format))


_TOPICS: dict[str, Callable[[], None]] = {
    "recipes": _recipes,
    "discovery": _discovery,
    "decomposition": _decomposition,
    "families": _families,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
