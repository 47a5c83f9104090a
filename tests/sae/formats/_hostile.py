"""Files of the five formats that are damaged or hostile, and a process that reads all of them.

``python _hostile.py FOLDER [--random N] [--seed S] [--part NAME]`` writes each case into a folder
of its own, reads it with the address space limited, and prints a line of JSON for each: what was
raised, or whether what was read is finite and comes back from ``save_sae`` the same. A case that
takes longer than a minute ends the process.
"""

import argparse
import faulthandler
import functools
import json
import resource
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

import _hostile_claims as claims
import _hostile_code as code
import _hostile_parts as parts

from scaling_theory.sae.formats import FORMATS, load_sae, save_sae

#: Address space that may be asked for beyond what the process has with its libraries.
ROOM = 3 * 2**29
SECONDS = 60.0


@dataclass(frozen=True)
class Case:
    """Files in a folder, as bytes or as what makes them, and the path that is read."""

    name: str
    format: str
    files: dict[str, bytes | Callable[[Path], object]]
    target: str = ""
    #: Whether it may be read: the damage may be to nothing that matters.
    may_load: bool = False
    #: Whether it holds what it claims, and that is more than there is memory.
    large: bool = False
    #: What load_sae is told.
    said: str = "auto"


def damaged(seed: int, count: int) -> Iterator[Case]:
    """Truncated, flipped, cut and overwritten bytes of every file of every layout."""
    for layout, (kind, files) in parts.layouts().items():
        for name, content in files.items():
            rng = np.random.default_rng([seed, zlib.crc32(f"{layout}/{name}".encode())])
            edges = [*range(12), *range(len(content) - 24, len(content))]
            lengths = [*edges[::3], *rng.integers(0, len(content), count // 6)]
            changes = {f"cut at {n}": content[:n] for n in lengths}
            for at in rng.integers(0, len(content), count // 2):
                bit = 1 << int(rng.integers(8))
                changes[f"bit {bit} at {at}"] = parts.patched(
                    content, int(at), bytes([content[at] ^ bit])
                )
            for at in rng.integers(0, len(content), count // 4):
                size, what = int(rng.choice([1, 2, 4, 8, 32])), int(rng.integers(4))
                new = [b"\0" * size, b"\xff" * size, rng.bytes(size), b""][what]
                changes[f"bytes {at} {size} {what}"] = content[:at] + new + content[at + size :]
            changes["longer"] = content + b"\0" * 7
            changes["twice"] = content + content
            for what, new in changes.items():
                yield Case(f"{layout}/{name}: {what}", kind, {**files, name: new}, may_load=True)


def replaced() -> Iterator[Case]:
    """Something else in place of a file: folders, pipes, devices, links, files of other formats."""
    for layout, (kind, files) in parts.layouts().items():
        for name in files:
            rest = {other: content for other, content in files.items() if other != name}
            # what SAELens says of frequencies may be missing
            optional = name == "sparsity.safetensors"
            for what, make in parts.NO_FILES.items():
                missing = what in ("missing", "broken link", "loop", "folder", "pipe", "device")
                may = optional and missing
                yield Case(f"{layout}/{name}: {what}", kind, {**rest, name: make}, may_load=may)
            for what, new in parts.other_files().items():
                yield Case(f"{layout}/{name}: {what}", kind, {**rest, name: new})
        for said in FORMATS:
            yield Case(f"{layout} as {said}", kind, files, said=said, may_load=said == kind)


def entries() -> Iterator[Case]:
    """Entries that are missing, unknown, of other shapes, types and numbers."""
    for layout, (kind, files, tensors, write) in parts.tensor_layouts().items():
        for what, changed, may_load in parts.changed_tensors(
            tensors, pickled=layout.endswith("pt")
        ):
            name, content = write(changed)
            yield Case(f"{layout}: {what}", kind, {**files, name: content}, may_load=may_load)


def settings() -> Iterator[Case]:
    """Configurations with settings that are missing or of other types, and texts that are none."""
    for layout, (kind, files) in parts.layouts().items():
        for name, content in files.items():
            if not name.endswith(".json"):
                continue
            for what, text in parts.changed_settings(content):
                # many settings are without effect on an SAE
                yield Case(f"{layout}/{name}: {what}", kind, {**files, name: text}, may_load=True)
            for what, text in parts.texts().items():
                yield Case(f"{layout}/{name}: {what}", kind, {**files, name: text})


def hostile(marker: Path) -> Iterator[Case]:
    """Claims that are larger than files, and code."""
    for name, content in claims.safetensors_claims().items():
        large = name == "a file of holes"
        yield Case(
            f"safetensors: {name}", "gemma_scope", {"params.safetensors": content}, large=large
        )
        config = {"cfg.json": parts.layouts()["saelens"][1]["cfg.json"]}
        for kind, file in (("saelens", "sae_weights"), ("sparsify", "sae")):
            files = {**config, f"{file}.safetensors": content}
            yield Case(f"{kind}: {name}", kind, files, large=large)
    for name, content in {**claims.npz_claims(), **code.npz_code(marker)}.items():
        # a directory may be wrong where nothing is looked for; the content has a checksum
        may = name.startswith("directory: ") or name in claims.HARMLESS
        yield Case(f"npz: {name}", "gemma_scope", {"params.npz": content}, may_load=may)
    for name, content in {**code.pt_claims(), **code.pt_code(marker)}.items():
        may = name.startswith("directory: ") or name in claims.HARMLESS
        yield Case(f"pt: {name}", "openai", {"x.pt": content}, target="x.pt", may_load=may)
        yield Case(
            f"ae.pt: {name}",
            "dictionary_learning",
            {"ae.pt": content, "config.json": b'{"trainer": {"dict_class": "AutoEncoder"}}'},
        )


def cases(marker: Path, seed: int = 0, count: int = 60, part: str | None = None) -> Iterator[Case]:
    """All of them, or a part; ``count`` sets how much random damage is done to each file."""
    made = {
        "damaged": lambda: damaged(seed, count),
        "replaced": replaced,
        "entries": entries,
        "settings": settings,
        "hostile": lambda: hostile(marker),
    }
    for name, make in made.items():
        if part in (None, name):
            yield from make()


def read(case: Case, folder: Path) -> dict[str, object]:
    """Write a case, read it, and say what happened."""
    folder.mkdir()
    for name, content in case.files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            content(folder / name)
    said: dict[str, object] = {"name": case.name, "format": case.format}
    said |= {"may_load": case.may_load, "large": case.large, "loaded": False}
    try:
        sae = load_sae(folder / case.target, format=case.said)
    except Exception as error:
        said |= {
            "error": [cls.__name__ for cls in type(error).__mro__],
            "errno": getattr(error, "errno", None),
            "message": str(error)[:5000],
            "named": str(folder) in str(error),
        }
        return said
    weights = {
        field.name: value
        for field in fields(sae)
        if isinstance(value := getattr(sae, field.name), torch.Tensor)
    }
    new = load_sae(save_sae(sae, folder / "again"))
    # frequencies are stored as logarithms
    same = all(
        torch.equal(value, getattr(new, name))
        for name, value in weights.items()
        if name != "frequencies"
    )
    x = torch.linspace(-1.0, 1.0, 8 * sae.dimension, dtype=sae.decoder.dtype)
    x = x.reshape(8, sae.dimension)
    f = sae.encode(x)
    if bool(f.isfinite().all()):  # weights of 3e38 have sums that are not
        same &= torch.equal(new.encode(x), f)
        same &= torch.allclose(new(x), sae(x), rtol=0, atol=0, equal_nan=True)
    finite = all(bool(value.isfinite().all()) for value in weights.values())
    return said | {"loaded": True, "finite": finite, "same": same}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--random", type=int, default=60)
    parser.add_argument("--part")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    marker = given.folder / "marker"
    # what is loaded on first use is loaded before the limit is set
    warm = Case("warm", "saelens", parts.layouts()["saelens"][1], may_load=True)
    assert read(warm, given.folder / "warm")["loaded"]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say = functools.partial(print, flush=True)
    for number, case in enumerate(cases(marker, given.seed, given.random, given.part)):
        folder = given.folder / str(number)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        say(json.dumps(read(case, folder) | {"marker": any(given.folder.glob("marker*"))}))
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(folder)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    say(json.dumps({"grown_kilobytes": grown}))


if __name__ == "__main__":
    main()
