"""A lookout over a controller that holds everything in memory, which counts what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from stoker.core.models import Job
from stoker.worker.history import HistoryQuery, Record


class FakeLookout:
    """Shows so many at a time; never more than ``seen_at_once`` were shown together."""

    def __init__(self, controller: Any, per_look: int = 7) -> None:
        self._controller = controller
        self._per_look = per_look
        self.seen_at_once = 0

    def is_crowded(self, most: int, *, with_recent: bool = False) -> bool:
        return len(self._jobs(with_recent)) > most

    def look_through(
        self, read: Callable[[Sequence[Job]], Any], *, with_recent: bool = False
    ) -> Iterator[Any]:
        for job_ids in self._few([job.job_id for job in self._jobs(with_recent)]):
            yield read([job for job in self._jobs(with_recent) if job.job_id in job_ids])

    def _jobs(self, with_recent: bool) -> list[Job]:
        if not with_recent:
            return list(self._controller.active_jobs())
        jobs = [*self._controller.active_jobs(), *self._controller.recent_jobs()]
        return sorted(jobs, key=lambda job: job.job_id)

    def foresee(self) -> Iterator[Mapping[int, float]]:
        ids = [job.job_id for job in self._controller.active_jobs()]
        yield {}
        for job_id, at in self._controller.expected_starts(ids).items():
            yield {job_id: at}

    def are_recorded(self, query: HistoryQuery, most: int) -> bool:
        return len(self._controller.history(query)) > most

    def look_up(
        self, query: HistoryQuery, read: Callable[[Sequence[Record]], Any]
    ) -> Iterator[Any]:
        return self.look_into([each.job.job_id for each in self._controller.history(query)], read)

    def look_into(
        self, job_ids: Sequence[int], read: Callable[[Sequence[Record]], Any]
    ) -> Iterator[Any]:
        known = {each.job.job_id: each for each in self._controller.history(HistoryQuery())}
        for some in self._few(job_ids):
            yield read([known[each] for each in some if each in known])

    def _few(self, job_ids: Sequence[int]) -> Iterator[Sequence[int]]:
        yield ()
        for start in range(0, len(job_ids), self._per_look):
            some = job_ids[start : start + self._per_look]
            self.seen_at_once = max(self.seen_at_once, len(some))
            yield some
