"""One text for one specification: what its hash, its random numbers and its row rest on."""

import json
import math
from dataclasses import fields, make_dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scaling_theory.sae import spec as spec_module
from scaling_theory.sae.architectures import JumpReLU, ReLU, TanhJumpReLU, TopK
from scaling_theory.sae.canonical import canonical, digest, seed_of, text_of
from scaling_theory.sae.manifolds import Circle, Points, Shell, Sphere
from scaling_theory.sae.remedies import ResampleDead, ResampleDuplicates
from scaling_theory.sae.spec import RunSpec

PLAIN = RunSpec(Sphere(4), ReLU(), 16)
CHANGED = {
    "data": Sphere(5),
    "architecture": ReLU(0.2),
    "width": 17,
    "seed": 1,
    "steps": 12_001,
    "batch_size": 2049,
    "learning_rate": 1.1e-3,
    "decoder_norm": 0.1,
    "encoder_scale": 0.5,
    "encoder_bias": -0.1,
    "warmup": 0.1,
    "decay": 0.1,
    "penalty_warmup": 0.05,
    "clip": 1.0,
    "unit_norm": True,
    "betas": (0.9, 0.99),
    "epsilon": 1e-7,
    "remedies": (ResampleDead(),),
    "dead_after": 100,
    "evaluation": 1000,
    "decoder_bias": "median",
    "history": 8,
}
OPTIONS = {f.name: f.default for f in fields(RunSpec) if f.name in spec_module._OPTIONS}


# ---- text and key ---------------------------------------------------------------------------


def test_text_and_key_of_one_specification():
    """Golden: stores hold rows under these keys. They change only together with the version."""
    assert PLAIN.text == (
        '{"spec":{"architecture":{"kind":"ReLU","l1":0.1},"batch_size":2048,"data":{"dimension":4,'
        '"kind":"Sphere","radius":1.0},"kind":"RunSpec","learning_rate":0.001,"seed":0,'
        '"steps":12000,"width":16},"version":1}'
    )
    assert PLAIN.key == "13c4e7e2bfd916db"


def test_key_of_a_specification_with_everything():
    spec = RunSpec(
        Points([[1.0, 0.0], [0.0, 2.0]]), TopK(2, auxk=1), 8, 3, 100, 32, 0.01,
        clip=1.0, betas=(0.5, 0.75),
        remedies=(ResampleDead(10, 0.5), ResampleDuplicates(20, 1.0, 0.75, True)),
    )  # fmt: skip
    assert spec.text == (
        '{"spec":{"architecture":{"auxk":1,"auxk_weight":0.03125,"k":2,"kind":"TopK"},'
        '"batch_size":32,"betas":[0.5,0.75],"clip":1.0,"data":{"dimension":2,"kind":"Points",'
        '"positions":[[1.0,0.0],[0.0,2.0]]},"kind":"RunSpec","learning_rate":0.01,'
        '"remedies":[{"every":10,"kind":"ResampleDead","until":0.5},{"cosine":0.75,"encoders":true,'
        '"every":20,"kind":"ResampleDuplicates","until":1.0}],"seed":3,"steps":100,"width":8},'
        '"version":1}'
    )
    assert spec.key == "a671239b843d8231"


def test_random_streams_are_those_of_the_first_version():
    """Golden: rows in stores were drawn from these seeds."""
    assert PLAIN.generator("batches", 0).initial_seed() == 895304796951420421
    assert PLAIN.generator("weights").initial_seed() == 2685917028724611466


@pytest.mark.parametrize("name", OPTIONS)
def test_options_at_their_default_are_not_in_the_text(name):
    """So that an option that is added later changes no hash."""
    assert replace(PLAIN, **{name: OPTIONS[name]}).text == PLAIN.text
    assert f'"{name}"' not in PLAIN.text
    assert f'"{name}"' in replace(PLAIN, **{name: CHANGED[name]}).text


def test_what_is_left_out_are_exactly_the_fields_with_defaults_after_the_learning_rate():
    names = [f.name for f in fields(RunSpec)]
    assert list(OPTIONS) == names[names.index("learning_rate") + 1 :]
    assert len(OPTIONS) == len(spec_module._OPTIONS)


@pytest.mark.parametrize("name", CHANGED)
def test_any_changed_field_changes_the_key(name):
    changed = replace(PLAIN, **{name: CHANGED[name]})
    assert changed.key != PLAIN.key
    assert changed.generator("batches", 0).initial_seed() != (
        PLAIN.generator("batches", 0).initial_seed()
    )


def test_all_fields_are_changed_above_and_all_keys_differ():
    assert set(CHANGED) == {f.name for f in fields(RunSpec)}
    keys = {replace(PLAIN, **{name: value}).key for name, value in CHANGED.items()}
    assert len(keys) == len(CHANGED)


