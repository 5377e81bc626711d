"""What users of simple-slurm do: each story is a function; its name is the argument."""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path
from typing import Any

from simple_slurm import Slurm
from waiting import wait_until


def pipeline() -> dict[str, Any]:
    """An array, and a job that gathers what its tasks have written."""
    array = Slurm(
        array=range(3, 12, 4),
        cpus_per_task=1,
        job_name="parts",
        output=f"part_{Slurm.JOB_ARRAY_MASTER_ID}_{Slurm.JOB_ARRAY_ID}.out",
        time=datetime.timedelta(minutes=3, seconds=30),
    )
    array.add_cmd("echo task $SLURM_ARRAY_TASK_ID of $SLURM_ARRAY_TASK_COUNT")
    parts = array.sbatch(verbose=False)

    gather = Slurm("-J", "gather", "-o", "all.txt", dependency={"afterok": parts})
    gather.add_arguments(parsable=True)
    gathered = gather.sbatch("sort -n -k 2", f"part_{parts}_*.out", verbose=False)

    last = Slurm(dependency={"afterany": gathered}, output="last.txt", wait=True)
    ended = last.sbatch(
        f"echo $SLURM_JOB_ID after {gathered}", verbose=False, convert=False, job_file="last.sh"
    )
    texts = [Path(name).read_text().splitlines() for name in ("all.txt", "last.txt")]
    return {"ids": [parts, gathered, ended], "texts": texts}


def here_and_now() -> dict[str, Any]:
    """`srun` from a shell: the exit status comes back, the output is ours."""
    slurm = Slurm(cpus_per_task=1, ntasks=2, output="srun_%t.txt")
    status = slurm.srun("hostname; exit 0")
    return {"status": status, "files": sorted(path.name for path in Path().glob("srun_*"))}


def look_and_cancel() -> dict[str, Any]:
    """The queue as a table by job id, and cancellation three ways."""
    slurm = Slurm(job_name="sleeper", time="10", mem="100")
    slurm.add_cmd("srun sleep 60")  # a signal is for steps; a batch shell alone would not get it
    ids = [slurm.sbatch(verbose=False) for _ in range(3)]

    def state(job_id: int) -> str | None:
        slurm.squeue.update_squeue()
        return slurm.squeue.jobs.get(job_id, {}).get("ST")

    wait_until(lambda: all(state(job_id) == "R" for job_id in ids), "not all of them run")
    rows = list(slurm.squeue.get_filtered_jobs("sleep").values())
    slurm.scancel.cancel_job(ids[0])
    slurm.scancel.signal_job(ids[1])
    wait_until(lambda: all(state(job_id) is None for job_id in ids[:2]), "they do not go")
    slurm.scancel.cancel_all()
    wait_until(lambda: state(ids[2]) is None, "the last does not go")
    return {"ids": ids, "row": rows[0]}


STORIES = (pipeline, here_and_now, look_and_cancel)

if __name__ == "__main__":
    [story] = [story for story in STORIES if story.__name__ == sys.argv[1]]
    sys.stdout.write(f"{json.dumps(story())}\n")
