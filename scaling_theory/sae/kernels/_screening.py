# mypy: disable-error-code="assignment"
"""Screening of latents by products in bfloat16: which may be among the k largest of a row.

Some processors multiply bfloat16 more than twice as fast as float32. Such products decide nothing:
they come with a bound of their error, what may be among the k largest by that bound is computed
again in float32, and that decides. What is kept does not depend on the products.

With x' and w' an input and a latent as rounded, dx and dw what rounding took from them, and z' the
product that comes back, itself rounded to 8 bits,

    |z' - x.w| <= 2^-8 |z'| + |dx| |w| + |x'| |dw| + d 2^-23 |x'| |w'|:

rounding of the result; Cauchy and Schwarz on x.w - x'.w' = dx.w + x'.dw; and a sum of d exact
products in float32, each added with at most two roundings. All norms are those of what rounding
did take, about 0.42 of the most that it can, 2^-8. The product in float32 that decides is off by
at most d 2^-23 |x| |w| too. With v = max(|w'|, |dw| / ``LOST``), which is |w'| of nearly every
latent for ``LOST`` = 0.43 2^-8,

    e = 2^-8 |z'| + v ((1 + LOST) |dx| + LOST |x'| + 2 d 2^-23 (1 + LOST) (|x'| + |dx|))

bounds the difference of both. Processors may take numbers below 2^-126 for 0 when they
multiply: that adds at most 2^-126 (sqrt(d) (|x| + |w|) + 3 d), for which both norms are
raised by ``_TINY`` sqrt(d). Where a product might overflow, nothing of that row is screened.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numba
import numpy as np
import torch

from scaling_theory.sae.kernels._listing import STEPS, begin, reached, take
from scaling_theory.sae.kernels.entries import ROWS

#: Share of a latent's norm that rounding takes and the bound reckons with.
LOST: Final = 0.43 * 2.0**-8
_TINY: Final = 2.0**-56
#: Rounding of a result, with what is lost in adding the bound up.
_ROUNDED: Final = np.float32(2.0**-8 * (1.0 + 2.0**-10))
#: Norms whose product is below this do not overflow in any sum.
_MOST: Final = 1e36

#: Where screening pays: at least so many latents for each that is kept, numbers in the encoder, and
#: rows of a batch for which the encoder is rounded.
_LATENTS_EACH = 32
_NUMBERS = 2**18
_BATCH = 128

_F = np.float32
_exact = numba.njit(nogil=True, cache=True, error_model="numpy")
_fused = numba.njit(
    nogil=True, fastmath={"contract", "reassoc", "nsz"}, cache=True, error_model="numpy"
)


@cache
def _fast() -> bool:
    """Whether the processor multiplies bfloat16, by what PyTorch says of it."""
    has = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    says = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # older versions do not say
    return bool(has) and says is not None and bool(says())


def pays(rows: int, k: int, encoder: torch.Tensor) -> bool:
    """Whether screening is faster than products in float32."""
    large = encoder.numel() >= _NUMBERS and rows >= _BATCH and len(encoder) >= _LATENTS_EACH * k
    return large and _fast() and bool(torch.backends.mkldnn.enabled)


def of_latents(kept: Any, lost: Any, dimension: int) -> tuple[Any, float]:
    """Return v of each latent, and a norm for which rows do not overflow."""
    v = np.maximum(kept, lost * _F(1.0 / LOST)) + _F(_TINY * dimension**0.5)
    v *= _F(1.0 + dimension * 2.0**-23)
    most = float(v.max())
    return v, (_MOST / most if np.isfinite(most) else -1.0)


def of_rows(kept: Any, lost: Any, dimension: int, most: float) -> Any:
    """Return what v is multiplied with for each row; infinite where nothing can be screened."""
    kept, lost = kept.astype(np.float64), lost.astype(np.float64)
    sums = 2.0 * dimension * 2.0**-23
    a = (1.0 + LOST) * (1.0 + sums) * lost
    a += (LOST + sums * (1.0 + LOST)) * (kept + _TINY * dimension**0.5)
    a *= 1.0 + dimension * 2.0**-23 + 2.0**-20
    return np.where(kept + lost < most, a, np.inf).astype(np.float32)


@_fused
def to_bfloat16(first: int, last: int, rows: Any, halves: Any, kept: Any, lost: Any) -> None:
    """Round rows to nearest, ties to even; the norms of what is kept and of what is lost."""
    d = rows.shape[1]
    bits = np.empty(d, np.uint32)
    rounded = bits.view(np.float32)
    for r in range(first, last):
        row, half, given = rows[r], halves[r], rows[r].view(np.uint32)
        for i in range(d):
            b = given[i]
            b = (b + np.uint32(0x7FFF) + ((b >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
            half[i] = np.uint16(b)
            bits[i] = b << np.uint32(16)
        square, missed = _F(0.0), _F(0.0)
        for i in range(d):
            e = row[i] - rounded[i]
            square += rounded[i] * rounded[i]
            missed += e * e
        kept[r], lost[r] = np.sqrt(square), np.sqrt(missed)


@_exact
def keep_screened(
    k: int, low: int, first: int, z: Any, a: Any, v: Any, bias: Any, x: Any, encoder: Any,
    places: Any, values: Any, counts: Any,
) -> int:  # fmt: skip
    """Do what ``keep_largest`` does, of products in bfloat16; return how many were computed again.

    ``z`` holds the bits of a tile, ``a`` and ``x`` are of its rows, ``v``, ``bias`` and ``encoder``
    of all latents.
    """
    latents, computed = z.shape[1], 0
    groups = -(-latents // STEPS)
    bits = np.zeros(groups * STEPS, np.uint32)
    least, most = np.empty(bits.size, np.float32), np.empty(bits.size, np.float32)
    of_least, of_most = np.empty(groups, np.float32), np.empty(groups, np.float32)
    chosen, found = np.empty(groups + 1, np.int64), np.empty(bits.size + 1, np.int64)
    reach, exact = np.empty(found.size, np.float32), np.empty(found.size, np.float32)
    b, w = np.zeros(bits.size, np.float32), np.zeros(bits.size, np.float32)
    b[:latents], w[:latents] = bias[low : low + latents], v[low : low + latents]
    b[latents:] = -np.inf  # what is there only for whole groups is never kept
    for r in range(z.shape[0]):
        c, at, count, few = first + r // ROWS, r % ROWS, 0, 0
        value, place = begin(k, c, at, low, places, values, counts)
        bound = _F(-np.inf)
        if np.isfinite(a[r]):
            _bounds(z[r], a[r], w, b, bits, least, most, of_least, of_most)
            bound = reached(of_least if 4 * k <= groups else least, value[0], k)
            some = 0
            for g in range(groups):  # branches that nobody can foresee would cost more than stores
                chosen[some] = g
                some += np.int64(of_most[g] >= bound)
            for i in range(some):
                for j in range(chosen[i], bits.size, groups):
                    found[count], reach[count] = j, least[j]
                    count += np.int64(most[j] >= bound)
            bound = reached(reach[:count], bound, k)
        else:
            count = latents
            most[:] = np.inf
            for j in range(latents):
                found[j] = j
        for i in range(count):
            j = found[i]
            if most[j] >= bound and most[j] > value[0]:
                found[few], exact[few] = j, _product(x[r], encoder[low + j]) + b[j]
                few += 1
        computed += few
        take(k, low, at, found[:few], exact[:few], value, place)
    return computed


@_exact
def _bounds(
    row: Any, a: Any, v: Any, bias: Any, bits: Any, least: Any, most: Any, of_least: Any,
    of_most: Any,
) -> None:  # fmt: skip
    """Least and most that each pre-activation can be, and the largest of each group.

    Of m groups each is every m-th latent, so that all maxima are taken at once.
    """
    for j in range(row.size):
        bits[j] = np.uint32(row[j]) << np.uint32(16)
    z, size = bits.view(np.float32), of_least.size
    of_least[:] = of_most[:] = _F(-np.inf)
    for low in range(0, bits.size, size):
        # slices begin at 0: an index that might be negative keeps loops from vectorising
        zs, vs, bs = z[low : low + size], v[low : low + size], bias[low : low + size]
        ls, ms = least[low : low + size], most[low : low + size]
        for g in range(size):
            e = a * vs[g] + _ROUNDED * abs(zs[g])
            s, t = (zs[g] - e) + bs[g], (zs[g] + e) + bs[g]
            ls[g], ms[g] = s, t
            of_least[g] = s if s > of_least[g] else of_least[g]
            of_most[g] = t if t > of_most[g] else of_most[g]


@_fused
def _product(x: Any, w: Any) -> Any:
    s = _F(0.0)
    for i in range(x.size):
        s += x[i] * w[i]
    return s
