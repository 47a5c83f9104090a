"""Gradients on the CPU for dense inputs in many dimensions: one product, and lists of what fires.

All pre-activations are one product of matrices, by PyTorch's BLAS. Of a trained SAE few of them
fire, so that all else is sums over lists (``entries``): a step costs 2 B n d operations at the rate
of BLAS and about 8 d for each entry, where dense paths take 10 B n d and more.

- A thread takes blocks of rows and multiplies on its own, tile by tile, so that the
  pre-activations of a tile are looked at while a cache still holds them. Blocks and tiles do not
  depend on the number of threads, nor does any sum.
- A row is looked at as maxima of groups of 16, and then only where a maximum is large enough. For
  TopK that is where it is at least a number that k maxima reach; of what is there a heap keeps the
  k largest. Where k is not far below the number of groups, the number is one that k of all reach.
- For TopK, on processors that multiply bfloat16, the product is one of rounded numbers, more than
  twice as fast. It only tells which latents may be among the k largest, by a bound of its error
  (``_screening``); products in float32 of these, half as many again as are kept, decide.
- ReLU and JumpReLU list what fires or is near its threshold. Where more than ``MOST_LISTED`` of a
  batch is listed, as early in training, the step is done by ``blocked``. What decides is the share
  itself, which is counted either way; what the last step was only decides which is tried first.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, final

import numpy as np
import torch

from scaling_theory.sae.architectures import Architecture, Context, TopK
from scaling_theory.sae.kernels import _listing, _screening
from scaling_theory.sae.kernels.base import Gradients, Step
from scaling_theory.sae.kernels.blocked import block_of, entrywise
from scaling_theory.sae.kernels.entries import KINDS, ROWS, by_latent, room_for, sum_up
from scaling_theory.sae.kernels.threads import one_thread, share
from scaling_theory.sae.kernels.units import numbers_of
from scaling_theory.sae.weights import Weights

#: Share of a batch's pre-activations up to which lists are faster than dense products
#: (``benchmarks/sae_real.py --shares``).
MOST_LISTED = 0.2

#: Rows and latents that are multiplied at once: a tile of float32 has 4 MiB.
_BLOCK = 256
_TILE = 4096
#: Dense products count with other rounding: they are believed where they say so by this factor.
_CLEARLY = 1.01

_F = np.float32


@final
class ListedGradients(Gradients):
    """One dense product, then sums over what fires."""

    def __init__(
        self, architecture: Architecture, width: int, dimension: int, batch_size: int
    ) -> None:
        self._architecture = architecture
        self._kind = KINDS[str(architecture.fused)]
        self._k = architecture.k if isinstance(architecture, TopK) else 0
        size = ROWS * (self._k or min(8, width))
        self._lists = _Lists(batch_size, dimension, size, growing=not self._k)
        self._dead: _Lists | None = None
        self._zeros = np.zeros(width, np.float32)
        self._dense = False

    def __call__(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        """Write the gradients into ``out``."""
        if isinstance(self._architecture, TopK):
            return self._topk(self._architecture, weights, x, context, out)
        return self._entrywise(weights, x, context, out)

    def _topk(
        self, a: TopK, weights: Weights, x: torch.Tensor, context: Context, out: Weights
    ) -> Step:
        own, grads = [*weights.named().values()], [*out.named().values()]
        lists, kind = self._lists, self._kind
        lists.fill(kind, a.k, own, self._zeros, x, x.numpy(), 1.0)
        _, fired = lists.sums(kind, own, self._zeros, np.zeros(4, np.float32), x, grads)
        loss = lists.finish(out.decoder_bias)
        if a.auxk and a.auxk_weight and context.dead is not None and bool(context.dead.any()):
            loss += self._auxk(a, own, x, torch.nonzero(context.dead).flatten(), grads)
        return Step(loss, torch.from_numpy(fired))

    def _auxk(
        self, a: TopK, own: list[torch.Tensor], x: torch.Tensor, dead: torch.Tensor,
        out: list[torch.Tensor],
    ) -> float:  # fmt: skip
        """Add the gradients of the dead latents' loss on what is left; return the loss."""
        k, (rows, d), weight = min(a.auxk, len(dead)), x.shape, _F(a.auxk_weight)
        if self._dead is None or self._dead.room != ROWS * k:
            self._dead = _Lists(rows, d, ROWS * k, growing=False)
        left = self._lists.error * _F(-0.5 * rows)
        some = [*(v[dead] for v in own[:3]), torch.zeros_like(own[3])]
        new = [torch.empty_like(v) for v in some]
        self._dead.fill(self._kind, k, some, self._zeros, x, left, float(weight))
        numbers = np.zeros(4, np.float32)
        self._dead.sums(self._kind, some, np.zeros(len(dead), np.float32), numbers, x, new)
        for whole, part in zip(out[:3], new[:3], strict=True):
            whole.index_add_(0, dead, part)
        return self._dead.finish(new[3]) / float(weight)

    def _entrywise(self, weights: Weights, x: torch.Tensor, context: Context, out: Weights) -> Step:
        most = MOST_LISTED * x.shape[0] * weights.width
        numbers = numbers_of(self._architecture, context)
        dense = (self._architecture, weights, x, context, out, block_of(x.device, len(x)))
        if self._dense:
            step, count = entrywise(*dense, 0.5 * float(numbers[1]), counting=True)
            if count > _CLEARLY * most:
                return step
        own, grads = [*weights.named().values()], [*out.named().values()]
        threshold, least = self._zeros, self._zeros
        if "threshold" in weights.extra:
            threshold = weights.extra["threshold"].numpy()
            least = threshold - _F(0.5) * numbers[1]
        self._dense = not self._lists.fill(self._kind, 0, own, least, x, x.numpy(), 1.0, most)
        if self._dense:
            return entrywise(*dense)[0]
        sums, fired = self._lists.sums(self._kind, own, threshold, numbers, x, grads)
        loss = self._lists.finish(out.decoder_bias) + float(sums.sum())
        return Step(loss, torch.from_numpy(fired))


