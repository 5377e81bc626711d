"""The queues as a pass walks through them: one line of jobs in order out of many queues.

Each queue is sorted, so only fronts are compared, and a queue is not looked at before its turn has
come: with a thousand queues of a hundred jobs, starting one job looks at two or three of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable, Sequence

from stoker.scheduling.snapshot import Queue, Waiting


class Line:
    """A queue and how far passes have come in it."""

    __slots__ = ("_jobs", "_position", "first", "is_over", "shape")

    def __init__(self, queue: Queue) -> None:
        self.shape = queue.shape
        self._jobs = queue.jobs
        self._position = 0
        self.first: Waiting = queue.jobs[0]
        self.is_over = False

    def use(self) -> None:
        """Note that one task of the first job starts; the job stays, with a count less by one."""
        job = self.first
        self.first = Waiting(job.job_id, job.order, job.count - 1)

    def step(self) -> bool:
        """Go on to the next job; False if there is none."""
        self._position += 1
        if self._position < len(self._jobs):
            self.first = self._jobs[self._position]
        else:
            self.is_over = True
        return not self.is_over


class Lines:
    """Many lines, taken from in the order of their first jobs."""

    __slots__ = ("_heap", "_next", "_queues")

    def __init__(self, queues: Sequence[Queue], lines: Iterable[Line] = ()) -> None:
        """Merge *queues*, sorted by their first jobs, and *lines*, in any order."""
        self._queues = queues
        self._next = 0
        self._heap = [(line.first.order, line) for line in lines]
        heapq.heapify(self._heap)

    def pop(self, skip: Container[str] = ()) -> Line | None:
        """Take out the line whose first job comes first; lines of partitions in *skip* are lost."""
        while self._next < len(self._queues):
            queue = self._queues[self._next]
            if queue.shape.partition in skip:
                self._next += 1
                continue
            if self._heap and self._heap[0][0] < queue.jobs[0].order:
                break
            self._next += 1
            return Line(queue)
        return heapq.heappop(self._heap)[1] if self._heap else None

    def push(self, line: Line) -> None:
        """Put a line back, at the place of its first job."""
        heapq.heappush(self._heap, (line.first.order, line))
