"""What typed requests find out about jobs: the records that a reference names, and their views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from stoker.core.enums import JobState
from stoker.core.errors import UnknownJob
from stoker.core.messages import JobDetail, JobView
from stoker.core.models import Allocation, Job
from stoker.core.units import JobRef
from stoker.worker.controller import Controller
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.views import job_detail, job_view


class Records:
    """Finds jobs through the controller, in memory first."""

    def __init__(self, controller: Controller) -> None:
        """Look where *controller* looks."""
        self._controller = controller

    def of(self, ref: JobRef) -> list[Record]:
        """Return the records that *ref* names, however long ago they ended.

        Raises:
            UnknownJob: There is none.
        """
        found = self._controller.history(HistoryQuery(refs=(ref,)))
        records = [record for record in found if names(ref, record.job)]
        if not records:
            raise UnknownJob(str(ref))
        return records

    def jobs_of(self, ref: JobRef) -> Sequence[Job]:
        """Return the jobs that *ref* names, an array's ended tasks included.

        Raises:
            UnknownJob: There is none.
        """
        try:
            jobs = self._controller.find(ref)
        except UnknownJob:
            return [record.job for record in self.of(ref)]
        if any(job.array_job_id for job in jobs):
            return [record.job for record in self.of(ref)]
        return jobs

    def jobs_of_each(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Sequence[Job]]:
        """Return the jobs that each of *refs* names, with one look for all of them."""
        # A query that names nobody means everybody.
        jobs = self._controller.recorded_jobs(HistoryQuery(refs=tuple(refs))) if refs else ()
        return named_by(refs, jobs)

    def views(self, jobs: Sequence[Job]) -> list[JobView]:
        """Return jobs as lists show them."""
        allocations = self._controller.last_allocations(jobs)
        return [self._view(job, allocations.get(job.job_id)) for job in jobs]

    def _view(self, job: Job, allocation: Allocation | None) -> JobView:
        reason, now = self._controller.reason(job), self._controller.now()
        return job_view(job, allocation or self._controller.shape(job), reason, now)

    def views_of(self, ref: JobRef) -> list[JobView]:
        """Return what *ref* names as lists show it; nothing if it is not known any more."""
        try:
            return self.views(self.jobs_of(ref))
        except UnknownJob:
            return []

    def detail(self, record: Record) -> JobDetail:
        """Return all there is to know of a job."""
        job = record.job
        [view] = self.views([job])
        expected = (
            self._controller.expected_starts([job.job_id]).get(job.job_id)
            if job.state is JobState.PENDING
            else None
        )
        return job_detail(record, view, expected)


def awaited_ids(found: Mapping[JobRef, Sequence[Job]]) -> list[int]:
    """Return the ids to wait for until all that was *found* by reference has ended.

    A task that has not started has no number yet: it is awaited with its array.

    Raises:
        UnknownJob: One of the references names nothing.
    """
    awaited: dict[int, None] = {}
    for ref, named in found.items():
        if not named:
            raise UnknownJob(str(ref))
        jobs = [job for job in named if not job.state.has_ended]
        if ref.tasks is None and any(job.array_job_id for job in jobs):
            awaited[ref.job_id] = None
        else:
            awaited |= {job.job_id: None for job in jobs}
    return list(awaited)


def named_by(refs: Iterable[JobRef], jobs: Iterable[Job]) -> dict[JobRef, list[Job]]:
    """Return, for each of *refs*, which of *jobs* it names."""
    by_id: defaultdict[int, list[Job]] = defaultdict(list)
    for job in jobs:
        by_id[job.job_id].append(job)
        if job.array_job_id not in (0, job.job_id):
            by_id[job.array_job_id].append(job)
    return {ref: [job for job in by_id.get(ref.job_id, ()) if names(ref, job)] for ref in refs}


def names(ref: JobRef, job: Job) -> bool:
    """Whether *ref* names the job, or waiting tasks that it stands for."""
    if ref.tasks is None:
        return ref.job_id in (job.job_id, job.array_job_id)
    if job.array_job_id != ref.job_id:
        return False
    if job.array is not None:
        return bool(job.array.intersection(ref.tasks))
    return job.array_task_id in ref.tasks
