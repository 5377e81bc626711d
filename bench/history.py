"""What a long history costs: sacct by user and time window over a million ended jobs.

The records are made in bulk by the repository's own code, a year of them, of twenty users. A daemon
is then started on them. Measured are whole sacct commands, the first one after a start too, and how
much the file has for a job. Each answer is checked: it has a line for every job in its window.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.growth import exponent
from bench.house import figure, keep, median, options_of, private_stoker, say, timed
from stoker.cli.names import ensure_names
from stoker.core.database import Database
from stoker.core.enums import AllocationState, JobState
from stoker.core.models import Allocation, Job, JobSpec, NodeShare, Owner, Usage
from stoker.core.repository import Repository
from stoker.core.rows import encode_spec

_USERS = 20
_FIRST_USER = 61_000
_BATCH = 10_000
_DAY_S = 86_400.0
_YEAR_S = 365 * _DAY_S
_RUN_S = 60.0
_ROUNDS = 15
_SHARES = (NodeShare("localhost", (0,), 1000),)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--ended", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = options_of(parser, arguments, quick={"ended": [10_000, 100_000]})
    figures: list[dict[str, Any]] = []
    medians = {}
    for count in options.ended:
        figures += (found := _measure(count))
        medians[count] = float(found[0]["value"])
    if len(medians) > 1:
        name = "sacct by user and day: exponent of its growth"
        figures.append(figure(name, exponent(medians), ""))
    keep("history", figures, options)
    return 0


def _measure(count: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="stoker-bench-") as name:
        home = Path(name)
        end_at = time.time()
        seconds = timed(_fill, home / "stoker.db", count, end_at)
        size_kib = (home / "stoker.db").stat().st_size / 1024 / count
        say(f"{count} records in {seconds:.1f} s")
        with private_stoker(home=home, total_cpus=1) as client:
            sacct = str(ensure_names(client.home) / "sacct")
            windows = [
                ("by user and day", ("-u", str(_FIRST_USER + 3)), 100 * _DAY_S, _DAY_S),
                ("by user and week", ("-u", str(_FIRST_USER + 3)), 200 * _DAY_S, 7 * _DAY_S),
                ("of everybody, by hour", ("-a",), 100 * _DAY_S, 3600.0),
            ]
            figures = []
            for label, words, ago_s, width_s in windows:
                start_at = end_at - ago_s
                look = _look(sacct, words, start_at, start_at + width_s, count, end_at)
                budget = "<= 0.5" if count >= 1_000_000 and "user" in label else None
                took_s = median([timed(look) for _ in range(_ROUNDS)])
                figures.append(figure(f"{count} ended: sacct {label}", took_s, "s", budget))
    return [*figures, figure(f"{count} ended: database an ended job", size_kib, "KiB")]


def _look(
    sacct: str, words: Sequence[str], start_at: float, end_at: float, count: int, last_at: float
) -> Callable[[], None]:
    """Return what runs sacct on a window, and checks how many jobs it shows."""
    expected = sum(
        1
        for number in _numbers(count, last_at, start_at - _RUN_S - 5, end_at + 5)
        if (words[0] == "-a" or _user_of(number) == int(words[1]))
        and _at(number, count, last_at) <= end_at
        and int(_at(number, count, last_at) + _RUN_S) >= int(start_at)
    )
    times = [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) for at in (start_at, end_at)]
    command = [sacct, "-nXP", "-o", "JobID", *words, "-S", times[0], "-E", times[1]]
    environment = os.environ | {"TZ": "UTC"}

    def look() -> None:
        done = subprocess.run(command, check=True, capture_output=True, env=environment)
        found = done.stdout.count(b"\n")
        # At the window's edges a fraction of a second decides.
        if abs(found - expected) > 2 or (expected > 2 and not found):
            raise SystemExit(f"cannot trust the run: {found} lines of {expected}; {done.stderr!r}")

    return look


def _fill(path: Path, count: int, last_at: float) -> None:
    """Make *count* records of jobs that ended in the year before *last_at*."""
    made = [encode_spec(spec) for spec in _SPECS]
    with Database.at(path) as database:
        repository = Repository(database)
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            with database.transaction() as connection:
                repository.add_specs(connection, dict(made))
                repository.save_jobs(connection, _jobs(numbers, count, last_at, made))
                repository.save_allocations(connection, _attempts(numbers, count, last_at))


_SPECS = [JobSpec(name=f"name{number}", argv=("true",)) for number in range(40)]


def _at(number: int, count: int, last_at: float) -> float:
    """Return when a job was submitted; it is eligible at once, starts then, and runs a while."""
    return last_at - _YEAR_S + number * ((_YEAR_S - 2 * _RUN_S) / count)


def _numbers(count: int, last_at: float, start_at: float, end_at: float) -> range:
    """Return the jobs that were submitted between two times."""
    step = (_YEAR_S - 2 * _RUN_S) / count
    first = last_at - _YEAR_S
    low, high = int((start_at - first) / step) - 1, int((end_at - first) / step) + 2
    return range(max(0, low), min(count, high))


def _user_of(number: int) -> int:
    return _FIRST_USER + number % _USERS


def _jobs(
    numbers: range, count: int, last_at: float, made: Sequence[tuple[bytes, bytes]]
) -> Iterator[Job]:
    for number in numbers:
        at = _at(number, count, last_at)
        user = _user_of(number)
        which = number % len(_SPECS)
        yield Job(
            job_id=number + 1,
            spec=_SPECS[which],
            spec_digest=made[which][0],
            owner=Owner(user, f"user{user}", user, f"user{user}"),
            submit_at=at,
            partition="debug",
            state=JobState.COMPLETED,
            eligible_at=at,
            start_at=at,
            end_at=at + _RUN_S,
        )


def _attempts(numbers: range, count: int, last_at: float) -> Iterator[Allocation]:
    for number in numbers:
        at = _at(number, count, last_at)
        yield Allocation(
            job_id=number + 1,
            attempt=0,
            shares=_SHARES,
            token=f"{number:016x}",
            reserved_at=at,
            state=AllocationState.RELEASED,
            allocated_at=at,
            released_at=at + _RUN_S,
            pid=4_000_000,
            start_ticks=number,
            boot_id="00000000-0000-0000-0000-000000000000",
            end_state=JobState.COMPLETED,
            usage=Usage(1.0, 0.1, 4096),
        )


if __name__ == "__main__":
    sys.exit(main())
