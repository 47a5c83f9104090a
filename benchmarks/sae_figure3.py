"""Time of the whole of Michaud et al. (2025), Figure 3, at the paper preset, on one GPU.

Both panels: unit spheres, and shells with radii from 0.5 to 2; d = 2 to 8, widths 2 to 16,384 in
powers of two; ReLU with l1 = 0.1, 12,000 steps of 2048. It is what ``sae_sweep.py --figure3`` runs.

A piece ends by itself after some minutes, as Ctrl-C would end it, and the same command goes on from
there: what is done, and the seconds that it took, are in the folder of --store. The time that is
printed is that of all pieces, from their first line to the last row: imports, compilation,
evaluation and files included. A piece that is killed counts up to the last few seconds; one that
found nothing to train does not. Kernels are compiled before training, and timed apart.

A loop in PyTorch, one SAE after the other, stands beside it for the widths of one dimension: so
many steps of each are timed, and the time of all steps is what that would make. It too is within
the limit of its piece.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sae_step import L1, Case, Loop, describe, machine, start, synchronise

BEGAN = time.perf_counter()
PANELS = ("spheres", "shells")
#: Dimensions, widths, steps, batch size and evaluation samples.
PAPER = (tuple(range(2, 9)), tuple(2**i for i in range(1, 15)), 12_000, 2048, 65_536)
TINY = ((2, 3), (2, 4, 8), 4, 16, 256)
PEER_DIMENSION = 4
#: Seconds between two notes of how long a piece has taken.
NOTED = 5.0


def run(arguments: argparse.Namespace) -> None:
    """Train what is missing, and print losses and times."""
    device = "cpu" if arguments.interpret else "cuda"
    if arguments.interpret:
        os.environ["TRITON_INTERPRET"] = "1"
        if not arguments.tiny:
            raise SystemExit("--interpret is for --tiny: everything else would take weeks")
    found = machine(start("blocked", device, "default"))
    print(describe(found))
    if (lack := _lack(device, found)) is not None:
        print(f"unmeasured: {lack}")
        print("on a machine with a GPU: python benchmarks/sae_sweep.py --figure3 --store FOLDER")
        return
    if arguments.store is None and not arguments.tiny:
        raise SystemExit("--figure3 needs --store FOLDER, from which the same command goes on")
    from scaling_theory import sae

    sizes = TINY if arguments.tiny else PAPER
    panels = {name: _specs(name, *sizes) for name in PANELS}
    specs = [spec for panel in PANELS for spec in panels[panel]]
    store = None if arguments.store is None else sae.Store(arguments.store)
    pending = [spec for spec in specs if store is None or store.row(spec) is None]
    clock, peer = Clock(arguments.store, bool(pending)), None
    timer = threading.Timer(60.0 * arguments.minutes, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    try:
        timer.start()
        with clock.running():
            clock.compiling += _compile(pending, device) if device == "cuda" else 0.0
            table = sae.train(
                specs, store, device, "triton", keep_weights=False, on_row=lambda _: clock.note()
            )
    except KeyboardInterrupt:
        timer.cancel()
        then = "nothing is kept" if store is None else "the same command goes on from there"
        print(f"stopped after {clock.pieces[-1]['seconds']:.1f} s; {then}")
        return
    try:
        table.insert(0, "panel", [panel for panel in PANELS for _ in panels[panel]])
        table.insert(1, "dimension", [spec.data.dimension for spec in specs])
        print(
            f"path {', '.join(sorted(set(table['path'])))}, {len(table)} SAEs of {sizes[2]} steps\n"
        )
        rows = [_row(panel, d, part) for (panel, d), part in table.groupby(["panel", "dimension"])]
        rows.sort(key=lambda row: (PANELS.index(row["panel"]), row["dimension"]))
        _print(rows, sizes[1])
        took = [piece["seconds"] for piece in clock.pieces]
        total, compiling = sum(took), sum(piece["compiling"] for piece in clock.pieces)
        training = float(table["seconds"].sum())
        print(f"\n{total:.1f} s in all, in {len(took)} piece{'s' * (len(took) != 1)}", end="")
        print(
            f" (longest {max(took, default=0.0):.1f} s); of these {compiling:.1f} s compiled,",
            end="",
        )
        print(f" and {training:.1f} s were steps and what they draw")
        peer = _peer(device, sizes, arguments.peer_steps, rows)
    except KeyboardInterrupt:
        print("stopped in the loop beside it; the same command times it again")
    finally:
        timer.cancel()
    if arguments.json is not None:
        said = {"machine": found, "pieces": took, "seconds": total, "compiling": compiling}
        said |= {"training": training, "rows": rows, "peer": peer}
        said |= {"preset": "tiny" if arguments.tiny else "paper"}
        arguments.json.write_text(json.dumps(said, indent=1) + "\n")


class Clock:
    """Seconds of each piece, kept in the folder of the runs that it trained.

    Parameters
    ----------
    store
        That folder.
    works
        Whether there is anything to train: else this is no piece.
    """

    def __init__(self, store: Path | None, works: bool) -> None:
        self._file = None if store is None else store / "pieces.json"
        known = self._file is not None and self._file.exists()
        self.pieces: list[dict[str, float]] = json.loads(self._file.read_text()) if known else []
        self.compiling, self._works, self._lock = 0.0, works, threading.Lock()
        if works:
            self.pieces.append({})
            self.note()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Note every few seconds how long it is, whatever ends this process, and at the end."""
        over = threading.Event()

        def tick() -> None:
            while not over.wait(NOTED):
                self.note()

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.note()

    def note(self) -> None:
        """Note that the piece is so long by now."""
        if not self._works:
            return
        with self._lock:
            self.pieces[-1] = {"seconds": time.perf_counter() - BEGAN, "compiling": self.compiling}
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                beside = self._file.with_suffix(".new")
                beside.write_text(json.dumps(self.pieces) + "\n")
                beside.replace(self._file)


