"""The fault campaign: ``python -m campaign`` from ``tests/``, or ``make faults``.

Prints its seed first: the same seed makes the same choices. Returns 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from campaign import crashloop, crowd, failpoints, simulation, surroundings, sweeps
from campaign.driver import SlurmDriver
from campaign.tally import Row, table

SECONDS = 540.0


class Part(NamedTuple):
    """A part of the campaign, and its share of the time."""

    run: Callable[[random.Random, float], Row | list[Row]]
    share: float


PARTS = {
    "crash-loop": Part(crashloop.stoker_crash_loops, 0.38),
    "failpoints": Part(failpoints.alone, 0.10),
    "pairs": Part(failpoints.pairs, 0.06),
    "sweeps": Part(sweeps.sweeps, 0.14),
    "surroundings": Part(surroundings.surroundings, 0.12),
    "crowd": Part(crowd.crowd, 0.14),
    "simulation": Part(simulation.simulation, 0.06),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign, or the parts that are asked for."""
    asked = _parser().parse_args(arguments)
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}: python -m campaign --seed {seed} --seconds {asked.seconds:g}", flush=True)
    rows = _elsewhere(asked, seed) if asked.daemon_pid_file else _here(asked, seed)
    print(f"\n{table(rows)}")
    for row in rows:
        for note in row.notes:
            print(f"  {row.fault}: {note}")
    return 0 if all(row.is_good for row in rows) else 1


def _here(asked: argparse.Namespace, seed: int) -> list[Row]:
    names = asked.only or list(PARTS)
    parts = dict(PARTS)
    if asked.jobs:
        measured = partial(crowd.crowd, jobs=asked.jobs)
        parts["crowd"] = Part(measured, PARTS["crowd"].share)
    if asked.submissions:
        loop = partial(crashloop.stoker_crash_loops, submissions=asked.submissions)
        parts["crash-loop"] = Part(loop, PARTS["crash-loop"].share)
    whole = sum(PARTS[name].share for name in names)
    rows: list[Row] = []
    for name in names:
        part, began = parts[name], time.monotonic()
        try:
            found = part.run(random.Random(f"{seed} {name}"), asked.seconds * part.share / whole)
        except AssertionError as error:
            found = Row(f"{name}: gave up", stuck=1, notes=[str(error)])
        rows += [found] if isinstance(found, Row) else found
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    return rows


def _elsewhere(asked: argparse.Namespace, seed: int) -> list[Row]:
    """Run the crash loop on whatever answers to Slurm's names."""
    with tempfile.TemporaryDirectory() as directory:
        driver = SlurmDriver(Path(directory), {"daemon": asked.daemon_pid_file}, asked.start)
        rng = random.Random(seed)
        row = crashloop.crash_loop(
            driver,
            rng,
            asked.seconds,
            "daemon killed",
            driver.parts,
            every_s=asked.every,
            pace_s=asked.pace,
        )
        return [row]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="campaign", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long, about")
    parser.add_argument("--seed", type=int, help="make the choices of an earlier campaign")
    parser.add_argument(
        "--submissions", type=int, help="end the crash loop when so many ids were printed"
    )
    parser.add_argument("--jobs", type=int, help="measure memory over so many jobs")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part; repeatable")
    parser.add_argument(
        "--daemon-pid-file", type=Path, help="run the crash loop on another scheduler: its daemon"
    )
    parser.add_argument(
        "--every", type=float, default=10.0, help="seconds between two kills of it, on average"
    )
    parser.add_argument(
        "--pace", type=float, default=0.3, help="seconds between two requests of a client to it"
    )
    parser.add_argument("--start", default="true", help="shell command that starts its daemon")
    return parser


if __name__ == "__main__":
    sys.exit(main())
