"""Screening in bfloat16: its bound holds and is tight, and what is kept does not depend on it."""

from itertools import product

import numpy as np
import pytest
import torch
from _kernel_checks import (
    FUSED,
    check_against_autograd,
    check_gradients,
    random_sae,
    seeded,
    smooth_rows,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scaling_theory.sae.architectures import Context, TopK
from scaling_theory.sae.kernels import _screening, gradients_for, listed

needs_bfloat16 = pytest.mark.skipif(
    not _screening._fast(), reason="this processor does not multiply bfloat16"
)


def rounded(rows):
    """Rows in bfloat16, and both norms."""
    halves = np.empty(rows.shape, np.uint16)
    kept, lost = np.empty((2, len(rows)), np.float32)
    _screening.to_bfloat16(0, len(rows), rows, halves, kept, lost)
    return halves, kept, lost


def bounds(x, encoder):
    """Factors of the bound: of rows and of latents."""
    v, most = _screening.of_latents(*rounded(encoder)[1:], x.shape[1])
    return _screening.of_rows(*rounded(x)[1:], x.shape[1], most), v


def bits(z):
    """Of the nearest numbers in bfloat16."""
    return torch.from_numpy(z).bfloat16().view(torch.int16).numpy().view(np.uint16)


def kept(k, z, a, v, bias, x, encoder, tile):
    """What a row keeps, latents and values in their order; and how many were computed."""
    rows, n = z.shape
    blocks = -(-rows // 32)
    places = np.empty((blocks, 32 * k), np.int32)
    values, counts = np.empty((blocks, 32 * k), np.float32), np.zeros((blocks, 2), np.int64)
    computed = sum(
        _screening.keep_screened(
            k, low, 0, np.ascontiguousarray(z[:, low : low + tile]), a, v, bias, x, encoder,
            places, values, counts,
        )
        for low in range(0, n, tile)
    )  # fmt: skip
    value = values.reshape(-1)[: rows * k].reshape(rows, k)
    place = places.reshape(-1)[: rows * k].reshape(rows, k)
    assert (counts[: rows // 32] == 32 * k).all()
    np.testing.assert_array_equal(place >= 0, value > 0.0)
    assert set((place % 32 - np.arange(rows)[:, None] % 32)[place >= 0]) <= {0}
    order = np.argsort(place, 1)
    latent = np.where(place >= 0, place // 32, -1)
    return np.take_along_axis(latent, order, 1), np.take_along_axis(value, order, 1), computed


def normal(*shape, seed):
    return torch.randn(*shape, generator=seeded(seed)).numpy()


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 5), d=st.integers(1, 70), power=st.integers(-44, 17),
       seed=st.integers(0, 2**20))  # fmt: skip
def test_rounding_is_that_of_pytorch(rows, d, power, seed):
    """Denormals and ties to even as well."""
    x = (normal(rows, d, seed=seed) * 10.0**power).astype(np.float32)
    x.view(np.uint32)[0, 0] = 0x3F808000 + 0x10000 * (seed % 2)  # half way between two
    halves, size, lost = rounded(x)
    np.testing.assert_array_equal(halves, bits(x))
    back = torch.from_numpy(x).bfloat16().double().numpy()
    for found, exact in ((size, back), (lost, x - back)):
        norm = np.sqrt((exact**2).sum(1))
        # squares below the least float32 are lost: the bound's smallest term is for them
        np.testing.assert_allclose(found, norm, rtol=d * 2.0**-23, atol=_screening._TINY * d**0.5)


@needs_bfloat16
@settings(max_examples=80, deadline=None)
@given(
    d=st.integers(1, 800),
    n=st.sampled_from([16, 70, 200]),
    powers=st.tuples(st.integers(-44, 18), st.integers(-44, 18)),
    spread=st.sampled_from([0.0, 3.0, 12.0]),
    sign=st.booleans(),
    seed=st.integers(0, 2**20),
)
@example(384, 70, (0, 0), 0.0, False, 0)
@example(384, 70, (-20, -21), 0.0, False, 0)
@example(384, 70, (-38, 0), 0.0, True, 0)
@example(1, 16, (-44, 18), 0.0, False, 0)
def test_no_product_is_further_off_than_the_bound(d, n, powers, spread, sign, seed):
    """Of sums with one sign and both, of numbers of any size, with what is below 2^-126."""
    x, w = normal(40, d, seed=seed), normal(n, d, seed=seed + 1)
    if sign:
        x, w = abs(x), abs(w)
    with np.errstate(over="ignore", under="ignore"):
        x = (x * 10.0 ** (powers[0] + spread * normal(40, d, seed=seed + 2))).astype(np.float32)
        w = (w * 10.0 ** (powers[1] + spread * normal(n, 1, seed=seed + 3))).astype(np.float32)
    a, v = bounds(x, w)
    z = torch.from_numpy(x).bfloat16() @ torch.from_numpy(w).bfloat16().T
    screened = np.isfinite(a)
    exact, found = x[screened].astype(np.float64) @ w.astype(np.float64).T, z.double().numpy()
    found = found[screened]
    e = a[screened, None].astype(np.float64) * v + 2.0**-8 * abs(found)
    assert (abs(found - exact) <= e).all()
    if max(powers) < 10 and spread == 0.0:
        assert screened.all()


@needs_bfloat16
def test_the_bound_is_reached():
    """By numbers of which rounding takes ``LOST``, and a result half way between two."""
    x = np.full((32, 257), 1.0 + _screening.LOST, np.float32)
    w = np.full((64, 257), 1.0 + _screening.LOST, np.float32)
    a, v = bounds(x, w)
    found = (torch.from_numpy(x).bfloat16() @ torch.from_numpy(w).bfloat16().T).double().numpy()
    assert (found == 256.0).all()
    off = 257.0 * (1.0 + _screening.LOST) ** 2 - found
    e = a[:, None].astype(np.float64) * v + 2.0**-8 * abs(found)
    assert (off <= e).all()
    assert (e <= 1.02 * off).all()


def off_by_all_it_may_be(x, encoder, k, worst, seed):
    """Products as far off as the bound allows: up or down, or so that the largest look small."""
    a, v = bounds(x, encoder)
    z = x.astype(np.float64) @ encoder.astype(np.float64).T
    up = np.where(normal(*z.shape, seed=seed) > 0.0, 1.0, -1.0)
    if worst:
        up = np.where(z >= np.sort(z, 1)[:, -k][:, None], -1.0, 1.0)
    # what float32 adds up to is within the bound too, which leaves a little less for the product
    return a, v, bits((z + 0.9 * up * a[:, None] * v).astype(np.float32))


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(1, 700),
    d=st.integers(1, 40),
    k=st.integers(1, 70),
    tile=st.sampled_from([64, 256, 700]),
    shift=st.sampled_from([-1.0, 0.0, 1.0]),
    spread=st.sampled_from([0.0, 1.0]),
    power=st.sampled_from([-30, -12, 0, 9]),
    near=st.booleans(),
    worst=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_what_is_kept_does_not_depend_on_the_products(
    n, d, k, tile, shift, spread, power, near, worst, seed
):
    """Bit for bit what is kept when all is computed, however the products are off."""
    k = min(k, n)
    x, encoder = normal(40, d, seed=seed), normal(n, d, seed=seed + 1)
    if near:  # latents that differ by less than bfloat16 tells apart
        encoder = encoder[:1] + 1e-3 * encoder
    encoder = encoder * np.exp(spread * normal(n, 1, seed=seed + 2)) * 10.0**power
    x[5], encoder = 0.0, encoder.astype(np.float32)
    bias = (shift * 10.0**power * abs(normal(n, seed=seed + 3))).astype(np.float32)
    a, v, z = off_by_all_it_may_be(x, encoder, k, worst, seed + 4)
    screened = kept(k, z, a, v, bias, x, encoder, tile)
    whole = kept(k, z, np.full_like(a, np.inf), v, bias, x, encoder, tile)
    np.testing.assert_array_equal(screened[0], whole[0])
    np.testing.assert_array_equal(screened[1], whole[1])
    assert screened[2] <= whole[2]


def test_few_are_computed_again():
    """Where latents are unlike, hardly more than are kept; where all are alike, all of them."""
    x, unlike = normal(64, 384, seed=1), normal(2048, 384, seed=2)
    bias = np.zeros(2048, np.float32)
    alike = np.repeat(unlike[:1], 2048, 0)
    for encoder, least, most in ((unlike, 16, 32), (alike, 2048, 2048)):
        x = abs(x) * np.sign(unlike[0]) if least == 2048 else x
        a, v = bounds(x, encoder)
        computed = kept(16, bits(x @ encoder.T), a, v, bias, x, encoder, 4096)[2]
        assert least <= computed / 64 <= most


def screening(patch, wanted=True):
    patch.setattr(_screening, "pays", lambda *_: wanted)


@needs_bfloat16
@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 60) | st.sampled_from([255, 300, 700]),
    d=st.integers(1, 70),
    rows=st.integers(1, 100) | st.sampled_from([256, 300]),
    tile=st.sampled_from([40, 256, 2048]),
    zero_rows=st.booleans(),
    dead=st.sampled_from(["some", "none", "all"]),
    seed=st.integers(0, 2**20),
)
@example(700, 33, 300, 256, True, "some", 1)
@example(40, 3, 257, 40, False, "some", 2)
def test_gradients_are_those_of_autograd(n, d, rows, tile, zero_rows, dead, seed):
    with pytest.MonkeyPatch.context() as patch:
        screening(patch)
        patch.setattr(listed, "_TILE", tile)
        check_gradients("listed", "topk", n, d, rows, 1.0, seed, zero_rows, dead)


@needs_bfloat16
@pytest.mark.parametrize(("row", "latent"), [(1e9, 1.0), (1.0, 1e9), (1e-9, 1e-9), (0.0, 1.0)])
def test_one_huge_or_tiny_row_or_latent(row, latent, monkeypatch):
    """Against what float32 alone gives: what is kept is the same, and so is all else."""
    architecture, found = TopK(5), []
    weights = random_sae(architecture, 300, 40)
    context = Context(1.0, torch.zeros(300, dtype=torch.bool))
    x = smooth_rows(architecture, weights, 70, context.dead, 3)
    x[7] *= row
    weights.encoder[11] *= latent
    for wanted in (True, False):
        screening(monkeypatch, wanted)
        out = weights.like()
        step = gradients_for("listed", architecture, 300, 40, 70)(weights, x, context, out)
        found.append((step, out))
    (one, first), (two, second) = found
    assert torch.equal(one.fired, two.fired)
    assert one.loss == pytest.approx(two.loss, rel=1e-5)
    for name, value in first.named().items():
        other = second.named()[name]
        assert float((value - other).norm()) <= 1e-5 * float(other.norm()), name


@needs_bfloat16
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(
            ("x", "encoder", "encoder_bias", "decoder", "decoder_bias"),
            (float("nan"), float("inf"), -float("inf")),
        ),
        *product(("x", "encoder"), (3.4e38, -3.4e38, 1e25)),
    ],
)
def test_what_is_not_finite_is_as_without_screening(name, value, monkeypatch):
    """Also what is finite, but not in bfloat16 or squared."""
    weights, x = random_sae(FUSED["topk"], 300, 20), torch.randn(70, 20, generator=seeded(3))
    weights.encoder_bias[0] = 50.0  # the latent of the decoder row fires
    {**weights.named(), "x": x}[name].view(-1)[3] = value
    found = []
    for wanted in (True, False):
        screening(monkeypatch, wanted)
        gradients = gradients_for("listed", TopK(3), 300, 20, 70)
        found.append(gradients(weights, x, Context(), weights.like()))
    one, two = found
    if name != "x":  # for which infinities tie
        assert torch.equal(one.fired, two.fired)
    assert np.isfinite(one.loss) == np.isfinite(two.loss)
    if np.isfinite(two.loss):
        assert one.loss == pytest.approx(two.loss, rel=1e-5)


