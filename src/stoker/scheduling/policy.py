"""In which order waiting jobs are considered: a policy gives each a key, the smallest comes first.

A policy is a plain function in `POLICIES`. The key is asked for when a job begins to wait, and
again when it changes, and it must be unique: it ends with the job's id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from stoker.core.models import Job, JobSpec

Order = tuple[int, ...]
"""Sorts waiting jobs: what is smaller is considered earlier."""

Policy = Callable[[Job], Order]


def by_submission(job: Job) -> Order:
    """Order by priority, which falls from one submission to the next; then by id and task."""
    return (-job.priority, job.array_job_id or job.job_id, max(job.array_task_id, 0), job.job_id)


POLICIES: Final[Mapping[str, Policy]] = {"submission": by_submission}


WEIGHT: Final = 1000
"""What a factor of 1 adds to a multifactor priority."""


def job_size_factor(spec: JobSpec, cpus: int, nodes: int) -> float:
    """Return how much of a machine with *cpus* on *nodes* a job asks for, between 0 and 1.

    Source: Slurm's priority/multifactor plugin, the job size factor.
    """
    return min(1.0, ((spec.min_nodes or 1) / nodes + spec.cpus / cpus) / 2)


def multifactor_priority(spec: JobSpec, cpus: int, nodes: int) -> int:
    """Return a priority that grows with a job's size, so that large jobs are not starved."""
    return max(1, int(WEIGHT + WEIGHT * job_size_factor(spec, cpus, nodes)) - spec.nice)
