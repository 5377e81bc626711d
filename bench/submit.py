"""How many durable submissions a second many clients get, each on a connection that it keeps.

A submission counts when its answer is there, which is after its sync. The clients are processes of
their own; each hands in one job a request, as sbatch does. In the end all jobs are on record once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

from bench.house import figure, keep, options_of, private_stoker, say
from stoker.client.client import Client
from stoker.core.messages import Draft


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.submit", description=__doc__)
    parser.add_argument("--clients", type=int, default=20, help="how many at once (default 20)")
    parser.add_argument("--jobs", type=int, default=200, help="of each client (default 200)")
    options = options_of(parser, arguments)
    total = options.clients * options.jobs
    with private_stoker(total_cpus=1, affinity="false") as client:
        seconds = _race(client.home, options.clients, options.jobs)
        waiting = sum(client.status()["jobs"].values())
        if waiting != total:
            raise SystemExit(f"cannot trust the run: {waiting} of {total} jobs are on record")
    say(f"{total} submissions in {seconds:.2f} s")
    name = f"submissions, {options.clients} clients, each after its sync"
    keep("submit", [figure(name, total / seconds, "jobs/s", ">= 1000")], options)
    return 0


def _race(home: Path, clients: int, jobs: int) -> float:
    """Let all clients connect, then submit at once; return the seconds until the last is done."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(clients + 1)
    racers = [context.Process(target=_submit, args=(home, jobs, barrier)) for _ in range(clients)]
    for racer in racers:
        racer.start()
    barrier.wait()
    start = time.monotonic()
    barrier.wait()
    seconds = time.monotonic() - start
    for racer in racers:
        racer.join()
    return seconds


def _submit(home: Path, jobs: int, barrier: Barrier) -> None:
    with Client(home) as client:
        client.status()
        barrier.wait()
        for _ in range(jobs):
            draft = Draft.of(("--hold", "--output=/dev/null", "--", "true"))
            [_] = client.submit_many([draft])
        barrier.wait()


if __name__ == "__main__":
    sys.exit(main())
