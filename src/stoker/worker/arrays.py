"""The records of an array's waiting tasks: taken apart as tasks start, put together as they return.

Tasks that wait alike share one record, so that a large array costs no more than a job. A task gets
a record of its own when something happens to it alone; the last one of a record keeps the record.

Always holds: each task stands in one record; where two are joined, the one with the array's own
number stays, which has been told to whoever submitted it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

from stoker.core.models import NO_TASK, Job
from stoker.core.units import TaskSet
from stoker.worker.queue import JobQueue, Turn

_SHARED: Final = (
    "spec_digest",
    "partition",
    "priority",
    "nice",
    "hold",
    "time_limit_s",
    "begin_at",
    "dependency",
    "requeue",
    "restarts",
)
"""What the waiting tasks of one record have in common."""


class ArrayRecords:
    """Splits and joins the records of arrays; all of it needs an open turn."""

    def __init__(self, queue: JobQueue, watch: Callable[[Job], None]) -> None:
        """Work on the jobs of *queue*; *watch* is told of each new record."""
        self._queue = queue
        self._table = queue.table
        self._watch = watch

    def take_first(self, turn: Turn, rest: Job) -> Job:
        """Give the first task of an array's record one of its own."""
        assert rest.array is not None
        return self._split_off(turn, rest, rest.array.pop_first())

    def split(self, turn: Turn, rest: Job, task: int) -> Job:
        """Give a task of an array's record one of its own; the last one keeps the array's."""
        assert rest.array is not None
        rest.array.remove(task)
        return self._split_off(turn, rest, task)

    def _split_off(self, turn: Turn, rest: Job, task: int) -> Job:
        turn.touch(rest)
        if not rest.array:
            rest.array, rest.array_task_id = None, task
            return rest
        return self._part(turn, rest, None, task)

    def part(self, turn: Turn, rest: Job, tasks: TaskSet) -> Job:
        """Give some tasks of an array's record, but not all, one record of their own."""
        assert rest.array is not None
        if len(tasks) == 1:
            return self.split(turn, rest, tasks.first)
        rest.array = rest.array.difference(tasks)
        assert rest.array, f"nothing is left of array {rest.array_job_id}"
        turn.touch(rest)
        return self._part(turn, rest, copy.copy(tasks), NO_TASK)

    def _part(self, turn: Turn, rest: Job, tasks: TaskSet | None, task: int) -> Job:
        job = copy.copy(rest)
        job.job_id = self._queue.give_id(turn)
        job.array, job.array_task_id = tasks, task
        self._table.add(job)
        self._watch(job)
        turn.touch(job)
        return job

    def join(self, turn: Turn, task: Job) -> Job:
        """Let a task that has a record of its own wait with its array again; return the record.

        The first task that comes back is the array's rest.
        """
        number, rest = task.array_task_id, self._rest_of(task)
        task.array, task.array_task_id = TaskSet([number]), NO_TASK
        if rest is None or rest.array is None:
            return task
        rest.array.add(number)
        # The array's own number has been told to whoever submitted it: that record stays.
        stays, goes = (task, rest) if task.job_id == task.array_job_id else (rest, task)
        stays.array = rest.array
        self._table.remove(goes)
        turn.erase(goes)
        turn.tell(goes.job_id)
        return stays

    def _rest_of(self, job: Job) -> Job | None:
        """Return the waiting part of the array that a task is like in all but its number."""
        parts = (each for each in self._table.array(job.array_job_id) if each.array is not None)
        return next((each for each in parts if _is_alike(each, job)), None)


def _is_alike(rest: Job, task: Job) -> bool:
    return all(getattr(rest, name) == getattr(task, name) for name in _SHARED)