def test_any_changed_argument_of_data_or_architecture_changes_the_key():
    data = [
        Sphere(2), Circle(), Sphere(2, 2.0), Circle(2.0), Shell(2), Shell(2, 0.1), Shell(2, 0.1, 3),
        Shell(2, law="volume"), Points(), Points([[1.0], [2.0]]), Points([[2.0], [1.0]]),
        Points([[1.0, 2.0]]),
    ]  # fmt: skip
    architectures = [
        ReLU(), ReLU(0.2), TopK(1), TopK(2), TopK(1, 1), TopK(1, 1, 1.0), JumpReLU(0.1),
        JumpReLU(0.2), JumpReLU(0.1, 0.1), JumpReLU(0.1, 0.05, 0.1), TanhJumpReLU(),
        *(TanhJumpReLU(**{f.name: 0.75}) for f in fields(TanhJumpReLU)),
    ]  # fmt: skip
    keys = {RunSpec(d, a, 8).key for d in data for a in architectures}
    assert len(keys) == len(data) * len(architectures)


def test_equal_values_of_other_types_have_the_same_key():
    same = RunSpec(
        Sphere(np.int64(4), 1), ReLU(np.float64(0.1)), 16.0, np.int32(0), 12_000.0, np.int64(2048),
        np.float64(1e-3), encoder_scale=1, encoder_bias=0, warmup=0, betas=[0.9, np.float64(0.999)],
        remedies=[], evaluation=np.int64(65_536),
    )  # fmt: skip
    assert same == PLAIN
    assert same.text == PLAIN.text
    assert isinstance(same.width, int)
    assert isinstance(same.encoder_scale, float)
    assert same.betas == (0.9, 0.999)
    assert replace(same, remedies=[ResampleDead()]).remedies == (ResampleDead(),)


@given(st.floats(1e-300, 1e300), st.integers(0, 2**70), st.floats(-1e300, 1e300))
def test_text_says_every_digit(rate, seed, bias):
    spec = replace(PLAIN, learning_rate=rate, seed=seed, encoder_bias=bias)
    own = json.loads(spec.text)["spec"]
    assert own["learning_rate"] == rate
    assert own["seed"] == seed
    assert own.get("encoder_bias", 0.0) == bias
    up = math.nextafter(rate, math.inf)
    assert replace(spec, learning_rate=up).key != spec.key
    assert len(spec.key) == 16
    assert set(spec.key) <= set("0123456789abcdef")


# ---- refusals -------------------------------------------------------------------------------

NUMBERS = [
    "learning_rate", "decoder_norm", "encoder_scale", "encoder_bias", "warmup", "decay",
    "penalty_warmup", "clip", "epsilon",
]  # fmt: skip
COUNTS = ["width", "seed", "steps", "batch_size", "dead_after", "evaluation"]


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.1", True, [0.1]])
@pytest.mark.parametrize("name", NUMBERS)
def test_what_is_no_number_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a number "):
        replace(PLAIN, **{name: value})


@pytest.mark.parametrize("value", [1.5, math.nan, math.inf, "3", True, None, -1])
@pytest.mark.parametrize("name", COUNTS)
def test_what_is_no_count_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number "):
        replace(PLAIN, **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("width", 0, r"in \[1, 4194304\]"),
        ("width", 2**22 + 1, r"in \[1, 4194304\]"),
        ("batch_size", 0, "of at least 1"),
        ("dead_after", 0, "of at least 1"),
        ("evaluation", 1, "of at least 2"),
        ("learning_rate", 0.0, "greater than 0"),
        ("decoder_norm", 0.0, "greater than 0"),
        ("clip", 0.0, "greater than 0"),
        ("epsilon", 0.0, "of at least 1e-30"),
        ("warmup", -0.1, r"in \[0, 1\]"),
        ("warmup", 1.1, r"in \[0, 1\]"),
        ("decay", -0.1, r"in \[0, 1\]"),
        ("decay", 1.1, r"in \[0, 1\]"),
        ("penalty_warmup", 1.1, r"in \[0, 1\]"),
    ],
)
def test_what_is_out_of_range_is_refused(name, value, allowed):
    with pytest.raises(ValueError, match=rf"^{name} must be .* {allowed}, got {value!r}"):
        replace(PLAIN, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", None), ("data", "Sphere(4)"), ("data", Sphere),
        ("architecture", None), ("architecture", "ReLU"), ("architecture", ReLU),
        ("unit_norm", 1), ("unit_norm", None),
        ("betas", 0.9), ("betas", (0.9,)), ("betas", (0.9, 0.99, 0.999)), ("betas", "ab"),
        ("remedies", None), ("remedies", ResampleDead()), ("remedies", (ResampleDead,)),
        ("remedies", ("dead",)),
    ],
)  # fmt: skip
def test_objects_of_another_kind_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be "):
        replace(PLAIN, **{name: value})


