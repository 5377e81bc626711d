"""What users of submitit do: each story is a function; its name is the argument.

Prints one JSON object. Functions of a main program travel by value, as from a notebook.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import submitit
from waiting import wait_until

FOLDER = "logs/%j"


def executor(**parameters: Any) -> submitit.AutoExecutor:
    """Return what `AutoExecutor` finds here: Slurm, by its `srun`."""
    found = submitit.AutoExecutor(folder=FOLDER, slurm_max_num_timeout=3)
    found.update_parameters(timeout_min=1, mem_gb=0.1, cpus_per_task=1, **parameters)
    return found


def add(a: int, b: int) -> int:
    return a + b


def nap(index: int) -> tuple[int, float, float]:
    """Sleep a little; return when that began and ended."""
    began = time.time()
    time.sleep(0.2)
    return int(os.environ["SLURM_ARRAY_TASK_ID"]), began, time.time()


def divide(a: int, b: int) -> float:
    return a / b


def rank() -> dict[str, int]:
    found = submitit.JobEnvironment()
    return {"rank": found.global_rank, "local": found.local_rank, "tasks": found.num_tasks}


class Patient:
    """Works until it is interrupted *interruptions* times, each time going on where it was."""

    def __init__(self, interruptions: int) -> None:
        self.interruptions = interruptions
        self.steps = 0
        self.runs = 0

    def __call__(self, *, step_s: float) -> dict[str, Any]:
        self.runs += 1
        Path(f"run-{self.runs}").touch()
        before = self.steps
        while self.runs <= self.interruptions:
            self.steps += 1
            time.sleep(step_s)
        restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
        return {"went_on": before > 0, "runs": self.runs, "restarts": restarts}

    def checkpoint(self, *, step_s: float) -> submitit.helpers.DelayedSubmission:
        return submitit.helpers.DelayedSubmission(self, step_s=step_s)


# The stories.


def map_array() -> dict[str, Any]:
    found = executor(slurm_array_parallelism=2)
    jobs = found.map_array(nap, range(6))
    return {"ids": [job.job_id for job in jobs], "naps": [job.result() for job in jobs]}


def batch() -> dict[str, Any]:
    found = executor()
    with found.batch():
        jobs = [found.submit(add, number, number) for number in range(3)]
    first = found.submit(add, 1, 2)
    found.update_parameters(slurm_additional_parameters={"dependency": f"afterok:{first.job_id}"})
    second = found.submit(add, 3, 4)
    return {"sums": [job.result() for job in [*jobs, first, second]], "state": first.state}


def tasks() -> dict[str, Any]:
    job = executor(tasks_per_node=3).submit(rank)
    return {"ranks": job.results(), "ids": [job.job_id]}


def failure() -> dict[str, Any]:
    found = executor()
    bad, good = found.submit(divide, 1, 0), found.submit(divide, 1, 2)
    error = bad.exception()
    wait_until(lambda: bad.get_info(mode="force").get("State") == "FAILED", "never FAILED")
    return {
        "id": bad.job_id,
        "error": [type(error).__name__, str(error)],
        "stderr": bad.stderr(),
        "state": bad.state,
        "good": good.result(),
    }


def cancel() -> dict[str, Any]:
    found = executor()
    running = found.submit(time.sleep, 60)
    wait_until(lambda: running.get_info(mode="force").get("State") == "RUNNING", "never ran")
    found.update_parameters(slurm_additional_parameters={"dependency": f"afterok:{running.job_id}"})
    pending = found.submit(time.sleep, 60)
    array = found.map_array(time.sleep, [60, 60])
    for job in (pending, array[1], running, array[0]):
        job.cancel(check=True)
    jobs = [running, pending, *array]
    for job in jobs:
        wait_until(lambda job=job: job.done(force_check=True), f"{job} is not done")
    return {"ids": [job.job_id for job in jobs], "states": [job.state for job in jobs]}


def time_limit() -> dict[str, Any]:
    # The time between start and signal is Python's to start and submitit's to get ready in.
    found = executor(slurm_signal_delay_s=2, slurm_additional_parameters={"time": "0:08"})
    careless = found.submit(time.sleep, 60)
    job = found.submit(Patient(1), step_s=0.1)
    result = job.result()
    error = careless.exception()
    wait_until(lambda: job.get_info(mode="force").get("State") == "COMPLETED", "never COMPLETED")
    return {"id": job.job_id, "result": result, "stderr": job.stderr(), "error": str(error)}


def preemption() -> dict[str, Any]:
    found = executor()
    found.update_parameters(timeout_min=60)
    job = found.submit(Patient(2), step_s=0.1)
    for run in (1, 2):
        wait_until(Path(f"run-{run}").exists, f"run {run} has not begun")
        job._interrupt(timeout=False)  # what it has for this: TERM, then USR2
    result = job.result()
    wait_until(lambda: job.get_info(mode="force").get("State") == "COMPLETED", "never COMPLETED")
    return {"id": job.job_id, "result": result, "stderr": job.stderr()}


STORIES = (map_array, batch, tasks, failure, cancel, time_limit, preemption)

if __name__ == "__main__":
    [story] = [story for story in STORIES if story.__name__ == sys.argv[1]]
    sys.stdout.write(f"{json.dumps(story())}\n")
