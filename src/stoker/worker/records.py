"""What typed requests find out about jobs: the records that a reference names, and their views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from stoker.core.enums import JobState
from stoker.core.errors import UnknownJob
from stoker.core.messages import JobDetail, JobView
from stoker.core.models import Allocation, Job
from stoker.core.units import JobRef
from stoker.worker.controller import Controller
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.views import job_detail, job_view

T = TypeVar("T")


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

    def of_each(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Sequence[Record]]:
        """Return the records that each of *refs* names, with one look for all of them."""
        # A query that names nobody means everybody.
        records = self._controller.history(HistoryQuery(refs=tuple(refs))) if refs else ()
        return _named_by(refs, records, lambda record: record.job)

    def jobs_of_each(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Sequence[Job]]:
        """Return the same without attempts and steps, which costs a fraction."""
        jobs = self._controller.recorded_jobs(HistoryQuery(refs=tuple(refs))) if refs else ()
        return _named_by(refs, jobs, lambda job: job)

    def views(self, jobs: Sequence[Job]) -> list[JobView]:
        """Return jobs as lists show them."""
        allocations = self._controller.last_allocations(jobs)
        return [self._view(job, allocations.get(job.job_id)) for job in jobs]

    def view(self, record: Record) -> JobView:
        """Return a record as lists show it."""
        return self._view(record.job, record.attempts[-1] if record.attempts else None)

    def _view(self, job: Job, allocation: Allocation | None) -> JobView:
        return job_view(
            job,
            allocation,
            self._controller.shape(job),
            self._controller.reason(job),
            self._controller.now(),
        )

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

    def awaited_ids(self, refs: Sequence[JobRef]) -> list[int]:
        """Return the ids to wait for until all that *refs* name has ended.

        A task that has not started has no number yet: it is awaited with its array.

        Raises:
            UnknownJob: One of them names nothing.
        """
        awaited: dict[int, None] = {}
        for ref, found in self.jobs_of_each(refs).items():
            if not found:
                raise UnknownJob(str(ref))
            jobs = [job for job in found if not job.state.has_ended]
            if ref.tasks is None and any(job.array_job_id for job in jobs):
                awaited[ref.job_id] = None
            else:
                awaited |= {job.job_id: None for job in jobs}
        return list(awaited)


def _named_by(
    refs: Sequence[JobRef], found: Iterable[T], job_of: Callable[[T], Job]
) -> dict[JobRef, list[T]]:
    """Return, for each of *refs*, what of *found* it names."""
    by_id: defaultdict[int, list[T]] = defaultdict(list)
    for each in found:
        job = job_of(each)
        by_id[job.job_id].append(each)
        if job.array_job_id not in (0, job.job_id):
            by_id[job.array_job_id].append(each)
    return {
        ref: [each for each in by_id.get(ref.job_id, ()) if names(ref, job_of(each))]
        for ref in refs
    }


def names(ref: JobRef, job: Job) -> bool:
    """Whether *ref* names the job, or waiting tasks that it stands for."""
    if ref.tasks is None:
        return ref.job_id in (job.job_id, job.array_job_id)
    if job.array_job_id != ref.job_id:
        return False
    if job.array is not None:
        return bool(job.array.intersection(ref.tasks))
    return job.array_task_id in ref.tasks
