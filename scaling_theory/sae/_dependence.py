"""Arguments that say who depends on whom, checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from scaling_theory._validate import Floats
from scaling_theory.frequencies import Frequencies
from scaling_theory.sae._forest import Forest, Links, links_of
from scaling_theory.sae.correlation import Correlation, loadings_of


def probabilities_of(frequencies: Frequencies, count: int) -> Floats:
    """p_i, shape (count,), read-only."""
    values = np.minimum(frequencies.at(np.arange(1, count + 1)), 1.0)  # rounding: were checked
    values.flags.writeable = False
    return values


class Gates(NamedTuple):
    """Who depends on whom: arguments as they are kept, and what they mean; None for nobody."""

    links: Links | None
    exclusive: bool
    correlation: Correlation | Floats | None
    forest: Forest | None


def gates_of(
    frequencies: Frequencies, count: int, parents: Any, exclusive: Any, correlation: Any
) -> Gates:
    links = links_of(parents, count)
    if not isinstance(exclusive, bool):
        raise ValueError(f"exclusive must be True or False, got {exclusive!r}")
    if exclusive and links is None:
        raise ValueError("exclusive must be False without parents, got True")
    kept, loadings = loadings_of(correlation, count)
    if links is None and kept is None:
        return Gates(None, False, None, None)
    if exclusive and links is not None:
        below = np.array([child - 1 for children, _ in links for child in children])
        if not isinstance(kept, Correlation) and loadings[below].any():
            child = int(below[np.argmax(loadings[below].any(axis=1))])
            raise ValueError(
                f"correlation must have loadings of 0 for exclusive siblings, whose choice depends "
                f"on nothing but their parent, got others for rank {child + 1}; "
                f"Correlation(rank, strength) leaves them out by itself"
            )
        loadings = loadings.copy()
        loadings[below] = 0.0
    loadings.flags.writeable = False
    p = probabilities_of(frequencies, count)
    return Gates(links, exclusive, kept, Forest.of(p, links, exclusive, loadings))


def dependence(
    links: Links | None, exclusive: bool, correlation: Correlation | Floats | None
) -> str:
    """Who depends on whom, in short; nothing for nobody."""
    said = ""
    if links is not None:
        said += f", parents=<{sum(len(children) for children, _ in links)} children>"
        said += ", exclusive=True" * exclusive
    if isinstance(correlation, Correlation):
        said += f", correlation={correlation!r}"
    elif correlation is not None:
        said += f", correlation=<{'x'.join(map(str, correlation.shape))} loadings>"
    return said