@final
class _Lists:
    """Lists of a batch, and what is left of its inputs."""

    def __init__(self, batch_size: int, dimension: int, room: int, growing: bool) -> None:
        self._blocks = -(-batch_size // ROWS)
        self._least, self._growing = room, growing
        self._listed = room_for(self._blocks, room)
        self._counts = np.zeros((self._blocks, 2), np.int64)
        self._empty = np.zeros(batch_size, np.bool_)
        self.error = np.empty((batch_size, dimension), np.float32)
        self._columns = np.empty((self._blocks, dimension))
        self._squares = np.empty(self._blocks)
        self._buffers: list[torch.Tensor] = []
        self._screens: list[torch.Tensor] = []
        self._halves = torch.empty(0, dtype=torch.bfloat16)

    @property
    def room(self) -> int:
        """Entries that a list can hold."""
        return int(self._listed[0].shape[1])

    def fill(
        self, kind: int, k: int, own: list[torch.Tensor], least: Any, x: torch.Tensor, target: Any,
        weight: float, most: float = float("inf"),
    ) -> bool:  # fmt: skip
        """List what fires and compute ``error``; or return False, where there is too much."""
        (rows, d), n = x.shape, len(own[0])
        blocks = -(-rows // _BLOCK)
        if self._growing and 4 * int(self._counts[:, 1].max()) < self.room:
            self._make_room(2 * int(self._counts[:, 1].max()))
        work = float(rows) * n * d
        screened = kind == KINDS["topk"] and _screening.pays(rows, k, own[0])
        if screened:
            share(self._screen, blocks, work, k, own, x, *self._rounded(own[0]))
        while not screened:
            share(self._multiply, blocks, work, kind, k, own, least, x)
            found = self._counts[:, 1]
            if int(found.sum()) > most:
                return False
            if int(found.max()) <= self.room:
                break
            self._make_room(2 * int(found.max()))
        entries = float(self._counts[:, 0].sum())
        share(
            _listing.decode, self._blocks, entries * d, kind, own[2].numpy(), own[3].numpy(),
            least if kind != KINDS["jumprelu"] else own[4].numpy(), target,
            _F(2.0 * weight / rows), *self._listed, self._counts, self.error, self._columns,
            self._squares,
        )  # fmt: skip
        return True

    def sums(
        self, kind: int, own: list[torch.Tensor], threshold: Any, numbers: Any, x: torch.Tensor,
        out: list[torch.Tensor],
    ) -> tuple[Any, Any]:  # fmt: skip
        """Write gradients of latents; the penalty of each, and whether it fired."""
        n, d = own[0].shape
        penalty, fired = np.zeros(n), np.zeros(n, np.bool_)
        grads = [v.numpy() for v in out]
        start, order = by_latent(self._listed[0], self._counts, n)
        share(
            sum_up, n, float(3 * order.size * d + n * d), kind, own[2].numpy(), threshold, numbers,
            x.numpy(), self.error, self._empty, *self._listed, start, order, *grads[:3],
            grads[4] if len(grads) > 4 else threshold, penalty, fired,
        )  # fmt: skip
        return penalty, fired

    def finish(self, decoder_bias: torch.Tensor) -> float:
        """Write the gradient of the decoder bias; the loss as if its weight were 1, squared."""
        decoder_bias.numpy()[:] = self._columns.sum(0)
        return float(0.25 * len(self.error) * self._squares.sum())

    def _make_room(self, size: int) -> None:
        self._listed = room_for(self._blocks, max(size, self._least))

    def _rounded(self, encoder: torch.Tensor) -> tuple[torch.Tensor, Any, float]:
        """Round an encoder to bfloat16; and the norms that errors of products are bounded by."""
        n, d = encoder.shape
        if self._halves.numel() < n * d:
            self._halves = torch.empty(n * d, dtype=torch.bfloat16)
        halves = self._halves[: n * d].view(n, d)
        kept, lost = np.empty(n, np.float32), np.empty(n, np.float32)
        share(
            _screening.to_bfloat16, n, float(n * d), encoder.numpy(), _bits(halves), kept, lost
        )  # fmt: skip
        return halves, *_screening.of_latents(kept, lost, d)

    def _screen(
        self, first: int, last: int, k: int, own: list[torch.Tensor], x: torch.Tensor,
        halves: torch.Tensor, v: Any, most: float,
    ) -> None:  # fmt: skip
        """List the k largest of blocks of rows, by products in bfloat16 first."""
        encoder, bias, n = own[0].numpy(), own[1].numpy(), len(own[0])
        tiles = -(-n // _TILE)
        cuts = [n * i // tiles for i in range(tiles + 1)]  # no tile is a sliver
        need = _BLOCK * -(-n // tiles)
        try:
            buffer = self._screens.pop()
        except IndexError:
            buffer = torch.empty(need, dtype=torch.bfloat16)
        if buffer.numel() < need:
            buffer = torch.empty(need, dtype=torch.bfloat16)
        some = torch.zeros(_BLOCK, x.shape[1], dtype=torch.bfloat16)
        kept, lost = np.empty((2, _BLOCK), np.float32)
        with one_thread():
            for block in range(first, last):
                rows = x[block * _BLOCK : (block + 1) * _BLOCK].numpy()
                _screening.to_bfloat16(0, len(rows), rows, _bits(some), kept, lost)
                a = _screening.of_rows(kept[: len(rows)], lost[: len(rows)], x.shape[1], most)
                for low, high in pairwise(cuts):
                    z = buffer[: _BLOCK * (high - low)].view(_BLOCK, high - low)
                    torch.mm(some, halves[low:high].T, out=z)
                    _screening.keep_screened(
                        k, low, block * (_BLOCK // ROWS), _bits(z)[: len(rows)], a, v, bias, rows,
                        encoder, *self._listed, self._counts,
                    )  # fmt: skip
        self._screens.append(buffer)

    def _multiply(
        self, first: int, last: int, kind: int, k: int, own: list[torch.Tensor], least: Any,
        x: torch.Tensor,
    ) -> None:  # fmt: skip
        """Pre-activations of blocks of rows, and what of them is listed."""
        encoder, bias, n = own[0], own[1].numpy(), len(own[0])
        need = min(_BLOCK, len(x)) * min(_TILE, n)
        try:
            buffer = self._buffers.pop()
        except IndexError:
            buffer = torch.empty(need)
        if buffer.numel() < need:  # there are more dead latents now
            buffer = torch.empty(need)
        most = np.empty(_TILE // _listing.STEPS, np.float32)
        with one_thread():
            for block in range(first, last):
                rows = x[block * _BLOCK : (block + 1) * _BLOCK]
                for low in range(0, n, _TILE):
                    some = encoder[low : low + _TILE]
                    z = buffer[: len(rows) * len(some)].view(len(rows), len(some))
                    torch.mm(rows, some.T, out=z)
                    at = low, block * (_BLOCK // ROWS)
                    rest = (*at, z.numpy(), bias, *self._listed, self._counts)
                    if kind == KINDS["topk"]:
                        _listing.keep_largest(k, *rest)
                    else:
                        _listing.keep_above(least, most, *rest)
        self._buffers.append(buffer)


def _bits(halves: torch.Tensor) -> Any:
    """Bits of numbers in bfloat16, which NumPy does not have."""
    return halves.view(torch.int16).numpy().view(np.uint16)
