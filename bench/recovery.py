"""How fast a restart is: with many jobs running, and with a long queue.

Running jobs are adopted, not started again; a long queue is read before the first launch. Both are
timed from the start of the process to the first answer, after ``kill -9``.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bench.house import figure, keep, kill, private_stoker, say, timed
from stoker.client.client import Client
from stoker.core.messages import Draft


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.recovery", description=__doc__)
    parser.add_argument("--running", type=int, default=1000, help="jobs that run (default 1000)")
    parser.add_argument("--pending", type=int, default=100_000, help="jobs that wait")
    options = parser.parse_args()
    keep("recovery", [*_adoption(options.running), *_queue(options.pending)])
    return 0


def _adoption(count: int) -> list[dict[str, Any]]:
    with private_stoker(total_cpus=count, total_memory="1T", affinity="false") as client:
        job_id = client.submit(f"--array=1-{count}", "--output=/dev/null", "--", "sleep", "600")
        while client.tally(job_id).get("RUNNING", 0) < count:
            say(f"{client.tally(job_id)}")
        seconds = _restart(client)
        running = client.tally(job_id).get("RUNNING", 0)
        if running != count:
            raise SystemExit(f"cannot trust the run: {running} of {count} jobs are still running")
    name = f"restart with {count} running jobs, all adopted"
    return [figure(name, seconds, "s", "<= 5")]


def _queue(count: int) -> list[dict[str, Any]]:
    with private_stoker(total_cpus=1, total_memory="1T", affinity="false") as client:
        first = client.submit("--output=/dev/null", "--", "sleep", "600")
        drafts = (Draft.of(("--output=/dev/null", "--", "true")) for _ in range(count))
        seconds = timed(lambda: [None for _ in client.submit_many(drafts)])
        say(f"{count} submitted in {seconds:.1f} s")
        client.cancel(first)
        restart_s = _restart(client)
        waiting = client.status()["jobs"]
        if sum(waiting.values()) < count * 0.9:
            raise SystemExit(f"cannot trust the run: {waiting}")
    return [
        figure(f"submission of {count} jobs, one client", count / seconds, "jobs/s", ">= 1000"),
        figure(f"restart with {count} waiting jobs", restart_s, "s", "<= 3"),
    ]


def _restart(client: Client) -> float:
    """Kill the daemon; return the seconds until a new one has recovered and answers.

    A new client asks: one whose connection broke gives others two seconds to start a daemon.
    """
    pid = client.status()["stokerd"]["pid"]
    kill(pid)
    with Client(client.home) as fresh:
        return timed(fresh.status)


if __name__ == "__main__":
    sys.exit(main())
