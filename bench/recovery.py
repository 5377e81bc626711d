"""How fast a restart is with many jobs running: they are adopted, not started again.

Timed from the start of the process to the first answer, after ``kill -9``. `bench.scale` has the
restart with a long queue.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.house import figure, keep, kill, options_of, private_stoker, say, timed
from stoker.client.client import Client


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.recovery", description=__doc__)
    parser.add_argument("--running", type=int, default=1000, help="jobs that run (default 1000)")
    options = options_of(parser, arguments, quick={"running": 100})
    keep("recovery", _adoption(options.running), options)
    return 0


def _adoption(count: int) -> list[dict[str, Any]]:
    with private_stoker(total_cpus=count, total_memory="1T", affinity="false") as client:
        job_id = client.submit(f"--array=1-{count}", "--output=/dev/null", "--", "sleep", "600")
        while client.tally(job_id).get("RUNNING", 0) < count:
            say(f"{client.tally(job_id)}")
            time.sleep(0.5)
        seconds = _restart(client)
        running = client.tally(job_id).get("RUNNING", 0)
        if running != count:
            raise SystemExit(f"cannot trust the run: {running} of {count} jobs are still running")
    name = f"restart with {count} running jobs, all adopted"
    return [figure(name, seconds, "s", "<= 5")]


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
