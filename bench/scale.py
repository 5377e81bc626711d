"""How figures grow with the queue: 1,000, 10,000 and 100,000 waiting jobs, and a million tasks.

For each length: the latency of one submission and of ``squeue -j ID``, memory and database a
waiting job, restart to first launch. The exponent is that of the power law through the figures: 0
is no growth, 1 is growth in step with the queue. `bench.turns` has the scheduler's turns.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.growth import exponent
from bench.house import figure, keep, kill, median, options_of, private_stoker, say, timed
from stoker.cli.names import ensure_names
from stoker.client.client import Client
from stoker.core.messages import Draft

_QUIET = ("--output=/dev/null", "--")
_WAITING = (*_QUIET, "true")
_BLOCKER = (*_QUIET, "sleep", "600")
_ROUNDS = 60
_SUBMISSIONS = 200
_LIMIT_S = 120.0
_GROWING = ("one submission", "squeue -j")
"""What is to grow by less than half from the shortest queue to the longest."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="jobs that wait"
    )
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of an array (0: leave out)")
    options = options_of(parser, arguments, quick={"lengths": [1_000, 5_000], "tasks": 100_000})
    tables = {length: _measure(length) for length in sorted(options.lengths)}
    figures = [found for table in tables.values() for found in table.values()]
    figures += _growth(tables)
    figures += _tasks(options.tasks) if options.tasks else []
    keep("scale", figures, options)
    return 0


def _measure(length: int) -> dict[str, dict[str, Any]]:
    with private_stoker(total_cpus=1, total_memory="1T", affinity="false") as client:
        blocker = client.submit(*_BLOCKER)
        first = client.submit(*_WAITING)
        _submission_ms(client)  # What is imported and cached only once.
        pid = client.status()["stokerd"]["pid"]
        memory, records = _rss_kib(pid), _database_kib(client.home)
        submission_s = timed(lambda: _fill(client, length))
        memory, records = _rss_kib(pid) - memory, _database_kib(client.home) - records
        if sum(client.status()["jobs"].values()) != length + _SUBMISSIONS + 2:
            raise SystemExit(f"cannot trust the run: {client.status()['jobs']}")
        say(f"{length} wait")
        is_long = length >= 100_000
        found = _latencies(client, blocker)
        found["memory a waiting job"] = (memory / length, "KiB", "<= 1" if is_long else None)
        found["database a waiting job"] = (records / length, "KiB", "<= 1" if is_long else None)
        found["submission in bulk"] = (length / submission_s, "jobs/s", None)
        restart_s = _restart_s(client, blocker, first)
        found["restart to first launch"] = (restart_s, "s", "<= 3" if is_long else None)
    return {
        name: figure(f"{length} waiting: {name}", value, unit, budget)
        for name, (value, unit, budget) in found.items()
    }


def _fill(client: Client, length: int) -> None:
    for _ in client.submit_many(Draft.of(_WAITING) for _ in range(length)):
        pass


def _latencies(client: Client, job_id: int) -> dict[str, tuple[float, str, str | None]]:
    squeue = [str(ensure_names(client.home) / "squeue"), "-h", "-j", str(job_id)]

    def look() -> None:
        if not subprocess.run(squeue, check=True, capture_output=True).stdout:
            raise SystemExit("cannot trust the run: squeue does not show the job that runs")

    return {
        "one submission": (_submission_ms(client), "ms", None),
        "squeue -j": (median([timed(look) for _ in range(_ROUNDS)]) * 1e3, "ms", None),
    }


def _submission_ms(client: Client) -> float:
    return median([timed(client.submit, *_WAITING) for _ in range(_SUBMISSIONS)]) * 1e3


def _restart_s(client: Client, blocker: int, first: int) -> float:
    """Let the daemon die, and then the job that runs; return when a new one has started the next.

    In seconds since the call that started the new daemon; the shepherd tells when the job began.
    """
    pid = _pid_of(client, blocker)
    kill(client.status()["stokerd"]["pid"])
    os.kill(pid, signal.SIGKILL)
    began = time.time()
    # One whose connection broke gives others two seconds to start a daemon; a new one does not.
    with Client(client.home) as fresh:
        while (start_at := fresh.details(first)[0].job.start_at) is None:
            if time.time() - began > _LIMIT_S:
                raise SystemExit("cannot trust the run: nothing was launched after the restart")
            time.sleep(0.02)
    return start_at - began


def _pid_of(client: Client, job_id: int) -> int:
    """Return the process of a job that runs, or is about to."""
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        attempts = client.details(job_id)[0].attempts
        if attempts and attempts[-1].pid:
            return attempts[-1].pid
        time.sleep(0.02)
    raise SystemExit(f"cannot trust the run: job {job_id} does not run")


def _growth(tables: dict[int, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    shortest, longest = min(tables), max(tables)
    if shortest == longest:
        return []
    found = []
    for name in (*_GROWING, "restart to first launch"):
        values = {length: float(table[name]["value"]) for length, table in tables.items()}
        label = f"{name}: from {shortest} to {longest} waiting"
        budget = "< 1.5" if name in _GROWING else None
        found += [
            figure(label, values[longest] / values[shortest], "times", budget),
            figure(f"{label}, exponent", exponent(values), ""),
        ]
    return found


def _tasks(count: int) -> list[dict[str, Any]]:
    """Measure with one array of *count* tasks waiting."""
    with private_stoker(total_cpus=1, affinity="false", max_array_size=count + 1) as client:
        blocker = client.submit(*_BLOCKER)
        client.submit(f"--array=0-{count - 1}", *_WAITING)
        there = sum(client.status()["jobs"].values())
        if there != count + 1:
            raise SystemExit(f"cannot trust the run: {there} of {count + 1} are there")
        found = _latencies(client, blocker)
    return [figure(f"{count} tasks: {name}", *rest) for name, rest in found.items()]


def _rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LookupError(f"process {pid} has no memory")


def _database_kib(home: Path) -> float:
    """Return what the records take up, wherever of file and log they stand."""
    with closing(sqlite3.connect(f"file:{home / 'stoker.db'}?mode=ro", uri=True)) as connection:
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    return float(pages * size) / 1024


if __name__ == "__main__":
    sys.exit(main())
