"""What was: jobs that ended a short while ago, which squeue still knows, and accounting records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

from stoker.core.idpages import ended_pages, ended_tasks
from stoker.core.models import Allocation, Job, Step
from stoker.core.repository import Repository
from stoker.worker.history import Record
from stoker.worker.selection import was_dropped

T = TypeVar("T", Allocation, Step)


class RecentPast:
    """The jobs that ended since a time."""

    def __init__(self, repository: Repository, since: float) -> None:
        """Look in *repository*; *since* is in epoch seconds."""
        self._repository = repository
        self._since = since

    def all(self) -> list[Job]:
        """Return all of them, by id."""
        return _known(self._repository.ended_since(self._since))

    def are_more_than(self, most: int) -> bool:
        """Whether there are more than so many; those of whom only accounting knows count, too."""
        return len(next(ended_pages(self._repository.database, self._since, most + 1))) > most

    def pages(self) -> Iterator[Sequence[int]]:
        """Yield their ids, some at a time."""
        return ended_pages(self._repository.database, self._since)

    def jobs(self, job_ids: Sequence[int]) -> list[Job]:
        """Return those of these jobs that have ended, by id."""
        return _known(job for job in self._repository.jobs(job_ids) if job.end_at)

    def tasks(self, array_job_ids: Collection[int], above: int) -> list[int]:
        """Return the ids, *above* another, of tasks of these arrays that have ended."""
        return ended_tasks(self._repository.database, array_job_ids, above)


def records_of(repository: Repository, jobs: Sequence[Job]) -> list[Record]:
    """Return the accounting records of these jobs."""
    job_ids = [job.job_id for job in jobs]
    attempts = _by_job(repository.attempts(job_ids))
    steps = _by_job(repository.steps(job_ids))
    return [Record(job, attempts.get(job.job_id, []), steps.get(job.job_id, [])) for job in jobs]


def _known(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if not was_dropped(job)]


def _by_job(records: Sequence[T]) -> dict[int, list[T]]:
    found: dict[int, list[T]] = {}
    for record in records:
        found.setdefault(record.job_id, []).append(record)
    return found
