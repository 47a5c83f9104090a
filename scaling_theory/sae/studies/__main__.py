"""Print the numbers of superposed features: ``python -m scaling_theory.sae.studies``.

Name topics to choose: recipes discovery decomposition. All of them train: recipes and
decomposition for minutes, discovery for up to an hour; it is printed only where it is named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import torch

from scaling_theory._tables import print_topics
from scaling_theory.sae.studies.decomposition import decomposition
from scaling_theory.sae.studies.discovery import discovery, recipes, table


def main(arguments: Sequence[str]) -> int:
    """Print the tables of the topics named, or all but the slow one."""
    torch.set_num_threads(1)  # tensors are small here
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


_TOPICS: dict[str, Callable[[], None]] = {
    "recipes": _recipes,
    "discovery": _discovery,
    "decomposition": _decomposition,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
