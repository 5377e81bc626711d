"""Looking through a long queue a little at a time, so that nobody waits for a listing.

Each look is a turn of its own that changes nothing: what is seen is on record. Between two looks
others have their turns, so that a job is seen as it stands then, and one that has ended meanwhile
is not seen any more. All records of an array are looked at together: a task that starts moves from
one record to another, and would else be missed or seen twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from stoker.core.models import Job
from stoker.worker.queue import JobQueue
from stoker.worker.table import JobTable

T = TypeVar("T")

_JOBS_PER_LOOK: Final = 16
_RECORDS_PER_LOOK: Final = 32


def look_through(queue: JobQueue, read: Callable[[Sequence[Job]], T]) -> Iterator[T]:
    """Yield what *read* makes of the jobs that are active now, some at a time."""
    return _looks(queue, list(queue.table.jobs), read)


def _looks(
    queue: JobQueue, job_ids: Sequence[int], read: Callable[[Sequence[Job]], T]
) -> Iterator[T]:
    arrays: set[int] = set()
    for start in range(0, len(job_ids), _JOBS_PER_LOOK):
        with queue.turn():
            some = job_ids[start : start + _JOBS_PER_LOOK]
            made = read(list(_records(queue.table, some, arrays)))
        yield made


def look_into(
    queue: JobQueue, job_ids: Sequence[int], read: Callable[[Sequence[int]], T]
) -> Iterator[T]:
    """Yield what *read* makes of the past of these jobs, some at a time."""
    for start in range(0, len(job_ids), _RECORDS_PER_LOOK):
        with queue.turn():
            made = read(job_ids[start : start + _RECORDS_PER_LOOK])
        yield made


def _records(table: JobTable, job_ids: Sequence[int], arrays: set[int]) -> Iterator[Job]:
    """Yield those that are still there; of an array that has not been looked at, all records."""
    for job_id in job_ids:
        job = table.get(job_id)
        if job is None:
            continue
        if not job.array_job_id:
            yield job
        elif job.array_job_id not in arrays:
            arrays.add(job.array_job_id)
            yield from table.array(job.array_job_id)
