"""Rows of a decoder as unit vectors, block by block, and the nearest two of each.

Nothing of n times n is held, nor a second copy of the decoder: blocks are widened and normalised
when they are read, so that half precision, memory maps and tensors on a GPU all go through here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from scaling_theory import _validate
from scaling_theory._progress import track
from scaling_theory._validate import Floats, Ints

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Mask = npt.NDArray[np.bool_]

#: Rows at once, as queries and as their neighbours; on a GPU four times as many.
_QUERIES, _OTHERS = 1024, 4096
#: Most numbers in one block of rows: 64 MiB of float32.
_NUMBERS = 2**24


class UnitRows:
    """The rows of a decoder that count and have a direction.

    Parameters
    ----------
    decoder
        NumPy array (a memory map too) or tensor, (n, d), floating-point and finite, d >= 2.
    alive
        Rows that count, (n,) bool; None for all.
    block
        Rows at once; None for as many as suit the device.

    Attributes
    ----------
    index : (m,) int64
        The rows that count and are not zeros, ascending. Methods speak of positions in it.
    total, dimension
        n and d.
    """

    def __init__(self, decoder: Any, alive: Any = None, block: int | None = None) -> None:
        self._source = _matrix(decoder)
        self.total, self.dimension = (int(s) for s in self._source.shape)
        counts = bools("alive", alive, self.total)
        wide = _QUERIES, _OTHERS
        if self._is_tensor and self._source.device.type != "cpu":
            wide = 4 * _QUERIES, 4 * _OTHERS
        if block is not None:
            wide = (_validate.whole("block", block, low=1),) * 2
        else:
            most = max(16, _NUMBERS // self.dimension)
            wide = min(wide[0], most), min(wide[1], most)
        self.queries, self.others = wide
        self.index: Ints = np.arange(self.total)
        for start, stop in pieces(self.total, self.others):
            counts[start:stop] &= self._directed(start, stop)
        self.index = np.flatnonzero(counts)
        if self.count < 2:
            raise ValueError(
                "decoder must have at least 2 rows that count and are not zeros, "
                f"got {self.count} of {self.total}"
            )

    @property
    def count(self) -> int:
        """Number of rows that count, m."""
        return int(self.index.size)

    def read(self, positions: slice | Ints) -> torch.Tensor:
        """Rows at these positions, of norm 1, in float32 or wider: (positions, d)."""
        from scaling_theory.sae.metrics.decoders import _normalised

        if isinstance(positions, slice) and self.count == self.total:
            return _normalised(self._wide(positions))
        return _normalised(self._wide(self.index[positions]))

    def device(self) -> Any:
        """Device of the rows, for tensors that meet them."""
        return self._source.device if self._is_tensor else "cpu"

    @property
    def _is_tensor(self) -> bool:
        return not isinstance(self._source, np.ndarray)

    def _wide(self, at: slice | Ints) -> torch.Tensor:
        import torch

        if self._is_tensor:
            where = at if isinstance(at, slice) else torch.from_numpy(at).to(self._source.device)
            rows: torch.Tensor = self._source[where]
            return rows if rows.dtype == torch.float64 else rows.float()
        double = self._source.dtype == np.float64
        return torch.from_numpy(np.array(self._source[at], np.float64 if double else np.float32))

    def _directed(self, start: int, stop: int) -> Mask:
        """Which of these rows are not zeros; ValueError if a number is not finite."""
        import torch

        rows = self._wide(slice(start, stop))
        if not bool(torch.isfinite(rows).all()):
            row = start + int(torch.isfinite(rows).all(1).logical_not().nonzero()[0])
            raise ValueError(f"decoder must hold finite numbers only, got others in row {row}")
        return np.asarray((rows != 0.0).any(1).cpu().numpy())


class TopTwo:
    """The largest two products of each query so far, and where the largest is."""

    def __init__(self, queries: int, like: torch.Tensor) -> None:
        self.first = like.new_full((queries,), -np.inf)
        self.second = self.first.clone()
        self.at = like.new_zeros(queries).long()

    def update(self, product: torch.Tensor, start: int, rows: slice = slice(None)) -> None:
        """Take in (rows, others) products, those of the others from ``start`` on; overwrites."""
        import torch

        value, at = product.max(1)
        product.scatter_(1, at[:, None], -np.inf)
        next_best = product.amax(1)
        first, second = self.first[rows], self.second[rows]
        # the second of all is the loser of the two firsts, or the second of either side
        self.second[rows] = torch.maximum(
            torch.minimum(first, value), torch.maximum(second, next_best)
        )
        self.at[rows] = torch.where(value > first, at + start, self.at[rows])
        self.first[rows] = torch.maximum(first, value)


def nearest_two(rows: UnitRows, positions: Ints) -> tuple[Floats, Floats, Ints]:
    """Cosines with the nearest and second nearest other row, and the position of the nearest.

    The second is nan where there is no second other row.
    """
    queries = rows.read(positions)
    best = TopTwo(positions.size, queries)
    for start, product in products(rows, queries, positions):
        best.update(product, start)
    second = np.where(rows.count > 2, _numbers(best.second), np.nan)
    return _numbers(best.first), second, np.asarray(best.at.cpu().numpy())


def products(
    rows: UnitRows, queries: torch.Tensor, positions: Ints, first: int = 0
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (start, cosines of queries with the block of rows from start), own ones at -inf."""
    import torch

    own = torch.from_numpy(positions).to(queries.device)
    for start, stop in pieces(rows.count, rows.others, first):
        product = queries @ rows.read(slice(start, stop)).T
        here = torch.nonzero((own >= start) & (own < stop)).flatten()
        product[here, own[here] - start] = -np.inf
        yield start, product


