"""All benchmarks, one after the other; their figures go to ``bench/results.json``.

A quiet machine with two cores needs about eight minutes for all of them, one for ``--quick``. A
benchmark that fails says why, and the next one runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Final, NamedTuple

from bench.house import RESULTS, gather, row_of, say


class Program(NamedTuple):
    """A benchmark with what it is told, in a long run and in a quick one."""

    name: str
    words: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--quick",)


PROGRAMS: Final = (
    Program("latency", quick=("--rounds", "10")),
    Program("throughput", ("--jobs", "1000"), ("--jobs", "300", "--rounds", "1")),
    Program("throughput", ("--jobs", "10000"), ()),
    Program("throughput", ("--jobs", "10000", "--rounds", "1", "--unbound"), ()),
    Program("submit", quick=("--jobs", "50")),
    Program("turns"),
    Program("cost"),
    Program("scale"),
    Program("crowd"),
    Program("listings"),
    Program("history"),
    Program("recovery"),
    Program("idle", quick=("--seconds", "5")),
    Program("peers"),
)
_LIMIT_S: Final = 600.0


def main() -> int:
    """Run them; say at the end what is out of its budget."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small runs: a minute in all")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these: latency, turns, ...")
    options = parser.parse_args()
    if not options.only:
        for path in RESULTS.glob("*.json"):
            path.unlink()
    began = time.monotonic()
    failed = []
    for program in PROGRAMS:
        words = program.quick if options.quick else program.words
        is_wanted = not options.only or program.name in options.only
        if is_wanted and (words or not options.quick) and not _run(program.name, words):
            failed.append(program.name)
    figures = gather()
    missed = [each for each in figures if not each.get("met", True)]
    print(f"\n{len(figures)} figures in {time.monotonic() - began:.0f} s; out of their budgets:")
    print("\n".join(map(row_of, missed)) or "none")
    for name in failed:
        print(f"bench.{name} failed; what it said stands above")
    return 1 if failed else 0


def _run(name: str, words: tuple[str, ...]) -> bool:
    """Run a benchmark; return whether it came to its end."""
    command = [sys.executable, "-m", f"bench.{name}", *words]
    say(f"\n$ {' '.join(['python', *command[1:]])}")
    try:
        return subprocess.run(command, check=False, timeout=_LIMIT_S).returncode == 0
    except subprocess.TimeoutExpired:
        say(f"bench.{name} took more than {_LIMIT_S:g} s")
        return False


if __name__ == "__main__":
    sys.exit(main())
