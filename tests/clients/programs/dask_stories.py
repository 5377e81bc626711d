"""What users of dask-jobqueue do: each story is a function; its name is the argument."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dask.distributed import Client
from dask_jobqueue import SLURMCluster
from waiting import wait_until


@contextmanager
def cluster() -> Iterator[tuple[SLURMCluster, Client]]:
    """Make a cluster of one-core workers, each a job."""
    with (
        SLURMCluster(
            cores=1,
            memory="500MB",
            walltime="00:05:00",
            log_directory="logs",
            interface="lo",
            scheduler_options={"dashboard_address": ":0"},
            worker_extra_args=["--no-dashboard"],
        ) as found,
        Client(found) as client,
    ):
        yield found, client


def job_of_worker(number: int) -> tuple[int, str]:
    time.sleep(0.05)
    return number**2, os.environ["SLURM_JOB_ID"]


def scale() -> dict[str, Any]:
    with cluster() as (found, client):
        found.scale(jobs=2)
        client.wait_for_workers(2, timeout=40)
        done = client.gather(client.map(job_of_worker, range(20)))
        found.scale(1)
        wait_until(lambda: len(found.scheduler.workers) == 1, "it keeps two workers")
        again = client.submit(job_of_worker, 7).result()
    return {
        "squares": [square for square, _ in done],
        "jobs": sorted({job for _, job in done}),
        "again": again,
    }


def adapt() -> dict[str, Any]:
    with cluster() as (found, client):
        found.adapt(minimum=0, maximum=2, interval="100ms", wait_count=3)
        before = len(found.scheduler.workers)
        done = client.gather(client.map(job_of_worker, range(10)))
        wait_until(lambda: not found.scheduler.workers, "it keeps workers without work")
    return {"before": before, "sum": sum(square for square, _ in done)}


STORIES = (scale, adapt)

if __name__ == "__main__":
    [story] = [story for story in STORIES if story.__name__ == sys.argv[1]]
    sys.stdout.write(f"{json.dumps(story())}\n")