@needs_bfloat16
def test_threads_and_use_before_change_nothing(set_threads, monkeypatch):
    """Bit for bit, with dead latents that grow and shrink in number."""
    screening(monkeypatch)
    architecture = TopK(3, auxk=8, auxk_weight=0.5)
    weights, x = random_sae(architecture, 301, 40), torch.randn(1000, 40, generator=seeded(3))
    used = gradients_for("listed", architecture, 301, 40, 1000)
    for dead in (20, 301, 9):
        context = Context(1.0, torch.arange(301) < dead)
        found = []
        for count in (1, 2, 3):
            set_threads(count)
            fresh = gradients_for("listed", architecture, 301, 40, 1000)
            for gradients in (fresh, used):
                out = weights.like()
                found.append((gradients(weights, x, context, out).loss, out.flat))
        for loss, flat in found[1:]:
            assert loss == found[0][0]
            assert torch.equal(flat, found[0][1])


def test_where_it_pays(monkeypatch):
    encoder = torch.zeros(3072, 384)
    monkeypatch.setattr(_screening, "_fast", lambda: True)
    if not torch.backends.mkldnn.is_available():
        pytest.skip("no oneDNN")
    assert _screening.pays(1024, 32, encoder)
    assert not _screening.pays(1024, 192, encoder)  # few for each that is kept
    assert not _screening.pays(1024, 32, encoder[:, :8])  # little to multiply
    assert not _screening.pays(8, 32, encoder)  # the encoder is rounded for few rows
    monkeypatch.setattr(_screening, "_fast", lambda: False)
    assert not _screening.pays(1024, 32, encoder)


@needs_bfloat16
def test_wide_ones_are_screened(monkeypatch):
    """At the sizes of real activations, unasked: gradients are those of autograd."""
    weights, calls, original = random_sae(TopK(32), 1024, 256), [], _screening.keep_screened
    monkeypatch.setattr(
        _screening, "keep_screened", lambda *a: calls.append(original(*a)) or calls[-1]
    )
    x = smooth_rows(TopK(32), weights, 300, torch.zeros(1024, dtype=torch.bool), 5)
    check_against_autograd("listed", TopK(32), weights, x, Context())
    assert 32 * 300 <= sum(calls) <= 64 * 300
