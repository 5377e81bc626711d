"""Lanes: jobs that were handed to the shepherd in advance, to run one after the other.

The first job of a lane takes cores and memory; those behind it were reserved the very same and get
them from hand to hand, so that between two short jobs nobody waits for a round trip. Only the job
in front holds anything in the tracker's books.

Not thread-safe: whoever uses it holds the queue's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stoker.core.enums import AllocationState
from stoker.core.models import Job
from stoker.scheduling.policy import Order, by_submission


class Lanes:
    """The open lanes, each a line of job ids; the first one runs or is about to."""

    def __init__(self) -> None:
        self._lines: dict[int, list[int]] = {}
        self._lane_of: dict[int, int] = {}

    def clear(self) -> None:
        """Forget all lanes, to be filled anew."""
        self._lines.clear()
        self._lane_of.clear()

    def load(self, jobs: Iterable[Job]) -> None:
        """Take in the active allocations on record."""
        standing = [job for job in jobs if job.allocation is not None and job.allocation.lane]
        for job in sorted(standing, key=_order):
            assert job.allocation is not None
            self.join(job.allocation.lane, job.job_id)

    def join(self, lane: int, job_id: int) -> None:
        """Let a job run when all before it in the lane have ended; the first opens the lane."""
        self._lines.setdefault(lane, []).append(job_id)
        self._lane_of[job_id] = lane

    def leave(self, job_id: int) -> int | None:
        """Take a job out; return who gets its resources, if it was in front of somebody."""
        lane = self._lane_of.pop(job_id, None)
        if lane is None:
            return None
        line = self._lines[lane]
        was_first = line[0] == job_id
        line.remove(job_id)
        if not line:
            del self._lines[lane]
            return None
        return line[0] if was_first else None

    def is_open(self, lane: int) -> bool:
        """Whether anybody stands in the lane."""
        return lane in self._lines

    def is_behind(self, job_id: int) -> bool:
        """Whether the job stands in a lane behind another one, and so holds nothing yet."""
        lane = self._lane_of.get(job_id)
        return lane is not None and self._lines[lane][0] != job_id

    @property
    def has_followers(self) -> bool:
        """Whether anybody stands behind another one."""
        return len(self._lane_of) > len(self._lines)

    def lines(self) -> Iterable[tuple[int, Sequence[int]]]:
        """Return every lane with its line."""
        return self._lines.items()


def _order(job: Job) -> tuple[bool, float, Order]:
    """Order the jobs of a lane as they were handed over: who runs is in front."""
    allocation = job.allocation
    assert allocation is not None
    is_behind = allocation.state is AllocationState.RESERVED
    return is_behind, allocation.reserved_at, by_submission(job)
