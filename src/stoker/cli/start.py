"""What sbatch, squeue and the like do when a first attempt did not reach stokerd.

`client.daemon` starts it and tries again; here stands how a command says that it was in vain.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from stoker.client.daemon import Caller, keep_trying, tell
from stoker.core.errors import DaemonUnavailable

UNREACHABLE = "Unable to contact slurm controller (connect failure)"
_PREFIXES = {
    "sbatch": "sbatch: error: Batch job submission failed: ",
    "srun": "srun: error: Unable to allocate resources: ",
    "salloc": "salloc: error: Failed to allocate resources: ",
    "squeue": "slurm_load_jobs error: ",
    "scontrol": "slurm_load_jobs error: ",
    "sinfo": "slurm_load_partitions: ",
}


class Command(Caller[int], Protocol):
    """A command as `cli.thin` makes it; its answer is the exit status."""

    program: str
    home: bytes


def try_harder(command: Command) -> int:
    """Bring a call to its end that a first attempt did not; return the exit status."""
    try:
        status = keep_trying(command, Path(os.fsdecode(command.home)))
    except DaemonUnavailable as error:
        tell(f"{command.program}: error: {error}")
        return 1
    if status is None:
        tell(_PREFIXES.get(command.program, f"{command.program}: error: ") + UNREACHABLE)
        return 1
    return status
