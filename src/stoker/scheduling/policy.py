"""In which order waiting jobs are considered: a policy gives each a key, the smallest comes first.

A policy is a plain function. The key is asked for when a job begins to wait, and again when it
changes, and it must be unique: it ends with the job's id.
"""

from __future__ import annotations

from collections.abc import Callable

from stoker.core.models import Job

Order = tuple[int, ...]
"""Sorts waiting jobs: what is smaller is considered earlier."""

Policy = Callable[[Job], Order]


def by_submission(job: Job) -> Order:
    """Order by priority, which falls from one submission to the next; then by id and task."""
    return (-job.priority, job.array_job_id or job.job_id, max(job.array_task_id, 0), job.job_id)
