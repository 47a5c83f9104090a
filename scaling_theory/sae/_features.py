"""Arguments of a superposition, checked: which feature lives on which manifold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scaling_theory import _validate
from scaling_theory._validate import Ints
from scaling_theory.frequencies import Frequencies
from scaling_theory.sae._dependence import gates_of
from scaling_theory.sae.canonical import text_of
from scaling_theory.sae.data import Data
from scaling_theory.sae.manifolds import MAX_DIMENSION

#: Largest number of features.
MAX_FEATURES = 2**20


def arguments(
    frequencies: Any,
    default: Any,
    ranks: Any,
    orientation: Any,
    dimension: Any,
    seed: Any,
    scales: Any,
    parents: Any,
    exclusive: Any,
    correlation: Any,
    labels: Any,
) -> dict[str, Any]:
    """Fields of a superposition by name; ValueError if an argument is out of range."""
    count = checked_count(frequencies)
    if not isinstance(default, Data):
        raise ValueError(f"default must be a manifold, got {default!r}")
    exceptions = exceptions_of(default, {} if ranks is None else ranks, count)
    if orientation not in ("orthogonal", "random"):
        raise ValueError(f"orientation must be 'orthogonal' or 'random', got {orientation!r}")
    manifolds, group = groups_of(default, exceptions, count)
    seed = _validate.whole("seed", seed)
    if orientation == "orthogonal" and seed != 0:
        raise ValueError(
            f"seed must be 0 with orientation='orthogonal', where nothing is drawn, got {seed}"
        )
    if scales is not None:
        scales = _validate.reals("scales", scales, low=1e-15, high=1e15)
        if scales.size != count:
            raise ValueError(f"scales must hold {count} numbers, got {scales.size}")
        scales = None if (scales == 1.0).all() else scales
    gates = gates_of(frequencies, count, parents, exclusive, correlation)
    return {
        "frequencies": frequencies,
        "default": default,
        "ranks": exceptions,
        "orientation": orientation,
        "dimension": ambient(dimension, orientation, [m.dimension for m in manifolds], group),
        "seed": seed,
        "scales": scales,
        "parents": gates.links,
        "exclusive": gates.exclusive,
        "correlation": gates.correlation,
        "_forest": gates.forest,
        "_manifolds": manifolds,
        "_group": group,
        "_labels": named(manifolds, {} if labels is None else labels),
    }


def checked_count(frequencies: Any) -> int:
    if not isinstance(frequencies, Frequencies):
        raise ValueError(f"frequencies must be a Frequencies object, got {frequencies!r}")
    count = frequencies.count
    if count is None or count > MAX_FEATURES:
        raise ValueError(
            f"frequencies must have a count of at most {MAX_FEATURES} to be sampled, got "
            f"{frequencies!r}: give count="
        )
    most = float(frequencies.at(np.arange(1, count + 1)).max())
    if most > 1.0 + 1e-12:
        raise ValueError(
            f"frequencies must be probabilities, at most 1, got a largest of {most!r}: lower "
            f"their sum, total=, by that factor"
        )
    return count


def exceptions_of(
    default: Data, ranks: Mapping[Any, Data], count: int
) -> tuple[tuple[tuple[int, ...], Data], ...]:
    """(ranks, manifold), one for each manifold other than the default, by first rank."""
    if not isinstance(ranks, Mapping):
        raise ValueError(f"ranks must map ranks to manifolds, got {ranks!r}")
    together: dict[str, tuple[list[int], Data]] = {}
    seen: set[int] = set()
    for key, manifold in ranks.items():
        if not isinstance(manifold, Data):
            raise ValueError(f"ranks must map ranks to manifolds, got {manifold!r} for {key!r}")
        if isinstance(key, tuple | range) and not key:
            raise ValueError(f"ranks must not have an empty key, got {key!r}")
        keys: Iterable[Any] = key if isinstance(key, tuple | range) else (key,)
        listed = [_validate.whole("ranks", k, low=1, high=count) for k in keys]
        for rank in listed:
            if rank in seen:
                raise ValueError(f"ranks must be distinct, got {rank} twice")
            seen.add(rank)
        together.setdefault(text_of(manifold), ([], manifold))[0].extend(listed)
    together.pop(text_of(default), None)
    return tuple(sorted(((tuple(sorted(r)), m) for r, m in together.values()), key=lambda e: e[0]))


def groups_of(
    default: Data, exceptions: tuple[tuple[tuple[int, ...], Data], ...], count: int
) -> tuple[tuple[Data, ...], Ints]:
    """Manifolds by first rank, and which of them each rank has."""
    group = np.full(count, len(exceptions), dtype=np.int64)
    for index, (listed, _) in enumerate(exceptions):
        group[np.array(listed) - 1] = index
    present, first = np.unique(group, return_index=True)
    order = present[np.argsort(first)]
    place = np.zeros(len(exceptions) + 1, dtype=np.int64)
    place[order] = np.arange(order.size)
    every = [*(m for _, m in exceptions), default]
    out = place[group]
    out.flags.writeable = False
    return tuple(every[i] for i in order), out


def ambient(dimension: Any, orientation: str, sizes: list[int], group: Ints) -> int:
    sum_of_sizes = int(np.array(sizes)[group].sum())
    if orientation == "orthogonal":
        low, why = sum_of_sizes, "the sum of the features' dimensions"
        dimension = low if dimension is None else dimension
    else:
        low, why = max(sizes), "the largest dimension of a feature"
    if dimension is None:
        raise ValueError(
            f"dimension must be given with orientation='random', at least {low}, {why}; got None"
        )
    name = f"dimension (of the ambient space; {low} is {why})"
    return _validate.whole(name, dimension, low=low, high=max(low, MAX_DIMENSION))


def named(manifolds: tuple[Data, ...], labels: Mapping[str, str]) -> tuple[str, ...]:
    kinds = [type(m).__name__.lower() for m in manifolds]
    names = [
        kind if kinds.count(kind) == 1 else f"{kind} {1 + kinds[:index].count(kind)}"
        for index, kind in enumerate(kinds)
    ]
    if not isinstance(labels, Mapping):
        raise ValueError(f"labels must map labels to new ones, got {labels!r}")
    unknown = [name for name in labels if name not in names]
    if unknown:
        raise ValueError(f"labels must rename some of {names}, got {unknown}")
    out = [labels.get(name, name) for name in names]
    for name in out:
        if not isinstance(name, str) or not name:
            raise ValueError(f"labels must be non-empty strings, got {name!r}")
        if out.count(name) > 1:
            raise ValueError(f"labels must be distinct, got {name!r} twice")
    return tuple(out)
