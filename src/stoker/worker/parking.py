"""Conversations that wait for jobs to change, or for a time to come, and are found again by either.

For which jobs anybody waits may be asked from any thread; all else is the conductor's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from stoker.worker.talk import Talk


class Parking:
    """Where conversations wait, each for some jobs."""

    def __init__(self) -> None:
        self._by_job: defaultdict[int, set[Talk]] = defaultdict(set)
        self._deadlines: dict[Talk, float] = {}

    def awaited(self, job_ids: Iterable[int]) -> list[int]:
        """Return those of these jobs for which anybody waits."""
        by_job = self._by_job
        return [job_id for job_id in job_ids if job_id in by_job]

    def waiting_for(self, job_id: int) -> Collection[Talk]:
        """Return those who wait for this job."""
        return self._by_job.get(job_id, ())

    def put(self, talk: Talk, job_ids: Iterable[int], deadline: float | None) -> None:
        """Let a conversation be found by changes of these jobs, or by its deadline."""
        if deadline is not None:
            self._deadlines[talk] = deadline
        talk.awaited = tuple(job_ids)
        for job_id in talk.awaited:
            self._by_job[job_id].add(talk)

    def take(self, talk: Talk) -> None:
        """Let a conversation go on, if it waits."""
        for job_id in talk.awaited:
            self._by_job[job_id].discard(talk)
            if not self._by_job[job_id]:
                del self._by_job[job_id]
        talk.awaited = ()
        self._deadlines.pop(talk, None)

    def deadline_of(self, talk: Talk) -> float | None:
        """Return until when a conversation waits, on the monotonic clock."""
        return self._deadlines.get(talk)

    def deadlines(self) -> Iterable[float]:
        """Return until when any of them waits."""
        return self._deadlines.values()

    def over(self, now: float) -> list[Talk]:
        """Return those who have waited long enough."""
        return [talk for talk, at in self._deadlines.items() if at <= now]

    def clear(self) -> None:
        """Forget all of them."""
        self._by_job.clear()
        self._deadlines.clear()
