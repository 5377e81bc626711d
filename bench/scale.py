"""How figures grow with the queue: 1,000, 10,000 and 100,000 waiting jobs, and a million tasks.

For each length: how long a core lies idle after an end, the latency of one submission and of
``squeue -j ID``, memory and database a waiting job, restart to first launch. The exponent is that
of the power law through first and last figure: 0 is no growth, 1 is growth in step with the queue.
"""

from __future__ import annotations

import argparse
import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.house import figure, keep, kill, median, private_stoker, say, timed
from stoker.cli.names import ensure_names
from stoker.client.client import Client
from stoker.core.messages import Draft

_WAITING = ("--output=/dev/null", "--", "true")
_ROUNDS = 30
_DEADLINE_S = 120.0


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="jobs that wait"
    )
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of an array (0: leave out)")
    options = parser.parse_args()
    tables = {length: _measure(length) for length in options.lengths}
    figures = [found for table in tables.values() for found in table.values()]
    keep("scale", figures + _growth(tables) + (_tasks(options.tasks) if options.tasks else []))
    return 0


def _measure(length: int) -> dict[str, dict[str, Any]]:
    with private_stoker(total_cpus=1, total_memory="1T", affinity="false") as client:
        blocker = client.submit("--output=/dev/null", "--", "sleep", "600")
        pid = client.status()["stokerd"]["pid"]
        before = _rss_kib(pid)
        submission_s = timed(lambda: _fill(client, length))
        grown = _rss_kib(pid) - before
        if sum(client.status()["jobs"].values()) != length + 1:
            raise SystemExit(f"cannot trust the run: {client.status()['jobs']}")
        say(f"{length} wait")
        found = _latencies(client, blocker)
        found["memory a waiting job"] = (grown / length, "KiB", "<= 1")
        found["database a waiting job"] = (_database_kib(client.home) / length, "KiB", "<= 1")
        found["submission in bulk"] = (length / submission_s, "jobs/s", None)
        found["core idle after an end"] = (_gap_ms(client), "ms", None)
        found["restart to first launch"] = (_restart_s(client), "s", "<= 3")
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
        "one submission": (_median_ms(lambda: client.submit(*_WAITING)), "ms", None),
        "squeue -j": (_median_ms(look), "ms", None),
    }


def _median_ms(call: Callable[[], object]) -> float:
    return median([timed(call) for _ in range(_ROUNDS)]) * 1e3


def _gap_ms(client: Client) -> float:
    """Return how long the core lies idle after an end: three syncs, a turn and two messages."""
    running = next(job for job in client.jobs() if job.state == "RUNNING")
    client.cancel(running.job_id)
    time.sleep(1)
    ended = [job for job in client.history() if job.end_at and job.start_at][:_ROUNDS]
    gaps = [
        later.start_at - former.end_at
        for former, later in pairwise(ended)
        if later.start_at and former.end_at and former.end_at <= later.start_at
    ]
    if not gaps:
        raise SystemExit("cannot trust the run: nothing followed the job that was cancelled")
    return gaps[0] * 1e3


def _restart_s(client: Client) -> float:
    """Kill the daemon; return the seconds until the next one has started a job."""
    kill(client.status()["stokerd"]["pid"])
    start = time.monotonic()
    # One whose connection broke gives others two seconds to start a daemon; a new one does not.
    with Client(client.home) as fresh:
        fresh.status()
    known = client.status()["jobs"].get("PENDING", 0)
    while client.status()["jobs"].get("PENDING", 0) >= known:
        if time.monotonic() - start > _DEADLINE_S:
            raise SystemExit("cannot trust the run: nothing was launched after the restart")
        time.sleep(0.01)
    return time.monotonic() - start


def _growth(tables: dict[int, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    lengths = sorted(tables)
    shortest, longest = lengths[0], lengths[-1]
    if shortest == longest:
        return []
    found = []
    for name in (
        "one submission",
        "squeue -j",
        "core idle after an end",
        "restart to first launch",
    ):
        ratio = tables[longest][name]["value"] / tables[shortest][name]["value"]
        exponent = math.log(ratio) / math.log(longest / shortest)
        label = f"{name}: from {shortest} to {longest} waiting"
        budget = "< 1.5" if name in ("one submission", "squeue -j") else None
        found += [
            figure(label, ratio, "times", budget),
            figure(f"{label}, exponent", exponent, ""),
        ]
    return found


def _tasks(count: int) -> list[dict[str, Any]]:
    """Measure with one array of *count* tasks waiting."""
    with private_stoker(total_cpus=1, affinity="false", max_array_size=count + 1) as client:
        blocker = client.submit("--output=/dev/null", "--", "sleep", "600")
        client.submit(f"--array=0-{count - 1}", *_WAITING)
        waiting = client.status()["jobs"].get("PENDING", 0)
        if waiting != count:
            raise SystemExit(f"cannot trust the run: {waiting} of {count} tasks wait")
        found = _latencies(client, blocker)
        found["core idle after an end"] = (_gap_ms(client), "ms", None)
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
