"""Which records a job reference names: a job, an array, some of its tasks.

An array's waiting tasks have no records of their own: they are named as a part of the array's rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stoker.core.errors import UnknownJob
from stoker.core.models import Job
from stoker.core.repository import Repository
from stoker.core.units import JobRef, TaskSet
from stoker.worker.table import JobTable


class Target(NamedTuple):
    """A record; with ``tasks``, only these of those tasks of an array for which it stands."""

    job: Job
    tasks: TaskSet | None = None


class Selection:
    """Finds records in memory, and those that ended in the database."""

    def __init__(self, table: JobTable, repository: Repository) -> None:
        """Look in *table* first, then in *repository*."""
        self._table = table
        self._repository = repository

    def active(self, ref: JobRef) -> list[Target]:
        """Return what *ref* names among the jobs that have not ended, by id."""
        return _targets(self._active_records(ref.job_id), ref)

    def known(self, ref: JobRef, ended_since: float) -> list[Job]:
        """Return what *ref* names among the active jobs and those that ended since then, by id.

        Raises:
            UnknownJob: There is none.
        """
        found = {
            job.job_id: job
            for job in self._repository.family(ref.job_id, ended_since)
            if job.end_at and job.end_at >= ended_since and not was_dropped(job)
        }
        found |= {job.job_id: job for job in self._active_records(ref.job_id)}
        targets = _targets([found[key] for key in sorted(found)], ref)
        if not targets:
            raise UnknownJob(str(ref))
        return [target.job for target in targets]

    def ended(self, ref: JobRef) -> list[Target]:
        """Return what *ref* names among the jobs that have ended, however long ago, by id."""
        return _targets([job for job in self._repository.family(ref.job_id) if job.end_at], ref)

    def _active_records(self, job_id: int) -> list[Job]:
        if records := self._table.array(job_id):
            return records
        job = self._table.get(job_id)
        return [job] if job is not None else []


def was_dropped(job: Job) -> bool:
    """Whether the record is of tasks that were cancelled one by one before they started.

    Accounting knows them; as in Slurm, squeue and scontrol do not.
    """
    is_part = job.array_job_id not in (0, job.job_id)
    return is_part and job.state.has_ended and not job.start_at


def _targets(records: Sequence[Job], ref: JobRef) -> list[Target]:
    if ref.tasks is None:
        return [Target(job) for job in records]
    found = []
    for job in records:
        if job.array is not None:
            part = job.array.intersection(ref.tasks)
            if part:
                found.append(Target(job, part if len(part) < len(job.array) else None))
        elif job.array_job_id == ref.job_id and job.array_task_id in ref.tasks:
            found.append(Target(job))
    return found