def pieces(count: int, size: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive pieces of range(first, count)."""
    for start in range(first, count, size):
        yield start, min(start + size, count)


def long_track(items: Sequence[T], what: str, *, enabled: bool, after: float = 2.0) -> Iterator[T]:
    """Yield the items, with a bar and the time left once two seconds will not do."""
    began, rest = time.monotonic(), iter(items)
    for done, item in enumerate(rest, 1):
        yield item
        if enabled and (time.monotonic() - began) * len(items) > after * done:
            remaining: Iterable[T] = rest
            yield from track(remaining, what, len(items) - done, enabled=True)
            return


def bools(name: str, value: Any, count: int) -> Mask:
    """Return a new mask, (count,), all True for None; ValueError for anything else."""
    if value is None:
        return np.ones(count, dtype=np.bool_)
    array = _on_cpu(value)
    if not (isinstance(array, np.ndarray) and array.dtype == np.bool_ and array.shape == (count,)):
        raise ValueError(f"{name} must be bools of shape ({count},) or None, got {_kind(value)}")
    return array.copy()


def rates(value: Any, count: int) -> Floats | None:
    """Return firing frequencies in [0, 1], (count,), or None; ValueError for anything else."""
    if value is None:
        return None
    array = _validate.reals("frequencies", _on_cpu(value), low=0.0, high=1.0)
    if array.size != count:
        raise ValueError(f"frequencies must have one value a row, {count}, got {array.size}")
    return array


def _matrix(value: Any) -> Any:
    """Return an (n, d) floating-point array or tensor as it is, without gradients."""
    kind = _kind(value)
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        floating = value.dtype.kind == "f" and value.dtype.itemsize <= 8
    elif hasattr(value, "is_floating_point"):
        floating, value = bool(value.is_floating_point()), value.detach()
    else:
        floating = False
    if not (floating and value.ndim == 2 and value.shape[1] >= 2):
        raise ValueError(
            "decoder must be a floating-point array or tensor of shape (n, d), d of at least 2, "
            f"got {kind}"
        )
    return value


def _on_cpu(value: Any) -> Any:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _numbers(values: torch.Tensor) -> Floats:
    """Cosines in float64; rounding may have put them a little beyond 1."""
    return np.clip(values.cpu().numpy().astype(np.float64), -1.0, 1.0)


def _kind(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"a {type(value).__name__} of {value.dtype}, shape {tuple(value.shape)}"
    return f"a {type(value).__name__}"
