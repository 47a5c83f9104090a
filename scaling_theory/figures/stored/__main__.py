"""Store the rows of a figure's runs with the package: ``python -m scaling_theory.figures.stored``.

Names are those of figures (``michaud2025_figure3``) or sweeps (``spheres``). Rows are taken from a
store that ``reproduce`` or ``sae.train`` has filled, which may still be filling; runs that are not
there yet are counted, and the file is written from the others.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from scaling_theory.figures.registry import FIGURES, Preset, is_trained, preview
from scaling_theory.figures.stored import runs_folder, write
from scaling_theory.figures.stored.rows import keep, specs_of
from scaling_theory.figures.sweeps import SWEEPS


def main(arguments: Sequence[str]) -> int:
    """Write the stored rows of the sweeps named, or of those that the figures named rest on."""
    parser = argparse.ArgumentParser(
        prog="python -m scaling_theory.figures.stored", description=__doc__
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="a figure or a sweep")
    parser.add_argument("--preset", choices=get_args(Preset), default="quick")
    parser.add_argument("--store", type=Path, help="where runs are; default: runs/PRESET")
    parser.add_argument(
        "--draw",
        type=Path,
        metavar="FOLDER",
        help="store nothing, and draw previews of the figures named from what is there",
    )
    given = parser.parse_args(arguments)
    trained = [n for n, m in FIGURES.items() if is_trained(importlib.import_module(m))]
    known = trained if given.draw is not None else [*trained, *SWEEPS]
    for name in given.names:
        if name not in known:
            parser.error(f"NAME must be among {', '.join(known)}, got {name!r}")
    store = runs_folder(given.preset) if given.store is None else given.store
    try:
        if given.draw is not None:
            for name in given.names:
                png, missing = preview(name, given.draw, given.preset, store)
                print(f"{png}" + (f": {missing}" if missing else ""))
            return 0
        for name in _sweeps(given.names):
            _store(name, given.preset, store)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    return 0


def _sweeps(names: Sequence[str]) -> list[str]:
    """Sweeps among the names, and those of the figures among them."""
    lists = [
        [name] if name in SWEEPS else importlib.import_module(FIGURES[name]).SWEEPS
        for name in names
    ]
    return list(dict.fromkeys(sweep for some in lists for sweep in some))


def _store(name: str, preset: Preset, store: Path) -> None:
    specs = specs_of(name, preset)
    kept = keep(name, preset, specs, store)
    missing = len(specs) - len(kept)
    if not kept:
        print(f"{name}_{preset}.csv: not written, all {missing} runs are missing")
        return
    file = write(name, preset, kept)
    print(f"{file}: {len(kept)} rows" + (f", {missing} are missing" if missing else ""))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
