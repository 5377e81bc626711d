"""Looking through a long queue a little at a time, so that nobody waits for a listing.

Each look is a turn of its own that changes nothing: what is seen is on record. Between two looks
others have their turns, so that a job is seen as it stands then, and one that has ended meanwhile
is not seen any more, unless those that ended are asked for, too. All records of an array are looked
at together: a task that starts moves from one record to another, and would else be missed or seen
twice.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Final, TypeVar

import msgspec

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
        return self._in_turns(map(read, _by_id(self._queue, past)))

    def foresee(self) -> Iterator[Mapping[int, float]]:
        """Yield when who will start, bit by bit."""
        return self._in_turns(self._scheduler.foresee())

    def are_recorded(self, query: HistoryQuery, most: int) -> bool:
        """Return whether *query* describes more than *most* jobs, or may do so."""
        return are_more_than(self._repository.database, filter_of(query), most)

    def look_up(self, query: HistoryQuery, read: Callable[[Sequence[Record]], T]) -> Iterator[T]:
        """Yield what *read* makes of what *query* describes, some at a time.

        Who comes meanwhile is left out: they may be more than are read.
        """
        wanted = filter_of(query)
        if not query.refs:
            now = self._queue.now()
            until = now if wanted.end_at is None else min(wanted.end_at, now)
            wanted = msgspec.structs.replace(wanted, end_at=until)
        return self._look_into(id_pages(self._repository.database, wanted), read)

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
    job_ids, array_ids = list(table.jobs), table.array_ids()
    arrays: set[int] = set()
    for start in range(0, len(job_ids), _JOBS_PER_LOOK):
        yield list(_records(table, job_ids[start : start + _JOBS_PER_LOOK], arrays))
    # The record that stood for all their tasks may have ended before its turn came.
    missed = sorted(array_ids - arrays)
    for start in range(0, len(missed), _JOBS_PER_LOOK):
        some = missed[start : start + _JOBS_PER_LOOK]
        yield [job for array_id in some for job in table.array(array_id)]


def _by_id(queue: JobQueue, past: RecentPast) -> Iterator[Sequence[Job]]:
    """Yield active jobs and those that ended, some at a time, by id."""
    newest = queue.newest_id
    pages = [sorted(queue.table.jobs)]
    for page in past.pages():
        pages.append(sorted(page))
        yield ()
    yet = _Yet(queue, past, newest)
    for some in _portions(takewhile(newest.__ge__, heapq.merge(*pages))):
        yield yet.take(some)
    newer = {job_id for page in pages for job_id in page[bisect_right(page, newest) :]}
    for some in _portions(sorted(newer | yet.newer)):
        yield yet.take(some)


class _Yet:
    """Which records have not been seen yet, when they are asked for by id, the least first."""

    def __init__(self, queue: JobQueue, past: RecentPast, newest: int) -> None:
        """*newest* is the last id that was given when the first was asked for."""
        self.newer: set[int] = set()
        """Tasks that got numbers of their own since, and had ended when their arrays came."""
        self._queue = queue
        self._past = past
        self._newest = newest
        self._arrays: set[int] = set()
        self._tasks: set[int] = set()
        """Those that came with their arrays."""

    def take(self, job_ids: Sequence[int]) -> list[Job]:
        """Return those of these, and what has to come with them."""
        table = self._queue.table
        wanted = [job_id for job_id in job_ids if job_id not in self._tasks]
        found = {job_id: job for job_id in wanted if (job := table.get(job_id)) is not None}
        if gone := [job_id for job_id in wanted if job_id not in found]:
            found |= {job.job_id: job for job in self._past.jobs(gone)}
        tasks = {job.job_id: job for job in self._with_arrays(sorted(found.items()))}
        self._tasks.update(tasks)
        found |= tasks
        return [found[job_id] for job_id in sorted(found)]

    def _with_arrays(self, found: Iterable[tuple[int, Job]]) -> list[Job]:
        """Return what there is beyond the first that comes of an array; note what there was."""
        firsts: dict[int, int] = {}
        for job_id, job in found:
            if job.array_job_id and job.array_job_id not in self._arrays:
                firsts.setdefault(job.array_job_id, job_id)
        self._arrays.update(firsts)
        if firsts and self._queue.newest_id > self._newest:
            self.newer.update(self._past.tasks(firsts, above=self._newest))
        tasks = ((first, self._queue.table.array(array)) for array, first in firsts.items())
        return [job for first, records in tasks for job in records if job.job_id > first]


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
