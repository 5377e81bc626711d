"""The environment variables that stand for options, with the option each stands for.

Source: the sections "INPUT ENVIRONMENT VARIABLES" of sbatch(1), srun(1) and salloc(1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_ALIKE: Final[Mapping[str, str]] = {
    "ACCOUNT": "account",
    "ACCTG_FREQ": "acctg-freq",
    "CONSTRAINT": "constraint",
    "CORE_SPEC": "core-spec",
    "CPUS_PER_GPU": "cpus-per-gpu",
    "DELAY_BOOT": "delay-boot",
    "EXCLUSIVE": "exclusive",
    "GPUS": "gpus",
    "GPUS_PER_NODE": "gpus-per-node",
    "GPUS_PER_TASK": "gpus-per-task",
    "GPU_BIND": "gpu-bind",
    "GPU_FREQ": "gpu-freq",
    "GRES": "gres",
    "GRES_FLAGS": "gres-flags",
    "HINT": "hint",
    "JOB_NAME": "job-name",
    "MEM_BIND": "mem-bind",
    "MEM_PER_CPU": "mem-per-cpu",
    "MEM_PER_GPU": "mem-per-gpu",
    "MEM_PER_NODE": "mem",
    "NETWORK": "network",
    "NO_KILL": "no-kill",
    "OVERCOMMIT": "overcommit",
    "PARTITION": "partition",
    "POWER": "power",
    "PROFILE": "profile",
    "QOS": "qos",
    "RESERVATION": "reservation",
    "SIGNAL": "signal",
    "SPREAD_JOB": "spread-job",
    "THREADS_PER_CORE": "threads-per-core",
    "THREAD_SPEC": "thread-spec",
    "TIMELIMIT": "time",
    "USE_MIN_NODES": "use-min-nodes",
    "WAIT_ALL_NODES": "wait-all-nodes",
    "WCKEY": "wckey",
}
"""What all three programs read, each with its own prefix."""


def _prefixed(prefix: str) -> dict[str, str]:
    return {f"{prefix}_{name}": option for name, option in _ALIKE.items()}


SBATCH: Final[Mapping[str, str]] = {
    **_prefixed("SBATCH"),
    "SBATCH_ARRAY_INX": "array",
    "SLURM_CLUSTERS": "clusters",
    "SBATCH_CLUSTERS": "clusters",
    "SBATCH_DEBUG": "verbose",
    "SBATCH_DISTRIBUTION": "distribution",
    "SBATCH_EXPORT": "export",
    "SBATCH_GET_USER_ENV": "get-user-env",
    "SBATCH_IGNORE_PBS": "ignore-pbs",
    "SBATCH_NO_REQUEUE": "no-requeue",
    "SBATCH_OPEN_MODE": "open-mode",
    "SBATCH_REQUEUE": "requeue",
    "SBATCH_WAIT": "wait",
}

SALLOC: Final[Mapping[str, str]] = {
    **_prefixed("SALLOC"),
    "SLURM_CLUSTERS": "clusters",
    "SALLOC_DEBUG": "verbose",
    "SALLOC_IMMEDIATE": "immediate",
}

SRUN: Final[Mapping[str, str]] = {
    **_prefixed("SLURM"),
    "SLURM_CLUSTERS": "clusters",
    "SLURM_CPU_BIND": "cpu-bind",
    "SLURM_CPU_FREQ_REQ": "cpu-freq",
    "SLURM_DEBUG": "verbose",
    "SLURM_DEPENDENCY": "dependency",
    "SLURM_DISTRIBUTION": "distribution",
    "SLURM_EXACT": "exact",
    "SLURM_EXPORT_ENV": "export",
    "SLURM_JOB_ID": "jobid",
    "SLURM_JOB_NUM_NODES": "nodes",
    "SLURM_KILL_BAD_EXIT": "kill-on-bad-exit",
    "SLURM_LABELIO": "label",
    "SLURM_MPI_TYPE": "mpi",
    "SLURM_NPROCS": "ntasks",
    "SLURM_NTASKS": "ntasks",
    "SLURM_NTASKS_PER_NODE": "ntasks-per-node",
    "SLURM_OPEN_MODE": "open-mode",
    "SLURM_OVERLAP": "overlap",
    "SLURM_STDERRMODE": "error",
    "SLURM_STDINMODE": "input",
    "SLURM_STDOUTMODE": "output",
    "SLURM_UNBUFFEREDIO": "unbuffered",
    "SLURM_WAIT": "wait",
    "SLURM_WORKING_DIR": "chdir",
    "SRUN_CPUS_PER_TASK": "cpus-per-task",
    "SRUN_EXPORT_ENV": "export",
}


def chosen(table: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the options that variables stand for, with their values."""
    for variable, option in table.items():
        if variable in environment:
            yield option, environment[variable]