@pytest.mark.parametrize("value", [(1.0, 0.999), (0.9, 1.0), (-0.1, 0.999), (0.9, math.nan)])
def test_bad_betas_are_refused(value):
    where = 0 if value[1] == 0.999 else 1
    with pytest.raises(ValueError, match=rf"^betas\[{where}\] must be a number in \[0, 1\)"):
        replace(PLAIN, betas=value)


def test_warmup_and_decay_must_not_overlap():
    assert replace(PLAIN, warmup=0.8, decay=0.2).warmup == 0.8
    with pytest.raises(ValueError, match=r"^warmup \+ decay must be at most 1, got 0.9 \+ 0.2"):
        replace(PLAIN, warmup=0.9)


def test_architecture_must_fit_the_width():
    with pytest.raises(ValueError, match=r"^k must be at most the width, got k=17 for width=16"):
        replace(PLAIN, architecture=TopK(17))


# ---- random numbers -------------------------------------------------------------------------


def test_streams_differ_between_purposes_and_repeat():
    streams = [("weights",), ("batches", 0), ("batches", 1), ("evaluation",), ("restart", 1)]
    seeds = [17, 18]
    drawn = {}
    for seed in seeds:
        spec = replace(PLAIN, seed=seed)
        for stream in streams:
            first, again = (torch.rand(8, generator=spec.generator(*stream)) for _ in range(2))
            assert torch.equal(first, again)
            drawn[seed, stream] = tuple(first.tolist())
    assert len(set(drawn.values())) == len(seeds) * len(streams)


def test_a_generator_does_not_depend_on_what_was_drawn_before():
    expected = torch.rand(4, generator=PLAIN.generator("batches", 3))
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    assert torch.equal(torch.rand(4, generator=PLAIN.generator("batches", 3)), expected)


@given(st.lists(st.text(max_size=5) | st.integers(), max_size=4))
def test_seeds_fit_a_generator(parts):
    seed = seed_of(*parts)
    assert 0 <= seed < 2**63
    assert torch.Generator().manual_seed(seed).initial_seed() == seed
    assert seed_of(*parts, "more") != seed


def test_parts_of_a_stream_do_not_run_together():
    assert (
        len({seed_of("a", "bc"), seed_of("ab", "c"), seed_of("abc"), seed_of("a", "b", "c")}) == 4
    )


# ---- canonical values -----------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(VALUES)
def test_text_comes_back_as_the_value(value):
    assert json.loads(text_of(value)) == value
    assert canonical(canonical(value)) == canonical(value)


def test_dataclasses_go_by_name_and_public_fields():
    made = make_dataclass("Made", [("b", int), ("a", tuple), ("_hidden", object, None)])
    value = made(1, (np.float64(0.5), np.arange(3), np.array(2.0)), object())
    assert canonical(value) == {"kind": "Made", "b": 1, "a": [0.5, [0, 1, 2], 2.0]}
    assert text_of(made(1, ())) == '{"a":[],"b":1,"kind":"Made"}'
    with pytest.raises(ValueError, match=r"^a specification must hold"):
        canonical(made(object(), ()))


@pytest.mark.parametrize(
    "value",
    [
        object(), {1, 2}, 1j, np.complex128(1j), b"bytes", torch.zeros(2), len, Sphere, [object()],
        {"a": {1}}, np.array([object()]), range(3),
    ],
)  # fmt: skip
def test_odd_objects_are_refused(value):
    with pytest.raises(ValueError, match=r"^a specification must hold dataclasses, numbers, text"):
        canonical(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float32("nan"), np.array([math.inf])])
def test_numbers_that_are_not_finite_have_no_text(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        text_of(value)


def test_digest_is_that_of_sha_256():
    """The first 64 bits of SHA-256 of the empty text, from FIPS 180-4's test vectors."""
    assert digest("") == "e3b0c44298fc1c14"
    assert digest("abc") == "ba7816bf8f01cfea"
    assert seed_of("abc") == 0xBA7816BF8F01CFEA >> 1


def test_unit_norms_leave_no_choice_of_decoder_norm():
    with pytest.raises(ValueError, match="decoder_norm must be None with unit_norm=True"):
        RunSpec(Sphere(4), ReLU(), 16, unit_norm=True, decoder_norm=0.1)


def test_there_is_one_zero():
    one = RunSpec(Sphere(4), ReLU(), 16, encoder_scale=0.0)
    assert one.key == RunSpec(Sphere(4), ReLU(), 16, encoder_scale=-0.0).key
