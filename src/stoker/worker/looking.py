"""Looking through a long queue a little at a time, so that nobody waits for a listing.

Each look is a turn of its own that changes nothing: what is seen is on record. Between two looks
others have their turns, so that a job is seen as it stands then, and one that has ended meanwhile
is not seen any more, unless those that ended are asked for, too. All records of an array are looked
at together: a task that starts moves from one record to another, and would else be missed or seen
twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from stoker.core.historyfilter import HistoryFilter
from stoker.core.idpages import are_more_than, id_pages
from stoker.core.models import Job
from stoker.core.repository import Repository
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.past import RecentPast, records_of
from stoker.worker.queue import JobQueue
from stoker.worker.scheduler import ResourceScheduler
from stoker.worker.table import JobTable

T = TypeVar("T")

_JOBS_PER_LOOK: Final = 16
_RECORDS_PER_LOOK: Final = 32


class Looking:
    """Implements `worker.lookout.Lookout`."""

    def __init__(
        self,
        queue: JobQueue,
        repository: Repository,
        scheduler: ResourceScheduler,
        recent_since: Callable[[], float],
    ) -> None:
        """*recent_since* says since when jobs have ended that are known as active ones are."""
        self._queue = queue
        self._repository = repository
        self._scheduler = scheduler
        self._recent_since = recent_since

    def is_crowded(self, most: int, *, with_recent: bool = False) -> bool:
        """Return whether `look_through` would come by more than *most* records."""
        most -= len(self._queue.table)
        if most < 0 or not with_recent:
            return most < 0
        return RecentPast(self._repository, self._recent_since()).are_more_than(most)

    def look_through(
        self, read: Callable[[Sequence[Job]], T], *, with_recent: bool = False
    ) -> Iterator[T]:
        """Yield what *read* makes of the active records, some at a time."""
        table = self._queue.table
        if not with_recent:
            return self._in_turns(map(read, _active(table)))
        past = RecentPast(self._repository, self._recent_since())
        return self._in_turns(map(read, _by_id(table, past)))

    def foresee(self) -> Iterator[Mapping[int, float]]:
        """Yield when who will start, bit by bit."""
        return self._in_turns(self._scheduler.foresee())

    def are_recorded(self, query: HistoryQuery, most: int) -> bool:
        """Return whether *query* describes more than *most* jobs, or may do so."""
        return are_more_than(self._repository.database, filter_of(query), most)

    def look_up(self, query: HistoryQuery, read: Callable[[Sequence[Record]], T]) -> Iterator[T]:
        """Yield what *read* makes of what *query* describes, some at a time."""
        return self._look_into(id_pages(self._repository.database, filter_of(query)), read)

    def look_into(
        self, job_ids: Sequence[int], read: Callable[[Sequence[Record]], T]
    ) -> Iterator[T]:
        """Yield what *read* makes of the records of these jobs, some at a time."""
        return self._look_into([job_ids], read)

    def _look_into(
        self, pages: Iterable[Sequence[int]], read: Callable[[Sequence[Record]], T]
    ) -> Iterator[T]:
        def made(job_ids: Sequence[int]) -> T:
            if not job_ids:
                return read(())
            return read(records_of(self._repository, self._repository.jobs(job_ids)))

        return self._in_turns(map(made, _few(pages)))

    def _in_turns(self, steps: Iterator[T]) -> Iterator[T]:
        """Yield what *steps* yields; each step is made in a turn of its own."""
        while True:
            with self._queue.turn():
                try:
                    made = next(steps)
                except StopIteration:
                    return
            yield made


def filter_of(query: HistoryQuery) -> HistoryFilter:
    """Return what the repository is asked for."""
    ids = tuple(ref.job_id for ref in query.refs)
    return HistoryFilter(
        job_ids=ids,
        array_job_ids=ids,
        user_ids=query.user_ids,
        names=query.names,
        partitions=query.partitions,
        start_at=query.start_at,
        end_at=query.end_at,
    )


def _few(pages: Iterable[Sequence[int]]) -> Iterator[Sequence[int]]:
    """Yield some ids at a time; none for a page, since a turn has gone by to find it."""
    for page in pages:
        yield ()
        for start in range(0, len(page), _RECORDS_PER_LOOK):
            yield page[start : start + _RECORDS_PER_LOOK]


def _active(table: JobTable) -> Iterator[Sequence[Job]]:
    job_ids = list(table.jobs)
    arrays: set[int] = set()
    for start in range(0, len(job_ids), _JOBS_PER_LOOK):
        yield list(_records(table, job_ids[start : start + _JOBS_PER_LOOK], arrays))


def _by_id(table: JobTable, past: RecentPast) -> Iterator[Sequence[Job]]:
    """Yield active jobs and those that ended, some at a time, by id."""
    pages = [sorted(table.jobs)]
    for page in past.pages():
        pages.append(sorted(page))
        yield ()
    yet = _Yet(table, past)
    for some in _portions(heapq.merge(*pages)):
        yield yet.take(some)


class _Yet:
    """Which records have not been seen yet, when they are asked for by id, the least first."""

    def __init__(self, table: JobTable, past: RecentPast) -> None:
        self._table = table
        self._past = past
        self._arrays: set[int] = set()
        self._tasks: set[int] = set()
        """Those that came with their arrays."""

    def take(self, job_ids: Sequence[int]) -> list[Job]:
        """Return those of these, and what has to come with them."""
        found: dict[int, Job] = {}
        gone: list[int] = []
        for job_id in job_ids:
            if job_id in self._tasks:
                continue
            job = self._table.get(job_id)
            if job is None:
                gone.append(job_id)
            else:
                found |= {each.job_id: each for each in self._with_array(job)}
        if gone:
            found |= {job.job_id: job for job in self._past.jobs(gone)}
        return [found[job_id] for job_id in sorted(found)]

    def _with_array(self, job: Job) -> Sequence[Job]:
        if not job.array_job_id or job.array_job_id in self._arrays:
            return (job,)
        self._arrays.add(job.array_job_id)
        records = [
            each for each in self._table.array(job.array_job_id) if each.job_id >= job.job_id
        ]
        self._tasks.update(each.job_id for each in records)
        return records


def _portions(job_ids: Iterable[int]) -> Iterator[list[int]]:
    """Yield the ids, which are sorted, some at a time; each once."""
    some: list[int] = []
    last = 0
    for job_id in job_ids:
        if job_id != last:
            some.append(job_id)
        last = job_id
        if len(some) == _JOBS_PER_LOOK:
            yield some
            some = []
    yield some


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