def _compile(pending: list[Any], device: str) -> float:
    """Compile the kernels of each dimension, by a step of the narrowest SAE; seconds."""
    from scaling_theory.sae.gpu import GroupTrainer

    began = time.perf_counter()
    for dimension in sorted({spec.data.dimension for spec in pending}):
        group = [spec for spec in pending if spec.data.dimension == dimension]
        GroupTrainer([min(group, key=lambda spec: spec.width)], device).advance(1)
    return time.perf_counter() - began


def _lack(device: str, found: dict[str, Any]) -> str | None:
    """What is missing to measure, if anything."""
    if "error" in found:
        return str(found["error"])
    import torch

    from scaling_theory.sae.gpu import missing

    return missing(torch.device(device))


def _specs(
    panel: str, dimensions: Any, widths: Any, steps: int, batch_size: int, evaluation: int
) -> list[Any]:
    from scaling_theory import sae

    manifold = {"spheres": sae.Sphere, "shells": sae.Shell}[panel]
    options = {"steps": steps, "batch_size": batch_size, "evaluation": evaluation}
    return [
        sae.RunSpec(manifold(d), sae.ReLU(L1), n, 0, **options) for d in dimensions for n in widths
    ]


def _row(panel: str, dimension: int, part: Any) -> dict[str, Any]:
    return {
        "panel": panel,
        "dimension": int(dimension),
        "seconds": float(part["seconds"].sum()),
        "losses": dict(zip(map(int, part["width"]), map(float, part["loss"]), strict=True)),
        "dead": int(part["dead"].sum()),
    }


def _print(rows: list[dict[str, Any]], widths: tuple[int, ...]) -> None:
    """Losses at some of the widths."""
    some = widths if len(widths) < 8 else widths[1::2]
    head = "".join(f"{f'n = {n}':>11}" for n in some)
    print(f"{'panel':>8}{'d':>3}{'seconds':>9}{head}{'dead':>7}")
    for row in rows:
        losses = "".join(f"{row['losses'][n]:>11.5f}" for n in some)
        print(
            f"{row['panel']:>8}{row['dimension']:>3}{row['seconds']:>9.2f}{losses}{row['dead']:>7}"
        )


def _peer(
    device: str, sizes: Any, steps: int, rows: list[dict[str, Any]]
) -> dict[str, float] | None:
    """Time a loop in PyTorch on the spheres of one dimension, beside our own for the same runs."""
    dimension = PEER_DIMENSION if PEER_DIMENSION in sizes[0] else sizes[0][0]
    own = next(r["seconds"] for r in rows if (r["panel"], r["dimension"]) == ("spheres", dimension))
    if steps == 0 or own == 0.0:
        return None
    each = []
    for width in sizes[1]:
        loop = Loop(Case(dimension, width, sizes[3], device))
        loop.advance(3)
        took = []
        for _ in range(3):
            synchronise(device)
            began = time.perf_counter()
            loop.advance(steps)
            synchronise(device)
            took.append((time.perf_counter() - began) / steps)
        each.append(statistics.median(took))
    all_steps = sizes[2] * sum(each)
    print(
        f"spheres in d = {dimension}, all widths: {own:.2f} s here; a loop in PyTorch would take "
        f"{all_steps:.2f} s, by {steps} steps of each: {all_steps / own:.2g} times as long"
    )
    return {"dimension": dimension, "own_seconds": own, "loop_seconds": all_steps}
